/* A parameter is waited for, here, or passed on; one that no batch has reached yet travels as no
 * numbers at all, so that it stays fresh (params.h) and its first share is written, not added to
 * zeros. Sinks cannot fail: what went wrong is kept until the pass is over. */
#include "train/relay.h"

#include <string.h>

#include "base/mem.h"
#include "base/ranks.h"

enum { SUMS = sizeof(wn_train_sums) / sizeof(float) };

typedef enum place { HERE, EXPECTED, PASSED } place;

struct wn_train_relay {
    wn_model *m;
    wn_params *params;
    wn_relay *relay; /* NULL: one rank, which adds as ever */
    wn_sink add;
    place *place;     /* [params] */
    float sums[SUMS]; /* what goes round behind the parameters */
    bool first, last; /* the batch at hand, of its update */
    wn_err failed;    /* in the pass at hand, with its text */
    char text[WN_ERROR_TEXT_BYTES];
};

static size_t size_of(const wn_param *p)
{
    return p->rows * p->cols;
}

static wn_err make(wn_train_relay *r)
{
    WN_NEW(r->place, r->params->n + 1);
    return wn_relay_new(&r->relay, r->params->n + 1);
}

wn_err wn_train_relay_new(wn_train_relay **out, wn_model *m)
{
    WN_NEW(*out, 1);
    wn_train_relay *r = *out;
    r->m = m;
    r->params = wn_model_params(m);
    r->add = wn_sink_train();
    return wn_ranks() > 1 ? make(r) : WN_OK;
}

void wn_train_relay_free(wn_train_relay *r)
{
    if (!r)
        return;
    wn_relay_free(r->relay);
    wn_free(r->place);
    wn_free(r);
}

bool wn_train_relay_mine(const wn_train_relay *r, uint64_t index)
{
    (void)r;
    return index % (uint64_t)wn_ranks() == (uint64_t)wn_rank();
}

/* ---- a parameter ---- */

static void keep_failure(wn_train_relay *r, wn_err e)
{
    if (!e || r->failed)
        return;
    r->failed = e;
    memcpy(r->text, wn_error_text(), sizeof r->text);
}

static wn_err arrive(wn_train_relay *r, size_t i)
{
    wn_param *p = &r->params->p[i];
    size_t n;
    if (r->place[i] != EXPECTED)
        return WN_OK;
    WN_TRY(wn_relay_arrived(r->relay, i, &n));
    p->fresh = n == 0;
    r->place[i] = HERE;
    return WN_OK;
}

static wn_err hand_on(wn_train_relay *r, size_t i)
{
    const wn_param *p = &r->params->p[i];
    if (r->last || r->place[i] == PASSED)
        return WN_OK;
    r->place[i] = PASSED;
    return wn_relay_pass(r->relay, i, p->grad, p->fresh ? 0 : size_of(p));
}

/* Before a share is added to p (NULL: none). */
static void take(wn_train_relay *r, const wn_param *p)
{
    if (!p || r->failed)
        return;
    size_t i = (size_t)(p - r->params->p);
    WN_ASSERT(r->place[i] != PASSED);
    keep_failure(r, arrive(r, i));
}

/* Behind the only share that p gets in a pass. */
static void pass(wn_train_relay *r, const wn_param *p)
{
    if (p && !r->failed && p->use == WN_PARAM_MATRIX && !wn_model_is_output(r->m, p))
        keep_failure(r, hand_on(r, (size_t)(p - r->params->p)));
}

/* ---- the sink ---- */

static void add_linear(void *ctx, wn_param *p, wn_param *bias, float scale, const float *dy,
                       size_t ldy, const float *x, size_t ldx, size_t N, size_t K,
                       const wn_seg *seg)
{
    wn_train_relay *r = ctx;
    take(r, p);
    take(r, bias);
    r->add.linear(r->add.ctx, p, bias, scale, dy, ldy, x, ldx, N, K, seg);
    pass(r, p);
    pass(r, bias);
}

static void add_norm(void *ctx, wn_param *g, wn_param *bias, const float *dy, const float *x,
                     const float *mean, const float *rinv, size_t D, const wn_seg *seg)
{
    wn_train_relay *r = ctx;
    take(r, g);
    take(r, bias);
    r->add.norm(r->add.ctx, g, bias, dy, x, mean, rinv, D, seg);
    pass(r, g);
    pass(r, bias);
}

static void add_table(void *ctx, wn_param *p, const float *d, size_t n, size_t example)
{
    wn_train_relay *r = ctx;
    take(r, p);
    r->add.table(r->add.ctx, p, d, n, example);
}

static void add_embed(void *ctx, wn_param *e, const float *dx, const int32_t *id, size_t D,
                      const wn_seg *seg)
{
    wn_train_relay *r = ctx;
    take(r, e);
    r->add.embed(r->add.ctx, e, dx, id, D, seg);
}

static void add_scale(void *ctx, wn_param *l, const float *dy, size_t ldy, const float *u,
                      size_t ldu, size_t n, const wn_seg *seg)
{
    wn_train_relay *r = ctx;
    take(r, l);
    r->add.scale(r->add.ctx, l, dy, ldy, u, ldu, n, seg);
    pass(r, l);
}

wn_sink wn_train_relay_sink(wn_train_relay *r)
{
    return r->relay ? (wn_sink){r, add_linear, add_norm, add_table, add_embed, add_scale} : r->add;
}

/* ---- a batch ---- */

wn_err wn_train_relay_begin(wn_train_relay *r, uint64_t index, bool last)
{
    wn_params *ps = r->params;
    r->first = index == 0;
    r->last = last;
    r->failed = WN_OK;
    if (!r->relay)
        return WN_OK;
    WN_TRY(wn_relay_passed(r->relay));
    for (size_t i = 0; i < ps->n; i++) {
        r->place[i] = r->first ? HERE : EXPECTED;
        if (ps->p[i].trainable && !r->first)
            WN_TRY(wn_relay_expect(r->relay, i, ps->p[i].grad, size_of(&ps->p[i])));
    }
    return r->first ? WN_OK : wn_relay_expect(r->relay, ps->n, r->sums, SUMS);
}

wn_err wn_train_relay_take(wn_train_relay *r, wn_train_sums *sums)
{
    wn_params *ps = r->params;
    size_t n;
    if (r->failed)
        wn_error_set_text(r->text);
    WN_TRY(r->failed);
    if (!r->relay || r->first)
        return WN_OK;
    for (size_t i = 0; i < ps->n; i++)
        if (ps->p[i].trainable)
            WN_TRY(arrive(r, i));
    WN_TRY(wn_relay_arrived(r->relay, ps->n, &n));
    memcpy(sums, r->sums, sizeof *sums);
    return WN_OK;
}

wn_err wn_train_relay_pass(wn_train_relay *r, const wn_train_sums *sums)
{
    wn_params *ps = r->params;
    if (!r->relay || r->last)
        return WN_OK;
    for (size_t i = 0; i < ps->n; i++)
        if (ps->p[i].trainable)
            WN_TRY(hand_on(r, i));
    memcpy(r->sums, sums, sizeof *sums);
    return wn_relay_pass(r->relay, ps->n, r->sums, SUMS);
}

/* ---- an update ---- */

wn_err wn_train_relay_share(wn_train_relay *r, uint64_t batches, wn_train_sums *sums)
{
    wn_params *ps = r->params;
    int from = (int)((batches - 1) % (uint64_t)wn_ranks());
    if (!r->relay) {
        wn_params_settle_grads(ps);
        return WN_OK;
    }
    WN_TRY(wn_relay_passed(r->relay));
    if (wn_rank() == from)
        wn_params_settle_grads(ps);
    for (size_t i = 0; i < ps->n; i++) {
        wn_param *p = &ps->p[i];
        p->fresh = false;
        if (p->trainable)
            WN_TRY(wn_ranks_share_of(from, p->grad, size_of(p) * sizeof *p->grad));
    }
    return wn_ranks_share_of(from, sums, sizeof *sums);
}
