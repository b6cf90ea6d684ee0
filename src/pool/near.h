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

/* The same over a finished ingest into a folder: rewrites its two files and g's counts. Private to
 * src/pool. */
wn_err wn_near_filter(uint64_t *dropped, wn_ingest *g);

#endif
