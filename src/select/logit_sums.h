/* Sums over rows that logit.c is made of. */
#ifndef WN_SELECT_LOGIT_SUMS_H
#define WN_SELECT_LOGIT_SUMS_H

#include "select/logit.h"

/* One pass over the rows for the columns col[0 .. n). */
typedef struct wn_logit_pass {
    const wn_logit_data *data;
    const double *w;   /* [., ldw] a column each */
    size_t ldw, width; /* width: how many numbers of w and of a row count; at most the data's */
    const uint32_t *col;
    size_t n;
    const uint8_t *member; /* [., T], NULL: every column has all groups */
    const double *weight;  /* [N], NULL: ones */
    double *grad; /* [n, width] out: -sum a_i x_i / (1 + exp(f_i + x_i . w)); NULL: not wanted */
    double *loss; /* [n] out: sum a_i log(1 + exp(-(f_i + x_i . w))); NULL: not wanted */
} wn_logit_pass;
wn_err wn_logit_sums(const wn_logit_pass *p);

/* s [N] out: a_i p_i (1 - p_i) at w, the weights of the rows in the Hessian. */
wn_err wn_logit_curvature(double *s, const wn_logit_data *data, const double *w,
                          const double *weight);

/* Sums of s_i x_i x_i^T, panels of the upper triangle (dense64.h). each: h [T, tri], one for every
 * group; else h [tri] over the groups of member [T] (NULL: all). */
wn_err wn_logit_hessian(double *h, const wn_logit_data *data, const double *s, bool each,
                        const uint8_t *member);

#endif
