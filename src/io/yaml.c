/* YAML documents as JSON trees, from libyaml's events. Scalars follow YAML 1.2's core schema, so
 * "no" is a word and 1e-4 a number. Left out on purpose, each refused with its line: anchors and
 * aliases (a few lines of them can stand for gigabytes), tags other than !!str, several documents,
 * keys that are not scalars, duplicate keys, nesting beyond MAX_DEPTH. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/json.h"

enum { FILE_LIMIT = 16 << 20, MAX_DEPTH = 64, NUMBER_BYTES = 320 };

struct reader {
    yaml_parser_t parser;
    const char *where;
};

static wn_err refuse(const struct reader *r, yaml_mark_t at, const char *what)
{
    return wn_fail(WN_EFORMAT, "%s:%zu: %s", r->where, at.line + 1, what);
}

static wn_err next_event(struct reader *r, yaml_event_t *e)
{
    if (yaml_parser_parse(&r->parser, e))
        return WN_OK;
    const yaml_parser_t *p = &r->parser;
    if (p->error == YAML_MEMORY_ERROR)
        return wn_fail(WN_ENOMEM, "%s: out of memory for YAML", r->where);
    if (p->error == YAML_READER_ERROR)
        return wn_fail(WN_EFORMAT, "%s: bad YAML at byte %zu: %s", r->where, p->problem_offset,
                       p->problem ? p->problem : "unreadable");
    return wn_fail(WN_EFORMAT, "%s:%zu: bad YAML at column %zu: %s", r->where,
                   p->problem_mark.line + 1, p->problem_mark.column + 1,
                   p->problem ? p->problem : "unreadable");
}

static bool one_of(const char *s, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(s, *words) == 0)
            return true;
    return false;
}

static size_t digits(const char *s, const char *set)
{
    return strspn(s, set);
}

/* [-+]? ( [0-9]+ ( \. [0-9]* )? | \. [0-9]+ ) ( [eE] [-+]? [0-9]+ )?  *whole: without . and e. */
static bool looks_decimal(const char *s, bool *whole)
{
    static const char ten[] = "0123456789";
    s += *s == '-' || *s == '+';
    size_t before = digits(s, ten), after = 0;
    s += before;
    *whole = true;
    if (*s == '.') {
        after = digits(++s, ten);
        s += after;
        *whole = false;
    }
    if (before + after == 0)
        return false;
    if (*s == 'e' || *s == 'E') {
        s++;
        s += *s == '-' || *s == '+';
        size_t n = digits(s, ten);
        if (n == 0)
            return false;
        s += n;
        *whole = false;
    }
    return *s == '\0';
}

/* strtod obeys the process's locale; a JSON number goes through Jansson, which does not. So the
 * text is brought to JSON's form: no plus, no bare point, no leading zeros. */
static json_t *decimal(const char *s, bool whole, const char *where)
{
    if (whole) {
        errno = 0;
        long long v = strtoll(s, NULL, 10);
        if (errno == 0)
            return json_integer(v);
    }
    char text[NUMBER_BYTES];
    const char *sign = *s == '-' ? "-" : "";
    s += *s == '-' || *s == '+';
    while (*s == '0' && s[1] >= '0' && s[1] <= '9')
        s++;
    const char *lead = *s == '.' ? "0" : "", *rest = s + strspn(s, "0123456789");
    int n = (int)(rest - s);
    const char *fill = "";
    if (*rest == '.' && !(rest[1] >= '0' && rest[1] <= '9')) {
        rest++;
        fill = ".0";
    } else if (*rest != '.') {
        fill = ".0";
    }
    int len = snprintf(text, sizeof text, "%s%s%.*s%s%s", sign, lead, n, s, fill, rest);
    json_t *v = NULL;
    if (len > 0 && (size_t)len < sizeof text &&
        wn_json_parse(&v, text, (size_t)len, where) != WN_OK)
        return NULL;
    return v;
}

static json_t *plain_scalar(const char *s, size_t len, const char *where)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const yes[] = {"true", "True", "TRUE", NULL};
    static const char *const no[] = {"false", "False", "FALSE", NULL};
    if (strlen(s) != len)
        return json_stringn(s, len);
    if (one_of(s, nulls))
        return json_null();
    if (one_of(s, yes))
        return json_true();
    if (one_of(s, no))
        return json_false();
    bool whole;
    if (looks_decimal(s, &whole))
        return decimal(s, whole, where);
    int base = strncmp(s, "0x", 2) == 0 ? 16 : strncmp(s, "0o", 2) == 0 ? 8 : 0;
    const char *set = base == 16 ? "0123456789abcdefABCDEF" : "01234567";
    if (base && s[2] && digits(s + 2, set) == len - 2) {
        errno = 0;
        long long v = strtoll(s + 2, NULL, base);
        return errno ? NULL : json_integer(v);
    }
    return json_stringn(s, len);
}

static wn_err scalar(struct reader *r, const yaml_event_t *e, json_t **out)
{
    const char *s = (const char *)e->data.scalar.value;
    size_t len = e->data.scalar.length;
    const char *tag = (const char *)e->data.scalar.tag;
    bool text = tag && (strcmp(tag, "!") == 0 || strcmp(tag, YAML_STR_TAG) == 0);
    if (tag && !text)
        return refuse(r, e->start_mark, "YAML tags other than !!str are not supported");
    if (e->data.scalar.anchor)
        return refuse(r, e->start_mark, "YAML anchors and aliases are not supported");
    static const char *const inf[] = {".inf", ".Inf", ".INF", "+.inf", "-.inf",
                                      ".nan", ".NaN", ".NAN", NULL};
    if (text || e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) {
        *out = json_stringn(s, len);
    } else if (one_of(s, inf)) {
        return refuse(r, e->start_mark, "expected a finite number");
    } else {
        *out = plain_scalar(s, len, r->where);
    }
    return *out ? WN_OK : refuse(r, e->start_mark, "a number or text that cannot be held");
}

static wn_err value(struct reader *r, const yaml_event_t *e, int depth, json_t **out);

static wn_err member(struct reader *r, const yaml_event_t *key, int depth, json_t *map)
{
    if (key->type == YAML_ALIAS_EVENT ||
        (key->type == YAML_SCALAR_EVENT && key->data.scalar.anchor))
        return refuse(r, key->start_mark, "YAML anchors and aliases are not supported");
    if (key->type != YAML_SCALAR_EVENT)
        return refuse(r, key->start_mark, "expected a plain word as key");
    const char *name = (const char *)key->data.scalar.value;
    if (strlen(name) != key->data.scalar.length)
        return refuse(r, key->start_mark, "expected a key without NUL");
    if (json_object_get(map, name))
        return wn_fail(WN_EFORMAT, "%s:%zu: key %.100s stands there twice", r->where,
                       key->start_mark.line + 1, name);
    yaml_event_t e;
    WN_TRY(next_event(r, &e));
    json_t *v = NULL;
    wn_err err = value(r, &e, depth, &v);
    yaml_event_delete(&e);
    if (err == WN_OK && json_object_set_new(map, name, v) != 0)
        err = wn_fail(WN_EFORMAT, "%s:%zu: a key that cannot be held", r->where,
                      key->start_mark.line + 1);
    return err;
}

static wn_err collection(struct reader *r, int depth, bool is_map, json_t *into)
{
    for (;;) {
        yaml_event_t e;
        WN_TRY(next_event(r, &e));
        bool end = e.type == YAML_MAPPING_END_EVENT || e.type == YAML_SEQUENCE_END_EVENT;
        wn_err err = WN_OK;
        json_t *v = NULL;
        if (!end && is_map) {
            err = member(r, &e, depth, into);
        } else if (!end) {
            err = value(r, &e, depth, &v);
            if (err == WN_OK && json_array_append_new(into, v) != 0)
                err = wn_fail(WN_ENOMEM, "%s: out of memory for YAML", r->where);
        }
        yaml_event_delete(&e);
        if (err != WN_OK || end)
            return err;
    }
}

/* The value that begins with event e. */
static wn_err value(struct reader *r, const yaml_event_t *e, int depth, json_t **out)
{
    *out = NULL;
    if (e->type == YAML_SCALAR_EVENT)
        return scalar(r, e, out);
    if (e->type == YAML_ALIAS_EVENT)
        return refuse(r, e->start_mark, "YAML anchors and aliases are not supported");
    bool is_map = e->type == YAML_MAPPING_START_EVENT;
    const yaml_char_t *anchor =
        is_map ? e->data.mapping_start.anchor : e->data.sequence_start.anchor;
    const yaml_char_t *tag = is_map ? e->data.mapping_start.tag : e->data.sequence_start.tag;
    if (anchor)
        return refuse(r, e->start_mark, "YAML anchors and aliases are not supported");
    if (tag)
        return refuse(r, e->start_mark, "YAML tags other than !!str are not supported");
    if (depth >= MAX_DEPTH)
        return refuse(r, e->start_mark, "YAML nested deeper than 64 levels");
    json_t *v = is_map ? json_object() : json_array();
    if (!v)
        return wn_fail(WN_ENOMEM, "%s: out of memory for YAML", r->where);
    wn_err err = collection(r, depth + 1, is_map, v);
    if (err != WN_OK) {
        json_decref(v);
        return err;
    }
    *out = v;
    return WN_OK;
}

static wn_err document(struct reader *r, json_t **out)
{
    bool have = false;
    for (;;) {
        yaml_event_t e;
        WN_TRY(next_event(r, &e));
        bool end = e.type == YAML_STREAM_END_EVENT;
        wn_err err = WN_OK;
        switch (e.type) {
        case YAML_STREAM_START_EVENT:
        case YAML_STREAM_END_EVENT:
        case YAML_DOCUMENT_END_EVENT:
            break;
        case YAML_DOCUMENT_START_EVENT:
            if (have)
                err = refuse(r, e.start_mark, "expected one YAML document, found a second");
            break;
        default:
            have = true;
            err = value(r, &e, 0, out);
        }
        yaml_event_delete(&e);
        if (err != WN_OK)
            return err;
        if (end)
            break;
    }
    if (!have)
        *out = json_null();
    return WN_OK;
}

wn_err wn_yaml_parse(json_t **out, const char *text, size_t len, const char *where)
{
    *out = NULL;
    struct reader r = {.where = where};
    if (!yaml_parser_initialize(&r.parser))
        return wn_fail(WN_ENOMEM, "%s: out of memory for YAML", where);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
    wn_err err = document(&r, out);
    yaml_parser_delete(&r.parser);
    if (err != WN_OK && *out) {
        json_decref(*out);
        *out = NULL;
    }
    return err;
}

wn_err wn_yaml_load(json_t **out, const char *path)
{
    *out = NULL;
    char *text;
    size_t len;
    WN_TRY(wn_file_read(&text, &len, path, FILE_LIMIT));
    wn_err err = wn_yaml_parse(out, text, len, path);
    wn_free(text);
    return err;
}
