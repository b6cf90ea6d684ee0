/* All pairs of vectors over a cosine: against every pair one by one. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"
#include "base/sets.h"
#include "io/file.h"
#include "kernel/kernel.h"
#include "select/pairs.h"

static char dir[64];

static void set_up(void)
{
    strcpy(dir, "/tmp/wn_pairs_XXXXXX");
    cr_assert(mkdtemp(dir));
}

static void tear_down(void)
{
    wn_remove_tree(dir);
    cr_assert_eq(wn_mem_live(), 0, "%zu bytes leaked", wn_mem_live());
}

/* A store of the rows of v [n, D]. */
static wn_store *store_of(const char *name, const char *dtype, const float *v, uint64_t n, size_t D)
{
    char path[128], id[32];
    wn_store_writer *w;
    wn_store *s;
    uint64_t done;
    json_t *m = json_pack("{s:s}", "kind", "imported");
    snprintf(path, sizeof path, "%s/%s", dir, name);
    cr_assert_eq(wn_store_writer_open(&w, path, m, D, &(wn_store_layout){dtype, 1}, true, &done),
                 WN_OK, "%s", wn_error_text());
    for (uint64_t r = 0; r < n; r++) {
        snprintf(id, sizeof id, "r%d", (int)r);
        cr_assert_eq(
            wn_store_writer_add(
                w, &(wn_store_row){.vector = v + r * D, .id = {id, strlen(id)}, .task = {"t", 1}}),
            WN_OK);
    }
    cr_assert_eq(wn_store_writer_finish(w, NULL), WN_OK);
    json_decref(m);
    cr_assert_eq(wn_store_open(&s, path), WN_OK);
    return s;
}

static double cosine(const wn_store *s, uint64_t i, const wn_store *t, uint64_t j)
{
    size_t D = wn_store_dim(s);
    const float *x = wn_store_vector(s, i), *y = wn_store_vector(t, j);
    double xx = wn_dot64(x, x, D), yy = wn_dot64(y, y, D);
    return xx > 0 && yy > 0 ? wn_dot64(x, y, D) / sqrt(xx * yy) : 0;
}

/* Clusters of all tightnesses, so that many pairs lie close to any threshold; copies, scaled
 * copies, zeros, huge and tiny rows. */
static void make_vectors(float *v, uint64_t n, size_t D, uint64_t seed)
{
    for (uint64_t r = 0; r < n; r++) {
        uint64_t centre = wn_rng_u64(seed, 1, r) % (n / 20 + 1);
        double spread = wn_rng_uniform(seed, 2, r) * 0.5;
        float scale = r % 7 == 0 ? 1e15f : r % 7 == 1 ? 1e-18f : 1;
        for (size_t i = 0; i < D; i++)
            v[r * D + i] = scale * (float)(wn_rng_normal(seed, 3, centre * D + i) +
                                           spread * wn_rng_normal(seed, 4, r * D + i));
        if (r % 50 == 49)
            for (size_t i = 0; i < D; i++)
                v[r * D + i] = 3 * v[(r / 2) * D + i];
        if (r % 101 == 100)
            memset(v + r * D, 0, D * sizeof *v);
    }
}

static void expect_groups(const wn_store *s, const uint64_t *row, uint64_t n, double least)
{
    uint64_t *first = wn_calloc(n + 1, sizeof *first), joined = 0;
    double *score = wn_calloc(n + 1, sizeof *score);
    wn_sets want;
    cr_assert_eq(wn_sets_init(&want, n), WN_OK);
    cr_assert_eq(wn_vector_groups(first, score, s, row, n, least), WN_OK, "%s", wn_error_text());
    for (uint64_t i = 0; i < n; i++)
        for (uint64_t j = i + 1; j < n; j++)
            if (cosine(s, row ? row[i] : i, s, row ? row[j] : j) >= least)
                joined += wn_sets_join(&want, (uint32_t)i, (uint32_t)j);
    cr_assert(n == 1 || least == 1 || joined > 20, "%d joins of %d prove little", (int)joined,
              (int)n);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t f = wn_sets_first(&want, (uint32_t)i);
        cr_assert_eq(first[i], f, "row %d at %g: group %d, not %d", (int)i, least, (int)first[i],
                     (int)f);
        double c = f == i ? 1 : cosine(s, row ? row[i] : i, s, row ? row[f] : f);
        cr_assert_eq(score[i], c);
    }
    wn_sets_free(&want);
    wn_free(first);
    wn_free(score);
}

Test(pairs, groups_are_those_of_every_pair, .init = set_up, .fini = tear_down, .timeout = 120)
{
    static const struct {
        uint64_t n;
        size_t D;
        const char *dtype;
    } c[] = {{1, 3, "f32"}, {700, 8, "f32"}, {500, 33, "int8"}, {300, 100, "bf16"}};
    static const char *const kernels[] = {NULL, "ref", "avx2"};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++)
        for (int k = 0; k < 3; k++) {
            float *v = wn_malloc(c[i].n * c[i].D * sizeof *v);
            make_vectors(v, c[i].n, c[i].D, i);
            for (uint64_t r = 0; strcmp(c[i].dtype, "f32") != 0 && r < c[i].n * c[i].D; r++)
                v[r] = fminf(fmaxf(v[r], -1e15f), 1e15f);
            wn_kernel_use(kernels[k]);
            wn_store *s = store_of("s", c[i].dtype, v, c[i].n, c[i].D);
            if (c[i].n > 1)
                for (double least = 0.8; least < 0.999; least += 0.0493)
                    expect_groups(s, NULL, c[i].n, least);
            expect_groups(s, NULL, c[i].n, 1);
            wn_store_close(s);
            wn_free(v);
        }
    wn_kernel_use(NULL);
}

/* More rows than a block: the borders between blocks and pieces, and lists in any order. */
Test(pairs, many_rows_and_any_threads, .init = set_up, .fini = tear_down, .timeout = 120)
{
    enum { N = 9000, D = 6 };
    float *v = wn_malloc(N * D * sizeof *v);
    uint64_t *row = wn_calloc(N, sizeof *row), *first = wn_calloc(N, sizeof *first);
    uint64_t *again = wn_calloc(N, sizeof *again);
    double *score = wn_calloc(N, sizeof *score);
    make_vectors(v, N, D, 7);
    wn_store *s = store_of("s", "f32", v, N, D);
    expect_groups(s, NULL, N, 0.9993);
    for (uint64_t i = 0; i < N; i++)
        row[i] = N - 1 - i;
    expect_groups(s, row, N / 4, 0.999);
    cr_assert_eq(wn_vector_groups(first, score, s, NULL, N, 0.99), WN_OK);
    for (int t = 1; t < 8; t += 3) {
        wn_par_set_threads(t);
        cr_assert_eq(wn_vector_groups(again, score, s, NULL, N, 0.99), WN_OK);
        cr_assert_eq(memcmp(first, again, N * sizeof *first), 0, "%d threads", t);
    }
    wn_par_set_threads(0);
    wn_store_close(s);
    wn_free(v);
    wn_free(row);
    wn_free(first);
    wn_free(again);
    wn_free(score);
}

Test(pairs, nearest_is_the_best_of_all, .init = set_up, .fini = tear_down, .timeout = 120)
{
    enum { N = 1500, M = 5000, D = 7 };
    float *v = wn_malloc((N + M) * D * sizeof *v);
    uint64_t *at = wn_calloc(N, sizeof *at), found = 0;
    double *score = wn_calloc(N, sizeof *score);
    make_vectors(v, N + M, D, 9);
    memcpy(v + (N + M - 1) * D, v + (N + 10) * D, D * sizeof *v); /* a tie in another block */
    wn_store *s = store_of("s", "f32", v, N, D);
    wn_store *t = store_of("t", "f32", v + N * D, M, D);
    cr_assert_eq(wn_vector_nearest(at, score, s, NULL, N, t, 0.97), WN_OK, "%s", wn_error_text());
    for (uint64_t i = 0; i < N; i++) {
        uint64_t best = UINT64_MAX;
        double top = 0;
        for (uint64_t j = 0; j < M; j++) {
            double c = cosine(s, i, t, j);
            if (c >= 0.97 && (best == UINT64_MAX || c > top)) {
                best = j;
                top = c;
            }
        }
        cr_assert_eq(at[i], best, "row %d", (int)i);
        cr_assert_eq(score[i], top);
        found += best != UINT64_MAX;
    }
    cr_assert(found > N / 20 && found < N);
    wn_store_close(s);
    wn_store_close(t);
    wn_free(v);
    wn_free(at);
    wn_free(score);
}

Test(pairs, refusals, .init = set_up, .fini = tear_down)
{
    float v[6] = {1, 2, NAN, 4, 5, 6};
    uint64_t first[3];
    double score[3];
    wn_store *s = store_of("s", "f32", v, 3, 2);
    cr_assert_eq(wn_vector_groups(first, score, s, NULL, 3, 0.9), WN_EFORMAT);
    cr_assert(strstr(wn_error_text(), "row r1 holds NaN or infinity"), "%s", wn_error_text());
    cr_assert_eq(wn_vector_groups(first, score, s, NULL, 3, 1.5), WN_EARG);
    cr_assert_eq(wn_vector_groups(first, score, s, (uint64_t[]){0, 2}, 2, 0.9), WN_OK);
    cr_assert_eq(first[1], 0);
    wn_store_close(s);
}
