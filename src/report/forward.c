#include "report/forward.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/report.h"
#include "report/displace.h"

enum { DIRECTION_BYTES = 256 << 20 };

struct forward {
    const wn_estimate_opts *o;
    wn_surrogate *s;
    wn_real real;
    wn_displace move;
    double *w;                   /* [M, width] */
    float *direction;            /* [batch, p] */
    size_t batch, first, filled; /* directions of subsets [first, first + filled) are there */
    double *work;                /* [2 N] */
};

static wn_err open_all(struct forward *f, const uint8_t *member, size_t M)
{
    const wn_estimate_opts *o = f->o;
    size_t D = wn_surrogate_width(f->s);
    if (!o->train.model || !o->target_rows)
        return wn_fail(WN_EUSE, "the real model needs --model and --target-rows");
    WN_TRY(wn_real_open_for(&f->real, &o->train, o->target_rows, o->map, &o->common,
                            wn_real_quantity(f->s->target), f->s->store));
    WN_TRY(wn_displace_open(&f->move, &f->real, f->s->store, o->common.max_memory));
    uint64_t p = f->move.chosen.p;
    f->batch = DIRECTION_BYTES / (p * sizeof(float));
    f->batch = f->batch < 1 ? 1 : f->batch > M ? M : f->batch;
    WN_NEW(f->direction, f->batch * p);
    WN_NEW(f->work, 2 * f->real.N);
    WN_NEW(f->w, M * D);
    double *unused;
    WN_NEW(unused, M);
    wn_err err = wn_surrogate_estimate(unused, NULL, f->w, f->s, member, M);
    wn_free(unused);
    return err;
}

static void close_all(struct forward *f)
{
    wn_displace_close(&f->move);
    wn_real_close(&f->real);
    wn_free(f->w);
    wn_free(f->direction);
    wn_free(f->work);
}

/* The direction of subset m, and its length. */
static wn_err direction_of(const float **direction, double *length, struct forward *f, size_t m,
                           size_t M)
{
    size_t D = wn_surrogate_width(f->s);
    uint64_t p = f->move.chosen.p;
    if (!f->filled || m >= f->first + f->filled || m < f->first) {
        f->first = m;
        f->filled = M - m < f->batch ? M - m : f->batch;
        WN_TRY(wn_displace_directions(f->direction, &f->move, f->w + m * D, D, f->filled));
    }
    *direction = f->direction + (m - f->first) * p;
    *length = sqrt(wn_sum_squares(*direction, p));
    return WN_OK;
}

/* ---- estimates ---- */

/* What the direction is multiplied by: --scale of the parameters' norm, --norm, or as it is. */
static double factor_of(const struct forward *f, double length)
{
    double want = f->o->scale != 0 ? f->o->scale * f->move.norm : f->o->norm;
    return want != 0 && length > 0 ? want / length : 1;
}

static wn_err estimate(double *loss, double *softplus, double *length, double begin[2],
                       struct forward *f, const uint8_t *member, size_t M)
{
    WN_TRY(open_all(f, member, M));
    WN_TRY(wn_real_means(&begin[0], &begin[1], &f->real, f->work));
    for (size_t m = 0; m < M; m++) {
        const float *direction;
        double size;
        WN_TRY(direction_of(&direction, &size, f, m, M));
        double factor = factor_of(f, size);
        length[m] = factor * size;
        wn_displace_move(&f->move, direction, factor);
        WN_TRY(wn_real_means(&loss[m], &softplus[m], &f->real, f->work));
        WN_TRY(wn_progress("forward", "subsets", m + 1, M, NULL));
    }
    return WN_OK;
}

wn_err wn_forward_estimates(double *loss, double *softplus, double *length, double begin[2],
                            const wn_estimate_opts *o, wn_surrogate *s, const uint8_t *member,
                            size_t M)
{
    struct forward f = {.o = o, .s = s};
    wn_err err = estimate(loss, softplus, length, begin, &f, member, M);
    close_all(&f);
    return err;
}

/* ---- first order ---- */

static wn_err read_scales(double **scale, size_t *n, const char *text)
{
    size_t cap = 0;
    *scale = NULL;
    *n = 0;
    for (const char *at = text; *at;) {
        char *end;
        double v = strtod(at, &end);
        if (end == at || (*end && *end != ',') || !(v > 0) || !isfinite(v))
            return wn_fail(WN_EARG, "--first-order: expected numbers above 0 by comma, found %s",
                           text);
        if (!WN_GROW(*scale, *n, cap))
            return WN_ENOMEM;
        (*scale)[(*n)++] = v;
        at = *end ? end + 1 : end;
    }
    return *n ? WN_OK : wn_fail(WN_EARG, "--first-order: expected numbers by comma, found none");
}

/* g . P w of every target row: their projected gradients times w, by the rows' ids. */
static wn_err slopes(double *slope, const struct forward *f, const double *w)
{
    const wn_store *t = f->s->target;
    wn_row row = {0};
    wn_err err = WN_OK;
    if (wn_store_rows(t) != f->real.N)
        return wn_fail(WN_EARG, "%s: expected the %llu rows of %s, found %llu", f->o->target_rows,
                       (unsigned long long)wn_store_rows(t), wn_store_path(t),
                       (unsigned long long)f->real.N);
    for (uint64_t i = 0; i < f->real.N && err == WN_OK; i++) {
        wn_span id = wn_store_id(t, i);
        err = wn_pool_row(f->real.rows, i, &row);
        if (err == WN_OK && (row.id.len != id.len || memcmp(row.id.p, id.p, id.len) != 0))
            err = wn_fail(WN_EARG, "%s: row %llu: expected id %.*s, as in %s, found %.*s",
                          f->o->target_rows, (unsigned long long)i + 1, (int)id.len, id.p,
                          wn_store_path(t), (int)row.id.len, row.id.p);
        const float *x = wn_store_vector(t, i);
        slope[i] = 0;
        for (size_t k = 0; k < f->move.d; k++)
            slope[i] += x[k] * w[k];
    }
    wn_row_free(&row);
    return err;
}

static void compare(wn_first_order *out, const double *f0, const double *f1, const double *slope,
                    double factor, uint64_t N)
{
    for (uint64_t i = 0; i < N; i++)
        for (int k = 0; k < 2; k++) {
            double d = fabs(f0[i] + (k ? 0 : factor * slope[i]) - f1[i]);
            double size = fmax(fabs(f0[i]), fabs(f1[i])), r = size > 0 ? d / size : 0;
            out->error[k] += d / (double)N;
            out->relative[k] += r / (double)N;
            out->squared[k] += r * r / (double)N;
        }
}

static wn_err first_order(wn_first_order *out, struct forward *f, const double *scale, size_t n,
                          const uint8_t *member, size_t M)
{
    double *f0, *slope;
    WN_TRY(open_all(f, member, M));
    uint64_t N = f->real.N;
    WN_NEW(f0, 2 * N);
    slope = f0 + N;
    wn_err err = wn_real_rows(f->work, f0, &f->real);
    for (size_t m = 0; m < M && err == WN_OK; m++) {
        const float *direction;
        double size;
        err = slopes(slope, f, f->w + m * wn_surrogate_width(f->s));
        if (err == WN_OK)
            err = direction_of(&direction, &size, f, m, M);
        for (size_t k = 0; k < n && err == WN_OK; k++) {
            double length = scale[k] * f->move.norm, factor = size > 0 ? length / size : 0;
            out[m * n + k] = (wn_first_order){.scale = scale[k], .length = length};
            wn_displace_move(&f->move, direction, factor);
            err = wn_real_rows(f->work, f->work + N, &f->real);
            compare(&out[m * n + k], f0, f->work + N, slope, factor, N);
            if (err == WN_OK)
                err = wn_progress("first order", "steps", m * n + k + 1, M * n, NULL);
        }
    }
    wn_free(f0);
    return err;
}

wn_err wn_first_order_errors(wn_first_order **out, size_t *n, const wn_estimate_opts *o,
                             wn_surrogate *s, const uint8_t *member, size_t M)
{
    struct forward f = {.o = o, .s = s};
    double *scale;
    wn_err err = read_scales(&scale, n, o->first_order);
    *out = err == WN_OK ? wn_calloc(M * *n + 1, sizeof **out) : NULL;
    if (err == WN_OK)
        err = *out ? first_order(*out, &f, scale, *n, member, M) : WN_ENOMEM;
    close_all(&f);
    wn_free(scale);
    if (err != WN_OK) {
        wn_free(*out);
        *out = NULL;
    }
    return err;
}
