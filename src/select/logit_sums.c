/* Rows are gathered and widened to double a block at a time; a tile of columns goes through them as
 * two matrix products. The columns of a tile that do not have a group are left out of its products.
 * A tile's rows are cut into strands, which depend on the number of rows alone; their sums are
 * added in order. The offset rides along as one more feature whose coefficient is 1. */
#include "select/logit_sums.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "select/dense64.h"

enum { BLOCK = 64, TILE = 192, STRAND_ROWS = 2048, STRANDS_MAX = 16, STRIPE = 6, LINE = 16 };

/* Rows [i0, i0 + n) of the order into x [n, ld]: d floats, the extra feature, then the offset. */
static void gather(double *x, size_t ld, const wn_logit_data *d, size_t width, uint64_t i0,
                   size_t n)
{
    size_t k = width < d->d ? width : d->d;
    for (size_t i = 0; i < n; i++) {
        const float *from = d->x + d->at[i0 + i] * d->d;
        double *to = x + i * ld;
        wn_widen(to, from, k);
        if (width > d->d)
            to[d->d] = d->extra[i0 + i];
        to[width] = d->offset ? d->offset[i0 + i] : 0;
    }
}

static double softplus_neg(double m)
{
    return log1p(exp(-fabs(m))) + (m < 0 ? -m : 0);
}

/* ---- gradients and losses ---- */

struct scratch {
    double *x;       /* [BLOCK, width + 1] */
    double *w, *sum; /* panels: [TILE / 8][width + 1][8], [TILE / 8][width][8] */
    double *m;       /* panels: [TILE / 8][BLOCK][8] */
};

struct sums {
    const wn_logit_pass *p;
    size_t strands;
    double *grad; /* [tiles, strands, TILE, width] */
    double *loss; /* [tiles, strands, TILE] */
    double *room;
    size_t room_each;
};

static size_t room_of(size_t width)
{
    return BLOCK * (width + 1) + TILE * (2 * width + 1) + TILE * BLOCK + 4 * LINE;
}

static double *cut(double **room, size_t n)
{
    double *p = *room;
    *room += (n + 7) / 8 * 8;
    return p;
}

static struct scratch scratch_of(const struct sums *s, int thread)
{
    size_t width = s->p->width;
    double *room = s->room + (size_t)thread * s->room_each;
    struct scratch k;
    k.x = cut(&room, BLOCK * (width + 1));
    k.w = cut(&room, TILE * (width + 1));
    k.sum = cut(&room, TILE * width);
    k.m = cut(&room, TILE * BLOCK);
    return k;
}

/* The tile's columns that have group t, packed into panels; their places in the tile in use. */
static size_t pack(uint8_t *use, struct scratch *k, const wn_logit_pass *p, size_t first, size_t n,
                   uint32_t t)
{
    size_t used = 0, width = p->width;
    for (size_t j = 0; j < n; j++)
        if (!p->member || p->member[(size_t)p->col[first + j] * p->data->T + t])
            use[used++] = (uint8_t)j;
    size_t panels = (used + WN_ND - 1) / WN_ND;
    for (size_t j = 0; j < panels * WN_ND; j++) {
        double *to = k->w + j / WN_ND * (width + 1) * WN_ND + j % WN_ND;
        const double *from = j < used ? p->w + p->col[first + use[j]] * p->ldw : NULL;
        for (size_t i = 0; i < width; i++)
            to[i * WN_ND] = from ? from[i] : 0;
        to[width * WN_ND] = 1;
    }
    return used;
}

/* One block of rows: its margins in k->m, then its share of losses and gradients. */
static void block(struct scratch *k, const wn_logit_pass *p, uint64_t i0, size_t n,
                  const uint8_t *use, size_t used, double *loss)
{
    size_t width = p->width, panels = (used + WN_ND - 1) / WN_ND, cp = BLOCK * WN_ND;
    gather(k->x, width + 1, p->data, width, i0, n);
    wn_mm64(k->m, cp, k->x, width + 1, 1, k->w, (width + 1) * WN_ND, n, panels, width + 1, false);
    for (size_t j = 0; loss && j < used; j++)
        for (size_t i = 0; i < n; i++)
            loss[use[j]] += (p->weight ? p->weight[i0 + i] : 1) *
                            softplus_neg(k->m[j / WN_ND * cp + i * WN_ND + j % WN_ND]);
    if (!p->grad)
        return;
    for (size_t q = 0; q < panels; q++) {
        double *m = k->m + q * cp;
        wn_sigmoid_neg(m, m, n * WN_ND);
        for (size_t i = 0; p->weight && i < n; i++)
            for (size_t l = 0; l < WN_ND; l++)
                m[i * WN_ND + l] *= p->weight[i0 + i];
    }
    wn_mm64(k->sum, width * WN_ND, k->x, 1, width + 1, k->m, cp, width, panels, n, true);
}

static void strand(void *ctx, size_t item, int thread)
{
    const struct sums *s = ctx;
    const wn_logit_pass *p = s->p;
    const wn_logit_data *d = p->data;
    size_t tile = item / s->strands, width = p->width, first = tile * TILE;
    size_t n = p->n - first < TILE ? p->n - first : TILE, at = item % s->strands;
    uint64_t lo = d->N * at / s->strands, hi = d->N * (at + 1) / s->strands;
    double *grad = s->grad ? s->grad + item * TILE * width : NULL;
    double *loss = s->loss ? s->loss + item * TILE : NULL;
    struct scratch k = scratch_of(s, thread);
    uint8_t use[TILE];
    for (uint32_t t = 0; t < d->T; t++) {
        uint64_t i = d->start[t] > lo ? d->start[t] : lo;
        uint64_t end = d->start[t + 1] < hi ? d->start[t + 1] : hi;
        size_t used = i < end ? pack(use, &k, p, first, n, t) : 0;
        if (!used)
            continue;
        memset(k.sum, 0, TILE * width * sizeof *k.sum);
        for (; i < end; i += BLOCK)
            block(&k, p, i, end - i < BLOCK ? (size_t)(end - i) : BLOCK, use, used, loss);
        for (size_t j = 0; grad && j < used; j++)
            for (size_t q = 0; q < width; q++)
                grad[use[j] * width + q] -=
                    k.sum[j / WN_ND * width * WN_ND + q * WN_ND + j % WN_ND];
    }
}

/* Adds the strands of each tile up, in order. */
static void unite(double *out, const double *part, const struct sums *s, size_t each)
{
    for (size_t j = 0; j < s->p->n; j++)
        for (size_t a = 0; a < s->strands; a++)
            for (size_t q = 0; q < each; q++) {
                double v = part[((j / TILE * s->strands + a) * TILE + j % TILE) * each + q];
                out[j * each + q] = a ? out[j * each + q] + v : v;
            }
}

wn_err wn_logit_sums(const wn_logit_pass *p)
{
    struct sums s = {.p = p};
    uint64_t strands = p->data->N / STRAND_ROWS;
    s.strands = strands < 1 ? 1 : strands > STRANDS_MAX ? STRANDS_MAX : (size_t)strands;
    s.room_each = room_of(p->width);
    size_t items = (p->n + TILE - 1) / TILE * s.strands;
    if (!items)
        return WN_OK;
    s.room = wn_calloc((size_t)wn_par_threads(), s.room_each * sizeof *s.room);
    s.grad = p->grad ? wn_calloc(items, TILE * p->width * sizeof *s.grad) : NULL;
    s.loss = p->loss ? wn_calloc(items, TILE * sizeof *s.loss) : NULL;
    wn_err err = s.room && (s.grad || !p->grad) && (s.loss || !p->loss) ? WN_OK : WN_ENOMEM;
    if (err == WN_OK) {
        wn_par_do(items, strand, &s);
        if (p->grad)
            unite(p->grad, s.grad, &s, p->width);
        if (p->loss)
            unite(p->loss, s.loss, &s, 1);
    }
    wn_free(s.room);
    wn_free(s.grad);
    wn_free(s.loss);
    return err;
}

/* ---- Hessians ---- */

struct curvature {
    double *s;
    const wn_logit_data *data;
    const double *w, *weight;
    double *room;
    size_t room_each;
};

static void curve(void *ctx, size_t piece, int thread)
{
    const struct curvature *c = ctx;
    size_t width = wn_logit_width(c->data);
    double *w = c->room + (size_t)thread * c->room_each, *x = w + (width + 1) * WN_ND,
           *m = x + BLOCK * (width + 1);
    uint64_t i0 = piece * BLOCK;
    size_t n = c->data->N - i0 < BLOCK ? (size_t)(c->data->N - i0) : BLOCK;
    for (size_t j = 0; j < width; j++)
        w[j * WN_ND] = c->w[j];
    w[width * WN_ND] = 1;
    gather(x, width + 1, c->data, width, i0, n);
    wn_mm64(m, 0, x, width + 1, 1, w, 0, n, 1, width + 1, false);
    wn_sigmoid_neg(m, m, n * WN_ND);
    for (size_t i = 0; i < n; i++) {
        double p = m[i * WN_ND];
        c->s[i0 + i] = p * (1 - p) * (c->weight ? c->weight[i0 + i] : 1);
    }
}

wn_err wn_logit_curvature(double *s, const wn_logit_data *data, const double *w,
                          const double *weight)
{
    size_t width = wn_logit_width(data);
    struct curvature c = {s, data, w, weight, NULL, 0};
    c.room_each = (width + 1) * WN_ND + BLOCK * (width + 1) + BLOCK * WN_ND + LINE;
    c.room = wn_calloc((size_t)wn_par_threads(), c.room_each * sizeof *c.room);
    if (!c.room)
        return WN_ENOMEM;
    wn_par_do((size_t)((data->N + BLOCK - 1) / BLOCK), curve, &c);
    wn_free(c.room);
    return WN_OK;
}

struct hessian {
    double *h;
    const wn_logit_data *data;
    const double *s;
    const uint8_t *member;
    bool each;
    size_t stripes, panels;
    double *room; /* a thread: x [BLOCK, width + 1], scaled panels [STRIPE][BLOCK][8], a stripe */
    size_t room_each;
};

/* Panels [p0, p0 + n) of the group's sum into c [n][rows][8]. */
static void add_group(double *c, double *x, double *b, const struct hessian *g, uint32_t t,
                      size_t p0, size_t n)
{
    size_t width = wn_logit_width(g->data), rows = (p0 + n) * WN_ND,
           top = width < rows ? width : rows;
    for (uint64_t i0 = g->data->start[t]; i0 < g->data->start[t + 1]; i0 += BLOCK) {
        uint64_t left = g->data->start[t + 1] - i0;
        size_t m = left < BLOCK ? (size_t)left : BLOCK;
        gather(x, width + 1, g->data, width, i0, m);
        for (size_t p = 0; p < n; p++)
            for (size_t i = 0; i < m; i++)
                for (size_t l = 0; l < WN_ND; l++) {
                    size_t j = (p0 + p) * WN_ND + l;
                    b[(p * BLOCK + i) * WN_ND + l] =
                        j < width ? g->s[i0 + i] * x[i * (width + 1) + j] : 0;
                }
        wn_mm64(c, rows * WN_ND, x, 1, width + 1, b, BLOCK * WN_ND, top, n, m, true);
    }
}

static void stripe(void *ctx, size_t item, int thread)
{
    const struct hessian *g = ctx;
    size_t width = wn_logit_width(g->data), p0 = item % g->stripes * STRIPE;
    size_t n = g->panels - p0 < STRIPE ? g->panels - p0 : STRIPE, rows = (p0 + n) * WN_ND;
    double *x = g->room + (size_t)thread * g->room_each, *b = x + BLOCK * (width + 1),
           *c = b + STRIPE * BLOCK * WN_ND;
    uint32_t t0 = g->each ? (uint32_t)(item / g->stripes) : 0;
    uint32_t t1 = g->each ? t0 + 1 : g->data->T;
    double *h = g->h + (g->each ? t0 * wn_tri_at(g->panels) : 0);
    memset(c, 0, n * rows * WN_ND * sizeof *c);
    for (uint32_t t = t0; t < t1; t++)
        if (!g->member || g->member[t])
            add_group(c, x, b, g, t, p0, n);
    for (size_t p = 0; p < n; p++)
        memcpy(h + wn_tri_at(p0 + p), c + p * rows * WN_ND,
               (p0 + p + 1) * WN_ND * WN_ND * sizeof *h);
}

wn_err wn_logit_hessian(double *h, const wn_logit_data *data, const double *s, bool each,
                        const uint8_t *member)
{
    size_t width = wn_logit_width(data);
    struct hessian g = {.h = h, .data = data, .s = s, .member = member, .each = each};
    g.panels = wn_tri_panels(width);
    g.stripes = (g.panels + STRIPE - 1) / STRIPE;
    g.room_each =
        BLOCK * (width + 1) + STRIPE * BLOCK * WN_ND + STRIPE * WN_ND * g.panels * WN_ND + LINE;
    g.room = wn_calloc((size_t)wn_par_threads(), g.room_each * sizeof *g.room);
    if (!g.room)
        return WN_ENOMEM;
    wn_par_do(g.stripes * (each ? data->T : 1), stripe, &g);
    wn_free(g.room);
    return WN_OK;
}

/* ---- loss ---- */

wn_err wn_logit_loss(double *loss, const wn_logit_data *rows, const double *w, size_t ldw, size_t M,
                     const double *weight)
{
    uint32_t *col;
    double total = 0;
    WN_NEW(col, M + 1);
    for (size_t j = 0; j < M; j++)
        col[j] = (uint32_t)j;
    for (uint64_t i = 0; i < rows->N; i++)
        total += weight ? weight[i] : 1;
    wn_logit_pass p = {.data = rows,
                       .w = w,
                       .ldw = ldw,
                       .width = rows->d,
                       .col = col,
                       .n = M,
                       .weight = weight,
                       .loss = loss};
    wn_err err = wn_logit_sums(&p);
    for (size_t j = 0; j < M && err == WN_OK; j++)
        loss[j] /= total;
    wn_free(col);
    return err;
}
