#include "feature/grad.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/ranks.h"
#include "base/report.h"

enum { BATCH_TOKENS = 2048, LOGIT_BYTES = 256 << 20, MOST_ROWS = 128 };

static const char *const names[] = {"loss", "margin", "margin-ref", "margin-ref-cot"};

wn_err wn_quantity_parse(wn_quantity *q, const char *name)
{
    *q = WN_LOSS;
    for (int i = 0; name && i < 4; i++)
        if (strcmp(name, names[i]) == 0) {
            *q = (wn_quantity)i;
            return WN_OK;
        }
    return name ? wn_fail(WN_EARG,
                          "quantity \"%s\": expected loss, margin, margin-ref or margin-ref-cot",
                          name)
                : WN_OK;
}

const char *wn_quantity_name(wn_quantity q)
{
    return names[q];
}

struct run {
    wn_model *m;
    wn_feed *feed;
    const wn_grad_rule *rule;
    wn_grad_emit emit;
    void *ctx;
    wn_work *work;
    wn_grad_sink *sink;
    wn_feed_batch batch;
    wn_row row;
    double *nll, *margin;
    uint32_t *count;
    uint64_t at_batch, at_row; /* the batch to be made, and its first row */
    uint64_t next, tokens;     /* row to be emitted; tokens emitted so far */
    double start;
};

/* The output matrix or its adapter is among the chosen: the head must keep all its positions. */
static bool head_chosen(const wn_model *m, const wn_chosen *c)
{
    for (size_t i = 0; i < c->n; i++)
        if (wn_model_is_output(m, c->param[i]))
            return true;
    return false;
}

/* What a row's result begins with; the vectors stand behind those of all rows of the batch. */
struct head {
    uint32_t tokens;
    float loss, margin;
};

/* What a batch may hold. */
struct sizes {
    wn_work_kind kind;
    size_t tokens, rows, labels;
    wn_grad_sink_opts sink;
};

static struct sizes sizes_of(const wn_model *m, const wn_feed *feed, const wn_grad_rule *rule,
                             const wn_grad_sink_opts *o)
{
    const wn_model_facts *f = wn_model_facts_of(m);
    struct sizes z = {.rows = MOST_ROWS, .sink = *o};
    z.tokens = rule->batch_tokens ? rule->batch_tokens : BATCH_TOKENS;
    z.tokens = z.tokens < feed->longest ? feed->longest : z.tokens;
    z.kind = head_chosen(m, o->chosen) ? WN_WORK_EXAMPLES : WN_WORK_TRAIN;
    z.labels = z.tokens;
    if (z.kind == WN_WORK_EXAMPLES) {
        z.labels = LOGIT_BYTES / (f->vocab * sizeof(float));
        z.labels = z.labels > z.tokens ? z.tokens : z.labels;
        z.labels = z.labels < feed->most_labels ? feed->most_labels : z.labels;
    }
    /* raw gradients and wide projections: fewer rows rather than gigabytes of sums */
    size_t row_bytes = (o->projection ? o->projection->d : (size_t)o->chosen->p) * sizeof(double);
    while (z.rows > 1 && z.rows * row_bytes > LOGIT_BYTES)
        z.rows /= 2;
    z.sink.params = wn_model_params((wn_model *)m);
    z.sink.max_examples = z.rows;
    z.sink.max_tokens = z.tokens;
    z.sink.width = f->width;
    return z;
}

uint64_t wn_grad_bytes(const wn_model *m, const wn_feed *feed, const wn_grad_rule *rule,
                       const wn_grad_sink_opts *sink)
{
    struct sizes z = sizes_of(m, feed, rule, sink);
    size_t dim = sink->projection ? sink->projection->d : (size_t)sink->chosen->p;
    size_t held = wn_ranks() > 1 ? 2 : 1; /* results: ranks.h */
    return wn_work_bytes(m, z.tokens, z.rows, z.labels, z.kind) + wn_grad_sink_bytes(&z.sink) +
           held * z.rows * (sizeof(struct head) + dim * sizeof(float));
}

wn_err wn_grad_fits(const wn_model *m, const wn_feed *feed, const wn_grad_rule *rule,
                    const wn_grad_sink_opts *sink)
{
    struct sizes z = sizes_of(m, feed, rule, sink);
    size_t need = wn_mem_live() + wn_grad_bytes(m, feed, rule, sink);
    if (!rule->max_memory || need <= rule->max_memory) {
        wn_mem_planned();
        return WN_OK;
    }
    return wn_fail(WN_ENOMEM,
                   "grad: needs %zu MB (batches of %zu tokens), max-memory allows %llu MB",
                   need >> 20, z.tokens, (unsigned long long)(rule->max_memory >> 20));
}

static wn_err reserve(struct run *r, const wn_grad_sink_opts *o)
{
    struct sizes z = sizes_of(r->m, r->feed, r->rule, o);
    WN_TRY(wn_grad_fits(r->m, r->feed, r->rule, o));
    WN_TRY(wn_work_new(&r->work, r->m, z.tokens, z.rows, z.labels, z.kind));
    WN_TRY(wn_grad_sink_new(&r->sink, &z.sink));
    WN_TRY(wn_feed_batch_new(&r->batch, r->feed, z.tokens, z.rows));
    r->batch.max_labels = z.labels;
    WN_NEW(r->nll, z.rows);
    WN_NEW(r->margin, z.rows);
    WN_NEW(r->count, z.rows);
    return WN_OK;
}

/* ---- batches, dealt to the ranks ---- */

/* Goes on to a batch that is not before the one gone to last: where it begins, as those before it
 * fill up. */
static void go_to(struct run *r, uint64_t batch)
{
    for (; r->at_batch < batch; r->at_batch++)
        r->at_row += wn_feed_fill(&r->batch, r->feed, r->at_row);
}

static wn_err make_batch(void *ctx, uint64_t index, wn_str *result)
{
    struct run *r = ctx;
    const wn_feed_batch *f = &r->batch;
    size_t dim = wn_grad_sink_dim(r->sink);
    wn_sink calls = wn_grad_sink_calls(r->sink);
    bool fits = true;
    go_to(r, index);
    size_t n = wn_feed_fill(f, r->feed, r->at_row);
    wn_feed_batch_clear(&r->batch);
    for (size_t i = 0; i < n && fits; i++)
        WN_TRY(wn_feed_add(&r->batch, r->feed, r->at_row + i, 1, &fits));
    WN_ASSERT(fits && n > 0);
    wn_grad_sink_begin(r->sink, n);
    WN_TRY(wn_model_example_back(r->m, r->work, &f->batch, r->rule->quantity, f->weight, r->nll,
                                 r->margin, r->count, &calls));
    wn_grad_sink_finish(r->sink);
    for (size_t b = 0; b < n; b++) {
        struct head h = {.tokens = f->off[b + 1] - f->off[b],
                         .loss = (float)(r->nll[b] / r->count[b]),
                         .margin = (float)(r->margin[b] / r->count[b])};
        if (f->batch.source)
            h.tokens += f->source_off[b + 1] - f->source_off[b];
        wn_str_add(result, &h, sizeof h);
    }
    float *vectors = (void *)wn_str_room(result, n * dim * sizeof *vectors);
    WN_TRY(wn_str_check(result));
    for (size_t b = 0; b < n; b++)
        wn_grad_sink_row(r->sink, b, vectors + b * dim);
    return WN_OK;
}

static wn_err emit_row(struct run *r, const struct head *h, const float *vector)
{
    const wn_grad_row out = {.index = r->next,
                             .row = &r->row,
                             .vector = vector,
                             .tokens = h->tokens,
                             .loss = h->loss,
                             .margin = h->margin};
    WN_TRY(wn_pool_row(r->feed->pool, out.index, &r->row));
    const char *what = !isfinite(out.loss) ? "loss" : !isfinite(out.margin) ? "margin" : NULL;
    if (!what && !wn_all_finite(vector, wn_grad_sink_dim(r->sink)))
        what = "gradient";
    if (what)
        return wn_fail(WN_EFORMAT, "%s: row %.*s: its %s (%s) is not a number%s",
                       wn_pool_path(r->feed->pool), (int)r->row.id.len, r->row.id.p, what,
                       wn_quantity_name(r->rule->quantity),
                       r->rule->quantity == WN_MARGIN_REF_COT
                           ? ": the model gives a target token less than 0.001"
                           : "");
    r->tokens += h->tokens;
    r->next++;
    return r->emit(r->ctx, &out);
}

static wn_err take_batch(void *ctx, uint64_t index, const char *result, size_t bytes)
{
    (void)index;
    struct run *r = ctx;
    char note[64];
    size_t dim = wn_grad_sink_dim(r->sink);
    const struct head *h = (const void *)result;
    size_t n = bytes / (sizeof *h + dim * sizeof(float));
    const float *vector = (const void *)(h + n);
    for (size_t b = 0; b < n; b++)
        WN_TRY(emit_row(r, &h[b], vector + b * dim));
    snprintf(note, sizeof note, "%.0f tokens/s",
             (double)r->tokens / (wn_seconds() - r->start + 1e-9));
    return wn_progress("grad", "rows", r->next, r->feed->rows, note);
}

static wn_err run_rows(struct run *r, uint64_t first)
{
    wn_deal d = {.ctx = r, .make = make_batch, .take = take_batch};
    for (uint64_t row = first; row < r->feed->rows; d.chunks++)
        row += wn_feed_fill(&r->batch, r->feed, row);
    r->at_row = r->next = first;
    r->start = wn_seconds();
    return wn_ranks_deal(&d);
}

wn_err wn_grad_rows(wn_model *m, wn_feed *feed, uint64_t first, const wn_grad_rule *rule,
                    const wn_grad_sink_opts *sink, wn_grad_emit emit, void *ctx)
{
    struct run r = {.m = m, .feed = feed, .rule = rule, .emit = emit, .ctx = ctx};
    wn_err e = reserve(&r, sink);
    if (!e)
        e = run_rows(&r, first);
    wn_work_free(r.work);
    wn_grad_sink_free(r.sink);
    wn_feed_batch_free(&r.batch);
    wn_row_free(&r.row);
    wn_free(r.nll);
    wn_free(r.margin);
    wn_free(r.count);
    return e;
}
