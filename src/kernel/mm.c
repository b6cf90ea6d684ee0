/* y = x W^T and dx = dy W of packed weights in float registers, by tiles for wn_par_do over the
 * table's mm; bf16 kinds go on to mm_narrow.c where the processor has products of them.
 *
 * Blocks: K_BLOCK of the inner dimension, so that a 16-column panel block (24 KB) stays in the
 * first cache; the tile's rows of x (rows * K_BLOCK floats) in the second. Tiles follow the shape
 * and the number of threads freely: an element is one sequence of multiply-adds over k, wherever
 * its tile's borders fall. The backward product transposes 16x16 blocks of the forward panels as it
 * goes, which costs a few percent at 192 rows to a tile and saves a second copy of every weight.
 * Weights that are not held as floats become floats a block at a time. */
#include "kernel/mat.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/par.h"

#include <stdlib.h>
#include <string.h>

enum {
    K_BLOCK = 384,       /* a multiple of WN_BLOCK_K */
    LINE = K_BLOCK + 16, /* row stride of copied rows: an odd number of cache lines */
    ROWS = 192,          /* most rows of a tile */
    FORWARD_ROWS = 120,  /* ... of wn_mm, which packs nothing */
    COLS = 512,          /* most columns of a tile */
    P_COLS = 128,        /* columns made floats at once */
    WIDE = 64, /* columns transposed at once: enough that reading them is no chain of misses */
    STRIP = 48 /* rows multiplied between two pieces of prefetching */
};

/* Scratch: rows of x, panels, and a tile of sums. */
_Static_assert(ROWS *LINE + P_COLS * K_BLOCK + ROWS * COLS <= WN_SCRATCH, "scratch");

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
    return wn_kernel_scratch() + ROWS * LINE + P_COLS * K_BLOCK;
}

/* A product and its cutting into tiles. */
typedef struct product {
    wn_product p;
    bool round; /* x to bf16 */
    size_t rows, cols, row_tiles;
} product;

/* Rows and columns of a tile, so that every thread gets some tiles where the shape allows. */
static size_t cut(product *j, size_t most_rows, size_t most_cols)
{
    size_t want = wn_par_width() > 1 ? 4 * (size_t)wn_par_width() : 1;
    j->row_tiles = wn_div_up(j->p.T, most_rows);
    j->rows = wn_div_up(wn_div_up(j->p.T, j->row_tiles), 12) * 12;
    j->row_tiles = wn_div_up(j->p.T, j->rows);
    size_t pieces = wn_div_up(want, j->row_tiles), least = wn_div_up(j->p.out, most_cols);
    j->cols = wn_div_up(wn_div_up(j->p.out, pieces > least ? pieces : least), WIDE) * WIDE;
    return j->row_tiles * wn_div_up(j->p.out, j->cols);
}

/* Rows a multiple of 4 KB apart compete for the same few cache lines (logits of a large
 * vocabulary): such tiles are worked on in a dense copy. */
static bool aliased(size_t ld)
{
    return ld % 1024 == 0;
}

/* Rows of x for the inner range [k0, k0 + k): x itself, or a copy, rounded for bf16. */
static const float *inputs(const product *j, size_t t0, size_t m, size_t k0, size_t k, size_t *ld)
{
    const wn_product *p = &j->p;
    const float *x = p->x + t0 * p->ldx + k0;
    *ld = p->ldx;
    if (!j->round && !aliased(p->ldx))
        return x;
    for (size_t i = 0; i < m; i++) {
        if (j->round)
            p->t->round_bf16(rows_buf() + i * LINE, x + i * p->ldx, k);
        else
            memcpy(rows_buf() + i * LINE, x + i * p->ldx, k * sizeof *x);
    }
    *ld = LINE;
    return rows_buf();
}

/* Block i of panel q as the floats that are multiplied. */
static void floats(const product *j, float *out, const wn_mat *W, size_t q, size_t i)
{
    j->p.t->block_f32(out, wn_mat_block(W, q, i), W->kind);
    if (j->round && W->kind != WN_MAT_BF16)
        j->p.t->round_bf16(out, out, WN_BLOCK);
}

/* Panels of W for outputs [c, c + n), n <= P_COLS, and inner range from k0, as floats. */
static const float *panels(const product *j, const wn_mat *W, size_t c, size_t n, size_t k0,
                           size_t k, size_t *stride)
{
    *stride = W->K * WN_NR;
    if (W->kind == WN_MAT_F32)
        return (const float *)W->panel + c * W->K + k0 * WN_NR;
    *stride = K_BLOCK * WN_NR;
    for (size_t q = 0; q * WN_NR < n; q++)
        for (size_t i = 0; i < k; i += WN_BLOCK_K)
            floats(j, panel_buf() + q * *stride + i * WN_NR, W, c / WN_NR + q,
                   (k0 + i) / WN_BLOCK_K);
    return panel_buf();
}

/* c [m, n] (+)= x[t0...] times W's outputs from c0. */
static void sums(const product *j, const wn_mat *W, float *c, size_t ldc, size_t t0, size_t m,
                 size_t c0, size_t n, bool add)
{
    const wn_product *p = &j->p;
    size_t K = p->in, ld, bp, wide = W->kind == WN_MAT_F32 ? COLS : P_COLS;
    size_t step = K ? wn_div_up(wn_div_up(K, wn_div_up(K, K_BLOCK)), WN_BLOCK_K) * WN_BLOCK_K : 1;
    for (size_t k0 = 0; k0 < K || !k0; k0 += step) {
        size_t k = wn_min(step, K - k0);
        const float *x = inputs(j, t0, m, k0, k, &ld);
        for (size_t i = 0; i < n; i += wide) {
            size_t w = wn_min(wide, n - i);
            const float *b = panels(j, W, c0 + i, w, k0, k, &bp);
            p->t->mm(c + i, ldc, x, ld, b, WN_NR, bp, m, w, k, k0 || add);
        }
    }
}

static void mm_tile(void *ctx, size_t i, int thread)
{
    (void)thread;
    const product *j = ctx;
    const wn_product *p = &j->p;
    size_t t0 = i % j->row_tiles * j->rows, m = wn_min(j->rows, p->T - t0);
    size_t c0 = i / j->row_tiles * j->cols, n = wn_min(j->cols, p->out - c0);
    float *y = p->y + t0 * p->ldy + c0, *up = NULL;
    bool copy = p->up || (aliased(p->ldy) && p->in > K_BLOCK);
    float *c = copy ? tile_buf() : y;
    size_t ldc = copy ? COLS : p->ldy;
    for (size_t r = 0; copy && p->add && r < m; r++)
        memcpy(c + r * ldc, y + r * p->ldy, n * sizeof *y);
    sums(j, p->W, c, ldc, t0, m, c0, n, p->add);
    if (p->up) {
        up = c + COLS / 2;
        sums(j, p->up, up, ldc, t0, m, c0, n, false);
    }
    wn_after e = wn_after_at(p, t0, c0);
    if (copy || wn_after_any(&e))
        p->t->after(y, p->ldy, c, ldc, up, ldc, m, n, &e);
}

/* W's blocks for dx columns [c, c + n) and inner rows [n0, n0 + k), transposed into panels. */
static void turn(const product *j, size_t n0, size_t k, size_t c, size_t n)
{
    const wn_product *p = &j->p;
    const wn_mat *W = p->W;
    float block[WN_BLOCK];
    for (size_t r = 0; r < k; r += WN_NR)
        for (size_t i = 0; i < n; i += WN_NR) {
            const float *w = (const float *)W->panel + (n0 + r) * W->K + (c + i) * WN_NR;
            if (W->kind != WN_MAT_F32) {
                if (i % WN_BLOCK_K == 0)
                    floats(j, block, W, (n0 + r) / WN_NR, (c + i) / WN_BLOCK_K);
                w = block + i % WN_BLOCK_K * WN_NR;
            }
            p->t->transpose(panel_buf() + i * K_BLOCK + r * WN_NR, WN_NR, w, WN_NR,
                            wn_min(WN_NR, n - i), WN_NR);
        }
}

/* Asks for piece i of n of what turn() will read next. */
static void fetch(const product *j, size_t n0, size_t k, size_t c, size_t n, size_t i, size_t of)
{
    const wn_mat *W = j->p.W;
    size_t groups = wn_div_up(k, WN_NR), column = wn_mat_panel_bytes(W->kind, WN_BLOCK_K) / 32;
    for (size_t r = groups * i / of; r < groups * (i + 1) / of; r++) {
        const char *w = wn_mat_panel(W, n0 / WN_NR + r) + c * column;
        for (size_t l = 0; l < n * column; l += 64)
            __builtin_prefetch(w + l, 0, 2);
    }
}

static void back_tile(void *ctx, size_t i, int thread)
{
    (void)thread;
    const product *j = ctx;
    const wn_product *p = &j->p;
    size_t t0 = i % j->row_tiles * j->rows, m = wn_min(j->rows, p->T - t0), ld;
    size_t c0 = i / j->row_tiles * j->cols, c1 = wn_min(c0 + j->cols, p->out);
    size_t strips = wn_div_up(m, STRIP);
    for (size_t n0 = 0; n0 < p->in; n0 += K_BLOCK) {
        size_t k = wn_min(K_BLOCK, p->in - n0);
        const float *x = inputs(j, t0, m, n0, k, &ld);
        for (size_t c = c0; c < c1; c += WIDE) {
            size_t n = wn_min(WIDE, c1 - c);
            turn(j, n0, k, c, n);
            for (size_t s = 0; s < strips; s++) {
                float *y = p->y + (t0 + s * STRIP) * p->ldy + c;
                if (c + WIDE < c1)
                    fetch(j, n0, k, c + WIDE, wn_min(WIDE, c1 - c - WIDE), s, strips);
                p->t->mm(y, p->ldy, x + s * STRIP * ld, ld, panel_buf(), WN_NR, K_BLOCK * WN_NR,
                         wn_min(STRIP, m - s * STRIP), n, k, n0 || p->add);
            }
        }
    }
}

static bool asks_for_onednn(void)
{
    const char *s = getenv("WN_GEMM");
    return s && strcmp(s, "onednn") == 0;
}

/* Through oneDNN if WN_GEMM=onednn asks for a comparison; the weight is packed anew each time. */
static bool through_onednn(const wn_product *p)
{
    if (!asks_for_onednn() || p->up)
        return false;
    size_t N = p->W->N, K = p->W->K;
    float *W = wn_malloc((N * K + 1) * sizeof *W);
    for (size_t n = 0; W && n < N; n++)
        wn_mat_row(W + n * K, p->W, n);
    wn_dnnl *h = W ? wn_dnnl_new(W, N, K, wn_mat_rounds(p->W)) : NULL;
    bool done = h && wn_dnnl_mm(p->y, p->ldy, p->x, p->ldx, h, p->T, p->back, p->add);
    if (done)
        p->t->after(p->y, p->ldy, p->y, p->ldy, NULL, 0, p->T, p->out, &p->after);
    wn_dnnl_free(h);
    wn_free(W);
    return done;
}

static void run(const wn_product *p)
{
    if (!p->T || !p->out || through_onednn(p))
        return;
    bool round = wn_mat_rounds(p->W), int8 = p->W->kind == WN_MAT_INT8;
    WN_ASSERT(!int8 || !p->back);
    if (int8 || (round && p->in && wn_narrow_table()->mm16)) {
        wn_mm_narrow(p);
        return;
    }
    product j = {.p = *p, .round = round};
    size_t tiles = cut(&j, p->back ? ROWS : FORWARD_ROWS, p->up ? COLS / 2 : COLS);
    wn_par_do(tiles, p->back ? back_tile : mm_tile, &j);
}

/* Whether a LoRA's products ride on W's. */
static bool rides(const wn_low *low, const wn_mat *W, size_t in)
{
    return wn_mat_rounds(W) && W->kind != WN_MAT_INT8 && wn_narrow_table()->mm16 && in &&
           low->r <= WN_BLOCK_K && !asks_for_onednn();
}

static wn_act activation(int flags)
{
    return flags & WN_MM_GELU        ? WN_ACT_GELU
           : flags & WN_MM_GELU_TANH ? WN_ACT_GELU_TANH
           : flags & WN_MM_RELU      ? WN_ACT_RELU
           : flags & WN_MM_SILU      ? WN_ACT_SILU
                                     : WN_ACT_IDENTITY;
}

/* y [T, out] from x [T, in], forward or back, with what flags ask for. */
static wn_product product_of(float *y, size_t ldy, const float *x, size_t ldx, const wn_mat *W,
                             size_t T, bool back, int flags)
{
    return (wn_product){.t = wn_kernel_table(),
                        .W = W,
                        .y = y,
                        .x = x,
                        .ldy = ldy,
                        .ldx = ldx,
                        .T = T,
                        .out = back ? W->K : W->N,
                        .in = back ? W->N : W->K,
                        .back = back,
                        .add = flags & WN_MM_ADD,
                        .after = {.act = activation(flags), .rough = W->kind != WN_MAT_F32}};
}

void wn_mm_fused(float *y, size_t ldy, const float *x, size_t ldx, const wn_mat *W, size_t T,
                 const wn_fused *f)
{
    WN_ASSERT(!f->up || (f->up->N == W->N && f->up->K == W->K && f->up->kind == W->kind &&
                         f->up->f32 == W->f32 && !(f->flags & WN_MM_ADD)));
    wn_product p = product_of(y, ldy, x, ldx, W, T, false, f->flags);
    p.up = f->up;
    p.after.bias = f->bias;
    p.after.up_bias = f->up_bias;
    p.after.residual = f->residual;
    p.after.ldr = f->ldr;
    run(&p);
}

void wn_mm(float *y, size_t ldy, const float *x, size_t ldx, const wn_mat *W, const float *bias,
           size_t T, int flags)
{
    wn_mm_fused(y, ldy, x, ldx, W, T, &(wn_fused){.bias = bias, .flags = flags});
}

void wn_mm_back(float *dx, size_t lddx, const float *dy, size_t lddy, const wn_mat *W, size_t T,
                int flags)
{
    wn_product p = product_of(dx, lddx, dy, lddy, W, T, true, flags & WN_MM_ADD);
    run(&p);
}

void wn_mm_low(float *y, size_t ldy, const float *x, size_t ldx, const wn_mat *W, const float *bias,
               size_t T, int flags, const wn_low *low)
{
    if (rides(low, W, W->K)) {
        wn_product p = product_of(y, ldy, x, ldx, W, T, false, flags & WN_MM_ADD);
        p.low = low;
        p.after.bias = bias;
        run(&p);
        return;
    }
    wn_mm(y, ldy, x, ldx, W, bias, T, flags & WN_MM_ADD);
    wn_gemm(false, true, T, low->r, W->K, 1, x, ldx, low->A, W->K, false, low->kept, low->r);
    wn_gemm(false, true, T, W->N, low->r, low->scale, low->kept, low->r, low->B, low->r, true, y,
            ldy);
}

void wn_mm_low_back(float *dx, size_t lddx, const float *dy, size_t lddy, const wn_mat *W, size_t T,
                    int flags, const wn_low *low)
{
    if (rides(low, W, W->N)) {
        wn_product p = product_of(dx, lddx, dy, lddy, W, T, true, flags & WN_MM_ADD);
        p.low = low;
        run(&p);
        return;
    }
    wn_mm_back(dx, lddx, dy, lddy, W, T, flags);
    wn_gemm(false, false, T, low->r, W->N, low->scale, dy, lddy, low->B, low->r, false, low->kept,
            low->r);
    wn_gemm(false, false, T, W->K, low->r, 1, low->kept, low->r, low->A, W->K, true, dx, lddx);
}

double wn_mat_spin(wn_mat_kind kind, size_t rounds)
{
    const wn_narrow *n = wn_narrow_table();
    if (kind == WN_MAT_F32)
        return wn_kernel_table()->spin(rounds);
    double (*spin)(size_t) = kind == WN_MAT_INT8 ? n->spin8 : n->spin16;
    return spin ? spin(rounds) : 0;
}
