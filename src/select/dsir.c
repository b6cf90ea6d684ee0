/* dsir: rows whose words are those of the target (Xie et al. 2023, arXiv 2302.03169). Words and
 * pairs of neighbours fall into 10,000 buckets by hash; the weight of a row is the ratio of its
 * probabilities under the target's bag of buckets and the pool's:
 *
 *   log w(z) = sum over its words and pairs b of log(p_target(b) + 1e-8) - log(p_pool(b) + 1e-8)
 *
 * Rows are drawn without replacement in proportion to w: the largest log w + Gumbel noise, seeded.
 * Their 10,000 and 1e-8. Not theirs: words are lower-case letters and digits without punctuation,
 * short rows are not dropped; --per-token divides by the number of words and pairs, without which
 * long rows decide; --gumbel no takes the largest weights themselves. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"
#include "select/bags.h"

enum { BUCKETS = 10000, PIECE = 256 };
#define FLOOR 1e-8

static size_t bucket(uint64_t hash)
{
    return (size_t)(hash % BUCKETS);
}

/* Words i, i + 1: their order counts. */
static uint64_t pair(const uint64_t *w)
{
    return (w[0] * 0x9e3779b97f4a7c15u ^ w[1]) * 0xd6e8feb86659fd93u >> 17;
}

static void count(double *bag, double *total, const uint64_t *w, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        bag[bucket(w[i])]++;
        if (i + 1 < n)
            bag[bucket(pair(w + i))]++;
        *total += i + 1 < n ? 2 : 1;
    }
}

struct dsir {
    const wn_candidates *c;
    const wn_select_opts *o;
    wn_bags rows, aim;
    double *ratio; /* [BUCKETS] */
    double *score; /* [N] */
    bool gumbel;
};

static void piece(void *ctx, size_t at, int thread)
{
    (void)thread;
    struct dsir *d = ctx;
    for (uint64_t i = at * PIECE; i < (at + 1) * PIECE && i < d->c->N; i++) {
        const uint64_t *w = d->rows.hash + d->rows.start[i];
        uint64_t n = d->rows.start[i + 1] - d->rows.start[i];
        double sum = 0;
        for (uint64_t k = 0; k < n; k++)
            sum += d->ratio[bucket(w[k])] + (k + 1 < n ? d->ratio[bucket(pair(w + k))] : 0);
        if (d->o->per_token && n)
            sum /= (double)(2 * n - 1);
        double u = wn_rng_uniform(d->o->common.seed, WN_STREAM_GUMBEL, i);
        d->score[i] = sum + (d->gumbel ? -log(-log(u + 0x1p-54)) : 0);
    }
}

static wn_err weigh(struct dsir *d)
{
    double total[2] = {0}, *aim = wn_calloc(BUCKETS, sizeof *aim);
    WN_NEW(d->ratio, BUCKETS);
    WN_NEW(d->score, d->c->N + 1);
    if (!aim)
        return WN_ENOMEM;
    for (uint64_t i = 0; i < d->aim.N; i++)
        count(aim, &total[0], d->aim.hash + d->aim.start[i], d->aim.start[i + 1] - d->aim.start[i]);
    for (uint64_t i = 0; i < d->rows.N; i++)
        count(d->ratio, &total[1], d->rows.hash + d->rows.start[i],
              d->rows.start[i + 1] - d->rows.start[i]);
    for (size_t b = 0; b < BUCKETS && total[0] > 0 && total[1] > 0; b++)
        d->ratio[b] = log(aim[b] / total[0] + FLOOR) - log(d->ratio[b] / total[1] + FLOOR);
    wn_free(aim);
    return total[0] > 0
               ? WN_OK
               : wn_fail(WN_EARG, "%s: no query has a word", wn_pool_path(d->c->query_rows));
}

wn_err wn_pick_dsir(wn_picks *out, const wn_candidates *c, const wn_select_opts *o)
{
    struct dsir d = {.c = c, .o = o, .gumbel = !o->gumbel || strcmp(o->gumbel, "no") != 0};
    wn_err err = wn_bags_of_candidates(&d.rows, c);
    if (err == WN_OK)
        err = wn_bags_of_pool(&d.aim, c->query_rows);
    if (err == WN_OK)
        err = weigh(&d);
    if (err == WN_OK) {
        wn_par_do((size_t)((c->N + PIECE - 1) / PIECE), piece, &d);
        err = wn_take_best(out, c, o, d.score);
    }
    wn_bags_free(&d.rows);
    wn_bags_free(&d.aim);
    wn_free(d.ratio);
    wn_free(d.score);
    return err;
}
