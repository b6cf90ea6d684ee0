#include "model/linear.h"

#include "base/mem.h"
#include "base/par.h"
#include "model/dropout.h"

size_t wn_linear_kept(const wn_linear *l)
{
    return !l->N ? 0 : l->ia3 != WN_NO_PARAM && !l->ia3_in ? l->N : l->r;
}

size_t wn_linear_scaled(const wn_linear *l)
{
    return !l->N || l->ia3 == WN_NO_PARAM ? 0 : l->ia3_in ? l->K : l->N;
}

static wn_seg segments(const wn_pass *pass)
{
    return (wn_seg){pass->batch->B, pass->batch->off, 0};
}

/* ---- IA3 ---- */

struct scale_job {
    float *out;
    const float *x, *l;
    size_t ldo, ldx, n, T;
    bool add;
};

enum { SCALE_ROWS = 32 };

static void scale_tile(void *ctx, size_t i, int thread)
{
    (void)thread;
    const struct scale_job *j = ctx;
    size_t end = (i + 1) * SCALE_ROWS < j->T ? (i + 1) * SCALE_ROWS : j->T;
    for (size_t t = i * SCALE_ROWS; t < end; t++) {
        float *out = j->out + t * j->ldo;
        const float *x = j->x + t * j->ldx;
        for (size_t k = 0; k < j->n; k++)
            out[k] = x[k] * j->l[k] + (j->add ? out[k] : 0);
    }
}

/* out [T, n] (+)= l * x, l [n]. */
static void scale_rows(float *out, size_t ldo, const float *x, size_t ldx, const float *l, size_t T,
                       size_t n, bool add)
{
    struct scale_job j = {out, x, l, ldo, ldx, n, T, add};
    wn_par_do((T + SCALE_ROWS - 1) / SCALE_ROWS, scale_tile, &j);
}

static void ia3_fwd(float *y, size_t ldy, const float *x, size_t ldx, const wn_linear *l,
                    wn_pass *pass, float *raw, int flags)
{
    size_t T = pass->batch->T;
    const float *bias = l->bias == WN_NO_PARAM ? NULL : pass->params->p[l->bias].value;
    const float *v = pass->params->p[l->ia3].value;
    if (l->ia3_in) {
        scale_rows(pass->scaled, l->K, x, ldx, v, T, l->K, false);
        wn_mm(y, ldy, pass->scaled, l->K, &l->mat, bias, T, flags);
        return;
    }
    if (!raw)
        raw = pass->scaled;
    wn_mm(raw, l->N, x, ldx, &l->mat, bias, T, 0);
    scale_rows(y, ldy, raw, l->N, v, T, l->N, flags & WN_MM_ADD);
}

/* The base's own gradients, if it is trained. */
static void base_sink(const float *dy, size_t ldy, const float *x, size_t ldx, const wn_linear *l,
                      wn_pass *pass)
{
    wn_param *ps = pass->params->p;
    wn_seg seg = segments(pass);
    wn_param *w = ps[l->weight].trainable ? &ps[l->weight] : NULL;
    wn_param *bias = l->bias != WN_NO_PARAM && ps[l->bias].trainable ? &ps[l->bias] : NULL;
    if (w && l->transposed) { /* d(W^T) = x^T dy: the two change places */
        pass->sink->linear(pass->sink->ctx, w, NULL, 1, x, ldx, dy, ldy, l->K, l->N, &seg);
        w = NULL;
    }
    if (w || bias)
        pass->sink->linear(pass->sink->ctx, w, bias, 1, dy, ldy, x, ldx, l->N, l->K, &seg);
}

/* Of y = l * u, u = x W^T + b: dl = sum dy * u, du = l * dy. Of u = (l * x) W^T + b, with z = du W:
 * dl = sum z * x, dx = l * z. */
static void ia3_bwd(float *dx, size_t lddx, const float *dy, size_t ldy, const float *x, size_t ldx,
                    const float *raw, const wn_linear *l, wn_pass *pass, int flags)
{
    size_t T = pass->batch->T;
    wn_seg seg = segments(pass);
    wn_param *v = &pass->params->p[l->ia3];
    float *s = pass->scaled;
    if (!l->ia3_in) {
        if (v->trainable)
            pass->sink->scale(pass->sink->ctx, v, dy, ldy, raw, l->N, l->N, &seg);
        scale_rows(s, l->N, dy, ldy, v->value, T, l->N, false);
        base_sink(s, l->N, x, ldx, l, pass);
        if (dx)
            wn_mm_back(dx, lddx, s, l->N, &l->mat, T, flags);
        return;
    }
    if (pass->params->p[l->weight].trainable)
        scale_rows(s, l->K, x, ldx, v->value, T, l->K, false);
    base_sink(dy, ldy, s, l->K, l, pass);
    if (!dx && !v->trainable)
        return;
    wn_mm_back(s, l->K, dy, ldy, &l->mat, T, 0);
    if (v->trainable)
        pass->sink->scale(pass->sink->ctx, v, s, l->K, x, ldx, l->K, &seg);
    if (dx)
        scale_rows(dx, lddx, s, l->K, v->value, T, l->K, flags & WN_MM_ADD);
}

/* ---- the layer ---- */

static wn_low factors(const wn_linear *l, const wn_pass *pass)
{
    const wn_param *p = pass->params->p;
    return (wn_low){p[l->lora_a].value, p[l->lora_b].value, l->r, l->scale, pass->low};
}

void wn_linear_fwd(float *y, size_t ldy, const float *x, size_t ldx, const wn_linear *l,
                   wn_pass *pass, float *kept, int flags)
{
    size_t T = pass->batch->T;
    const float *bias = l->bias == WN_NO_PARAM ? NULL : pass->params->p[l->bias].value;
    if (l->ia3 != WN_NO_PARAM) {
        ia3_fwd(y, ldy, x, ldx, l, pass, kept, flags);
        return;
    }
    if (l->lora_a == WN_NO_PARAM) {
        wn_mm(y, ldy, x, ldx, &l->mat, bias, T, flags);
        return;
    }
    wn_low low = factors(l, pass);
    low.kept = kept ? kept : pass->low;
    if (!wn_dropping(pass) || !(l->dropout > 0)) {
        wn_mm_low(y, ldy, x, ldx, &l->mat, bias, T, flags, &low);
        return;
    }
    wn_mm(y, ldy, x, ldx, &l->mat, bias, T, flags);
    wn_drop(pass->drop, x, ldx, T, l->K, l->dropout, l->number, pass->token, pass);
    wn_gemm(false, true, T, l->r, l->K, 1, pass->drop, l->K, low.A, l->K, false, low.kept, l->r);
    wn_gemm(false, true, T, l->N, l->r, l->scale, low.kept, l->r, low.B, l->r, true, y, ldy);
}

bool wn_linear_plain(const wn_linear *l)
{
    return l->lora_a == WN_NO_PARAM && l->ia3 == WN_NO_PARAM;
}

static const float *bias_of(const wn_linear *l, const wn_pass *pass)
{
    return l->bias == WN_NO_PARAM ? NULL : pass->params->p[l->bias].value;
}

void wn_linear_fused(float *y, size_t ldy, const float *x, size_t ldx, const wn_linear *l,
                     const wn_linear *up, const wn_pass *pass, wn_fused f)
{
    f.bias = bias_of(l, pass);
    f.up = up ? &up->mat : NULL;
    f.up_bias = up ? bias_of(up, pass) : NULL;
    wn_mm_fused(y, ldy, x, ldx, &l->mat, pass->batch->T, &f);
}

/* Of y += scale * xa B^T, xa = drop(x) A^T: dB = scale * dy^T xa, with low = scale * dy B: dA =
 * low^T drop(x), dx += drop'(low A). */
static void lora_bwd(float *dx, size_t lddx, const float *dy, size_t ldy, const float *x,
                     size_t ldx, const float *xa, const wn_linear *l, wn_pass *pass, int flags)
{
    size_t T = pass->batch->T;
    wn_param *A = &pass->params->p[l->lora_a], *B = &pass->params->p[l->lora_b];
    wn_seg seg = segments(pass);
    bool dropped = wn_dropping(pass) && l->dropout > 0;
    wn_low low = factors(l, pass);
    if (B->trainable)
        pass->sink->linear(pass->sink->ctx, B, NULL, l->scale, dy, ldy, xa, l->r, l->N, l->r, &seg);
    if (dx && !dropped) {
        wn_mm_low_back(dx, lddx, dy, ldy, &l->mat, T, flags, &low);
    } else {
        if (dx)
            wn_mm_back(dx, lddx, dy, ldy, &l->mat, T, flags);
        wn_gemm(false, false, T, l->r, l->N, l->scale, dy, ldy, low.B, l->r, false, low.kept, l->r);
    }
    if (dropped) {
        wn_drop(pass->drop, x, ldx, T, l->K, l->dropout, l->number, pass->token, pass);
        x = pass->drop;
        ldx = l->K;
    }
    if (A->trainable)
        pass->sink->linear(pass->sink->ctx, A, NULL, 1, low.kept, l->r, x, ldx, l->r, l->K, &seg);
    if (!dx || !dropped)
        return;
    wn_gemm(false, false, T, l->K, l->r, 1, low.kept, l->r, low.A, l->K, false, pass->drop, l->K);
    wn_drop(pass->drop, pass->drop, l->K, T, l->K, l->dropout, l->number, pass->token, pass);
    for (size_t t = 0; t < T; t++)
        wn_add(dx + t * lddx, pass->drop + t * l->K, l->K);
}

void wn_linear_bwd(float *dx, size_t lddx, const float *dy, size_t ldy, const float *x, size_t ldx,
                   const float *kept, const wn_linear *l, wn_pass *pass, int flags)
{
    if (l->ia3 != WN_NO_PARAM) {
        ia3_bwd(dx, lddx, dy, ldy, x, ldx, kept, l, pass, flags);
        return;
    }
    base_sink(dy, ldy, x, ldx, l, pass);
    if (l->lora_a != WN_NO_PARAM)
        lora_bwd(dx, lddx, dy, ldy, x, ldx, kept, l, pass, flags);
    else if (dx)
        wn_mm_back(dx, lddx, dy, ldy, &l->mat, pass->batch->T, flags);
}

bool wn_linear_trained(const wn_linear *l, const wn_params *ps)
{
    const int index[] = {l->weight, l->bias, l->lora_a, l->lora_b, l->ia3};
    for (size_t i = 0; i < sizeof index / sizeof *index; i++)
        if (index[i] != WN_NO_PARAM && ps->p[index[i]].trainable)
            return true;
    return false;
}

static float *push(wn_arena *a, size_t n)
{
    return n ? wn_arena_push(a, n * sizeof(float)) : NULL;
}

void wn_linear_plan(wn_linear_work *w, const wn_linear *l, wn_arena *a, size_t T)
{
    *w = (wn_linear_work){.kept = push(a, T * wn_linear_kept(l)),
                          .low = push(a, T * l->r),
                          .scaled = push(a, T * wn_linear_scaled(l)),
                          .drop = push(a, l->r && l->dropout > 0 ? T * l->K : 0)};
}

wn_pass wn_linear_pass(const wn_pass *pass, const wn_linear_work *w)
{
    wn_pass p = *pass;
    p.low = w->low;
    p.scaled = w->scaled;
    p.drop = w->drop;
    return p;
}

void wn_linear_free(wn_linear *l)
{
    wn_free(l->mat.panel);
    wn_free(l->module);
    *l = (wn_linear){0};
}
