/* What narrow_attention.c works with: the room of a thread, tile products (AMX, or vdpbf16ps where
 * there is none) and the packing of queries, keys and values. Packed numbers are bf16; rows come as
 * floats or as bf16. */
#ifndef WN_KERNEL_NARROW_ATTENTION_H
#define WN_KERNEL_NARROW_ATTENTION_H

#include <string.h>

#include "kernel/attention.h"
#include "kernel/narrow_lanes.h"

enum {
    TILE = 16,          /* rows of a tile; its columns are 64 bytes: 16 sums or 32 bf16 numbers */
    PAIRS = 32,         /* bf16 numbers of a tile's row */
    CELLS = 512,        /* bf16 numbers of a tile */
    QUERIES = 32,       /* of a block: two tiles */
    GROUP = 8,          /* most units (a head and a block of queries) whose sums are kept at once */
    SUMS = 1 << 15,     /* room for them */
    MOST_KEYS = 512,    /* of a block */
    KV_CELLS = 1 << 17, /* room for packed keys, and the same for values */
    KV_SLOTS = 4,       /* as many sets of which are there at once, if they are small enough */
    PARTS = 8,
    TASKS = 8 /* for each thread */
};

struct room {
    uint16_t k[KV_CELLS];               /* [key tile][step of d][16 keys][32 of d] */
    uint16_t v[KV_CELLS];               /* [step of keys][column tile][16 of dv][32 keys] */
    uint16_t q[QUERIES * WN_HEAD_MAX];  /* [query tile][step of d][pair of d][16 queries] */
    uint16_t p[2][QUERIES * MOST_KEYS]; /* [step of keys][query tile][pair of keys][16 queries] */
    float s[2][MOST_KEYS * QUERIES];    /* [key][query] */
    float o[SUMS];                      /* [units of a group][dv][query] */
    float top[GROUP * QUERIES], sum[GROUP * QUERIES];
    float line[2][QUERIES + MOST_KEYS + TILE];
};

static struct room *room(void)
{
    _Static_assert(sizeof(struct room) <= WN_SCRATCH * sizeof(float), "scratch");
    return (struct room *)(void *)wn_kernel_scratch();
}

/* Dense tiles of bf16 numbers; in bytes, tiles of following k are `step` apart, tiles of following
 * rows (or columns) `tile`. */
typedef struct tiles {
    const void *at;
    size_t step, tile;
} tiles;

/* c [m * 16, n * 16] (+)= a b over `steps` steps of 32; n 1 or 2; rows of c are QUERIES apart. b's
 * tiles hold pairs: row r, column j has elements (2r, j) and (2r + 1, j). */
typedef void (*product_fn)(float *c, const tiles *a, const tiles *b, size_t steps, size_t m,
                           size_t n, bool add);

typedef struct job {
    const wn_kernels *t;
    const wn_attn *a;
    product_fn product;
    void *o;
    const void *q, *k, *v;
    bool half_in, half_out; /* bf16 bit patterns, else floats */
    uint16_t *strips;       /* instead of o (strips.h) */
    size_t steps, columns;  /* of 32 along d; tiles of 16 along dv */
    size_t block, units, parts, tasks;
    near_buckets near;
} job;

static size_t up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

/* ---- products ------------------------------------------------------------------------------- */

#define PTR(x, row_, col_) ((const char *)(x)->at + (row_) * (x)->tile + (col_) * (x)->step)

enum { LD_C = QUERIES * sizeof(float) };

static inline void product_amx_rows(float *c, const tiles *a, size_t i, const tiles *b,
                                    size_t steps, const bool m2, const bool n2, bool add)
{
    float *c1 = c + TILE * QUERIES;
    if (add) {
        _tile_loadd(0, c, LD_C);
        if (n2)
            _tile_loadd(1, c + TILE, LD_C);
        if (m2)
            _tile_loadd(2, c1, LD_C);
        if (m2 && n2)
            _tile_loadd(3, c1 + TILE, LD_C);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (size_t s = 0; s < steps; s++) {
        _tile_loadd(4, PTR(a, i, s), 64);
        _tile_loadd(6, PTR(b, 0, s), 64);
        _tile_dpbf16ps(0, 4, 6);
        if (n2) {
            _tile_loadd(7, PTR(b, 1, s), 64);
            _tile_dpbf16ps(1, 4, 7);
        }
        if (m2) {
            _tile_loadd(5, PTR(a, i + 1, s), 64);
            _tile_dpbf16ps(2, 5, 6);
            if (n2)
                _tile_dpbf16ps(3, 5, 7);
        }
    }
    _tile_stored(0, c, LD_C);
    if (n2)
        _tile_stored(1, c + TILE, LD_C);
    if (m2)
        _tile_stored(2, c1, LD_C);
    if (m2 && n2)
        _tile_stored(3, c1 + TILE, LD_C);
}

static void product_amx(float *c, const tiles *a, const tiles *b, size_t steps, size_t m, size_t n,
                        bool add)
{
    for (size_t i = 0; i < m; i += 2, c += 2 * TILE * QUERIES) {
        if (i + 1 < m && n > 1)
            product_amx_rows(c, a, i, b, steps, true, true, add);
        else if (i + 1 < m)
            product_amx_rows(c, a, i, b, steps, true, false, add);
        else
            product_amx_rows(c, a, i, b, steps, false, n > 1, add);
    }
}

static void product_vdp(float *c, const tiles *a, const tiles *b, size_t steps, size_t m, size_t n,
                        bool add)
{
    for (size_t t = 0; t < m * n; t++) {
        float *to = c + t / n * TILE * QUERIES + t % n * TILE;
        __m512 sum[TILE];
        for (int i = 0; i < TILE; i++)
            sum[i] = add ? _mm512_loadu_ps(to + i * QUERIES) : _mm512_setzero_ps();
        for (size_t s = 0; s < steps; s++) {
            const char *x = PTR(a, t / n, s), *y = PTR(b, t % n, s);
            for (size_t r = 0; r < TILE; r++, y += 64) {
                __m512bh pairs = (__m512bh)_mm512_loadu_si512(y);
                for (size_t i = 0; i < TILE; i++) {
                    int32_t two;
                    memcpy(&two, x + i * 64 + r * sizeof two, sizeof two);
                    sum[i] = _mm512_dpbf16_ps(sum[i], (__m512bh)_mm512_set1_epi32(two), pairs);
                }
            }
        }
        for (int i = 0; i < TILE; i++)
            _mm512_storeu_ps(to + i * QUERIES, sum[i]);
    }
}

/* ---- packing -------------------------------------------------------------------------------- */

/* Numbers [at, at + 32) of a row of n as bf16, zeros behind its end. */
static inline __m512i get32(const void *x, size_t row, size_t ld, size_t at, size_t n, bool half)
{
    size_t left = n - at;
    if (half) {
        __mmask32 m = left < 32 ? (1u << left) - 1 : 0xffffffff;
        return _mm512_maskz_loadu_epi16(m, (const uint16_t *)x + row * ld + at);
    }
    const float *p = (const float *)x + row * ld + at;
    __m512 lo = _mm512_maskz_loadu_ps(first_lanes(left), p);
    __m512 hi = _mm512_maskz_loadu_ps(first_lanes(left > 16 ? left - 16 : 0), p + 16);
    return to_bf16(lo, hi);
}

static inline size_t key_row(const segment *g, size_t j)
{
    return j < g->n_pre ? g->pre + j : g->own + j - g->n_pre;
}

static inline __m512i get_key(const job *w, const void *x, size_t ld, const segment *g, size_t j,
                              size_t end, size_t at, size_t width)
{
    return j < end ? get32(x, key_row(g, j), ld, at, width, w->half_in) : _mm512_setzero_si512();
}

static void pack_keys(uint16_t *out, const job *w, const segment *g, size_t kh, size_t k0, size_t n)
{
    const wn_attn *a = w->a;
    for (size_t j = 0; j < up(n, TILE); j++)
        for (size_t c = 0; c < w->steps; c++)
            _mm512_storeu_si512(out + (j / TILE * w->steps + c) * CELLS + j % TILE * PAIRS,
                                get_key(w, w->k, a->ldk, g, k0 + j, k0 + n, kh * a->d + c * PAIRS,
                                        (kh + 1) * a->d));
}

/* Two tiles' columns of 32 keys: pairs of dv are turned, then parted. */
static void pack_values(uint16_t *values, const job *w, const segment *g, size_t kh, size_t k0,
                        size_t n)
{
    const wn_attn *a = w->a;
    const __m512i even =
        _mm512_set_epi16(62, 60, 58, 56, 54, 52, 50, 48, 46, 44, 42, 40, 38, 36, 34, 32, 30, 28, 26,
                         24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    const __m512i odd = _mm512_add_epi16(even, _mm512_set1_epi16(1));
    for (size_t j = 0; j < n; j += PAIRS)
        for (size_t c = 0; c < w->columns; c += 2) {
            uint16_t *out = values + (j / PAIRS * w->columns + c) * CELLS;
            size_t at = kh * a->dv + c * TILE, pairs = w->columns - c < 2 ? 8 : 16;
            __m512i x[16], y[16];
            for (size_t i = 0; i < 16; i++)
                x[i] = get_key(w, w->v, a->ldv, g, k0 + j + i, k0 + n, at, (kh + 1) * a->dv);
            transpose_pairs(x);
            for (size_t i = 0; i < 16; i++)
                y[i] = get_key(w, w->v, a->ldv, g, k0 + j + 16 + i, k0 + n, at, (kh + 1) * a->dv);
            transpose_pairs(y);
            for (size_t i = 0; i < pairs; i++, out += 2 * PAIRS) {
                _mm512_storeu_si512(out, _mm512_permutex2var_epi16(x[i], even, y[i]));
                _mm512_storeu_si512(out + PAIRS, _mm512_permutex2var_epi16(x[i], odd, y[i]));
            }
        }
}

static void pack_queries(const job *w, size_t token, size_t h, size_t rows)
{
    const wn_attn *a = w->a;
    uint16_t *queries = room()->q;
    for (size_t t = 0; t < rows; t += TILE)
        for (size_t c = 0; c < w->steps; c++) {
            uint16_t *out = queries + (t / TILE * w->steps + c) * CELLS;
            __m512i r[16];
            for (size_t i = 0; i < 16; i++)
                r[i] = t + i < rows ? get32(w->q, token + t + i, a->ldq, h * a->d + c * PAIRS,
                                            (h + 1) * a->d, w->half_in)
                                    : _mm512_setzero_si512();
            transpose_pairs(r);
            for (size_t i = 0; i < 16; i++)
                _mm512_storeu_si512(out + i * PAIRS, r[i]);
        }
}

#endif
