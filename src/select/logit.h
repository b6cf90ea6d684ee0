/* Regularised logistic regressions of one class on subsets of the same rows, many at once: what
 * GradEx (Li et al. 2024, arXiv 2409.19458) fits for every subset of tasks.
 *
 *   phi_S(w) = scale * sum over rows i of S of a_i log(1 + exp(-(f_i + x_i . w))) + l2 / 2 * |w|^2
 *
 * where f_i is the row's offset (its margin), x_i its projected gradient and a_i a weight (1, or
 * how often a bootstrap drew it). scale is 1 / (sum of the a_i) or a constant.
 *
 * Solved by Newton's method with a Hessian that is kept: sums of gradient and Hessian of every
 * group of rows are made once, at a w0 near the optimum of all rows; a subset's are sums of its
 * groups', which gives a start within about 1 % of its optimum; from there steps with that Hessian
 * and exact gradients, extrapolated over the last few. All subsets advance together, a column each
 * of two matrix products. Where the gradient does not shrink, Newton's method with fresh Hessians
 * and halved steps takes over, which descends always. Double throughout.
 *
 * A column's numbers do not depend on the others, on threads, or on how they are batched. */
#ifndef WN_SELECT_LOGIT_H
#define WN_SELECT_LOGIT_H

#include <stdint.h>

#include "base/err.h"

enum { WN_LOGIT_DIM_MAX = 4096 };

/* Rows in groups; all borrowed. Row i of the order is row at[i] of x. */
typedef struct wn_logit_data {
    const float *x; /* [., d] */
    size_t d;
    uint64_t N;
    const uint64_t *at;    /* [N] */
    const double *offset;  /* [N]; NULL: zeros */
    const double *extra;   /* [N] one more feature behind the d, NULL: none */
    const uint64_t *start; /* [T+1]: group t is [start[t], start[t+1]) of the order */
    uint32_t T;
} wn_logit_data;

static inline size_t wn_logit_width(const wn_logit_data *d)
{
    return d->d + (d->extra != NULL);
}

typedef struct wn_logit_rule {
    bool mean;    /* scale is 1 / (sum of weights), else c */
    double c, l2; /* l2 > 0 */
} wn_logit_rule;

typedef struct wn_logit_fact {
    double rows;     /* sum of weights */
    double gradient; /* norm of phi's gradient at the result */
    double norm;     /* |w| */
    uint32_t iterations;
} wn_logit_fact;

typedef struct wn_logit wn_logit;

/* Makes the groups' sums: N D^2 operations, and T D^2 / 2 doubles (one set for all groups where
 * those would pass 1 GB: then more steps are taken). data is borrowed until free. */
wn_err wn_logit_new(wn_logit **out, const wn_logit_data *data, const wn_logit_rule *rule);
void wn_logit_free(wn_logit *l);

/* w [M, D] out (in: the start, if `warm`): optima of M subsets; member [M, T]: 1 where the group
 * belongs. fact [M] out, may be NULL. weight [N] of the order, NULL: ones. A subset without rows
 * has w = 0. Stops at a gradient of 1e-10 (or 1e-10 of that at w = 0, if it is smaller); fails with
 * WN_EFORMAT where that cannot be reached in double. */
wn_err wn_logit_fit(double *w, wn_logit_fact *fact, wn_logit *l, const uint8_t *member, size_t M,
                    const double *weight, bool warm);

/* loss [M] out: weighted mean of log(1 + exp(-(f_i + x_i . w))) over all rows of `rows`, for each
 * of M columns w [M, D] of which the first rows->d numbers are read (stride ldw). */
wn_err wn_logit_loss(double *loss, const wn_logit_data *rows, const double *w, size_t ldw, size_t M,
                     const double *weight);

#endif
