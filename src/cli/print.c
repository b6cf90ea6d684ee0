/* What a finished job shows: texts, facts, manifests, lines. All of it goes through wn_out, so a
 * full disk or a closed pipe is an error with a name. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/cli.h"
#include "io/file.h"
#include "io/json.h"

static bool to_stdout(const char *out)
{
    return out == NULL || strcmp(out, "-") == 0;
}

wn_err wn_print_check_out(const wn_call *c)
{
    return wn_rank() > 0 ? WN_OK : wn_out_refuse(c->shared->out, c->shared->overwrite);
}

static wn_err write_text(const char *path, const char *text, size_t len)
{
    wn_out o;
    WN_TRY(wn_out_open(&o, path));
    wn_err err = wn_out_write(&o, text, len);
    if (err == WN_OK && (len == 0 || text[len - 1] != '\n'))
        err = wn_out_write(&o, "\n", 1);
    if (err == WN_OK)
        return wn_out_commit(&o);
    wn_out_abort(&o);
    return err;
}

wn_err wn_print(const wn_call *c, const char *text)
{
    bool own = c->command->out == WN_OUT_TEXT;
    if (own)
        WN_TRY(wn_print_check_out(c));
    return write_text(own ? c->shared->out : NULL, text, strlen(text));
}

/* ---- facts for people ---- */

static void value_text(wn_str *s, const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_STRING:
        wn_str_puts(s, json_string_value(v));
        break;
    case JSON_INTEGER:
        wn_str_printf(s, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
        break;
    case JSON_REAL:
        wn_str_printf(s, "%.6g", json_real_value(v));
        break;
    case JSON_TRUE:
        wn_str_puts(s, "yes");
        break;
    case JSON_FALSE:
        wn_str_puts(s, "no");
        break;
    case JSON_ARRAY:
        if (json_array_size(v) == 0)
            wn_str_putc(s, '-');
        for (size_t i = 0; i < json_array_size(v); i++) {
            wn_str_puts(s, i ? ", " : "");
            value_text(s, json_array_get(v, i));
        }
        break;
    case JSON_OBJECT: {
        const char *key, *comma = "";
        if (json_object_size(v) == 0)
            wn_str_putc(s, '-');
        json_t *m;
        json_object_foreach((json_t *)(uintptr_t)v, key, m)
        {
            wn_str_printf(s, "%s%s ", comma, key);
            value_text(s, m);
            comma = ", ";
        }
        break;
    }
    default:
        wn_str_puts(s, "-");
    }
}

static bool holds(const json_t *v, bool (*is)(const json_t *))
{
    for (size_t i = 0; i < json_array_size(v); i++)
        if (is(json_array_get(v, i)))
            return true;
    return false;
}

static bool is_structure(const json_t *v)
{
    return json_is_object(v) || json_is_array(v);
}

static bool is_object(const json_t *v)
{
    return json_is_object(v);
}

enum { MAX_COLUMNS = 24 };

/* One cell of a table, padded; the heading where `row` is NULL. */
static size_t cell(wn_str *s, const json_t *row, const char *key, bool right, size_t width)
{
    wn_str text = {0};
    const json_t *v = row ? json_object_get(row, key) : NULL;
    if (row == NULL)
        wn_str_puts(&text, key);
    else if (v != NULL)
        value_text(&text, v);
    size_t len = text.len;
    if (s != NULL)
        wn_str_printf(s, right ? "  %*s" : "  %-*s", (int)width, text.p ? text.p : "");
    wn_str_free(&text);
    return len;
}

/* An array of objects: a line an object, columns as wide as their widest value, numbers to the
 * right. The first object's members are the columns. */
static void table_text(wn_str *s, const json_t *rows)
{
    json_t *first = json_array_get(rows, 0), *m;
    size_t n = json_array_size(rows), width[MAX_COLUMNS], k = 0;
    const char *key;
    json_object_foreach(first, key, m)
    {
        if (k == MAX_COLUMNS)
            break;
        width[k] = strlen(key);
        for (size_t i = 0; i < n; i++) {
            size_t len = cell(NULL, json_array_get(rows, i), key, false, 0);
            width[k] = len > width[k] ? len : width[k];
        }
        k++;
    }
    for (size_t i = 0; i <= n; i++) {
        size_t col = 0;
        json_object_foreach(first, key, m)
        {
            if (col == k)
                break;
            cell(s, i ? json_array_get(rows, i - 1) : NULL, key, json_is_number(m), width[col]);
            col++;
        }
        while (!s->failed && s->len > 0 && s->p[s->len - 1] == ' ')
            s->p[--s->len] = '\0';
        wn_str_putc(s, '\n');
    }
}

static bool is_listing(const json_t *v)
{
    const char *key;
    json_t *m;
    json_object_foreach((json_t *)(uintptr_t)v, key, m)
    {
        if (!json_is_object(m))
            return false;
    }
    return json_object_size(v) > 0;
}

/* An object of objects: a line a member with its values, and beneath it a line for each of what it
 * lists. */
static void listing_text(wn_str *s, const json_t *v, int width)
{
    const char *key, *part;
    json_t *m, *value, *item;
    size_t i;
    json_object_foreach((json_t *)(uintptr_t)v, key, m)
    {
        const char *before = "";
        wn_str_printf(s, "    %-*s  ", width, key);
        json_object_foreach(m, part, value) if (!json_is_array(value))
        {
            wn_str_printf(s, "%s%s ", before, part);
            value_text(s, value);
            before = ", ";
        }
        wn_str_putc(s, '\n');
        json_object_foreach(m, part, value) json_array_foreach(value, i, item)
        {
            wn_str_puts(s, "      ");
            value_text(s, item);
            wn_str_putc(s, '\n');
        }
    }
}

static size_t longest_key(const json_t *v, bool structures)
{
    const char *key;
    json_t *m;
    size_t n = 0;
    json_object_foreach((json_t *)(uintptr_t)v, key, m)
    {
        if (strlen(key) > n && (structures || !is_structure(m)))
            n = strlen(key);
    }
    return n;
}

static void object_text(wn_str *s, const json_t *v)
{
    const char *key;
    json_t *m;
    int width = (int)longest_key(v, true);
    json_object_foreach((json_t *)(uintptr_t)v, key, m)
    {
        if (is_listing(m)) {
            wn_str_printf(s, "  %s:\n", key);
            listing_text(s, m, (int)longest_key(m, true));
            continue;
        }
        wn_str_printf(s, "  %-*s  ", width, key);
        value_text(s, m);
        wn_str_putc(s, '\n');
    }
}

static wn_err facts_text(wn_str *s, json_t *doc)
{
    const char *key;
    json_t *v;
    int width = (int)longest_key(doc, false);
    json_object_foreach(doc, key, v)
    {
        if (json_is_array(v) && holds(v, is_object)) {
            wn_str_printf(s, "%s:\n", key);
            table_text(s, v);
        } else if (json_is_object(v) && json_object_size(v) > 0) {
            wn_str_printf(s, "%s:\n", key);
            object_text(s, v);
        } else {
            wn_str_printf(s, "%-*s  ", width, key);
            value_text(s, v);
            wn_str_putc(s, '\n');
        }
    }
    return wn_str_check(s);
}

wn_err wn_print_facts(const wn_call *c, const char *json)
{
    if (c->shared->json)
        return wn_print(c, json);
    json_t *doc = NULL;
    WN_TRY(wn_json_parse(&doc, json, strlen(json), "facts"));
    wn_str s = {0};
    wn_err err = facts_text(&s, doc);
    json_decref(doc);
    if (err == WN_OK)
        err = wn_print(c, s.p ? s.p : "");
    wn_str_free(&s);
    return err;
}

/* ---- after a job that wrote files ---- */

wn_err wn_print_done(const wn_call *c, const char *name)
{
    const char *out = c->shared->out;
    if (!c->shared->json || to_stdout(out) || wn_rank() > 0)
        return WN_OK;
    wn_str path = {0}, text = {0};
    json_t *manifest = NULL, *doc = NULL;
    if (name != NULL)
        wn_str_printf(&path, name[0] == '.' ? "%s%s" : "%s/%s", out, name);
    wn_err err = wn_str_check(&path);
    if (err == WN_OK && name != NULL && wn_file_exists(path.p))
        err = wn_json_load(&manifest, path.p);
    if (err == WN_OK) {
        doc = json_pack("{s:s,s:s,s:o?}", "command", c->command->name, "out", out, "manifest",
                        manifest);
        err = doc ? wn_json_dump(&text, doc, 2, false)
                  : wn_fail(WN_EARG, "%s: no UTF-8 in the name", out);
    }
    if (err == WN_OK)
        err = write_text(NULL, text.p, text.len);
    json_decref(doc);
    wn_str_free(&path);
    wn_str_free(&text);
    return err;
}

wn_err wn_print_file(const wn_call *c, const char *name)
{
    enum { LIMIT = 1 << 28 };
    char *path = NULL, *text = NULL;
    size_t len = 0;
    WN_TRY(wn_path_join(&path, c->shared->out, name));
    wn_err err = wn_file_read(&text, &len, path, LIMIT);
    if (err == WN_OK)
        err = write_text(NULL, text, len);
    wn_free(path);
    wn_free(text);
    return err;
}

/* ---- JSON lines ---- */

/* The lines of a file as one array on standard output, without reading them whole. */
static wn_err print_array(const char *path)
{
    wn_lines *l = NULL;
    wn_out o;
    wn_span line;
    if (!wn_file_exists(path)) /* a job without lines, such as search --prepare */
        return write_text(NULL, "[]", 2);
    WN_TRY(wn_lines_open(&l, path));
    wn_err err = wn_out_open(&o, NULL);
    if (err != WN_OK) {
        wn_lines_close(l);
        return err;
    }
    const char *before = "[";
    err = WN_OK;
    while (err == WN_OK && wn_lines_next(l, &line, &err)) {
        err = wn_out_printf(&o, "%s\n", before);
        if (err == WN_OK)
            err = wn_out_write(&o, line.p, line.len);
        before = ",";
    }
    wn_lines_close(l);
    if (err == WN_OK)
        err = wn_out_printf(&o, before[0] == '[' ? "[]\n" : "\n]\n");
    if (err == WN_OK)
        return wn_out_commit(&o);
    wn_out_abort(&o);
    return err;
}

/* Removes the scratch folder; a failure's text outlives that. */
static wn_err drop_scratch(wn_err err, const char *dir)
{
    char text[WN_ERROR_TEXT_BYTES];
    snprintf(text, sizeof text, "%s", wn_error_text());
    wn_err removed = wn_remove_tree(dir);
    if (err == WN_OK)
        return removed;
    wn_error_set_text(text);
    return err;
}

static wn_err run_in(const wn_call *c, wn_err (*job)(const void *opts), const char *dir)
{
    wn_common *common = c->opts;
    char *file = NULL;
    WN_TRY(wn_path_join(&file, dir, "lines"));
    common->out = file;
    wn_err err = job(c->opts);
    common->out = NULL;
    if (err == WN_OK && wn_rank() == 0)
        err = print_array(file);
    wn_free(file);
    return err;
}

static wn_err lines_as_array(const wn_call *c, wn_err (*job)(const void *opts))
{
    const char *tmp = getenv("TMPDIR");
    wn_str dir = {0};
    wn_str_printf(&dir, "%s/winnow-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    wn_err err = wn_str_check(&dir);
    if (err == WN_OK && mkdtemp(dir.p) == NULL)
        err = wn_fail(WN_EIO, "%s: cannot make a folder for scratch files", dir.p);
    else if (err == WN_OK)
        err = drop_scratch(run_in(c, job, dir.p), dir.p);
    wn_str_free(&dir);
    return err;
}

wn_err wn_print_lines(const wn_call *c, wn_err (*job)(const void *opts), const char *manifest)
{
    WN_TRY(wn_print_check_out(c));
    if (c->shared->json && to_stdout(c->shared->out))
        return lines_as_array(c, job);
    WN_TRY(job(c->opts));
    return wn_print_done(c, manifest);
}
