/* One step along groups' mean gradients: the limit of strong ridges, in which a regression is a
 * mean. On raw gradients (`grad --project 0`) nothing is projected, so nothing is lost to it, and
 * the vectors may be as wide as a store allows. */
#ifndef WN_SELECT_TASK_STEP_H
#define WN_SELECT_TASK_STEP_H

#include "select/logit.h"

/* margin [T, aim rows] out, wn_free: by how much a step along the sum over group t's rows of
 * x_i / (1 + exp(f_i)), minus the gradient of their losses, moves each target row's margin. */
wn_err wn_task_steps(double **margin, const wn_logit_data *rows, const wn_logit_data *aim);

/* The step of one subset itself: w [d] out. */
void wn_task_step_direction(double *w, const wn_logit_data *rows, double step,
                            const uint8_t *member);

/* estimate [M]: mean over target rows of log(1 + exp(-(f_v + step * mean over the subset's rows))).
 * fact (may be NULL): rows; the rest 0. weight [aim rows]: NULL ones. */
wn_err wn_task_step_estimate(double *estimate, wn_logit_fact *fact, const double *margin,
                             const wn_logit_data *rows, const wn_logit_data *aim, double step,
                             const uint8_t *member, size_t M, const double *weight);

#endif
