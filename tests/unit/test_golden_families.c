/* Every model of tests/goldens/families against transformers: states behind layers, losses,
 * gradients. What a folder is, its expected.safetensors says: rows with labels are a decoder's,
 * with targets an encoder-decoder's, with neither an encoder's. */
#include <dirent.h>

#include "golden_model.h"

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
    size_t n, D = wn_model_facts_of(f->model)->width;
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
    for (int layer = 1; layer < layers; layer++) {
        snprintf(name, sizeof name, "hidden.%d", layer);
        check_layer(f, w, layer, name);
    }
    if (!strstr(f->path, "/opt-post-norm")) /* which has it behind a projection */
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

/* Rows that are too long are refused, one by one; the others agree. Returns how many were refused.
 */
static size_t check_short_rows(const struct family *f)
{
    size_t most = wn_model_facts_of(f->model)->max_positions,
           D = wn_model_facts_of(f->model)->width;
    float *want = golden_f32(f->expected, NULL, "hidden.last"),
          *nll = golden_f32(f->expected, NULL, "nll");
    float *got = golden_alloc(f->rows.b.T * D, sizeof *got);
    wn_work *w = make_work(f);
    size_t refused = 0;
    for (size_t r = 0; r < f->rows.b.B; r++) {
        golden_batch one = golden_segment(&f->rows, r);
        double loss;
        uint32_t count;
        if (one.b.T > most) {
            cr_expect_eq(wn_model_hidden(f->model, w, &one.b, 0, got), WN_EARG);
            cr_expect_eq(wn_model_nll(f->model, w, &one.b, &loss, &count), WN_EARG);
            cr_expect(strstr(wn_error_message(), "16 positions") &&
                          !strchr(wn_error_message(), '\n'),
                      "%s", wn_error_message());
            refused++;
            continue;
        }
        GOLDEN_OK(wn_model_hidden(f->model, w, &one.b, 0, got));
        GOLDEN_WORST(got, want + f->rows.off[r] * D, one.b.T * D, STATE_LIMIT, "%s: row %zu",
                     f->path, r);
        GOLDEN_OK(wn_model_nll(f->model, w, &one.b, &loss, &count));
        cr_expect(fabs(loss - nll[r]) <= LOSS_LIMIT * nll[r],
                  "%s: nll of row %zu: %.9g, expected %.9g", f->path, r, loss, (double)nll[r]);
    }
    wn_work_free(w);
    return refused;
}

Test(golden_families, rows_beyond_the_positions)
{
    struct family f;
    open_family(&f, "families/llama-dynamic");
    cr_expect_eq(check_short_rows(&f), 1);
    close_family(&f);
}

/* ---- all of them --------------------------------------------------------------------------------
 */

static bool apart(const char *path)
{
    return strstr(path, "/llama-dynamic");
}

Test(golden_families, states_losses_gradients, .timeout = 300)
{
    static char name[MOST_FAMILIES][64];
    size_t n = list(name);
    cr_expect_geq(n, 29);
    for (size_t i = 0; i < n; i++) {
        struct family f;
        if (apart(name[i]))
            continue;
        open_family(&f, name[i]);
        check_states(&f);
        if (has(f.expected, "loss"))
            check_losses(&f);
        close_family(&f);
    }
}
