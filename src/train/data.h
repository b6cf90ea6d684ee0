/* Training rows as batches. Every row is made tokens once, when they are opened, so a row that
 * cannot be trained on is refused by its id before the first update, sizes are known for the plan
 * of memory, and the loop neither reads nor allocates: 4 bytes a token are held.
 *
 * A row's texts: its target alone, or, with `choices`, all of its choices. A decoder reads prompt
 * and target as one segment; with choices the prompt is a segment and each choice one that goes on
 * from it. An encoder-decoder's encoder reads the prompt once; its decoder starts each text with
 * its start token and predicts the whole of it. */
#ifndef WN_TRAIN_DATA_H
#define WN_TRAIN_DATA_H

#include "base/mem.h"
#include "model/model.h"
#include "pool/pool.h"

/* What one row costs in a batch. */
typedef struct wn_data_size {
    uint32_t tokens;   /* of this batch's side: an encoder-decoder's decoder */
    uint32_t source;   /* an encoder-decoder's encoder */
    uint32_t segments; /* of this side */
    uint32_t labels;   /* supervised tokens, of all texts */
    uint32_t gold;     /* the same, of the target alone */
} wn_data_size;

typedef struct wn_data_row {
    uint64_t begin;  /* of its prompt in `id`; the texts follow it */
    uint32_t prompt; /* tokens */
    uint32_t texts;  /* number */
    uint64_t part;   /* texts' lengths in `length` */
    uint32_t answer; /* which text is the target */
    wn_data_size size;
} wn_data_row;

typedef struct wn_data {
    const wn_pool *pool;
    wn_encode_rule rule;
    bool two_sided, choices;
    int32_t start;         /* an encoder-decoder's first decoder id */
    uint64_t rows, tokens; /* tokens: of prompts and texts, cut as they will be read */
    wn_data_row *row;      /* [rows] */
    int32_t *id;
    uint32_t *length;
    size_t n_id, cap_id, n_length, cap_length, cap_row;
    wn_data_size most; /* each member's largest of any row */
    wn_encode_counts counts;
} wn_data;

/* choices: every row needs them, and its target among them. */
wn_err wn_data_open(wn_data *f, const wn_pool *pool, const wn_model *m, const wn_encode_rule *rule,
                    bool choices);
void wn_data_close(wn_data *f);

/* A batch being put together. */
typedef struct wn_data_batch {
    wn_batch batch;
    wn_batch source; /* an encoder-decoder's prompts, a segment a row */
    int32_t *id, *label, *source_id, *parent, *first_label;
    uint32_t *off, *source_off, *source_of;
    uint64_t *example;        /* [segments] */
    uint64_t *source_example; /* [rows] */
    float *weight;            /* [segments] of each token's loss: 0 for what is no target */
    uint64_t *row;            /* [rows] which rows these are */
    uint32_t *first;          /* [rows+1] segments of row r: [first[r], first[r+1]), its prompt's
                                 own, if it has one, left out of the front */
    size_t rows, max_tokens, max_segments;
    wn_arena memory;
} wn_data_batch;

/* max_tokens: on each side of an encoder-decoder. max_segments: of this side, at least as many as
 * rows. */
wn_err wn_data_batch_new(wn_data_batch *b, const wn_data *f, size_t max_tokens,
                         size_t max_segments);
size_t wn_data_batch_bytes(size_t max_tokens, size_t max_segments);
void wn_data_batch_free(wn_data_batch *b);
void wn_data_batch_clear(wn_data_batch *b);
/* Adds row `index` of the data, whose target's tokens weigh `weight` each; false, and nothing is
 * added, where it would not fit (an empty batch takes any row it was planned for). */
bool wn_data_add(wn_data_batch *b, const wn_data *f, uint64_t index, float weight);

#endif
