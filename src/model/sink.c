/* The sink of ordinary training. Every gradient is a sum over examples in their order, each
 * example's share added by itself, so the sum's bits do not depend on how an update was cut into
 * batches. The exception are parameters with two uses (an output matrix tied to the embedding,
 * tables that stacks share) and the output matrix itself, whose positions come in tiles, in full
 * fine-tuning: a batch adds all of one use before the other, so another cut may change their last
 * bits. Train's manifest then names the cut. */
#include <string.h>

#include "base/par.h"
#include "kernel/kernel.h"
#include "model/model.h"

enum { TILE = 192 }; /* columns of a gradient one thread adds up */

struct bias_job {
    float *grad, scale;
    const float *dy;
    size_t ldy, N;
    const wn_seg *seg;
};

/* Columns of the bias, a token after the other. */
static void add_bias(void *ctx, size_t i, int thread)
{
    (void)thread;
    const struct bias_job *j = ctx;
    size_t n0 = i * TILE, n = j->N - n0 < TILE ? j->N - n0 : TILE;
    for (uint32_t t = j->seg->off[0]; t < j->seg->off[j->seg->B]; t++)
        wn_axpy(j->grad + n0, j->scale, j->dy + (size_t)t * j->ldy + n0, n);
}

static void add_linear(void *ctx, wn_param *p, wn_param *bias, float scale, const float *dy,
                       size_t ldy, const float *x, size_t ldx, size_t N, size_t K,
                       const wn_seg *seg)
{
    (void)ctx;
    if (p) {
        wn_mm_grad(p->grad, K, dy, ldy, x, ldx, N, K, scale, seg->off, seg->B,
                   p->bf16 && scale == 1, !p->fresh);
        p->fresh = false;
    }
    if (!bias)
        return;
    wn_param_settle(bias);
    struct bias_job j = {bias->grad, scale, dy, ldy, N, seg};
    wn_par_do((N + TILE - 1) / TILE, add_bias, &j);
}

static void add_norm(void *ctx, wn_param *g, wn_param *bias, const float *dy, const float *x,
                     const float *mean, const float *rinv, size_t D, const wn_seg *seg)
{
    (void)ctx;
    if (g)
        wn_param_settle(g);
    if (bias)
        wn_param_settle(bias);
    for (size_t b = 0; b < seg->B; b++) {
        uint32_t t0 = seg->off[b], t1 = seg->off[b + 1];
        if (!g)
            for (uint32_t t = t0; t < t1; t++)
                wn_add(bias->grad, dy + (size_t)t * D, D);
        else if (mean)
            wn_layernorm_gain(g->grad, bias ? bias->grad : NULL, dy, x, mean, rinv, t0, t1, D);
        else
            wn_rmsnorm_gain(g->grad, dy, x, rinv, t0, t1, D);
    }
}

static void add_table(void *ctx, wn_param *p, const float *d, size_t n, size_t example)
{
    (void)ctx;
    (void)example;
    wn_param_settle(p);
    wn_add(p->grad, d, n);
}

static void add_embed(void *ctx, wn_param *e, const float *dx, const int32_t *id, size_t D,
                      const wn_seg *seg)
{
    (void)ctx;
    wn_param_settle(e);
    for (uint32_t t = seg->off[0]; t < seg->off[seg->B]; t++)
        wn_add(e->grad + (size_t)id[t] * D, dx + t * D, D);
}

struct scale_job {
    float *grad;
    const float *dy, *u;
    size_t ldy, ldu, n;
    const wn_seg *seg;
};

/* Elements [i * TILE, ...): an example's sum, then the next one's. */
static void add_products(void *ctx, size_t i, int thread)
{
    (void)thread;
    const struct scale_job *j = ctx;
    size_t k0 = i * TILE, n = j->n - k0 < TILE ? j->n - k0 : TILE;
    for (size_t b = 0; b < j->seg->B; b++) {
        float sum[TILE] = {0};
        for (uint32_t t = j->seg->off[b]; t < j->seg->off[b + 1]; t++) {
            const float *dy = j->dy + t * j->ldy + k0, *u = j->u + t * j->ldu + k0;
            for (size_t k = 0; k < n; k++)
                sum[k] += dy[k] * u[k];
        }
        wn_add(j->grad + k0, sum, n);
    }
}

static void add_scale(void *ctx, wn_param *l, const float *dy, size_t ldy, const float *u,
                      size_t ldu, size_t n, const wn_seg *seg)
{
    (void)ctx;
    wn_param_settle(l);
    struct scale_job j = {l->grad, dy, u, ldy, ldu, n, seg};
    wn_par_do((n + TILE - 1) / TILE, add_products, &j);
}

wn_sink wn_sink_train(void)
{
    return (wn_sink){NULL, add_linear, add_norm, add_table, add_embed, add_scale};
}
