/* What eval writes: a line a row, and the manifest. */
#include <string.h>

#include "eval/evaluation.h"
#include "eval/normal.h"
#include "io/file.h"

static void put_text(wn_str *s, const char *key, wn_span text)
{
    wn_str_printf(s, ", \"%s\": ", key);
    wn_json_string(s, text.p, text.len);
}

static void put_choices(wn_str *s, const wn_choice_scores *c, uint64_t r)
{
    for (size_t i = c->start[r]; i < c->start[r + 1]; i++) {
        wn_str_puts(s, i == c->start[r] ? ", \"choices\": [{\"nll\": " : ", {\"nll\": ");
        wn_json_f64(s, c->nll[i]);
        wn_str_printf(s, ", \"tokens\": %u", c->tokens[i]);
        if (c->prior) {
            wn_str_puts(s, ", \"prior\": ");
            wn_json_f64(s, c->prior[i]);
        }
        wn_str_puts(s, i + 1 == c->start[r + 1] ? "}]" : "}");
    }
}

static void put_line(wn_str *s, const wn_evaluation *e, const wn_row *row)
{
    uint64_t r = row->index;
    wn_str_clear(s);
    wn_str_puts(s, "{\"id\": ");
    wn_row_id_json(s, row);
    if (wn_metric_of_losses(e->kind)) {
        wn_str_puts(s, ", \"nll\": ");
        wn_json_f64(s, e->nll[r]);
        wn_str_printf(s, ", \"tokens\": %u", e->tokens[r]);
    } else {
        bool ranked = e->ranked.rows && e->ranked.start[r] < e->ranked.start[r + 1];
        bool generated = e->model && !ranked;
        wn_span raw = wn_predictions_get(&e->raw, r);
        put_text(s, "prediction",
                 e->o->n_parse ? wn_predictions_get(&e->said, r)
                 : generated   ? wn_trim(raw)
                               : raw);
        if (e->o->n_parse || generated)
            put_text(s, "raw", raw);
    }
    wn_str_puts(s, ", \"score\": ");
    wn_json_f64(s, e->mine[0].row[r]);
    if (e->ranked.rows)
        put_choices(s, &e->ranked, r);
    wn_str_puts(s, "}\n");
}

static wn_err write_lines(const wn_evaluation *e, wn_out *out)
{
    wn_row row = {0};
    wn_str line = {0};
    wn_err err = WN_OK;
    for (uint64_t r = 0; r < wn_pool_rows(e->rows) && err == WN_OK; r++) {
        err = wn_pool_row(e->rows, r, &row);
        if (err)
            break;
        put_line(&line, e, &row);
        err = wn_str_check(&line);
        if (err == WN_OK)
            err = wn_out_write(out, line.p, line.len);
    }
    wn_row_free(&row);
    wn_str_free(&line);
    return err;
}

static json_t *texts(const char *const *text, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_string(text[i]));
    return list;
}

static json_t *options_json(const wn_evaluation *e)
{
    static const char *const norm[] = {"none", "tokens", "bytes"};
    const wn_eval_opts *o = e->o;
    return json_pack("{s:s, s:s, s:s, s:s, s:s?, s:o, s:o, s:o, s:I, s:I, s:I, s:s, s:s*}",
                     "metric", wn_metric_kind_name(e->kind), "answer",
                     o->answer ? o->answer : "auto", "length_norm", norm[e->norm], "eos",
                     e->rule.no_eos ? "no" : "yes", "calibrate", o->calibrate, "parse",
                     texts(o->parse, o->n_parse), "stop", texts(o->stop, o->n_stop), "predictions",
                     texts(o->predictions, o->n_predictions), "max_tokens",
                     (json_int_t)e->rule.max_tokens, "max_target", (json_int_t)e->rule.max_target,
                     "max_new", (json_int_t)(o->max_new ? o->max_new : WN_MAX_NEW), "template",
                     o->tmpl ? o->tmpl : "none", "system", o->system);
}

wn_err wn_evaluation_manifest(wn_evaluation *e)
{
    return wn_eval_manifest(&e->manifest, "winnow eval", &e->o->common, e->model, e->rows,
                            options_json(e));
}

wn_err wn_evaluation_write(wn_evaluation *e)
{
    wn_out out;
    if (!e->manifest)
        WN_TRY(wn_evaluation_manifest(e));
    WN_TRY(wn_out_open(&out, e->o->common.out));
    wn_err err = write_lines(e, &out);
    if (err == WN_OK)
        err = wn_eval_manifest_write(e->o->common.out, e->manifest);
    if (err == WN_OK)
        err = wn_out_commit(&out);
    wn_out_abort(&out);
    WN_TRY(err);
    err = wn_kept_finish(e->kept);
    e->kept = NULL;
    return err;
}
