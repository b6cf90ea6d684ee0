/* `winnow import`: vectors from elsewhere become a store. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/report.h"
#include "io/file.h"
#include "io/json.h"
#include "io/manifest.h"
#include "io/npy.h"
#include "io/region.h"
#include "store/format.h"
#include "store/store.h"

/* What is said of a row beside its vector; texts live in `json` or in the line. */
struct about {
    json_t *json;
    char *text;
    wn_span id, task;
    float loss, margin;
};

static void forget(struct about *a)
{
    json_decref(a->json);
    wn_free(a->text);
    *a = (struct about){0};
}

static wn_err read_number(float *out, const json_t *o, const char *key, const char *where)
{
    double v = NAN;
    const json_t *m = json_object_get(o, key);
    if (m && !json_is_null(m))
        WN_TRY(wn_json_get_number(&v, o, key, true, where));
    *out = (float)v;
    return WN_OK;
}

static wn_err read_object(struct about *a, wn_span line, const char *where)
{
    char number[32];
    WN_TRY(wn_json_parse(&a->json, line.p, line.len, where));
    const json_t *id = json_object_get(a->json, "id"), *task = json_object_get(a->json, "task");
    if (json_is_integer(id)) {
        int n = snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(id));
        a->text = wn_strndup(number, (size_t)n);
        if (!a->text)
            return WN_ENOMEM;
        a->id = (wn_span){a->text, (size_t)n};
    } else if (json_is_string(id)) {
        a->id = (wn_span){json_string_value(id), json_string_length(id)};
    } else {
        return wn_fail(WN_EFORMAT, "%s: id: expected a string or a number, found %s", where,
                       id ? "something else" : "none");
    }
    if (task && !json_is_string(task))
        return wn_fail(WN_EFORMAT, "%s: task: expected a string", where);
    if (task)
        a->task = (wn_span){json_string_value(task), json_string_length(task)};
    WN_TRY(read_number(&a->loss, a->json, "loss", where));
    return read_number(&a->margin, a->json, "margin", where);
}

static wn_err read_about(struct about *a, wn_span line, const char *where, const char *task)
{
    *a = (struct about){.task = {task, strlen(task)}, .loss = NAN, .margin = NAN};
    if (line.len && line.p[0] == '{')
        return read_object(a, line, where);
    WN_TRY(wn_store_line_read(&a->text, &a->id.len, line.p, line.len, where));
    a->id.p = a->text;
    return a->id.len ? WN_OK
                     : wn_fail(WN_EFORMAT, "%s: expected an id, found an empty line", where);
}

enum { STEP_ROWS = 4096 };

struct import {
    const wn_import_opts *o;
    wn_npy array;
    wn_lines *ids;
    wn_store_writer *out;
    char *task; /* of lines that name none: the array's file name */
    float *vector;
};

static wn_err add_row(struct import *im, uint64_t r, uint64_t done, wn_span line)
{
    char where[512];
    snprintf(where, sizeof where, "%s:%" PRIu64, im->o->ids, wn_lines_number(im->ids));
    struct about a;
    wn_err err = read_about(&a, line, where, im->task);
    if (err == WN_OK && r >= done) {
        err = wn_npy_f32(im->vector, &im->array, r, 1);
        for (uint64_t i = 0; i < im->array.cols && err == WN_OK; i++)
            if (!isfinite(im->vector[i]))
                err = wn_fail(WN_EFORMAT, "%s: row %" PRIu64 " holds NaN or infinity", im->o->file,
                              r);
        wn_store_row row = {
            .vector = im->vector, .id = a.id, .task = a.task, .loss = a.loss, .margin = a.margin};
        if (err == WN_OK)
            err = wn_store_writer_add(im->out, &row);
    }
    forget(&a);
    return err;
}

/* What has been read of the array need not stay in memory. */
static void leave(const struct import *im, uint64_t r)
{
    const wn_npy *a = &im->array;
    wn_region all = {a->map.base, (size_t)a->map.size};
    uint64_t head = (uint64_t)(a->data - a->map.data), row = a->cols * (uint64_t)a->width;
    if (r % STEP_ROWS != 0)
        return;
    wn_region_behind(&all, head + (r - STEP_ROWS) * row, STEP_ROWS * row);
    wn_region_ahead(&all, head + r * row, 2 * STEP_ROWS * row);
}

static wn_err add_rows(struct import *im, uint64_t done)
{
    uint64_t r = 0;
    wn_span line;
    wn_err err = WN_OK;
    while (wn_lines_next(im->ids, &line, &err)) {
        if (r >= im->array.rows)
            return wn_fail(WN_EARG,
                           "%s: expected %" PRIu64 " ids, one for each row of %s, found more",
                           im->o->ids, im->array.rows, im->o->file);
        WN_TRY(add_row(im, r, done, line));
        leave(im, ++r);
        WN_TRY(wn_progress("import", "rows", r, im->array.rows, NULL));
    }
    WN_TRY(err);
    if (r != im->array.rows)
        return wn_fail(WN_EARG,
                       "%s: expected %" PRIu64 " ids, one for each row of %s, found %" PRIu64,
                       im->o->ids, im->array.rows, im->o->file, r);
    return WN_OK;
}

static wn_err begin(struct import *im, uint64_t *done)
{
    const wn_import_opts *o = im->o;
    if (im->array.ndim != 2 || im->array.kind != 'f')
        return wn_fail(WN_EFORMAT, "%s: expected a 2-D array of floats", o->file);
    if (im->array.rows == 0)
        return wn_fail(WN_EFORMAT, "%s: the array has no rows", o->file);
    WN_NEW(im->vector, im->array.cols + 1);
    const char *base = wn_path_base(o->file);
    size_t n = strlen(base);
    if (n > 4 && strcmp(base + n - 4, ".npy") == 0)
        n -= 4;
    im->task = wn_strndup(base, n);
    if (!im->task)
        return WN_ENOMEM;
    char array[WN_SHA_HEX], ids[WN_SHA_HEX];
    WN_TRY(wn_sha_file(array, o->file));
    WN_TRY(wn_sha_file(ids, o->ids));
    json_t *m = json_pack("{s:s, s:s, s:{s:s, s:s}}", "kind", "imported", "version", WN_VERSION,
                          "inputs", "array", array, "ids", ids);
    if (!m)
        return wn_fail(WN_ENOMEM, "out of memory: the manifest of %s", o->common.out);
    wn_err err = wn_store_writer_open(&im->out, o->common.out, m, im->array.cols,
                                      &(wn_store_layout){o->store_dtype, o->shard_bytes},
                                      o->common.overwrite, done);
    json_decref(m);
    return err;
}

wn_err wn_import_job(const wn_import_opts *o)
{
    if (!o->file || !o->ids || !o->common.out)
        return wn_fail(WN_EARG, "import: %s is required",
                       !o->file  ? "an array"
                       : !o->ids ? "--ids"
                                 : "--out");
    struct import im = {.o = o};
    uint64_t done = 0;
    WN_TRY(wn_npy_open(&im.array, o->file));
    wn_err err = begin(&im, &done);
    if (err == WN_OK)
        err = wn_lines_open(&im.ids, o->ids);
    if (err == WN_OK)
        err = add_rows(&im, done);
    if (err == WN_OK) {
        err = wn_store_writer_finish(im.out, NULL);
        im.out = NULL;
    }
    wn_store_writer_close(im.out);
    wn_lines_close(im.ids);
    wn_free(im.vector);
    wn_free(im.task);
    wn_npy_close(&im.array);
    return err;
}
