/* Metrics on texts: each returns a score of one row in 0..1. */
#ifndef WN_EVAL_METRIC_H
#define WN_EVAL_METRIC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

typedef enum wn_metric_kind {
    WN_SCORE_ACCURACY,
    WN_SCORE_MACRO_F1,
    WN_SCORE_EXACT,
    WN_SCORE_TOKEN_F1,
    WN_SCORE_ROUGE_L,
    WN_SCORE_DROP_F1,
    WN_SCORE_NLL,
    WN_SCORE_MICRO_F1,
    WN_SCORE_EVIDENCE_F1,
    WN_SCORE_MC1,
    WN_SCORE_MC2,
    WN_SCORE_PERPLEXITY
} wn_metric_kind;
/* WN_EARG with the list of names for an unknown one. */
wn_err wn_metric_kind_parse(wn_metric_kind *k, const char *name);
const char *wn_metric_kind_name(wn_metric_kind k);
/* nll and perplexity: smaller is better, and not bound to 0..1. */
bool wn_metric_lower_is_better(wn_metric_kind k);
/* What a metric is made of. Losses need a model and targets; values of choices (mc1, mc2) need a
 * model that ranks. */
bool wn_metric_of_losses(wn_metric_kind k);
bool wn_metric_of_values(wn_metric_kind k);

/* One row: prediction against n right answers (the best of them; n = 0 scores 0). For accuracy,
 * micro-f1 (of one label a row, the two are one figure), exact, token-f1, rouge-l and drop-f1.
 *   accuracy   equal but for blanks at the ends
 *   exact      equal after lower-casing, dropping ASCII punctuation and collapsing blanks
 *   token-f1   F1 of the two bags of words (with repeats) of the same normal form; 1 if both are
 *              empty
 *   rouge-l    F of the longest common subsequence of [a-z0-9]+ words, those above 3 letters
 *              Porter-stemmed; as the rouge_score package with its stemmer on
 *   drop-f1    the DROP script's F1 (Dua et al. 2019, arXiv 1903.00161): words at blanks and
 *              hyphens, no articles and punctuation, numbers as floats, sets of words, 0 unless a
 *              number of the answer is met, rounded to 2 decimals. An answer of several spans has
 *              one a line; the prediction is one span and is aligned with the best of them
 */
wn_err wn_metric_row(double *score, wn_metric_kind k, wn_span prediction, const wn_span *answers,
                     size_t n);

/* Macro-F1 over labels: gold and predicted label numbers below `labels`; labels that never occur in
 * gold or predictions do not count (as scikit-learn with the labels present). n = 0: 0. */
double wn_macro_f1(const int *gold, const int *predicted, size_t n, int labels);

/* Macro-F1 as a mean over rows, so that intervals and paired tests work on it as on any other
 * metric: score [n] gets jackknife pseudo-values n F - (n - 1) F without the row (Efron and Stein
 * 1981), shifted by one constant so that their mean is the macro-F1 itself. */
wn_err wn_macro_f1_rows(double *score, const int *gold, const int *predicted, size_t n, int labels);

/* exp of the mean loss a token over all rows' tokens, as a mean over rows by the same pseudo-values
 * (of one row: itself). */
wn_err wn_perplexity_rows(double *score, const double *nll, const uint32_t *tokens, size_t n);

#endif
