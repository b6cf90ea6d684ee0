/* A row's answers and predictions: what eval scores. */
#ifndef WN_EVAL_ANSWERS_H
#define WN_EVAL_ANSWERS_H

#include "eval/metric.h"
#include "pool/pool.h"

/* A prediction for every row of `rows`, in row order. */
typedef struct wn_predictions {
    uint64_t rows;
    wn_str text;
    size_t *start; /* [rows]; SIZE_MAX: none yet */
    size_t *len;
} wn_predictions;
wn_err wn_predictions_init(wn_predictions *p, uint64_t rows);
void wn_predictions_free(wn_predictions *p);
wn_err wn_predictions_set(wn_predictions *p, uint64_t row, wn_span text);
wn_span wn_predictions_get(const wn_predictions *p, uint64_t row);

/* JSONL `id`, `prediction`. An id that no row has, one given twice and a row without a prediction
 * are errors that name the id. */
wn_err wn_predictions_read(wn_predictions *p, wn_pool *rows, const char *path);

/* Scores each row's prediction: score [rows]. For macro-f1 these are pseudo-values whose mean is
 * the metric. Rows without a target (or, for accuracy and macro-f1 with choices, whose target is
 * not among them) are refused by id. Not for nll. */
wn_err wn_predictions_score(double *score, const wn_predictions *p, const wn_pool *rows,
                            wn_metric_kind k);

/* The id as it stands in the row (string or number), as JSON. */
void wn_row_id_json(wn_str *s, const wn_row *row);

#endif
