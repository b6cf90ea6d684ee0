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
        return wn_fail(WN_EUSE, "select: strategy %s needs %s", o->strategy,
                       o->store ? "--queries" : "--store");
    if (s->feature == WN_FEATURE_GRADIENTS && !wn_is_store(o->queries))
        return wn_fail(WN_EARG,
                       "%s: expected a store of the target's gradients (a folder with store.json)",
                       o->queries);
    if (s->feature == WN_FEATURE_TEXT && (!o->pool || !o->queries))
        return wn_fail(WN_EUSE, "select: strategy %s needs %s", o->strategy,
                       o->pool ? "--queries" : "--pool");
    if (s->feature == WN_FEATURE_TEXT && o->store)
        return wn_fail(WN_EUSE, "select: strategy %s reads texts, not --store", o->strategy);
    if (!o->store && !o->pool)
        return wn_fail(WN_EUSE, "select: strategy %s needs --pool, or --store for ids alone",
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
        return wn_fail(WN_EUSE, "select: strategy %s needs --budget, --budget-tokens or --per-task",
                       o->strategy);
    if (strcmp(o->strategy, "all") == 0 && (o->budget || o->budget_tokens))
        return wn_fail(WN_EUSE, "select: strategy all takes every row, but a budget is given");
    const char *out = o->common.out;
    if (out && strcmp(out, "-") != 0 && !o->common.overwrite && wn_file_exists(out))
        return wn_fail(WN_EARG,
                       "%s: a finished selection is there already; --overwrite replaces it", out);
    return WN_OK;
}

/* --queries as rows are target rows too (a store of queries knows no texts), once where they are
 * also in --avoid. */
static bool queries_are_targets(const wn_select_opts *o)
{
    if (!o->pool || !o->queries || o->allow_queries || wn_is_store(o->queries))
        return false;
    for (size_t i = 0; i < o->n_avoid; i++)
        if (strcmp(o->avoid[i], o->queries) == 0)
            return false;
    return true;
}

static wn_err open_avoid(wn_select_inputs *in, const wn_select_opts *o)
{
    bool queries = queries_are_targets(o);
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

/* One selection on its way. */
struct job {
    wn_candidates c;
    wn_select_inputs in;
    wn_constraint_counts counts;
};

static wn_err open_job(struct job *j, const wn_select_opts *o, const wn_candidates *like)
{
    WN_TRY(wn_candidates_open(&j->c, o, like));
    WN_TRY(open_avoid(&j->in, o));
    WN_TRY(wn_constrain(&j->counts, &j->c, o, j->in.avoid, j->in.n_avoid));
    const wn_constraint_counts *n = &j->counts;
    say_compared(n);
    if (n->vetoed || n->duplicates)
        wn_message("%llu of %llu rows may not be chosen: %llu are too like a target row, %llu are "
                   "duplicates",
                   (unsigned long long)(n->vetoed + n->duplicates), (unsigned long long)j->c.N,
                   (unsigned long long)n->vetoed, (unsigned long long)n->duplicates);
    return o->budget_tokens ? wn_count_tokens(&j->c, o->model) : WN_OK;
}

static void close_job(struct job *j)
{
    for (size_t i = 0; i < j->in.n_avoid; i++)
        wn_pool_close(j->in.avoid[i]);
    wn_free(j->in.avoid);
    wn_candidates_close(&j->c);
    wn_constraint_counts_free(&j->counts);
}

static wn_err write_job(struct job *j, wn_picks *picks, const wn_select_opts *o)
{
    if (picks->n == 0)
        return wn_fail(WN_EARG, "--budget-tokens: %llu tokens do not hold the first row chosen",
                       (unsigned long long)o->budget_tokens);
    if (o->budget && picks->n < o->budget)
        wn_message("%zu rows chosen, %llu were allowed", picks->n, (unsigned long long)o->budget);
    return wn_selection_write(picks, &j->c, &j->counts, &j->in, o);
}

static wn_err pick(wn_picks *picks, const wn_strategy *s, const struct job *j,
                   const wn_select_opts *o, size_t n)
{
    wn_candidates *c;
    wn_err err = WN_OK;
    if (!s->pick_all) {
        for (size_t i = 0; i < n && err == WN_OK; i++)
            err = s->pick(&picks[i], &j[i].c, &o[i]);
        return err;
    }
    WN_NEW(c, n);
    for (size_t i = 0; i < n; i++)
        c[i] = j[i].c;
    err = s->pick_all(picks, c, o, n);
    wn_free(c);
    return err;
}

static wn_err choose(struct job *j, const wn_strategy *s, const wn_select_opts *o, size_t n)
{
    wn_picks *picks;
    for (size_t i = 0; i < n; i++)
        WN_TRY(open_job(&j[i], &o[i], i ? &j[0].c : NULL));
    WN_NEW(picks, n);
    wn_err err = pick(picks, s, j, o, n);
    for (size_t i = 0; i < n && err == WN_OK; i++)
        err = write_job(&j[i], &picks[i], &o[i]);
    for (size_t i = 0; i < n; i++)
        wn_picks_free(&picks[i]);
    wn_free(picks);
    return err;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

wn_err wn_select_together(const wn_select_opts *o, size_t n)
{
    const wn_strategy *s = NULL;
    struct job *j;
    for (size_t i = 0; i < n; i++) {
        WN_ASSERT(same_text(o[i].strategy, o[0].strategy) && same_text(o[i].store, o[0].store) &&
                  same_text(o[i].pool, o[0].pool) && same_text(o[i].map, o[0].map) &&
                  same_text(o[i].metric, o[0].metric) && o[i].other_text == o[0].other_text);
        WN_TRY(check(&s, &o[i]));
    }
    WN_NEW(j, n);
    wn_err err = choose(j, s, o, n);
    for (size_t i = n; i-- > 0;) /* the first one's are borrowed by the others */
        close_job(&j[i]);
    wn_free(j);
    return err;
}

wn_err wn_select_job(const wn_select_opts *o)
{
    return wn_select_together(o, 1);
}
