/* Rows with their targets as batches for a backward pass: encoded on demand, in the order asked
 * for.
 *
 * A decoder reads prompt and target as one segment. An encoder-decoder's encoder reads the prompt,
 * its decoder starts with its start token and reads the target without its last id; the whole
 * target is predicted. */
#ifndef WN_FEATURE_FEED_H
#define WN_FEATURE_FEED_H

#include "model/model.h"
#include "pool/pool.h"

/* Tokens of a row, of an encoder-decoder's encoder (else 0), and those that are supervised. */
typedef struct wn_feed_size {
    uint32_t tokens, source, labels;
} wn_feed_size;

typedef struct wn_feed {
    const wn_pool *pool;
    const wn_tokenizer *tokenizer;
    wn_encode_rule rule;
    int32_t start; /* an encoder-decoder's first decoder id */
    wn_row row;
    wn_token_work work;
    wn_ids prompt, target; /* of the row at hand; a decoder's prompt has the target behind it */
    /* what the first pass over all rows found */
    wn_feed_size *size;    /* [rows] */
    uint64_t rows, tokens; /* of both sides, as longest is of either */
    size_t longest, most_labels;
    wn_encode_counts counts;
} wn_feed;

/* Encodes every row once, so that a row that cannot be trained on is refused, by id, before the
 * first step. */
wn_err wn_feed_open(wn_feed *f, const wn_pool *pool, const wn_model *m, const wn_encode_rule *rule);
void wn_feed_close(wn_feed *f);

/* A batch being put together. */
typedef struct wn_feed_batch {
    wn_batch batch;
    wn_batch source; /* an encoder-decoder's prompts, a segment a row */
    int32_t *id, *label, *source_id;
    uint32_t *off, *source_off, *source_of;
    uint64_t *example;
    float *weight;
    size_t max_tokens, max_rows;
    size_t labels, max_labels; /* supervised tokens; max 0: no limit */
} wn_feed_batch;
/* max_tokens: on each side of an encoder-decoder. */
wn_err wn_feed_batch_new(wn_feed_batch *b, const wn_feed *f, size_t max_tokens, size_t max_rows);
void wn_feed_batch_free(wn_feed_batch *b);
void wn_feed_batch_clear(wn_feed_batch *b);
size_t wn_feed_batch_tokens(const wn_feed_batch *b); /* of both sides */
/* How many rows from `first` on fill such a batch: at least 1, where there is one. */
size_t wn_feed_fill(const wn_feed_batch *b, const wn_feed *f, uint64_t first);
/* Adds row `index`; *fits is false, and nothing is added, where it would pass max_tokens (an empty
 * batch takes any row). weight is 1 / (its supervised tokens * examples). */
wn_err wn_feed_add(wn_feed_batch *b, wn_feed *f, uint64_t index, size_t examples, bool *fits);

#endif
