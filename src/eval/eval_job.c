/* winnow eval: predictions (ranked by the model, or given) to one figure with its interval. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/report.h"
#include "eval/answers.h"
#include "eval/job.h"
#include "eval/stats.h"
#include "io/file.h"

struct eval_job {
    const wn_eval_opts *o;
    wn_pool *rows;
    wn_model *model;
    wn_metric_kind kind;
    wn_length_norm norm;
    wn_encode_rule rule;
    wn_encode_counts counts;
    wn_predictions predictions; /* not for nll */
    wn_choice_scores ranked;    /* rows == 0: not ranked */
    double *score;              /* [rows] */
    double *nll;                /* [rows], nll only */
    uint32_t *tokens;
};

static wn_err choose_metric(struct eval_job *j)
{
    wn_row row = {0};
    WN_TRY(wn_length_norm_parse(&j->norm, j->o->length_norm));
    if (j->o->metric)
        return wn_metric_kind_parse(&j->kind, j->o->metric);
    wn_err err = wn_pool_row(j->rows, 0, &row);
    j->kind = row.n_choices ? WN_SCORE_ACCURACY : WN_SCORE_ROUGE_L;
    wn_row_free(&row);
    return err;
}

/* Rows whose answers must be generated: generation is not here, so that is said before the model is
 * opened. */
static wn_err check_rows(const struct eval_job *j)
{
    wn_row row = {0};
    wn_err err = WN_OK;
    for (uint64_t r = 0; r < wn_pool_rows(j->rows) && err == WN_OK; r++) {
        err = wn_pool_row(j->rows, r, &row);
        if (err == WN_OK && !row.n_choices)
            err = wn_fail(WN_EARG,
                          "generation is not available for %s yet: row \"%.*s\" of %s has "
                          "no choices to rank; --predictions scores given answers",
                          wn_metric_kind_name(j->kind), (int)row.id.len, row.id.p,
                          wn_pool_path(j->rows));
    }
    wn_row_free(&row);
    return err;
}

/* ---- predictions ---- */

static wn_err best_choices(struct eval_job *j)
{
    wn_row row = {0};
    WN_TRY(wn_predictions_init(&j->predictions, wn_pool_rows(j->rows)));
    WN_TRY(wn_rank_rows(&j->ranked, j->model, j->rows, &j->rule, &j->counts));
    wn_err err = WN_OK;
    for (uint64_t r = 0; r < j->ranked.rows && err == WN_OK; r++) {
        size_t best = 0;
        err = wn_pool_row(j->rows, r, &row);
        if (err == WN_OK)
            err = wn_rank_best(&best, &j->ranked, &row, j->norm);
        if (err == WN_OK)
            err = wn_predictions_set(&j->predictions, r, row.choices[best]);
    }
    wn_row_free(&row);
    return err;
}

/* A row's score is its mean loss a token; the metric is their mean, as a batch's loss is. */
static wn_err losses(struct eval_job *j)
{
    WN_NEW(j->nll, wn_pool_rows(j->rows));
    WN_NEW(j->tokens, wn_pool_rows(j->rows));
    WN_TRY(wn_nll_rows(j->nll, j->tokens, j->model, j->rows, &j->rule, &j->counts));
    for (uint64_t r = 0; r < wn_pool_rows(j->rows); r++)
        j->score[r] = j->nll[r] / j->tokens[r];
    return WN_OK;
}

static wn_err score_model(struct eval_job *j)
{
    const wn_eval_opts *o = j->o;
    if (!o->model)
        return wn_fail(WN_EARG, "eval: expected a model or predictions");
    if (j->kind != WN_SCORE_NLL)
        WN_TRY(check_rows(j));
    const wn_model_opts mo = {.precision = o->common.precision, .adapter = o->adapter};
    WN_TRY(wn_model_open(&j->model, o->model, &mo));
    WN_TRY(wn_eval_rule(&j->rule, j->model, o->max_tokens, o->max_target, o->tmpl, false));
    if (j->kind == WN_SCORE_NLL)
        return losses(j);
    WN_TRY(best_choices(j));
    return wn_predictions_score(j->score, &j->predictions, j->rows, j->kind);
}

static wn_err score_all(struct eval_job *j)
{
    WN_NEW(j->score, wn_pool_rows(j->rows));
    if (!j->o->predictions)
        return score_model(j);
    if (j->kind == WN_SCORE_NLL)
        return wn_fail(WN_EARG, "eval: nll needs a model; given predictions have no loss");
    WN_TRY(wn_predictions_read(&j->predictions, j->rows, j->o->predictions));
    return wn_predictions_score(j->score, &j->predictions, j->rows, j->kind);
}

/* ---- output ---- */

static void put_line(wn_str *s, const struct eval_job *j, const wn_row *row)
{
    uint64_t r = row->index;
    wn_str_clear(s);
    wn_str_puts(s, "{\"id\": ");
    wn_row_id_json(s, row);
    if (j->kind == WN_SCORE_NLL) {
        wn_str_puts(s, ", \"nll\": ");
        wn_json_f64(s, j->nll[r]);
        wn_str_printf(s, ", \"tokens\": %u", j->tokens[r]);
    } else {
        wn_span p = wn_predictions_get(&j->predictions, r);
        wn_str_puts(s, ", \"prediction\": ");
        wn_json_string(s, p.p, p.len);
    }
    wn_str_puts(s, ", \"score\": ");
    wn_json_f64(s, j->score[r]);
    for (size_t i = j->ranked.rows ? j->ranked.start[r] : 0; j->ranked.rows; i++) {
        if (i == j->ranked.start[r + 1]) {
            wn_str_putc(s, ']');
            break;
        }
        wn_str_puts(s, i == j->ranked.start[r] ? ", \"choices\": [{\"nll\": " : ", {\"nll\": ");
        wn_json_f64(s, j->ranked.nll[i]);
        wn_str_printf(s, ", \"tokens\": %u}", j->ranked.tokens[i]);
    }
    wn_str_puts(s, "}\n");
}

static wn_err write_lines(const struct eval_job *j, wn_out *out)
{
    wn_row row = {0};
    wn_str line = {0};
    wn_err err = WN_OK;
    for (uint64_t r = 0; r < wn_pool_rows(j->rows) && err == WN_OK; r++) {
        err = wn_pool_row(j->rows, r, &row);
        if (err)
            break;
        put_line(&line, j, &row);
        err = wn_str_check(&line);
        if (err == WN_OK)
            err = wn_out_write(out, line.p, line.len);
    }
    wn_row_free(&row);
    wn_str_free(&line);
    return err;
}

static json_t *options_json(const struct eval_job *j)
{
    static const char *const norm[] = {"none", "tokens", "bytes"};
    return json_pack("{s:s, s:s, s:I, s:I, s:s, s:s}", "metric", wn_metric_kind_name(j->kind),
                     "length_norm", norm[j->norm], "max_tokens", (json_int_t)j->rule.max_tokens,
                     "max_target", (json_int_t)j->rule.max_target, "template",
                     j->o->tmpl ? j->o->tmpl : "none", "predictions",
                     j->o->predictions ? j->o->predictions : "");
}

static wn_err write_out(const struct eval_job *j)
{
    wn_out out;
    WN_TRY(wn_out_open(&out, j->o->common.out));
    wn_err err = write_lines(j, &out);
    if (err == WN_OK)
        err = wn_out_commit(&out);
    wn_out_abort(&out);
    WN_TRY(err);
    if (!wn_out_is_file(j->o->common.out))
        return WN_OK;
    return wn_eval_manifest("winnow eval", &j->o->common, j->model, j->rows, options_json(j));
}

static wn_err summary(const struct eval_job *j, char **json)
{
    wn_str s = {0};
    uint64_t n = wn_pool_rows(j->rows);
    wn_interval ci = wn_bootstrap_mean(j->score, n, j->o->common.seed);
    if (j->kind == WN_SCORE_MACRO_F1) {
        ci.low = fmax(0, ci.low);
        ci.high = fmin(1, ci.high);
    }
    wn_str_printf(&s, "{\"metric\": \"%s\", \"value\": ", wn_metric_kind_name(j->kind));
    wn_json_f64(&s, ci.mean);
    wn_str_printf(&s, ", \"n\": %llu, \"ci95\": [", (unsigned long long)n);
    wn_json_f64(&s, ci.low);
    wn_str_puts(&s, ", ");
    wn_json_f64(&s, ci.high);
    wn_str_puts(&s, "]}");
    wn_err err = wn_str_check(&s);
    if (err) {
        wn_str_free(&s);
        return err;
    }
    *json = s.p;
    return WN_OK;
}

static wn_err run(struct eval_job *j, char **json)
{
    WN_TRY(wn_pool_open(&j->rows, j->o->rows, j->o->map, true));
    WN_TRY(choose_metric(j));
    WN_TRY(score_all(j));
    wn_str cut = {0};
    wn_encode_summary(&cut, &j->counts, &j->rule);
    if (j->counts.rows && cut.len)
        wn_message("%s", cut.p);
    wn_str_free(&cut);
    if (j->o->common.out)
        WN_TRY(write_out(j));
    return summary(j, json);
}

wn_err wn_eval_job(const wn_eval_opts *o, char **json)
{
    struct eval_job j = {.o = o};
    *json = NULL;
    if (!o->rows)
        return wn_fail(WN_EARG, "eval: expected rows");
    WN_TRY(wn_out_refuse(o->common.out, o->common.overwrite));
    wn_err err = run(&j, json);
    wn_predictions_free(&j.predictions);
    wn_choice_scores_free(&j.ranked);
    wn_free(j.score);
    wn_free(j.nll);
    wn_free(j.tokens);
    wn_model_close(j.model);
    wn_pool_close(j.rows);
    return err;
}
