/* The union of every query's best rows, trimmed to the budget as deft does it. */
#ifndef WN_SELECT_UNION_H
#define WN_SELECT_UNION_H

#include "select/select.h"

/* Room for the lists of Q queries in out: *k hits each (the job's --k, or all there are) and some
 * behind them for explanations. */
wn_err wn_lists_make(wn_picks *out, size_t *k, const wn_candidates *c, const wn_select_opts *o,
                     size_t Q);
/* Picks from the filled lists: the largest number of hits a query whose union fits; WN_NO_ROW ends
 * a list. */
wn_err wn_union_pick(wn_picks *out, const wn_candidates *c, const wn_select_opts *o, size_t k,
                     bool smaller_is_better);

#endif
