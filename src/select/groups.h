/* Rows of a gradient store in groups that are chosen or left out as a whole: tasks, sources, or
 * clusters of their vectors. */
#ifndef WN_SELECT_GROUPS_H
#define WN_SELECT_GROUPS_H

#include "pool/pool.h"
#include "store/store.h"

typedef struct wn_groups {
    uint32_t T;
    char **name;     /* [T] sorted, but for clusters: c0, c1, ... */
    uint64_t N;      /* rows that take part */
    uint64_t *at;    /* [N] rows of the store, by group, then by id: their order in the store does
                        not matter */
    uint64_t *start; /* [T+1] */
} wn_groups;

/* spec: "task" (NULL), "source" (the field of the pool's rows; needs `pool`, in which the store's
 * rows are found by id), "cluster:K" (average linkage on the cosine, as GradEx's authors group one
 * data set: N^2 d operations, N d doubles), "kmeans:K" (spherical, k-means++ start by `seed`),
 * "all" (one group without a name).
 * skip: bits of rows that take no part, NULL: none. Groups without rows are left out. */
wn_err wn_groups_make(wn_groups *g, const wn_store *s, const char *spec, wn_pool *pool,
                      const uint64_t *skip, uint64_t seed);
void wn_groups_free(wn_groups *g);
/* The group of that name; UINT32_MAX: none. */
uint32_t wn_groups_find(const wn_groups *g, const char *name, size_t len);

/* Clusters of the rows at[0 .. N) (cluster.c): label [N] out, 0 .. K-1, numbered in the order of
 * their first rows. K <= N. Zero vectors are refused by id, for they have no direction. */
wn_err wn_cluster_linkage(uint32_t *label, const wn_store *s, const uint64_t *at, uint64_t N,
                          uint32_t K);
wn_err wn_cluster_kmeans(uint32_t *label, const wn_store *s, const uint64_t *at, uint64_t N,
                         uint32_t K, uint64_t seed);

/* ---- subsets of groups ---- */

typedef struct wn_subsets {
    uint8_t *member; /* [M, T] */
    size_t M, cap;
    uint32_t T;
} wn_subsets;
/* A line a subset: a JSON array of names, an object with such an array as `subset`, or names
 * separated by tabs; by commas; or by blanks, whichever comes first in this list and is in the
 * line (a line that is one group's name is that group). [] is the empty subset; empty lines are
 * skipped. Unknown and repeated names are refused by line. */
wn_err wn_subsets_read(wn_subsets *s, const wn_groups *g, const char *path);
/* M random subsets of floor(share * T) groups (at least one), uniform without replacement; subset
 * m depends on seed and `first` + m alone. */
wn_err wn_subsets_draw(wn_subsets *s, const wn_groups *g, size_t M, double share, uint64_t seed,
                       uint64_t first);
/* One more, of zeros; returned. NULL: out of memory. */
uint8_t *wn_subsets_add(wn_subsets *s, uint32_t T);
void wn_subsets_free(wn_subsets *s);

#endif
