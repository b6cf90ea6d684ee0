/* Between score.c, which makes pieces of rows, and score_batch.c, which runs them. */
#ifndef WN_EVAL_SCORE_H
#define WN_EVAL_SCORE_H

#include "base/mem.h"
#include "eval/eval.h"

/* Plain: prompt and text are one segment. Shared: the prompt is one, and every text a child of it.
 * Two-sided: the prompt is the encoder's, and every text a segment of the decoder. */
typedef enum wn_piece_kind { WN_PIECE_PLAIN, WN_PIECE_SHARED, WN_PIECE_TWO_SIDED } wn_piece_kind;

struct wn_score_piece {
    wn_piece_kind kind;
    size_t first, n;         /* texts: places in window.part and window.score */
    size_t prompt, prompt_n; /* in window.ids */
    size_t tokens, segments, labels;
    size_t source; /* tokens of the encoder's side, 0: there is none */
    uint64_t row;
};

/* A text's ids are window.ids [begin, end). */
struct wn_score_part {
    size_t begin, end;
};

struct wn_score_runner {
    wn_work *work;
    size_t max_tokens, max_segments, max_labels;
    wn_arena memory; /* the arrays of a batch */
    int32_t *id, *label, *parent, *first_label;
    uint32_t *off, *count;
    int32_t *source_id; /* these three of an encoder-decoder only */
    uint32_t *source_off, *source_of;
    double *nll;
};

/* Pieces [first, first + n) as one batch, and their sizes. */
struct wn_score_cut {
    size_t first, n;
    struct wn_score_piece sum;
};

struct wn_score_window {
    wn_model *model;
    const wn_pool *rows;
    const wn_encode_rule *rule;
    const wn_score_want *want;
    wn_encode_counts *counts;
    wn_token_work token_work;
    wn_row row;
    wn_ids prompt, targets; /* of the row being encoded */
    size_t *cut;            /* [cut_cap] of the row being encoded */
    wn_span *text;
    size_t cut_cap, text_cap;
    /* the window */
    wn_ids ids;
    struct wn_score_piece *piece;
    size_t n_pieces, pieces_cap;
    struct wn_score_part *part; /* a text each */
    size_t n_parts, parts_cap;
    wn_text_score *score; /* [score_cap] one a part */
    size_t score_cap;
    /* what batches run in: one a thread, and one that all threads share */
    struct wn_score_runner *runner;
    size_t n_runners;
    struct wn_score_runner shared;
    struct wn_score_cut *cut_of; /* [cuts_cap] batches of the window */
    size_t cuts_cap;
    size_t done; /* pieces so far; written atomically */
    uint64_t first_row, n_rows;
};

/* Tokens of a child that are computed: all but the last, at least one. */
static inline size_t wn_score_computed(size_t n)
{
    return n > 1 ? n - 1 : n;
}

/* Runs the window's pieces, which it sorts, and fills window.score; rows [first, first + rows) are
 * the pool's, for progress. */
wn_err wn_score_window(struct wn_score_window *w, uint64_t first, uint64_t rows);
void wn_score_batch_free(struct wn_score_window *w);

#endif
