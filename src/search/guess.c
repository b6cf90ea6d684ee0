/* What a sample of the rows tells: the centre of codes, and thresholds to begin with.
 *
 * A threshold is the score of the row whose rank in the sample is k's share of it, and room for
 * chance: found by searching the sample as all rows are searched, a few rows first, so that the
 * threshold rises quickly. About k (1 + 4 / sqrt(share)) rows reach it. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "search/exact.h"

enum {
    FEW_QUERIES = 256,
    FEW_ROWS = 8192, /* a better threshold is worth more rows to many queries than to few */
    MANY_ROWS = 32768,
    SAMPLE_FLOATS = 12 << 20,
    BASIS_ROWS = 4096,
    PIECE_ROWS = 64
};

/* The i-th of n rows spread evenly. */
static uint64_t sampled(const struct scan *s, uint64_t i, uint64_t n)
{
    return (uint64_t)((unsigned __int128)s->N * i / n);
}

wn_err wn_sample_take(struct scan *s, size_t queries)
{
    uint64_t most = SAMPLE_FLOATS / s->D, n = queries < FEW_QUERIES ? FEW_ROWS : MANY_ROWS;
    n = n < most ? n : most;
    n = n < s->N ? n : s->N;
    WN_NEW(s->sample, n * s->D + 1);
    for (uint64_t i = 0; s->of->large && s->of->store && i < n; i++)
        wn_store_ahead(s->of->store, sampled(s, i, n), 1);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t row = sampled(s, i, n);
        const float *x = s->rows + row * s->D;
        if (wn_bit(s->skip, row))
            continue;
        bool finite = isfinite(wn_exact_dot(x, x, s->D));
        if (!finite && s->of->store) /* damaged rather than wrong? */
            WN_TRY(wn_store_verify(s->of->store, row, 1));
        if (!finite)
            return wn_fail(WN_EFORMAT, "row %llu holds NaN or infinity", (unsigned long long)row);
        memcpy(s->sample + s->n_sample++ * s->D, x, s->D * sizeof *x);
    }
    return WN_OK;
}

wn_err wn_sample_basis(wn_basis *b, const struct scan *s)
{
    size_t step = s->n_sample / BASIS_ROWS + 1, m = 0;
    float *few = wn_malloc((s->n_sample / step + 1) * s->D * sizeof *few);
    if (!few)
        return WN_ENOMEM;
    for (size_t i = 0; i < s->n_sample; i += step)
        memcpy(few + m++ * s->D, s->sample + i * s->D, s->D * sizeof *few);
    wn_err e = wn_basis_new(b, few, m, s->D, s->metric == WN_METRIC_COSINE);
    wn_free(few);
    return e;
}

/* Searches the sample for the k best of each query. */
static wn_err search_sample(struct scan *s, size_t k)
{
    struct scan few = *s;
    few.rows = s->sample;
    few.N = few.left = s->n_sample;
    few.skip = NULL;
    few.file = NULL;
    few.writer = NULL;
    few.of = NULL;
    few.k = k;
    few.piece_rows = PIECE_ROWS;
    few.done = 0;
    few.quiet = true;
    few.state = wn_calloc(s->Q, sizeof *few.state);
    few.guess = wn_malloc(s->Q * sizeof *few.guess);
    wn_cand *cand = wn_malloc(s->Q * wn_topk_cap(k) * sizeof *cand);
    wn_err e = few.state && few.guess && cand ? WN_OK : WN_ENOMEM;
    if (!e) {
        wn_scan_begin(&few, cand);
        e = wn_scan_all(&few);
    }
    for (size_t q = 0; !e && q < s->Q; q++) {
        wn_topk_settle(&few.state[q].top);
        s->guess[q] = few.state[q].top.floor;
        s->coded.floor[q] = -INFINITY;
        if (s->guess[q] > -INFINITY)
            wn_coded_floor(&s->coded, q, s->guess[q]);
    }
    s->eager = false;
    wn_free(few.state);
    wn_free(few.guess);
    wn_free(cand);
    return e;
}

wn_err wn_guess(struct scan *s)
{
    double share = (double)s->n_sample * (double)s->k / (double)s->left;
    size_t n = s->n_sample, rank = (size_t)(share + 4 * sqrt(share) + 4);
    return n >= s->left || rank >= n / 2 ? WN_OK : search_sample(s, rank + 1);
}
