/* `winnow select`. */
#include <string.h>

#include "base/mem.h"
#include "base/report.h"
#include "io/file.h"
#include "select/select.h"

static wn_err check_inputs(const wn_strategy *s, const wn_select_opts *o)
{
    bool vectors = s->feature == WN_FEATURE_VECTORS || s->feature == WN_FEATURE_GRADIENTS;
    if (vectors && (!o->store || !o->queries))
        return wn_fail(WN_EARG, "select: strategy %s needs %s", o->strategy,
                       o->store ? "--queries" : "--store");
    if (s->feature == WN_FEATURE_GRADIENTS && !wn_is_store(o->queries))
        return wn_fail(WN_EARG,
                       "%s: expected a store of the target's gradients (a folder with store.json)",
                       o->queries);
    if (s->feature == WN_FEATURE_TEXT && (!o->pool || !o->queries))
        return wn_fail(WN_EARG, "select: strategy %s needs %s", o->strategy,
                       o->pool ? "--queries" : "--pool");
    if (s->feature == WN_FEATURE_TEXT && o->store)
        return wn_fail(WN_EARG, "select: strategy %s reads texts, not --store", o->strategy);
    if (!o->store && !o->pool)
        return wn_fail(WN_EARG, "select: strategy %s needs --pool, or --store for ids alone",
                       o->strategy);
    return WN_OK;
}

static wn_err check(const wn_strategy **s, const wn_select_opts *o)
{
    wn_metric metric;
    WN_TRY(wn_strategy_find(s, o->strategy));
    WN_TRY(wn_metric_parse(&metric, o->metric));
    WN_TRY(check_inputs(*s, o));
    if ((*s)->fills && !o->budget && !o->budget_tokens && !o->per_task)
        return wn_fail(WN_EARG, "select: strategy %s needs --budget, --budget-tokens or --per-task",
                       o->strategy);
    if (strcmp(o->strategy, "all") == 0 && (o->budget || o->budget_tokens))
        return wn_fail(WN_EARG, "select: strategy all takes every row, but a budget is given");
    const char *out = o->common.out;
    if (out && strcmp(out, "-") != 0 && !o->common.overwrite && wn_file_exists(out))
        return wn_fail(WN_EARG,
                       "%s: a finished selection is there already; --overwrite replaces it", out);
    return WN_OK;
}

/* The target rows: --avoid, and --queries where they are rows: a store of queries knows no texts.
 */
static wn_err open_avoid(wn_select_inputs *in, const wn_strategy *s, const wn_select_opts *o)
{
    bool vectors = s->feature == WN_FEATURE_VECTORS && o->pool && !wn_is_store(o->queries);
    bool queries = vectors || s->feature == WN_FEATURE_TEXT;
    WN_NEW(in->avoid, o->n_avoid + 1);
    for (size_t i = 0; i < o->n_avoid + queries; i++) {
        const char *path = i < o->n_avoid ? o->avoid[i] : o->queries;
        WN_TRY(wn_pool_open(&in->avoid[i], path, o->map, true));
        in->n_avoid++;
    }
    return WN_OK;
}

/* That nothing was found means something only beside what was looked for. */
static void say_compared(const wn_constraint_counts *n)
{
    const wn_compared *c = &n->compared;
    wn_str s = {0};
    if (c->rows)
        wn_str_printf(&s,
                      "%llu target rows: %llu runs of %llu words, %llu shorter stretches, %llu "
                      "whole rows, %llu sets of runs",
                      (unsigned long long)c->rows, (unsigned long long)c->runs,
                      (unsigned long long)c->run_words, (unsigned long long)c->stretches,
                      (unsigned long long)c->wholes, (unsigned long long)c->sets);
    if (c->wordless)
        wn_str_printf(&s, "; %llu rows without words were not compared",
                      (unsigned long long)c->wordless);
    if (c->vectors)
        wn_str_printf(&s, "%s%llu target vectors", s.len ? "; " : "",
                      (unsigned long long)c->vectors);
    if (s.len && wn_str_check(&s) == WN_OK)
        wn_message("compared with %s: %llu rows are too like them (%llu exact, %llu by words, %llu "
                   "near, %llu by vectors)",
                   s.p, (unsigned long long)n->vetoed, (unsigned long long)n->by_kind[0],
                   (unsigned long long)n->by_kind[1], (unsigned long long)n->by_kind[2],
                   (unsigned long long)n->by_kind[3]);
    wn_str_free(&s);
}

static wn_err choose(const wn_strategy *s, wn_candidates *c, wn_constraint_counts *counts,
                     const wn_select_inputs *in, const wn_select_opts *o)
{
    WN_TRY(wn_constrain(counts, c, o, in->avoid, in->n_avoid));
    say_compared(counts);
    if (counts->vetoed || counts->duplicates)
        wn_message("%llu of %llu rows may not be chosen: %llu are too like a target row, %llu are "
                   "duplicates",
                   (unsigned long long)(counts->vetoed + counts->duplicates),
                   (unsigned long long)c->N, (unsigned long long)counts->vetoed,
                   (unsigned long long)counts->duplicates);
    if (o->budget_tokens)
        WN_TRY(wn_count_tokens(c, o->model));
    wn_picks picks = {0};
    wn_err err = s->pick(&picks, c, o);
    if (err == WN_OK && picks.n == 0)
        err = wn_fail(WN_EARG, "--budget-tokens: %llu tokens do not hold the first row chosen",
                      (unsigned long long)o->budget_tokens);
    if (err == WN_OK && o->budget && picks.n < o->budget)
        wn_message("%zu rows chosen, %llu were allowed", picks.n, (unsigned long long)o->budget);
    if (err == WN_OK)
        err = wn_selection_write(&picks, c, counts, in, o);
    wn_picks_free(&picks);
    return err;
}

wn_err wn_select_job(const wn_select_opts *o)
{
    const wn_strategy *s;
    wn_candidates c = {0};
    wn_select_inputs in = {0};
    wn_constraint_counts *counts;
    WN_TRY(check(&s, o));
    WN_NEW(counts, 1);
    wn_err err = wn_candidates_open(&c, o);
    if (err == WN_OK)
        err = open_avoid(&in, s, o);
    if (err == WN_OK)
        err = choose(s, &c, counts, &in, o);
    for (size_t i = 0; i < in.n_avoid; i++)
        wn_pool_close(in.avoid[i]);
    wn_free(in.avoid);
    wn_candidates_close(&c);
    wn_constraint_counts_free(counts);
    wn_free(counts);
    return err;
}
