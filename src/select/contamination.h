/* The contamination veto: rows of a pool that share text with a target row. */
#ifndef WN_SELECT_CONTAMINATION_H
#define WN_SELECT_CONTAMINATION_H

#include "select/select.h"

enum { WN_AVOID_WORDS = 13 };
#define WN_AVOID_SIMILAR 0.8

/* Sets the bit of every row of `pool` that shares text with a row of `avoid` (prompt, target,
 * choices):
 *   exact   the same prompt, in words; of a prompt that is nothing but the target task's template:
 *           the same prompt and target
 *   words   a run of `run` words (0: 13), at least 5 of them not the target task's template;
 *           a whole stretch of 5 words or more, but fewer than a run, between pieces of that
 *           template, in prompt or target
 *   near    prompts whose sets of five-word runs have a Jaccard similarity of at least 0.8, without
 *           the templates of both tasks, where both have at least 5 runs (pool/runs.h)
 * Words are compared in lower case without punctuation. Template is what half or more of a task's
 * rows (and at least 3) have: of a target task, runs of 4 words; of a pool task, the shared runs
 * themselves, which are then no reason of kind `words`.
 *   veto    bits by pool row, zeroed by the caller
 *   out     a pair for each row, in pool order, by the first kind that fits, with the words they
 *           share; wn_vetoes_free
 *   compared   what there was to compare with; where that is nothing, for any of the files, it is
 *           an error that names it
 *
 * Memory: some 16 bytes a word of the target rows; the pool is streamed. The same for any number
 * of threads. */
wn_err wn_contamination(uint64_t *veto, wn_vetoes *out, wn_compared *compared, const wn_pool *pool,
                        wn_pool *const *avoid, size_t n_avoid, size_t run);

/* The kind `near` alone, of rows whose bit is not set yet (near_target.c). sets: target rows with
 * enough runs. */
wn_err wn_near_targets(uint64_t *veto, wn_vetoes *out, uint64_t *sets, const wn_pool *pool,
                       wn_pool *const *avoid, size_t n_avoid);

/* "FILE: ID" of row number of all files together; wn_free. */
wn_err wn_avoid_name(char **name, wn_pool *const *avoid, uint64_t number);

#endif
