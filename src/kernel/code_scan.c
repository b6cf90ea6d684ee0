/* The plain forms, and the choice between them and code_scan_x86.c. */
#include "kernel/code_scan_table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- plain C ---- */

static int32_t code_dot(const int8_t *block, size_t row, const wn_scan_queries *q, size_t query)
{
    int32_t sum = 0;
    for (size_t i = 0; i < q->chunks * WN_SCAN_DEPTH; i += 4) {
        const int8_t *x = block + wn_scan_row_at(row, i);
        const int8_t *y = q->code + wn_scan_query_at(query, i, q->chunks);
        sum += x[0] * y[0] + x[1] * y[1] + x[2] * y[2] + x[3] * y[3];
    }
    return sum;
}

static size_t scan_c(wn_scan_hit *hit, const int8_t *block, const wn_scan_facts *facts, size_t n,
                     const wn_scan_queries *q, const wn_scan_ahead *ahead)
{
    wn_ask_ahead(ahead);
    size_t hits = 0, bytes = q->chunks * WN_SCAN_DEPTH * WN_SCAN_ROWS;
    for (size_t b = 0; b < n; b++) {
        const wn_scan_facts *f = &facts[b];
        for (size_t i = 0; i < q->Q; i++)
            for (size_t r = 0; r < WN_SCAN_ROWS; r++) {
                float dot = (float)code_dot(block + b * bytes, r, q, i);
                float bound = q->reach[i] * f->reach[r] - q->floor[i] + q->plus[i] * f->plus[r] +
                              dot * f->scale[r];
                if (!(bound < 0))
                    hit[hits++] = (wn_scan_hit){(uint32_t)i, (uint32_t)(b * WN_SCAN_ROWS + r), dot};
            }
    }
    return hits;
}

static size_t refine_c(wn_scan_hit *hit, size_t n, const int8_t *block, const wn_scan_facts *facts,
                       const wn_scan_queries *q)
{
    size_t d = q->chunks * WN_SCAN_DEPTH, left = 0;
    for (size_t i = 0; i < n; i++) {
        const int8_t *x = block + hit[i].row / WN_SCAN_ROWS * WN_SCAN_ROWS * d;
        const int8_t *y = q->fine + hit[i].query * d;
        int32_t sum = 0;
        for (size_t k = 0; k < d; k++)
            sum += x[wn_scan_row_at(hit[i].row % WN_SCAN_ROWS, k)] * y[k];
        if (wn_refined(&hit[i], sum, facts, q))
            hit[left++] = hit[i];
    }
    return left;
}

static wn_shifted shift_c(float *u, const float *x, float norm, const float *centre, float unit,
                          size_t n)
{
    double norm2 = 0;
    float most = 0;
    for (size_t i = 0; i < n; i++) {
        u[i] = (x[i] * norm - centre[i]) * unit;
        norm2 += (double)u[i] * (double)u[i];
        most = fabsf(u[i]) > most ? fabsf(u[i]) : most;
    }
    return (wn_shifted){(float)norm2, most};
}

static float code_c(int8_t *block, size_t row, const float *u, size_t n, size_t d, float scale)
{
    double sum = 0;
    for (size_t i = 0; i < d; i++) {
        float a = i < n ? nearbyintf(u[i] / scale) : 0;
        a = a > 127 ? 127 : a < -127 ? -127 : a;
        block[wn_scan_row_at(row, i)] = (int8_t)a;
        double left = i < n ? (double)u[i] - (double)scale * (double)a : 0;
        sum += left * left;
    }
    return (float)sum;
}

static double exact_distance2_c(const float *x, const float *y, size_t n)
{
    double a[WN_EXACT_LANES] = {0};
    for (size_t i = 0; i < n; i++) {
        double d = (double)x[i] - (double)y[i];
        a[i % WN_EXACT_LANES] += d * d;
    }
    return wn_exact_sum(a);
}

static double exact_dot_c(const float *x, const float *y, size_t n)
{
    double a[WN_EXACT_LANES] = {0};
    for (size_t i = 0; i < n; i++)
        a[i % WN_EXACT_LANES] += (double)x[i] * (double)y[i];
    return wn_exact_sum(a);
}

static void exact_distances2_c(double *out, const wn_scan_pair *pair, size_t m, size_t n)
{
    for (size_t i = 0; i < m; i++)
        out[i] = exact_distance2_c(pair[i].x, pair[i].y, n);
}

static void exact_dots_c(double *out, const wn_scan_pair *pair, size_t m, size_t n)
{
    for (size_t i = 0; i < m; i++)
        out[i] = exact_dot_c(pair[i].x, pair[i].y, n);
}

static const wn_scan_table plain = {.name = "c",
                                    .scan = scan_c,
                                    .refine = refine_c,
                                    .shift = shift_c,
                                    .code = code_c,
                                    .exact_distances2 = exact_distances2_c,
                                    .exact_dots = exact_dots_c};

/* ---- which one ---- */

static const wn_scan_table *current; /* NULL: not chosen yet; read and written atomically */

void wn_scan_use(const char *name)
{
    const wn_scan_table *t = NULL;
    if (!name)
        name = getenv("WN_SCAN");
    if (!name || strcmp(name, plain.name) != 0)
        t = wn_scan_table_x86(name);
    __atomic_store_n(&current, t ? t : &plain, __ATOMIC_RELEASE);
}

static const wn_scan_table *table(void)
{
    const wn_scan_table *t = __atomic_load_n(&current, __ATOMIC_ACQUIRE);
    if (!t) {
        wn_scan_use(NULL);
        t = __atomic_load_n(&current, __ATOMIC_ACQUIRE);
    }
    return t;
}

const char *wn_scan_name(void)
{
    return table()->name;
}

size_t wn_scan(wn_scan_hit *hit, const int8_t *block, const wn_scan_facts *facts, size_t n,
               const wn_scan_queries *q, const wn_scan_ahead *ahead)
{
    return table()->scan(hit, block, facts, n, q, ahead);
}

size_t wn_scan_refine(wn_scan_hit *hit, size_t n, const int8_t *block, const wn_scan_facts *facts,
                      const wn_scan_queries *q)
{
    return table()->refine(hit, n, block, facts, q);
}

wn_shifted wn_scan_shift(float *u, const float *x, float norm, const float *centre, float unit,
                         size_t n)
{
    return table()->shift(u, x, norm, centre, unit, n);
}

float wn_scan_code(int8_t *block, size_t row, const float *u, size_t n, size_t d, float scale)
{
    return table()->code(block, row, u, n, d, scale);
}

void wn_exact_distances2(double *out, const wn_scan_pair *pair, size_t m, size_t n)
{
    table()->exact_distances2(out, pair, m, n);
}

void wn_exact_dots(double *out, const wn_scan_pair *pair, size_t m, size_t n)
{
    table()->exact_dots(out, pair, m, n);
}

double wn_exact_distance2(const float *x, const float *y, size_t n)
{
    double out;
    wn_exact_distances2(&out, &(wn_scan_pair){x, y}, 1, n);
    return out;
}

double wn_exact_dot(const float *x, const float *y, size_t n)
{
    double out;
    wn_exact_dots(&out, &(wn_scan_pair){x, y}, 1, n);
    return out;
}
