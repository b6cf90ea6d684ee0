#include "feature/feed.h"

#include <string.h>

#include "base/mem.h"

static bool two_sided(const wn_feed *f)
{
    return f->rule.shape == WN_SHAPE_ENCDEC;
}

/* The row's ids in f->prompt and f->target. */
static wn_err encode(wn_feed *f, uint64_t index, wn_encode_counts *counts)
{
    size_t part[2];
    wn_ids_clear(&f->prompt);
    wn_ids_clear(&f->target);
    WN_TRY(wn_pool_row(f->pool, index, &f->row));
    if (!f->row.has_target)
        return wn_fail(WN_EARG, "%s: row %.*s has no target", wn_pool_path(f->pool),
                       (int)f->row.id.len, f->row.id.p);
    return wn_encode_targets(&f->prompt, &f->target, part, f->tokenizer, &f->work, &f->row,
                             &f->row.target, 1, &f->rule, counts);
}

/* Puts the target behind the prompt; *from is the first position that is supervised. */
static wn_err join(wn_feed *f, size_t *from)
{
    *from = f->rule.supervise_prompt || f->prompt.n == 0 ? 0 : f->prompt.n - 1;
    for (size_t i = 0; i < f->target.n; i++) {
        if (!WN_GROW(f->prompt.id, f->prompt.n, f->prompt.cap))
            return WN_ENOMEM;
        f->prompt.id[f->prompt.n++] = f->target.id[i];
    }
    if (f->prompt.n < 2)
        return wn_fail(WN_EARG, "%s: row %.*s has no token to predict", wn_pool_path(f->pool),
                       (int)f->row.id.len, f->row.id.p);
    return WN_OK;
}

static void measure(wn_feed *f, uint64_t row, size_t tokens, size_t source, size_t labels)
{
    size_t longest = tokens > source ? tokens : source;
    f->size[row] = (wn_feed_size){(uint32_t)tokens, (uint32_t)source, (uint32_t)labels};
    f->tokens += tokens + source;
    f->longest = longest > f->longest ? longest : f->longest;
    f->most_labels = labels > f->most_labels ? labels : f->most_labels;
}

wn_err wn_feed_open(wn_feed *f, const wn_pool *pool, const wn_model *m, const wn_encode_rule *rule)
{
    *f = (wn_feed){.pool = pool,
                   .tokenizer = wn_model_tokenizer(m),
                   .rule = *rule,
                   .start = wn_model_facts_of(m)->decoder_start,
                   .rows = wn_pool_rows(pool)};
    WN_NEW(f->size, f->rows + 1);
    for (uint64_t i = 0; i < f->rows; i++) {
        WN_TRY(encode(f, i, &f->counts));
        size_t from, p = f->prompt.n, t = f->target.n;
        if (two_sided(f)) {
            if (p == 0)
                return wn_fail(WN_EARG, "%s: row %.*s has no prompt token", wn_pool_path(pool),
                               (int)f->row.id.len, f->row.id.p);
            measure(f, i, t, p, t);
            continue;
        }
        WN_TRY(join(f, &from));
        measure(f, i, p + t, 0, p + t - 1 - from);
    }
    return WN_OK;
}

void wn_feed_close(wn_feed *f)
{
    wn_row_free(&f->row);
    wn_token_work_free(&f->work);
    wn_ids_release(&f->prompt);
    wn_ids_release(&f->target);
    wn_free(f->size);
}

wn_err wn_feed_batch_new(wn_feed_batch *b, const wn_feed *f, size_t max_tokens, size_t max_rows)
{
    *b = (wn_feed_batch){.max_tokens = max_tokens, .max_rows = max_rows};
    WN_NEW(b->id, max_tokens);
    WN_NEW(b->label, max_tokens);
    WN_NEW(b->off, max_rows + 1);
    WN_NEW(b->example, max_rows);
    WN_NEW(b->weight, max_rows);
    b->batch = (wn_batch){.id = b->id, .label = b->label, .off = b->off, .example = b->example};
    if (!two_sided(f))
        return WN_OK;
    WN_NEW(b->source_id, max_tokens);
    WN_NEW(b->source_off, max_rows + 1);
    WN_NEW(b->source_of, max_rows);
    for (size_t i = 0; i < max_rows; i++)
        b->source_of[i] = (uint32_t)i;
    b->source = (wn_batch){.id = b->source_id, .off = b->source_off, .example = b->example};
    b->batch.source = &b->source;
    b->batch.source_of = b->source_of;
    return WN_OK;
}

void wn_feed_batch_free(wn_feed_batch *b)
{
    wn_free(b->id);
    wn_free(b->label);
    wn_free(b->off);
    wn_free(b->example);
    wn_free(b->weight);
    wn_free(b->source_id);
    wn_free(b->source_off);
    wn_free(b->source_of);
    *b = (wn_feed_batch){0};
}

void wn_feed_batch_clear(wn_feed_batch *b)
{
    b->batch.B = b->batch.T = b->source.B = b->source.T = b->labels = 0;
}

size_t wn_feed_batch_tokens(const wn_feed_batch *b)
{
    return b->batch.T + b->source.T;
}

static bool has_room(const wn_feed_batch *b, size_t tokens, size_t source, size_t labels)
{
    return (!b->max_labels || b->labels + labels <= b->max_labels) && b->batch.B < b->max_rows &&
           b->batch.T + tokens <= b->max_tokens && b->source.T + source <= b->max_tokens;
}

size_t wn_feed_fill(const wn_feed_batch *b, const wn_feed *f, uint64_t first)
{
    wn_feed_batch full = *b;
    full.batch.B = full.batch.T = full.source.T = full.labels = 0;
    while (first + full.batch.B < f->rows) {
        const wn_feed_size *z = &f->size[first + full.batch.B];
        if (full.batch.B && !has_room(&full, z->tokens, z->source, z->labels))
            break;
        full.batch.T += z->tokens;
        full.source.T += z->source;
        full.labels += z->labels;
        full.batch.B++;
    }
    return full.batch.B;
}

/* Ends the row whose n tokens, `labels` of them supervised, are in place. */
static void end_row(wn_feed_batch *b, uint64_t index, size_t n, size_t labels, size_t examples)
{
    size_t B = b->batch.B++;
    b->off[B] = (uint32_t)b->batch.T;
    b->batch.T += n;
    b->off[B + 1] = (uint32_t)b->batch.T;
    b->labels += labels;
    b->example[B] = index;
    b->weight[B] = (float)(1.0 / ((double)labels * (double)examples));
}

static void add_two_sided(wn_feed_batch *b, const wn_feed *f, uint64_t index, size_t examples)
{
    wn_batch *s = &b->source;
    size_t n = f->target.n;
    int32_t *id = b->id + b->batch.T;
    memcpy(b->source_id + s->T, f->prompt.id, f->prompt.n * sizeof *b->source_id);
    b->source_off[s->B] = (uint32_t)s->T;
    s->T += f->prompt.n;
    b->source_off[++s->B] = (uint32_t)s->T;
    id[0] = f->start;
    memcpy(id + 1, f->target.id, (n - 1) * sizeof *id);
    memcpy(b->label + b->batch.T, f->target.id, n * sizeof *b->label);
    end_row(b, index, n, n, examples);
}

wn_err wn_feed_add(wn_feed_batch *b, wn_feed *f, uint64_t index, size_t examples, bool *fits)
{
    size_t from, T = b->batch.T;
    wn_encode_counts ignored = {0};
    WN_TRY(encode(f, index, &ignored));
    if (two_sided(f)) {
        *fits = has_room(b, f->target.n, f->prompt.n, f->target.n);
        if (*fits)
            add_two_sided(b, f, index, examples);
        return WN_OK;
    }
    WN_TRY(join(f, &from));
    size_t n = f->prompt.n;
    *fits = has_room(b, n, 0, n - 1 - from);
    if (!*fits)
        return WN_OK;
    memcpy(b->id + T, f->prompt.id, n * sizeof *b->id);
    for (size_t i = 0; i < n; i++)
        b->label[T + i] = i >= from && i + 1 < n ? f->prompt.id[i + 1] : -1;
    end_row(b, index, n, n - 1 - from, examples);
    return WN_OK;
}
