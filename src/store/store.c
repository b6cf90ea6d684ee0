/* Reading a store: maps, and a check of everything that later calls rely on, once, at open: what
 * stands beside the vectors is compared with its checksums and read through. The vectors are not
 * (vectors.c). */
#include "store/store.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "io/manifest.h"
#include "store/reader.h"

/* Of what is looked at when a store is opened no more than so much is in memory at a time. */
enum {
    TOGETHER = 64,       /* blocks of 1 MiB compared with their checksums */
    STRETCH = 1 << 20,   /* rows whose records and ids are looked through */
    FORGOTTEN = 64 << 20 /* bytes from which on a file's pages are worth giving back */
};

static const char *meta_of(const wn_store *s, uint64_t row)
{
    WN_ASSERT(row < s->rows);
    return s->map[WN_FILE_META].data + row * WN_STORE_META;
}

/* The line of the row's id as it stands in ids.txt. */
static wn_span id_line(const wn_store *s, uint64_t row)
{
    const wn_map *ids = &s->map[WN_FILE_IDS];
    uint64_t at = wn_get64(meta_of(s, row) + 24);
    uint64_t end = row + 1 < s->rows ? wn_get64(meta_of(s, row + 1) + 24) : ids->size;
    return (wn_span){ids->data + at, (size_t)(end - at - 1)};
}

/* ---- checks at open ---- */

static wn_err check_ids(wn_store *s)
{
    const wn_map *ids = &s->map[WN_FILE_IDS], *meta = &s->map[WN_FILE_META];
    uint64_t at = 0;
    for (uint64_t r = 0; r < s->rows; r++) {
        if (r % STRETCH == STRETCH - 1)
            wn_store_forget(s);
        if (wn_get64(meta_of(s, r) + 24) != at || at >= ids->size)
            return wn_fail(WN_EFORMAT,
                           "%s: record %llu: expected an id at byte %llu of ids.txt, "
                           "found %llu",
                           meta->path, (unsigned long long)r, (unsigned long long)at,
                           (unsigned long long)wn_get64(meta_of(s, r) + 24));
        if (wn_get32(meta_of(s, r) + 4) >= s->n_tasks)
            return wn_fail(WN_EFORMAT, "%s: record %llu: expected a task below %zu, found %u",
                           meta->path, (unsigned long long)r, s->n_tasks,
                           wn_get32(meta_of(s, r) + 4));
        const char *p = ids->data + at, *nl = memchr(p, '\n', (size_t)(ids->size - at));
        if (!nl)
            return wn_fail(WN_EFORMAT, "%s: cut within the id of row %llu", ids->path,
                           (unsigned long long)r);
        if (*p == '"') {
            if (!WN_GROW(s->odd, s->n_odd, s->cap_odd))
                return WN_ENOMEM;
            wn_odd_id *o = &s->odd[s->n_odd];
            o->row = r;
            WN_TRY(wn_store_line_read(&o->text, &o->len, p, (size_t)(nl - p), ids->path));
            s->n_odd++;
        }
        at += (uint64_t)(nl + 1 - p);
    }
    if (at != ids->size)
        return wn_fail(WN_EFORMAT, "%s: expected %llu ids, found more", ids->path,
                       (unsigned long long)s->rows);
    return WN_OK;
}

static wn_err read_tasks(wn_store *s)
{
    const wn_map *m = &s->map[WN_FILE_TASKS];
    const char *p = m->data, *end = m->data + m->size;
    while (p < end) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        if (!nl)
            return wn_fail(WN_EFORMAT, "%s: cut within task %zu", m->path, s->n_tasks);
        size_t len;
        if (!WN_GROW(s->task, s->n_tasks, s->cap_tasks))
            return WN_ENOMEM;
        WN_TRY(wn_store_line_read(&s->task[s->n_tasks], &len, p, (size_t)(nl - p), m->path));
        s->n_tasks++;
        p = nl + 1;
    }
    return WN_OK;
}

/* ---- files ---- */

/* What the head says is what store.json says. */
static wn_err check_shape(const wn_store *s, const char *path)
{
    uint64_t dim = 0, shard_rows = s->shape.shard_rows;
    const char *dtype = "";
    WN_TRY(wn_json_get_string(&dtype, s->manifest, "dtype", true, s->path));
    WN_TRY(wn_json_get_u64(&dim, s->manifest, "dim", true, s->path));
    WN_TRY(wn_json_get_u64(&shard_rows, s->manifest, "shard_rows", !s->old, s->path));
    if ((s->shape.version == 1) != s->old)
        return wn_fail(WN_EFORMAT, "%s: expected format %s as in store.json, found version %d",
                       path, s->old ? WN_STORE_FORMAT_1 : WN_STORE_FORMAT, s->shape.version);
    if (strcmp(dtype, wn_store_dtype(s)) != 0)
        return wn_fail(WN_EFORMAT, "%s: expected dtype %s as in store.json, found %s", path, dtype,
                       wn_store_dtype(s));
    if (dim != s->shape.dim)
        return wn_fail(WN_EFORMAT, "%s: expected dim %" PRIu64 " as in store.json, found %u", path,
                       dim, s->shape.dim);
    if (!s->old && shard_rows != s->shape.shard_rows)
        return wn_fail(WN_EFORMAT,
                       "%s: expected %" PRIu64 " rows a file as in store.json, found %" PRIu64,
                       path, shard_rows, s->shape.shard_rows);
    return WN_OK;
}

static wn_err read_head(wn_store *s, uint64_t rows)
{
    char *path;
    wn_map m;
    WN_TRY(wn_store_rows_path(&path, s->path, 0));
    wn_err err = wn_map_open(&m, path);
    wn_free(path);
    WN_TRY(err);
    err = wn_store_head_read(&s->shape, &s->rows, m.data, m.size, m.path);
    if (err == WN_OK && s->rows != rows)
        err = wn_fail(WN_EFORMAT, "%s: expected %" PRIu64 " rows as in store.json, found %" PRIu64,
                      m.path, rows, s->rows);
    if (err == WN_OK)
        err = check_shape(s, m.path);
    wn_map_close(&m);
    return err;
}

static wn_err check_sums(wn_store *s)
{
    uint64_t count = 0;
    char hex[WN_SHA_HEX];
    const char *expected = "";
    for (int i = 0; i < WN_STORE_FILES; i++)
        count += wn_sum_blocks(s->map[i].size);
    uint64_t beside = count;
    for (uint64_t k = 0; k < wn_store_shards(&s->shape, s->rows); k++)
        count += wn_sum_blocks(wn_store_shard_fill(&s->shape, k, s->rows) * s->shape.row_bytes);
    WN_NEW(s->seen, (count - beside) / 64 + 1);
    s->vector_sums = beside;
    WN_TRY(wn_sums_open(&s->sums, s->path, count));
    WN_TRY(wn_sha_bytes(hex, s->sums.map.data, (size_t)s->sums.map.size));
    WN_TRY(wn_json_get_string(&expected, s->manifest, "sums_sha256", true, s->path));
    if (strcmp(hex, expected) != 0)
        return wn_fail(WN_EFORMAT, "%s: expected SHA-256 %s as in store.json, found %s",
                       s->sums.map.path, expected, hex);
    const wn_hash128 *sum = s->sums.sum;
    for (int i = 0; i < WN_STORE_FILES; i++) {
        const wn_map *m = &s->map[i];
        uint64_t blocks = wn_sum_blocks(m->size);
        for (uint64_t b = 0; b < blocks; b += TOGETHER) {
            uint64_t n = blocks - b < TOGETHER ? blocks - b : TOGETHER;
            WN_TRY(wn_sums_check(sum + b, m->data, m->size, b, n, m->path));
            wn_map_forget(m);
        }
        sum += blocks;
    }
    return WN_OK;
}

static wn_err check_files(wn_store *s, uint64_t rows)
{
    const wn_map *meta = &s->map[WN_FILE_META];
    WN_TRY(read_head(s, rows));
    if (meta->size % WN_STORE_META != 0 || meta->size / WN_STORE_META != s->rows)
        return wn_fail(WN_EFORMAT,
                       "%s: expected %" PRIu64 " records of %d bytes, found %" PRIu64 " bytes",
                       meta->path, s->rows, WN_STORE_META, meta->size);
    WN_TRY(wn_vectors_map(s));
    if (!s->old)
        WN_TRY(check_sums(s));
    WN_TRY(read_tasks(s));
    return check_ids(s);
}

static wn_err read_manifest(wn_store *s, uint64_t *rows)
{
    char *path;
    WN_TRY(wn_path_join(&path, s->path, "store.json"));
    const char *format = "";
    wn_err err = wn_json_load(&s->manifest, path);
    if (err == WN_OK)
        err = wn_sha_file(s->sha, path);
    if (err == WN_OK)
        err = wn_json_get_string(&format, s->manifest, "format", true, path);
    s->old = strcmp(format, WN_STORE_FORMAT_1) == 0;
    if (err == WN_OK && !s->old && strcmp(format, WN_STORE_FORMAT) != 0)
        err =
            wn_fail(WN_EFORMAT, "%s: expected format %s, found %s", path, WN_STORE_FORMAT, format);
    if (err == WN_OK)
        err = wn_json_get_u64(rows, s->manifest, "rows", true, path);
    wn_free(path);
    return err;
}

static wn_err open_files(wn_store *s)
{
    uint64_t rows = 0;
    WN_TRY(read_manifest(s, &rows));
    for (int i = 0; i < WN_STORE_FILES; i++) {
        char *path;
        WN_TRY(wn_path_join(&path, s->path, wn_store_file[i]));
        wn_err err = wn_map_open(&s->map[i], path);
        wn_free(path);
        WN_TRY(err);
    }
    return check_files(s, rows);
}

static bool has(const char *dir, const char *name)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/%s", dir, name);
    return n > 0 && (size_t)n < sizeof path && wn_file_exists(path);
}

bool wn_is_store(const char *path)
{
    return wn_is_dir(path) && has(path, "store.json");
}

wn_err wn_store_open_packed(wn_store **out, const char *path)
{
    *out = NULL;
    if (!wn_file_exists(path))
        return wn_fail(WN_EIO, "%s: no such store", path);
    if (!wn_is_store(path))
        return has(path, "partial.json")
                   ? wn_fail(WN_EFORMAT,
                             "%s: an unfinished store: run the command that makes it "
                             "to its end first",
                             path)
                   : wn_fail(WN_EFORMAT, "%s: expected a store (a folder with store.json)", path);
    wn_store *s;
    WN_NEW(s, 1);
    s->path = wn_strdup(path);
    wn_err err = s->path ? open_files(s) : WN_ENOMEM;
    if (err != WN_OK) {
        wn_store_close(s);
        return err;
    }
    *out = s;
    return WN_OK;
}

wn_err wn_store_open(wn_store **out, const char *path)
{
    WN_TRY(wn_store_open_packed(out, path));
    wn_err err = wn_vectors_unpack(*out);
    if (err != WN_OK) {
        wn_store_close(*out);
        *out = NULL;
    }
    return err;
}

void wn_store_close(wn_store *s)
{
    if (!s)
        return;
    wn_vectors_close(s);
    wn_sums_close(&s->sums);
    for (int i = 0; i < WN_STORE_FILES; i++)
        wn_map_close(&s->map[i]);
    for (size_t t = 0; t < s->n_tasks; t++)
        wn_free(s->task[t]);
    for (size_t i = 0; i < s->n_odd; i++)
        wn_free(s->odd[i].text);
    wn_free(s->task);
    wn_free(s->odd);
    json_decref(s->manifest);
    wn_free(s->path);
    wn_free(s);
}

/* ---- access ---- */

uint64_t wn_store_rows(const wn_store *s)
{
    return s->rows;
}

size_t wn_store_dim(const wn_store *s)
{
    return s->shape.dim;
}

const char *wn_store_dtype(const wn_store *s)
{
    return wn_store_type_name(s->shape.type);
}

uint64_t wn_store_bytes(const wn_store *s)
{
    uint64_t bytes = s->rows * s->shape.row_bytes + s->sums.map.size;
    for (int i = 0; i < WN_STORE_FILES; i++)
        bytes += s->map[i].size;
    return bytes + wn_store_shards(&s->shape, s->rows) * s->shape.head_bytes;
}

void wn_store_forget(const wn_store *s)
{
    for (int i = 0; i < WN_STORE_FILES; i++)
        if (s->map[i].size > FORGOTTEN)
            wn_map_forget(&s->map[i]);
}

wn_span wn_store_id(const wn_store *s, uint64_t row)
{
    wn_span line = id_line(s, row);
    if (line.len == 0 || line.p[0] != '"')
        return line;
    size_t lo = 0, hi = s->n_odd;
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (s->odd[mid].row <= row)
            lo = mid;
        else
            hi = mid;
    }
    return (wn_span){s->odd[lo].text, s->odd[lo].len};
}

uint32_t wn_store_task_number(const wn_store *s, uint64_t row)
{
    return wn_get32(meta_of(s, row) + 4);
}

uint32_t wn_store_tasks(const wn_store *s)
{
    return (uint32_t)s->n_tasks;
}

const char *wn_store_task_name(const wn_store *s, uint32_t task)
{
    WN_ASSERT(task < s->n_tasks);
    return s->task[task];
}

const char *wn_store_task(const wn_store *s, uint64_t row)
{
    return wn_store_task_name(s, wn_store_task_number(s, row));
}

uint32_t wn_store_tokens(const wn_store *s, uint64_t row)
{
    return wn_get32(meta_of(s, row));
}

static float float_at(const char *p)
{
    float v;
    memcpy(&v, p, sizeof v);
    return v;
}

float wn_store_loss(const wn_store *s, uint64_t row)
{
    return float_at(meta_of(s, row) + 8);
}

float wn_store_margin(const wn_store *s, uint64_t row)
{
    return float_at(meta_of(s, row) + 12);
}

uint64_t wn_store_text_hash(const wn_store *s, uint64_t row)
{
    return wn_get64(meta_of(s, row) + 16);
}

const json_t *wn_store_manifest(const wn_store *s)
{
    return s->manifest;
}

const char *wn_store_path(const wn_store *s)
{
    return s->path;
}

const char *wn_store_sha(const wn_store *s)
{
    return s->sha;
}
