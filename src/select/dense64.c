#include "select/dense64.h"

#include <math.h>

/* Four steps of elimination at a time: each of the rows below is read and written once for four
 * rows of the factor. */
enum { STEPS = 4 };

bool wn_chol64(double *u, const double *h, double scale, double ridge, size_t D)
{
    for (size_t i = 0; i < D; i++)
        for (size_t j = i; j < D; j++)
            u[i * D + j] = scale * h[wn_tri_at(j / WN_ND) + i * WN_ND + j % WN_ND];
    for (size_t i = 0; i < D; i++)
        u[i * D + i] += ridge;
    for (size_t k0 = 0; k0 < D; k0 += STEPS) {
        size_t k1 = k0 + STEPS < D ? k0 + STEPS : D;
        for (size_t k = k0; k < k1; k++) {
            for (size_t q = k0; q < k; q++)
                wn_axpy64(u + k * D + k, -u[q * D + k], u + q * D + k, D - k);
            double pivot = u[k * D + k];
            if (!(pivot > 0) || !isfinite(pivot))
                return false;
            double inverse = 1 / sqrt(pivot);
            for (size_t j = k; j < D; j++)
                u[k * D + j] *= inverse;
        }
        for (size_t j = k1; j < D; j++)
            for (size_t q = k0; q < k1; q++)
                wn_axpy64(u + j * D + j, -u[q * D + j], u + q * D + j, D - j);
    }
    return true;
}

double wn_dot_64(const double *x, const double *y, size_t n)
{
    double sum[4] = {0};
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (size_t l = 0; l < 4; l++)
            sum[l] += x[i + l] * y[i + l];
    for (; i < n; i++)
        sum[0] += x[i] * y[i];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

void wn_chol64_solve(double *x, const double *u, size_t D)
{
    for (size_t k = 0; k < D; k++) {
        x[k] /= u[k * D + k];
        wn_axpy64(x + k + 1, -x[k], u + k * D + k + 1, D - k - 1);
    }
    for (size_t k = D; k-- > 0;)
        x[k] = (x[k] - wn_dot_64(u + k * D + k + 1, x + k + 1, D - k - 1)) / u[k * D + k];
}

double wn_norm64(const double *x, size_t n)
{
    return sqrt(wn_dot_64(x, x, n));
}
