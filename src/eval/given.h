/* Answers and figures that something else gave: JSONL, a line a row in any order, each with the
 * row's id. An id that no row has, one given twice and a row without a line are errors that name
 * the id; others name file and line. */
#ifndef WN_EVAL_GIVEN_H
#define WN_EVAL_GIVEN_H

#include "eval/eval.h"

typedef wn_err (*wn_given_take)(void *ctx, uint64_t row, const json_t *line, const char *where);
wn_err wn_given_read(wn_pool *rows, const char *path, wn_given_take take, void *ctx);

/* What metrics of losses and of values are made of, as `score` and eval's --out write it: `nll` and
 * `tokens` into nll and tokens [rows]; `choices`, for each of a row's {"nll", "tokens"} and, in all
 * rows or in none, "prior". metric: its name, for errors. */
wn_err wn_given_losses(double *nll, uint32_t *tokens, wn_pool *rows, const char *path,
                       const char *metric);
wn_err wn_given_choices(wn_choice_scores *out, wn_pool *rows, const char *path, const char *metric);

#endif
