/* Qasper's evidence F1 (Dasigi et al. 2021, arXiv 2105.03011, section 4) on rows that ask of one
 * paragraph each whether it holds evidence for a question. Fields of a row, besides its own:
 *   question   text or number: rows of the same question belong together
 *   paragraph  text: what the row asks about
 *   evidence   [[text, ...], ...]: for each annotator the paragraphs that are evidence, as whole
 *              texts; needed in one of the question's rows, equal wherever it stands
 * The paragraphs whose prediction is yes (in any case) are the predicted list. Against an
 * annotator: F1 of the texts in both, precision over the predicted list, recall over the
 * annotator's; an empty annotator gives 1 if nothing is predicted, else 0. The best annotator
 * counts; the metric is the mean over questions. */
#ifndef WN_EVAL_EVIDENCE_H
#define WN_EVAL_EVIDENCE_H

#include "eval/answers.h"

typedef struct wn_evidence {
    size_t n;       /* questions, in order of their first rows */
    double *score;  /* [n] */
    size_t *of_row; /* [rows] a row's question */
    size_t *rows;   /* [n] rows of each */
    double nothing; /* the metric of predicting nothing */
} wn_evidence;

/* p NULL: the rows are only checked, and scores are those of predicting nothing. Errors name the
 * row. */
wn_err wn_evidence_score(wn_evidence *out, const wn_predictions *p, const wn_pool *rows);
void wn_evidence_free(wn_evidence *e);

#endif
