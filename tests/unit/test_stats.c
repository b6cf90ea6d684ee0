#include <criterion/criterion.h>
#include <math.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"
#include "eval/stats.h"

static double uniform(uint64_t i)
{
    return wn_rng_uniform(11, WN_STREAM_TEST, i);
}

/* scipy.stats.bootstrap(x, mean, n_resamples=200000, method="percentile", random_state=1) of
 * x = (37 i mod 101) / 100 gives [0.44297, 0.55653]; 10,000 resamples move an end by about 0.001.
 */
Test(stats, bootstrap_of_a_mean_as_scipy)
{
    double x[101];
    for (int i = 0; i < 101; i++)
        x[i] = (i * 37 % 101) / 100.0;
    wn_interval ci = wn_bootstrap_mean(x, 101, 0);
    cr_expect_float_eq(ci.mean, 0.5, 1e-12);
    cr_expect_float_eq(ci.low, 0.44297, 0.002, "%g", ci.low);
    cr_expect_float_eq(ci.high, 0.55653, 0.002, "%g", ci.high);
}

Test(stats, edges_of_the_bootstrap)
{
    double one = 0.25, same[3] = {2, 2, 2};
    const double *arm[1] = {same};
    cr_expect(isnan(wn_bootstrap_mean(NULL, 0, 0).mean));
    cr_expect(isnan(wn_bootstrap_seeds(arm, 0, 3, 0).mean));
    wn_interval ci = wn_bootstrap_mean(&one, 1, 0);
    cr_expect(ci.mean == 0.25 && ci.low == 0.25 && ci.high == 0.25);
    ci = wn_bootstrap_mean(same, 3, 5);
    cr_expect(ci.mean == 2 && ci.low == 2 && ci.high == 2);
}

/* Same data and seed give the same bytes for any number of threads; another seed gives others. */
Test(stats, figures_do_not_depend_on_threads)
{
    double x[3][50];
    const double *a[2] = {x[0], x[1]}, *b[1] = {x[2]};
    for (int i = 0; i < 150; i++)
        x[i / 50][i % 50] = uniform((uint64_t)i);
    wn_par_set_threads(1);
    wn_compare one = wn_compare_arms(a, 2, b, 1, 50, 7), other = wn_compare_arms(a, 2, b, 1, 50, 8);
    wn_par_set_threads(3);
    wn_compare three = wn_compare_arms(a, 2, b, 1, 50, 7);
    cr_expect_eq(one.difference.low, three.difference.low);
    cr_expect_eq(one.difference.high, three.difference.high);
    cr_expect_eq(one.p_permutation, three.p_permutation);
    cr_expect_neq(one.difference.low, other.difference.low);
}

/* Exact over all 2^6 signs: 64 patterns, 6 of them reach |5| (by scipy.stats.permutation_test with
 * permutation_type="samples", n_resamples=inf: 0.09375). */
Test(stats, sign_flip_is_exact_for_few_rows)
{
    double a[6] = {1, -0.5, 2, 0.25, 0.75, 1.5}, zero[6] = {0};
    const double *x = a, *y = zero;
    wn_compare c = wn_compare_arms(&x, 1, &y, 1, 6, 0);
    cr_expect_float_eq(c.p_permutation, 6.0 / 64, 1e-12, "%.17g", c.p_permutation);
    cr_expect_float_eq(c.difference.mean, 5.0 / 6, 1e-12);
    cr_expect(isnan(c.p_mcnemar));
    c = wn_compare_arms(&y, 1, &y, 1, 6, 0);
    cr_expect_eq(c.p_permutation, 1);
    cr_expect_str_eq(wn_verdict(&c), "cannot tell");
}

/* Twelve rows won, three lost, ten alike: the sign flip of +-1 is the sign test, and McNemar's
 * exact p the same binomial: scipy.stats.binomtest(3, 15).pvalue = 0.03515625. */
Test(stats, mcnemar_and_sign_flip_agree_on_right_and_wrong)
{
    double a[25] = {0}, b[25] = {0};
    for (int i = 0; i < 12; i++)
        a[i] = 1;
    for (int i = 12; i < 15; i++)
        b[i] = 1;
    const double *x = a, *y = b;
    wn_compare c = wn_compare_arms(&x, 1, &y, 1, 25, 0);
    cr_expect_float_eq(c.p_mcnemar, 0.03515625, 1e-12, "%.17g", c.p_mcnemar);
    cr_expect_float_eq(c.p_permutation, 0.03515625, 1e-12, "%.17g", c.p_permutation);
    cr_expect_str_eq(wn_verdict(&c), "better");
    c = wn_compare_arms(&y, 1, &x, 1, 25, 0);
    cr_expect_str_eq(wn_verdict(&c), "worse");
    cr_expect_float_eq(c.difference.mean, -9.0 / 25, 1e-12);
}

/* scipy.stats.binomtest(10, 35).pvalue = 0.01667...; McNemar is exact for any number of rows. */
Test(stats, mcnemar_of_more_rows)
{
    double a[200] = {0}, b[200] = {0};
    for (int i = 0; i < 35; i++)
        *(i < 10 ? &a[i] : &b[i]) = 1;
    const double *x = a, *y = b;
    cr_expect_float_eq(wn_compare_arms(&x, 1, &y, 1, 200, 0).p_mcnemar, 0.016673847800120715,
                       1e-12);
    const double *two[2] = {a, a};
    cr_expect(isnan(wn_compare_arms(two, 2, &y, 1, 200, 0).p_mcnemar));
}

/* scipy's permutation_test (400,000 draws) on d = ((37 i mod 101) - 45) / 50: p = 0.0909. */
Test(stats, drawn_sign_flips_as_scipy)
{
    double d[101], zero[101] = {0};
    for (int i = 0; i < 101; i++)
        d[i] = (i * 37 % 101 - 45) / 50.0;
    const double *x = d, *y = zero;
    wn_compare c = wn_compare_arms(&x, 1, &y, 1, 101, 3);
    cr_expect_float_eq(c.p_permutation, 0.0909, 0.01, "%g", c.p_permutation);
}

/* Seeds are a second level: rows are alike, so all that varies is the seed, and the interval of
 * seeds 0, 1, 2 about their mean 1 must show it. The stretched bootstrap's variance is the unbiased
 * s^2 / S = 1 / 3; the plain one's would be 2 / 9. */
Test(stats, seeds_widen_the_interval)
{
    double x[3][400];
    for (int i = 0; i < 1200; i++)
        x[i / 400][i % 400] = i / 400;
    const double *arm[3] = {x[0], x[1], x[2]};
    wn_interval ci = wn_bootstrap_seeds(arm, 3, 400, 0);
    cr_expect_float_eq(ci.mean, 1, 1e-12);
    cr_expect_float_eq(ci.high, 1 + sqrt(1.5), 1e-9, "%g", ci.high);
    cr_expect_float_eq(ci.low, 1 - sqrt(1.5), 1e-9, "%g", ci.low);
}

/* Of 200 simulated samples of 40 rows the 95 % interval holds the true mean in 92 to 97 of a
 * hundred (percentile intervals of small samples are a little short). And where two arms are alike,
 * "better" or "worse" is said at most about one time in twenty. */
Test(stats, intervals_cover_and_verdicts_are_rarely_wrong)
{
    int held = 0, said = 0;
    enum { SAMPLES = 200, ROWS = 40 };
    for (uint64_t s = 0; s < SAMPLES; s++) {
        double x[ROWS], y[ROWS];
        for (uint64_t i = 0; i < ROWS; i++) {
            x[i] = uniform((s * ROWS + i) * 2) < 0.3;
            y[i] = uniform((s * ROWS + i) * 2 + 1) < 0.3;
        }
        wn_interval ci = wn_bootstrap_mean(x, ROWS, s);
        held += ci.low <= 0.3 && 0.3 <= ci.high;
        const double *a = x, *b = y;
        wn_compare c = wn_compare_arms(&a, 1, &b, 1, ROWS, s);
        said += strcmp(wn_verdict(&c), "cannot tell") != 0;
    }
    cr_expect(held >= 0.90 * SAMPLES && held <= 0.985 * SAMPLES, "%d of 200", held);
    cr_expect(said <= 0.09 * SAMPLES, "%d of 200", said);
}

/* Without memory the figures are NaN and the verdict is that one cannot tell. */
Test(stats, out_of_memory_tells_nothing)
{
    double x[20], zero[20] = {0};
    for (int i = 0; i < 20; i++)
        x[i] = 1;
    const double *a = x, *b = zero;
    for (int n = 0; n < 3; n++) {
        wn_mem_fail_after(n);
        wn_compare c = wn_compare_arms(&a, 1, &b, 1, 20, 0);
        wn_mem_fail_after(-1);
        cr_expect_str_eq(wn_verdict(&c), "cannot tell");
    }
    wn_compare c = wn_compare_arms(&a, 1, &b, 1, 20, 0);
    cr_expect_str_eq(wn_verdict(&c), "better");
}
