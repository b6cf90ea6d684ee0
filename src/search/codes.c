#include "search/codes.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"

enum { AHEAD = 3 }; /* rows that are asked for while one is coded */
static const float LEAST = 0x1p-60F, MOST = 0x1p60F; /* of |u|^2 and |v|^2 */
static const float UP = 1 + 0x1p-16F;                /* covers the rounding of a term itself */

/* ---- rows ---- */

size_t wn_encode_scratch(const wn_basis *b)
{
    return b->D;
}

static bool finite_row(const float *x, size_t D)
{
    return isfinite(wn_exact_dot(x, x, D));
}

static void no_code(int8_t *block, size_t row, size_t d)
{
    for (size_t i = 0; i < d; i += WN_SCAN_DEPTH)
        memset(block + wn_scan_row_at(row, i), 0, WN_SCAN_DEPTH);
}

/* One row's code, into its places of the block; u: scratch. */
static wn_row_facts encode_row(int8_t *block, size_t row, const wn_basis *b, const float *x,
                               float *u)
{
    size_t d = b->d, D = b->D;
    float norm = 1;
    if (b->cosine) {
        double length = sqrt(wn_exact_dot(x, x, D));
        norm = length > 0 ? (float)(1 / length) : 0;
    }
    wn_shifted s = wn_scan_shift(u, x, norm, b->centre, b->unit, D);
    if (!(s.norm2 >= LEAST && s.norm2 <= MOST) || !(s.most > 0)) {
        no_code(block, row, d);
        return (wn_row_facts){.error = INFINITY};
    }
    double inflate = ((double)D / 8 + 64) * 0x1p-24;
    wn_row_facts f = {.scale = s.most / 127, .norm2 = s.norm2};
    double error2 = wn_scan_code(block, row, u, D, d, f.scale);
    double error = sqrt(error2 * (1 + inflate)) + (b->cosine ? 0x1p-21 : 0);
    f.error = (float)error * UP;
    return f;
}

void wn_encode_rows(int8_t *code, wn_row_facts *facts, size_t *bad, const wn_basis *b,
                    const float *rows, size_t n, float *scratch)
{
    *bad = n;
    for (size_t i = 0; i < n; i++) {
        for (size_t at = 0; i + AHEAD < n && at < b->D; at += 16)
            __builtin_prefetch(rows + (i + AHEAD) * b->D + at);
        int8_t *block = code + i / WN_SCAN_ROWS * WN_SCAN_ROWS * b->d;
        facts[i] = encode_row(block, i % WN_SCAN_ROWS, b, rows + i * b->D, scratch);
        if (isinf(facts[i].error) && *bad == n && !finite_row(rows + i * b->D, b->D))
            *bad = i;
    }
    for (size_t i = n; i % WN_SCAN_ROWS; i++) {
        no_code(code + i / WN_SCAN_ROWS * WN_SCAN_ROWS * b->d, i % WN_SCAN_ROWS, b->d);
        facts[i] = (wn_row_facts){.norm2 = INFINITY};
    }
}

void wn_scan_facts_of(wn_scan_facts *out, const wn_row_facts *facts, size_t n, const wn_basis *b,
                      const wn_coded_queries *c)
{
    float own = (float)((1 + c->k) * (1 + 0x1p-20));
    float size = (float)((c->k + 0x1p-19) * (1 + 0x1p-20));
    float fine_own = (float)((1 + c->fine_k) * (1 + 0x1p-20));
    float fine_size = (float)((c->fine_k + 0x1p-19) * (1 + 0x1p-20));
    float inflate = ((float)b->D / 8 + 64) * 0x1p-24F + 0x1p-19F;
    float half = c->metric == WN_METRIC_L2 ? -0.5F * (1 - inflate) : 0;
    for (size_t i = 0; i < n; i++, out++)
        for (size_t r = 0; r < WN_SCAN_ROWS; r++, facts++) {
            bool there = !isinf(facts->norm2);
            out->scale[r] = facts->scale;
            out->plus[r] = there ? half * facts->norm2 : -INFINITY;
            float length = there ? sqrtf(facts->norm2) : 0;
            out->reach[r] = there ? (facts->error * own + length * size) * UP : 1;
            out->fine[r] = there ? (facts->error * fine_own + length * fine_size) * UP : 1;
        }
}

/* ---- queries ---- */

struct query_job {
    wn_coded_queries *c;
    const wn_basis *b;
    const float *query;
    double *v;     /* [threads][D] */
    double *ratio; /* [2][Q]: |p| / |v|, |p'| / |v| */
    size_t Q;
};

/* v, and what turns scores into v's units. */
static void shift_query(double *v, struct query_job *j, size_t q)
{
    const wn_basis *b = j->b;
    const float *x = j->query + q * b->D;
    wn_coded_queries *c = j->c;
    double g = b->unit, scale = g, along = 0, norm2 = 0;
    if (c->metric == WN_METRIC_IP) {
        int exponent;
        frexp(sqrt(wn_exact_dot(x, x, b->D)), &exponent);
        scale = ldexp(1, -exponent);
    } else if (c->metric == WN_METRIC_COSINE) {
        double n = sqrt(wn_exact_dot(x, x, b->D));
        scale = n > 0 ? 1 / n : 0;
    }
    for (size_t k = 0; k < b->D; k++) {
        double from = c->metric == WN_METRIC_L2 ? (double)b->centre[k] : 0;
        v[k] = ((double)x[k] - from) * scale;
        along += (double)b->centre[k] * v[k];
        norm2 += v[k] * v[k];
    }
    c->offset[q] = c->metric == WN_METRIC_L2 ? 0 : along * g;
    c->size[q] = c->metric == WN_METRIC_L2       ? g * g / 2
                 : c->metric == WN_METRIC_COSINE ? g
                                                 : g * scale;
    c->norm2[q] = norm2;
}

/* To the nearest, |x| < 2^51, ties to even: a library's nearbyint is a call. */
static double nearest(double x)
{
    return x + 0x1.8p52 - 0x1.8p52;
}

static void code_query(struct query_job *j, size_t q, double *v)
{
    const wn_basis *b = j->b;
    wn_coded_queries *c = j->c;
    const size_t D = b->D, chunks = b->d / WN_SCAN_DEPTH;
    double most = 0, error2 = 0, fine2 = 0;
    int32_t sum = 0, fine_sum = 0;
    shift_query(v, j, q);
    for (size_t k = 0; k < D; k++)
        most = fabs(v[k]) > most ? fabs(v[k]) : most;
    j->ratio[q] = j->ratio[j->Q + q] = 0;
    c->reach[q] = INFINITY; /* unseen: everything passes */
    c->step[q] = 1;
    c->floor[q] = -INFINITY;
    if (!(c->norm2[q] >= LEAST && c->norm2[q] <= MOST) || !(most > 0))
        return;
    double step = c->step[q] = most / 127, length = sqrt(c->norm2[q]) * (1 + 1e-9);
    double finer = step / WN_SCAN_FINER;
    for (size_t k = 0; k < D; k++) {
        double a = nearest(v[k] / step), left = v[k] - a * step;
        double fine = nearest(left / finer);
        fine = fine > 127 ? 127 : fine < -127 ? -127 : fine;
        c->code[wn_scan_query_at(q, k, chunks)] = (int8_t)a;
        c->fine[q * chunks * WN_SCAN_DEPTH + k] = (int8_t)fine;
        sum += (int32_t)a;
        fine_sum += (int32_t)fine;
        error2 += left * left;
        fine2 += (left - fine * finer) * (left - fine * finer);
    }
    c->excess[q] = 128 * sum;
    c->excess[c->scan.Q + q] = 128 * fine_sum;
    j->ratio[q] = sqrt(error2) / length * (1 + 1e-6);
    j->ratio[j->Q + q] = sqrt(fine2) / length * (1 + 1e-6);
    c->plus[q] = (float)(1 / step);
    c->reach[q] = (float)(length / step) * UP;
}

/* Queries whose codes lie together: threads do not write to the same lines. */
static void code_group(void *ctx, size_t group, int thread)
{
    struct query_job *j = ctx;
    size_t first = group * WN_SCAN_GROUP;
    for (size_t q = first; q < j->Q && q < first + WN_SCAN_GROUP; q++)
        code_query(j, q, j->v + (size_t)thread * j->b->D);
}

static wn_err room(wn_coded_queries *c, size_t padded, size_t Q, size_t d)
{
    WN_NEW(c->code, padded * d);
    WN_NEW(c->fine, padded * d);
    WN_NEW(c->excess, 2 * padded);
    WN_NEW(c->plus, 3 * padded);
    WN_NEW(c->step, 4 * Q);
    c->reach = c->plus + padded;
    c->floor = c->reach + padded;
    c->norm2 = c->step + Q;
    c->offset = c->norm2 + Q;
    c->size = c->offset + Q;
    for (size_t q = Q; q < padded; q++)
        c->floor[q] = INFINITY;
    c->scan = (wn_scan_queries){.Q = padded,
                                .chunks = d / WN_SCAN_DEPTH,
                                .code = c->code,
                                .excess = c->excess,
                                .plus = c->plus,
                                .reach = c->reach,
                                .floor = c->floor,
                                .fine = c->fine,
                                .fine_excess = c->excess + padded};
    return WN_OK;
}

wn_err wn_code_queries(wn_coded_queries *c, const wn_basis *b, wn_metric metric, const float *query,
                       size_t Q)
{
    size_t padded = (Q + WN_SCAN_QUERIES - 1) / WN_SCAN_QUERIES * WN_SCAN_QUERIES;
    size_t threads = (size_t)wn_par_threads();
    double *work;
    *c = (wn_coded_queries){.metric = metric};
    WN_TRY(room(c, padded, Q, b->d));
    WN_NEW(work, threads * b->D + 2 * Q);
    struct query_job j = {c, b, query, work, work + threads * b->D, Q};
    wn_par_do((Q + WN_SCAN_GROUP - 1) / WN_SCAN_GROUP, code_group, &j);
    for (size_t q = 0; q < Q; q++) {
        c->k = fmax(c->k, j.ratio[q]);
        c->fine_k = fmax(c->fine_k, j.ratio[Q + q]);
    }
    wn_free(work);
    return WN_OK;
}

void wn_coded_queries_free(wn_coded_queries *c)
{
    wn_free(c->code);
    wn_free(c->fine);
    wn_free(c->excess);
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

double wn_coded_score(const wn_coded_queries *c, size_t q, double at)
{
    at *= c->step[q];
    at += c->metric == WN_METRIC_L2 ? -c->norm2[q] / 2 : c->offset[q];
    return at / c->size[q];
}

void wn_coded_floors(float *out, const wn_coded_queries *c)
{
    for (size_t q = 0; q < c->scan.Q; q++) {
        uint32_t bits =
            __atomic_load_n((const uint32_t *)(const void *)&c->floor[q], __ATOMIC_RELAXED);
        memcpy(&out[q], &bits, sizeof bits);
    }
}
