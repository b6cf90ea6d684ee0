/* Texts as sets of five-word runs, without what all of a task's rows share, and the hashes that put
 * similar sets together: MinHash with banding (Broder 1997; Leskovec, Rajaraman, Ullman, "Mining of
 * massive datasets", ch. 3). A pair of Jaccard similarity s meets in one of b bands of r minima
 * with probability 1 - (1 - s^r)^b. b and r are chosen so that this is at least 0.99 at the
 * similarity asked for: 12 bands of 5 at 0.8, where 0.9 gives 0.99999. Who meets is then compared
 * exactly. */
#ifndef WN_POOL_RUNS_H
#define WN_POOL_RUNS_H

#include <stdbool.h>

#include "pool/pool.h"

/* A sorted set of hashes; zero it first. */
typedef struct wn_runs {
    uint64_t *v;
    size_t n, cap;
} wn_runs;
void wn_runs_free(wn_runs *s);
/* The runs of a text: words are what stands between white space, ASCII letters folded; fewer than
 * five words are one run. */
wn_err wn_runs_of(wn_runs *s, wn_span text);
/* |a and b| / |a or b|; 0 of two empty sets. */
double wn_runs_jaccard(const wn_runs *a, const wn_runs *b);

/* Runs that at least half of a task's first 64 rows (of the list) have, if it has 8: else tasks
 * with a long instruction and a short input would be near-duplicates of themselves. row NULL: rows
 * 0 .. n-1. */
typedef struct wn_templates {
    wn_runs *of; /* [tasks] */
    uint32_t tasks;
} wn_templates;
wn_err wn_templates_learn(wn_templates *t, const wn_pool *p, const uint64_t *row, uint64_t n);
void wn_templates_free(wn_templates *t);
/* The runs of a row's prompt that are not its task's template; `row` is read on the way. */
wn_err wn_runs_of_row(wn_runs *s, wn_row *row, const wn_pool *p, uint64_t at,
                      const wn_templates *t);

enum { WN_BANDS_MOST = 64, WN_MINIMA_MOST = 8 };
typedef struct wn_bands {
    double least;     /* similarity asked for */
    int bands, width; /* minima a band */
    uint64_t mult[WN_BANDS_MOST * WN_MINIMA_MOST];
} wn_bands;
/* least: 0.3 .. 1, checked by the caller. */
void wn_bands_init(wn_bands *b, double least);
/* key [bands]; rows of different seeds never meet. */
void wn_bands_keys(uint64_t *key, const wn_bands *b, const wn_runs *s, uint64_t seed);
/* Similar enough? Counts are compared as doubles. */
bool wn_bands_alike(const wn_bands *b, const wn_runs *x, const wn_runs *y);

#endif
