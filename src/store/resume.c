/* Starting a store and going on with one that was cut: see writer.c for what is believed. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/manifest.h"
#include "store/writer.h"

wn_err wn_writer_remove(const wn_store_writer *w, const char *name)
{
    char *path;
    WN_TRY(wn_path_join(&path, w->dir, name));
    wn_err err = wn_remove_tree(path);
    wn_free(path);
    return err;
}

/* ---- a new store ---- */

static wn_err open_file(wn_store_writer *w, int which, uint64_t keep)
{
    char *path;
    WN_TRY(wn_path_join(&path, w->dir, wn_store_file[which]));
    wn_err err = wn_append_open(&w->file[which], path, keep);
    wn_free(path);
    return err;
}

static wn_err open_rows(wn_append *a, const wn_store_writer *w, uint64_t shard, uint64_t keep)
{
    char *path;
    WN_TRY(wn_store_rows_path(&path, w->dir, shard));
    wn_err err = wn_append_open(a, path, keep);
    wn_free(path);
    return err;
}

wn_err wn_writer_shard(wn_store_writer *w, uint64_t shard)
{
    char head[WN_STORE_HEAD];
    w->shard = shard;
    wn_append *rows = wn_writer_rows(w);
    wn_store_head_make(head, &w->shape, shard);
    WN_TRY(open_rows(rows, w, shard, 0));
    WN_TRY(wn_append_write(rows, head, sizeof head));
    WN_TRY(wn_append_sync(rows));
    return wn_dir_sync(w->dir);
}

static wn_err start(wn_store_writer *w)
{
    for (int i = 0; i < WN_STORE_FILES; i++)
        WN_TRY(open_file(w, i, 0));
    for (int i = 0; i < WN_STORE_FILES; i++)
        WN_TRY(wn_append_sync(&w->file[i]));
    return wn_writer_shard(w, 0);
}

/* ---- going on ---- */

/* Keeps the first n lines of a mapped text. */
static wn_err keep_tasks(wn_store_writer *w, uint64_t *keep, const wn_map *m, uint32_t n)
{
    const char *p = m->data, *end = m->data + m->size;
    for (uint32_t i = 0; i < n; i++) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        if (!nl)
            return wn_fail(WN_EFORMAT, "%s: expected %u tasks, found %u", m->path, n, i);
        uint32_t number;
        bool fresh;
        WN_TRY(wn_writer_task(&number, &fresh, w, p, (size_t)(nl + 1 - p)));
        if (!fresh)
            return wn_fail(WN_EFORMAT, "%s:%u: a task named twice", m->path, i + 1);
        p = nl + 1;
    }
    *keep = (uint64_t)(p - m->data);
    return WN_OK;
}

/* How far the files beside the rows are to be kept. */
static wn_err measure(wn_store_writer *w, uint64_t keep[WN_STORE_FILES],
                      const wn_map m[WN_STORE_FILES])
{
    uint32_t tasks = 0;
    const wn_map *meta = &m[WN_FILE_META], *ids = &m[WN_FILE_IDS];
    keep[WN_FILE_META] = w->rows * WN_STORE_META;
    if (meta->size / WN_STORE_META < w->rows)
        return wn_fail(WN_EFORMAT, "%s: expected %" PRIu64 " records, found %" PRIu64, meta->path,
                       w->rows, meta->size / WN_STORE_META);
    keep[WN_FILE_IDS] = 0;
    for (uint64_t r = 0; r < w->rows; r++) {
        uint32_t t = wn_get32(meta->data + r * WN_STORE_META + 4);
        if (t > tasks)
            return wn_fail(WN_EFORMAT, "%s: record %" PRIu64 ": expected a task up to %u, found %u",
                           meta->path, r, tasks, t);
        tasks += t == tasks;
    }
    if (w->rows > 0) {
        uint64_t at = wn_get64(meta->data + (w->rows - 1) * WN_STORE_META + 24);
        const char *nl =
            at < ids->size ? memchr(ids->data + at, '\n', (size_t)(ids->size - at)) : NULL;
        if (!nl)
            return wn_fail(WN_EFORMAT, "%s: the id of row %" PRIu64 " is missing", ids->path,
                           w->rows - 1);
        keep[WN_FILE_IDS] = (uint64_t)(nl + 1 - ids->data);
    }
    return keep_tasks(w, &keep[WN_FILE_TASKS], &m[WN_FILE_TASKS], tasks);
}

static wn_err open_files(wn_store_writer *w)
{
    wn_map m[WN_STORE_FILES] = {{0}};
    uint64_t keep[WN_STORE_FILES];
    wn_err err = WN_OK;
    for (int i = 0; i < WN_STORE_FILES && err == WN_OK; i++) {
        char *path;
        err = wn_path_join(&path, w->dir, wn_store_file[i]);
        if (err != WN_OK)
            break;
        err = wn_map_open(&m[i], path);
        wn_free(path);
    }
    if (err == WN_OK)
        err = measure(w, keep, m);
    for (int i = 0; i < WN_STORE_FILES; i++)
        wn_map_close(&m[i]);
    for (int i = 0; i < WN_STORE_FILES && err == WN_OK; i++)
        err = open_file(w, i, keep[i]);
    if (err == WN_OK)
        w->id_bytes = keep[WN_FILE_IDS];
    return err;
}

/* Full files stay, the one at work is cut, later ones go. */
static wn_err open_shards(wn_store_writer *w)
{
    uint64_t shards = wn_store_shards(&w->shape, w->rows);
    char **name;
    size_t n;
    for (uint64_t k = 0; k < shards; k++) {
        uint64_t fill = wn_store_shard_fill(&w->shape, k, w->rows);
        wn_append *a = k ? &w->later : &w->first;
        wn_append_close(&w->later);
        WN_TRY(open_rows(a, w, k, w->shape.head_bytes + fill * w->shape.row_bytes));
        w->shard = k;
    }
    WN_TRY(wn_dir_list(&name, &n, w->dir));
    wn_err err = WN_OK;
    for (size_t i = 0; i < n && err == WN_OK; i++)
        if (strncmp(name[i], "rows.", 5) == 0 && wn_store_owns(name[i]) &&
            strcmp(name[i], "rows.bin") != 0 && strtoull(name[i] + 5, NULL, 10) >= shards)
            err = wn_writer_remove(w, name[i]);
    wn_names_free(name, n);
    return err;
}

static wn_err check_shape(wn_store_writer *w, const wn_map *m)
{
    wn_store_shape s;
    WN_TRY(wn_store_head_read(&s, &w->rows, m->data, m->size, m->path));
    const wn_store_shape *e = &w->shape;
    if (s.version != e->version || s.type != e->type || s.dim != e->dim ||
        s.shard_rows != e->shard_rows)
        return wn_fail(WN_EFORMAT,
                       "%s: expected %s rows of dim %u, %" PRIu64 " a file, found %s, %u, %" PRIu64,
                       m->path, wn_store_type_name(e->type), e->dim, e->shard_rows,
                       wn_store_type_name(s.type), s.dim, s.shard_rows);
    return WN_OK;
}

static wn_err resume(wn_store_writer *w)
{
    char *rows;
    wn_map m = {0};
    wn_err err = wn_store_rows_path(&rows, w->dir, 0);
    WN_TRY(err);
    bool begun = false;
    if (wn_file_exists(rows)) {
        err = wn_map_open(&m, rows);
        begun = err == WN_OK && m.size >= WN_STORE_HEAD;
        if (begun)
            err = check_shape(w, &m);
        wn_map_close(&m);
    }
    wn_free(rows);
    WN_TRY(err);
    if (!begun) /* killed before the head stood */
        return start(w);
    WN_TRY(open_files(w));
    return open_shards(w);
}

/* ---- which of the two ---- */

/* store.json goes first: from then on the folder is an unfinished store, never a damaged one. */
static wn_err clear(const wn_store_writer *w)
{
    char **name;
    size_t n;
    WN_TRY(wn_writer_remove(w, "store.json"));
    WN_TRY(wn_dir_sync(w->dir));
    WN_TRY(wn_writer_remove(w, "partial.json"));
    WN_TRY(wn_dir_list(&name, &n, w->dir));
    wn_err err = WN_OK;
    for (size_t i = 0; i < n && err == WN_OK; i++)
        if (wn_store_owns(name[i]) && strcmp(name[i], "rows.bin") != 0)
            err = wn_writer_remove(w, name[i]);
    wn_names_free(name, n);
    return err == WN_OK ? wn_writer_remove(w, "rows.bin") : err;
}

void wn_writer_withdraw(const wn_store_writer *w)
{
    char said[WN_ERROR_TEXT_BYTES]; /* of the failure that leads here */
    snprintf(said, sizeof said, "%s", wn_error_text());
    if (clear(w) == WN_OK)
        rmdir(w->dir);
    wn_error_set_text(said);
}

static bool has_rows(const wn_store_writer *w)
{
    static const char magic[] = "WNSTORE";
    char *path;
    wn_map m;
    if (wn_store_rows_path(&path, w->dir, 0) != WN_OK)
        return false;
    bool ours = wn_file_exists(path) && wn_map_open(&m, path) == WN_OK;
    wn_free(path);
    if (!ours)
        return false;
    ours = m.size >= WN_STORE_HEAD_1 && memcmp(m.data, magic, sizeof magic - 1) == 0;
    wn_map_close(&m);
    return ours;
}

/* Of a store, a kill can leave two folders that hold neither manifest: one with the temporary of
 * the first, and one in which clear() was at work, where rows.bin goes last. */
static wn_err refuse_foreign(const wn_store_writer *w)
{
    char **name;
    size_t n;
    WN_TRY(wn_dir_list(&name, &n, w->dir));
    bool cleared = has_rows(w);
    wn_err err = WN_OK;
    for (size_t i = 0; i < n && err == WN_OK; i++) {
        bool ours = strcmp(name[i], "partial.json.tmp") == 0;
        if (!ours && !(cleared && wn_store_owns(name[i])))
            err =
                wn_fail(WN_EARG,
                        "%s: expected a new or unfinished store, found a folder with another file "
                        "in it: %s",
                        w->dir, name[i]);
    }
    wn_names_free(name, n);
    return err;
}

wn_err wn_writer_begin(wn_store_writer *w, const char *partial, bool overwrite)
{
    WN_TRY(wn_folder_lock_make(&w->lock, w->dir));
    bool finished = wn_is_store(w->dir), unfinished = wn_file_exists(partial);
    if (finished && unfinished) /* killed between the last two steps of finishing */
        WN_TRY(wn_writer_remove(w, "partial.json"));
    if (finished && !overwrite)
        return wn_fail(WN_EARG, "%s: a finished store is there already; --overwrite replaces it",
                       w->dir);
    if (!finished && !unfinished)
        WN_TRY(refuse_foreign(w));
    if (!finished && unfinished) {
        json_t *old;
        WN_TRY(wn_json_load(&old, partial));
        wn_err err = wn_manifest_match(old, w->manifest, w->dir, NULL);
        json_decref(old);
        if (err == WN_OK)
            return resume(w);
        if (!overwrite)
            return err;
    }
    WN_TRY(clear(w));
    WN_TRY(wn_manifest_write(partial, w->manifest));
    return start(w);
}
