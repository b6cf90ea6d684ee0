/* Single examples' gradients: equal to autograd's, add up to the batch's, do not know of each
 * other, and are projected as the projection says. */
#include "base/par.h"
#include "base/rng.h"
#include "feature/grad.h"
#include "golden_model.h"

/* ---- running a batch ---- */

typedef struct taken {
    size_t B, d;
    float *row; /* [B, d] */
    double *nll, *margin;
    uint32_t *count;
} taken;

/* Gradients of a batch's rows, of the mean over each row's labels. */
static taken take(wn_model *m, const wn_batch *b, size_t labels, wn_quantity q,
                  const wn_grad_sink_opts *how)
{
    taken t = {.B = b->B};
    wn_work *w = NULL;
    wn_grad_sink *s = NULL;
    wn_grad_sink_opts o = *how;
    size_t T = b->source && b->source->T > b->T ? b->source->T : b->T;
    o.params = wn_model_params(m);
    o.max_examples = b->B;
    o.max_tokens = T;
    o.width = wn_model_facts_of(m)->width;
    GOLDEN_OK(wn_work_new(&w, m, T, b->B, labels, WN_WORK_EXAMPLES));
    GOLDEN_OK(wn_grad_sink_new(&s, &o));
    t.d = wn_grad_sink_dim(s);
    t.row = golden_alloc(b->B * t.d, sizeof *t.row);
    t.nll = golden_alloc(b->B, sizeof *t.nll);
    t.margin = golden_alloc(b->B, sizeof *t.margin);
    t.count = golden_alloc(b->B, sizeof *t.count);
    float *weight = golden_alloc(b->B, sizeof *weight);
    for (size_t i = 0; i < b->B; i++) {
        size_t n = golden_supervised(b->label + b->off[i], b->off[i + 1] - b->off[i]);
        weight[i] = 1.0f / (float)n;
    }
    wn_sink calls = wn_grad_sink_calls(s);
    wn_grad_sink_begin(s, b->B);
    GOLDEN_OK(wn_model_example_back(m, w, b, q, weight, t.nll, t.margin, t.count, &calls));
    wn_grad_sink_finish(s);
    for (size_t i = 0; i < b->B; i++)
        wn_grad_sink_row(s, i, t.row + i * t.d);
    wn_grad_sink_free(s);
    wn_work_free(w);
    return t;
}

static wn_model *open_model(const char *folder, const char *adapter)
{
    char path[GOLDEN_PATH], on[GOLDEN_PATH];
    wn_model *m = NULL;
    wn_model_opts o = {.precision = WN_PRECISION_F32};
    if (adapter)
        o.adapter = golden_path(on, "%s/%s", folder, adapter);
    GOLDEN_OK(wn_model_open(&m, golden_path(path, "%s", folder), &o));
    return m;
}

/* ---- autograd ---- */

typedef struct reference {
    const char *name, *folder, *prefix;
} reference;
static const reference references[] = {
    {"llama", "models/llama-tiny", "batch.0."},
    {"gpt2", "families/gpt2", ""},
    {"t5", "families/t5-v1.0", ""},
    {"mt5", "families/mt5", ""},
    {"gemma2", "families/gemma2", ""},
    {"gemma3", "families/gemma3-text", ""},
};
enum { REFERENCES = sizeof references / sizeof *references };

static wn_safetensors *gradients_file(void)
{
    char path[GOLDEN_PATH];
    wn_safetensors *s = NULL;
    GOLDEN_OK(wn_safetensors_open(&s, golden_path(path, "gradients.safetensors")));
    return s;
}

typedef struct two_sides {
    wn_batch b, source;
    size_t labels;
} two_sides;

/* The reference's batch with the labels of gradients.safetensors. */
static void reference_batch(two_sides *t, const reference *r, const wn_model *m,
                            const wn_safetensors *want)
{
    wn_safetensors *e = golden_open(r->folder);
    size_t n, T;
    *t = (two_sides){0};
    int32_t *label = golden_i32(want, &T, "%s.label", r->name);
    int32_t *id = golden_i32(e, &n, "%sids", r->prefix);
    uint32_t *off = (uint32_t *)golden_i32(e, NULL, "%soff", r->prefix);
    const wn_tensor *offs = golden_find(e, *r->prefix ? "batch.0.off" : "off");
    t->b = (wn_batch){.B = wn_tensor_count(offs) - 1, .T = n, .id = id, .off = off, .label = label};
    t->labels = golden_supervised(label, T);
    if (wn_model_facts_of(m)->shape != WN_SHAPE_ENCDEC) {
        wn_safetensors_close(e);
        return;
    }
    int32_t *target = golden_i32(e, NULL, "target"), *start = golden_alloc(T, sizeof *start);
    uint32_t *to = (uint32_t *)golden_i32(e, NULL, "target_off"),
             *of = golden_alloc(t->b.B, sizeof *of);
    for (size_t b = 0; b < t->b.B; b++) {
        of[b] = (uint32_t)b;
        start[to[b]] = wn_model_facts_of(m)->decoder_start;
        for (uint32_t i = to[b]; i + 1 < to[b + 1]; i++)
            start[i + 1] = target[i];
    }
    t->source = t->b;
    t->source.label = NULL;
    t->b = (wn_batch){.B = t->b.B,
                      .T = T,
                      .id = start,
                      .off = to,
                      .label = label,
                      .source = &t->source,
                      .source_of = of};
    wn_safetensors_close(e);
}

static const wn_quantity quantities[] = {WN_LOSS, WN_MARGIN, WN_MARGIN_REF};

/* One example's gradient by every parameter. */
static void check_tensors(const reference *r, const wn_chosen *c, const float *row,
                          const wn_safetensors *want)
{
    size_t found = 0;
    for (size_t i = 0; i < c->n; i++) {
        size_t n;
        float *g = golden_f32(want, &n, "%s.grad.%s", r->name, c->param[i]->name);
        cr_assert_eq(n, c->at[i + 1] - c->at[i], "%s", c->param[i]->name);
        GOLDEN_NEAR(row + c->at[i], g, n, 5e-5, "%s %s", r->name, c->param[i]->name);
        found += n;
    }
    cr_assert_eq(found, c->p);
}

static void check_reference(const reference *r, const wn_safetensors *want)
{
    wn_model *m = open_model(r->folder, NULL);
    wn_chosen c;
    two_sides t;
    size_t n, values;
    GOLDEN_OK(wn_choose(&c, m, "all"));
    reference_batch(&t, r, m, want);
    float *gram = golden_f32(want, &n, "%s.gram", r->name);
    float *value = golden_f32(want, &values, "%s.value", r->name);
    size_t B = t.b.B, all = 3 * B;
    cr_assert(n == all * all && values == all);
    taken got[3];
    for (int q = 0; q < 3; q++) {
        got[q] = take(m, &t.b, t.labels, quantities[q], &(wn_grad_sink_opts){.chosen = &c});
        cr_assert_eq(got[q].d, c.p);
        for (size_t b = 0; b < B; b++) {
            double v = (q ? got[q].margin[b] : got[q].nll[b]) / got[q].count[b];
            cr_expect_float_eq(v, value[(size_t)q * B + b], 2e-5 * (1 + fabs(v)),
                               "%s quantity %d row %zu: %g, not %g", r->name, q, b, v,
                               value[(size_t)q * B + b]);
        }
    }
    check_tensors(r, &c, got[1].row + 2 * c.p, want);
    for (size_t i = 0; i < all; i++)
        for (size_t k = 0; k < all; k++) {
            double dot = wn_dot64(got[i / B].row + i % B * c.p, got[k / B].row + k % B * c.p, c.p);
            double scale = sqrt((double)gram[i * all + i] * gram[k * all + k]);
            cr_expect(fabs(dot - gram[i * all + k]) <= 3e-5 * scale,
                      "%s: inner product of %zu and %zu: %.9g, not %.9g", r->name, i, k, dot,
                      gram[i * all + k]);
        }
    wn_chosen_free(&c);
    wn_model_close(m);
}

Test(grad, equal_autograd)
{
    wn_safetensors *want = gradients_file();
    for (int i = 0; i < REFERENCES; i++)
        check_reference(&references[i], want);
    wn_safetensors_close(want);
}

/* With one label a row the clipped margin and its gradient are known from the exact one's; the
 * final norm is made large so that some labels are near certain. */
Test(grad, clipped_margins)
{
    wn_safetensors *want = gradients_file();
    wn_model *m = open_model("models/llama-tiny", NULL);
    wn_chosen c;
    two_sides t;
    int seen[3] = {0};
    GOLDEN_OK(wn_choose(&c, m, "all"));
    wn_param *norm = wn_params_find(wn_model_params(m), "model.norm.weight");
    wn_scale(norm->value, 6, norm->rows);
    reference_batch(&t, &references[0], m, want);
    for (size_t keep = 0; keep < 6; keep++) {
        int32_t *label = golden_alloc(t.b.T, sizeof *label);
        memset(label, -1, t.b.T * sizeof *label);
        for (size_t b = 0; b < t.b.B; b++) {
            size_t n = t.b.off[b + 1] - t.b.off[b], at = t.b.off[b] + keep % n;
            label[at] = t.b.label[at] >= 0 ? t.b.label[at] : t.b.id[at];
        }
        wn_batch one = t.b;
        one.label = label;
        const wn_grad_sink_opts raw = {.chosen = &c};
        taken exact = take(m, &one, one.B, WN_MARGIN, &raw);
        for (int kind = 0; kind < 2; kind++) {
            taken got = take(m, &one, one.B, kind ? WN_MARGIN_REF_COT : WN_MARGIN_REF, &raw);
            for (size_t b = 0; b < one.B; b++) {
                double p = 1 / (1 + exp(-exact.margin[b])), q = p, value, factor;
                q += kind ? -0.001 : p > 0.9 ? -0.01 : p < 0.001 ? 0.01 : 0;
                seen[p > 0.9 ? 2 : p < 0.001 ? 0 : 1]++;
                value = kind ? log(q / (1 - q + 1e-10)) : log(q / (1 - q));
                factor = p * (1 - p) * (kind ? 1 / q + 1 / (1 - q + 1e-10) : 1 / (q * (1 - q)));
                cr_expect(isnan(value) ? isnan(got.margin[b])
                                       : fabs(value - got.margin[b]) < 1e-4 * (1 + fabs(value)),
                          "p %g: clipped margin %g, not %g", p, got.margin[b], value);
                wn_scale(exact.row + b * c.p, (float)factor, c.p);
                if (!isnan(value))
                    GOLDEN_NEAR(got.row + b * c.p, exact.row + b * c.p, c.p, 1e-4, "p %g", p);
                wn_scale(exact.row + b * c.p, (float)(1 / factor), c.p);
            }
        }
    }
    cr_expect(seen[0] && seen[1] && seen[2], "labels of p below, between, above: %d %d %d", seen[0],
              seen[1], seen[2]);
    wn_chosen_free(&c);
    wn_model_close(m);
    wn_safetensors_close(want);
}

/* ---- the batch's gradient ---- */

/* bf16: where training rounds a gradient's two matrices, so do examples. */
static void check_sum_of(wn_model *m, const char *folder, const char *what, bool bf16)
{
    wn_params *ps = wn_model_params(m);
    wn_safetensors *e = golden_open(folder);
    golden_batch g = golden_rows_of(e, 0, 9);
    wn_chosen c;
    GOLDEN_OK(wn_choose(&c, m, what));
    GOLDEN_OK(wn_params_make_grads(ps));
    for (size_t i = 0; i < ps->n; i++)
        ps->p[i].bf16 = bf16;
    taken t = take(m, &g.b, g.labels, WN_LOSS, &(wn_grad_sink_opts){.chosen = &c});
    float weight[9];
    for (size_t i = 0; i < 9; i++)
        weight[i] = 1.0f / (float)golden_supervised(g.label + g.off[i], g.off[i + 1] - g.off[i]);
    double nll[9];
    uint32_t count[9];
    wn_sink sink = wn_sink_train();
    wn_work *w = golden_work(m, &g, true);
    GOLDEN_OK(wn_model_loss_back(m, w, &g.b, weight, 0, 0, nll, count, &sink));
    cr_expect(!memcmp(nll, t.nll, sizeof nll), "losses of both passes");
    float *sum = golden_alloc(c.p, sizeof *sum);
    for (size_t i = 0; i < 9; i++)
        wn_add(sum, t.row + i * c.p, c.p);
    for (size_t i = 0; i < c.n; i++)
        GOLDEN_NEAR(sum + c.at[i], c.param[i]->grad, c.at[i + 1] - c.at[i], bf16 ? 1e-4 : 1e-5,
                    "%s %s", folder, c.param[i]->name);
    wn_work_free(w);
    wn_safetensors_close(e);
    wn_chosen_free(&c);
    wn_model_close(m);
}

static void check_sum(const char *folder, const char *adapter, bool bf16)
{
    check_sum_of(golden_model(folder, !adapter, adapter), folder, adapter ? "lora" : "all", bf16);
}

/* An adapter on the output matrix, too. */
static wn_model *with_output_adapter(wn_model *m)
{
    GOLDEN_OK(wn_model_add_lora(m, &(wn_lora_opts){.rank = 2, .targets = "lm_head,v_proj"}));
    wn_params *ps = wn_model_params(m);
    for (size_t i = 0; i < ps->n; i++)
        for (size_t k = 0; ps->p[i].adapter && k < ps->p[i].rows * ps->p[i].cols; k++)
            ps->p[i].value[k] = 0.3f * sinf((float)(3 * k * k + i));
    return m;
}

Test(grad, examples_of_an_output_adapter_add_up)
{
    static const char *const folders[] = {"models/llama-tiny", "models/llama-untied"};
    for (size_t i = 0; i < 2; i++)
        check_sum_of(with_output_adapter(golden_model(folders[i], false, NULL)), folders[i], "lora",
                     false);
}

/* Rows' logits are all kept then, or a matrix would be made of one tile's positions alone. */
Test(grad, an_output_adapter_keeps_all_logits)
{
    static const char config[] =
        "{\"model_type\": \"llama\", \"hidden_size\": 8, \"num_hidden_layers\": 1, "
        "\"num_attention_heads\": 2, \"intermediate_size\": 8, \"vocab_size\": 200000, "
        "\"max_position_embeddings\": 64, \"rms_norm_eps\": 1e-5}";
    static const char *const what[] = {"lora", "v_proj.lora_A", "lm_head", "embed_tokens"};
    json_t *j = json_loads(config, 0, NULL);
    wn_model *m = NULL;
    GOLDEN_OK(wn_model_make_up(&m, j, "here", 0, &(wn_model_opts){.precision = WN_PRECISION_F32}));
    with_output_adapter(m);
    for (size_t i = 0; i < sizeof what / sizeof *what; i++) {
        wn_chosen c;
        const wn_feed feed = {.longest = 60, .most_labels = 60};
        GOLDEN_OK(wn_choose(&c, m, what[i]));
        size_t bytes = wn_grad_bytes(
            m, &feed, &(wn_grad_rule){.batch_tokens = 60},
            &(wn_grad_sink_opts){.chosen = &c, .projection = &(wn_projection){.d = 9}});
        bool all = bytes > 60 * 200000 * sizeof(float);
        cr_expect_eq(all, i % 2 == 0, "%s: %zu bytes", what[i], bytes);
        wn_chosen_free(&c);
    }
    wn_model_close(m);
    json_decref(j);
}

Test(grad, examples_add_up)
{
    for (int bf16 = 0; bf16 < 2; bf16++) {
        check_sum("models/llama-tiny", NULL, bf16);
        check_sum("models/llama-untied", NULL, bf16);
        check_sum("models/llama-tiny", "adapter", bf16);
    }
}

/* ---- independence ---- */

static const wn_projection_kind kinds[] = {WN_PROJECT_RADEMACHER, WN_PROJECT_MT19937,
                                           WN_PROJECT_KRON};

static void check_same(const char *folder, const char *adapter, wn_projection_kind kind)
{
    wn_model *m = open_model(folder, adapter);
    wn_safetensors *e = golden_open(folder);
    golden_batch g = golden_rows_of(e, 0, 9);
    wn_chosen c;
    wn_projection P;
    GOLDEN_OK(wn_choose(&c, m, adapter ? "lora" : "all"));
    GOLDEN_OK(wn_projection_init(&P, kind, 36, 4, &c, 0));
    const wn_grad_sink_opts o = {.chosen = &c, .projection = &P};
    taken all = take(m, &g.b, g.labels, WN_MARGIN, &o);
    static const int threads[] = {1, 3};
    for (int i = 0; i < 2; i++) {
        wn_par_set_threads(threads[i]);
        taken t = take(m, &g.b, g.labels, WN_MARGIN, &o);
        cr_expect(!memcmp(t.row, all.row, 9 * t.d * sizeof *t.row), "%s %s: %d threads", folder,
                  wn_projection_name(kind), threads[i]);
    }
    wn_par_set_threads(0);
    for (size_t s = 0; s < 9; s += 4) {
        golden_batch one = golden_segment(&g, s);
        taken t = take(m, &one.b, one.labels, WN_MARGIN, &o);
        cr_expect(!memcmp(t.row, all.row + s * t.d, t.d * sizeof *t.row), "%s %s: row %zu alone",
                  folder, wn_projection_name(kind), s);
        cr_expect(t.nll[0] == all.nll[s] && t.margin[0] == all.margin[s]);
    }
    wn_projection_free(&P);
    wn_chosen_free(&c);
    wn_safetensors_close(e);
    wn_model_close(m);
}

Test(grad, rows_are_independent_of_batch_and_threads)
{
    check_same("models/llama-untied", NULL, WN_PROJECT_RADEMACHER);
    for (int k = 0; k < 3; k++) {
        check_same("models/llama-tiny", NULL, kinds[k]);
        check_same("models/llama-tiny", "adapter", kinds[k]);
    }
}

/* ---- the sink on matrices of any shape, against plain sums ---- */

typedef struct toy {
    wn_params ps;
    wn_param
        p[5]; /* table [V, D] with a tied output, matrix [N, K], its bias, a gain, a bias table */
    wn_chosen c;
    wn_param *chosen[5];
    uint64_t at[6];
} toy;
enum { TV = 90, TD = 40, TN = 70, TK = 600, TB = 19, TT = 57, TABLE = 12 };

static void toy_init(toy *t)
{
    static const wn_param shapes[] = {{.rows = TV, .cols = TD, .use = WN_PARAM_LOOKUP},
                                      {.rows = TN, .cols = TK},
                                      {.rows = TN, .cols = 1},
                                      {.rows = TD, .cols = 1},
                                      {.rows = 4, .cols = 3, .use = WN_PARAM_BIAS_TABLE}};
    memcpy(t->p, shapes, sizeof shapes);
    t->ps = (wn_params){.p = t->p, .n = 5};
    t->c = (wn_chosen){.n = 5, .param = t->chosen, .at = t->at};
    t->at[0] = 0;
    for (int i = 0; i < 5; i++) {
        t->chosen[i] = &t->p[i];
        t->at[i + 1] = t->at[i] + t->p[i].rows * t->p[i].cols;
    }
    t->c.p = t->at[5];
}

static float *random_floats(uint64_t seed, size_t n)
{
    float *x = golden_alloc(n, sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)wn_rng_normal(seed, WN_STREAM_TEST, i);
    return x;
}

typedef struct feedback { /* what a backward pass hands over */
    float *dy, *x, *dx, *dlogits, *state, *table;
    int32_t id[2][TT];
    uint32_t off[TB + 1];
} feedback;

static void feedback_init(feedback *f)
{
    f->dy = random_floats(1, TT * TN);
    f->x = random_floats(2, TT * TK);
    f->dx = random_floats(3, 2 * TT * TD);
    f->dlogits = random_floats(4, TT * TV);
    f->state = random_floats(5, TT * TD);
    f->table = random_floats(6, TB * TABLE);
    for (uint32_t b = 0; b <= TB; b++)
        f->off[b] = b * 3;
    for (uint64_t i = 0; i < 2 * TT; i++)
        f->id[i / TT][i % TT] = (int32_t)(wn_rng_u64(7, WN_STREAM_TEST, i) % 20 * 4);
}

/* All of it to the sink, twice where a table is used twice. */
static float *toy_rows(toy *t, const feedback *f, const wn_projection *P, float *const *m,
                       float *const *v)
{
    wn_grad_sink *s = NULL;
    const wn_grad_sink_opts o = {.params = &t->ps,
                                 .chosen = &t->c,
                                 .projection = P,
                                 .m = m,
                                 .v = v,
                                 .max_examples = TB,
                                 .max_tokens = TT,
                                 .width = TD};
    GOLDEN_OK(wn_grad_sink_new(&s, &o));
    wn_sink k = wn_grad_sink_calls(s);
    wn_seg seg = {TB, f->off, 0};
    wn_grad_sink_begin(s, TB);
    k.linear(k.ctx, &t->p[0], NULL, 1, f->dlogits, TV, f->state, TD, TV, TD, &seg);
    k.linear(k.ctx, &t->p[1], &t->p[2], 0.5f, f->dy, TN, f->x, TK, TN, TK, &seg);
    k.scale(k.ctx, &t->p[3], f->state, TD, f->dx, TD, TD, &seg);
    for (size_t b = 0; b < TB; b++)
        k.table(k.ctx, &t->p[4], f->table + b * TABLE, TABLE, b);
    k.embed(k.ctx, &t->p[0], f->dx, f->id[0], TD, &seg);
    k.embed(k.ctx, &t->p[0], f->dx + TT * TD, f->id[1], TD, &seg);
    wn_grad_sink_finish(s);
    size_t d = wn_grad_sink_dim(s);
    float *rows = golden_alloc(TB * d, sizeof *rows);
    for (size_t b = 0; b < TB; b++)
        wn_grad_sink_row(s, b, rows + b * d);
    wn_grad_sink_free(s);
    return rows;
}

/* One example's gradient by plain loops. */
static void plain_row(double *g, const toy *t, const feedback *f, size_t b)
{
    memset(g, 0, t->c.p * sizeof *g);
    for (uint32_t i = f->off[b]; i < f->off[b + 1]; i++) {
        for (size_t n = 0; n < TV * TD; n++)
            g[n] += (double)f->dlogits[i * TV + n / TD] * f->state[i * TD + n % TD];
        for (size_t n = 0; n < TN * TK; n++)
            g[t->at[1] + n] += 0.5 * f->dy[i * TN + n / TK] * f->x[i * TK + n % TK];
        for (size_t n = 0; n < TN; n++)
            g[t->at[2] + n] += 0.5 * f->dy[i * TN + n];
        for (size_t n = 0; n < TD; n++)
            g[t->at[3] + n] += (double)f->state[i * TD + n] * f->dx[i * TD + n];
        for (size_t u = 0; u < 2; u++)
            for (size_t n = 0; n < TD; n++)
                g[(size_t)f->id[u][i] * TD + n] += f->dx[(u * TT + i) * TD + n];
    }
    for (size_t n = 0; n < TABLE; n++)
        g[t->at[4] + n] += f->table[b * TABLE + n];
}

static float *plain_rows(const toy *t, const feedback *f)
{
    float *rows = golden_alloc(TB * t->c.p, sizeof *rows);
    double *g = golden_alloc(t->c.p, sizeof *g);
    for (size_t b = 0; b < TB; b++) {
        plain_row(g, t, f, b);
        for (size_t i = 0; i < t->c.p; i++)
            rows[b * t->c.p + i] = (float)g[i];
    }
    return rows;
}

/* Entry (k, j) of the rademacher and mt19937 matrices; kron's by its definition. */
static double entry(const wn_projection *P, const toy *t, uint64_t k, size_t j)
{
    size_t q = wn_chosen_find(&t->c, k);
    double scale = 1 / sqrt((double)P->d);
    if (!wn_projection_factored(P, t->chosen[q]))
        return scale * wn_sign(&P->signs, k, j);
    uint64_t i = k - t->at[q], row = i / t->chosen[q]->cols, col = i % t->chosen[q]->cols;
    return scale * wn_sign(&P->out, t->at[q] + row, j / P->ki) *
           wn_sign(&P->in, t->at[q] + col, j % P->ki);
}

Test(grad, sink_equals_plain_sums)
{
    toy t;
    feedback f;
    toy_init(&t);
    feedback_init(&f);
    float *want = plain_rows(&t, &f);
    float *raw = toy_rows(&t, &f, NULL, NULL, NULL);
    for (size_t i = 0; i < t.c.n; i++)
        for (size_t b = 0; b < TB; b++)
            GOLDEN_NEAR(raw + b * t.c.p + t.at[i], want + b * t.c.p + t.at[i],
                        t.at[i + 1] - t.at[i], 1e-6, "parameter %zu of example %zu", i, b);
    for (int k = 0; k < 3; k++) {
        wn_projection P;
        enum { D = 20 };
        GOLDEN_OK(wn_projection_init(&P, kinds[k], D, 77, &t.c, 0));
        float *got = toy_rows(&t, &f, &P, NULL, NULL), *there = golden_alloc(TB * D, sizeof *there);
        GOLDEN_OK(wn_project(there, &P, want, t.c.p, TB));
        for (size_t b = 0; b < TB; b += 6) {
            float plain[D];
            for (size_t j = 0; j < D; j++) {
                double s = 0;
                for (uint64_t i = 0; i < t.c.p; i++)
                    s += want[b * t.c.p + i] * entry(&P, &t, i, j);
                plain[j] = (float)s;
            }
            GOLDEN_NEAR(got + b * D, plain, D, 1e-5, "%s: sink", wn_projection_name(kinds[k]));
            GOLDEN_NEAR(there + b * D, plain, D, 1e-5, "%s: wn_project",
                        wn_projection_name(kinds[k]));
        }
        wn_projection_free(&P);
    }
}

/* A table without a tied output goes row by row. */
Test(grad, embeddings_alone)
{
    toy t;
    feedback f;
    wn_projection P;
    toy_init(&t);
    feedback_init(&f);
    memset(f.dlogits, 0, TT * TV * sizeof *f.dlogits);
    float *want = plain_rows(&t, &f);
    t.c.n = 1;
    t.c.p = t.at[1];
    enum { D = 33 };
    GOLDEN_OK(wn_projection_init(&P, WN_PROJECT_RADEMACHER, D, 1, &t.c, 0));
    wn_grad_sink *s = NULL;
    const wn_grad_sink_opts o = {.params = &t.ps,
                                 .chosen = &t.c,
                                 .projection = &P,
                                 .max_examples = TB,
                                 .max_tokens = TT,
                                 .width = TD};
    GOLDEN_OK(wn_grad_sink_new(&s, &o));
    wn_sink k = wn_grad_sink_calls(s);
    wn_seg seg = {TB, f.off, 0};
    wn_grad_sink_begin(s, TB);
    k.embed(k.ctx, &t.p[0], f.dx, f.id[0], TD, &seg);
    k.embed(k.ctx, &t.p[0], f.dx + TT * TD, f.id[1], TD, &seg);
    wn_grad_sink_finish(s);
    float *dense = golden_alloc(TB * t.c.p, sizeof *dense),
          *there = golden_alloc(TB * D, sizeof *there);
    for (size_t b = 0; b < TB; b++)
        memcpy(dense + b * t.c.p, want + b * t.at[5], t.c.p * sizeof *dense);
    GOLDEN_OK(wn_project(there, &P, dense, t.c.p, TB));
    for (size_t b = 0; b < TB; b++) {
        float got[D];
        wn_grad_sink_row(s, b, got);
        GOLDEN_NEAR(got, there + b * D, D, 1e-5, "example %zu", b);
    }
    wn_grad_sink_free(s);
    wn_projection_free(&P);
}

Test(grad, adam_steps_instead_of_gradients)
{
    toy t;
    feedback f;
    wn_projection P;
    toy_init(&t);
    feedback_init(&f);
    for (size_t i = 0; i < TT * TV; i++) /* rows without a gradient, nor, below, much of a v */
        f.dlogits[i] *= i % TV < 80;
    float *m[5], *v[5], *want = plain_rows(&t, &f);
    for (size_t i = 0; i < 5; i++) {
        size_t n = t.at[i + 1] - t.at[i];
        m[i] = random_floats(20 + i, n);
        v[i] = random_floats(30 + i, n);
        for (size_t k = 0; k < n; k++) {
            v[i][k] *= k % 3 ? v[i][k] : 0;
            for (size_t b = 0; b < TB; b++) {
                float *g = want + b * t.c.p + t.at[i] + k;
                *g = (float)((0.9 * m[i][k] + 0.1 * *g) /
                             sqrt(0.999 * v[i][k] + 0.001 * *g * *g + 1e-8));
            }
        }
    }
    GOLDEN_OK(wn_projection_init(&P, WN_PROJECT_RADEMACHER, 24, 5, &t.c, 0));
    float *raw = toy_rows(&t, &f, NULL, m, v), *got = toy_rows(&t, &f, &P, m, v);
    float *there = golden_alloc(TB * 24, sizeof *there);
    GOLDEN_NEAR(raw, want, TB * t.c.p, 1e-6, "raw steps");
    GOLDEN_OK(wn_project(there, &P, want, t.c.p, TB));
    GOLDEN_NEAR(got, there, TB * 24, 1e-5, "projected steps");
    wn_projection_free(&P);
}
