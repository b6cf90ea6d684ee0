#include "base/par.h"

#include <limits.h>
#include <omp.h>
#include <stdio.h>

#include "base/ranks.h"

static int threads; /* 0: not set yet */
static int sharers = 1;

int wn_par_threads(void)
{
    if (threads > 0)
        return threads;
    int n = omp_get_num_procs() / sharers;
    return n > 0 ? n : 1;
}

int wn_par_width(void)
{
    return omp_in_parallel() ? 1 : wn_par_threads();
}

void wn_par_set_threads(int n)
{
    threads = n;
}

void wn_par_set_sharers(int n)
{
    sharers = n;
}

wn_err wn_par_for(size_t n, wn_par_body body, void *ctx)
{
    WN_ASSERT(n < (size_t)LONG_MAX);
    wn_ranks_poll();
    if (n <= 1 || omp_in_parallel() || wn_par_threads() == 1) {
        for (size_t i = 0; i < n; i++)
            WN_TRY(body(ctx, i, omp_in_parallel() ? omp_get_thread_num() : 0));
        return WN_OK;
    }
    long failed_at = LONG_MAX;
    wn_err failed = WN_OK;
    char text[WN_ERROR_TEXT_BYTES];
#pragma omp parallel for schedule(dynamic, 1) num_threads(wn_par_threads())
    for (long i = 0; i < (long)n; i++) {
        long bad;
#pragma omp atomic read
        bad = failed_at;
        if (i > bad)
            continue;
        wn_err e = body(ctx, (size_t)i, omp_get_thread_num());
        if (e == WN_OK)
            continue;
#pragma omp critical(wn_par_failure)
        if (i < failed_at) {
#pragma omp atomic write
            failed_at = i;
            failed = e;
            snprintf(text, sizeof text, "%s", wn_error_text());
        }
    }
    if (failed != WN_OK)
        wn_error_set_text(text);
    return failed;
}

void wn_par_do(size_t n, wn_par_work body, void *ctx)
{
    wn_ranks_poll();
    if (n <= 1 || omp_in_parallel() || wn_par_threads() == 1) {
        for (size_t i = 0; i < n; i++)
            body(ctx, i, omp_in_parallel() ? omp_get_thread_num() : 0);
        return;
    }
#pragma omp parallel for schedule(dynamic, 1) num_threads(wn_par_threads())
    for (long i = 0; i < (long)n; i++)
        body(ctx, (size_t)i, omp_get_thread_num());
}
