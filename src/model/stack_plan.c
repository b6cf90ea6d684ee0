/* What is kept of a layer for its backward, a token: its input, queries|keys|values, attention's
 * output, the state between the halves, the feed-forward part's inner values: 5,760 floats for
 * SmolLM2-135M, 4,608 of which can be kept as bf16. The outputs of norms and activations are made
 * again from these: they cost a pass over memory that is read anyway, and keeping them would add
 * 2,700 floats. */
#include "model/stack_strips.h"

#include <string.h>

static float *push(wn_arena *a, size_t n)
{
    return wn_arena_push(a, n * sizeof(float));
}

/* The statistics of a norm: nothing where there is none. */
static void plan_norm(float **mean, float **rinv, const wn_norm *n, wn_arena *a, size_t T)
{
    bool there = n->gain != WN_NO_PARAM;
    *rinv = there ? push(a, T) : NULL;
    *mean = there && !n->rms ? push(a, T) : NULL;
}

size_t wn_stack_inner(const wn_stack *s)
{
    return wn_qkv_width(s) + s->H * s->d + wn_up_width(s);
}

/* inner: whose qkv, ctx and up the layer shares, NULL: it has its own. kept [WN_LAYER_LINEARS]:
 * numbers a token that each linear layer's adapter keeps. */
static void plan_acts(wn_acts *c, const wn_acts *inner, const wn_stack *s, wn_layer *l,
                      const size_t *kept, wn_arena *a, size_t T, bool train)
{
    size_t heads = s->H + s->G;
    *c = (wn_acts){0};
    if (train) {
        c->in = push(a, T * s->D);
        plan_norm(&c->in_mean, &c->in_rinv, &l->attn_in, a, T);
        plan_norm(&c->attn_mean, &c->attn_rinv, &l->attn_out, a, T);
        plan_norm(&c->mid_mean, &c->mid_rinv, &l->mlp_in, a, T);
        plan_norm(&c->mlp_mean, &c->mlp_rinv, &l->mlp_out, a, T);
        c->lse = push(a, T * s->H);
        if (l->q_norm.gain != WN_NO_PARAM) {
            c->qk_raw = push(a, T * heads * s->d);
            c->qk_rinv = push(a, T * heads);
        }
        for (int i = 0; i < WN_LAYER_LINEARS; i++)
            c->kept[i] = kept[i] ? push(a, T * kept[i]) : NULL;
        c->mid = s->parallel ? c->in : push(a, T * s->D);
    }
    if (l->cross_q.N) {
        if (train) {
            c->cross = push(a, T * s->D);
            plan_norm(&c->cross_mean, &c->cross_rinv, &l->cross_in, a, T);
            c->cross_lse = push(a, T * s->H);
        }
        c->cross_q = push(a, T * s->H * s->d);
        c->cross_kv = push(a, T * 2 * s->H * s->d);
        c->cross_ctx = push(a, T * s->H * s->d);
    }
    c->qkv = inner ? inner->qkv : push(a, T * wn_qkv_width(s));
    c->ctx = inner ? inner->ctx : push(a, T * s->H * s->d);
    c->up = inner ? inner->up : push(a, T * wn_up_width(s));
    c->attn = !train || l->attn_out.gain != WN_NO_PARAM ? push(a, T * s->D) : NULL;
    c->mlp = !train ? c->attn : l->mlp_out.gain != WN_NO_PARAM ? push(a, T * s->D) : NULL;
}

static void most_kept(size_t kept[WN_LAYER_LINEARS], wn_layer *l)
{
    for (int i = 0; i < WN_LAYER_LINEARS; i++) {
        size_t n = wn_linear_kept(wn_layer_linear(l, i));
        kept[i] = n > kept[i] ? n : kept[i];
    }
}

/* A layer with all that any of the stack's layers has. */
static wn_layer all_layers(const wn_stack *s, size_t kept[WN_LAYER_LINEARS])
{
    wn_layer all = s->layer[0];
    for (size_t i = 0; i < s->L; i++) {
        wn_layer *l = &s->layer[i];
        most_kept(kept, l);
        wn_norm *to[] = {&all.attn_in, &all.attn_out, &all.mlp_in,
                         &all.mlp_out, &all.q_norm,   &all.cross_in};
        const wn_norm *from[] = {&l->attn_in, &l->attn_out, &l->mlp_in,
                                 &l->mlp_out, &l->q_norm,   &l->cross_in};
        for (size_t k = 0; k < sizeof to / sizeof *to; k++)
            if (to[k]->gain == WN_NO_PARAM)
                *to[k] = *from[k];
    }
    return all;
}

static void plan_layers(wn_stack_work *w, const wn_stack *s, wn_arena *a, bool train)
{
    size_t T = w->T;
    size_t kept[WN_LAYER_LINEARS] = {0};
    if (!w->recompute) {
        for (size_t i = 0; i < (train ? s->L : 1); i++) {
            memset(kept, 0, sizeof kept);
            most_kept(kept, &s->layer[i]);
            plan_acts(&w->acts[i], w->narrow && i ? w->acts : NULL, s, &s->layer[i], kept, a, T,
                      train);
            if (w->narrow && i + 1 < s->L) /* the last layer's are still there in its backward */
                w->acts[i].narrow = wn_arena_push(a, T * wn_stack_inner(s) * sizeof(uint16_t));
        }
        return;
    }
    wn_layer all = all_layers(s, kept);
    plan_acts(&w->acts[0], NULL, s, &all, kept, a, T, true);
    for (size_t i = 1; i < s->L; i++) {
        w->acts[i] = w->acts[0];
        w->acts[i].in = push(a, T * s->D);
        if (s->parallel)
            w->acts[i].mid = w->acts[i].in;
    }
    w->again = push(a, T * s->D);
}

static void plan_backward(wn_stack_work *w, const wn_stack *s, wn_arena *a, size_t dropped,
                          size_t wide)
{
    size_t T = w->T;
    w->drop = dropped ? push(a, T * dropped) : NULL;
    w->gradient = push(a, T * s->D);
    w->d_mid = push(a, T * s->D);
    w->d_h = push(a, T * s->D);
    w->d_qkv = push(a, T * wn_qkv_width(s));
    w->d_ctx = push(a, T * wide);
    w->d_up = push(a, T * wn_up_width(s));
    w->d_act = push(a, T * s->F);
    w->d_bias = s->bias == WN_NO_PARAM ? NULL : push(a, s->buckets * s->H);
    if (!s->layer[0].cross_q.N)
        return;
    w->d_source = push(a, T * s->D);
    w->d_cross_q = push(a, T * s->H * s->d);
    w->d_cross_kv = push(a, T * 2 * s->H * s->d);
}

void wn_stack_plan(wn_stack_work *w, const wn_stack *s, wn_arena *a, wn_acts *acts, size_t T,
                   size_t segments, wn_work_kind kind)
{
    size_t rank = 0, dropped = 0, scaled = 0;
    for (size_t i = 0; i < s->L; i++)
        for (int k = 0; k < WN_LAYER_LINEARS; k++) {
            const wn_linear *l = wn_layer_linear(&s->layer[i], k);
            rank = l->r > rank ? l->r : rank;
            if (l->r && l->dropout > 0 && l->K > dropped)
                dropped = l->K;
            if (wn_linear_scaled(l) > scaled)
                scaled = wn_linear_scaled(l);
        }
    *w = (wn_stack_work){.T = T,
                         .acts = acts,
                         .recompute = kind == WN_WORK_RECOMPUTE,
                         .narrow = kind == WN_WORK_NARROW};
    plan_layers(w, s, a, kind != WN_WORK_FORWARD);
    /* h and act also hold a layer's input, d_ctx also a state's gradient */
    size_t heads = s->H * s->d, wide = s->D > heads ? s->D : heads;
    w->h = push(a, T * wide);
    w->act = push(a, T * (s->F > wide ? s->F : wide));
    w->mean = push(a, T);
    w->rinv = push(a, T);
    w->mixed = s->qkv_mixed ? push(a, T * wn_qkv_width(s)) : NULL;
    w->low = rank ? push(a, T * rank) : NULL;
    w->scaled = scaled ? push(a, T * scaled) : NULL;
    w->pre = wn_arena_push(a, 2 * segments * sizeof(uint32_t));
    w->own = wn_arena_push(a, 2 * segments * sizeof(uint32_t));
    bool cross = s->layer[0].cross_q.N > 0;
    w->from = cross ? wn_arena_push(a, 2 * segments * sizeof(uint32_t)) : NULL;
    w->none = cross ? wn_arena_push(a, 2 * segments * sizeof(uint32_t)) : NULL;
    w->pos = wn_arena_push(a, T * sizeof(int32_t));
    if (s->longer.from) {
        w->angle = push(a, T * s->rot);
        w->angle_at = wn_arena_push(a, T * sizeof(int32_t));
        w->length = wn_arena_push(a, segments * sizeof(uint32_t));
    }
    if (kind == WN_WORK_FORWARD && wn_stack_strips_fit(s))
        wn_stack_strips_plan(&w->strips, s, a, T);
    if (kind != WN_WORK_FORWARD)
        plan_backward(w, s, a, dropped, wide);
}
