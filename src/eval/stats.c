/* Resampling on per-row scores. A resample's random numbers are f(seed, what, resample, block), so
 * resamples are pieces of work for wn_par_do and no result depends on the number of threads.
 *
 * Two levels. Rows are common to all seeds of both arms, so a resample draws rows once and applies
 * them everywhere (the pairing that makes a comparison sharp); seeds are drawn for each arm on its
 * own. With few seeds the plain bootstrap of seeds is too narrow: its variance is (S - 1) / S of
 * the unbiased one, half at S = 2. So deviations of seeds from their mean are stretched by sqrt(S /
 * (S - 1)) (Rao and Wu 1988, "Resampling inference with complex survey data", for samples of as
 * many as there are). What it cannot mend: three seeds say little about the tails.
 *
 * The permutation test flips the sign of a row's difference of seed means. It asks about these
 * seeds on other rows; the interval asks about other seeds too. wn_verdict wants both. */
#include "eval/stats.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/interval.h"
#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"

enum { RESAMPLES = 10000, PIECE = 100, EXACT_ROWS = 16 };

/* Uses of a resample's random numbers, in the upper counter words. */
enum { DRAW_ROWS = 0, DRAW_SEEDS_A = 1, DRAW_SEEDS_B = 2, DRAW_SIGNS = 3 };

static void draw(uint32_t out[4], uint64_t seed, uint32_t use, uint32_t resample, uint32_t block)
{
    uint32_t ctr[4] = {block, resample, WN_STREAM_BOOTSTRAP, use};
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    wn_philox(out, ctr, key);
}

/* A 32-bit number to 0 .. n-1; the bias of n / 2^32 is far below the resampling noise. */
static size_t below(uint32_t r, size_t n)
{
    return (size_t)(((uint64_t)r * n) >> 32);
}

/* One arm: for each row the mean over seeds and, for S > 1, each seed's stretched deviation. */
struct arm {
    const double *const *score;
    size_t S;
    double stretch;
    double *mean; /* [n] */
};

static void arm_init(struct arm *a, const double *const *score, size_t S, double *mean, size_t n)
{
    *a = (struct arm){score, S, S > 1 ? sqrt((double)S / (double)(S - 1)) : 0.0, mean};
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (size_t s = 0; s < S; s++)
            sum += score[s][i];
        mean[i] = sum / (double)S;
    }
}

/* The mean of one resample: rows counted by `times`, seeds drawn here. The rows' part and each
 * seed's part are sums over rows in row order. */
static double arm_resample(const struct arm *a, const uint32_t *times, size_t n, uint64_t seed,
                           uint32_t use, uint32_t resample)
{
    double rows = 0;
    for (size_t i = 0; i < n; i++)
        rows += times[i] * a->mean[i];
    double seeds = 0;
    uint32_t r[4];
    for (size_t s = 0; a->S > 1 && s < a->S; s++) {
        if (s % 4 == 0)
            draw(r, seed, use, resample, (uint32_t)(s / 4));
        const double *score = a->score[below(r[s % 4], a->S)];
        double sum = 0;
        for (size_t i = 0; i < n; i++)
            sum += times[i] * (score[i] - a->mean[i]);
        seeds += sum;
    }
    return (rows + (a->S ? a->stretch * seeds / (double)a->S : 0)) / (double)n;
}

struct bootstrap {
    struct arm a, b;
    bool two;
    size_t n;
    uint64_t seed;
    uint32_t *times; /* [threads][n] */
    double *value;   /* [RESAMPLES] */
};

static void resample_piece(void *ctx, size_t piece, int thread)
{
    struct bootstrap *b = ctx;
    uint32_t *times = b->times + (size_t)thread * b->n;
    for (uint32_t k = (uint32_t)piece * PIECE; k < (piece + 1) * PIECE; k++) {
        memset(times, 0, b->n * sizeof *times);
        uint32_t r[4];
        for (size_t i = 0; i < b->n; i++) {
            if (i % 4 == 0)
                draw(r, b->seed, DRAW_ROWS, k, (uint32_t)(i / 4));
            times[below(r[i % 4], b->n)]++;
        }
        double v = arm_resample(&b->a, times, b->n, b->seed, DRAW_SEEDS_A, k);
        if (b->two)
            v -= arm_resample(&b->b, times, b->n, b->seed, DRAW_SEEDS_B, k);
        b->value[k] = v;
    }
}

static double plain_mean(const double *v, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += v[i];
    return sum / (double)n;
}

static wn_interval run_bootstrap(struct bootstrap *b)
{
    wn_interval out = {NAN, NAN, NAN};
    out.mean = plain_mean(b->a.mean, b->n);
    if (b->two)
        out.mean -= plain_mean(b->b.mean, b->n);
    b->value = wn_malloc(RESAMPLES * sizeof *b->value);
    b->times = wn_malloc((size_t)wn_par_threads() * b->n * sizeof *b->times);
    if (b->value && b->times) {
        wn_par_do(RESAMPLES / PIECE, resample_piece, b);
        wn_interval95(&out.low, &out.high, b->value, RESAMPLES);
    }
    wn_free(b->times);
    wn_free(b->value);
    return out;
}

wn_interval wn_bootstrap_seeds(const double *const *score, size_t S, size_t n, uint64_t seed)
{
    wn_interval none = {NAN, NAN, NAN};
    if (n == 0 || S == 0)
        return none;
    double *mean = wn_malloc(n * sizeof *mean);
    if (!mean)
        return none;
    struct bootstrap b = {.n = n, .seed = seed};
    arm_init(&b.a, score, S, mean, n);
    wn_interval out = run_bootstrap(&b);
    wn_free(mean);
    return out;
}

wn_interval wn_bootstrap_mean(const double *score, size_t n, uint64_t seed)
{
    return wn_bootstrap_seeds(&score, 1, n, seed);
}

/* ---- tests ---- */

/* How often |sum of +-d| reaches |sum of d| over all 2^n sign patterns, in Gray-code order so that
 * a pattern costs one addition; the sum is made anew from time to time against drift. */
static double exact_sign_flip(const double *d, size_t n, double limit)
{
    uint64_t patterns = (uint64_t)1 << n, reached = 0, negative = 0;
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += d[i];
    for (uint64_t k = 0; k < patterns; k++) {
        if (k) {
            int bit = 0;
            while (!(k >> bit & 1))
                bit++;
            negative ^= (uint64_t)1 << bit;
            sum += negative >> bit & 1 ? -2 * d[bit] : 2 * d[bit];
        }
        if (k % 256 == 0) {
            sum = 0;
            for (size_t i = 0; i < n; i++)
                sum += negative >> i & 1 ? -d[i] : d[i];
        }
        reached += fabs(sum) >= limit;
    }
    return (double)reached / (double)patterns;
}

struct flips {
    const double *d;
    size_t n;
    double limit;
    uint64_t seed;
    uint32_t reached[RESAMPLES / PIECE];
};

static void flip_piece(void *ctx, size_t piece, int thread)
{
    (void)thread;
    struct flips *f = ctx;
    uint32_t reached = 0;
    for (uint32_t k = (uint32_t)piece * PIECE; k < (piece + 1) * PIECE; k++) {
        double sum = 0;
        uint32_t r[4];
        for (size_t i = 0; i < f->n; i++) {
            if (i % 128 == 0)
                draw(r, f->seed, DRAW_SIGNS, k, (uint32_t)(i / 128));
            sum += r[i / 32 % 4] >> (i % 32) & 1 ? -f->d[i] : f->d[i];
        }
        reached += fabs(sum) >= f->limit;
    }
    f->reached[piece] = reached;
}

/* d is packed to its non-zero rows: flipping a zero changes nothing. The limit is lowered by the
 * rounding of a sum, so that patterns equal to the observed one count as reaching it. */
static double sign_flip(double *d, size_t n, uint64_t seed)
{
    size_t m = 0;
    double sum = 0, size = 0;
    for (size_t i = 0; i < n; i++)
        if (d[i] != 0) {
            sum += d[i];
            size += fabs(d[i]);
            d[m++] = d[i];
        }
    double limit = fabs(sum) - 1e-12 * size;
    if (m <= EXACT_ROWS)
        return exact_sign_flip(d, m, limit);
    struct flips f = {d, m, limit, seed, {0}};
    wn_par_do(RESAMPLES / PIECE, flip_piece, &f);
    uint64_t reached = 1; /* the observed pattern is one of the possible ones */
    for (size_t i = 0; i < RESAMPLES / PIECE; i++)
        reached += f.reached[i];
    return (double)reached / (RESAMPLES + 1);
}

/* McNemar's exact test: of the rows that only one arm gets right, is half right by a? */
static double mcnemar(const double *a, const double *b, size_t n)
{
    size_t only_a = 0, only_b = 0;
    for (size_t i = 0; i < n; i++) {
        if ((a[i] != 0 && a[i] != 1) || (b[i] != 0 && b[i] != 1))
            return NAN;
        only_a += a[i] > b[i];
        only_b += a[i] < b[i];
    }
    size_t total = only_a + only_b, k = only_a < only_b ? only_a : only_b;
    double sum = 0;
    for (size_t i = 0; i <= k; i++)
        sum += exp(lgamma((double)total + 1) - lgamma((double)i + 1) -
                   lgamma((double)(total - i) + 1) - (double)total * log(2));
    return fmin(1.0, 2 * sum);
}

wn_compare wn_compare_arms(const double *const *a, size_t Sa, const double *const *b, size_t Sb,
                           size_t n, uint64_t seed)
{
    wn_compare out = {{NAN, NAN, NAN}, NAN, NAN};
    if (n == 0 || Sa == 0 || Sb == 0)
        return out;
    double *mean = wn_malloc(3 * n * sizeof *mean);
    if (!mean)
        return out;
    struct bootstrap boot = {.n = n, .seed = seed, .two = true};
    arm_init(&boot.a, a, Sa, mean, n);
    arm_init(&boot.b, b, Sb, mean + n, n);
    double *d = mean + 2 * n;
    for (size_t i = 0; i < n; i++)
        d[i] = mean[i] - mean[n + i];
    out.difference = run_bootstrap(&boot);
    out.p_permutation = sign_flip(d, n, seed);
    if (Sa == 1 && Sb == 1)
        out.p_mcnemar = mcnemar(a[0], b[0], n);
    wn_free(mean);
    return out;
}

const char *wn_verdict(const wn_compare *c)
{
    if (!(c->p_permutation < 0.05))
        return "cannot tell";
    if (c->difference.low > 0)
        return "better";
    if (c->difference.high < 0)
        return "worse";
    return "cannot tell";
}
