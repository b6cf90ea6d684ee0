#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/par.h"
#include "base/rng.h"

enum { N = 1000 };

struct job {
    double out[N];
    _Atomic int runs[N];
    _Atomic int bad_thread, total;
    size_t fail_from;
};

static wn_err square(void *ctx, size_t i, int thread)
{
    struct job *j = ctx;
    if (thread < 0 || thread >= wn_par_threads())
        j->bad_thread = 1;
    j->runs[i]++;
    double sum = 0;
    for (uint64_t k = 0; k < 50; k++)
        sum += wn_rng_normal(1, i, k);
    j->out[i] = sum;
    return WN_OK;
}

Test(par, every_piece_once_and_the_same_for_any_thread_count)
{
    static struct job one, many;
    wn_par_set_threads(1);
    cr_assert_eq(wn_par_for(N, square, &one), WN_OK);
    for (int threads = 2; threads <= 7; threads++) {
        memset(&many, 0, sizeof many);
        wn_par_set_threads(threads);
        cr_assert_eq(wn_par_threads(), threads);
        cr_assert_eq(wn_par_for(N, square, &many), WN_OK);
        for (int i = 0; i < N; i++)
            cr_assert_eq(many.runs[i], 1);
        cr_assert_eq(many.bad_thread, 0);
        cr_assert_arr_eq(many.out, one.out, sizeof one.out);
    }
    cr_assert_eq(wn_par_for(0, square, NULL), WN_OK);
}

static wn_err fail_from(void *ctx, size_t i, int thread)
{
    (void)thread;
    struct job *j = ctx;
    j->total++;
    if (i < j->fail_from)
        return WN_OK;
    return wn_fail(i % 2 ? WN_EIO : WN_EFORMAT, "piece %zu failed", i);
}

/* Many pieces fail; whatever the timing, the answer is that of the lowest. */
Test(par, lowest_failing_piece_wins_and_its_text_arrives)
{
    for (int threads = 1; threads <= 8; threads += 3) {
        wn_par_set_threads(threads);
        for (size_t from = 0; from < N; from += 111) {
            static struct job j;
            memset(&j, 0, sizeof j);
            j.fail_from = from;
            char want[64];
            snprintf(want, sizeof want, "piece %zu failed", from);
            wn_error_set_text("");
            cr_assert_eq(wn_par_for(N, fail_from, &j), from % 2 ? WN_EIO : WN_EFORMAT);
            cr_assert_str_eq(wn_error_text(), want);
            if (from < N / 2)
                cr_assert_lt(j.total, N);
        }
    }
}

static void inner(void *ctx, size_t i, int thread)
{
    (void)i;
    (void)thread;
    atomic_fetch_add((_Atomic int *)ctx, 1);
}

static wn_err outer(void *ctx, size_t i, int thread)
{
    (void)i;
    (void)thread;
    wn_par_do(10, inner, ctx);
    return WN_OK;
}

Test(par, nested_calls_run)
{
    _Atomic int n = 0;
    wn_par_set_threads(4);
    cr_assert_eq(wn_par_for(20, outer, (void *)&n), WN_OK);
    cr_assert_eq(n, 200);
    wn_par_set_threads(0);
    cr_assert_geq(wn_par_threads(), 1);
}
