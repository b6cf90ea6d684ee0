/* The numbers of packed weights: a block is 16 outputs by 32 of the inner dimension (see wn_mat).
 * Plain loops, compiled for each instruction set. */
#ifndef WN_KERNEL_BLOCK_H
#define WN_KERNEL_BLOCK_H

#include <math.h>
#include <string.h>

#include "kernel/table.h"

enum { WN_BLOCK_K = 32, WN_BLOCK = WN_BLOCK_K * WN_NR };

/* Nearest even; NaNs stay NaNs. */
static inline uint32_t wn_bf16_bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return (u & 0x7fffffff) > 0x7f800000 ? u >> 16 | 0x40 : (u + 0x7fff + (u >> 16 & 1)) >> 16;
}

/* rows [32, 16] to 16 lines of 16 pairs. */
static inline void wn_block_pairs(uint16_t *restrict out, const float *restrict rows)
{
    for (size_t i = 0; i < WN_BLOCK_K / 2; i++)
        for (size_t n = 0; n < WN_NR; n++) {
            uint32_t pair = wn_bf16_bits(rows[2 * i * WN_NR + n]) |
                            wn_bf16_bits(rows[(2 * i + 1) * WN_NR + n]) << 16;
            memcpy(out + (i * WN_NR + n) * 2, &pair, sizeof pair);
        }
}

/* The reverse, of a block of any kind but F32. */
static inline void wn_block_f32(float *restrict out, const void *restrict from, wn_mat_kind kind)
{
    (void)kind;
    const uint16_t *in = from;
    for (size_t i = 0; i < WN_BLOCK_K / 2; i++)
        for (size_t n = 0; n < WN_NR; n++) {
            uint32_t pair, low;
            memcpy(&pair, in + (i * WN_NR + n) * 2, sizeof pair);
            low = pair << 16;
            pair &= 0xffff0000;
            memcpy(out + 2 * i * WN_NR + n, &low, sizeof low);
            memcpy(out + (2 * i + 1) * WN_NR + n, &pair, sizeof pair);
        }
}

/* ---- int8 ---- */

#define WN_INT8_LEAST 1e-30f /* rows of a smaller range are zeros */

/* The largest |x|, NaN if one of them is not finite. */
static inline float wn_top(const float *x, size_t n)
{
    float top = 0, bad = 0;
    for (size_t i = 0; i < n; i++) {
        float a = x[i] < 0 ? -x[i] : x[i];
        bad += x[i] * 0;
        top = a > top ? a : top;
    }
    return top + bad;
}

/* A row's range, 0 included; false if a number is not finite. */
static inline bool wn_range(float *low, float *high, const float *x, size_t n)
{
    float lo = 0, hi = 0, bad = 0;
    for (size_t i = 0; i < n; i++) {
        bad += x[i] * 0;
        lo = x[i] < lo ? x[i] : lo;
        hi = x[i] > hi ? x[i] : hi;
    }
    *low = lo, *high = hi;
    return bad == 0;
}

static inline void wn_from_int32(float *y, size_t ldy, const int32_t *c, const wn_int8 *f, size_t m,
                                 size_t n, bool add)
{
    for (size_t r = 0; r < m; r++)
        for (size_t j = 0; j < n; j++) {
            float v = (float)(c[r * 32 + j] - f->zero[r] * f->sum[j]) * f->scale[j] * f->row[r];
            y[r * ldy + j] = add ? y[r * ldy + j] + v : v;
        }
}

#endif
