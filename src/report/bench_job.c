/* Measures this machine: matrix products, and what share of their rate embedding, forward and LoRA
 * training reach. The yardstick is what bare multiply-adds of the precision's numbers reach in the
 * same process, on all threads; oneDNN's f32 product stands beside ours. FLOPs counted are those of
 * the linear layers alone (2 a weight and token forward; forward and the inputs' gradient for
 * LoRA), so attention, norms and the head's unsupervised positions count as time, never as work.
 * Rates are figures of a clock: nothing else in the library depends on them. */
#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/report.h"
#include "base/rng.h"
#include "io/json.h"
#include "io/manifest.h"
#include "kernel/kernel.h"
#include "model/model.h"
#include "report/bench_grad.h"
#include "report/pace_data.h"
#include "train/train.h"

enum { SEGMENTS = 8, LENGTH = 128, MOST = SEGMENTS * LENGTH, LABELS = 16 };
#define LEAST_SEC 2.0

typedef struct bench {
    const wn_bench_opts *o;
    json_t *list;
    double peak;                  /* what shares are of, GFLOP/s */
    double rate[WN_MAT_INT8 + 1]; /* of bare multiply-adds; 0: not measured yet */
} bench;

/* Repeats until LEAST_SEC have gone by; seconds a call, the first (cold) one left out. */
typedef wn_err (*work_fn)(void *ctx);
static wn_err measure(double *sec, work_fn work, void *ctx, const char *stage)
{
    WN_TRY(work(ctx));
    double start = wn_seconds(), now = start;
    uint64_t n = 0;
    do {
        WN_TRY(work(ctx));
        n++;
        now = wn_seconds();
        WN_TRY(wn_progress(stage, "runs", n, 0, NULL));
    } while (now - start < LEAST_SEC);
    *sec = (now - start) / (double)n;
    return WN_OK;
}

static wn_err note(bench *b, const char *what, const char *detail, double rate, double gflops)
{
    json_t *row = json_pack("{s:s,s:s,s:f,s:f}", "what", what, "detail", detail, "tokens_per_sec",
                            rate, "gflops", gflops);
    if (row != NULL && rate <= 0)
        json_object_set_new(row, "tokens_per_sec", json_null());
    if (row != NULL)
        json_object_set_new(row, "share", b->peak > 0 ? json_real(gflops / b->peak) : json_null());
    return row != NULL && json_array_append_new(b->list, row) == 0 ? WN_OK
                                                                   : wn_fail_nomem(0, "bench");
}

/* Shares are of this kind's rate from now on, or of f32's where the processor has no products of
 * it. */
static wn_err yardstick(bench *b, wn_mat_kind kind)
{
    static const char *const names[] = {"multiply-adds f32", "multiply-adds bf16",
                                        "multiply-adds int8"};
    bool known = b->rate[kind] > 0;
    if (!known)
        b->rate[kind] = wn_pace_peak(kind);
    if (b->rate[kind] <= 0)
        return yardstick(b, WN_MAT_F32);
    b->peak = b->rate[kind];
    return known ? WN_OK : note(b, names[kind], wn_kernel_name(), 0, b->peak);
}

/* ---- matrix products ---- */

typedef struct product {
    size_t T, N, K;
    float *x, *w, *y;
    wn_mat mat;
} product;

static wn_err run_dnnl(void *ctx)
{
    product *p = ctx;
    dnnl_status_t s =
        dnnl_sgemm('N', 'T', (dnnl_dim_t)p->T, (dnnl_dim_t)p->N, (dnnl_dim_t)p->K, 1, p->x,
                   (dnnl_dim_t)p->K, p->w, (dnnl_dim_t)p->K, 0, p->y, (dnnl_dim_t)p->N);
    return s == dnnl_success ? WN_OK
                             : wn_fail(WN_EARG, "oneDNN: sgemm failed with status %d", (int)s);
}

static wn_err run_packed(void *ctx)
{
    product *p = ctx;
    wn_mm(p->y, p->N, p->x, p->K, &p->mat, NULL, p->T, 0);
    return WN_OK;
}

static wn_err run_back(void *ctx)
{
    product *p = ctx;
    wn_mm_back(p->x, p->K, p->y, p->N, &p->mat, p->T, 0);
    return WN_OK;
}

static wn_err run_plain(void *ctx)
{
    product *p = ctx;
    wn_gemm(false, true, p->T, p->N, p->K, 1, p->x, p->K, p->w, p->K, false, p->y, p->N);
    return WN_OK;
}

static wn_err one_product(bench *b, product *p, const char *name, work_fn work)
{
    char detail[64];
    double sec, flops = 2.0 * (double)p->T * (double)p->N * (double)p->K;
    snprintf(detail, sizeof detail, "[%zu,%zu] x [%zu,%zu]", p->T, p->K, p->K, p->N);
    WN_TRY(measure(&sec, work, p, name));
    return note(b, name, detail, 0, flops / sec * 1e-9);
}

static wn_err packed_products(bench *b, product *p, wn_mat_kind kind, void *panel)
{
    static const char *const names[][2] = {{"layer f32", "layer f32 backward"},
                                           {"layer bf16", "layer bf16 backward"},
                                           {"layer int8", NULL}};
    p->mat = (wn_mat){.N = p->N, .K = p->K, .kind = kind, .panel = panel};
    wn_mat_pack(&p->mat, p->w, 0, p->N);
    WN_TRY(yardstick(b, kind));
    WN_TRY(one_product(b, p, names[kind][0], run_packed));
    return names[kind][1] ? one_product(b, p, names[kind][1], run_back) : WN_OK;
}

static void fill_random(float *x, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)wn_rng_uniform(seed, WN_STREAM_TEST, i) - 0.5f;
}

/* only_peak: just the yardstick, which the other benches need too. */
static wn_err bench_products(bench *b, bool only_peak)
{
    product p = {.T = 512, .N = 1536, .K = 576};
    wn_arena a = {0};
    size_t floats = p.T * p.K + p.N * p.K + p.T * p.N;
    WN_TRY(wn_arena_init(&a, floats * sizeof(float) + wn_mat_bytes(WN_MAT_F32, p.N, p.K) + 1024));
    p.x = wn_arena_push(&a, p.T * p.K * sizeof(float));
    p.w = wn_arena_push(&a, p.N * p.K * sizeof(float));
    p.y = wn_arena_push(&a, p.T * p.N * sizeof(float));
    void *panel = wn_arena_push(&a, wn_mat_bytes(WN_MAT_F32, p.N, p.K));
    fill_random(p.x, p.T * p.K, 1);
    fill_random(p.w, p.N * p.K, 2);
    wn_err err = yardstick(b, WN_MAT_F32);
    if (err == WN_OK && !only_peak)
        err = one_product(b, &p, "oneDNN f32", run_dnnl);
    if (err == WN_OK && !only_peak)
        err = one_product(b, &p, "gemm f32", run_plain);
    if (err == WN_OK && !only_peak)
        err = packed_products(b, &p, WN_MAT_F32, panel);
    if (err == WN_OK && !only_peak && wn_cpu_fast_bf16())
        err = packed_products(b, &p, WN_MAT_BF16, panel);
    if (err == WN_OK && !only_peak)
        err = packed_products(b, &p, WN_MAT_INT8, panel);
    wn_arena_free(&a);
    return err;
}

/* ---- models ---- */

typedef struct stage {
    wn_model *model;
    wn_work *work;
    wn_sink sink;
    wn_optim optim;
    int32_t id[MOST], label[MOST];
    uint32_t off[SEGMENTS + 1], count[SEGMENTS];
    float weight[SEGMENTS];
    double nll[SEGMENTS];
    size_t n_labels;
    uint64_t step;
    wn_batch batch;
    float *hidden;
} stage;

static wn_err run_hidden(void *ctx)
{
    stage *s = ctx;
    return wn_model_hidden(s->model, s->work, &s->batch, 0, s->hidden);
}

static wn_err run_nll(void *ctx)
{
    stage *s = ctx;
    return wn_model_nll(s->model, s->work, &s->batch, s->nll, s->count);
}

static wn_err run_train(void *ctx)
{
    stage *s = ctx;
    wn_params *ps = wn_model_params(s->model);
    wn_params_zero_grads(ps);
    WN_TRY(wn_model_loss_back(s->model, s->work, &s->batch, s->weight, 0, s->step++, s->nll,
                              s->count, &s->sink));
    wn_optim_step(&s->optim, ps, 1e-5, 1, 0);
    return WN_OK;
}

/* A row's prompt, at most LENGTH tokens of it. */
static wn_err row_ids(stage *s, const wn_pool *pool, uint64_t row, size_t b, wn_token_work *tw,
                      wn_row *r, wn_ids *ids)
{
    wn_ids_clear(ids);
    WN_TRY(wn_pool_row(pool, row, r));
    WN_TRY(wn_tokenizer_append(wn_model_tokenizer(s->model), tw, r->prompt.p, r->prompt.len, ids));
    size_t n = ids->n < LENGTH ? ids->n : LENGTH;
    if (n == 0)
        return wn_fail(WN_EARG, "%s: row %.*s has no token", wn_pool_path(pool), (int)r->id.len,
                       r->id.p);
    memcpy(s->id + s->off[b], ids->id, n * sizeof *ids->id);
    s->off[b + 1] = s->off[b] + (uint32_t)n;
    return WN_OK;
}

static wn_err read_ids(stage *s, const char *rows)
{
    wn_pool *pool = NULL;
    wn_token_work tw = {0};
    wn_row r = {0};
    wn_ids ids = {0};
    WN_TRY(wn_pool_open(&pool, rows, NULL, true));
    wn_err err = WN_OK;
    for (size_t b = 0; b < SEGMENTS && err == WN_OK; b++)
        err = row_ids(s, pool, b % wn_pool_rows(pool), b, &tw, &r, &ids);
    wn_row_free(&r);
    wn_ids_release(&ids);
    wn_token_work_free(&tw);
    wn_pool_close(pool);
    return err;
}

static void made_up_ids(stage *s, size_t vocab)
{
    wn_rng r = {7, WN_STREAM_TEST, 0};
    for (size_t i = 0; i < MOST; i++)
        s->id[i] = (int32_t)wn_rng_below(&r, vocab);
    for (size_t b = 0; b <= SEGMENTS; b++)
        s->off[b] = (uint32_t)(b * LENGTH);
}

/* The last LABELS tokens of each segment are supervised. */
static void set_labels(stage *s)
{
    for (size_t b = 0; b < SEGMENTS; b++) {
        uint32_t end = s->off[b + 1], from = end - s->off[b] > LABELS ? end - LABELS : s->off[b];
        s->weight[b] = 1.0f / (SEGMENTS * LABELS);
        for (uint32_t t = s->off[b]; t < end; t++) {
            s->label[t] = t + 1 >= from && t + 1 < end ? s->id[t + 1] : -1;
            s->n_labels += s->label[t] >= 0;
        }
    }
}

/* Weights that every token is multiplied by; an output head only where supervised. */
static double flops_forward(const stage *s)
{
    const wn_model_facts *f = wn_model_facts_of(s->model);
    const wn_params *ps = wn_model_params(s->model);
    double linear = 0, head = (double)f->vocab * (double)f->width;
    for (size_t i = 0; i < ps->n; i++) {
        const wn_param *p = &ps->p[i];
        bool outer = strstr(p->name, "embed") != NULL || strstr(p->name, "lm_head") != NULL;
        if (p->cols > 1 && !outer && !p->adapter)
            linear += (double)p->rows * (double)p->cols;
    }
    return 2 * linear * (double)s->batch.T + 2 * head * (double)s->n_labels;
}

static wn_err prepare(bench *b, stage *s, const char *path, bool labels, bool train)
{
    wn_model_opts mo = {.precision = b->o->common.precision};
    WN_TRY(wn_model_open(&s->model, path, &mo));
    const wn_model_facts *f = wn_model_facts_of(s->model);
    if (labels && f->shape != WN_SHAPE_DECODER)
        return wn_fail(WN_EARG, "%s: expected a decoder-only model, found %s", path, f->family);
    if (f->max_positions != 0 && f->max_positions < LENGTH)
        return wn_fail(WN_EARG, "%s: expected room for %d positions, found %zu", path, LENGTH,
                       f->max_positions);
    if (b->o->rows != NULL)
        WN_TRY(read_ids(s, b->o->rows));
    else
        made_up_ids(s, f->vocab);
    s->batch = (wn_batch){.B = SEGMENTS, .T = s->off[SEGMENTS], .id = s->id, .off = s->off};
    if (labels) {
        set_labels(s);
        s->batch.label = s->label;
    } else {
        s->hidden = wn_calloc(s->batch.T * f->width, sizeof *s->hidden);
        if (s->hidden == NULL)
            return WN_ENOMEM;
    }
    if (train) {
        WN_TRY(wn_model_add_lora(s->model, &(wn_lora_opts){0}));
        WN_TRY(wn_params_make_grads(wn_model_params(s->model)));
        WN_TRY(wn_optim_init(&s->optim, &(wn_optim_opts){0}, wn_model_params(s->model)));
        s->sink = wn_sink_train();
    }
    size_t need = wn_work_bytes(s->model, MOST, SEGMENTS, s->n_labels, train);
    if (b->o->common.max_memory != 0 && wn_mem_live() + need > b->o->common.max_memory)
        return wn_fail(WN_ENOMEM, "bench: needs %zu MB more than --max-memory allows",
                       (wn_mem_live() + need - b->o->common.max_memory) >> 20);
    wn_mem_planned();
    return wn_work_new(&s->work, s->model, MOST, SEGMENTS, s->n_labels, train);
}

static void stage_free(stage *s)
{
    wn_optim_free(&s->optim);
    wn_work_free(s->work);
    wn_model_close(s->model);
    wn_free(s->hidden);
    wn_free(s);
}

static wn_err bench_model(bench *b, const char *what, const char *path, work_fn work)
{
    bool train = work == run_train;
    char detail[96];
    double sec = 0;
    stage *s = wn_calloc(1, sizeof *s);
    if (s == NULL)
        return WN_ENOMEM;
    static const wn_mat_kind kinds[] = {WN_MAT_F32, WN_MAT_F32, WN_MAT_BF16, WN_MAT_INT8};
    wn_err err = prepare(b, s, path, work != run_hidden, train);
    if (err == WN_OK)
        err = yardstick(b, kinds[wn_model_facts_of(s->model)->precision]);
    if (err == WN_OK)
        err = measure(&sec, work, s, what);
    if (err == WN_OK) {
        const wn_model_facts *f = wn_model_facts_of(s->model);
        snprintf(detail, sizeof detail, "%.40s %s, %zu rows, %zu tokens", f->family,
                 wn_precision_name(f->precision), s->batch.B, s->batch.T);
        double flops = flops_forward(s) * (train ? 2 : 1);
        err = note(b, what, detail, (double)s->batch.T / sec, flops / sec * 1e-9);
    }
    stage_free(s);
    return err;
}

static bool wanted(const wn_bench_opts *o, const char *what, const char *needs)
{
    return o->what != NULL ? strcmp(o->what, what) == 0 : needs != NULL;
}

static wn_err run_all(bench *b)
{
    const wn_bench_opts *o = b->o;
    bool embed = wanted(o, "embed", o->encoder), forward = wanted(o, "forward", o->model);
    bool train = wanted(o, "train", o->model);
    if (embed && o->encoder == NULL)
        return wn_fail(WN_EUSE, "bench: embed needs --encoder PATH");
    if ((forward || train) && o->model == NULL)
        return wn_fail(WN_EUSE, "bench: %s needs --model PATH", o->what);
    WN_TRY(bench_products(b, !wanted(o, "gemm", "")));
    if (embed)
        WN_TRY(bench_model(b, "embed", o->encoder, run_hidden));
    if (forward)
        WN_TRY(bench_model(b, "forward", o->model, run_nll));
    if (train)
        WN_TRY(bench_model(b, "train", o->model, run_train));
    if (o->what && strcmp(o->what, "grad") == 0) {
        if (o->model == NULL)
            return wn_fail(WN_EUSE, "bench: grad needs --model PATH");
        WN_TRY(wn_bench_grad(b->list, o));
    }
    return WN_OK;
}

wn_err wn_bench_job(const wn_bench_opts *o, char **json)
{
    *json = NULL;
    bench b = {.o = o, .list = json_array()};
    char cpu[512];
    wn_cpu_features(cpu, sizeof cpu);
    wn_err err = b.list != NULL ? run_all(&b) : wn_fail_nomem(0, "bench");
    json_t *doc = err == WN_OK ? json_pack("{s:s,s:s,s:i,s:s,s:O}", "version", wn_version(),
                                           "kernel", wn_kernel_name(), "threads", wn_par_threads(),
                                           "cpu", cpu, "bench", b.list)
                               : NULL;
    json_decref(b.list);
    if (err == WN_OK && doc == NULL)
        err = wn_fail_nomem(0, "bench");
    wn_str s = {0};
    if (err == WN_OK)
        err = wn_json_dump(&s, doc, 2, false);
    json_decref(doc);
    if (err != WN_OK)
        wn_str_free(&s);
    *json = s.p;
    return err;
}
