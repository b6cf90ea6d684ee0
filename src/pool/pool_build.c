/* pool build: everything is made in OUT.partial, which becomes OUT by rename at the very end. */
#include "winnow.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "base/report.h"
#include "io/folder.h"
#include "pool/handle.h"
#include "pool/near.h"
#include "pool/rowmap.h"

typedef struct build {
    const wn_pool_build_opts *o;
    char *partial;
    wn_folder_lock lock; /* of partial */
    wn_ingest g;
    uint64_t near;
} build;

static wn_err check_dedup(wn_duplicates *d, bool *near, const char *dedup)
{
    *near = dedup && strcmp(dedup, "near") == 0;
    if (!dedup || strcmp(dedup, "exact") == 0 || *near)
        *d = WN_DUPLICATES_DROP;
    else if (strcmp(dedup, "none") == 0)
        *d = WN_DUPLICATES_COUNT;
    else
        return wn_fail(WN_EARG, "--dedup: expected exact, near or none, found %s", dedup);
    return WN_OK;
}

/* Only what is a pool, or nothing, is ever replaced. */
static wn_err check_out(const wn_pool_build_opts *o)
{
    const char *out = o->common.out;
    if (!out || strcmp(out, "-") == 0)
        return wn_fail(WN_EARG, "pool build: expected --out FOLDER, found none");
    return wn_folder_refuse(out, "a finished pool", (const char *const[]){"rows.idx", NULL},
                            o->common.overwrite);
}

static wn_err set(json_t *m, const char *key, json_t *value)
{
    return json_object_set_new(m, key, value) ? wn_fail_nomem(0, "pool.json") : WN_OK;
}

static wn_err add_sources(json_t *m, const wn_ingest *g)
{
    json_t *list = json_array();
    wn_err e = WN_OK;
    for (size_t i = 0; i < g->n_sources && !e; i++) {
        const wn_source *s = &g->source[i];
        char sha[WN_SHA_HEX] = "";
        if (strcmp(s->path, "-") != 0)
            e = wn_sha_file(sha, s->path);
        json_array_append_new(list, json_pack("{s:s, s:s?, s:I, s:I}", "path", s->path, "sha256",
                                              *sha ? sha : NULL, "lines", (json_int_t)s->lines,
                                              "rows", (json_int_t)s->rows));
    }
    wn_err e2 = set(m, "sources", list);
    return e ? e : e2;
}

static wn_err add_file(json_t *files, const char *name, const wn_spool *s)
{
    char sha[WN_SHA_HEX];
    WN_TRY(wn_sha_file(sha, s->path));
    return set(files, name,
               json_pack("{s:I, s:s}", "bytes", (json_int_t)wn_spool_size(s), "sha256", sha));
}

static wn_err add_map(json_t *m, const char *map)
{
    WN_TRY(set(m, "map", map ? json_string(map) : json_null()));
    if (!map || wn_rowmap_is_name(map))
        return WN_OK;
    char sha[WN_SHA_HEX];
    WN_TRY(wn_sha_file(sha, map));
    return set(m, "map_sha256", json_string(sha));
}

/* What was asked for of the sources; nothing where that is all. */
static wn_err add_choice(json_t *m, const build *b)
{
    const wn_pool_build_opts *o = b->o;
    char sha[WN_SHA_HEX];
    if (o->split)
        WN_TRY(set(m, "split", json_string(o->split)));
    if (o->tasks) {
        WN_TRY(wn_sha_file(sha, o->tasks));
        WN_TRY(set(m, "tasks_listed_sha256", json_string(sha)));
    }
    if (o->per_task)
        WN_TRY(set(m, "per_task", json_integer((json_int_t)o->per_task)));
    if (!o->tasks && !o->per_task)
        return WN_OK;
    return set(m, "left_out", json_integer((json_int_t)b->g.left_out));
}

static wn_err fill_manifest(json_t *m, const build *b)
{
    WN_TRY(set(m, "format", json_string(WN_POOL_FORMAT)));
    WN_TRY(set(m, "version", json_string(WN_VERSION)));
    WN_TRY(add_map(m, b->o->map));
    WN_TRY(set(m, "dedup", json_string(b->o->dedup ? b->o->dedup : "exact")));
    WN_TRY(add_choice(m, b));
    WN_TRY(wn_ingest_facts(m, &b->g));
    WN_TRY(set(m, "near_duplicates", json_integer((json_int_t)b->near)));
    WN_TRY(add_sources(m, &b->g));
    json_t *files = json_object();
    WN_TRY(set(m, "files", files));
    WN_TRY(add_file(files, "rows.jsonl", &b->g.rows));
    return add_file(files, "rows.idx", &b->g.index);
}

static wn_err write_manifest(const build *b)
{
    json_t *m = json_object();
    if (!m)
        return wn_fail_nomem(0, "pool.json");
    wn_str text = {0};
    char *path = NULL;
    wn_err e = fill_manifest(m, b);
    if (!e)
        e = wn_json_dump(&text, m, 1, false);
    wn_str_putc(&text, '\n');
    if (!e)
        e = wn_str_check(&text);
    if (!e)
        e = wn_path_join(&path, b->partial, "pool.json");
    if (!e)
        e = wn_file_write(path, text.p, text.len);
    wn_free(path);
    wn_str_free(&text);
    json_decref(m);
    return e;
}

static wn_err make(build *b)
{
    bool near;
    wn_duplicates d = WN_DUPLICATES_DROP;
    WN_TRY(check_dedup(&d, &near, b->o->dedup));
    WN_TRY(wn_folder_lock_make(&b->lock, b->partial));
    WN_TRY(check_out(b->o)); /* another process may have finished it meanwhile */
    WN_TRY(wn_dir_empty(b->partial));
    wn_ingest_opts io = {.sources = b->o->sources,
                         .n_sources = b->o->n_sources,
                         .map = b->o->map,
                         .dir = b->partial,
                         .split = b->o->split,
                         .tasks = b->o->tasks,
                         .per_task = b->o->per_task,
                         .duplicates = d,
                         .need_target = true};
    WN_TRY(wn_ingest_run(&b->g, &io));
    if (near)
        WN_TRY(wn_near_filter(&b->near, &b->g));
    WN_TRY(wn_spool_sync(&b->g.rows));
    WN_TRY(wn_spool_sync(&b->g.index));
    return write_manifest(b);
}

static wn_err say(const build *b)
{
    const wn_ingest *g = &b->g;
    if (g->rejected)
        wn_message("%" PRIu64 " of the lines were no rows; `pool info` lists reasons and places",
                   g->rejected);
    if (g->left_out)
        wn_message("%" PRIu64 " rows left out: their tasks are not listed, or have their rows",
                   g->left_out);
    if (g->duplicates && b->o->dedup && strcmp(b->o->dedup, "none") == 0)
        wn_message("%" PRIu64 " duplicates kept", g->duplicates);
    else if (g->duplicates)
        wn_message("%" PRIu64 " duplicates left out", g->duplicates);
    if (b->near)
        wn_message("%" PRIu64 " near-duplicates left out", b->near);
    return wn_progress("pool", "rows", g->n_rows, g->n_rows, NULL);
}

wn_err wn_pool_build_job(const wn_pool_build_opts *o)
{
    WN_TRY(check_out(o));
    build b = {.o = o, .g = {.rows.fd = -1, .index.fd = -1}};
    wn_err e = wn_folder_beside(&b.partial, o->common.out, ".partial");
    if (!e)
        e = make(&b);
    if (!e)
        e = wn_folder_put(b.partial, o->common.out);
    if (e && b.lock.held) {
        char text[WN_ERROR_TEXT_BYTES];
        strcpy(text, wn_error_text());
        wn_remove_tree(b.partial);
        wn_error_set_text(text);
    }
    if (!e)
        e = say(&b);
    wn_ingest_close(&b.g);
    wn_folder_unlock(&b.lock);
    wn_free(b.partial);
    return e;
}
