/* The product kernel and transposition of fast.c.
 *
 * mm walks panels outside and rows inside, so a panel block of k*16 floats stays in the first cache
 * while the rows stream past. A block of MR rows by NV vectors lives in registers for the whole of
 * k: 6x16 on AVX2 (12 sums, two vectors of b, one broadcast: 15 of 16 registers), 12x32 on AVX-512.
 * Few rows use wider blocks instead, so that enough sums are in flight to hide the latency of the
 * FMA. The order over k is the same for every block shape: shape never shows in a result. */
#ifndef WN_KERNEL_FAST_MM_H
#define WN_KERNEL_FAST_MM_H

#include "kernel/table.h"
#include "kernel/vec.h"

enum {
    PER_PANEL = WN_NR / WN_VW,
#if defined(__AVX512F__) || defined(WN_VEC_WIDE)
    ROWS_1 = 12, /* most rows of a block of 1, 2, 4 vectors */
    ROWS_2 = 12,
    ROWS_4 = 6
#else
    ROWS_1 = 12,
    ROWS_2 = 6,
    ROWS_4 = 3
#endif
};

typedef struct block {
    float *c;
    const float *a, *b;
    size_t ldc, lda, bk, bp, n, k;
    bool add;
} block;

INLINE void mm_block(const int MR, const int NV, const block *B)
{
    vf acc[12][4];
    const float *a = B->a, *b = B->b;
    const size_t lda = B->lda, bk = B->bk, bp = B->bp, k = B->k;
    float *c = B->c;
    const bool whole = B->n >= (size_t)NV * WN_VW;
    UNROLL
    for (int i = 0; i < MR; i++) {
        UNROLL
        for (int j = 0; j < NV; j++) {
            const float *p = c + (size_t)i * B->ldc + (size_t)j * WN_VW;
            size_t at = (size_t)j * WN_VW;
            acc[i][j] = !B->add     ? vset(0)
                        : whole     ? vload(p)
                        : at < B->n ? vloadn(p, B->n - at)
                                    : vset(0);
        }
    }
    for (size_t kk = 0; kk < k; kk++) {
        vf bv[4];
        UNROLL
        for (int j = 0; j < NV; j++)
            bv[j] = vload(b + (size_t)(j / PER_PANEL) * bp + (size_t)(j % PER_PANEL) * WN_VW);
        UNROLL
        for (int i = 0; i < MR; i++) {
            vf x = vset(a[(size_t)i * lda + kk]);
            UNROLL
            for (int j = 0; j < NV; j++)
                acc[i][j] = vfma(x, bv[j], acc[i][j]);
        }
        b += bk;
    }
    UNROLL
    for (int i = 0; i < MR; i++) {
        UNROLL
        for (int j = 0; j < NV; j++) {
            float *p = c + (size_t)i * B->ldc + (size_t)j * WN_VW;
            size_t at = (size_t)j * WN_VW;
            if (whole)
                vstore(p, acc[i][j]);
            else if (at < B->n)
                vstoren(p, acc[i][j], B->n - at);
        }
    }
}

#define SHAPE(mr, nv)                                                                              \
    static void mm_##mr##_##nv(const block *B)                                                     \
    {                                                                                              \
        mm_block(mr, nv, B);                                                                       \
    }
SHAPE(1, 1);
SHAPE(2, 1);
SHAPE(3, 1);
SHAPE(4, 1);
SHAPE(5, 1);
SHAPE(6, 1);
SHAPE(7, 1);
SHAPE(8, 1);
SHAPE(9, 1);
SHAPE(10, 1);
SHAPE(11, 1);
SHAPE(12, 1);
SHAPE(1, 2);
SHAPE(2, 2);
SHAPE(3, 2);
SHAPE(4, 2);
SHAPE(5, 2);
SHAPE(6, 2);
SHAPE(1, 4);
SHAPE(2, 4);
SHAPE(3, 4);
#if defined(__AVX512F__) || defined(WN_VEC_WIDE)
SHAPE(7, 2);
SHAPE(8, 2);
SHAPE(9, 2);
SHAPE(10, 2);
SHAPE(11, 2);
SHAPE(12, 2);
SHAPE(4, 4);
SHAPE(5, 4);
SHAPE(6, 4);
#endif

typedef void (*shape)(const block *B);
static const shape SHAPES_1[] = {NULL,   mm_1_1, mm_2_1, mm_3_1,  mm_4_1,  mm_5_1, mm_6_1,
                                 mm_7_1, mm_8_1, mm_9_1, mm_10_1, mm_11_1, mm_12_1};
#if defined(__AVX512F__) || defined(WN_VEC_WIDE)
static const shape SHAPES_2[] = {NULL,   mm_1_2, mm_2_2, mm_3_2,  mm_4_2,  mm_5_2, mm_6_2,
                                 mm_7_2, mm_8_2, mm_9_2, mm_10_2, mm_11_2, mm_12_2};
static const shape SHAPES_4[] = {NULL, mm_1_4, mm_2_4, mm_3_4, mm_4_4, mm_5_4, mm_6_4};
#else
static const shape SHAPES_2[] = {NULL, mm_1_2, mm_2_2, mm_3_2, mm_4_2, mm_5_2, mm_6_2};
static const shape SHAPES_4[] = {NULL, mm_1_4, mm_2_4, mm_3_4};
#endif
#undef SHAPE

static void mm(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t bk,
               size_t bp, size_t m, size_t n, size_t k, bool add)
{
    if (!m)
        return;
    for (size_t j = 0; j < n;) {
        const shape *shapes = SHAPES_1;
        size_t left = n - j, most = ROWS_1, step = WN_VW;
        if (m <= ROWS_4 && left > 2 * WN_VW) {
            shapes = SHAPES_4, most = ROWS_4, step = 4 * WN_VW;
        } else if (left > WN_VW) {
            shapes = SHAPES_2, most = ROWS_2, step = 2 * WN_VW;
        }
        /* A block of several panels must not reach beyond the last one. */
        size_t panels = (left + WN_NR - 1) / WN_NR * WN_NR;
        if (step > panels)
            shapes = SHAPES_2, most = ROWS_2, step = 2 * WN_VW;
        block B = {c + j, a,  b + j / WN_NR * bp,        ldc, lda,
                   bk,    bp, left < step ? left : step, k,   add};
        size_t blocks = (m + most - 1) / most, low = m / blocks, longer = m % blocks;
        for (size_t i = 0; i < blocks; i++) {
            size_t rows = low + (i < longer);
            shapes[rows](&B);
            B.c += rows * ldc;
            B.a += rows * lda;
        }
        j += step;
    }
}

#if defined(__AVX2__) && !defined(WN_VEC_WIDE)
INLINE __m256 load_first(const float *p, size_t n)
{
    __m256i at = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_maskload_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), at));
}

INLINE void store_first(float *p, __m256 v, size_t n)
{
    __m256i at = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    _mm256_maskstore_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), at), v);
}

/* 8x8 through registers; rows and cols say how much of the block exists. */
INLINE void transpose8(float *out, size_t ldo, const float *in, size_t ldi, size_t rows,
                       size_t cols)
{
    __m256 r[8], s[8];
    const bool whole = rows == 8 && cols == 8;
    UNROLL
    for (size_t i = 0; i < 8; i++)
        r[i] = whole      ? _mm256_loadu_ps(in + i * ldi)
               : i < rows ? load_first(in + i * ldi, cols)
                          : _mm256_setzero_ps();
    UNROLL
    for (int i = 0; i < 8; i += 2) {
        s[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        s[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    UNROLL
    for (int i = 0; i < 8; i += 4) {
        r[i] = _mm256_shuffle_ps(s[i], s[i + 2], 0x44);
        r[i + 1] = _mm256_shuffle_ps(s[i], s[i + 2], 0xee);
        r[i + 2] = _mm256_shuffle_ps(s[i + 1], s[i + 3], 0x44);
        r[i + 3] = _mm256_shuffle_ps(s[i + 1], s[i + 3], 0xee);
    }
    UNROLL
    for (int i = 0; i < 4; i++) {
        s[i] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
        s[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
    }
    UNROLL
    for (size_t i = 0; i < 8; i++) {
        if (whole)
            _mm256_storeu_ps(out + i * ldo, s[i]);
        else if (i < cols)
            store_first(out + i * ldo, s[i], rows);
    }
}
#else
INLINE void transpose8(float *out, size_t ldo, const float *in, size_t ldi, size_t rows,
                       size_t cols)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++)
            out[c * ldo + r] = in[r * ldi + c];
}
#endif

/* Sixteen rows at a time: an output line is written whole, not in halves that miss twice. */
static void transpose(float *out, size_t ldo, const float *in, size_t ldi, size_t rows, size_t cols)
{
    for (size_t top = 0; top < rows; top += 16)
        for (size_t c = 0; c < cols; c += 8)
            for (size_t r = top; r < rows && r < top + 16; r += 8)
                transpose8(out + c * ldo + r, ldo, in + r * ldi + c, ldi,
                           rows - r < 8 ? rows - r : 8, cols - c < 8 ? cols - c : 8);
}

/* Twelve chains, so that neither latency nor memory hides the rate of the FMA units. */
static double spin(size_t rounds)
{
    volatile float sink;
    vf s[12], a = vset(0.999f), b = vset(1e-3f);
    UNROLL
    for (int j = 0; j < 12; j++)
        s[j] = vset((float)j);
    for (size_t n = 0; n < rounds; n++) {
        UNROLL
        for (int j = 0; j < 12; j++)
            s[j] = vfma(s[j], a, b);
    }
    UNROLL
    for (int j = 1; j < 12; j++)
        s[0] = vadd(s[0], s[j]);
    sink = vsum(s[0]);
    (void)sink;
    return 2.0 * 12 * WN_VW * (double)rounds;
}

#endif
