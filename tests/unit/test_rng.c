#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "base/rng.h"

/* The known answers that Random123 publishes for philox4x32-10. */
Test(rng, known_answers)
{
    static const struct {
        uint32_t ctr[4], key[2], out[4];
    } kat[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof kat / sizeof *kat; i++) {
        uint32_t out[4];
        wn_philox(out, kat[i].ctr, kat[i].key);
        cr_assert_arr_eq(out, kat[i].out, sizeof out);
    }
}

Test(rng, value_is_a_function_of_seed_stream_and_index)
{
    /* The first known answer again: words 1 and 0 of the block of counter 0. */
    cr_assert_eq(wn_rng_u64(0, 0, 0), 0xe169c58d6627e8d5u);
    uint64_t v = wn_rng_u64(1, 2, 3);
    cr_assert_eq(wn_rng_u64(1, 2, 3), v);
    cr_assert_neq(wn_rng_u64(2, 2, 3), v);
    cr_assert_neq(wn_rng_u64(1, 3, 3), v);
    cr_assert_neq(wn_rng_u64(1, 2, 4), v);
    cr_assert_neq(wn_rng_u64(1ull << 32, 2, 3), wn_rng_u64(0, 2, 3));
    cr_assert_neq(wn_rng_u64(1, 2, 1ull << 32), wn_rng_u64(1, 2, 0));
}

Test(rng, moments)
{
    enum { N = 200000 };
    double u = 0, uu = 0, n = 0, nn = 0;
    for (uint64_t i = 0; i < N; i++) {
        double x = wn_rng_uniform(5, 1, i), y = wn_rng_normal(5, 2, i);
        cr_assert(x >= 0 && x < 1);
        cr_assert(isfinite(y));
        u += x;
        uu += x * x;
        n += y;
        nn += y * y;
    }
    /* Five standard errors. */
    cr_assert_float_eq(u / N, 0.5, 5 * sqrt(1.0 / 12 / N));
    cr_assert_float_eq(uu / N, 1.0 / 3, 5 * sqrt(4.0 / 45 / N));
    cr_assert_float_eq(n / N, 0, 5 / sqrt(N));
    cr_assert_float_eq(nn / N, 1, 5 * sqrt(2.0 / N));
}

Test(rng, below_is_in_range_and_even)
{
    enum { N = 70000, K = 7 };
    wn_rng r = {.seed = 3, .stream = WN_STREAM_TEST};
    int count[K] = {0};
    for (int i = 0; i < N; i++)
        count[wn_rng_below(&r, K)]++;
    for (int k = 0; k < K; k++)
        cr_assert_float_eq(count[k], (double)N / K, 5 * sqrt((double)N / K));
    cr_assert_eq(wn_rng_below(&r, 1), 0);
    for (int i = 0; i < 100; i++)
        cr_assert_lt(wn_rng_below(&r, (1ull << 63) + 1), (1ull << 63) + 1);
}

Test(rng, shuffle_is_a_permutation_that_repeats)
{
    uint64_t a[100], b[100], seen[100] = {0};
    for (uint64_t i = 0; i < 100; i++)
        a[i] = b[i] = i;
    wn_rng_shuffle(&(wn_rng){.seed = 1, .stream = WN_STREAM_SHUFFLE}, a, 100);
    wn_rng_shuffle(&(wn_rng){.seed = 1, .stream = WN_STREAM_SHUFFLE}, b, 100);
    cr_assert_arr_eq(a, b, sizeof a);
    int moved = 0;
    for (int i = 0; i < 100; i++) {
        cr_assert_lt(a[i], 100);
        seen[a[i]]++;
        moved += a[i] != (uint64_t)i;
    }
    for (int i = 0; i < 100; i++)
        cr_assert_eq(seen[i], 1);
    cr_assert_gt(moved, 80);
    wn_rng_shuffle(&(wn_rng){.seed = 1}, a, 0);
}
