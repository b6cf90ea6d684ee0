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

enum { STEP_ROWS = 4096 };

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
                           im->o->file, r, (int)row.id.len, row.id.p);
    return wn_store_writer_add(im->out, &row);
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
    for (uint64_t r = done; r < im->array.rows;) {
        WN_TRY(add_row(im, r));
        leave(im, ++r);
        WN_TRY(wn_progress("import", "rows", r, im->array.rows, NULL));
    }
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
    WN_TRY(wn_import_ids_open(&im->ids, ids, o->ids, im->task, im->array.rows, o->file));
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
