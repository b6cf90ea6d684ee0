/* PEFT's adapters on the models of tests/goldens/families: losses, gradients of what they train,
 * and the way back into a folder. */
#include <dirent.h>
#include <unistd.h>

#include "golden_model.h"
#include "io/file.h"
#include "io/json.h"
#include "winnow.h"

#define STATE_LIMIT    5e-5 /* largest difference, of the RMS */
#define LOSS_LIMIT     2e-5 /* relative */
#define GRADIENT_LIMIT 1e-4 /* of a tensor's norm */
#define GRADIENT_ZERO  1e-6 /* of the largest norm: mathematically nothing, compared absolutely */

enum { MOST = 64, MOST_ROWS = 16 };

struct adapter {
    char name[64], base[64];
    wn_model *model;
    wn_safetensors *expected, *rows;
    golden_batch source, batch; /* source: an encoder-decoder's encoder, T 0: none */
    uint32_t source_of[MOST_ROWS];
};

static bool has(const wn_safetensors *s, const char *name)
{
    return wn_safetensors_find(s, name) != NULL;
}

/* The family folder an adapter's config names. */
static void read_base(char base[64], const char *name)
{
    char path[GOLDEN_PATH];
    json_t *j = NULL;
    GOLDEN_OK(wn_json_load(&j, golden_path(path, "adapters/%s/adapter_config.json", name)));
    snprintf(base, 64, "%s", json_string_value(json_object_get(j, "base_model_name_or_path")));
    json_decref(j);
}

static void read_rows(struct adapter *a)
{
    golden_batch *g = &a->batch;
    size_t n, T;
    a->rows = golden_open(a->base);
    g->id = golden_i32(a->rows, &T, "ids");
    g->off = (uint32_t *)golden_i32(a->rows, &n, "off");
    g->b = (wn_batch){.B = n - 1, .T = T, .id = g->id, .off = g->off};
    if (has(a->rows, "label"))
        g->b.label = g->label = golden_i32(a->rows, NULL, "label");
    g->labels = g->label ? golden_supervised(g->label, T) : 0;
    if (!has(a->rows, "target"))
        return;
    a->source = *g;
    *g = (golden_batch){0};
    g->label = golden_i32(a->rows, &T, "target");
    g->off = (uint32_t *)golden_i32(a->rows, NULL, "target_off");
    g->id = golden_alloc(T, sizeof *g->id);
    for (size_t b = 0; b + 1 < n; b++) {
        a->source_of[b] = (uint32_t)b;
        for (uint32_t t = g->off[b]; t < g->off[b + 1]; t++)
            g->id[t] = t > g->off[b] ? g->label[t - 1] : wn_model_facts_of(a->model)->decoder_start;
    }
    g->labels = T;
    g->b = (wn_batch){.B = n - 1,
                      .T = T,
                      .id = g->id,
                      .off = g->off,
                      .label = g->label,
                      .source = &a->source.b,
                      .source_of = a->source_of};
}

/* The adapter NAME, from `folder` or, if that is NULL, from the goldens. */
static void open_adapter(struct adapter *a, const char *name, const char *folder)
{
    char on[GOLDEN_PATH], file[GOLDEN_PATH], rest[96];
    *a = (struct adapter){0};
    snprintf(a->name, sizeof a->name, "%s", name);
    read_base(a->base, name);
    const wn_model_opts o = {.precision = WN_PRECISION_F32,
                             .adapter = folder ? folder : golden_path(on, "adapters/%s", name)};
    GOLDEN_OK(wn_model_open(&a->model, golden_path(file, "%s", a->base), &o));
    wn_params *ps = wn_model_params(a->model);
    for (size_t i = 0; i < ps->n; i++)
        ps->p[i].trainable = ps->p[i].adapter;
    GOLDEN_OK(wn_params_make_grads(ps));
    snprintf(rest, sizeof rest, "adapters/%s", name);
    a->expected = golden_open(rest);
    read_rows(a);
}

static void close_adapter(struct adapter *a)
{
    wn_safetensors_close(a->expected);
    wn_safetensors_close(a->rows);
    wn_model_close(a->model);
}

static wn_work *make_work(const struct adapter *a)
{
    size_t T = a->batch.b.T > a->source.b.T ? a->batch.b.T : a->source.b.T,
           labels = a->batch.labels + 1;
    wn_work *w = NULL;
    GOLDEN_OK(wn_work_new(&w, a->model, T, a->batch.b.B, labels, a->batch.labels > 0));
    return w;
}

static double norm_of(const float *x, size_t n)
{
    double s = 0;
    for (size_t i = 0; i < n; i++)
        s += (double)x[i] * x[i];
    return sqrt(s);
}

static void check_gradients(const struct adapter *a)
{
    wn_params *ps = wn_model_params(a->model);
    size_t seen = 0, trained = 0;
    double largest = 0;
    for (size_t i = 0; i < ps->n; i++) {
        trained += ps->p[i].adapter;
        double n = ps->p[i].grad ? norm_of(ps->p[i].grad, ps->p[i].rows * ps->p[i].cols) : 0;
        largest = n > largest ? n : largest;
    }
    for (size_t i = 0; i < wn_safetensors_count(a->expected); i++) {
        const char *name = wn_safetensors_at(a->expected, i)->name;
        if (strncmp(name, "grad.", 5) != 0)
            continue;
        size_t n;
        float *want = golden_f32(a->expected, &n, "%s", name);
        const wn_param *p = wn_params_find(ps, name + 5);
        cr_assert(p, "%s: no parameter %s", a->name, name + 5);
        cr_assert(p->grad && p->rows * p->cols == n, "%s: %s", a->name, name + 5);
        seen++;
        if (norm_of(want, n) > GRADIENT_ZERO * largest) {
            GOLDEN_NEAR(p->grad, want, n, GRADIENT_LIMIT, "%s: %s", a->name, name);
            continue;
        }
        cr_expect_leq(norm_of(p->grad, n), GRADIENT_ZERO * largest, "%s: %s", a->name, name);
    }
    cr_expect_eq(seen, trained, "%s: %zu gradients of %zu", a->name, seen, trained);
}

static void check_losses(const struct adapter *a)
{
    float *want = golden_f32(a->expected, NULL, "nll");
    int32_t *tokens = golden_i32(a->expected, NULL, "count");
    float weight[MOST_ROWS];
    double nll[MOST_ROWS];
    uint32_t count[MOST_ROWS];
    size_t B = a->batch.b.B;
    wn_sink sink = wn_sink_train();
    wn_work *w = make_work(a);
    for (size_t i = 0; i < B; i++)
        weight[i] = 1.0F / (float)(B * (size_t)tokens[i]);
    for (int back = 0; back < 2; back++) {
        GOLDEN_OK(
            back ? wn_model_loss_back(a->model, w, &a->batch.b, weight, 0, 0, nll, count, &sink)
                 : wn_model_nll(a->model, w, &a->batch.b, nll, count));
        for (size_t b = 0; b < B; b++)
            cr_expect(fabs(nll[b] - want[b]) <= LOSS_LIMIT * want[b],
                      "%s: nll of row %zu: %.9g, expected %.9g", a->name, b, nll[b],
                      (double)want[b]);
    }
    check_gradients(a);
    wn_work_free(w);
}

static void check_states(const struct adapter *a)
{
    size_t n;
    float *want = golden_f32(a->expected, &n, "hidden.last"), *got = golden_alloc(n, sizeof *got);
    wn_work *w = make_work(a);
    GOLDEN_OK(wn_model_hidden(a->model, w, &a->batch.b, 0, got));
    GOLDEN_WORST(got, want, n, STATE_LIMIT, "%s", a->name);
    wn_work_free(w);
}

static void check(const char *name, const char *folder)
{
    struct adapter a;
    open_adapter(&a, name, folder);
    if (has(a.expected, "nll"))
        check_losses(&a);
    else
        check_states(&a);
    close_adapter(&a);
}

static size_t list(char name[MOST][64])
{
    char path[GOLDEN_PATH];
    size_t n = 0;
    DIR *d = opendir(golden_path(path, "adapters"));
    cr_assert(d, "%s is missing", path);
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.' && strncmp(e->d_name, "refused-", 8) != 0) {
            cr_assert_lt(n, MOST);
            snprintf(name[n++], 64, "%.60s", e->d_name);
        }
    closedir(d);
    return n;
}

Test(golden_adapters, losses_gradients_and_back_into_a_folder, .timeout = 120)
{
    static char name[MOST][64];
    char scratch[] = "/tmp/winnow-adapters-XXXXXX";
    cr_assert(mkdtemp(scratch));
    size_t n = list(name);
    cr_expect_geq(n, 28);
    for (size_t i = 0; i < n; i++) {
        struct adapter a;
        check(name[i], NULL);
        open_adapter(&a, name[i], NULL);
        GOLDEN_OK(wn_model_save_adapter(a.model, scratch, a.base));
        close_adapter(&a);
        check(name[i], scratch);
    }
    GOLDEN_OK(wn_remove_tree(scratch));
}

/* ---- what a written config says ---- */

static json_t *saved_config(wn_model *m)
{
    char scratch[] = "/tmp/winnow-adapters-XXXXXX", path[GOLDEN_PATH];
    json_t *j = NULL;
    cr_assert(mkdtemp(scratch));
    GOLDEN_OK(wn_model_save_adapter(m, scratch, "base"));
    snprintf(path, sizeof path, "%s/adapter_config.json", scratch);
    GOLDEN_OK(wn_json_load(&j, path));
    GOLDEN_OK(wn_remove_tree(scratch));
    return j;
}

static const char *list_text(const json_t *j, const char *key)
{
    static char text[256];
    size_t i, n = 0;
    json_t *v;
    text[0] = '\0';
    json_array_foreach(json_object_get(j, key), i, v) n +=
        (size_t)snprintf(text + n, sizeof text - n, "%s%s", n ? " " : "", json_string_value(v));
    return text;
}

static wn_model *with_ia3(const char *base, const char *targets, const char *feedforward)
{
    char file[GOLDEN_PATH];
    wn_model *m = NULL;
    const wn_model_opts o = {.precision = WN_PRECISION_F32};
    GOLDEN_OK(wn_model_open(&m, golden_path(file, "families/%s", base), &o));
    GOLDEN_OK(wn_model_add_ia3(m, &(wn_ia3_opts){targets, feedforward}));
    return m;
}

Test(golden_adapters, usual_ia3_targets)
{
    static const struct {
        const char *base, *targets, *feedforward;
        size_t numbers;
    } cases[] = {
        {"mistral", "k_proj v_proj down_proj", "down_proj", 2 * (12 + 12 + 22)},
        {"gpt2", "c_attn mlp.c_proj", "mlp.c_proj", 2 * (60 + 22)},
        {"gpt-neox", "query_key_value dense_4h_to_h", "dense_4h_to_h", 2 * (72 + 22)},
        {"t5-v1.1", "k v wo", "wo", 2 * (15 + 15 + 22) + 2 * (4 * 15 + 22)},
        {"roberta", "key value 0.output.dense 1.output.dense", "0.output.dense 1.output.dense",
         2 * (20 + 20 + 22)},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        wn_model *m = with_ia3(cases[i].base, NULL, NULL);
        json_t *j = saved_config(m);
        cr_expect_str_eq(json_string_value(json_object_get(j, "peft_type")), "IA3");
        cr_expect_str_eq(list_text(j, "target_modules"), cases[i].targets);
        cr_expect_str_eq(list_text(j, "feedforward_modules"), cases[i].feedforward);
        cr_expect_eq(wn_params_trainable(wn_model_params(m)), cases[i].numbers, "%s: %llu",
                     cases[i].base, (unsigned long long)wn_params_trainable(wn_model_params(m)));
        json_decref(j);
        wn_model_close(m);
    }
}

Test(golden_adapters, given_ia3_targets)
{
    wn_model *m = with_ia3("mistral", "q_proj,mlp.up_proj,down_proj", "up_proj");
    json_t *j = saved_config(m);
    cr_expect_str_eq(list_text(j, "target_modules"), "q_proj up_proj down_proj");
    cr_expect_str_eq(list_text(j, "feedforward_modules"), "up_proj");
    json_decref(j);
    wn_model_close(m);
}

Test(golden_adapters, wrong_ia3_targets)
{
    static const struct {
        wn_ia3_opts o;
        const char *says;
    } cases[] = {{{"k_proj,kproj", NULL}, "\"kproj\": no such linear layer"},
                 {{NULL, "o_proj"}, "self_attn.o_proj: expected one of the targets"},
                 {{"k_proj", "down_proj"}, "mlp.down_proj: expected one of the targets"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char file[GOLDEN_PATH];
        wn_model *m = NULL;
        GOLDEN_OK(wn_model_open(&m, golden_path(file, "families/mistral"), NULL));
        cr_expect_eq(wn_model_add_ia3(m, &cases[i].o), WN_EARG);
        cr_expect(strstr(wn_error_message(), cases[i].says), "%s", wn_error_message());
        wn_model_close(m);
    }
}

/* Vectors of ones change nothing, not a bit. */
Test(golden_adapters, fresh_ia3_is_the_base)
{
    static const char *const bases[] = {"families/qwen2", "families/gpt-neox"};
    for (size_t i = 0; i < 2; i++) {
        wn_safetensors *s = golden_open(bases[i]);
        double nll[2][MOST_ROWS];
        uint32_t count[MOST_ROWS];
        size_t T, n;
        wn_batch b = {.id = golden_i32(s, &T, "ids"),
                      .off = (uint32_t *)golden_i32(s, &n, "off"),
                      .label = golden_i32(s, NULL, "label")};
        b.T = T;
        b.B = n - 1;
        for (int on = 0; on < 2; on++) {
            wn_model *m = golden_model(bases[i], false, NULL);
            wn_work *w = NULL;
            if (on)
                GOLDEN_OK(wn_model_add_ia3(m, &(wn_ia3_opts){0}));
            GOLDEN_OK(wn_work_new(&w, m, T, b.B, T, false));
            GOLDEN_OK(wn_model_nll(m, w, &b, nll[on], count));
            wn_work_free(w);
            wn_model_close(m);
        }
        cr_expect_arr_eq(nll[0], nll[1], b.B * sizeof(double));
        wn_safetensors_close(s);
    }
}

/* ---- merged ---- */

static void merge_into(char out[GOLDEN_PATH], const char *scratch, const char *name,
                       uint64_t shard_bytes)
{
    char base[64], model[GOLDEN_PATH], adapter[GOLDEN_PATH];
    read_base(base, name);
    snprintf(out, GOLDEN_PATH, "%s/%s", scratch, name);
    GOLDEN_OK(wn_merge_job(&(wn_merge_opts){.common = {.out = out},
                                            .model = golden_path(model, "%s", base),
                                            .adapter = golden_path(adapter, "adapters/%s", name),
                                            .save_dtype = "f32",
                                            .shard_bytes = shard_bytes}));
}

static void check_merged(const char *name, const char *out)
{
    struct adapter a;
    wn_model *m = NULL;
    const wn_model_opts o = {.precision = WN_PRECISION_F32};
    open_adapter(&a, name, NULL); /* for its rows */
    GOLDEN_OK(wn_model_open(&m, out, &o));
    wn_model_close(a.model);
    a.model = m;
    wn_work *w = make_work(&a);
    if (has(a.expected, "merged.nll")) {
        float *want = golden_f32(a.expected, NULL, "merged.nll");
        double nll[MOST_ROWS];
        uint32_t count[MOST_ROWS];
        GOLDEN_OK(wn_model_nll(m, w, &a.batch.b, nll, count));
        for (size_t b = 0; b < a.batch.b.B; b++)
            cr_expect(fabs(nll[b] - want[b]) <= LOSS_LIMIT * want[b],
                      "%s: merged nll of row %zu: %.9g, expected %.9g", name, b, nll[b],
                      (double)want[b]);
    } else {
        size_t n;
        float *want = golden_f32(a.expected, &n, "merged.hidden.last"),
              *got = golden_alloc(n, sizeof *got);
        GOLDEN_OK(wn_model_hidden(m, w, &a.batch.b, 0, got));
        GOLDEN_WORST(got, want, n, STATE_LIMIT, "%s: merged", name);
    }
    wn_work_free(w);
    close_adapter(&a);
}

Test(golden_adapters, merged_as_peft_does, .timeout = 120)
{
    static char name[MOST][64];
    char scratch[] = "/tmp/winnow-adapters-XXXXXX", out[GOLDEN_PATH];
    cr_assert(mkdtemp(scratch));
    size_t n = list(name);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(name[i], "lora-output-tied") == 0)
            continue;
        merge_into(out, scratch, name[i], 0);
        check_merged(name[i], out);
        GOLDEN_OK(wn_remove_tree(out));
    }
    GOLDEN_OK(wn_remove_tree(scratch));
}

/* An adapter on an output matrix that is the embedding too cannot become part of it. */
Test(golden_adapters, tied_output_is_not_merged)
{
    char model[GOLDEN_PATH], adapter[GOLDEN_PATH], scratch[] = "/tmp/winnow-adapters-XXXXXX",
                                                   out[GOLDEN_PATH];
    cr_assert(mkdtemp(scratch));
    snprintf(out, sizeof out, "%s/merged", scratch);
    const wn_merge_opts o = {.common = {.out = out},
                             .model = golden_path(model, "families/gpt2"),
                             .adapter = golden_path(adapter, "adapters/lora-output-tied"),
                             .save_dtype = "f32"};
    cr_expect_eq(wn_merge_job(&o), WN_EARG);
    cr_expect(strstr(wn_error_message(), "lm_head, whose weight is the embedding's too"), "%s",
              wn_error_message());
    cr_expect(!wn_file_exists(out));
    GOLDEN_OK(wn_remove_tree(scratch));
}

/* The same weights in many files, with an index that says where. */
Test(golden_adapters, merged_in_shards)
{
    char scratch[] = "/tmp/winnow-adapters-XXXXXX", out[GOLDEN_PATH], path[GOLDEN_PATH + 64];
    json_t *j = NULL;
    cr_assert(mkdtemp(scratch));
    merge_into(out, scratch, "lora-rslora", 10000);
    snprintf(path, sizeof path, "%s/model.safetensors.index.json", out);
    GOLDEN_OK(wn_json_load(&j, path));
    wn_safetensors *s = NULL;
    uint64_t bytes = 0;
    GOLDEN_OK(wn_safetensors_open(&s, out));
    for (size_t i = 0; i < wn_safetensors_count(s); i++)
        bytes += wn_safetensors_at(s, i)->bytes;
    cr_expect_eq(
        (uint64_t)json_integer_value(json_object_get(json_object_get(j, "metadata"), "total_size")),
        bytes);
    cr_expect_eq(json_object_size(json_object_get(j, "weight_map")), wn_safetensors_count(s));
    snprintf(path, sizeof path, "%s/model.safetensors", out);
    cr_expect(!wn_file_exists(path));
    wn_safetensors_close(s);
    json_decref(j);
    check_merged("lora-rslora", out);
    GOLDEN_OK(wn_remove_tree(scratch));
}

/* ---- what is refused ---- */

Test(golden_adapters, refused)
{
    static const struct {
        const char *name, *base, *says;
    } cases[] = {
        {"refused-dora", "gpt-neox", "use_dora is not supported"},
        {"refused-saved-modules", "gpt-neox", "modules_to_save is not supported"},
        {"refused-pissa", "gpt-neox", "init_lora_weights \"pissa\""},
        {"refused-prefix", "gpt-neox", "peft_type PREFIX_TUNING is not supported"},
        {"lora-gpt-neox", "gpt2", "the model has no such layer"},
        {"ia3-mistral", "qwen3", "expected shape [20, 1]"},
        {"lora-bias-all", "gpt-neo", "the model has no such layer"},
        {"lora-output", "llama-linear", "lm_head.base_layer.weight differs from the model's own"},
        {"lora-opt-projections", "opt", "the model has no such layer"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char file[GOLDEN_PATH], on[GOLDEN_PATH];
        wn_model *m = NULL;
        const wn_model_opts o = {.adapter = golden_path(on, "adapters/%s", cases[i].name)};
        cr_expect_eq(wn_model_open(&m, golden_path(file, "families/%s", cases[i].base), &o),
                     WN_EFORMAT, "%s on %s", cases[i].name, cases[i].base);
        cr_expect(strstr(wn_error_message(), cases[i].says), "%s: %s", cases[i].name,
                  wn_error_message());
        cr_expect_null(m);
    }
}

/* The copy of the output matrix that lies beside an adapter on it, as `edit` makes it. */
static void copy_refused(const char *scratch, void (*edit)(wn_tensor *), const char *says)
{
    char from[GOLDEN_PATH], to[GOLDEN_PATH], base[64];
    wn_tensor t[MOST];
    wn_safetensors *s;
    wn_model *m = NULL;
    char *config;
    size_t len;
    read_base(base, "lora-output");
    GOLDEN_OK(wn_file_read(&config, &len,
                           golden_path(from, "adapters/lora-output/adapter_config.json"), 1 << 20));
    snprintf(to, sizeof to, "%s/adapter_config.json", scratch);
    GOLDEN_OK(wn_file_write(to, config, len));
    golden_path(from, "adapters/lora-output/adapter_model.safetensors");
    GOLDEN_OK(wn_safetensors_open(&s, from));
    size_t n = wn_safetensors_count(s), copies = 0;
    for (size_t i = 0; i < n; i++) {
        t[i] = *wn_safetensors_at(s, i);
        if (strstr(t[i].name, "lm_head.base_layer.weight")) {
            edit(&t[i]);
            copies++;
        }
    }
    cr_assert_eq(copies, 1);
    snprintf(to, sizeof to, "%s/adapter_model.safetensors", scratch);
    GOLDEN_OK(wn_safetensors_write(to, t, n, NULL));
    const wn_model_opts o = {.adapter = scratch};
    wn_err e = wn_model_open(&m, golden_path(from, "%s", base), &o);
    cr_expect_eq(e, says ? WN_EFORMAT : WN_OK, "%s", wn_error_message());
    cr_expect(!says || strstr(wn_error_message(), says), "%s", wn_error_message());
    wn_model_close(m);
    wn_safetensors_close(s);
    wn_free(config);
}

static void as_it_is(wn_tensor *t)
{
    (void)t;
}

static void a_row_short(wn_tensor *t)
{
    t->bytes -= t->bytes / t->dim[0];
    t->dim[0]--;
}

static void turned(wn_tensor *t)
{
    uint64_t rows = t->dim[0];
    t->dim[0] = t->dim[1];
    t->dim[1] = rows;
}

static void a_number_off(wn_tensor *t)
{
    static float copy[1 << 16];
    cr_assert(t->dtype == WN_F32 && t->bytes <= sizeof copy);
    memcpy(copy, t->data, t->bytes);
    copy[t->dim[0] * t->dim[1] - 1] += 0.5f;
    t->data = (const char *)copy;
}

Test(golden_adapters, a_copy_of_the_output_matrix)
{
    char scratch[] = "/tmp/winnow-adapters-XXXXXX";
    cr_assert(mkdtemp(scratch));
    copy_refused(scratch, as_it_is, NULL);
    copy_refused(scratch, a_row_short, "lm_head.base_layer.weight: expected shape [");
    copy_refused(scratch, turned, "lm_head.base_layer.weight: expected shape [");
    copy_refused(scratch, a_number_off, "lm_head.base_layer.weight differs from the model's own");
    GOLDEN_OK(wn_remove_tree(scratch));
}
