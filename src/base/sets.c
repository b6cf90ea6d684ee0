#include "base/sets.h"

#include "base/mem.h"

wn_err wn_sets_init(wn_sets *s, uint64_t n)
{
    *s = (wn_sets){.n = n};
    if (n > UINT32_MAX)
        return wn_fail(WN_EARG, "expected under 2^32 rows, found %llu", (unsigned long long)n);
    s->parent = wn_malloc((size_t)(n + 1) * sizeof *s->parent);
    if (!s->parent)
        return WN_ENOMEM;
    for (uint64_t i = 0; i < n; i++)
        s->parent[i] = (uint32_t)i;
    return WN_OK;
}

void wn_sets_free(wn_sets *s)
{
    wn_free(s->parent);
    *s = (wn_sets){0};
}

uint32_t wn_sets_look(const wn_sets *s, uint32_t i)
{
    while (s->parent[i] != i)
        i = s->parent[i];
    return i;
}

uint32_t wn_sets_first(wn_sets *s, uint32_t i)
{
    uint32_t first = wn_sets_look(s, i);
    while (s->parent[i] != first) {
        uint32_t next = s->parent[i];
        s->parent[i] = first;
        i = next;
    }
    return first;
}

bool wn_sets_join(wn_sets *s, uint32_t a, uint32_t b)
{
    a = wn_sets_first(s, a);
    b = wn_sets_first(s, b);
    if (a == b)
        return false;
    s->parent[a > b ? a : b] = a > b ? b : a;
    return true;
}
