/* Products over a batch's rows for one tile, by one thread: what a gradient tile is made of.
 * wn_gemm would cut the tile again for threads that are busy with other tiles, and turn dy for each
 * cut: a fifth of the time. */
#include "base/err.h"
#include "kernel/mat.h"

#include <string.h>

enum {
    BLOCK = 384,       /* of the rows summed over */
    LINE = BLOCK + 16, /* row stride of turned rows: an odd number of cache lines */
    M_BLOCK = 192,
    N_BLOCK = 256
};
_Static_assert(M_BLOCK *LINE + N_BLOCK * BLOCK + M_BLOCK * N_BLOCK <= WN_SCRATCH, "scratch");

/* Rows ahead of the one being packed that are asked for: a row's stretch is too short for the
 * processor to see where the next one lies (28 against 22 GFMA/s). */
enum { AHEAD = 12 };

/* Columns of x's rows [0, k) into panels of WN_NR. */
static void pack(float *panel, const float *x, size_t ldx, size_t k, size_t n)
{
    for (size_t r = 0; r < k; r++)
        for (size_t j = 0; j < n; j += WN_NR, __builtin_prefetch(x + (r + AHEAD) * ldx + j, 0, 2))
            memcpy(panel + j * BLOCK + r * WN_NR, x + r * ldx + j,
                   wn_min(WN_NR, n - j) * sizeof *x);
}

/* Numbers of a block rounded to bf16, as packed. */
static void round_block(float *turned, float *panel, size_t n, size_t m, size_t k)
{
    const wn_kernels *t = wn_kernel_table();
    for (size_t i = 0; i < n; i++)
        t->round_bf16(turned + i * LINE, turned + i * LINE, k);
    for (size_t j = 0; j < m; j += WN_NR)
        t->round_bf16(panel + j * BLOCK, panel + j * BLOCK, k * WN_NR);
}

/* G [n, m] of a block, n at most M_BLOCK, m at most N_BLOCK. */
static void block(float *G, size_t ldg, const float *dy, size_t ldy, const float *x, size_t ldx,
                  size_t n, size_t m, size_t T, bool round)
{
    const wn_kernels *t = wn_kernel_table();
    float *turned = wn_kernel_scratch(), *panel = turned + M_BLOCK * LINE;
    for (size_t k0 = 0; k0 < T; k0 += BLOCK) {
        size_t k = wn_min(BLOCK, T - k0);
        for (size_t r = 0; r < k; r++)
            for (size_t j = 0; j < n; j += WN_NR)
                __builtin_prefetch(dy + (k0 + r) * ldy + j, 0, 2);
        t->transpose(turned, LINE, dy + k0 * ldy, ldy, k, n);
        pack(panel, x + k0 * ldx, ldx, k, m);
        if (round)
            round_block(turned, panel, n, m, k);
        t->mm(G, ldg, turned, LINE, panel, WN_NR, BLOCK * WN_NR, n, m, k, k0 > 0);
    }
}

void wn_outer(float *G, size_t ldg, float scale, const float *dy, size_t ldy, const float *x,
              size_t ldx, size_t n, size_t m, size_t T, bool bf16)
{
    const wn_kernels *t = wn_kernel_table();
    WN_ASSERT(T > 0 && (!bf16 || scale == 1));
    if (bf16 && wn_outer_narrow(G, ldg, dy, ldy, x, ldx, n, m, T))
        return;
    if (m < WN_NR && n > m) { /* few columns: their transpose, which turns the small matrix */
        float *tile = wn_kernel_scratch() + M_BLOCK * LINE + N_BLOCK * BLOCK;
        for (size_t i = 0; i < n; i += N_BLOCK) {
            size_t some = wn_min(N_BLOCK, n - i);
            block(tile, N_BLOCK, x, ldx, dy + i, ldy, m, some, T, bf16);
            t->transpose(G + i * ldg, ldg, tile, N_BLOCK, m, some);
        }
    } else {
        for (size_t i = 0; i < n; i += M_BLOCK)
            for (size_t j = 0; j < m; j += N_BLOCK)
                block(G + i * ldg + j, ldg, dy + i, ldy, x + j, ldx, wn_min(M_BLOCK, n - i),
                      wn_min(N_BLOCK, m - j), T, bf16);
    }
    for (size_t i = 0; i < n && scale != 1; i++)
        t->scale(G + i * ldg, scale, m);
}
