/* Products between activations that stay bf16: what one product leaves is what the next one loads.
 *
 * Strips hold the rows of a matrix [T, K] as tile products want them: strip s has rows 32 s ..., kt
 * = K / 32 (rounded up) blocks of 32 rows by 32 numbers; element (r, k) is number
 * ((r / 32) * kt + k / 32) * 1024 + r % 32 * 32 + k % 32. Bytes for int8 weights lie the same way
 * with 64 for 32 along k. Rows behind T hold anything, numbers behind K zeros.
 *
 * A product's sums are turned into its results while the tiles of the following block are being
 * multiplied: bias, activation, gate and rotation cost no time of their own as long as they are
 * shorter than the product. All of this is single-threaded and made to be called from tiles.
 * Numbers are rounded to bf16 exactly where wn_mm and wn_attention round them. */
#ifndef WN_KERNEL_STRIPS_H
#define WN_KERNEL_STRIPS_H

#include "kernel/kernel.h"

enum { WN_STRIP = 32 };

/* Whether the processor in use has tile products; nothing below may be called otherwise. */
bool wn_strips_there(void);

static inline size_t wn_strip_tiles(size_t K)
{
    return (K + 31) / 32;
}

/* Bytes of strips of T rows of K bf16 numbers (as many bytes hold their int8 form). */
static inline size_t wn_strips_bytes(size_t T, size_t K)
{
    return (T + WN_STRIP - 1) / WN_STRIP * ((K + 63) / 64) * 4096;
}

/* Rows of int8 strips come with what leads back to floats (see wn_mat). */
typedef struct wn_strip_bytes {
    uint8_t *at;
    float *row;    /* [T] */
    int32_t *zero; /* [T] */
} wn_strip_bytes;

/* One row of K floats as row r of bf16 strips and, where bytes are not NULL, of int8 strips. */
void wn_strip_row(uint16_t *strips, const wn_strip_bytes *bytes, size_t r, const float *x,
                  size_t K);
/* Row r of bf16 strips as floats. */
void wn_strip_floats(float *x, const uint16_t *strips, size_t r, size_t K);

/* y = act(x W^T + bias) (* (x up^T + up_bias)), to one of three places. */
typedef struct wn_strip_product {
    const uint16_t *x;           /* bf16 strips of T rows, kt tiles wide */
    const wn_strip_bytes *bytes; /* instead of x for an INT8 weight */
    size_t T, kt;
    const wn_mat *W, *up; /* BF16 or INT8; up of W's shape and kind, NULL: none */
    size_t k0;            /* first tile of W's inner dimension that x meets; bf16 only */
    const float *bias, *up_bias;
    wn_act act;
    /* Rotary positions of heads of 2 * half outputs, half a multiple of 16, pairs (i, i + half):
     * see wn_rope. half 0: none. */
    size_t half;
    const float *angle;
    const int32_t *pos; /* [T] */
    /* One of: */
    uint16_t *strips; /* N numbers wide, zeros behind them */
    uint16_t *rows;   /* [T, N] bf16 by stride ld */
    float *y;         /* [T, N] by stride ld, added to */
    size_t ld;
} wn_strip_product;
void wn_strip_mm(const wn_strip_product *p);

/* wn_attention of bf16 q, k, v rows, to strips of H * dv numbers; dv is a multiple of 16, H * dv of
 * 32. By tasks for wn_par_do. */
void wn_strip_attention(uint16_t *strips, const uint16_t *q, const uint16_t *k, const uint16_t *v,
                        const wn_attn *a);

#endif
