#include "train/data.h"

#include <string.h>

#include "base/mem.h"

/* The row's ids in f->prompt (prompt, then target); *from is the first position that is supervised. */
static wn_err encode(wn_feed *f, uint64_t index, size_t *from, wn_encode_counts *counts)
{
    size_t part[2];
    wn_ids_clear(&f->prompt);
    wn_ids_clear(&f->target);
    WN_TRY(wn_pool_row(f->pool, index, &f->row));
    if (!f->row.has_target)
        return wn_fail(WN_EARG, "%s: row %.*s has no target to train on", wn_pool_path(f->pool),
                       (int)f->row.id.len, f->row.id.p);
    WN_TRY(wn_encode_targets(&f->prompt, &f->target, part, f->tokenizer, &f->work, &f->row, &f->row.target, 1,
                             &f->rule, counts));
    *from = f->rule.supervise_prompt || f->prompt.n == 0 ? 0 : f->prompt.n - 1;
    for (size_t i = 0; i < f->target.n; i++) {
        if (!WN_GROW(f->prompt.id, f->prompt.n, f->prompt.cap))
            return WN_ENOMEM;
        f->prompt.id[f->prompt.n++] = f->target.id[i];
    }
    if (f->prompt.n < 2)
        return wn_fail(WN_EARG, "%s: row %.*s has no token to predict", wn_pool_path(f->pool), (int)f->row.id.len,
                       f->row.id.p);
    return WN_OK;
}

wn_err wn_feed_open(wn_feed *f, const wn_pool *pool, const wn_tokenizer *t, const wn_encode_rule *rule)
{
    *f = (wn_feed){.pool = pool, .tokenizer = t, .rule = *rule, .rows = wn_pool_rows(pool)};
    for (uint64_t i = 0; i < f->rows; i++) {
        size_t from;
        WN_TRY(encode(f, i, &from, &f->counts));
        size_t labels = f->prompt.n - 1 - from;
        f->tokens += f->prompt.n;
        f->longest = f->prompt.n > f->longest ? f->prompt.n : f->longest;
        f->most_labels = labels > f->most_labels ? labels : f->most_labels;
    }
    return WN_OK;
}

void wn_feed_close(wn_feed *f)
{
    wn_row_free(&f->row);
    wn_token_work_free(&f->work);
    wn_ids_release(&f->prompt);
    wn_ids_release(&f->target);
}

wn_err wn_feed_batch_new(wn_feed_batch *b, size_t max_tokens, size_t max_rows)
{
    *b = (wn_feed_batch){.max_tokens = max_tokens, .max_rows = max_rows};
    WN_NEW(b->id, max_tokens);
    WN_NEW(b->label, max_tokens);
    WN_NEW(b->off, max_rows + 1);
    WN_NEW(b->example, max_rows);
    WN_NEW(b->weight, max_rows);
    b->batch = (wn_batch){.id = b->id, .label = b->label, .off = b->off, .example = b->example};
    return WN_OK;
}

void wn_feed_batch_free(wn_feed_batch *b)
{
    wn_free(b->id);
    wn_free(b->label);
    wn_free(b->off);
    wn_free(b->example);
    wn_free(b->weight);
    *b = (wn_feed_batch){0};
}

void wn_feed_batch_clear(wn_feed_batch *b)
{
    b->batch.B = b->batch.T = 0;
}

wn_err wn_feed_add(wn_feed_batch *b, wn_feed *f, uint64_t index, size_t examples, bool *fits)
{
    size_t from, B = b->batch.B, T = b->batch.T;
    wn_encode_counts ignored = {0};
    WN_TRY(encode(f, index, &from, &ignored));
    size_t n = f->prompt.n;
    *fits = B < b->max_rows && T + n <= b->max_tokens;
    if (!*fits)
        return WN_OK;
    memcpy(b->id + T, f->prompt.id, n * sizeof *b->id);
    for (size_t i = 0; i < n; i++)
        b->label[T + i] = i >= from && i + 1 < n ? f->prompt.id[i + 1] : -1;
    b->off[B] = (uint32_t)T;
    b->off[B + 1] = (uint32_t)(T + n);
    b->example[B] = index;
    b->weight[B] = (float)(1.0 / ((double)(n - 1 - from) * (double)examples));
    b->batch.B++;
    b->batch.T += n;
    return WN_OK;
}
