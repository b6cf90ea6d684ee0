/* Dropout of a model's own places: masks are a function of their counters, and the backward's are
 * the forward's. */
#include "golden_model.h"
#include "kernel/kernel.h"
#include "model/dropout.h"
#include "train/data.h"

enum { ROWS = 3, TEXTS = 2 };

/* Three rows of made-up ids, of two texts each with choices. */
static wn_data some_rows(const wn_model *m, bool choices)
{
    static const uint32_t prompt[ROWS] = {5, 2, 7}, text[ROWS * TEXTS] = {3, 1, 2, 4, 5, 2};
    const wn_model_facts *f = wn_model_facts_of(m);
    wn_data d = {.rows = ROWS,
                 .choices = choices,
                 .start = f->decoder_start,
                 .two_sided = f->shape == WN_SHAPE_ENCDEC,
                 .rule = {.shape = f->shape}};
    d.row = golden_alloc(ROWS, sizeof *d.row);
    d.id = golden_alloc(64, sizeof *d.id);
    d.length = golden_alloc(ROWS * TEXTS, sizeof *d.length);
    for (size_t i = 0; i < ROWS; i++) {
        wn_data_row *r = &d.row[i];
        *r = (wn_data_row){.begin = d.n_id, .prompt = prompt[i], .part = d.n_length};
        d.n_id += prompt[i];
        for (size_t k = 0; k < (choices ? TEXTS : 1); k++) {
            d.length[d.n_length++] = text[i * TEXTS + k];
            d.n_id += text[i * TEXTS + k];
            r->texts++;
        }
        r->size = (wn_data_size){20, 10, 4, 10, 5};
    }
    for (size_t i = 0; i < d.n_id; i++)
        d.id[i] = (int32_t)((7 * i * i + 3 * i) % 41 + 2);
    return d;
}

typedef struct toy {
    wn_model *model;
    wn_params *ps;
    wn_work *work;
    wn_data data;
    wn_data_batch batch;
} toy;

static void fill_toy(toy *t, wn_model *m, bool choices, wn_work_kind kind)
{
    *t = (toy){.model = m, .ps = wn_model_params(m)};
    t->data = some_rows(t->model, choices);
    GOLDEN_OK(wn_data_batch_new(&t->batch, &t->data, 64, 16));
    GOLDEN_OK(wn_work_new(&t->work, t->model, 64, 16, 64, kind));
    for (uint64_t i = 0; i < ROWS; i++)
        cr_assert(wn_data_add(&t->batch, &t->data, i, 0.2F));
}

static void open_toy(toy *t, const char *path, double p, bool choices, wn_work_kind kind)
{
    wn_model *m = golden_model(path, true, NULL);
    GOLDEN_OK(wn_model_set_dropout(m, p));
    fill_toy(t, m, choices, kind);
}

static void close_toy(toy *t)
{
    wn_work_free(t->work);
    wn_data_batch_free(&t->batch);
    wn_model_close(t->model);
}

/* The weighed loss at update `step`, and its gradients. */
static double loss_at(toy *t, uint64_t step)
{
    wn_sink sink = wn_sink_train();
    double nll[16], loss = 0;
    uint32_t count[16];
    wn_params_zero_grads(t->ps);
    GOLDEN_OK(wn_model_loss_back(t->model, t->work, &t->batch.batch, t->batch.weight, 11, step, nll,
                                 count, &sink));
    for (size_t s = 0; s < t->batch.batch.B; s++)
        loss += nll[s] * (double)t->batch.weight[s];
    return loss;
}

/* Along its own gradient every parameter's loss goes as the gradient's square says. */
static void check_toy(toy *t, const char *path)
{
    loss_at(t, 4);
    float **grad = golden_alloc(t->ps->n, sizeof *grad);
    for (size_t i = 0; i < t->ps->n; i++) {
        const wn_param *p = &t->ps->p[i];
        size_t n = p->rows * p->cols;
        if (!p->trainable)
            continue;
        grad[i] = golden_alloc(n, sizeof **grad);
        memcpy(grad[i], p->grad, n * sizeof **grad);
    }
    for (size_t i = 0; i < t->ps->n; i++) {
        wn_param *p = &t->ps->p[i];
        size_t n = p->rows * p->cols;
        if (!p->trainable)
            continue;
        double square = wn_sum_squares(grad[i], n), h = 3e-4 / sqrt(square), side[2];
        if (square < 1e-8)
            continue;
        for (int s = 0; s < 2; s++) {
            for (size_t k = 0; k < n; k++)
                p->value[k] += (float)((s ? -2 : 1) * h) * grad[i][k];
            wn_model_refresh(t->model);
            side[s] = loss_at(t, 4);
        }
        wn_axpy(p->value, (float)h, grad[i], n);
        wn_model_refresh(t->model);
        double slope = (side[0] - side[1]) / (2 * h);
        cr_expect(fabs(slope - square) <= 0.03 * square + 1e-4,
                  "%s: %s: slope %g, gradient says %g", path, p->name, slope, square);
    }
}

static void check_slopes(const char *path, bool choices, wn_work_kind kind)
{
    toy t;
    open_toy(&t, path, 0.3, choices, kind);
    check_toy(&t, path);
    close_toy(&t);
}

Test(dropout, gradients_are_of_the_masked_loss)
{
    check_slopes("families/gpt2", false, WN_WORK_TRAIN);
    check_slopes("families/gpt2", true, WN_WORK_TRAIN);
    check_slopes("families/gpt-neox", false, WN_WORK_RECOMPUTE);
    check_slopes("families/opt", false, WN_WORK_TRAIN);
    check_slopes("families/t5-v1.1", false, WN_WORK_RECOMPUTE);
    check_slopes("families/t5-v1.0", true, WN_WORK_TRAIN);
    check_slopes("families/gemma3-text", true, WN_WORK_TRAIN);
    check_slopes("families/gemma3-text", true, WN_WORK_NARROW);
    check_slopes("families/t5-v1.1", false, WN_WORK_NARROW);
}

/* Inputs of adapters outside of the stack: on all tokens, on supervised ones, in the head's tiles.
 */
Test(dropout, gradients_of_adapters_outside_of_the_stack)
{
    static const char path[] = "families/opt-post-norm";
    static const char *const targets[] = {"project_in", "project_out", "lm_head",
                                          "project_in,project_out,lm_head,fc2"};
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        toy t;
        wn_model *m = golden_model(path, false, NULL);
        GOLDEN_OK(wn_model_add_lora(
            m, &(wn_lora_opts){.rank = 3, .alpha = 5, .dropout = 0.4, .targets = targets[i]}));
        GOLDEN_OK(wn_params_make_grads(wn_model_params(m)));
        fill_toy(&t, m, false, WN_WORK_TRAIN);
        for (size_t p = 0; p < t.ps->n; p++)
            for (size_t k = 0; t.ps->p[p].trainable && k < t.ps->p[p].rows * t.ps->p[p].cols; k++)
                t.ps->p[p].value[k] = 0.4F * sinf((float)(5 * k * k + 11 * p + 1));
        double first = loss_at(&t, 4);
        cr_expect_neq(loss_at(&t, 5), first, "%s: nothing is dropped", targets[i]);
        check_toy(&t, targets[i]);
        double alone = 0;
        for (uint64_t r = 0; r < ROWS; r++) {
            wn_data_batch_clear(&t.batch);
            cr_assert(wn_data_add(&t.batch, &t.data, r, 0.2F));
            alone += loss_at(&t, 4);
        }
        cr_expect_float_eq(alone, first, 1e-5, "%s: %.9g a row at a time, %.9g at once", targets[i],
                           alone, first);
        close_toy(&t);
    }
}

/* A position is dropped as its token says, wherever the head's tiles are cut. */
Test(dropout, rows_are_the_tokens_that_a_pass_says)
{
    enum { N = 9, K = 12 };
    float x[N * K], all[N * K], some[3 * K];
    uint32_t off[] = {0, 4, N}, part[] = {0, 1, 3};
    const uint32_t token[] = {3, 5, 8};
    const wn_batch whole = {.B = 2, .T = N, .off = off}, rows = {.B = 2, .T = 3, .off = part};
    wn_pass pass = {.batch = &whole, .seed = 7, .step = 2};
    for (size_t i = 0; i < N * K; i++)
        x[i] = 1;
    wn_drop(all, x, K, N, K, 0.5, 5, NULL, &pass);
    pass.batch = &rows;
    pass.tokens = &whole;
    pass.token = token;
    wn_drop(some, x, K, 3, K, 0.5, 5, pass.token, &pass);
    for (size_t i = 0; i < 3; i++)
        cr_expect_arr_eq(some + i * K, all + token[i] * K, K * sizeof *some, "row %zu", i);
}

Test(dropout, updates_have_masks_of_their_own)
{
    toy t;
    open_toy(&t, "families/gpt2", 0.3, true, WN_WORK_TRAIN);
    double first = loss_at(&t, 1);
    cr_expect_eq(loss_at(&t, 1), first);
    cr_expect_neq(loss_at(&t, 2), first);
    close_toy(&t);
    toy plain;
    open_toy(&plain, "families/gpt2", 0, true, WN_WORK_TRAIN);
    first = loss_at(&plain, 1);
    cr_expect_eq(loss_at(&plain, 2), first);
    close_toy(&plain);
}

/* A config that says 0 everywhere is no dropout; one without the words has transformers' own. */
Test(dropout, what_the_config_says)
{
    toy t;
    open_toy(&t, "families/gpt2", -1, false, WN_WORK_TRAIN);
    double first = loss_at(&t, 1);
    cr_expect_eq(loss_at(&t, 2), first);
    cr_expect_eq(wn_model_set_dropout(t.model, 1), WN_EARG);
    close_toy(&t);
}

Test(dropout, as_many_are_kept_as_should)
{
    enum { N = 200, K = 64 };
    static float x[N * K], y[N * K];
    uint32_t off[3] = {0, 150, N};
    uint64_t example[2] = {5, 5 | (uint64_t)1 << 32};
    wn_batch b = {.B = 2, .T = N, .off = off, .example = example};
    wn_pass pass = {.batch = &b, .seed = 3, .step = 9};
    size_t kept = 0, alike = 0;
    for (size_t i = 0; i < N * K; i++)
        x[i] = 1;
    wn_drop(y, x, K, N, K, 0.25, WN_DROP_MODEL, NULL, &pass);
    for (size_t i = 0; i < N * K; i++) {
        cr_assert(y[i] == 0 || fabsf(y[i] - 4.0F / 3) < 1e-6F);
        kept += y[i] > 0;
    }
    cr_expect(fabs((double)kept / (N * K) - 0.75) < 0.02, "%zu of %d kept", kept, N * K);
    for (size_t i = 0; i < 50 * K; i++)
        alike += (y[i] > 0) == (y[150 * K + i] > 0);
    cr_expect(fabs((double)alike / (50 * K) - 0.625) < 0.05, "two texts of a row have one mask");
}

Test(dropout, every_kernel_drops_alike)
{
    static const char *const models[] = {"families/gpt2", "families/t5-v1.1"};
    for (int m = 0; m < 2; m++) {
        double loss[2];
        for (int k = 0; k < 2; k++) {
            toy t;
            wn_kernel_use(k ? "ref" : NULL);
            open_toy(&t, models[m], 0.3, m, WN_WORK_TRAIN);
            loss[k] = loss_at(&t, 6);
            close_toy(&t);
        }
        wn_kernel_use(NULL);
        cr_expect(fabs(loss[0] - loss[1]) < 1e-4 * loss[0], "%s: %.9g, ref %.9g", models[m],
                  loss[0], loss[1]);
    }
}
