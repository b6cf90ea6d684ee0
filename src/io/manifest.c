/* Manifests are plain JSON trees; what this file owns is the order of comparison (sorted member
 * names, depth first), so that of several differences the same one is always named. */
#include "io/manifest.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/ranks.h"
#include "base/str.h"
#include "io/file.h"

const char *wn_precision_name(wn_precision p)
{
    static const char *const name[] = {"auto", "f32", "bf16", "int8"};
    return (unsigned)p < 4 ? name[p] : "unknown";
}

wn_err wn_manifest_new(json_t **out, const char *format, const wn_common *common,
                       const char *kernel)
{
    *out = json_pack("{s:s, s:s, s:I, s:s}", "format", format, "version", WN_VERSION, "seed",
                     (json_int_t)common->seed, "precision", wn_precision_name(common->precision));
    if (*out && kernel && json_object_set_new(*out, "kernel", json_string(kernel)) != 0) {
        json_decref(*out);
        *out = NULL;
    }
    return *out ? WN_OK : wn_fail(WN_ENOMEM, "out of memory: a manifest of %s", format);
}

wn_err wn_manifest_write(const char *path, const json_t *m)
{
    wn_str s = {0};
    wn_err err = wn_json_dump(&s, m, 2, true);
    if (err == WN_OK) {
        wn_str_putc(&s, '\n');
        err = wn_str_check(&s);
    }
    if (err == WN_OK)
        err = wn_file_write(path, s.p, s.len);
    wn_str_free(&s);
    return err;
}

/* ---- comparing ---- */

static wn_err differs(const json_t *old, const json_t *now, const char *where, const char *field)
{
    enum { SHOWN = 160 };
    wn_str a = {0}, b = {0};
    if (old)
        wn_json_dump(&a, old, 0, true);
    if (now)
        wn_json_dump(&b, now, 0, true);
    wn_err err = wn_fail(WN_EARG, "%s: %s is %.*s there, but %.*s here", where, field, SHOWN,
                         a.p ? a.p : "absent", SHOWN, b.p ? b.p : "absent");
    wn_str_free(&a);
    wn_str_free(&b);
    return err;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The sorted names of the members of both objects, each once. */
static wn_err names_of(const char ***out, size_t *n, const json_t *a, const json_t *b)
{
    const char **name = wn_calloc(json_object_size(a) + json_object_size(b) + 1, sizeof *name);
    if (!name)
        return WN_ENOMEM;
    size_t count = 0;
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)a, key, v) name[count++] = key;
    json_object_foreach((json_t *)b, key, v)
    {
        if (!json_object_get(a, key))
            name[count++] = key;
    }
    qsort(name, count, sizeof *name, by_name);
    *out = name;
    *n = count;
    return WN_OK;
}

static bool listed(const char *name, const char *const *list)
{
    for (; list && *list; list++)
        if (strcmp(name, *list) == 0)
            return true;
    return false;
}

static wn_err compare(const json_t *old, const json_t *now, const char *where, wn_str *field,
                      const char *const *ignore)
{
    if (!json_is_object(old) || !json_is_object(now))
        return json_equal(old, now) ? WN_OK : differs(old, now, where, field->p);
    const char **name;
    size_t n;
    WN_TRY(names_of(&name, &n, old, now));
    wn_err err = WN_OK;
    size_t stem = field->len;
    for (size_t i = 0; i < n && err == WN_OK; i++) {
        if (stem == 0 && listed(name[i], ignore))
            continue;
        wn_str_printf(field, stem ? ".%s" : "%s", name[i]);
        err = wn_str_check(field);
        const json_t *x = json_object_get(old, name[i]), *y = json_object_get(now, name[i]);
        if (err == WN_OK)
            err = x && y ? compare(x, y, where, field, ignore) : differs(x, y, where, field->p);
        if (field->p) {
            field->len = stem;
            field->p[stem] = '\0';
        }
    }
    wn_free(name);
    return err;
}

wn_err wn_manifest_match(const json_t *old, const json_t *now, const char *where,
                         const char *const *ignore)
{
    wn_str field = {0};
    wn_err err = compare(old, now, where, &field, ignore);
    wn_str_free(&field);
    return err;
}

/* ---- of several ranks ---- */

static wn_err compare_shared(const wn_str *text, const json_t *mine)
{
    json_t *first;
    WN_TRY(wn_json_parse(&first, text->p, text->len, "the manifest of rank 0"));
    wn_err err = wn_manifest_match(first, mine, "the manifest of rank 0", NULL);
    json_decref(first);
    return err;
}

wn_err wn_manifest_agree(wn_err made, const json_t *m)
{
    if (wn_ranks() == 1)
        return made;
    wn_str text = {0};
    if (!made && wn_rank() == 0)
        made = wn_json_dump(&text, m, 0, true);
    wn_err err = wn_ranks_agree(made);
    if (!err)
        err = wn_ranks_share_str(&text);
    if (!err)
        err = wn_ranks_agree(wn_rank() == 0 ? WN_OK : compare_shared(&text, m));
    wn_str_free(&text);
    return err;
}
