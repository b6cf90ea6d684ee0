/* Strategies on gradients and on words: cases small enough to be worked out by hand, and that no
 * result depends on threads. */
#include <math.h>

#include "base/par.h"
#include "base/rng.h"
#include "io/json.h"
#include "store/store.h"
#include "test_folder.h"

TestSuite(gradex, .init = set_up, .fini = tear_down);

/* Row i: vector, task of that name, margin; ids a, b, c, ... */
struct item {
    const char *task;
    float v[3], margin;
};

static void make_store(const char *name, const struct item *item, size_t n)
{
    wn_store_writer *w;
    uint64_t done;
    json_t *m = json_pack("{s:s}", "kind", "imported");
    ok(wn_store_writer_open(&w, at(name), m, 3, NULL, true, &done));
    json_decref(m);
    for (size_t i = 0; i < n; i++) {
        char id[2] = {(char)('a' + i), 0};
        ok(wn_store_writer_add(w, &(wn_store_row){.vector = item[i].v,
                                                  .id = {id, 1},
                                                  .task = {item[i].task, strlen(item[i].task)},
                                                  .loss = NAN,
                                                  .margin = item[i].margin}));
    }
    ok(wn_store_writer_finish(w, NULL));
}

/* "a b c" of the selection's ids, in the pool's order. */
static void expect(const wn_select_opts *o, const char *want)
{
    char *text;
    size_t len;
    wn_select_opts now = *o;
    wn_str ids = {0};
    now.common.out = at("sel");
    now.common.overwrite = true;
    ok(wn_select_job(&now));
    ok(wn_file_read(&text, &len, at("sel"), 1 << 24));
    for (char *p = text, *end; *p; p = end + 1) {
        json_t *row;
        end = strchr(p, '\n');
        ok(wn_json_parse(&row, p, (size_t)(end - p), "sel"));
        wn_str_printf(&ids, ids.len ? " %s" : "%s", json_string_value(json_object_get(row, "id")));
        json_decref(row);
    }
    cr_assert_str_eq(ids.p, want);
    wn_str_free(&ids);
    wn_free(text);
}

static json_t *about(void)
{
    json_t *m, *a;
    char path[160];
    snprintf(path, sizeof path, "%s.manifest.json", at("sel"));
    ok(wn_json_load(&m, path));
    a = json_incref(json_object_get(m, "about"));
    json_decref(m);
    return a;
}

/* The target wants more of the first direction. Tasks: "good" and "fine" go there, "bad" against
 * it, "idle" elsewhere. */
static const struct item rows[] = {
    {"bad", {-2, 0, 0}, 0}, {"bad", {-2, 1, 0}, 0}, {"fine", {1, 0, 1}, 0}, {"fine", {1, 0, -1}, 0},
    {"good", {3, 0, 0}, 0}, {"good", {3, 0, 1}, 0}, {"idle", {0, 1, 0}, 0}, {"idle", {0, 1, 1}, 0}};
static const struct item aim[] = {{"t", {1, 0, 0}, 0}, {"t", {2, 0, 0.25f}, 0.5f}};

static wn_select_opts gradex(const char *strategy)
{
    make_store("g", rows, 8);
    make_store("v", aim, 2);
    return (wn_select_opts){.strategy = strategy, .store = at("g"), .queries = at("v")};
}

Test(gradex, forward_selection_each_way)
{
    wn_select_opts o = gradex("gradex-fs");
    o.how.mode = "step";
    /* one pass by name: bad is first and kept; bad + fine is better; so is + good; + idle is not */
    expect(&o, "a b c d e f");
    json_t *a = about();
    cr_assert_str_eq(json_string_value(json_object_get(a, "search")), "pass");
    cr_assert_eq(json_integer_value(json_object_get(a, "estimates")), 4);
    cr_assert_eq(json_array_size(json_object_get(a, "steps")), 3);
    json_decref(a);
    o.search = "forward";
    expect(&o, "e f");
    o.search = "backward";
    expect(&o, "e f");
    o.search = "sideways";
    cr_assert_neq(wn_select_job(&o), WN_OK);
}

/* In mode step by hand: the step of a set is the mean of x / 2 over its rows (margins are 0), the
 * target's margins x 1 and 2 of its first number (and 1/4 of its third). */
Test(gradex, random_ensemble_by_hand)
{
    wn_select_opts o = gradex("gradex-re");
    o.how.mode = "step";
    o.share = 0.25; /* single tasks */
    o.subsets = 200;
    o.settle = 1;
    o.keep = 2;
    expect(&o, "c d e f");
    json_t *a = about(), *table = json_object_get(a, "table");
    static const char *const names[] = {"good", "fine", "idle", "bad"};
    static const double mean[][2] = {{1.5, 0.25}, {0.5, 0}, {0, 0.25}, {-1, 0}};
    for (size_t i = 0; i < 4; i++) {
        json_t *row = json_array_get(table, i);
        double m0 = mean[i][0], m1 = 0.5 + 2 * mean[i][0] + 0.25 * mean[i][1];
        double want = (log1p(exp(-m0)) + log1p(exp(-m1))) / 2;
        cr_assert_str_eq(json_string_value(json_object_get(row, "name")), names[i]);
        cr_assert_float_eq(json_number_value(json_object_get(row, "score")), want, 1e-12);
        cr_assert_eq(json_is_true(json_object_get(row, "chosen")), i < 2);
    }
    json_decref(a);
    o.keep = 0; /* good alone is best */
    expect(&o, "e f");
    o.below = 0.5;
    expect(&o, "c d e f");
    o.below = 1e-9;
    cr_assert_neq(wn_select_job(&o), WN_OK);
}

Test(gradex, budgets_take_from_every_chosen_group)
{
    wn_select_opts o = gradex("gradex-fs");
    char seen[8] = {0};
    o.search = "forward";
    o.how.mode = "step";
    o.budget = 1;
    for (o.common.seed = 0; o.common.seed < 20; o.common.seed++) {
        char *text;
        size_t len;
        o.common.out = at("sel");
        o.common.overwrite = true;
        ok(wn_select_job(&o));
        ok(wn_file_read(&text, &len, at("sel"), 1 << 20));
        json_t *row;
        ok(wn_json_parse(&row, text, len - 1, "sel"));
        seen[json_string_value(json_object_get(row, "id"))[0] - 'a'] = 1;
        json_decref(row);
        wn_free(text);
    }
    cr_assert_eq(memcmp(seen, "\0\0\0\0\1\1\0\0", 8), 0);
}

Test(gradex, a_settled_ranking_ends_the_drawing)
{
    wn_select_opts o = gradex("gradex-re");
    o.subsets = 100000;
    o.how.mode = "step";
    expect(&o, "e f");
    json_t *a = about();
    cr_assert_eq(json_integer_value(json_object_get(a, "subsets")), 4 * 96);
    cr_assert(json_is_true(json_object_get(a, "settled")));
    cr_assert_geq(json_number_value(json_object_get(a, "reliability")), 0.98);
    json_decref(a);
}

/* Means of unit queries: t1 (1, 0, 0), t2 (0, 0.8, 0.6). Cosines with them: a 0.6 0.64, b 0 1,
 * c 1 0, d -1 0, e 0 -1. */
static const struct item less_rows[] = {{"x", {3, 4, 0}, 0},
                                        {"x", {0, 8, 6}, 0},
                                        {"x", {7, 0, 0}, 0},
                                        {"x", {-1, 0, 0}, 0},
                                        {"x", {0, -0.8f, -0.6f}, 0}};
static const struct item less_aim[] = {{"t1", {2, 0, 0}, 0}, {"t2", {0, 4, 3}, 0}};

Test(gradex, less_takes_the_best_of_any_target_task)
{
    make_store("g", less_rows, 5);
    make_store("v", less_aim, 2);
    wn_select_opts o = {
        .strategy = "less", .store = at("g"), .queries = at("v"), .budget = 3, .dedup = "none"};
    expect(&o, "a b c");
    o.budget = 2;
    expect(&o, "b c"); /* both 1 */
    o.metric = "ip";   /* b: 8 * 4 + 6 * 3 = 50, a: 16, c: 14 */
    expect(&o, "a b");
    /* a second checkpoint of three times the weight that likes d, and where t2 likes nothing */
    struct item other[5];
    memcpy(other, less_rows, sizeof other);
    for (size_t i = 0; i < 5; i++)
        for (size_t k = 0; k < 3; k++)
            other[i].v[k] = -other[i].v[k];
    make_store("g2", other, 5);
    make_store("v2", less_aim, 2);
    char point[300];
    snprintf(point, sizeof point, "%s,%s,3", at("g2"), at("v2"));
    const char *const points[] = {point};
    o.metric = NULL;
    o.checkpoints = points;
    o.n_checkpoints = 1;
    expect(&o, "d e"); /* 0.25 * cos - 0.75 * cos: d and e 0.5, all others 0 or less */
    o.weight = 9;      /* 9/12 against 3/12 */
    expect(&o, "b c");
    make_store("g2", other, 4);
    cr_assert_neq(wn_select_job(&o), WN_OK);
    cr_assert(strstr(wn_error_text(), "expected the 5 rows of"), "%s", wn_error_text());
}

Test(gradex, threads_change_no_byte)
{
    enum { N = 300 };
    static struct item many[N];
    static const char *const tasks[] = {"p", "q", "r", "s", "t", "u", "v"};
    for (size_t i = 0; i < N; i++) {
        many[i] = (struct item){.task = tasks[i % 7]};
        for (size_t k = 0; k < 3; k++)
            many[i].v[k] =
                (float)(wn_rng_normal(1, 1, 3 * i + k) + wn_rng_normal(2, 1, 3 * (i % 7) + k));
        many[i].margin = (float)wn_rng_normal(3, 1, i);
    }
    wn_store_writer *w;
    uint64_t done;
    json_t *m = json_pack("{s:s}", "kind", "imported");
    ok(wn_store_writer_open(&w, at("g"), m, 3, NULL, true, &done));
    json_decref(m);
    for (size_t i = 0; i < N; i++) {
        char id[8];
        snprintf(id, sizeof id, "r%zu", i);
        ok(wn_store_writer_add(w, &(wn_store_row){.vector = many[i].v,
                                                  .id = {id, strlen(id)},
                                                  .task = {many[i].task, 1},
                                                  .loss = NAN,
                                                  .margin = many[i].margin}));
    }
    ok(wn_store_writer_finish(w, NULL));
    make_store("v", many, 20);
    static const char *const strategies[] = {"gradex-fs", "gradex-re", "less"};
    for (size_t s = 0; s < 3; s++) {
        char *first = NULL;
        for (int threads = 1; threads < 6; threads += 2) {
            char *text;
            size_t len;
            wn_par_set_threads(threads);
            wn_select_opts o = {.common = {.out = at("sel"), .overwrite = true},
                                .strategy = strategies[s],
                                .store = at("g"),
                                .queries = at("v"),
                                .budget = 50};
            ok(wn_select_job(&o));
            ok(wn_file_read(&text, &len, at("sel"), 1 << 24));
            if (first)
                cr_assert_str_eq(text, first, "%s", strategies[s]);
            wn_free(first);
            first = text;
        }
        wn_free(first);
    }
    wn_par_set_threads(0);
}

/* ---- words ---- */

static void write_rows(const char *name, const char *const *prompt, size_t n)
{
    wn_str s = {0};
    for (size_t i = 0; i < n; i++)
        wn_str_printf(&s,
                      "{\"id\": \"%c\", \"task\": \"t\", \"prompt\": \"%s\", \"target\": \"x\"}\n",
                      (int)('a' + i), prompt[i]);
    ok(wn_file_write(at(name), s.p, s.len));
    wn_str_free(&s);
}

/* Scores by hand for "red fox": N = 4, mean length 2.5; idf(red) = ln(1 + 2.5/2.5) (2 rows have
 * it), idf(fox) = ln(1 + 3.5/1.5) (1 row). */
Test(gradex, bm25_by_hand)
{
    static const char *const pool[] = {"Red red.", "the fox", "red sky at", "blue blue sea"};
    static const char *const queries[] = {"red FOX!"};
    write_rows("pool", pool, 4);
    write_rows("queries", queries, 1);
    wn_select_opts o = {
        .strategy = "bm25", .pool = at("pool"), .queries = at("queries"), .k = 4, .dedup = "none"};
    expect(&o, "a b c");
    char *text;
    size_t len;
    char path[160];
    snprintf(path, sizeof path, "%s.hits.jsonl", at("sel"));
    ok(wn_file_read(&text, &len, path, 1 << 20));
    json_t *hits, *one;
    ok(wn_json_parse(&hits, text, len - 1, path));
    one = json_object_get(hits, "hits");
    double red = log(2), fox = log(1 + 3.5 / 1.5), k1 = 0.9;
    const double want[] = {fox * 1.9 / (1 + k1 * (0.6 + 0.4 * 2 / 2.5)),
                           red * 2 * 1.9 / (2 + k1 * (0.6 + 0.4 * 2 / 2.5)),
                           red * 1.9 / (1 + k1 * (0.6 + 0.4 * 3 / 2.5))};
    static const char *const ids[] = {"b", "a", "c"};
    cr_assert_eq(json_array_size(one), 3);
    for (size_t i = 0; i < 3; i++) {
        const json_t *h = json_array_get(one, i);
        cr_assert_str_eq(json_string_value(json_object_get(h, "id")), ids[i]);
        cr_assert_float_eq(json_number_value(json_object_get(h, "score")), want[i], 1e-12);
    }
    json_decref(hits);
    wn_free(text);
    o.k = 2;
    expect(&o, "a b");
    o.k = 4;
    o.budget = 1;
    expect(&o, "b");
}

Test(gradex, dsir_by_hand)
{
    static const char *const pool[] = {"one two", "two one", "three four five", "one"};
    static const char *const queries[] = {"one two ten", "one six"};
    write_rows("pool", pool, 4);
    write_rows("queries", queries, 2);
    wn_select_opts o = {.strategy = "dsir",
                        .pool = at("pool"),
                        .queries = at("queries"),
                        .budget = 2,
                        .gumbel = "no",
                        .dedup = "none"};
    /* target of 8: one 2, two 1, "one two" 1; pool of 12: one 3, two 2, "one two" 1, "two one" 1 */
    expect(&o, "a d");
    char *text;
    size_t len;
    ok(wn_file_read(&text, &len, at("sel"), 1 << 20));
    json_t *row;
    ok(wn_json_parse(&row, text, (size_t)(strchr(text, '\n') - text), "sel"));
    double want = log(2. / 8 + 1e-8) - log(3. / 12 + 1e-8) + log(1. / 8 + 1e-8) -
                  log(2. / 12 + 1e-8) + log(1. / 8 + 1e-8) - log(1. / 12 + 1e-8);
    cr_assert_float_eq(json_number_value(json_object_get(row, "score")), want, 1e-9);
    json_decref(row);
    wn_free(text);
    o.budget = 1;
    expect(&o, "a"); /* 0.118; d 0 */
    o.per_token = true;
    expect(&o, "a"); /* 0.039; d 0 */
    /* draws: rows of larger weight more often, none twice */
    o.per_token = false;
    o.gumbel = NULL;
    size_t first = 0;
    for (o.common.seed = 0; o.common.seed < 40; o.common.seed++) {
        wn_select_opts now = o;
        now.common.out = at("sel");
        now.common.overwrite = true;
        ok(wn_select_job(&now));
        ok(wn_file_read(&text, &len, at("sel"), 1 << 20));
        first += strstr(text, "\"id\": \"a\"") != NULL;
        wn_free(text);
    }
    cr_assert(first > 10 && first < 33, "%zu", first); /* e^0.118 against 1, and the others */
}
