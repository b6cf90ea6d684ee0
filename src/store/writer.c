/* Writing a store so that it can be killed at any byte.
 *
 * Rows go through buffers to four growing files. A sync writes the buffers out, makes all four
 * files last, and only then writes the number of rows into the head of rows.bin. On resume nothing
 * behind that number is believed: all four files are cut back to it, and the caller feeds the rows
 * again from there. So a killed run and an undisturbed one end with the same bytes whatever the
 * page cache did. */
#include "store/store.h"

#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/manifest.h"
#include "store/format.h"

enum { BUFFER = 1 << 20, SYNC_EVERY = 1 << 28 };

struct wn_store_writer {
    char *dir;
    json_t *manifest; /* what partial.json holds */
    size_t dim;
    uint64_t rows, unsynced_bytes;
    wn_append file[WN_STORE_FILES];
    wn_str buffer[WN_STORE_FILES];
    uint64_t id_bytes; /* of ids.txt, buffered ones included */
    char **task;       /* names as lines (escaped), for comparing */
    size_t n_tasks, cap_tasks;
    uint32_t *slot; /* hash table: task number + 1 */
    size_t slots;
};

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

/* The number of the task whose line (with newline) is given; *fresh: it was not known before. */
static wn_err task_number(uint32_t *number, bool *fresh, wn_store_writer *w, const char *line,
                          size_t n)
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

/* ---- starting and resuming ---- */

static wn_err in_dir(char **path, const wn_store_writer *w, const char *name)
{
    return wn_path_join(path, w->dir, name);
}

static wn_err open_file(wn_store_writer *w, int which, uint64_t keep)
{
    char *path;
    WN_TRY(in_dir(&path, w, wn_store_file[which]));
    wn_err err = wn_append_open(&w->file[which], path, keep);
    wn_free(path);
    return err;
}

static wn_err start(wn_store_writer *w)
{
    char head[WN_STORE_HEAD] = WN_STORE_MAGIC;
    uint32_t type = WN_STORE_F32, dim = (uint32_t)w->dim;
    memcpy(head + 8, &type, sizeof type);
    memcpy(head + 12, &dim, sizeof dim);
    for (int i = 0; i < WN_STORE_FILES; i++)
        WN_TRY(open_file(w, i, 0));
    WN_TRY(wn_append_write(&w->file[WN_FILE_ROWS], head, sizeof head));
    for (int i = 0; i < WN_STORE_FILES; i++)
        WN_TRY(wn_append_sync(&w->file[i]));
    return wn_dir_sync(w->dir);
}

/* Keeps the first n lines of a mapped text, calling task_number for each if `tasks`. */
static wn_err keep_tasks(wn_store_writer *w, uint64_t *keep, const wn_map *m, uint32_t n)
{
    const char *p = m->data, *end = m->data + m->size;
    for (uint32_t i = 0; i < n; i++) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        if (!nl)
            return wn_fail(WN_EFORMAT, "%s: expected %u tasks, found %u", m->path, n, i);
        uint32_t number;
        bool fresh;
        WN_TRY(task_number(&number, &fresh, w, p, (size_t)(nl + 1 - p)));
        if (!fresh)
            return wn_fail(WN_EFORMAT, "%s:%u: a task named twice", m->path, i + 1);
        p = nl + 1;
    }
    *keep = (uint64_t)(p - m->data);
    return WN_OK;
}

/* How far the files of an interrupted run are to be kept, from what its last sync vouches for. */
static wn_err measure(wn_store_writer *w, uint64_t keep[WN_STORE_FILES], const wn_map *m)
{
    uint32_t dim, tasks = 0;
    const wn_map *rows = &m[WN_FILE_ROWS], *meta = &m[WN_FILE_META], *ids = &m[WN_FILE_IDS];
    WN_TRY(wn_store_head_read(&dim, &w->rows, rows->data, rows->size, rows->path));
    if (dim != w->dim)
        return wn_fail(WN_EFORMAT, "%s: expected dim %zu, found %u", rows->path, w->dim, dim);
    keep[WN_FILE_ROWS] = WN_STORE_HEAD + w->rows * w->dim * sizeof(float);
    keep[WN_FILE_META] = w->rows * WN_STORE_META;
    if (meta->size / WN_STORE_META < w->rows)
        return wn_fail(WN_EFORMAT, "%s: expected %llu records, found %llu", meta->path,
                       (unsigned long long)w->rows,
                       (unsigned long long)(meta->size / WN_STORE_META));
    keep[WN_FILE_IDS] = 0;
    for (uint64_t r = 0; r < w->rows; r++) {
        uint32_t t = wn_get32(meta->data + r * WN_STORE_META + 4);
        if (t > tasks)
            return wn_fail(WN_EFORMAT, "%s: record %llu: expected a task up to %u, found %u",
                           meta->path, (unsigned long long)r, tasks, t);
        tasks += t == tasks;
    }
    if (w->rows > 0) {
        uint64_t at = wn_get64(meta->data + (w->rows - 1) * WN_STORE_META + 24);
        const char *nl =
            at < ids->size ? memchr(ids->data + at, '\n', (size_t)(ids->size - at)) : NULL;
        if (!nl)
            return wn_fail(WN_EFORMAT, "%s: the id of row %llu is missing", ids->path,
                           (unsigned long long)(w->rows - 1));
        keep[WN_FILE_IDS] = (uint64_t)(nl + 1 - ids->data);
    }
    return keep_tasks(w, &keep[WN_FILE_TASKS], &m[WN_FILE_TASKS], tasks);
}

static wn_err map_files(wn_store_writer *w, wn_map m[WN_STORE_FILES])
{
    for (int i = 0; i < WN_STORE_FILES; i++) {
        char *path;
        WN_TRY(in_dir(&path, w, wn_store_file[i]));
        wn_err err = wn_map_open(&m[i], path);
        wn_free(path);
        WN_TRY(err);
    }
    return WN_OK;
}

static wn_err resume(wn_store_writer *w)
{
    char *rows;
    WN_TRY(in_dir(&rows, w, wn_store_file[WN_FILE_ROWS]));
    wn_map m[WN_STORE_FILES] = {{0}};
    wn_err err = WN_OK;
    bool begun = false;
    if (wn_file_exists(rows)) {
        err = wn_map_open(&m[WN_FILE_ROWS], rows);
        begun = err == WN_OK && m[WN_FILE_ROWS].size >= WN_STORE_HEAD;
        wn_map_close(&m[WN_FILE_ROWS]);
    }
    wn_free(rows);
    WN_TRY(err);
    if (!begun) /* killed before the head stood */
        return start(w);
    uint64_t keep[WN_STORE_FILES];
    err = map_files(w, m);
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

static wn_err remove_in(const wn_store_writer *w, const char *name)
{
    char *path;
    WN_TRY(in_dir(&path, w, name));
    wn_err err = wn_remove_tree(path);
    wn_free(path);
    return err;
}

/* store.json goes first: from then on the folder is an unfinished store, never a damaged one. */
static wn_err clear(const wn_store_writer *w)
{
    WN_TRY(remove_in(w, "store.json"));
    WN_TRY(wn_dir_sync(w->dir));
    WN_TRY(remove_in(w, "partial.json"));
    for (int i = 0; i < WN_STORE_FILES; i++)
        WN_TRY(remove_in(w, wn_store_file[i]));
    return WN_OK;
}

static bool has_rows(const wn_store_writer *w)
{
    char *path;
    wn_map m;
    if (in_dir(&path, w, wn_store_file[WN_FILE_ROWS]) != WN_OK)
        return false;
    bool ours = wn_file_exists(path) && wn_map_open(&m, path) == WN_OK;
    wn_free(path);
    if (!ours)
        return false;
    ours = m.size >= WN_STORE_HEAD && memcmp(m.data, WN_STORE_MAGIC, 8) == 0;
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
        for (int f = 0; f < WN_STORE_FILES; f++)
            ours = ours || (cleared && strcmp(name[i], wn_store_file[f]) == 0);
        if (!ours)
            err =
                wn_fail(WN_EARG,
                        "%s: expected a new or unfinished store, found a folder with another file "
                        "in it: %s",
                        w->dir, name[i]);
    }
    wn_names_free(name, n);
    return err;
}

/* Decides between a new store and going on, and leaves the files open. */
static wn_err begin(wn_store_writer *w, const char *partial, bool overwrite)
{
    bool finished = wn_is_store(w->dir), unfinished = wn_file_exists(partial);
    if (finished && unfinished) /* killed between the last two steps of finishing */
        WN_TRY(remove_in(w, "partial.json"));
    if (finished && !overwrite)
        return wn_fail(WN_EARG, "%s: a finished store is there already; --overwrite replaces it",
                       w->dir);
    if (!finished && !unfinished && wn_is_dir(w->dir))
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
    WN_TRY(wn_mkdirs(w->dir));
    WN_TRY(clear(w));
    WN_TRY(wn_manifest_write(partial, w->manifest));
    return start(w);
}

wn_err wn_store_writer_open(wn_store_writer **out, const char *path, const json_t *manifest,
                            size_t dim, bool overwrite, uint64_t *rows_done)
{
    *out = NULL;
    *rows_done = 0;
    if (dim < 1 || dim > WN_STORE_DIM_MAX)
        return wn_fail(WN_EARG, "%s: expected a dim of 1 to %d, found %zu", path, WN_STORE_DIM_MAX,
                       dim);
    wn_store_writer *w;
    WN_NEW(w, 1);
    w->dim = dim;
    for (int i = 0; i < WN_STORE_FILES; i++)
        w->file[i].fd = -1;
    w->dir = wn_strdup(path);
    w->manifest = json_deep_copy(manifest);
    char *partial = NULL;
    wn_err err = w->dir ? WN_OK : WN_ENOMEM;
    if (err == WN_OK &&
        (!w->manifest ||
         json_object_set_new(w->manifest, "format", json_string(WN_STORE_FORMAT)) != 0 ||
         json_object_set_new(w->manifest, "dim", json_integer((json_int_t)dim)) != 0 ||
         json_object_set_new(w->manifest, "dtype", json_string("f32")) != 0))
        err = wn_fail(WN_ENOMEM, "out of memory: the manifest of %s", path);
    if (err == WN_OK)
        err = in_dir(&partial, w, "partial.json");
    if (err == WN_OK)
        err = begin(w, partial, overwrite);
    wn_free(partial);
    if (err != WN_OK) {
        wn_store_writer_close(w);
        return err;
    }
    *rows_done = w->rows;
    *out = w;
    return WN_OK;
}

/* ---- rows ---- */

static wn_err flush(wn_store_writer *w)
{
    for (int i = 0; i < WN_STORE_FILES; i++) {
        WN_TRY(wn_str_check(&w->buffer[i]));
        if (w->buffer[i].len)
            WN_TRY(wn_append_write(&w->file[i], w->buffer[i].p, w->buffer[i].len));
        wn_str_clear(&w->buffer[i]);
    }
    return WN_OK;
}

wn_err wn_store_writer_sync(wn_store_writer *w)
{
    WN_TRY(flush(w));
    for (int i = 0; i < WN_STORE_FILES; i++)
        WN_TRY(wn_append_sync(&w->file[i]));
    wn_append *rows = &w->file[WN_FILE_ROWS];
    if (pwrite(rows->fd, &w->rows, sizeof w->rows, WN_STORE_ROWS_AT) != sizeof w->rows)
        return wn_fail(WN_EIO, "%s: cannot write its head", rows->path);
    w->unsynced_bytes = 0;
    return wn_append_sync(rows);
}

wn_err wn_store_writer_add(wn_store_writer *w, const wn_store_row *row)
{
    wn_str *ids = &w->buffer[WN_FILE_IDS], *tasks = &w->buffer[WN_FILE_TASKS];
    char meta[WN_STORE_META];
    uint32_t task;
    bool fresh;
    size_t id_at = ids->len, task_at = tasks->len;
    wn_store_line_add(ids, row->id);
    wn_store_line_add(tasks, row->task);
    WN_TRY(wn_str_check(ids));
    WN_TRY(wn_str_check(tasks));
    WN_TRY(task_number(&task, &fresh, w, tasks->p + task_at, tasks->len - task_at));
    if (!fresh)
        tasks->len = task_at;
    memcpy(meta, &row->tokens, 4);
    memcpy(meta + 4, &task, 4);
    memcpy(meta + 8, &row->loss, 4);
    memcpy(meta + 12, &row->margin, 4);
    memcpy(meta + 16, &row->text_hash, 8);
    memcpy(meta + 24, &w->id_bytes, 8);
    w->id_bytes += ids->len - id_at;
    wn_str_add(&w->buffer[WN_FILE_META], meta, sizeof meta);
    wn_str_add(&w->buffer[WN_FILE_ROWS], row->vector, w->dim * sizeof(float));
    w->rows++;
    w->unsynced_bytes += w->dim * sizeof(float) + WN_STORE_META;
    if (w->unsynced_bytes >= SYNC_EVERY)
        return wn_store_writer_sync(w);
    return w->buffer[WN_FILE_ROWS].len >= BUFFER ? flush(w) : WN_OK;
}

/* ---- finishing ---- */

static wn_err describe(wn_store_writer *w, const json_t *extra)
{
    json_t *files = json_object();
    wn_err err = WN_OK;
    for (int i = 0; i < WN_STORE_FILES && err == WN_OK; i++) {
        char hex[WN_SHA_HEX];
        err = wn_sha_file(hex, w->file[i].path);
        if (err == WN_OK && json_object_set_new(files, wn_store_file[i], json_string(hex)) != 0)
            err = wn_fail(WN_ENOMEM, "out of memory: the manifest of %s", w->dir);
    }
    if (err != WN_OK) {
        json_decref(files);
        return err;
    }
    if ((extra && json_object_update(w->manifest, (json_t *)extra) != 0) ||
        json_object_set_new(w->manifest, "rows", json_integer((json_int_t)w->rows)) != 0) {
        json_decref(files);
        return wn_fail(WN_ENOMEM, "out of memory: the manifest of %s", w->dir);
    }
    return json_object_set_new(w->manifest, "files", files) == 0
               ? WN_OK
               : wn_fail(WN_ENOMEM, "out of memory: the manifest of %s", w->dir);
}

wn_err wn_store_writer_finish(wn_store_writer *w, const json_t *extra)
{
    char *path = NULL;
    wn_err err = wn_store_writer_sync(w);
    if (err == WN_OK)
        err = describe(w, extra);
    if (err == WN_OK)
        err = in_dir(&path, w, "store.json");
    if (err == WN_OK)
        err = wn_manifest_write(path, w->manifest);
    if (err == WN_OK)
        err = remove_in(w, "partial.json");
    wn_free(path);
    wn_store_writer_close(w);
    return err;
}

void wn_store_writer_close(wn_store_writer *w)
{
    if (!w)
        return;
    for (int i = 0; i < WN_STORE_FILES; i++) {
        wn_append_close(&w->file[i]);
        wn_str_free(&w->buffer[i]);
    }
    for (size_t t = 0; t < w->n_tasks; t++)
        wn_free(w->task[t]);
    wn_free(w->task);
    wn_free(w->slot);
    json_decref(w->manifest);
    wn_free(w->dir);
    wn_free(w);
}
