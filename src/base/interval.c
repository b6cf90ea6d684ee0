#include "base/interval.h"

#include <math.h>
#include <stdlib.h>

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(const double *sorted, size_t n, double q)
{
    double at = q * (double)(n - 1);
    size_t i = (size_t)at;
    return i + 1 < n ? sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]) : sorted[i];
}

void wn_interval95(double *low, double *high, double *value, size_t n)
{
    *low = *high = NAN;
    if (n == 0)
        return;
    qsort(value, n, sizeof *value, by_value);
    *low = quantile(value, n, 0.025);
    *high = quantile(value, n, 0.975);
}
