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

/* Takes `path`. task: of a file in a sub-folder, else NULL. */
static wn_err add_file(wn_ingest *g, char *path, const char *task)
{
    char *own = task ? wn_strdup(task) : NULL;
    if (!path || (task && !own) || !WN_GROW(g->source, g->n_sources, g->cap_sources)) {
        wn_free(path);
        wn_free(own);
        return WN_ENOMEM;
    }
    g->source[g->n_sources++] = (wn_source){.path = path, .task = own};
    return WN_OK;
}

/* NAME.jsonl, NAME-00000-of-00008.jsonl.gz, NAME_0.json. */
static bool of_split(const char *name, const char *split)
{
    size_t n = split ? strlen(split) : 0;
    return !split || (strncmp(name, split, n) == 0 && name[n] && strchr(".-_", name[n]));
}

/* The files of a folder, or, with `below`, of its sub-folders. */
static wn_err add_files(wn_ingest *g, const char *dir, const char *task, const char *split,
                        bool below)
{
    char **names;
    size_t n;
    WN_TRY(wn_dir_list(&names, &n, dir));
    wn_err e = WN_OK;
    for (size_t i = 0; i < n && !e; i++) {
        char *path;
        bool rows = holds_rows(names[i]) && of_split(names[i], split);
        if (names[i][0] == '.' || (!below && !rows))
            continue;
        e = wn_path_join(&path, dir, names[i]);
        if (e)
            break;
        bool folder = wn_is_dir(path);
        if (!below && !folder) {
            e = add_file(g, path, task);
            continue;
        }
        if (below && folder)
            e = add_files(g, path, names[i], split, false);
        wn_free(path);
    }
    wn_names_free(names, n);
    return e;
}

static wn_err add_folder(wn_ingest *g, const char *dir, const char *split)
{
    size_t before = g->n_sources;
    WN_TRY(add_files(g, dir, NULL, split, false));
    if (g->n_sources == before)
        WN_TRY(add_files(g, dir, NULL, split, true));
    if (g->n_sources > before)
        return WN_OK;
    return wn_fail(WN_EARG,
                   "%s: expected .jsonl, .json or .ndjson files (or .gz, .zst of them)%s%s%s, "
                   "found none",
                   dir, split ? " of split \"" : "", split ? split : "", split ? "\"" : "");
}

/* A built pool as a source is its rows; pool.json is no row. */
static wn_err add_source(wn_ingest *g, const char *path, const char *split)
{
    if (strcmp(path, "-") == 0 || !wn_is_dir(path))
        return add_file(g, wn_strdup(path), NULL);
    char *index, *rows;
    WN_TRY(wn_path_join(&index, path, "rows.idx"));
    bool built = wn_file_exists(index);
    wn_free(index);
    if (!built)
        return add_folder(g, path, split);
    WN_TRY(wn_path_join(&rows, path, "rows.jsonl"));
    return add_file(g, rows, NULL);
}

wn_err wn_sources_list(wn_ingest *g, const wn_ingest_opts *o)
{
    if (!o->n_sources)
        return wn_fail(WN_EARG, "no source: expected a file of rows, a folder or -");
    for (size_t i = 0; i < o->n_sources; i++)
        WN_TRY(add_source(g, o->sources[i], o->split));
    return WN_OK;
}
