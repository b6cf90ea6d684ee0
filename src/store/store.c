/* Reading a store: four maps and a check of everything that later calls rely on, once, at open. The
 * vectors themselves are not read then; wn_search_exact looks at every number anyway and refuses
 * NaN. */
#include "store/store.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/manifest.h"
#include "store/format.h"

/* An id that is not in ids.txt as it is (control characters); sorted by row. */
struct odd_id {
    uint64_t row;
    char *text;
    size_t len;
};

struct wn_store {
    char *path;
    json_t *manifest;
    char sha[WN_SHA_HEX];
    wn_map map[WN_STORE_FILES];
    uint64_t rows;
    uint32_t dim;
    char **task;
    size_t n_tasks, cap_tasks;
    struct odd_id *odd;
    size_t n_odd, cap_odd;
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
            struct odd_id *o = &s->odd[s->n_odd];
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

static wn_err check_files(wn_store *s, uint64_t rows)
{
    const wn_map *m = &s->map[WN_FILE_ROWS], *meta = &s->map[WN_FILE_META];
    WN_TRY(wn_store_head_read(&s->dim, &s->rows, m->data, m->size, m->path));
    if (s->rows != rows)
        return wn_fail(WN_EFORMAT, "%s: expected %llu rows as in store.json, found %llu", m->path,
                       (unsigned long long)rows, (unsigned long long)s->rows);
    if (m->size != WN_STORE_HEAD + s->rows * s->dim * sizeof(float))
        return wn_fail(WN_EFORMAT, "%s: expected %llu bytes, found %llu", m->path,
                       (unsigned long long)(WN_STORE_HEAD + s->rows * s->dim * sizeof(float)),
                       (unsigned long long)m->size);
    if (meta->size % WN_STORE_META != 0 || meta->size / WN_STORE_META != s->rows)
        return wn_fail(WN_EFORMAT, "%s: expected %llu records of %d bytes, found %llu bytes",
                       meta->path, (unsigned long long)s->rows, WN_STORE_META,
                       (unsigned long long)meta->size);
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
    if (err == WN_OK && strcmp(format, WN_STORE_FORMAT) != 0)
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

wn_err wn_store_open(wn_store **out, const char *path)
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

void wn_store_close(wn_store *s)
{
    if (!s)
        return;
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
    return s->dim;
}

const float *wn_store_vector(const wn_store *s, uint64_t row)
{
    WN_ASSERT(row < s->rows);
    return (const float *)(const void *)(s->map[WN_FILE_ROWS].data + WN_STORE_HEAD) + row * s->dim;
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

/* ---- do two stores belong together ---- */

/* What gives a number its meaning. Everything else in a manifest (the rows, their source, the
 * tool's version, threads) may differ between a pool's store and its queries'. */
static const char *const meaning[] = {
    "kind", "dim",        "model",  "adapter",  "pooling", "normalize",  "layer",
    "text", "template",   "params", "quantity", "project", "projection", "projection_seed",
    "adam", "new_adapter"};

/* A file stands for its bytes: of {"path", "sha256", ...} only the hash counts. */
static const json_t *essence(const json_t *v)
{
    const json_t *sha = json_object_get(v, "sha256");
    return sha ? sha : v;
}

static const json_t *member(const wn_store *s, const char *name)
{
    const json_t *v = json_object_get(s->manifest, name);
    return v ? v : json_object_get(json_object_get(s->manifest, "options"), name);
}

static bool imported(const wn_store *s)
{
    const char *kind = json_string_value(json_object_get(s->manifest, "kind"));
    return kind && strcmp(kind, "imported") == 0;
}

wn_err wn_store_match(const wn_store *a, const wn_store *b)
{
    if (a->dim != b->dim)
        return wn_fail(WN_EARG, "%s and %s cannot be compared: dim is %u there, but %u here",
                       a->path, b->path, a->dim, b->dim);
    if (imported(a) || imported(b)) /* nothing is known of the vectors but their length */
        return WN_OK;
    for (size_t i = 0; i < sizeof meaning / sizeof *meaning; i++) {
        const json_t *x = member(a, meaning[i]), *y = member(b, meaning[i]);
        if (!x && !y)
            continue;
        json_t *one = json_object(), *two = json_object();
        if (x)
            json_object_set(one, meaning[i], (json_t *)essence(x));
        if (y)
            json_object_set(two, meaning[i], (json_t *)essence(y));
        wn_err err = wn_manifest_match(one, two, a->path, NULL);
        json_decref(one);
        json_decref(two);
        if (err != WN_OK)
            return wn_context(err, "%s does not belong to it", b->path);
    }
    return WN_OK;
}
