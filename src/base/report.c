#include "base/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "base/par.h"
#include "base/ranks.h"

static wn_progress_fn progress_fn;
static void *progress_ctx;
static wn_message_fn message_fn;
static void *message_ctx;
static double last_call;
static bool hushed;

double wn_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

wn_err wn_progress(const char *stage, const char *unit, uint64_t done, uint64_t total,
                   const char *note)
{
    wn_ranks_poll();
    if (!progress_fn || hushed)
        return WN_OK;
    double now = wn_seconds();
    if (done != total && done != 0 && now - last_call < 0.2)
        return WN_OK;
    last_call = now;
    if (!progress_fn(progress_ctx, stage, unit, done, total, note))
        return wn_fail(WN_ESTOP, "%s: stopped at %llu of %llu %s; the same command goes on", stage,
                       (unsigned long long)done, (unsigned long long)total, unit);
    return WN_OK;
}

void wn_message(const char *fmt, ...)
{
    if (!message_fn || hushed)
        return;
    char line[WN_ERROR_TEXT_BYTES];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    message_fn(message_ctx, line);
}

void wn_hush(bool on)
{
    hushed = on;
}

void wn_set_progress(wn_progress_fn fn, void *ctx)
{
    progress_fn = fn;
    progress_ctx = ctx;
}

void wn_set_message(wn_message_fn fn, void *ctx)
{
    message_fn = fn;
    message_ctx = ctx;
}

void wn_set_threads(int n)
{
    wn_par_set_threads(n);
}

const char *wn_version(void)
{
    return WN_VERSION;
}
