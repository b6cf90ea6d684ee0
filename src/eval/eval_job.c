/* winnow eval: answers (a model's, or given ones) to one figure with its interval, and to a
 * comparison with other answers to the same rows. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/report.h"
#include "eval/evaluation.h"
#include "eval/given.h"
#include "eval/stats.h"
#include "io/file.h"

/* ---- options ---- */

static wn_err choose_metric(wn_evaluation *e)
{
    wn_row row = {0};
    WN_TRY(wn_length_norm_parse(&e->norm, e->o->length_norm));
    if (e->o->metric)
        return wn_metric_kind_parse(&e->kind, e->o->metric);
    wn_err err = wn_pool_row(e->rows, 0, &row);
    e->kind = row.n_choices ? WN_SCORE_ACCURACY : WN_SCORE_ROUGE_L;
    wn_row_free(&row);
    return err;
}

static bool is(const char *given, const char *name)
{
    return given && strcmp(given, name) == 0;
}

static wn_err one_of(const char *what, const char *given, const char *a, const char *b,
                     const char *c)
{
    if (!given || is(given, a) || is(given, b) || (c && is(given, c)))
        return WN_OK;
    return wn_fail(WN_EARG, "eval: %s \"%s\" is unknown: expected %s, %s%s%s", what, given, a, b,
                   c ? " or " : "", c ? c : "");
}

/* Options that exclude each other, by what the metric is made of. */
static wn_err check_options(wn_evaluation *e)
{
    const wn_eval_opts *o = e->o;
    const char *name = wn_metric_kind_name(e->kind);
    bool answers = !wn_metric_of_losses(e->kind) && !wn_metric_of_values(e->kind);
    WN_TRY(one_of("answer", o->answer, "auto", "rank", "generate"));
    WN_TRY(one_of("eos", o->eos, "yes", "no", NULL));
    e->generate_all =
        is(o->answer, "generate") || (o->n_parse && (!o->answer || is(o->answer, "auto")));
    if (!answers && (o->n_parse || is(o->answer, "generate")))
        return wn_fail(WN_EUSE, "eval: %s is not of a text that is generated or parsed", name);
    if (o->n_parse && is(o->answer, "rank"))
        return wn_fail(WN_EUSE, "eval: --parse reads texts; expected --answer generate");
    if (o->common.out && o->n_predictions > 1)
        return wn_fail(WN_EUSE, "eval: --out: expected one file of predictions, found %zu",
                       o->n_predictions);
    if (o->n_predictions && o->calibrate)
        return wn_fail(WN_EUSE, "eval: --calibrate needs a model");
    for (size_t i = 0; i < o->n_stop; i++)
        if (!*o->stop[i])
            return wn_fail(WN_EARG, "eval: --stop: expected a text, found an empty one");
    return wn_extract_open(&e->parse, o->parse, o->n_parse);
}

/* ---- scores ---- */

/* Evidence F1 as a row's share, so that the mean over rows is the mean over questions. */
static wn_err score_evidence(wn_scored *s, const wn_predictions *p, const wn_pool *rows)
{
    WN_TRY(wn_evidence_score(&s->evidence, p, rows));
    const wn_evidence *v = &s->evidence;
    for (uint64_t r = 0; r < wn_pool_rows(rows); r++) {
        size_t q = v->of_row[r];
        s->row[r] =
            v->score[q] * ((double)wn_pool_rows(rows) / ((double)v->n * (double)v->rows[q]));
    }
    s->unit = v->score;
    s->n = v->n;
    return WN_OK;
}

static wn_err begin(wn_scored *s, const wn_evaluation *e)
{
    s->n = wn_pool_rows(e->rows);
    WN_NEW(s->row, s->n);
    s->unit = s->row;
    return WN_OK;
}

static wn_err score_losses(const wn_evaluation *e, wn_scored *s, const double *nll,
                           const uint32_t *tokens)
{
    WN_TRY(begin(s, e));
    if (e->kind == WN_SCORE_PERPLEXITY)
        return wn_perplexity_rows(s->row, nll, tokens, s->n);
    for (size_t r = 0; r < s->n; r++)
        s->row[r] = nll[r] / tokens[r];
    return WN_OK;
}

/* Texts through the rules, where there are some, into scores; `said` gets what they found. */
static wn_err score_texts(wn_evaluation *e, wn_scored *s, const wn_predictions *raw,
                          wn_predictions *said)
{
    uint64_t nothing = 0;
    bool rules = e->o->n_parse > 0;
    WN_TRY(begin(s, e));
    if (rules)
        WN_TRY(wn_predictions_parse(said, &nothing, raw, e->rows, e->parse));
    if (nothing)
        wn_message("%llu of %llu answers have nothing that --parse looks for",
                   (unsigned long long)nothing, (unsigned long long)raw->rows);
    const wn_predictions *p = rules ? said : raw;
    if (e->kind == WN_SCORE_EVIDENCE_F1)
        return score_evidence(s, p, e->rows);
    return wn_predictions_score(s->row, p, e->rows, e->kind, rules ? e->parse : NULL);
}

static wn_err score_values(const wn_evaluation *e, wn_scored *s, const wn_choice_scores *c)
{
    WN_TRY(begin(s, e));
    return wn_rank_truth(s->row, c, e->rows, e->norm, e->kind == WN_SCORE_MC2);
}

static wn_err score_model(wn_evaluation *e, wn_scored *s)
{
    WN_TRY(wn_evaluation_answer(e));
    if (wn_metric_of_losses(e->kind))
        return score_losses(e, s, e->nll, e->tokens);
    if (!wn_metric_of_values(e->kind))
        return score_texts(e, s, &e->raw, &e->said);
    return score_values(e, s, &e->ranked);
}

/* Files of predictions or, by the metric, of what it is made of; the first of ours stays for --out.
 */

static wn_err score_losses_file(wn_evaluation *e, wn_scored *s, const char *path, bool keep)
{
    double *nll;
    WN_NEW(nll, wn_pool_rows(e->rows));
    uint32_t *tokens = wn_calloc(wn_pool_rows(e->rows), sizeof *tokens);
    wn_err err = tokens ? WN_OK : WN_ENOMEM;
    if (err == WN_OK)
        err = wn_given_losses(nll, tokens, e->rows, path, wn_metric_kind_name(e->kind));
    if (err == WN_OK)
        err = score_losses(e, s, nll, tokens);
    if (err == WN_OK && keep) {
        e->nll = nll;
        e->tokens = tokens;
        return WN_OK;
    }
    wn_free(nll);
    wn_free(tokens);
    return err;
}

static wn_err score_values_file(wn_evaluation *e, wn_scored *s, const char *path, bool keep)
{
    wn_choice_scores c;
    uint64_t left = 0;
    WN_TRY(wn_given_choices(&c, e->rows, path, wn_metric_kind_name(e->kind)));
    wn_err err = score_values(e, s, &c);
    if (err || !keep) {
        wn_choice_scores_free(&c);
        return err;
    }
    e->ranked = c;
    WN_TRY(wn_predictions_init(&e->raw, wn_pool_rows(e->rows)));
    return wn_evaluation_best(e, &left);
}

static wn_err score_texts_file(wn_evaluation *e, wn_scored *s, const char *path, bool keep)
{
    wn_predictions raw = {0}, said = {0};
    wn_err err = wn_predictions_read(&raw, e->rows, path);
    if (err == WN_OK)
        err = score_texts(e, s, &raw, &said);
    if (err == WN_OK && keep) {
        e->raw = raw;
        e->said = said;
        return WN_OK;
    }
    wn_predictions_free(&raw);
    wn_predictions_free(&said);
    return err;
}

static wn_err score_file(wn_evaluation *e, wn_scored *s, const char *path, bool keep)
{
    return wn_metric_of_losses(e->kind)   ? score_losses_file(e, s, path, keep)
           : wn_metric_of_values(e->kind) ? score_values_file(e, s, path, keep)
                                          : score_texts_file(e, s, path, keep);
}

static wn_err score_all(wn_evaluation *e)
{
    const wn_eval_opts *o = e->o;
    if (!o->model && !o->n_predictions)
        return wn_fail(WN_EUSE, "eval: expected a model or predictions");
    if (o->model && o->n_predictions)
        return wn_fail(WN_EUSE, "eval: expected a model or predictions, found both");
    WN_TRY(check_options(e));
    WN_TRY(wn_evaluation_check(e));
    size_t n = o->n_predictions ? o->n_predictions : 1;
    WN_NEW(e->mine, n);
    e->n_mine = n;
    for (size_t i = 0; i < o->n_predictions; i++)
        WN_TRY(score_file(e, &e->mine[i], o->predictions[i], i == 0));
    if (o->n_against)
        WN_NEW(e->theirs, o->n_against);
    e->n_theirs = o->n_against;
    for (size_t i = 0; i < o->n_against; i++)
        WN_TRY(score_file(e, &e->theirs[i], o->against[i], false));
    return o->n_predictions ? WN_OK : score_model(e, &e->mine[0]);
}

/* ---- summary ---- */

static void put_interval(wn_str *s, wn_interval ci, bool clamp)
{
    wn_str_puts(s, "\"ci95\": [");
    wn_json_f64(s, clamp ? fmax(0, ci.low) : ci.low);
    wn_str_puts(s, ", ");
    wn_json_f64(s, clamp ? fmin(1, ci.high) : ci.high);
    wn_str_puts(s, "]");
}

static wn_interval interval_of(const wn_scored *s, const double **unit, size_t S, uint64_t seed)
{
    for (size_t i = 0; i < S; i++)
        unit[i] = s[i].unit;
    return S == 1 ? wn_bootstrap_mean(unit[0], s->n, seed)
                  : wn_bootstrap_seeds(unit, S, s->n, seed);
}

static void put_arm(wn_str *s, const wn_evaluation *e, const wn_scored *scored, size_t S,
                    wn_interval ci)
{
    wn_str_puts(s, "\"value\": ");
    wn_json_f64(s, ci.mean);
    wn_str_printf(s, ", \"n\": %llu, ", (unsigned long long)scored->n);
    put_interval(s, ci, !wn_metric_of_losses(e->kind));
    if (S == 1)
        return;
    wn_str_puts(s, ", \"seeds\": [");
    for (size_t i = 0; i < S; i++) {
        double sum = 0;
        for (size_t k = 0; k < scored[i].n; k++)
            sum += scored[i].unit[k];
        wn_str_puts(s, i ? ", " : "");
        wn_json_f64(s, sum / (double)scored[i].n);
    }
    wn_str_puts(s, "]");
}

static void put_comparison(wn_str *s, const wn_evaluation *e, const double **mine,
                           const double **theirs)
{
    uint64_t seed = e->o->common.seed;
    wn_interval other = interval_of(e->theirs, theirs, e->n_theirs, seed);
    wn_compare c = wn_compare_arms(mine, e->n_mine, theirs, e->n_theirs, e->mine->n, seed);
    wn_str_puts(s, ", \"against\": {");
    put_arm(s, e, e->theirs, e->n_theirs, other);
    wn_str_puts(s, "}, \"compare\": {\"difference\": ");
    wn_json_f64(s, c.difference.mean);
    wn_str_puts(s, ", ");
    put_interval(s, c.difference, false);
    wn_str_puts(s, ", \"p_permutation\": ");
    wn_json_f64(s, c.p_permutation);
    wn_str_puts(s, ", \"p_mcnemar\": ");
    wn_json_f64(s, c.p_mcnemar);
    wn_str_printf(s, ", \"verdict\": \"%s\"}", wn_verdict(&c));
}

static wn_err summary(const wn_evaluation *e, char **json)
{
    wn_str s = {0};
    const double **unit;
    WN_NEW(unit, e->n_mine + e->n_theirs);
    wn_interval ci = interval_of(e->mine, unit, e->n_mine, e->o->common.seed);
    wn_str_printf(&s, "{\"metric\": \"%s\", ", wn_metric_kind_name(e->kind));
    put_arm(&s, e, e->mine, e->n_mine, ci);
    if (e->kind == WN_SCORE_EVIDENCE_F1) {
        wn_str_puts(&s, ", \"nothing\": ");
        wn_json_f64(&s, e->mine->evidence.nothing);
    }
    if (e->n_theirs)
        put_comparison(&s, e, unit, unit + e->n_mine);
    wn_str_puts(&s, "}");
    wn_free(unit);
    wn_err err = wn_str_check(&s);
    if (err) {
        wn_str_free(&s);
        return err;
    }
    *json = s.p;
    return WN_OK;
}

/* ---- all ---- */

static wn_err run(wn_evaluation *e, char **json)
{
    WN_TRY(wn_pool_open(&e->rows, e->o->rows, e->o->map, true));
    WN_TRY(choose_metric(e));
    WN_TRY(score_all(e));
    if (e->o->common.out)
        WN_TRY(wn_evaluation_write(e));
    return summary(e, json);
}

static void free_scored(wn_scored *s, size_t n)
{
    for (size_t i = 0; s && i < n; i++) {
        wn_free(s[i].row);
        wn_evidence_free(&s[i].evidence);
    }
    wn_free(s);
}

wn_err wn_eval_job(const wn_eval_opts *o, char **json)
{
    wn_evaluation e = {.o = o};
    *json = NULL;
    if (!o->rows)
        return wn_fail(WN_EARG, "eval: expected rows");
    WN_TRY(wn_out_refuse(o->common.out, o->common.overwrite));
    wn_err err = run(&e, json);
    free_scored(e.mine, e.n_mine);
    free_scored(e.theirs, e.n_theirs);
    wn_predictions_free(&e.raw);
    wn_predictions_free(&e.said);
    wn_choice_scores_free(&e.ranked);
    wn_free(e.nll);
    wn_free(e.tokens);
    wn_extract_close(e.parse);
    wn_kept_close(e.kept);
    json_decref(e.manifest);
    wn_model_close(e.model);
    wn_pool_close(e.rows);
    return err;
}
