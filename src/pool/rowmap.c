/* Maps that are templates: alpaca, dolly and every YAML map are the same engine with other
 * strings. A template is text with {path} in it; [ ] encloses what is left out when a field inside
 * is missing or empty. Where a needed field is missing, the row's field is not written at all, and
 * the reader says so ("no prompt"). docs/rows.md describes the language. */
#include "pool/rowmap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"

typedef struct part {
    enum { TEXT, FIELD, OPEN, CLOSE } kind;
    wn_span text; /* of the template: literal text, or the path */
    bool strip;
} part;

typedef struct template
{
    char *text; /* the parts point into it */
    part *parts;
    size_t n, cap;
}
template;

enum { ID, TASK, PROMPT, TARGET, CHOICES, REFERENCES, SOURCE, CATEGORY, TARGET_INDEX, FIELDS };
static const char *const field_name[FIELDS] = {"id",     "task",     "prompt",
                                               "target", "choices",  "references",
                                               "source", "category", "target_index"};

struct wn_rowmap {
    const wn_shape *shape;  /* a shape that is code; then the rest is empty */
    template field[FIELDS]; /* n 0: not mapped */
    template *choice;       /* choices given as a list of templates */
    size_t n_choices;
    char **used; /* members the templates name, NULL at the end */
    size_t n_used, cap_used;
};

/* ---- named maps ---- */

typedef struct named {
    const char *name;
    const char *field[FIELDS];
} named;

static const named names[] = {
    {"alpaca", {[PROMPT] = "{instruction}[\n\n{input}]", [TARGET] = "{output}"}},
    {"dolly", {[PROMPT] = "{instruction}[\n\n{context}]", [TARGET] = "{response}"}},
};

/* ---- templates ---- */

static wn_err add_part(template *t, int kind, const char *p, size_t len)
{
    if (!WN_GROW(t->parts, t->n, t->cap))
        return WN_ENOMEM;
    t->parts[t->n++] = (part){.kind = kind, .text = {p, len}};
    return WN_OK;
}

static wn_err add_field(template *t, const char *p, size_t len, const char *where)
{
    static const char strip[] = "|strip";
    bool stripped = len > sizeof strip - 1 &&
                    memcmp(p + len - (sizeof strip - 1), strip, sizeof strip - 1) == 0;
    len -= stripped ? sizeof strip - 1 : 0;
    if (!len || memchr(p, '|', len) || memchr(p, '{', len))
        return wn_fail(WN_EFORMAT, "%s: expected {field} or {field|strip}, found {%.*s}", where,
                       (int)(len < 80 ? len : 80), p);
    WN_TRY(add_part(t, FIELD, p, len));
    t->parts[t->n - 1].strip = stripped;
    return WN_OK;
}

/* {{ }} [[ ]] stand for themselves. */
static wn_err compile(template *t, const char *source, const char *where)
{
    t->text = wn_strdup(source);
    if (!t->text)
        return WN_ENOMEM;
    bool open = false;
    for (const char *p = t->text; *p;) {
        size_t plain = strcspn(p, "{}[]");
        if (plain) {
            WN_TRY(add_part(t, TEXT, p, plain));
            p += plain;
        } else if (p[0] == p[1]) {
            WN_TRY(add_part(t, TEXT, p, 1));
            p += 2;
        } else if (*p == '{') {
            const char *end = strchr(p, '}');
            if (!end)
                return wn_fail(WN_EFORMAT, "%s: expected } after %.80s", where, p);
            WN_TRY(add_field(t, p + 1, (size_t)(end - p - 1), where));
            p = end + 1;
        } else if (*p == '}' || open != (*p == ']')) {
            return wn_fail(WN_EFORMAT, "%s: a lone %c in \"%.80s\" (write it twice to mean itself)",
                           where, *p, source);
        } else {
            open = *p == '[';
            WN_TRY(add_part(t, open ? OPEN : CLOSE, p++, 1));
        }
    }
    if (open)
        return wn_fail(WN_EFORMAT, "%s: expected ] in \"%.80s\"", where, source);
    return t->n ? WN_OK
                : wn_fail(WN_EFORMAT, "%s: expected a template, found an empty text", where);
}

static const json_t *look_up(const json_t *v, wn_span path)
{
    while (v && path.len) {
        const char *dot = memchr(path.p, '.', path.len);
        size_t n = dot ? (size_t)(dot - path.p) : path.len;
        if (json_is_array(v)) {
            char digits[20] = "", *end;
            snprintf(digits, sizeof digits, "%.*s", (int)(n < 19 ? n : 19), path.p);
            unsigned long i = strtoul(digits, &end, 10);
            v = *digits && !*end ? json_array_get(v, i) : NULL;
        } else {
            v = json_object_getn(v, path.p, n);
        }
        path = dot ? (wn_span){dot + 1, path.len - n - 1} : (wn_span){"", 0};
    }
    return json_is_null(v) ? NULL : v;
}

/* A string, number or truth value as text; false for anything else. */
static bool add_value(wn_str *s, const json_t *v, bool strip)
{
    if (json_is_string(v)) {
        wn_span t = {json_string_value(v), json_string_length(v)};
        if (strip)
            t = wn_span_trim(t);
        wn_str_add(s, t.p, t.len);
    } else if (json_is_integer(v)) {
        wn_str_printf(s, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
    } else if (json_is_real(v)) {
        wn_json_f64(s, json_real_value(v));
    } else if (json_is_boolean(v)) {
        wn_str_puts(s, json_is_true(v) ? "true" : "false");
    } else {
        return false;
    }
    return true;
}

/* false: a field outside of [ ] is missing. */
static bool render(wn_str *s, const template *t, const json_t *root)
{
    size_t mark = 0;
    bool inside = false, keep = true;
    for (size_t i = 0; i < t->n; i++) {
        const part *p = &t->parts[i];
        size_t before = s->len;
        if (p->kind == TEXT) {
            wn_str_add(s, p->text.p, p->text.len);
        } else if (p->kind == OPEN) {
            mark = s->len;
            inside = keep = true;
        } else if (p->kind == CLOSE) {
            if (!keep)
                s->len = mark;
            inside = false;
        } else {
            bool found = add_value(s, look_up(root, p->text), p->strip);
            if (!found && !inside)
                return false;
            keep = keep && found && s->len > before;
        }
    }
    return true;
}

/* The value of a template that is one field and nothing else, else NULL. */
static const json_t *lone_value(const template *t, const json_t *root)
{
    return t->n == 1 && t->parts[0].kind == FIELD ? look_up(root, t->parts[0].text) : NULL;
}

/* ---- writing a mapped row ---- */

void wn_member_key(wn_str *s, const char *key)
{
    wn_str_puts(s, s->len > 1 ? ", " : "");
    wn_json_cstring(s, key);
    wn_str_puts(s, ": ");
}

void wn_member_string(wn_str *s, const char *key, const char *text, size_t len)
{
    wn_member_key(s, key);
    wn_json_string(s, text, len);
}

static void json_text(wn_str *s, const wn_str *text)
{
    s->failed |= text->failed;
    wn_json_string(s, text->len ? text->p : "", text->failed ? 0 : text->len);
}

void wn_member_text(wn_str *s, const char *key, const wn_str *text)
{
    wn_member_key(s, key);
    json_text(s, text);
}

static bool listed(wn_span key, const char *const *names_)
{
    for (; names_ && *names_; names_++)
        if (wn_span_is(key, *names_))
            return true;
    return false;
}

static bool has_member(const wn_str *s, size_t len, wn_span key)
{
    size_t pos = 0;
    wn_span k, v;
    while (wn_json_member(s->p, len, &pos, &k, &v))
        if (k.len == key.len && memcmp(k.p, key.p, k.len) == 0)
            return true;
    return false;
}

void wn_member_rest(wn_str *s, wn_span raw, const char *const *used)
{
    size_t pos = 0, own = s->len;
    wn_span key, value;
    while (wn_json_member(raw.p, raw.len, &pos, &key, &value)) {
        if (listed(key, used) || has_member(s, own, key))
            continue;
        wn_str_puts(s, s->len > 1 ? ", \"" : "\"");
        wn_str_add(s, key.p, key.len);
        wn_str_puts(s, "\": ");
        size_t at = s->len;
        wn_str_add(s, value.p, value.len);
        for (; !s->failed && at < s->len; at++) /* JSON has raw line breaks only between tokens */
            if (s->p[at] == '\n' || s->p[at] == '\r')
                s->p[at] = ' ';
    }
}

/* An array's items as an array of texts; an item of another kind stays and is refused later. */
static void write_list(wn_str *s, const char *key, const json_t *list, bool strip)
{
    wn_str text = {0};
    wn_member_key(s, key);
    for (size_t i = 0; i < json_array_size(list); i++) {
        wn_str_clear(&text);
        wn_str_puts(s, i ? ", " : "[");
        if (add_value(&text, json_array_get(list, i), strip))
            json_text(s, &text);
        else
            wn_str_puts(s, "null");
    }
    wn_str_putc(s, ']');
    wn_str_free(&text);
}

static void write_choices(wn_str *s, const wn_rowmap *m, const json_t *root)
{
    wn_str text = {0};
    size_t n = 0;
    for (size_t i = 0; i < m->n_choices; i++) {
        wn_str_clear(&text);
        if (!render(&text, &m->choice[i], root))
            continue;
        if (n++)
            wn_str_puts(s, ", ");
        else
            wn_member_key(s, "choices"), wn_str_putc(s, '[');
        json_text(s, &text);
    }
    if (n)
        wn_str_putc(s, ']');
    wn_str_free(&text);
}

/* target_index: the choice of that number, from 0. */
static void write_indexed(wn_str *s, const wn_rowmap *m, const json_t *root)
{
    wn_str index = {0}, text = {0};
    char *end = NULL;
    bool ok = render(&index, &m->field[TARGET_INDEX], root) && index.len;
    unsigned long i = ok ? strtoul(index.p, &end, 10) : 0;
    ok = ok && !*end && index.p[0] != '-';
    if (ok && m->n_choices) {
        ok = i < m->n_choices && render(&text, &m->choice[i], root);
    } else if (ok) {
        const template *t = &m->field[CHOICES];
        ok = t->n && add_value(&text, json_array_get(lone_value(t, root), i), t->parts[0].strip);
    }
    if (ok)
        wn_member_text(s, "target", &text);
    s->failed |= index.failed;
    wn_str_free(&index);
    wn_str_free(&text);
}

/* Several right answers in one field: the first is the target, all are references. */
static void write_answers(wn_str *s, const wn_rowmap *m, const json_t *list, bool strip)
{
    wn_str text = {0};
    if (add_value(&text, json_array_get(list, 0), strip))
        wn_member_text(s, "target", &text);
    if (!m->field[REFERENCES].n && json_array_size(list))
        write_list(s, "references", list, strip);
    wn_str_free(&text);
}

static void write_field(wn_str *s, const wn_rowmap *m, int f, const json_t *root)
{
    const template *t = &m->field[f];
    const json_t *v = lone_value(t, root);
    bool strip = t->n && t->parts[0].strip;
    if (f == TARGET && json_is_array(v)) {
        write_answers(s, m, v, strip);
    } else if (f == CHOICES || f == REFERENCES) {
        if (json_is_array(v) && json_array_size(v))
            write_list(s, field_name[f], v, strip);
        else if (v && !json_is_array(v))
            wn_member_key(s, field_name[f]), wn_str_puts(s, "0");
    } else if (json_is_array(v) || json_is_object(v)) {
        wn_member_key(s, field_name[f]); /* kept wrong, so that the reader says what is wrong */
        wn_str_puts(s, "[]");
    } else if (t->n) {
        wn_str text = {0};
        if (render(&text, t, root))
            wn_member_text(s, field_name[f], &text);
        wn_str_free(&text);
    }
}

static void write_row(wn_str *s, const wn_rowmap *m, const json_t *root, wn_span raw)
{
    wn_str_clear(s);
    wn_str_putc(s, '{');
    for (int f = 0; f < TARGET_INDEX; f++) {
        if (f == TARGET && m->field[TARGET_INDEX].n)
            write_indexed(s, m, root);
        else if (f == CHOICES && m->n_choices)
            write_choices(s, m, root);
        else
            write_field(s, m, f, root);
    }
    wn_member_rest(s, raw, (const char *const *)m->used);
    wn_str_putc(s, '}');
}

static wn_err parse(json_t **root, wn_reject *why, wn_span text, const wn_place *at)
{
    char where[300];
    if (at->line)
        snprintf(where, sizeof where, "%.250s:%llu", at->path, (unsigned long long)at->line);
    else
        snprintf(where, sizeof where, "%.280s", at->path);
    wn_err e = wn_json_parse(root, text.p, text.len, where);
    if (e == WN_EFORMAT)
        *why = WN_REJECT_JSON;
    WN_TRY(e);
    if (json_is_object(*root))
        return WN_OK;
    *why = WN_REJECT_OBJECT;
    return wn_place_fail(at, (wn_span){"", 0}, wn_reject_text(*why), "");
}

wn_err wn_rowmap_line(const wn_rowmap *m, wn_str *out, wn_reject *why, wn_span line,
                      const wn_place *at)
{
    json_t *root = NULL;
    line = wn_span_trim(line);
    wn_err e = parse(&root, why, line, at);
    wn_str_clear(out);
    if (!e && m->shape)
        e = m->shape->line(out, why, root, line, at);
    else if (!e)
        write_row(out, m, root, line);
    json_decref(root);
    return e ? e : wn_str_check(out);
}

wn_err wn_rowmap_document(const wn_rowmap *m, wn_reject *why, wn_span text, const wn_place *at,
                          wn_rowmap_emit emit, void *ctx)
{
    json_t *root = NULL;
    wn_err e = parse(&root, why, text, at);
    if (!e)
        e = m->shape->rows(why, root, at, emit, ctx);
    json_decref(root);
    return e;
}

bool wn_rowmap_is_document(const wn_rowmap *m)
{
    return m->shape && m->shape->document;
}

/* ---- opening ---- */

/* The first name of every path: those members have been used up. */
static wn_err note_used(wn_rowmap *m, const template *t)
{
    for (size_t i = 0; i < t->n; i++) {
        if (t->parts[i].kind != FIELD)
            continue;
        wn_span path = t->parts[i].text;
        const char *dot = memchr(path.p, '.', path.len);
        if (!WN_GROW(m->used, m->n_used + 1, m->cap_used))
            return WN_ENOMEM;
        char *name = wn_strndup(path.p, dot ? (size_t)(dot - path.p) : path.len);
        if (!name)
            return WN_ENOMEM;
        m->used[m->n_used++] = name;
        m->used[m->n_used] = NULL;
    }
    return WN_OK;
}

static wn_err set_field(wn_rowmap *m, template *t, const char *text, const char *where)
{
    WN_TRY(compile(t, text, where));
    return note_used(m, t);
}

static wn_err set_choices(wn_rowmap *m, const json_t *list, const char *where)
{
    size_t n = json_array_size(list);
    if (!n)
        return wn_fail(WN_EFORMAT, "%s: expected at least one choice", where);
    WN_NEW(m->choice, n);
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, i);
        char *text = json_is_string(v) ? NULL : json_dumps(v, JSON_ENCODE_ANY);
        const char *source = json_is_string(v) ? json_string_value(v) : text;
        wn_err e = source ? set_field(m, &m->choice[m->n_choices++], source, where)
                          : wn_fail_nomem(0, "a map");
        free(text); // jansson's own block
        WN_TRY(e);
    }
    return WN_OK;
}

static wn_err read_yaml(wn_rowmap *m, const json_t *root, const char *path)
{
    if (!json_is_object(root))
        return wn_fail(WN_EFORMAT, "%s: expected a map such as \"prompt: '{question}'\"", path);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)root, key, value)
    {
        int f = 0;
        while (f < FIELDS && strcmp(field_name[f], key) != 0)
            f++;
        if (f == FIELDS)
            return wn_fail(WN_EFORMAT,
                           "%s: expected id, task, prompt, target, target_index, choices, "
                           "references, source or category, found %.80s",
                           path, key);
        char where[400];
        snprintf(where, sizeof where, "%.300s: %s", path, field_name[f]);
        if (f == CHOICES && json_is_array(value))
            WN_TRY(set_choices(m, value, where));
        else if (json_is_string(value))
            WN_TRY(set_field(m, &m->field[f], json_string_value(value), where));
        else
            return wn_fail(WN_EFORMAT, "%s: expected a template (a text in quotes)", where);
    }
    return m->field[PROMPT].n ? WN_OK
                              : wn_fail(WN_EFORMAT, "%s: expected prompt, found none", path);
}

static wn_err open_map(wn_rowmap *m, const char *map)
{
    m->shape = wn_shape_find(map);
    if (m->shape)
        return WN_OK;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i].name, map) != 0)
            continue;
        for (int f = 0; f < FIELDS; f++)
            if (names[i].field[f])
                WN_TRY(set_field(m, &m->field[f], names[i].field[f], map));
        return WN_OK;
    }
    if (!wn_file_exists(map) || wn_is_dir(map))
        return wn_fail(WN_EARG,
                       "--map: expected p3, deft, superni, superni-raw, alpaca, messages, "
                       "bigbench, dolly or a YAML file, found %.200s",
                       map);
    json_t *root;
    WN_TRY(wn_yaml_load(&root, map));
    wn_err e = read_yaml(m, root, map);
    json_decref(root);
    return e;
}

bool wn_rowmap_is_name(const char *map)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i].name, map) == 0)
            return true;
    return wn_shape_find(map) != NULL;
}

wn_err wn_rowmap_open(wn_rowmap **out, const char *map)
{
    wn_rowmap *m;
    *out = NULL;
    WN_NEW(m, 1);
    wn_err e = open_map(m, map);
    if (e)
        wn_rowmap_close(m);
    else
        *out = m;
    return e;
}

static void free_template(template *t)
{
    wn_free(t->text);
    wn_free(t->parts);
}

void wn_rowmap_close(wn_rowmap *m)
{
    if (!m)
        return;
    for (int f = 0; f < FIELDS; f++)
        free_template(&m->field[f]);
    for (size_t i = 0; i < m->n_choices; i++)
        free_template(&m->choice[i]);
    for (size_t i = 0; i < m->n_used; i++)
        wn_free(m->used[i]);
    wn_free(m->choice);
    wn_free(m->used);
    wn_free(m);
}
