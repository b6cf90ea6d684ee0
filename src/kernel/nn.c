/* Norms, activations, rotary positions, losses and sums: drivers that cut rows or elements into
 * tiles and call the table. All is elementwise or by row, so tiles may follow the sizes freely
 * without changing a bit; only wn_sum_squares adds over tiles and fixes them by n alone. */
#include "kernel/table.h"
#include "base/par.h"

#include <math.h>

enum { TILE = 1 << 14 }; /* elements worth a piece of parallel work */

typedef struct rows {
    const wn_kernels *k;
    size_t T, D, per, ld;
    float *y, *y2, *y3;
    const float *x, *x2, *x3, *g, *b, *mean, *rinv;
    float eps;
    bool add;
    wn_act act;
} rows;

static void run(rows *r, wn_par_work work)
{
    r->k = wn_kernel_table();
    r->per = r->D >= TILE ? 1 : TILE / (r->D ? r->D : 1);
    wn_par_do((r->T + r->per - 1) / r->per, work, r);
}

#define EACH_ROW(r, i, t)                                                                          \
    for (size_t t = (i) * (r)->per; t < ((i) + 1) * (r)->per && t < (r)->T; t++)

static void rmsnorm_rows(void *ctx, size_t i, int thread)
{
    (void)thread;
    rows *r = ctx;
    EACH_ROW(r, i, t)
    {
        float v = r->k->rmsnorm(r->y + t * r->D, r->x + t * r->D, r->g, r->D, r->eps);
        if (r->y2)
            r->y2[t] = v;
    }
}

void wn_rmsnorm(float *y, float *rinv, const float *x, const float *g, size_t T, size_t D,
                float eps)
{
    run(&(rows){.y = y, .y2 = rinv, .x = x, .g = g, .T = T, .D = D, .eps = eps}, rmsnorm_rows);
}

static void rmsnorm_back_rows(void *ctx, size_t i, int thread)
{
    (void)thread;
    rows *r = ctx;
    EACH_ROW(r, i, t)
    r->k->rmsnorm_back(r->y + t * r->D, r->x2 + t * r->D, r->x + t * r->D, r->g, r->rinv[t], r->D,
                       r->add);
}

void wn_rmsnorm_back(float *dx, const float *dy, const float *x, const float *g, const float *rinv,
                     size_t T, size_t D, bool add)
{
    rows r = {.y = dx, .x2 = dy, .x = x, .g = g, .rinv = rinv, .T = T, .D = D, .add = add};
    run(&r, rmsnorm_back_rows);
}

/* Gains are sums over rows: cut by columns, each added in row order. */
enum { COLUMNS = 256 };

typedef struct gain {
    const wn_kernels *k;
    float *dg, *db;
    const float *dy, *x, *mean, *rinv;
    size_t t0, t1, D;
} gain;

static void gain_columns(void *ctx, size_t i, int thread)
{
    (void)thread;
    gain *a = ctx;
    size_t c = i * COLUMNS, n = a->D - c < COLUMNS ? a->D - c : COLUMNS;
    for (size_t t = a->t0; t < a->t1; t++) {
        const float *dy = a->dy + t * a->D + c, *x = a->x + t * a->D + c;
        if (a->mean)
            a->k->layernorm_gain(a->dg + c, a->db ? a->db + c : NULL, dy, x, a->mean[t], a->rinv[t],
                                 n);
        else
            a->k->rmsnorm_gain(a->dg + c, dy, x, a->rinv[t], n);
    }
}

void wn_rmsnorm_gain(float *dg, const float *dy, const float *x, const float *rinv, size_t t0,
                     size_t t1, size_t D)
{
    gain a = {wn_kernel_table(), dg, NULL, dy, x, NULL, rinv, t0, t1, D};
    wn_par_do((D + COLUMNS - 1) / COLUMNS, gain_columns, &a);
}

void wn_layernorm_gain(float *dg, float *db, const float *dy, const float *x, const float *mean,
                       const float *rinv, size_t t0, size_t t1, size_t D)
{
    gain a = {wn_kernel_table(), dg, db, dy, x, mean, rinv, t0, t1, D};
    wn_par_do((D + COLUMNS - 1) / COLUMNS, gain_columns, &a);
}

static void layernorm_rows(void *ctx, size_t i, int thread)
{
    (void)thread;
    rows *r = ctx;
    EACH_ROW(r, i, t)
    {
        float mean, rinv;
        r->k->layernorm(r->y + t * r->D, &mean, &rinv, r->x + t * r->D, r->g, r->b, r->D, r->eps);
        if (r->y2)
            r->y2[t] = mean;
        if (r->y3)
            r->y3[t] = rinv;
    }
}

void wn_layernorm(float *y, float *mean, float *rinv, const float *x, const float *g,
                  const float *b, size_t T, size_t D, float eps)
{
    rows r = {.y = y, .y2 = mean, .y3 = rinv, .x = x, .g = g, .b = b, .T = T, .D = D, .eps = eps};
    run(&r, layernorm_rows);
}

static void layernorm_back_rows(void *ctx, size_t i, int thread)
{
    (void)thread;
    rows *r = ctx;
    EACH_ROW(r, i, t)
    r->k->layernorm_back(r->y + t * r->D, r->x2 + t * r->D, r->x + t * r->D, r->g, r->mean[t],
                         r->rinv[t], r->D, r->add);
}

void wn_layernorm_back(float *dx, const float *dy, const float *x, const float *g,
                       const float *mean, const float *rinv, size_t T, size_t D, bool add)
{
    rows r = {
        .y = dx, .x2 = dy, .x = x, .g = g, .mean = mean, .rinv = rinv, .T = T, .D = D, .add = add};
    run(&r, layernorm_back_rows);
}

static void act_rows(void *ctx, size_t i, int thread)
{
    (void)thread;
    rows *r = ctx;
    EACH_ROW(r, i, t)
    r->k->act(r->y + t * r->D, r->x + t * r->ld, r->x2 ? r->x2 + t * r->ld : NULL, r->D, r->act);
}

void wn_act_gate(float *y, const float *gate, const float *up, size_t ld, size_t T, size_t F,
                 wn_act act)
{
    run(&(rows){.y = y, .x = gate, .x2 = up, .ld = ld, .T = T, .D = F, .act = act}, act_rows);
}

static void act_back_rows(void *ctx, size_t i, int thread)
{
    (void)thread;
    rows *r = ctx;
    EACH_ROW(r, i, t)
    {
        size_t at = t * r->ld;
        r->k->act_back(r->y + at, r->y2 ? r->y2 + at : NULL, r->x3 + t * r->D, r->x + at,
                       r->x2 ? r->x2 + at : NULL, r->D, r->act);
    }
}

void wn_act_gate_back(float *dgate, float *dup, const float *dy, const float *gate, const float *up,
                      size_t ld, size_t T, size_t F, wn_act act)
{
    rows r = {
        .y = dgate, .y2 = dup, .x3 = dy, .x = gate, .x2 = up, .ld = ld, .T = T, .D = F, .act = act};
    run(&r, act_back_rows);
}

typedef struct turn {
    const wn_kernels *k;
    float *x;
    size_t ld, heads, d, rot, T, per;
    bool interleaved;
    float sign;
    const float *cs;
    const int32_t *pos;
} turn;

static void rope_rows(void *ctx, size_t i, int thread)
{
    (void)thread;
    turn *r = ctx;
    EACH_ROW(r, i, t)
    for (size_t h = 0; h < r->heads; h++)
        r->k->rope(r->x + t * r->ld + h * r->d, r->cs + (size_t)r->pos[t] * r->rot, r->rot / 2,
                   r->interleaved, r->sign);
}

void wn_rope(float *x, size_t ld, size_t heads, size_t d, size_t rot, bool interleaved, bool back,
             const float *cs, const int32_t *pos, size_t T)
{
    turn r = {
        wn_kernel_table(),   x,  ld, heads, d, rot, T, 1 + TILE / (1 + heads * rot), interleaved,
        back ? -1.0f : 1.0f, cs, pos};
    wn_par_do((T + r.per - 1) / r.per, rope_rows, &r);
}

typedef struct loss {
    const wn_kernels *k;
    float *nll, *lse, *logits;
    const float *lse_in, *weight;
    const int32_t *label;
    size_t V;
    float softcap;
    float *margin; /* NULL: losses only */
    bool odds;     /* backward of margins */
} loss;

static void nll_row(void *ctx, size_t p, int thread)
{
    (void)thread;
    loss *a = ctx;
    float *row = a->logits + p * a->V;
    if (a->softcap > 0)
        a->k->softcap(row, a->V, 1, a->softcap);
    a->lse[p] = a->k->lse(row, a->V);
    a->nll[p] = a->lse[p] - row[a->label[p]];
    if (!a->margin)
        return;
    float own = row[a->label[p]];
    row[a->label[p]] = -INFINITY;
    a->lse[p] = a->k->lse(row, a->V);
    row[a->label[p]] = own;
    a->margin[p] = own - a->lse[p];
}

void wn_softmax_nll(float *nll, float *lse, float *logits, const int32_t *label, size_t P, size_t V,
                    float softcap)
{
    loss a = {.k = wn_kernel_table(),
              .nll = nll,
              .lse = lse,
              .logits = logits,
              .label = label,
              .V = V,
              .softcap = softcap};
    wn_par_do(P, nll_row, &a);
}

void wn_softmax_margin(float *nll, float *margin, float *rest, float *logits, const int32_t *label,
                       size_t P, size_t V, float softcap)
{
    loss a = {.k = wn_kernel_table(),
              .nll = nll,
              .lse = rest,
              .logits = logits,
              .label = label,
              .V = V,
              .softcap = softcap,
              .margin = margin};
    wn_par_do(P, nll_row, &a);
}

/* The derivative of the softcap needs the capped logits that the gradient overwrites, hence pieces
 * through a small buffer. */
static void nll_back_row(void *ctx, size_t p, int thread)
{
    (void)thread;
    loss *a = ctx;
    float *row = a->logits + p * a->V, kept[256];
    size_t label = (size_t)a->label[p];
    for (size_t c = 0; c < a->V; c += 256) {
        size_t n = a->V - c < 256 ? a->V - c : 256;
        if (a->softcap > 0)
            for (size_t i = 0; i < n; i++)
                kept[i] = row[c + i];
        a->k->exp_scaled(row + c, n, a->lse_in[p], a->odds ? -a->weight[p] : a->weight[p]);
        if (label >= c && label < c + n)
            row[label] = a->odds ? a->weight[p] : row[label] - a->weight[p];
        if (a->softcap > 0)
            a->k->softcap_back(row + c, kept, n, a->softcap);
    }
}

void wn_softmax_nll_back(float *logits, const float *lse, const int32_t *label, const float *weight,
                         size_t P, size_t V, float softcap)
{
    loss a = {.k = wn_kernel_table(),
              .logits = logits,
              .lse_in = lse,
              .weight = weight,
              .label = label,
              .V = V,
              .softcap = softcap};
    wn_par_do(P, nll_back_row, &a);
}

void wn_softmax_margin_back(float *logits, const float *rest, const int32_t *label,
                            const float *weight, size_t P, size_t V, float softcap)
{
    loss a = {.k = wn_kernel_table(),
              .logits = logits,
              .lse_in = rest,
              .weight = weight,
              .label = label,
              .V = V,
              .softcap = softcap,
              .odds = true};
    wn_par_do(P, nll_back_row, &a);
}

typedef struct flat {
    const wn_kernels *k;
    float *y, *m, *v;
    const float *x;
    float a, step, b1, b2, eps, decay, root, gscale, clip;
    size_t n, per;
    double *part;
} flat;

enum { ADD_, SCALE_, AXPY_, ADAMW_ };

static void flat_tile(flat *f, size_t i, int what)
{
    size_t at = i * TILE, n = f->n - at < TILE ? f->n - at : TILE;
    if (what == ADD_)
        f->k->add(f->y + at, f->x + at, n);
    else if (what == SCALE_)
        f->k->scale(f->y + at, f->a, n);
    else if (what == AXPY_)
        f->k->axpy(f->y + at, f->a, f->x + at, n);
    else
        f->k->adamw(f->y + at, f->m + at, f->v + at, f->x + at, n, f->step, f->b1, f->b2, f->eps,
                    f->decay, f->root, f->gscale, f->clip);
}

static void add_tile(void *ctx, size_t i, int thread)
{
    (void)thread, flat_tile(ctx, i, ADD_);
}
static void scale_tile(void *ctx, size_t i, int thread)
{
    (void)thread, flat_tile(ctx, i, SCALE_);
}
static void axpy_tile(void *ctx, size_t i, int thread)
{
    (void)thread, flat_tile(ctx, i, AXPY_);
}
static void adamw_tile(void *ctx, size_t i, int thread)
{
    (void)thread, flat_tile(ctx, i, ADAMW_);
}

void wn_add(float *y, const float *x, size_t n)
{
    flat f = {.k = wn_kernel_table(), .y = y, .x = x, .n = n};
    wn_par_do((n + TILE - 1) / TILE, add_tile, &f);
}

struct halves {
    const wn_kernels *k;
    uint16_t *half;
    float *x;
    size_t n;
};

static void to_tile(void *ctx, size_t i, int thread)
{
    (void)thread;
    const struct halves *h = ctx;
    size_t at = i * TILE, n = h->n - at < TILE ? h->n - at : TILE;
    h->k->to_bf16(h->half + at, h->x + at, n);
}

static void from_tile(void *ctx, size_t i, int thread)
{
    (void)thread;
    const struct halves *h = ctx;
    size_t at = i * TILE, n = h->n - at < TILE ? h->n - at : TILE;
    h->k->from_bf16(h->x + at, h->half + at, n);
}

static void round_tile(void *ctx, size_t i, int thread)
{
    (void)thread;
    const struct halves *h = ctx;
    float *x = h->x + i * TILE;
    h->k->round_bf16(x, x, h->n - i * TILE < TILE ? h->n - i * TILE : TILE);
}

void wn_round_bf16(float *x, size_t n)
{
    struct halves h = {.k = wn_kernel_table(), .x = x, .n = n};
    wn_par_do((n + TILE - 1) / TILE, round_tile, &h);
}

void wn_to_bf16(uint16_t *y, const float *x, size_t n)
{
    struct halves h = {wn_kernel_table(), y, (float *)x, n};
    wn_par_do((n + TILE - 1) / TILE, to_tile, &h);
}

void wn_from_bf16(float *y, const uint16_t *x, size_t n)
{
    struct halves h = {wn_kernel_table(), (uint16_t *)x, y, n};
    wn_par_do((n + TILE - 1) / TILE, from_tile, &h);
}

void wn_scale(float *y, float a, size_t n)
{
    flat f = {.k = wn_kernel_table(), .y = y, .a = a, .n = n};
    wn_par_do((n + TILE - 1) / TILE, scale_tile, &f);
}

void wn_axpy(float *y, float a, const float *x, size_t n)
{
    flat f = {.k = wn_kernel_table(), .y = y, .a = a, .x = x, .n = n};
    wn_par_do((n + TILE - 1) / TILE, axpy_tile, &f);
}

void wn_adamw(float *w, float *m, float *v, const float *g, size_t n, float lr, float b1, float b2,
              float eps, float wd, double c1, double c2, float gscale, float clip)
{
    flat f = {.k = wn_kernel_table(),
              .y = w,
              .m = m,
              .v = v,
              .x = g,
              .n = n,
              .step = (float)(lr / c1),
              .b1 = b1,
              .b2 = b2,
              .eps = eps,
              .decay = (float)(1.0 - (double)lr * wd),
              .root = (float)(1 / sqrt(c2)),
              .gscale = gscale,
              .clip = clip};
    wn_par_do((n + TILE - 1) / TILE, adamw_tile, &f);
}

/* At most PARTS tiles, their length fixed by n: the sum has one order for every thread count. */
enum { PARTS = 256 };

static void square_tile(void *ctx, size_t i, int thread)
{
    (void)thread;
    flat *f = ctx;
    size_t at = i * f->per, n = f->n - at < f->per ? f->n - at : f->per;
    f->part[i] = f->k->sum_squares(f->x + at, n);
}

double wn_sum_squares(const float *x, size_t n)
{
    double part[PARTS], sum = 0;
    size_t per = (n / PARTS / TILE + 1) * TILE, tiles = (n + per - 1) / per;
    flat f = {.k = wn_kernel_table(), .x = x, .n = n, .per = per, .part = part};
    wn_par_do(tiles, square_tile, &f);
    for (size_t i = 0; i < tiles; i++)
        sum += part[i];
    return sum;
}

float wn_dot(const float *x, const float *y, size_t n)
{
    return wn_kernel_table()->dot(x, y, n);
}

double wn_dot64(const float *x, const float *y, size_t n)
{
    return wn_kernel_table()->dot64(x, y, n);
}

void wn_add64(double *y, double a, const float *x, size_t n)
{
    wn_kernel_table()->add64(y, a, x, n);
}

void wn_mm64(double *c, size_t cp, const double *a, size_t rs, size_t cs, const double *b,
             size_t bp, size_t m, size_t panels, size_t k, bool add)
{
    wn_kernel_table()->mm64(c, cp, a, rs, cs, b, bp, m, panels, k, add);
}

void wn_sigmoid_neg(double *y, const double *x, size_t n)
{
    wn_kernel_table()->sigmoid_neg(y, x, n);
}

void wn_axpy64(double *y, double a, const double *x, size_t n)
{
    wn_kernel_table()->axpy64(y, a, x, n);
}

void wn_widen(double *y, const float *x, size_t n)
{
    wn_kernel_table()->widen(y, x, n);
}

bool wn_all_finite(const float *x, size_t n)
{
    return wn_kernel_table()->all_finite(x, n);
}

uint64_t wn_row_sum(const float *x, size_t n)
{
    return wn_kernel_table()->row_sum(x, n);
}
