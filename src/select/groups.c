#include "select/groups.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "search/search.h"

/* A row with the text its group is named by. */
struct placed {
    uint64_t row;
    wn_span id, group;
    const wn_store *store; /* for rows of equal ids */
};

static int compare(wn_span a, wn_span b)
{
    int c = memcmp(a.p, b.p, a.len < b.len ? a.len : b.len);
    return c ? c : a.len < b.len ? -1 : a.len > b.len;
}

static int by_id(const void *a, const void *b)
{
    const struct placed *x = a, *y = b;
    int c = compare(x->id, y->id);
    if (c)
        return c;
    c = memcmp(wn_store_vector(x->store, x->row), wn_store_vector(y->store, y->row),
               wn_store_dim(x->store) * sizeof(float));
    return c ? c : x->row < y->row ? -1 : x->row > y->row;
}

static int by_group(const void *a, const void *b)
{
    const struct placed *x = a, *y = b;
    int c = compare(x->group, y->group);
    return c ? c : by_id(a, b);
}

/* ---- names ---- */

/* Rows sorted by group become the lists of g. */
static wn_err fill(wn_groups *g, const struct placed *p, uint64_t N)
{
    size_t T = 0;
    for (uint64_t i = 0; i < N; i++)
        T += i == 0 || compare(p[i].group, p[i - 1].group) != 0;
    WN_NEW(g->at, N + 1);
    WN_NEW(g->name, T + 1);
    WN_NEW(g->start, T + 1);
    for (uint64_t i = 0; i < N; i++) {
        g->at[i] = p[i].row;
        if (i && compare(p[i].group, p[i - 1].group) == 0)
            continue;
        g->name[g->T] = wn_strndup(p[i].group.p, p[i].group.len);
        if (!g->name[g->T])
            return WN_ENOMEM;
        g->start[g->T++] = i;
    }
    g->N = N;
    g->start[g->T] = N;
    return WN_OK;
}

static wn_err name_sources(struct placed *p, uint64_t N, wn_pool *pool, json_t **keep)
{
    *keep = json_array();
    if (!pool)
        return wn_fail(WN_EUSE, "--groups source: needs --pool: a store does not know sources");
    for (uint64_t i = 0; i < N; i++) {
        uint64_t row = wn_pool_find(pool, p[i].id.p, p[i].id.len);
        if (row == UINT64_MAX)
            return wn_fail(WN_EARG, "%s: no row %.*s, which %s has", wn_pool_path(pool),
                           (int)p[i].id.len, p[i].id.p, wn_store_path(p[i].store));
        wn_span raw = wn_pool_raw(pool, row);
        json_t *o, *source;
        WN_TRY(wn_json_parse(&o, raw.p, raw.len, wn_pool_path(pool)));
        source = json_object_get(o, "source");
        wn_err err = json_is_string(source)
                         ? WN_OK
                         : wn_fail(WN_EARG, "%s: row %.*s: source: expected a string, found %s",
                                   wn_pool_path(pool), (int)p[i].id.len, p[i].id.p,
                                   source ? "something else" : "none");
        if (err == WN_OK && json_array_append(*keep, source) != 0)
            err = WN_ENOMEM;
        if (err == WN_OK)
            p[i].group = (wn_span){json_string_value(source), json_string_length(source)};
        json_decref(o);
        WN_TRY(err);
    }
    return WN_OK;
}

/* "c7": the numbers are padded, so that names sort as numbers do. */
static wn_err name_clusters(struct placed *p, uint64_t N, const char *spec, uint64_t seed,
                            json_t **keep)
{
    bool linkage = strncmp(spec, "cluster:", 8) == 0;
    char *end;
    unsigned long K = strtoul(strchr(spec, ':') + 1, &end, 10);
    *keep = json_array();
    if (*end || K < 1 || K > N || K > 1000000)
        return wn_fail(WN_EARG, "--groups %s: expected a number of clusters from 1 to %llu (rows)",
                       spec, (unsigned long long)N);
    qsort(p, N, sizeof *p, by_id);
    uint64_t *at = wn_calloc(N + 1, sizeof *at);
    uint32_t *label = wn_calloc(N + 1, sizeof *label);
    wn_err err = at && label ? WN_OK : WN_ENOMEM;
    for (uint64_t i = 0; i < N && err == WN_OK; i++)
        at[i] = p[i].row;
    if (err == WN_OK)
        err = linkage ? wn_cluster_linkage(label, p->store, at, N, (uint32_t)K)
                      : wn_cluster_kmeans(label, p->store, at, N, (uint32_t)K, seed);
    int digits = 1;
    for (unsigned long k = K - 1; k >= 10; k /= 10)
        digits++;
    for (unsigned long k = 0; k < K && err == WN_OK; k++)
        err = json_array_append_new(*keep, json_sprintf("c%0*lu", digits, k)) ? WN_ENOMEM : WN_OK;
    for (uint64_t i = 0; i < N && err == WN_OK; i++) {
        const json_t *name = json_array_get(*keep, label[i]);
        p[i].group = (wn_span){json_string_value(name), json_string_length(name)};
    }
    wn_free(at);
    wn_free(label);
    return err;
}

static wn_err name_all(struct placed *p, uint64_t N, const wn_store *s, const char *spec,
                       wn_pool *pool, uint64_t seed, json_t **keep)
{
    if (!spec || strcmp(spec, "task") == 0) {
        for (uint64_t i = 0; i < N; i++) {
            const char *task = wn_store_task(s, p[i].row);
            p[i].group = (wn_span){task, strlen(task)};
        }
        return WN_OK;
    }
    if (strcmp(spec, "all") == 0) /* one group, which has no name */
        return WN_OK;
    if (strcmp(spec, "source") == 0)
        return name_sources(p, N, pool, keep);
    if (strncmp(spec, "cluster:", 8) == 0 || strncmp(spec, "kmeans:", 7) == 0)
        return name_clusters(p, N, spec, seed, keep);
    return wn_fail(WN_EUSE, "--groups: expected task, source, cluster:K or kmeans:K, found %s",
                   spec);
}

wn_err wn_groups_make(wn_groups *g, const wn_store *s, const char *spec, wn_pool *pool,
                      const uint64_t *skip, uint64_t seed)
{
    struct placed *p;
    json_t *keep = NULL; /* owns the names */
    uint64_t N = 0;
    *g = (wn_groups){0};
    WN_NEW(p, wn_store_rows(s) + 1);
    for (uint64_t i = 0; i < wn_store_rows(s); i++)
        if (!wn_bit(skip, i))
            p[N++] = (struct placed){i, wn_store_id(s, i), {"", 0}, s};
    wn_err err = N ? name_all(p, N, s, spec, pool, seed, &keep)
                   : wn_fail(WN_EARG, "%s: the store has no rows", wn_store_path(s));
    if (err == WN_OK) {
        qsort(p, N, sizeof *p, by_group);
        err = fill(g, p, N);
    }
    json_decref(keep);
    wn_free(p);
    if (err != WN_OK)
        wn_groups_free(g);
    return err;
}

void wn_groups_free(wn_groups *g)
{
    for (uint32_t t = 0; g->name && t < g->T; t++)
        wn_free(g->name[t]);
    wn_free(g->name);
    wn_free(g->at);
    wn_free(g->start);
    *g = (wn_groups){0};
}

uint32_t wn_groups_find(const wn_groups *g, const char *name, size_t len)
{
    uint32_t lo = 0, hi = g->T;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int c = compare((wn_span){g->name[mid], strlen(g->name[mid])}, (wn_span){name, len});
        if (c == 0)
            return mid;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return UINT32_MAX;
}
