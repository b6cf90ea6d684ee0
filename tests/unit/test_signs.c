/* Signs: one definition, whatever makes them; products with them against plain sums. */
#include "base/mem.h"
#include "base/rng.h"
#include "kernel/table.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

/* The definition of kernel.h, word for word. */
static int defined_sign(uint64_t seed, uint64_t k, size_t j)
{
    uint64_t index = (k / 32) << 16 | (j / 64 * 16 + j % 16);
    uint32_t ctr[4] = {(uint32_t)index, (uint32_t)(index >> 32), WN_STREAM_PROJECT, 0}, out[4];
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    wn_philox(out, ctr, key);
    return out[j % 64 / 16] >> k % 32 & 1 ? 1 : -1;
}

static const char *const tables[] = {"ref", "avx2", "avx512"};

Test(signs, are_what_the_header_says)
{
    const wn_signs s = {.seed = UINT64_C(0x123456789abcdef), .stream = WN_STREAM_PROJECT, .R = 300};
    static const uint64_t rows[] = {0, 1, 31, 32, 33, 1000, UINT64_C(5000000000)};
    for (int t = 0; t < 3; t++) {
        wn_kernel_use(tables[t]);
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
            for (size_t j = 0; j < 300; j += 7)
                cr_assert_eq(wn_sign(&s, rows[i], j), defined_sign(s.seed, rows[i], j),
                             "%s %llu %zu", tables[t], (unsigned long long)rows[i], j);
    }
    wn_kernel_use(NULL);
}

Test(signs, are_fair_and_columns_differ)
{
    const wn_signs s = {.seed = 3, .stream = WN_STREAM_PROJECT, .R = 70};
    enum { ROWS = 4096 };
    for (size_t j = 0; j < s.R; j++) {
        int sum = 0, next = 0;
        for (uint64_t k = 0; k < ROWS; k++) {
            sum += wn_sign(&s, k, j);
            next += wn_sign(&s, k, j) * wn_sign(&s, k, (j + 1) % s.R);
        }
        cr_assert_lt(abs(sum), 5 * 64, "column %zu: sum %d", j, sum);
        cr_assert_lt(abs(next), 5 * 64, "columns %zu and next: %d", j, next);
    }
}

static float *noise(uint64_t seed, size_t n)
{
    float *x = wn_malloc(n * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)wn_rng_normal(seed, WN_STREAM_TEST, i);
    return x;
}

static void check_products(size_t M, size_t n, size_t R, uint64_t first, const uint32_t *word)
{
    const wn_signs s = {.seed = 9, .stream = WN_STREAM_PROJECT, .R = R, .word = word};
    size_t ld = n + 3, ldc = R + 5;
    float *g = noise(1, M * ld), *c = noise(2, M * ldc), *was = noise(2, M * ldc);
    float *w = noise(3, M * ldc), *out = noise(4, M * ld);
    wn_signs_add(c, ldc, g, ld, M, n, &s, first);
    wn_signs_back(out, ld, w, ldc, M, n, &s, first);
    for (size_t m = 0; m < M; m++) {
        for (size_t j = 0; j < ldc; j++) {
            double sum = 0, size = 0;
            for (size_t i = 0; i < n && j < R; i++) {
                sum += (double)g[m * ld + i] * wn_sign(&s, first + i, j);
                size += fabs((double)g[m * ld + i]);
            }
            cr_assert_lt(fabs(was[m * ldc + j] + sum - c[m * ldc + j]), 1e-6 * (1 + size),
                         "%zu rows, element %zu %zu", n, m, j);
        }
        for (size_t i = 0; i < n; i++) {
            double sum = 0;
            for (size_t j = 0; j < R; j++)
                sum += (double)w[m * ldc + j] * wn_sign(&s, first + i, j);
            cr_assert_lt(fabs(sum - out[m * ld + i]), 1e-5 * (1 + R), "back %zu %zu: %g not %g", m,
                         i, out[m * ld + i], sum);
        }
    }
    wn_free(g), wn_free(c), wn_free(was), wn_free(w), wn_free(out);
}

Test(signs, products_equal_plain_sums)
{
    for (int t = 0; t < 3; t++) {
        wn_kernel_use(tables[t]);
        check_products(1, 1, 1, 0, NULL);
        check_products(2, 40, 16, 31, NULL);
        check_products(3, 777, 100, 5, NULL);
        check_products(13, 65, 129, 1 << 20, NULL);
        check_products(1, 900, 33, 32, NULL);
        check_products(130, 20, 70, 7, NULL);
        check_products(2, 50, 600, 3, NULL);
    }
    wn_kernel_use(NULL);
}

Test(signs, stored_words)
{
    uint32_t word[40 * 70];
    for (size_t i = 0; i < sizeof word / sizeof *word; i++)
        word[i] = (uint32_t)wn_rng_u64(1, WN_STREAM_TEST, i);
    const wn_signs s = {.R = 70, .word = word};
    cr_assert_eq(wn_sign(&s, 33, 69), word[70 + 69] >> 1 & 1 ? 1 : -1);
    check_products(3, 1200, 70, 40, word);
}

/* One row's products do not know of the others, nor of where the rows are cut. */
Test(signs, rows_are_independent)
{
    const wn_signs s = {.seed = 1, .stream = WN_STREAM_PROJECT, .R = 100};
    enum { M = 17, N = 500 };
    float *g = noise(1, M * N), *all = wn_calloc(M * 100, sizeof *all);
    wn_signs_add(all, 100, g, N, M, N, &s, 11);
    for (size_t m = 0; m < M; m++) {
        float one[100] = {0};
        wn_signs_add(one, 100, g + m * N, N, 1, N, &s, 11);
        cr_assert_eq(memcmp(one, all + m * 100, sizeof one), 0, "row %zu", m);
    }
    wn_free(g), wn_free(all);
}

static float rounded(float x, bool bf16)
{
    if (bf16)
        wn_round_bf16(&x, 1);
    return x;
}

static void check_outer(size_t n, size_t m, size_t T, bool bf16)
{
    size_t ld = m + 2;
    float scale = bf16 ? 1 : 0.5f;
    float *dy = noise(1, T * (n + 1)), *x = noise(2, T * (m + 3)), *G = noise(3, n * ld);
    float *was = noise(3, n * ld);
    wn_outer(G, ld, scale, dy, n + 1, x, m + 3, n, m, T, bf16);
    for (size_t k = 0; k < n * ld; k++) {
        double s = 0;
        for (size_t r = 0; r < T && k % ld < m; r++)
            s += scale * (double)rounded(dy[r * (n + 1) + k / ld], bf16) *
                 (double)rounded(x[r * (m + 3) + k % ld], bf16);
        cr_assert_float_eq(G[k], k % ld < m ? s : was[k], 1e-4 * sqrt((double)T), "%zu %zu: %zu", n,
                           m, k);
    }
    wn_free(dy), wn_free(x), wn_free(G), wn_free(was);
}

Test(outer, equals_plain_sums)
{
    static const size_t shape[][3] = {{1, 1, 1},    {3, 20, 5},    {200, 140, 7}, {13, 33, 800},
                                      {400, 8, 50}, {129, 1, 400}, {8, 576, 30}};
    for (int t = 0; t < 3; t++) {
        wn_kernel_use(t ? tables[t] : "amx"); /* ref where there is none */
        for (size_t i = 0; i < 2 * sizeof shape / sizeof *shape; i++)
            check_outer(shape[i / 2][0], shape[i / 2][1], shape[i / 2][2], i % 2);
    }
    wn_kernel_use(NULL);
}

static float value(const float *z, size_t V, size_t label, float cap)
{
    double s = 0;
    for (size_t j = 0; j < V; j++)
        if (j != label)
            s += exp(cap > 0 ? cap * tanh((double)z[j] / cap) : (double)z[j]);
    return (float)((cap > 0 ? cap * tanh((double)z[label] / cap) : (double)z[label]) - log(s));
}

Test(margins, equal_their_formula_and_its_differences)
{
    enum { P = 3, V = 37 };
    for (int cap = 0; cap < 2; cap++) {
        float softcap = cap ? 3.0f : 0, z[P * V], was[P * V], nll[P], want[P], m[P], rest[P],
              lse[P];
        const int32_t label[P] = {0, 36, 17};
        const float weight[P] = {1, 0.5f, -2};
        for (int i = 0; i < P * V; i++)
            was[i] = z[i] = 2 * (float)wn_rng_normal(5, WN_STREAM_TEST, (uint64_t)i);
        float copy[P * V];
        memcpy(copy, z, sizeof z);
        wn_softmax_nll(want, lse, copy, label, P, V, softcap);
        wn_softmax_margin(nll, m, rest, z, label, P, V, softcap);
        cr_assert_eq(memcmp(nll, want, sizeof nll), 0);
        for (int p = 0; p < P; p++) {
            cr_assert_float_eq(m[p], value(was + p * V, V, (size_t)label[p], softcap), 2e-5);
            cr_assert_float_eq(m[p], -log(expm1((double)nll[p])), 2e-5);
        }
        wn_softmax_margin_back(z, rest, label, weight, P, V, softcap);
        for (int i = 0; i < P * V; i++) {
            int p = i / V;
            float at = was[i], up, down;
            was[i] = at + 1e-2f;
            up = value(was + p * V, V, (size_t)label[p], softcap);
            was[i] = at - 1e-2f;
            down = value(was + p * V, V, (size_t)label[p], softcap);
            was[i] = at;
            cr_assert_float_eq(z[i], weight[p] * (up - down) / 2e-2f, 1e-3, "%d: %g", i, z[i]);
        }
    }
}

/* Probabilities that floats round to 1 and to 0 still have exact margins. */
Test(margins, of_sure_and_hopeless_labels)
{
    float z[8] = {60, 0, 0, 0, 0, 60, 60, 0}, nll[2], m[2], rest[2];
    const int32_t label[2] = {0, 0};
    const float weight[2] = {1, 1};
    wn_softmax_margin(nll, m, rest, z, label, 2, 4, 0);
    cr_assert_float_eq(m[0], 60 - log(3), 1e-5);
    cr_assert_float_eq(m[1], -60 - log(2), 1e-5);
    wn_softmax_margin_back(z, rest, label, weight, 2, 4, 0);
    cr_assert_float_eq(z[0], 1, 1e-6);
    cr_assert_float_eq(z[1], -1.0 / 3, 1e-6);
    cr_assert_float_eq(z[5], -0.5, 1e-6);
}
