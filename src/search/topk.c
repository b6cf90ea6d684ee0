/* A buffer of half as many candidates again instead of a heap: pushing is a store, and each time
 * the buffer is full one linear-time selection finds the k best and drops the rest for good. */
#include "search/topk.h"

#include <math.h>

void wn_topk_init(wn_topk *t, wn_cand *item, size_t k)
{
    *t = (wn_topk){.item = item, .k = k, .cap = wn_topk_cap(k), .floor = -INFINITY};
}

enum { FEW = 16, UNLUCKY = 16 };

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

/* Hoare's partition of [0, n), n > 1, by the median of three: none of [0, cut) is worse than any of
 * [cut, n), 0 < cut < n. Rows differ, so the order is total and equal scores cannot make parts
 * unequal. (Without a branch on what is compared, Lomuto's way, it takes half as long again.) */
static size_t partition(wn_cand *a, size_t n)
{
    size_t mid = n / 2, i = 0, j = n - 1;
    if (better(&a[mid], &a[0]))
        swap(&a[mid], &a[0]);
    if (better(&a[n - 1], &a[0]))
        swap(&a[n - 1], &a[0]);
    if (better(&a[n - 1], &a[mid]))
        swap(&a[n - 1], &a[mid]);
    const wn_cand pivot = a[mid];
    for (;;) {
        while (better(&a[i], &pivot))
            i++;
        while (better(&pivot, &a[j]))
            j--;
        if (i >= j)
            break;
        swap(&a[i++], &a[j--]);
    }
    size_t cut = i == j ? i + 1 : i;
    return cut < n ? cut : n - 1;
}

/* Brings the m best to the front. */
static void select_best(wn_cand *a, size_t n, size_t m)
{
    while (n > 1 && m > 0 && m < n) {
        size_t cut = partition(a, n);
        if (m < cut) {
            n = cut;
        } else {
            a += cut;
            n -= cut;
            m -= cut;
        }
    }
}

/* Brings the m best to the front; the worst score of these. */
static double worst_of_best(wn_topk *t, size_t m)
{
    double worst = INFINITY;
    select_best(t->item, t->n, m);
    for (size_t i = 0; i < m; i++)
        worst = t->item[i].score < worst ? t->item[i].score : worst;
    return worst;
}

void wn_topk_settle(wn_topk *t)
{
    if (t->n < t->k)
        return;
    t->floor = worst_of_best(t, t->k);
    t->n = t->k;
}

double wn_topk_cut(wn_topk *t, size_t m)
{
    double worst = worst_of_best(t, m);
    size_t n = m;
    for (size_t i = m; i < t->n; i++)
        if (t->item[i].score == worst)
            t->item[n++] = t->item[i];
    t->n = n;
    return worst;
}

void wn_topk_push(wn_topk *t, wn_cand c)
{
    t->item[t->n++] = c;
    if (t->n == t->cap)
        wn_topk_settle(t);
}

/* Quicksort, but the halves of an unlucky partition are made equal; few are inserted. (A library's
 * sort calls its comparison.) */
static void sort_best(wn_cand *a, size_t n)
{
    while (n > FEW) {
        size_t cut = partition(a, n);
        if (cut < n / UNLUCKY || cut > n - n / UNLUCKY) {
            cut = n / 2;
            select_best(a, n, cut);
        }
        sort_best(a, cut);
        a += cut;
        n -= cut;
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
