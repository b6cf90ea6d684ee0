/* deft: the union of every query's nearest rows (Ivison, Smith, Hajishirzi, Dasigi 2022, arXiv
 * 2212.00196, section 2). Where it is larger than the budget, every query's last hit is dropped
 * until it fits, as the authors do for SuperNaturalInstructions; if one hit a query is still too
 * many, the best-scored of those stay. What departs from their code: the search is exact, the last
 * partial batch of queries is not lost, and rows that may not be picked are replaced by the next
 * neighbours, because they are never searched. Under a cap, a task keeps its best-scored rows of
 * the union. */
#include "base/mem.h"
#include "search/finder.h"
#include "select/union.h"

static wn_err find(const wn_asked *ask, const wn_candidates *c, wn_metric metric, size_t n)
{
    wn_finder *f;
    WN_TRY(wn_finder_open(&f, c->store, metric, false));
    wn_err e = wn_finder_context(wn_finder_find(f, ask, n), f, n == 1 ? c->queries : NULL);
    wn_finder_close(f);
    return e;
}

wn_err wn_pick_deft_all(wn_picks *out, const wn_candidates *c, const wn_select_opts *o, size_t n)
{
    wn_metric metric;
    wn_asked *ask;
    size_t *k;
    WN_TRY(wn_metric_parse(&metric, o[0].metric));
    WN_NEW(ask, n);
    k = wn_calloc(n, sizeof *k);
    wn_err e = k ? WN_OK : WN_ENOMEM;
    for (size_t i = 0; i < n && !e; i++) {
        size_t Q = (size_t)wn_store_rows(c[i].queries);
        e = wn_lists_make(&out[i], &k[i], &c[i], &o[i], Q);
        ask[i] = (wn_asked){wn_store_vector(c[i].queries, 0),
                            Q,
                            out[i].width,
                            c[i].skip,
                            out[i].list_row,
                            out[i].list_score};
    }
    if (!e)
        e = find(ask, c, metric, n);
    for (size_t i = 0; i < n && !e; i++)
        e = wn_union_pick(&out[i], &c[i], &o[i], k[i], metric == WN_METRIC_L2);
    wn_free(ask);
    wn_free(k);
    return e;
}

wn_err wn_pick_deft(wn_picks *out, const wn_candidates *c, const wn_select_opts *o)
{
    return wn_pick_deft_all(out, c, o, 1);
}
