/* A layer forward above its backward, and the loop over layers. What is kept between the two:
 * stack_plan.c. */
#include "model/stack.h"

#include <string.h>

#include "base/par.h"
#include "model/dropout.h"
#include "model/rope.h"
#include "model/stack_strips.h"

void wn_stack_free(wn_stack *s)
{
    for (size_t i = 0; s->layer && i < s->L; i++) {
        for (int k = 0; k < WN_LAYER_LINEARS; k++)
            wn_linear_free(wn_layer_linear(&s->layer[i], k));
    }
    wn_free(s->layer);
    wn_free(s->rope[0]);
    wn_free(s->rope[1]);
    wn_free(s->longer.freq);
    wn_free(s->slope);
    *s = (wn_stack){0};
}

wn_linear *wn_layer_linear(wn_layer *l, int i)
{
    wn_linear *all[WN_LAYER_LINEARS] = {&l->qkv[0],  &l->qkv[1],  &l->qkv[2],   &l->out,
                                        &l->up[0],   &l->up[1],   &l->down,     &l->cross_q,
                                        &l->cross_k, &l->cross_v, &l->cross_out};
    return all[i];
}

wn_err wn_stack_prepare(const wn_stack *s, wn_stack_work *w, const wn_batch *b)
{
    WN_ASSERT(b->T <= w->T);
    w->kv = NULL;
    for (size_t i = 0; i < b->B; i++) {
        int32_t p = b->parent ? b->parent[i] : -1;
        uint32_t from = p < 0 ? 0 : b->off[p], to = p < 0 ? 0 : b->off[p + 1];
        uint32_t n = b->off[i + 1] - b->off[i], before = to - from;
        if (s->positions && before + n > s->positions)
            return wn_fail(WN_EARG, "a row of %u tokens: the model has %zu positions", before + n,
                           s->positions);
        w->pre[2 * i] = from;
        w->pre[2 * i + 1] = to;
        w->own[2 * i] = b->off[i];
        w->own[2 * i + 1] = b->off[i + 1];
        if (w->from) {
            const uint32_t *off = b->source->off + b->source_of[i];
            w->from[2 * i] = off[0];
            w->from[2 * i + 1] = off[1];
            w->none[2 * i] = w->none[2 * i + 1] = 0;
        }
        for (uint32_t t = 0; t < n; t++)
            w->pos[b->off[i] + t] = (int32_t)(before + t);
    }
    return wn_rope_prepare(s, w, b);
}

/* ---- norms -------------------------------------------------------------------------------------
 */

bool wn_norm_trainable(const wn_norm *n, const wn_params *ps)
{
    return n->gain != WN_NO_PARAM &&
           (ps->p[n->gain].trainable || (n->bias != WN_NO_PARAM && ps->p[n->bias].trainable));
}

void wn_norm_fwd(float *y, float *mean, float *rinv, const float *x, const wn_norm *n,
                 const wn_params *ps, size_t T, size_t D)
{
    const float *g = ps->p[n->gain].value;
    if (n->rms)
        wn_rmsnorm(y, rinv, x, g, T, D, n->eps);
    else
        wn_layernorm(y, mean, rinv, x, g, n->bias == WN_NO_PARAM ? NULL : ps->p[n->bias].value, T,
                     D, n->eps);
}

void wn_norm_bwd(float *dx, const float *dy, const float *x, const float *mean, const float *rinv,
                 const wn_norm *n, wn_pass *pass, const wn_seg *seg, size_t T, size_t D, bool add)
{
    wn_param *g = &pass->params->p[n->gain];
    wn_param *b = n->bias == WN_NO_PARAM ? NULL : &pass->params->p[n->bias];
    if (g->trainable || (b && b->trainable))
        pass->sink->norm(pass->sink->ctx, g->trainable ? g : NULL, b && b->trainable ? b : NULL, dy,
                         x, n->rms ? NULL : mean, rinv, D, seg);
    if (!dx)
        return;
    if (n->rms)
        wn_rmsnorm_back(dx, dy, x, g->value, rinv, T, D, add);
    else
        wn_layernorm_back(dx, dy, x, g->value, mean, rinv, T, D, add);
}

/* y = norm(x), or x itself where there is no norm. */
static const float *normed(float *y, float *mean, float *rinv, const float *x, const wn_norm *n,
                           const wn_params *ps, size_t T, size_t D)
{
    if (n->gain == WN_NO_PARAM)
        return x;
    wn_norm_fwd(y, mean, rinv, x, n, ps, T, D);
    return y;
}

/* ---- attention ---------------------------------------------------------------------------------
 */

static uint64_t place_of(const wn_stack *s, const wn_layer *l, enum wn_drop_layer place)
{
    return s->drop.site + WN_DROP_OWN + (uint64_t)(l - s->layer) * WN_DROP_A_LAYER + place;
}

/* NULL, or what drops the probabilities of a layer's attention; `d` is its room. */
static const wn_attn_drop *attention_drop(wn_attn_drop *d, const wn_stack *s, const wn_layer *l,
                                          const wn_pass *pass, enum wn_drop_layer place)
{
    wn_drop_rule r;
    if (!wn_dropping(pass) || !(s->drop.attn > 0))
        return NULL;
    wn_drop_rule_of(&r, s->drop.attn, place_of(s, l, place), pass);
    *d = (wn_attn_drop){.keep = r.keep,
                        .scale = r.scale,
                        .key = {r.key[0], r.key[1]},
                        .step = r.step,
                        .example = pass->batch->example};
    return d;
}

wn_attn wn_stack_attention(const wn_stack *s, const wn_layer *l, const wn_stack_work *w,
                           const wn_pass *pass)
{
    size_t ld = wn_qkv_width(s);
    const wn_batch *b = pass->batch;
    const float *bias = s->bias == WN_NO_PARAM ? NULL : pass->params->p[s->bias].value;
    return (wn_attn){.S = b->B,
                     .q0 = b->off,
                     .pre = w->pre,
                     .own = w->own,
                     .H = s->H,
                     .G = s->G,
                     .d = s->d,
                     .dv = s->d,
                     .ldq = ld,
                     .ldk = ld,
                     .ldv = ld,
                     .ldo = s->H * s->d,
                     .causal = s->causal,
                     .scale = s->scale,
                     .softcap = s->softcap,
                     .window = l->window,
                     .slope = s->slope,
                     .bias = bias,
                     .buckets = (int)s->buckets,
                     .max_distance = (int)s->max_distance,
                     .bidirectional = !s->causal,
                     .bf16 = l->out.mat.kind != WN_MAT_F32};
}

/* Rows of q, k, v head by head to queries | keys | values, or back. */
struct mix_job {
    float *out;
    const float *in;
    size_t H, d;
    bool back;
};

static void mix_row(void *ctx, size_t t, int thread)
{
    (void)thread;
    const struct mix_job *j = ctx;
    size_t row = t * 3 * j->H * j->d, bytes = j->d * sizeof(float);
    for (size_t h = 0; h < j->H; h++)
        for (size_t part = 0; part < 3; part++) {
            size_t mixed = row + (h * 3 + part) * j->d, split = row + (part * j->H + h) * j->d;
            memcpy(j->out + (j->back ? mixed : split), j->in + (j->back ? split : mixed), bytes);
        }
}

static void mix(float *out, const float *in, const wn_stack *s, size_t T, bool back)
{
    wn_par_do(T, mix_row, &(struct mix_job){out, in, s->H, s->d, back});
}

/* The norm of queries or keys: of each head's d components, or of all heads together. `first` is
 * where they begin in a row, n rows of `width` are normed a token. */
struct head_part {
    size_t first, n, width;
};

static struct head_part head_part(const wn_stack *s, bool keys)
{
    size_t heads = keys ? s->G : s->H;
    return (struct head_part){keys ? s->H * s->d : 0, s->qk_whole ? 1 : heads,
                              s->qk_whole ? heads * s->d : s->d};
}

static void head_norm(float *x, float *raw, float *rinv, const wn_stack *s, const wn_norm *n,
                      const wn_params *ps, size_t T, bool keys)
{
    size_t all = s->H + s->G, ld = wn_qkv_width(s);
    struct head_part p = head_part(s, keys);
    for (size_t t = 0; t < T; t++) {
        float *row = x + t * ld + p.first;
        if (raw)
            memcpy(raw + t * all * s->d + p.first, row, p.n * p.width * sizeof(float));
        wn_norm_fwd(row, NULL, rinv ? rinv + t * all + p.first / s->d : NULL, row, n, ps, p.n,
                    p.width);
    }
}

/* dq is d(queries | keys | values). One token's heads at a time: the sink sees them as rows of its
 * example. */
static void head_norm_bwd(float *dq, const wn_acts *c, wn_stack_work *w, const wn_stack *s,
                          const wn_norm *n, wn_pass *pass, bool keys)
{
    size_t all = s->H + s->G, ld = wn_qkv_width(s);
    struct head_part p = head_part(s, keys);
    uint32_t off[2] = {0, (uint32_t)p.n};
    wn_seg one = {1, off, 0};
    for (size_t t = 0; t < pass->batch->T; t++) {
        while (t >= pass->batch->off[one.first + 1])
            one.first++;
        float *d = dq + t * ld + p.first,
              *dy = w->h; /* h is free here: the caller's input lies elsewhere */
        memcpy(dy, d, p.n * p.width * sizeof(float));
        wn_norm_bwd(d, dy, c->qk_raw + t * all * s->d + p.first, NULL,
                    c->qk_rinv + t * all + p.first / s->d, n, pass, &one, p.n, p.width, false);
    }
}

/* Rows of keys | values, `width` each, to their places among those that stay: segment i's from row
 * to[i * step] on. */
static void keep_rows(float *out, const float *kv, size_t ld, size_t width, const wn_batch *b,
                      const uint32_t *to, size_t step)
{
    for (size_t i = 0; i < b->B; i++)
        for (uint32_t t = b->off[i]; t < b->off[i + 1]; t++)
            memcpy(out + (size_t)(to[i * step] + t - b->off[i]) * width, kv + t * ld,
                   width * sizeof *kv);
}

/* Queries and keys of T tokens, by their positions or back. */
static void rotate(float *q, const wn_stack *s, const wn_layer *l, const wn_stack_work *w, size_t T,
                   bool back)
{
    bool own = w->any_long && l->rope == 0;
    wn_rope(q, wn_qkv_width(s), s->H + s->G, s->d, s->rot, s->interleaved, back,
            own ? w->angle : s->rope[l->rope], own ? w->angle_at : w->pos, T);
}

static void attention_fwd(const wn_stack *s, const wn_layer *l, wn_acts *c, wn_stack_work *w,
                          wn_pass *pass, const float *h)
{
    const wn_batch *b = pass->batch;
    size_t T = b->T, ld = wn_qkv_width(s), col = 0;
    for (int i = 0; i < l->n_qkv; i++) {
        wn_linear_fwd(s->qkv_mixed ? w->mixed : c->qkv + col, ld, h, s->D, &l->qkv[i], pass,
                      c->kept[i], 0);
        col += l->qkv[i].N;
    }
    if (s->qkv_mixed)
        mix(c->qkv, w->mixed, s, T, false);
    float *q = c->qkv, *k = q + s->H * s->d, *v = k + s->G * s->d;
    if (l->q_norm.gain != WN_NO_PARAM) {
        head_norm(q, c->qk_raw, c->qk_rinv, s, &l->q_norm, pass->params, T, false);
        head_norm(q, c->qk_raw, c->qk_rinv, s, &l->k_norm, pass->params, T, true);
    }
    if (l->rope >= 0)
        rotate(q, s, l, w, T, false);
    wn_attn_drop drop;
    wn_attn a = wn_stack_attention(s, l, w, pass);
    a.drop = attention_drop(&drop, s, l, pass, WN_DROP_ATTN);
    if (w->kv) {
        size_t width = 2 * s->G * s->d;
        float *kept = w->kv->own + (size_t)(l - s->layer) * w->kv->rows * width;
        keep_rows(kept, k, ld, width, b, w->own, 2);
        k = kept;
        v = k + s->G * s->d;
        a.ldk = a.ldv = width;
    }
    wn_attention(c->ctx, c->lse, q, k, v, &a);
}

/* The same with the gradient of relative positions: an example at a time, since it is a sum over
 * the example. */
static void attention_bias_bwd(const wn_stack *s, wn_acts *c, wn_stack_work *w, wn_pass *pass,
                               wn_attn a)
{
    float *q = c->qkv, *k = q + s->H * s->d, *v = k + s->G * s->d;
    float *dq = w->d_qkv, *dk = dq + s->H * s->d, *dv = dk + s->G * s->d;
    size_t n = s->buckets * s->H, S = a.S;
    wn_attn_drop drop = a.drop ? *a.drop : (wn_attn_drop){0};
    a.drop = a.drop ? &drop : NULL;
    a.S = 1;
    for (size_t b = 0; b < S; b++, a.q0++, a.pre += 2, a.own += 2) {
        drop.first = b;
        drop.example = pass->batch->example ? pass->batch->example + b : NULL;
        memset(w->d_bias, 0, n * sizeof(float));
        wn_attention_back(dq, dk, dv, w->d_bias, w->d_ctx, c->ctx, c->lse, q, k, v, &a);
        pass->sink->table(pass->sink->ctx, &pass->params->p[s->bias], w->d_bias, n, b);
    }
}

/* d_ctx to d_h; h is the attention's input. */
static void attention_bwd(const wn_stack *s, const wn_layer *l, wn_acts *c, wn_stack_work *w,
                          wn_pass *pass, const float *h, bool need_dh, bool add)
{
    const wn_batch *b = pass->batch;
    size_t T = b->T, ld = wn_qkv_width(s), col = 0;
    float *q = c->qkv, *k = q + s->H * s->d, *v = k + s->G * s->d;
    float *dq = w->d_qkv, *dk = dq + s->H * s->d, *dv = dk + s->G * s->d;
    wn_attn_drop drop;
    wn_attn a = wn_stack_attention(s, l, w, pass);
    a.drop = attention_drop(&drop, s, l, pass, WN_DROP_ATTN);
    if (s->bias != WN_NO_PARAM && pass->params->p[s->bias].trainable)
        attention_bias_bwd(s, c, w, pass, a);
    else
        wn_attention_back(dq, dk, dv, NULL, w->d_ctx, c->ctx, c->lse, q, k, v, &a);
    if (l->rope >= 0)
        rotate(dq, s, l, w, T, true);
    if (l->q_norm.gain != WN_NO_PARAM) {
        head_norm_bwd(dq, c, w, s, &l->q_norm, pass, false);
        head_norm_bwd(dq, c, w, s, &l->k_norm, pass, true);
    }
    if (s->qkv_mixed)
        mix(w->mixed, w->d_qkv, s, T, true);
    for (int i = 0; i < l->n_qkv; i++) {
        wn_linear_bwd(need_dh ? w->d_h : NULL, s->D, s->qkv_mixed ? w->mixed : w->d_qkv + col, ld,
                      h, s->D, c->kept[i], &l->qkv[i], pass, i || add ? WN_MM_ADD : 0);
        col += l->qkv[i].N;
    }
}

/* ---- dropout of parts -----------------------------------------------------------------------
 */

/* x += out(drop(part)), the part computed by the caller to the place that this returns: the state
 * itself (`*flags` then says to add) where neither dropout nor a norm stands between. */
static float *part_place(float *x, float *normed_part, const wn_stack *s, const wn_norm *n,
                         const wn_stack_work *w, const wn_pass *pass, int *flags)
{
    bool norm = n->gain != WN_NO_PARAM, drop = wn_dropping(pass) && s->drop.residual > 0;
    *flags = norm || drop ? 0 : WN_MM_ADD;
    return norm ? normed_part : drop ? w->d_mid : x;
}

/* What the part's last product adds on its way: the state where a norm stands behind the sum. */
static const float *residual_of(const float *x, const wn_stack *s, const wn_norm *n,
                                const wn_pass *pass)
{
    return s->post_norm && n->gain != WN_NO_PARAM && !wn_dropping(pass) ? x : NULL;
}

/* The part's last linear layer: out = (out, if WN_MM_ADD, +) l(in) + residual. */
static void part_last(float *out, const float *in, size_t ldi, const wn_stack *s,
                      const wn_linear *l, wn_pass *pass, float *kept, int flags,
                      const float *residual)
{
    if (wn_linear_plain(l)) {
        wn_fused f = {.flags = flags, .residual = residual, .ldr = s->D};
        wn_linear_fused(out, s->D, in, ldi, l, NULL, pass, f);
        return;
    }
    wn_linear_fwd(out, s->D, in, ldi, l, pass, kept, flags);
    if (residual)
        wn_add(out, residual, pass->batch->T * s->D);
}

/* Behind the part: drops, and adds what was not computed in place. */
static void part_drop(float *x, float *part, const wn_stack *s, const wn_layer *l, const wn_norm *n,
                      const wn_pass *pass, enum wn_drop_layer place)
{
    size_t T = pass->batch->T;
    if (!wn_dropping(pass) || !(s->drop.residual > 0))
        return;
    wn_drop(part, part, s->D, T, s->D, s->drop.residual, place_of(s, l, place), NULL, pass);
    if (n->gain == WN_NO_PARAM)
        wn_add(x, part, T * s->D);
}

/* The part's own gradient from that of what it was added to. */
static const float *part_undrop(float *own, const float *g, const wn_stack *s, const wn_layer *l,
                                const wn_pass *pass, enum wn_drop_layer place)
{
    if (!wn_dropping(pass) || !(s->drop.residual > 0))
        return g;
    wn_drop(own, g, s->D, pass->batch->T, s->D, s->drop.residual, place_of(s, l, place), NULL,
            pass);
    return own;
}

/* ---- attention to an encoder's output
 * ---------------------------------------------------------------- */

static wn_attn cross_of(const wn_stack *s, const wn_layer *l, const wn_stack_work *w,
                        const wn_batch *b)
{
    size_t all = s->H * s->d;
    return (wn_attn){.S = b->B,
                     .q0 = b->off,
                     .pre = w->from,
                     .own = w->none,
                     .H = s->H,
                     .G = s->H,
                     .d = s->d,
                     .dv = s->d,
                     .ldq = all,
                     .ldk = 2 * all,
                     .ldv = 2 * all,
                     .ldo = all,
                     .scale = s->scale,
                     .bf16 = l->cross_out.mat.kind != WN_MAT_F32};
}

/* Keys and values are made once of the source's rows, however many segments look at them; where
 * they are kept, only of the rows that are new. */
static void cross_fwd(const wn_stack *s, const wn_layer *l, wn_acts *c, wn_stack_work *w,
                      wn_pass *pass, float *x, bool keep)
{
    size_t T = pass->batch->T, all = s->H * s->d;
    wn_pass source = *pass;
    source.batch = pass->batch->source;
    if (keep)
        memcpy(c->cross, x, T * s->D * sizeof(float));
    const float *h =
        normed(w->h, c->cross_mean, c->cross_rinv, x, &l->cross_in, pass->params, T, s->D);
    wn_linear_fwd(c->cross_q, all, h, s->D, &l->cross_q, pass, c->kept[7], 0);
    wn_linear_fwd(c->cross_kv, 2 * all, w->source, s->D, &l->cross_k, &source, c->kept[8], 0);
    wn_linear_fwd(c->cross_kv + all, 2 * all, w->source, s->D, &l->cross_v, &source, c->kept[9], 0);
    wn_attn_drop drop;
    wn_attn a = cross_of(s, l, w, pass->batch);
    a.drop = attention_drop(&drop, s, l, pass, WN_DROP_CROSS);
    const float *kv = c->cross_kv;
    if (w->kv) {
        float *kept = w->kv->source + (size_t)(l - s->layer) * w->kv->source_rows * 2 * all;
        keep_rows(kept, kv, 2 * all, 2 * all, source.batch, w->kv->source_to, 1);
        kv = kept;
    }
    wn_attention(c->cross_ctx, c->cross_lse, c->cross_q, kv, kv + all, &a);
    int flags;
    const wn_norm none = {.gain = WN_NO_PARAM};
    float *part = part_place(x, NULL, s, &none, w, pass, &flags);
    wn_linear_fwd(part, s->D, c->cross_ctx, all, &l->cross_out, pass, c->kept[10], flags);
    part_drop(x, part, s, l, &none, pass, WN_DROP_CROSS_OUT);
}

/* w->gradient: of the state behind in, of the state before out; w->d_source gets this layer's
 * share. */
static void cross_bwd(const wn_stack *s, const wn_layer *l, wn_acts *c, wn_stack_work *w,
                      wn_pass *pass)
{
    size_t T = pass->batch->T, all = s->H * s->d;
    wn_seg seg = {pass->batch->B, pass->batch->off, 0};
    wn_pass source = *pass;
    source.batch = pass->batch->source;
    const float *dp = part_undrop(w->d_h, w->gradient, s, l, pass, WN_DROP_CROSS_OUT);
    wn_linear_bwd(w->d_ctx, all, dp, s->D, c->cross_ctx, all, c->kept[10], &l->cross_out, pass, 0);
    wn_attn_drop drop;
    wn_attn a = cross_of(s, l, w, pass->batch);
    a.drop = attention_drop(&drop, s, l, pass, WN_DROP_CROSS);
    wn_attention_back(w->d_cross_q, w->d_cross_kv, w->d_cross_kv + all, NULL, w->d_ctx,
                      c->cross_ctx, c->cross_lse, c->cross_q, c->cross_kv, c->cross_kv + all, &a);
    wn_linear_bwd(w->d_source, s->D, w->d_cross_kv, 2 * all, w->source, s->D, c->kept[8],
                  &l->cross_k, &source, WN_MM_ADD);
    wn_linear_bwd(w->d_source, s->D, w->d_cross_kv + all, 2 * all, w->source, s->D, c->kept[9],
                  &l->cross_v, &source, WN_MM_ADD);
    const float *h = normed(w->act, NULL, NULL, c->cross, &l->cross_in, pass->params, T, s->D);
    wn_linear_bwd(w->d_h, s->D, w->d_cross_q, all, h, s->D, c->kept[7], &l->cross_q, pass, 0);
    wn_norm_bwd(w->gradient, w->d_h, c->cross, c->cross_mean, c->cross_rinv, &l->cross_in, pass,
                &seg, T, s->D, true);
}

/* ---- the feed-forward part
 * ----------------------------------------------------------------------- */

static void drop_act(float *y, const wn_stack *s, const wn_layer *l, const wn_pass *pass)
{
    if (wn_dropping(pass) && s->drop.act > 0)
        wn_drop(y, y, s->F, pass->batch->T, s->F, s->drop.act, place_of(s, l, WN_DROP_ACT), NULL,
                pass);
}

static void activate(float *y, const float *up, const wn_stack *s, const wn_layer *l,
                     const wn_pass *pass)
{
    wn_act_gate(y, up, s->gated ? up + s->F : NULL, wn_up_width(s), pass->batch->T, s->F, s->act);
    drop_act(y, s, l, pass);
}

/* w->act = act(h gate^T) * (h up^T) or act(h up^T) in one product; false: it cannot be. */
static bool activate_fused(const wn_stack *s, const wn_layer *l, wn_stack_work *w,
                           const wn_pass *pass, const float *h)
{
    static const int flag[] = {[WN_ACT_SILU] = WN_MM_SILU,
                               [WN_ACT_GELU] = WN_MM_GELU,
                               [WN_ACT_GELU_TANH] = WN_MM_GELU_TANH,
                               [WN_ACT_RELU] = WN_MM_RELU,
                               [WN_ACT_IDENTITY] = 0};
    if (l->n_up != 1 + s->gated || (s->gated && s->D > WN_FUSED_K) || wn_dropping(pass))
        return false;
    for (int i = 0; i < l->n_up; i++)
        if (!wn_linear_plain(&l->up[i]))
            return false;
    wn_linear_fused(w->act, s->F, h, s->D, &l->up[0], s->gated ? &l->up[1] : NULL, pass,
                    (wn_fused){.flags = flag[s->act]});
    return true;
}

/* out (+= with WN_MM_ADD, + residual) from h. */
static void mlp_fwd(float *out, const wn_stack *s, const wn_layer *l, wn_acts *c, wn_stack_work *w,
                    wn_pass *pass, const float *h, int flags, const float *residual, bool keep)
{
    size_t col = 0;
    bool made = !keep && activate_fused(s, l, w, pass, h);
    for (int i = 0; i < l->n_up && !made; i++) {
        wn_linear_fwd(c->up + col, wn_up_width(s), h, s->D, &l->up[i], pass, c->kept[4 + i], 0);
        col += l->up[i].N;
    }
    if (!made)
        activate(w->act, c->up, s, l, pass);
    part_last(out, w->act, s->F, s, &l->down, pass, c->kept[6], flags, residual);
}

/* dm [T, D], the gradient of the part's output, to d_h; h is its input. */
static void mlp_bwd(const float *dm, const wn_stack *s, const wn_layer *l, wn_acts *c,
                    wn_stack_work *w, wn_pass *pass, const float *h)
{
    size_t T = pass->batch->T, col = 0, ld = wn_up_width(s);
    activate(w->act, c->up, s, l, pass);
    wn_linear_bwd(w->d_act, s->F, dm, s->D, w->act, s->F, c->kept[6], &l->down, pass, 0);
    drop_act(w->d_act, s, l, pass);
    wn_act_gate_back(w->d_up, s->gated ? w->d_up + s->F : NULL, w->d_act, c->up,
                     s->gated ? c->up + s->F : NULL, ld, T, s->F, s->act);
    for (int i = 0; i < l->n_up; i++) {
        wn_linear_bwd(w->d_h, s->D, w->d_up + col, ld, h, s->D, c->kept[4 + i], &l->up[i], pass,
                      i ? WN_MM_ADD : 0);
        col += l->up[i].N;
    }
}

/* ---- layers
 * -------------------------------------------------------------------------------------- */

/* x += out(part) for one half of a layer: the norm behind the part, the residual, or the norm
 * behind the residual. `part` is the half's raw output where it has a norm of its own, else it was
 * added already. */
static void join(float *x, float *sum, float *mean, float *rinv, const wn_stack *s,
                 const wn_norm *n, const wn_params *ps, float *scratch, size_t T, bool added)
{
    if (n->gain == WN_NO_PARAM)
        return;
    if (s->post_norm) { /* sum holds part, or x + part if added; x becomes its norm */
        if (!added)
            wn_add(sum, x, T * s->D);
        wn_norm_fwd(x, mean, rinv, sum, n, ps, T, s->D);
    } else {
        wn_norm_fwd(scratch, mean, rinv, sum, n, ps, T, s->D);
        wn_add(x, scratch, T * s->D);
    }
}

static void layer_fwd(const wn_stack *s, const wn_layer *l, wn_acts *c, wn_stack_work *w,
                      wn_pass *pass, float *x, bool keep)
{
    size_t T = pass->batch->T, bytes = T * s->D * sizeof(float);
    const wn_params *ps = pass->params;
    int flags;
    if (keep)
        memcpy(c->in, x, bytes);
    float *parallel_in = c->in ? c->in : c->attn; /* the second half needs the input again */
    if (s->parallel && !keep)
        memcpy(parallel_in, x, bytes);
    const float *h = normed(w->h, c->in_mean, c->in_rinv, x, &l->attn_in, ps, T, s->D);
    if (s->normed_residual)
        memcpy(x, h, bytes);
    attention_fwd(s, l, c, w, pass, h);
    float *part = part_place(x, c->attn, s, &l->attn_out, w, pass, &flags);
    const float *added = residual_of(x, s, &l->attn_out, pass);
    part_last(part, c->ctx, s->H * s->d, s, &l->out, pass, c->kept[3], flags, added);
    part_drop(x, part, s, l, &l->attn_out, pass, WN_DROP_ATTN_OUT);
    join(x, c->attn, c->attn_mean, c->attn_rinv, s, &l->attn_out, ps, w->h, T, added);
    if (l->cross_q.N)
        cross_fwd(s, l, c, w, pass, x, keep);
    if (keep && !s->parallel)
        memcpy(c->mid, x, bytes);
    h = normed(w->h, c->mid_mean, c->mid_rinv, s->parallel ? parallel_in : x, &l->mlp_in, ps, T,
               s->D);
    if (s->normed_residual)
        memcpy(x, h, bytes);
    part = part_place(x, c->mlp, s, &l->mlp_out, w, pass, &flags);
    added = residual_of(x, s, &l->mlp_out, pass);
    mlp_fwd(part, s, l, c, w, pass, h, flags, added, keep);
    part_drop(x, part, s, l, &l->mlp_out, pass, WN_DROP_MLP_OUT);
    join(x, c->mlp, c->mlp_mean, c->mlp_rinv, s, &l->mlp_out, ps, w->h, T, added);
}

enum narrowing { WN_TO_BF16, WN_FROM_BF16, WN_ROUND_BF16 };

/* qkv, ctx and up of T tokens to where they are kept as bf16, back, or rounded where they are. */
static void narrow(wn_acts *c, const wn_stack *s, size_t T, enum narrowing how)
{
    float *part[] = {c->qkv, c->ctx, c->up};
    const size_t width[] = {wn_qkv_width(s), s->H * s->d, wn_up_width(s)};
    uint16_t *half = c->narrow;
    for (size_t i = 0; i < 3; i++) {
        size_t n = T * width[i];
        if (how == WN_ROUND_BF16) {
            wn_round_bf16(part[i], n);
            continue;
        }
        if (how == WN_TO_BF16)
            wn_to_bf16(half, part[i], n);
        else
            wn_from_bf16(part[i], half, n);
        half += n;
    }
}

void wn_stack_fwd(const wn_stack *s, wn_stack_work *w, wn_pass *pass, float *x, size_t last,
                  bool keep)
{
    pass->drop = w->drop;
    pass->low = w->low;
    pass->scaled = w->scaled;
    if (!keep && wn_stack_strips_fwd(s, w, pass, x, last))
        return;
    for (size_t i = 0; i < last; i++) {
        wn_acts *c = &w->acts[keep ? i : 0];
        layer_fwd(s, &s->layer[i], c, w, pass, x, keep);
        if (keep && c->narrow)
            narrow(c, s, pass->batch->T, WN_TO_BF16);
    }
}

/* Gradient of a half's raw output from that of the state behind it. post_norm: g becomes the
 * gradient of the sum and is the part's too; otherwise the part's gradient is written to `own` if
 * it has a norm. */
static const float *split(float *g, float *own, const float *sum, const float *mean,
                          const float *rinv, const wn_stack *s, const wn_norm *n, wn_pass *pass,
                          const wn_seg *seg, size_t T)
{
    if (n->gain == WN_NO_PARAM)
        return g;
    wn_norm_bwd(own, g, sum, mean, rinv, n, pass, seg, T, s->D, false);
    if (!s->post_norm)
        return own;
    memcpy(g, own, T * s->D * sizeof(float));
    return g;
}

/* w->gradient: of the layer's output in, of its input out. */
static void layer_bwd(const wn_stack *s, const wn_layer *l, wn_acts *c, wn_stack_work *w,
                      wn_pass *pass, bool need_dx)
{
    size_t T = pass->batch->T;
    const wn_params *ps = pass->params;
    wn_seg seg = {pass->batch->B, pass->batch->off, 0};
    float *g = w->gradient;
    bool in_norm = l->attn_in.gain != WN_NO_PARAM, mid_norm = l->mlp_in.gain != WN_NO_PARAM;
    if (s->parallel) /* both halves start from the output's gradient */
        memcpy(w->d_mid, g, T * s->D * sizeof(float));
    const float *dm =
        split(g, w->d_ctx, c->mlp, c->mlp_mean, c->mlp_rinv, s, &l->mlp_out, pass, &seg, T);
    dm = part_undrop(w->d_ctx, dm, s, l, pass, WN_DROP_MLP_OUT);
    const float *h = normed(w->h, NULL, NULL, c->mid, &l->mlp_in, ps, T, s->D);
    mlp_bwd(dm, s, l, c, w, pass, h);
    if (s->normed_residual)
        wn_add(w->d_h, g, T * s->D);
    if (mid_norm)
        wn_norm_bwd(g, w->d_h, c->mid, c->mid_mean, c->mid_rinv, &l->mlp_in, pass, &seg, T, s->D,
                    !s->normed_residual);
    else
        wn_add(g, w->d_h, T * s->D);
    if (l->cross_q.N)
        cross_bwd(s, l, c, w, pass);
    float *ga = s->parallel ? w->d_mid : g;
    const float *da =
        split(ga, w->d_h, c->attn, c->attn_mean, c->attn_rinv, s, &l->attn_out, pass, &seg, T);
    da = part_undrop(w->d_h, da, s, l, pass, WN_DROP_ATTN_OUT);
    wn_linear_bwd(w->d_ctx, s->H * s->d, da, s->D, c->ctx, s->H * s->d, c->kept[3], &l->out, pass,
                  0);
    bool train_in = wn_norm_trainable(&l->attn_in, ps);
    h = normed(w->act, NULL, NULL, c->in, &l->attn_in, ps, T, s->D);
    attention_bwd(s, l, c, w, pass, h, need_dx || train_in, false);
    if (s->normed_residual && (need_dx || train_in))
        wn_add(w->d_h, ga, T * s->D);
    if (in_norm && (need_dx || train_in))
        wn_norm_bwd(g, w->d_h, c->in, c->in_mean, c->in_rinv, &l->attn_in, pass, &seg, T, s->D,
                    !s->normed_residual);
    else if (need_dx)
        wn_add(g, w->d_h, T * s->D);
}

static bool layer_trained(wn_layer *l, const wn_params *ps)
{
    const wn_norm *norm[] = {&l->attn_in, &l->attn_out, &l->mlp_in,  &l->mlp_out,
                             &l->q_norm,  &l->k_norm,   &l->cross_in};
    bool any = false;
    for (size_t i = 0; i < sizeof norm / sizeof *norm; i++)
        any |= wn_norm_trainable(norm[i], ps);
    for (int k = 0; k < WN_LAYER_LINEARS && !any; k++) {
        const wn_linear *lin = wn_layer_linear(l, k);
        any = lin->N && wn_linear_trained(lin, ps);
    }
    return any;
}

/* The lowest layer that is trained, L: none. A table that all layers share makes it the first. */
static size_t lowest_trained(const wn_stack *s, const wn_params *ps)
{
    size_t i = 0;
    if (s->bias != WN_NO_PARAM && ps->p[s->bias].trainable)
        return 0;
    while (i < s->L && !layer_trained(&s->layer[i], ps))
        i++;
    return i;
}

bool wn_stack_trained(const wn_stack *s, const wn_params *ps)
{
    return lowest_trained(s, ps) < s->L;
}

void wn_stack_bwd(const wn_stack *s, wn_stack_work *w, wn_pass *pass, bool below)
{
    size_t lowest = below ? 0 : lowest_trained(s, pass->params), D = s->D;
    pass->drop = w->drop;
    pass->low = w->low;
    pass->scaled = w->scaled;
    for (size_t i = s->L; i-- > lowest;) {
        wn_acts *c = &w->acts[i];
        if (w->recompute && i + 1 < s->L) { /* the last layer's are still there */
            memcpy(w->again, c->in, pass->batch->T * D * sizeof(float));
            layer_fwd(s, &s->layer[i], c, w, pass, w->again, true);
            if (w->round)
                narrow(c, s, pass->batch->T, WN_ROUND_BF16);
        }
        if (c->narrow)
            narrow(c, s, pass->batch->T, WN_FROM_BF16);
        layer_bwd(s, &s->layer[i], c, w, pass, i > lowest || below);
    }
}
