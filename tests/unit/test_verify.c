/* Figures of verification on numbers worked out by hand. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "report/verify.h"

static double number(const json_t *o, const char *a, const char *b)
{
    const json_t *v = json_object_get(o, a);
    v = b ? json_object_get(v, b) : v;
    cr_assert(json_is_number(v), "%s %s", a, b ? b : "");
    return json_number_value(v);
}

static double rho(const double *x, const double *y)
{
    double v;
    cr_assert_eq(wn_spearman(&v, x, y, 5), WN_OK);
    return v;
}

Test(verify, spearman)
{
    const double x[] = {1, 2, 3, 4, 5}, y[] = {2, 1, 4, 3, 5}, ties[] = {1, 1, 2, 2, 3},
                 flat[] = {1, 1, 1, 1, 1};
    cr_assert_float_eq(rho(x, y), 1 - 6. * 4 / (5 * 24), 1e-15);
    cr_assert_float_eq(rho(x, x), 1, 1e-15);
    /* ranks 1.5 1.5 3.5 3.5 5 against 1 .. 5: 9 / sqrt(10 * 9) */
    cr_assert_float_eq(rho(x, ties), 9 / sqrt(90), 1e-15);
    cr_assert(isnan(rho(x, flat)));
    cr_assert_eq(wn_mem_live(), 0);
}

Test(verify, errors_and_controls)
{
    const double estimate[] = {1.1, 1.9, 3.3, 4.0, 5.5}, measured[] = {1, 2, 3, 4, 5},
                 rows[] = {50, 40, 30, 20, 10};
    json_t *f;
    cr_assert_eq(wn_verify_figures(&f, estimate, measured, rows, 5, 3, 1), WN_OK);
    cr_assert_float_eq(number(f, "relative_error", NULL), (0.1 + 0.05 + 0.1 + 0 + 0.1) / 5, 1e-12);
    cr_assert_float_eq(number(f, "squared_relative_error", NULL), (0.01 * 3 + 0.0025) / 5, 1e-12);
    cr_assert_float_eq(number(f, "rss_ratio", NULL), (0.01 + 0.01 + 0.09 + 0.25) / 55, 1e-12);
    cr_assert_float_eq(number(f, "zero_order", "relative_error"), (2 + 0.5 + 0 + 0.25 + 0.4) / 5,
                       1e-12);
    /* the sizes lie on a line with what is measured: nothing is left for the estimates */
    cr_assert_float_eq(number(f, "size_only", "relative_error"), 0, 1e-12);
    cr_assert_float_eq(number(f, "size_only", "spearman"), 1, 1e-12);
    cr_assert_float_eq(number(f, "spearman", "value"), 1, 1e-12);
    json_decref(f);
    cr_assert_eq(wn_mem_live(), 0);
}

static const char *verdict(const double *estimate, const double *measured, size_t n, double start)
{
    static char text[64];
    double rows[40];
    json_t *f;
    for (size_t i = 0; i < n; i++)
        rows[i] = (double)(i * 7 % 5);
    cr_assert_eq(wn_verify_figures(&f, estimate, measured, rows, n, start, 1), WN_OK);
    strcpy(text, json_string_value(json_object_get(f, "verdict")));
    json_decref(f);
    return text;
}

Test(verify, verdicts)
{
    enum { N = 30 };
    double measured[N], good[N], far[N], bad[N];
    for (size_t i = 0; i < N; i++) {
        measured[i] = 2 + 0.02 * (double)(i * 11 % N);
        good[i] = measured[i] + 0.01 * (double)(i % 3);
        far[i] = good[i] - 1.5;
        bad[i] = 2 + 0.02 * (double)(i * 7 % N);
    }
    cr_assert_str_eq(verdict(good, measured, N, 3), "trustworthy");
    cr_assert_str_eq(verdict(far, measured, N, 2.3), "rank only");
    cr_assert_str_eq(verdict(bad, measured, N, 2.3), "no better than the control");
}
