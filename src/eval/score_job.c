/* winnow score: what the model thinks of each row's target and choices, a line of JSON a row. */
#include "base/mem.h"
#include "base/report.h"
#include "eval/answers.h"
#include "eval/job.h"
#include "io/file.h"

struct score_job {
    const wn_score_opts *o;
    wn_model *model;
    wn_pool *rows;
    wn_out out;
    wn_str line;
    json_t *manifest;
    wn_kept *kept;
    uint64_t done; /* rows whose lines were kept */
};

/* A row's line is what is kept of it. */
static wn_err keep(wn_kept *kept, uint64_t row, const wn_str *line)
{
    wn_str *s = wn_kept_begin(kept, "score", row);
    if (!s)
        return WN_OK;
    wn_str_puts(s, ",\"line\":");
    wn_json_string(s, line->p, line->len);
    return wn_kept_end(kept);
}

static wn_err take_line(void *ctx, uint64_t row, const json_t *record, const char *where)
{
    struct score_job *j = ctx;
    const json_t *line = json_object_get(record, "line");
    if (row != j->done || row >= wn_pool_rows(j->rows) || !json_is_string(line))
        return wn_fail(WN_EFORMAT, "%s: expected the line of row %llu next, found row %llu", where,
                       (unsigned long long)j->done, (unsigned long long)row);
    j->done++;
    return wn_out_write(&j->out, json_string_value(line), json_string_length(line));
}

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
    WN_TRY(wn_out_write(&j->out, s->p, s->len));
    return keep(j->kept, row->index, s);
}

static json_t *options_json(const wn_score_opts *o, const wn_encode_rule *rule)
{
    return json_pack("{s:I, s:I, s:s, s:b, s:s*}", "max_tokens", (json_int_t)rule->max_tokens,
                     "max_target", (json_int_t)rule->max_target, "template",
                     o->tmpl ? o->tmpl : "none", "loss_on_all", (int)o->loss_on_all, "system",
                     o->system);
}

static wn_err write_rows(struct score_job *j, const wn_encode_rule *rule)
{
    wn_encode_counts counts = {0};
    WN_TRY(wn_kept_replay(j->kept, "score", take_line, j));
    const wn_score_want want = {.target = true,
                                .choices = true,
                                .stage = "score",
                                .done = j->done,
                                .often = j->kept != NULL};
    WN_TRY(wn_score_texts(j->model, j->rows, rule, &want, write_row, j, &counts));
    WN_TRY(wn_eval_manifest_write(j->o->common.out, j->manifest));
    WN_TRY(wn_out_commit(&j->out));
    wn_str_clear(&j->line);
    wn_encode_summary(&j->line, &counts, rule);
    if (j->line.len)
        wn_message("%s", j->line.p);
    return WN_OK;
}

static wn_err run(struct score_job *j)
{
    const wn_score_opts *o = j->o;
    const wn_model_opts mo = {.precision = o->common.precision, .adapter = o->adapter};
    wn_encode_rule rule;
    WN_TRY(wn_pool_open(&j->rows, o->rows, o->map, true));
    WN_TRY(wn_model_open(&j->model, o->model, &mo));
    WN_TRY(wn_eval_rule(&rule, j->model, o->max_tokens, o->max_target, o->tmpl, o->system,
                        o->loss_on_all));
    WN_TRY(wn_eval_manifest(&j->manifest, "winnow scores", &o->common, j->model, j->rows,
                            options_json(o, &rule)));
    WN_TRY(wn_kept_open(&j->kept, o->common.out, j->manifest, o->common.overwrite));
    WN_TRY(wn_out_open(&j->out, o->common.out));
    WN_TRY(write_rows(j, &rule));
    wn_err err = wn_kept_finish(j->kept);
    j->kept = NULL;
    return err;
}

wn_err wn_score_job(const wn_score_opts *o)
{
    struct score_job j = {.o = o};
    if (!o->model || !o->rows)
        return wn_fail(WN_EARG, "score: expected a model and rows");
    WN_TRY(wn_out_refuse(o->common.out, o->common.overwrite));
    wn_err err = run(&j);
    wn_out_abort(&j.out);
    wn_kept_close(j.kept);
    json_decref(j.manifest);
    wn_str_free(&j.line);
    wn_model_close(j.model);
    wn_pool_close(j.rows);
    return err;
}
