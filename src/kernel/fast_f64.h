/* Double-precision kernels of fast.c: regressions on gradients are solved to 1e-8, which float32
 * sums do not reach. Blocks of 8 rows by 3 panels (24 sums) on AVX-512, 3 rows by 2 panels (12 sums
 * of 4) on AVX2; the order over k is the same for every block shape. */
#ifndef WN_KERNEL_FAST_F64_H
#define WN_KERNEL_FAST_F64_H

#include "kernel/table.h"
#include "kernel/vec.h"

#if defined(WN_VEC_WIDE)
enum { WN_DW = 8, ROWS_64 = 8, PANELS_64 = 3 };
INLINE vd dset(double a)
{
    EACH_LANE(vd, a);
}
INLINE vd dload(const double *p)
{
    EACH_LANE(vd, p[i]);
}
INLINE void dstore(double *p, vd a)
{
    memcpy(p, a.v, sizeof a.v);
}
INLINE vd dfma(vd a, vd b, vd c)
{
    EACH_LANE(vd, __builtin_fma(a.v[i], b.v[i], c.v[i]));
}
INLINE vd ddiv(vd a, vd b)
{
    EACH_LANE(vd, a.v[i] / b.v[i]);
}
INLINE vd dmul(vd a, vd b)
{
    EACH_LANE(vd, a.v[i] * b.v[i]);
}
INLINE vd dmin(vd a, vd b)
{
    EACH_LANE(vd, a.v[i] < b.v[i] ? a.v[i] : b.v[i]);
}
INLINE vd dmax(vd a, vd b)
{
    EACH_LANE(vd, a.v[i] > b.v[i] ? a.v[i] : b.v[i]);
}
INLINE vd dround(vd a)
{
    EACH_LANE(vd, rint(a.v[i]));
}
INLINE vd dpow2(vd a)
{
    EACH_LANE(vd, ldexp(1, (int)a.v[i]));
}
INLINE vd dwiden(const float *p)
{
    EACH_LANE(vd, p[i]);
}
#elif defined(__AVX512F__)
enum { WN_DW = 8, ROWS_64 = 8, PANELS_64 = 3 };
INLINE vd dset(double a)
{
    return _mm512_set1_pd(a);
}
INLINE vd dload(const double *p)
{
    return _mm512_loadu_pd(p);
}
INLINE void dstore(double *p, vd a)
{
    _mm512_storeu_pd(p, a);
}
INLINE vd dfma(vd a, vd b, vd c)
{
    return _mm512_fmadd_pd(a, b, c);
}
INLINE vd ddiv(vd a, vd b)
{
    return _mm512_div_pd(a, b);
}
INLINE vd dmul(vd a, vd b)
{
    return _mm512_mul_pd(a, b);
}
INLINE vd dmin(vd a, vd b)
{
    return _mm512_min_pd(a, b);
}
INLINE vd dmax(vd a, vd b)
{
    return _mm512_max_pd(a, b);
}
INLINE vd dround(vd a)
{
    return _mm512_roundscale_pd(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
INLINE vd dpow2(vd a)
{
    return _mm512_scalef_pd(_mm512_set1_pd(1), a);
}
INLINE vd dwiden(const float *p)
{
    return _mm512_cvtps_pd(_mm256_loadu_ps(p));
}
#else
enum { WN_DW = 4, ROWS_64 = 3, PANELS_64 = 2 };
INLINE vd dset(double a)
{
    return _mm256_set1_pd(a);
}
INLINE vd dload(const double *p)
{
    return _mm256_loadu_pd(p);
}
INLINE void dstore(double *p, vd a)
{
    _mm256_storeu_pd(p, a);
}
INLINE vd dfma(vd a, vd b, vd c)
{
    return _mm256_fmadd_pd(a, b, c);
}
INLINE vd ddiv(vd a, vd b)
{
    return _mm256_div_pd(a, b);
}
INLINE vd dmul(vd a, vd b)
{
    return _mm256_mul_pd(a, b);
}
INLINE vd dmin(vd a, vd b)
{
    return _mm256_min_pd(a, b);
}
INLINE vd dmax(vd a, vd b)
{
    return _mm256_max_pd(a, b);
}
INLINE vd dround(vd a)
{
    return _mm256_round_pd(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
INLINE vd dpow2(vd a)
{
    __m256i n = _mm256_cvtepi32_epi64(_mm256_cvtpd_epi32(a));
    return _mm256_castsi256_pd(
        _mm256_slli_epi64(_mm256_add_epi64(n, _mm256_set1_epi64x(1023)), 52));
}
INLINE vd dwiden(const float *p)
{
    return _mm256_cvtps_pd(_mm_loadu_ps(p));
}
#endif

enum { PER_PANEL_64 = WN_ND / WN_DW };

typedef struct block64 {
    double *c;
    const double *a, *b;
    size_t cp, rs, cs, bp, k;
    bool add;
} block64;

INLINE void mm64_block(const int MR, const int NP, const block64 *B)
{
    vd acc[ROWS_64][PANELS_64 * PER_PANEL_64];
    const int NV = NP * PER_PANEL_64;
    UNROLL
    for (int i = 0; i < MR; i++) {
        UNROLL
        for (int j = 0; j < NV; j++) {
            const double *p = B->c + (size_t)(j / PER_PANEL_64) * B->cp + (size_t)i * WN_ND +
                              (size_t)(j % PER_PANEL_64) * WN_DW;
            acc[i][j] = B->add ? dload(p) : dset(0);
        }
    }
    const double *a = B->a, *b = B->b;
    const size_t rs = B->rs, cs = B->cs, bp = B->bp, k = B->k;
    for (size_t kk = 0; kk < k; kk++, a += cs, b += WN_ND) {
        vd bv[PANELS_64 * PER_PANEL_64];
        UNROLL
        for (int j = 0; j < NV; j++)
            bv[j] = dload(b + (size_t)(j / PER_PANEL_64) * bp + (size_t)(j % PER_PANEL_64) * WN_DW);
        UNROLL
        for (int i = 0; i < MR; i++) {
            vd x = dset(a[(size_t)i * rs]);
            UNROLL
            for (int j = 0; j < NV; j++)
                acc[i][j] = dfma(x, bv[j], acc[i][j]);
        }
    }
    UNROLL
    for (int i = 0; i < MR; i++) {
        UNROLL
        for (int j = 0; j < NV; j++)
            dstore(B->c + (size_t)(j / PER_PANEL_64) * B->cp + (size_t)i * WN_ND +
                       (size_t)(j % PER_PANEL_64) * WN_DW,
                   acc[i][j]);
    }
}

/* Rows [0, m) of one stripe of NP panels. */
INLINE void mm64_rows(const int NP, block64 B, size_t m)
{
    size_t i = 0;
    for (; i + ROWS_64 <= m; i += ROWS_64) {
        mm64_block(ROWS_64, NP, &B);
        B.c += ROWS_64 * WN_ND;
        B.a += ROWS_64 * B.rs;
    }
    for (; i < m; i++) {
        mm64_block(1, NP, &B);
        B.c += WN_ND;
        B.a += B.rs;
    }
}

static void mm64(double *c, size_t cp, const double *a, size_t rs, size_t cs, const double *b,
                 size_t bp, size_t m, size_t panels, size_t k, bool add)
{
    size_t p = 0;
    for (; p + PANELS_64 <= panels; p += PANELS_64)
        mm64_rows(PANELS_64, (block64){c + p * cp, a, b + p * bp, cp, rs, cs, bp, k, add}, m);
    for (; p < panels; p++)
        mm64_rows(1, (block64){c + p * cp, a, b + p * bp, cp, rs, cs, bp, k, add}, m);
}

/* 1 / (1 + e^x): e^x = 2^n e^r, |r| <= ln2/2, e^r by its series to r^13 (4e-18 of it is left). */
INLINE vd dsigmoid_neg(vd x)
{
    static const double inverse_factorial[] = {1.6059043836821613e-10,
                                               2.08767569878681e-09,
                                               2.505210838544172e-08,
                                               2.755731922398589e-07,
                                               2.7557319223985893e-06,
                                               2.48015873015873e-05,
                                               1.984126984126984e-04,
                                               1.388888888888889e-03,
                                               8.333333333333333e-03,
                                               4.1666666666666664e-02,
                                               1.6666666666666666e-01,
                                               0.5,
                                               1,
                                               1};
    x = dmin(dset(700), dmax(dset(-700), x));
    vd n = dround(dmul(x, dset(1.4426950408889634)));
    vd r = dfma(n, dset(-6.93147180369123816490e-01), x);
    r = dfma(n, dset(-1.90821492927058770002e-10), r);
    vd e = dset(inverse_factorial[0]);
    UNROLL
    for (int i = 1; i < 14; i++)
        e = dfma(e, r, dset(inverse_factorial[i]));
    return ddiv(dset(1), dfma(e, dpow2(n), dset(1)));
}

static void sigmoid_neg(double *y, const double *x, size_t n)
{
    size_t i = 0;
    for (; i + WN_DW <= n; i += WN_DW)
        dstore(y + i, dsigmoid_neg(dload(x + i)));
    if (i < n) {
        double tail[WN_DW] = {0};
        memcpy(tail, x + i, (n - i) * sizeof *x);
        dstore(tail, dsigmoid_neg(dload(tail)));
        memcpy(y + i, tail, (n - i) * sizeof *x);
    }
}

static void axpy64(double *y, double a, const double *x, size_t n)
{
    size_t i = 0;
    for (; i + WN_DW <= n; i += WN_DW)
        dstore(y + i, dfma(dset(a), dload(x + i), dload(y + i)));
    for (; i < n; i++)
        y[i] = __builtin_fma(a, x[i], y[i]);
}

static void widen(double *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + WN_DW <= n; i += WN_DW)
        dstore(y + i, dwiden(x + i));
    for (; i < n; i++)
        y[i] = x[i];
}

#endif
