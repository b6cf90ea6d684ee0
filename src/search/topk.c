/* A buffer of half as many candidates again instead of a heap: pushing is a store, and each time
 * the buffer is full one linear-time selection finds the k best and drops the rest for good. */
#include "search/topk.h"

#include <math.h>

void wn_topk_init(wn_topk *t, wn_cand *item, size_t k)
{
    *t = (wn_topk){.item = item, .k = k, .cap = wn_topk_cap(k), .floor = -INFINITY};
}

enum { FEW = 16 };

/* The total order of the answer. */
static bool better(const wn_cand *a, const wn_cand *b)
{
    return a->score > b->score || (a->score == b->score && a->row < b->row);
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

void wn_topk_settle(wn_topk *t)
{
    if (t->n < t->k)
        return;
    select_best(t->item, t->n, t->k);
    t->n = t->k;
    t->floor = INFINITY;
    for (size_t i = 0; i < t->n; i++)
        if (t->item[i].score < t->floor)
            t->floor = t->item[i].score;
}

void wn_topk_push(wn_topk *t, wn_cand c)
{
    t->item[t->n++] = c;
    if (t->n == t->cap)
        wn_topk_settle(t);
}

/* Halves until few are left, which are inserted: a library's sort calls its comparison. */
static void sort_best(wn_cand *a, size_t n)
{
    for (; n > FEW; n -= n / 2) {
        select_best(a, n, n / 2);
        sort_best(a, n / 2);
        a += n / 2;
    }
    for (size_t i = 1; i < n; i++) {
        wn_cand c = a[i];
        size_t j = i;
        for (; j && better(&c, &a[j - 1]); j--)
            a[j] = a[j - 1];
        a[j] = c;
    }
}

void wn_topk_finish(wn_topk *t)
{
    wn_topk_settle(t);
    sort_best(t->item, t->n);
}
