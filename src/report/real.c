#include "report/real.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/report.h"
#include "eval/eval.h"
#include "report/displace.h"

enum { TOKENS = 2048, ROWS = 128 };

wn_quantity wn_real_quantity(const wn_store *s)
{
    const json_t *m = wn_store_manifest(s), *q = json_object_get(m, "quantity");
    const char *name =
        json_string_value(q ? q : json_object_get(json_object_get(m, "options"), "quantity"));
    if (name && strcmp(name, "margin-ref") == 0)
        return WN_MARGIN_REF;
    return name && strcmp(name, "margin-ref-cot") == 0 ? WN_MARGIN_REF_COT : WN_MARGIN;
}

static wn_err open_all(wn_real *r, const wn_train_opts *o, const char *rows, const char *map,
                       const wn_common *common, const wn_store *moved)
{
    wn_model_opts opts = {.precision = common->precision, .adapter = o->adapter};
    if (moved)
        wn_displace_model_opts(&opts, moved);
    wn_encode_rule rule;
    WN_TRY(wn_model_open(&r->model, o->model, &opts));
    WN_TRY(wn_eval_rule(&rule, r->model, o->max_tokens, o->max_target, o->tmpl, o->system,
                        o->loss_on_all));
    WN_TRY(wn_pool_open(&r->rows, rows, map, true));
    WN_TRY(wn_feed_open(&r->feed, r->rows, r->model, &rule));
    r->N = r->feed.rows;
    if (!r->N)
        return wn_fail(WN_EARG, "%s: no rows", rows);
    size_t tokens = r->feed.longest > TOKENS ? r->feed.longest : TOKENS;
    size_t labels = tokens < r->feed.most_labels * ROWS ? tokens : r->feed.most_labels * ROWS;
    WN_TRY(wn_work_new(&r->work, r->model, tokens, ROWS, labels, WN_WORK_TRAIN));
    WN_TRY(wn_feed_batch_new(&r->batch, &r->feed, tokens, ROWS));
    WN_NEW(r->nll, ROWS);
    WN_NEW(r->value, ROWS);
    WN_NEW(r->count, ROWS);
    return WN_OK;
}

wn_err wn_real_open(wn_real *r, const wn_train_opts *o, const char *rows, const char *map,
                    const wn_common *common, wn_quantity quantity)
{
    return wn_real_open_for(r, o, rows, map, common, quantity, NULL);
}

wn_err wn_real_open_for(wn_real *r, const wn_train_opts *o, const char *rows, const char *map,
                        const wn_common *common, wn_quantity quantity, const wn_store *moved)
{
    *r = (wn_real){.quantity = quantity};
    wn_err err = open_all(r, o, rows, map, common, moved);
    if (err != WN_OK)
        wn_real_close(r);
    return err;
}

void wn_real_close(wn_real *r)
{
    wn_feed_batch_free(&r->batch);
    wn_feed_close(&r->feed);
    wn_work_free(r->work);
    wn_pool_close(r->rows);
    wn_model_close(r->model);
    wn_free(r->nll);
    wn_free(r->value);
    wn_free(r->count);
    *r = (wn_real){0};
}

wn_err wn_real_rows(double *loss, double *margin, wn_real *r)
{
    uint64_t done = 0;
    wn_feed_batch_clear(&r->batch);
    for (uint64_t i = 0; i < r->N;) {
        bool fits;
        WN_TRY(wn_feed_add(&r->batch, &r->feed, i, 1, &fits));
        i += fits;
        if (fits && i < r->N)
            continue;
        const wn_batch *b = &r->batch.batch;
        WN_TRY(wn_model_margins(r->model, r->work, b, r->quantity, r->nll, r->value, r->count));
        for (size_t k = 0; k < b->B; k++, done++) {
            loss[done] = r->nll[k] / r->count[k];
            margin[done] = r->value[k] / r->count[k];
        }
        wn_feed_batch_clear(&r->batch);
    }
    return WN_OK;
}

wn_err wn_real_means(double *loss, double *softplus, wn_real *r, double *work)
{
    double *margin = work + r->N;
    *loss = *softplus = 0;
    WN_TRY(wn_real_rows(work, margin, r));
    for (uint64_t i = 0; i < r->N; i++) {
        *loss += work[i];
        *softplus += log1p(exp(-fabs(margin[i]))) + (margin[i] < 0 ? -margin[i] : 0);
    }
    *loss /= (double)r->N;
    *softplus /= (double)r->N;
    return WN_OK;
}
