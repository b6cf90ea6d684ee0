/* winnow score: what the model thinks of each row's target and choices, a line of JSON a row. */
#include "base/mem.h"
#include "base/report.h"
#include "eval/answers.h"
#include "eval/job.h"
#include "io/file.h"

struct score_job {
    wn_out out;
    wn_str line;
};

static wn_err write_row(void *ctx, const wn_row *row, const wn_text_score *target,
                        const wn_text_score *choice)
{
    struct score_job *j = ctx;
    wn_str *s = &j->line;
    wn_str_clear(s);
    wn_str_puts(s, "{\"id\": ");
    wn_row_id_json(s, row);
    wn_str_puts(s, ", \"nll\": ");
    wn_json_f64(s, target->nll);
    wn_str_printf(s, ", \"tokens\": %u", target->tokens);
    for (size_t i = 0; i < row->n_choices; i++) {
        wn_str_puts(s, i ? ", {\"nll\": " : ", \"choices\": [{\"nll\": ");
        wn_json_f64(s, choice[i].nll);
        wn_str_printf(s, ", \"tokens\": %u}", choice[i].tokens);
    }
    wn_str_puts(s, row->n_choices ? "]}\n" : "}\n");
    WN_TRY(wn_str_check(s));
    return wn_out_write(&j->out, s->p, s->len);
}

static json_t *options_json(const wn_score_opts *o, const wn_encode_rule *rule)
{
    return json_pack("{s:I, s:I, s:s, s:b}", "max_tokens", (json_int_t)rule->max_tokens,
                     "max_target", (json_int_t)rule->max_target, "template",
                     o->tmpl ? o->tmpl : "none", "loss_on_all", (int)o->loss_on_all);
}

static wn_err run(struct score_job *j, const wn_score_opts *o, wn_model *m, wn_pool *rows)
{
    wn_encode_rule rule;
    wn_encode_counts counts = {0};
    const wn_score_want want = {.target = true, .choices = true, .stage = "score"};
    WN_TRY(wn_eval_rule(&rule, m, o->max_tokens, o->max_target, o->tmpl, o->loss_on_all));
    WN_TRY(wn_out_open(&j->out, o->common.out));
    wn_err err = wn_score_texts(m, rows, &rule, &want, write_row, j, &counts);
    if (err == WN_OK)
        err = wn_out_commit(&j->out);
    wn_out_abort(&j->out);
    WN_TRY(err);
    wn_str_clear(&j->line);
    wn_encode_summary(&j->line, &counts, &rule);
    if (j->line.len)
        wn_message("%s", j->line.p);
    if (!wn_out_is_file(o->common.out))
        return WN_OK;
    return wn_eval_manifest("winnow scores", &o->common, m, rows, options_json(o, &rule));
}

wn_err wn_score_job(const wn_score_opts *o)
{
    wn_model *m = NULL;
    wn_pool *rows = NULL;
    struct score_job j = {0};
    if (!o->model || !o->rows)
        return wn_fail(WN_EARG, "score: expected a model and rows");
    WN_TRY(wn_out_refuse(o->common.out, o->common.overwrite));
    wn_err err = wn_pool_open(&rows, o->rows, o->map, true);
    const wn_model_opts mo = {.precision = o->common.precision, .adapter = o->adapter};
    if (err == WN_OK)
        err = wn_model_open(&m, o->model, &mo);
    if (err == WN_OK)
        err = run(&j, o, m, rows);
    wn_str_free(&j.line);
    wn_model_close(m);
    wn_pool_close(rows);
    return err;
}
