/* wn_search_exact against a full sort of float64 scores. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"
#include "kernel/code_scan.h"
#include "search/search.h"
#include "search/topk.h"

struct ref {
    double score;
    int64_t row;
};

static wn_metric sort_metric;

static int by_score(const void *a, const void *b)
{
    const struct ref *x = a, *y = b;
    if (x->score != y->score) {
        int less = x->score < y->score ? -1 : 1;
        return sort_metric == WN_METRIC_L2 ? less : -less;
    }
    return x->row < y->row ? -1 : 1;
}

/* The same eight partial sums as the search promises ("the same on every machine"), written apart.
 */
static double ref_sum(const float *x, const float *y, size_t D, bool distance)
{
    double a[8] = {0};
    for (size_t i = 0; i < D; i++) {
        double d = distance ? ((double)x[i] - y[i]) * ((double)x[i] - y[i]) : (double)x[i] * y[i];
        a[i % 8] += d;
    }
    return ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]));
}

static double ref_score(const float *x, const float *y, size_t D, wn_metric m)
{
    if (m == WN_METRIC_L2)
        return ref_sum(x, y, D, true);
    double d = ref_sum(x, y, D, false);
    if (m == WN_METRIC_IP)
        return d;
    double n = sqrt(ref_sum(x, x, D, false)) * sqrt(ref_sum(y, y, D, false));
    return n > 0 ? d / n : 0;
}

static void check(const float *rows, size_t N, const uint64_t *skip, const float *query, size_t Q,
                  size_t D, size_t k, wn_metric m, const char *what)
{
    int64_t *row = malloc(Q * k * sizeof *row);
    double *score = malloc(Q * k * sizeof *score);
    struct ref *ref = malloc((N + 1) * sizeof *ref);
    cr_assert_eq(wn_search_among(row, score, rows, N, skip, query, Q, D, k, m), WN_OK, "%s: %s",
                 what, wn_error_text());
    for (size_t q = 0; q < Q; q++) {
        size_t n = 0;
        for (size_t r = 0; r < N; r++)
            if (!wn_bit(skip, r))
                ref[n++] = (struct ref){ref_score(rows + r * D, query + q * D, D, m), (int64_t)r};
        sort_metric = m;
        qsort(ref, n, sizeof *ref, by_score);
        for (size_t i = 0; i < k; i++) {
            if (i >= n) {
                cr_assert_eq(row[q * k + i], WN_NO_ROW, "%s: behind the end", what);
                cr_assert(isnan(score[q * k + i]));
                continue;
            }
            cr_assert_eq(row[q * k + i], ref[i].row, "%s %s: query %zu place %zu: row %ld, not %ld",
                         what, wn_metric_name(m), q, i, (long)row[q * k + i], (long)ref[i].row);
            cr_assert_eq(score[q * k + i], ref[i].score,
                         "%s %s: query %zu place %zu: %.17g not %.17g", what, wn_metric_name(m), q,
                         i, score[q * k + i], ref[i].score);
        }
    }
    free(row);
    free(score);
    free(ref);
}

static void check_all(const float *rows, size_t N, const float *query, size_t Q, size_t D, size_t k,
                      const char *what)
{
    for (int m = 0; m < 3; m++)
        check(rows, N, NULL, query, Q, D, k, (wn_metric)m, what);
}

static void fill(float *x, size_t n, uint64_t stream, int kind)
{
    for (size_t i = 0; i < n; i++)
        x[i] = kind == 0 ? (float)wn_rng_normal(1, stream, i)
                         : (float)((int)(wn_rng_u64(1, stream, i) % 5) - 2);
}

Test(search, equals_a_full_sort_on_random_shapes)
{
    static const size_t shape[][4] = {/* N, Q, D, k */
                                      {1, 1, 1, 1},      {7, 3, 1, 3},     {300, 5, 2, 10},
                                      {1000, 9, 8, 17},  {777, 4, 33, 5},  {5000, 3, 16, 100},
                                      {200, 2, 64, 500}, {9000, 70, 5, 40}};
    for (size_t c = 0; c < sizeof shape / sizeof *shape; c++) {
        size_t N = shape[c][0], Q = shape[c][1], D = shape[c][2], k = shape[c][3];
        float *rows = malloc(N * D * sizeof *rows), *query = malloc(Q * D * sizeof *query);
        for (int kind = 0; kind < 2; kind++) { /* 1: small integers, so ties everywhere */
            fill(rows, N * D, 10 + c, kind);
            fill(query, Q * D, 50 + c, kind);
            check_all(rows, N, query, Q, D, k, kind ? "integers" : "normal");
        }
        free(rows);
        free(query);
    }
}

Test(search, thousands_of_equal_rows_tie_by_position)
{
    enum { N = 6000, D = 12, K = 50 };
    float *rows = malloc(N * D * sizeof *rows), query[2 * D];
    fill(query, 2 * D, 7, 0);
    for (size_t r = 0; r < N; r++)
        for (size_t i = 0; i < D; i++)
            rows[r * D + i] =
                (float)wn_rng_normal(3, 9, (r % 3) * D + i); /* three rows, repeated */
    check_all(rows, N, query, 2, D, K, "repeated rows");
    free(rows);
}

/* Distances that differ by far less than float32 can see: only the exact scores can order them. */
Test(search, near_ties_are_ordered_by_the_exact_score)
{
    enum { N = 4000, D = 16, K = 30 };
    float *rows = malloc(N * D * sizeof *rows), query[D];
    for (size_t i = 0; i < D; i++)
        query[i] = 1000.0f + (float)i;
    for (size_t r = 0; r < N; r++)
        for (size_t i = 0; i < D; i++)
            rows[r * D + i] = query[i] + 1e-4f * (float)(wn_rng_u64(5, 5, r * D + i) % 7);
    check_all(rows, N, query, 1, D, K, "near ties");
    free(rows);
}

Test(search, huge_and_tiny_numbers_neither_overflow_nor_vanish)
{
    enum { N = 600, D = 6, K = 20 };
    float rows[N * D], query[3 * D];
    static const float scale[] = {1e-38f, 1e-20f, 1.0f, 1e18f, 1e30f, 3e38f};
    for (size_t r = 0; r < N; r++)
        for (size_t i = 0; i < D; i++)
            rows[r * D + i] = (float)(wn_rng_uniform(2, 2, r * D + i) - 0.5) * scale[r % 6];
    for (size_t i = 0; i < 3 * D; i++)
        query[i] = (float)(wn_rng_uniform(2, 3, i) - 0.5) * scale[5 - 2 * (i / D)];
    check_all(rows, N, query, 3, D, K, "scales");
    memset(rows, 0, sizeof *rows * D * 40); /* zero rows, a zero query */
    memset(query, 0, sizeof *query * D);
    check_all(rows, N, query, 3, D, K, "zeros");
}

/* Few directions hold most: codes are of projections, and a remainder is bounded. */
Test(search, structured_rows_in_every_form_of_the_filter)
{
    enum { N = 3000, D = 256, Q = 21, K = 15 };
    static const char *const form[] = {"c", "avx2", "vnni", "amx"};
    float *rows = malloc(N * D * sizeof *rows), *query = malloc(Q * D * sizeof *query);
    for (size_t i = 0; i < N * D; i++)
        rows[i] = 3 + (float)(wn_rng_normal(8, 1, i) * exp(-(double)(i % D) / 15));
    for (size_t i = 0; i < Q * D; i++)
        query[i] = 3 + (float)(wn_rng_normal(8, 2, i) * exp(-(double)(i % D) / 15));
    for (size_t f = 0; f < 4; f++) {
        wn_scan_use(form[f]);
        check_all(rows, N, query, Q, D, K, wn_scan_name());
    }
    wn_scan_use(NULL);
    free(rows);
    free(query);
}

/* What a filter or a float32 sum might be wrong about. */
static float awkward(int kind, size_t row, size_t i, size_t D)
{
    double g = wn_rng_normal(12, (uint64_t)kind, row * D + i);
    switch (kind) {
    case 0:
        return (float)g;
    case 1:
        return (float)(1000 + 1e-3 * g); /* near each other, far from the origin */
    case 2:
        return (float)wn_rng_normal(12, 2, (row % 5) * D + i); /* five rows, repeated */
    case 3:
        return (float)(g * (row % 11 ? 1 : 1e19)); /* some huge */
    case 4:
        return (float)(g * 1e-39); /* denormal */
    case 5:
        return i == row % D ? 1.0F : 0.0F; /* one number each */
    default:
        return row % 2 ? -127.0F : i == 3 ? 127.0F : (float)(row % 3); /* codes at their ends */
    }
}
enum { AWKWARD = 7 };

/* Rows [N, D] of that kind; answers of every form and thread count, bit by bit. */
static void same_everywhere(int kind, wn_metric m, const float *rows, const float *query)
{
    enum { N = 2100, D = 70, Q = 50, K = 25 };
    static const char *const form[] = {"c", "avx2", "vnni", "amx"};
    static int64_t want_row[Q * K], row[Q * K];
    static double want[Q * K], score[Q * K];
    for (size_t f = 0; f < 4; f++)
        for (int threads = 1; threads <= 3; threads += 2) {
            bool first = f == 0 && threads == 1;
            wn_scan_use(form[f]);
            wn_par_set_threads(threads);
            cr_assert_eq(wn_search_exact(first ? want_row : row, first ? want : score, rows, N,
                                         query, Q, D, K, m),
                         WN_OK, "%s", wn_error_text());
            if (first)
                continue;
            cr_assert_eq(memcmp(row, want_row, sizeof row), 0, "kind %d, %s, %s, %d threads", kind,
                         wn_metric_name(m), form[f], threads);
            cr_assert_eq(memcmp(score, want, sizeof score), 0, "kind %d, %s, %s, %d threads", kind,
                         wn_metric_name(m), form[f], threads);
        }
    wn_scan_use(NULL);
    wn_par_set_threads(0);
    check(rows, N, NULL, query, Q, D, K, m, "awkward");
}

Test(search, awkward_vectors_have_the_same_answers_everywhere)
{
    enum { N = 2100, D = 70, Q = 50 };
    static float rows[N * D], query[Q * D];
    for (int kind = 0; kind < AWKWARD; kind++) {
        for (size_t i = 0; i < N * D; i++)
            rows[i] = awkward(kind, i / D, i % D, D);
        for (size_t i = 0; i < Q * D; i++) /* every second query is a row */
            query[i] = awkward(kind, i / D * 37 + i / D % 2 * 100000, i % D, D);
        for (int m = 0; m < 3; m++)
            same_everywhere(kind, (wn_metric)m, rows, query);
    }
}

/* More rows than the sample, none of which the sample sees among the best: every third query's
 * guess comes from rows that are all far worse than the ones it should find, or all far better. */
Test(search, a_sample_that_misleads_costs_time_and_nothing_else)
{
    enum { N = 60000, D = 4, Q = 6, K = 40, SAMPLE = 8192 };
    float *rows = malloc(N * D * sizeof *rows), query[Q * D];
    fill(query, Q * D, 42, 0);
    for (size_t r = 0; r < N; r++)
        for (size_t i = 0; i < D; i++) {
            bool sampled = (r * SAMPLE + N - 1) / N * N / SAMPLE == r;
            rows[r * D + i] = (sampled ? 0.01f : 5) * (float)wn_rng_normal(9, 9, r * D + i);
        }
    check_all(rows, N, query, Q, D, K, "the sample is near");
    for (size_t r = 0; r < N; r++)
        for (size_t i = 0; i < D; i++) {
            bool sampled = (r * SAMPLE + N - 1) / N * N / SAMPLE == r;
            rows[r * D + i] = (sampled ? 50 : 1) * (float)wn_rng_normal(9, 9, r * D + i);
        }
    check_all(rows, N, query, Q, D, K, "the sample is far");
    free(rows);
}

/* The scan raises thresholds by what it has found, in the order in which pieces of 256 rows are
 * taken; `turn` of a row's piece. */
static size_t turn_of(size_t row, size_t N)
{
    size_t pieces = (N + 255) / 256, stride = pieces * 5 / 8 | 1, at = 0, turn = 0;
    for (bool common = true; common; stride += common ? 2 : 0) {
        common = false;
        for (size_t f = 3; f <= stride; f++)
            common = common || (stride % f == 0 && pieces % f == 0);
    }
    for (; at != row / 256; at = (at + stride) % pieces)
        turn++;
    return turn;
}

Test(search, a_scan_that_misleads_on_its_way_costs_time_and_nothing_else)
{
    enum { N = 40000, D = 4, Q = 5, K = 300, SAMPLE = 8192, PIECES = (N + 255) / 256 };
    static const char *const what[] = {"the best are seen first", "the best are seen last",
                                       "the best are side by side", "few rows, repeated"};
    float *rows = malloc(N * D * sizeof *rows), query[Q * D];
    fill(query, Q * D, 42, 0);
    for (size_t i = 0; i < Q * D; i++)
        query[i] *= 0.05F;
    for (int kind = 0; kind < 4; kind++) {
        for (size_t r = 0; r < N; r++) {
            size_t turn = turn_of(r, N);
            bool sampled = (r * SAMPLE + N - 1) / N * N / SAMPLE == r;
            bool near = !sampled && (kind == 0   ? turn < PIECES / 4 && r % 16 == 0
                                     : kind == 1 ? turn > PIECES * 3 / 4 && r % 16 == 0
                                                 : r > 700 && r < 1200);
            for (size_t i = 0; i < D; i++)
                rows[r * D + i] =
                    kind == 3 ? (float)wn_rng_normal(9, 9, (turn < PIECES / 2 ? r % 7 : 0) + i)
                              : (near ? 0.1F : 2) * (float)wn_rng_normal(9, 9, r * D + i);
        }
        check_all(rows, N, query, Q, D, K, what[kind]);
    }
    free(rows);
}

Test(search, skipped_rows_are_replaced_by_the_next)
{
    enum { N = 30000, D = 4, K = 25 };
    float *rows = malloc(N * D * sizeof *rows), query[2 * D];
    fill(rows, N * D, 21, 1);
    fill(query, 2 * D, 22, 1);
    static uint64_t skip[N / 64 + 1];
    for (int kind = 0; kind < 3; kind++) { /* two of three; all but a few; all but some pieces */
        memset(skip, 0, sizeof skip);
        for (uint64_t r = 0; r < N; r++)
            if (kind == 0 ? wn_rng_u64(4, 4, r) % 3 : kind == 1 ? r % 500 : r / 1000 % 7)
                wn_bit_set(skip, r);
        for (int m = 0; m < 3; m++)
            check(rows, N, skip, query, 2, D, K, (wn_metric)m, "skip");
    }
    memset(skip, 0xff, sizeof skip);
    check(rows, N, skip, query, 2, D, K, WN_METRIC_L2, "all skipped");
    free(rows);
}

Test(search, same_bytes_for_every_thread_count)
{
    enum { N = 20000, Q = 40, D = 24, K = 60 };
    float *rows = malloc(N * D * sizeof *rows), *query = malloc(Q * D * sizeof *query);
    int64_t *row = malloc(2 * Q * K * sizeof *row);
    double *score = malloc(2 * Q * K * sizeof *score);
    fill(rows, N * D, 31, 0);
    fill(query, Q * D, 32, 0);
    for (int t = 1; t <= 7; t += 3) {
        wn_par_set_threads(t);
        size_t at = t == 1 ? 0 : Q * K;
        cr_assert_eq(wn_search_exact(row + at, score + at, rows, N, query, Q, D, K, WN_METRIC_L2),
                     WN_OK);
        if (t > 1) {
            cr_assert_eq(memcmp(row, row + Q * K, Q * K * sizeof *row), 0);
            cr_assert_eq(memcmp(score, score + Q * K, Q * K * sizeof *score), 0);
        }
    }
    wn_par_set_threads(0);
    free(rows);
    free(query);
    free(row);
    free(score);
}

Test(search, nan_and_infinity_are_refused_by_position)
{
    enum { N = 5000, D = 3 };
    static float rows[N * D], query[2 * D];
    int64_t row[4];
    double score[4];
    rows[4321 * D + 1] = NAN;
    rows[4999 * D] = INFINITY;
    cr_assert_eq(wn_search_exact(row, score, rows, N, query, 2, D, 2, WN_METRIC_L2), WN_EFORMAT);
    cr_assert(strstr(wn_error_text(), "row 4321 "), "%s", wn_error_text());
    rows[4321 * D + 1] = 0;
    rows[4999 * D] = 0;
    query[5] = -INFINITY;
    cr_assert_eq(wn_search_exact(row, score, rows, N, query, 2, D, 2, WN_METRIC_L2), WN_EFORMAT);
    cr_assert(strstr(wn_error_text(), "query 1 "), "%s", wn_error_text());
    cr_assert_eq(wn_mem_live(), 0);
}

/* hand-checked: distances of 0 and 25, a tie at 25, inner products */
Test(search, a_small_case_by_hand)
{
    const float rows[] = {3, 4, 0, 0, -3, -4, 0, 5}, query[] = {0, 0};
    int64_t row[5];
    double score[5];
    cr_assert_eq(wn_search_exact(row, score, rows, 4, query, 1, 2, 5, WN_METRIC_L2), WN_OK);
    const int64_t want[] = {1, 0, 2, 3, WN_NO_ROW};
    const double far[] = {0, 25, 25, 25};
    cr_assert_arr_eq(row, want, sizeof want);
    cr_assert_arr_eq(score, far, sizeof far);
    const float one[] = {1, 1};
    cr_assert_eq(wn_search_exact(row, score, rows, 4, one, 1, 2, 2, WN_METRIC_IP), WN_OK);
    cr_assert(row[0] == 0 && score[0] == 7 && row[1] == 3 && score[1] == 5);
}

Test(search, allocation_failures_leave_nothing)
{
    static float rows[100 * 4], query[2 * 4];
    int64_t row[10];
    double score[10];
    wn_err err = WN_ENOMEM;
    for (int n = 0; err != WN_OK; n++) {
        cr_assert(n < 50);
        wn_mem_fail_after(n);
        err = wn_search_exact(row, score, rows, 100, query, 2, 4, 5, WN_METRIC_L2);
        wn_mem_fail_after(-1);
        cr_assert(err == WN_OK || err == WN_ENOMEM);
        cr_assert_eq(wn_mem_live(), 0);
    }
}
