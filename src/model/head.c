/* A tile is as many positions as keep its logits near 16 MB, so they stay in cache between the
 * product, the softmax and the product back. Positions are gathered segment by segment, so rows of
 * one example lie together and sinks see them as one. */
#include "model/head.h"

#include <string.h>

enum { TILE_BYTES = 16 << 20, TILE_LEAST = 16 };

void wn_head_plan(wn_head_work *w, const wn_head *h, wn_arena *a, size_t labels, size_t segments,
                  bool train)
{
    size_t tile = TILE_BYTES / (h->V * sizeof(float));
    tile = tile / TILE_LEAST * TILE_LEAST;
    tile = tile < TILE_LEAST ? TILE_LEAST : tile;
    *w = (wn_head_work){.P = labels, .tile = tile < labels ? tile : labels};
    w->token = wn_arena_push(a, labels * sizeof(uint32_t));
    w->label = wn_arena_push(a, labels * sizeof(int32_t));
    w->off = wn_arena_push(a, (segments + 1) * sizeof(uint32_t));
    w->part = wn_arena_push(a, (segments + 1) * sizeof(uint32_t));
    w->state = wn_arena_push(a, labels * h->D * sizeof(float));
    w->normed = wn_arena_push(a, labels * h->D * sizeof(float));
    w->mean = wn_arena_push(a, labels * sizeof(float));
    w->rinv = wn_arena_push(a, labels * sizeof(float));
    w->weight = wn_arena_push(a, labels * sizeof(float));
    w->nll = wn_arena_push(a, labels * sizeof(float));
    w->lse = wn_arena_push(a, labels * sizeof(float));
    w->logits = wn_arena_push(a, w->tile * h->V * sizeof(float));
    w->dstate = train ? wn_arena_push(a, labels * h->D * sizeof(float)) : NULL;
}

static wn_err put(wn_head_work *w, size_t *n, const wn_head *h, uint32_t token, int32_t label)
{
    if (label < 0)
        return WN_OK;
    if ((size_t)label >= h->V)
        return wn_fail(WN_EARG, "token id %d: the model's vocabulary has %zu", label, h->V);
    WN_ASSERT(*n < w->P);
    w->token[*n] = token;
    w->label[(*n)++] = label;
    return WN_OK;
}

static wn_err gather(wn_head_work *w, const wn_head *h, const wn_batch *b)
{
    size_t n = 0;
    for (size_t s = 0; s < b->B; s++) {
        w->off[s] = (uint32_t)n;
        if (b->first_label && b->parent && b->parent[s] >= 0)
            WN_TRY(put(w, &n, h, b->off[b->parent[s] + 1] - 1, b->first_label[s]));
        for (uint32_t t = b->off[s]; b->label && t < b->off[s + 1]; t++)
            WN_TRY(put(w, &n, h, t, b->label[t]));
    }
    w->off[b->B] = (uint32_t)n;
    return WN_OK;
}

/* Gradients of one tile's positions [p0, p1): logits become their gradient. */
static void tile_back(const wn_head *h, wn_head_work *w, wn_pass *pass, const float *in, size_t p0,
                      size_t p1)
{
    size_t n = p1 - p0, B = pass->batch->B;
    wn_softmax_nll_back(w->logits, w->lse + p0, w->label + p0, w->weight + p0, n, h->V, h->softcap);
    wn_mm_back(w->dstate + p0 * h->D, h->D, w->logits, h->V, h->mat, n, 0);
    wn_param *W = &pass->params->p[h->weight];
    wn_param *bias = h->bias == WN_NO_PARAM ? NULL : &pass->params->p[h->bias];
    W = W->trainable ? W : NULL;
    bias = bias && bias->trainable ? bias : NULL;
    if (!W && !bias)
        return;
    for (size_t s = 0; s <= B; s++) {
        size_t at = w->off[s] < p0 ? p0 : w->off[s] > p1 ? p1 : w->off[s];
        w->part[s] = (uint32_t)(at - p0);
    }
    wn_seg seg = {B, w->part};
    pass->sink->linear(pass->sink->ctx, W, bias, 1, w->logits, h->V, in + p0 * h->D, h->D, h->V,
                       h->D, &seg);
}

wn_err wn_head_run(const wn_head *h, wn_head_work *w, wn_pass *pass, const float *x,
                   const float *weight, float *dx, double *nll, uint32_t *count)
{
    const wn_batch *b = pass->batch;
    WN_TRY(gather(w, h, b));
    size_t P = w->off[b->B], D = h->D;
    for (size_t p = 0; p < P; p++)
        memcpy(w->state + p * D, x + (size_t)w->token[p] * D, D * sizeof(float));
    const float *in = w->state;
    if (h->norm.gain != WN_NO_PARAM) {
        wn_norm_fwd(w->normed, w->mean, w->rinv, w->state, &h->norm, pass->params, P, D);
        in = w->normed;
    } else if (h->scale != 1) {
        memcpy(w->normed, w->state, P * D * sizeof(float));
        in = w->normed;
    }
    if (h->scale != 1)
        wn_scale(w->normed, h->scale, P * D);
    for (size_t s = 0; weight && s < b->B; s++)
        for (uint32_t p = w->off[s]; p < w->off[s + 1]; p++)
            w->weight[p] = weight[s];
    const float *bias = h->bias == WN_NO_PARAM ? NULL : pass->params->p[h->bias].value;
    for (size_t p0 = 0; p0 < P; p0 += w->tile) {
        size_t p1 = p0 + w->tile < P ? p0 + w->tile : P;
        wn_mm(w->logits, h->V, in + p0 * D, D, h->mat, bias, p1 - p0, 0);
        wn_softmax_nll(w->nll + p0, w->lse + p0, w->logits, w->label + p0, p1 - p0, h->V,
                       h->softcap);
        if (weight)
            tile_back(h, w, pass, in, p0, p1);
    }
    for (size_t s = 0; s < b->B; s++) {
        nll[s] = 0;
        for (uint32_t p = w->off[s]; p < w->off[s + 1]; p++)
            nll[s] += (double)w->nll[p];
        count[s] = w->off[s + 1] - w->off[s];
    }
    if (!weight)
        return WN_OK;
    if (h->scale != 1)
        wn_scale(w->dstate, h->scale, P * D);
    const float *d = w->dstate;
    if (h->norm.gain != WN_NO_PARAM) {
        wn_seg seg = {b->B, w->off};
        wn_norm_bwd(w->normed, w->dstate, w->state, w->mean, w->rinv, &h->norm, pass, &seg, P, D,
                    false);
        d = w->normed;
    }
    memset(dx, 0, b->T * D * sizeof(float));
    for (size_t p = 0; p < P; p++)
        wn_add(dx + (size_t)w->token[p] * D, d + p * D, D);
    return WN_OK;
}
