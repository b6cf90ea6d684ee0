/* The decoder against PyTorch: hidden states, losses and every gradient of tiny Llama models, in
 * every form a model comes in. */
#include "golden_model.h"
#include "kernel/kernel.h"

#define LOSS_LIMIT     2e-5 /* relative */
#define STATE_LIMIT    5e-5 /* largest difference, of the RMS */
#define GRADIENT_LIMIT 1e-4 /* of the tensor's norm */

/* A model's folder or file, and the folder whose expectations hold for it. */
static const struct {
    const char *path, *expected;
} form[] = {
    {"models/llama-tiny", "models/llama-tiny"},
    {"models/llama-tiny-bf16", "models/llama-tiny"},
    {"models/llama-tiny-f16-sharded", "models/llama-tiny"},
    {"models/llama-tiny-gguf/model.gguf", "models/llama-tiny"},
    {"models/llama-quant/model.gguf", "models/llama-quant"},
    {"models/llama-untied", "models/llama-untied"},
};
enum { FORMS = sizeof form / sizeof *form, BATCHES = 3 };

static void check_hidden(const wn_model *m, const wn_safetensors *e, const char *what)
{
    size_t L = wn_model_facts_of(m)->layers, D = wn_model_facts_of(m)->width;
    for (int k = 0; k < BATCHES; k++) {
        char prefix[32];
        snprintf(prefix, sizeof prefix, "batch.%d", k);
        golden_batch g = golden_batch_of(e, prefix);
        wn_work *w = golden_work(m, &g, false);
        float *h = golden_alloc(g.b.T, D * sizeof *h);
        for (size_t layer = 0; layer < L; layer++) {
            size_t n;
            float *want = layer ? golden_f32(e, &n, "%s.hidden.%zu", prefix, layer)
                                : golden_f32(e, &n, "%s.hidden.last", prefix);
            cr_assert_eq(n, g.b.T * D);
            GOLDEN_OK(wn_model_hidden(m, w, &g.b, (int)layer, h));
            GOLDEN_WORST(h, want, n, STATE_LIMIT, "%s %s layer %zu", what, prefix, layer);
        }
        wn_work_free(w);
    }
}

static void check_nll(const wn_model *m, const wn_safetensors *e, const char *what, double limit)
{
    for (int k = 0; k <= BATCHES; k++) {
        char prefix[32] = "rows";
        if (k < BATCHES)
            snprintf(prefix, sizeof prefix, "batch.%d", k);
        size_t n;
        float *want = golden_f32(e, &n, "%s.nll", prefix);
        int32_t *count = golden_i32(e, NULL, "%s.count", prefix);
        golden_batch g = k < BATCHES ? golden_batch_of(e, prefix) : golden_rows_of(e, 0, n);
        wn_work *w = golden_work(m, &g, false);
        double *nll = golden_alloc(n, sizeof *nll);
        uint32_t *got = golden_alloc(n, sizeof *got);
        GOLDEN_OK(wn_model_nll(m, w, &g.b, nll, got));
        for (size_t i = 0; i < n; i++) {
            cr_expect_eq(got[i], (uint32_t)count[i], "%s %s row %zu", what, prefix, i);
            cr_expect(fabs(nll[i] - want[i]) <= limit * want[i],
                      "%s %s row %zu: nll %.9g, expected %.9g", what, prefix, i, nll[i], want[i]);
        }
        wn_work_free(w);
    }
}

Test(golden_llama, facts)
{
    wn_model *m = golden_model("models/llama-tiny", false, NULL);
    const wn_model_facts *f = wn_model_facts_of(m);
    cr_expect_str_eq(f->family, "llama");
    cr_expect_eq(f->shape, WN_SHAPE_DECODER);
    cr_expect_eq(f->layers, 2);
    cr_expect_eq(f->width, 36);
    cr_expect_eq(f->heads, 6);
    cr_expect_eq(f->vocab, 301);
    cr_expect_eq(f->max_positions, 64);
    cr_expect_eq(f->parameters,
                 301 * 36 + 2 * (2 * 36 * 36 + 2 * 12 * 36 + 3 * 36 * 52 + 2 * 36) + 36);
    wn_model_close(m);
}

Test(golden_llama, hidden_states)
{
    for (int i = 0; i < FORMS; i++) {
        wn_model *m = golden_model(form[i].path, false, NULL);
        wn_safetensors *e = golden_open(form[i].expected);
        check_hidden(m, e, form[i].path);
        wn_safetensors_close(e);
        wn_model_close(m);
    }
}

Test(golden_llama, losses)
{
    for (int i = 0; i < FORMS; i++) {
        wn_model *m = golden_model(form[i].path, false, NULL);
        wn_safetensors *e = golden_open(form[i].expected);
        check_nll(m, e, form[i].path, LOSS_LIMIT);
        wn_safetensors_close(e);
        wn_model_close(m);
    }
}

/* The reference kernels and bf16 products: the same losses, the latter coarsely. */
Test(golden_llama, other_kernels)
{
    wn_kernel_use("ref");
    wn_model *m = golden_model("models/llama-untied", false, NULL);
    wn_safetensors *e = golden_open("models/llama-untied");
    check_hidden(m, e, "reference kernels");
    check_nll(m, e, "reference kernels", LOSS_LIMIT);
    wn_model_close(m);
    wn_kernel_use(NULL);
    char path[GOLDEN_PATH];
    wn_model_opts o = {.precision = WN_PRECISION_BF16};
    GOLDEN_OK(wn_model_open(&m, golden_path(path, "models/llama-untied"), &o));
    cr_expect_eq(wn_model_facts_of(m)->precision, WN_PRECISION_BF16);
    check_nll(m, e, "bf16", 0.05);
    wn_model_close(m);
    wn_safetensors_close(e);
}

/* ---- gradients
 * ----------------------------------------------------------------------------------- */

/* One backward over all rows with weights 1/(B count), or 1/count for row `only`. Returns the
 * weighted loss. */
static double back(wn_model *m, const golden_batch *g, const int32_t *count, int only)
{
    wn_sink sink = wn_sink_train();
    float weight[16];
    double nll[16], loss = 0;
    uint32_t got[16];
    size_t B = g->b.B;
    cr_assert_leq(B, 16);
    for (size_t i = 0; i < B; i++)
        weight[i] = only < 0         ? 1.0F / (float)B / (float)count[i]
                    : (int)i == only ? 1.0F / (float)count[i]
                                     : 0;
    wn_work *w = golden_work(m, g, true);
    wn_params_zero_grads(wn_model_params(m));
    GOLDEN_OK(wn_model_loss_back(m, w, &g->b, weight, 0, 0, nll, got, &sink));
    wn_work_free(w);
    for (size_t i = 0; i < B; i++)
        loss += (double)weight[i] * nll[i];
    return loss;
}

/* Every trainable parameter against PREFIXgrad.NAME. */
static void check_gradients(wn_model *m, const wn_safetensors *e, const char *prefix)
{
    wn_params *ps = wn_model_params(m);
    size_t seen = 0, want = 0, length = strlen(prefix);
    for (size_t i = 0; i < ps->n; i++) {
        const wn_param *p = &ps->p[i];
        if (!p->trainable)
            continue;
        size_t n;
        float *g = golden_f32(e, &n, "%s%s", prefix, p->name);
        cr_assert_eq(n, p->rows * p->cols, "%s has %zu elements, expected %zu", p->name,
                     p->rows * p->cols, n);
        GOLDEN_NEAR(p->grad, g, n, GRADIENT_LIMIT, "%s%s", prefix, p->name);
        seen++;
    }
    for (size_t i = 0; i < wn_safetensors_count(e); i++)
        want += !strncmp(wn_safetensors_at(e, i)->name, prefix, length);
    cr_expect_eq(seen, want, "%zu trainable parameters, expected %zu", seen, want);
}

static void check_back(const char *path, bool lora, size_t examples)
{
    wn_model *m = golden_model(path, !lora, lora ? "adapter" : NULL);
    wn_safetensors *e = golden_open(path);
    const char *kind = lora ? "lora" : "full";
    size_t B;
    int32_t *count = golden_i32(e, &B, "rows.count");
    golden_batch g = golden_rows_of(e, 0, B);
    char prefix[64];
    double want = golden_f32(e, NULL, "%s.loss", kind)[0];
    double loss = back(m, &g, count, -1);
    cr_expect(fabs(loss - want) <= LOSS_LIMIT * want, "%s %s: loss %.9g, expected %.9g", path, kind,
              loss, want);
    snprintf(prefix, sizeof prefix, "%s.grad.", kind);
    check_gradients(m, e, prefix);
    for (size_t i = 0; i < examples; i++) {
        back(m, &g, count, (int)i);
        snprintf(prefix, sizeof prefix, "%s.example.%zu.grad.", kind, i);
        check_gradients(m, e, prefix);
    }
    wn_safetensors_close(e);
    wn_model_close(m);
}

Test(golden_llama, gradients_of_all_parameters)
{
    check_back("models/llama-tiny", false, 0);
    check_back("models/llama-untied", false, 0);
}

Test(golden_llama, gradients_of_adapters)
{
    check_back("models/llama-tiny", true, 3);
    check_back("models/llama-untied", true, 0);
}

Test(golden_llama, gradients_by_the_reference_kernels)
{
    wn_kernel_use("ref");
    check_back("models/llama-untied", false, 0);
    check_back("models/llama-tiny", true, 0);
}

/* An adapter on any form of the model gives the same loss; its gradients need no master weights. */
Test(golden_llama, adapter_on_gguf)
{
    char path[GOLDEN_PATH], on[GOLDEN_PATH];
    wn_model_opts o = {.precision = WN_PRECISION_F32,
                       .adapter = golden_path(on, "models/llama-tiny/adapter")};
    wn_model *m = NULL;
    GOLDEN_OK(wn_model_open(&m, golden_path(path, "models/llama-tiny-gguf/model.gguf"), &o));
    wn_safetensors *e = golden_open("models/llama-tiny");
    wn_params *ps = wn_model_params(m);
    for (size_t i = 0; i < ps->n; i++)
        ps->p[i].trainable = ps->p[i].adapter;
    GOLDEN_OK(wn_params_make_grads(ps));
    size_t B;
    int32_t *count = golden_i32(e, &B, "rows.count");
    golden_batch g = golden_rows_of(e, 0, B);
    back(m, &g, count, -1);
    check_gradients(m, e, "lora.grad.");
    wn_safetensors_close(e);
    wn_model_close(m);
}

/* Mean over examples of their mean over tokens, forward only. */
static double forward(wn_model *m, wn_work *w, const golden_batch *g, const int32_t *count)
{
    double nll[16], loss = 0;
    uint32_t got[16];
    cr_assert_leq(g->b.B, 16);
    wn_model_refresh(m);
    GOLDEN_OK(wn_model_nll(m, w, &g->b, nll, got));
    for (size_t i = 0; i < g->b.B; i++)
        loss += nll[i] / count[i] / (double)g->b.B;
    return loss;
}

/* The slope along u = g / |g| is |g|. Central differences of fourth order with a step that is large
 * against float32's noise in the loss: (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h. */
static void check_differences(const char *path, bool lora)
{
    wn_model *m = golden_model(path, !lora, lora ? "adapter" : NULL);
    wn_safetensors *e = golden_open(path);
    size_t B;
    int32_t *count = golden_i32(e, &B, "rows.count");
    golden_batch g = golden_rows_of(e, 0, B);
    back(m, &g, count, -1);
    wn_params *ps = wn_model_params(m);
    wn_work *work = golden_work(m, &g, false);
    const double h = 1e-3, at[4] = {h, -h, 2 * h, -2 * h}, factor[4] = {8, -8, -1, 1};
    for (size_t i = 0; i < ps->n; i++) {
        wn_param *p = &ps->p[i];
        if (!p->trainable)
            continue;
        size_t n = p->rows * p->cols;
        double norm = sqrt(wn_sum_squares(p->grad, n)), slope = 0;
        float *w = golden_alloc(n, sizeof *w);
        memcpy(w, p->value, n * sizeof *w);
        for (int k = 0; k < 4; k++) {
            for (size_t j = 0; j < n; j++)
                p->value[j] = (float)(w[j] + at[k] * p->grad[j] / norm);
            slope += factor[k] * forward(m, work, &g, count) / (12 * h);
        }
        memcpy(p->value, w, n * sizeof *w);
        cr_expect(fabs(slope - norm) <= 0.005 * norm + 2e-3, "%s: slope %.6g, gradient's norm %.6g",
                  p->name, slope, norm);
    }
    wn_work_free(work);
    wn_safetensors_close(e);
    wn_model_close(m);
}

Test(golden_llama, finite_differences)
{
    check_differences("models/llama-tiny", false);
    check_differences("models/llama-untied", true);
}
