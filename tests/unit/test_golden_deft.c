/* deft's union, hit counts, trimming and mix of tasks against NumPy in float64
 * (tests/goldens/deft.py), on vectors with ties and duplicates. */
#include <math.h>

#include "base/par.h"
#include "io/json.h"
#include "store/store.h"
#include "winnow.h"
#include "test_folder.h"

static json_t *golden;

static void make_store(const char *name, const json_t *rows, const char *prefix)
{
    wn_store_writer *w;
    uint64_t done;
    size_t N = json_array_size(rows), D = json_array_size(json_array_get(rows, 0));
    json_t *m = json_pack("{s:s}", "kind", "imported");
    float *v = wn_calloc(D, sizeof *v);
    ok(wn_store_writer_open(&w, at(name), m, D, NULL, true, &done));
    for (size_t i = 0; i < N; i++) {
        char id[32], task[32];
        snprintf(id, sizeof id, "%s%zu", prefix, i);
        snprintf(task, sizeof task, "t%zu", i % 7);
        for (size_t d = 0; d < D; d++)
            v[d] = (float)json_integer_value(json_array_get(json_array_get(rows, i), (size_t)d));
        ok(wn_store_writer_add(w, &(wn_store_row){.vector = v,
                                                  .id = {id, strlen(id)},
                                                  .task = {task, strlen(task)},
                                                  .tokens = 10 + (uint32_t)i % 7,
                                                  .loss = NAN,
                                                  .margin = NAN}));
    }
    ok(wn_store_writer_finish(w, NULL));
    wn_free(v);
    json_decref(m);
}

static void open_golden(void)
{
    set_up();
    const char *root = getenv("WN_TEST_ROOT");
    char path[4096];
    snprintf(path, sizeof path, "%s/tests/goldens/deft.json", root ? root : ".");
    ok(wn_json_load(&golden, path));
    make_store("s", json_object_get(golden, "rows"), "r");
    make_store("q", json_object_get(golden, "queries"), "q");
}

static void close_golden(void)
{
    json_decref(golden);
    tear_down();
}

TestSuite(golden_deft, .init = open_golden, .fini = close_golden);

static long long whole(const json_t *o, const char *key)
{
    return (long long)json_integer_value(json_object_get(o, key));
}

static void expect_pick(const char *line, size_t len, const json_t *want, const char *what)
{
    json_t *row;
    char id[32], query[32];
    ok(wn_json_parse(&row, line, len, what));
    snprintf(id, sizeof id, "r%lld", (long long)json_integer_value(json_array_get(want, 0)));
    snprintf(query, sizeof query, "q%lld", (long long)json_integer_value(json_array_get(want, 2)));
    cr_expect_str_eq(json_string_value(json_object_get(row, "id")), id, "%s", what);
    cr_expect_eq(whole(row, "hits"), json_integer_value(json_array_get(want, 1)), "%s %s", what,
                 id);
    cr_expect_str_eq(json_string_value(json_object_get(row, "query")), query, "%s %s", what, id);
    cr_expect_eq(whole(row, "rank"), json_integer_value(json_array_get(want, 3)), "%s %s", what,
                 id);
    cr_expect_eq(json_number_value(json_object_get(row, "score")),
                 json_number_value(json_array_get(want, 4)), "%s %s", what, id);
    json_decref(row);
}

static void expect_picks(const json_t *c, const char *what)
{
    const json_t *picks = json_object_get(c, "picks");
    char *text;
    size_t len, n = 0;
    ok(wn_file_read(&text, &len, at("chosen.jsonl"), 1 << 24));
    for (char *p = text, *end; p < text + len; p = end + 1, n++) {
        end = strchr(p, '\n');
        cr_assert_lt(n, json_array_size(picks), "%s: more rows than %zu", what, n);
        expect_pick(p, (size_t)(end - p), json_array_get(picks, n), what);
    }
    cr_expect_eq(n, json_array_size(picks), "%s: %zu rows", what, n);
    wn_free(text);
}

/* Shares of the tasks, and how they shift with k; struck-out duplicates do not take part. */
static void expect_mix(const json_t *m, const json_t *c, const char *what)
{
    const json_t *want = json_object_get(c, "by_k"), *by_k = json_object_get(m, "by_k");
    const json_t *shares = json_object_get(m, "shares");
    double sum = 0, pool = 0;
    for (size_t i = 0; i < json_array_size(want); i++) {
        const json_t *w = json_array_get(want, i), *g = json_array_get(by_k, i);
        double rows = json_number_value(json_array_get(w, 1));
        cr_expect_eq(whole(g, "k"), json_integer_value(json_array_get(w, 0)), "%s", what);
        cr_expect_eq((double)whole(g, "rows"), rows, "%s: k %lld", what, whole(g, "k"));
        const json_t *of = json_object_get(g, "shares");
        for (size_t j = 0; j < json_array_size(of); j++) { /* task tN is the N-th */
            const json_t *one = json_array_get(of, j);
            const char *name = json_string_value(json_object_get(one, "task"));
            cr_expect_str_eq(name,
                             json_string_value(json_object_get(json_array_get(shares, j), "task")));
            cr_expect_float_eq(
                json_number_value(json_object_get(one, "share")),
                json_number_value(json_array_get(json_array_get(w, 2), (size_t)atoi(name + 1))) /
                    rows,
                1e-12, "%s: k %lld %s", what, whole(g, "k"), name);
        }
    }
    for (size_t i = 0; i < json_array_size(shares); i++) {
        const json_t *s = json_array_get(shares, i);
        sum += json_number_value(json_object_get(s, "share"));
        pool += json_number_value(json_object_get(s, "pool_share"));
        if (i)
            cr_expect_leq(whole(s, "rows"), whole(json_array_get(shares, i - 1), "rows"));
    }
    cr_expect_float_eq(sum, 1, 1e-9, "%s", what);
    cr_expect_leq(pool, 1 + 1e-9);
}

Test(golden_deft, equal_to_numpy)
{
    size_t i;
    json_t *c;
    json_array_foreach(json_object_get(golden, "cases"), i, c)
    {
        char what[128];
        const char *metric = json_string_value(json_object_get(c, "metric"));
        snprintf(what, sizeof what, "%s k %lld budget %lld tokens %lld", metric, whole(c, "k"),
                 whole(c, "budget"), whole(c, "budget_tokens"));
        wn_par_set_threads(1 + (int)i % 3);
        ok(wn_select_job(&(wn_select_opts){.common = {.out = at("chosen.jsonl"), .overwrite = true},
                                           .strategy = "deft",
                                           .store = at("s"),
                                           .queries = at("q"),
                                           .metric = metric,
                                           .dedup = "none",
                                           .k = (size_t)whole(c, "k"),
                                           .budget = (uint64_t)whole(c, "budget"),
                                           .budget_tokens = (uint64_t)whole(c, "budget_tokens")}));
        json_t *m;
        ok(wn_json_load(&m, at("chosen.jsonl.manifest.json")));
        const json_t *lists = json_object_get(m, "lists");
        cr_expect_eq(whole(lists, "hits_a_query"), whole(c, "used"), "%s", what);
        cr_expect_eq(json_is_true(json_object_get(lists, "best_only")),
                     json_is_true(json_object_get(c, "best_only")), "%s", what);
        expect_picks(c, what);
        expect_mix(m, c, what);
        json_decref(m);
    }
    wn_par_set_threads(0);
    cr_expect_gt(i, 60);
}
