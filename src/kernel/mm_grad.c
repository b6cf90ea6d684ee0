/* dW (+)= dy^T x. In bf16 where the processor has it: a block of dW is summed over all tokens,
 * AT_ONCE groups of 32 at a time, which are packed as they come:
 * dy's columns into strips, x's into panels. An example ends its last group with zeros, so groups
 * are the same however examples are cut into calls, and an element is one sequence of groups.
 * Packing a number costs as much as a hundred multiply-adds, so blocks are as large as the second
 * cache and the threads' shares allow; how dW is cut changes no bit. */
#include "kernel/mat.h"

#include <string.h>

#include "base/err.h"
#include "base/par.h"

enum {
    GROUP = 32,
    TILE = WN_BLOCK,
    SIDES = 1152, /* most outputs and inputs of a block together */
    AT_ONCE = 16,
    PACKING = 100, /* multiply-adds that packing a number takes the time of */
    PIECE = 192    /* inputs of a piece in f32 */
};
_Static_assert(SIDES *AT_ONCE *GROUP * 2 <= WN_SCRATCH * 4, "scratch");

typedef struct grad {
    float *dW;
    const float *dy, *x;
    size_t lddw, lddy, ldx, N, K, B;
    float scale;
    const uint32_t *off;
    bool bf16, add;
    const wn_narrow *n;
    size_t n_parts, k_parts;
} grad;

/* ---- f32 ---- */

/* Each example's share added by itself. */
static void columns(void *ctx, size_t i, int thread)
{
    (void)thread;
    const grad *g = ctx;
    size_t k0 = i * PIECE, n = wn_min(PIECE, g->K - k0);
    for (size_t b = 0; b < g->B; b++) {
        size_t t = g->off[b], T = g->off[b + 1] - t;
        if (T)
            wn_gemm_rounded(g->N, n, T, g->scale, g->dy + t * g->lddy, g->lddy,
                            g->x + t * g->ldx + k0, g->ldx, g->dW + k0, g->lddw, g->bf16);
    }
}

/* ---- f32, one side narrow: a LoRA factor's gradient ----
 *
 * The wide matrix is read once, some rows at a time and along them, while the sums of a piece of
 * its columns stay in the first cache: going down its columns, each step would be another page. */

enum { FEW = 32, FEW_ROWS = 16, FEW_BLOCK = 384, FEW_LINE = FEW_BLOCK + 16 };
_Static_assert(FEW *FEW_LINE + 2 * FEW * PIECE + FEW_BLOCK * WN_NR <= WN_SCRATCH, "scratch");

/* f [T, r] of width ldf against w [T, .]: sums [r, PIECE] of w's columns [k0, k0 + n). */
typedef struct few {
    const float *f, *w;
    size_t ldf, ldw, r, k0, n;
} few;

/* The next rows, while the present ones are at work. */
static void ask_for(const float *w, size_t ldw, size_t rows, size_t n)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < n; j += WN_NR)
            __builtin_prefetch(w + r * ldw + j, 0, 2);
}

static void few_sums(float *sums, const few *a, size_t T)
{
    const wn_kernels *t = wn_kernel_table();
    float *turned = sums + 2 * FEW * PIECE, *panel = turned + FEW * FEW_LINE;
    size_t whole = a->n / WN_NR * WN_NR, rest = a->n - whole;
    for (size_t b = 0; b < T; b += FEW_BLOCK) {
        size_t k = wn_min(FEW_BLOCK, T - b);
        t->transpose(turned, FEW_LINE, a->f + b * a->ldf, a->ldf, k, a->r);
        for (size_t i = 0; i < k; i += FEW_ROWS) {
            const float *w = a->w + (b + i) * a->ldw + a->k0;
            size_t rows = wn_min(FEW_ROWS, k - i);
            if (i + FEW_ROWS < k)
                ask_for(w + FEW_ROWS * a->ldw, a->ldw, wn_min(FEW_ROWS, k - i - FEW_ROWS), a->n);
            if (whole)
                t->mm(sums, PIECE, turned + i, FEW_LINE, w, a->ldw, WN_NR, a->r, whole, rows,
                      b + i > 0);
            for (size_t j = 0; rest && j < rows; j++)
                memcpy(panel + (i + j) * WN_NR, w + j * a->ldw + whole, rest * sizeof *w);
        }
        if (rest)
            t->mm(sums + whole, PIECE, turned, FEW_LINE, panel, WN_NR, 0, a->r, rest, k, b > 0);
    }
}

static void few_columns(void *ctx, size_t i, int thread)
{
    (void)thread;
    const grad *g = ctx;
    const wn_kernels *t = wn_kernel_table();
    bool rows = g->N <= g->K; /* of dW are few */
    float *sums = wn_kernel_scratch(), *turned = sums + FEW * PIECE;
    few a = {.f = rows ? g->dy : g->x,
             .w = rows ? g->x : g->dy,
             .ldf = rows ? g->lddy : g->ldx,
             .ldw = rows ? g->ldx : g->lddy,
             .r = rows ? g->N : g->K,
             .k0 = i * PIECE};
    const few all = a;
    a.n = wn_min(PIECE, (rows ? g->K : g->N) - a.k0);
    for (size_t b = 0; b < g->B; b++) {
        size_t first = g->off[b], T = g->off[b + 1] - first;
        if (!T)
            continue;
        a.f = all.f + first * a.ldf;
        a.w = all.w + first * a.ldw;
        few_sums(sums, &a, T);
        if (rows) {
            for (size_t j = 0; j < a.r; j++)
                t->axpy(g->dW + j * g->lddw + a.k0, g->scale, sums + j * PIECE, a.n);
            continue;
        }
        t->transpose(turned, a.r, sums, PIECE, a.r, a.n);
        for (size_t j = 0; j < a.n; j++)
            t->axpy(g->dW + (a.k0 + j) * g->lddw, g->scale, turned + j * a.r, a.r);
    }
}

/* ---- bf16 ---- */

/* A group of tokens of one example. */
typedef struct group {
    size_t t, n;
} group;

/* The next at most AT_ONCE groups; b and t: where the last call ended. */
static size_t next_groups(group *out, const grad *g, size_t *b, size_t *t)
{
    size_t n = 0;
    while (n < AT_ONCE && *b < g->B) {
        size_t end = g->off[*b + 1];
        if (*t < g->off[*b])
            *t = g->off[*b];
        if (*t >= end) {
            ++*b;
            continue;
        }
        out[n] = (group){*t, wn_min(GROUP, end - *t)};
        *t += out[n++].n;
    }
    return n;
}

/* Strips of columns [n0, n1) of dy: kt pairs of tiles each. */
static void pack_strips(uint16_t *out, const grad *g, const group *groups, size_t kt, size_t n0,
                        size_t n1)
{
    for (size_t i = 0; i < kt; i++)
        for (size_t n = n0; n < n1; n += WN_NR) {
            size_t at = n - n0;
            g->n->down16(out + at / 32 * kt * 2 * TILE + i * 2 * TILE + at % 32 / 16 * TILE,
                         g->dy + groups[i].t * g->lddy + n, g->lddy, groups[i].n,
                         wn_min(WN_NR, n1 - n), true);
        }
}

static void pack_panels(uint16_t *out, const grad *g, const group *groups, size_t kt, size_t k0,
                        size_t k1)
{
    for (size_t i = 0; i < kt; i++)
        for (size_t k = k0; k < k1; k += WN_NR)
            g->n->down16(out + (k - k0) / WN_NR * kt * TILE + i * TILE,
                         g->x + groups[i].t * g->ldx + k, g->ldx, groups[i].n,
                         wn_min(WN_NR, k1 - k), false);
}

/* Borders of part i of `of`, in whole strips or pairs of panels. */
static size_t border(size_t n, size_t i, size_t of)
{
    return wn_min(wn_div_up(n, 32) * i / of * 32, n);
}

/* The cut for which the thread with the most blocks is soonest done. */
static void cut_blocks(grad *g)
{
    size_t threads = (size_t)wn_par_width(), n_strips = wn_div_up(g->N, 32);
    size_t k_strips = wn_div_up(g->K, 32), best = SIZE_MAX;
    for (size_t bn = 1; bn < SIDES / 32 && bn <= n_strips; bn++) {
        size_t n_parts = wn_div_up(n_strips, bn);
        if (bn > 1 && wn_div_up(n_strips, bn - 1) == n_parts)
            continue; /* the same parts, cut less evenly */
        for (size_t bk = 1; bn + bk <= SIDES / 32 && bk <= k_strips; bk++) {
            size_t k_parts = wn_div_up(k_strips, bk);
            size_t rounds = wn_div_up(n_parts * k_parts, threads);
            size_t cost = rounds * (bn * bk * 32 + PACKING * (bn + bk));
            if (cost >= best)
                continue;
            best = cost;
            g->n_parts = n_parts;
            g->k_parts = k_parts;
        }
    }
}

static void block(void *ctx, size_t i, int thread)
{
    (void)thread;
    const grad *g = ctx;
    size_t part = i % g->n_parts, n0 = border(g->N, part, g->n_parts);
    size_t n1 = border(g->N, part + 1, g->n_parts);
    size_t k0 = border(g->K, i / g->n_parts, g->k_parts);
    size_t k1 = border(g->K, i / g->n_parts + 1, g->k_parts);
    uint16_t *strips = (uint16_t *)(void *)wn_kernel_scratch();
    uint16_t *panels = strips + wn_div_up(n1 - n0, GROUP) * GROUP * AT_ONCE * GROUP;
    group groups[AT_ONCE];
    size_t b = 0, t = 0, kt;
    if (g->n->begin)
        g->n->begin();
    for (bool add = g->add; (kt = next_groups(groups, g, &b, &t)) > 0; add = true) {
        pack_strips(strips, g, groups, kt, n0, n1);
        pack_panels(panels, g, groups, kt, k0, k1);
        for (size_t k = k0; k < k1; k += 32)
            for (size_t n = n0; n < n1; n += 32)
                g->n->mm16(g->dW + n * g->lddw + k, g->lddw, strips + (n - n0) / 32 * kt * 2 * TILE,
                           panels + (k - k0) / 16 * kt * TILE, kt * TILE, kt, wn_min(32, n1 - n),
                           wn_min(32, k1 - k), add, NULL, 0);
    }
    if (g->n->end)
        g->n->end();
}

bool wn_outer_narrow(float *G, size_t ldg, const float *dy, size_t ldy, const float *x, size_t ldx,
                     size_t n, size_t m, size_t T)
{
    const wn_narrow *table = wn_narrow_table();
    const uint32_t off[2] = {0, (uint32_t)T};
    if (!table->mm16)
        return false;
    enum { MOST = SIDES / 2 };
    for (size_t i = 0; i < n; i += MOST)
        for (size_t j = 0; j < m; j += MOST) {
            grad g = {.dW = G + i * ldg + j,
                      .dy = dy + i,
                      .x = x + j,
                      .lddw = ldg,
                      .lddy = ldy,
                      .ldx = ldx,
                      .N = wn_min(MOST, n - i),
                      .K = wn_min(MOST, m - j),
                      .B = 1,
                      .off = off,
                      .n = table,
                      .n_parts = 1,
                      .k_parts = 1};
            block(&g, 0, 0);
        }
    return true;
}

void wn_mm_grad(float *dW, size_t lddw, const float *dy, size_t lddy, const float *x, size_t ldx,
                size_t N, size_t K, float scale, const uint32_t *off, size_t B, bool bf16, bool add)
{
    WN_ASSERT(!bf16 || scale == 1);
    grad g = {.dW = dW,
              .dy = dy,
              .x = x,
              .lddw = lddw,
              .lddy = lddy,
              .ldx = ldx,
              .N = N,
              .K = K,
              .B = B,
              .scale = scale,
              .off = off,
              .bf16 = bf16,
              .add = add,
              .n = wn_narrow_table()};
    if (!N || !K)
        return;
    bool narrow = bf16 && g.n->mm16;
    for (size_t i = 0; i < N && !add && (!narrow || off[0] == off[B]); i++)
        memset(dW + i * lddw, 0, K * sizeof *dW);
    if (!bf16 && wn_min(N, K) <= FEW) {
        wn_par_do(wn_div_up(N > K ? N : K, PIECE), few_columns, &g);
        return;
    }
    if (!narrow) {
        wn_par_do(wn_div_up(K, PIECE), columns, &g);
        return;
    }
    cut_blocks(&g);
    wn_par_do(g.n_parts * g.k_parts, block, &g);
}
