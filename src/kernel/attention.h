/* What the tiled attentions share: segments, visible keys, and what depends on the distance between
 * a key and a query. */
#ifndef WN_KERNEL_ATTENTION_H
#define WN_KERNEL_ATTENTION_H

#include "base/err.h"
#include "kernel/table.h"

enum { NEAR = 1024 /* distances whose T5 buckets are looked up */ };

/* One segment as a task sees it. */
typedef struct segment {
    size_t q0, nq, pre, n_pre, own, n_own;
} segment;

static inline size_t min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline segment segment_at(const wn_attn *a, size_t s)
{
    return (segment){.q0 = a->q0[s],
                     .nq = a->q0[s + 1] - a->q0[s],
                     .pre = a->pre[2 * s],
                     .n_pre = a->pre[2 * s + 1] - a->pre[2 * s],
                     .own = a->own[2 * s],
                     .n_own = a->own[2 * s + 1] - a->own[2 * s]};
}

/* Key positions [*lo, *hi) that query i sees. */
static inline void look(const wn_attn *a, const segment *g, size_t i, size_t *lo, size_t *hi)
{
    size_t pos = g->n_pre + i;
    *hi = g->n_pre + (a->causal && i + 1 < g->n_own ? i + 1 : g->n_own);
    *lo = a->window && pos + 1 > a->window ? pos + 1 - a->window : 0;
    if (a->window && !a->causal)
        *hi = min(*hi, pos + a->window);
    if (*lo > *hi)
        *lo = *hi;
}

/* The run of key rows that position j begins: first row and, in *n, how many up to `end`. */
static inline size_t key_rows(const segment *g, size_t j, size_t end, size_t *n)
{
    bool prefix = j < g->n_pre;
    *n = min(end, prefix ? g->n_pre : end) - j;
    return prefix ? g->pre + j : g->own + j - g->n_pre;
}

/* Ranges of the tile's keys that `rows` queries from i0 see; in *from and *to their union. */
static inline void ranges(const wn_attn *a, const segment *g, size_t i0, size_t rows, size_t k0,
                          size_t nk, uint32_t *lo, uint32_t *hi, size_t *from, size_t *to)
{
    *from = nk, *to = 0;
    for (size_t i = 0; i < rows; i++) {
        size_t l, u;
        look(a, g, i0 + i, &l, &u);
        l = l > k0 ? min(l - k0, nk) : 0;
        u = u > k0 ? min(u - k0, nk) : 0;
        lo[i] = (uint32_t)l;
        hi[i] = (uint32_t)u;
        if (l < u) {
            *from = min(*from, l);
            *to = u > *to ? u : *to;
        }
    }
}

/* T5 buckets of the nearer distances. */
typedef struct near_buckets {
    int16_t at[2 * NEAR + 1];
} near_buckets;

static inline void prepare(near_buckets *near, const wn_attn *a)
{
    WN_ASSERT(a->d <= WN_HEAD_MAX && a->dv <= WN_HEAD_MAX && a->G && a->H % a->G == 0);
    for (long r = -NEAR; a->bias && r <= NEAR; r++)
        near->at[r + NEAR] =
            (int16_t)wn_t5_bucket(r, a->bidirectional, a->buckets, a->max_distance);
}

static inline size_t bucket_of(const near_buckets *near, const wn_attn *a, long rel)
{
    if (rel >= -NEAR && rel <= NEAR)
        return (size_t)near->at[rel + NEAR];
    return (size_t)wn_t5_bucket(rel, a->bidirectional, a->buckets, a->max_distance);
}

/* What depends on key position - query position is one line of numbers for a tile: queries i and
 * keys j find theirs at line[rows - 1 - i + j]. `first` is the distance at line[0]. */
static inline void fill_line(const near_buckets *near, const wn_attn *a, float *line, size_t n,
                             long first, size_t h)
{
    for (size_t x = 0; x < n; x++) {
        long rel = first + (long)x;
        line[x] = a->slope ? a->slope[h] * (float)rel : 0;
        if (a->bias)
            line[x] += a->bias[bucket_of(near, a, rel) * a->H + h];
    }
}

#endif
