/* Axes for codes. They need not be principal components to the last digit: any orthonormal rows
 * are right, and those that hold more energy rule out more. So a few rounds of subspace iteration
 * on a sample do, and no eigenvalue solver is needed. Rows of MiniLM: 192 of 384 axes hold 93 % of
 * the energy, and leave 0.3 % of pairs alive for the nearest 0.05 %. */
#include "search/codes.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "kernel/kernel.h"

enum { ROUNDS = 3, MOST_ROUNDS = 12, LEAST_D = 192, MOST_AXES = 256 };
static const double ENOUGH = 0.9; /* of the energy */

static double dot(const float *x, const float *y, size_t D)
{
    return wn_exact_dot(x, y, D);
}

/* ---- orthonormal rows ---- */

/* Lower triangle L of g = L L^T, then L's inverse, both in place of g [d, d]; false: g, whose
 * elements are good to float32, is not positive definite enough. */
static bool cholesky_inverse(double *g, size_t d)
{
    double most = 0;
    for (size_t i = 0; i < d; i++)
        most = fmax(most, g[i * d + i]);
    for (size_t i = 0; i < d; i++) {
        for (size_t j = 0; j <= i; j++) {
            double s = g[i * d + j];
            for (size_t k = 0; k < j; k++)
                s -= g[i * d + k] * g[j * d + k];
            if (i == j && !(s > most * 1e-5))
                return false;
            g[i * d + j] = i == j ? sqrt(s) : s / g[j * d + j];
        }
    }
    for (size_t j = 0; j < d; j++) {
        g[j * d + j] = 1 / g[j * d + j];
        for (size_t i = j + 1; i < d; i++) {
            double s = 0;
            for (size_t k = j; k < i; k++)
                s -= g[i * d + k] * g[k * d + j];
            g[i * d + j] = s / g[i * d + i]; /* row i's own diagonal is still L's */
        }
    }
    return true;
}

/* Cholesky QR: rows := L^-1 rows with rows rows^T = L L^T, where a Gram matrix that is nearly
 * singular first gets a multiple of the identity (Fukaya et al. 2020, shifted Cholesky QR), until
 * two rounds have needed none. work [d, D], gram and inverse [d, d]. False: the rows have fewer
 * directions than d. */
static bool orthonormalise(float *row, float *work, double *gram, float *inverse, size_t d,
                           size_t D)
{
    int clean = 0;
    for (int round = 0; round < MOST_ROUNDS && clean < 2; round++) {
        double trace = 0;
        wn_gemm(false, true, d, d, D, 1, row, D, row, D, false, inverse, d);
        for (size_t i = 0; i < d * d; i++)
            gram[i] = inverse[i];
        for (size_t i = 0; i < d; i++)
            trace += gram[i * d + i];
        if (cholesky_inverse(gram, d)) {
            clean++;
        } else {
            for (size_t i = 0; i < d; i++)
                for (size_t j = 0; j < d; j++)
                    gram[i * d + j] = inverse[i * d + j] + (i == j ? trace * 2e-5 : 0);
            if (!cholesky_inverse(gram, d))
                return false;
        }
        for (size_t i = 0; i < d; i++)
            for (size_t j = 0; j < d; j++)
                inverse[i * d + j] = j <= i ? (float)gram[i * d + j] : 0;
        wn_gemm(false, false, d, D, d, 1, inverse, d, row, D, false, work, D);
        memcpy(row, work, d * D * sizeof *row);
    }
    return clean == 2;
}

/* Frobenius norm of P P^T - I. */
static double skew(const float *row, size_t d, size_t D)
{
    double sum = 0;
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j <= i; j++) {
            double s = dot(row + i * D, row + j * D, D) - (i == j ? 1 : 0);
            sum += (i == j ? 1 : 2) * s * s;
        }
    return sqrt(sum) * (1 + 1e-9) + 1e-12;
}

/* ---- centre, unit, axes ---- */

static void centre_of(wn_basis *b, float *u, const float *sample, size_t n)
{
    size_t D = b->D;
    for (size_t i = 0; i < n; i++) {
        double norm = b->cosine ? sqrt(dot(sample + i * D, sample + i * D, D)) : 1;
        for (size_t k = 0; k < D; k++)
            u[i * D + k] = norm > 0 ? (float)((double)sample[i * D + k] / norm) : 0;
    }
    for (size_t k = 0; k < D; k++) {
        double sum = 0;
        for (size_t i = 0; i < n; i++)
            sum += u[i * D + k];
        b->centre[k] = n ? (float)(sum / (double)n) : 0;
    }
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < D; k++)
            u[i * D + k] -= b->centre[k];
        most = fmax(most, dot(u + i * D, u + i * D, D));
    }
    int exponent = 0;
    frexp(sqrt(most), &exponent);
    exponent = most > 0 && isfinite(most) ? exponent : 0;
    b->unit = b->cosine ? 1 : ldexpf(1, exponent > 60 ? -60 : exponent < -60 ? 60 : -exponent);
    for (size_t i = 0; i < n * D; i++)
        u[i] *= b->unit;
}

/* axis [d, D] towards the leading directions of u [n, D]; work [max(n, D), d], which holds u's
 * coordinates at the end. False: u has fewer directions. */
static bool iterate(float *axis, float *work, double *gram, float *inverse, const float *u,
                    size_t n, size_t d, size_t D)
{
    for (size_t i = 0; i < d * D; i++)
        axis[i] = (float)wn_rng_uniform(0, WN_STREAM_PROJECT, i) - 0.5F;
    for (int round = 0; round < ROUNDS; round++) {
        wn_gemm(false, true, n, d, D, 1, u, D, axis, D, false, work, d);
        wn_gemm(true, false, d, D, n, 1, work, d, u, D, false, axis, D);
        if (!orthonormalise(axis, work, gram, inverse, d, D))
            return false;
    }
    wn_gemm(false, true, n, d, D, 1, u, D, axis, D, false, work, d);
    return true;
}

/* The first multiple of WN_SCAN_DEPTH axes that hold enough; 0: not even all of them. */
static size_t axes_needed(const float *work, const float *u, size_t n, size_t d, size_t D)
{
    double all = dot(u, u, n * D), held = 0;
    for (size_t k = 0; k < d; k++) {
        for (size_t i = 0; i < n; i++)
            held += (double)work[i * d + k] * (double)work[i * d + k];
        if ((k + 1) % WN_SCAN_DEPTH == 0 && held >= ENOUGH * all)
            return k + 1;
    }
    return 0;
}

static wn_err find_axes(wn_basis *b, const float *u, size_t n)
{
    size_t D = b->D, d = D / 2 / WN_SCAN_DEPTH * WN_SCAN_DEPTH;
    d = d < MOST_AXES ? d : MOST_AXES;
    if (D < LEAST_D || n < 4 * d)
        return WN_OK;
    float *axis = wn_malloc(d * D * sizeof *axis), *inverse = wn_malloc(d * d * sizeof *inverse);
    float *work = wn_malloc((n > D ? n : D) * d * sizeof *work);
    double *gram = wn_malloc(d * d * sizeof *gram);
    wn_err e = axis && inverse && work && gram ? WN_OK : WN_ENOMEM;
    if (!e)
        d = iterate(axis, work, gram, inverse, u, n, d, D) ? axes_needed(work, u, n, d, D) : 0;
    wn_free(inverse);
    wn_free(work);
    wn_free(gram);
    if (e || !d) {
        wn_free(axis);
        return e;
    }
    b->axis = axis;
    b->d = d;
    double Du = (double)D * 0x1p-24;
    b->e = skew(axis, d, D);
    b->z = sqrt((double)d) * Du / (1 - Du) * (1 + b->e);
    return WN_OK;
}

wn_err wn_basis_new(wn_basis *b, const float *sample, size_t n, size_t D, bool cosine)
{
    *b = (wn_basis){.D = D, .cosine = cosine};
    b->d = (D + WN_SCAN_DEPTH - 1) / WN_SCAN_DEPTH * WN_SCAN_DEPTH;
    WN_NEW(b->centre, D);
    float *u = wn_malloc((n ? n : 1) * D * sizeof *u);
    wn_err e = u ? WN_OK : WN_ENOMEM;
    if (!e) {
        centre_of(b, u, sample, n);
        e = find_axes(b, u, n);
    }
    wn_free(u);
    if (e)
        wn_basis_free(b);
    return e;
}

void wn_basis_free(wn_basis *b)
{
    wn_free(b->centre);
    wn_free(b->axis);
    *b = (wn_basis){0};
}
