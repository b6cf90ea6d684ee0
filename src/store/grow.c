/* A pool that has grown: its store goes on where it ended. What stands is not believed but
 * compared, bytes with checksums and rows with the pool. The step from finished to unfinished can
 * be killed anywhere: partial.json beside store.json is a finished store still. */
#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "base/report.h"
#include "io/file.h"
#include "io/manifest.h"
#include "store/store.h"

static wn_err differs(const char *path, uint64_t row, const char *field, wn_span there,
                      wn_span here)
{
    return wn_fail(WN_EARG,
                   "%s: row %" PRIu64 ": %s is \"%.*s\" there, but \"%.*s\" in the pool: only a "
                   "pool that begins with the same rows is gone on with",
                   path, row, field, (int)there.len, there.p, (int)here.len, here.p);
}

static wn_err compare_row(const wn_store *s, const wn_pool *p, uint64_t i, wn_row *row)
{
    WN_TRY(wn_pool_row(p, i, row));
    wn_span id = wn_store_id(s, i);
    const char *task = wn_store_task(s, i);
    if (!wn_span_same(id, row->id))
        return differs(wn_store_path(s), i, "id", id, row->id);
    if (!wn_span_is(row->task, task))
        return differs(wn_store_path(s), i, "task", (wn_span){task, strlen(task)}, row->task);
    if (wn_store_text_hash(s, i) != wn_pool_text_hash(p, i))
        return wn_fail(WN_EARG,
                       "%s: row %" PRIu64 " (%.*s): its text is not the one in the pool: only a "
                       "pool that begins with the same rows is gone on with",
                       wn_store_path(s), i, (int)id.len, id.p);
    return WN_OK;
}

static wn_err compare(const wn_store *s, const wn_pool *p, const json_t *now)
{
    static const char *const may_differ[] = {"rows",        "sums_sha256", "pool_rows",
                                             "pool_sha256", "merged",      NULL};
    uint64_t rows = wn_store_rows(s);
    wn_row row = {0};
    WN_TRY(wn_manifest_match(wn_store_manifest(s), now, wn_store_path(s), may_differ));
    WN_TRY(wn_store_verify_all(s));
    wn_err err = WN_OK;
    for (uint64_t i = 0; i < rows && err == WN_OK; i++)
        err = compare_row(s, p, i, &row);
    wn_row_free(&row);
    return err;
}

static wn_err reopen(const char *path, const json_t *now)
{
    char *partial = NULL, *finished = NULL;
    wn_err err = wn_path_join(&partial, path, "partial.json");
    if (err == WN_OK)
        err = wn_path_join(&finished, path, "store.json");
    if (err == WN_OK)
        err = wn_manifest_write(partial, now);
    if (err == WN_OK)
        err = wn_remove_tree(finished);
    if (err == WN_OK)
        err = wn_dir_sync(path);
    wn_free(partial);
    wn_free(finished);
    return err;
}

wn_err wn_store_grow(const char *path, const wn_pool *pool, const json_t *manifest, size_t dim,
                     const wn_store_layout *layout)
{
    wn_store *s;
    json_t *now = NULL;
    if (!wn_is_store(path))
        return WN_OK;
    WN_TRY(wn_store_open_packed(&s, path));
    bool more = wn_pool_rows(pool) > wn_store_rows(s);
    wn_err err = more ? wn_store_manifest_make(&now, manifest, dim, layout, path) : WN_OK;
    if (more && err == WN_OK)
        err = compare(s, pool, now);
    wn_store_close(s);
    if (more && err == WN_OK)
        err = reopen(path, now);
    json_decref(now);
    return err;
}

wn_err wn_store_writer_of_pool(wn_store_writer **out, const char *path, const wn_pool *pool,
                               const json_t *manifest, size_t dim, const wn_store_layout *layout,
                               bool overwrite, uint64_t *rows_done)
{
    if (!overwrite)
        WN_TRY(wn_store_grow(path, pool, manifest, dim, layout));
    WN_TRY(wn_store_writer_open(out, path, manifest, dim, layout, overwrite, rows_done));
    if (*rows_done)
        wn_message("%s: goes on behind row %" PRIu64 " of %" PRIu64, path, *rows_done,
                   wn_pool_rows(pool));
    return WN_OK;
}
