/* Evaluation on labelled rows: rank classification (the prompt computed once a row and shared by
 * all its choices), generation, and metrics on given answers. */
#ifndef WN_EVAL_EVAL_H
#define WN_EVAL_EVAL_H

#include "eval/metric.h"
#include "model/model.h"
#include "pool/pool.h"

typedef enum wn_length_norm { WN_NORM_NONE, WN_NORM_TOKENS, WN_NORM_BYTES } wn_length_norm;

/* Scores every choice of every row: nll [sum of n_choices] and tokens, in row order; start [rows +
 * 1] delimits rows. Rows without choices are refused by id. */
typedef struct wn_choice_scores {
    uint64_t rows;
    size_t *start;
    double *nll;
    uint32_t *tokens;
} wn_choice_scores;
wn_err wn_rank_rows(wn_choice_scores *out, wn_model *m, const wn_pool *rows,
                    const wn_encode_rule *rule, wn_encode_counts *counts);
void wn_choice_scores_free(wn_choice_scores *c);

/* Index of the best (lowest normalised nll; ties to the first) choice of row r. */
wn_err wn_rank_best(size_t *best, const wn_choice_scores *c, const wn_row *row,
                    wn_length_norm norm);

/* Target nll and token count of every row (`score`, metric nll): [rows]. */
wn_err wn_nll_rows(double *nll, uint32_t *tokens, wn_model *m, const wn_pool *rows,
                   const wn_encode_rule *rule, wn_encode_counts *counts);

#endif
