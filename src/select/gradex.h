/* What the two GradEx strategies share: groups chosen by their estimates become rows. */
#ifndef WN_SELECT_GRADEX_H
#define WN_SELECT_GRADEX_H

#include "select/select.h"
#include "select/surrogate.h"

/* Rows of the groups with chosen[t] = 1, score[t] for every row of theirs. All of them, or under a
 * budget or cap in an order drawn by the seed, so that every chosen group gives its share. about:
 * facts of the search for the manifest (taken over). */
wn_err wn_gradex_take(wn_picks *out, const wn_candidates *c, const wn_select_opts *o,
                      const wn_surrogate *s, const uint8_t *chosen, const double *score,
                      json_t *about);
/* {"name", "rows", "chosen", "score"} of every group, by score. */
json_t *wn_gradex_table(const wn_surrogate *s, const uint8_t *chosen, const double *score);
wn_err wn_gradex_open(wn_surrogate *s, const wn_candidates *c, const wn_select_opts *o);

#endif
