/* Rows as 8-bit codes, with a proved bound on what a code hides.
 *
 * Let x be a row, q a query, and let the score be, up to constants of the query,
 *     l2      u.v - |u|^2/2    u = (x - c) g, v = (q - c) g      (= (|v|^2 - g^2 |x - q|^2) / 2)
 *     ip      u.v              u = (x - c) g, v = q h
 *     cosine  u.v              u = (x/|x| - c) g, v = q/|q|
 * with a centre c and powers of two g, h. The codes are u = s a + r and v = t b + p, a and b
 * integers in -127 .. 127, so
 *     u.v = s t (a.b) + s a.p + r.v
 * With |p| <= k |v| for all queries of a search, and |s a| <= |u| + |r|, by Cauchy and Schwarz u.v
 * differs from s t (a.b) by at most
 *     slack(u) |v|,  slack(u) = |r| (1 + k) + |u| (k + f)
 * which is the form that wn_scan compares. Of what passes, p is coded as well: p = t c / 254 + p',
 * c integers in -127 .. 127, so that u.v differs from s t (a.b + a.c / 254) by at most the same
 * with k' of |p'| <= k' |v|, some hundredth of k: wn_scan_refine's form, with half the slack.
 * (Where rows have no structure a score's spread is |u| |v| / sqrt(D): of 384 numbers k alone is a
 * seventh of it, of 2048 a third, and lets through two and three times as many pairs.) f covers the
 * rounding of u itself (2^-24, and 2^-21 of a row of length 1 where it was scaled to that), of v,
 * and of the float32 sums of wn_scan and wn_scan_refine; every stored term is inflated besides.
 * Rows and queries whose length, in the units of g, is not within 2^-30
 * .. 2^30 pass unseen, so that no product overflows.
 *
 * Tried and dropped: axes in the order of their energy, so that codes of half the length and a
 * bound of what they leave out do. 192 of 384 axes hold 93 % of the energy of MiniLM's rows,
 * yet 2.4 % of all pairs pass instead of 0.23 %: on AMX and on VNNI a search took twice as long, on
 * AVX2 as long.
 */
#ifndef WN_SEARCH_CODES_H
#define WN_SEARCH_CODES_H

#include <stdbool.h>

#include "base/err.h"
#include "kernel/code_scan.h"
#include "search/search.h"

/* What codes are made with; the same for l2 and ip. */
typedef struct wn_basis {
    size_t D, d; /* d: numbers of a code, D and zeros up to a multiple of WN_SCAN_DEPTH */
    bool cosine;
    float unit;    /* g */
    float *centre; /* [D] */
} wn_basis;

/* d of D. */
static inline size_t wn_code_length(size_t D)
{
    return (D + WN_SCAN_DEPTH - 1) / WN_SCAN_DEPTH * WN_SCAN_DEPTH;
}

/* Centre and unit of the `n` rows sample [n, D] (finite). Deterministic. */
wn_err wn_basis_new(wn_basis *b, const float *sample, size_t n, size_t D, bool cosine);
void wn_basis_free(wn_basis *b);

/* Scratch of wn_encode_rows: floats. */
size_t wn_encode_scratch(const wn_basis *b);

/* What is kept of a row besides its code. */
typedef struct wn_row_facts {
    float scale, norm2, error; /* s; |u|^2; bound of |r|, infinite: unseen */
} wn_row_facts;

static inline size_t wn_code_blocks(size_t rows)
{
    return (rows + WN_SCAN_ROWS - 1) / WN_SCAN_ROWS;
}

/* Codes of n rows: code in blocks as wn_scan reads them, facts [whole blocks], zeros and norm2
 * +infinity behind the last row. *bad: the first row that holds NaN or infinity, n: none. */
void wn_encode_rows(int8_t *code, wn_row_facts *facts, size_t *bad, const wn_basis *b,
                    const float *rows, size_t n, float *scratch);

/* Queries of one search. */
typedef struct wn_coded_queries {
    wn_scan_queries scan;
    int8_t *code;
    int8_t *fine;
    int32_t *excess;             /* [2][scan.Q]: of code, of fine */
    float *plus, *reach, *floor; /* what scan points at; floor starts at -infinity */
    double *step;                /* [Q] t */
    double *norm2;               /* [Q] |v|^2 */
    double *offset;              /* [Q] ip: c.q h g; cosine: c.v g */
    double *size;                /* [Q] what turns a score into v's units */
    double k, fine_k;            /* see above: k, k' */
    wn_metric metric;
} wn_coded_queries;
/* query [Q, D], finite. */
wn_err wn_code_queries(wn_coded_queries *c, const wn_basis *b, wn_metric metric, const float *query,
                       size_t Q);
void wn_coded_queries_free(wn_coded_queries *c);
/* Raises query q's threshold to that of a score, in the order of candidates: larger is better. */
void wn_coded_floor(wn_coded_queries *c, size_t q, double score);
/* The score of a pair whose scan's left side would be `at` without a bound. */
double wn_coded_score(const wn_coded_queries *c, size_t q, double at);
/* The thresholds as they are now [c->scan.Q], while other threads may be raising them. */
void wn_coded_floors(float *out, const wn_coded_queries *c);

/* n blocks' facts for wn_scan, from those of their rows. */
void wn_scan_facts_of(wn_scan_facts *out, const wn_row_facts *facts, size_t n, const wn_basis *b,
                      const wn_coded_queries *c);

#endif
