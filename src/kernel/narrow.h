/* What the AVX-512 and the AMX products of narrow numbers share. */
#ifndef WN_KERNEL_NARROW_H
#define WN_KERNEL_NARROW_H

#include <string.h>

#include "kernel/narrow_lanes.h"
#include "kernel/table.h"

enum { TILE = 512 }; /* bf16 numbers */

/* out [m, n <= 32] = in. */
static inline void copy_block(float *out, size_t ldo, const float *in, size_t ldi, size_t m,
                              size_t n)
{
    __mmask16 low = first_lanes(n), high = first_lanes(n > 16 ? n - 16 : 0);
    for (size_t r = 0; r < m; r++) {
        __m512 a = _mm512_maskz_loadu_ps(low, in + r * ldi);
        __m512 b = _mm512_maskz_loadu_ps(high, in + r * ldi + 16);
        _mm512_mask_storeu_ps(out + r * ldo, low, a);
        _mm512_mask_storeu_ps(out + r * ldo + 16, high, b);
    }
}

static inline void pack_row16(uint16_t *out, const float *x, size_t k)
{
    size_t i = 0;
    for (; i + 32 <= k; i += 32, out += 2 * TILE)
        _mm512_store_si512(out, to_bf16(_mm512_loadu_ps(x + i), _mm512_loadu_ps(x + i + 16)));
    if (i == k)
        return;
    size_t left = k - i;
    __m512 low = _mm512_maskz_loadu_ps(first_lanes(left), x + i);
    __m512 high = _mm512_maskz_loadu_ps(first_lanes(left > 16 ? left - 16 : 0), x + i + 16);
    _mm512_store_si512(out, to_bf16(low, high));
}

static inline void pack16(uint16_t *strips, const float *x, size_t ldx, size_t m, size_t k)
{
    size_t kt = (k + 31) / 32;
    for (size_t r = 0; r < (m + 31) / 32 * 32; r++) {
        uint16_t *out = strips + r / 32 * kt * 2 * TILE + r % 32 * 32;
        if (r < m)
            pack_row16(out, x + r * ldx, k);
        else
            for (size_t i = 0; i < kt; i++)
                _mm512_store_si512(out + i * 2 * TILE, _mm512_setzero_si512());
    }
}

/* Eight lines of [n pair] x 64 bits, transposed 8 x 8, then the middle words of each change
 * places: (n, k) (n, k+1) (n+1, k) (n+1, k+1) becomes (n, k) (n+1, k) (n, k+1) (n+1, k+1). */
static inline void turn_half(uint16_t *out, const uint16_t *in)
{
    const __m512i swap =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15));
    __m512i r[8], a[8];
    for (int i = 0; i < 8; i++)
        r[i] = _mm512_shuffle_epi8(_mm512_loadu_si512(in + i * 32), swap);
    for (int i = 0; i < 8; i += 2) {
        a[i] = _mm512_unpacklo_epi64(r[i], r[i + 1]);
        a[i + 1] = _mm512_unpackhi_epi64(r[i], r[i + 1]);
    }
    for (int i = 0; i < 2; i++) {
        __m512i b0 = _mm512_shuffle_i64x2(a[i], a[i + 2], 0x44);
        __m512i b1 = _mm512_shuffle_i64x2(a[i], a[i + 2], 0xee);
        __m512i b2 = _mm512_shuffle_i64x2(a[i + 4], a[i + 6], 0x44);
        __m512i b3 = _mm512_shuffle_i64x2(a[i + 4], a[i + 6], 0xee);
        _mm512_storeu_si512(out + i * 32, _mm512_shuffle_i64x2(b0, b2, 0x88));
        _mm512_storeu_si512(out + (i + 2) * 32, _mm512_shuffle_i64x2(b0, b2, 0xdd));
        _mm512_storeu_si512(out + (i + 4) * 32, _mm512_shuffle_i64x2(b1, b3, 0x88));
        _mm512_storeu_si512(out + (i + 6) * 32, _mm512_shuffle_i64x2(b1, b3, 0xdd));
    }
}

static inline void turn16(uint16_t *low, uint16_t *high, const uint16_t *tile)
{
    turn_half(low, tile);
    turn_half(high, tile + TILE / 2);
}

static inline void down16(uint16_t *tile, const float *x, size_t ldx, size_t t, size_t n,
                          bool strip)
{
    static const uint16_t ZIP[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                     8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    const __m512i zip = _mm512_loadu_si512(ZIP);
    __mmask16 cols = first_lanes(n);
    __m512i r[16];
    for (size_t i = 0; i < 16; i++) {
        __m512 even =
            2 * i < t ? _mm512_maskz_loadu_ps(cols, x + 2 * i * ldx) : _mm512_setzero_ps();
        __m512 odd = 2 * i + 1 < t ? _mm512_maskz_loadu_ps(cols, x + (2 * i + 1) * ldx)
                                   : _mm512_setzero_ps();
        r[i] = _mm512_permutexvar_epi16(zip, to_bf16(even, odd));
    }
    if (strip)
        transpose_pairs(r);
    for (size_t i = 0; i < 16; i++)
        _mm512_store_si512(tile + i * 32, r[i]);
}

static inline void across16(uint16_t *tile, const float *x, size_t ldx, size_t n, size_t k)
{
    __mmask16 low = first_lanes(k), high = first_lanes(k > 16 ? k - 16 : 0);
    __m512i r[16];
    for (size_t i = 0; i < 16; i++)
        r[i] = i < n ? to_bf16(_mm512_maskz_loadu_ps(low, x + i * ldx),
                               _mm512_maskz_loadu_ps(high, x + i * ldx + 16))
                     : _mm512_setzero_si512();
    transpose_pairs(r);
    for (size_t i = 0; i < 16; i++)
        _mm512_store_si512(tile + i * 32, r[i]);
}

#endif
