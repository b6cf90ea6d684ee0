#include "select/logit.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "select/dense64.h"
#include "select/logit_sums.h"

enum { POOLED_ROUNDS = 8, CHORD_STEPS = 40, NEWTON_STEPS = 200, HALVINGS = 60, DEPTH = 5 };
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

/* Doubles a column keeps of its last steps: w and step of the last, differences of DEPTH of each.
 */
static size_t trail_of(size_t D)
{
    return 2 * (DEPTH + 1) * D;
}

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
    double *trail;    /* [M, trail_of(D)] */
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

/* Least squares by Gram-Schmidt: what of `f` the `n` differences df explain, with the same
 * combination of (dw - df), is taken off w. */
static void extrapolate(double *w, double *f, const double *df, const double *dw, size_t n,
                        size_t D)
{
    double q[DEPTH][DEPTH], gamma[DEPTH], gram[DEPTH][DEPTH];
    for (size_t i = 0; i < n; i++) {
        gamma[i] = wn_dot_64(df + i * D, f, D);
        for (size_t j = 0; j <= i; j++)
            gram[i][j] = wn_dot_64(df + i * D, df + j * D, D);
    }
    size_t rank = 0; /* Cholesky of the Gram matrix as far as it is well conditioned */
    for (; rank < n; rank++) {
        double pivot = gram[rank][rank];
        for (size_t j = 0; j < rank; j++) {
            double v = gram[rank][j];
            for (size_t k = 0; k < j; k++)
                v -= q[rank][k] * q[j][k];
            q[rank][j] = v / q[j][j];
            pivot -= q[rank][j] * q[rank][j];
        }
        if (!(pivot > 1e-10 * gram[rank][rank]))
            break;
        q[rank][rank] = sqrt(pivot);
    }
    for (size_t i = 0; i < rank; i++) {
        for (size_t k = 0; k < i; k++)
            gamma[i] -= q[i][k] * gamma[k];
        gamma[i] /= q[i][i];
    }
    for (size_t i = rank; i-- > 0;) {
        for (size_t k = i + 1; k < rank; k++)
            gamma[i] -= q[k][i] * gamma[k];
        gamma[i] /= q[i][i];
    }
    for (size_t i = 0; i < rank; i++) {
        wn_axpy64(w, -gamma[i], dw + i * D, D);
        wn_axpy64(f, -gamma[i], df + i * D, D);
    }
}

/* w moves by the kept Hessian's step, extrapolated over the last steps (Anderson 1965, "Iterative
 * procedures for nonlinear integral equations"): 2 to 3 times fewer steps where the Hessian has
 * changed much. */
static void move(double *w, double *g, double *trail, const struct column *c, const double *u,
                 size_t D)
{
    double *last_w = trail, *last_f = trail + D, *dw = trail + 2 * D, *df = dw + DEPTH * D;
    wn_chol64_solve(g, u, D);
    size_t kept = c->steps < DEPTH ? c->steps : DEPTH, at = c->steps ? (c->steps - 1) % DEPTH : 0;
    for (size_t k = 0; c->steps && k < D; k++) {
        dw[at * D + k] = w[k] - last_w[k];
        df[at * D + k] = g[k] - last_f[k];
    }
    memcpy(last_w, w, D * sizeof *w);
    memcpy(last_f, g, D * sizeof *g);
    extrapolate(w, g, df, dw, kept, D);
    wn_axpy64(w, -1, g, D);
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
    move(w, g, b->trail + j * trail_of(D), c, b->u + j * D * D, D);
    c->steps++;
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

/* ---- one subset, with fresh Hessians ---- */

struct newton {
    struct batch *b;
    uint32_t j;
    double *s, *h, *u, *g, *next; /* s [N], h [tri], u [D, D], g, next [D] */
};

/* phi and its gradient at w; the pass reads column j of a matrix, of which w is the only row. */
static wn_err evaluate(double *phi, double *g, const struct newton *n, const double *w)
{
    const wn_logit *l = n->b->l;
    const struct column *c = &n->b->c[n->j];
    uint32_t zero = 0;
    double loss;
    wn_logit_pass p = {.data = l->data,
                       .w = w,
                       .ldw = l->D,
                       .width = l->D,
                       .col = &zero,
                       .n = 1,
                       .member = n->b->member + (size_t)n->j * l->data->T,
                       .weight = n->b->weight,
                       .grad = g,
                       .loss = &loss};
    WN_TRY(wn_logit_sums(&p));
    *phi = c->scale * loss + l->rule.l2 / 2 * wn_dot_64(w, w, l->D);
    for (size_t k = 0; k < l->D; k++)
        g[k] = c->scale * g[k] + l->rule.l2 * w[k];
    return WN_OK;
}

/* A step along -d, halved until phi falls as it should (Armijo, 1e-4) or, where phi can no longer
 * tell, the gradient does. *moved: a step was taken; phi and g are then those of the new w. */
static wn_err descend(bool *moved, double *phi, const struct newton *n, double *w, const double *d)
{
    size_t D = n->b->l->D;
    double slope = wn_dot_64(n->g, d, D), norm = wn_norm64(n->g, D), now, length = 1;
    double *g = n->next + D;
    *moved = false;
    for (int i = 0; i < HALVINGS && !*moved; i++, length /= 2) {
        for (size_t k = 0; k < D; k++)
            n->next[k] = w[k] - length * d[k];
        WN_TRY(evaluate(&now, g, n, n->next));
        double noise = 1e-14 * fabs(*phi);
        *moved = now <= *phi - 1e-4 * length * slope ||
                 (now <= *phi + noise && wn_norm64(g, D) < 0.9 * norm);
    }
    if (!*moved)
        return WN_OK;
    *phi = now;
    memcpy(w, n->next, D * sizeof *w);
    memcpy(n->g, g, D * sizeof *g);
    return WN_OK;
}

static wn_err newton(struct newton *n)
{
    struct batch *b = n->b;
    wn_logit *l = b->l;
    struct column *c = &b->c[n->j];
    size_t D = l->D;
    double *w = b->w + n->j * D, *d = n->next + 2 * D, phi;
    bool moved = true;
    WN_TRY(evaluate(&phi, n->g, n, w));
    for (int i = 0; i < NEWTON_STEPS && moved; i++) {
        c->gradient = wn_norm64(n->g, D);
        c->done = c->gradient <= c->tolerance;
        if (c->done)
            return WN_OK;
        c->steps++;
        WN_TRY(wn_logit_curvature(n->s, l->data, w, b->weight));
        WN_TRY(wn_logit_hessian(n->h, l->data, n->s, false, b->member + (size_t)n->j * l->data->T));
        if (!wn_chol64(n->u, n->h, c->scale, l->rule.l2, D))
            break;
        memcpy(d, n->g, D * sizeof *d);
        wn_chol64_solve(d, n->u, D);
        WN_TRY(descend(&moved, &phi, n, w, d));
    }
    return wn_fail(WN_EFORMAT,
                   "regression: gradient %.3g after %u steps, expected %.3g or less: the ridge is "
                   "too small for gradients of this size",
                   c->gradient, c->steps, c->tolerance);
}

static wn_err finish_slow(struct batch *b)
{
    const wn_logit *l = b->l;
    struct newton n = {.b = b};
    wn_err err = WN_OK;
    for (size_t j = 0; j < b->M && err == WN_OK; j++) {
        if (b->c[j].done)
            continue;
        if (!n.s) {
            n.s = wn_calloc(l->data->N + 1, sizeof *n.s);
            n.h = wn_calloc(l->tri, sizeof *n.h);
            n.u = wn_calloc(l->D * l->D, sizeof *n.u);
            n.g = wn_calloc(l->D, sizeof *n.g);
            n.next = wn_calloc(3 * l->D, sizeof *n.next);
            err = n.s && n.h && n.u && n.g && n.next ? WN_OK : WN_ENOMEM;
        }
        n.j = (uint32_t)j;
        if (err == WN_OK)
            err = newton(&n);
    }
    wn_free(n.s);
    wn_free(n.h);
    wn_free(n.u);
    wn_free(n.g);
    wn_free(n.next);
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
    b.trail = wn_calloc(most + 1, trail_of(D) * sizeof *b.trail);
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
