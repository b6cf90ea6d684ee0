/* What exact search is made of: a filter over 8-bit codes that lets a row pass a query unless a
 * proved bound rules it out, and the float64 products that survivors are scored with.
 * Single-threaded, no allocation, nothing can fail. The filter works on integers and on float32
 * terms that its caller has inflated for rounding, so which rows pass may differ between
 * instruction sets, but never by a row that belongs to the answer; the float64 products are the
 * same bits everywhere. */
#ifndef WN_KERNEL_CODE_SCAN_H
#define WN_KERNEL_CODE_SCAN_H

#include <stddef.h>
#include <stdint.h>

enum {
    WN_SCAN_ROWS = 16,   /* rows of a block */
    WN_SCAN_DEPTH = 64,  /* numbers of a chunk */
    WN_SCAN_GROUP = 16,  /* queries whose codes lie together */
    WN_SCAN_QUERIES = 48 /* queries are padded to a multiple */
};

/* Where number i of a row's code lies in its block, [chunks][16 rows][64 numbers], and where that
 * of query q lies, [groups of 16][chunks][16][16 queries][4 numbers]: what the matrix unit
 * multiplies. */
static inline size_t wn_scan_row_at(size_t row, size_t i)
{
    return (i / WN_SCAN_DEPTH * WN_SCAN_ROWS + row) * WN_SCAN_DEPTH + i % WN_SCAN_DEPTH;
}

static inline size_t wn_scan_query_at(size_t q, size_t i, size_t chunks)
{
    size_t chunk = q / WN_SCAN_GROUP * chunks + i / WN_SCAN_DEPTH;
    return (chunk * WN_SCAN_DEPTH / 4 + i % WN_SCAN_DEPTH / 4) * 4 * WN_SCAN_GROUP +
           q % WN_SCAN_GROUP * 4 + i % 4;
}

/* A row's side of the bound, 16 rows a block: see wn_scan; fine: see wn_scan_refine. */
typedef struct wn_scan_facts {
    float scale[WN_SCAN_ROWS], plus[WN_SCAN_ROWS], reach[WN_SCAN_ROWS], fine[WN_SCAN_ROWS];
} wn_scan_facts;

/* The queries' side. Padding queries have floor +infinity and finite factors. */
typedef struct wn_scan_queries {
    size_t Q;                   /* a multiple of WN_SCAN_QUERIES */
    size_t chunks;              /* numbers / WN_SCAN_DEPTH */
    const int8_t *code;         /* [Q * chunks * DEPTH], -127 .. 127, see wn_scan_query_at */
    const int32_t *excess;      /* [Q] 128 times the sum of a query's code */
    const float *plus, *reach;  /* [Q] */
    const float *floor;         /* [Q]; no longer changed once a scan has begun */
    const int8_t *fine;         /* [Q, chunks * DEPTH] the codes' continuation, -127 .. 127 */
    const int32_t *fine_excess; /* [Q] as excess, of them */
} wn_scan_queries;

enum { WN_SCAN_FINER = 254 }; /* steps of `fine` in one of `code` */

typedef struct wn_scan_hit {
    uint32_t query;
    uint32_t row; /* from the first block's first row */
    float dot;
} wn_scan_hit;

/* Memory that a scan asks for meanwhile, because its caller will read it next: n pieces of `lines`
 * cache lines, at base + stride row[i], or stride i where row is NULL. */
typedef struct wn_scan_ahead {
    const char *base;
    size_t stride, lines, n;
    const uint32_t *row;
} wn_scan_ahead;

/* Lists the pairs of row r and query q for which not
 *     dot(r, q) scale[r] + plus[q] plus[r] + reach[q] reach[r] < floor[q]
 * where dot is the exact integer product of the codes: a NaN or infinity on the left lets the pair
 * pass. block [n] blocks of -127 .. 127; facts [n]; hit: room for n * 16 * Q + 1. Returns their
 * number; the pairs are in no order that a caller may rely on. ahead: NULL: nothing. */
size_t wn_scan(wn_scan_hit *hit, const int8_t *block, const wn_scan_facts *facts, size_t n,
               const wn_scan_queries *q, const wn_scan_ahead *ahead);
/* Of n pairs that passed keeps, in their order, those for which not
 *     dot'(r, q) scale[r] + plus[q] plus[r] + reach[q] fine[r] < floor[q]
 * with dot' = dot + (row's code . query's fine) / WN_SCAN_FINER. Returns their number. */
size_t wn_scan_refine(wn_scan_hit *hit, size_t n, const int8_t *block, const wn_scan_facts *facts,
                      const wn_scan_queries *q);
/* "amx", "vnni", "avx2" or "c": what wn_scan runs on. use: for tests and comparisons; NULL chooses
 * by CPU and WN_SCAN; one that this processor lacks is ignored. */
const char *wn_scan_name(void);
void wn_scan_use(const char *name);

/* u = (x * norm - centre) * unit, every step rounded to float32; norm2: sum u^2 in float32, off by
 * at most (n / 8 + 40) 2^-24 of it; most: max |u|. */
typedef struct wn_shifted {
    float norm2, most;
} wn_shifted;
wn_shifted wn_scan_shift(float *u, const float *x, float norm, const float *centre, float unit,
                         size_t n);

/* One row's code: a = u / scale to the nearest, at most 127 either way, zeros from n to d, written
 * as row `row` of a block; returns sum (u - scale a)^2 in float32, off by at most (n / 16 + 8)
 * 2^-24 of it. scale > 0, such that all is finite. */
float wn_scan_code(int8_t *block, size_t row, const float *u, size_t n, size_t d, float scale);

/* sum (x - y)^2 and sum x y in float64: eight partial sums, element i in sum i % 8, products
 * rounded before they are added; the same bits on every machine. */
double wn_exact_distance2(const float *x, const float *y, size_t n);
double wn_exact_dot(const float *x, const float *y, size_t n);
/* The same of m pairs, out [m]; several at a time, as one sum waits for itself. */
typedef struct wn_scan_pair {
    const float *x, *y;
} wn_scan_pair;
void wn_exact_distances2(double *out, const wn_scan_pair *pair, size_t m, size_t n);
void wn_exact_dots(double *out, const wn_scan_pair *pair, size_t m, size_t n);

#endif
