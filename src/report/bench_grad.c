#include "report/bench_grad.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/report.h"
#include "base/rng.h"
#include "feature/gradsink.h"
#include "train/optim.h"

enum { ROWS = 16, LENGTH = 128, TOKENS = ROWS * LENGTH, LABELS = 16 };
#define LEAST_SEC 3.0

typedef struct stage {
    wn_model *model;
    wn_params *params;
    wn_work *work;
    wn_optim optim;
    wn_chosen chosen;
    wn_projection projection;
    wn_grad_sink *sink;
    wn_batch batch;
    bool full;
    int32_t id[TOKENS], label[TOKENS];
    uint32_t off[ROWS + 1], count[ROWS];
    float weight[ROWS];
    double nll[ROWS], margin[ROWS];
    uint64_t step;
} stage;

static void made_up_batch(stage *s, size_t vocab)
{
    wn_rng r = {7, WN_STREAM_TEST, 0};
    for (size_t t = 0; t < TOKENS; t++) {
        s->id[t] = (int32_t)wn_rng_below(&r, vocab);
        s->label[t] = -1;
    }
    for (size_t b = 0; b < ROWS; b++) {
        uint32_t end = (uint32_t)(b + 1) * LENGTH;
        s->off[b + 1] = end;
        s->weight[b] = 1.0f / LABELS;
        for (uint32_t t = end - LABELS; t < end; t++)
            s->label[t - 1] = s->id[t];
    }
    s->batch = (wn_batch){.B = ROWS, .T = TOKENS, .id = s->id, .off = s->off, .label = s->label};
}

static wn_err update(stage *s)
{
    wn_sink sink = wn_sink_train();
    wn_params_zero_grads(s->params);
    WN_TRY(wn_model_loss_back(s->model, s->work, &s->batch, s->weight, 0, s->step++, s->nll,
                              s->count, &sink));
    wn_optim_step(&s->optim, s->params, 1e-6, 1, 0);
    if (s->full)
        wn_model_refresh(s->model);
    return WN_OK;
}

static wn_err gradients(stage *s)
{
    wn_sink calls = wn_grad_sink_calls(s->sink);
    wn_grad_sink_begin(s->sink, ROWS);
    WN_TRY(wn_model_example_back(s->model, s->work, &s->batch, WN_MARGIN, s->weight, s->nll,
                                 s->margin, s->count, &calls));
    wn_grad_sink_finish(s->sink);
    return WN_OK;
}

/* Seconds a call, the first left out. */
static wn_err measure(double *sec, wn_err (*work)(stage *s), stage *s)
{
    WN_TRY(work(s));
    double start = wn_seconds(), now = start;
    unsigned n = 0;
    do {
        WN_TRY(work(s));
        n++;
        now = wn_seconds();
        WN_TRY(wn_progress("grad", "runs", n, 0, NULL));
    } while (now - start < LEAST_SEC);
    *sec = (now - start) / n;
    return WN_OK;
}

static wn_err note(json_t *list, const char *what, const char *detail, double sec, double ratio)
{
    json_t *row =
        json_pack("{s:s,s:s,s:f}", "what", what, "detail", detail, "tokens_per_sec", TOKENS / sec);
    if (row && ratio > 0)
        json_object_set_new(row, "ratio", json_real(ratio));
    return row && json_array_append_new(list, row) == 0 ? WN_OK : wn_fail_nomem(0, "bench");
}

static wn_err add_lora(stage *s)
{
    wn_lora_opts lora = {.targets = "q_proj,v_proj"};
    bool named = false;
    for (size_t i = 0; i < s->params->n; i++)
        named = named || strstr(s->params->p[i].name, "q_proj.weight");
    if (!named)
        lora.targets = NULL;
    return wn_model_add_lora(s->model, &lora);
}

static wn_err prepare(stage *s, const wn_bench_opts *o)
{
    WN_TRY(
        wn_model_open(&s->model, o->model,
                      &(wn_model_opts){.precision = o->common.precision, .train_full = s->full}));
    const wn_model_facts *f = wn_model_facts_of(s->model);
    if (f->shape != WN_SHAPE_DECODER)
        return wn_fail(WN_EARG, "%s: expected a decoder-only model, found %s", o->model, f->family);
    if (f->max_positions && f->max_positions < LENGTH)
        return wn_fail(WN_EARG, "%s: expected room for %d positions, found %zu", o->model, LENGTH,
                       f->max_positions);
    s->params = wn_model_params(s->model);
    made_up_batch(s, f->vocab);
    if (!s->full)
        WN_TRY(add_lora(s));
    WN_TRY(wn_choose(&s->chosen, s->model, s->full ? "all" : "lora"));
    wn_work_kind kind = s->full ? WN_WORK_EXAMPLES : WN_WORK_TRAIN;
    size_t need = wn_work_bytes(s->model, TOKENS, ROWS, ROWS * LABELS, kind) +
                  3 * sizeof(float) * (size_t)s->chosen.p;
    if (o->common.max_memory && wn_mem_live() + need > o->common.max_memory)
        return wn_fail(WN_ENOMEM, "bench: needs %zu MB more than --max-memory allows",
                       (wn_mem_live() + need - o->common.max_memory) >> 20);
    wn_mem_planned();
    WN_TRY(wn_work_new(&s->work, s->model, TOKENS, ROWS, ROWS * LABELS, kind));
    WN_TRY(wn_params_make_grads(s->params));
    return wn_optim_init(&s->optim, &(wn_optim_opts){0}, s->params);
}

static wn_err compare(stage *s, json_t *list, size_t d)
{
    char detail[96], what[32];
    double step, sec;
    const wn_model_facts *f = wn_model_facts_of(s->model);
    WN_TRY(measure(&step, update, s));
    wn_optim_free(&s->optim);
    WN_TRY(wn_projection_init(&s->projection, WN_PROJECT_RADEMACHER, d, 0, &s->chosen, 0));
    const wn_grad_sink_opts o = {.params = s->params,
                                 .chosen = &s->chosen,
                                 .projection = &s->projection,
                                 .max_examples = ROWS,
                                 .max_tokens = TOKENS,
                                 .width = f->width};
    WN_TRY(wn_grad_sink_new(&s->sink, &o));
    WN_TRY(measure(&sec, gradients, s));
    snprintf(detail, sizeof detail, "%.40s %s, %d rows, %d tokens, %llu parameters", f->family,
             f->precision == WN_PRECISION_BF16 ? "bf16" : "f32", ROWS, TOKENS,
             (unsigned long long)s->chosen.p);
    snprintf(what, sizeof what, "%s update", s->full ? "full" : "lora");
    WN_TRY(note(list, what, detail, step, 0));
    snprintf(what, sizeof what, "%s gradients, d = %zu", s->full ? "full" : "lora", d);
    return note(list, what, detail, sec, sec / step);
}

static wn_err one(json_t *list, const wn_bench_opts *o, bool full, size_t d)
{
    stage *s = wn_calloc(1, sizeof *s);
    if (!s)
        return WN_ENOMEM;
    s->full = full;
    wn_err e = prepare(s, o);
    if (!e)
        e = compare(s, list, d);
    wn_grad_sink_free(s->sink);
    wn_projection_free(&s->projection);
    wn_chosen_free(&s->chosen);
    wn_optim_free(&s->optim);
    wn_work_free(s->work);
    wn_model_close(s->model);
    wn_free(s);
    return e;
}

wn_err wn_bench_grad(json_t *list, const wn_bench_opts *o)
{
    WN_TRY(one(list, o, false, 400));
    return one(list, o, true, 100);
}
