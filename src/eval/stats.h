/* Honest statistics on per-row scores: bootstrap intervals, paired tests, seeds as a second level.
 * All random draws are counter-based: the same data and seed give the same figures. */
#ifndef WN_EVAL_STATS_H
#define WN_EVAL_STATS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct wn_interval {
    double mean, low, high; /* 95 % */
} wn_interval;

/* Percentile bootstrap over n rows (10,000 resamples). n = 0: NaN. */
wn_interval wn_bootstrap_mean(const double *score, size_t n, uint64_t seed);

/* score [S][n]: S seeds of one arm on the same n rows. Resamples seeds and rows (two levels; with S
 * = 1 rows only). */
wn_interval wn_bootstrap_seeds(const double *const *score, size_t S, size_t n, uint64_t seed);

/* Arm a (Sa seeds) against arm b (Sb seeds) on the same n rows: difference of means with a
 * two-level bootstrap interval, and a two-sided paired permutation (sign-flip over rows of the
 * per-row difference of seed means; exact for n <= 16, else 10,000 draws) p value. For S = 1 and
 * 0/1 scores also McNemar's exact p. */
typedef struct wn_compare {
    wn_interval difference; /* a - b */
    double p_permutation;
    double p_mcnemar; /* NaN where it does not apply */
} wn_compare;
wn_compare wn_compare_arms(const double *const *a, size_t Sa, const double *const *b, size_t Sb,
                           size_t n, uint64_t seed);
/* "better", "worse" or "cannot tell": the interval excludes 0 and the permutation p is below 0.05,
 * both. */
const char *wn_verdict(const wn_compare *c);

#endif
