/* One evaluation, between the files of the job: eval_job.c (from options to the summary),
 * eval_answer.c (a model's answers), eval_out.c (what is written). */
#ifndef WN_EVAL_EVALUATION_H
#define WN_EVAL_EVALUATION_H

#include "eval/evidence.h"
#include "eval/generate.h"
#include "eval/job.h"

/* One set of answers, scored: row [rows], whose mean is the metric; and what intervals resample,
 * which is rows except for evidence-f1, whose rows of a question belong together. */
typedef struct wn_scored {
    double *row;
    const double *unit; /* [n] row itself or evidence.score */
    size_t n;
    wn_evidence evidence;
} wn_scored;

typedef struct wn_evaluation {
    const wn_eval_opts *o;
    wn_pool *rows;
    wn_model *model;
    wn_metric_kind kind;
    wn_length_norm norm;
    bool generate_all;
    wn_extract *parse;
    wn_encode_rule rule;
    wn_encode_counts counts;
    wn_generate_counts generated;
    json_t *manifest; /* of a model's answers, before they are computed */
    wn_kept *kept;
    wn_predictions raw;      /* a model's or a file's texts; not of metrics of losses */
    wn_predictions said;     /* what the rules found in them, where there are rules */
    wn_choice_scores ranked; /* rows == 0: not ranked */
    double *nll;             /* [rows], metrics of losses only */
    uint32_t *tokens;
    wn_scored *mine, *theirs; /* a set a seed */
    size_t n_mine, n_theirs;
} wn_evaluation;

/* Refuses, before a model is opened, rows that cannot be scored, and says what holds of choices:
 * equal ones, and ones that begin another where that decides. */
wn_err wn_evaluation_check(wn_evaluation *e);
/* The best choice of each row in ranked into raw; *left counts rows without choices. */
wn_err wn_evaluation_best(wn_evaluation *e, uint64_t *left);
/* The model's answers into raw, ranked and nll. */
wn_err wn_evaluation_answer(wn_evaluation *e);
/* Fills manifest. */
wn_err wn_evaluation_manifest(wn_evaluation *e);
/* The row file and its manifest; what was kept then goes. */
wn_err wn_evaluation_write(wn_evaluation *e);

#endif
