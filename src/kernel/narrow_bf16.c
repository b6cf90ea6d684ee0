/* Products of narrow numbers on AVX-512: vdpbf16ps adds a pair of products to each of 16 sums,
 * vpdpbusd four of unsigned by signed bytes. A block is 8 rows by two panels: 16 sums hide the
 * latency. */
#include "kernel/narrow.h"

#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

typedef struct block {
    float *c;
    const uint16_t *a, *b;
    size_t ldc, bp, kt, n;
    bool add;
} block;

INLINE void rows16(const int m, const block *B)
{
    __mmask16 low = first_lanes(B->n), high = first_lanes(B->n > 16 ? B->n - 16 : 0);
    __m512 s[8], t[8];
    UNROLL
    for (int r = 0; r < m; r++) {
        const float *c = B->c + (size_t)r * B->ldc;
        s[r] = B->add ? _mm512_maskz_loadu_ps(low, c) : _mm512_setzero_ps();
        t[r] = B->add ? _mm512_maskz_loadu_ps(high, c + 16) : _mm512_setzero_ps();
    }
    for (size_t i = 0; i < B->kt; i++) {
        const uint16_t *a = B->a + i * 2 * TILE, *b = B->b + i * TILE;
        for (size_t k = 0; k < 16; k++, a += 2, b += 32) {
            __m512bh b0 = (__m512bh)_mm512_load_si512(b);
            __m512bh b1 = (__m512bh)_mm512_load_si512(b + B->bp);
            UNROLL
            for (int r = 0; r < m; r++) {
                int pair;
                memcpy(&pair, a + r * 32, sizeof pair);
                __m512bh x = (__m512bh)_mm512_set1_epi32(pair);
                s[r] = _mm512_dpbf16_ps(s[r], x, b0);
                t[r] = _mm512_dpbf16_ps(t[r], x, b1);
            }
        }
    }
    UNROLL
    for (int r = 0; r < m; r++) {
        float *c = B->c + (size_t)r * B->ldc;
        _mm512_mask_storeu_ps(c, low, s[r]);
        _mm512_mask_storeu_ps(c + 16, high, t[r]);
    }
}

#define ROWS(m)                                                                                    \
    static void rows16_##m(const block *B)                                                         \
    {                                                                                              \
        rows16(m, B);                                                                              \
    }
ROWS(1)
ROWS(2)
ROWS(3)
ROWS(4)
ROWS(5)
ROWS(6)
ROWS(7)
ROWS(8)
#undef ROWS
static void (*const shapes[])(const block *B) = {rows16_1, rows16_2, rows16_3, rows16_4,
                                                 rows16_5, rows16_6, rows16_7, rows16_8};

static void mm16(float *c, size_t ldc, const uint16_t *a, const uint16_t *b, size_t bp, size_t kt,
                 size_t m, size_t n, bool add, const void *next, size_t lines)
{
    for (size_t i = 0; i < lines * kt; i++)
        _mm_prefetch((const char *)next + i * 64, _MM_HINT_T1);
    for (size_t r = 0; r < m; r += 8) {
        size_t rows = m - r < 8 ? m - r : 8;
        block B = {c + r * ldc, a + r / 16 * TILE + r % 16 * 32, b, ldc, n > 16 ? bp : 0, kt, n,
                   add};
        shapes[rows - 1](&B);
    }
}

INLINE void rows8(const int m, int32_t *c, const uint8_t *a, const int8_t *b, size_t bp, size_t kt)
{
    __m512i s[8], t[8];
    UNROLL
    for (int r = 0; r < m; r++)
        s[r] = t[r] = _mm512_setzero_si512();
    for (size_t i = 0; i < kt; i++, a += 2048) {
        for (size_t k = 0; k < 16; k++, b += 64) {
            __m512i b0 = _mm512_loadu_si512(b), b1 = _mm512_loadu_si512(b + bp);
            UNROLL
            for (int r = 0; r < m; r++) {
                int quad;
                memcpy(&quad, a + r * 64 + (int)k * 4, sizeof quad);
                __m512i x = _mm512_set1_epi32(quad);
                s[r] = _mm512_dpbusd_epi32(s[r], x, b0);
                t[r] = _mm512_dpbusd_epi32(t[r], x, b1);
            }
        }
    }
    UNROLL
    for (int r = 0; r < m; r++) {
        _mm512_storeu_si512(c + r * 32, s[r]);
        _mm512_storeu_si512(c + r * 32 + 16, t[r]);
    }
}

/* Rows behind the m-th are zeros. */
static void mm8(int32_t *c, const uint8_t *a, const int8_t *b, const int32_t *sums, size_t bp,
                size_t kt, size_t m, size_t n, const void *next, size_t lines)
{
    (void)sums;
    bp = n > 16 ? bp : 0;
    for (size_t i = 0; i < lines * kt; i++)
        _mm_prefetch((const char *)next + i * 64, _MM_HINT_T1);
    for (size_t r = 0; r < m; r += 8) {
        const uint8_t *x = a + r / 16 * 1024 + r % 16 * 64;
        if (m - r > 4)
            rows8(8, c + r * 32, x, b, bp, kt);
        else
            rows8(4, c + r * 32, x, b, bp, kt);
    }
}

static double spin8(size_t rounds)
{
    volatile int sink;
    __m512i s[12], a = _mm512_set1_epi8(1);
    for (int i = 0; i < 12; i++)
        s[i] = _mm512_setzero_si512();
    for (size_t n = 0; n < rounds; n++) {
        UNROLL
        for (int i = 0; i < 12; i++)
            s[i] = _mm512_dpbusd_epi32(s[i], a, a);
    }
    for (int i = 1; i < 12; i++)
        s[0] = _mm512_add_epi32(s[0], s[i]);
    sink = _mm512_reduce_add_epi32(s[0]);
    (void)sink;
    return 12.0 * 2 * 64 * (double)rounds;
}

static double spin16(size_t rounds)
{
    volatile float sink;
    __m512 s[12];
    __m512bh a = (__m512bh)_mm512_set1_epi32(0x3f003f00);
    for (int i = 0; i < 12; i++)
        s[i] = _mm512_setzero_ps();
    for (size_t n = 0; n < rounds; n++) {
        UNROLL
        for (int i = 0; i < 12; i++)
            s[i] = _mm512_dpbf16_ps(s[i], a, a);
    }
    for (int i = 1; i < 12; i++)
        s[0] = _mm512_add_ps(s[0], s[i]);
    sink = _mm512_reduce_add_ps(s[0]);
    (void)sink;
    return 12.0 * 2 * 32 * (double)rounds;
}

const wn_narrow wn_narrow_vnni = {.name = "vnni", .mm8 = mm8, .spin8 = spin8};
const wn_narrow wn_narrow_bf16 = {.name = "avx512",
                                  .pack16 = pack16,
                                  .mm16 = mm16,
                                  .turn16 = turn16,
                                  .down16 = down16,
                                  .across16 = across16,
                                  .mm8 = mm8,
                                  .spin16 = spin16,
                                  .spin8 = spin8};
