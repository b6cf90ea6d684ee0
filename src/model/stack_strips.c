/* The layers of a stack on tile products, forward only, with everything between two products in
 * bf16: what the loop of stack.c does for models whose weights are bf16 or int8 and that are only
 * run. States stay floats.
 *
 * Rows are independent but for attention, so all that lies between two attentions, the end of one
 * layer and the beginning of the next, is one piece of work for a group of rows, whose numbers
 * then never leave the second cache: the feed-forward part is taken CHUNK inner values at a time
 * for the same reason. Results do not depend on the groups: every row is a sequence of its own. */
#include "model/stack_strips.h"

#include "base/par.h"
#include "kernel/strips.h"
#include "kernel/table.h"
#include "model/dropout.h"

enum {
    GROUP = 512, /* most rows */
    CHUNK = 512  /* inner values of the feed-forward part at once */
};

/* ---- what it is for ---------------------------------------------------------------------------
 */

static bool linear_fits(const wn_linear *l)
{
    return wn_linear_plain(l) && (l->mat.kind == WN_MAT_BF16 || l->mat.kind == WN_MAT_INT8);
}

static bool layer_fits(const wn_stack *s, const wn_layer *l)
{
    bool norms = l->q_norm.gain == WN_NO_PARAM && l->k_norm.gain == WN_NO_PARAM;
    if (!s->post_norm)
        norms &= l->attn_out.gain == WN_NO_PARAM && l->mlp_out.gain == WN_NO_PARAM;
    bool turns = l->rope < 0 || (!s->interleaved && s->rot == s->d && s->d % 32 == 0);
    bool fits = norms && turns && !l->cross_q.N && l->n_up == 1 + s->gated &&
                linear_fits(&l->out) && linear_fits(&l->down) && l->down.mat.kind == WN_MAT_BF16;
    for (int i = 0; i < l->n_qkv; i++)
        fits &= linear_fits(&l->qkv[i]);
    for (int i = 0; i < l->n_up; i++)
        fits &= linear_fits(&l->up[i]) && l->up[i].mat.kind == l->up[0].mat.kind;
    return fits;
}

bool wn_stack_strips_fit(const wn_stack *s)
{
    if (s->parallel || s->normed_residual || s->qkv_mixed || s->d % 16 || s->H * s->d % 32)
        return false;
    for (size_t i = 0; i < s->L; i++)
        if (!layer_fits(s, &s->layer[i]))
            return false;
    return true;
}

void wn_stack_strips_plan(wn_strips *w, const wn_stack *s, wn_arena *a, size_t T)
{
    size_t heads = s->H * s->d, wide = s->D > heads ? s->D : heads;
    size_t rows = (T + WN_STRIP - 1) / WN_STRIP * WN_STRIP;
    w->h = wn_arena_push(a, wn_strips_bytes(T, s->D));
    w->ctx = wn_arena_push(a, wn_strips_bytes(T, heads));
    w->act = wn_arena_push(a, wn_strips_bytes(T, CHUNK));
    w->qkv = wn_arena_push(a, rows * wn_qkv_width(s) * sizeof *w->qkv);
    w->bytes = wn_arena_push(a, wn_strips_bytes(T, wide));
    w->row = wn_arena_push(a, rows * sizeof *w->row);
    w->zero = wn_arena_push(a, rows * sizeof *w->zero);
}

/* ---- rows between two attentions --------------------------------------------------------------
 */

typedef struct job {
    const wn_stack *s;
    const wn_stack_work *w;
    const wn_pass *pass;
    float *x;
    const wn_layer *ends, *begins; /* NULL: none */
    size_t T, group;
} job;

/* Rows [t, t + m) of the batch. */
typedef struct rows {
    const job *j;
    size_t t, m;
} rows;

static uint16_t *strips_at(uint16_t *strips, size_t t, size_t K)
{
    return strips + t * wn_strip_tiles(K) * 32;
}

static wn_strip_bytes bytes_at(const rows *r, size_t K)
{
    const wn_strips *b = &r->j->w->strips;
    return (wn_strip_bytes){b->bytes + r->t * ((K + 63) / 64) * 64, b->row + r->t, b->zero + r->t};
}

static const float *value_of(const job *j, int param)
{
    return param == WN_NO_PARAM ? NULL : j->pass->params->p[param].value;
}

static void norm_row(const job *j, float *y, const float *x, const wn_norm *n)
{
    const wn_kernels *t = wn_kernel_table();
    const float *g = value_of(j, n->gain);
    float mean, rinv;
    if (n->rms)
        t->rmsnorm(y, x, g, j->s->D, n->eps);
    else
        t->layernorm(y, &mean, &rinv, x, g, value_of(j, n->bias), j->s->D, n->eps);
}

/* The state through the norm behind a half of a layer, then, through the norm before it, to what
 * the products of a half load: strips of bf16, of bytes, or both. */
static void state_rows(const rows *r, const wn_norm *behind, const wn_norm *before, bool half,
                       bool byte)
{
    const job *j = r->j;
    size_t D = j->s->D;
    wn_strip_bytes bytes = bytes_at(r, D);
    float *line = wn_kernel_scratch();
    for (size_t i = 0; i < r->m; i++) {
        float *x = j->x + (r->t + i) * D;
        const float *h = x;
        if (behind && behind->gain != WN_NO_PARAM)
            norm_row(j, x, x, behind);
        if (before && before->gain != WN_NO_PARAM) {
            norm_row(j, line, x, before);
            h = line;
        }
        if (half || byte)
            wn_strip_row(half ? strips_at(j->w->strips.h, r->t, D) : NULL, byte ? &bytes : NULL, i,
                         h, D);
    }
}

/* A product of the rows' strips (K numbers wide) with a layer, to be given its place. */
static wn_strip_product product_of(const rows *r, const wn_linear *l, const uint16_t *strips,
                                   const wn_strip_bytes *bytes)
{
    bool int8 = l->mat.kind == WN_MAT_INT8;
    return (wn_strip_product){.x = int8 ? NULL : strips,
                              .bytes = int8 ? bytes : NULL,
                              .T = r->m,
                              .kt = int8 ? (l->K + 63) / 64 : wn_strip_tiles(l->K),
                              .W = &l->mat,
                              .bias = value_of(r->j, l->bias),
                              .act = WN_ACT_IDENTITY};
}

/* The first `turned` outputs are rotated. */
static void project(const rows *r, const wn_strip_product *whole, const wn_layer *l, size_t col,
                    size_t turned)
{
    const job *j = r->j;
    const wn_stack_work *w = j->w;
    size_t ld = wn_qkv_width(j->s), N = whole->W->N;
    bool own = w->any_long && l->rope == 0;
    for (size_t at = 0; at < N; at = at < turned ? turned : N) {
        wn_mat part = wn_mat_part(whole->W, at, (at < turned ? turned : N) - at);
        wn_strip_product p = *whole;
        p.W = &part;
        p.bias = p.bias ? p.bias + at : NULL;
        p.rows = w->strips.qkv + r->t * ld + col + at;
        p.ld = ld;
        if (at < turned) {
            p.half = j->s->d / 2;
            p.angle = own ? w->angle : j->s->rope[l->rope];
            p.pos = (own ? w->angle_at : w->pos) + r->t;
        }
        wn_strip_mm(&p);
    }
}

static void queries_keys_values(const rows *r, const wn_layer *l)
{
    const wn_stack *s = r->j->s;
    size_t col = 0, turned = l->rope < 0 ? 0 : (s->H + s->G) * s->d;
    wn_strip_bytes bytes = bytes_at(r, s->D);
    for (int i = 0; i < l->n_qkv; i++) {
        wn_strip_product p =
            product_of(r, &l->qkv[i], strips_at(r->j->w->strips.h, r->t, s->D), &bytes);
        size_t left = turned > col ? turned - col : 0;
        project(r, &p, l, col, left < l->qkv[i].N ? left : l->qkv[i].N);
        col += l->qkv[i].N;
    }
}

/* x += out(ctx). */
static void attention_out(const rows *r, const wn_layer *l)
{
    const job *j = r->j;
    size_t K = l->out.K;
    uint16_t *ctx = strips_at(j->w->strips.ctx, r->t, K);
    wn_strip_bytes bytes = bytes_at(r, K);
    float *line = wn_kernel_scratch();
    for (size_t i = 0; l->out.mat.kind == WN_MAT_INT8 && i < r->m; i++) {
        wn_strip_floats(line, ctx, i, K);
        wn_strip_row(NULL, &bytes, i, line, K);
    }
    wn_strip_product p = product_of(r, &l->out, ctx, &bytes);
    p.y = j->x + r->t * j->s->D;
    p.ld = j->s->D;
    wn_strip_mm(&p);
}

/* x += down(act(up(h))). */
static void feed_forward(const rows *r, const wn_layer *l)
{
    const job *j = r->j;
    const wn_stack *s = j->s;
    wn_strip_bytes bytes = bytes_at(r, s->D);
    wn_strip_product u = product_of(r, &l->up[0], strips_at(j->w->strips.h, r->t, s->D), &bytes);
    for (size_t f = 0; f < s->F; f += CHUNK) {
        size_t n = s->F - f < CHUNK ? s->F - f : CHUNK;
        uint16_t *act = strips_at(j->w->strips.act, r->t, CHUNK);
        wn_mat gate = wn_mat_part(&l->up[0].mat, f, n), up;
        wn_strip_product p = u;
        p.W = &gate;
        p.bias = p.bias ? p.bias + f : NULL;
        p.act = s->act;
        if (s->gated) {
            const float *bias = value_of(j, l->up[1].bias);
            up = wn_mat_part(&l->up[1].mat, f, n);
            p.up = &up;
            p.up_bias = bias ? bias + f : NULL;
        }
        p.strips = act;
        wn_strip_mm(&p);
        wn_strip_product d = product_of(r, &l->down, act, NULL);
        d.kt = wn_strip_tiles(n);
        d.k0 = f / 32;
        d.bias = f ? NULL : d.bias;
        d.y = j->x + r->t * s->D;
        d.ld = s->D;
        wn_strip_mm(&d);
    }
}

static bool any_kind(const wn_linear *l, int n, wn_mat_kind kind)
{
    bool any = false;
    for (int i = 0; i < n; i++)
        any |= l[i].mat.kind == kind;
    return any;
}

static void run_rows(void *ctx, size_t i, int thread)
{
    (void)thread;
    const job *j = ctx;
    rows r = {j, i * j->group, j->group};
    if (r.t + r.m > j->T)
        r.m = j->T - r.t;
    const wn_layer *e = j->ends, *b = j->begins;
    if (e) {
        attention_out(&r, e);
        bool byte = e->up[0].mat.kind == WN_MAT_INT8;
        state_rows(&r, &e->attn_out, &e->mlp_in, !byte, byte);
        feed_forward(&r, e);
    }
    state_rows(&r, e ? &e->mlp_out : NULL, b ? &b->attn_in : NULL,
               b && any_kind(b->qkv, b->n_qkv, WN_MAT_BF16),
               b && any_kind(b->qkv, b->n_qkv, WN_MAT_INT8));
    if (b)
        queries_keys_values(&r, b);
}

bool wn_stack_strips_fwd(const wn_stack *s, wn_stack_work *w, wn_pass *pass, float *x, size_t last)
{
    if (!w->strips.h || w->kv || wn_dropping(pass) || !wn_strips_there() || !wn_stack_strips_fit(s))
        return false;
    size_t T = pass->batch->T, width = (size_t)wn_par_width(), groups = (T + GROUP - 1) / GROUP;
    groups = (groups + width - 1) / width * width + !T;
    size_t each = ((T + groups - 1) / groups + WN_STRIP - 1) / WN_STRIP * WN_STRIP;
    job j = {.s = s, .w = w, .pass = pass, .x = x, .T = T, .group = each};
    for (size_t i = 0; i <= last && T; i++) {
        j.ends = i ? &s->layer[i - 1] : NULL;
        j.begins = i < last ? &s->layer[i] : NULL;
        wn_par_do((T + each - 1) / each, run_rows, &j);
        if (i == last)
            break;
        wn_attn a = wn_stack_attention(s, j.begins, w, pass);
        const uint16_t *q = w->strips.qkv, *k = q + s->H * s->d, *v = k + s->G * s->d;
        wn_strip_attention(w->strips.ctx, q, k, v, &a);
    }
    return true;
}
