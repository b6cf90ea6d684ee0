/* Rows as 8-bit codes, with a proved bound on what a code hides.
 *
 * Let x be a row, q a query, and let the score be, up to constants of the query,
 *     l2      u.v - |u|^2/2    u = (x - c) g, v = (q - c) g      (= (|v|^2 - g^2 |x - q|^2) / 2)
 *     ip      u.v              u = (x - c) g, v = q h
 *     cosine  u.v              u = (x/|x| - c) g, v = q/|q|
 * with a centre c and powers of two g, h. Coded is w = P u, P [d, D] with nearly orthonormal rows
 * that hold most of the energy of a sample's rows (or the identity, d = D): w = s a + r, a integers
 * in -127 .. 127, and P v = t b + p likewise. Let P0 be P's orthonormal polar factor, e >=
 * |P P^T - I|, so |P - P0| <= e, and u' = u - P0^T P0 u what the axes leave out. Then
 *     u.v = (P0 u).(P0 v) + u'.v'
 *     |(P0 u).(P0 v) - (P u).(P v)| <= (2 e + e^2) |u| |v|
 *     (P u).(P v) = s t (a.b) + s a.p + r.(P v) + (rounding of w).(P v)
 * so by Cauchy and Schwarz u.v differs from s t (a.b) by at most
 *     |u'| |v'| + |s a| |p| + |r| |P v| + z |u| |P v| + (2 e + e^2) |u| |v|
 * where z bounds the float32 rounding of P u against |u|: z = sqrt(d) D u32 / (1 - D u32) (1 + e).
 * With |p| <= k |v| for all queries of a search, |s a| <= (1 + e + z) |u| + |r| and
 * |u'|^2 <= |u|^2 - (|w| - (z + e) |u|)^2 the bound has the form that wn_scan compares:
 *     rest(v) rest(u) + |v| slack(u),   slack(u) = |r| (1 + e + k)
 *                                                + |u| ((1 + e + z) k + z (1 + e) + 2 e + e^2 + y)
 * y covers the rounding of u itself (2^-24, and 2^-21 of a row of length 1 where it was scaled to
 * that) and of wn_scan's float32 sums; every stored term is inflated besides. Rows and queries
 * whose length, in the units of g, is not within 2^-30 .. 2^30 pass unseen, so that no product
 * overflows. */
#ifndef WN_SEARCH_CODES_H
#define WN_SEARCH_CODES_H

#include <stdbool.h>

#include "base/err.h"
#include "kernel/code_scan.h"
#include "search/search.h"

/* What codes are made with; the same for l2 and ip. */
typedef struct wn_basis {
    size_t D, d; /* d: numbers of a code, a multiple of WN_SCAN_DEPTH */
    bool cosine;
    float unit;    /* g */
    float *centre; /* [D] */
    float *axis;   /* P [d, D]; NULL: the coordinates themselves, and zeros up to d */
    double e, z;   /* see above */
} wn_basis;

/* From the `n` rows sample [n, D] (finite): centre, unit, and axes by subspace iteration where a
 * quarter to a half of the dimensions holds nine tenths of their energy. Deterministic. */
wn_err wn_basis_new(wn_basis *b, const float *sample, size_t n, size_t D, bool cosine);
void wn_basis_free(wn_basis *b);

/* Rows that are encoded together, and scratch for it: floats. */
enum { WN_CODE_ROWS = 256 };
size_t wn_encode_scratch(const wn_basis *b);

/* What is kept of a row besides its code. */
typedef struct wn_row_facts {
    float scale, norm2, rest, error; /* s; |u|^2; bound of |u'|; bound of |r|, infinite: unseen */
} wn_row_facts;

/* Codes of n <= WN_CODE_ROWS rows: code in blocks as wn_scan reads them, facts [16-fold n], zeros
 * and norm2 +infinity behind the last row. *bad: the first row that holds NaN or infinity, n: none.
 */
void wn_encode_rows(int8_t *code, wn_row_facts *facts, size_t *bad, const wn_basis *b,
                    const float *rows, size_t n, float *scratch);

/* Queries of one search. */
typedef struct wn_coded_queries {
    wn_scan_queries scan;
    int8_t *code;
    float *plus, *rest, *slack, *floor; /* what scan points at; floor starts at -infinity */
    double *step;                       /* [Q] t */
    double *norm2;                      /* [Q] |v|^2 */
    double *offset;                     /* [Q] ip: c.q h g; cosine: c.v g */
    double *size;                       /* [Q] what turns a score into v's units */
    double k;                           /* the bound of |p| / |v| */
    wn_metric metric;
} wn_coded_queries;
/* query [Q, D], finite. */
wn_err wn_code_queries(wn_coded_queries *c, const wn_basis *b, wn_metric metric, const float *query,
                       size_t Q);
void wn_coded_queries_free(wn_coded_queries *c);
/* Raises query q's threshold to that of a score, in the order of candidates: larger is better. */
void wn_coded_floor(wn_coded_queries *c, size_t q, double score);

/* A block's facts for wn_scan, from those of its rows. */
void wn_scan_facts_of(wn_scan_facts *out, const wn_row_facts *facts, const wn_basis *b,
                      const wn_coded_queries *c);

#endif
