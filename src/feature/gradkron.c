/* Kronecker-structured projection: R_o dW R_i^T = (dy R_o^T)^T (x R_i^T), so both matrices shrink
 * to a few columns first and an example's block is a product over its tokens. */
#include <string.h>

#include "base/par.h"
#include "feature/gradparts.h"

enum { ROWS = 64 };

struct shrink {
    float *out;
    const float *in;
    size_t ld, T, n;
    const wn_signs *signs;
    uint64_t at;
    const int32_t *id; /* rows are single signs: one-hot inputs */
};

static void shrink_rows(void *ctx, size_t i, int thread)
{
    (void)thread;
    const struct shrink *j = ctx;
    size_t t0 = i * ROWS, T = j->T - t0 < ROWS ? j->T - t0 : ROWS, R = j->signs->R;
    float *out = j->out + t0 * R;
    const float one = 1;
    memset(out, 0, T * R * sizeof *out);
    if (!j->id) {
        wn_signs_add(out, R, j->in + t0 * j->ld, j->ld, T, j->n, j->signs, j->at);
        return;
    }
    for (size_t t = 0; t < T; t++)
        wn_signs_add(out + t * R, R, &one, 1, 1, 1, j->signs, j->at + (uint32_t)j->id[t0 + t]);
}

struct blocks {
    wn_grad_sink *s;
    float scale;
    const uint32_t *off;
    size_t first;
};

static void add_block(void *ctx, size_t i, int thread)
{
    const struct blocks *j = ctx;
    wn_grad_sink *s = j->s;
    const wn_projection *P = s->o.projection;
    size_t t = j->off[i], T = j->off[i + 1] - t;
    float *block = wn_grad_tile_of(s, thread);
    double *sum = s->sum + (j->first + i) * s->d;
    if (!T)
        return;
    wn_outer(block, P->ki, j->scale, s->y + t * P->ko, P->ko, s->x + t * P->ki, P->ki, P->ko, P->ki,
             T, false);
    for (size_t k = 0; k < s->d; k++)
        sum[k] += (double)block[k];
}

static void run(struct shrink *y, struct shrink *x, const struct blocks *j, size_t B)
{
    wn_par_do((y->T + ROWS - 1) / ROWS, shrink_rows, y);
    wn_par_do((x->T + ROWS - 1) / ROWS, shrink_rows, x);
    wn_par_do(B, add_block, (void *)j);
}

void wn_grad_kron_outer(wn_grad_sink *s, size_t slot, const wn_grad_outer *o, size_t N, size_t K)
{
    const wn_projection *P = s->o.projection;
    uint64_t at = s->o.chosen->at[slot];
    struct shrink y = {s->y, o->dy, o->ldy, o->off[o->B], N, &P->out, at, NULL};
    struct shrink x = {s->x, o->x, o->ldx, o->off[o->B], K, &P->in, at, NULL};
    WN_ASSERT(y.T <= s->o.max_tokens);
    run(&y, &x, &(struct blocks){s, o->scale, o->off, o->first}, o->B);
}

void wn_grad_kron_embed(wn_grad_sink *s, size_t slot, const float *dx, const int32_t *id, size_t D,
                        const wn_seg *seg)
{
    const wn_projection *P = s->o.projection;
    uint64_t at = s->o.chosen->at[slot];
    struct shrink y = {s->y, NULL, 0, seg->off[seg->B], 0, &P->out, at, id};
    struct shrink x = {s->x, dx, D, seg->off[seg->B], D, &P->in, at, NULL};
    WN_ASSERT(y.T <= s->o.max_tokens);
    run(&y, &x, &(struct blocks){s, 1, seg->off, seg->first}, seg->B);
}
