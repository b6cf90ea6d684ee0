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

/* Half floats, rounded to nearest even; larger ones than there are become the largest. */
static inline uint16_t wn_to_half(float x)
{
    float a = fminf(fabsf(x), 65504) * 0x1p-112f;
    uint32_t u;
    memcpy(&u, &a, sizeof u);
    u = (u + 0xfff + (u >> 13 & 1)) >> 13;
    return (uint16_t)(u | (x < 0 ? 0x8000 : 0));
}

/* 16 of them. */
static inline void wn_from_half(float *restrict out, const void *restrict from)
{
    const uint8_t *p = from;
    for (size_t n = 0; n < WN_NR; n++) {
        uint32_t h = (uint32_t)p[2 * n] | (uint32_t)p[2 * n + 1] << 8, u = (h & 0x7fff) << 13;
        float a;
        memcpy(&a, &u, sizeof a);
        a *= 0x1p112f;
        out[n] = h & 0x8000 ? -a : a;
    }
}

static inline void wn_block_q8(float *restrict out, const uint8_t *restrict from)
{
    const int8_t *q = (const int8_t *)from + 32;
    float scale[WN_NR];
    wn_from_half(scale, from);
    for (size_t k = 0; k < WN_BLOCK_K; k++)
        for (size_t n = 0; n < WN_NR; n++)
            out[k * WN_NR + n] = (float)q[k * WN_NR + n] * scale[n];
}

static inline void wn_block_q4(float *restrict out, const uint8_t *restrict from)
{
    const uint8_t *q = from + 64;
    float scale[WN_NR], least[WN_NR];
    wn_from_half(scale, from);
    wn_from_half(least, from + 32);
    for (size_t i = 0; i < WN_BLOCK_K / 2; i++)
        for (size_t n = 0; n < WN_NR; n++) {
            int two = q[i * WN_NR + n];
            out[2 * i * WN_NR + n] = (float)(two & 15) * scale[n] + least[n];
            out[(2 * i + 1) * WN_NR + n] = (float)(two >> 4) * scale[n] + least[n];
        }
}

/* rows [32, 16] to a block of Q8. */
static inline void wn_pack_q8(uint8_t *out, const float *rows)
{
    for (size_t n = 0; n < WN_NR; n++) {
        float top = 0, scale[WN_NR];
        for (size_t k = 0; k < WN_BLOCK_K; k++)
            top = fmaxf(top, fabsf(rows[k * WN_NR + n]));
        uint16_t h = wn_to_half(top / 127), all[WN_NR] = {h};
        memcpy(out + 2 * n, &h, sizeof h);
        wn_from_half(scale, all);
        float by = scale[0] > 0 ? 1 / scale[0] : 0;
        for (size_t k = 0; k < WN_BLOCK_K; k++) {
            float q = fmaxf(-127, fminf(127, rintf(rows[k * WN_NR + n] * by)));
            out[32 + k * WN_NR + n] = (uint8_t)(int8_t)q;
        }
    }
}

/* ... of Q4. */
static inline void wn_pack_q4(uint8_t *out, const float *rows)
{
    memset(out + 64, 0, WN_BLOCK / 2);
    for (size_t n = 0; n < WN_NR; n++) {
        float low = rows[n], high = low, v[WN_NR];
        for (size_t k = 1; k < WN_BLOCK_K; k++) {
            low = fminf(low, rows[k * WN_NR + n]);
            high = fmaxf(high, rows[k * WN_NR + n]);
        }
        uint16_t h[WN_NR] = {wn_to_half((high - low) / 15), wn_to_half(low)};
        memcpy(out + 2 * n, &h[0], sizeof h[0]);
        memcpy(out + 32 + 2 * n, &h[1], sizeof h[1]);
        wn_from_half(v, h);
        float by = v[0] > 0 ? 1 / v[0] : 0;
        for (size_t k = 0; k < WN_BLOCK_K; k++) {
            float q = fmaxf(0, fminf(15, rintf((rows[k * WN_NR + n] - v[1]) * by)));
            out[64 + k / 2 * WN_NR + n] |= (uint8_t)((unsigned)q << k % 2 * 4);
        }
    }
}

/* A block of any kind but F32 and INT8 to rows [32, 16]. */
static inline void wn_block_f32(float *restrict out, const void *restrict from, wn_mat_kind kind)
{
    if (kind == WN_MAT_Q8) {
        wn_block_q8(out, from);
        return;
    }
    if (kind == WN_MAT_Q4) {
        wn_block_q4(out, from);
        return;
    }
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
