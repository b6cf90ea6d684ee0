/* GradEx's estimates by the real model at W + P w, and how far its first-order picture of a target
 * row holds. Both open the model once and move its parameters for each subset. */
#ifndef WN_REPORT_FORWARD_H
#define WN_REPORT_FORWARD_H

#include "select/surrogate.h"

/* loss, softplus [M] out: mean loss and mean log(1 + exp(-margin)) of the target's rows at the
 * displaced model; begin [2]: the same before. length [M]: |P w| as it was used. */
wn_err wn_forward_estimates(double *loss, double *softplus, double *length, double begin[2],
                            const wn_estimate_opts *o, wn_surrogate *s, const uint8_t *member,
                            size_t M);

/* Errors of f(W) + g . D against f(W + D) over the target's rows, D = the subset's direction at
 * length scale * |W|: mean |difference|, mean of it relative to the larger of |f(W)| and |f(W +
 * D)|, mean of the square of that; [0] with the gradient, [1] without: f(W) against f(W + D). */
typedef struct wn_first_order {
    double scale, length;
    double error[2], relative[2], squared[2];
} wn_first_order;
/* out [M, *n]: subset by subset, a number a scale of o->first_order ("0.02,0.04"); wn_free. */
wn_err wn_first_order_errors(wn_first_order **out, size_t *n, const wn_estimate_opts *o,
                             wn_surrogate *s, const uint8_t *member, size_t M);

#endif
