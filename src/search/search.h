/* Exact top-k: one pass over the rows for all queries. 8-bit codes filter with a proved bound
 * (codes.h), float64 sums of the stored float32 numbers score what passes; so the answer is the k
 * best of the exact scores, ties to the smaller row position, for every thread count and
 * instruction set. */
#ifndef WN_SEARCH_SEARCH_H
#define WN_SEARCH_SEARCH_H

#include "base/err.h"
#include "store/store.h"

typedef enum wn_metric { WN_METRIC_L2, WN_METRIC_IP, WN_METRIC_COSINE } wn_metric;
wn_err wn_metric_parse(wn_metric *m, const char *name); /* NULL: l2 */
const char *wn_metric_name(wn_metric m);

enum { WN_NO_ROW = -1 };
enum { WN_HITS = 500 }; /* of a query, unless an option says otherwise */

/* Queries that one pass over the rows answers, at most. */
size_t wn_search_together(size_t k);
/* About the bytes that a search of Q queries, at most so many, takes besides rows that memory
 * holds; large: of a store that it does not hold, whose rows come and go in windows. */
double wn_search_memory(size_t Q, size_t k, size_t D, bool large);

/* row [Q,k] out: positions, best first, WN_NO_ROW behind the end where the store has fewer than k
 * rows; score [Q,k] out: squared distance (l2, smaller is better), inner product or cosine (larger
 * is better), in float64; NaN behind the end. rows [N,D], query [Q,D] float32. The cosine with a
 * zero vector is 0. A row or query that holds NaN or infinity is refused by position. Memory:
 * candidates of some thousand queries at a time (96 MB at most, more where one query's take more),
 * the codes of a sample of rows (48 MB), some 20 MB a thread. */
wn_err wn_search_exact(int64_t *row, double *score, const float *rows, uint64_t N,
                       const float *query, size_t Q, size_t D, size_t k, wn_metric metric);

/* Queries that may be answered with the same rows, and room for their answers. */
typedef struct wn_asked {
    const float *query; /* [Q, D] */
    size_t Q, k;
    const uint64_t *skip; /* rows whose bit (bit r % 64 of word r / 64) is set are not for them;
                             NULL: all are */
    int64_t *row;         /* [Q, k] out, as below */
    double *score;        /* [Q, k] out */
} wn_asked;

/* The same over the rows whose bit in `skip` (bit r % 64 of word r / 64) is clear; NULL: all rows.
 */
wn_err wn_search_among(int64_t *row, double *score, const float *rows, uint64_t N,
                       const uint64_t *skip, const float *query, size_t Q, size_t D, size_t k,
                       wn_metric metric);

static inline bool wn_bit(const uint64_t *bits, uint64_t i)
{
    return bits && (bits[i / 64] >> (i % 64) & 1);
}

static inline void wn_bit_set(uint64_t *bits, uint64_t i)
{
    bits[i / 64] |= (uint64_t)1 << (i % 64);
}

#endif
