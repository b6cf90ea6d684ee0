/* Metrics on texts: each returns a score of one row in 0..1. */
#ifndef WN_EVAL_METRIC_H
#define WN_EVAL_METRIC_H

#include "base/err.h"
#include "base/str.h"

typedef enum wn_metric_kind {
    WN_SCORE_ACCURACY, WN_SCORE_MACRO_F1, WN_SCORE_EXACT, WN_SCORE_TOKEN_F1, WN_SCORE_ROUGE_L,
    WN_SCORE_DROP_F1, WN_SCORE_NLL
} wn_metric_kind;
wn_err wn_metric_kind_parse(wn_metric_kind *k, const char *name);
const char *wn_metric_kind_name(wn_metric_kind k);

/* One row: prediction against one or several right answers (best of them). Not for macro-F1 and nll. */
wn_err wn_metric_row(double *score, wn_metric_kind k, wn_span prediction, const wn_span *answers, size_t n);

/* Macro-F1 over labels: gold and predicted label numbers below `labels`; labels that never occur in gold or
 * predictions do not count (as scikit-learn with the labels present). */
double wn_macro_f1(const int *gold, const int *predicted, size_t n, int labels);

#endif
