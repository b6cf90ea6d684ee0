/* `winnow import`: vectors from elsewhere become a store. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/report.h"
#include "io/file.h"
#include "io/manifest.h"
#include "io/npy.h"
#include "io/region.h"
#include "store/import_ids.h"

enum { STEP_ROWS = 4096, HASH_BYTES = 1 << 20 };

struct import {
    const wn_import_opts *o;
    wn_npy array;
    wn_import_ids *ids;
    wn_store_writer *out;
    char *task; /* of lines that name none: the array's file name */
    float *vector;
};

static wn_err add_row(struct import *im, uint64_t r)
{
    wn_store_row row = {.vector = im->vector};
    WN_TRY(wn_import_ids_row(&row, im->ids, r));
    WN_TRY(wn_npy_f32(im->vector, &im->array, r, 1));
    for (uint64_t i = 0; i < im->array.cols; i++)
        if (!isfinite(im->vector[i]))
            return wn_fail(WN_EFORMAT, "%s: row %" PRIu64 " (%.*s) holds NaN or infinity",
                           im->array.map.path, r, (int)row.id.len, row.id.p);
    return wn_store_writer_add(im->out, &row);
}

/* What has been read of the array need not stay in memory. */
static void pass(const struct import *im, uint64_t at, uint64_t bytes)
{
    wn_region all = {im->array.map.base, (size_t)im->array.map.size};
    wn_region_ahead(&all, at + bytes, 2 * bytes);
    wn_region_behind(&all, at, bytes);
}

static wn_err hash_array(char hex[WN_SHA_HEX], const struct import *im)
{
    const wn_map *m = &im->array.map;
    wn_sha *sha;
    WN_TRY(wn_sha_new(&sha));
    wn_err err = WN_OK;
    for (uint64_t at = 0, n; at < m->size && err == WN_OK; at += n) {
        n = m->size - at < HASH_BYTES ? m->size - at : HASH_BYTES;
        wn_sha_add(sha, m->data + at, (size_t)n);
        pass(im, at, n);
        err = wn_progress("hash", "MB", (at + n) / 1000000, m->size / 1000000, NULL);
    }
    wn_sha_hex(sha, hex);
    return err;
}

static wn_err add_rows(struct import *im, uint64_t done)
{
    const wn_npy *a = &im->array;
    uint64_t head = (uint64_t)(a->data - a->map.data), row = a->cols * (uint64_t)a->width;
    for (uint64_t r = done; r < a->rows;) {
        WN_TRY(add_row(im, r));
        if (++r % STEP_ROWS == 0)
            pass(im, head + (r - STEP_ROWS) * row, STEP_ROWS * row);
        WN_TRY(wn_progress("import", "rows", r, a->rows, NULL));
    }
    return WN_OK;
}

/* The array's file name, as rows' tasks are called after theirs. */
static char *task_name(const char *file)
{
    const char *base = strcmp(file, "-") == 0 ? "stdin" : wn_path_base(file);
    size_t n = strlen(base);
    return wn_strndup(base, n > 4 && strcmp(base + n - 4, ".npy") == 0 ? n - 4 : n);
}

static wn_err begin(struct import *im, uint64_t *done)
{
    const wn_import_opts *o = im->o;
    const char *name = im->array.map.path;
    if (im->array.ndim != 2 || im->array.kind != 'f')
        return wn_fail(WN_EFORMAT, "%s: expected a 2-D array of floats", name);
    if (im->array.rows == 0)
        return wn_fail(WN_EFORMAT, "%s: the array has no rows", name);
    WN_NEW(im->vector, im->array.cols + 1);
    im->task = task_name(o->file);
    if (!im->task)
        return WN_ENOMEM;
    char array[WN_SHA_HEX], ids[WN_SHA_HEX];
    WN_TRY(hash_array(array, im));
    WN_TRY(wn_import_ids_open(&im->ids, ids, o->ids, im->task, im->array.rows, name));
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
        return wn_fail(WN_EUSE, "import: %s is required",
                       !o->file  ? "an array"
                       : !o->ids ? "--ids"
                                 : "--out");
    if (strcmp(o->file, "-") == 0 && strcmp(o->ids, "-") == 0)
        return wn_fail(WN_EUSE,
                       "import: expected the array or --ids on standard input, found both");
    struct import im = {.o = o};
    uint64_t done = 0;
    WN_TRY(wn_npy_open(&im.array, o->file));
    wn_err err = begin(&im, &done);
    if (err == WN_OK)
        err = add_rows(&im, done);
    if (err == WN_OK)
        err = wn_store_writer_finish(im.out, NULL);
    else if (err == WN_EFORMAT || err == WN_EARG) /* the array is to blame: there is no going on */
        wn_store_writer_abandon(im.out, done);
    else
        wn_store_writer_close(im.out);
    wn_import_ids_close(im.ids);
    wn_free(im.vector);
    wn_free(im.task);
    wn_npy_close(&im.array);
    return err;
}
