#include "eval/kept.h"

#include <string.h>

#include "base/mem.h"
#include "base/report.h"
#include "eval/job.h"
#include "io/file.h"
#include "io/manifest.h"

static const double SYNC_SEC = 2;

struct wn_kept {
    wn_append file;
    uint64_t first, end; /* bytes of the file that held records on opening */
    wn_str line;
    double synced;
};

/* ---- reading ---- */

/* The next whole line from *at on, without its newline; false: there is none. */
static bool next_line(const wn_map *m, uint64_t *at, wn_span *line)
{
    if (*at >= m->size)
        return false;
    const char *p = m->data + *at, *nl = memchr(p, '\n', (size_t)(m->size - *at));
    if (!nl)
        return false;
    *line = (wn_span){p, (size_t)(nl - p)};
    *at += line->len + 1;
    return true;
}

static json_t *record_of(wn_span line, const char *path)
{
    json_t *v = NULL;
    if (wn_json_parse(&v, line.p, line.len, path) != WN_OK)
        return NULL;
    if (json_is_string(json_object_get(v, "stage")) && json_is_integer(json_object_get(v, "row")) &&
        json_integer_value(json_object_get(v, "row")) >= 0)
        return v;
    json_decref(v);
    return NULL;
}

/* How far the file can be believed, and how many records that is; 0 bytes: not even its manifest
 * stands. A manifest of another run is an error. */
static wn_err measure(uint64_t *first, uint64_t *end, uint64_t *records, const wn_map *m,
                      const json_t *manifest)
{
    wn_span line;
    json_t *old;
    uint64_t at = 0;
    *first = *end = *records = 0;
    if (!next_line(m, &at, &line))
        return WN_OK;
    WN_TRY(wn_json_parse(&old, line.p, line.len, m->path));
    wn_err err = wn_manifest_match(old, manifest, m->path, NULL);
    json_decref(old);
    WN_TRY(err);
    *first = *end = at;
    while (next_line(m, &at, &line)) {
        json_t *v = record_of(line, m->path);
        if (!v)
            break;
        json_decref(v);
        *end = at;
        ++*records;
    }
    return WN_OK;
}

/* ---- opening ---- */

static wn_err put_manifest(wn_kept *k, const json_t *manifest)
{
    WN_TRY(wn_json_dump(&k->line, manifest, 0, true));
    wn_str_putc(&k->line, '\n');
    WN_TRY(wn_str_check(&k->line));
    WN_TRY(wn_append_write(&k->file, k->line.p, k->line.len));
    k->first = k->end = k->file.size;
    return wn_append_sync(&k->file);
}

static wn_err open_file(wn_kept *k, const char *path, const json_t *manifest, bool overwrite)
{
    wn_map m = {0};
    uint64_t records = 0;
    if (wn_file_exists(path)) {
        WN_TRY(wn_map_open(&m, path));
        wn_err err = measure(&k->first, &k->end, &records, &m, manifest);
        wn_map_close(&m);
        if (err && !overwrite)
            return err;
        if (err)
            k->first = k->end = 0;
    }
    WN_TRY(wn_append_open(&k->file, path, k->end));
    if (records)
        wn_message("%s: goes on behind %llu results", path, (unsigned long long)records);
    return k->end ? WN_OK : put_manifest(k, manifest);
}

wn_err wn_kept_open(wn_kept **out, const char *path, const json_t *manifest, bool overwrite)
{
    wn_kept *k;
    wn_str partial = {0};
    *out = NULL;
    if (!wn_out_is_file(path))
        return WN_OK;
    WN_NEW(k, 1);
    k->synced = wn_seconds();
    wn_str_printf(&partial, "%s.partial", path);
    wn_err err = wn_str_check(&partial);
    if (err == WN_OK)
        err = open_file(k, partial.p, manifest, overwrite);
    wn_str_free(&partial);
    if (err) {
        wn_kept_close(k);
        return err;
    }
    *out = k;
    return WN_OK;
}

void wn_kept_close(wn_kept *k)
{
    if (!k)
        return;
    if (k->file.path && k->file.size == k->first)
        wn_remove_tree(k->file.path);
    wn_append_close(&k->file);
    wn_str_free(&k->line);
    wn_free(k);
}

wn_err wn_kept_finish(wn_kept *k)
{
    wn_err err = k ? wn_remove_tree(k->file.path) : WN_OK;
    wn_kept_close(k);
    return err;
}

/* ---- records ---- */

wn_err wn_kept_replay(const wn_kept *k, const char *stage, wn_kept_take take, void *ctx)
{
    wn_map m;
    wn_span line;
    wn_err err = WN_OK;
    if (!k || k->first == k->end)
        return WN_OK;
    WN_TRY(wn_map_open(&m, k->file.path));
    for (uint64_t at = k->first; at < k->end && err == WN_OK && next_line(&m, &at, &line);) {
        json_t *v = record_of(line, m.path);
        if (!v)
            err = wn_fail(WN_EFORMAT, "%s: byte %llu: expected a record", m.path,
                          (unsigned long long)(at - line.len - 1));
        else if (strcmp(json_string_value(json_object_get(v, "stage")), stage) == 0)
            err = take(ctx, (uint64_t)json_integer_value(json_object_get(v, "row")), v, m.path);
        json_decref(v);
    }
    wn_map_close(&m);
    return err;
}

wn_str *wn_kept_begin(wn_kept *k, const char *stage, uint64_t row)
{
    if (!k)
        return NULL;
    wn_str_clear(&k->line);
    wn_str_printf(&k->line, "{\"stage\":\"%s\",\"row\":%llu", stage, (unsigned long long)row);
    return &k->line;
}

wn_err wn_kept_end(wn_kept *k)
{
    wn_str_puts(&k->line, "}\n");
    WN_TRY(wn_str_check(&k->line));
    WN_TRY(wn_append_write(&k->file, k->line.p, k->line.len));
    double now = wn_seconds();
    if (now - k->synced < SYNC_SEC)
        return WN_OK;
    k->synced = now;
    return wn_append_sync(&k->file);
}

wn_err wn_kept_numbers(double *out, size_t n, const json_t *record, const char *key,
                       const char *where)
{
    const json_t *list = json_object_get(record, key);
    bool ok = json_array_size(list) == n;
    for (size_t i = 0; i < n && ok; i++) {
        const json_t *v = json_array_get(list, i);
        ok = json_is_number(v);
        out[i] = json_number_value(v);
    }
    return ok ? WN_OK
              : wn_fail(WN_EFORMAT, "%s: %s of row %lld: expected %zu numbers", where, key,
                        (long long)json_integer_value(json_object_get(record, "row")), n);
}
