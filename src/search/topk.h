/* The k best of a stream of candidates whose scores are known only within bounds. */
#ifndef WN_SEARCH_TOPK_H
#define WN_SEARCH_TOPK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* lo <= score <= hi, larger is better; lo == hi: the exact score. */
typedef struct wn_cand {
    double lo, hi;
    uint64_t row;
} wn_cand;

/* Exact score of a row, for a candidate that bounds cannot decide. */
typedef double (*wn_exact_fn)(void *ctx, uint64_t row);

/* `item` has room for cap > k candidates, all memory is the caller's. floor: the k-th best lower
 * bound so far, -inf before k candidates: what has hi < floor cannot be among the k best. */
typedef struct wn_topk {
    wn_cand *item;
    size_t n, k, cap;
    double floor;
} wn_topk;

static inline size_t wn_topk_cap(size_t k)
{
    return 2 * k + 64;
}

void wn_topk_init(wn_topk *t, wn_cand *item, size_t k);
/* Amortised constant time, plus at most one exact score a candidate. */
void wn_topk_push(wn_topk *t, wn_cand c, wn_exact_fn exact, void *ctx);
/* Raises the floor to the k-th best lower bound, if there are k, and drops what cannot reach it. */
void wn_topk_settle(wn_topk *t);
/* Leaves the k best, scored exactly, best first, ties to the smaller row. */
void wn_topk_finish(wn_topk *t, wn_exact_fn exact, void *ctx);

#endif
