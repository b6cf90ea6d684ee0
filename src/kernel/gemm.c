/* Products of plain matrices: tiles for wn_par_do over the table's mm.
 *
 * Blocks: K_BLOCK of the inner dimension, so that a 16-column panel block (24 KB) stays in the
 * first cache; the tile's rows of op(A) in the second. Tiles follow the shape
 * and the number of threads freely: an element is one sequence of multiply-adds over k, wherever
 * its tile's borders fall. */
#include "kernel/mat.h"

#include "base/par.h"

#include <string.h>

enum {
    K_BLOCK = 384,
    LINE = K_BLOCK + 16, /* row stride of transposed rows: an odd number of cache lines */
    ROWS = 192,          /* most rows of a tile */
    COLS = 512,          /* most columns of a tile */
    G_COLS = 128         /* columns packed at once */
};

/* Scratch: rows of op(A), panels of op(B), and a tile of sums. */
_Static_assert(ROWS *LINE + G_COLS * K_BLOCK + ROWS * COLS <= WN_SCRATCH, "scratch");

static float *rows_buf(void)
{
    return wn_kernel_scratch();
}

static float *panel_buf(void)
{
    return wn_kernel_scratch() + ROWS * LINE;
}

static float *tile_buf(void)
{
    return wn_kernel_scratch() + ROWS * LINE + G_COLS * K_BLOCK;
}

/* C = op(A) op(B) by tiles; with `turned` the tile holds C^T = op(B)^T op(A)^T, which is how few
 * columns of C against a transposed A (a LoRA gradient) avoid transposing the large matrix. */
typedef struct gemm {
    const wn_kernels *t;
    const float *A, *B;
    float *C;
    size_t M, N, K, lda, ldb, ldc, rows, cols, row_tiles;
    float alpha;
    bool ta, tb, add, turned, round;
} gemm;

static const float *left(const gemm *g, size_t i0, size_t m, size_t k0, size_t k, size_t *ld)
{
    *ld = g->lda;
    if (!g->ta)
        return g->A + i0 * g->lda + k0;
    g->t->transpose(rows_buf(), LINE, g->A + k0 * g->lda + i0, g->lda, k, m);
    for (size_t i = 0; g->round && i < m; i++)
        g->t->round_bf16(rows_buf() + i * LINE, rows_buf() + i * LINE, k);
    *ld = LINE;
    return rows_buf();
}

/* Columns j of B's rows [0, k) into a panel. */
static void copy_panel(float *panel, const float *b, size_t ldb, size_t w, size_t k)
{
    if (w == WN_NR)
        for (size_t r = 0; r < k; r++)
            memcpy(panel + r * WN_NR, b + r * ldb, WN_NR * sizeof *b);
    else
        for (size_t r = 0; r < k; r++)
            memcpy(panel + r * WN_NR, b + r * ldb, w * sizeof *b);
}

/* Panels of op(B) [k, n] for the columns from j0, in panel_buf. Plain B is read a few rows at a
 * time, since a column of panels alone would touch a page for each of its rows. */
static void right(const gemm *g, size_t j0, size_t n, size_t k0, size_t k)
{
    size_t step = g->tb ? k : 8;
    for (size_t r = 0; r < k; r += step) {
        size_t rows = wn_min(step, k - r);
        for (size_t j = 0; j < n; j += WN_NR) {
            float *panel = panel_buf() + j * K_BLOCK + r * WN_NR;
            size_t w = wn_min(WN_NR, n - j);
            if (g->tb)
                g->t->transpose(panel, WN_NR, g->B + (j0 + j) * g->ldb + k0, g->ldb, w, k);
            else
                copy_panel(panel, g->B + (k0 + r) * g->ldb + j0 + j, g->ldb, w, rows);
        }
    }
}

static void deliver(const gemm *g, size_t i0, size_t j0, size_t m, size_t n)
{
    for (size_t r = 0; r < m; r++) {
        const float *s = tile_buf() + r * COLS;
        size_t step = g->turned ? g->ldc : 1;
        float *c = g->turned ? g->C + j0 * g->ldc + i0 + r : g->C + (i0 + r) * g->ldc + j0;
        if (g->add && !g->turned)
            g->t->axpy(c, g->alpha, s, n);
        else if (g->add)
            for (size_t j = 0; j < n; j++)
                g->t->axpy(c + j * step, g->alpha, s + j, 1);
        else
            for (size_t j = 0; j < n; j++)
                c[j * step] = g->alpha * s[j];
    }
}

/* c [m, n] of a tile's columns from j0 += a [m, k] times B's block. Few rows use each element of B
 * once or twice: packing would cost more than it saves. */
static void gemm_columns(const gemm *g, float *c, size_t ldc, const float *a, size_t lda, size_t m,
                         size_t j0, size_t n, size_t k0, size_t k)
{
    size_t direct = !g->tb && m <= 12 && !g->round ? n / WN_NR * WN_NR : 0;
    if (direct)
        g->t->mm(c, ldc, a, lda, g->B + k0 * g->ldb + j0, g->ldb, WN_NR, m, direct, k, k0);
    if (direct < n) {
        right(g, j0 + direct, n - direct, k0, k);
        for (size_t j = 0; g->round && j < n; j += WN_NR)
            g->t->round_bf16(panel_buf() + j * K_BLOCK, panel_buf() + j * K_BLOCK, k * WN_NR);
        g->t->mm(c + direct, ldc, a, lda, panel_buf(), WN_NR, K_BLOCK * WN_NR, m, n - direct, k,
                 k0);
    }
}

static void gemm_tile(void *ctx, size_t i, int thread)
{
    (void)thread;
    const gemm *g = ctx;
    size_t i0 = i % g->row_tiles * g->rows, m = wn_min(g->rows, g->M - i0);
    size_t j0 = i / g->row_tiles * g->cols, n = wn_min(g->cols, g->N - j0), lda;
    bool straight = !g->add && g->alpha == 1 && !g->turned;
    float *c = straight ? g->C + i0 * g->ldc + j0 : tile_buf();
    size_t ldc = straight ? g->ldc : COLS;
    for (size_t k0 = 0; k0 < g->K || !k0; k0 += K_BLOCK) {
        size_t k = wn_min(K_BLOCK, g->K - k0);
        const float *a = left(g, i0, m, k0, k, &lda);
        for (size_t j = 0; j < n; j += G_COLS)
            gemm_columns(g, c + j, ldc, a, lda, m, j0 + j, wn_min(G_COLS, n - j), k0, k);
    }
    if (!straight)
        deliver(g, i0, j0, m, n);
}

static void run(gemm *g)
{
    size_t want = wn_par_threads() > 1 ? 4 * (size_t)wn_par_threads() : 1;
    g->row_tiles = wn_div_up(g->M, ROWS);
    g->rows = wn_div_up(wn_div_up(g->M, g->row_tiles), 12) * 12;
    if (g->N <= G_COLS && g->M >= 24 * want)
        g->rows = wn_min(g->rows, wn_div_up(wn_div_up(g->M, want), 12) * 12);
    g->row_tiles = wn_div_up(g->M, g->rows);
    size_t pieces = wn_div_up(want, g->row_tiles), least = wn_div_up(g->N, COLS);
    g->cols = wn_div_up(wn_div_up(g->N, pieces > least ? pieces : least), 2 * WN_NR) * 2 * WN_NR;
    wn_par_do(g->row_tiles * wn_div_up(g->N, g->cols), gemm_tile, g);
}

void wn_gemm(bool ta, bool tb, size_t M, size_t N, size_t K, float alpha, const float *A,
             size_t lda, const float *B, size_t ldb, bool add, float *C, size_t ldc)
{
    gemm g = {.t = wn_kernel_table(),
              .A = A,
              .B = B,
              .C = C,
              .M = M,
              .N = N,
              .K = K,
              .lda = lda,
              .ldb = ldb,
              .ldc = ldc,
              .alpha = alpha,
              .ta = ta,
              .tb = tb,
              .add = add};
    if (!M || !N)
        return;
    if (ta && N <= 64 && M > N) {
        g = (gemm){.t = g.t,
                   .A = B,
                   .B = A,
                   .C = C,
                   .M = N,
                   .N = M,
                   .K = K,
                   .lda = ldb,
                   .ldb = lda,
                   .ldc = ldc,
                   .alpha = alpha,
                   .ta = !tb,
                   .tb = !ta,
                   .add = add,
                   .turned = true};
    }
    run(&g);
}

void wn_gemm_rounded(size_t M, size_t N, size_t K, float alpha, const float *A, size_t lda,
                     const float *B, size_t ldb, float *C, size_t ldc, bool round)
{
    if (!round) {
        wn_gemm(true, false, M, N, K, alpha, A, lda, B, ldb, true, C, ldc);
        return;
    }
    run(&(gemm){.t = wn_kernel_table(),
                .A = A,
                .B = B,
                .C = C,
                .M = M,
                .N = N,
                .K = K,
                .lda = lda,
                .ldb = ldb,
                .ldc = ldc,
                .alpha = alpha,
                .ta = true,
                .add = true,
                .round = true});
}
