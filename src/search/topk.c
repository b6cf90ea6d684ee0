/* A buffer of 2k + 64 candidates instead of a heap: pushing is a store, and each time the buffer is
 * full one linear-time selection finds the k-th best lower bound and drops what lies below it for
 * good. Only what the bounds cannot separate is ever scored exactly: with float32 products about k
 * rows a query, where a heap of exact scores needs one for each of the k (1 + ln(N/k)) rows that
 * enter it. */
#include "search/topk.h"

#include <math.h>
#include <stdlib.h>

void wn_topk_init(wn_topk *t, wn_cand *item, size_t k)
{
    *t = (wn_topk){.item = item, .k = k, .cap = wn_topk_cap(k), .floor = -INFINITY};
}

/* The total order of the answer; exact on exact scores. */
static bool better(const wn_cand *a, const wn_cand *b)
{
    return a->lo > b->lo || (a->lo == b->lo && a->row < b->row);
}

static void swap(wn_cand *a, wn_cand *b)
{
    wn_cand c = *a;
    *a = *b;
    *b = c;
}

/* Brings the m best by `better` to the front (Hoare's selection, median of three). Rows differ, so
 * the order is total and equal scores cannot make it quadratic. */
static void select_best(wn_cand *a, size_t n, size_t m)
{
    size_t lo = 0, hi = n;
    while (hi - lo > 1 && m > lo && m < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (better(&a[mid], &a[lo]))
            swap(&a[mid], &a[lo]);
        if (better(&a[hi - 1], &a[lo]))
            swap(&a[hi - 1], &a[lo]);
        if (better(&a[hi - 1], &a[mid]))
            swap(&a[hi - 1], &a[mid]);
        wn_cand pivot = a[mid];
        size_t i = lo, j = hi - 1;
        for (;;) {
            while (better(&a[i], &pivot))
                i++;
            while (better(&pivot, &a[j]))
                j--;
            if (i >= j)
                break;
            swap(&a[i++], &a[j--]);
        }
        size_t cut = i == j ? i + 1 : i; /* [lo, cut) are no worse than the pivot */
        if (m < cut) {
            if (hi == cut)
                cut--;
            hi = cut;
        } else {
            if (cut == lo)
                cut++;
            lo = cut;
        }
    }
}

static void drop_below(wn_topk *t)
{
    size_t kept = 0;
    for (size_t i = 0; i < t->n; i++)
        if (t->item[i].hi >= t->floor)
            t->item[kept++] = t->item[i];
    t->n = kept;
}

void wn_topk_settle(wn_topk *t)
{
    if (t->n <= t->k)
        return;
    select_best(t->item, t->n, t->k);
    double least = INFINITY;
    for (size_t i = 0; i < t->k; i++)
        if (t->item[i].lo < least)
            least = t->item[i].lo;
    if (least > t->floor)
        t->floor = least;
    drop_below(t);
}

static void score_all(wn_topk *t, wn_exact_fn exact, void *ctx)
{
    for (size_t i = 0; i < t->n; i++) {
        wn_cand *c = &t->item[i];
        if (c->lo != c->hi)
            c->lo = c->hi = exact(ctx, c->row);
    }
}

/* All exact: what is not among the k best is gone, and so are ties of larger rows. */
static void keep_exact(wn_topk *t)
{
    if (t->n <= t->k)
        return;
    select_best(t->item, t->n, t->k);
    t->n = t->k;
    t->floor = INFINITY;
    for (size_t i = 0; i < t->n; i++)
        if (t->item[i].lo < t->floor)
            t->floor = t->item[i].lo;
}

void wn_topk_push(wn_topk *t, wn_cand c, wn_exact_fn exact, void *ctx)
{
    t->item[t->n++] = c;
    if (t->n < t->cap)
        return;
    wn_topk_settle(t);
    if (t->n <= t->k + (t->cap - t->k) / 2)
        return;
    score_all(t, exact, ctx);
    keep_exact(t);
}

static int by_rank(const void *a, const void *b)
{
    return better(a, b) ? -1 : 1;
}

void wn_topk_finish(wn_topk *t, wn_exact_fn exact, void *ctx)
{
    wn_topk_settle(t);
    score_all(t, exact, ctx);
    keep_exact(t);
    qsort(t->item, t->n, sizeof *t->item, by_rank);
}
