/* Every model of tests/goldens/families against transformers: states behind layers, losses,
 * gradients. What a folder is, its expected.safetensors says: rows with labels are a decoder's,
 * with targets an encoder-decoder's, with neither an encoder's. */
#include <dirent.h>
#include <unistd.h>

#include "golden_model.h"
#include "io/file.h"

#define STATE_LIMIT    5e-5 /* largest difference, of the RMS */
#define LOSS_LIMIT     2e-5 /* relative */
#define GRADIENT_LIMIT 1e-4 /* of a tensor's norm */
#define GRADIENT_ZERO  1e-6 /* of the largest norm: mathematically nothing, compared absolutely */

enum { MOST_FAMILIES = 128, MOST_ROWS = 16 };

struct family {
    char path[64]; /* within tests/goldens */
    wn_model *model;
    wn_safetensors *expected;
    golden_batch rows;    /* an encoder-decoder's: the encoder's side */
    golden_batch targets; /* B 0: no encoder-decoder */
    uint32_t source_of[MOST_ROWS];
};

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

static size_t list(char name[MOST_FAMILIES][64])
{
    char path[GOLDEN_PATH];
    size_t n = 0;
    DIR *d = opendir(golden_path(path, "families"));
    cr_assert(d, "%s is missing", path);
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.') {
            cr_assert_lt(n, MOST_FAMILIES);
            snprintf(name[n++], 64, "families/%.50s", e->d_name);
        }
    closedir(d);
    qsort(name, n, sizeof *name, by_name);
    return n;
}

static bool has(const wn_safetensors *s, const char *name)
{
    return wn_safetensors_find(s, name) != NULL;
}

static golden_batch read_rows(const wn_safetensors *s)
{
    golden_batch g = {0};
    size_t n;
    g.id = golden_i32(s, &g.b.T, "ids");
    g.off = (uint32_t *)golden_i32(s, &n, "off");
    if (has(s, "label"))
        g.label = golden_i32(s, NULL, "label");
    g.labels = g.label ? golden_supervised(g.label, g.b.T) : 0;
    g.b = (wn_batch){.B = n - 1, .T = g.b.T, .id = g.id, .off = g.off, .label = g.label};
    cr_assert_leq(g.b.B, MOST_ROWS);
    return g;
}

/* The decoder's side: its start, then the target without its last id; the whole target is
 * predicted. */
static golden_batch read_targets(struct family *f)
{
    golden_batch g = {0};
    size_t n, T;
    g.label = golden_i32(f->expected, &T, "target");
    g.off = (uint32_t *)golden_i32(f->expected, &n, "target_off");
    g.id = golden_alloc(T, sizeof *g.id);
    cr_assert_eq(n - 1, f->rows.b.B);
    for (size_t b = 0; b + 1 < n; b++) {
        f->source_of[b] = (uint32_t)b;
        for (uint32_t t = g.off[b]; t < g.off[b + 1]; t++)
            g.id[t] = t > g.off[b] ? g.label[t - 1] : wn_model_facts_of(f->model)->decoder_start;
    }
    g.labels = T;
    g.b = (wn_batch){
        .B = n - 1, .T = T, .id = g.id, .off = g.off, .label = g.label, .source_of = f->source_of};
    return g;
}

static void open_family(struct family *f, const char *path)
{
    *f = (struct family){0};
    snprintf(f->path, sizeof f->path, "%s", path);
    f->expected = golden_open(path);
    f->model = golden_model(path, true, NULL);
    f->rows = read_rows(f->expected);
    if (has(f->expected, "target")) {
        f->targets = read_targets(f);
        f->targets.b.source = &f->rows.b;
    }
}

static void close_family(struct family *f)
{
    wn_safetensors_close(f->expected);
    wn_model_close(f->model);
}

static wn_work *make_work(const struct family *f)
{
    const golden_batch *g = &f->rows, *t = &f->targets;
    size_t labels = g->labels + t->labels;
    wn_work *w = NULL;
    GOLDEN_OK(wn_work_new(&w, f->model, g->b.T > t->b.T ? g->b.T : t->b.T, g->b.B,
                          labels ? labels : 1, labels > 0));
    return w;
}

/* ---- states -------------------------------------------------------------------------------------
 */

static void check_layer(const struct family *f, wn_work *w, int layer, const char *name)
{
    const wn_batch *b = &f->rows.b;
    size_t n, D = wn_model_state_width(f->model, layer);
    float *want = golden_f32(f->expected, &n, "%s", name),
          *got = golden_alloc(b->T * D, sizeof *got);
    cr_assert_eq(n, b->T * D, "%s: %s of %zu numbers", f->path, name, n);
    GOLDEN_OK(wn_model_hidden(f->model, w, b, layer, got));
    GOLDEN_WORST(got, want, n, STATE_LIMIT, "%s: %s", f->path, name);
}

/* A decoder's and an encoder's states behind every layer but the last, which is only seen behind
 * the norm. */
static void check_states(const struct family *f)
{
    wn_work *w = make_work(f);
    char name[32];
    int layers = 0;
    for (; snprintf(name, sizeof name, "hidden.%d", layers + 1), has(f->expected, name); layers++)
        ;
    cr_assert_geq(layers, 2, "%s", f->path);
    cr_expect_eq(wn_model_facts_of(f->model)->layers, (size_t)layers, "%s: %zu layers", f->path,
                 wn_model_facts_of(f->model)->layers);
    for (int layer = 1; layer < layers; layer++) {
        snprintf(name, sizeof name, "hidden.%d", layer);
        check_layer(f, w, layer, name);
    }
    check_layer(f, w, 0, "hidden.last");
    wn_work_free(w);
}

/* ---- losses and gradients -----------------------------------------------------------------------
 */

static void check_nll(const struct family *f, const double *nll, const uint32_t *count)
{
    float *want = golden_f32(f->expected, NULL, "nll");
    int32_t *tokens = golden_i32(f->expected, NULL, "count");
    for (size_t b = 0; b < f->rows.b.B; b++) {
        cr_expect(fabs(nll[b] - want[b]) <= LOSS_LIMIT * want[b],
                  "%s: nll of row %zu: %.9g, expected %.9g", f->path, b, nll[b], (double)want[b]);
        cr_expect_eq(count[b], (uint32_t)tokens[b], "%s: row %zu", f->path, b);
    }
}

static double norm_of(const float *x, size_t n)
{
    double s = 0;
    for (size_t i = 0; i < n; i++)
        s += (double)x[i] * x[i];
    return sqrt(s);
}

static const float *gradient(const struct family *f, const char *name, size_t n)
{
    const wn_param *p = wn_params_find(wn_model_params(f->model), name);
    cr_assert(p, "%s: no parameter %s", f->path, name);
    cr_assert_eq(p->rows * p->cols, n, "%s: shape of %s", f->path, name);
    return p->grad;
}

static void check_gradients(const struct family *f)
{
    double largest = 0;
    size_t seen = 0;
    for (int compare = 0; compare < 2; compare++)
        for (size_t i = 0; i < wn_safetensors_count(f->expected); i++) {
            const char *name = wn_safetensors_at(f->expected, i)->name;
            size_t n;
            if (strncmp(name, "grad.", 5) != 0)
                continue;
            float *want = golden_f32(f->expected, &n, "%s", name);
            double size = norm_of(want, n);
            if (!compare) {
                largest = size > largest ? size : largest;
                continue;
            }
            const float *got = gradient(f, name + 5, n);
            bool zero = size < GRADIENT_ZERO * largest;
            for (size_t k = 0; zero && k < n; k++)
                want[k] -= got[k];
            if (zero)
                cr_expect_leq(norm_of(want, n), GRADIENT_ZERO * largest, "%s: %s is not zero",
                              f->path, name);
            else
                GOLDEN_NEAR(got, want, n, GRADIENT_LIMIT, "%s: %s", f->path, name);
            seen++;
        }
    cr_expect_gt(seen, 0, "%s", f->path);
}

static void check_losses(const struct family *f)
{
    const wn_batch *b = f->targets.b.B ? &f->targets.b : &f->rows.b;
    int32_t *tokens = golden_i32(f->expected, NULL, "count");
    wn_work *w = make_work(f);
    wn_sink sink = wn_sink_train();
    float weight[MOST_ROWS];
    double nll[MOST_ROWS], loss = 0;
    uint32_t count[MOST_ROWS];
    for (size_t i = 0; i < b->B; i++)
        weight[i] = 1.0F / (float)(b->B * (size_t)tokens[i]);
    GOLDEN_OK(wn_model_nll(f->model, w, b, nll, count));
    check_nll(f, nll, count);
    GOLDEN_OK(wn_model_loss_back(f->model, w, b, weight, 0, 0, nll, count, &sink));
    check_nll(f, nll, count);
    for (size_t i = 0; i < b->B; i++)
        loss += nll[i] / tokens[i] / (double)b->B;
    double want = golden_f32(f->expected, NULL, "loss")[0];
    cr_expect(fabs(loss - want) <= LOSS_LIMIT * want, "%s: loss %.9g, expected %.9g", f->path, loss,
              want);
    check_gradients(f);
    wn_work_free(w);
}

/* ---- rows beyond the model's positions ----------------------------------------------------------
 */

/* Dynamic positions end at factor times max_position_embeddings; a row there is refused by its
 * length. */
Test(golden_families, rows_beyond_the_positions)
{
    struct family f;
    int32_t id[49];
    uint32_t off[] = {0, 49};
    wn_work *w = NULL;
    open_family(&f, "families/llama-dynamic");
    size_t D = wn_model_facts_of(f.model)->width;
    float *got = golden_alloc(49 * D, sizeof *got);
    for (int i = 0; i < 49; i++)
        id[i] = 4 + i % 39;
    wn_batch b = {.B = 1, .T = 49, .id = id, .off = off};
    cr_expect_eq(wn_model_facts_of(f.model)->max_positions, 48);
    GOLDEN_OK(wn_work_new(&w, f.model, 49, 1, 1, false));
    cr_expect_eq(wn_model_hidden(f.model, w, &b, 0, got), WN_EARG);
    cr_expect(strstr(wn_error_message(), "a row of 49 tokens: the model has 48 positions"), "%s",
              wn_error_message());
    b.T = off[1] = 48;
    GOLDEN_OK(wn_model_hidden(f.model, w, &b, 0, got));
    wn_work_free(w);
    close_family(&f);
}

/* Texts behind one prompt are as if each stood alone, or are refused where the prompt's angles
 * would differ: phi3-longrope turns rows of more than 9 tokens by its long factors. */
Test(golden_families, shared_prompts_of_long_rows)
{
    struct family f;
    open_family(&f, "families/phi3-longrope");
    int32_t id[] = {5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19};
    int32_t parent[] = {-1, 0, 0}, first[] = {-1, 14, 20}, label[15];
    uint32_t near[] = {0, 6, 8, 11}, far[] = {0, 6, 10, 15}, both[] = {0, 6, 8, 15}, count[3];
    double nll[3], alone;
    wn_work *w = NULL;
    GOLDEN_OK(wn_work_new(&w, f.model, 15, 3, 15, false));
    cr_expect_eq(wn_model_facts_of(f.model)->same_angles, 9);
    for (int i = 0; i < 15; i++)
        label[i] = i < 6 ? -1 : id[i] + 1;
    wn_batch b = {.B = 3, .id = id, .parent = parent, .first_label = first, .label = label};
    const uint32_t *off[] = {near, far, both};
    for (int k = 0; k < 3; k++) {
        b.off = off[k];
        b.T = b.off[3];
        wn_err e = wn_model_nll(f.model, w, &b, nll, count);
        cr_expect_eq(e, k < 2 ? WN_OK : WN_EARG, "%d: %s", k, wn_error_message());
        if (k == 2)
            cr_expect(strstr(wn_error_message(), "rows of 8 and 13 tokens"), "%s",
                      wn_error_message());
        for (int c = 1; e == WN_OK && c < 3; c++) {
            int32_t row[15], want[15];
            uint32_t n = b.off[c + 1] - b.off[c], ends[] = {0, 6 + n};
            for (uint32_t i = 0; i < 6 + n; i++) {
                row[i] = i < 6 ? id[i] : id[b.off[c] + i - 6];
                want[i] = i < 5 ? -1 : i == 5 ? first[c] : label[b.off[c] + i - 6];
            }
            wn_batch one = {.B = 1, .T = 6 + n, .id = row, .off = ends, .label = want};
            GOLDEN_OK(wn_model_nll(f.model, w, &one, &alone, count));
            cr_expect_float_eq(nll[c], alone, 1e-5, "%d, text %d: %g, alone %g", k, c, nll[c],
                               alone);
        }
    }
    wn_work_free(w);
    close_family(&f);
}

/* ---- all of them --------------------------------------------------------------------------------
 */

/* A folder like `path` whose config.json lacks what stands between `from` and `to`, ends included.
 */
static void cut_config(char *folder, const char *path, const char *from, const char *to)
{
    static const char *const files[] = {"model.safetensors", "tokenizer.json"};
    char source[GOLDEN_PATH], target[GOLDEN_PATH], *text;
    size_t len;
    cr_assert(mkdtemp(folder));
    for (size_t i = 0; i < 2; i++) {
        snprintf(target, sizeof target, "%s/%s", folder, files[i]);
        cr_assert_eq(symlink(golden_path(source, "%s/%s", path, files[i]), target), 0);
    }
    GOLDEN_OK(wn_file_read(&text, &len, golden_path(source, "%s/config.json", path), 1 << 16));
    char *a = strstr(text, from), *b = a ? strstr(a, to) : NULL;
    cr_assert(b);
    memmove(a, b + strlen(to), strlen(b + strlen(to)) + 1);
    snprintf(target, sizeof target, "%s/config.json", folder);
    GOLDEN_OK(wn_file_write(target, text, strlen(text)));
    wn_free(text);
}

/* Nomic's rotary base where its configuration does not say. */
Test(golden_families, nomic_base_by_default)
{
    struct family f;
    char folder[] = "/tmp/winnow-families-XXXXXX";
    const wn_model_opts o = {.precision = WN_PRECISION_F32};
    cut_config(folder, "families/nomic-bert", "\"rope_parameters\"", "},");
    open_family(&f, "families/nomic-bert");
    wn_model_close(f.model);
    GOLDEN_OK(wn_model_open(&f.model, folder, &o));
    check_states(&f);
    close_family(&f);
    GOLDEN_OK(wn_remove_tree(folder));
}

Test(golden_families, states_losses_gradients, .timeout = 300)
{
    static char name[MOST_FAMILIES][64];
    size_t n = list(name);
    cr_expect_geq(n, 41);
    for (size_t i = 0; i < n; i++) {
        struct family f;
        open_family(&f, name[i]);
        check_states(&f);
        if (has(f.expected, "loss"))
            check_losses(&f);
        close_family(&f);
    }
}
