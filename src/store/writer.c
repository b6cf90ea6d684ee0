/* Writing a store so that it can be killed at any byte.
 *
 * Rows go through buffers to growing files. A sync writes the buffers out, makes the files last,
 * and only then writes the number of rows into the head of rows.bin. On resume nothing behind that
 * number is believed: all files are cut back to it, and the caller feeds the rows again from there.
 * So a killed run and an undisturbed one end with the same bytes whatever the page cache did.
 * Checksums are made of the finished files, just before store.json. */
#include "store/writer.h"

#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/manifest.h"
#include "store/sums.h"

enum { BUFFER = 1 << 20, SYNC_EVERY = 1 << 28 };

/* ---- tasks ---- */

static size_t place_of(const wn_store_writer *w, const char *line, size_t n)
{
    size_t at = wn_hash64(line, n, 0) & (w->slots - 1);
    while (w->slot[at]) {
        const char *name = w->task[w->slot[at] - 1];
        if (strlen(name) == n && memcmp(name, line, n) == 0)
            break;
        at = (at + 1) & (w->slots - 1);
    }
    return at;
}

static wn_err grow_table(wn_store_writer *w)
{
    if (w->slots > 2 * (w->n_tasks + 1))
        return WN_OK;
    size_t slots = w->slots ? 2 * w->slots : 256;
    uint32_t *slot = wn_calloc(slots, sizeof *slot);
    if (!slot)
        return WN_ENOMEM;
    wn_free(w->slot);
    w->slot = slot;
    w->slots = slots;
    for (size_t t = 0; t < w->n_tasks; t++)
        slot[place_of(w, w->task[t], strlen(w->task[t]))] = (uint32_t)t + 1;
    return WN_OK;
}

wn_err wn_writer_task(uint32_t *number, bool *fresh, wn_store_writer *w, const char *line, size_t n)
{
    WN_TRY(grow_table(w));
    size_t at = place_of(w, line, n);
    *fresh = w->slot[at] == 0;
    if (*fresh) {
        if (!WN_GROW(w->task, w->n_tasks, w->cap_tasks))
            return WN_ENOMEM;
        w->task[w->n_tasks] = wn_strndup(line, n);
        if (!w->task[w->n_tasks])
            return WN_ENOMEM;
        w->slot[at] = (uint32_t)++w->n_tasks;
    }
    *number = w->slot[at] - 1;
    return WN_OK;
}

/* ---- opening ---- */

/* What the writer itself knows is part of what decides the contents. */
static wn_err complete(json_t **out, const json_t *manifest, const wn_store_shape *s)
{
    json_t *m = json_deep_copy(manifest);
    *out = m;
    if (m && json_object_set_new(m, "format", json_string(WN_STORE_FORMAT)) == 0 &&
        json_object_set_new(m, "dim", json_integer(s->dim)) == 0 &&
        json_object_set_new(m, "dtype", json_string(wn_store_type_name(s->type))) == 0 &&
        json_object_set_new(m, "shard_rows", json_integer((json_int_t)s->shard_rows)) == 0)
        return WN_OK;
    return wn_fail(WN_ENOMEM, "out of memory: a store's manifest");
}

wn_err wn_store_manifest_make(json_t **out, const json_t *manifest, size_t dim,
                              const wn_store_layout *layout, const char *path)
{
    wn_store_shape shape;
    *out = NULL;
    WN_TRY(wn_store_shape_make(&shape, layout ? layout->dtype : NULL, dim,
                               layout ? layout->shard_bytes : 0, path));
    wn_err err = complete(out, manifest, &shape);
    if (err != WN_OK) {
        json_decref(*out);
        *out = NULL;
    }
    return err;
}

wn_err wn_store_writer_open(wn_store_writer **out, const char *path, const json_t *manifest,
                            size_t dim, const wn_store_layout *layout, bool overwrite,
                            uint64_t *rows_done)
{
    wn_store_shape shape;
    *out = NULL;
    *rows_done = 0;
    WN_TRY(wn_store_shape_make(&shape, layout ? layout->dtype : NULL, dim,
                               layout ? layout->shard_bytes : 0, path));
    wn_store_writer *w;
    char *partial = NULL;
    WN_NEW(w, 1);
    w->shape = shape;
    w->first.fd = w->later.fd = -1;
    for (int i = 0; i < WN_STORE_FILES; i++)
        w->file[i].fd = -1;
    w->dir = wn_strdup(path);
    wn_err err = w->dir ? complete(&w->manifest, manifest, &shape) : WN_ENOMEM;
    if (err == WN_OK)
        err = wn_path_join(&partial, w->dir, "partial.json");
    if (err == WN_OK)
        err = wn_writer_begin(w, partial, overwrite);
    wn_free(partial);
    if (err != WN_OK) {
        wn_store_writer_close(w);
        return err;
    }
    w->begun = true;
    *rows_done = w->rows;
    *out = w;
    return WN_OK;
}

/* ---- rows ---- */

static wn_err flush_one(wn_append *a, wn_str *buffer)
{
    WN_TRY(wn_str_check(buffer));
    if (buffer->len)
        WN_TRY(wn_append_write(a, buffer->p, buffer->len));
    wn_str_clear(buffer);
    return WN_OK;
}

static wn_err flush(wn_store_writer *w)
{
    for (int i = 0; i < WN_STORE_FILES; i++)
        WN_TRY(flush_one(&w->file[i], &w->buffer[i]));
    return flush_one(wn_writer_rows(w), &w->rows_buffer);
}

wn_err wn_store_writer_sync(wn_store_writer *w)
{
    WN_TRY(flush(w));
    for (int i = 0; i < WN_STORE_FILES; i++)
        WN_TRY(wn_append_sync(&w->file[i]));
    WN_TRY(wn_append_sync(wn_writer_rows(w)));
    if (pwrite(w->first.fd, &w->rows, sizeof w->rows, WN_STORE_ROWS_AT) != sizeof w->rows)
        return wn_fail(WN_EIO, "%s: cannot write its head", w->first.path);
    w->unsynced_bytes = 0;
    return wn_append_sync(&w->first);
}

/* A full file of rows lasts before the next one begins: a sync need not come back to it. */
static wn_err next_shard(wn_store_writer *w)
{
    WN_TRY(flush(w));
    WN_TRY(wn_append_sync(wn_writer_rows(w)));
    if (w->shard)
        wn_append_close(&w->later);
    return wn_writer_shard(w, w->shard + 1);
}

static wn_err pack_row(wn_store_writer *w, const wn_store_row *row)
{
    char bytes[4096];
    const wn_store_shape *s = &w->shape;
    if (row->packed) {
        wn_str_add(&w->rows_buffer, row->packed, s->row_bytes);
        return WN_OK;
    }
    size_t bad = wn_store_unfit(s->type, row->vector, s->dim);
    if (bad < s->dim)
        return wn_fail(WN_EARG, "%s: row %.*s: %s cannot hold its number %zu, %g", w->dir,
                       (int)row->id.len, row->id.p, wn_store_type_name(s->type), bad,
                       (double)row->vector[bad]);
    char *out = s->row_bytes <= sizeof bytes ? bytes : wn_malloc(s->row_bytes);
    if (!out)
        return WN_ENOMEM;
    wn_store_pack(out, s->type, row->vector, s->dim);
    wn_str_add(&w->rows_buffer, out, s->row_bytes);
    if (out != bytes)
        wn_free(out);
    return WN_OK;
}

wn_err wn_store_writer_add(wn_store_writer *w, const wn_store_row *row)
{
    wn_str *ids = &w->buffer[WN_FILE_IDS], *tasks = &w->buffer[WN_FILE_TASKS];
    char meta[WN_STORE_META];
    uint32_t task;
    bool fresh;
    if (w->rows == (w->shard + 1) * w->shape.shard_rows)
        WN_TRY(next_shard(w));
    size_t id_at = ids->len, task_at = tasks->len;
    wn_store_line_add(ids, row->id);
    wn_store_line_add(tasks, row->task);
    WN_TRY(wn_str_check(ids));
    WN_TRY(wn_str_check(tasks));
    WN_TRY(wn_writer_task(&task, &fresh, w, tasks->p + task_at, tasks->len - task_at));
    if (!fresh)
        tasks->len = task_at;
    memcpy(meta, &row->tokens, 4);
    memcpy(meta + 4, &task, 4);
    memcpy(meta + 8, &row->loss, 4);
    memcpy(meta + 12, &row->margin, 4);
    memcpy(meta + 16, &row->text_hash, 8);
    memcpy(meta + 24, &w->id_bytes, 8);
    WN_TRY(pack_row(w, row));
    w->id_bytes += ids->len - id_at;
    wn_str_add(&w->buffer[WN_FILE_META], meta, sizeof meta);
    w->rows++;
    w->unsynced_bytes += w->shape.row_bytes + WN_STORE_META;
    if (w->unsynced_bytes >= SYNC_EVERY)
        return wn_store_writer_sync(w);
    return w->rows_buffer.len >= BUFFER ? flush(w) : WN_OK;
}

/* ---- finishing ---- */

static wn_err describe(wn_store_writer *w, const json_t *extra)
{
    char hex[WN_SHA_HEX], *path;
    WN_TRY(wn_path_join(&path, w->dir, WN_STORE_SUMS));
    wn_err err = wn_sha_file(hex, path);
    wn_free(path);
    WN_TRY(err);
    if ((extra && json_object_update(w->manifest, (json_t *)extra) != 0) ||
        json_object_set_new(w->manifest, "rows", json_integer((json_int_t)w->rows)) != 0 ||
        json_object_set_new(w->manifest, "sums_sha256", json_string(hex)) != 0)
        return wn_fail(WN_ENOMEM, "out of memory: the manifest of %s", w->dir);
    return WN_OK;
}

wn_err wn_store_writer_finish(wn_store_writer *w, const json_t *extra)
{
    char *path = NULL;
    wn_err err = wn_store_writer_sync(w);
    if (err == WN_OK)
        err = wn_sums_write(w->dir, &w->shape, w->rows);
    if (err == WN_OK)
        err = describe(w, extra);
    if (err == WN_OK)
        err = wn_path_join(&path, w->dir, "store.json");
    if (err == WN_OK)
        err = wn_manifest_write(path, w->manifest);
    if (err == WN_OK)
        err = wn_writer_remove(w, "partial.json");
    wn_free(path);
    w->begun = w->begun && err != WN_OK;
    wn_store_writer_close(w);
    return err;
}

void wn_store_writer_abandon(wn_store_writer *w, uint64_t rows_done)
{
    if (w && rows_done == 0)
        w->rows = 0;
    wn_store_writer_close(w);
}

void wn_store_writer_close(wn_store_writer *w)
{
    if (!w)
        return;
    for (int i = 0; i < WN_STORE_FILES; i++) {
        wn_append_close(&w->file[i]);
        wn_str_free(&w->buffer[i]);
    }
    wn_append_close(&w->first);
    wn_append_close(&w->later);
    if (w->begun && w->rows == 0)
        wn_writer_withdraw(w);
    wn_folder_unlock(&w->lock);
    wn_str_free(&w->rows_buffer);
    for (size_t t = 0; t < w->n_tasks; t++)
        wn_free(w->task[t]);
    wn_free(w->task);
    wn_free(w->slot);
    json_decref(w->manifest);
    wn_free(w->dir);
    wn_free(w);
}
