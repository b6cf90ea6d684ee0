/* What resampled values say of where a figure lies. */
#ifndef WN_BASE_INTERVAL_H
#define WN_BASE_INTERVAL_H

#include <stddef.h>

/* Quantiles 0.025 and 0.975 of value [n], which is sorted: linear between order statistics, as
 * numpy.quantile's default. Of no value they are NaN. */
void wn_interval95(double *low, double *high, double *value, size_t n);

#endif
