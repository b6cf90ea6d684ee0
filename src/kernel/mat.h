/* Where the numbers of a packed weight lie; what mat.c and the products share. */
#ifndef WN_KERNEL_MAT_H
#define WN_KERNEL_MAT_H

#include "kernel/block.h"
#include "kernel/table.h"

static inline size_t wn_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t wn_div_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

enum { WN_INT8_HEAD = 128 }; /* bytes before an INT8 panel's tiles: 16 scales, 16 sums */

size_t wn_mat_panel_bytes(wn_mat_kind kind, size_t K);

static inline size_t wn_block_bytes(wn_mat_kind kind)
{
    return kind == WN_MAT_Q8 ? 544 : kind == WN_MAT_Q4 ? 320 : WN_BLOCK * sizeof(uint16_t);
}

/* Panel q (outputs 16q ...). */
static inline char *wn_mat_panel(const wn_mat *m, size_t q)
{
    return (char *)m->panel + q * wn_mat_panel_bytes(m->kind, m->K);
}

/* Its block of inner dimensions 32i ..., of a kind made of blocks. */
static inline const void *wn_mat_block(const wn_mat *m, size_t q, size_t i)
{
    return wn_mat_panel(m, q) + i * wn_block_bytes(m->kind);
}

/* Whether products round x to bf16. */
static inline bool wn_mat_rounds(const wn_mat *m)
{
    return m->kind != WN_MAT_F32 && !m->f32;
}

/* One product as mm.c hands it on: y [T, out] from x [T, in]. */
typedef struct wn_product {
    const wn_kernels *t;
    const wn_mat *W, *up;
    const wn_low *low; /* mm_narrow.c alone; NULL: none */
    float *y;
    const float *x;
    size_t ldy, ldx, T, out, in;
    bool back, add;
    wn_after after;
} wn_product;

/* What is left to be done to columns from c of rows from t0. */
static inline wn_after wn_after_at(const wn_product *p, size_t t0, size_t c)
{
    wn_after e = p->after;
    e.bias = e.bias ? e.bias + c : NULL;
    e.up_bias = e.up_bias ? e.up_bias + c : NULL;
    e.residual = e.residual ? e.residual + t0 * e.ldr + c : NULL;
    return e;
}

static inline bool wn_after_any(const wn_after *e)
{
    return e->bias || e->residual || e->act != WN_ACT_IDENTITY;
}

/* C [M, N] += alpha * A^T B, A [K, M], B [K, N]; of numbers rounded to bf16 first if `round`. */
void wn_gemm_rounded(size_t M, size_t N, size_t K, float alpha, const float *A, size_t lda,
                     const float *B, size_t ldb, float *C, size_t ldc, bool round);

/* wn_outer in bf16 (mm_grad.c); false, with nothing done, where the processor has no such products
 * of its own. */
bool wn_outer_narrow(float *G, size_t ldg, const float *dy, size_t ldy, const float *x, size_t ldx,
                     size_t n, size_t m, size_t T);

/* Products of bf16 numbers by the tables of narrow.h (mm_narrow.c). */
void wn_mm_narrow(const wn_product *p);

#endif
