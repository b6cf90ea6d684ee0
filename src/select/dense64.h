/* Small symmetric systems in double. A symmetric matrix is held as the panels of its upper
 * triangle: panel p is columns 8p .. 8p+7, rows 0 .. 8p+7, element (i, j) of it at i * 8 + j % 8;
 * the panels lie end to end. */
#ifndef WN_SELECT_DENSE64_H
#define WN_SELECT_DENSE64_H

#include <stdbool.h>
#include <stddef.h>

#include "kernel/kernel.h"

static inline size_t wn_tri_panels(size_t D)
{
    return (D + WN_ND - 1) / WN_ND;
}

/* Where panel p begins; at p = panels the doubles of the whole matrix. */
static inline size_t wn_tri_at(size_t p)
{
    return WN_ND * WN_ND * (p * (p + 1) / 2);
}

static inline size_t wn_tri_size(size_t D)
{
    return wn_tri_at(wn_tri_panels(D));
}

/* u [D, D] out: the upper factor of scale * h + ridge * I = u^T u, rows whole, what is left of the
 * diagonal undefined. false: not positive definite in double. */
bool wn_chol64(double *u, const double *h, double scale, double ridge, size_t D);
/* x := (u^T u)^-1 x. */
void wn_chol64_solve(double *x, const double *u, size_t D);
double wn_norm64(const double *x, size_t n);
double wn_dot_64(const double *x, const double *y, size_t n); /* in order, plain */

#endif
