/* Attention in tiles of SUB queries by KEYS keys, never a whole matrix of scores: running softmax
 * forward, recomputed scores backward (Milakov & Gimelshein 2018, arXiv 1805.02867; Dao et al.
 * 2022, arXiv 2205.14135). All products go through the table's mm: the keys of a tile are packed
 * into panels once and serve all queries and heads of their group.
 *
 * Tile borders are counted from a segment's own first query and first key, so a segment's result
 * does not depend on its neighbours. Forward: a task is (segment, key head, block of queries).
 * Backward: a task is (segments connected by shared key rows, key head), which owns its rows of dk
 * and dv, and adds to them in one order. */
#include "kernel/attention.h"
#include "base/par.h"
#include "kernel/attention_drop.h"

#include <math.h>
#include <string.h>

enum {
    KEYS = 64,
    SUB = 48,
    BLOCK = 96, /* queries of a forward task */
    HEADS = 8   /* heads whose running sums are kept at once */
};

struct scratch {
    float kt[WN_HEAD_MAX * KEYS], vt[WN_HEAD_MAX * KEYS]; /* keys as columns */
    float kp[WN_HEAD_MAX * KEYS];                         /* keys as rows */
    float qp[WN_HEAD_MAX * SUB], gp[WN_HEAD_MAX * SUB];
    float s[SUB * KEYS], dp[SUB * KEYS], capped[SUB * KEYS], turned[SUB * KEYS];
    float top[HEADS][BLOCK], sum[HEADS][BLOCK];
};
_Static_assert(sizeof(struct scratch) <= WN_SCRATCH * sizeof(float), "scratch");

static struct scratch *room(void)
{
    return (struct scratch *)(void *)wn_kernel_scratch();
}

typedef struct job {
    const wn_kernels *t;
    const wn_attn *a;
    float *o, *lse;
    const float *q, *k, *v;
    float *dq, *dk, *dv, *dbias;
    const float *do_, *out, *lse_in;
    size_t blocks;
    near_buckets near;
} job;

/* Keys [k0, k0 + n) of head g as columns of panels [d][NR]. */
static void pack_columns(const wn_kernels *t, float *out, const float *x, size_t ld, size_t d,
                         const segment *g, size_t k0, size_t n)
{
    for (size_t j = 0; j < n;) {
        size_t run, row = key_rows(g, k0 + j, k0 + n, &run);
        run = min(run, WN_NR - j % WN_NR);
        t->transpose(out + j / WN_NR * WN_NR * d + j % WN_NR, WN_NR, x + row * ld, ld, run, d);
        j += run;
    }
}

/* Rows of x as panels [KEYS or SUB][NR] over the width d. */
static void pack_rows(float *out, size_t most, const float *x, size_t ld, size_t d, size_t at,
                      size_t n)
{
    for (size_t c = 0; c < d; c += WN_NR) {
        float *panel = out + c * most + at * WN_NR;
        size_t w = min(WN_NR, d - c);
        if (w == WN_NR)
            for (size_t r = 0; r < n; r++)
                memcpy(panel + r * WN_NR, x + r * ld + c, WN_NR * sizeof *x);
        else
            for (size_t r = 0; r < n; r++)
                memcpy(panel + r * WN_NR, x + r * ld + c, w * sizeof *x);
    }
}

static void pack_key_rows(float *out, const float *x, size_t ld, size_t d, const segment *g,
                          size_t k0, size_t n)
{
    for (size_t j = 0; j < n;) {
        size_t run, row = key_rows(g, k0 + j, k0 + n, &run);
        pack_rows(out, KEYS, x + row * ld, ld, d, j, run);
        j += run;
    }
}

/* ---- what options do to scores ----------------------------------------------------------------
 */

/* Turns products of a tile into scores; returns the scale still to be applied. Softcapped scores
 * are kept for the backward. */
static float modify(const job *w, float *s, const wn_tile *t, long first, size_t h, float *capped)
{
    const wn_attn *a = w->a;
    bool lined = a->slope || a->bias;
    if (!lined && !(a->softcap > 0))
        return a->scale;
    float line[SUB + KEYS];
    if (lined)
        fill_line(&w->near, a, line, t->rows + t->n, first, h);
    for (size_t i = 0; i < t->rows; i++) {
        float *row = s + i * t->ld;
        if (a->softcap > 0)
            w->t->softcap(row, t->n, a->scale, a->softcap);
        else
            w->t->scale(row, a->scale, t->n);
        if (capped)
            memcpy(capped + i * t->ld, row, t->n * sizeof *row);
        if (lined)
            w->t->add(row, line + t->rows - 1 - i, t->n);
    }
    return 1;
}

/* ---- forward ------------------------------------------------------------------------------------
 */

/* Keys [k0, k0 + n) of queries [i0, i0 + rows): s *= mask. */
static void drop_tile(const wn_attn *a, const segment *g, float *s, size_t rows, size_t n, size_t h,
                      size_t i0, size_t k0)
{
    size_t at = 0;
    if (!a->drop)
        return;
    while (a->q0[at + 1] <= g->q0)
        at++;
    for (size_t i = 0; i < rows; i++)
        wn_drop_probabilities(s + i * KEYS, n, a->drop, wn_drop_example(a->drop, at), h, i0 + i,
                              k0);
}

/* Queries [i0, i0 + rows) of head h against the packed tile of keys [k0, k0 + nk). */
static void forward_tile(const job *w, const segment *g, size_t h, size_t i0, size_t rows,
                         size_t k0, size_t nk, float *top, float *sum)
{
    const wn_attn *a = w->a;
    const wn_kernels *t = w->t;
    uint32_t lo[SUB], hi[SUB];
    float keep[SUB];
    size_t from, n;
    ranges(a, g, i0, rows, k0, nk, lo, hi, &from, &n);
    if (from >= n)
        return;
    wn_tile tile = {KEYS, rows, (n + WN_NR - 1) / WN_NR * WN_NR, lo, hi};
    size_t token = g->q0 + i0;
    float *o = w->o + token * a->ldo + h * a->dv;
    t->mm(room()->s, KEYS, w->q + token * a->ldq + h * a->d, a->ldq, room()->kt, WN_NR,
          WN_NR * a->d, rows, n, a->d, false);
    long first = (long)k0 - (long)(g->n_pre + i0 + rows - 1);
    float scale = modify(w, room()->s, &tile, first, h, NULL);
    t->tile_softmax(room()->s, top, sum, keep, &tile, scale);
    for (size_t i = 0; i < rows; i++)
        if (keep[i] != 1)
            t->scale(o + i * a->ldo, keep[i], a->dv);
    drop_tile(a, g, room()->s, rows, n, h, i0, k0);
    t->mm(o, a->ldo, room()->s, KEYS, room()->vt, WN_NR, WN_NR * KEYS, rows, a->dv, n, true);
}

static void forward_end(const job *w, const segment *g, size_t h, size_t i0, size_t rows,
                        const float *top, const float *sum)
{
    const wn_attn *a = w->a;
    for (size_t i = 0; i < rows; i++) {
        size_t token = g->q0 + i0 + i;
        if (sum[i] != 0)
            w->t->scale(w->o + token * a->ldo + h * a->dv, 1 / sum[i], a->dv);
        if (w->lse)
            w->lse[token * a->H + h] = sum[i] != 0 ? top[i] + logf(sum[i]) : -INFINITY;
    }
}

/* One block of queries, heads h0 .. h1 - 1 of key head kh. */
static void forward_block(const job *w, const segment *g, size_t kh, size_t h0, size_t h1,
                          size_t i0, size_t rows)
{
    const wn_attn *a = w->a;
    size_t lo, hi, end;
    look(a, g, i0, &lo, &end);
    look(a, g, i0 + rows - 1, &end, &hi);
    for (size_t h = h0; h < h1; h++) {
        for (size_t i = 0; i < rows; i++) {
            room()->top[h - h0][i] = -INFINITY;
            room()->sum[h - h0][i] = 0;
            memset(w->o + (g->q0 + i0 + i) * a->ldo + h * a->dv, 0, a->dv * sizeof *w->o);
        }
    }
    for (size_t k0 = lo / KEYS * KEYS; k0 < hi; k0 += KEYS) {
        size_t nk = min(KEYS, hi - k0);
        pack_columns(w->t, room()->kt, w->k + kh * a->d, a->ldk, a->d, g, k0, nk);
        pack_key_rows(room()->vt, w->v + kh * a->dv, a->ldv, a->dv, g, k0, nk);
        for (size_t h = h0; h < h1; h++)
            for (size_t i = 0; i < rows; i += SUB)
                forward_tile(w, g, h, i0 + i, min(SUB, rows - i), k0, nk, room()->top[h - h0] + i,
                             room()->sum[h - h0] + i);
    }
    for (size_t h = h0; h < h1; h++)
        forward_end(w, g, h, i0, rows, room()->top[h - h0], room()->sum[h - h0]);
}

static void forward_task(void *ctx, size_t task, int thread)
{
    (void)thread;
    const job *w = ctx;
    const wn_attn *a = w->a;
    size_t kh = task % a->G, s = task / a->G / w->blocks, b = task / a->G % w->blocks;
    size_t each = a->H / a->G, end = (kh + 1) * each;
    segment g = segment_at(a, s);
    for (size_t i = b * BLOCK; i < g.nq; i += w->blocks * BLOCK)
        for (size_t h = kh * each; h < end; h += HEADS)
            forward_block(w, &g, kh, h, min(h + HEADS, end), i, min(BLOCK, g.nq - i));
}

void wn_attention(float *o, float *lse, const float *q, const float *k, const float *v,
                  const wn_attn *a)
{
    job w = {
        .t = wn_kernel_table(), .a = a, .o = o, .lse = lse, .q = q, .k = k, .v = v, .blocks = 1};
    if (w.t == &wn_kernel_table_ref) {
        wn_attention_ref(o, lse, q, k, v, a);
        return;
    }
#if defined(__x86_64__)
    if (a->bf16 && !lse && wn_cpu_fast_bf16()) {
        wn_attention_bf16(o, q, k, v, a, false, false);
        return;
    }
#endif
    prepare(&w.near, a);
    /* Long rows are shared by up to 8 tasks, each taking every 8th block. */
    for (size_t s = 0; s < a->S; s++)
        while (w.blocks < 8 && w.blocks * BLOCK < a->q0[s + 1] - a->q0[s])
            w.blocks++;
    wn_par_do(a->S * a->G * w.blocks, forward_task, &w);
}

/* ---- backward
 * ------------------------------------------------------------------------------------- */

/* rows x n scores `m` transposed, times the tile's x [rows, width], into the key rows of out. */
static void add_to_keys(const job *w, const segment *g, size_t k0, const float *m, size_t rows,
                        size_t n, const float *x, size_t ldx, float *packed, size_t width,
                        float *out, size_t ldo)
{
    const float *b = x;
    size_t bk = ldx, bp = WN_NR;
    w->t->transpose(room()->turned, SUB, m, KEYS, rows, n);
    if (width % WN_NR) {
        pack_rows(packed, SUB, x, ldx, width, 0, rows);
        b = packed, bk = WN_NR, bp = WN_NR * SUB;
    }
    for (size_t j = 0; j < n;) {
        size_t run, row = key_rows(g, k0 + j, k0 + n, &run);
        w->t->mm(out + row * ldo, ldo, room()->turned + j * SUB, SUB, b, bk, bp, run, width, rows,
                 true);
        j += run;
    }
}

static void add_to_bias(const job *w, const wn_tile *t, long first, size_t h)
{
    float line[SUB + KEYS] = {0};
    for (size_t i = 0; i < t->rows; i++)
        w->t->add(line + t->rows - 1 - i, room()->dp + i * KEYS, t->n);
    for (size_t x = 0; x < t->rows + t->n; x++)
        if (line[x] != 0)
            w->dbias[bucket_of(&w->near, w->a, first + (long)x) * w->a->H + h] += line[x];
}

static void backward_tile(const job *w, const segment *g, size_t h, size_t i0, size_t rows,
                          size_t k0, size_t nk)
{
    const wn_attn *a = w->a;
    const wn_kernels *t = w->t;
    uint32_t lo[SUB], hi[SUB];
    float lse[SUB], delta[SUB];
    size_t from, n, token = g->q0 + i0, kh = h / (a->H / a->G);
    ranges(a, g, i0, rows, k0, nk, lo, hi, &from, &n);
    if (from >= n)
        return;
    wn_tile tile = {KEYS, rows, (n + WN_NR - 1) / WN_NR * WN_NR, lo, hi};
    const float *q = w->q + token * a->ldq + h * a->d, *go = w->do_ + token * a->ldo + h * a->dv;
    const float *o = w->out + token * a->ldo + h * a->dv;
    for (size_t i = 0; i < rows; i++) {
        lse[i] = w->lse_in[(token + i) * a->H + h];
        delta[i] = t->dot(go + i * a->ldo, o + i * a->ldo, a->dv);
    }
    long first = (long)k0 - (long)(g->n_pre + i0 + rows - 1);
    t->mm(room()->s, KEYS, q, a->ldq, room()->kt, WN_NR, WN_NR * a->d, rows, n, a->d, false);
    t->mm(room()->dp, KEYS, go, a->ldo, room()->vt, WN_NR, WN_NR * a->dv, rows, n, a->dv, false);
    float scale = modify(w, room()->s, &tile, first, h, a->softcap > 0 ? room()->capped : NULL);
    drop_tile(a, g, room()->dp, rows, n, h, i0, k0);
    t->tile_softmax_back(room()->s, room()->dp, lse, delta, &tile, scale);
    if (w->dbias && a->bias)
        add_to_bias(w, &tile, first, h);
    for (size_t i = 0; i < rows; i++) {
        if (a->softcap > 0)
            t->softcap_back(room()->dp + i * KEYS, room()->capped + i * KEYS, n, a->softcap);
        t->scale(room()->dp + i * KEYS, a->scale, n);
    }
    t->mm(w->dq + token * a->ldq + h * a->d, a->ldq, room()->dp, KEYS, room()->kp, WN_NR,
          WN_NR * KEYS, rows, a->d, n, true);
    add_to_keys(w, g, k0, room()->dp, rows, n, q, a->ldq, room()->qp, a->d, w->dk + kh * a->d,
                a->ldk);
    drop_tile(a, g, room()->s, rows, n, h, i0, k0);
    add_to_keys(w, g, k0, room()->s, rows, n, go, a->ldo, room()->gp, a->dv, w->dv + kh * a->dv,
                a->ldv);
}

static void backward_segment(const job *w, const segment *g, size_t kh)
{
    const wn_attn *a = w->a;
    size_t each = a->H / a->G, keys = g->n_pre + g->n_own;
    for (size_t i = 0; i < g->nq; i++)
        memset(w->dq + (g->q0 + i) * a->ldq + kh * each * a->d, 0, each * a->d * sizeof *w->dq);
    for (size_t k0 = 0; k0 < keys; k0 += KEYS) {
        size_t nk = min(KEYS, keys - k0);
        pack_columns(w->t, room()->kt, w->k + kh * a->d, a->ldk, a->d, g, k0, nk);
        pack_columns(w->t, room()->vt, w->v + kh * a->dv, a->ldv, a->dv, g, k0, nk);
        pack_key_rows(room()->kp, w->k + kh * a->d, a->ldk, a->d, g, k0, nk);
        for (size_t h = kh * each; h < (kh + 1) * each; h++)
            for (size_t i = 0; i < g->nq; i += SUB)
                backward_tile(w, g, h, i, min(SUB, g->nq - i), k0, nk);
    }
}

static void zero_rows(float *x, size_t ld, size_t width, const uint32_t range[2])
{
    for (size_t r = range[0]; r < range[1]; r++)
        memset(x + r * ld, 0, width * sizeof *x);
}

/* Whether no key row is shared across the border before segment s: rows are laid out in order, so
 * all ranges of earlier segments must end before the later ones begin. */
static bool apart(const wn_attn *a, size_t s)
{
    uint32_t end = 0, begin = UINT32_MAX;
    for (size_t r = 0; r < 2 * a->S; r += 2) {
        const uint32_t *range[] = {a->pre + r, a->own + r};
        for (int i = 0; i < 2; i++) {
            if (range[i][0] >= range[i][1])
                continue;
            if (r < 2 * s)
                end = range[i][1] > end ? range[i][1] : end;
            else
                begin = range[i][0] < begin ? range[i][0] : begin;
        }
    }
    return end <= begin;
}

/* The segments from s to the next border. */
static void backward_group(const job *w, size_t s, size_t kh)
{
    const wn_attn *a = w->a;
    size_t end = s + 1;
    while (end < a->S && !apart(a, end))
        end++;
    for (size_t r = s; r < end; r++) {
        zero_rows(w->dk + kh * a->d, a->ldk, a->d, a->pre + 2 * r);
        zero_rows(w->dk + kh * a->d, a->ldk, a->d, a->own + 2 * r);
        zero_rows(w->dv + kh * a->dv, a->ldv, a->dv, a->pre + 2 * r);
        zero_rows(w->dv + kh * a->dv, a->ldv, a->dv, a->own + 2 * r);
    }
    for (size_t r = s; r < end; r++) {
        segment g = segment_at(a, r);
        backward_segment(w, &g, kh);
    }
}

static void backward_task(void *ctx, size_t task, int thread)
{
    (void)thread;
    const job *w = ctx;
    size_t s = task / w->a->G;
    if (s == 0 || apart(w->a, s))
        backward_group(w, s, task % w->a->G);
}

/* With a gradient of the bias table a task owns a head's column of it, hence all segments. */
static void backward_head(void *ctx, size_t kh, int thread)
{
    (void)thread;
    const job *w = ctx;
    for (size_t s = 0; s < w->a->S; s++)
        if (s == 0 || apart(w->a, s))
            backward_group(w, s, kh);
}

void wn_attention_back(float *dq, float *dk, float *dv, float *dbias, const float *do_,
                       const float *o, const float *lse, const float *q, const float *k,
                       const float *v, const wn_attn *a)
{
    job w = {.t = wn_kernel_table(),
             .a = a,
             .q = q,
             .k = k,
             .v = v,
             .dq = dq,
             .dk = dk,
             .dv = dv,
             .dbias = dbias,
             .do_ = do_,
             .out = o,
             .lse_in = lse};
    if (w.t == &wn_kernel_table_ref) {
        wn_attention_back_ref(dq, dk, dv, dbias, do_, o, lse, q, k, v, a);
        return;
    }
    prepare(&w.near, a);
    if (dbias && a->bias)
        wn_par_do(a->G, backward_head, &w);
    else
        wn_par_do(a->S * a->G, backward_task, &w);
}
