/* Evaluation on labelled rows: rank classification (the prompt computed once a row and shared by
 * all its choices, be it a decoder's first tokens or an encoder's), generation, and metrics on
 * given answers. */
#ifndef WN_EVAL_EVAL_H
#define WN_EVAL_EVAL_H

#include "eval/kept.h"
#include "eval/metric.h"
#include "model/model.h"
#include "pool/pool.h"

enum { WN_SCORE_TOKENS = 256 }; /* that a thread takes at once where nothing is generated */

typedef enum wn_length_norm { WN_NORM_NONE, WN_NORM_TOKENS, WN_NORM_BYTES } wn_length_norm;
wn_err wn_length_norm_parse(wn_length_norm *n, const char *name); /* NULL: none */

/* Scores every choice of every row: nll [sum of n_choices] and tokens, in row order; start [rows +
 * 1] delimits rows; a row without choices has none. A row's figures do not depend on the others.
 * kept, here and below: what is computed goes there, and what stands there is not computed again;
 * NULL: neither. */
typedef struct wn_choice_scores {
    uint64_t rows;
    size_t *start;
    double *nll;
    uint32_t *tokens;
    double *prior; /* the same choices' nll behind a neutral prompt, NULL: not calibrated */
} wn_choice_scores;
wn_err wn_rank_rows(wn_choice_scores *out, wn_model *m, const wn_pool *rows,
                    const wn_encode_rule *rule, wn_encode_counts *counts, wn_kept *kept);
/* Fills prior: every row's prompt replaced by `text` (Zhao et al. 2021, arXiv 2102.09690; Holtzman
 * et al. 2021, arXiv 2104.08315, eq. 2: what the prompt adds to a choice's likelihood). Text that
 * gives no token is refused. */
wn_err wn_rank_calibrate(wn_choice_scores *c, wn_model *m, const wn_pool *rows,
                         const wn_encode_rule *rule, const char *text, wn_kept *kept);
void wn_choice_scores_free(wn_choice_scores *c);

/* Index of the choice of the lowest (nll - prior) over 1, tokens or bytes; ties to the first. An
 * empty choice has no bytes and is refused. */
wn_err wn_rank_best(size_t *best, const wn_choice_scores *c, const wn_row *row,
                    wn_length_norm norm);

/* TruthfulQA's two (Lin et al. 2022, arXiv 2109.07958): the right choices of a row are those equal
 * to its target or to one of its references, the target being the best of them. mc1: 1 if the
 * target's value is below that of every wrong choice; mc2: exp(-value) of the right choices over
 * that of all. score [rows]. A row whose target is none of its choices, or without a wrong choice,
 * is refused by id. */
wn_err wn_rank_truth(double *score, const wn_choice_scores *c, const wn_pool *rows,
                     wn_length_norm norm, bool mass);

/* Target nll and token count of every row (`score`, metric nll): [rows]. */
wn_err wn_nll_rows(double *nll, uint32_t *tokens, wn_model *m, const wn_pool *rows,
                   const wn_encode_rule *rule, wn_encode_counts *counts, wn_kept *kept);

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
    bool target;        /* of rows that have one; a row without is refused by id */
    bool choices;       /* of rows that have them */
    const char *prompt; /* instead of every row's own, NULL: their own */
    const char *stage;
    uint64_t done; /* rows before this one are known: encoded, so that counts are whole, but neither
                      computed nor emitted */
    bool often;    /* results come at least every minute or so, whatever the model's size */
} wn_score_want;
wn_err wn_score_texts(wn_model *m, const wn_pool *rows, const wn_encode_rule *rule,
                      const wn_score_want *want, wn_score_emit emit, void *ctx,
                      wn_encode_counts *counts);

/* The rule by which the jobs encode rows for this model: max_tokens 0 is the model's positions, or
 * 512 for an encoder-decoder's encoder. Refuses a model that gives no probabilities of a next
 * token, and supervise_prompt of an encoder-decoder, whose prompt is not predicted. */
wn_err wn_eval_rule(wn_encode_rule *rule, const wn_model *m, size_t max_tokens, size_t max_target,
                    const char *tmpl, const char *system, bool supervise_prompt);

#endif
