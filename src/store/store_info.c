/* `winnow store info` and `winnow store check`. */
#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "store/format.h"
#include "store/store.h"

/* ---- info ---- */

/* What is known of a store that is not finished. */
static wn_err unfinished(json_t **out, const char *path)
{
    char *name;
    wn_map m;
    uint64_t rows = 0;
    wn_store_shape shape = {0};
    WN_TRY(wn_store_rows_path(&name, path, 0));
    wn_err err = wn_map_open(&m, name);
    wn_free(name);
    WN_TRY(err);
    if (m.size >= WN_STORE_HEAD)
        err = wn_store_head_read(&shape, &rows, m.data, m.size, m.path);
    wn_map_close(&m);
    WN_TRY(err);
    *out = json_pack("{s:s, s:b, s:I}", "store", path, "finished", 0, "rows_on_disk",
                     (json_int_t)rows);
    return *out ? WN_OK : wn_fail(WN_ENOMEM, "out of memory: facts of %s", path);
}

static json_t *tasks_of(const wn_store *s, uint64_t *tokens)
{
    json_t *m = json_object();
    uint64_t *count = wn_calloc((size_t)wn_store_tasks(s) + 1, sizeof *count);
    *tokens = 0;
    for (uint64_t r = 0; count && r < wn_store_rows(s); r++) {
        count[wn_store_task_number(s, r)]++;
        *tokens += wn_store_tokens(s, r);
    }
    for (uint32_t t = 0; count && t < wn_store_tasks(s); t++)
        json_object_set_new(m, wn_store_task_name(s, t), json_integer((json_int_t)count[t]));
    wn_free(count);
    return m;
}

static wn_err facts(json_t **out, const char *path)
{
    wn_store *s;
    uint64_t tokens;
    WN_TRY(wn_store_open_packed(&s, path));
    const json_t *m = wn_store_manifest(s);
    json_t *tasks = tasks_of(s, &tokens);
    json_t *rows = json_object_get(m, "shard_rows");
    *out = json_pack("{s:s, s:b, s:O, s:O?, s:I, s:I, s:s, s:I, s:I, s:I, s:s, s:o, s:O}", "store",
                     path, "finished", 1, "format", json_object_get(m, "format"), "kind",
                     json_object_get(m, "kind"), "rows", (json_int_t)wn_store_rows(s), "dim",
                     (json_int_t)wn_store_dim(s), "dtype", wn_store_dtype(s), "tokens",
                     (json_int_t)tokens, "bytes", (json_int_t)wn_store_bytes(s), "rows_a_file",
                     rows ? json_integer_value(rows) : (json_int_t)wn_store_rows(s), "sha256",
                     wn_store_sha(s), "tasks", tasks, "manifest", m);
    wn_store_close(s);
    return *out ? WN_OK : wn_fail(WN_ENOMEM, "out of memory: facts of %s", path);
}

static wn_err to_text(char **json, json_t *m)
{
    wn_str s = {0};
    wn_err err = wn_json_dump(&s, m, 2, false);
    json_decref(m);
    if (err == WN_OK)
        *json = s.p;
    else
        wn_str_free(&s);
    return err;
}

wn_err wn_store_info_job(const char *store, char **json)
{
    json_t *m = NULL;
    char *partial;
    *json = NULL;
    WN_TRY(wn_path_join(&partial, store, "partial.json"));
    bool open = !wn_is_store(store) && wn_file_exists(partial);
    wn_free(partial);
    WN_TRY(open ? unfinished(&m, store) : facts(&m, store));
    return to_text(json, m);
}

/* ---- check ---- */

/* Format 1 has one checksum a file. */
static wn_err check_old(const wn_store *s)
{
    static const char *const name[] = {"tasks.txt", "ids.txt", "meta.bin", "rows.bin"};
    const json_t *files = json_object_get(wn_store_manifest(s), "files");
    for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
        char hex[WN_SHA_HEX], *path;
        const char *expected = json_string_value(json_object_get(files, name[i]));
        WN_TRY(wn_path_join(&path, wn_store_path(s), name[i]));
        wn_err err = wn_sha_file(hex, path);
        if (err == WN_OK && (!expected || strcmp(expected, hex) != 0))
            err = wn_fail(WN_EFORMAT, "%s: expected SHA-256 %s, found %s", path,
                          expected ? expected : "in store.json", hex);
        wn_free(path);
        WN_TRY(err);
    }
    return WN_OK;
}

wn_err wn_store_check_job(const char *store, char **json)
{
    wn_store *s;
    *json = NULL;
    WN_TRY(wn_store_open_packed(&s, store));
    const char *format = json_string_value(json_object_get(wn_store_manifest(s), "format"));
    bool old = strcmp(format, WN_STORE_FORMAT_1) == 0;
    wn_err err = old ? check_old(s) : wn_store_verify_all(s);
    json_t *m = NULL;
    if (err == WN_OK)
        m = json_pack("{s:s, s:b, s:I, s:I, s:s}", "store", store, "ok", 1, "rows",
                      (json_int_t)wn_store_rows(s), "bytes", (json_int_t)wn_store_bytes(s),
                      "compared", old ? "SHA-256 of every file" : "a checksum a MiB");
    if (err == WN_OK && !m)
        err = wn_fail(WN_ENOMEM, "out of memory: facts of %s", store);
    wn_store_close(s);
    return err == WN_OK ? to_text(json, m) : err;
}
