/* Thresholds raised while the scan goes on.
 *
 * Once k candidates are known the k-th best is a threshold that cannot be wrong. Long before that a
 * guess is nearly as good, where the pieces seen so far are spread evenly over all: of a query's k
 * best rows a share `seen` should be among the candidates, give or take the chance of a sample
 * without replacement,
 *     seen k +- sqrt(spread seen (1 - seen) k),
 * so that the candidate of the rank four such errors above is the next guess. spread is 1 where a
 * query's best rows lie independently of each other. Often they do not - neighbours in the file are
 * neighbours in meaning - and whole pieces are seen or not: then it is the variance of the
 * candidates' number from piece to piece over its mean, as the pieces seen show it. A query that
 * finds most of its rows in few pieces so far is left alone. As any guess this is one that the end
 * of the search confirms, or else the query is searched again (exact.c). Of a million rows 1.4
 * times those wanted then pass; by a guess from a sample of 65,536 it was 1.8 times. */
#include <math.h>

#include "base/mem.h"
#include "base/par.h"
#include "search/exact.h"

struct tighten {
    struct scan *s;
    uint32_t *count; /* [threads][pieces of all rows], zeros between queries; NULL: no guesses */
    uint64_t pieces;
    double seen; /* share of the rows */
};

/* See above, of the candidates of one query. */
static double spread_of(const struct tighten *g, const wn_topk *top, uint32_t *count)
{
    double pieces = g->seen * (double)g->pieces, n = (double)top->n, squares = 0;
    for (size_t i = 0; i < top->n; i++) /* c^2 - (c - 1)^2 = 2 c - 1 */
        squares += 2.0 * ++count[top->item[i].row / WN_CODE_ROWS] - 1;
    for (size_t i = 0; i < top->n; i++)
        count[top->item[i].row / WN_CODE_ROWS] = 0;
    return fmax(1, (squares - n * n / pieces) / n);
}

static void tighten_one(void *ctx, size_t q, int thread)
{
    const struct tighten *g = ctx;
    struct scan *s = g->s;
    wn_topk *top = &s->state[q].top;
    double rank = (double)s->k, share = g->seen * rank;
    if (g->count && (double)top->n > share) {
        double spread = spread_of(g, top, g->count + (size_t)thread * g->pieces);
        rank = fmin(rank, ceil(wn_guess_rank(share, spread * share * (1 - g->seen))));
    }
    if ((double)top->n <= rank)
        return;
    double score = wn_topk_cut(top, (size_t)rank);
    if (score > s->guess[q]) {
        s->guess[q] = score;
        wn_coded_floor(&s->coded, q, score);
    }
}

wn_err wn_scan_tighten(struct scan *s)
{
    size_t threads = (size_t)wn_par_threads();
    struct tighten g = {.s = s, .seen = (double)s->done / (double)s->N};
    g.pieces = (s->N + WN_CODE_ROWS - 1) / WN_CODE_ROWS;
    for (size_t i = 0; i < threads; i++)
        wn_scan_hand_over(s, &s->thread[i]);
    if (s->stride > 1 && !s->sure)
        WN_NEW(g.count, threads * g.pieces);
    wn_par_do(s->Q, tighten_one, &g);
    wn_free(g.count);
    return WN_OK;
}
