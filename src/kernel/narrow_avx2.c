/* Products of bytes on AVX2: vpmaddubsw adds pairs of products into 16 bits, which 255 * 127 * 2
 * does not fit. So x - 128 is multiplied, as its size times w with its sign: at most 2 * 128 * 127;
 * 128 times the sum of w is added in the end. */
#include <immintrin.h>
#include <string.h>

#include "kernel/table.h"

#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

/* Four rows by one panel. */
INLINE void rows4(int32_t *c, const uint8_t *a, const int8_t *b, const int32_t *sums, size_t kt)
{
    const __m256i one = _mm256_set1_epi16(1), half = _mm256_set1_epi8((char)0x80);
    __m256i s[4], t[4];
    UNROLL
    for (int r = 0; r < 4; r++) {
        s[r] = _mm256_slli_epi32(_mm256_loadu_si256((const __m256i *)(const void *)sums), 7);
        t[r] = _mm256_slli_epi32(_mm256_loadu_si256((const __m256i *)(const void *)(sums + 8)), 7);
    }
    for (size_t i = 0; i < kt; i++, a += 2048)
        for (size_t k = 0; k < 16; k++, b += 64) {
            __m256i b0 = _mm256_loadu_si256((const __m256i *)(const void *)b);
            __m256i b1 = _mm256_loadu_si256((const __m256i *)(const void *)(b + 32));
            UNROLL
            for (int r = 0; r < 4; r++) {
                int quad;
                memcpy(&quad, a + r * 64 + (int)k * 4, sizeof quad);
                __m256i x = _mm256_xor_si256(_mm256_set1_epi32(quad), half),
                        size = _mm256_abs_epi8(x);
                __m256i p = _mm256_maddubs_epi16(size, _mm256_sign_epi8(b0, x));
                __m256i q = _mm256_maddubs_epi16(size, _mm256_sign_epi8(b1, x));
                s[r] = _mm256_add_epi32(s[r], _mm256_madd_epi16(p, one));
                t[r] = _mm256_add_epi32(t[r], _mm256_madd_epi16(q, one));
            }
        }
    UNROLL
    for (int r = 0; r < 4; r++) {
        _mm256_storeu_si256((__m256i *)(void *)(c + r * 32), s[r]);
        _mm256_storeu_si256((__m256i *)(void *)(c + r * 32 + 8), t[r]);
    }
}

/* Rows behind the m-th are zeros. */
static void mm8(int32_t *c, const uint8_t *a, const int8_t *b, const int32_t *sums, size_t bp,
                size_t kt, size_t m, size_t n, const void *next, size_t lines)
{
    for (size_t i = 0; i < lines * kt; i++)
        _mm_prefetch((const char *)next + i * 64, _MM_HINT_T1);
    for (size_t j = 0; j < n;
         j += 16, b += bp, sums = (const int32_t *)(const void *)((const char *)sums + bp))
        for (size_t r = 0; r < m; r += 4)
            rows4(c + r * 32 + j, a + r / 16 * 1024 + r % 16 * 64, b, sums, kt);
}

const wn_narrow wn_narrow_avx2 = {.name = "avx2", .mm8 = mm8};
