/* Estimates of subsets through wn_estimate_job: against scikit-learn's liblinear and a float64
 * Newton of NumPy (tests/goldens/gradex.py), and what must not change them. */
#include <math.h>

#include "base/par.h"
#include "base/rng.h"
#include "select/groups.h"
#include "store/store.h"
#include "test_folder.h"

TestSuite(estimate, .init = set_up, .fini = tear_down);

static const char *golden(const char *name)
{
    static char path[8][512];
    static int n;
    const char *root = getenv("WN_TEST_ROOT");
    char *p = path[n++ % 8];
    snprintf(p, 512, "%s/tests/goldens/gradex/%s", root ? root : ".", name);
    return p;
}

static void import_golden(const char *name)
{
    char npy[32], ids[32];
    snprintf(npy, sizeof npy, "%s.npy", name);
    snprintf(ids, sizeof ids, "%s.jsonl", name);
    ok(wn_import_job(
        &(wn_import_opts){.common = {.out = at(name)}, .file = golden(npy), .ids = golden(ids)}));
}

/* The lines of a file as an array. */
static json_t *lines_of(const char *path)
{
    wn_lines *l;
    wn_span line;
    wn_err err = WN_OK;
    json_t *all = json_array(), *v;
    ok(wn_lines_open(&l, path));
    while (wn_lines_next(l, &line, &err)) {
        ok(wn_json_parse(&v, line.p, line.len, path));
        json_array_append_new(all, v);
    }
    ok(err);
    wn_lines_close(l);
    return all;
}

static double number(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    cr_assert(json_is_number(v), "%s", key);
    return json_number_value(v);
}

static void write_subsets(const json_t *subsets)
{
    wn_str s = {0};
    for (size_t i = 0; i < json_array_size(subsets); i++) {
        ok(wn_json_dump(&s, json_array_get(subsets, i), 0, false));
        wn_str_putc(&s, '\n');
    }
    ok(wn_file_write(at("subsets"), s.p, s.len));
    wn_str_free(&s);
}

Test(estimate, equals_the_references)
{
    json_t *want;
    ok(wn_json_load(&want, golden("expected.json")));
    import_golden("rows");
    import_golden("target");
    write_subsets(json_object_get(want, "subsets"));
    size_t i, k;
    json_t *c;
    json_array_foreach(json_object_get(want, "cases"), i, c)
    {
        const json_t *how = json_object_get(c, "options");
        wn_estimate_opts o = {.common = {.out = at("out"), .overwrite = true},
                              .store = at("rows"),
                              .target = at("target"),
                              .subsets = at("subsets")};
        o.how.mode = json_string_value(json_object_get(how, "mode"));
        o.how.ridge = json_string_value(json_object_get(how, "ridge"));
        o.how.c = json_number_value(json_object_get(how, "c"));
        o.how.step_size = json_number_value(json_object_get(how, "step_size"));
        ok(wn_estimate_job(&o));
        json_t *got = lines_of(at("out"));
        const json_t *estimate = json_object_get(c, "estimate"), *norm = json_object_get(c, "norm");
        cr_assert_eq(json_array_size(got), json_array_size(estimate));
        /* liblinear stops at a relative 1e-10 of its own measure */
        double tolerance = strcmp(o.how.mode, "ref") == 0 ? 2e-7 : 1e-8;
        for (k = 0; k < json_array_size(got); k++) {
            const json_t *g = json_array_get(got, k);
            double e = json_number_value(json_array_get(estimate, k)),
                   n = json_number_value(json_array_get(norm, k));
            cr_assert_float_eq(number(g, "estimate"), e, tolerance,
                               "case %zu, subset %zu: %.12g, "
                               "expected %.12g",
                               i, k, number(g, "estimate"), e);
            cr_assert_float_eq(number(g, "start"), number(want, "start"), 1e-12);
            if (json_object_get(g, "norm"))
                cr_assert_float_eq(number(g, "norm"), n, 100 * tolerance * (1 + n),
                                   "case %zu, "
                                   "subset %zu: |w| %.12g, expected %.12g",
                                   i, k, number(g, "norm"), n);
        }
        json_decref(got);
    }
    json_decref(want);
}

/* ---- stores of our own ---- */

enum { ROWS = 60, D = 5, TASKS = 4 };

/* Row i: id "rI", task "tI%4"; `order` says which row comes where, `copies` how often. */
static void make_store(const char *name, uint64_t seed, const size_t *order, int copies)
{
    wn_store_writer *w;
    uint64_t done;
    json_t *m = json_pack("{s:s}", "kind", "imported");
    ok(wn_store_writer_open(&w, at(name), m, D, NULL, true, &done));
    json_decref(m);
    for (int c = 0; c < copies; c++)
        for (size_t p = 0; p < ROWS; p++) {
            size_t i = order ? order[p] : p;
            float v[D];
            for (size_t k = 0; k < D; k++)
                v[k] = (float)(wn_rng_normal(seed, 1, i * D + k) +
                               wn_rng_normal(seed, 2, i % TASKS * D + k));
            char id[32], task[32];
            snprintf(id, sizeof id, "%sr%zu", c ? "copy of " : "", i);
            snprintf(task, sizeof task, "t%zu", i % TASKS);
            ok(wn_store_writer_add(w, &(wn_store_row){.vector = v,
                                                      .id = {id, strlen(id)},
                                                      .task = {task, strlen(task)},
                                                      .loss = NAN,
                                                      .margin = (float)wn_rng_normal(seed, 3, i)}));
        }
    ok(wn_store_writer_finish(w, NULL));
}

static char *run(const wn_estimate_opts *o)
{
    char *text;
    size_t len;
    wn_estimate_opts now = *o;
    now.common.out = at("out");
    now.common.overwrite = true;
    ok(wn_estimate_job(&now));
    ok(wn_file_read(&text, &len, at("out"), 1 << 24));
    return text;
}

static wn_estimate_opts standard(void)
{
    return (wn_estimate_opts){.store = at("g"), .target = at("v"), .random = 9, .share = 0.5};
}

Test(estimate, neither_order_nor_threads_change_a_byte)
{
    size_t order[ROWS];
    for (size_t i = 0; i < ROWS; i++)
        order[i] = (i * 37 + 11) % ROWS;
    make_store("g", 1, NULL, 1);
    make_store("v", 2, NULL, 1);
    static const char *const modes[] = {"clean", "ref", "step"};
    for (int m = 0; m < 4; m++) {
        wn_estimate_opts o = standard();
        o.how.mode = modes[m % 3];
        o.how.coin = m == 1;
        o.how.ridge = m == 3 ? "cv" : NULL;
        o.how.groups = m == 3 ? "cluster:7" : NULL;
        o.bootstrap = m == 1 ? 0 : 20;
        make_store("g", 1, NULL, 1);
        make_store("v", 2, NULL, 1);
        char *first = run(&o);
        make_store("g", 1, order, 1);
        make_store("v", 2, order, 1);
        for (int threads = 1; threads < 6; threads += 2) {
            wn_par_set_threads(threads);
            char *again = run(&o);
            cr_assert_str_eq(again, first);
            wn_free(again);
        }
        wn_par_set_threads(0);
        wn_free(first);
    }
}

Test(estimate, rows_that_are_there_twice_change_nothing)
{
    make_store("g", 1, NULL, 1);
    make_store("v", 2, NULL, 1);
    wn_estimate_opts o = standard();
    wn_free(run(&o));
    json_t *once = lines_of(at("out"));
    make_store("g", 1, NULL, 2);
    wn_free(run(&o));
    json_t *twice = lines_of(at("out"));
    for (size_t i = 0; i < 9; i++) {
        const json_t *a = json_array_get(once, i), *b = json_array_get(twice, i);
        cr_assert_float_eq(number(a, "estimate"), number(b, "estimate"), 1e-7);
        cr_assert_eq(2 * number(a, "rows"), number(b, "rows"));
    }
    json_decref(once);
    json_decref(twice);
}

Test(estimate, an_interval_holds_its_estimate)
{
    make_store("g", 1, NULL, 1);
    make_store("v", 2, NULL, 1);
    wn_estimate_opts o = standard();
    o.bootstrap = 200;
    wn_free(run(&o));
    json_t *got = lines_of(at("out"));
    for (size_t i = 0; i < 9; i++) {
        const json_t *g = json_array_get(got, i);
        cr_assert_lt(number(g, "low"), number(g, "estimate"));
        cr_assert_lt(number(g, "estimate"), number(g, "high"));
        cr_assert_lt(number(g, "high") - number(g, "low"), 3);
    }
    json_decref(got);
}

static void refused(const wn_estimate_opts *o, const char *part)
{
    wn_estimate_opts now = *o;
    now.common.out = at("no");
    cr_assert_neq(wn_estimate_job(&now), WN_OK);
    cr_assert(strstr(wn_error_text(), part), "\"%s\" does not hold \"%s\"", wn_error_text(), part);
    cr_assert_not(wn_file_exists(at("no")));
}

static void spoil(const char *name, size_t row, float vector, float margin)
{
    wn_store_writer *w;
    uint64_t done;
    json_t *m = json_pack("{s:s}", "kind", "imported");
    ok(wn_store_writer_open(&w, at(name), m, D, NULL, true, &done));
    json_decref(m);
    for (size_t i = 0; i < 4; i++) {
        float v[D] = {1, 2, i == row ? vector : 3, 4, 5};
        char id[8] = {'r', (char)('0' + i), 0};
        ok(wn_store_writer_add(w, &(wn_store_row){.vector = v,
                                                  .id = {id, 2},
                                                  .task = {"t", 1},
                                                  .loss = NAN,
                                                  .margin = i == row ? margin : 1}));
    }
    ok(wn_store_writer_finish(w, NULL));
}

static void of_kind(const char *name, const char *quantity, const char *sha)
{
    wn_store_writer *w;
    uint64_t done;
    float v[D] = {1};
    json_t *m = json_pack("{s:s, s:s, s:{s:s}}", "kind", "gradient", "quantity", quantity, "model",
                          "sha256", sha);
    ok(wn_store_writer_open(&w, at(name), m, D, NULL, true, &done));
    json_decref(m);
    ok(wn_store_writer_add(
        w, &(wn_store_row){.vector = v, .id = {"r", 1}, .task = {"t", 1}, .loss = 1, .margin = 1}));
    ok(wn_store_writer_finish(w, NULL));
}

Test(estimate, refuses_what_it_cannot_use)
{
    wn_estimate_opts o = standard();
    make_store("v", 2, NULL, 1);
    spoil("g", 2, NAN, 1);
    refused(&o, "row r2: its gradient holds NaN");
    spoil("g", 1, 3, NAN);
    refused(&o, "row r1: margin: expected a finite number, found none");
    make_store("g", 1, NULL, 1);
    spoil("v", 3, INFINITY, 1);
    refused(&o, "row r3: its gradient holds NaN or infinity");
    make_store("v", 2, NULL, 1);
    o.how.ridge = "0";
    refused(&o, "--ridge: expected a number above 0 or cv, found 0");
    o.how.ridge = NULL;
    o.how.groups = "cluster:61";
    refused(&o, "--groups cluster:61: expected a number of clusters from 1 to 60");
    o.how.groups = NULL;
    of_kind("g", "margin", "aa");
    of_kind("v", "margin", "bb");
    refused(&o, "model");
    of_kind("g", "loss", "bb");
    of_kind("v", "loss", "bb");
    refused(&o, "quantity: expected gradients of a margin, found loss");
}

Test(estimate, lines_of_names)
{
    make_store("g", 1, NULL, 1);
    wn_store *s;
    wn_groups g;
    wn_subsets sub = {0};
    static const char text[] =
        "t0\n\n[\"t1\", \"t3\"]\nt2 t0\n t1,t2 , t3\nt0\tt1\n[]\n{\"subset\": "
        "[\"t3\"], \"estimate\": 1}\n";
    static const uint8_t want[][TASKS] = {{1, 0, 0, 0}, {0, 1, 0, 1}, {1, 0, 1, 0}, {0, 1, 1, 1},
                                          {1, 1, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 1}};
    ok(wn_store_open(&s, at("g")));
    ok(wn_groups_make(&g, s, NULL, NULL, NULL, 0));
    ok(wn_file_write(at("subsets"), text, sizeof text - 1));
    ok(wn_subsets_read(&sub, &g, at("subsets")));
    cr_assert_eq(sub.M, 7);
    cr_assert_eq(memcmp(sub.member, want, sizeof want), 0);
    wn_subsets_free(&sub);
    static const char *const bad[][2] = {{"t0\nt9 t1\n", ":2: no group \"t9\""},
                                         {"t0 t1 t0\n", ":1: the group \"t0\" is there twice"},
                                         {"[1]\n", "expected names as strings"},
                                         {"\n", "expected a line of names a subset"}};
    for (int i = 0; i < 4; i++) {
        ok(wn_file_write(at("subsets"), bad[i][0], strlen(bad[i][0])));
        cr_assert_neq(wn_subsets_read(&sub, &g, at("subsets")), WN_OK);
        cr_assert(strstr(wn_error_text(), bad[i][1]), "%s", wn_error_text());
        wn_subsets_free(&sub);
    }
    wn_groups_free(&g);
    wn_store_close(s);
}

Test(estimate, random_subsets)
{
    make_store("g", 1, NULL, 1);
    wn_store *s;
    wn_groups g;
    wn_subsets all = {0}, late = {0};
    ok(wn_store_open(&s, at("g")));
    ok(wn_groups_make(&g, s, "kmeans:10", NULL, NULL, 3));
    ok(wn_subsets_draw(&all, &g, 2000, 0.35, 7, 0));
    ok(wn_subsets_draw(&late, &g, 10, 0.35, 7, 1990));
    cr_assert_eq(memcmp(all.member + 1990 * 10, late.member, 100), 0);
    size_t of[10] = {0};
    for (size_t m = 0; m < 2000; m++) {
        size_t size = 0;
        for (size_t t = 0; t < 10; t++) {
            size += all.member[m * 10 + t];
            of[t] += all.member[m * 10 + t];
        }
        cr_assert_eq(size, 3);
    }
    for (size_t t = 0; t < 10; t++) /* 600 +- 5 standard deviations of 20.5 */
        cr_assert(of[t] > 500 && of[t] < 700, "%zu: %zu", t, of[t]);
    wn_subsets_free(&all);
    wn_subsets_free(&late);
    wn_groups_free(&g);
    wn_store_close(s);
}

/* Average linkage of the plain kind: all pairs, closest first. */
static void plain_linkage(uint32_t *label, const wn_store *s, const uint64_t *row, size_t N,
                          uint32_t K)
{
    for (uint32_t i = 0; i < N; i++)
        label[i] = i;
    for (size_t left = N; left > K; left--) {
        double best = -2;
        uint32_t a = 0, b = 0;
        for (uint32_t x = 0; x < N; x++)
            for (uint32_t y = x + 1; y < N; y++) {
                double sum = 0, pairs = 0;
                for (size_t i = 0; i < N; i++)
                    for (size_t j = 0; j < N; j++) {
                        if (label[i] != x || label[j] != y)
                            continue;
                        const float *u = wn_store_vector(s, row[i]),
                                    *v = wn_store_vector(s, row[j]);
                        double uv = 0, uu = 0, vv = 0;
                        for (size_t k = 0; k < D; k++) {
                            uv += (double)u[k] * v[k];
                            uu += (double)u[k] * u[k];
                            vv += (double)v[k] * v[k];
                        }
                        sum += uv / sqrt(uu * vv);
                        pairs++;
                    }
                if (pairs && sum / pairs > best)
                    best = sum / pairs, a = x, b = y;
            }
        for (size_t i = 0; i < N; i++)
            label[i] = label[i] == b ? a : label[i];
    }
}

Test(estimate, clusters_are_those_of_average_linkage)
{
    enum { N = 24 };
    make_store("g", 5, NULL, 1);
    wn_store *s;
    uint64_t row[N];
    uint32_t got[N], want[N];
    ok(wn_store_open(&s, at("g")));
    for (size_t i = 0; i < N; i++)
        row[i] = 2 * i;
    for (uint32_t K = 1; K < 12; K += 5) {
        ok(wn_cluster_linkage(got, s, row, N, K));
        plain_linkage(want, s, row, N, K);
        for (size_t i = 0; i < N; i++)
            for (size_t j = 0; j < N; j++)
                cr_assert_eq(got[i] == got[j], want[i] == want[j], "K %u: %zu %zu", K, i, j);
    }
    wn_store_close(s);
}
