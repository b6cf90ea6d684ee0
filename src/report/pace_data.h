/* What rows cost on this machine besides models: building a pool, choosing, searching, reading a
 * disk; each by running the thing itself on made-up rows for about a second. Scratch files lie in
 * $TMPDIR (or /tmp) and are gone afterwards. */
#ifndef WN_REPORT_PACE_DATA_H
#define WN_REPORT_PACE_DATA_H

#include "kernel/mat.h"
#include "search/search.h"
#include "winnow.h"

/* GFLOP/s of bare multiply-adds of that kind of numbers on all threads, the best of twenty short
 * runs; 0: the processor has none. */
double wn_pace_peak(wn_mat_kind kind);

/* A folder for a measurement; wn_remove_tree, wn_free. */
wn_err wn_pace_scratch(char **dir);

/* A store of made-up rows about 512 centres, as texts of tasks lie. Equal arguments give equal
 * rows; other seeds, other rows about the same centres: queries. One that was cut is gone on with.
 */
wn_err wn_pace_store(const char *path, uint64_t rows, size_t D, uint64_t seed);

/* A pool of made-up rows of some length, built from JSON lines. */
typedef struct wn_pace_pool {
    char *dir;
    uint64_t rows, bytes; /* bytes: of the lines */
    double build_sec;
} wn_pace_pool;
wn_err wn_pace_pool_open(wn_pace_pool *p, double row_bytes, const char *dedup);
void wn_pace_pool_close(wn_pace_pool *p);
/* Seconds a row of the pool of one selection: contamination against as many made-up target rows
 * (veto), duplicates, the strategy itself; vectors are not searched. */
wn_err wn_pace_select(double *row_sec, const wn_pace_pool *p, const char *strategy,
                      const char *dedup, bool veto, uint64_t target_rows);

/* Seconds of a search of a store for Q queries: fixed + rows * row where its vectors are coded, and
 * the codes kept, in the same pass; fixed + rows * again where the codes are there. Made-up vectors
 * in a store in the page cache, compared with its checksums, some hundred thousand rows or the
 * `rows` of the search where those are fewer (pace_search.c). */
typedef struct wn_pace_scan {
    double fixed_sec, row_sec, again_sec;
} wn_pace_scan;
wn_err wn_pace_search(wn_pace_scan *s, uint64_t rows, size_t D, size_t Q, size_t k,
                      wn_metric metric);

/* Bytes a second that a file beyond the page cache is read with, as search reads a store. */
wn_err wn_pace_disk(double *rate);

#endif
