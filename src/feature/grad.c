#include "feature/grad.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
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
    float *vector;
    uint64_t next, total, tokens; /* row behind the batch's last; rows in all; tokens so far */
    double start;
};

/* The output matrix is among the chosen: the head must keep all its positions. */
static bool head_chosen(const wn_model *m, const wn_chosen *c)
{
    size_t vocab = wn_model_facts_of(m)->vocab;
    for (size_t i = 0; i < c->n; i++)
        if (c->param[i]->rows == vocab && !c->param[i]->adapter)
            return true;
    return false;
}

/* Memory for batches of so many tokens and rows, or the longest row. */
static wn_err reserve(struct run *r, const wn_grad_sink_opts *o)
{
    const wn_model_facts *f = wn_model_facts_of(r->m);
    size_t tokens = r->rule->batch_tokens ? r->rule->batch_tokens : BATCH_TOKENS;
    tokens = tokens < r->feed->longest ? r->feed->longest : tokens;
    wn_work_kind use = head_chosen(r->m, o->chosen) ? WN_WORK_EXAMPLES : WN_WORK_TRAIN;
    size_t labels = tokens, rows = MOST_ROWS;
    if (use == WN_WORK_EXAMPLES) {
        labels = LOGIT_BYTES / (f->vocab * sizeof(float));
        labels = labels > tokens ? tokens : labels;
        labels = labels < r->feed->most_labels ? r->feed->most_labels : labels;
    }
    /* raw gradients and wide projections: fewer rows rather than gigabytes of sums */
    size_t row_bytes = (o->projection ? o->projection->d : (size_t)o->chosen->p) * sizeof(double);
    while (rows > 1 && rows * row_bytes > LOGIT_BYTES)
        rows /= 2;
    wn_grad_sink_opts sink = *o;
    sink.max_examples = rows;
    sink.max_tokens = tokens;
    sink.width = f->width;
    size_t need = wn_work_bytes(r->m, tokens, rows, labels, use) + wn_grad_sink_bytes(&sink);
    if (r->rule->max_memory && wn_mem_live() + need > r->rule->max_memory)
        return wn_fail(
            WN_ENOMEM, "grad: needs %zu MB (batches of %zu tokens), max-memory allows %llu MB",
            (wn_mem_live() + need) >> 20, tokens, (unsigned long long)(r->rule->max_memory >> 20));
    WN_TRY(wn_work_new(&r->work, r->m, tokens, rows, labels, use));
    WN_TRY(wn_grad_sink_new(&r->sink, &sink));
    WN_TRY(wn_feed_batch_new(&r->batch, r->feed, tokens, rows));
    r->batch.max_labels = labels;
    WN_NEW(r->nll, rows);
    WN_NEW(r->margin, rows);
    WN_NEW(r->count, rows);
    WN_NEW(r->vector, wn_grad_sink_dim(r->sink));
    return WN_OK;
}

static wn_err emit_row(struct run *r, size_t b)
{
    const wn_feed_batch *f = &r->batch;
    wn_grad_row out = {.index = f->example[b], .row = &r->row, .vector = r->vector};
    out.loss = (float)(r->nll[b] / r->count[b]);
    out.margin = (float)(r->margin[b] / r->count[b]);
    out.tokens = f->off[b + 1] - f->off[b];
    if (f->batch.source)
        out.tokens += f->source_off[b + 1] - f->source_off[b];
    WN_TRY(wn_pool_row(r->feed->pool, out.index, &r->row));
    const char *what = !isfinite(out.loss) ? "loss" : !isfinite(out.margin) ? "margin" : NULL;
    wn_grad_sink_row(r->sink, b, r->vector);
    if (!what && !wn_all_finite(r->vector, wn_grad_sink_dim(r->sink)))
        what = "gradient";
    if (what)
        return wn_fail(WN_EFORMAT, "%s: row %.*s: its %s (%s) is not a number%s",
                       wn_pool_path(r->feed->pool), (int)r->row.id.len, r->row.id.p, what,
                       wn_quantity_name(r->rule->quantity),
                       r->rule->quantity == WN_MARGIN_REF_COT
                           ? ": the model gives a target token less than 0.001"
                           : "");
    return r->emit(r->ctx, &out);
}

static wn_err run_batch(struct run *r)
{
    const wn_feed_batch *f = &r->batch;
    char note[64];
    wn_sink calls = wn_grad_sink_calls(r->sink);
    wn_grad_sink_begin(r->sink, f->batch.B);
    WN_TRY(wn_model_example_back(r->m, r->work, &f->batch, r->rule->quantity, f->weight, r->nll,
                                 r->margin, r->count, &calls));
    wn_grad_sink_finish(r->sink);
    for (size_t b = 0; b < f->batch.B; b++)
        WN_TRY(emit_row(r, b));
    r->tokens += wn_feed_batch_tokens(f);
    wn_feed_batch_clear(&r->batch);
    snprintf(note, sizeof note, "%.0f tokens/s",
             (double)r->tokens / (wn_seconds() - r->start + 1e-9));
    return wn_progress("grad", "rows", r->next, r->total, note);
}

static wn_err run_rows(struct run *r, uint64_t first)
{
    r->start = wn_seconds();
    for (r->next = first; r->next < r->total;) {
        bool fits;
        WN_TRY(wn_feed_add(&r->batch, r->feed, r->next, 1, &fits));
        WN_ASSERT(fits || r->batch.batch.B);
        r->next += fits;
        if (!fits || r->next == r->total)
            WN_TRY(run_batch(r));
    }
    return WN_OK;
}

wn_err wn_grad_rows(wn_model *m, wn_feed *feed, uint64_t first, const wn_grad_rule *rule,
                    const wn_grad_sink_opts *sink, wn_grad_emit emit, void *ctx)
{
    struct run r = {
        .m = m, .feed = feed, .rule = rule, .emit = emit, .ctx = ctx, .total = feed->rows};
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
    wn_free(r.vector);
    return e;
}
