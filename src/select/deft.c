/* deft: the union of every query's nearest rows (Ivison, Smith, Hajishirzi, Dasigi 2022, arXiv
 * 2212.00196, section 2). Where it is larger than the budget, every query's last hit is dropped
 * until it fits, as the authors do for SuperNaturalInstructions; if one hit a query is still too
 * many, the best-scored of those stay. What departs from their code: the search is exact, the last
 * partial batch of queries is not lost, and rows that may not be picked are replaced by the next
 * neighbours, because they are never searched. Under a cap, a task keeps its best-scored rows of
 * the union. */
#include "search/finder.h"
#include "select/union.h"

wn_err wn_pick_deft(wn_picks *out, const wn_candidates *c, const wn_select_opts *o)
{
    const wn_store *s = c->store, *q = c->queries;
    wn_metric metric;
    wn_finder *f;
    size_t k;
    WN_TRY(wn_metric_parse(&metric, o->metric));
    WN_TRY(wn_lists_make(out, &k, c, o, (size_t)wn_store_rows(q)));
    WN_TRY(wn_finder_open(&f, s, metric, false));
    wn_err e = wn_finder_find(out->list_row, out->list_score, f, c->skip, wn_store_vector(q, 0),
                              out->Q, out->width);
    e = wn_finder_context(e, f, q);
    wn_finder_close(f);
    WN_TRY(e);
    return wn_union_pick(out, c, o, k, metric == WN_METRIC_L2);
}
