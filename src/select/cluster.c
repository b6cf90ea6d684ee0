/* Clusters of rows by the cosine of their vectors, in double.
 *
 * Average linkage needs no matrix of distances: with rows of length 1 the mean cosine of two
 * clusters is the inner product of their sums over the product of their sizes. Merged by chains of
 * nearest neighbours (Benzecri 1982; Murtagh 1983), which for a linkage as monotone as this one
 * gives the same tree as merging the closest pair first. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/report.h"
#include "base/rng.h"
#include "base/sets.h"
#include "select/dense64.h"
#include "select/groups.h"

enum { PIECE = 256, ROUNDS = 100 };

/* Rows of length 1: unit [N, d]; wn_free. */
static wn_err unit_rows(double **unit, const wn_store *s, const uint64_t *at, uint64_t N)
{
    size_t d = wn_store_dim(s);
    *unit = wn_calloc(N, d * sizeof **unit);
    if (!*unit)
        return WN_ENOMEM;
    for (uint64_t i = 0; i < N; i++) {
        const float *v = wn_store_vector(s, at[i]);
        double *u = *unit + i * d;
        for (size_t k = 0; k < d; k++)
            u[k] = v[k];
        double norm = wn_norm64(u, d);
        if (!(norm > 0) || !isfinite(norm)) {
            wn_span id = wn_store_id(s, at[i]);
            return wn_fail(WN_EFORMAT, "%s: row %.*s: expected a finite vector that is not zero",
                           wn_store_path(s), (int)id.len, id.p);
        }
        for (size_t k = 0; k < d; k++)
            u[k] /= norm;
    }
    return WN_OK;
}

/* Labels numbered in the order in which they appear first. */
static wn_err renumber(uint32_t *label, uint64_t N, uint32_t most)
{
    uint32_t *to, n = 0;
    WN_NEW(to, (size_t)most + 1);
    for (uint64_t i = 0; i < N; i++) {
        if (!to[label[i]])
            to[label[i]] = ++n;
        label[i] = to[label[i]] - 1;
    }
    wn_free(to);
    return WN_OK;
}

/* ---- average linkage ---- */

struct merge {
    double height;
    uint32_t a, b;
};

struct linkage {
    double *sum; /* [N, d] of active clusters */
    double *size;
    uint32_t *active; /* their places, ascending */
    uint32_t n;
    size_t d;
    uint32_t of;             /* whose neighbour is sought */
    double best[PIECE];      /* a piece's best */
    uint32_t best_at[PIECE]; /* place in active */
    size_t pieces;
};

static void seek(void *ctx, size_t piece, int thread)
{
    (void)thread;
    struct linkage *l = ctx;
    size_t from = l->n * piece / l->pieces, to = l->n * (piece + 1) / l->pieces;
    const double *of = l->sum + l->of * l->d;
    l->best[piece] = -INFINITY;
    for (size_t i = from; i < to; i++) {
        uint32_t j = l->active[i];
        if (j == l->of)
            continue;
        double cosine = wn_dot_64(of, l->sum + j * l->d, l->d) / (l->size[j] * l->size[l->of]);
        if (cosine > l->best[piece]) {
            l->best[piece] = cosine;
            l->best_at[piece] = j;
        }
    }
}

/* The nearest active cluster of `of`; ties to `before` (the chain's last but one), then to the
 * smaller number. */
static uint32_t nearest(double *cosine, struct linkage *l, uint32_t of, uint32_t before)
{
    l->of = of;
    l->pieces = l->n < PIECE * 16 ? 1 + l->n / 16 : PIECE;
    wn_par_do(l->pieces, seek, l);
    size_t best = 0;
    for (size_t i = 1; i < l->pieces; i++)
        if (l->best[i] > l->best[best])
            best = i;
    *cosine = l->best[best];
    if (before != UINT32_MAX) {
        double back = wn_dot_64(l->sum + of * l->d, l->sum + before * l->d, l->d) /
                      (l->size[before] * l->size[of]);
        if (back >= *cosine) {
            *cosine = back;
            return before;
        }
    }
    return l->best_at[best];
}

static void unite(struct linkage *l, uint32_t a, uint32_t b)
{
    wn_axpy64(l->sum + a * l->d, 1, l->sum + b * l->d, l->d);
    l->size[a] += l->size[b];
    uint32_t at = 0;
    while (l->active[at] != b)
        at++;
    memmove(l->active + at, l->active + at + 1, (--l->n - at) * sizeof *l->active);
}

/* All N - 1 merges of the tree. */
static wn_err tree(struct merge *m, struct linkage *l, uint32_t *chain)
{
    uint32_t N = l->n, length = 0;
    for (uint32_t done = 0; done + 1 < N;) {
        if (!length)
            chain[length++] = l->active[0];
        double cosine;
        uint32_t top = chain[length - 1], before = length > 1 ? chain[length - 2] : UINT32_MAX;
        uint32_t next = nearest(&cosine, l, top, before);
        if (next != before) {
            chain[length++] = next;
            continue;
        }
        uint32_t a = top < before ? top : before, b = top < before ? before : top;
        m[done++] = (struct merge){cosine, a, b};
        unite(l, a, b);
        length -= 2;
        WN_TRY(wn_progress("clusters", "merges", done, N - 1, NULL));
    }
    return WN_OK;
}

static int closest_first(const void *a, const void *b)
{
    const struct merge *x = a, *y = b;
    if (x->height != y->height)
        return x->height > y->height ? -1 : 1;
    return x->b < y->b ? -1 : x->b > y->b; /* a merge's second number dies, so it is there once */
}

/* The clusters that stand after the N - K closest merges. */
static wn_err cut(uint32_t *label, struct merge *m, uint64_t N, uint32_t K)
{
    wn_sets sets;
    qsort(m, N - 1, sizeof *m, closest_first);
    WN_TRY(wn_sets_init(&sets, N));
    for (uint64_t i = 0; i < N - K; i++)
        wn_sets_join(&sets, m[i].a, m[i].b);
    for (uint32_t i = 0; i < N; i++)
        label[i] = wn_sets_first(&sets, i);
    wn_sets_free(&sets);
    return renumber(label, N, (uint32_t)N);
}

wn_err wn_cluster_linkage(uint32_t *label, const wn_store *s, const uint64_t *at, uint64_t N,
                          uint32_t K)
{
    if (N > 200000)
        return wn_fail(WN_EARG,
                       "--groups cluster: %llu rows: expected at most 200000; kmeans:K "
                       "takes any number",
                       (unsigned long long)N);
    struct linkage *l = wn_calloc(1, sizeof *l);
    struct merge *m = wn_calloc(N + 1, sizeof *m);
    uint32_t *chain = wn_calloc(N + 1, sizeof *chain);
    wn_err err = l && m && chain ? WN_OK : WN_ENOMEM;
    if (err == WN_OK) {
        l->d = wn_store_dim(s);
        l->n = (uint32_t)N;
        l->size = wn_calloc(N, sizeof *l->size);
        l->active = wn_calloc(N, sizeof *l->active);
        err = l->size && l->active ? unit_rows(&l->sum, s, at, N) : WN_ENOMEM;
    }
    for (uint32_t i = 0; i < N && err == WN_OK; i++) {
        l->size[i] = 1;
        l->active[i] = i;
    }
    if (err == WN_OK)
        err = tree(m, l, chain);
    if (err == WN_OK)
        err = cut(label, m, N, K);
    if (l) {
        wn_free(l->sum);
        wn_free(l->size);
        wn_free(l->active);
    }
    wn_free(l);
    wn_free(m);
    wn_free(chain);
    return err;
}

/* ---- k-means on the sphere ---- */

struct kmeans {
    const double *unit;
    double *centre; /* [K, d] */
    double *near;   /* [N] cosine with the nearest centre */
    uint32_t *label;
    uint64_t N;
    uint32_t K;
    size_t d;
};

static void assign(void *ctx, size_t piece, int thread)
{
    (void)thread;
    struct kmeans *k = ctx;
    for (uint64_t i = piece * PIECE; i < (piece + 1) * PIECE && i < k->N; i++) {
        k->near[i] = -INFINITY;
        for (uint32_t c = 0; c < k->K; c++) {
            double cosine = wn_dot_64(k->unit + i * k->d, k->centre + c * k->d, k->d);
            if (cosine > k->near[i]) {
                k->near[i] = cosine;
                k->label[i] = c;
            }
        }
    }
}

/* k-means++ (Arthur & Vassilvitskii 2007) with 1 - cosine, half the squared distance. */
static void choose_centres(struct kmeans *k, uint64_t seed)
{
    for (uint64_t i = 0; i < k->N; i++)
        k->near[i] = -1;
    for (uint32_t c = 0; c < k->K; c++) {
        double total = 0, at = 0;
        for (uint64_t i = 0; i < k->N; i++)
            total += 1 - k->near[i];
        double draw = wn_rng_uniform(seed, WN_STREAM_CLUSTER, c) * total;
        uint64_t pick = 0;
        for (uint64_t i = 0; i < k->N && at <= draw; i++) {
            at += 1 - k->near[i];
            if (k->near[i] < 1)
                pick = i;
        }
        memcpy(k->centre + c * k->d, k->unit + pick * k->d, k->d * sizeof(double));
        for (uint64_t i = 0; i < k->N; i++)
            k->near[i] =
                fmax(k->near[i], wn_dot_64(k->unit + i * k->d, k->centre + c * k->d, k->d));
    }
}

/* Centres of the labels; an empty cluster takes the row that is farthest from its centre. */
static void recentre(struct kmeans *k)
{
    memset(k->centre, 0, k->K * k->d * sizeof(double));
    for (uint64_t i = 0; i < k->N; i++)
        wn_axpy64(k->centre + k->label[i] * k->d, 1, k->unit + i * k->d, k->d);
    for (uint32_t c = 0; c < k->K; c++) {
        double norm = wn_norm64(k->centre + c * k->d, k->d);
        if (norm > 0) {
            for (size_t j = 0; j < k->d; j++)
                k->centre[c * k->d + j] /= norm;
            continue;
        }
        uint64_t far = 0;
        for (uint64_t i = 1; i < k->N; i++)
            far = k->near[i] < k->near[far] ? i : far;
        k->near[far] = 1;
        k->label[far] = c;
        memcpy(k->centre + c * k->d, k->unit + far * k->d, k->d * sizeof(double));
    }
}

wn_err wn_cluster_kmeans(uint32_t *label, const wn_store *s, const uint64_t *at, uint64_t N,
                         uint32_t K, uint64_t seed)
{
    double *unit = NULL;
    struct kmeans k = {.label = label, .N = N, .K = K, .d = wn_store_dim(s)};
    uint32_t *last = wn_calloc(N + 1, sizeof *last);
    k.centre = wn_calloc(K, k.d * sizeof *k.centre);
    k.near = wn_calloc(N + 1, sizeof *k.near);
    wn_err err = last && k.centre && k.near ? unit_rows(&unit, s, at, N) : WN_ENOMEM;
    k.unit = unit;
    if (err == WN_OK)
        choose_centres(&k, seed);
    for (int round = 0; round < ROUNDS && err == WN_OK; round++) {
        wn_par_do((size_t)((N + PIECE - 1) / PIECE), assign, &k);
        bool same = round && memcmp(last, label, N * sizeof *label) == 0;
        memcpy(last, label, N * sizeof *label);
        if (same)
            break;
        recentre(&k);
        err = wn_progress("clusters", "rounds", (uint64_t)round + 1, ROUNDS, NULL);
    }
    if (err == WN_OK)
        err = renumber(label, N, K);
    wn_free(last);
    wn_free(unit);
    wn_free(k.centre);
    wn_free(k.near);
    return err;
}
