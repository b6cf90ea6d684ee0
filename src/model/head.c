/* A tile is as many positions as keep its logits near 16 MB, so they stay in cache between the
 * product, the softmax and the product back. Positions are gathered segment by segment, so rows of
 * one example lie together and sinks see them as one. */
#include "model/head.h"

#include <math.h>
#include <string.h>

#include "base/par.h"
#include "model/dropout.h"

enum { TILE_BYTES = 16 << 20, TILE_LEAST = 16 };

void wn_head_plan(wn_head_work *w, const wn_head *h, wn_arena *a, size_t labels, size_t segments,
                  wn_work_kind kind)
{
    bool train = kind != WN_WORK_FORWARD;
    size_t tile = TILE_BYTES / (h->V * sizeof(float));
    tile = tile / TILE_LEAST * TILE_LEAST;
    tile = tile < TILE_LEAST ? TILE_LEAST : tile;
    tile = kind == WN_WORK_EXAMPLES ? labels : tile;
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
    w->margin = train ? wn_arena_push(a, labels * sizeof(float)) : NULL;
    w->dnormed =
        kind == WN_WORK_EXAMPLES ? wn_arena_push(a, labels * h->D * sizeof(float)) : w->normed;
    w->dstate = train ? wn_arena_push(a, labels * h->D * sizeof(float)) : NULL;
    size_t narrow = h->project ? labels * h->output->K * sizeof(float) : 0;
    w->narrow = narrow ? wn_arena_push(a, narrow) : NULL;
    w->dnarrow = narrow && train ? wn_arena_push(a, narrow) : NULL;
    if (h->project)
        wn_linear_plan(&w->project, h->project, a, labels);
    wn_linear_plan(&w->output, h->output, a, w->tile);
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

/* The pass of a layer whose rows are the supervised positions [p0, p1), cut into segments by off.
 */
static wn_pass positions_pass(const wn_head_work *w, const wn_pass *pass, const uint32_t *off,
                              size_t p0, size_t p1, wn_batch *rows)
{
    wn_pass p = *pass;
    *rows = (wn_batch){.B = pass->batch->B, .T = p1 - p0, .off = off};
    p.batch = rows;
    p.tokens = pass->batch;
    p.token = w->token + p0;
    return p;
}

/* Of the output matrix on a tile. */
static wn_pass tile_pass(wn_head_work *w, const wn_pass *pass, size_t p0, size_t p1, wn_batch *rows)
{
    for (size_t s = 0; s <= pass->batch->B; s++) {
        size_t at = w->off[s] < p0 ? p0 : w->off[s] > p1 ? p1 : w->off[s];
        w->part[s] = (uint32_t)(at - p0);
    }
    wn_pass p = positions_pass(w, pass, w->part, p0, p1, rows);
    return wn_linear_pass(&p, &w->output);
}

/* Gradients of one tile's positions [p0, p1): logits become their gradient. */
static void tile_back(const wn_head *h, wn_head_work *w, wn_pass *pass, const float *in, size_t p0,
                      size_t p1)
{
    size_t n = p1 - p0, E = h->output->K;
    wn_batch rows;
    wn_pass tile = tile_pass(w, pass, p0, p1, &rows);
    if (pass->margin && pass->quantity != WN_LOSS)
        wn_softmax_margin_back(w->logits, w->lse + p0, w->label + p0, w->weight + p0, n, h->V,
                               h->softcap);
    else
        wn_softmax_nll_back(w->logits, w->lse + p0, w->label + p0, w->weight + p0, n, h->V,
                            h->softcap);
    wn_linear_bwd((h->project ? w->dnarrow : w->dstate) + p0 * E, E, w->logits, h->V, in + p0 * E,
                  E, w->output.kept, h->output, &tile, 0);
}

/* The clipped margin of a token whose exact one is m, and what its clip makes of the gradient. */
static double clipped(double m, wn_quantity quantity, double *factor)
{
    double p = 1 / (1 + exp(-m)), rest = 1 / (1 + exp(m)); /* rest = 1 - p */
    *factor = 1;
    if (quantity == WN_MARGIN_REF_COT) {
        double q = p - 0.001, other = rest + 0.001 + 1e-10;
        *factor = p * rest * (1 / q + 1 / other);
        return log(q / other);
    }
    double shift = p > 0.9 ? -0.01 : p < 0.001 ? 0.01 : 0;
    if (quantity != WN_MARGIN_REF || shift == 0)
        return m;
    *factor = p * rest / ((p + shift) * (rest - shift));
    return log((p + shift) / (rest - shift));
}

/* nll, lse and, where they are asked for, margins of a tile's positions; with margins as the
 * quantity, lse leaves out the label. */
static void tile_values(const wn_head *h, wn_head_work *w, const wn_pass *pass, size_t p0,
                        size_t p1)
{
    size_t n = p1 - p0;
    const int32_t *label = w->label + p0;
    if (!pass->margin) {
        wn_softmax_nll(w->nll + p0, w->lse + p0, w->logits, label, n, h->V, h->softcap);
        return;
    }
    wn_softmax_margin(w->nll + p0, w->margin + p0, w->lse + p0, w->logits, label, n, h->V,
                      h->softcap);
    for (size_t p = p0; p < p1; p++) {
        double factor, m = (double)w->margin[p];
        if (pass->quantity == WN_LOSS) /* log(e^rest + e^logit) = rest + log(1 + e^m) */
            w->lse[p] += (float)(m > 0 ? m + log1p(exp(-m)) : log1p(exp(m)));
        w->margin[p] = (float)clipped(m, pass->quantity, &factor);
        w->weight[p] *= (float)factor;
    }
}

static double sum(const float *x, uint32_t from, uint32_t to)
{
    double s = 0;
    for (uint32_t i = from; i < to; i++)
        s += (double)x[i];
    return s;
}

/* A position's mask is its token's. */
static void drop_normed(const wn_head *h, const wn_head_work *w, const wn_pass *pass, float *x)
{
    if (wn_dropping(pass) && h->drop > 0)
        wn_drop(x, x, h->D, w->off[pass->batch->B], h->D, h->drop, h->place, w->token, pass);
}

/* The state at supervised positions, behind norm and scale. */
static const float *normed_state(const wn_head *h, wn_head_work *w, const wn_pass *pass,
                                 const float *x)
{
    size_t P = w->off[pass->batch->B], D = h->D;
    for (size_t p = 0; p < P; p++)
        memcpy(w->state + p * D, x + (size_t)w->token[p] * D, D * sizeof(float));
    if (h->norm.gain != WN_NO_PARAM)
        wn_norm_fwd(w->normed, w->mean, w->rinv, w->state, &h->norm, pass->params, P, D);
    else if (h->scale != 1)
        memcpy(w->normed, w->state, P * D * sizeof(float));
    else
        return w->state;
    drop_normed(h, w, pass, w->normed);
    if (h->scale != 1)
        wn_scale(w->normed, h->scale, P * D);
    return w->normed;
}

/* Of the projection before it, on all positions. */
static wn_pass project_pass(const wn_head_work *w, const wn_pass *pass, wn_batch *rows)
{
    wn_pass p = positions_pass(w, pass, w->off, 0, w->off[pass->batch->B], rows);
    return wn_linear_pass(&p, &w->project);
}

/* As the output matrix takes it. */
static const float *head_input(const wn_head *h, wn_head_work *w, const wn_pass *pass,
                               const float *state)
{
    wn_batch rows;
    wn_pass p = project_pass(w, pass, &rows);
    if (!h->project)
        return state;
    wn_linear_fwd(w->narrow, h->output->K, state, h->D, h->project, &p, w->project.kept, 0);
    return w->narrow;
}

static void output_fwd(const wn_head *h, wn_head_work *w, const wn_pass *pass, const float *in,
                       size_t p0, size_t p1)
{
    wn_batch rows;
    wn_pass tile = tile_pass(w, pass, p0, p1, &rows);
    size_t E = h->output->K;
    wn_linear_fwd(w->logits, h->V, in + p0 * E, E, h->output, &tile, w->output.kept, 0);
}

static void tile_fwd(const wn_head *h, wn_head_work *w, const wn_pass *pass, const float *in,
                     size_t p0, size_t p1)
{
    output_fwd(h, w, pass, in, p0, p1);
    tile_values(h, w, pass, p0, p1);
}

/* All tiles forward, and backward where the weights are known already. */
static void run_tiles(const wn_head *h, wn_head_work *w, wn_pass *pass, const float *in,
                      const wn_head_weight *weight)
{
    size_t P = w->off[pass->batch->B];
    bool known = weight && !weight->weigh;
    for (size_t p0 = 0; p0 < P; p0 += w->tile) {
        size_t p1 = p0 + w->tile < P ? p0 + w->tile : P;
        tile_fwd(h, w, pass, in, p0, p1);
        if (known)
            tile_back(h, w, pass, in, p0, p1);
    }
    if (!weight || known)
        return;
    weight->weigh->fn(weight->weigh->ctx, w->weight, w->nll, w->off, pass->batch->B);
    for (size_t p0 = 0; p0 < P; p0 += w->tile) {
        size_t p1 = p0 + w->tile < P ? p0 + w->tile : P;
        if (P > w->tile)
            tile_fwd(h, w, pass, in, p0, p1);
        tile_back(h, w, pass, in, p0, p1);
    }
}

/* From the gradient of the head's input to that of the stack's output. */
static void head_back(const wn_head *h, wn_head_work *w, wn_pass *pass, const float *state,
                      float *dx)
{
    const wn_batch *b = pass->batch;
    size_t P = w->off[b->B], D = h->D;
    wn_batch rows;
    wn_pass p_rows = project_pass(w, pass, &rows);
    if (h->project)
        wn_linear_bwd(w->dstate, D, w->dnarrow, h->output->K, state, D, w->project.kept, h->project,
                      &p_rows, 0);
    if (h->scale != 1)
        wn_scale(w->dstate, h->scale, P * D);
    drop_normed(h, w, pass, w->dstate);
    const float *d = w->dstate;
    if (h->norm.gain != WN_NO_PARAM) {
        wn_seg seg = {b->B, w->off, 0};
        wn_norm_bwd(w->dnormed, w->dstate, w->state, w->mean, w->rinv, &h->norm, pass, &seg, P, D,
                    false);
        d = w->dnormed;
    }
    memset(dx, 0, b->T * D * sizeof(float));
    for (size_t p = 0; p < P; p++)
        wn_add(dx + (size_t)w->token[p] * D, d + p * D, D);
}

wn_err wn_head_run(const wn_head *h, wn_head_work *w, wn_pass *pass, const float *x,
                   const wn_head_weight *weight, float *dx, double *nll, uint32_t *count)
{
    const wn_batch *b = pass->batch;
    WN_TRY(gather(w, h, b));
    const float *state = normed_state(h, w, pass, x), *in = head_input(h, w, pass, state);
    for (size_t s = 0; weight && weight->segment && s < b->B; s++)
        for (uint32_t p = w->off[s]; p < w->off[s + 1]; p++)
            w->weight[p] = weight->segment[s];
    run_tiles(h, w, pass, in, weight);
    for (size_t s = 0; s < b->B; s++) {
        nll[s] = sum(w->nll, w->off[s], w->off[s + 1]);
        if (pass->margin)
            pass->margin[s] = sum(w->margin, w->off[s], w->off[s + 1]);
        count[s] = w->off[s + 1] - w->off[s];
    }
    if (weight)
        head_back(h, w, pass, state, dx);
    return WN_OK;
}

/* ---- the next token
 * ----------------------------------------------------------------------------------- */

struct next_job {
    const float *logits;
    size_t V;
    int32_t *next;
};

static void pick(void *ctx, size_t p, int thread)
{
    (void)thread;
    const struct next_job *j = ctx;
    const float *logit = j->logits + p * j->V;
    float best = -INFINITY;
    int32_t at = -1;
    for (size_t i = 0; i < j->V; i++)
        if (logit[i] > best) {
            best = logit[i];
            at = (int32_t)i;
        }
    j->next[p] = isfinite(best) ? at : -1;
}

void wn_head_next(const wn_head *h, wn_head_work *w, const wn_pass *pass, const float *x,
                  int32_t *next)
{
    const wn_batch *b = pass->batch;
    WN_ASSERT(b->B <= w->P);
    w->off[b->B] = (uint32_t)b->B;
    for (size_t s = 0; s < b->B; s++) {
        w->off[s] = (uint32_t)s;
        w->token[s] = b->off[s + 1] - 1;
    }
    const float *in = head_input(h, w, pass, normed_state(h, w, pass, x));
    for (size_t p0 = 0; p0 < b->B; p0 += w->tile) {
        size_t n = p0 + w->tile < b->B ? w->tile : b->B - p0;
        output_fwd(h, w, pass, in, p0, p0 + n);
        wn_par_do(n, pick, &(struct next_job){w->logits, h->V, next + p0});
    }
}
