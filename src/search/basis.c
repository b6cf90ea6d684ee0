/* Axes for codes. They need not be principal components to the last digit: any orthonormal rows
 * are right, and those that hold more energy rule out more. So a few rounds of subspace iteration
 * on a sample do, and no eigenvalue solver is needed. Rows of MiniLM: 192 of 384 axes hold 93 % of
 * the energy, and leave 0.3 % of pairs alive for the nearest 0.05 %. */
#include "search/codes.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"
#include "kernel/kernel.h"

enum { ROUNDS = 4, LEAST_D = 192, MOST_AXES = 256 };
static const double ENOUGH = 0.9; /* of the energy */

static double dot(const float *x, const float *y, size_t D)
{
    return wn_exact_dot(x, y, D);
}

/* ---- orthonormal rows ---- */

struct ortho {
    float *row;
    size_t D, first, i;
    double *share;
};

static void take_away(void *ctx, size_t j, int thread)
{
    (void)thread;
    struct ortho *o = ctx;
    float *x = o->row + (o->first + j) * o->D;
    const float *q = o->row + o->i * o->D;
    double s = dot(x, q, o->D);
    for (size_t k = 0; k < o->D; k++)
        x[k] = (float)((double)x[k] - s * (double)q[k]);
}

/* Modified Gram-Schmidt, twice; a row that vanishes becomes a unit vector of its own first. */
static void orthonormalise(float *row, size_t d, size_t D)
{
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < d; i++) {
            float *x = row + i * D;
            double n = sqrt(dot(x, x, D));
            if (!(n > 1e-30)) {
                memset(x, 0, D * sizeof *x);
                x[i % D] = 1;
                n = 1;
            }
            for (size_t k = 0; k < D; k++)
                x[k] = (float)((double)x[k] / n);
            struct ortho o = {.row = row, .D = D, .first = i + 1, .i = i};
            if (i + 1 < d)
                wn_par_do(d - i - 1, take_away, &o);
        }
    }
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

/* axis [d, D] towards the leading directions of u [n, D]; work [n, d]. */
static void iterate(float *axis, float *work, const float *u, size_t n, size_t d, size_t D)
{
    for (size_t i = 0; i < d * D; i++)
        axis[i] = (float)wn_rng_uniform(0, WN_STREAM_PROJECT, i) - 0.5F;
    orthonormalise(axis, d, D);
    for (int round = 0; round < ROUNDS; round++) {
        wn_gemm(false, true, n, d, D, 1, u, D, axis, D, false, work, d);
        wn_gemm(true, false, d, D, n, 1, work, d, u, D, false, axis, D);
        orthonormalise(axis, d, D);
    }
    wn_gemm(false, true, n, d, D, 1, u, D, axis, D, false, work, d);
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
    float *axis = wn_malloc(d * D * sizeof *axis), *work = wn_malloc(n * d * sizeof *work);
    wn_err e = axis && work ? WN_OK : WN_ENOMEM;
    if (!e) {
        iterate(axis, work, u, n, d, D);
        d = axes_needed(work, u, n, d, D);
    }
    wn_free(work);
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
