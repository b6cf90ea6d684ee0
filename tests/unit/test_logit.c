/* Regressions on subsets against Newton's method on plain loops in double, and their properties. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"
#include "kernel/kernel.h"
#include "select/dense64.h"
#include "select/logit.h"

static void ok(wn_err err)
{
    cr_assert_eq(err, WN_OK, "%s", wn_error_text());
}

/* Rows of T groups around group means of their own; group t has 3 + 7 t rows, group 2 none. */
struct rows {
    wn_logit_data d;
    float *x;
    uint64_t *at, *start;
    double *offset, *extra;
};

static struct rows make(size_t d, uint32_t T, double size, uint64_t seed)
{
    struct rows r = {0};
    r.start = wn_calloc(T + 1, sizeof *r.start);
    for (uint32_t t = 0; t < T; t++)
        r.start[t + 1] = r.start[t] + (t == 2 ? 0 : 3 + 7 * t);
    uint64_t N = r.start[T];
    r.x = wn_calloc(N * d, sizeof *r.x);
    r.at = wn_calloc(N, sizeof *r.at);
    r.offset = wn_calloc(N, sizeof *r.offset);
    r.extra = wn_calloc(N, sizeof *r.extra);
    for (uint32_t t = 0; t < T; t++)
        for (uint64_t i = r.start[t]; i < r.start[t + 1]; i++) {
            r.at[i] = N - 1 - i;
            r.offset[i] = 2 * wn_rng_normal(seed, 1, i);
            r.extra[i] = wn_rng_uniform(seed, 2, i) < 0.7 ? 1 : -1;
            for (size_t k = 0; k < d; k++)
                r.x[r.at[i] * d + k] = (float)(size * (wn_rng_normal(seed, 3, i * d + k) +
                                                       wn_rng_normal(seed, 4, t * d + k)));
        }
    r.d = (wn_logit_data){
        .x = r.x, .d = d, .N = N, .at = r.at, .offset = r.offset, .start = r.start, .T = T};
    return r;
}

static void drop(struct rows *r)
{
    wn_free(r->x);
    wn_free(r->at);
    wn_free(r->offset);
    wn_free(r->extra);
    wn_free(r->start);
}

static double feature(const wn_logit_data *d, uint64_t i, size_t k)
{
    return k < d->d ? d->x[d->at[i] * d->d + k] : d->extra[i];
}

/* phi and its gradient, by its formula. */
static double phi(double *g, const wn_logit_data *d, const wn_logit_rule *rule,
                  const uint8_t *member, const double *weight, const double *w)
{
    size_t D = wn_logit_width(d);
    double rows = 0, loss = 0, square = 0;
    memset(g, 0, D * sizeof *g);
    for (uint32_t t = 0; t < d->T; t++)
        for (uint64_t i = d->start[t]; member[t] && i < d->start[t + 1]; i++) {
            double m = d->offset ? d->offset[i] : 0, a = weight ? weight[i] : 1;
            for (size_t k = 0; k < D; k++)
                m += feature(d, i, k) * w[k];
            rows += a;
            loss += a * (m < 0 ? log1p(exp(m)) - m : log1p(exp(-m)));
            for (size_t k = 0; k < D; k++)
                g[k] -= a / (1 + exp(m)) * feature(d, i, k);
        }
    double scale = rule->mean ? 1 / rows : rule->c;
    for (size_t k = 0; k < D; k++) {
        square += w[k] * w[k];
        g[k] = scale * g[k] + rule->l2 * w[k];
    }
    return scale * loss + rule->l2 / 2 * square;
}

static void check_optimum(const struct rows *r, const wn_logit_rule *rule, const uint8_t *member,
                          const double *weight, const double *w, double tolerance)
{
    double g[128], g0[128], zero[128] = {0};
    size_t D = wn_logit_width(&r->d);
    phi(g0, &r->d, rule, member, weight, zero);
    phi(g, &r->d, rule, member, weight, w);
    double most = tolerance * fmin(1, wn_norm64(g0, D));
    cr_assert_leq(wn_norm64(g, D), 1.01 * most + 1e-15, "gradient %g at %zu", wn_norm64(g, D), D);
}

static void random_members(uint8_t *member, size_t M, uint32_t T, uint64_t seed)
{
    for (size_t j = 0; j < M * T; j++)
        member[j] = j % T == T - 1 || wn_rng_uniform(seed, 9, j) < 0.5;
}

Test(logit, reaches_the_optimum_of_every_subset)
{
    static const double sizes[] = {0.01, 0.3, 3};
    static const wn_logit_rule rules[] = {
        {true, 0, 0.02}, {true, 0, 1e-4}, {false, 1e-4, 1}, {false, 0.1, 1}};
    enum { M = 130, T = 9 };
    for (size_t d = 1; d < 30; d += 13)
        for (size_t z = 0; z < 3; z++)
            for (size_t q = 0; q < 8; q++) {
                struct rows r = make(d, T, sizes[z], 10 * d + z);
                r.d.extra = q & 1 ? r.extra : NULL;
                const wn_logit_rule *rule = &rules[q / 2];
                static uint8_t member[M * T];
                static double w[M * 32];
                wn_logit_fact fact[M];
                wn_logit *l;
                random_members(member, M, T, q);
                memset(member, 0, T); /* an empty subset, and one of a group without rows */
                memset(member + T, 0, T);
                member[T + 2] = 1;
                ok(wn_logit_new(&l, &r.d, rule));
                ok(wn_logit_fit(w, fact, l, member, M, NULL, false));
                size_t D = wn_logit_width(&r.d);
                for (size_t j = 0; j < 2; j++)
                    cr_assert(fact[j].rows == 0 && fact[j].norm == 0);
                for (size_t j = 2; j < M; j++) {
                    check_optimum(&r, rule, member + j * T, NULL, w + j * D, 1e-10);
                    cr_assert_float_eq(fact[j].norm, wn_norm64(w + j * D, D), 1e-12);
                }
                wn_logit_free(l);
                drop(&r);
            }
    cr_assert_eq(wn_mem_live(), 0);
}

Test(logit, weights_stand_for_rows_that_are_there_more_than_once)
{
    enum { M = 5, T = 6, d = 7 };
    const wn_logit_rule rule = {true, 0, 0.01};
    struct rows r = make(d, T, 1, 3);
    uint8_t member[M * T];
    double w[M * d], two[M * d], *weight = wn_calloc(r.d.N, sizeof *weight);
    wn_logit *l;
    random_members(member, M, T, 1);
    for (uint64_t i = 0; i < r.d.N; i++)
        weight[i] = 2;
    ok(wn_logit_new(&l, &r.d, &rule));
    ok(wn_logit_fit(w, NULL, l, member, M, NULL, false));
    ok(wn_logit_fit(two, NULL, l, member, M, weight, false));
    for (size_t i = 0; i < M * d; i++)
        cr_assert_float_eq(two[i], w[i], 1e-6);
    for (uint64_t i = 0; i < r.d.N; i++)
        weight[i] = (double)(i % 4);
    ok(wn_logit_fit(two, NULL, l, member, M, weight, true));
    for (size_t j = 0; j < M; j++)
        check_optimum(&r, &rule, member + j * T, weight, two + j * d, 1e-10);
    wn_logit_free(l);
    wn_free(weight);
    drop(&r);
}

Test(logit, a_column_depends_on_nothing_but_its_subset)
{
    enum { M = 200, T = 9, d = 11 };
    const wn_logit_rule rule = {true, 0, 0.003};
    struct rows r = make(d, T, 1, 5);
    static uint8_t member[M * T];
    static double all[M * d], one[d];
    random_members(member, M, T, 2);
    for (int threads = 1; threads < 5; threads += 3) {
        wn_logit *l;
        wn_par_set_threads(threads);
        ok(wn_logit_new(&l, &r.d, &rule));
        static double again[M * d];
        ok(wn_logit_fit(again, NULL, l, member, M, NULL, false));
        if (threads == 1)
            memcpy(all, again, sizeof all);
        cr_assert_eq(memcmp(all, again, sizeof all), 0);
        for (size_t j = 0; j < M; j += 37) {
            ok(wn_logit_fit(one, NULL, l, member + j * T, 1, NULL, false));
            cr_assert_eq(memcmp(one, all + j * d, sizeof one), 0, "subset %zu", j);
        }
        wn_logit_free(l);
    }
    wn_par_set_threads(0);
    drop(&r);
}

/* Rows that one hyperplane divides: with a small ridge the kept Hessian is far off. */
Test(logit, fresh_hessians_where_the_kept_one_fails)
{
    enum { T = 3, d = 2 };
    struct rows r = make(d, T, 100, 8);
    const wn_logit_rule rule = {true, 0, 1e-7};
    const uint8_t member[] = {1, 1, 0, 0, 1, 0};
    double w[2 * d];
    wn_logit_fact fact[2];
    wn_logit *l;
    for (uint64_t i = 0; i < r.d.N * d; i++)
        r.x[i] = fabsf(r.x[i]);
    ok(wn_logit_new(&l, &r.d, &rule));
    ok(wn_logit_fit(w, fact, l, member, 2, NULL, false));
    for (size_t j = 0; j < 2; j++)
        check_optimum(&r, &rule, member + j * T, NULL, w + j * d, 1e-10);
    wn_logit_free(l);
    drop(&r);
}

Test(logit, loss_is_the_mean_of_the_rows_losses)
{
    enum { M = 100, T = 8, d = 5 };
    struct rows r = make(d, T, 1, 9);
    static double w[M * (d + 2)], loss[M];
    for (size_t i = 0; i < M * (d + 2); i++)
        w[i] = wn_rng_normal(1, 5, i);
    ok(wn_logit_loss(loss, &r.d, w, d + 2, M, NULL));
    uint8_t member[T];
    double g[d];
    memset(member, 1, T);
    for (size_t j = 0; j < M; j++) {
        const wn_logit_rule rule = {true, 0, 0};
        double want = phi(g, &r.d, &rule, member, NULL, w + j * (d + 2));
        cr_assert_float_eq(loss[j], want, 1e-12 * want, "%zu: %.17g, %.17g", j, loss[j], want);
    }
    drop(&r);
}

Test(dense64, factor_and_solve)
{
    for (size_t D = 1; D < 40; D += 3) {
        double x[40], y[40], u[1600], full[1600] = {0}, *h = wn_calloc(wn_tri_size(D), sizeof *h);
        for (size_t q = 0; q < 50; q++)
            for (size_t i = 0; i < D; i++)
                for (size_t j = 0; j < D; j++)
                    full[i * D + j] += wn_rng_normal(q, 1, i) * wn_rng_normal(q, 1, j);
        for (size_t i = 0; i < D; i++) {
            x[i] = wn_rng_normal(7, 2, i);
            for (size_t j = i; j < D; j++)
                h[wn_tri_at(j / 8) + i * 8 + j % 8] = full[i * D + j];
        }
        cr_assert(wn_chol64(u, h, 0.5, 0.25, D));
        memcpy(y, x, sizeof x);
        wn_chol64_solve(y, u, D);
        for (size_t i = 0; i < D; i++) {
            double back = 0.25 * y[i];
            for (size_t j = 0; j < D; j++)
                back += 0.5 * full[i * D + j] * y[j];
            cr_assert_float_eq(back, x[i], 1e-10);
        }
        cr_assert_not(wn_chol64(u, h, -1, 0, D));
        wn_free(h);
    }
}
