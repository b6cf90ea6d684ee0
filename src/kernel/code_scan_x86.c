/* Search's kernels for x86-64, every function compiled for its own instruction set; AMX's filter is
 * in code_scan_amx.c.
 *
 * In all of them sixteen queries are a vector, a row's numbers are broadcast, and products never
 * leave registers: they are turned into the bound and compared at once, and only pairs that pass
 * are written. Codes of a block stay in the first cache while all queries stream past.
 *
 * vnni  8 rows by 48 queries in 24 registers. vpdpbusd wants one side unsigned: rows become code +
 *       128, and 128 times the sum of the query's codes is subtracted
 * avx2  |row| and the query with the row's sign: at most 127 * 127 * 2 = 32,258 in 16 bits */
#include "kernel/code_scan_x86.h"

#include "kernel/table.h"

#if defined(__x86_64__)

#include <cpuid.h>

static bool has_amx(void)
{
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 24 & 1) && (d >> 25 & 1) &&
           wn_amx_allowed();
}

/* ---- AVX-512 with VNNI ---- */

enum { VNNI_ROWS = 8, FLIP_CHUNKS = 8 };

/* Codes + 128 of rows [r, r + 8) of one chunk. */
VNNI INLINE void vnni_flip(uint8_t *out, const int8_t *chunk, size_t r)
{
    for (size_t a = 0; a < VNNI_ROWS; a++)
        _mm512_store_si512(out + a * 64, _mm512_xor_si512(_mm512_loadu_si512(chunk + (r + a) * 64),
                                                          _mm512_set1_epi8((char)0x80)));
}

/* The 24 sums have names, and a function of their own: else gcc 12 writes them to memory in every
 * round. */
#define EACH_ROW(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#define BEGIN(a)    __m512i s##a##0 = less0, s##a##1 = less1, s##a##2 = less2;
#define MULTIPLY(a)                                                                                \
    memcpy(&four, x + (a)*64, 4);                                                                  \
    s##a##0 = _mm512_dpbusd_epi32(s##a##0, _mm512_set1_epi32(four), y0);                           \
    s##a##1 = _mm512_dpbusd_epi32(s##a##1, _mm512_set1_epi32(four), y1);                           \
    s##a##2 = _mm512_dpbusd_epi32(s##a##2, _mm512_set1_epi32(four), y2);
#define END(a)                                                                                     \
    _mm512_store_si512(out[a], s##a##0);                                                           \
    _mm512_store_si512(out[a] + 16, s##a##1);                                                      \
    _mm512_store_si512(out[a] + 32, s##a##2);

/* out: products of rows [r, r + 8) of a block and queries [i, i + 48). */
VNNI __attribute__((noinline)) static void vnni_sums(int32_t out[VNNI_ROWS][WN_SCAN_QUERIES],
                                                     const int8_t *block, size_t r,
                                                     const wn_scan_queries *q, size_t i)
{
    _Alignas(64) uint8_t flipped[FLIP_CHUNKS][VNNI_ROWS * 64];
    const __m512i none = _mm512_setzero_si512();
    __m512i less0 = _mm512_sub_epi32(none, _mm512_loadu_si512(q->excess + i));
    __m512i less1 = _mm512_sub_epi32(none, _mm512_loadu_si512(q->excess + i + 16));
    __m512i less2 = _mm512_sub_epi32(none, _mm512_loadu_si512(q->excess + i + 32));
    const int8_t *code = q->code + i * q->chunks * WN_SCAN_DEPTH;
    size_t line = q->chunks * 1024;
    EACH_ROW(BEGIN)
    for (size_t k0 = 0; k0 < q->chunks; k0 += FLIP_CHUNKS) {
        size_t n = q->chunks - k0 < FLIP_CHUNKS ? q->chunks - k0 : FLIP_CHUNKS;
        for (size_t k = 0; k < n; k++)
            vnni_flip(flipped[k], block + (k0 + k) * 1024, r);
        for (size_t g = 0; g < n * WN_SCAN_DEPTH / 4; g++, code += 64) {
            const uint8_t *x = flipped[g / 16] + g % 16 * 4;
            __m512i y0 = _mm512_loadu_si512(code), y1 = _mm512_loadu_si512(code + line);
            __m512i y2 = _mm512_loadu_si512(code + 2 * line);
            int32_t four;
            EACH_ROW(MULTIPLY)
        }
    }
    EACH_ROW(END)
}

/* The pairs of them that pass; their rows are counted from the block's first. */
VNNI static size_t vnni_step(wn_scan_hit *hit, const int8_t *block, const wn_scan_facts *f,
                             size_t r, const wn_scan_queries *q, size_t i)
{
    _Alignas(64) int32_t dot[VNNI_ROWS][WN_SCAN_QUERIES];
    size_t hits = 0;
    vnni_sums(dot, block, r, q, i);
    for (size_t j = 0; j < WN_SCAN_QUERIES; j += WN_SCAN_GROUP) {
        struct queries16 side = load_queries(q, i + j);
        for (size_t a = 0; a < VNNI_ROWS; a++)
            hits = put(hit, hits, passes(_mm512_load_si512(dot[a] + j), f, r + a, &side), i + j,
                       r + a, dot[a] + j);
    }
    return hits;
}

VNNI static size_t scan_vnni(wn_scan_hit *hit, const int8_t *block, const wn_scan_facts *facts,
                             size_t n, const wn_scan_queries *q, const wn_scan_ahead *ahead)
{
    wn_ask_ahead(ahead);
    size_t bytes = q->chunks * WN_SCAN_DEPTH * WN_SCAN_ROWS, hits = 0;
    for (size_t b = 0; b < n; b++)
        for (size_t r = 0; r < WN_SCAN_ROWS; r += VNNI_ROWS)
            for (size_t i = 0; i < q->Q; i += WN_SCAN_QUERIES) {
                size_t more = vnni_step(hit + hits, block + b * bytes, &facts[b], r, q, i);
                for (size_t h = hits; h < hits + more; h++)
                    hit[h].row += (uint32_t)(b * WN_SCAN_ROWS);
                hits += more;
            }
    return hits;
}

/* Rows are flipped as above; two sums, so that one need not wait for the other. */
VNNI static size_t refine_vnni(wn_scan_hit *hit, size_t n, const int8_t *block,
                               const wn_scan_facts *facts, const wn_scan_queries *q)
{
    const size_t d = q->chunks * WN_SCAN_DEPTH;
    const __m512i flip = _mm512_set1_epi8((char)0x80);
    size_t left = 0;
    for (size_t i = 0; i < n; i++) {
        const wn_scan_hit h = hit[i];
        const int8_t *x =
            block + h.row / WN_SCAN_ROWS * WN_SCAN_ROWS * d + h.row % WN_SCAN_ROWS * WN_SCAN_DEPTH;
        const int8_t *y = q->fine + h.query * d;
        __m512i s[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
        size_t k = 0;
        for (; k + 2 <= q->chunks; k += 2)
#pragma GCC unroll 2
            for (size_t j = 0; j < 2; j++)
                s[j] = _mm512_dpbusd_epi32(
                    s[j], _mm512_xor_si512(_mm512_loadu_si512(x + (k + j) * 1024), flip),
                    _mm512_loadu_si512(y + (k + j) * 64));
        if (k < q->chunks)
            s[0] =
                _mm512_dpbusd_epi32(s[0], _mm512_xor_si512(_mm512_loadu_si512(x + k * 1024), flip),
                                    _mm512_loadu_si512(y + k * 64));
        int32_t sum = _mm512_reduce_add_epi32(_mm512_add_epi32(s[0], s[1]));
        hit[left] = h;
        left += wn_refined(&h, sum - q->fine_excess[h.query], facts, q);
    }
    return left;
}

/* ---- AVX2 ---- */

enum { AVX2_ROWS = 4 };

AVX2 INLINE __m256i avx2_dot(__m256i sum, __m256i query, __m256i row, __m256i magnitude)
{
    __m256i pairs = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(query, row));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

/* Of eight queries. */
AVX2 INLINE uint32_t avx2_passes(__m256i dot, const wn_scan_facts *f, size_t r,
                                 const wn_scan_queries *q, size_t i)
{
    __m256 t = _mm256_fmsub_ps(_mm256_loadu_ps(q->reach + i), _mm256_set1_ps(f->reach[r]),
                               _mm256_loadu_ps(q->floor + i));
    t = _mm256_fmadd_ps(_mm256_loadu_ps(q->plus + i), _mm256_set1_ps(f->plus[r]), t);
    t = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), _mm256_set1_ps(f->scale[r]), t);
    return (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(t, _mm256_setzero_ps(), _CMP_NLT_UQ));
}

/* Four rows and sixteen queries: eight sums in registers. */
AVX2 INLINE void avx2_sums(__m256i sum[AVX2_ROWS][2], const int8_t *block, size_t r,
                           const wn_scan_queries *q, size_t i)
{
    const int8_t *code = q->code + i * q->chunks * WN_SCAN_DEPTH;
    for (size_t g = 0; g < q->chunks * WN_SCAN_DEPTH / 4; g++) {
        const int8_t *x = block + wn_scan_row_at(r, g * 4);
        __m256i y0 = _mm256_loadu_si256((const __m256i *)(const void *)(code + g * 64));
        __m256i y1 = _mm256_loadu_si256((const __m256i *)(const void *)(code + g * 64 + 32));
#pragma GCC unroll 4
        for (size_t a = 0; a < AVX2_ROWS; a++) {
            int32_t four;
            memcpy(&four, x + a * WN_SCAN_DEPTH, 4);
            __m256i row = _mm256_set1_epi32(four), m = _mm256_abs_epi8(row);
            sum[a][0] = avx2_dot(sum[a][0], y0, row, m);
            sum[a][1] = avx2_dot(sum[a][1], y1, row, m);
        }
    }
}

AVX2 static size_t scan_avx2(wn_scan_hit *hit, const int8_t *block, const wn_scan_facts *facts,
                             size_t n, const wn_scan_queries *q, const wn_scan_ahead *ahead)
{
    wn_ask_ahead(ahead);
    size_t bytes = q->chunks * WN_SCAN_DEPTH * WN_SCAN_ROWS, hits = 0;
    for (size_t b = 0; b < n; b++)
        for (size_t i = 0; i < q->Q; i += WN_SCAN_GROUP)
            for (size_t r = 0; r < WN_SCAN_ROWS; r += AVX2_ROWS) {
                __m256i sum[AVX2_ROWS][2];
#pragma GCC unroll 4
                for (size_t a = 0; a < AVX2_ROWS; a++)
                    sum[a][0] = sum[a][1] = _mm256_setzero_si256();
                avx2_sums(sum, block + b * bytes, r, q, i);
#pragma GCC unroll 4
                for (size_t a = 0; a < AVX2_ROWS; a++) {
                    uint32_t m = avx2_passes(sum[a][0], &facts[b], r + a, q, i) |
                                 avx2_passes(sum[a][1], &facts[b], r + a, q, i + 8) << 8;
                    int32_t dot[WN_SCAN_GROUP];
                    _mm256_storeu_si256((__m256i *)(void *)dot, sum[a][0]);
                    _mm256_storeu_si256((__m256i *)(void *)(dot + 8), sum[a][1]);
                    if (__builtin_expect(m != 0, 0))
                        hits = put(hit, hits, m, i, b * WN_SCAN_ROWS + r + a, dot);
                }
            }
    return hits;
}

AVX2 static size_t refine_avx2(wn_scan_hit *hit, size_t n, const int8_t *block,
                               const wn_scan_facts *facts, const wn_scan_queries *q)
{
    const size_t d = q->chunks * WN_SCAN_DEPTH;
    size_t left = 0;
    for (size_t i = 0; i < n; i++) {
        const wn_scan_hit h = hit[i];
        const int8_t *x = block + h.row / WN_SCAN_ROWS * WN_SCAN_ROWS * d;
        const int8_t *y = q->fine + h.query * d;
        __m256i s = _mm256_setzero_si256();
        for (size_t k = 0; k < d; k += 32) {
            __m256i row = _mm256_loadu_si256(
                (const __m256i *)(const void *)(x + wn_scan_row_at(h.row % WN_SCAN_ROWS, k)));
            s = avx2_dot(s, _mm256_loadu_si256((const __m256i *)(const void *)(y + k)), row,
                         _mm256_abs_epi8(row));
        }
        __m128i t = _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
        t = _mm_add_epi32(t, _mm_shuffle_epi32(t, 0x4e));
        t = _mm_add_epi32(t, _mm_shuffle_epi32(t, 0xb1));
        hit[left] = h;
        left += wn_refined(&h, _mm_cvtsi128_si32(t), facts, q);
    }
    return left;
}

/* ---- coding ---- */

AVX512 INLINE __mmask16 first(size_t n)
{
    return n < 16 ? (__mmask16)((1U << n) - 1) : (__mmask16)0xffff;
}

/* Sixteen numbers shifted; their squares and sizes count in. */
AVX512 INLINE __m512 shift16(const float *x, const float *centre, __mmask16 m, __m512 by, __m512 to,
                             __m512 *norm2, __m512 *most)
{
    __m512 y = _mm512_mul_ps(_mm512_maskz_loadu_ps(m, x), by);
    y = _mm512_mul_ps(_mm512_sub_ps(y, _mm512_maskz_loadu_ps(m, centre)), to);
    *norm2 = _mm512_fmadd_ps(y, y, *norm2);
    *most = _mm512_max_ps(*most, _mm512_abs_ps(y));
    return y;
}

AVX512 static wn_shifted shift_avx512(float *u, const float *x, float norm, const float *centre,
                                      float unit, size_t n)
{
    __m512 by = _mm512_set1_ps(norm), to = _mm512_set1_ps(unit), none = _mm512_setzero_ps();
    __m512 norm2[4] = {none, none, none, none}, most[4] = {none, none, none, none};
    size_t i = 0;
    for (; i + 64 <= n; i += 64)
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++) {
            size_t at = i + j * 16;
            __m512 y = shift16(x + at, centre + at, (__mmask16)0xffff, by, to, &norm2[j], &most[j]);
            _mm512_storeu_ps(u + at, y);
        }
    for (; i < n; i += 16) {
        __mmask16 m = first(n - i);
        __m512 y = shift16(x + i, centre + i, m, by, to, &norm2[0], &most[0]);
        _mm512_mask_storeu_ps(u + i, m, y);
    }
    __m512 sum =
        _mm512_add_ps(_mm512_add_ps(norm2[0], norm2[1]), _mm512_add_ps(norm2[2], norm2[3]));
    __m512 top = _mm512_max_ps(_mm512_max_ps(most[0], most[1]), _mm512_max_ps(most[2], most[3]));
    return (wn_shifted){_mm512_reduce_add_ps(sum), _mm512_reduce_max_ps(top)};
}

/* Sixteen numbers' codes, and what these leave counts in. */
AVX512 INLINE __m512i code16(__m512 x, __m512 by, __m512 step, __m512 *sum)
{
    const __m512 top = _mm512_set1_ps(127), low = _mm512_set1_ps(-127);
    __m512i a = _mm512_cvtps_epi32(_mm512_min_ps(_mm512_max_ps(_mm512_mul_ps(x, by), low), top));
    __m512 left = _mm512_fnmadd_ps(step, _mm512_cvtepi32_ps(a), x);
    *sum = _mm512_fmadd_ps(left, left, *sum);
    return a;
}

AVX512 static float code_avx512(int8_t *block, size_t row, const float *u, size_t n, size_t d,
                                float scale)
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m512 by = _mm512_set1_ps(1 / scale), step = _mm512_set1_ps(scale), none = _mm512_setzero_ps();
    __m512 sum[4] = {none, none, none, none};
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        __m512i a[4];
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++)
            a[j] = code16(_mm512_loadu_ps(u + i + j * 16), by, step, &sum[j]);
        __m512i all =
            _mm512_packs_epi16(_mm512_packs_epi32(a[0], a[1]), _mm512_packs_epi32(a[2], a[3]));
        _mm512_storeu_si512(block + wn_scan_row_at(row, i), _mm512_permutexvar_epi32(order, all));
    }
    for (; i < d; i += 16) {
        __m512 x = _mm512_maskz_loadu_ps(i < n ? first(n - i) : 0, u + i);
        _mm_storeu_si128((__m128i *)(void *)(block + wn_scan_row_at(row, i)),
                         _mm512_cvtepi32_epi8(code16(x, by, step, &sum[0])));
    }
    return _mm512_reduce_add_ps(
        _mm512_add_ps(_mm512_add_ps(sum[0], sum[1]), _mm512_add_ps(sum[2], sum[3])));
}

/* Eight at a time; a tail is copied, so that nothing is read behind the row. */
AVX2 INLINE __m256 eight(const float *x, size_t i, size_t n)
{
    float part[8] = {0};
    if (i + 8 <= n)
        return _mm256_loadu_ps(x + i);
    for (size_t j = 0; i + j < n; j++)
        part[j] = x[i + j];
    return _mm256_loadu_ps(part);
}

AVX2 INLINE float sum8(__m256 v)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

AVX2 INLINE float max8(__m256 x)
{
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

AVX2 static wn_shifted shift_avx2(float *u, const float *x, float norm, const float *centre,
                                  float unit, size_t n)
{
    __m256 norm2 = _mm256_setzero_ps(), most = norm2, sign = _mm256_set1_ps(-0.0F);
    for (size_t i = 0; i < n; i++)
        u[i] = (x[i] * norm - centre[i]) * unit;
    for (size_t i = 0; i < n; i += 8) {
        __m256 y = eight(u, i, n);
        norm2 = _mm256_fmadd_ps(y, y, norm2);
        most = _mm256_max_ps(most, _mm256_andnot_ps(sign, y));
    }
    return (wn_shifted){sum8(norm2), max8(most)};
}

AVX2 static float code_avx2(int8_t *block, size_t row, const float *u, size_t n, size_t d,
                            float scale)
{
    __m256 by = _mm256_set1_ps(1 / scale), step = _mm256_set1_ps(scale), sum = _mm256_setzero_ps();
    __m256 top = _mm256_set1_ps(127), low = _mm256_set1_ps(-127);
    for (size_t i = 0; i < d; i += 8) {
        __m256 x = eight(u, i, n);
        __m256 a =
            _mm256_round_ps(_mm256_mul_ps(x, by), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        a = _mm256_min_ps(_mm256_max_ps(a, low), top);
        __m256 left = _mm256_fnmadd_ps(step, a, x);
        sum = _mm256_fmadd_ps(left, left, sum);
        int32_t wide[8];
        _mm256_storeu_si256((__m256i *)(void *)wide, _mm256_cvtps_epi32(a));
        for (size_t j = 0; j < 8; j++)
            block[wn_scan_row_at(row, i + j)] = (int8_t)wide[j];
    }
    return sum8(sum);
}

/* ---- float64 sums ---- */

enum { TOGETHER = 4 };

/* Eight more terms in a sum, the last of fewer where m says so. A product of two float32 numbers is
 * a float64, so rounding it before it is added changes nothing. */
AVX512 INLINE __m512d add_terms(__m512d sum, const float *x, const float *y, __mmask8 m,
                                const bool distance)
{
    __m512d a = _mm512_cvtps_pd(_mm256_maskz_loadu_ps(m, x));
    __m512d b = _mm512_cvtps_pd(_mm256_maskz_loadu_ps(m, y));
    if (!distance)
        return _mm512_fmadd_pd(a, b, sum);
    a = _mm512_sub_pd(a, b);
    return _mm512_add_pd(sum, _mm512_mul_pd(a, a));
}

/* `pairs` of them in step: all but n is known when compiled. */
AVX512 INLINE void exact_avx512(double *out, const wn_scan_pair *pair, const size_t pairs, size_t n,
                                const bool distance)
{
    __m512d s[TOGETHER];
    double a[WN_EXACT_LANES];
    size_t i = 0;
#pragma GCC unroll 4
    for (size_t j = 0; j < pairs; j++)
        s[j] = _mm512_setzero_pd();
    for (; i + 8 <= n; i += 8)
#pragma GCC unroll 4
        for (size_t j = 0; j < pairs; j++)
            s[j] = add_terms(s[j], pair[j].x + i, pair[j].y + i, 0xff, distance);
    const __mmask8 rest = (__mmask8)((1U << (n - i)) - 1);
#pragma GCC unroll 4
    for (size_t j = 0; rest && j < pairs; j++)
        s[j] = add_terms(s[j], pair[j].x + i, pair[j].y + i, rest, distance);
#pragma GCC unroll 4
    for (size_t j = 0; j < pairs; j++) {
        _mm512_storeu_pd(a, s[j]);
        out[j] = wn_exact_sum(a);
    }
}

AVX512 static void exact_distances2_avx512(double *out, const wn_scan_pair *pair, size_t m,
                                           size_t n)
{
    size_t i = 0;
    for (; i + TOGETHER <= m; i += TOGETHER)
        exact_avx512(out + i, pair + i, TOGETHER, n, true);
    for (; i < m; i++)
        exact_avx512(out + i, pair + i, 1, n, true);
}

AVX512 static void exact_dots_avx512(double *out, const wn_scan_pair *pair, size_t m, size_t n)
{
    size_t i = 0;
    for (; i + TOGETHER <= m; i += TOGETHER)
        exact_avx512(out + i, pair + i, TOGETHER, n, false);
    for (; i < m; i++)
        exact_avx512(out + i, pair + i, 1, n, false);
}

AVX2 static double exact_distance2_avx2(const float *x, const float *y, size_t n)
{
    __m256d s0 = _mm256_setzero_pd(), s1 = s0;
    double a[WN_EXACT_LANES];
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256d d0 = _mm256_sub_pd(_mm256_cvtps_pd(_mm_loadu_ps(x + i)),
                                   _mm256_cvtps_pd(_mm_loadu_ps(y + i)));
        __m256d d1 = _mm256_sub_pd(_mm256_cvtps_pd(_mm_loadu_ps(x + i + 4)),
                                   _mm256_cvtps_pd(_mm_loadu_ps(y + i + 4)));
        s0 = _mm256_add_pd(s0, _mm256_mul_pd(d0, d0));
        s1 = _mm256_add_pd(s1, _mm256_mul_pd(d1, d1));
    }
    _mm256_storeu_pd(a, s0);
    _mm256_storeu_pd(a + 4, s1);
    for (size_t j = 0; i < n; i++, j++) {
        double d = (double)x[i] - (double)y[i];
        double square = d * d;
        a[j] += square;
    }
    return wn_exact_sum(a);
}

AVX2 static double exact_dot_avx2(const float *x, const float *y, size_t n)
{
    __m256d s0 = _mm256_setzero_pd(), s1 = s0;
    double a[WN_EXACT_LANES];
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        s0 = _mm256_add_pd(s0, _mm256_mul_pd(_mm256_cvtps_pd(_mm_loadu_ps(x + i)),
                                             _mm256_cvtps_pd(_mm_loadu_ps(y + i))));
        s1 = _mm256_add_pd(s1, _mm256_mul_pd(_mm256_cvtps_pd(_mm_loadu_ps(x + i + 4)),
                                             _mm256_cvtps_pd(_mm_loadu_ps(y + i + 4))));
    }
    _mm256_storeu_pd(a, s0);
    _mm256_storeu_pd(a + 4, s1);
    for (size_t j = 0; i < n; i++, j++)
        a[j] += (double)x[i] * (double)y[i];
    return wn_exact_sum(a);
}

AVX2 static void exact_distances2_avx2(double *out, const wn_scan_pair *pair, size_t m, size_t n)
{
    for (size_t i = 0; i < m; i++)
        out[i] = exact_distance2_avx2(pair[i].x, pair[i].y, n);
}

AVX2 static void exact_dots_avx2(double *out, const wn_scan_pair *pair, size_t m, size_t n)
{
    for (size_t i = 0; i < m; i++)
        out[i] = exact_dot_avx2(pair[i].x, pair[i].y, n);
}

/* ---- which one ---- */

#define FLOATS(isa)                                                                                \
    .shift = shift_##isa, .code = code_##isa, .exact_distances2 = exact_distances2_##isa,          \
    .exact_dots = exact_dots_##isa
static const wn_scan_table amx = {
    .name = "amx", .scan = wn_scan_amx, .refine = refine_vnni, FLOATS(avx512)};
static const wn_scan_table vnni = {
    .name = "vnni", .scan = scan_vnni, .refine = refine_vnni, FLOATS(avx512)};
static const wn_scan_table avx2 = {
    .name = "avx2", .scan = scan_avx2, .refine = refine_avx2, FLOATS(avx2)};

const wn_scan_table *wn_scan_table_x86(const char *name)
{
    __builtin_cpu_init();
    bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool has_vnni = has_avx2 && __builtin_cpu_supports("avx512f") &&
                    __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni");
    if (has_vnni && (!name || strcmp(name, amx.name) == 0) && has_amx())
        return &amx;
    if (has_vnni && (!name || strcmp(name, vnni.name) == 0))
        return &vnni;
    if (has_avx2 && (!name || strcmp(name, avx2.name) == 0))
        return &avx2;
    return NULL;
}

#else

const wn_scan_table *wn_scan_table_x86(const char *name)
{
    (void)name;
    return NULL;
}

#endif
