/* Matrix products: packing, and tiles for wn_par_do over the table's mm.
 *
 * Blocks: K_BLOCK of the inner dimension, so that a 16-column panel block (24 KB) stays in the
 * first cache; the tile's rows of x (rows * K_BLOCK floats) in the second. Tiles follow the shape
 * and the number of threads freely: an element is one sequence of multiply-adds over k, wherever
 * its tile's borders fall. The backward product transposes 16x16 blocks of the forward panels as it
 * goes, which costs a few percent at 192 rows to a tile and saves a second copy of every weight. */
#include "kernel/table.h"
#include "base/err.h"
#include "base/par.h"

#include <stdlib.h>
#include <string.h>

enum {
    K_BLOCK = 384,
    LINE = K_BLOCK + 16, /* row stride of transposed rows: an odd number of cache lines */
    ROWS = 192,          /* most rows of a tile */
    FORWARD_ROWS = 120,  /* ... of wn_mm, which packs nothing */
    COLS = 512,          /* most columns of a tile */
    G_COLS = 128,        /* columns that wn_gemm packs at once */
    WIDE = 64, /* columns transposed at once: enough that reading them is no chain of misses */
    STRIP = 48 /* rows multiplied between two pieces of prefetching */
};

/* Scratch: rows of x (rounded or transposed), panels, and a tile of sums. */
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

static size_t min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t div_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

/* ---- packed weights ----------------------------------------------------------------------------
 */

size_t wn_mat_bytes(size_t N, size_t K)
{
    return div_up(N, WN_NR) * WN_NR * K * sizeof(float);
}

void wn_mat_pack(wn_mat *m, const float *W, size_t n0, size_t n)
{
    WN_ASSERT(n0 % WN_NR == 0 && n0 + n <= m->N && (n % WN_NR == 0 || n0 + n == m->N));
    const wn_kernels *t = wn_kernel_table();
    for (size_t i = 0; i < n; i += WN_NR) {
        float *panel = m->panel + (n0 + i) * m->K;
        size_t rows = min(n - i, WN_NR);
        t->transpose(panel, WN_NR, W + i * m->K, m->K, rows, m->K);
        if (rows < WN_NR)
            for (size_t k = 0; k < m->K; k++)
                memset(panel + k * WN_NR + rows, 0, (WN_NR - rows) * sizeof *panel);
    }
}

void wn_mat_row(float *out, const wn_mat *m, size_t n)
{
    const float *panel = m->panel + n / WN_NR * WN_NR * m->K + n % WN_NR;
    for (size_t k = 0; k < m->K; k++)
        out[k] = panel[k * WN_NR];
}

bool wn_mat_finish(wn_mat *m)
{
    m->dnnl = NULL;
    if (m->kind != WN_MAT_BF16)
        return true;
    size_t n = wn_mat_bytes(m->N, m->K) / sizeof(float);
    wn_kernel_table()->round_bf16(m->panel, m->panel, n);
    if (!wn_cpu_fast_bf16())
        return true;
    m->dnnl = wn_dnnl_new(m->panel, m->N, m->K, true);
    return m->dnnl != NULL;
}

void wn_mat_release(wn_mat *m)
{
    wn_dnnl_free(m->dnnl);
    m->dnnl = NULL;
}

/* ---- y = x W^T and dx = dy W
 * ---------------------------------------------------------------------- */

typedef struct product {
    const wn_kernels *t;
    float *y;
    const float *x, *bias;
    size_t ldy, ldx, T, out, in; /* out: columns of y; in: the dimension summed over */
    const wn_mat *W;
    int flags;
    bool round;
    size_t rows, cols, row_tiles;
} product;

/* Rows and columns of a tile, so that every thread gets some tiles where the shape allows. */
static size_t cut(product *p, size_t most_rows)
{
    size_t want = wn_par_threads() > 1 ? 4 * (size_t)wn_par_threads() : 1;
    p->row_tiles = div_up(p->T, most_rows);
    p->rows = div_up(div_up(p->T, p->row_tiles), 12) * 12;
    p->row_tiles = div_up(p->T, p->rows);
    size_t pieces = div_up(want, p->row_tiles), least = div_up(p->out, COLS);
    p->cols = div_up(div_up(p->out, pieces > least ? pieces : least), WIDE) * WIDE;
    return p->row_tiles * div_up(p->out, p->cols);
}

/* Rows a multiple of 4 KB apart compete for the same few cache lines (logits of a large
 * vocabulary): such tiles are worked on in a dense copy. */
static bool aliased(size_t ld)
{
    return ld % 1024 == 0;
}

/* Rows of x for the inner range [k0, k0 + k): x itself, or a copy, rounded for bf16. */
static const float *inputs(const product *p, size_t t0, size_t m, size_t k0, size_t k, size_t *ld)
{
    const float *x = p->x + t0 * p->ldx + k0;
    *ld = p->ldx;
    if (!p->round && !aliased(p->ldx))
        return x;
    for (size_t i = 0; i < m; i++) {
        if (p->round)
            p->t->round_bf16(rows_buf() + i * LINE, x + i * p->ldx, k);
        else
            memcpy(rows_buf() + i * LINE, x + i * p->ldx, k * sizeof *x);
    }
    *ld = LINE;
    return rows_buf();
}

static void mm_tile(void *ctx, size_t i, int thread)
{
    (void)thread;
    const product *p = ctx;
    size_t t0 = i % p->row_tiles * p->rows, m = min(p->rows, p->T - t0);
    size_t c0 = i / p->row_tiles * p->cols, n = min(p->cols, p->out - c0), K = p->in, ld;
    size_t step = K ? div_up(K, div_up(K, K_BLOCK)) : 1;
    float *y = p->y + t0 * p->ldy + c0;
    bool copy = aliased(p->ldy) && K > K_BLOCK, add = p->flags & WN_MM_ADD;
    float *c = copy ? tile_buf() : y;
    size_t ldc = copy ? COLS : p->ldy;
    for (size_t r = 0; copy && add && r < m; r++)
        memcpy(c + r * ldc, y + r * p->ldy, n * sizeof *y);
    for (size_t k0 = 0; k0 < K || !k0; k0 += step) {
        size_t k = min(step, K - k0);
        const float *x = inputs(p, t0, m, k0, k, &ld);
        p->t->mm(c, ldc, x, ld, p->W->panel + c0 * K + k0 * WN_NR, WN_NR, K * WN_NR, m, n, k,
                 k0 || add);
    }
    for (size_t r = 0; r < m; r++) {
        if (p->bias || p->flags & ~WN_MM_ADD)
            p->t->finish(c + r * ldc, p->bias ? p->bias + c0 : NULL, n, p->flags);
        if (copy)
            memcpy(y + r * p->ldy, c + r * ldc, n * sizeof *y);
    }
}

/* W's blocks for dx columns [c, c + n) and inner rows [n0, n0 + k), transposed into panels. */
static void turn(const product *p, size_t n0, size_t k, size_t c, size_t n)
{
    const float *w = p->W->panel + n0 * p->W->K + c * WN_NR;
    for (size_t r = 0; r < k; r += WN_NR)
        for (size_t j = 0; j < n; j += WN_NR)
            p->t->transpose(panel_buf() + j * K_BLOCK + r * WN_NR, WN_NR,
                            w + r * p->W->K + j * WN_NR, WN_NR, min(WN_NR, n - j), WN_NR);
}

/* Asks for piece i of n of what turn() will read next. */
static void fetch(const product *p, size_t n0, size_t k, size_t c, size_t n, size_t i, size_t of)
{
    size_t groups = div_up(k, WN_NR);
    for (size_t r = groups * i / of; r < groups * (i + 1) / of; r++) {
        const float *w = p->W->panel + (n0 + r * WN_NR) * p->W->K + c * WN_NR;
        for (size_t l = 0; l < n; l++)
            __builtin_prefetch(w + l * WN_NR, 0, 2);
    }
}

static void back_tile(void *ctx, size_t i, int thread)
{
    (void)thread;
    const product *p = ctx;
    size_t t0 = i % p->row_tiles * p->rows, m = min(p->rows, p->T - t0), ld;
    size_t c0 = i / p->row_tiles * p->cols, c1 = min(c0 + p->cols, p->out);
    size_t strips = div_up(m, STRIP);
    for (size_t n0 = 0; n0 < p->in; n0 += K_BLOCK) {
        size_t k = min(K_BLOCK, p->in - n0);
        const float *x = inputs(p, t0, m, n0, k, &ld);
        for (size_t c = c0; c < c1; c += WIDE) {
            size_t n = min(WIDE, c1 - c);
            turn(p, n0, k, c, n);
            for (size_t s = 0; s < strips; s++) {
                float *y = p->y + (t0 + s * STRIP) * p->ldy + c;
                if (c + WIDE < c1)
                    fetch(p, n0, k, c + WIDE, min(WIDE, c1 - c - WIDE), s, strips);
                p->t->mm(y, p->ldy, x + s * STRIP * ld, ld, panel_buf(), WN_NR, K_BLOCK * WN_NR,
                         min(STRIP, m - s * STRIP), n, k, n0 || p->flags & WN_MM_ADD);
            }
        }
    }
}

/* Through oneDNN: bf16 where the processor has it; f32 if WN_GEMM=onednn asks for a comparison,
 * with the weight packed anew for each call. */
static bool through_onednn(const product *p, bool back)
{
    bool add = p->flags & WN_MM_ADD;
    if (p->W->dnnl)
        return wn_dnnl_mm(p->y, p->ldy, p->x, p->ldx, p->W->dnnl, p->T, back, add);
    const char *s = getenv("WN_GEMM");
    if (p->W->kind != WN_MAT_F32 || !s || strcmp(s, "onednn") != 0)
        return false;
    wn_dnnl *h = wn_dnnl_new(p->W->panel, p->W->N, p->W->K, false);
    bool done = h && wn_dnnl_mm(p->y, p->ldy, p->x, p->ldx, h, p->T, back, add);
    wn_dnnl_free(h);
    return done;
}

static void finish_all(const product *p)
{
    if (p->bias || p->flags & ~WN_MM_ADD)
        for (size_t t = 0; t < p->T; t++)
            p->t->finish(p->y + t * p->ldy, p->bias, p->out, p->flags);
}

void wn_mm(float *y, size_t ldy, const float *x, size_t ldx, const wn_mat *W, const float *bias,
           size_t T, int flags)
{
    product p = {.t = wn_kernel_table(),
                 .y = y,
                 .x = x,
                 .bias = bias,
                 .ldy = ldy,
                 .ldx = ldx,
                 .T = T,
                 .out = W->N,
                 .in = W->K,
                 .W = W,
                 .flags = flags,
                 .round = W->kind == WN_MAT_BF16};
    if (!T || !p.out)
        return;
    if (through_onednn(&p, false))
        finish_all(&p);
    else
        wn_par_do(cut(&p, FORWARD_ROWS), mm_tile, &p);
}

void wn_mm_back(float *dx, size_t lddx, const float *dy, size_t lddy, const wn_mat *W, size_t T,
                int flags)
{
    product p = {.t = wn_kernel_table(),
                 .y = dx,
                 .x = dy,
                 .ldy = lddx,
                 .ldx = lddy,
                 .T = T,
                 .out = W->K,
                 .in = W->N,
                 .W = W,
                 .flags = flags,
                 .round = W->kind == WN_MAT_BF16};
    if (!T || !p.out)
        return;
    if (!through_onednn(&p, true))
        wn_par_do(cut(&p, ROWS), back_tile, &p);
}

/* ---- products of plain matrices
 * --------------------------------------------------------------------- */

/* C = op(A) op(B) by tiles; with `turned` the tile holds C^T = op(B)^T op(A)^T, which is how few
 * columns of C against a transposed A (a LoRA gradient) avoid transposing the large matrix. */
typedef struct gemm {
    const wn_kernels *t;
    const float *A, *B;
    float *C;
    size_t M, N, K, lda, ldb, ldc, rows, cols, row_tiles;
    float alpha;
    bool ta, tb, add, turned;
} gemm;

static const float *left(const gemm *g, size_t i0, size_t m, size_t k0, size_t k, size_t *ld)
{
    *ld = g->lda;
    if (!g->ta)
        return g->A + i0 * g->lda + k0;
    g->t->transpose(rows_buf(), LINE, g->A + k0 * g->lda + i0, g->lda, k, m);
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
        size_t rows = min(step, k - r);
        for (size_t j = 0; j < n; j += WN_NR) {
            float *panel = panel_buf() + j * K_BLOCK + r * WN_NR;
            size_t w = min(WN_NR, n - j);
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
    size_t direct = !g->tb && m <= 12 ? n / WN_NR * WN_NR : 0;
    if (direct)
        g->t->mm(c, ldc, a, lda, g->B + k0 * g->ldb + j0, g->ldb, WN_NR, m, direct, k, k0);
    if (direct < n) {
        right(g, j0 + direct, n - direct, k0, k);
        g->t->mm(c + direct, ldc, a, lda, panel_buf(), WN_NR, K_BLOCK * WN_NR, m, n - direct, k,
                 k0);
    }
}

static void gemm_tile(void *ctx, size_t i, int thread)
{
    (void)thread;
    const gemm *g = ctx;
    size_t i0 = i % g->row_tiles * g->rows, m = min(g->rows, g->M - i0);
    size_t j0 = i / g->row_tiles * g->cols, n = min(g->cols, g->N - j0), lda;
    bool straight = !g->add && g->alpha == 1 && !g->turned;
    float *c = straight ? g->C + i0 * g->ldc + j0 : tile_buf();
    size_t ldc = straight ? g->ldc : COLS;
    for (size_t k0 = 0; k0 < g->K || !k0; k0 += K_BLOCK) {
        size_t k = min(K_BLOCK, g->K - k0);
        const float *a = left(g, i0, m, k0, k, &lda);
        for (size_t j = 0; j < n; j += G_COLS)
            gemm_columns(g, c + j, ldc, a, lda, m, j0 + j, min(G_COLS, n - j), k0, k);
    }
    if (!straight)
        deliver(g, i0, j0, m, n);
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
    size_t want = wn_par_threads() > 1 ? 4 * (size_t)wn_par_threads() : 1;
    g.row_tiles = div_up(g.M, ROWS);
    g.rows = div_up(div_up(g.M, g.row_tiles), 12) * 12;
    if (g.N <= G_COLS && g.M >= 24 * want)
        g.rows = min(g.rows, div_up(div_up(g.M, want), 12) * 12);
    g.row_tiles = div_up(g.M, g.rows);
    size_t pieces = div_up(want, g.row_tiles), least = div_up(g.N, COLS);
    g.cols = div_up(div_up(g.N, pieces > least ? pieces : least), 2 * WN_NR) * 2 * WN_NR;
    wn_par_do(g.row_tiles * div_up(g.N, g.cols), gemm_tile, &g);
}
