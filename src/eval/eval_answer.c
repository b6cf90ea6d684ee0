/* What a model answers: choices are ranked, other rows generated, losses taken. */
#include <string.h>

#include "base/mem.h"
#include "base/report.h"
#include "eval/evaluation.h"

/* ---- before the model is opened ---- */

/* Rows whose choices call for a word, and the first of them. */
struct remark {
    uint64_t rows;
    wn_str first;
};

static void note(struct remark *n, const wn_row *row)
{
    if (n->rows++ == 0)
        wn_str_add(&n->first, row->id.p, row->id.len);
}

static bool begins(wn_span a, wn_span b)
{
    return a.len < b.len && memcmp(a.p, b.p, a.len) == 0;
}

static void look(struct remark *equal, struct remark *beginning, const wn_row *row)
{
    bool same = false, begin = false;
    for (size_t i = 0; i < row->n_choices; i++)
        for (size_t k = 0; k < row->n_choices; k++) {
            same |= k < i && wn_span_same(row->choices[i], row->choices[k]);
            begin |= begins(row->choices[i], row->choices[k]);
        }
    if (same)
        note(equal, row);
    if (begin)
        note(beginning, row);
}

static bool ends_out(const wn_evaluation *e)
{
    return e->o->eos && strcmp(e->o->eos, "no") == 0;
}

static void tell(const wn_evaluation *e, const struct remark *equal, const struct remark *beginning)
{
    if (e->generate_all || !e->o->model)
        return;
    if (equal->rows)
        wn_message("%llu rows have equal choices, of which the first counts (\"%s\" is one)",
                   (unsigned long long)equal->rows, equal->first.p);
    if (beginning->rows && ends_out(e) && e->norm == WN_NORM_NONE)
        wn_message("%llu rows have a choice that is the beginning of another, which without EOS "
                   "can never lose to it (\"%s\" is one)",
                   (unsigned long long)beginning->rows, beginning->first.p);
}

wn_err wn_evaluation_check(wn_evaluation *e)
{
    struct remark equal = {0}, beginning = {0};
    wn_row row = {0};
    wn_err err = WN_OK;
    if (e->kind == WN_SCORE_EVIDENCE_F1) {
        wn_evidence nothing;
        err = wn_evidence_score(&nothing, NULL, e->rows);
        wn_evidence_free(&nothing);
    }
    for (uint64_t r = 0; r < wn_pool_rows(e->rows) && err == WN_OK; r++) {
        err = wn_pool_row(e->rows, r, &row);
        if (err == WN_OK && e->kind != WN_SCORE_EVIDENCE_F1)
            err = wn_answers_check(&row, e->rows, e->kind);
        if (err == WN_OK && e->o->answer && strcmp(e->o->answer, "rank") == 0 && !row.n_choices)
            err = wn_fail(WN_EARG, "%s: row \"%.*s\" has no choices to rank", wn_pool_path(e->rows),
                          (int)row.id.len, row.id.p);
        if (err == WN_OK)
            look(&equal, &beginning, &row);
    }
    if (err == WN_OK)
        tell(e, &equal, &beginning);
    wn_str_free(&equal.first);
    wn_str_free(&beginning.first);
    wn_row_free(&row);
    return err;
}

/* ---- answers ---- */

wn_err wn_evaluation_best(wn_evaluation *e, uint64_t *left)
{
    wn_row row = {0};
    wn_err err = WN_OK;
    for (uint64_t r = 0; r < e->ranked.rows && err == WN_OK; r++) {
        size_t best = 0;
        err = wn_pool_row(e->rows, r, &row);
        if (err == WN_OK && row.n_choices)
            err = wn_rank_best(&best, &e->ranked, &row, e->norm);
        if (err == WN_OK && row.n_choices)
            err = wn_predictions_set(&e->raw, r, row.choices[best]);
        *left += row.n_choices == 0;
    }
    wn_row_free(&row);
    return err;
}

static wn_err rank(wn_evaluation *e, uint64_t *left)
{
    WN_TRY(wn_rank_rows(&e->ranked, e->model, e->rows, &e->rule, &e->counts, e->kept));
    if (e->o->calibrate)
        WN_TRY(
            wn_rank_calibrate(&e->ranked, e->model, e->rows, &e->rule, e->o->calibrate, e->kept));
    return wn_evaluation_best(e, left);
}

static wn_err losses(wn_evaluation *e)
{
    WN_NEW(e->nll, wn_pool_rows(e->rows));
    WN_NEW(e->tokens, wn_pool_rows(e->rows));
    return wn_nll_rows(e->nll, e->tokens, e->model, e->rows, &e->rule, &e->counts, e->kept);
}

static void tell_cuts(const wn_evaluation *e)
{
    const wn_generate_counts *g = &e->generated;
    wn_str s = {0};
    wn_encode_rule shorter = e->rule;
    shorter.max_tokens = g->room;
    if (e->counts.rows)
        wn_encode_summary(&s, &e->counts, &e->rule);
    if (s.len)
        wn_message("%s", s.p);
    wn_str_clear(&s);
    if (g->rows)
        wn_encode_summary(&s, &g->prompts, &shorter);
    if (s.len)
        wn_message("%s", s.p);
    if (g->unended)
        wn_message("%llu of %llu generated answers came to no end within %zu tokens",
                   (unsigned long long)g->unended, (unsigned long long)g->rows,
                   e->o->max_new ? e->o->max_new : (size_t)WN_MAX_NEW);
    wn_str_free(&s);
}

wn_err wn_evaluation_answer(wn_evaluation *e)
{
    const wn_eval_opts *o = e->o;
    const wn_model_opts mo = {.precision = o->common.precision, .adapter = o->adapter};
    uint64_t left = e->generate_all;
    WN_TRY(wn_model_open(&e->model, o->model, &mo));
    WN_TRY(
        wn_eval_rule(&e->rule, e->model, o->max_tokens, o->max_target, o->tmpl, o->system, false));
    e->rule.no_eos = ends_out(e);
    WN_TRY(wn_evaluation_manifest(e));
    WN_TRY(wn_kept_open(&e->kept, o->common.out, e->manifest, o->common.overwrite));
    if (wn_metric_of_losses(e->kind)) {
        WN_TRY(losses(e));
        tell_cuts(e);
        return WN_OK;
    }
    WN_TRY(wn_predictions_init(&e->raw, wn_pool_rows(e->rows)));
    if (!e->generate_all)
        WN_TRY(rank(e, &left));
    if (left) {
        const wn_generate_rule g = {.max_new = o->max_new,
                                    .stop = o->stop,
                                    .n_stop = o->n_stop,
                                    .max_memory = o->common.max_memory,
                                    .all = e->generate_all};
        WN_TRY(wn_generate_rows(&e->raw, e->model, e->rows, &e->rule, &g, &e->generated, e->kept));
    }
    tell_cuts(e);
    return WN_OK;
}
