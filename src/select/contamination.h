/* The contamination veto: rows of a pool that share text with a target row. */
#ifndef WN_SELECT_CONTAMINATION_H
#define WN_SELECT_CONTAMINATION_H

#include "select/select.h"

/* Sets the bit of every row of `pool` that shares text with a row of `avoid` (prompt, target,
 * choices):
 *   - a run of 8 words, at least 5 of them not the target task's template;
 *   - a whole stretch of 5 to 7 words between pieces of that template, in prompt or target;
 *   - of target rows that have neither: the whole prompt.
 * Words are compared in lower case without punctuation. Template is what half or more of a task's
 * rows (and at least 3) have: of a target task, runs of 4 words; of a pool task, the shared runs
 * themselves. veto   bits by pool row, zeroed by the caller shown  [most] out, *n used: the first
 * of the pairs in pool order with the words they share; the caller frees the texts Memory: some 16
 * bytes a word of the target rows; the pool is streamed. The same for any number of threads. */
wn_err wn_contamination(uint64_t *veto, wn_veto *shown, size_t *n, size_t most, const wn_pool *pool,
                        wn_pool *const *avoid, size_t n_avoid);

#endif
