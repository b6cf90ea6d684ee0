/* Attention by products of bf16 numbers with f32 sums: AMX tiles of 16 x 16 sums, or vdpbf16ps
 * where there are none. Forward only and without the log of the sums: embedding and scoring; what
 * a backward is to come for goes through attention.c.
 *
 * Keys and values of a key head are packed once, up to 512 of them, and serve all queries and heads
 * of the group, 32 queries at a time. Scores stand transposed, a row a key, a lane a query, and lie
 * whole in the first cache: their maxima and sums are then sums of vectors, nothing is reduced
 * within one, and only keys that some of the 16 queries do not see need masks. One pass finds the
 * largest scores, one makes the exponentials, rounds them to bf16 and sums them. (With a row a
 * query the same took twice as long: reductions, masks and padded ends.) Rows with more keys go
 * through blocks of 512 with a running softmax, like attention.c.
 *
 * Blocks are counted from a segment's own first key and queries are independent of each other, so
 * neither neighbours nor threads show in a result. */
#include "kernel/narrow_attention.h"

#include <math.h>

#include "base/par.h"
#include "kernel/strips.h"

/* ---- units ---------------------------------------------------------------------------------- */

/* A head and a block of queries against a block of packed keys, k0 ..., of which all its queries
 * together see [from, to). */
typedef struct unit {
    segment g;
    size_t h, i0, rows;
    size_t at; /* its place among the sums */
    size_t k0, n, kv;
    bool there, first, last; /* of the unit's blocks of keys */
    uint32_t lo[QUERIES], hi[QUERIES];
    size_t from, to;
    float scale, *s;
    uint16_t *p;
    bool later; /* it has seen other keys before */
} unit;

static float *sums_of(const job *w, const unit *u)
{
    return room()->o + u->at * w->columns * TILE * QUERIES;
}

/* Products for other units, to be made in pieces: scores of the next one's key tiles [tile, end),
 * and sums of the one before over [step, steps) times 32 keys, two column tiles from `column`. */
typedef struct todo {
    const job *w;
    const unit *next, *before;
    size_t tile, end, step, steps, column;
} todo;

static void plan_scores(todo *d, const unit *u)
{
    d->next = u;
    d->tile = u->from / TILE;
    d->end = u->from < u->to ? (u->to + TILE - 1) / TILE : d->tile;
}

static void plan_weights(todo *d, const unit *u)
{
    d->before = u;
    d->step = u->from / PAIRS;
    d->steps = (u->to + PAIRS - 1) / PAIRS;
    d->column = u->from < u->to ? 0 : d->w->columns;
}

static void some_scores(todo *d)
{
    const job *w = d->w;
    const unit *u = d->next;
    size_t bytes = CELLS * sizeof(uint16_t), n = min(2, d->end - d->tile);
    tiles k = {room()->k + u->kv + d->tile * w->steps * CELLS, bytes, w->steps * bytes};
    tiles q = {room()->q, bytes, w->steps * bytes};
    w->product(u->s + d->tile * TILE * QUERIES, &k, &q, w->steps, n, u->rows > TILE ? 2 : 1, false);
    d->tile += n;
}

static void some_weights(todo *d)
{
    enum { STEPS = 4 };
    const job *w = d->w;
    const unit *u = d->before;
    size_t bytes = CELLS * sizeof(uint16_t), first = u->from / PAIRS;
    size_t n = min(STEPS, d->steps - d->step), at = d->step * w->columns + d->column;
    tiles v = {room()->v + u->kv + at * CELLS, w->columns * bytes, bytes};
    tiles p = {u->p + d->step * 2 * CELLS, 2 * bytes, bytes};
    w->product(sums_of(w, u) + d->column * TILE * QUERIES, &v, &p, n,
               min(2, w->columns - d->column), u->rows > TILE ? 2 : 1, u->later || d->step > first);
    d->step += n;
    if (d->step < d->steps)
        return;
    d->step = first;
    d->column += 2;
}

/* One piece; whether there was one. */
static bool some_of(todo *d)
{
    if (d->next && d->tile < d->end)
        some_scores(d);
    else if (d->before && d->column < d->w->columns)
        some_weights(d);
    else
        return false;
    return true;
}

/* ---- softmax -------------------------------------------------------------------------------- */

/* 2^t = 2^n 2^f, f = t - n within half an octave of 0: a polynomial of degree 3 is off by 8e-5,
 * where bf16 rounds by 2e-3. n comes from an addition that leaves no room for fractions, and goes
 * to the exponent as an integer. NaN stays NaN. */
static inline __m512 exp2_of(__m512 t)
{
    const __m512 whole = _mm512_set1_ps(0x1.8p23f);
    t = _mm512_max_ps(_mm512_set1_ps(-125), t);
    __m512 n = _mm512_add_ps(t, whole), f = _mm512_sub_ps(t, _mm512_sub_ps(n, whole));
    __m512 p = _mm512_set1_ps(0.05517166f);
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.24261114f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.69326099f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.99992807f));
    return (__m512)_mm512_add_epi32((__m512i)p, _mm512_slli_epi32((__m512i)n, 23));
}

/* What 16 queries see: lane i the keys [lo, hi), all lanes [all0, all1), some lanes [any0, any1).
 */
typedef struct sight {
    __m512i lo, hi;
    size_t all0, all1, any0, any1;
} sight;

static sight sight_of(const uint32_t *lo, const uint32_t *hi, size_t rows)
{
    uint32_t l[16], h[16];
    sight v = {.any0 = SIZE_MAX, .all1 = SIZE_MAX};
    for (size_t i = 0; i < 16; i++) { /* lanes behind the last row see what it sees */
        size_t from = i < rows ? i : rows - 1;
        l[i] = lo[from];
        h[i] = hi[from];
        v.all0 = v.all0 > l[i] ? v.all0 : l[i];
        v.all1 = min(v.all1, h[i]);
        v.any0 = l[i] < h[i] ? min(v.any0, l[i]) : v.any0;
        v.any1 = l[i] < h[i] && h[i] > v.any1 ? h[i] : v.any1;
    }
    v.lo = _mm512_loadu_si512(l);
    v.hi = _mm512_loadu_si512(h);
    return v;
}

static inline __mmask16 seen(const sight *v, size_t j)
{
    __m512i at = _mm512_set1_epi32((int)j);
    return _mm512_cmpgt_epi32_mask(v->hi, at) & _mm512_cmple_epi32_mask(v->lo, at);
}

/* Largest scores of the lanes, at least m; s [key][QUERIES]. */
static __m512 largest(__m512 m, const float *s, const sight *v)
{
    __m512 m1 = m;
    for (size_t j = v->any0; j < v->any1; j++) {
        if (j == v->all0 && v->all0 < v->all1) {
            for (; j + 1 < v->all1; j += 2) {
                m = _mm512_max_ps(m, _mm512_loadu_ps(s + j * QUERIES));
                m1 = _mm512_max_ps(m1, _mm512_loadu_ps(s + (j + 1) * QUERIES));
            }
            if (j == v->any1)
                break;
        }
        m = _mm512_mask_max_ps(m, seen(v, j), m, _mm512_loadu_ps(s + j * QUERIES));
    }
    return _mm512_max_ps(m, m1);
}

static inline void put_pair(uint16_t *p, __m512 e0, __m512 e1)
{
    const __m512i mixed =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    __m512i both = to_bf16(e0, e1);
    _mm512_storeu_si512(p, _mm512_permutexvar_epi16(mixed, both));
}

/* Exponentials of two keys' scores, what their lanes do not see left out. */
static inline __attribute__((always_inline)) void pair(uint16_t *p, const float *x, __m512 sum[2],
                                                       __m512 scale, __m512 less, __mmask16 m0,
                                                       __mmask16 m1)
{
    __m512 e0 = exp2_of(_mm512_fmsub_ps(_mm512_loadu_ps(x), scale, less));
    __m512 e1 = exp2_of(_mm512_fmsub_ps(_mm512_loadu_ps(x + QUERIES), scale, less));
    e0 = _mm512_maskz_mov_ps(m0, e0);
    e1 = _mm512_maskz_mov_ps(m1, e1);
    sum[0] = _mm512_add_ps(sum[0], e0);
    sum[1] = _mm512_add_ps(sum[1], e1);
    put_pair(p, e0, e1);
}

/* p: the tile's exponentials of the keys [c0, c1), c0 and c1 multiples of 32; zeros where a lane
 * sees nothing. Returns their sums. Some of what is to do for other units is done every 32 keys. */
static __m512 exponentials(uint16_t *p, const float *s, size_t c0, size_t c1, const sight *v,
                           __m512 scale, __m512 less, todo *other)
{
    __m512 sum[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
    for (size_t c = c0; c < c1; c += PAIRS) {
        uint16_t *out = p + c / PAIRS * 2 * CELLS;
        const float *x = s + c * QUERIES;
        some_of(other);
        if (c >= v->all0 && c + PAIRS <= v->all1) {
            for (size_t i = 0; i < PAIRS; i += 2, x += 2 * QUERIES, out += PAIRS)
                pair(out, x, sum, scale, less, 0xffff, 0xffff);
            continue;
        }
        for (size_t j = c; j < c + PAIRS; j += 2, x += 2 * QUERIES, out += PAIRS) {
            if (j + 1 >= v->any0 && j < v->any1)
                pair(out, x, sum, scale, less, seen(v, j), seen(v, j + 1));
            else
                _mm512_storeu_si512(out, _mm512_setzero_si512());
        }
    }
    return _mm512_add_ps(sum[0], sum[1]);
}

/* A tile's running softmax; returns what the sums so far must be multiplied by. */
static __m512 softmax(uint16_t *p, const float *s, size_t c0, size_t c1, const sight *v,
                      float scale, float *top, float *sum, todo *other)
{
    const __m512 log2e = _mm512_set1_ps(1.44269504f), sc = _mm512_set1_ps(scale);
    __mmask16 any = _mm512_cmpgt_epi32_mask(v->hi, v->lo);
    __m512 old = _mm512_loadu_ps(top), one = _mm512_set1_ps(1);
    __m512 m = largest(_mm512_set1_ps(-INFINITY), s, v);
    m = _mm512_mask_max_ps(old, any, _mm512_mul_ps(m, sc), old);
    __m512 keep = exp2_of(_mm512_mul_ps(_mm512_sub_ps(old, m), log2e));
    keep = _mm512_mask_mov_ps(one, _mm512_cmp_ps_mask(m, old, _CMP_NEQ_UQ), keep);
    __m512 e =
        exponentials(p, s, c0, c1, v, _mm512_mul_ps(sc, log2e), _mm512_mul_ps(m, log2e), other);
    _mm512_storeu_ps(top, m);
    _mm512_storeu_ps(sum, _mm512_fmadd_ps(_mm512_loadu_ps(sum), keep, e));
    return keep;
}

/* Distances, tables and caps: scores become final, and the scale still to be applied is 1. */
static float modify(const job *w, const segment *g, float *s, size_t h, size_t i0, size_t k0,
                    size_t from, size_t to)
{
    const wn_attn *a = w->a;
    bool lined = a->slope || a->bias;
    if (!lined && !(a->softcap > 0))
        return a->scale;
    size_t n = to - from + QUERIES;
    float *line = room()->line[0], *back = room()->line[1];
    if (lined)
        fill_line(&w->near, a, line, n, (long)(k0 + from) - (long)(g->n_pre + i0 + QUERIES - 1), h);
    for (size_t x = 0; lined && x < n; x++)
        back[x] = line[n - 1 - x];
    for (size_t j = from; j < to; j++) {
        float *row = s + j * QUERIES;
        if (a->softcap > 0)
            w->t->softcap(row, QUERIES, a->scale, a->softcap);
        else
            w->t->scale(row, a->scale, QUERIES);
        if (lined)
            w->t->add(row, back + (to - j), QUERIES);
    }
    return 1;
}

/* ---- the line ------------------------------------------------------------------------------- */

/* Units on their way: one is scored, the one before it softened, the one before that weighed.
 * While exponentials are computed, the tile units, which would have nothing to do, make the other
 * two's products; and nobody waits for what was stored just now. */
typedef struct line {
    const job *w;
    unit u[4];
    size_t n;        /* units so far */
    size_t kv, sums; /* sets of keys, places of sums given out so far */
} line;

static void look_at(const job *w, unit *u, size_t i)
{
    struct room *m = room();
    u->s = m->s[i % 2];
    u->p = m->p[i % 2];
    for (size_t t = 0; u->first && t < QUERIES; t++) {
        m->top[u->at * QUERIES + t] = -INFINITY;
        m->sum[u->at * QUERIES + t] = 0;
    }
    ranges(w->a, &u->g, u->i0, u->rows, u->k0, u->n, u->lo, u->hi, &u->from, &u->to);
    if (u->from < u->to)
        pack_queries(w, u->g.q0 + u->i0, u->h, u->rows);
}

static void soften(const job *w, unit *u, todo *other)
{
    float *top = room()->top + u->at * QUERIES, *sum = room()->sum + u->at * QUERIES;
    if (u->from >= u->to)
        return;
    size_t s0 = u->from / PAIRS, s1 = (u->to + PAIRS - 1) / PAIRS, wide = w->columns * TILE;
    u->later = false;
    for (size_t i = 0; !u->first && i < QUERIES; i++)
        u->later = u->later || top[i] != -INFINITY;
    for (size_t t = 0; t < u->rows; t += TILE) {
        sight v = sight_of(u->lo + t, u->hi + t, u->rows - t);
        __m512 keep = softmax(u->p + t / TILE * CELLS, u->s + t, s0 * PAIRS, s1 * PAIRS, &v,
                              u->scale, top + t, sum + t, other);
        float *o = sums_of(w, u) + t;
        for (size_t c = 0; u->later && c < wide; c++, o += QUERIES)
            _mm512_storeu_ps(o, _mm512_mul_ps(_mm512_loadu_ps(o), keep));
    }
}

/* Where rows of a column of results lie: row r at at[r / 32 * strip + r % 32 * row]. */
typedef struct place {
    char *at;
    size_t strip, row;
} place;

static place place_of(const job *w, size_t col)
{
    if (w->strips) {
        size_t wide = wn_strip_tiles(w->a->H * w->a->dv);
        return (place){(char *)(w->strips + col / 32 * 2 * CELLS + col % 32), wide * 4 * CELLS, 64};
    }
    size_t bytes = w->half_out ? sizeof(uint16_t) : sizeof(float), row = w->a->ldo * bytes;
    return (place){(char *)w->o + col * bytes, WN_STRIP * row, row};
}

/* Sums to rows of results. */
static void finish(const job *w, const unit *u)
{
    const struct room *m = room();
    const size_t dv = w->a->dv;
    const bool half = w->strips || w->half_out;
    for (size_t t = 0; t < u->rows; t += TILE) {
        __m512 sum = _mm512_loadu_ps(m->sum + u->at * QUERIES + t), one = _mm512_set1_ps(1);
        __mmask16 any = _mm512_cmp_ps_mask(sum, _mm512_setzero_ps(), _CMP_NEQ_UQ);
        __m512 f = _mm512_div_ps(one, sum);
        size_t row = u->g.q0 + u->i0 + t, end = row + min(TILE, u->rows - t);
        for (size_t c = 0; c < dv; c += TILE) {
            const float *o = sums_of(w, u) + c * QUERIES + t;
            const place to = place_of(w, u->h * dv + c);
            __mmask16 lanes = first_lanes(dv - c);
            __m512i r[16];
            for (int i = 0; i < 16; i++)
                r[i] = (__m512i)_mm512_maskz_mul_ps(any, f, _mm512_loadu_ps(o + i * QUERIES));
            transpose_pairs(r);
            for (size_t i = row; i < end; i++) {
                char *at = to.at + i / WN_STRIP * to.strip + i % WN_STRIP * to.row;
                __m512 v = (__m512)r[i - row];
                if (half)
                    _mm256_mask_storeu_epi16(at, lanes, (__m256i)_mm512_cvtneps_pbh(v));
                else
                    _mm512_mask_storeu_ps(at, lanes, v);
            }
        }
    }
}

/* All units one step on; u NULL: none follows. */
static void push(line *l, const unit *u)
{
    const job *w = l->w;
    size_t i = l->n++;
    unit *scored = &l->u[i % 4], *softened = &l->u[(i + 3) % 4], *weighed = &l->u[(i + 2) % 4];
    const unit *done = &l->u[(i + 1) % 4];
    todo d = {.w = w};
    if (u) {
        *scored = *u;
        look_at(w, scored, i);
        plan_scores(&d, scored);
    }
    scored->there = u != NULL;
    if (weighed->there)
        plan_weights(&d, weighed);
    if (softened->there)
        soften(w, softened, &d);
    while (some_of(&d))
        ;
    if (u && scored->from < scored->to)
        scored->scale = modify(w, &u->g, scored->s, u->h, u->i0, u->k0, scored->from, scored->to);
    if (done->there && done->last)
        finish(w, done);
}

static void flush(line *l)
{
    push(l, NULL);
    push(l, NULL);
    push(l, NULL);
}

/* Keys [k0, k0 + n) packed; where. Nobody needs what lay there: at most three units are on their
 * way, unless the set is so large that there is only one place for it. */
static size_t pack_block(line *l, const segment *g, size_t kh, size_t k0, size_t n)
{
    const job *w = l->w;
    size_t wide = w->steps * PAIRS > w->columns * TILE ? w->steps * PAIRS : w->columns * TILE;
    size_t slot = KV_CELLS / KV_SLOTS, at = 0;
    if (up(n, PAIRS) * wide <= slot)
        at = l->kv++ % KV_SLOTS * slot;
    else
        flush(l);
    pack_keys(room()->k + at, w, g, kh, k0, n);
    pack_values(room()->v + at, w, g, kh, k0, n);
    return at;
}

/* Units whose keys are one block. */
static void run_short(line *l, const segment *g, size_t kh, size_t part)
{
    const job *w = l->w;
    size_t keys = g->n_pre + g->n_own, each = w->a->H / w->a->G, places = min(w->units, GROUP);
    size_t kv = pack_block(l, g, kh, 0, keys);
    for (size_t i = part * QUERIES; i < g->nq; i += w->parts * QUERIES)
        for (size_t h = kh * each; h < (kh + 1) * each; h++) {
            if (places < 4)
                flush(l);
            push(l, &(unit){.g = *g,
                            .h = h,
                            .i0 = i,
                            .rows = min(QUERIES, g->nq - i),
                            .at = l->sums++ % places,
                            .n = keys,
                            .kv = kv,
                            .first = true,
                            .last = true});
        }
}

/* Units [first, first + n) of a segment's key head, whose sums are kept at once, block by block. */
static void run_group(line *l, size_t kh, unit *u, size_t n)
{
    const job *w = l->w;
    const segment *g = &u[0].g;
    size_t keys = g->n_pre + g->n_own, lo, hi, other;
    look(w->a, g, u[0].i0, &lo, &other);
    look(w->a, g, u[n - 1].i0 + u[n - 1].rows - 1, &other, &hi);
    size_t first = lo / w->block * w->block;
    for (size_t k0 = first; k0 < hi; k0 += w->block) {
        size_t some = min(w->block, keys - k0), kv = pack_block(l, g, kh, k0, some);
        for (size_t i = 0; i < n; i++) {
            u[i].k0 = k0;
            u[i].n = some;
            u[i].kv = kv;
            u[i].first = k0 == first;
            u[i].last = k0 + w->block >= hi;
            push(l, &u[i]);
        }
        flush(l);
    }
}

static void run_long(line *l, const segment *g, size_t kh, size_t part)
{
    const job *w = l->w;
    size_t each = w->a->H / w->a->G, n = 0;
    unit u[GROUP];
    flush(l);
    for (size_t i = part * QUERIES; i < g->nq; i += w->parts * QUERIES)
        for (size_t h = 0; h < each; h++) {
            u[n] = (unit){.g = *g, .h = kh * each + h, .i0 = i, .rows = min(QUERIES, g->nq - i)};
            u[n].at = n;
            if (++n < w->units)
                continue;
            run_group(l, kh, u, n);
            n = 0;
        }
    if (n)
        run_group(l, kh, u, n);
}

/* A share of all segments' key heads, one after the other on the line. */
static void run_task(void *ctx, size_t task, int thread)
{
    (void)thread;
    const job *w = ctx;
    const wn_attn *a = w->a;
    size_t all = a->S * a->G * w->parts, end = all * (task + 1) / w->tasks;
    line l = {.w = w};
    if (w->product == product_amx)
        wn_narrow_amx.begin();
    for (size_t i = all * task / w->tasks; i < end; i++) {
        segment g = segment_at(a, i / a->G / w->parts);
        size_t part = i / a->G % w->parts;
        if (part * QUERIES >= g.nq)
            continue;
        if (g.n_pre + g.n_own <= w->block)
            run_short(&l, &g, i % a->G, part);
        else
            run_long(&l, &g, i % a->G, part);
    }
    flush(&l);
    if (w->product == product_amx)
        wn_narrow_amx.end();
}

static void run(job *w, const wn_attn *a)
{
    w->t = wn_kernel_table();
    w->a = a;
    w->product = wn_narrow_table() == &wn_narrow_amx ? product_amx : product_vdp;
    w->steps = up(a->d, PAIRS) / PAIRS;
    w->columns = up(a->dv, TILE) / TILE;
    w->parts = 1;
    prepare(&w->near, a);
    size_t wide = w->steps * PAIRS > w->columns * TILE ? w->steps * PAIRS : w->columns * TILE;
    w->block = min(MOST_KEYS, KV_CELLS / wide / PAIRS * PAIRS);
    w->units = min(GROUP, SUMS / (QUERIES * TILE * w->columns));
    /* Few segments: several tasks share the queries of each, packing its keys anew. */
    if (a->S * a->G < 4 * (size_t)wn_par_width())
        for (size_t s = 0; s < a->S; s++)
            while (w->parts < PARTS && w->parts * 4 * QUERIES < a->q0[s + 1] - a->q0[s])
                w->parts++;
    size_t all = a->S * a->G * w->parts, width = (size_t)wn_par_width();
    w->tasks = width > 1 ? min(all, TASKS * width) : min(all, 1);
    wn_par_do(w->tasks, run_task, w);
}

void wn_attention_bf16(void *o, const void *q, const void *k, const void *v, const wn_attn *a,
                       bool half_in, bool half_out)
{
    job w = {.o = o, .q = q, .k = k, .v = v, .half_in = half_in, .half_out = half_out};
    run(&w, a);
}

void wn_strip_attention(uint16_t *strips, const uint16_t *q, const uint16_t *k, const uint16_t *v,
                        const wn_attn *a)
{
    WN_ASSERT(a->dv % TILE == 0 && a->H * a->dv % 32 == 0);
    job w = {.strips = strips, .q = q, .k = k, .v = v, .half_in = true};
    run(&w, a);
}
