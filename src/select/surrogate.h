/* GradEx's estimate of what training on any subset of a store's groups would do to a target,
 * without training (Li et al. 2024, arXiv 2409.19458): a regression on the subset's margins and
 * projected gradients gives a displacement w in the projected space, and the target's loss is read
 * off its own margins and gradients:
 *
 *   estimate(S) = mean over target rows v of log(1 + exp(-(f_v + x_v . w_S)))
 *
 * What departs from the authors' published code is in docs/gradex.md; their choices are options. */
#ifndef WN_SELECT_SURROGATE_H
#define WN_SELECT_SURROGATE_H

#include "select/groups.h"
#include "select/logit.h"

typedef struct wn_surrogate {
    const wn_store *store, *target;
    wn_groups groups;
    wn_logit_data rows, aim; /* the subsets' rows, the target's */
    wn_logit_rule rule;
    wn_logit *logit;     /* NULL in mode "step" */
    double ridge, step;  /* as used, where they apply */
    double *step_margin; /* mode "step": [T, target rows] */
    double *offset, *extra, *aim_offset;
    uint64_t *aim_at, *aim_start;
    double begin; /* the target's loss where nothing is added: w = 0 */
} wn_surrogate;

/* o: the part of the options that says how to estimate. pool: for groups by source, else NULL;
 * skip: rows that take no part, NULL: none. Both stores are borrowed until close. Refused: stores
 * that do not belong together (by field), gradients of another quantity than a margin, rows with
 * NaN or without a margin (by id), groups of a cut that leaves none. */
wn_err wn_surrogate_open(wn_surrogate *s, const wn_store *store, const wn_store *target,
                         wn_pool *pool, const uint64_t *skip, const wn_surrogate_opts *o,
                         uint64_t seed);
void wn_surrogate_close(wn_surrogate *s);

/* estimate [M], fact [M] (may be NULL), w [M, wn_surrogate_width] (may be NULL) of M subsets. */
wn_err wn_surrogate_estimate(double *estimate, wn_logit_fact *fact, double *w, wn_surrogate *s,
                             const uint8_t *member, size_t M);
size_t wn_surrogate_width(const wn_surrogate *s);

/* Percentile bootstrap over the rows of every group and of the target, B times: low, high [M] the
 * 95 % intervals of the estimates; all [B, M] the estimates themselves (may be NULL). In mode
 * "step" only the target's rows are drawn. */
wn_err wn_surrogate_bootstrap(double *low, double *high, double *all, wn_surrogate *s,
                              const uint8_t *member, size_t M, size_t B, uint64_t seed);

/* How it was estimated, for manifests. */
json_t *wn_surrogate_about(const wn_surrogate *s, const wn_surrogate_opts *o);

#endif
