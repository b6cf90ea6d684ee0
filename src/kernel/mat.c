/* Packed weights: rows in, rows out, views. What a block holds is block.h's business. */
#include "kernel/mat.h"

#include <string.h>

#include "base/err.h"

size_t wn_mat_panel_bytes(wn_mat_kind kind, size_t K)
{
    if (kind == WN_MAT_F32)
        return K * WN_NR * sizeof(float);
    if (kind == WN_MAT_INT8)
        return WN_INT8_HEAD + wn_div_up(K, 64) * 64 * WN_NR;
    return wn_div_up(K, WN_BLOCK_K) * wn_block_bytes(kind);
}

size_t wn_mat_bytes(wn_mat_kind kind, size_t N, size_t K)
{
    return wn_div_up(N, WN_NR) * wn_mat_panel_bytes(kind, K);
}

/* W's rows [0, n) of columns [k0, k0 + 32) to 32 rows of 16, zeros where there is nothing. */
static void take_block(float *out, const float *W, size_t K, size_t n, size_t k0)
{
    size_t k = wn_min(WN_BLOCK_K, K - k0);
    if (n < WN_NR || k < WN_BLOCK_K)
        memset(out, 0, WN_BLOCK * sizeof *out);
    wn_kernel_table()->transpose(out, WN_NR, W + k0, K, n, k);
}

/* One panel of int8 from up to 16 rows. */
static void pack_int8(char *panel, const float *W, size_t K, size_t n)
{
    float *scale = (float *)(void *)panel;
    int32_t *sum = (int32_t *)(void *)panel + WN_NR;
    int8_t *q = (int8_t *)panel + WN_INT8_HEAD;
    memset(panel, 0, wn_mat_panel_bytes(WN_MAT_INT8, K));
    for (size_t r = 0; r < n; r++) {
        float top = wn_top(W + r * K, K), by = top > WN_INT8_LEAST ? 127 / top : 0;
        scale[r] = top / 127;
        for (size_t k = 0; k < K && by > 0; k++) {
            int v = (int)rintf(W[r * K + k] * by);
            sum[r] += v;
            q[k / 4 * 64 + r * 4 + k % 4] = (int8_t)v;
        }
    }
}

void wn_mat_pack(wn_mat *m, const float *W, size_t n0, size_t n)
{
    WN_ASSERT(n0 % WN_NR == 0 && n0 + n <= m->N && (n % WN_NR == 0 || n0 + n == m->N));
    WN_ASSERT(m->kind != WN_MAT_INT8 || m->K <= WN_INT8_K);
    const wn_kernels *t = wn_kernel_table();
    size_t K = m->K;
    float block[WN_BLOCK];
    for (size_t i = 0; i < n; i += WN_NR) {
        char *panel = wn_mat_panel(m, (n0 + i) / WN_NR);
        size_t rows = wn_min(n - i, WN_NR);
        if (m->kind == WN_MAT_INT8) {
            pack_int8(panel, W + i * K, K, rows);
            continue;
        }
        for (size_t k = 0; k < K; k += WN_BLOCK_K) {
            take_block(block, W + i * K, K, rows, k);
            if (m->kind == WN_MAT_F32)
                memcpy(panel + k * WN_NR * sizeof(float), block,
                       wn_min(WN_BLOCK_K, K - k) * WN_NR * sizeof(float));
            else if (m->kind == WN_MAT_Q8)
                wn_pack_q8((uint8_t *)panel + k / WN_BLOCK_K * wn_block_bytes(m->kind), block);
            else if (m->kind == WN_MAT_Q4)
                wn_pack_q4((uint8_t *)panel + k / WN_BLOCK_K * wn_block_bytes(m->kind), block);
            else
                t->block_pairs((uint16_t *)(void *)panel + k * WN_NR, block);
        }
    }
}

void wn_mat_row(float *out, const wn_mat *m, size_t n)
{
    float block[WN_BLOCK];
    const char *panel = wn_mat_panel(m, n / WN_NR);
    for (size_t k = 0; k < m->K; k++) {
        if (m->kind == WN_MAT_F32) {
            memcpy(out + k, panel + (k * WN_NR + n % WN_NR) * sizeof *out, sizeof *out);
            continue;
        }
        if (m->kind == WN_MAT_INT8) {
            const int8_t *q = (const int8_t *)panel + WN_INT8_HEAD;
            out[k] = q[k / 4 * 64 + n % WN_NR * 4 + k % 4] * ((const float *)panel)[n % WN_NR];
            continue;
        }
        if (k % WN_BLOCK_K == 0)
            wn_block_f32(block, wn_mat_block(m, n / WN_NR, k / WN_BLOCK_K), m->kind);
        out[k] = block[k % WN_BLOCK_K * WN_NR + n % WN_NR];
        if (wn_mat_rounds(m)) {
            uint32_t u = wn_bf16_bits(out[k]) << 16;
            memcpy(out + k, &u, sizeof u);
        }
    }
}

wn_mat wn_mat_part(const wn_mat *m, size_t n0, size_t n)
{
    WN_ASSERT(n0 % WN_NR == 0 && n0 + n <= m->N);
    wn_mat part = *m;
    part.N = n;
    part.panel = wn_mat_panel(m, n0 / WN_NR);
    return part;
}
