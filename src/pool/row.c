/* One line of JSON to a row. Jansson decides what is JSON (strict, UTF-8 checked, no key twice);
 * the row's strings stay in its tree, so reading a row copies nothing. The order of the checks is
 * the order of WN_REJECTS: a line with two faults is counted under the first. */
#include "pool/pool.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <utf8proc.h>

#include "base/mem.h"
#include "io/json.h"
#include "pool/rowread.h"

struct wn_row_memory {
    json_t *root;
    wn_span *choices, *references;
    size_t cap_choices, cap_references;
    wn_str id; /* "FILE:LINE" of a row without one */
};

const char *wn_reject_text(wn_reject why)
{
    static const char *const text[] = {"fine",
#define WN_X(name, t) t,
                                       WN_REJECTS(WN_X)
#undef WN_X
    };
    return text[why];
}

bool wn_is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

wn_span wn_span_trim(wn_span s)
{
    while (s.len && wn_is_blank(s.p[0]))
        s.p++, s.len--;
    while (s.len && wn_is_blank(s.p[s.len - 1]))
        s.len--;
    return s;
}

uint64_t wn_row_text_hash(const wn_row *row)
{
    return wn_hash64(row->target.p, row->target.len, wn_hash64(row->prompt.p, row->prompt.len, 0));
}

uint64_t wn_id_hash(const char *id, size_t len)
{
    return wn_hash64(id, len, 0);
}

wn_err wn_place_fail(const wn_place *at, wn_span id, const char *what, const char *detail)
{
    char line[32] = "";
    if (at->line)
        snprintf(line, sizeof line, ":%" PRIu64, at->line);
    int shown = id.len < 200 ? (int)id.len : 200;
    return wn_fail(WN_EFORMAT, "%s%s: %s%.*s%s%s%s%s", at->path, line, id.len ? "row \"" : "",
                   shown, id.len ? id.p : "", id.len ? "\": " : "", what, *detail ? ": " : "",
                   detail);
}

/* Everything a check needs to speak. */
typedef struct reader {
    wn_row *row;
    const wn_place *at;
    wn_reject *why;
} reader;

static wn_err reject(const reader *r, wn_reject why, const char *detail)
{
    *r->why = why;
    return wn_place_fail(r->at, r->row->id, wn_reject_text(why), detail);
}

static bool valid_utf8(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n) {
        if ((unsigned char)s[i] < 0x80) {
            i++;
            continue;
        }
        utf8proc_int32_t cp;
        size_t left = n - i < 4 ? n - i : 4;
        utf8proc_ssize_t k =
            utf8proc_iterate((const utf8proc_uint8_t *)s + i, (utf8proc_ssize_t)left, &cp);
        if (k < 1)
            return false;
        i += (size_t)k;
    }
    return true;
}

static wn_span string_span(const json_t *v)
{
    return (wn_span){json_string_value(v), json_string_length(v)};
}

/* Null is absent. */
static const json_t *member(const json_t *root, const char *key)
{
    const json_t *v = json_object_get(root, key);
    return json_is_null(v) ? NULL : v;
}

static bool one_line(wn_span s)
{
    return !memchr(s.p, '\n', s.len) && !memchr(s.p, '\r', s.len) && !memchr(s.p, '\0', s.len);
}

/* A number's id is its text in the file, so 1.50 and 1.5 stay apart and nothing is rounded. */
static wn_span raw_member(wn_span line, const char *name)
{
    size_t pos = 0;
    wn_span key, value;
    while (wn_json_member(line.p, line.len, &pos, &key, &value))
        if (wn_span_is(key, name))
            return value;
    return (wn_span){"", 0};
}

static wn_err read_id(const reader *r, const json_t *root)
{
    struct wn_row_memory *m = r->row->memory;
    const json_t *v = member(root, "id");
    if (!v) {
        wn_str_clear(&m->id);
        if (r->at->line)
            wn_str_printf(&m->id, "%s:%" PRIu64, r->at->base, r->at->line);
        else
            wn_str_puts(&m->id, r->at->base);
        WN_TRY(wn_str_check(&m->id));
        r->row->id = (wn_span){m->id.p, m->id.len};
        return WN_OK;
    }
    wn_span id = json_is_string(v)   ? string_span(v)
                 : json_is_number(v) ? raw_member(r->row->raw, "id")
                                     : (wn_span){"", 0};
    if (!id.len)
        return reject(r, WN_REJECT_ID, "expected a number or a string that is not empty");
    if (!one_line(id))
        return reject(r, WN_REJECT_ID, "it holds a line break or a zero byte");
    r->row->id = id;
    return WN_OK;
}

static wn_err read_task(const reader *r, const json_t *root, const char *default_task)
{
    const json_t *v = member(root, "task");
    if (!v) {
        r->row->task = (wn_span){default_task, strlen(default_task)};
        return WN_OK;
    }
    if (!json_is_string(v) || !json_string_length(v))
        return reject(r, WN_REJECT_TASK, "expected a string that is not empty");
    r->row->task = string_span(v);
    if (!one_line(r->row->task))
        return reject(r, WN_REJECT_TASK, "it holds a line break or a zero byte");
    return WN_OK;
}

static wn_err read_strings(const reader *r, const json_t *v, wn_reject why, wn_span **list,
                           size_t *cap, size_t *n)
{
    *n = 0;
    if (!v)
        return WN_OK;
    if (!json_is_array(v))
        return reject(r, why, "");
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *item = json_array_get(v, i);
        if (!json_is_string(item))
            return reject(r, why, "");
        if (!WN_GROW(*list, *n, *cap))
            return WN_ENOMEM;
        (*list)[(*n)++] = string_span(item);
    }
    return WN_OK;
}

static wn_err read_texts(const reader *r, const json_t *root, bool need_target)
{
    wn_row *row = r->row;
    struct wn_row_memory *m = row->memory;
    const json_t *prompt = member(root, "prompt");
    if (!prompt)
        return reject(r, WN_REJECT_NO_PROMPT, "");
    if (!json_is_string(prompt))
        return reject(r, WN_REJECT_PROMPT, "");
    row->prompt = string_span(prompt);
    if (!wn_span_trim(row->prompt).len)
        return reject(r, WN_REJECT_EMPTY_PROMPT, "");

    const json_t *target = member(root, "target");
    if (target && !json_is_string(target))
        return reject(r, WN_REJECT_TARGET, "");
    if (!target && need_target)
        return reject(r, WN_REJECT_NO_TARGET, "");
    row->has_target = target != NULL;
    row->target = target ? string_span(target) : (wn_span){"", 0};

    WN_TRY(read_strings(r, member(root, "choices"), WN_REJECT_CHOICES, &m->choices, &m->cap_choices,
                        &row->n_choices));
    row->choices = m->choices;
    if (row->n_choices && row->has_target && wn_row_answer(row) < 0)
        return reject(r, WN_REJECT_UNANSWERED, "");
    WN_TRY(read_strings(r, member(root, "references"), WN_REJECT_REFERENCES, &m->references,
                        &m->cap_references, &row->n_references));
    row->references = m->references;
    return WN_OK;
}

wn_err wn_row_read(wn_row *out, wn_reject *why, bool *complete, const char *line, size_t len,
                   const wn_place *at, const char *default_task, bool need_target)
{
    struct wn_row_memory *m = out->memory;
    if (!m)
        WN_NEW(m, 1);
    json_decref(m->root);
    m->root = NULL;
    *out = (wn_row){.memory = m, .raw = wn_span_trim((wn_span){line, len})};
    *why = WN_ROW_GOOD;
    reader r = {out, at, why};
    if (!valid_utf8(line, len))
        return reject(&r, WN_REJECT_UTF8, "");
    char place[300];
    if (at->line)
        snprintf(place, sizeof place, "%.250s:%" PRIu64, at->path, at->line);
    else
        snprintf(place, sizeof place, "%.280s", at->path);
    wn_err e = wn_json_parse(&m->root, out->raw.p, out->raw.len, place);
    if (e == WN_EFORMAT)
        *why = WN_REJECT_JSON;
    WN_TRY(e);
    if (!json_is_object(m->root))
        return reject(&r, WN_REJECT_OBJECT, "");
    *complete = member(m->root, "id") && member(m->root, "task");
    WN_TRY(read_id(&r, m->root));
    WN_TRY(read_task(&r, m->root, default_task));
    WN_TRY(read_texts(&r, m->root, need_target));
    const json_t *source = member(m->root, "source"), *category = member(m->root, "category");
    out->source = json_is_string(source) ? string_span(source) : (wn_span){"", 0};
    out->category = json_is_string(category) ? string_span(category) : (wn_span){"", 0};
    return WN_OK;
}

wn_err wn_row_parse(wn_row *out, const char *line, size_t len, const char *where,
                    const char *default_task)
{
    wn_reject why;
    bool complete;
    wn_place at = {where, where, 0};
    return wn_row_read(out, &why, &complete, line, len, &at, default_task, false);
}

void wn_row_write(wn_str *s, const wn_row *row, bool complete)
{
    if (complete) {
        wn_str_add(s, row->raw.p, row->raw.len);
        return;
    }
    const json_t *id = member(row->memory->root, "id");
    wn_str_puts(s, "{\"id\": ");
    if (json_is_number(id))
        wn_str_add(s, row->id.p, row->id.len);
    else
        wn_json_string(s, row->id.p, row->id.len);
    wn_str_puts(s, ", \"task\": ");
    wn_json_string(s, row->task.p, row->task.len);
    size_t pos = 0;
    wn_span key, value;
    while (wn_json_member(row->raw.p, row->raw.len, &pos, &key, &value)) {
        if (wn_span_is(key, "id") || wn_span_is(key, "task"))
            continue;
        wn_str_puts(s, ", \"");
        wn_str_add(s, key.p, key.len);
        wn_str_puts(s, "\": ");
        wn_str_add(s, value.p, value.len);
    }
    wn_str_putc(s, '}');
}

void wn_row_free(wn_row *row)
{
    struct wn_row_memory *m = row->memory;
    if (m) {
        json_decref(m->root);
        wn_free(m->choices);
        wn_free(m->references);
        wn_str_free(&m->id);
        wn_free(m);
    }
    *row = (wn_row){0};
}

int wn_row_answer(const wn_row *row)
{
    for (size_t i = 0; i < row->n_choices && row->has_target; i++)
        if (row->choices[i].len == row->target.len &&
            memcmp(row->choices[i].p, row->target.p, row->target.len) == 0)
            return (int)i;
    return -1;
}
