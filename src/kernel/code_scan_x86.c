/* Search's kernels for x86-64, every function compiled for its own instruction set.
 *
 * The order of work is the same in all: the codes of a few blocks stay in the first cache (64 rows
 * of 192 numbers: 12 KB) while all queries stream past from the second, so a row's code is read
 * from memory once for all queries. Products never leave registers or one scratch tile: they are
 * turned into the bound and compared at once, and only pairs that pass are written. Sixteen rows
 * are a vector; a query's four factors are broadcast.
 *
 * amx   32 queries by 32 rows as 2x2 tiles, 64 numbers an instruction; then 64 lines of bounds
 * vnni  6 queries by 4 blocks in 24 registers. vpdpbusd wants one side unsigned: queries become
 *       code + 128, and 128 times the sum of the row's codes is subtracted, once a block
 * avx2  |query| and the row with the query's sign: at most 127 * 127 * 2 = 32,258 in 16 bits */
#include "kernel/code_scan_table.h"
#include "kernel/table.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <stdbool.h>
#include <cpuid.h>

#define INLINE static inline __attribute__((always_inline))
#define AVX2   __attribute__((target("avx2,fma")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")))
#define VNNI   __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")))
#define AMX                                                                                        \
    __attribute__((                                                                                \
        target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,amx-tile,amx-int8")))

/* ---- the bound, sixteen rows at a time ---- */

struct rows16 {
    __m512 scale, plus, rest, slack;
};

VNNI INLINE struct rows16 load_facts(const wn_scan_facts *f)
{
    return (struct rows16){_mm512_loadu_ps(f->scale), _mm512_loadu_ps(f->plus),
                           _mm512_loadu_ps(f->rest), _mm512_loadu_ps(f->slack)};
}

/* Rows that pass query i. */
VNNI INLINE __mmask16 passes(__m512i dot, const struct rows16 *f, const wn_scan_queries *q,
                             size_t i)
{
    __m512 t = _mm512_mul_ps(f->plus, _mm512_set1_ps(q->plus[i]));
    t = _mm512_fmadd_ps(f->rest, _mm512_set1_ps(q->rest[i]), t);
    t = _mm512_fmadd_ps(f->slack, _mm512_set1_ps(q->slack[i]), t);
    t = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), f->scale, t);
    return _mm512_cmp_ps_mask(t, _mm512_set1_ps(wn_scan_floor(q, i)), _CMP_NLT_UQ);
}

INLINE size_t put(wn_scan_hit *hit, size_t n, uint32_t mask, size_t query, size_t row)
{
    for (; mask; mask &= mask - 1)
        hit[n++] = (wn_scan_hit){(uint32_t)query, (uint32_t)(row + (size_t)__builtin_ctz(mask))};
    return n;
}

/* ---- AMX ---- */

struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t colsb[16];
    uint8_t rows[16];
};

static bool has_amx(void)
{
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 24 & 1) && (d >> 25 & 1) &&
           wn_amx_allowed();
}

AMX static size_t scan_amx(wn_scan_hit *hit, const int8_t *block, const wn_scan_facts *facts,
                           size_t n, const wn_scan_queries *q)
{
    _Alignas(64) int32_t dot[2][2][16][16];
    struct tile_config config = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        config.colsb[i] = 64;
        config.rows[i] = 16;
    }
    _tile_loadconfig(&config);
    size_t bytes = q->chunks * WN_SCAN_DEPTH, hits = 0;
    for (size_t b = 0; b < n; b += 2) {
        /* an odd last block is taken twice, and its second product is not looked at */
        bool two = b + 1 < n;
        const int8_t *r0 = block + b * bytes * 16, *r1 = two ? r0 + bytes * 16 : r0;
        struct rows16 f0 = load_facts(&facts[b]), f1 = load_facts(&facts[b + two]);
        for (size_t i = 0; i < q->Q; i += 32) {
            const int8_t *c0 = q->code + i * bytes, *c1 = c0 + 16 * bytes;
            _tile_zero(0);
            _tile_zero(1);
            _tile_zero(2);
            _tile_zero(3);
            for (size_t k = 0; k < q->chunks; k++) {
                _tile_loadd(4, c0 + k * 64, (long)bytes);
                _tile_loadd(6, r0 + k * 1024, 64);
                _tile_dpbssd(0, 4, 6);
                _tile_loadd(7, r1 + k * 1024, 64);
                _tile_dpbssd(1, 4, 7);
                _tile_loadd(5, c1 + k * 64, (long)bytes);
                _tile_dpbssd(2, 5, 6);
                _tile_dpbssd(3, 5, 7);
            }
            _tile_stored(0, dot[0][0], 64);
            _tile_stored(1, dot[0][1], 64);
            _tile_stored(2, dot[1][0], 64);
            _tile_stored(3, dot[1][1], 64);
            for (size_t j = 0; j < 32; j++) {
                uint32_t m0 = passes(_mm512_load_si512(dot[j >> 4][0][j & 15]), &f0, q, i + j);
                uint32_t m1 = passes(_mm512_load_si512(dot[j >> 4][1][j & 15]), &f1, q, i + j);
                uint32_t m = two ? m0 | m1 << 16 : m0;
                if (__builtin_expect(m != 0, 0))
                    hits = put(hit, hits, m, i + j, b * 16);
            }
        }
    }
    _tile_release();
    return hits;
}

/* ---- AVX-512 with VNNI ---- */

/* 128 times the sum of each row's codes. */
VNNI INLINE __m512i excess(const int8_t *rows, size_t groups)
{
    __m512i sum = _mm512_setzero_si512(), one = _mm512_set1_epi8(1);
    for (size_t g = 0; g < groups; g++)
        sum = _mm512_dpbusd_epi32(sum, one, _mm512_loadu_si512(rows + g * 64));
    return _mm512_slli_epi32(sum, 7);
}

/* Queries [i, i + nq) against nb blocks; both small and known when compiled. */
VNNI INLINE size_t vnni_tile(wn_scan_hit *hit, size_t hits, const int8_t *block,
                             const struct rows16 *f, const __m512i *minus, const int nb,
                             const int nq, size_t i, const wn_scan_queries *q)
{
    size_t bytes = q->chunks * WN_SCAN_DEPTH, groups = bytes / 4;
    __m512i sum[6][4], flip = _mm512_set1_epi8((char)0x80);
    const int8_t *code = q->code + i * bytes;
#pragma GCC unroll 6
    for (int j = 0; j < nq; j++)
#pragma GCC unroll 4
        for (int b = 0; b < nb; b++)
            sum[j][b] = _mm512_setzero_si512();
    for (size_t g = 0; g < groups; g++) {
        __m512i row[4];
#pragma GCC unroll 4
        for (int b = 0; b < nb; b++)
            row[b] = _mm512_loadu_si512(block + ((size_t)b * groups + g) * 64);
#pragma GCC unroll 6
        for (int j = 0; j < nq; j++) {
            int32_t four;
            memcpy(&four, code + (size_t)j * bytes + g * 4, 4);
            __m512i x = _mm512_xor_si512(_mm512_set1_epi32(four), flip);
#pragma GCC unroll 4
            for (int b = 0; b < nb; b++)
                sum[j][b] = _mm512_dpbusd_epi32(sum[j][b], x, row[b]);
        }
    }
#pragma GCC unroll 6
    for (int j = 0; j < nq; j++)
#pragma GCC unroll 4
        for (int b = 0; b < nb; b++) {
            uint32_t m = passes(_mm512_sub_epi32(sum[j][b], minus[b]), &f[b], q, i + (size_t)j);
            if (__builtin_expect(m != 0, 0))
                hits = put(hit, hits, m, i + (size_t)j, (size_t)b * 16);
        }
    return hits;
}

VNNI static size_t scan_vnni(wn_scan_hit *hit, const int8_t *block, const wn_scan_facts *facts,
                             size_t n, const wn_scan_queries *q)
{
    size_t bytes = q->chunks * WN_SCAN_DEPTH, hits = 0, i = 0;
    struct rows16 f[WN_SCAN_BLOCKS];
    __m512i minus[WN_SCAN_BLOCKS];
    for (size_t b = 0; b < n; b++) {
        f[b] = load_facts(&facts[b]);
        minus[b] = excess(block + b * bytes * 16, bytes / 4);
    }
    if (n == WN_SCAN_BLOCKS)
        for (; i + 6 <= q->Q; i += 6)
            hits = vnni_tile(hit, hits, block, f, minus, 4, 6, i, q);
    for (; i < q->Q; i++)
        for (size_t b = 0; b < n; b++) {
            size_t at = hits;
            hits = vnni_tile(hit, hits, block + b * bytes * 16, f + b, minus + b, 1, 1, i, q);
            for (; at < hits; at++)
                hit[at].row += (uint32_t)(b * 16);
        }
    return hits;
}

/* ---- AVX2 ---- */

AVX2 INLINE __m256i avx2_dot(__m256i sum, __m256i row, __m256i query, __m256i magnitude)
{
    __m256i pairs = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(row, query));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

AVX2 INLINE uint32_t avx2_passes(__m256i dot, const wn_scan_facts *f, size_t half,
                                 const wn_scan_queries *q, size_t i)
{
    const size_t at = half * 8;
    __m256 t = _mm256_mul_ps(_mm256_loadu_ps(f->plus + at), _mm256_set1_ps(q->plus[i]));
    t = _mm256_fmadd_ps(_mm256_loadu_ps(f->rest + at), _mm256_set1_ps(q->rest[i]), t);
    t = _mm256_fmadd_ps(_mm256_loadu_ps(f->slack + at), _mm256_set1_ps(q->slack[i]), t);
    t = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), _mm256_loadu_ps(f->scale + at), t);
    __m256 pass = _mm256_cmp_ps(t, _mm256_set1_ps(wn_scan_floor(q, i)), _CMP_NLT_UQ);
    return (uint32_t)_mm256_movemask_ps(pass) << at;
}

/* Four queries, so that a row's vector is loaded once for them: eight sums in registers. */
AVX2 static size_t scan_avx2(wn_scan_hit *hit, const int8_t *block, const wn_scan_facts *facts,
                             size_t n, const wn_scan_queries *q)
{
    size_t bytes = q->chunks * WN_SCAN_DEPTH, groups = bytes / 4, hits = 0;
    for (size_t b = 0; b < n; b++) {
        const int8_t *rows = block + b * bytes * 16;
        for (size_t i = 0; i < q->Q; i += 4) {
            __m256i sum[4][2];
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++)
                sum[j][0] = sum[j][1] = _mm256_setzero_si256();
            for (size_t g = 0; g < groups; g++) {
                __m256i r0 = _mm256_loadu_si256((const __m256i *)(const void *)(rows + g * 64));
                __m256i r1 =
                    _mm256_loadu_si256((const __m256i *)(const void *)(rows + g * 64 + 32));
#pragma GCC unroll 4
                for (size_t j = 0; j < 4; j++) {
                    int32_t four;
                    memcpy(&four, q->code + (i + j) * bytes + g * 4, 4);
                    __m256i x = _mm256_set1_epi32(four), m = _mm256_abs_epi8(x);
                    sum[j][0] = avx2_dot(sum[j][0], r0, x, m);
                    sum[j][1] = avx2_dot(sum[j][1], r1, x, m);
                }
            }
#pragma GCC unroll 4
            for (size_t j = 0; j < 4; j++) {
                uint32_t m = avx2_passes(sum[j][0], &facts[b], 0, q, i + j) |
                             avx2_passes(sum[j][1], &facts[b], 1, q, i + j);
                if (__builtin_expect(m != 0, 0))
                    hits = put(hit, hits, m, i + j, b * 16);
            }
        }
    }
    return hits;
}

/* ---- coding ---- */

AVX512 INLINE __mmask16 first(size_t n)
{
    return n < 16 ? (__mmask16)((1U << n) - 1) : (__mmask16)0xffff;
}

AVX512 static void shift_avx512(float *u, const float *x, float norm, const float *centre,
                                float unit, size_t n)
{
    __m512 by = _mm512_set1_ps(norm), to = _mm512_set1_ps(unit);
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 m = first(n - i);
        __m512 y = _mm512_mul_ps(_mm512_maskz_loadu_ps(m, x + i), by);
        y = _mm512_sub_ps(y, _mm512_maskz_loadu_ps(m, centre + i));
        _mm512_mask_storeu_ps(u + i, m, _mm512_mul_ps(y, to));
    }
}

AVX512 static float max_avx512(const float *w, size_t n)
{
    __m512 most = _mm512_setzero_ps();
    for (size_t i = 0; i < n; i += 16)
        most = _mm512_max_ps(most, _mm512_abs_ps(_mm512_maskz_loadu_ps(first(n - i), w + i)));
    return _mm512_reduce_max_ps(most);
}

AVX512 static float code_avx512(int8_t *block, size_t row, const float *w, size_t n, size_t d,
                                float scale)
{
    __m512 by = _mm512_set1_ps(1 / scale), step = _mm512_set1_ps(scale), sum = _mm512_setzero_ps();
    __m512 top = _mm512_set1_ps(127), low = _mm512_set1_ps(-127);
    for (size_t i = 0; i < d; i += 16) {
        __m512 x = _mm512_maskz_loadu_ps(i < n ? first(n - i) : 0, w + i);
        __m512 a = _mm512_roundscale_ps(_mm512_mul_ps(x, by), _MM_FROUND_TO_NEAREST_INT);
        a = _mm512_min_ps(_mm512_max_ps(a, low), top);
        __m512 left = _mm512_fnmadd_ps(step, a, x);
        sum = _mm512_fmadd_ps(left, left, sum);
        int32_t four[4];
        _mm_storeu_si128((__m128i *)(void *)four, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a)));
        for (size_t j = 0; j < 4; j++)
            memcpy(block + ((i / 4 + j) * WN_SCAN_ROWS + row) * 4, &four[j], 4);
    }
    return _mm512_reduce_add_ps(sum);
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

AVX2 static void shift_avx2(float *u, const float *x, float norm, const float *centre, float unit,
                            size_t n)
{
    for (size_t i = 0; i < n; i++)
        u[i] = (x[i] * norm - centre[i]) * unit;
}

AVX2 static float max_avx2(const float *w, size_t n)
{
    __m256 most = _mm256_setzero_ps(), sign = _mm256_set1_ps(-0.0F);
    for (size_t i = 0; i < n; i += 8)
        most = _mm256_max_ps(most, _mm256_andnot_ps(sign, eight(w, i, n)));
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(most), _mm256_extractf128_ps(most, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

AVX2 static float code_avx2(int8_t *block, size_t row, const float *w, size_t n, size_t d,
                            float scale)
{
    __m256 by = _mm256_set1_ps(1 / scale), step = _mm256_set1_ps(scale), sum = _mm256_setzero_ps();
    __m256 top = _mm256_set1_ps(127), low = _mm256_set1_ps(-127);
    for (size_t i = 0; i < d; i += 8) {
        __m256 x = eight(w, i, n);
        __m256 a =
            _mm256_round_ps(_mm256_mul_ps(x, by), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        a = _mm256_min_ps(_mm256_max_ps(a, low), top);
        __m256 left = _mm256_fnmadd_ps(step, a, x);
        sum = _mm256_fmadd_ps(left, left, sum);
        int32_t wide[8];
        _mm256_storeu_si256((__m256i *)(void *)wide, _mm256_cvtps_epi32(a));
        for (size_t j = 0; j < 8; j++)
            block[((i + j) / 4 * WN_SCAN_ROWS + row) * 4 + j % 4] = (int8_t)wide[j];
    }
    return sum8(sum);
}

/* ---- float32 and float64 sums ---- */

AVX512 static float distance2_avx512(const float *x, const float *y, size_t n)
{
    __m512 s[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(),
                   _mm512_setzero_ps()};
    size_t i = 0;
    for (; i + 64 <= n; i += 64)
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++) {
            __m512 d =
                _mm512_sub_ps(_mm512_loadu_ps(x + i + j * 16), _mm512_loadu_ps(y + i + j * 16));
            s[j] = _mm512_fmadd_ps(d, d, s[j]);
        }
    for (; i < n; i += 16) {
        __mmask16 m = first(n - i);
        __m512 d = _mm512_sub_ps(_mm512_maskz_loadu_ps(m, x + i), _mm512_maskz_loadu_ps(m, y + i));
        s[0] = _mm512_fmadd_ps(d, d, s[0]);
    }
    return _mm512_reduce_add_ps(
        _mm512_add_ps(_mm512_add_ps(s[0], s[1]), _mm512_add_ps(s[2], s[3])));
}

AVX512 static float dot_avx512(const float *x, const float *y, size_t n)
{
    __m512 s[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(),
                   _mm512_setzero_ps()};
    size_t i = 0;
    for (; i + 64 <= n; i += 64)
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++)
            s[j] = _mm512_fmadd_ps(_mm512_loadu_ps(x + i + j * 16), _mm512_loadu_ps(y + i + j * 16),
                                   s[j]);
    for (; i < n; i += 16) {
        __mmask16 m = first(n - i);
        s[0] =
            _mm512_fmadd_ps(_mm512_maskz_loadu_ps(m, x + i), _mm512_maskz_loadu_ps(m, y + i), s[0]);
    }
    return _mm512_reduce_add_ps(
        _mm512_add_ps(_mm512_add_ps(s[0], s[1]), _mm512_add_ps(s[2], s[3])));
}

AVX512 INLINE __m512d wide(const float *x, size_t n)
{
    if (n >= 8)
        return _mm512_cvtps_pd(_mm256_loadu_ps(x));
    return _mm512_cvtps_pd(_mm256_maskz_loadu_ps((__mmask8)((1u << n) - 1), x));
}

AVX512 static double exact_distance2_avx512(const float *x, const float *y, size_t n)
{
    __m512d s = _mm512_setzero_pd();
    double a[WN_EXACT_LANES];
    for (size_t i = 0; i < n; i += 8) {
        __m512d d = _mm512_sub_pd(wide(x + i, n - i), wide(y + i, n - i));
        s = _mm512_add_pd(s, _mm512_mul_pd(d, d));
    }
    _mm512_storeu_pd(a, s);
    return wn_exact_sum(a);
}

AVX512 static double exact_dot_avx512(const float *x, const float *y, size_t n)
{
    __m512d s = _mm512_setzero_pd();
    double a[WN_EXACT_LANES];
    for (size_t i = 0; i < n; i += 8)
        s = _mm512_add_pd(s, _mm512_mul_pd(wide(x + i, n - i), wide(y + i, n - i)));
    _mm512_storeu_pd(a, s);
    return wn_exact_sum(a);
}

AVX2 static float distance2_avx2(const float *x, const float *y, size_t n)
{
    __m256 s0 = _mm256_setzero_ps(), s1 = s0;
    for (size_t i = 0; i < n; i += 16) {
        __m256 d0 = _mm256_sub_ps(eight(x, i, n), eight(y, i, n));
        __m256 d1 = _mm256_sub_ps(eight(x, i + 8, n), eight(y, i + 8, n));
        s0 = _mm256_fmadd_ps(d0, d0, s0);
        s1 = _mm256_fmadd_ps(d1, d1, s1);
    }
    return sum8(_mm256_add_ps(s0, s1));
}

AVX2 static float dot_avx2(const float *x, const float *y, size_t n)
{
    __m256 s0 = _mm256_setzero_ps(), s1 = s0;
    for (size_t i = 0; i < n; i += 16) {
        s0 = _mm256_fmadd_ps(eight(x, i, n), eight(y, i, n), s0);
        s1 = _mm256_fmadd_ps(eight(x, i + 8, n), eight(y, i + 8, n), s1);
    }
    return sum8(_mm256_add_ps(s0, s1));
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

/* ---- which one ---- */

#define FLOATS(isa)                                                                                \
    .shift = shift_##isa, .max = max_##isa, .code = code_##isa, .distance2 = distance2_##isa,      \
    .dot = dot_##isa, .exact_distance2 = exact_distance2_##isa, .exact_dot = exact_dot_##isa
static const wn_scan_table amx = {.name = "amx", .scan = scan_amx, FLOATS(avx512)};
static const wn_scan_table vnni = {.name = "vnni", .scan = scan_vnni, FLOATS(avx512)};
static const wn_scan_table avx2 = {.name = "avx2", .scan = scan_avx2, FLOATS(avx2)};

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
