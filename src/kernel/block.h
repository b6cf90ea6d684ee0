/* The numbers of packed weights: a block is 16 outputs by 32 of the inner dimension (see wn_mat).
 * Plain loops, compiled for each instruction set. */
#ifndef WN_KERNEL_BLOCK_H
#define WN_KERNEL_BLOCK_H

#include <string.h>

#include "kernel/kernel.h"

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

#endif
