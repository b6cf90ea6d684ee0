/* The steps that logit.c takes: extrapolated ones with a kept Hessian, Newton's with fresh ones. */
#ifndef WN_SELECT_LOGIT_STEPS_H
#define WN_SELECT_LOGIT_STEPS_H

#include "select/logit.h"

enum { WN_ANDERSON_DEPTH = 5 };

/* Doubles that are kept of the last steps: w and step of the last one, differences of DEPTH. */
static inline size_t wn_anderson_room(size_t D)
{
    return 2 * (WN_ANDERSON_DEPTH + 1) * D;
}

/* w [D] moves by -f, extrapolated over the last steps (Anderson 1965, "Iterative procedures for
 * nonlinear integral equations"): 2 to 3 times fewer steps than without, where the kept Hessian is
 * not the one at w. f [D] is overwritten; room: wn_anderson_room(D), the same at every step;
 * step: 0, 1, ... */
void wn_anderson_step(double *w, double *f, double *room, uint32_t step, size_t D);

/* phi of one subset (logit.h). */
typedef struct wn_logit_objective {
    const wn_logit_data *data;
    const uint8_t *member; /* [T] */
    const double *weight;  /* [N], NULL: ones */
    double scale, l2;
} wn_logit_objective;

/* w [D] in, out: Newton's method with halved steps from w on, until the gradient's norm is at most
 * `tolerance`. gradient out; steps counts on. WN_EFORMAT: it does not get there. */
wn_err wn_logit_newton(double *w, double *gradient, uint32_t *steps, const wn_logit_objective *o,
                       double tolerance);

#endif
