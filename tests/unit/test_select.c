/* Strategies and constraints, through wn_select_job: hand-checked cases, and deft against a
 * brute-force reference that follows the paper's words. */
#include <math.h>

#include "base/par.h"
#include "base/rng.h"
#include "io/json.h"
#include "store/store.h"
#include "test_folder.h"

static void refused(wn_err err, const char *part)
{
    cr_assert(err == WN_EARG || err == WN_EUSE, "%d", err);
    cr_assert(strstr(wn_error_text(), part), "\"%s\" does not hold \"%s\"", wn_error_text(), part);
}

/* Row i: id PREFIXi, task "t<i % tasks>", tokens 10 + i % 7. */
static void make_store(const char *name, const char *prefix, const float *v, size_t N, size_t D,
                       int tasks)
{
    wn_store_writer *w;
    uint64_t done;
    json_t *m = json_pack("{s:s}", "kind", "imported");
    ok(wn_store_writer_open(&w, at(name), m, D, NULL, true, &done));
    json_decref(m);
    for (size_t i = 0; i < N; i++) {
        char id[32], task[32];
        snprintf(id, sizeof id, "%s%zu", prefix, i);
        snprintf(task, sizeof task, "t%zu", i % (size_t)tasks);
        ok(wn_store_writer_add(w, &(wn_store_row){.vector = v + i * D,
                                                  .id = {id, strlen(id)},
                                                  .task = {task, strlen(task)},
                                                  .tokens = 10 + (uint32_t)i % 7,
                                                  .loss = NAN,
                                                  .margin = NAN}));
    }
    ok(wn_store_writer_finish(w, NULL));
}

static void make_pool(const char *name, size_t N, int tasks)
{
    wn_str s = {0};
    for (size_t i = 0; i < N; i++)
        wn_str_printf(
            &s,
            "{\"id\": \"r%zu\", \"task\": \"t%zu\", \"prompt\": \"say %zu\", \"target\": \"%zu\", "
            "\"x\": {\"hits\": 1}, \"score\": \"old\"}\n",
            i, i % (size_t)tasks, i, i);
    ok(wn_file_write(at(name), s.p, s.len));
    wn_str_free(&s);
}

/* The rows of a selection. */
struct got {
    json_t *row[4096];
    size_t n;
};

static void load(struct got *g, const char *name)
{
    char *text;
    size_t len;
    g->n = 0;
    ok(wn_file_read(&text, &len, at(name), 1 << 24));
    for (char *p = text, *end; p < text + len; p = end + 1) {
        end = strchr(p, '\n');
        cr_assert(end);
        ok(wn_json_parse(&g->row[g->n++], p, (size_t)(end - p), name));
    }
    wn_free(text);
}

static void drop(struct got *g)
{
    for (size_t i = 0; i < g->n; i++)
        json_decref(g->row[i]);
}

static const char *text_of(const struct got *g, size_t i, const char *key)
{
    return json_string_value(json_object_get(g->row[i], key));
}

static double number_of(const struct got *g, size_t i, const char *key)
{
    json_t *v = json_object_get(g->row[i], key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

static void expect_ids(const wn_select_opts *o, const char *want)
{
    struct got g;
    wn_select_opts now = *o;
    now.common.out = at("sel");
    now.common.overwrite = true;
    ok(wn_select_job(&now));
    load(&g, "sel");
    wn_str s = {0};
    for (size_t i = 0; i < g.n; i++)
        wn_str_printf(&s, i ? " %s" : "%s", text_of(&g, i, "id"));
    cr_assert_str_eq(s.p, want);
    wn_str_free(&s);
    drop(&g);
}

/* Rows at 0, 1, ... 9, queries at 2.125 and 7.0625: their lists are r2 r3 r1 r4 r0 ... and r7 r8 r6
 * r9 r5 ... */
static wn_select_opts line_up(void)
{
    float v[10], q[] = {2.125f, 7.0625f};
    for (int i = 0; i < 10; i++)
        v[i] = (float)i;
    make_store("rows", "r", v, 10, 1, 2);
    make_store("queries", "q", q, 2, 1, 1);
    make_pool("pool", 10, 2);
    static char rows[128], queries[128];
    strcpy(rows, at("rows"));
    strcpy(queries, at("queries"));
    return (wn_select_opts){.strategy = "deft", .store = rows, .queries = queries, .k = 3};
}

Test(select, deft_by_hand, .init = set_up, .fini = tear_down)
{
    wn_select_opts o = line_up();
    expect_ids(&o, "r1 r2 r3 r6 r7 r8");
    o.k = 500;
    expect_ids(&o, "r0 r1 r2 r3 r4 r5 r6 r7 r8 r9");
    o.k = 3;
    o.budget = 6;
    expect_ids(&o, "r1 r2 r3 r6 r7 r8");
    o.budget = 5; /* two hits a query are four rows; three would be six */
    expect_ids(&o, "r2 r3 r7 r8");
    o.budget = 2;
    expect_ids(&o, "r2 r7");
    o.budget = 1; /* one hit a query is too many: r7 is the nearer */
    expect_ids(&o, "r7");
    o.budget = 100;
    expect_ids(&o, "r1 r2 r3 r6 r7 r8");
    o.budget = 0;
    o.per_task = 1; /* of the even r2 is nearest, of the odd r7 */
    expect_ids(&o, "r2 r7");
    o.per_task = 2;
    expect_ids(&o, "r2 r3 r7 r8");
    o.budget = 3; /* three hits a query, capped, are four; two hits too; one is two rows */
    expect_ids(&o, "r2 r7");
    o.per_task = 0;
    o.budget = 0;
    o.budget_tokens = 12 + 13 + 10 + 11 + 11 + 16; /* r2 r3 r7 r8, r1 and r6: all, to the token */
    expect_ids(&o, "r1 r2 r3 r6 r7 r8");
    o.budget_tokens--;
    expect_ids(&o, "r2 r3 r7 r8");
    o.per_task = 1; /* with a cap: r2 r7 */
    expect_ids(&o, "r2 r7");
    o.budget_tokens = 11; /* r7 has ten tokens, r2 twelve: r2 comes second and does not fit */
    o.per_task = 0;
    expect_ids(&o, "r7");
    o.budget_tokens = 9;
    o.common.out = at("none");
    refused(wn_select_job(&o), "do not hold the first row");
}

Test(select, other_metrics, .init = set_up, .fini = tear_down)
{
    wn_select_opts o = line_up();
    o.metric = "ip"; /* all queries are positive: the largest rows */
    expect_ids(&o, "r7 r8 r9");
    o.budget = 2;
    expect_ids(&o, "r8 r9");
    struct got g;
    load(&g, "sel");
    cr_assert_eq(number_of(&g, 1, "score"), 7.0625 * 9);
    cr_assert_str_eq(text_of(&g, 1, "query"), "q1");
    drop(&g);
    o.metric = "cosine"; /* r0 is the zero vector: 0; all others 1, by position */
    o.budget = 0;
    expect_ids(&o, "r1 r2 r3");
}

Test(select, rows_say_how_they_were_found, .init = set_up, .fini = tear_down)
{
    wn_select_opts o = line_up();
    struct got g;
    float q[] = {2.125f, 7.0625f, 2.0f};
    make_store("queries", "q", q, 3, 1, 1);
    o.pool = at("pool");
    o.common.out = at("sel");
    ok(wn_select_job(&o));
    load(&g, "sel");
    cr_assert_eq(g.n, 6);
    /* r2: in q0's list (0.015625, first) and in q2's (0, first) */
    cr_assert_str_eq(text_of(&g, 1, "id"), "r2");
    cr_assert_str_eq(text_of(&g, 1, "prompt"), "say 2");
    cr_assert_eq(number_of(&g, 1, "hits"), 2);
    cr_assert_eq(number_of(&g, 1, "score"), 0);
    cr_assert_str_eq(text_of(&g, 1, "query"), "q2");
    cr_assert_eq(number_of(&g, 1, "rank"), 1);
    cr_assert_eq(json_integer_value(json_object_get(json_object_get(g.row[1], "x"), "hits")), 1);
    /* r1: third of q0 at 1.265625, second of q2 at 1 (r1 and r3 tie there) */
    cr_assert_eq(number_of(&g, 0, "score"), 1);
    cr_assert_str_eq(text_of(&g, 0, "query"), "q2");
    cr_assert_eq(number_of(&g, 0, "rank"), 2);
    /* r3: 0.765625 to q0, second; 1 to q2, third */
    cr_assert_eq(number_of(&g, 2, "score"), 0.765625);
    cr_assert_str_eq(text_of(&g, 2, "query"), "q0");
    drop(&g);

    json_t *m;
    ok(wn_json_load(&m, at("sel.manifest.json")));
    cr_assert_eq(json_integer_value(json_object_get(json_object_get(m, "counts"), "rows")), 6);
    cr_assert_eq(json_integer_value(json_object_get(json_object_get(m, "lists"), "hits_a_query")),
                 3);
    cr_assert_eq(json_integer_value(json_object_get(json_object_get(m, "tasks"), "t0")), 3);
    char hex[WN_SHA_HEX];
    ok(wn_sha_file(hex, at("sel")));
    cr_assert_str_eq(json_string_value(json_object_get(m, "sha256")), hex);
    json_decref(m);
    refused(wn_select_job(&o), "--overwrite");
}

/* ---- deft against a reference ---- */

struct ref {
    double score;
    size_t row;
};

static int by_score(const void *a, const void *b)
{
    const struct ref *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

enum { N = 400, Q = 23, D = 3 };

/* The union of the first k of each list, capped, best-scored first; returns how many. */
static size_t reference_union(struct ref *out, int *hits, struct ref (*list)[N], size_t k,
                              size_t cap, int tasks)
{
    double best[N];
    size_t n = 0, of_task[16] = {0}, kept = 0;
    for (size_t r = 0; r < N; r++)
        best[r] = INFINITY;
    memset(hits, 0, N * sizeof *hits);
    for (size_t q = 0; q < Q; q++)
        for (size_t i = 0; i < k; i++) {
            hits[list[q][i].row]++;
            best[list[q][i].row] = fmin(best[list[q][i].row], list[q][i].score);
        }
    for (size_t r = 0; r < N; r++)
        if (hits[r])
            out[n++] = (struct ref){best[r], r};
    qsort(out, n, sizeof *out, by_score);
    for (size_t i = 0; i < n; i++)
        if (!cap || of_task[out[i].row % (size_t)tasks]++ < cap)
            out[kept++] = out[i];
    return kept;
}

static uint64_t cost(const struct ref *r, size_t n, bool tokens)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += tokens ? 10 + r[i].row % 7 : 1;
    return sum;
}

static void compare(const struct ref *want, size_t n, const int *hits)
{
    struct got g;
    load(&g, "sel");
    cr_assert_eq(g.n, n, "%zu rows, not %zu", g.n, n);
    for (size_t i = 0; i < g.n; i++) {
        size_t row = (size_t)atoi(text_of(&g, i, "id") + 1), j = 0;
        while (j < n && want[j].row != row)
            j++;
        cr_assert(j < n, "r%zu does not belong there", row);
        cr_assert_eq(number_of(&g, i, "score"), want[j].score);
        cr_assert_eq(number_of(&g, i, "hits"), hits[row]);
    }
    drop(&g);
}

Test(select, deft_equals_the_reference, .init = set_up, .fini = tear_down, .timeout = 60)
{
    static float v[N * D], q[Q * D];
    static struct ref list[Q][N], want[N];
    int hits[N];
    for (size_t i = 0; i < N * D; i++)
        v[i] =
            (float)(wn_rng_u64(1, 1, i) % 6); /* small integers: ties and duplicates everywhere */
    for (size_t i = 0; i < Q * D; i++)
        q[i] = (float)(wn_rng_u64(1, 2, i) % 12) / 2;
    make_store("rows", "r", v, N, D, 7);
    make_store("queries", "q", q, Q, D, 1);
    for (size_t a = 0; a < Q; a++) {
        for (size_t r = 0; r < N; r++) {
            double d = 0;
            for (size_t i = 0; i < D; i++)
                d += ((double)v[r * D + i] - q[a * D + i]) * ((double)v[r * D + i] - q[a * D + i]);
            list[a][r] = (struct ref){d, r};
        }
        qsort(list[a], N, sizeof **list, by_score);
    }
    for (int c = 0; c < 60; c++) {
        size_t k = 1 + wn_rng_u64(2, 1, (uint64_t)c) % 40;
        size_t cap = c % 3 == 0 ? 1 + wn_rng_u64(2, 2, (uint64_t)c) % 20 : 0;
        bool tokens = c % 2;
        uint64_t budget = 1 + wn_rng_u64(2, 3, (uint64_t)c) % (tokens ? 3000 : 200);
        budget = tokens && budget < 20 ? 20 : budget;
        size_t n, now = k;
        for (;; now--) {
            n = reference_union(want, hits, list, now, cap, 7);
            if (now == 1 || cost(want, n, tokens) <= budget)
                break;
        }
        while (cost(want, n, tokens) > budget)
            n--;
        wn_select_opts o = {.common = {.out = at("sel"), .overwrite = true},
                            .strategy = "deft",
                            .store = at("rows"),
                            .queries = at("queries"),
                            .k = k,
                            .per_task = cap,
                            .budget = tokens ? 0 : budget,
                            .budget_tokens = tokens ? budget : 0};
        ok(wn_select_job(&o));
        compare(want, n, hits);
    }
}

/* ---- random strategies ---- */

static size_t count_task(const char *task)
{
    struct got g;
    size_t n = 0;
    load(&g, "sel");
    for (size_t i = 0; i < g.n; i++)
        n += strcmp(text_of(&g, i, "task"), task) == 0;
    drop(&g);
    return n;
}

static void choose(wn_select_opts o)
{
    o.common.out = at("sel");
    o.common.overwrite = true;
    ok(wn_select_job(&o));
}

Test(select, random_is_uniform_nested_and_seeded, .init = set_up, .fini = tear_down, .timeout = 60)
{
    make_pool("pool", 60, 3);
    wn_select_opts o = {.strategy = "random", .pool = at("pool"), .budget = 15};
    int drawn[60] = {0};
    for (uint64_t seed = 0; seed < 400; seed++) {
        struct got g;
        o.common.seed = seed;
        choose(o);
        load(&g, "sel");
        cr_assert_eq(g.n, 15);
        int last = -1;
        for (size_t i = 0; i < g.n; i++) {
            int row = atoi(text_of(&g, i, "id") + 1);
            cr_assert_gt(row, last, "in pool order, each once");
            cr_assert_str_eq(text_of(&g, i, "score"), "old", "the row's own field");
            drawn[last = row]++;
        }
        drop(&g);
    }
    double chi = 0; /* 400 draws of a quarter: mean 100, variance 75 */
    for (int r = 0; r < 60; r++)
        chi += (drawn[r] - 100.0) * (drawn[r] - 100.0) / 75;
    cr_assert(chi > 25 && chi < 110, "chi2 with about 59 degrees of freedom is %.1f", chi);
    o.budget = 7;
    choose(o);
    struct got few, many;
    load(&few, "sel");
    o.budget = 20;
    choose(o);
    load(&many, "sel");
    for (size_t i = 0, j = 0; i < few.n; i++) {
        while (j < many.n && strcmp(text_of(&few, i, "id"), text_of(&many, j, "id")) != 0)
            j++;
        cr_assert_lt(j, many.n, "the larger selection holds the smaller");
    }
    drop(&few);
    drop(&many);
    o.budget = 1000;
    choose(o);
    cr_assert_eq(count_task("t1"), 20);
    o.budget = 1000;
    o.per_task = 4;
    choose(o);
    cr_assert(count_task("t0") == 4 && count_task("t1") == 4 && count_task("t2") == 4);
    o.budget = o.per_task = 0;
    o.common.out = at("none");
    refused(wn_select_job(&o), "needs --budget");
}

Test(select, balanced_draws_tasks_alike, .init = set_up, .fini = tear_down, .timeout = 60)
{
    /* 900 rows of t0, 30 of t1, 3 of t2 */
    wn_str s = {0};
    for (int i = 0; i < 933; i++)
        wn_str_printf(
            &s, "{\"id\": \"r%d\", \"task\": \"t%d\", \"prompt\": \"p %d\", \"target\": \"x\"}\n",
            i,
            i < 900   ? 0
            : i < 930 ? 1
                      : 2,
            i);
    ok(wn_file_write(at("pool"), s.p, s.len));
    wn_str_free(&s);
    wn_select_opts o = {.strategy = "balanced-random", .pool = at("pool"), .budget = 30};
    size_t n[3] = {0};
    for (uint64_t seed = 0; seed < 50; seed++) {
        o.common.seed = seed;
        choose(o);
        n[0] += count_task("t0");
        n[1] += count_task("t1");
        n[2] += count_task("t2");
    }
    cr_assert_eq(n[2], 150, "the small task is used up");
    cr_assert(n[0] > 600 && n[0] < 750 && n[1] > 600 && n[1] < 750, "%zu %zu", n[0], n[1]);
    o.budget = 40;
    o.per_task = 8;
    choose(o);
    cr_assert(count_task("t0") == 8 && count_task("t1") == 8 && count_task("t2") == 3);
    o.per_task = 0;
    o.budget = 5000;
    choose(o);
    cr_assert_eq(count_task("t0"), 900);
}

Test(select, all_and_its_constraints, .init = set_up, .fini = tear_down)
{
    make_pool("pool", 9, 2);
    wn_select_opts o = {.strategy = "all", .pool = at("pool")};
    expect_ids(&o, "r0 r1 r2 r3 r4 r5 r6 r7 r8");
    o.per_task = 2;
    expect_ids(&o, "r0 r1 r2 r3");
    o.per_task = 0;
    static const char rows[] = "{\"id\": \"a\", \"prompt\": \"one\", \"target\": \"x\"}\n"
                               "{\"id\": \"b\", \"prompt\": \"one\", \"target\": \"x\"}\n"
                               "{\"id\": \"c\", \"prompt\": \"one\", \"target\": \"y\"}\n";
    ok(wn_file_write(at("double"), rows, sizeof rows - 1));
    o.pool = at("double");
    expect_ids(&o, "a c");
    o.dedup = "none";
    expect_ids(&o, "a b c");
    o.common.out = at("none");
    o.dedup = "fuzzy";
    refused(wn_select_job(&o), "expected exact, near or none");
    o.dedup = NULL;
    o.budget = 4;
    refused(wn_select_job(&o), "takes every row");
    o.strategy = "best";
    refused(wn_select_job(&o), "expected deft, gradex-fs");
    o.strategy = "deft";
    refused(wn_select_job(&o), "needs --store");
    o.strategy = "random";
    o.budget_tokens = 50;
    refused(wn_select_job(&o), "give --model");
    cr_assert_not(wn_file_exists(at("none")));
}

/* A struck-out neighbour is replaced by the next one: the budget is not spent on it. */
Test(select, constraints_act_before_the_search, .init = set_up, .fini = tear_down)
{
    wn_select_opts o = line_up();
    o.pool = at("pool");
    /* r7's whole prompt, "say 7", is a target row's */
    static const char avoid[] =
        "{\"id\": \"x\", \"task\": \"test\", \"prompt\": \"Say: 7!\", \"target\": \"\"}\n";
    ok(wn_file_write(at("avoid"), avoid, sizeof avoid - 1));
    const char *files[] = {at("avoid")};
    o.avoid = files;
    o.n_avoid = 1;
    expect_ids(&o, "r1 r2 r3 r6 r8 r9");
    json_t *m;
    ok(wn_json_load(&m, at("sel.manifest.json")));
    cr_assert_eq(json_integer_value(json_object_get(json_object_get(m, "counts"), "vetoed")), 1);
    const json_t *v = json_array_get(json_object_get(m, "vetoed"), 0);
    cr_assert_str_eq(json_string_value(json_object_get(v, "id")), "r7");
    cr_assert_str_eq(json_string_value(json_object_get(v, "by")), "avoid: x");
    cr_assert_str_eq(json_string_value(json_object_get(v, "words")), "say 7");
    json_decref(m);
    o.pool = NULL;
    o.common.out = at("none");
    refused(wn_select_job(&o), "needs --pool");
}

Test(select, a_store_in_another_order_is_matched_by_id, .init = set_up, .fini = tear_down)
{
    wn_select_opts o = line_up();
    static const char pool[] =
        "{\"id\": \"r8\", \"task\": \"z\", \"prompt\": \"a\", \"target\": \"1\"}\n"
        "{\"id\": \"r2\", \"task\": \"z\", \"prompt\": \"b\", \"target\": \"1\"}\n";
    ok(wn_file_write(at("part"), pool, sizeof pool - 1));
    o.pool = at("part");
    o.common.out = at("none");
    refused(wn_select_job(&o), "no row r0");
    float v[] = {2, 8};
    wn_store_writer *w;
    uint64_t done;
    json_t *m = json_pack("{s:s}", "kind", "imported");
    ok(wn_store_writer_open(&w, at("rows"), m, 1, NULL, true, &done));
    json_decref(m);
    for (int i = 0; i < 2; i++)
        ok(wn_store_writer_add(w, &(wn_store_row){.vector = v + i,
                                                  .id = {i ? "r8" : "r2", 2},
                                                  .task = {"z", 1},
                                                  .loss = NAN,
                                                  .margin = NAN}));
    ok(wn_store_writer_finish(w, NULL));
    o.k = 1;
    expect_ids(&o, "r8 r2"); /* pool order */
}

Test(select, same_bytes_for_every_thread_count, .init = set_up, .fini = tear_down)
{
    wn_select_opts o = line_up();
    o.pool = at("pool");
    for (int t = 1; t <= 5; t += 2) {
        wn_par_set_threads(t);
        o.common.out = t == 1 ? at("one") : at("more");
        o.common.overwrite = true;
        ok(wn_select_job(&o));
        if (t == 1)
            continue;
        static const char *const tail[] = {"", ".manifest.json", ".hits.jsonl"};
        for (int i = 0; i < 3; i++) {
            char a[160], b[160], x[WN_SHA_HEX], y[WN_SHA_HEX];
            snprintf(a, sizeof a, "%s%s", at("one"), tail[i]);
            snprintf(b, sizeof b, "%s%s", at("more"), tail[i]);
            ok(wn_sha_file(x, a));
            ok(wn_sha_file(y, b));
            cr_assert_str_eq(x, y);
        }
    }
    wn_par_set_threads(0);
}

Test(select, failed_allocations_are_clean, .init = set_up, .fini = tear_down, .timeout = 120)
{
    wn_select_opts o = line_up();
    o.pool = at("pool");
    static const char avoid[] =
        "{\"id\": \"x\", \"task\": \"test\", \"prompt\": \"Say: 7!\", \"target\": \"\"}\n";
    ok(wn_file_write(at("avoid"), avoid, sizeof avoid - 1));
    const char *files[] = {at("avoid")};
    o.avoid = files;
    o.n_avoid = 1;
    o.budget = 5;
    o.common.out = at("sel");
    o.common.overwrite = true;
    wn_err err = WN_ENOMEM;
    for (int n = 0; err != WN_OK; n++) {
        cr_assert(n < 3000);
        wn_mem_fail_after(n);
        err = wn_select_job(&o);
        wn_mem_fail_after(-1);
        cr_assert(err == WN_OK || err == WN_ENOMEM, "allocation %d: %s", n, wn_error_text());
        cr_assert_eq(wn_mem_live(), 0, "allocation %d", n);
    }
}

/* ---- explain, diff ---- */

static json_t *explained(const char *id)
{
    char *text;
    json_t *v;
    ok(wn_explain_job(&(wn_explain_opts){.selection = at("sel"), .id = id, .json = true}, &text));
    ok(wn_json_parse(&v, text, strlen(text), "explain"));
    wn_text_free(text);
    return v;
}

static void expect_text(const char *id, const char *want)
{
    char *text;
    ok(wn_explain_job(&(wn_explain_opts){.selection = at("sel"), .id = id}, &text));
    cr_assert_str_eq(text, want);
    wn_text_free(text);
}

Test(select, explain_says_why_and_why_not, .init = set_up, .fini = tear_down)
{
    wn_select_opts o = line_up();
    o.pool = at("pool");
    o.budget = 4; /* r2 r3 | r1 and r7 r8 | r6 */
    choose(o);
    json_t *v = explained("r3");
    cr_assert(json_is_true(json_object_get(v, "chosen")));
    const json_t *q = json_array_get(json_object_get(v, "queries"), 0);
    cr_assert_str_eq(json_string_value(json_object_get(q, "query")), "q0");
    cr_assert_eq(json_integer_value(json_object_get(q, "rank")), 2);
    cr_assert_eq(json_number_value(json_object_get(q, "score")), 0.765625);
    const json_t *d = json_object_get(v, "displaced");
    cr_assert_eq(json_array_size(d), 1);
    cr_assert_str_eq(json_string_value(json_object_get(json_array_get(d, 0), "id")), "r1");
    json_decref(v);
    expect_text("r3", "r3 was chosen by deft from task t1\n"
                      "  1 query has it among the 2 nearest rows:\n"
                      "  query q0 at rank 2, score 0.765625\n"
                      "  without it these would have been next:\n"
                      "  row r1 (query q0), score 1.265625\n");
    expect_text("r6", "r6 was not chosen by deft\n  just behind the last hit of query q1 at rank "
                      "3, score 1.12890625\n");
    expect_text(
        "zz",
        "zz was not chosen by deft\n  no query has it among its 2 nearest rows or just behind\n");
    o.strategy = "random";
    o.store = o.queries = NULL;
    choose(o);
    cr_assert_not(wn_file_exists(at("sel.hits.jsonl")), "of the selection that was replaced");
    v = explained("zz");
    cr_assert(json_is_false(json_object_get(v, "chosen")));
    json_decref(v);
    char *text;
    ok(wn_file_write(at("sel"), "{\"id\": \"r1\"}\n", 13));
    cr_assert_eq(wn_explain_job(&(wn_explain_opts){.selection = at("sel"), .id = "r1"}, &text),
                 WN_EFORMAT);
    cr_assert(strstr(wn_error_text(), "was changed"), "%s", wn_error_text());
    refused(wn_explain_job(&(wn_explain_opts){.selection = at("pool"), .id = "r1"}, &text),
            "manifest.json beside it");
}

Test(select, diff_counts_what_is_shared, .init = set_up, .fini = tear_down)
{
    wn_select_opts o = line_up();
    o.common.out = at("one");
    ok(wn_select_job(&o)); /* r1 r2 r3 r6 r7 r8 */
    o.budget = 4;
    o.common.out = at("two");
    ok(wn_select_job(&o)); /* r2 r3 r7 r8 */
    char *text;
    ok(wn_diff_job(at("one"), at("two"), false, &text));
    cr_assert(strstr(text,
                     "shared: 4 rows, Jaccard 0.667\n--budget: not given in A, 4 in B\n"
                     "       A        B  task\n       3        2  t0\n       3        2  t1\n"),
              "%s", text);
    wn_text_free(text);
    json_t *v;
    ok(wn_diff_job(at("one"), at("one"), true, &text));
    ok(wn_json_parse(&v, text, strlen(text), "diff"));
    cr_assert_eq(json_real_value(json_object_get(v, "jaccard")), 1.0);
    cr_assert_eq(json_array_size(json_object_get(v, "made_differently")), 0);
    json_decref(v);
    wn_text_free(text);
}
