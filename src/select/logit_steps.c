#include "select/logit_steps.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "select/dense64.h"
#include "select/logit_sums.h"

enum { NEWTON_STEPS = 200, HALVINGS = 60 };

/* ---- extrapolation ---- */

/* Least squares: what of `f` the `n` differences df explain, with the same
 * combination of (dw - df), is taken off w. */
static void extrapolate(double *w, double *f, const double *df, const double *dw, size_t n,
                        size_t D)
{
    double q[WN_ANDERSON_DEPTH][WN_ANDERSON_DEPTH], gamma[WN_ANDERSON_DEPTH],
        gram[WN_ANDERSON_DEPTH][WN_ANDERSON_DEPTH];
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

void wn_anderson_step(double *w, double *f, double *room, uint32_t step, size_t D)
{
    double *last_w = room, *last_f = room + D, *dw = room + 2 * D, *df = dw + WN_ANDERSON_DEPTH * D;
    size_t kept = step < WN_ANDERSON_DEPTH ? step : WN_ANDERSON_DEPTH;
    size_t at = step ? (step - 1) % WN_ANDERSON_DEPTH : 0;
    for (size_t k = 0; step && k < D; k++) {
        dw[at * D + k] = w[k] - last_w[k];
        df[at * D + k] = f[k] - last_f[k];
    }
    memcpy(last_w, w, D * sizeof *w);
    memcpy(last_f, f, D * sizeof *f);
    extrapolate(w, f, df, dw, kept, D);
    wn_axpy64(w, -1, f, D);
}

/* ---- Newton's method ---- */

struct newton {
    const wn_logit_objective *o;
    size_t D;
    double *s, *h, *u, *g, *next; /* s [N], h [tri], u [D, D], g [D], next [3, D] */
};

static wn_err evaluate(double *phi, double *g, const struct newton *n, const double *w)
{
    const wn_logit_objective *o = n->o;
    uint32_t zero = 0;
    double loss;
    wn_logit_pass p = {.data = o->data,
                       .w = w,
                       .ldw = n->D,
                       .width = n->D,
                       .col = &zero,
                       .n = 1,
                       .member = o->member,
                       .weight = o->weight,
                       .grad = g,
                       .loss = &loss};
    WN_TRY(wn_logit_sums(&p));
    *phi = o->scale * loss + o->l2 / 2 * wn_dot_64(w, w, n->D);
    for (size_t k = 0; k < n->D; k++)
        g[k] = o->scale * g[k] + o->l2 * w[k];
    return WN_OK;
}

/* A step along -d, halved until phi falls as it should (Armijo, 1e-4) or, where phi can no longer
 * tell, the gradient does. *moved: a step was taken; phi and g are then those of the new w. */
static wn_err descend(bool *moved, double *phi, const struct newton *n, double *w, const double *d)
{
    size_t D = n->D;
    double slope = wn_dot_64(n->g, d, D), norm = wn_norm64(n->g, D), now = 0, length = 1;
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

static wn_err iterate(double *w, double *gradient, uint32_t *steps, struct newton *n,
                      double tolerance)
{
    const wn_logit_objective *o = n->o;
    size_t D = n->D;
    double *d = n->next + 2 * D, phi;
    bool moved = true;
    WN_TRY(evaluate(&phi, n->g, n, w));
    for (int i = 0; i < NEWTON_STEPS && moved; i++) {
        *gradient = wn_norm64(n->g, D);
        if (*gradient <= tolerance)
            return WN_OK;
        ++*steps;
        WN_TRY(wn_logit_curvature(n->s, o->data, w, o->weight));
        WN_TRY(wn_logit_hessian(n->h, o->data, n->s, false, o->member));
        if (!wn_chol64(n->u, n->h, o->scale, o->l2, D))
            break;
        memcpy(d, n->g, D * sizeof *d);
        wn_chol64_solve(d, n->u, D);
        WN_TRY(descend(&moved, &phi, n, w, d));
    }
    return wn_fail(WN_EFORMAT,
                   "regression: gradient %.3g after %u steps, expected %.3g or less: the ridge is "
                   "too small for gradients of this size",
                   *gradient, *steps, tolerance);
}

wn_err wn_logit_newton(double *w, double *gradient, uint32_t *steps, const wn_logit_objective *o,
                       double tolerance)
{
    size_t D = wn_logit_width(o->data);
    struct newton n = {.o = o, .D = D};
    n.s = wn_calloc(o->data->N + 1, sizeof *n.s);
    n.h = wn_calloc(wn_tri_size(D), sizeof *n.h);
    n.u = wn_calloc(D * D, sizeof *n.u);
    n.g = wn_calloc(D, sizeof *n.g);
    n.next = wn_calloc(3 * D, sizeof *n.next);
    wn_err err =
        n.s && n.h && n.u && n.g && n.next ? iterate(w, gradient, steps, &n, tolerance) : WN_ENOMEM;
    wn_free(n.s);
    wn_free(n.h);
    wn_free(n.u);
    wn_free(n.g);
    wn_free(n.next);
    return err;
}
