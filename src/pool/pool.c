/* A pool in use: two maps, the list of tasks and the manifest. A source that has not been built is
 * ingested into unlinked temporaries first, and then looks the same. Of a built pool nothing is
 * believed: header, record chain and task numbers are checked at open (one pass over 32 bytes a
 * row), so that later reads need no checks. */
#include "pool/pool.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/report.h"
#include "io/file.h"
#include "pool/handle.h"

/* ---- opening ---- */

static wn_err damaged(const wn_pool *p, const char *what)
{
    return wn_fail(WN_EFORMAT, "%s/rows.idx: damaged: %s", p->path, what);
}

static wn_err check_header(const wn_pool *p)
{
    wn_index_header h;
    if (p->index.size < sizeof h)
        return damaged(p, "expected a header of 64 bytes, found fewer");
    memcpy(&h, p->index.data, sizeof h);
    if (memcmp(h.magic, WN_POOL_MAGIC, sizeof h.magic) != 0 || h.record_bytes != sizeof(wn_record))
        return damaged(p, "expected WNPOOL1 and records of 32 bytes");
    uint64_t fit = (p->index.size - sizeof h) / sizeof(wn_record);
    if (h.rows != fit || (p->index.size - sizeof h) % sizeof(wn_record) || !h.rows)
        return wn_fail(WN_EFORMAT, "%s/rows.idx: header says %" PRIu64 " rows, file holds %" PRIu64,
                       p->path, h.rows, fit);
    if (h.bytes != p->text.size)
        return wn_fail(WN_EFORMAT,
                       "%s/rows.jsonl: expected %" PRIu64 " bytes, found %" PRIu64
                       ": it has changed since the pool was built",
                       p->path, h.bytes, p->text.size);
    if (h.tasks != p->n_tasks)
        return wn_fail(WN_EFORMAT, "%s/pool.json: expected %" PRIu32 " tasks, found %" PRIu32,
                       p->path, h.tasks, p->n_tasks);
    return WN_OK;
}

static wn_err check_records(const wn_pool *p)
{
    uint64_t at = 0;
    for (uint64_t i = 0; i < p->rows; i++) {
        const wn_record *r = &p->record[i];
        if (r->offset != at || r->length >= p->text.size - at || r->task >= p->n_tasks)
            return wn_fail(WN_EFORMAT, "%s/rows.idx: damaged: record %" PRIu64 " does not fit",
                           p->path, i);
        at += (uint64_t)r->length + 1;
    }
    return at == p->text.size ? WN_OK : damaged(p, "rows.jsonl goes on after the last record");
}

static wn_err read_tasks(wn_pool *p)
{
    const json_t *tasks = json_object_get(p->facts, "tasks");
    const char *name;
    json_t *rows;
    if (!json_is_object(tasks) || !json_object_size(tasks))
        return wn_fail(WN_EFORMAT, "%s/pool.json: expected tasks, found none", p->path);
    WN_NEW(p->task, json_object_size(tasks));
    json_object_foreach((json_t *)tasks, name, rows) p->task[p->n_tasks++] = name;
    return WN_OK;
}

static wn_err read_manifest(wn_pool *p)
{
    char *path;
    WN_TRY(wn_path_join(&path, p->path, "pool.json"));
    wn_err e = wn_json_load(&p->facts, path);
    const char *format = "";
    if (!e)
        e = wn_json_get_string(&format, p->facts, "format", true, path);
    if (!e && strcmp(format, WN_POOL_FORMAT) != 0)
        e = wn_fail(WN_EFORMAT, "%s: format: expected %s, found %.80s", path, WN_POOL_FORMAT,
                    format);
    wn_free(path);
    return e;
}

static wn_err map_part(wn_map *m, const char *dir, const char *name)
{
    char *path;
    WN_TRY(wn_path_join(&path, dir, name));
    wn_err e = wn_map_open(m, path);
    wn_free(path);
    return e;
}

static wn_err map_spool(wn_map *m, const wn_spool *s)
{
    uint64_t size = wn_spool_size(s);
    void *base = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, s->fd, 0);
    if (base == MAP_FAILED)
        return wn_fail(WN_EIO, "%s: cannot map: %s", s->path, strerror(errno));
    *m = (wn_map){.data = base, .size = size, .base = base};
    return WN_OK;
}

static void use_index(wn_pool *p)
{
    p->record = (const wn_record *)(const void *)(p->index.data + sizeof(wn_index_header));
    p->rows = (p->index.size - sizeof(wn_index_header)) / sizeof(wn_record);
}

static wn_err open_built(wn_pool *p)
{
    p->built = true;
    WN_TRY(read_manifest(p));
    WN_TRY(read_tasks(p));
    WN_TRY(map_part(&p->text, p->path, "rows.jsonl"));
    WN_TRY(map_part(&p->index, p->path, "rows.idx"));
    WN_TRY(check_header(p));
    use_index(p);
    return check_records(p);
}

wn_err wn_pool_view(wn_pool *p, const wn_ingest *g)
{
    if (!p->path && !(p->path = wn_strdup(g->rows.path)))
        return WN_ENOMEM;
    p->facts = json_object();
    if (!p->facts)
        return wn_fail_nomem(0, "a pool");
    WN_TRY(wn_ingest_facts(p->facts, g));
    WN_TRY(map_spool(&p->text, &g->rows));
    WN_TRY(map_spool(&p->index, &g->index));
    WN_TRY(read_tasks(p));
    use_index(p);
    return WN_OK;
}

static wn_err open_source(wn_pool *p, const char *map, bool strict)
{
    wn_ingest g = {0};
    const char *source = p->path;
    wn_ingest_opts o = {.sources = &source, .n_sources = 1, .map = map, .strict = strict};
    wn_err e = wn_ingest_run(&g, &o);
    if (!e)
        e = wn_pool_view(p, &g);
    wn_ingest_close(&g);
    return e;
}

bool wn_pool_is_built(const char *path)
{
    if (strcmp(path, "-") == 0 || !wn_is_dir(path))
        return false;
    char *manifest, *index;
    if (wn_path_join(&manifest, path, "pool.json"))
        return false;
    bool built = wn_file_exists(manifest);
    wn_free(manifest);
    if (!built || wn_path_join(&index, path, "rows.idx"))
        return false;
    built = wn_file_exists(index);
    wn_free(index);
    return built;
}

static wn_err open_pool(wn_pool *p, const char *path, const char *map, bool strict)
{
    p->path = wn_strdup(path);
    if (!p->path)
        return WN_ENOMEM;
    return wn_pool_is_built(path) ? open_built(p) : open_source(p, map, strict);
}

wn_err wn_pool_open(wn_pool **out, const char *path, const char *map, bool strict)
{
    *out = NULL;
    wn_pool *p;
    WN_NEW(p, 1);
    wn_err e = open_pool(p, path, map, strict);
    if (e)
        wn_pool_close(p);
    else
        *out = p;
    return e;
}

void wn_pool_release(wn_pool *p)
{
    wn_map_close(&p->text);
    wn_map_close(&p->index);
    json_decref(p->facts);
    wn_free(p->task);
    wn_free(p->by_id);
    wn_free(p->path);
}

void wn_pool_close(wn_pool *p)
{
    if (p)
        wn_pool_release(p);
    wn_free(p);
}

/* ---- facts ---- */

uint64_t wn_pool_rows(const wn_pool *p)
{
    return p->rows;
}

const char *wn_pool_path(const wn_pool *p)
{
    return p->path;
}

uint32_t wn_pool_tasks(const wn_pool *p)
{
    return p->n_tasks;
}

const char *wn_pool_task_name(const wn_pool *p, uint32_t task)
{
    WN_ASSERT(task < p->n_tasks);
    return p->task[task];
}

uint32_t wn_pool_task_of(const wn_pool *p, uint64_t row)
{
    WN_ASSERT(row < p->rows);
    return p->record[row].task;
}

uint64_t wn_pool_text_hash(const wn_pool *p, uint64_t row)
{
    WN_ASSERT(row < p->rows);
    return p->record[row].text;
}

uint64_t wn_pool_rejected(const wn_pool *p)
{
    const json_t *lines = json_object_get(json_object_get(p->facts, "rejected"), "lines");
    return json_is_integer(lines) ? (uint64_t)json_integer_value(lines) : 0;
}

void wn_pool_say_rejected(const wn_pool *p)
{
    uint64_t n = p->built ? 0 : wn_pool_rejected(p);
    if (n)
        wn_message("%s: %" PRIu64 " of the lines were no rows and are left out; `pool info` lists "
                   "reasons and places",
                   p->path, n);
}

/* The bytes are read in any case: what a manifest names must be what is there now. */
wn_err wn_pool_sha(wn_pool *p, char hex[WN_SHA_HEX])
{
    if (!p->sha[0]) {
        char now[WN_SHA_HEX];
        WN_TRY(wn_sha_bytes(now, p->text.data, (size_t)p->text.size));
        const json_t *file = json_object_get(json_object_get(p->facts, "files"), "rows.jsonl");
        const char *then = json_string_value(json_object_get(file, "sha256"));
        if (p->built && (!then || strcmp(then, now) != 0))
            return wn_fail(WN_EFORMAT,
                           "%s/rows.jsonl: expected SHA-256 %.64s, found %s: it has changed since "
                           "the pool was built",
                           p->path, then ? then : "(none)", now);
        memcpy(p->sha, now, sizeof now);
    }
    memcpy(hex, p->sha, WN_SHA_HEX);
    return WN_OK;
}

/* ---- rows ---- */

wn_span wn_pool_raw(const wn_pool *p, uint64_t row)
{
    WN_ASSERT(row < p->rows);
    return (wn_span){p->text.data + p->record[row].offset, p->record[row].length};
}

wn_err wn_pool_row(const wn_pool *p, uint64_t row, wn_row *out)
{
    wn_span raw = wn_pool_raw(p, row);
    wn_reject why;
    bool complete;
    wn_place at = {p->path, p->path, row + 1};
    uint32_t task = p->record[row].task;
    WN_TRY(wn_row_read(out, &why, &complete, raw.p, raw.len, &at, p->task[task], false));
    out->index = row;
    out->task_number = task;
    return WN_OK;
}

static bool make_index(wn_pool *p)
{
    if (p->by_id)
        return true;
    p->by_id = wn_calloc((size_t)p->rows, sizeof *p->by_id);
    if (!p->by_id)
        return false;
    for (uint64_t i = 0; i < p->rows; i++)
        p->by_id[i] = (wn_keyed){p->record[i].id, i};
    wn_keyed_sort(p->by_id, p->rows);
    return true;
}

uint64_t wn_pool_find(wn_pool *p, const char *id, size_t len)
{
    if (!make_index(p))
        return UINT64_MAX;
    uint64_t hash = wn_id_hash(id, len), found = UINT64_MAX;
    wn_row row = {0};
    for (uint64_t i = wn_keyed_find(p->by_id, p->rows, hash);
         i < p->rows && p->by_id[i].key == hash && found == UINT64_MAX; i++)
        if (wn_pool_row(p, p->by_id[i].row, &row) == WN_OK && row.id.len == len &&
            memcmp(row.id.p, id, len) == 0)
            found = p->by_id[i].row;
    wn_row_free(&row);
    return found;
}
