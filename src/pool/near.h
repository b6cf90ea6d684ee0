/* Near-duplicates: rows with the same target whose prompts have nearly the same runs of words. */
#ifndef WN_POOL_NEAR_H
#define WN_POOL_NEAR_H

#include "pool/ingest.h"
#include "pool/pool.h"

/* Sets drop[i] to 1 where row[i] is a near-duplicate of an earlier row of the list that stays, else
 * to 0. row NULL: the rows 0 .. n-1. Two rows are near-duplicates when their targets are equal but
 * for white space around them and the Jaccard similarity of their prompts' sets of five-word runs
 * is at least 0.8; runs that at least half of a task's rows have (its template) are left out of the
 * sets. What is reported is exact; what is found is what locality-sensitive hashing puts together,
 * over 99 % of the pairs at 0.8 and practically all at 0.9. The same for any number of threads.
 * Memory: some 200 bytes a row of the list. */
wn_err wn_near_mark(uint8_t *drop, const wn_pool *p, const uint64_t *row, uint64_t n);

/* Groups of near-duplicates: first[i] becomes the position in the list of the first row of i's
 * group, i itself where it is alone. A group is what pairs of Jaccard similarity of at least
 * `least` (0.3 .. 1) tie together; pairs as above, with equal targets unless any_target; over 99 %
 * of the pairs at `least` are found. score[i]: similarity to the first row, which may be below
 * `least` where others stand between; 1 of the first itself. Prompts that are nothing but template
 * are alone. */
typedef struct wn_near_rule {
    double least; /* 0: 0.8 */
    bool any_target;
} wn_near_rule;
wn_err wn_near_groups(uint64_t *first, double *score, const wn_pool *p, const uint64_t *row,
                      uint64_t n, const wn_near_rule *rule);

/* wn_near_mark over a finished ingest into a folder: rewrites its two files and g's counts. Private
 * to src/pool. */
wn_err wn_near_filter(uint64_t *dropped, wn_ingest *g);

#endif
