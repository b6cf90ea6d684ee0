#include "report/stamp.h"

#include <string.h>

#include "base/mem.h"
#include "io/file.h"

static bool is_fleeting(const char *name)
{
    return strcmp(name, "train.jsonl") == 0 || strncmp(name, "checkpoint", 10) == 0;
}

static wn_err add_tree(wn_str *list, const char *path, const char *shown);

static wn_err add_folder(wn_str *list, const char *path, const char *shown)
{
    char **names;
    size_t n;
    wn_err err = WN_OK;
    WN_TRY(wn_dir_list(&names, &n, path));
    for (size_t i = 0; i < n && err == WN_OK; i++) {
        char *full = NULL, *inner = NULL;
        if (is_fleeting(names[i]))
            continue;
        err = wn_path_join(&full, path, names[i]);
        if (err == WN_OK)
            err = wn_path_join(&inner, shown, names[i]);
        if (err == WN_OK)
            err = add_tree(list, full, inner);
        wn_free(full);
        wn_free(inner);
    }
    wn_names_free(names, n);
    return err;
}

static wn_err add_tree(wn_str *list, const char *path, const char *shown)
{
    char hex[WN_SHA_HEX];
    if (wn_is_dir(path))
        return add_folder(list, path, shown);
    WN_TRY(wn_sha_file(hex, path));
    wn_str_printf(list, "%s  %s\n", hex, shown);
    return wn_str_check(list);
}

wn_err wn_tree_sha(char hex[WN_SHA_HEX], const char *path)
{
    if (!wn_is_dir(path))
        return wn_sha_file(hex, path);
    wn_str list = {0};
    wn_err err = add_tree(&list, path, ".");
    if (err == WN_OK)
        err = wn_sha_bytes(hex, list.p ? list.p : "", list.len);
    wn_str_free(&list);
    return err;
}

/* The first member that differs, as "model" or "options.lr". */
static bool differs(wn_str *why, const char *prefix, const json_t *old, const json_t *now)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)now, key, value)
    {
        const json_t *before = json_object_get(old, key);
        if (before && json_equal(before, value))
            continue;
        if (json_is_object(value) && json_is_object(before) && *prefix == '\0')
            return differs(why, key, before, value);
        wn_str_printf(why, "%s%s%s", prefix, *prefix ? " " : "", key);
        return true;
    }
    wn_str_puts(why, *prefix ? prefix : "an option");
    return true;
}

wn_err wn_stamp_check(wn_stamp_state *state, wn_str *why, const char *stamp, const json_t *key,
                      const char *output)
{
    json_t *s = NULL;
    char hex[WN_SHA_HEX];
    *state = WN_STAMP_NONE;
    if (!wn_file_exists(stamp) || wn_json_load(&s, stamp) != WN_OK)
        return WN_OK;
    const json_t *old = json_object_get(s, "key");
    const char *sha = json_string_value(json_object_get(s, "output"));
    wn_err err = WN_OK;
    if (!json_is_object(old)) {
        *state = WN_STAMP_NONE;
    } else if (!json_equal(old, key)) {
        *state = WN_STAMP_OTHER;
        if (why)
            differs(why, "", old, key);
    } else if (!sha) {
        *state = WN_STAMP_BEGUN;
    } else {
        bool there = wn_file_exists(output) || wn_is_dir(output);
        if (there)
            err = wn_tree_sha(hex, output);
        *state = there && err == WN_OK && strcmp(hex, sha) == 0 ? WN_STAMP_DONE : WN_STAMP_TOUCHED;
        if (why && *state == WN_STAMP_TOUCHED)
            wn_str_printf(why, "%s", output);
    }
    json_decref(s);
    return err;
}

static wn_err write_stamp(const char *stamp, const json_t *key, const char *sha)
{
    wn_str text = {0};
    json_t *s = json_pack("{s:O, s:s*}", "key", (json_t *)key, "output", sha);
    wn_err err = s ? wn_json_dump(&text, s, 1, true) : wn_fail_nomem(64, "stamp");
    wn_str_putc(&text, '\n');
    if (err == WN_OK)
        err = wn_str_check(&text);
    if (err == WN_OK)
        err = wn_file_write(stamp, text.p, text.len);
    wn_str_free(&text);
    json_decref(s);
    return err;
}

wn_err wn_stamp_begin(const char *stamp, const json_t *key)
{
    return write_stamp(stamp, key, NULL);
}

wn_err wn_stamp_finish(const char *stamp, const json_t *key, const char *output)
{
    char hex[WN_SHA_HEX];
    WN_TRY(wn_tree_sha(hex, output));
    return write_stamp(stamp, key, hex);
}
