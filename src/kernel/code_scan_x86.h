/* What the x86-64 forms of search's kernels share. */
#ifndef WN_KERNEL_CODE_SCAN_X86_H
#define WN_KERNEL_CODE_SCAN_X86_H

#include "kernel/code_scan_table.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))
#define AVX2   __attribute__((target("avx2,fma")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")))
#define VNNI   __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")))
#define AMX                                                                                        \
    __attribute__((                                                                                \
        target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,amx-tile,amx-int8")))

enum { TRIPLE = WN_SCAN_QUERIES / WN_SCAN_GROUP }; /* vectors of queries that go together */

/* dot: of all queries that the mask may hold. */
INLINE size_t put(wn_scan_hit *hit, size_t n, uint32_t mask, size_t query, size_t row,
                  const int32_t *dot)
{
    for (; mask; mask &= mask - 1) {
        size_t i = (size_t)__builtin_ctz(mask);
        hit[n++] = (wn_scan_hit){(uint32_t)(query + i), (uint32_t)row, (float)dot[i]};
    }
    return n;
}

/* The queries' side of the bound, sixteen queries at a time. */
struct queries16 {
    __m512 plus, reach, floor;
};

VNNI INLINE struct queries16 load_queries(const wn_scan_queries *q, size_t i)
{
    return (struct queries16){_mm512_loadu_ps(q->plus + i), _mm512_loadu_ps(q->reach + i),
                              _mm512_loadu_ps(q->floor + i)};
}

/* Queries that row r of a block passes. */
VNNI INLINE __mmask16 passes(__m512i dot, const wn_scan_facts *f, size_t r,
                             const struct queries16 *q)
{
    __m512 t = _mm512_fmsub_ps(q->reach, _mm512_set1_ps(f->reach[r]), q->floor);
    t = _mm512_fmadd_ps(q->plus, _mm512_set1_ps(f->plus[r]), t);
    t = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), _mm512_set1_ps(f->scale[r]), t);
    return _mm512_cmp_ps_mask(t, _mm512_setzero_ps(), _CMP_NLT_UQ);
}

size_t wn_scan_amx(wn_scan_hit *hit, const int8_t *block, const wn_scan_facts *facts, size_t n,
                   const wn_scan_queries *q, const wn_scan_ahead *ahead);

#endif
#endif
