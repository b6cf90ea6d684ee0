#include "search/codes.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "kernel/kernel.h"

static const float LEAST = 0x1p-60F, MOST = 0x1p60F; /* of |u|^2 and |v|^2 */
static const float UP = 1 + 0x1p-16F;                /* covers the rounding of a term itself */

/* ---- rows ---- */

size_t wn_encode_scratch(const wn_basis *b)
{
    return WN_CODE_ROWS * (b->D + b->d);
}

/* u [n, D] of rows. */
static void shift_rows(float *u, const wn_basis *b, const float *rows, size_t n)
{
    size_t D = b->D;
    for (size_t i = 0; i < n; i++) {
        const float *x = rows + i * D, *c = b->centre;
        float *out = u + i * D;
        float scale = b->unit, norm = 1;
        if (b->cosine) {
            double length = sqrt(wn_exact_dot(x, x, D));
            norm = length > 0 ? (float)(1 / length) : 0;
        }
        wn_scan_shift(out, x, norm, c, scale, D);
    }
}

static bool finite_row(const float *x, size_t D)
{
    return isfinite(wn_exact_dot(x, x, D));
}

/* One row's code, into its places of the block. */
static wn_row_facts encode_row(int8_t *block, size_t row, const wn_basis *b, const float *u,
                               const float *w)
{
    size_t d = b->d, D = b->D, there = b->axis ? d : D;
    float inflate = ((float)D / 16 + 64) * 0x1p-24F;
    float norm2 = wn_scan_dot(u, u, D), most = wn_scan_max(w, there);
    if (!(norm2 >= LEAST && norm2 <= MOST) || !(most > 0)) {
        for (size_t g = 0; g < d / 4; g++)
            memset(block + (g * WN_SCAN_ROWS + row) * 4, 0, 4);
        return (wn_row_facts){.error = INFINITY};
    }
    wn_row_facts f = {.scale = most / 127, .norm2 = norm2};
    float error2 = wn_scan_code(block, row, w, there, d, f.scale);
    float coded2 = b->axis ? wn_scan_dot(w, w, d) : norm2;
    f.error = sqrtf(error2 * (1 + inflate)) * UP + (b->cosine ? 0x1p-21F : 0);
    if (b->axis) {
        double length = sqrt((double)norm2 * (1 + (double)inflate));
        double seen = sqrt((double)coded2 * (1 - (double)inflate)) - (b->z + b->e) * length;
        double left = length * length - (seen > 0 ? seen * seen : 0);
        f.rest = left > 0 ? (float)sqrt(left) * UP : 0;
    }
    return f;
}

void wn_encode_rows(int8_t *code, wn_row_facts *facts, size_t *bad, const wn_basis *b,
                    const float *rows, size_t n, float *scratch)
{
    float *u = scratch, *w = b->axis ? scratch + WN_CODE_ROWS * b->D : u;
    size_t ld = b->axis ? b->d : b->D;
    *bad = n;
    shift_rows(u, b, rows, n);
    if (b->axis)
        wn_gemm(false, true, n, b->d, b->D, 1, u, b->D, b->axis, b->D, false, w, b->d);
    for (size_t i = 0; i < n; i++) {
        int8_t *block = code + i / WN_SCAN_ROWS * WN_SCAN_ROWS * b->d;
        facts[i] = encode_row(block, i % WN_SCAN_ROWS, b, u + i * b->D, w + i * ld);
        if (isinf(facts[i].error) && *bad == n && !finite_row(rows + i * b->D, b->D))
            *bad = i;
    }
    for (size_t i = n; i % WN_SCAN_ROWS; i++) {
        int8_t *block = code + i / WN_SCAN_ROWS * WN_SCAN_ROWS * b->d;
        for (size_t g = 0; g < b->d / 4; g++)
            memset(block + (g * WN_SCAN_ROWS + i % WN_SCAN_ROWS) * 4, 0, 4);
        facts[i] = (wn_row_facts){.norm2 = INFINITY};
    }
}

void wn_scan_facts_of(wn_scan_facts *out, const wn_row_facts *facts, const wn_basis *b,
                      const wn_coded_queries *c)
{
    double e = b->e, z = b->z, k = c->k;
    float own = (float)((1 + e + k) * (1 + 0x1p-20));
    float size = (float)(((1 + e + z) * k + z * (1 + e) + 2 * e + e * e + 0x1p-19) * (1 + 0x1p-20));
    float inflate = ((float)b->D / 16 + 64) * 0x1p-24F + 0x1p-19F;
    bool l2 = c->metric == WN_METRIC_L2;
    for (size_t r = 0; r < WN_SCAN_ROWS; r++) {
        const wn_row_facts *f = &facts[r];
        out->scale[r] = f->scale;
        out->plus[r] = l2 ? -0.5F * f->norm2 * (1 - inflate) : 0;
        out->rest[r] = f->rest;
        out->slack[r] = isinf(f->norm2) ? 0 : (f->error * own + sqrtf(f->norm2) * size) * UP;
    }
}

/* ---- queries ---- */

struct query_job {
    wn_coded_queries *c;
    const wn_basis *b;
    const float *query;
    double *v, *pv, *ratio; /* [threads][D], [threads][d]; [Q] */
};

static double sum_squares(const double *x, size_t n)
{
    double s = 0;
    for (size_t i = 0; i < n; i++)
        s += x[i] * x[i];
    return s;
}

/* v, and what turns scores into v's units. */
static void shift_query(double *v, struct query_job *j, size_t q)
{
    const wn_basis *b = j->b;
    const float *y = j->query + q * b->D;
    wn_coded_queries *c = j->c;
    double g = b->unit, scale = g, along = 0;
    if (c->metric == WN_METRIC_IP) {
        int exponent;
        frexp(sqrt(wn_exact_dot(y, y, b->D)), &exponent);
        scale = ldexp(1, -exponent);
    } else if (c->metric == WN_METRIC_COSINE) {
        double n = sqrt(wn_exact_dot(y, y, b->D));
        scale = n > 0 ? 1 / n : 0;
    }
    for (size_t k = 0; k < b->D; k++) {
        double from = c->metric == WN_METRIC_L2 ? (double)b->centre[k] : 0;
        v[k] = ((double)y[k] - from) * scale;
        along += (double)b->centre[k] * v[k];
    }
    c->offset[q] = c->metric == WN_METRIC_L2 ? 0 : along * g;
    c->size[q] = c->metric == WN_METRIC_L2       ? g * g / 2
                 : c->metric == WN_METRIC_COSINE ? g
                                                 : g * scale;
    c->norm2[q] = sum_squares(v, b->D);
}

static void code_query(void *ctx, size_t q, int thread)
{
    struct query_job *j = ctx;
    const wn_basis *b = j->b;
    wn_coded_queries *c = j->c;
    double *v = j->v + (size_t)thread * b->D, *pv = j->pv + (size_t)thread * b->d;
    shift_query(v, j, q);
    memset(pv, 0, b->d * sizeof *pv);
    for (size_t k = 0; b->axis && k < b->d; k++)
        for (size_t i = 0; i < b->D; i++)
            pv[k] += (double)b->axis[k * b->D + i] * v[i];
    if (!b->axis)
        memcpy(pv, v, b->D * sizeof *pv);
    double most = 0, error2 = 0, seen2 = sum_squares(pv, b->d);
    for (size_t k = 0; k < b->d; k++)
        most = fmax(most, fabs(pv[k]));
    j->ratio[q] = 0;
    c->slack[q] = INFINITY; /* unseen: everything passes */
    c->step[q] = 1;
    c->floor[q] = -INFINITY;
    if (!(c->norm2[q] >= LEAST && c->norm2[q] <= MOST) || !(most > 0))
        return;
    double step = c->step[q] = most / 127, length = sqrt(c->norm2[q]) * (1 + 1e-9);
    for (size_t k = 0; k < b->d; k++) {
        double a = nearbyint(pv[k] / step);
        c->code[q * b->d + k] = (int8_t)a;
        error2 += (pv[k] - a * step) * (pv[k] - a * step);
    }
    double seen = sqrt(seen2) * (1 - 1e-9) - b->e * length;
    double left = length * length - (seen > 0 ? seen * seen : 0);
    j->ratio[q] = sqrt(error2) / length * (1 + 1e-6);
    c->plus[q] = (float)(1 / step);
    c->rest[q] = b->axis && left > 0 ? (float)(sqrt(left) / step) * UP : 0;
    c->slack[q] = (float)(length * (1 + b->e) / step) * UP;
}

wn_err wn_code_queries(wn_coded_queries *c, const wn_basis *b, wn_metric metric, const float *query,
                       size_t Q)
{
    size_t padded = (Q + WN_SCAN_QUERIES - 1) / WN_SCAN_QUERIES * WN_SCAN_QUERIES;
    size_t threads = (size_t)wn_par_threads();
    *c = (wn_coded_queries){.metric = metric};
    WN_NEW(c->code, padded * b->d);
    WN_NEW(c->plus, 4 * padded);
    WN_NEW(c->step, 4 * Q);
    c->rest = c->plus + padded;
    c->slack = c->rest + padded;
    c->floor = c->slack + padded;
    c->norm2 = c->step + Q;
    c->offset = c->norm2 + Q;
    c->size = c->offset + Q;
    for (size_t q = Q; q < padded; q++)
        c->floor[q] = INFINITY;
    double *work;
    WN_NEW(work, threads * (b->D + b->d) + Q);
    struct query_job j = {c, b, query, work, work + threads * b->D, work + threads * (b->D + b->d)};
    wn_par_do(Q, code_query, &j);
    for (size_t q = 0; q < Q; q++)
        c->k = fmax(c->k, j.ratio[q]);
    wn_free(work);
    c->scan = (wn_scan_queries){.Q = padded,
                                .chunks = b->d / WN_SCAN_DEPTH,
                                .code = c->code,
                                .plus = c->plus,
                                .rest = c->rest,
                                .slack = c->slack,
                                .floor = c->floor};
    return WN_OK;
}

void wn_coded_queries_free(wn_coded_queries *c)
{
    wn_free(c->code);
    wn_free(c->plus);
    wn_free(c->step);
    *c = (wn_coded_queries){0};
}

void wn_coded_floor(wn_coded_queries *c, size_t q, double score)
{
    double at = score * c->size[q], big = fabs(at) + fabs(c->offset[q]);
    if (c->metric == WN_METRIC_L2) {
        at += c->norm2[q] / 2;
        big += c->norm2[q] / 2;
    } else {
        at -= c->offset[q];
    }
    at = (at - big * 0x1p-20) / c->step[q];
    float f = (float)(at - fabs(at) * 0x1p-20);
    if (isnan(f))
        return;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    __atomic_store_n((uint32_t *)(void *)&c->floor[q], bits, __ATOMIC_RELAXED);
}
