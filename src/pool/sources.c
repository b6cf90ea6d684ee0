/* Which files a source stands for, and what their rows are called by default. */
#include "pool/ingest.h"

#include <string.h>

#include "base/mem.h"
#include "io/file.h"

static bool ends_with(const char *name, size_t len, const char *tail)
{
    size_t n = strlen(tail);
    return len > n && memcmp(name + len - n, tail, n) == 0;
}

static size_t without_compression(const char *name)
{
    size_t len = strlen(name);
    static const char *const tails[] = {".gz", ".zst", ".zstd"};
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++)
        if (ends_with(name, len, tails[i]))
            return len - strlen(tails[i]);
    return len;
}

static bool holds_rows(const char *name)
{
    size_t len = without_compression(name);
    return name[0] != '.' && (ends_with(name, len, ".jsonl") || ends_with(name, len, ".json") ||
                              ends_with(name, len, ".ndjson"));
}

char *wn_source_task(const char *path)
{
    if (strcmp(path, "-") == 0)
        return wn_strdup("stdin");
    const char *base = wn_path_base(path);
    size_t len = without_compression(base);
    for (size_t i = len; i > 1; i--)
        if (base[i - 1] == '.') {
            len = i - 1;
            break;
        }
    return wn_strndup(base, len);
}

/* Takes `path`. */
static wn_err add_file(wn_ingest *g, char *path)
{
    if (!path)
        return WN_ENOMEM;
    if (!WN_GROW(g->source, g->n_sources, g->cap_sources)) {
        wn_free(path);
        return WN_ENOMEM;
    }
    g->source[g->n_sources++] = (wn_source){.path = path};
    return WN_OK;
}

static wn_err add_folder(wn_ingest *g, const char *dir)
{
    char **names;
    size_t n, before = g->n_sources;
    WN_TRY(wn_dir_list(&names, &n, dir));
    wn_err e = WN_OK;
    for (size_t i = 0; i < n && !e; i++) {
        if (!holds_rows(names[i]))
            continue;
        char *path;
        e = wn_path_join(&path, dir, names[i]);
        if (e)
            break;
        if (wn_is_dir(path))
            wn_free(path);
        else
            e = add_file(g, path);
    }
    wn_names_free(names, n);
    if (!e && g->n_sources == before)
        return wn_fail(WN_EARG,
                       "%s: expected .jsonl, .json or .ndjson files (or .gz, .zst of them), "
                       "found none",
                       dir);
    return e;
}

/* A built pool as a source is its rows; pool.json is no row. */
static wn_err add_source(wn_ingest *g, const char *path)
{
    if (strcmp(path, "-") == 0 || !wn_is_dir(path))
        return add_file(g, wn_strdup(path));
    char *index, *rows;
    WN_TRY(wn_path_join(&index, path, "rows.idx"));
    bool built = wn_file_exists(index);
    wn_free(index);
    if (!built)
        return add_folder(g, path);
    WN_TRY(wn_path_join(&rows, path, "rows.jsonl"));
    return add_file(g, rows);
}

wn_err wn_sources_list(wn_ingest *g, const wn_ingest_opts *o)
{
    if (!o->n_sources)
        return wn_fail(WN_EARG, "no source: expected a file of rows, a folder or -");
    for (size_t i = 0; i < o->n_sources; i++)
        WN_TRY(add_source(g, o->sources[i]));
    return WN_OK;
}
