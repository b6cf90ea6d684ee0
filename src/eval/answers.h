/* A row's answers and predictions: what eval scores. */
#ifndef WN_EVAL_ANSWERS_H
#define WN_EVAL_ANSWERS_H

#include "eval/metric.h"
#include "eval/extract.h"
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

/* JSONL `id`, `prediction` (given.h). */
wn_err wn_predictions_read(wn_predictions *p, wn_pool *rows, const char *path);

/* What the chain finds in each prediction, a zeroed `out` of as many rows; *nothing counts those in
 * which it finds nothing, which become empty. A letter that is none of the row's choices becomes
 * the choice of that place, A the first; a text that a choice or else a right answer spells in
 * another case takes its spelling. */
wn_err wn_predictions_parse(wn_predictions *out, uint64_t *nothing, const wn_predictions *raw,
                            const wn_pool *rows, wn_extract *parse);

/* Refuses by id a row that the metric cannot score whatever is answered: without a target or
 * references, without choices where those are the labels. evidence-f1 has its own (evidence.h). */
wn_err wn_answers_check(const wn_row *row, const wn_pool *rows, wn_metric_kind k);

/* Scores each row's prediction: score [rows]. For macro-f1 these are pseudo-values whose mean is
 * the metric. parse: right answers are read by it too, where it reads answers, the row has no
 * choices and it finds something; NULL: not. Metrics of labels and texts. */
wn_err wn_predictions_score(double *score, const wn_predictions *p, const wn_pool *rows,
                            wn_metric_kind k, wn_extract *parse);

/* The id as it stands in the row (string or number), as JSON. */
void wn_row_id_json(wn_str *s, const wn_row *row);

#endif
