/* A block of rows, scaled to length 1, is packed as a matrix; pieces of the rows behind it (or of
 * the other store) are multiplied with it, in bf16 where the processor is fast at that, and what
 * comes within the product's error of the threshold is computed again in float64.
 *
 * The error: u = x / |x| in float32 is off by at most 2^-23 in length. Rounding two vectors of
 * length 1 to bf16 changes u.v by at most (2 * 2^-8 + 2^-16) |u||v|, float32 sums of D products by
 * at most D 2^-23 (twice what rounding to nearest gives). Numbers below 2^-126, which the native
 * bf16 product takes for zeros, add less than D 2^-126. So a pair whose product is below least -
 * slack, slack = 2^-7 + 2^-16 + (D + 4) 2^-23      (f32: without the first two), has a cosine below
 * least. */
#include "select/pairs.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/report.h"
#include "base/sets.h"
#include "kernel/kernel.h"

enum { BLOCK = 4096, PIECE = 64, BATCH = 64, CHUNK = 64, WORK_ROWS = 256 };
#define BLOCK_BYTES ((size_t)64 << 20) /* of a block's rows, were they float32 */

struct list {
    const wn_store *s;
    const uint64_t *row;
    uint64_t n;
    double *norm2; /* [n] */
};

struct hit {
    uint32_t a, b; /* positions in the lists of block and pieces */
    double cosine;
};

struct found {
    struct hit *hit;
    size_t n, cap;
};

/* What a thread works with. */
struct work {
    float *x, *y, *one, *two; /* [PIECE, D], [PIECE, block], [D], [D] */
};

struct pairs {
    struct list block, piece; /* the same list, of groups */
    bool groups;
    size_t D, block_rows;
    double least;
    float filter;
    wn_mat mat;
    uint64_t block0, used; /* rows of the block at hand */
    uint64_t piece0;       /* of the batch */
    struct work *work;
    struct found found[BATCH];
    wn_sets sets;
    uint64_t *at; /* nearest: best so far, and its cosine */
    double *score;
    uint64_t done, total; /* pieces */
};

static uint64_t row_of(const struct list *l, uint64_t i)
{
    return l->row ? l->row[i] : i;
}

/* ---- lengths ---- */

static wn_err measure(void *ctx, size_t i, int thread)
{
    (void)thread;
    struct list *l = ctx;
    size_t D = wn_store_dim(l->s);
    float *x = wn_malloc(D * sizeof *x);
    wn_err err = x ? WN_OK : WN_ENOMEM;
    for (uint64_t k = i * WORK_ROWS; k < (i + 1) * WORK_ROWS && k < l->n && err == WN_OK; k++) {
        err = wn_store_read(x, l->s, row_of(l, k), 1);
        if (err != WN_OK)
            break;
        l->norm2[k] = wn_dot64(x, x, D);
        wn_span id = wn_store_id(l->s, row_of(l, k));
        if (!isfinite(l->norm2[k]))
            err = wn_fail(WN_EFORMAT, "%s: row %.*s holds NaN or infinity", wn_store_path(l->s),
                          (int)id.len, id.p);
    }
    wn_free(x);
    return err;
}

static wn_err list_init(struct list *l, const wn_store *s, const uint64_t *row, uint64_t n)
{
    *l = (struct list){.s = s, .row = row, .n = n};
    WN_NEW(l->norm2, n + 1);
    return wn_par_for((size_t)((n + WORK_ROWS - 1) / WORK_ROWS), measure, l);
}

/* Row i scaled to length 1; zeros stay. */
static wn_err read_unit(float *out, const struct list *l, uint64_t i)
{
    size_t D = wn_store_dim(l->s);
    WN_TRY(wn_store_read(out, l->s, row_of(l, i), 1));
    double scale = l->norm2[i] > 0 ? 1 / sqrt(l->norm2[i]) : 0;
    for (size_t k = 0; k < D; k++)
        out[k] = (float)(out[k] * scale);
    return WN_OK;
}

static double cosine(const float *x, double xx, const float *y, double yy, size_t D)
{
    return xx > 0 && yy > 0 ? wn_dot64(x, y, D) / sqrt(xx * yy) : 0;
}

/* ---- the block ---- */

static wn_err pack_panel(void *ctx, size_t i, int thread)
{
    struct pairs *p = ctx;
    float *x = p->work[thread].x;
    for (size_t k = 0; k < WN_NR; k++) {
        if (i * WN_NR + k < p->used)
            WN_TRY(read_unit(x + k * p->D, &p->block, p->block0 + i * WN_NR + k));
        else
            memset(x + k * p->D, 0, p->D * sizeof *x);
    }
    wn_mat_pack(&p->mat, x, i * WN_NR, WN_NR);
    return WN_OK;
}

static wn_err load_block(struct pairs *p, uint64_t first)
{
    uint64_t left = p->block.n - first;
    p->block0 = first;
    p->used = left < p->block_rows ? left : p->block_rows;
    return wn_par_for(p->block_rows / WN_NR, pack_panel, p);
}

/* ---- a piece ---- */

/* Whether any of CHUNK products reaches the filter. */
static bool reaches(const float *y, float filter)
{
    enum { LANES = 16 };
    float top[LANES];
    memcpy(top, y, sizeof top);
    for (size_t i = LANES; i < CHUNK; i += LANES)
#pragma omp simd
        for (size_t k = 0; k < LANES; k++)
            top[k] = y[i + k] > top[k] ? y[i + k] : top[k];
    for (size_t k = 0; k < LANES; k++)
        if (top[k] >= filter)
            return true;
    return false;
}

/* One row of products: places at or above the filter, in order. */
static wn_err confirm(struct pairs *p, struct found *f, struct work *w, uint64_t j, const float *y)
{
    bool have = false;
    uint32_t with = UINT32_MAX; /* the set that j is known to belong to */
    uint64_t most = p->groups && j < p->block0 + p->used ? j - p->block0 : p->used;
    for (uint64_t i = 0; i < most; i += CHUNK) {
        uint64_t end = most - i < CHUNK ? most : i + CHUNK;
        if (end - i == CHUNK && !reaches(y + i, p->filter))
            continue;
        for (uint64_t k = i; k < end; k++) {
            uint32_t a = (uint32_t)(p->block0 + k);
            uint32_t set = p->groups ? wn_sets_look(&p->sets, a) : 0;
            if (y[k] < p->filter ||
                (p->groups && (set == with || set == wn_sets_look(&p->sets, (uint32_t)j))))
                continue;
            if (!have)
                WN_TRY(wn_store_read(w->one, p->piece.s, row_of(&p->piece, j), 1));
            have = true;
            WN_TRY(wn_store_read(w->two, p->block.s, row_of(&p->block, a), 1));
            double c = cosine(w->one, p->piece.norm2[j], w->two, p->block.norm2[a], p->D);
            if (!(c >= p->least))
                continue;
            with = set;
            if (!WN_GROW(f->hit, f->n, f->cap))
                return WN_ENOMEM;
            f->hit[f->n++] = (struct hit){a, (uint32_t)j, c};
        }
    }
    return WN_OK;
}

static wn_err do_piece(void *ctx, size_t i, int thread)
{
    struct pairs *p = ctx;
    struct work *w = &p->work[thread];
    struct found *f = &p->found[i];
    uint64_t first = p->piece0 + i * PIECE, left = p->piece.n - first;
    size_t n = left < PIECE ? (size_t)left : PIECE;
    f->n = 0;
    for (size_t k = 0; k < n; k++)
        WN_TRY(read_unit(w->x + k * p->D, &p->piece, first + k));
    wn_mm(w->y, p->block_rows, w->x, p->D, &p->mat, NULL, n, 0);
    for (size_t k = 0; k < n; k++)
        WN_TRY(confirm(p, f, w, first + k, w->y + k * p->block_rows));
    return WN_OK;
}

static void take(struct pairs *p, const struct found *f)
{
    for (size_t i = 0; i < f->n; i++) {
        const struct hit *h = &f->hit[i];
        if (p->groups) {
            wn_sets_join(&p->sets, h->a, h->b);
        } else if (p->at[h->b] == UINT64_MAX || h->cosine > p->score[h->b]) {
            p->at[h->b] = h->a;
            p->score[h->b] = h->cosine;
        }
    }
}

static wn_err pass(struct pairs *p)
{
    uint64_t first = p->groups ? p->block0 : 0;
    for (p->piece0 = first; p->piece0 < p->piece.n; p->piece0 += BATCH * PIECE) {
        uint64_t left = (p->piece.n - p->piece0 + PIECE - 1) / PIECE;
        size_t n = left < BATCH ? (size_t)left : BATCH;
        if (!p->piece.row)
            wn_store_ahead(p->piece.s, p->piece0 + BATCH * PIECE, BATCH * PIECE);
        WN_TRY(wn_par_for(n, do_piece, p));
        for (size_t i = 0; i < n; i++)
            take(p, &p->found[i]);
        if (!p->piece.row)
            wn_store_behind(p->piece.s, p->piece0, n * PIECE);
        p->done += n;
        WN_TRY(wn_progress("pairs", "pieces", p->done, p->total, NULL));
    }
    return WN_OK;
}

/* ---- all of it ---- */

static wn_err work_init(struct pairs *p)
{
    size_t most = BLOCK_BYTES / (p->D * sizeof(float)) / WN_NR * WN_NR;
    bool bf16 = wn_cpu_fast_bf16();
    p->block_rows = most < WN_NR ? WN_NR : most < BLOCK ? most : BLOCK;
    if (p->block.n < p->block_rows)
        p->block_rows = (size_t)(p->block.n + WN_NR - 1) / WN_NR * WN_NR;
    double slack = (double)(p->D + 4) * 0x1p-23 + (bf16 ? 0x1p-7 + 0x1p-16 : 0);
    p->filter = nextafterf((float)(p->least - slack), -INFINITY);
    p->mat = (wn_mat){
        .N = p->block_rows, .K = p->D, .kind = bf16 ? WN_MAT_BF16 : WN_MAT_F32, .f32 = !bf16};
    p->mat.panel = wn_malloc(wn_mat_bytes(p->mat.kind, p->block_rows, p->D));
    if (!p->mat.panel)
        return WN_ENOMEM;
    WN_NEW(p->work, (size_t)wn_par_threads());
    for (int t = 0; t < wn_par_threads(); t++) {
        struct work *w = &p->work[t];
        w->x = wn_malloc(PIECE * p->D * sizeof *w->x);
        w->y = wn_malloc(PIECE * p->block_rows * sizeof *w->y);
        w->one = wn_malloc(p->D * sizeof *w->one);
        w->two = wn_malloc(p->D * sizeof *w->two);
        if (!w->x || !w->y || !w->one || !w->two)
            return WN_ENOMEM;
    }
    return WN_OK;
}

static wn_err run(struct pairs *p)
{
    WN_TRY(work_init(p));
    for (uint64_t b = 0; b < p->block.n; b += p->block_rows)
        p->total += ((p->groups ? p->piece.n - b : p->piece.n) + PIECE - 1) / PIECE;
    for (uint64_t b = 0; b < p->block.n; b += p->block_rows) {
        WN_TRY(load_block(p, b));
        WN_TRY(pass(p));
    }
    return WN_OK;
}

static void pairs_free(struct pairs *p)
{
    for (int t = 0; p->work && t < wn_par_threads(); t++) {
        wn_free(p->work[t].x);
        wn_free(p->work[t].y);
        wn_free(p->work[t].one);
        wn_free(p->work[t].two);
    }
    for (size_t i = 0; i < BATCH; i++)
        wn_free(p->found[i].hit);
    if (!p->groups)
        wn_free(p->block.norm2);
    wn_free(p->piece.norm2);
    wn_free(p->work);
    wn_free(p->mat.panel);
    wn_sets_free(&p->sets);
    wn_free(p);
}

static wn_err check(uint64_t n, uint64_t other, double least)
{
    if (n > UINT32_MAX - 1 || other > UINT32_MAX - 1)
        return wn_fail(WN_EARG, "pairs: expected under 2^32 rows");
    if (!(least > 0 && least <= 1))
        return wn_fail(WN_EARG, "pairs: expected a cosine above 0 and up to 1, found %g", least);
    return WN_OK;
}

static wn_err score_piece(void *ctx, size_t i, int thread)
{
    struct pairs *p = ctx;
    const struct list *l = &p->piece;
    struct work *w = &p->work[thread];
    for (uint64_t k = i * WORK_ROWS; k < (i + 1) * WORK_ROWS && k < l->n; k++) {
        uint32_t first = wn_sets_look(&p->sets, (uint32_t)k);
        p->score[k] = 1;
        if (first == k)
            continue;
        WN_TRY(wn_store_read(w->one, l->s, row_of(l, k), 1));
        WN_TRY(wn_store_read(w->two, l->s, row_of(l, first), 1));
        p->score[k] = cosine(w->one, l->norm2[k], w->two, l->norm2[first], p->D);
    }
    return WN_OK;
}

wn_err wn_vector_groups(uint64_t *first, double *score, const wn_store *s, const uint64_t *row,
                        uint64_t n, double least)
{
    struct pairs *p;
    WN_TRY(check(n, 0, least));
    WN_NEW(p, 1);
    *p = (struct pairs){.groups = true, .D = wn_store_dim(s), .least = least, .score = score};
    wn_err err = list_init(&p->piece, s, row, n);
    p->block = p->piece;
    if (err == WN_OK)
        err = wn_sets_init(&p->sets, n);
    if (err == WN_OK && n)
        err = run(p);
    if (err == WN_OK && n)
        err = wn_par_for((size_t)((n + WORK_ROWS - 1) / WORK_ROWS), score_piece, p);
    for (uint64_t i = 0; i < n && err == WN_OK; i++)
        first[i] = wn_sets_first(&p->sets, (uint32_t)i);
    pairs_free(p);
    return err;
}

wn_err wn_vector_nearest(uint64_t *at, double *score, const wn_store *s, const uint64_t *row,
                         uint64_t n, const wn_store *other, double least)
{
    struct pairs *p;
    WN_TRY(check(n, wn_store_rows(other), least));
    WN_TRY(wn_store_match(s, other));
    WN_NEW(p, 1);
    *p = (struct pairs){.D = wn_store_dim(s), .least = least, .at = at, .score = score};
    for (uint64_t i = 0; i < n; i++) {
        at[i] = UINT64_MAX;
        score[i] = 0;
    }
    wn_err err = list_init(&p->piece, s, row, n);
    if (err == WN_OK)
        err = list_init(&p->block, other, NULL, wn_store_rows(other));
    if (err == WN_OK && n && p->block.n)
        err = run(p);
    pairs_free(p);
    return err;
}
