#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/interval.h"
#include "base/mem.h"
#include "base/rng.h"
#include "report/verify.h"

enum { RESAMPLES = 2000 };

struct ranked {
    double value;
    size_t at;
};

static int by_value(const void *a, const void *b)
{
    double x = ((const struct ranked *)a)->value, y = ((const struct ranked *)b)->value;
    return (x > y) - (x < y);
}

/* Ranks from 1; equal values share their mean rank. work [n]. */
static void ranks(double *rank, struct ranked *work, const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        work[i] = (struct ranked){x[i], i};
    qsort(work, n, sizeof *work, by_value);
    for (size_t i = 0; i < n;) {
        size_t j = i;
        while (j < n && work[j].value == work[i].value)
            j++;
        for (size_t k = i; k < j; k++)
            rank[work[k].at] = (double)(i + j + 1) / 2;
        i = j;
    }
}

wn_err wn_spearman(double *rho, const double *x, const double *y, size_t n)
{
    double *rank, xy = 0, xx = 0, yy = 0, mean = (double)(n + 1) / 2;
    struct ranked *work;
    WN_NEW(work, n + 1);
    rank = wn_calloc(2 * n + 1, sizeof *rank);
    if (!rank) {
        wn_free(work);
        return WN_ENOMEM;
    }
    ranks(rank, work, x, n);
    ranks(rank + n, work, y, n);
    for (size_t i = 0; i < n; i++) {
        double a = rank[i] - mean, b = rank[n + i] - mean;
        xy += a * b, xx += a * a, yy += b * b;
    }
    wn_free(rank);
    wn_free(work);
    *rho = xx > 0 && yy > 0 ? xy / sqrt(xx * yy) : NAN;
    return WN_OK;
}

/* ---- controls ---- */

/* For each subset the line through the others. Without a spread of sizes: their mean. */
static void size_only(double *out, const double *rows, const double *measured, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double x = 0, y = 0, xx = 0, xy = 0, m = (double)(n - 1);
        for (size_t j = 0; j < n; j++)
            if (j != i)
                x += rows[j] / m, y += measured[j] / m;
        for (size_t j = 0; j < n; j++)
            if (j != i)
                xx += (rows[j] - x) * (rows[j] - x), xy += (rows[j] - x) * (measured[j] - y);
        out[i] = y + (xx > 0 ? xy / xx * (rows[i] - x) : 0);
    }
}

/* ---- intervals ---- */

struct figures {
    const double *estimate, *measured, *rows;
    size_t n;
    uint64_t seed;
    double *x, *y;   /* [n] a resample */
    double *value;   /* [RESAMPLES] */
    double *control; /* [n] */
};

static void draw(size_t *pick, const struct figures *f, uint64_t resample)
{
    wn_rng rng = {f->seed, WN_STREAM_BOOTSTRAP, resample << 20};
    for (size_t i = 0; i < f->n; i++)
        pick[i] = (size_t)wn_rng_below(&rng, f->n);
}

static wn_err spearman_interval(double *low, double *high, struct figures *f)
{
    size_t *pick, m = 0;
    wn_err err = WN_OK;
    WN_NEW(pick, f->n);
    for (size_t r = 0; r < RESAMPLES && err == WN_OK; r++) {
        double rho = NAN;
        draw(pick, f, r);
        for (size_t i = 0; i < f->n; i++) {
            f->x[i] = f->estimate[pick[i]];
            f->y[i] = f->measured[pick[i]];
        }
        err = wn_spearman(&rho, f->x, f->y, f->n);
        if (isfinite(rho))
            f->value[m++] = rho;
    }
    wn_free(pick);
    wn_interval95(low, high, f->value, m);
    return err;
}

/* Of the mean of |estimate - measured| - |control - measured|. */
static wn_err error_interval(double *mean, double *low, double *high, struct figures *f)
{
    size_t *pick;
    WN_NEW(pick, f->n);
    *mean = 0;
    for (size_t i = 0; i < f->n; i++) {
        f->x[i] = fabs(f->estimate[i] - f->measured[i]) - fabs(f->control[i] - f->measured[i]);
        *mean += f->x[i] / (double)f->n;
    }
    for (size_t r = 0; r < RESAMPLES; r++) {
        draw(pick, f, RESAMPLES + r);
        f->value[r] = 0;
        for (size_t i = 0; i < f->n; i++)
            f->value[r] += f->x[pick[i]] / (double)f->n;
    }
    wn_free(pick);
    wn_interval95(low, high, f->value, RESAMPLES);
    return WN_OK;
}

static json_t *errors(const double *predicted, const double *measured, size_t n)
{
    double plain = 0, squared = 0, rss = 0, tss = 0;
    for (size_t i = 0; i < n; i++) {
        double d = predicted[i] - measured[i], t = measured[i];
        plain += fabs(d / t) / (double)n;
        squared += d / t * (d / t) / (double)n;
        rss += d * d;
        tss += t * t;
    }
    return json_pack("{s:f, s:f, s:f}", "relative_error", plain, "squared_relative_error", squared,
                     "rss_ratio", rss / tss);
}

static json_t *number(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}

/* A control's errors, and by how much the estimates' are smaller. *closer: surely. */
static wn_err control(json_t **out, bool *closer, struct figures *f)
{
    double mean, low, high;
    WN_TRY(error_interval(&mean, &low, &high, f));
    *out = errors(f->control, f->measured, f->n);
    json_object_set_new(*out, "difference",
                        json_pack("{s:f, s:[f, f]}", "value", mean, "ci95", low, high));
    *closer = high < 0;
    return WN_OK;
}

static wn_err make(json_t **out, struct figures *f, double start)
{
    double low, high, rho, by_size;
    bool closer[2];
    json_t *zero, *size;
    WN_TRY(wn_spearman(&rho, f->estimate, f->measured, f->n));
    WN_TRY(wn_spearman(&by_size, f->rows, f->measured, f->n));
    by_size = fabs(by_size);
    WN_TRY(spearman_interval(&low, &high, f));
    for (size_t i = 0; i < f->n; i++)
        f->control[i] = start;
    WN_TRY(control(&zero, &closer[0], f));
    size_only(f->control, f->rows, f->measured, f->n);
    WN_TRY(control(&size, &closer[1], f));
    json_object_set_new(size, "spearman", number(by_size));
    bool ranks_well = low > 0 && !(rho <= by_size);
    const char *verdict = low > 0 && closer[0] && closer[1] ? "trustworthy"
                          : ranks_well                      ? "rank only"
                                                            : "no better than the control";
    *out = errors(f->estimate, f->measured, f->n);
    json_object_set_new(*out, "n", json_integer((json_int_t)f->n));
    json_object_set_new(*out, "start", json_real(start));
    json_object_set_new(
        *out, "spearman",
        json_pack("{s:o, s:[o, o]}", "value", number(rho), "ci95", number(low), number(high)));
    json_object_set_new(*out, "zero_order", zero);
    json_object_set_new(*out, "size_only", size);
    json_object_set_new(*out, "verdict", json_string(verdict));
    return WN_OK;
}

wn_err wn_verify_figures(json_t **out, const double *estimate, const double *measured,
                         const double *rows, size_t n, double start, uint64_t seed)
{
    struct figures f = {
        .estimate = estimate, .measured = measured, .rows = rows, .n = n, .seed = seed};
    WN_ASSERT(n >= 2);
    f.x = wn_calloc(n, sizeof *f.x);
    f.y = wn_calloc(n, sizeof *f.y);
    f.control = wn_calloc(n, sizeof *f.control);
    f.value = wn_calloc(RESAMPLES, sizeof *f.value);
    wn_err err = f.x && f.y && f.control && f.value ? make(out, &f, start) : WN_ENOMEM;
    wn_free(f.x);
    wn_free(f.y);
    wn_free(f.control);
    wn_free(f.value);
    return err;
}
