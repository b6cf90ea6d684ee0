#include "select/logit.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "select/dense64.h"
#include "select/logit_steps.h"
#include "select/logit_sums.h"

enum { POOLED_ROUNDS = 8, CHORD_STEPS = 40 };
#define TOLERANCE    1e-10
#define TABLE_BYTES  ((uint64_t)1 << 30)
#define FACTOR_BYTES ((uint64_t)128 << 20)

struct wn_logit {
    const wn_logit_data *data;
    wn_logit_rule rule;
    size_t D, tri;
    bool tables;  /* sums of every group; else of all rows together */
    double *w0;   /* [D] */
    double *zero; /* [T, D] groups' gradients at w = 0 */
    double *r;    /* [T, D] groups' gradients at w0 */
    double *h;    /* [T, tri] groups' Hessians at w0, or [tri] of all rows */
    double *room; /* [threads, tri] */
};

/* What a subset's phi is made of. */
struct column {
    double scale, rows, tolerance;
    double gradient, best; /* norms: now, the smallest so far */
    uint32_t steps, wasted;
    bool done, slow;
};

static uint64_t group_rows(const wn_logit_data *d, uint32_t t)
{
    return d->start[t + 1] - d->start[t];
}

/* ---- the groups' sums ---- */

/* Gradients of every group at one w. */
static wn_err group_gradients(double *out, const wn_logit *l, const double *w)
{
    uint32_t T = l->data->T, *col;
    uint8_t *member = wn_calloc((size_t)T * T, 1);
    double *ws = wn_calloc((size_t)T * l->D, sizeof *ws);
    col = wn_calloc(T, sizeof *col);
    wn_err err = member && ws && col ? WN_OK : WN_ENOMEM;
    for (uint32_t t = 0; t < T && err == WN_OK; t++) {
        member[(size_t)t * T + t] = 1;
        memcpy(ws + t * l->D, w, l->D * sizeof *w);
        col[t] = t;
    }
    wn_logit_pass p = {.data = l->data,
                       .w = ws,
                       .ldw = l->D,
                       .width = l->D,
                       .col = col,
                       .n = T,
                       .member = member,
                       .grad = out};
    if (err == WN_OK)
        err = wn_logit_sums(&p);
    wn_free(member);
    wn_free(ws);
    wn_free(col);
    return err;
}

/* Half of all rows stand for the subsets to come where phi is a sum. */
static double pooled_scale(const wn_logit *l)
{
    return l->rule.mean ? 1 / (double)l->data->N : l->rule.c / 2;
}

static wn_err pooled_gradient(double *g, const wn_logit *l, const double *w)
{
    uint32_t col = 0;
    wn_logit_pass p = {
        .data = l->data, .w = w, .ldw = l->D, .width = l->D, .col = &col, .n = 1, .grad = g};
    WN_TRY(wn_logit_sums(&p));
    for (size_t k = 0; k < l->D; k++)
        g[k] = pooled_scale(l) * g[k] + l->rule.l2 * w[k];
    return WN_OK;
}

/* Steps with the Hessian at w0 while each halves the gradient. norm: of the gradient at w0. */
static wn_err pooled_steps(wn_logit *l, double *norm, const double *u, double *g, double *next)
{
    size_t D = l->D;
    for (bool go = true; go;) {
        wn_chol64_solve(g, u, D);
        for (size_t k = 0; k < D; k++)
            next[k] = l->w0[k] - g[k];
        WN_TRY(pooled_gradient(g, l, next));
        double now = wn_norm64(g, D);
        go = now < 0.5 * *norm;
        if (!(now < *norm))
            return WN_OK;
        *norm = now;
        memcpy(l->w0, next, D * sizeof *next);
    }
    return WN_OK;
}

/* w0: towards the optimum of all rows, by Newton's method. Where that leads does not change any
 * result, only how many steps the subsets need. */
static wn_err pool(wn_logit *l, double *s)
{
    size_t D = l->D;
    double *u = wn_calloc(D * D, sizeof *u), *h = wn_calloc(l->tri, sizeof *h);
    double *g = wn_calloc(D, sizeof *g), *next = wn_calloc(D, sizeof *next), first = 0, norm = 0;
    wn_err err = u && h && g && next ? pooled_gradient(g, l, l->w0) : WN_ENOMEM;
    if (err == WN_OK)
        first = norm = wn_norm64(g, D);
    for (int i = 0; i < POOLED_ROUNDS && err == WN_OK && norm > 1e-5 * first; i++) {
        double before = norm;
        err = wn_logit_curvature(s, l->data, l->w0, NULL);
        if (err == WN_OK)
            err = wn_logit_hessian(h, l->data, s, false, NULL);
        if (err == WN_OK && !wn_chol64(u, h, pooled_scale(l), l->rule.l2, D))
            break;
        if (err == WN_OK)
            err = pooled_gradient(g, l, l->w0);
        if (err == WN_OK)
            err = pooled_steps(l, &norm, u, g, next);
        if (norm >= before)
            break;
    }
    wn_free(u);
    wn_free(h);
    wn_free(g);
    wn_free(next);
    return err;
}

static wn_err make_sums(wn_logit *l)
{
    const wn_logit_data *d = l->data;
    double *s;
    WN_NEW(l->w0, l->D);
    WN_NEW(l->zero, (size_t)d->T * l->D);
    WN_NEW(l->r, (size_t)d->T * l->D);
    WN_NEW(l->h, (l->tables ? d->T : 1) * l->tri);
    WN_NEW(l->room, (size_t)wn_par_threads() * l->tri);
    WN_TRY(group_gradients(l->zero, l, l->w0));
    WN_NEW(s, d->N + 1);
    wn_err err = pool(l, s);
    if (err == WN_OK)
        err = group_gradients(l->r, l, l->w0);
    if (err == WN_OK)
        err = wn_logit_curvature(s, d, l->w0, NULL);
    if (err == WN_OK)
        err = wn_logit_hessian(l->h, d, s, l->tables, NULL);
    wn_free(s);
    return err;
}

wn_err wn_logit_new(wn_logit **out, const wn_logit_data *data, const wn_logit_rule *rule)
{
    *out = NULL;
    size_t D = wn_logit_width(data);
    WN_ASSERT(rule->l2 > 0 && data->N > 0 && data->T > 0 && D <= WN_LOGIT_DIM_MAX + 1);
    wn_logit *l;
    WN_NEW(l, 1);
    l->data = data;
    l->rule = *rule;
    l->D = D;
    l->tri = wn_tri_size(D);
    l->tables = data->T * (uint64_t)l->tri * sizeof(double) <= TABLE_BYTES;
    wn_err err = make_sums(l);
    if (err != WN_OK) {
        wn_logit_free(l);
        return err;
    }
    *out = l;
    return WN_OK;
}

void wn_logit_free(wn_logit *l)
{
    if (!l)
        return;
    wn_free(l->w0);
    wn_free(l->zero);
    wn_free(l->r);
    wn_free(l->h);
    wn_free(l->room);
    wn_free(l);
}

/* ---- a batch of subsets ---- */

struct batch {
    wn_logit *l;
    const uint8_t *member; /* [M, T] */
    const double *weight;
    double *w; /* [M, D] */
    size_t M;
    bool warm;
    struct column *c; /* [M] */
    double *u;        /* [M, D, D] factors */
    double *g;        /* [M, D] gradients, of the active columns in their order */
    double *trail;    /* [M, wn_anderson_room(D)] */
    uint32_t *col;    /* active columns */
    size_t n;
};

static void measure(struct batch *b, size_t j)
{
    const wn_logit *l = b->l;
    const wn_logit_data *d = l->data;
    struct column *c = &b->c[j];
    const uint8_t *in = b->member + j * d->T;
    double sum[2] = {0};
    for (size_t k = 0; k < l->D; k++) {
        double g = 0;
        for (uint32_t t = 0; t < d->T; t++)
            g += in[t] ? l->zero[t * l->D + k] : 0;
        sum[0] += g * g;
    }
    for (uint32_t t = 0; t < d->T; t++)
        for (uint64_t i = d->start[t]; in[t] && b->weight && i < d->start[t + 1]; i++)
            sum[1] += b->weight[i];
    for (uint32_t t = 0; t < d->T && !b->weight; t++)
        sum[1] += in[t] ? (double)group_rows(d, t) : 0;
    *c = (struct column){.rows = sum[1]};
    c->scale = l->rule.mean ? (c->rows > 0 ? 1 / c->rows : 0) : l->rule.c;
    c->tolerance = TOLERANCE * fmin(1, c->scale * sqrt(sum[0]));
    c->done = c->rows == 0 || sum[0] == 0;
}

/* Sum of the groups' Hessians, a stretch at a time so that it stays in the nearest cache. */
static void sum_hessians(double *h, const wn_logit *l, const uint8_t *in)
{
    enum { STRETCH = 1024 };
    memset(h, 0, l->tri * sizeof *h);
    for (size_t at = 0; at < l->tri; at += STRETCH) {
        size_t n = l->tri - at < STRETCH ? l->tri - at : STRETCH;
        for (uint32_t t = 0; t < l->data->T; t++)
            if (in[t])
                wn_axpy64(h + at, 1, l->h + t * l->tri + at, n);
    }
}

/* Factor and start of one column. */
static void begin(void *ctx, size_t j, int thread)
{
    struct batch *b = ctx;
    const wn_logit *l = b->l;
    struct column *c = &b->c[j];
    size_t D = l->D;
    double *w = b->w + j * D, *u = b->u + j * D * D, *h = l->room + (size_t)thread * l->tri;
    const uint8_t *in = b->member + j * l->data->T;
    measure(b, j);
    if (c->done) {
        memset(w, 0, D * sizeof *w);
        return;
    }
    if (l->tables)
        sum_hessians(h, l, in);
    double share = l->tables ? 1 : c->rows / (double)l->data->N;
    c->slow = !wn_chol64(u, l->tables ? h : l->h, c->scale * share, l->rule.l2, D);
    if (b->warm)
        return;
    for (size_t k = 0; k < D; k++) {
        w[k] = 0;
        for (uint32_t t = 0; t < l->data->T; t++)
            w[k] += in[t] ? l->r[t * D + k] : 0;
        w[k] = c->scale * w[k] + l->rule.l2 * l->w0[k];
    }
    if (c->slow)
        memset(w, 0, D * sizeof *w);
    else
        wn_chol64_solve(w, u, D);
    for (size_t k = 0; k < D && !c->slow; k++)
        w[k] = l->w0[k] - w[k];
}

/* Exact gradients of the active columns; those that are there leave. */
static void step(void *ctx, size_t i, int thread)
{
    (void)thread;
    struct batch *b = ctx;
    size_t D = b->l->D, j = b->col[i];
    struct column *c = &b->c[j];
    double *w = b->w + j * D, *g = b->g + i * D;
    for (size_t k = 0; k < D; k++)
        g[k] = c->scale * g[k] + b->l->rule.l2 * w[k];
    c->gradient = wn_norm64(g, D);
    c->done = c->gradient <= c->tolerance;
    c->wasted += c->steps && !(c->gradient < 0.8 * c->best);
    c->slow = !c->done && (c->wasted > 3 || !isfinite(c->gradient));
    c->best = c->steps ? fmin(c->best, c->gradient) : c->gradient;
    if (c->done || c->slow || c->steps == CHORD_STEPS)
        return;
    wn_chol64_solve(g, b->u + j * D * D, D);
    wn_anderson_step(w, g, b->trail + j * wn_anderson_room(D), c->steps++, D);
}

static void still_active(struct batch *b)
{
    b->n = 0;
    for (size_t j = 0; j < b->M; j++)
        if (!b->c[j].done && !b->c[j].slow && b->c[j].steps < CHORD_STEPS)
            b->col[b->n++] = (uint32_t)j;
}

static wn_err chord(struct batch *b)
{
    size_t D = b->l->D;
    for (still_active(b); b->n; still_active(b)) {
        wn_logit_pass p = {.data = b->l->data,
                           .w = b->w,
                           .ldw = D,
                           .width = D,
                           .col = b->col,
                           .n = b->n,
                           .member = b->member,
                           .weight = b->weight,
                           .grad = b->g};
        WN_TRY(wn_logit_sums(&p));
        wn_par_do(b->n, step, b);
    }
    return WN_OK;
}

static wn_err finish_slow(struct batch *b)
{
    wn_logit *l = b->l;
    wn_err err = WN_OK;
    for (size_t j = 0; j < b->M && err == WN_OK; j++) {
        struct column *c = &b->c[j];
        if (c->done)
            continue;
        const wn_logit_objective o = {.data = l->data,
                                      .member = b->member + j * l->data->T,
                                      .weight = b->weight,
                                      .scale = c->scale,
                                      .l2 = l->rule.l2};
        err = wn_logit_newton(b->w + j * l->D, &c->gradient, &c->steps, &o, c->tolerance);
    }
    return err;
}

static wn_err fit_batch(struct batch *b)
{
    wn_par_do(b->M, begin, b);
    WN_TRY(chord(b));
    return finish_slow(b);
}

wn_err wn_logit_fit(double *w, wn_logit_fact *fact, wn_logit *l, const uint8_t *member, size_t M,
                    const double *weight, bool warm)
{
    size_t D = l->D, each = D * D * sizeof(double);
    size_t most = FACTOR_BYTES / each < 16    ? 16
                  : FACTOR_BYTES / each > 768 ? 768
                                              : FACTOR_BYTES / each;
    most = most < M ? most : M;
    struct batch b = {.l = l, .weight = weight, .warm = warm};
    b.c = wn_calloc(most + 1, sizeof *b.c);
    b.u = wn_calloc(most + 1, each);
    b.g = wn_calloc(most + 1, D * sizeof *b.g);
    b.trail = wn_calloc(most + 1, wn_anderson_room(D) * sizeof *b.trail);
    b.col = wn_calloc(most + 1, sizeof *b.col);
    wn_err err = b.c && b.u && b.g && b.trail && b.col ? WN_OK : WN_ENOMEM;
    for (size_t at = 0; at < M && err == WN_OK; at += b.M) {
        b.M = M - at < most ? M - at : most;
        b.member = member + at * l->data->T;
        b.w = w + at * D;
        err = fit_batch(&b);
        for (size_t j = 0; j < b.M && fact && err == WN_OK; j++)
            fact[at + j] = (wn_logit_fact){b.c[j].rows, b.c[j].gradient, wn_norm64(b.w + j * D, D),
                                           b.c[j].steps};
    }
    wn_free(b.c);
    wn_free(b.u);
    wn_free(b.g);
    wn_free(b.trail);
    wn_free(b.col);
    return err;
}
