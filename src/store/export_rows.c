/* `winnow export` of a selection, or of any rows, for other trainers:
 *
 *   completion   {"prompt", "completion"}: prompt and completion laid end to end are the text that
 *                winnow trains a decoder on, so a blank is put in front of a completion where
 *                neither side has white space (encode.h)
 *   alpaca       {"instruction", "input", "output"}, the input empty
 *   messages     {"messages": [user, assistant]}, each with role and content
 *   sharegpt     {"conversations": [human, gpt]}, each with from and value
 */
#include "store/export_rows.h"

#include <string.h>

#include "base/report.h"
#include "base/str.h"
#include "io/file.h"
#include "io/json.h"
#include "pool/pool.h"
#include "token/encode.h"

static void member(wn_str *s, const char *before, wn_span text)
{
    wn_str_puts(s, before);
    wn_json_string(s, text.p, text.len);
}

/* Where a prompt and a target stand in a shape's line. */
struct shape {
    const char *name, *prompt, *target, *end;
    bool joined; /* the target begins with the blank that joins it to the prompt */
};

static const struct shape *shape_of(const char *format)
{
    static const struct shape shape[] = {
        {"completion", "{\"prompt\": ", ", \"completion\": ", "}\n", true},
        {"alpaca", "{\"instruction\": ", ", \"input\": \"\", \"output\": ", "}\n", false},
        {"messages", "{\"messages\": [{\"role\": \"user\", \"content\": ",
         "}, {\"role\": \"assistant\", \"content\": ", "}]}\n", false},
        {"sharegpt", "{\"conversations\": [{\"from\": \"human\", \"value\": ",
         "}, {\"from\": \"gpt\", \"value\": ", "}]}\n", false}};
    for (size_t i = 0; i < sizeof shape / sizeof *shape; i++)
        if (strcmp(format, shape[i].name) == 0)
            return &shape[i];
    return NULL;
}

static wn_err write_row(wn_str *s, const wn_row *row, const struct shape *shape)
{
    wn_str text = {0};
    if (shape->joined && wn_encode_apart(row->prompt, row->target))
        wn_str_puts(&text, " ");
    wn_str_add(&text, row->target.p, row->target.len);
    wn_err err = wn_str_check(&text);
    if (err == WN_OK) {
        member(s, shape->prompt, row->prompt);
        member(s, shape->target, (wn_span){text.p ? text.p : "", text.len});
        wn_str_puts(s, shape->end);
    }
    wn_str_free(&text);
    return err;
}

bool wn_export_of_rows(const char *format)
{
    return shape_of(format) != NULL;
}

static wn_err one(wn_out *out, wn_str *line, const wn_pool *p, const wn_row *row,
                  const struct shape *shape)
{
    if (!row->has_target)
        return wn_fail(WN_EARG, "%s: row \"%.*s\" has no target", wn_pool_path(p), (int)row->id.len,
                       row->id.p);
    wn_str_clear(line);
    WN_TRY(write_row(line, row, shape));
    WN_TRY(wn_str_check(line));
    return wn_out_write(out, line->p, line->len);
}

static wn_err all(wn_out *out, const wn_pool *p, const struct shape *shape)
{
    wn_str line = {0};
    wn_row row = {0};
    wn_err err = WN_OK;
    uint64_t n = wn_pool_rows(p);
    for (uint64_t r = 0; r < n && err == WN_OK; r++) {
        err = wn_pool_row(p, r, &row);
        if (err == WN_OK)
            err = one(out, &line, p, &row, shape);
        if (err == WN_OK)
            err = wn_progress("export", "rows", r + 1, n, NULL);
    }
    wn_row_free(&row);
    wn_str_free(&line);
    return err;
}

wn_err wn_export_rows(const wn_export_opts *o)
{
    wn_pool *p;
    wn_out out;
    WN_TRY(wn_out_refuse(o->common.out, o->common.overwrite));
    WN_TRY(wn_pool_open(&p, o->store, o->map, true));
    wn_err err = wn_out_open(&out, o->common.out);
    if (err == WN_OK) {
        err = all(&out, p, shape_of(o->format));
        if (err == WN_OK)
            err = wn_out_commit(&out);
        else
            wn_out_abort(&out);
    }
    wn_pool_close(p);
    return err;
}
