/* Element-wise rules. A parameter is cut into pieces for the threads, a piece into blocks whose
 * moments are made f32 and put back where they are kept in 8 bits. */
#include "train/rules.h"

#include <math.h>

#include "base/par.h"
#include "base/rng.h"
#include "kernel/kernel.h"

/* m, v: f32 of the n elements from w on; g: gradients as used. */
static void lion(float *restrict w, float *restrict m, const float *restrict g, size_t n,
                 const wn_rule *r)
{
    float b1 = (float)r->o->o.beta1, b2 = (float)r->o->o.beta2, keep = 1 - r->lr * r->decay;
    for (size_t i = 0; i < n; i++) {
        float c = b1 * m[i] + (1 - b1) * g[i];
        float sign = (float)((c > 0) - (c < 0));
        w[i] = w[i] * keep - r->lr * sign;
        m[i] = b2 * m[i] + (1 - b2) * g[i];
    }
}

static void sgd(float *restrict w, float *restrict m, const float *restrict g, size_t n,
                const wn_rule *r)
{
    float mu = (float)r->o->o.momentum;
    bool ahead = r->o->o.nesterov;
    for (size_t i = 0; i < n; i++) {
        float d = g[i] + r->decay * w[i];
        m[i] = mu * m[i] + d;
        w[i] -= r->lr * (ahead ? d + mu * m[i] : m[i]);
    }
}

static void plain_sgd(float *restrict w, const float *restrict g, size_t n, const wn_rule *r)
{
    for (size_t i = 0; i < n; i++)
        w[i] -= r->lr * (g[i] + r->decay * w[i]);
}

static void adam(float *w, float *m, float *v, const float *g, size_t n, const wn_rule *r,
                 float decay, float scale, float clip)
{
    const wn_optim_opts *o = &r->o->o;
    wn_adamw(w, m, v, g, n, r->lr, (float)o->beta1, (float)o->beta2, (float)o->eps, decay, r->c1,
             r->c2, scale, clip);
}

static void block(const wn_rule *r, size_t at, size_t n)
{
    float g[WN_STATE_BLOCK], m8[WN_STATE_BLOCK], v8[WN_STATE_BLOCK];
    wn_optim_kind kind = r->o->kind;
    wn_moment *m = &r->s->m, *v = &r->s->v;
    float *w = r->p->value + at, *fm = m->f ? m->f + at : m8, *fv = v->f ? v->f + at : v8;
    size_t b = at / WN_STATE_BLOCK;
    for (size_t i = 0; i < n; i++)
        g[i] = wn_rule_grad(r, r->p->grad[at + i]);
    if (m->code)
        wn_state8_get(m8, m->code + at, m->scale[b], n, true);
    if (v->code)
        wn_state8_get(v8, v->code + at, v->scale[b], n, false);
    if (kind == WN_OPTIM_LION) {
        lion(w, fm, g, n, r);
    } else if (kind == WN_OPTIM_SGD) {
        if (m->f)
            sgd(w, fm, g, n, r);
        else
            plain_sgd(w, g, n, r);
    } else {
        bool joins = kind == WN_OPTIM_ADAM;
        for (size_t i = 0; joins && i < n; i++)
            g[i] += r->decay * w[i];
        adam(w, fm, fv, g, n, r, joins ? 0 : r->decay, 1, 0);
    }
    if (!m->code)
        return;
    uint64_t draw = wn_rng_u64(r->o->o.seed, (uint64_t)WN_STREAM_STATE8 | r->o->t << 8,
                               (uint64_t)r->index << 40 | b);
    wn_state8_put(m->code + at, &m->scale[b], m8, n, true, (uint32_t)draw);
    if (v->code)
        wn_state8_put(v->code + at, &v->scale[b], v8, n, false, (uint32_t)(draw >> 32));
}

static void piece(void *ctx, size_t i, int thread)
{
    (void)thread;
    const wn_rule *r = ctx;
    size_t all = r->p->rows * r->p->cols, at = i * WN_RULE_PIECE,
           end = all - at < WN_RULE_PIECE ? all : at + WN_RULE_PIECE;
    bool whole = r->s->v.f && (r->o->kind == WN_OPTIM_ADAMW || r->decay == 0);
    if (whole) { /* the kernel reads the gradient itself */
        adam(r->p->value + at, r->s->m.f + at, r->s->v.f + at, r->p->grad + at, end - at, r,
             r->decay, r->scale, r->clip);
        return;
    }
    for (; at < end; at += WN_STATE_BLOCK)
        block(r, at, end - at < WN_STATE_BLOCK ? end - at : WN_STATE_BLOCK);
}

void wn_rule_elements(const wn_rule *r)
{
    size_t n = r->p->rows * r->p->cols;
    wn_par_do((n + WN_RULE_PIECE - 1) / WN_RULE_PIECE, piece, (void *)r);
}
