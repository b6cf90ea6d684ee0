/* Where the time goes, for all parameters of a 135M model at d = 100 in f32: making tiles is the
 * ordinary product of a weight gradient (in bf16 a fifth of that); multiplying them by signs is 2 d
 * operations an element and example in the same kernel; making the signs is a third of that again
 * at sixteen examples. The signs were first kept as bits and spread for each example: four times
 * slower than sharing them.
 */
#include "feature/gradparts.h"

#include <math.h>
#include <string.h>

#include "base/par.h"

enum { COLUMNS = 256, PART_BYTES = 32 << 20, CHUNK = 8192, MAX_LOOKUP_EXTRA = 1 };

/* ---- memory ---- */

static bool is_vector(const wn_param *p)
{
    return p->rows == 1 || p->cols == 1 || p->use == WN_PARAM_BIAS_TABLE;
}

static size_t dim_of(const wn_grad_sink_opts *o)
{
    return o->projection ? o->projection->d : (size_t)o->chosen->p;
}

/* Lays everything out; with an arena that has no memory it only counts. */
static void plan(wn_grad_sink *s)
{
    const wn_grad_sink_opts *o = &s->o;
    const wn_projection *P = o->projection;
    wn_arena *a = &s->memory;
    size_t B = o->max_examples, T = o->max_tokens, lookups = 0;
    s->d = dim_of(o);
    s->threads = (size_t)wn_par_threads();
    s->n_small = 0;
    for (size_t i = 0; i < o->chosen->n; i++) {
        const wn_param *p = o->chosen->param[i];
        s->n_small += is_vector(p) ? p->rows * p->cols : 0;
        lookups += p->use == WN_PARAM_LOOKUP;
    }
    /* a table shared by two stacks is used twice */
    s->max_uses = lookups ? lookups + MAX_LOOKUP_EXTRA : 0;
    s->wave = PART_BYTES / (B * s->d * sizeof(float));
    s->wave = s->wave > WN_GRAD_WAVE ? WN_GRAD_WAVE : s->wave < s->threads ? s->threads : s->wave;
    s->slot = wn_arena_push(a, o->params->n * sizeof *s->slot);
    s->small_at = wn_arena_push(a, (o->chosen->n + 1) * sizeof *s->small_at);
    s->small = wn_arena_push(a, B * s->n_small * sizeof *s->small);
    s->sum = P ? wn_arena_push(a, B * s->d * sizeof *s->sum) : NULL;
    s->raw = P ? NULL : wn_arena_push(a, B * s->d * sizeof *s->raw);
    s->part = P ? wn_arena_push(a, s->wave * B * s->d * sizeof *s->part) : NULL;
    s->tile = wn_arena_push(a, s->threads * WN_GRAD_GROUP * WN_GRAD_TILE * sizeof *s->tile);
    s->use = wn_arena_push(a, s->max_uses * sizeof *s->use);
    for (size_t i = 0; i < s->max_uses; i++) {
        wn_grad_use u = {.dx = wn_arena_push(a, T * o->width * sizeof(float)),
                         .key = wn_arena_push(a, T * sizeof(uint64_t)),
                         .off = wn_arena_push(a, (B + 1) * sizeof(uint32_t))};
        if (s->use)
            s->use[i] = u;
    }
    s->output_off = wn_arena_push(a, (B + 1) * sizeof *s->output_off);
    s->row = wn_arena_push(a, s->max_uses * T * sizeof *s->row);
    bool kron = P && P->kind == WN_PROJECT_KRON;
    s->y = kron ? wn_arena_push(a, T * P->ko * sizeof *s->y) : NULL;
    s->x = kron ? wn_arena_push(a, T * P->ki * sizeof *s->x) : NULL;
}

size_t wn_grad_sink_bytes(const wn_grad_sink_opts *o)
{
    wn_grad_sink s = {.o = *o};
    plan(&s);
    return s.memory.used;
}

wn_err wn_grad_sink_new(wn_grad_sink **out, const wn_grad_sink_opts *o)
{
    *out = NULL;
    wn_grad_sink *s;
    WN_ASSERT(o->width <= WN_GRAD_TILE);
    WN_NEW(s, 1);
    s->o = *o;
    wn_err e = wn_arena_init(&s->memory, wn_grad_sink_bytes(o));
    if (e) {
        wn_free(s);
        return e;
    }
    plan(s);
    for (size_t i = 0; i < o->params->n; i++)
        s->slot[i] = -1;
    for (size_t i = 0; i < o->chosen->n; i++) {
        const wn_param *p = o->chosen->param[i];
        s->slot[p - o->params->p] = (int32_t)i;
        s->small_at[i + 1] = is_vector(p) ? p->rows * p->cols : 0;
    }
    s->small_at[0] = 0;
    for (size_t i = 0; i < o->chosen->n; i++)
        s->small_at[i + 1] += s->small_at[i];
    *out = s;
    return WN_OK;
}

void wn_grad_sink_free(wn_grad_sink *s)
{
    if (!s)
        return;
    wn_arena_free(&s->memory);
    wn_free(s);
}

size_t wn_grad_sink_dim(const wn_grad_sink *s)
{
    return s->d;
}

void wn_grad_sink_begin(wn_grad_sink *s, size_t B)
{
    WN_ASSERT(B <= s->o.max_examples);
    s->B = B;
    s->n_uses = 0;
    s->output_slot = SIZE_MAX;
    memset(s->small, 0, B * s->n_small * sizeof *s->small);
    if (s->sum)
        memset(s->sum, 0, B * s->d * sizeof *s->sum);
    else
        memset(s->raw, 0, B * s->d * sizeof *s->raw);
}

/* ---- results of pieces ---- */

static void add_example(void *ctx, size_t b, int thread)
{
    (void)thread;
    const wn_grad_matrix *j = ctx; /* tiles: pieces of the wave */
    wn_grad_sink *s = j->s;
    double *sum = s->sum + b * s->d;
    for (size_t i = 0; i < j->tiles; i++) {
        const float *part = s->part + (i * s->B + b) * s->d;
        for (size_t k = 0; k < s->d; k++)
            sum[k] += (double)part[k];
    }
}

void wn_grad_add_wave(wn_grad_sink *s, size_t pieces)
{
    wn_grad_matrix j = {.s = s, .tiles = pieces};
    wn_par_do(s->B, add_example, &j);
}

/* Adam's step direction instead of the gradient, n elements from element `at` of a parameter. */
static void precondition(const wn_grad_sink *s, size_t slot, size_t at, float *g, size_t n)
{
    const float *m = s->o.m[slot] + at, *v = s->o.v[slot] + at;
    for (size_t i = 0; i < n; i++)
        g[i] = (0.9f * m[i] + 0.1f * g[i]) / sqrtf(0.999f * v[i] + 0.001f * g[i] * g[i] + 1e-8f);
}

/* ---- matrices ---- */

static size_t div_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

/* Follows the shape alone: never the batch, whose cut must not show. */
static void cut(wn_grad_matrix *j)
{
    size_t across = div_up(j->K, COLUMNS);
    j->cols = div_up(div_up(j->K, across), 32) * 32;
    j->cols = j->cols > j->K ? j->K : j->cols;
    j->across = div_up(j->K, j->cols);
    j->rows = WN_GRAD_TILE / j->cols;
    j->rows = j->rows > j->N ? j->N : j->rows > 12 ? j->rows / 12 * 12 : j->rows;
    /* at least eight tiles, so that small matrices keep all threads busy */
    size_t least = div_up(8, j->across), rows = div_up(j->N, least);
    if (j->rows > rows)
        j->rows = rows < 12 ? (j->N < 12 ? j->N : 12) : rows;
    j->tiles = j->across * div_up(j->N, j->rows);
}

/* Example b's gradient on a tile: G [n, cols] from row n0 and column k0 on. */
static void form(const wn_grad_matrix *j, size_t b, size_t n0, size_t n, size_t k0, size_t cols,
                 float *G)
{
    const wn_grad_outer *o = j->outer;
    size_t t = 0, T = 0;
    if (o && b >= o->first && b - o->first < o->B) {
        t = o->off[b - o->first];
        T = o->off[b - o->first + 1] - t;
    }
    if (T)
        wn_outer(G, cols, o->scale, o->dy + t * o->ldy + n0, o->ldy, o->x + t * o->ldx + k0, o->ldx,
                 n, cols, T, o->bf16);
    else
        memset(G, 0, n * cols * sizeof *G);
    if (j->uses)
        wn_grad_use_rows(j->s, j->slot, b, n0, n, k0, cols, G);
    if (j->s->o.m)
        for (size_t r = 0; r < n; r++)
            precondition(j->s, j->slot, (n0 + r) * j->K + k0, G + r * cols, cols);
}

static void run_tile(void *ctx, size_t i, int thread)
{
    const wn_grad_matrix *j = ctx;
    wn_grad_sink *s = j->s;
    size_t at = j->tile0 + i, n0 = at / j->across * j->rows, k0 = at % j->across * j->cols;
    size_t n = j->N - n0 < j->rows ? j->N - n0 : j->rows;
    size_t cols = j->K - k0 < j->cols ? j->K - k0 : j->cols, d = s->d;
    uint64_t flat = s->o.chosen->at[j->slot];
    float *G = wn_grad_tile_of(s, thread);
    for (size_t b0 = 0; b0 < s->B; b0 += WN_GRAD_GROUP) {
        size_t some = s->B - b0 < WN_GRAD_GROUP ? s->B - b0 : WN_GRAD_GROUP;
        for (size_t b = 0; b < some; b++)
            form(j, b0 + b, n0, n, k0, cols, G + b * n * cols);
        if (s->raw) {
            for (size_t b = 0; b < some; b++)
                for (size_t r = 0; r < n; r++)
                    memcpy(s->raw + (b0 + b) * d + flat + (n0 + r) * j->K + k0,
                           G + (b * n + r) * cols, cols * sizeof *G);
            continue;
        }
        float *part = s->part + (i * s->B + b0) * d;
        memset(part, 0, some * d * sizeof *part);
        if (cols == j->K)
            wn_signs_add(part, d, G, n * cols, some, n * cols, &s->o.projection->signs,
                         flat + n0 * j->K);
        else
            for (size_t r = 0; r < n; r++)
                wn_signs_add(part, d, G + r * cols, n * cols, some, cols, &s->o.projection->signs,
                             flat + (n0 + r) * j->K + k0);
    }
}

void wn_grad_matrix_run(wn_grad_sink *s, size_t slot, const wn_grad_outer *outer, bool uses)
{
    const wn_param *p = s->o.chosen->param[slot];
    wn_grad_matrix j = {
        .s = s, .slot = slot, .N = p->rows, .K = p->cols, .outer = outer, .uses = uses};
    cut(&j);
    size_t wave = s->raw ? j.tiles : s->wave;
    for (size_t left = j.tiles; left; left -= wave, j.tile0 += wave) {
        wave = left < wave ? left : wave;
        wn_par_do(wave, run_tile, &j);
        if (s->sum)
            wn_grad_add_wave(s, wave);
    }
}

/* ---- the sink's calls ---- */

static int32_t slot_of(const wn_grad_sink *s, const wn_param *p)
{
    return p ? s->slot[p - s->o.params->p] : -1;
}

static float *small_of(const wn_grad_sink *s, int32_t slot, size_t example)
{
    WN_ASSERT(example < s->B);
    return s->small + example * s->n_small + s->small_at[slot];
}

struct bias_job {
    wn_grad_sink *s;
    int32_t slot;
    const wn_grad_outer *o;
    size_t N;
};

static void add_bias(void *ctx, size_t i, int thread)
{
    (void)thread;
    const struct bias_job *j = ctx;
    float *db = small_of(j->s, j->slot, j->o->first + i);
    for (uint32_t t = j->o->off[i]; t < j->o->off[i + 1]; t++)
        wn_axpy(db, j->o->scale, j->o->dy + t * j->o->ldy, j->N);
}

static void linear(void *ctx, wn_param *p, wn_param *bias, float scale, const float *dy, size_t ldy,
                   const float *x, size_t ldx, size_t N, size_t K, const wn_seg *seg)
{
    wn_grad_sink *s = ctx;
    int32_t slot = slot_of(s, p), at = slot_of(s, bias);
    bool bf16 = p && p->bf16 && scale == 1;
    wn_grad_outer o = {scale, bf16, dy, x, ldy, ldx, seg->B, seg->first, seg->off};
    if (at >= 0)
        wn_par_do(seg->B, add_bias, &(struct bias_job){s, at, &o, N});
    if (slot < 0)
        return;
    if (s->o.projection && wn_projection_factored(s->o.projection, p))
        wn_grad_kron_outer(s, (size_t)slot, &o, N, K);
    else if (is_vector(p)) /* a factor of rank one */
        for (size_t b = 0; b < seg->B; b++)
            for (uint32_t t = seg->off[b]; t < seg->off[b + 1]; t++)
                wn_axpy(small_of(s, slot, seg->first + b),
                        scale * (K == 1 ? x : dy)[t * (K == 1 ? ldx : ldy)],
                        K == 1 ? dy + t * ldy : x + t * ldx, K == 1 ? N : K);
    else if (p->use == WN_PARAM_LOOKUP) { /* the tied output matrix: with its other uses */
        WN_ASSERT(s->output_slot == SIZE_MAX);
        memcpy(s->output_off, seg->off, (seg->B + 1) * sizeof *seg->off);
        s->output = o;
        s->output.off = s->output_off;
        s->output_slot = (size_t)slot;
    } else
        wn_grad_matrix_run(s, (size_t)slot, &o, false);
}

static void norm(void *ctx, wn_param *g, wn_param *bias, const float *dy, const float *x,
                 const float *mean, const float *rinv, size_t D, const wn_seg *seg)
{
    wn_grad_sink *s = ctx;
    int32_t gain = slot_of(s, g), at = slot_of(s, bias);
    for (size_t i = 0; i < seg->B; i++) {
        uint32_t t0 = seg->off[i], t1 = seg->off[i + 1];
        float *dg = gain < 0 ? NULL : small_of(s, gain, seg->first + i);
        float *db = at < 0 ? NULL : small_of(s, at, seg->first + i);
        if (!dg)
            for (uint32_t t = t0; db && t < t1; t++)
                wn_add(db, dy + (size_t)t * D, D);
        else if (mean)
            wn_layernorm_gain(dg, db, dy, x, mean, rinv, t0, t1, D);
        else
            wn_rmsnorm_gain(dg, dy, x, rinv, t0, t1, D);
    }
}

static void table(void *ctx, wn_param *p, const float *d, size_t n, size_t example)
{
    wn_grad_sink *s = ctx;
    int32_t slot = slot_of(s, p);
    if (slot >= 0)
        wn_add(small_of(s, slot, example), d, n);
}

static void embed(void *ctx, wn_param *e, const float *dx, const int32_t *id, size_t D,
                  const wn_seg *seg)
{
    wn_grad_sink *s = ctx;
    int32_t slot = slot_of(s, e);
    if (slot < 0)
        return;
    if (s->o.projection && wn_projection_factored(s->o.projection, e))
        wn_grad_kron_embed(s, (size_t)slot, dx, id, D, seg);
    else
        wn_grad_hold(s, (size_t)slot, dx, id, D, seg);
}

static void scale_vector(void *ctx, wn_param *l, const float *dy, size_t ldy, const float *u,
                         size_t ldu, size_t n, const wn_seg *seg)
{
    wn_grad_sink *s = ctx;
    int32_t slot = slot_of(s, l);
    for (size_t b = 0; slot >= 0 && b < seg->B; b++) {
        float *dl = small_of(s, slot, seg->first + b);
        for (uint32_t t = seg->off[b]; t < seg->off[b + 1]; t++)
            for (size_t k = 0; k < n; k++)
                dl[k] += dy[t * ldy + k] * u[t * ldu + k];
    }
}

wn_sink wn_grad_sink_calls(wn_grad_sink *s)
{
    return (wn_sink){s, linear, norm, table, embed, scale_vector};
}

/* ---- vectors ---- */

struct small_job {
    wn_grad_sink *s;
    const struct small_piece {
        size_t slot, at, n; /* n elements from element `at` of the parameter */
    } * piece;
};

static void small_piece(void *ctx, size_t i, int thread)
{
    (void)thread;
    const struct small_job *j = ctx;
    wn_grad_sink *s = j->s;
    struct small_piece p = j->piece[i];
    float *g = s->small + s->small_at[p.slot] + p.at;
    uint64_t flat = s->o.chosen->at[p.slot] + p.at;
    for (size_t b = 0; s->o.m && b < s->B; b++)
        precondition(s, p.slot, p.at, g + b * s->n_small, p.n);
    if (s->raw) {
        for (size_t b = 0; b < s->B; b++)
            memcpy(s->raw + b * s->d + flat, g + b * s->n_small, p.n * sizeof *g);
        return;
    }
    float *part = s->part + i * s->B * s->d;
    memset(part, 0, s->B * s->d * sizeof *part);
    wn_signs_add(part, s->d, g, s->n_small, s->B, p.n, &s->o.projection->signs, flat);
}

static void vectors_finish(wn_grad_sink *s)
{
    struct small_piece piece[WN_GRAD_WAVE];
    struct small_job j = {s, piece};
    size_t n = 0, wave = s->wave < WN_GRAD_WAVE ? s->wave : WN_GRAD_WAVE;
    for (size_t i = 0; i < s->o.chosen->n; i++) {
        size_t all = s->small_at[i + 1] - s->small_at[i];
        for (size_t at = 0; at < all; at += CHUNK) {
            piece[n++] = (struct small_piece){i, at, all - at < CHUNK ? all - at : CHUNK};
            if (n < wave)
                continue;
            wn_par_do(n, small_piece, &j);
            if (s->sum)
                wn_grad_add_wave(s, n);
            n = 0;
        }
    }
    wn_par_do(n, small_piece, &j);
    if (s->sum)
        wn_grad_add_wave(s, n);
}

void wn_grad_sink_finish(wn_grad_sink *s)
{
    wn_grad_lookups_finish(s);
    vectors_finish(s);
}

void wn_grad_sink_row(const wn_grad_sink *s, size_t b, float *out)
{
    WN_ASSERT(b < s->B);
    if (s->raw) {
        memcpy(out, s->raw + b * s->d, s->d * sizeof *out);
        return;
    }
    double scale = sqrt((double)s->d);
    for (size_t k = 0; k < s->d; k++)
        out[k] = (float)(s->sum[b * s->d + k] / scale);
}
