/* winnow run on tiny models: recipe to verdict, what a second run does again and what it does not.
 */
#include "golden.h"

#include <unistd.h>

#include "io/file.h"
#include "io/json.h"
#include "report/recipe.h"
#include "report/verdict.h"

static char folder[] = "/tmp/wn_run_XXXXXX";
static char said[1 << 16];

static void listen(void *ctx, const char *line)
{
    (void)ctx;
    size_t n = strlen(said);
    snprintf(said + n, sizeof said - n, "%s\n", line);
}

static void make_folder(void)
{
    cr_assert(mkdtemp(folder));
    wn_set_message(listen, NULL);
}

static void remove_folder(void)
{
    wn_remove_tree(folder);
}

TestSuite(verdict_run, .init = make_folder, .fini = remove_folder);

static const char *at(const char *name)
{
    static char path[4][GOLDEN_PATH];
    static int turn;
    char *p = path[turn++ % 4];
    snprintf(p, GOLDEN_PATH, "%s/%s", folder, name);
    return p;
}

/* The quick recipe and its data in our folder, models named by their place; `change` replaces the
 * first `what` of the recipe. */
static void put_recipe(const char *what, const char *change)
{
    static const char *const files[] = {"pool.jsonl", "query.jsonl", "test.jsonl"};
    const char *root = getenv("WN_TEST_ROOT") ? getenv("WN_TEST_ROOT") : ".";
    char path[GOLDEN_PATH], *text;
    wn_str out = {0};
    size_t len;
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/recipes/quick/%s", root, files[i]);
        GOLDEN_OK(wn_file_read(&text, &len, path, 1 << 20));
        GOLDEN_OK(wn_mkdirs(at("quick")));
        snprintf(path, sizeof path, "%s/quick/%s", folder, files[i]);
        if (!wn_file_exists(path))
            GOLDEN_OK(wn_file_write(path, text, len));
        wn_free(text);
    }
    snprintf(path, sizeof path, "%s/recipes/quick.yaml", root);
    GOLDEN_OK(wn_file_read(&text, &len, path, 1 << 20));
    for (const char *p = text; *p;) {
        if (strncmp(p, "../tests", 8) == 0) {
            wn_str_puts(&out, "${WN_TEST_ROOT}/tests");
            p += 8;
        } else if (what && strncmp(p, what, strlen(what)) == 0) {
            wn_str_puts(&out, change);
            p += strlen(what);
            what = NULL;
        } else {
            wn_str_putc(&out, *p++);
        }
    }
    GOLDEN_OK(wn_file_write(at("quick.yaml"), out.p, out.len));
    wn_free(text);
    wn_str_free(&out);
}

static wn_err run(char **table)
{
    const char *recipe = at("quick.yaml"), *out = at("out");
    const wn_run_opts o = {.recipe = recipe, .common = {.out = out, .precision = WN_PRECISION_F32}};
    said[0] = '\0';
    return wn_run_job(&o, table);
}

static json_t *verdict(void)
{
    json_t *v;
    GOLDEN_OK(wn_json_load(&v, at("out/verdict.json")));
    return v;
}

static json_t *target(const json_t *v)
{
    return json_array_get(json_object_get(v, "targets"), 0);
}

/* verdict.json without what may differ from run to run. */
static char *timeless(void)
{
    json_t *v = verdict(), *arm;
    size_t i;
    wn_str s = {0};
    json_object_del(v, "seconds");
    json_array_foreach(json_object_get(target(v), "arms"), i, arm) json_object_del(arm, "seconds");
    GOLDEN_OK(wn_json_dump(&s, v, 1, true));
    json_decref(v);
    return s.p;
}

Test(verdict_run, a_recipe_becomes_a_verdict)
{
    char *table;
    put_recipe(NULL, NULL);
    GOLDEN_OK(run(&table));
    cr_expect(strstr(table, "deft vs random on colours: "), "%s", table);
    json_t *v = verdict(), *t = target(v), *arms = json_object_get(t, "arms"), *arm;
    static const char *const names[] = {"zero-shot", "random", "balanced-random", "deft"};
    size_t i;
    cr_expect_str_eq(json_string_value(json_object_get(t, "metric")), "accuracy");
    cr_expect_eq(json_integer_value(json_object_get(t, "n")), 12);
    cr_assert_eq(json_array_size(arms), 4);
    json_array_foreach(arms, i, arm)
    {
        json_t *seeds = json_object_get(arm, "seeds");
        cr_expect_str_eq(json_string_value(json_object_get(arm, "name")), names[i]);
        cr_expect_eq(json_array_size(seeds), i ? 2 : 1);
        double sum = 0;
        for (size_t k = 0; k < json_array_size(seeds); k++)
            sum += json_number_value(json_object_get(json_array_get(seeds, k), "value"));
        cr_expect_float_eq(sum / (double)json_array_size(seeds),
                           json_number_value(json_object_get(arm, "mean")), 1e-12);
        cr_expect_eq(json_array_size(json_object_get(arm, "ci95")), 2);
        cr_expect(json_is_object(json_object_get(arm, "seconds")));
        cr_expect_eq(json_integer_value(json_object_get(arm, "rows")),
                     i ? json_integer_value(json_object_get(json_array_get(arms, 3), "rows")) : 0,
                     "baselines are of deft's size");
        cr_expect(i == 0 || json_integer_value(json_object_get(arm, "tokens")) > 0);
    }
    json_t *compare = json_object_get(t, "compare"), *c;
    cr_assert_eq(json_array_size(compare), 3);
    json_array_foreach(compare, i, c)
    {
        cr_expect_str_eq(json_string_value(json_object_get(c, "arm")), "deft");
        cr_expect_str_eq(json_string_value(json_object_get(c, "against")), names[i]);
        cr_expect(json_is_number(json_object_get(c, "difference")));
        cr_expect(json_is_string(json_object_get(c, "verdict")));
        cr_expect(json_is_number(json_object_get(json_object_get(c, "test"), "p")));
    }
    cr_expect(wn_file_exists(at("out/report.html")));
    cr_expect(wn_file_exists(at("out/run.json")));
    json_decref(v);
    wn_text_free(table);
}

/* A second run does nothing again; a cut log, another learning rate, a touched selection, a changed
 * test file each redo what depends on them and nothing else. */
Test(verdict_run, finished_parts_stand_and_changed_ones_do_not)
{
    char *table, *first, *second;
    put_recipe(NULL, NULL);
    GOLDEN_OK(run(&table));
    wn_text_free(table);
    first = timeless();
    GOLDEN_OK(run(&table));
    wn_text_free(table);
    second = timeless();
    cr_expect_str_eq(first, second);
    cr_expect(strstr(said, "21 of 21 parts stood"), "%s", said);
    cr_expect_not(strstr(said, "part 1 of"), "%s", said);

    put_recipe("lr: 0.01", "lr: 0.02");
    GOLDEN_OK(run(&table));
    wn_text_free(table);
    cr_expect(strstr(said, "train deft seed 0 on colours: made again, since this changed: options"),
              "%s", said);
    cr_expect_not(strstr(said, "select"), "%s", said);
    cr_expect_not(strstr(said, "zero-shot"), "%s", said);

    put_recipe("lr: 0.01", "lr: 0.02");
    GOLDEN_OK(wn_remove_tree(at("out/targets/colours/select/deft.jsonl")));
    GOLDEN_OK(run(&table));
    wn_text_free(table);
    cr_expect(strstr(said, "select deft for colours: made again, since"), "%s", said);
    cr_expect(strstr(said, "20 of 21 parts stood"), "the selection is the same again: %s", said);

    static const char fog[] = "{\"id\": \"t\", \"prompt\": \"Is fog dark?\", \"target\": \"no\", "
                              "\"choices\": [\"yes\", \"no\"]}\n";
    GOLDEN_OK(wn_file_write(at("quick/test.jsonl"), fog, sizeof fog - 1));
    GOLDEN_OK(run(&table));
    wn_text_free(table);
    cr_expect(
        strstr(said, "eval zero-shot on colours: made again, since this changed: inputs test"),
        "%s", said);
    cr_expect_not(strstr(said, "embed pool: made again"), "%s", said);
    wn_free(first);
    wn_free(second);
}

/* Stopped in the middle, the same command goes on and ends with the same verdict. */
static int steps_left;
static bool stop_later(void *ctx, const char *stage, const char *unit, uint64_t done,
                       uint64_t total, const char *note)
{
    (void)ctx, (void)stage, (void)unit, (void)done, (void)total, (void)note;
    return steps_left-- > 0;
}

Test(verdict_run, a_stopped_run_goes_on)
{
    char *table, *first, *second;
    put_recipe(NULL, NULL);
    GOLDEN_OK(run(&table));
    wn_text_free(table);
    first = timeless();
    GOLDEN_OK(wn_remove_tree(at("out")));
    wn_set_progress(stop_later, NULL);
    int stops = 0;
    for (wn_err err = WN_ESTOP; err != WN_OK; stops++) {
        steps_left = 9;
        err = run(&table);
        cr_assert(err == WN_OK || err == WN_ESTOP, "%s", wn_error_text());
        cr_assert_lt(stops, 60);
    }
    wn_set_progress(NULL, NULL);
    wn_text_free(table);
    second = timeless();
    cr_expect_gt(stops, 2);
    cr_expect_str_eq(first, second);
    wn_free(first);
    wn_free(second);
}

static void refused(const char *what, const char *change, const char *says)
{
    char *table;
    put_recipe(what, change);
    cr_expect_neq(run(&table), WN_OK, "%s", says);
    cr_expect(strstr(wn_error_text(), says), "\"%s\" does not say %s", wn_error_text(), says);
    cr_expect_not(wn_file_exists(at("out")), "nothing is written");
}

Test(verdict_run, faults_are_found_before_any_work)
{
    refused("quick/test.jsonl", "quick/none.jsonl", "none.jsonl");
    refused("quick/test.jsonl", "quick/query.jsonl", "has no target");
    refused("- name: colours", "- metric: blue\n    name: colours", "metric \"blue\" is unknown");
    refused("strategies: [deft]", "strategies: [best]",
            "unknown strategy \"best\"; known are zero-shot, ");
    refused("budget: 12", "budget: 12\nbaselines: no\nlr: 3",
            "unknown key \"lr\"; known are title, ");
    GOLDEN_OK(wn_mkdirs(at("out/mine")));
    char *table;
    put_recipe(NULL, NULL);
    cr_expect_eq(run(&table), WN_EARG);
    cr_expect(strstr(wn_error_text(), "holds no experiment"), "%s", wn_error_text());
}
