#include "report/chosen.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/hash.h"

wn_err wn_chosen_path(char **out, const char *path, const char *tail)
{
    wn_str s = {0};
    wn_str_puts(&s, path);
    wn_str_puts(&s, tail);
    wn_err err = wn_str_check(&s);
    *out = err == WN_OK ? wn_strdup(s.p) : NULL;
    wn_str_free(&s);
    return *out ? WN_OK : WN_ENOMEM;
}

static wn_err check(const json_t *m, const char *path, const char *where)
{
    const char *format = "", *sha = "";
    char hex[WN_SHA_HEX];
    WN_TRY(wn_json_get_string(&format, m, "format", true, where));
    if (strcmp(format, "winnow-selection-1") != 0)
        return wn_fail(WN_EFORMAT, "%s: expected format winnow-selection-1, found %s", where,
                       format);
    WN_TRY(wn_json_get_string(&sha, m, "sha256", true, where));
    WN_TRY(wn_sha_file(hex, path));
    return strcmp(sha, hex) == 0
               ? WN_OK
               : wn_fail(WN_EFORMAT,
                         "%s: was changed after it was selected: its SHA-256 is not the one in %s",
                         path, where);
}

wn_err wn_chosen_manifest(json_t **m, const char *path)
{
    char *where;
    *m = NULL;
    if (!wn_file_exists(path))
        return wn_fail(WN_EIO, "%s: no such selection", path);
    WN_TRY(wn_chosen_path(&where, path, ".manifest.json"));
    wn_err err = wn_file_exists(where)
                     ? wn_json_load(m, where)
                     : wn_fail(WN_EARG, "%s: no %s beside it: expected what `winnow select` wrote",
                               path, wn_path_base(where));
    if (err == WN_OK)
        err = check(*m, path, where);
    if (err != WN_OK) {
        json_decref(*m);
        *m = NULL;
    }
    wn_free(where);
    return err;
}

wn_err wn_chosen_id(char **id, const json_t *row)
{
    const json_t *v = json_object_get(row, "id");
    char number[32] = "";
    if (json_is_integer(v))
        snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
    *id = wn_strdup(json_is_string(v) ? json_string_value(v) : number);
    return *id ? WN_OK : WN_ENOMEM;
}

wn_err wn_chosen_lines(const char *path, wn_chosen_body body, void *ctx)
{
    wn_lines *l;
    wn_span line;
    wn_err err = WN_OK, failed = WN_OK;
    bool stop = false;
    WN_TRY(wn_lines_open(&l, path));
    while (!stop && failed == WN_OK && wn_lines_next(l, &line, &err)) {
        char where[512];
        json_t *row = NULL;
        snprintf(where, sizeof where, "%s:%" PRIu64, path, wn_lines_number(l));
        failed = wn_json_parse(&row, line.p, line.len, where);
        if (failed == WN_OK)
            failed = body(ctx, row, &stop);
        json_decref(row);
    }
    wn_lines_close(l);
    return failed != WN_OK ? failed : err;
}
