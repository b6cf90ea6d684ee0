/* Products between bf16 strips on AMX.
 *
 * Blocks are those of narrow_amx.c: 2 x 2 tiles of sums, two tiles of x and two of W. The two
 * panels of W stay in the first cache while all strips of x stream past, by loads that do not push
 * them out (3.0 of 3.3 TFLOP/s a core; 2.6 with plain loads). So the inner dimension is cut where
 * the panels would not fit any more, and sums wait in memory between its parts.
 *
 * The two panels of a block need not be neighbours: gate and up, or the two halves of a rotated
 * head, meet in one block, and a result needs nothing but its own block's sums. What turns them
 * into results (the tail) runs a few rows at a time between the tile instructions of the following
 * block, which leave the vector units idle. */
#include <string.h>

#include "base/err.h"
#include "base/par.h"
#include "kernel/fast_act.h"
#include "kernel/mat.h"
#include "kernel/narrow_lanes.h"
#include "kernel/strips.h"

enum {
    TILE = 512,          /* bf16 numbers of a tile */
    BLOCK = 32 * 32,     /* sums of a block */
    MOST_KT = 24,        /* tiles of the inner dimension at once: 48 KB of W */
    WAITING = 64 * BLOCK /* sums kept between parts of the inner dimension */
};

bool wn_strips_there(void)
{
    return wn_narrow_table() == &wn_narrow_amx;
}

/* ---- rows ----------------------------------------------------------------------------------- */

/* The bits of row_int8. */
static float row_bytes(uint8_t *out, int32_t *zero, const float *x, size_t K)
{
    __m512 low = _mm512_setzero_ps(), high = low, bad = low;
    for (size_t i = 0; i < K; i += 16) {
        __m512 v = _mm512_maskz_loadu_ps(first_lanes(K - i), x + i);
        bad = _mm512_fmadd_ps(v, _mm512_setzero_ps(), bad);
        low = _mm512_min_ps(low, v);
        high = _mm512_max_ps(high, v);
    }
    float least = _mm512_reduce_min_ps(low), range = _mm512_reduce_max_ps(high) - least;
    float wrong = _mm512_reduce_add_ps(bad);
    bool fine = wrong == 0 && range > WN_INT8_LEAST;
    float by = fine ? 255 / range : 0, z = rintf(-least * by);
    *zero = fine ? (int32_t)z : 0;
    __m512 scale = _mm512_set1_ps(by), shift = _mm512_set1_ps(z), top = _mm512_set1_ps(255);
    for (size_t k = 0; k < K; k += 64, out += 64 * WN_STRIP)
        for (size_t i = 0; i < 64; i += 16) {
            __m512 q = _mm512_setzero_ps();
            if (k + i < K) {
                q = _mm512_maskz_loadu_ps(first_lanes(K - k - i), x + k + i);
                q = _mm512_roundscale_ps(_mm512_mul_ps(q, scale),
                                         _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
                q = _mm512_add_ps(q, shift);
                q = _mm512_min_ps(top, _mm512_max_ps(_mm512_setzero_ps(), q));
            }
            _mm_storeu_si128((__m128i *)(void *)(out + i),
                             _mm512_cvtepi32_epi8(_mm512_cvttps_epi32(q)));
        }
    return wrong == 0 ? range / 255 : NAN;
}

void wn_strip_row(uint16_t *strips, const wn_strip_bytes *bytes, size_t r, const float *x, size_t K)
{
    if (strips) {
        uint16_t *out = strips + r / WN_STRIP * wn_strip_tiles(K) * BLOCK + r % WN_STRIP * 32;
        for (size_t k = 0; k < K; k += 32, out += BLOCK) {
            size_t left = K - k;
            __m512 a = _mm512_maskz_loadu_ps(first_lanes(left), x + k);
            __m512 b = _mm512_maskz_loadu_ps(first_lanes(left > 16 ? left - 16 : 0), x + k + 16);
            _mm512_store_si512(out, to_bf16(a, b));
        }
    }
    if (bytes) {
        size_t kt = (K + 63) / 64;
        uint8_t *out = bytes->at + r / WN_STRIP * kt * 64 * WN_STRIP + r % WN_STRIP * 64;
        bytes->row[r] = row_bytes(out, &bytes->zero[r], x, K);
    }
}

void wn_strip_floats(float *x, const uint16_t *strips, size_t r, size_t K)
{
    const uint16_t *in = strips + r / WN_STRIP * wn_strip_tiles(K) * BLOCK + r % WN_STRIP * 32;
    for (size_t k = 0; k < K; k += 32, in += BLOCK)
        wn_kernel_table()->from_bf16(x + k, in, wn_min(32, K - k));
}

/* ---- tails ---------------------------------------------------------------------------------- */

/* Where results go: strips of the next product, rows of bf16 (two places in each, rotated), rows of
 * bf16, rows of floats that are added to. */
enum place { TO_STRIPS, TO_HALVES, TO_ROWS, TO_SUMS };

/* A block of sums on its way to results: rows [at, m) are still to come. */
typedef struct tail {
    const float *c; /* sums, or integers */
    char *out[2];   /* row `at` of the results of each panel, `step` bytes to the next */
    size_t m, at, step;
    __mmask16 lanes[2];
    __m512 bias[2], scale[2]; /* of the panels' columns; int8: scale and sum of the weights */
    __m512i sum[2];
    const float *row; /* int8: [m] */
    const int32_t *zero;
    const float *angle; /* at the panel's first pair */
    const int32_t *pos;
    size_t half;
    void (*rows)(struct tail *, size_t n);
} tail;

static inline __attribute__((always_inline)) __m512 value_of(const tail *e, size_t r, int i,
                                                             bool int8)
{
    const float *c = e->c + r * 32 + i * 16;
    if (!int8)
        return _mm512_add_ps(_mm512_load_ps(c), e->bias[i]);
    __m512i x = _mm512_mullo_epi32(_mm512_set1_epi32(e->zero[r]), e->sum[i]);
    x = _mm512_sub_epi32(_mm512_load_si512(c), x);
    __m512 v = _mm512_mul_ps(_mm512_cvtepi32_ps(x), e->scale[i]);
    return _mm512_add_ps(_mm512_mul_ps(v, _mm512_set1_ps(e->row[r])), e->bias[i]);
}

static inline void rotate(const tail *e, size_t r, __m512 *a, __m512 *b)
{
    const float *cs = e->angle + (size_t)e->pos[r] * 2 * e->half;
    __m512 c = _mm512_loadu_ps(cs), s = _mm512_loadu_ps(cs + e->half), x = *a, y = *b;
    *a = _mm512_sub_ps(_mm512_mul_ps(x, c), _mm512_mul_ps(y, s));
    *b = _mm512_add_ps(_mm512_mul_ps(y, c), _mm512_mul_ps(x, s));
}

static inline void add_to(char *y, __m512 v, __mmask16 m)
{
    _mm512_mask_storeu_ps(y, m, _mm512_add_ps(_mm512_maskz_loadu_ps(m, y), v));
}

static inline __attribute__((always_inline)) __m512 activated(__m512 x, wn_act act)
{
    return act == WN_ACT_GELU ? vgelu_rough(x) : act_value(x, act);
}

static inline __attribute__((always_inline)) void rows_as(tail *e, size_t n, wn_act act, bool gated,
                                                          enum place place, bool int8)
{
    size_t end = wn_min(e->m, e->at + n), step = e->step;
    char *o0 = e->out[0] + e->at * step, *o1 = e->out[1] + e->at * step;
    __mmask32 m = e->lanes[0] | (__mmask32)e->lanes[1] << 16;
    for (size_t r = e->at; r < end; r++, o0 += step, o1 += step) {
        __m512 a = value_of(e, r, 0, int8), b = value_of(e, r, 1, int8);
        if (place == TO_HALVES)
            rotate(e, r, &a, &b);
        if (gated) {
            a = _mm512_mul_ps(activated(a, act), b);
            _mm256_store_si256((__m256i *)(void *)o0, (__m256i)_mm512_cvtneps_pbh(a));
        } else if (place == TO_STRIPS) {
            __m512i both = to_bf16(activated(a, act), activated(b, act));
            _mm512_store_si512(o0, _mm512_maskz_mov_epi16(m, both));
        } else if (place == TO_SUMS) {
            add_to(o0, a, e->lanes[0]);
            add_to(o1, b, e->lanes[1]);
        } else if (place == TO_HALVES) {
            _mm256_storeu_si256((__m256i *)(void *)o0, (__m256i)_mm512_cvtneps_pbh(a));
            _mm256_storeu_si256((__m256i *)(void *)o1, (__m256i)_mm512_cvtneps_pbh(b));
        } else {
            _mm512_mask_storeu_epi16(o0, m, to_bf16(a, b));
        }
    }
    e->at = end;
}

#define ROWS(name, ...)                                                                            \
    static void name(tail *e, size_t n)                                                            \
    {                                                                                              \
        rows_as(e, n, __VA_ARGS__, false);                                                         \
    }                                                                                              \
    static void name##_8(tail *e, size_t n)                                                        \
    {                                                                                              \
        rows_as(e, n, __VA_ARGS__, true);                                                          \
    }
#define ACT(act)                                                                                   \
    ROWS(plain_##act, WN_ACT_##act, false, TO_STRIPS)                                              \
    ROWS(gated_##act, WN_ACT_##act, true, TO_STRIPS)
ACT(SILU)
ACT(GELU)
ACT(GELU_TANH)
ACT(RELU)
ACT(IDENTITY)
ROWS(halves, WN_ACT_IDENTITY, false, TO_HALVES)
ROWS(whole, WN_ACT_IDENTITY, false, TO_ROWS)
ROWS(sums, WN_ACT_IDENTITY, false, TO_SUMS)
#undef ACT
#undef ROWS

typedef void (*rows_fn)(tail *, size_t);

static rows_fn rows_of(const wn_strip_product *p)
{
#define ACT(act) [WN_ACT_##act] = { {plain_##act, plain_##act##_8}, {gated_##act, gated_##act##_8} }
    static const rows_fn strips[][2][2] = {ACT(SILU), ACT(GELU), ACT(GELU_TANH), ACT(RELU),
                                           ACT(IDENTITY)};
#undef ACT
    bool int8 = p->bytes != NULL;
    if (p->strips)
        return strips[p->act][p->up != NULL][int8];
    if (p->y)
        return int8 ? sums_8 : sums;
    if (p->half)
        return int8 ? halves_8 : halves;
    return int8 ? whole_8 : whole;
}

/* ---- blocks --------------------------------------------------------------------------------- */

/* Two panels of W over some of the inner dimension. */
typedef struct panels {
    const char *b[2]; /* their tiles */
    const char
        *next; /* what will be wanted after them, `lines` cache lines a step; NULL: nothing */
    size_t lines, kt;
} panels;

typedef struct job {
    const wn_strip_product *p;
    size_t kt, step, strips, pairs;
    tail tail;
} job;

static inline void some_rows(tail *e, size_t n)
{
    if (e->at < e->m)
        e->rows(e, n);
}

#define PREFETCH()                                                                                 \
    for (size_t j = 0; j < w->lines; j++, next += 64)                                              \
    _mm_prefetch(next, _MM_HINT_T1)

/* c = (c, if add, +) strip x panels, the pending tail's rows in between. */
#define BLOCK_AS(name, dot)                                                                        \
    static void name(float *c, const char *a, const panels *w, bool add, bool tall, tail *e)       \
    {                                                                                              \
        const char *b0 = w->b[0], *b1 = w->b[1], *next = w->next;                                  \
        size_t each = wn_div_up(e->m - e->at, w->kt);                                              \
        __asm__ volatile("" ::: "memory");                                                         \
        if (add) {                                                                                 \
            _tile_loadd(0, c, 128);                                                                \
            _tile_loadd(1, c + 16, 128);                                                           \
            _tile_loadd(2, c + 512, 128);                                                          \
            _tile_loadd(3, c + 528, 128);                                                          \
        } else {                                                                                   \
            _tile_zero(0);                                                                         \
            _tile_zero(1);                                                                         \
            _tile_zero(2);                                                                         \
            _tile_zero(3);                                                                         \
        }                                                                                          \
        for (size_t i = 0; i < w->kt; i++, a += 2048, b0 += 1024, b1 += 1024) {                    \
            _tile_stream_loadd(4, a, 64);                                                          \
            _tile_loadd(6, b0, 64);                                                                \
            PREFETCH();                                                                            \
            dot(0, 4, 6);                                                                          \
            _tile_loadd(7, b1, 64);                                                                \
            dot(1, 4, 7);                                                                          \
            if (tall) {                                                                            \
                _tile_stream_loadd(5, a + 1024, 64);                                               \
                dot(2, 5, 6);                                                                      \
                dot(3, 5, 7);                                                                      \
            }                                                                                      \
            some_rows(e, each);                                                                    \
        }                                                                                          \
        some_rows(e, 32);                                                                          \
        _tile_stored(0, c, 128);                                                                   \
        _tile_stored(1, c + 16, 128);                                                              \
        _tile_stored(2, c + 512, 128);                                                             \
        _tile_stored(3, c + 528, 128);                                                             \
        __asm__ volatile("" ::: "memory");                                                         \
    }
BLOCK_AS(block16, _tile_dpbf16ps)
BLOCK_AS(block8, _tile_dpbusd)

/* The two panels of pair q: neighbours, gate and up, or halves of a head. */
static void pair_of(const job *j, size_t q, size_t col[2])
{
    const wn_strip_product *p = j->p;
    size_t half = p->half / WN_NR;
    col[0] = p->up ? q * WN_NR : q * 2 * WN_NR;
    col[1] = p->up ? col[0] : col[0] + WN_NR;
    if (half) {
        col[0] = (q / half * 2 * half + q % half) * WN_NR;
        col[1] = col[0] + p->half;
    }
}

static const char *panel_at(const job *j, const wn_mat *W, size_t col, size_t k)
{
    const char *panel = wn_mat_panel(W, col / WN_NR);
    if (W->kind == WN_MAT_INT8)
        return panel + WN_INT8_HEAD + k * 1024;
    return panel + (j->p->k0 + k) * 1024;
}

static panels panels_of(const job *j, size_t q, size_t k, size_t kt)
{
    const wn_strip_product *p = j->p;
    panels w = {.kt = kt};
    size_t col[2];
    pair_of(j, q, col);
    w.b[0] = panel_at(j, p->W, col[0], k);
    w.b[1] = p->up              ? panel_at(j, p->up, col[1], k)
             : col[1] < p->W->N ? panel_at(j, p->W, col[1], k)
                                : w.b[0];
    return w;
}

/* Where row t's results of the panel with columns from col are to lie. */
static char *place_of(const wn_strip_product *p, size_t t, size_t col)
{
    if (p->strips) {
        size_t strip = t / WN_STRIP * wn_strip_tiles(p->W->N);
        return (char *)(p->strips + (strip + col / 32) * BLOCK + col % 32);
    }
    return p->y ? (char *)(p->y + t * p->ld + col) : (char *)(p->rows + t * p->ld + col);
}

/* What is the same for all strips: pair q's columns. */
static void set_columns(job *j, size_t q)
{
    const wn_strip_product *p = j->p;
    tail *e = &j->tail;
    size_t col[2];
    pair_of(j, q, col);
    for (int i = 0; i < 2; i++) {
        const wn_mat *W = i && p->up ? p->up : p->W;
        const float *bias = i && p->up ? p->up_bias : p->bias;
        bool there = col[i] < W->N;
        __mmask16 m = there ? first_lanes(W->N - col[i]) : 0;
        e->lanes[i] = m;
        e->bias[i] = bias && there ? _mm512_maskz_loadu_ps(m, bias + col[i]) : _mm512_setzero_ps();
        e->scale[i] = _mm512_setzero_ps();
        e->sum[i] = _mm512_setzero_si512();
        if (!p->bytes || !there)
            continue;
        const char *head = wn_mat_panel(W, col[i] / WN_NR);
        e->scale[i] = _mm512_loadu_ps(head);
        e->sum[i] = _mm512_loadu_si512(head + WN_NR * sizeof(float));
    }
    if (p->half)
        e->angle = p->angle + col[0] % (2 * p->half);
}

/* Pair q's block of strip s is complete in c. */
static void set_rows(job *j, const float *c, size_t q, size_t s)
{
    const wn_strip_product *p = j->p;
    tail *e = &j->tail;
    size_t col[2], t = s * WN_STRIP;
    pair_of(j, q, col);
    e->c = c;
    e->m = wn_min(WN_STRIP, p->T - t);
    e->at = 0;
    for (int i = 0; i < 2; i++)
        e->out[i] = place_of(p, t, col[i < 1 || col[i] < p->W->N ? i : 0]);
    e->row = p->bytes ? p->bytes->row + t : NULL;
    e->zero = p->bytes ? p->bytes->zero + t : NULL;
    e->pos = p->half ? p->pos + t : NULL;
}

/* Pairs [q0, q1) over the tiles [k, k + kt) of the inner dimension, all strips. */
static void run_part(job *j, float *sums, size_t q0, size_t q1, size_t k, size_t kt)
{
    const wn_strip_product *p = j->p;
    bool whole = kt == j->kt, last = k + kt == j->kt;
    const char *x = p->bytes ? (const char *)p->bytes->at : (const char *)p->x;
    for (size_t q = q0; q < q1; q++) {
        panels w = panels_of(j, q, k, kt);
        size_t ahead = whole ? q + 1 : q + 1 < q1 ? q + 1 : q0;
        panels n = panels_of(j, ahead < j->pairs ? ahead : q, k, kt);
        size_t lines = wn_div_up(2 * kt * 16, j->strips * kt);
        for (size_t s = 0; s < j->strips; s++) {
            float *c = whole ? sums : sums + ((q - q0) * j->strips + s) * BLOCK;
            size_t from = s * lines * kt * 64, half = kt * 1024;
            w.lines = from < 2 * half ? lines : 0;
            w.next = from < half ? n.b[0] + from : n.b[1] + (from - half);
            (p->bytes ? block8 : block16)(c, x + (s * j->kt + k) * 2048, &w, k > 0,
                                          p->T - s * WN_STRIP > 16, &j->tail);
            if (last && s == 0)
                set_columns(j, q);
            if (last)
                set_rows(j, c, q, s);
        }
    }
}

/* The other half of the last strip block, where the last panel has no neighbour. */
static void zero_behind(const wn_strip_product *p)
{
    for (size_t t = 0; t < p->T; t++)
        memset(place_of(p, t / WN_STRIP * WN_STRIP, p->W->N / 32 * 32 + WN_NR) + t % WN_STRIP * 64,
               0, 32);
}

void wn_strip_mm(const wn_strip_product *p)
{
    const wn_mat *W = p->W;
    bool int8 = W->kind == WN_MAT_INT8;
    WN_ASSERT(wn_strips_there() && int8 == (p->bytes != NULL) && p->half % WN_NR == 0 &&
              (int8 || W->kind == WN_MAT_BF16) && (!p->half || (!p->up && !p->strips)) &&
              (!p->half || W->N % (2 * p->half) == 0));
    if (!p->T || !W->N)
        return;
    float *sums = wn_kernel_scratch();
    _Static_assert(sizeof(float[WAITING]) <= sizeof(float[WN_SCRATCH]), "scratch");
    job j = {.p = p, .kt = p->kt, .strips = wn_div_up(p->T, WN_STRIP)};
    j.tail.step = p->strips ? 64 : p->ld * (p->y ? sizeof(float) : sizeof(uint16_t));
    j.tail.half = p->half;
    j.tail.rows = rows_of(p);
    j.pairs = wn_div_up(W->N, p->up ? WN_NR : 2 * WN_NR);
    j.step = wn_div_up(j.kt, wn_div_up(j.kt, MOST_KT));
    size_t room = wn_min(WAITING / BLOCK / j.strips, j.pairs),
           some = j.step < j.kt ? room : j.pairs;
    WN_ASSERT(some > 0);
    wn_narrow_amx.begin();
    for (size_t q = 0; q < j.pairs; q += some)
        for (size_t k = 0; k < j.kt; k += j.step)
            run_part(&j, sums, q, wn_min(q + some, j.pairs), k, wn_min(j.step, j.kt - k));
    some_rows(&j.tail, WN_STRIP);
    wn_narrow_amx.end();
    if (p->up && W->N % 32 && W->N % 32 <= WN_NR)
        zero_behind(p);
}
