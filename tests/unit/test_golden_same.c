/* What must not depend on how a batch is cut, on the number of threads, or on sharing a prompt. */
#include "base/par.h"
#include "golden_model.h"

enum { ROWS = 9 };

static const char *const path[] = {"models/llama-tiny", "models/llama-untied", "models/bert-tiny"};

/* Hidden states of a batch, and of its segments one by one: the same bytes. */
static void check_split_states(const char *at)
{
    wn_model *m = golden_model(at, false, NULL);
    wn_safetensors *e = golden_open(at);
    size_t D = wn_model_facts_of(m)->width;
    golden_batch g = golden_batch_of(e, "batch.2");
    wn_work *w = golden_work(m, &g, false);
    float *all = golden_alloc(g.b.T, D * sizeof *all), *one = golden_alloc(g.b.T, D * sizeof *one);
    GOLDEN_OK(wn_model_hidden(m, w, &g.b, 0, all));
    for (size_t s = 0; s < g.b.B; s++) {
        golden_batch part = golden_segment(&g, s);
        GOLDEN_OK(wn_model_hidden(m, w, &part.b, 0, one));
        cr_expect(!memcmp(one, all + g.off[s] * D, part.b.T * D * sizeof *one), "%s segment %zu",
                  at, s);
    }
    wn_work_free(w);
    wn_safetensors_close(e);
    wn_model_close(m);
}

Test(golden_same, states_of_split_batches)
{
    for (int i = 0; i < 3; i++)
        check_split_states(path[i]);
}

Test(golden_same, losses_of_split_batches)
{
    for (int i = 0; i < 2; i++) {
        wn_model *m = golden_model(path[i], false, NULL);
        wn_safetensors *e = golden_open(path[i]);
        golden_batch g = golden_rows_of(e, 0, ROWS);
        wn_work *w = golden_work(m, &g, false);
        double all[ROWS], one;
        uint32_t count[ROWS], n;
        GOLDEN_OK(wn_model_nll(m, w, &g.b, all, count));
        for (size_t s = 0; s < ROWS; s++) {
            golden_batch part = golden_segment(&g, s);
            GOLDEN_OK(wn_model_nll(m, w, &part.b, &one, &n));
            cr_expect(one == all[s] && n == count[s], "%s row %zu: %.17g alone, %.17g in a batch",
                      path[i], s, one, all[s]);
        }
        wn_work_free(w);
        wn_safetensors_close(e);
        wn_model_close(m);
    }
}

/* All trainable gradients end to end, for weights that differ from row to row. */
static float *gradients(wn_model *m, const golden_batch *g, double *nll, size_t *n)
{
    wn_params *ps = wn_model_params(m);
    wn_sink sink = wn_sink_train();
    float weight[64];
    uint32_t count[64];
    cr_assert_leq(g->b.B, 64);
    for (size_t i = 0; i < g->b.B; i++)
        weight[i] = 0.01F * (float)(i + 1);
    wn_work *w = golden_work(m, g, true);
    wn_params_zero_grads(ps);
    GOLDEN_OK(wn_model_loss_back(m, w, &g->b, weight, 1, 1, nll, count, &sink));
    wn_work_free(w);
    *n = wn_params_trainable(ps);
    float *all = golden_alloc(*n, sizeof *all);
    size_t at = 0;
    for (size_t i = 0; i < ps->n; i++)
        if (ps->p[i].trainable) {
            size_t k = ps->p[i].rows * ps->p[i].cols;
            memcpy(all + at, ps->p[i].grad, k * sizeof *all);
            at += k;
        }
    return all;
}

static void check_threads(const char *at, bool lora)
{
    wn_model *m = golden_model(at, !lora, lora ? "adapter" : NULL);
    wn_safetensors *e = golden_open(at);
    golden_batch g = golden_rows_of(e, 0, ROWS);
    static const int threads[] = {1, 2, 3, 7};
    float *first = NULL;
    double first_nll[ROWS], nll[ROWS];
    for (int i = 0; i < 4; i++) {
        size_t n;
        wn_par_set_threads(threads[i]);
        float *all = gradients(m, &g, nll, &n);
        if (!first) {
            first = all;
            memcpy(first_nll, nll, sizeof nll);
            continue;
        }
        cr_expect(!memcmp(first_nll, nll, sizeof nll), "%s: losses with %d threads", at,
                  threads[i]);
        cr_expect(!memcmp(first, all, n * sizeof *all), "%s: gradients with %d threads", at,
                  threads[i]);
    }
    wn_par_set_threads(0);
    wn_safetensors_close(e);
    wn_model_close(m);
}

Test(golden_same, any_number_of_threads)
{
    check_threads("models/llama-tiny", false);
    check_threads("models/llama-tiny", true);
    check_threads("models/llama-untied", false);
}

/* The same rows twice: as whole sequences, and as a prompt followed by its targets. `copies`
 * targets share each prompt, so the whole form repeats it. */
static void share(const wn_safetensors *e, size_t rows, size_t copies, golden_batch *whole,
                  golden_batch *shared)
{
    int32_t *prompt = golden_i32(e, NULL, "rows.prompt"),
            *target = golden_i32(e, NULL, "rows.target");
    int32_t *po = golden_i32(e, NULL, "rows.prompt_off"),
            *to = golden_i32(e, NULL, "rows.target_off");
    enum { MOST = 4096 };
    *whole = *shared = (golden_batch){0};
    golden_batch *both[] = {whole, shared};
    int32_t *parent = golden_alloc(256, sizeof *parent), *first = golden_alloc(256, sizeof *first);
    for (int k = 0; k < 2; k++) {
        both[k]->id = golden_alloc(MOST, sizeof(int32_t));
        both[k]->label = golden_alloc(MOST, sizeof(int32_t));
        both[k]->off = golden_alloc(256, sizeof(uint32_t));
    }
#define PUT(g, token, lab)                                                                         \
    ((g)->label[(g)->b.T] = (lab), (g)->id[(g)->b.T++] = (token), (g)->labels += (lab) >= 0)
    for (size_t r = 0; r < rows; r++) {
        int32_t head = (int32_t)shared->b.B;
        for (int32_t i = po[r]; i < po[r + 1]; i++)
            PUT(shared, prompt[i], -1);
        parent[shared->b.B] = first[shared->b.B] = -1;
        shared->off[++shared->b.B] = (uint32_t)shared->b.T;
        for (size_t c = 0; c < copies; c++) { /* the targets of this row and of the next ones */
            size_t o = (r + c) % rows;
            const int32_t *t = target + to[o];
            int32_t n = to[o + 1] - to[o];
            for (int32_t i = po[r]; i < po[r + 1]; i++)
                PUT(whole, prompt[i], i + 1 == po[r + 1] ? t[0] : -1);
            parent[shared->b.B] = head;
            first[shared->b.B] = t[0];
            shared->labels++;
            for (int32_t i = 0; i < n; i++) {
                PUT(whole, t[i], i + 1 < n ? t[i + 1] : -1);
                PUT(shared, t[i], i + 1 < n ? t[i + 1] : -1);
            }
            whole->off[++whole->b.B] = (uint32_t)whole->b.T;
            shared->off[++shared->b.B] = (uint32_t)shared->b.T;
        }
    }
#undef PUT
    cr_assert(whole->b.T <= MOST);
    for (int k = 0; k < 2; k++) {
        both[k]->b.id = both[k]->id;
        both[k]->b.label = both[k]->label;
        both[k]->b.off = both[k]->off;
    }
    shared->b.parent = parent;
    shared->b.first_label = first;
}

static void check_shared(const char *at, bool lora)
{
    wn_model *m = golden_model(at, !lora, lora ? "adapter" : NULL);
    wn_safetensors *e = golden_open(at);
    wn_params *ps = wn_model_params(m);
    wn_sink sink = wn_sink_train();
    golden_batch whole, shared;
    enum { PROMPTS = 4, COPIES = 3, ALL = PROMPTS * COPIES, SEGMENTS = PROMPTS + ALL };
    share(e, PROMPTS, COPIES, &whole, &shared);
    cr_assert_eq(shared.b.B, SEGMENTS);
    double nll[ALL], got[SEGMENTS];
    uint32_t count[ALL], n[SEGMENTS];
    float weight[ALL], on_shared[SEGMENTS] = {0};
    for (size_t i = 0; i < ALL; i++)
        on_shared[i / COPIES * (COPIES + 1) + 1 + i % COPIES] = weight[i] = 0.01F * (float)(i + 1);
    wn_work *w = golden_work(m, &whole, true);
    wn_params_zero_grads(ps);
    GOLDEN_OK(wn_model_loss_back(m, w, &whole.b, weight, 0, 0, nll, count, &sink));
    wn_work_free(w);
    float *want[512];
    cr_assert_leq(ps->n, 512);
    for (size_t i = 0; i < ps->n; i++) {
        const wn_param *p = &ps->p[i];
        if (!p->trainable)
            continue;
        want[i] = golden_alloc(p->rows, p->cols * sizeof(float));
        memcpy(want[i], p->grad, p->rows * p->cols * sizeof(float));
    }
    w = golden_work(m, &shared, true);
    wn_params_zero_grads(ps);
    GOLDEN_OK(wn_model_loss_back(m, w, &shared.b, on_shared, 0, 0, got, n, &sink));
    for (size_t i = 0; i < ALL; i++) {
        size_t s = i / COPIES * (COPIES + 1) + 1 + i % COPIES;
        cr_expect_eq(n[s], count[i]);
        cr_expect(fabs(got[s] - nll[i]) <= 1e-5 * nll[i], "%s target %zu: %.9g shared, %.9g whole",
                  at, i, got[s], nll[i]);
    }
    for (size_t i = 0; i < ps->n; i++) {
        const wn_param *p = &ps->p[i];
        if (p->trainable)
            GOLDEN_NEAR(p->grad, want[i], p->rows * p->cols, 2e-5, "%s %s", at, p->name);
    }
    double again[SEGMENTS];
    GOLDEN_OK(wn_model_nll(m, w, &shared.b, again, n));
    cr_expect(!memcmp(again, got, sizeof got), "%s: forward alone gives other losses", at);
    wn_work_free(w);
    wn_safetensors_close(e);
    wn_model_close(m);
}

Test(golden_same, shared_prompts)
{
    check_shared("models/llama-tiny", false);
    check_shared("models/llama-untied", true);
}
