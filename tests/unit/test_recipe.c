#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "report/cost.h"
#include "report/recipe.h"
#include "report/stamp.h"

static char folder[] = "/tmp/wn_recipe_XXXXXX";
static char path[4096];

static void make_folder(void)
{
    cr_assert(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/r.yaml", folder);
}

static void remove_folder(void)
{
    wn_remove_tree(folder);
}

TestSuite(recipe, .init = make_folder, .fini = remove_folder);

#define BASE                                                                                       \
    "pool: {sources: p.jsonl}\nmodel: m\nencoder: e\nbudget: 10\n"                                 \
    "targets: [{name: t, queries: q.jsonl, test: /abs/test.jsonl}]\n"

static wn_err open_text(wn_recipe *r, const char *text)
{
    cr_assert_eq(wn_file_write(path, text, strlen(text)), WN_OK);
    return wn_recipe_open(r, path);
}

Test(recipe, defaults_and_paths)
{
    wn_recipe r;
    char right[4096];
    cr_assert_eq(open_text(&r, BASE), WN_OK, "%s", wn_error_text());
    snprintf(right, sizeof right, "%s/p.jsonl", folder);
    cr_expect_str_eq(r.sources[0], right);
    snprintf(right, sizeof right, "%s/q.jsonl", folder);
    cr_expect_str_eq(r.target[0].queries, right);
    cr_expect_str_eq(r.target[0].test, "/abs/test.jsonl");
    cr_expect_eq(r.n_seeds, 3);
    cr_expect(r.veto);
    cr_assert_eq(r.n_arms, 4);
    static const char *const names[] = {"zero-shot", "random", "balanced-random", "deft"};
    for (size_t i = 0; i < 4; i++) {
        cr_expect_str_eq(r.arm[i].name, names[i]);
        cr_expect_eq(r.arm[i].baseline, i < 3);
        cr_expect_eq(r.arm[i].by_seed, i == 1 || i == 2);
        cr_expect_eq(r.arm[i].uses_store, i == 3);
        cr_expect_eq(r.arm[i].budget, 10);
    }
    wn_recipe_close(&r);
    wn_recipe_close(&r);
}

Test(recipe, every_section_reaches_its_options)
{
    wn_recipe r;
    setenv("WN_RECIPE_TEST", "/models", 1);
    cr_assert_eq(
        open_text(
            &r,
            "title: x\npool: {sources: [a, b], map: p3, dedup: near}\n"
            "model: ${WN_RECIPE_TEST}/m-${WN_RECIPE_TEST}\nencoder: e\nbaselines: no\nveto: no\n"
            "targets:\n- {name: t, queries: q, test: s, metric: macro-f1, map: maps/x.yaml, "
            "max_queries: 5, max_test: 6}\n"
            "strategies:\n- all\n- {strategy: deft, name: deft-20, k: 20, budget_tokens: 99}\n"
            "- deft\n- {strategy: random, budget: 7}\n"
            "k: 3\nper_task: 4\nbudget: 10\ndistance: ip\nseeds: [5]\n"
            "embed: {pooling: cls, normalize: yes, layer: 2, max_tokens: 64}\n"
            "training: {lr: 1e-3, epochs: 0.5, batch: 4, warmup: 10, shuffle: no, rank: 2, "
            "schedule: slanted}\neval: {length_norm: bytes}\n"),
        WN_OK, "%s", wn_error_text());
    cr_expect_str_eq(r.model, "/models/m-/models");
    cr_expect_str_eq(r.map, "p3");
    cr_expect_str_eq(r.dedup, "near");
    cr_expect_not(r.veto);
    cr_expect_eq(r.target[0].max_queries, 5);
    cr_expect_eq(r.target[0].max_test, 6);
    cr_expect(strstr(r.target[0].map, "/maps/x.yaml"));
    cr_assert_eq(r.n_arms, 4);
    cr_expect_str_eq(r.arm[1].name, "deft-20");
    cr_expect(r.arm[1].k == 20 && r.arm[1].budget == 0 && r.arm[1].budget_tokens == 99 &&
              r.arm[1].per_task == 4 && r.arm[1].own_budget);
    cr_expect(r.arm[2].k == 3 && r.arm[2].budget == 10 && !r.arm[2].own_budget);
    cr_expect_str_eq(r.arm[2].distance, "ip");
    cr_expect(r.arm[3].budget == 7 && r.arm[3].own_budget && r.arm[3].by_seed);
    cr_expect(r.n_seeds == 1 && r.seed[0] == 5);
    cr_expect_str_eq(r.embed.o.normalize, "yes");
    cr_expect(r.embed.o.layer == 2 && r.embed.o.max_tokens == 64);
    cr_expect(r.train.lr == 1e-3 && r.train.epochs == 0.5 && r.train.batch == 4 &&
              r.train.rank == 2);
    cr_expect_str_eq(r.train.warmup, "10");
    cr_expect_str_eq(r.train.shuffle, "no");
    cr_expect_str_eq(r.eval.length_norm, "bytes");
    wn_recipe_close(&r);
}

static void refused(const char *text, const char *says)
{
    wn_recipe r;
    size_t live = wn_mem_live();
    cr_expect_eq(open_text(&r, text), WN_EARG, "accepted: %s", text);
    cr_expect(strstr(wn_error_text(), says), "\"%s\" does not say %s", wn_error_text(), says);
    cr_expect_eq(wn_mem_live(), live);
}

Test(recipe, faults_are_named)
{
    unsetenv("WN_NOT_SET");
    refused(BASE "trainig: {lr: 1}\n",
            "r.yaml: unknown key \"trainig\"; known are title, pool, targets");
    refused(BASE "training: {lrr: 1}\n", "training: unknown key \"lrr\"; known are method, epochs");
    refused(BASE "training: {lr: fast}\n", "training: lr: expected a number");
    refused(BASE "training: {batch: -1}\n", "batch: expected a whole number");
    refused(BASE "training: 3\n", "training: expected a mapping");
    refused(BASE "strategies: [best]\n", "unknown strategy \"best\"; known are zero-shot, ");
    refused(BASE "strategies: [deft, deft]\n", "\"deft\" is there twice");
    refused(BASE "strategies: []\n", "strategies: expected a list");
    refused(BASE "seeds: 3\n", "seeds: expected a list");
    refused(BASE "seeds: [1, 1]\n", "1 is there twice");
    refused(BASE "seeds: [-1]\n", "seeds: expected whole numbers");
    refused(BASE "baselines: 3\n", "baselines: expected yes or no");
    refused(BASE "budget_tokens: 3\n", "has budget and budget_tokens");
    refused("model: m\n", "missing key \"pool\"");
    refused("pool: {sources: x}\ntargets: [{name: a, queries: q, test: t}]\n",
            "missing key \"model\"");
    refused("pool: {sources: x}\nmodel: m\ntargets: [{name: a, queries: q, test: t}]\n",
            "needs an encoder");
    refused("pool: {sources: x}\nmodel: m\nencoder: ${WN_NOT_SET}/x\ntargets: [{name: a, queries: "
            "q, test: t}]\n",
            "encoder: the environment has no WN_NOT_SET");
    refused("pool: {}\nmodel: m\nencoder: e\ntargets: [{name: a, queries: q, test: t}]\n",
            "pool: missing key \"sources\"");
    refused(
        "pool: {sources: []}\nmodel: m\nencoder: e\ntargets: [{name: a, queries: q, test: t}]\n",
        "pool: sources: expected a list");
    refused(
        "pool: {sources: x}\nmodel: m\nencoder: e\ntargets: [{name: ../a, queries: q, test: t}]\n",
        "name \"../a\": expected letters");
    refused("pool: {sources: x}\nmodel: m\nencoder: e\ntargets: [{name: a, queries: q, test: t}, "
            "{name: a, queries: q, test: t}]\n",
            "targets, number 2: the name \"a\" is used twice");
    refused("pool: {sources: x}\nmodel: m\nencoder: e\ntargets: [7]\n",
            "number 1: expected a mapping");
    refused("[1]\n", "expected a mapping");
}

/* ---- stamps and costs, which a run stands on ---- */

Test(recipe, a_stamp_knows_what_changed)
{
    char stamp[4096], out[4096], inner[8192];
    json_t *a = json_pack("{s:s, s:{s:i}}", "part", "p", "inputs", "x", 1);
    json_t *b = json_pack("{s:s, s:{s:i}}", "part", "p", "inputs", "x", 2);
    wn_stamp_state state;
    wn_str why = {0};
    snprintf(stamp, sizeof stamp, "%s/s.json", folder);
    snprintf(out, sizeof out, "%s/out", folder);
    snprintf(inner, sizeof inner, "%s/file", out);
    cr_assert_eq(wn_stamp_check(&state, NULL, stamp, a, out), WN_OK);
    cr_expect_eq(state, WN_STAMP_NONE);
    cr_assert_eq(wn_stamp_begin(stamp, a), WN_OK);
    cr_assert_eq(wn_stamp_check(&state, NULL, stamp, a, out), WN_OK);
    cr_expect_eq(state, WN_STAMP_BEGUN);
    cr_assert_eq(wn_mkdirs(out), WN_OK);
    cr_assert_eq(wn_file_write(inner, "1", 1), WN_OK);
    cr_assert_eq(wn_stamp_finish(stamp, a, out), WN_OK);
    cr_assert_eq(wn_stamp_check(&state, NULL, stamp, a, out), WN_OK);
    cr_expect_eq(state, WN_STAMP_DONE);
    cr_assert_eq(wn_stamp_check(&state, &why, stamp, b, out), WN_OK);
    cr_expect_eq(state, WN_STAMP_OTHER);
    cr_expect_str_eq(why.p, "inputs x");
    cr_assert_eq(wn_file_write(inner, "2", 1), WN_OK);
    cr_assert_eq(wn_stamp_check(&state, NULL, stamp, a, out), WN_OK);
    cr_expect_eq(state, WN_STAMP_TOUCHED);
    cr_assert_eq(wn_file_write(stamp, "{\"key\":", 7), WN_OK);
    cr_assert_eq(wn_stamp_check(&state, NULL, stamp, a, out), WN_OK);
    cr_expect_eq(state, WN_STAMP_NONE, "a damaged stamp is none");
    wn_str_free(&why);
    json_decref(a);
    json_decref(b);
}

Test(recipe, costs_add_up_over_runs_and_guess)
{
    wn_cost *c;
    char log[4096], *text;
    size_t len;
    double s = 0;
    cr_assert_eq(wn_cost_open(&c, folder), WN_OK);
    cr_expect_not(wn_cost_guess(&s, c, "train", 10));
    cr_assert_eq(wn_cost_add(c, "a", "train", 2, 0, false), WN_OK);
    cr_assert_eq(wn_cost_add(c, "a", "train", 3, 10, true), WN_OK);
    cr_assert_eq(wn_cost_add(c, "b", "train", 5, 10, true), WN_OK);
    wn_cost_close(c);
    snprintf(log, sizeof log, "%s/log.jsonl", folder);
    cr_assert_eq(wn_file_read(&text, &len, log, 1 << 16), WN_OK);
    text = wn_realloc(text, len + 8);
    memcpy(text + len, "{\"part\"", 8);
    cr_assert_eq(wn_file_write(log, text, len + 7), WN_OK);
    wn_free(text);
    cr_assert_eq(wn_cost_open(&c, folder), WN_OK, "a torn tail is no fault");
    cr_expect_eq(wn_cost_of(c, "a"), 5);
    cr_expect(wn_cost_guess(&s, c, "train", 20));
    cr_expect_float_eq(s, 10, 1e-12);
    cr_assert_eq(wn_cost_anew(c, "a"), WN_OK);
    cr_expect_eq(wn_cost_of(c, "a"), 0);
    wn_cost_close(c);
    cr_assert_eq(wn_cost_open(&c, folder), WN_OK);
    cr_expect_eq(wn_cost_of(c, "a"), 0);
    cr_expect_eq(wn_cost_of(c, "b"), 5);
    wn_cost_close(c);
    wn_str t = {0};
    wn_cost_text(&t, 3.14);
    wn_str_putc(&t, '|');
    wn_cost_text(&t, 42);
    wn_str_putc(&t, '|');
    wn_cost_text(&t, 125);
    wn_str_putc(&t, '|');
    wn_cost_text(&t, 4320);
    cr_expect_str_eq(t.p, "3.1 s|42 s|2 min 05 s|1 h 12 min");
    wn_str_free(&t);
}
