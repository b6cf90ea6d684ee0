/* The bound of codes.h: whatever the vectors, the filter's left side is never below the score. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "search/codes.h"

enum { N = 1600, Q = 40, MAX_D = 256, ROWS = 64 };

static double exact(const float *x, const float *y, size_t D, wn_metric m)
{
    if (m == WN_METRIC_L2)
        return -wn_exact_distance2(x, y, D);
    double d = wn_exact_dot(x, y, D);
    if (m == WN_METRIC_IP)
        return d;
    double n = sqrt(wn_exact_dot(x, x, D)) * sqrt(wn_exact_dot(y, y, D));
    return n > 0 ? d / n : 0;
}

/* Kinds of vectors: what a filter might be wrong about. */
static float number(int kind, size_t row, size_t i, size_t D)
{
    double g = wn_rng_normal(11, (uint64_t)kind, row * D + i);
    switch (kind) {
    case 0:
        return (float)g; /* no structure */
    case 1:
        return (float)(g * exp(-(double)i / 12.0)); /* some directions hold all */
    case 2:
        return (float)(1000 + 1e-3 * g); /* far from the origin */
    case 3:
        return (float)(g * pow(10, (double)(row % 7) - 3)); /* lengths of all sizes */
    case 4:
        return (float)wn_rng_normal(11, 4, (row % 5) * D + i); /* five rows, repeated */
    case 5:
        return i == row % D ? 1.0F : 0.0F; /* one number each */
    case 6:
        return (float)(g * 1e-39); /* denormal */
    case 7:
        return (float)(g * 1e18); /* huge */
    default:
        return row % 3 ? (float)(g * 0x1p-70) : (float)g; /* some vanish beside others */
    }
}
enum { KINDS = 9 };

/* Lower bounds in float64 must not pass where the true score reaches the floor. */
static void check(const float *rows, const float *query, size_t D, wn_metric metric, int kind)
{
    wn_basis b;
    wn_coded_queries c;
    size_t bad, passed = 0, coarse = 0;
    cr_assert_eq(wn_basis_new(&b, rows, N, D, metric == WN_METRIC_COSINE), WN_OK);
    int8_t *code = wn_malloc(ROWS * b.d);
    float *scratch = wn_malloc(wn_encode_scratch(&b) * sizeof *scratch);
    wn_row_facts facts[ROWS];
    cr_assert_eq(wn_code_queries(&c, &b, metric, query, Q), WN_OK);
    wn_scan_hit *hit = malloc((ROWS * c.scan.Q + 1) * sizeof *hit);
    static bool pass[ROWS][Q];
    for (size_t first = 0; first < N; first += ROWS) {
        wn_scan_facts f[ROWS / WN_SCAN_ROWS];
        wn_encode_rows(code, facts, &bad, &b, rows + first * D, ROWS, scratch);
        cr_assert_eq(bad, ROWS);
        wn_scan_facts_of(f, facts, ROWS / WN_SCAN_ROWS, &b, &c);
        /* the floor is the very score of one row after another: that row must pass */
        for (size_t r = 0; r < ROWS; r += 3) {
            for (size_t q = 0; q < Q; q++)
                wn_coded_floor(&c, q, exact(rows + (first + r) * D, query + q * D, D, metric));
            memset(pass, 0, sizeof pass);
            size_t n = wn_scan(hit, code, f, ROWS / WN_SCAN_ROWS, &c.scan, NULL), all = n;
            n = wn_scan_refine(hit, n, code, f, &c.scan);
            for (size_t h = 0; h < n; h++)
                if (hit[h].query < Q)
                    pass[hit[h].row][hit[h].query] = true;
            for (size_t q = 0; q < Q; q++)
                cr_assert(pass[r][q], "%s, kind %d, D %zu: row %zu is lost to query %zu",
                          wn_metric_name(metric), kind, D, first + r, q);
            passed += n;
            coarse += all;
        }
    }
    /* and it rules out something where there is something to rule out */
    if (kind < 2)
        cr_assert(coarse < (size_t)N / 3 * ROWS * Q * 3 / 4 && passed < coarse, "%zu, %zu", coarse,
                  passed);
    free(hit);
    wn_free(code);
    wn_free(scratch);
    wn_coded_queries_free(&c);
    wn_basis_free(&b);
    cr_assert_eq(wn_mem_live(), 0);
}

Test(codes, no_row_is_ruled_out_that_reaches_the_floor)
{
    static const size_t width[] = {5, 96, MAX_D};
    static float rows[N * MAX_D], query[Q * MAX_D];
    for (size_t w = 0; w < 3; w++)
        for (int kind = 0; kind < KINDS; kind++) {
            for (size_t i = 0; i < N * width[w]; i++)
                rows[i] = number(kind, i / width[w], i % width[w], width[w]);
            for (size_t i = 0; i < Q * width[w]; i++) /* some queries are rows */
                query[i] = number(kind, i / width[w] * 39 + i / width[w] % 2 * 100000, i % width[w],
                                  width[w]);
            for (int m = 0; m < 3; m++)
                check(rows, query, width[w], (wn_metric)m, kind);
        }
}

/* Rows along the signs of what the queries' codes, and the finer ones, leave out: coded exactly, so
 * that nothing but the queries' own share of the bound keeps them. */
Test(codes, what_the_queries_codes_leave_out_is_in_the_bound)
{
    enum { D = 192 };
    static float query[Q * D], row[WN_SCAN_ROWS * D];
    static int8_t code[WN_SCAN_ROWS * D];
    float centre[D] = {0}, scratch[D];
    wn_basis b = {.D = D, .d = D, .unit = 1, .centre = centre};
    wn_coded_queries c;
    wn_row_facts facts[WN_SCAN_ROWS];
    wn_scan_facts f;
    static wn_scan_hit hit[WN_SCAN_ROWS * 2 * WN_SCAN_QUERIES + 1];
    size_t bad;
    for (size_t i = 0; i < Q * D; i++)
        query[i] = (float)wn_rng_normal(12, 0, i);
    cr_assert_eq(wn_code_queries(&c, &b, WN_METRIC_IP, query, Q), WN_OK);
    for (size_t q = 0; q < Q; q++)
        for (int finer = 0; finer < 2; finer++) {
            double scale =
                ldexp(1, -ilogb(sqrt(wn_exact_dot(query + q * D, query + q * D, D))) - 1);
            for (size_t k = 0; k < D; k++) {
                double at = c.code[wn_scan_query_at(q, k, D / WN_SCAN_DEPTH)];
                at += finer ? (double)c.fine[q * D + k] / WN_SCAN_FINER : 0;
                row[k] = query[q * D + k] * scale > at * c.step[q] ? 1.0F : -1.0F;
            }
            wn_encode_rows(code, facts, &bad, &b, row, 1, scratch);
            wn_scan_facts_of(&f, facts, 1, &b, &c);
            cr_assert(facts[0].error < 1e-4F);
            wn_coded_floor(&c, q, wn_exact_dot(row, query + q * D, D));
            size_t n = wn_scan(hit, code, &f, 1, &c.scan, NULL), there = 0;
            n = finer ? wn_scan_refine(hit, n, code, &f, &c.scan) : n;
            for (size_t h = 0; h < n; h++)
                there += hit[h].query == q && hit[h].row == 0;
            cr_assert_eq(there, 1, "query %zu, %s codes", q, finer ? "finer" : "plain");
        }
    wn_coded_queries_free(&c);
}
