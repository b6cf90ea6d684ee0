/* `winnow export`: a store's vectors as a NumPy array with the ids beside, or as JSON lines. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/report.h"
#include "io/file.h"
#include "io/json.h"
#include "io/npy.h"
#include "store/export_rows.h"
#include "store/format.h"
#include "store/store.h"

enum { CHUNK_BYTES = 1 << 20 };

/* Rows are read some at a time, so a store of any size passes through a little memory. */
typedef wn_err (*row_fn)(wn_out *out, wn_str *line, const wn_store *s, uint64_t row,
                         const float *v);

static wn_err each_row(wn_out *out, const wn_store *s, row_fn fn)
{
    uint64_t rows = wn_store_rows(s);
    size_t dim = wn_store_dim(s), most = CHUNK_BYTES / (dim * sizeof(float)) + 1;
    float *v = wn_malloc(most * dim * sizeof *v);
    wn_str line = {0};
    wn_err err = v ? WN_OK : WN_ENOMEM;
    for (uint64_t r = 0; r < rows && err == WN_OK; r += most) {
        size_t n = rows - r < most ? (size_t)(rows - r) : most;
        wn_store_ahead(s, r + n, 4 * n);
        err = wn_store_read(v, s, r, n);
        for (size_t i = 0; i < n && err == WN_OK; i++)
            err = fn(out, &line, s, r + i, v + i * dim);
        wn_store_behind(s, r, n);
        if (err == WN_OK)
            err = wn_progress("export", "rows", r + n, rows, NULL);
    }
    wn_str_free(&line);
    wn_free(v);
    return err;
}

static wn_err array_row(wn_out *out, wn_str *line, const wn_store *s, uint64_t row, const float *v)
{
    (void)line;
    (void)row;
    return wn_out_write(out, v, wn_store_dim(s) * sizeof(float));
}

static wn_err write_array(wn_out *out, const wn_store *s)
{
    WN_TRY(wn_npy_header(out, wn_store_rows(s), wn_store_dim(s)));
    return each_row(out, s, array_row);
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

static wn_err line_row(wn_out *out, wn_str *line, const wn_store *s, uint64_t r, const float *v)
{
    wn_span id = wn_store_id(s, r);
    wn_str_clear(line);
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
    WN_TRY(wn_str_check(line));
    return wn_out_write(out, line->p, line->len);
}

static wn_err write_lines(wn_out *out, const wn_store *s)
{
    return each_row(out, s, line_row);
}

/* An output that ends with what was done to it. */
static wn_err end(wn_out *out, wn_err err)
{
    if (err == WN_OK)
        return wn_out_commit(out);
    wn_out_abort(out);
    return err;
}

static wn_err write_file(const char *path, const wn_store *s,
                         wn_err (*body)(wn_out *, const wn_store *))
{
    wn_out out;
    WN_TRY(wn_out_open(&out, path));
    return end(&out, body(&out, s));
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

/* Both files are whole before either has its name. The array is renamed last, so ids beside an
 * unfinished array are those of a run that was killed, and are written again. */
static wn_err write_pair(const char *path, const char *ids_at, const wn_store *s)
{
    wn_out array, ids;
    WN_TRY(wn_out_open(&array, path));
    wn_err err = wn_out_open(&ids, ids_at);
    if (err == WN_OK) {
        err = write_ids(&ids, s);
        if (err == WN_OK)
            err = write_array(&array, s);
        if (err == WN_OK)
            err = wn_out_sync(&array);
        err = end(&ids, err);
    }
    return end(&array, err);
}

static wn_err export_npy(const wn_store *s, const char *out, bool overwrite)
{
    if (!out || strcmp(out, "-") == 0)
        return write_file(out, s, write_array);
    char *ids;
    WN_TRY(ids_path(&ids, out));
    wn_err err = wn_out_refuse(ids, overwrite || wn_out_unfinished(out));
    if (err == WN_OK)
        err = write_pair(out, ids, s);
    wn_free(ids);
    return err;
}

wn_err wn_export_job(const wn_export_opts *o)
{
    const char *out = o->common.out;
    if (!o->store)
        return wn_fail(WN_EARG, "export: a store is required");
    bool npy = o->format && strcmp(o->format, "npy") == 0;
    if (o->format && wn_export_of_rows(o->format)) {
        if (wn_is_store(o->store))
            return wn_fail(WN_EUSE,
                           "--format %s: expected rows, such as a selection, found a store: %s",
                           o->format, o->store);
        return wn_export_rows(o);
    }
    if (!npy && (!o->format || strcmp(o->format, "jsonl") != 0))
        return wn_fail(WN_EUSE,
                       "--format: expected npy, jsonl, completion, alpaca, messages or sharegpt, "
                       "found %s",
                       o->format ? o->format : "nothing");
    if (o->map)
        return wn_fail(WN_EUSE, "--map: of rows; a store has none");
    WN_TRY(wn_out_refuse(out, o->common.overwrite));
    wn_store *s;
    WN_TRY(wn_store_open_packed(&s, o->store));
    wn_err err = npy ? export_npy(s, out, o->common.overwrite) : write_file(out, s, write_lines);
    wn_store_close(s);
    return err;
}
