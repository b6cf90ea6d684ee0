/* Estimates against what training really gives. */
#ifndef WN_REPORT_VERIFY_H
#define WN_REPORT_VERIFY_H

#include "io/json.h"
#include "select/surrogate.h"

/* Figures of n subsets: estimate, measured and rows [n] each, start: the measure before training.
 * Relative errors un-squared and squared; Spearman's rank correlation with its 95 % interval; the
 * same of two controls, the start's value for all (zero_order) and a straight line through the
 * other subsets' sizes and measures (size_only); and a verdict by rules:
 *
 *   trustworthy                      the correlation's interval is above 0, and the estimates' mean
 *                                    error is below either control's, the intervals of both
 *                                    differences below 0
 *   rank only                        the correlation's interval is above 0 and the correlation
 *                                    above that of the sizes
 *   no better than the control       neither
 *
 * Intervals are percentiles of 2000 resamples of subsets. n >= 5. */
wn_err wn_verify_figures(json_t **out, const double *estimate, const double *measured,
                         const double *rows, size_t n, double start, uint64_t seed);
/* Spearman's rank correlation of x and y [n]; ties share ranks; NaN: no spread. */
wn_err wn_spearman(double *rho, const double *x, const double *y, size_t n);

/* Trains on as many of the M subsets as o->verify says, drawn by the seed, and measures the target.
 * measured and loss [M] out: mean of log(1 + exp(-margin)) and mean loss, NaN where not trained.
 * start_loss: mean loss before. Everything goes into the folder OUT.verify, from which a killed run
 * goes on. */
wn_err wn_verify_train(double *measured, double *loss, double *start_loss,
                       const wn_estimate_opts *o, const wn_surrogate *s, wn_pool *pool,
                       const wn_subsets *subsets);

#endif
