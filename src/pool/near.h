/* Near-duplicates: rows whose texts, without what their task's rows all share, have nearly the same
 * runs of words. */
#ifndef WN_POOL_NEAR_H
#define WN_POOL_NEAR_H

#include "pool/ingest.h"
#include "pool/pool.h"

/* Sets drop[i] to 1 for each of the rows row[0..n) (NULL: all rows, n their number) that is a
 * near-duplicate of an earlier one in that order that stays, else to 0. The same for any number of
 * threads. Memory: some 130 bytes a row. */
wn_err wn_near_mark(uint8_t *drop, const wn_pool *p, const uint64_t *row, uint64_t n);

/* The same over a pool that is being built in `dir`: rewrites its two files and g's counts.
 * Private to src/pool. */
wn_err wn_near_filter(uint64_t *dropped, wn_ingest *g, const char *dir);

#endif
