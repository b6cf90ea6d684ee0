/* Products of bf16 and int8 weights by the tables of narrow numbers: x is made narrow and packed
 * into strips once for each tile of rows and range of columns, the panels of W are read as they lie
 * (forward) or turned a tile at a time (backward).
 *
 * A tile's strips (at most STRIPS_BYTES) stay in the second cache; the columns go by in pairs of
 * panels, which stay in the first while all strips stream past, and the next pair is fetched
 * meanwhile. Rows are cut before columns: every further tile of rows reads all of W, every further
 * range of columns packs all of x, and x is the smaller. */
#include "kernel/mat.h"

#include "base/err.h"
#include "base/par.h"

#include <string.h>

enum {
    STRIP = 32,      /* rows of a strip, columns of a pair of panels */
    TILE = WN_BLOCK, /* bf16 numbers of a tile */
    STRIPS_BYTES = 512 << 10,
    MOST_STRIPS = 16,
    FORWARD_KT = 80, /* most tiles of the inner dimension at once */
    BACK_KT = 48,
    FEW_STRIPS = 4, /* to a thread: fewer, and columns are cut instead */
    LOW_BYTES = MOST_STRIPS * (STRIP * STRIP * 4 + 2 * TILE * 2) + 2 * FORWARD_KT * TILE * 2
};
_Static_assert(STRIPS_BYTES + 4 * FORWARD_KT * TILE * 2 + LOW_BYTES + 2 * STRIP * STRIP * 4 <=
                   WN_SCRATCH * 4,
               "scratch");

typedef struct job {
    wn_product p;
    const wn_narrow *n;
    size_t kt, step; /* tiles of the inner dimension, at once */
    size_t strips, pairs, row_tiles, col_tiles;
} job;

static uint16_t *strips_buf(void)
{
    return (uint16_t *)(void *)wn_kernel_scratch();
}

static uint16_t *panels_buf(void)
{
    return strips_buf() + STRIPS_BYTES / 2;
}

static float *sums_buf(void)
{
    return wn_kernel_scratch() + WN_SCRATCH - 2 * STRIP * STRIP;
}

static int32_t *integers_buf(void)
{
    return (int32_t *)(void *)sums_buf() + STRIP * STRIP;
}

/* A LoRA's part of a tile of rows: its first product [strips, STRIP, STRIP], that as strips, and
 * panels of its first factor. */
static float *low_buf(void)
{
    return sums_buf() - LOW_BYTES / 4;
}

static uint16_t *low_strips(void)
{
    return (uint16_t *)(void *)(low_buf() + MOST_STRIPS * STRIP * STRIP);
}

static uint16_t *low_panels(void)
{
    return low_strips() + MOST_STRIPS * 2 * TILE;
}

/* Tile i of panel q, in `room` where the weight is not held as bf16. */
static const uint16_t *tile_of(const job *j, const wn_mat *W, size_t q, size_t i, uint16_t *room)
{
    float rows[WN_BLOCK];
    const void *block = wn_mat_block(W, q, i);
    if (W->kind == WN_MAT_BF16)
        return block;
    j->p.t->block_f32(rows, block, W->kind);
    j->p.t->block_pairs(room, rows);
    return room;
}

/* Tiles [k0, k0 + kt) of the panels of columns [c, c + 32) of y. */
static const uint16_t *forward_panels(const job *j, const wn_mat *W, size_t c, size_t k0, size_t kt,
                                      size_t *bp)
{
    uint16_t *out = panels_buf() + (W == j->p.up ? 2 * kt * TILE : 0);
    size_t panels = wn_div_up(W->N, WN_NR), q = c / WN_NR;
    if (W->kind == WN_MAT_BF16) {
        *bp = wn_mat_panel_bytes(W->kind, W->K) / sizeof(uint16_t);
        return wn_mat_block(W, q, k0);
    }
    *bp = kt * TILE;
    for (size_t p = 0; p < 2 && q + p < panels; p++)
        for (size_t i = 0; i < kt; i++)
            tile_of(j, W, q + p, k0 + i, out + p * *bp + i * TILE);
    return out;
}

static const uint16_t *backward_panels(const job *j, size_t c, size_t k0, size_t kt, size_t *bp)
{
    const wn_mat *W = j->p.W;
    size_t panels = wn_div_up(W->N, WN_NR);
    _Alignas(64) uint16_t room[TILE];
    uint16_t *out = panels_buf();
    *bp = kt * TILE;
    for (size_t i = 0; i < 2 * kt; i++, out += TILE / 2) {
        size_t q = 2 * k0 + i;
        if (q < panels) {
            j->n->turn16(out, out + *bp, tile_of(j, W, q, c / STRIP, room));
        } else {
            memset(out, 0, TILE);
            memset(out + *bp, 0, TILE);
        }
    }
    return panels_buf();
}

/* Piece i of `of` of what backward_panels will read next. */
static void fetch(const wn_mat *W, size_t c, size_t k0, size_t kt, size_t i, size_t of)
{
    size_t panels = wn_div_up(W->N, WN_NR), end = 2 * k0 + 2 * kt * (i + 1) / of;
    for (size_t q = 2 * k0 + 2 * kt * i / of; q < end && q < panels; q++) {
        const char *tile = wn_mat_block(W, q, c / STRIP);
        for (size_t l = 0; l < wn_block_bytes(W->kind); l += 64)
            __builtin_prefetch(tile + l, 0, 2);
    }
}

/* ---- LoRA ---- */

/* Tile i of panel q of the factor that rows meet first, A forward and B^T backward. */
static void first_tile(uint16_t *out, const job *j, size_t q, size_t i)
{
    const wn_low *l = j->p.low;
    size_t k0 = i * WN_BLOCK_K, k = wn_min(WN_BLOCK_K, j->p.in - k0), c = q * WN_NR;
    size_t n = wn_min(WN_NR, l->r - c);
    if (j->p.back)
        j->n->down16(out, l->B + k0 * l->r + c, l->r, k, n, false);
    else
        j->n->across16(out, l->A + c * j->p.in + k0, j->p.in, n, k);
}

/* The two tiles of the other factor for columns [c, c + n) of y. */
static void second_tiles(uint16_t *out, const job *j, size_t c, size_t n)
{
    const wn_low *l = j->p.low;
    for (size_t i = 0; i < n; i += WN_NR, out += TILE) {
        size_t some = wn_min(WN_NR, n - i);
        if (j->p.back)
            j->n->down16(out, l->A + c + i, j->p.out, l->r, some, false);
        else
            j->n->across16(out, l->B + (c + i) * l->r, l->r, some, l->r);
    }
}

/* The first product over the tiles [k0, k0 + kt) of the inner dimension. */
static void low_sums(const job *j, size_t m, size_t k0, size_t kt)
{
    size_t r = j->p.low->r;
    for (size_t q = 0; q * WN_NR < r; q++)
        for (size_t i = 0; i < kt; i++)
            first_tile(low_panels() + (q * kt + i) * TILE, j, q, k0 + i);
    for (size_t s = 0; s * STRIP < m; s++)
        j->n->mm16(low_buf() + s * STRIP * STRIP, STRIP, strips_buf() + s * kt * 2 * TILE,
                   low_panels(), kt * TILE, kt, wn_min(STRIP, m - s * STRIP), r, k0 > 0, NULL, 0);
}

/* Made strips, scaled; `keep`: and handed out, which one range of columns does. */
static void low_done(const job *j, size_t t0, size_t m, bool keep)
{
    const wn_low *l = j->p.low;
    for (size_t t = 0; t < m; t++) {
        float *low = low_buf() + t * STRIP, *kept = l->kept + (t0 + t) * l->r;
        for (size_t i = 0; i < l->r; i++) {
            float scaled = l->scale * low[i];
            if (keep)
                kept[i] = j->p.back ? scaled : low[i];
            low[i] = scaled;
        }
    }
    j->n->pack16(low_strips(), low_buf(), STRIP, m, l->r);
}

/* One pair of panels against all strips of a tile of rows. */
typedef struct pair {
    size_t t0, m, c, n, k0, kt;
    bool first, last; /* of the inner dimension's ranges (bf16) */
} pair;

static void forward_pair(const job *j, const pair *a)
{
    const wn_product *p = &j->p;
    size_t bp, strips = wn_div_up(a->m, STRIP);
    bool whole = a->first && a->last, any = wn_after_any(&p->after) || p->up;
    const uint16_t *b = forward_panels(j, p->W, a->c, a->k0, a->kt, &bp);
    const uint16_t *u = p->up ? forward_panels(j, p->up, a->c, a->k0, a->kt, &bp) : NULL;
    /* the next pair lies right behind this one if the inner dimension is whole */
    const char *next = (const char *)(b + 2 * bp);
    size_t lines = whole && p->W->kind == WN_MAT_BF16 && a->c + 2 * STRIP <= p->out
                       ? wn_div_up(32, strips)
                       : 0;
    float *c = sums_buf(), *up = p->up ? sums_buf() + STRIP * STRIP : NULL;
    _Alignas(64) uint16_t second[2 * TILE];
    bool low = p->low && a->last;
    if (low)
        second_tiles(second, j, a->c, a->n);
    for (size_t s = 0; s < strips; s++) {
        size_t m = wn_min(STRIP, a->m - s * STRIP), t = a->t0 + s * STRIP;
        const uint16_t *x = strips_buf() + s * a->kt * 2 * TILE;
        float *y = p->y + t * p->ldy + a->c;
        bool apart = any && whole && !p->add;
        j->n->mm16(apart ? c : y, apart ? STRIP : p->ldy, x, b, bp, a->kt, m, a->n,
                   !a->first || p->add, next, lines);
        next += lines * a->kt * 64;
        if (low)
            j->n->mm16(apart ? c : y, apart ? STRIP : p->ldy, low_strips() + s * 2 * TILE, second,
                       TILE, 1, m, a->n, true, NULL, 0);
        if (u)
            j->n->mm16(up, STRIP, x, u, bp, a->kt, m, a->n, false, NULL, 0);
        if (any && a->last) {
            wn_after e = wn_after_at(p, t, a->c);
            p->t->after(y, p->ldy, apart ? c : y, apart ? STRIP : p->ldy, up, STRIP, m, a->n, &e);
        }
    }
}

static void backward_pair(const job *j, const pair *a)
{
    const wn_product *p = &j->p;
    size_t bp, strips = wn_div_up(a->m, STRIP);
    const uint16_t *b = backward_panels(j, a->c, a->k0, a->kt, &bp);
    _Alignas(64) uint16_t second[2 * TILE];
    bool low = p->low && a->last;
    if (low)
        second_tiles(second, j, a->c, a->n);
    for (size_t s = 0; s < strips; s++) {
        size_t m = wn_min(STRIP, a->m - s * STRIP), t = a->t0 + s * STRIP;
        float *y = p->y + t * p->ldy + a->c;
        if (a->c + STRIP < p->out)
            fetch(p->W, a->c + STRIP, a->k0, a->kt, s, strips);
        j->n->mm16(y, p->ldy, strips_buf() + s * a->kt * 2 * TILE, b, bp, a->kt, m, a->n,
                   !a->first || p->add, NULL, 0);
        if (low)
            j->n->mm16(y, p->ldy, low_strips() + s * 2 * TILE, second, TILE, 1, m, a->n, true, NULL,
                       0);
    }
}

/* ---- int8 ---- */

/* Rows of x as strips of bytes; row [m] and zero [m] lead back. */
static void pack_int8(const wn_product *p, float *row, int32_t *zero, size_t t0, size_t m,
                      size_t kt)
{
    for (size_t r = 0; r < wn_div_up(m, STRIP) * STRIP; r++) {
        uint8_t *out = (uint8_t *)(void *)strips_buf() + r / STRIP * kt * 2048 + r % STRIP * 64;
        if (r < m)
            row[r] = p->t->row_int8(out, 2048, &zero[r], p->x + (t0 + r) * p->ldx, p->in);
        else
            for (size_t i = 0; i < kt; i++)
                memset(out + i * 2048, 0, 64);
    }
}

/* out (+)= strip s times the columns [c, c + n) of W. */
static void int8_block(const job *j, const wn_mat *W, float *out, size_t ldo, size_t s, wn_int8 *f,
                       const pair *a, size_t m, const char *next, size_t lines)
{
    size_t bp = wn_mat_panel_bytes(W->kind, W->K), half = WN_NR * sizeof(float);
    const char *panel = wn_mat_panel(W, a->c / WN_NR);
    memcpy(f->scale, panel, half);
    memcpy(f->sum, panel + half, half);
    if (a->n > WN_NR) {
        memcpy(f->scale + WN_NR, panel + bp, half);
        memcpy(f->sum + WN_NR, panel + bp + half, half);
    }
    j->n->mm8(integers_buf(), (const uint8_t *)(void *)strips_buf() + s * a->kt * 2048,
              (const int8_t *)panel + WN_INT8_HEAD, (const int32_t *)(const void *)panel + WN_NR,
              bp, a->kt, m, a->n, next, lines);
    j->p.t->from_int32(out, ldo, integers_buf(), f, m, a->n, j->p.add && W == j->p.W);
}

static void int8_pair(const job *j, wn_int8 f, const pair *a)
{
    const wn_product *p = &j->p;
    size_t strips = wn_div_up(a->m, STRIP), bp = wn_mat_panel_bytes(WN_MAT_INT8, p->in);
    bool any = wn_after_any(&p->after) || p->up, apart = any && !p->add;
    const char *next = wn_mat_panel(p->W, a->c / WN_NR) + 2 * bp;
    size_t lines = a->c + 2 * STRIP <= p->out ? wn_div_up(32, strips) : 0;
    float *c = sums_buf(), up[STRIP * STRIP];
    for (size_t s = 0; s < strips; s++, next += lines * a->kt * 64) {
        size_t m = wn_min(STRIP, a->m - s * STRIP), t = a->t0 + s * STRIP;
        float *y = p->y + t * p->ldy + a->c;
        float *to = apart ? c : y;
        size_t ld = apart ? STRIP : p->ldy;
        int8_block(j, p->W, to, ld, s, &f, a, m, next, lines);
        if (p->up)
            int8_block(j, p->up, up, STRIP, s, &f, a, m, NULL, 0);
        wn_after e = wn_after_at(p, t, a->c);
        if (any)
            p->t->after(y, p->ldy, to, ld, p->up ? up : NULL, STRIP, m, a->n, &e);
        f.row += STRIP;
        f.zero += STRIP;
    }
}

static void int8_work(const job *j, size_t t0, size_t t1, size_t c0, size_t c1)
{
    float row[MOST_STRIPS * STRIP];
    int32_t zero[MOST_STRIPS * STRIP];
    pack_int8(&j->p, row, zero, t0, t1 - t0, j->kt);
    for (size_t col = c0; col < c1; col += STRIP) {
        pair a = {.t0 = t0, .m = t1 - t0, .c = col, .n = wn_min(STRIP, c1 - col), .kt = j->kt};
        int8_pair(j, (wn_int8){.row = row, .zero = zero}, &a);
    }
}

static void work(void *ctx, size_t i, int thread)
{
    (void)thread;
    const job *j = ctx;
    const wn_product *p = &j->p;
    size_t r = i % j->row_tiles, c = i / j->row_tiles;
    size_t t0 = j->strips * r / j->row_tiles * STRIP;
    size_t t1 = wn_min(j->strips * (r + 1) / j->row_tiles * STRIP, p->T);
    size_t c0 = j->pairs * c / j->col_tiles * STRIP;
    size_t c1 = wn_min(j->pairs * (c + 1) / j->col_tiles * STRIP, p->out);
    if (j->n->begin)
        j->n->begin();
    if (p->W->kind == WN_MAT_INT8)
        int8_work(j, t0, t1, c0, c1);
    for (size_t k0 = 0; k0 < j->kt && p->W->kind != WN_MAT_INT8; k0 += j->step) {
        size_t kt = wn_min(j->step, j->kt - k0), at = k0 * WN_BLOCK_K;
        j->n->pack16(strips_buf(), p->x + t0 * p->ldx + at, p->ldx, t1 - t0,
                     wn_min(kt * WN_BLOCK_K, p->in - at));
        if (p->low)
            low_sums(j, t1 - t0, k0, kt);
        if (p->low && k0 + kt == j->kt)
            low_done(j, t0, t1 - t0, c == 0);
        for (size_t col = c0; col < c1; col += STRIP) {
            pair a = {.t0 = t0,
                      .m = t1 - t0,
                      .c = col,
                      .n = wn_min(STRIP, c1 - col),
                      .k0 = k0,
                      .kt = kt,
                      .first = !k0,
                      .last = k0 + kt == j->kt};
            (p->back ? backward_pair : forward_pair)(j, &a);
        }
    }
    if (j->n->end)
        j->n->end();
}

void wn_mm_narrow(const wn_product *p)
{
    bool int8 = p->W->kind == WN_MAT_INT8;
    job j = {.p = *p, .n = wn_narrow_table(), .kt = wn_div_up(p->in, int8 ? 64 : WN_BLOCK_K)};
    size_t threads = (size_t)wn_par_width(), most = p->back ? BACK_KT : FORWARD_KT;
    WN_ASSERT(!p->up || int8 || j.kt <= FORWARD_KT);
    j.step = int8 ? j.kt : wn_div_up(j.kt, wn_div_up(j.kt, most));
    j.strips = wn_div_up(p->T, STRIP);
    j.pairs = wn_div_up(p->out, STRIP);
    size_t at_once =
        wn_min(STRIPS_BYTES / ((j.step + !j.step) * 2 * TILE * sizeof(uint16_t)), MOST_STRIPS);
    j.row_tiles = wn_div_up(j.strips, at_once);
    if (j.strips >= FEW_STRIPS * threads)
        j.row_tiles = wn_div_up(j.row_tiles, threads) * threads;
    j.col_tiles = wn_min(wn_div_up(threads, j.row_tiles), j.pairs);
    wn_par_do(j.row_tiles * j.col_tiles, work, &j);
}
