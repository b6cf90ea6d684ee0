#include "base/keyed.h"

#include <stdlib.h>

static int by_key(const void *a, const void *b)
{
    const wn_keyed *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

void wn_keyed_sort(wn_keyed *x, uint64_t n)
{
    if (n)
        qsort(x, (size_t)n, sizeof *x, by_key);
}

uint64_t wn_keyed_find(const wn_keyed *x, uint64_t n, uint64_t key)
{
    uint64_t lo = 0, hi = n;
    while (lo < hi) {
        uint64_t mid = lo + (hi - lo) / 2;
        if (x[mid].key < key)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}
