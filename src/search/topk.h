/* The k best of a stream of scored rows. */
#ifndef WN_SEARCH_TOPK_H
#define WN_SEARCH_TOPK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct wn_cand {
    double score; /* larger is better */
    uint64_t row;
} wn_cand;

/* `item` has room for cap > k candidates, all memory is the caller's. floor: the k-th best score so
 * far, -inf before k candidates: what scores less cannot be among the k best. */
typedef struct wn_topk {
    wn_cand *item;
    size_t n, k, cap;
    double floor;
} wn_topk;

static inline size_t wn_topk_cap(size_t k)
{
    return k + k / 2 + 32;
}

void wn_topk_init(wn_topk *t, wn_cand *item, size_t k);
/* Amortised constant time. */
void wn_topk_push(wn_topk *t, wn_cand c);
/* Leaves the k best, if there are k, and raises the floor to the last of them. */
void wn_topk_settle(wn_topk *t);
/* The score of the m-th best of more than m candidates; those that score less are dropped, which is
 * right only if the caller knows, or finds out later, that they are not among the k best. */
double wn_topk_cut(wn_topk *t, size_t m);
/* The same, best first, ties to the smaller row. */
void wn_topk_finish(wn_topk *t);

#endif
