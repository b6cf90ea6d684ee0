/* Evaluation on labelled rows: rank classification (the prompt computed once a row and shared by
 * all its choices, be it a decoder's first tokens or an encoder's), generation, and metrics on
 * given answers. */
#ifndef WN_EVAL_EVAL_H
#define WN_EVAL_EVAL_H

#include "eval/metric.h"
#include "model/model.h"
#include "pool/pool.h"

typedef enum wn_length_norm { WN_NORM_NONE, WN_NORM_TOKENS, WN_NORM_BYTES } wn_length_norm;
wn_err wn_length_norm_parse(wn_length_norm *n, const char *name); /* NULL: none */

/* Scores every choice of every row: nll [sum of n_choices] and tokens, in row order; start [rows +
 * 1] delimits rows. Rows without choices are refused by id. A row's figures do not depend on the
 * others. */
typedef struct wn_choice_scores {
    uint64_t rows;
    size_t *start;
    double *nll;
    uint32_t *tokens;
} wn_choice_scores;
wn_err wn_rank_rows(wn_choice_scores *out, wn_model *m, const wn_pool *rows,
                    const wn_encode_rule *rule, wn_encode_counts *counts);
void wn_choice_scores_free(wn_choice_scores *c);

/* Index of the best (lowest normalised nll; ties to the first) choice of row r, which is
 * row->index. */
wn_err wn_rank_best(size_t *best, const wn_choice_scores *c, const wn_row *row,
                    wn_length_norm norm);

/* Target nll and token count of every row (`score`, metric nll): [rows]. */
wn_err wn_nll_rows(double *nll, uint32_t *tokens, wn_model *m, const wn_pool *rows,
                   const wn_encode_rule *rule, wn_encode_counts *counts);

/* The texts behind both: rows are encoded a window at a time, batched by length under a token
 * budget, and handed to `emit` in row order. target NULL unless wanted; choice [row->n_choices]
 * NULL unless wanted and there. `stage` names the progress. */
typedef struct wn_text_score {
    double nll; /* sum over the text's tokens, EOS included */
    uint32_t tokens;
} wn_text_score;
typedef wn_err (*wn_score_emit)(void *ctx, const wn_row *row, const wn_text_score *target,
                                const wn_text_score *choice);
typedef struct wn_score_want {
    bool target;       /* of rows that have one; a row without is refused by id */
    bool choices;      /* of rows that have them */
    bool need_choices; /* a row without choices is refused by id */
    const char *stage;
} wn_score_want;
wn_err wn_score_texts(wn_model *m, const wn_pool *rows, const wn_encode_rule *rule,
                      const wn_score_want *want, wn_score_emit emit, void *ctx,
                      wn_encode_counts *counts);

/* The rule by which the jobs encode rows for this model: max_tokens 0 is the model's positions, or
 * 512 for an encoder-decoder's encoder. Refuses a model that gives no probabilities of a next
 * token, and supervise_prompt of an encoder-decoder, whose prompt is not predicted. */
wn_err wn_eval_rule(wn_encode_rule *rule, const wn_model *m, size_t max_tokens, size_t max_target,
                    const char *tmpl, bool supervise_prompt);

#endif
