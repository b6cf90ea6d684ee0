/* `winnow export`: a store's vectors as a NumPy array with the ids beside, or as JSON lines. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/report.h"
#include "io/file.h"
#include "io/json.h"
#include "io/npy.h"
#include "store/format.h"
#include "store/store.h"

static wn_err write_array(wn_out *out, const wn_store *s)
{
    uint64_t rows = wn_store_rows(s);
    size_t dim = wn_store_dim(s);
    WN_TRY(wn_npy_header(out, rows, dim));
    for (uint64_t r = 0; r < rows; r++) {
        WN_TRY(wn_out_write(out, wn_store_vector(s, r), dim * sizeof(float)));
        WN_TRY(wn_progress("export", "rows", r + 1, rows, NULL));
    }
    return WN_OK;
}

static wn_err write_ids(wn_out *out, const wn_store *s)
{
    wn_str line = {0};
    wn_err err = WN_OK;
    for (uint64_t r = 0; r < wn_store_rows(s) && err == WN_OK; r++) {
        wn_str_clear(&line);
        wn_store_line_add(&line, wn_store_id(s, r));
        err = wn_str_check(&line);
        if (err == WN_OK)
            err = wn_out_write(out, line.p, line.len);
    }
    wn_str_free(&line);
    return err;
}

static void add_known(wn_str *line, const char *name, float v)
{
    if (isnan(v))
        return;
    wn_str_printf(line, ", \"%s\": ", name);
    wn_json_f32(line, v);
}

static void row_line(wn_str *line, const wn_store *s, uint64_t r)
{
    wn_span id = wn_store_id(s, r);
    const float *v = wn_store_vector(s, r);
    wn_str_puts(line, "{\"id\": ");
    wn_json_string(line, id.p, id.len);
    wn_str_puts(line, ", \"task\": ");
    wn_json_cstring(line, wn_store_task(s, r));
    add_known(line, "loss", wn_store_loss(s, r));
    add_known(line, "margin", wn_store_margin(s, r));
    wn_str_puts(line, ", \"vector\": [");
    for (size_t i = 0; i < wn_store_dim(s); i++) {
        if (i)
            wn_str_puts(line, ", ");
        wn_json_f32(line, v[i]);
    }
    wn_str_puts(line, "]}\n");
}

static wn_err write_lines(wn_out *out, const wn_store *s)
{
    wn_str line = {0};
    wn_err err = WN_OK;
    uint64_t rows = wn_store_rows(s);
    for (uint64_t r = 0; r < rows && err == WN_OK; r++) {
        wn_str_clear(&line);
        row_line(&line, s, r);
        err = wn_str_check(&line);
        if (err == WN_OK)
            err = wn_out_write(out, line.p, line.len);
        if (err == WN_OK)
            err = wn_progress("export", "rows", r + 1, rows, NULL);
    }
    wn_str_free(&line);
    return err;
}

static wn_err write_file(const char *path, const wn_store *s,
                         wn_err (*body)(wn_out *, const wn_store *))
{
    wn_out out;
    WN_TRY(wn_out_open(&out, path));
    wn_err err = body(&out, s);
    if (err == WN_OK)
        return wn_out_commit(&out);
    wn_out_abort(&out);
    return err;
}

/* OUT with ".npy" replaced by ".ids.txt". */
static wn_err ids_path(char **path, const char *out)
{
    size_t n = strlen(out);
    if (n >= 4 && strcmp(out + n - 4, ".npy") == 0)
        n -= 4;
    wn_str s = {0};
    wn_str_add(&s, out, n);
    wn_str_puts(&s, ".ids.txt");
    wn_err err = wn_str_check(&s);
    *path = err == WN_OK ? wn_strdup(s.p) : NULL;
    wn_str_free(&s);
    return *path ? WN_OK : WN_ENOMEM;
}

static wn_err export_npy(const wn_store *s, const char *out)
{
    if (!out || strcmp(out, "-") == 0)
        return write_file(out, s, write_array);
    char *ids;
    WN_TRY(ids_path(&ids, out));
    wn_err err = write_file(ids, s, write_ids);
    wn_free(ids);
    return err == WN_OK ? write_file(out, s, write_array) : err;
}

wn_err wn_export_job(const wn_export_opts *o)
{
    const char *out = o->common.out;
    if (!o->store)
        return wn_fail(WN_EARG, "export: a store is required");
    bool npy = o->format && strcmp(o->format, "npy") == 0;
    if (!npy && (!o->format || strcmp(o->format, "jsonl") != 0))
        return wn_fail(WN_EARG, "--format: expected npy or jsonl, found %s",
                       o->format ? o->format : "nothing");
    WN_TRY(wn_out_refuse(out, o->common.overwrite));
    wn_store *s;
    WN_TRY(wn_store_open(&s, o->store));
    wn_err err = npy ? export_npy(s, out) : write_file(out, s, write_lines);
    wn_store_close(s);
    return err;
}
