/* JSON over Jansson. What is added here: error lines with a place, integers beyond 64 bits, raw
 * members, a writer whose numbers are the shortest that read back, and typed access.
 *
 * Jansson refuses integers that do not fit 64 bits, and its own way out turns every integer of the
 * document into a real. So when it refuses one, the text is copied with ".0" behind just those
 * integers that are too long, and parsed again. Jansson's allocator is left alone: it is global,
 * and a program that embeds the library may use Jansson itself. */
#include "io/json.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"

enum { FLAGS = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL };
enum { FILE_LIMIT = 1 << 30, NUMBER_TEXT = 64, MAX_DEPTH = 2048 };

/* ---- parsing ---- */

/* The end of the string whose opening quote is text[at]: the place after the closing quote. */
static size_t skip_string(const char *text, size_t len, size_t at)
{
    for (at++; at < len; at++) {
        if (text[at] == '\\')
            at++;
        else if (text[at] == '"')
            return at + 1;
    }
    return len;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* An integer of 19 digits may or may not fit; longer ones never do. */
static bool too_big(const char *digits, size_t n, bool negative)
{
    const char *most = negative ? "9223372036854775808" : "9223372036854775807";
    return n > 19 || (n == 19 && memcmp(digits, most, 19) > 0);
}

static wn_err mark_big_integers(wn_str *out, const char *text, size_t len)
{
    size_t done = 0;
    for (size_t i = 0; i < len;) {
        if (text[i] == '"') {
            i = skip_string(text, len, i);
            continue;
        }
        if (!is_digit(text[i])) {
            i++;
            continue;
        }
        size_t from = i;
        bool negative = from > 0 && text[from - 1] == '-';
        while (i < len && is_digit(text[i]))
            i++;
        bool whole = i == len || (text[i] != '.' && text[i] != 'e' && text[i] != 'E');
        if (whole && too_big(text + from, i - from, negative)) {
            wn_str_add(out, text + done, i - done);
            wn_str_puts(out, ".0");
            done = i;
        }
        /* Digits after a point or an exponent are no integer of their own. */
        while (i < len && (is_digit(text[i]) || strchr(".eE+-", text[i])) && text[i])
            i++;
    }
    wn_str_add(out, text + done, len - done);
    return wn_str_check(out);
}

static wn_err fail_parse(const json_error_t *e, const char *text, size_t len, const char *where)
{
    /* Jansson leaves the text empty where an allocation failed. */
    if (json_error_code(e) == json_error_out_of_memory || !e->text[0])
        return wn_fail(WN_ENOMEM, "%s: out of memory for JSON", where);
    if (len && memchr(text, '\n', len))
        return wn_fail(WN_EFORMAT, "%s:%d: bad JSON at column %d: %s", where, e->line, e->column,
                       e->text);
    return wn_fail(WN_EFORMAT, "%s: bad JSON at column %d: %s", where, e->column, e->text);
}

wn_err wn_json_parse(json_t **out, const char *text, size_t len, const char *where)
{
    *out = NULL;
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        len -= 3;
    }
    json_error_t e;
    *out = json_loadb(text, len, FLAGS, &e);
    if (*out)
        return WN_OK;
    if (json_error_code(&e) != json_error_numeric_overflow)
        return fail_parse(&e, text, len, where);
    wn_str marked = {0};
    wn_err err = mark_big_integers(&marked, text, len);
    if (err == WN_OK && !(*out = json_loadb(marked.p, marked.len, FLAGS, &e)))
        err = fail_parse(&e, text, len, where);
    wn_str_free(&marked);
    return err;
}

wn_err wn_json_load(json_t **out, const char *path)
{
    *out = NULL;
    char *text;
    size_t len;
    WN_TRY(wn_file_read(&text, &len, path, FILE_LIMIT));
    wn_err err = wn_json_parse(out, text, len, path);
    wn_free(text);
    return err;
}

/* ---- raw members ---- */

static size_t skip_blank(const char *text, size_t len, size_t at)
{
    while (at < len &&
           (text[at] == ' ' || text[at] == '\t' || text[at] == '\n' || text[at] == '\r'))
        at++;
    return at;
}

static size_t skip_value(const char *text, size_t len, size_t at)
{
    size_t depth = 0;
    while (at < len) {
        char c = text[at];
        if (c == '"') {
            at = skip_string(text, len, at);
            if (depth == 0)
                return at;
            continue;
        }
        if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            if (depth == 0)
                return at;
            if (--depth == 0)
                return at + 1;
        } else if (depth == 0 && (c == ',' || c == ' ' || c == '\t' || c == '\n' || c == '\r')) {
            return at;
        }
        at++;
    }
    return at;
}

bool wn_json_member(const char *text, size_t len, size_t *pos, wn_span *key, wn_span *value)
{
    size_t at = *pos;
    if (at == 0 && len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        at = 3;
    at = skip_blank(text, len, at);
    if (at >= len || (text[at] != '{' && text[at] != ','))
        return false;
    at = skip_blank(text, len, at + 1);
    if (at >= len || text[at] != '"')
        return false;
    size_t end = skip_string(text, len, at);
    if (end < at + 2 || text[end - 1] != '"')
        return false;
    *key = (wn_span){text + at + 1, end - at - 2};
    at = skip_blank(text, len, end);
    if (at >= len || text[at] != ':')
        return false;
    at = skip_blank(text, len, at + 1);
    end = skip_value(text, len, at);
    if (end == at)
        return false;
    *value = (wn_span){text + at, end - at};
    *pos = end;
    return true;
}

/* ---- writing ---- */

void wn_json_string(wn_str *s, const char *text, size_t len)
{
    wn_str_putc(s, '"');
    size_t done = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        wn_str_add(s, text + done, i - done);
        done = i + 1;
        static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
        const char *known = c ? strchr(from, c) : NULL;
        if (known) {
            wn_str_putc(s, '\\');
            wn_str_putc(s, to[known - from]);
        } else {
            wn_str_printf(s, "\\u%04x", c);
        }
    }
    wn_str_add(s, text + done, len - done);
    wn_str_putc(s, '"');
}

void wn_json_cstring(wn_str *s, const char *text)
{
    wn_json_string(s, text, strlen(text));
}

/* A host program may have set a locale whose decimal point is a comma. "-0" would be read as the
 * integer 0, so minus zero keeps its point. */
static void add_number(wn_str *s, char *text)
{
    if (strcmp(text, "-0") == 0)
        strcpy(text, "-0.0");
    for (char *p = text; *p; p++)
        if (!is_digit(*p) && !strchr("+-e.", *p))
            *p = '.';
    wn_str_puts(s, text);
}

/* Normal floats keep 6 significant decimal digits, so if fewer digits suffice, %.6g strips down to
 * them; 9 always suffice. Subnormals keep fewer and are tried from 1. The same with 15 and 17. */
void wn_json_f32(wn_str *s, float v)
{
    if (!isfinite(v)) {
        wn_str_puts(s, "null");
        return;
    }
    char text[NUMBER_TEXT];
    for (int p = isnormal(v) ? 6 : 1; p <= 9; p++) {
        snprintf(text, sizeof text, "%.*g", p, (double)v);
        if (strtof(text, NULL) == v)
            break;
    }
    add_number(s, text);
}

void wn_json_f64(wn_str *s, double v)
{
    if (!isfinite(v)) {
        wn_str_puts(s, "null");
        return;
    }
    char text[NUMBER_TEXT];
    for (int p = isnormal(v) ? 15 : 1; p <= 17; p++) {
        snprintf(text, sizeof text, "%.*g", p, v);
        if (strtod(text, NULL) == v)
            break;
    }
    add_number(s, text);
}

struct dump {
    wn_str *s;
    int indent;
    bool sorted;
};

static wn_err dump_value(const struct dump *d, const json_t *v, int depth);

static void new_line(const struct dump *d, int depth)
{
    if (d->indent <= 0)
        return;
    wn_str_putc(d->s, '\n');
    for (int i = 0; i < depth * d->indent; i++)
        wn_str_putc(d->s, ' ');
}

static void comma(const struct dump *d, size_t i, int depth)
{
    if (i)
        wn_str_puts(d->s, d->indent > 0 ? "," : ", ");
    new_line(d, depth);
}

static int by_key(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static wn_err dump_object(const struct dump *d, const json_t *v, int depth)
{
    size_t n = json_object_size(v), i = 0;
    const char **keys = wn_malloc((n ? n : 1) * sizeof *keys);
    if (!keys)
        return WN_ENOMEM;
    json_t *o = (json_t *)v; /* Jansson's iterators ask for it but change nothing */
    for (void *it = json_object_iter(o); it; it = json_object_iter_next(o, it))
        keys[i++] = json_object_iter_key(it);
    if (d->sorted && n)
        qsort(keys, n, sizeof *keys, by_key);
    wn_str_putc(d->s, '{');
    wn_err err = WN_OK;
    for (i = 0; i < n && err == WN_OK; i++) {
        comma(d, i, depth + 1);
        wn_json_cstring(d->s, keys[i]);
        wn_str_puts(d->s, ": ");
        err = dump_value(d, json_object_get(v, keys[i]), depth + 1);
    }
    if (n)
        new_line(d, depth);
    wn_str_putc(d->s, '}');
    wn_free(keys);
    return err;
}

static wn_err dump_array(const struct dump *d, const json_t *v, int depth)
{
    size_t n = json_array_size(v);
    wn_str_putc(d->s, '[');
    for (size_t i = 0; i < n; i++) {
        comma(d, i, depth + 1);
        WN_TRY(dump_value(d, json_array_get(v, i), depth + 1));
    }
    if (n)
        new_line(d, depth);
    wn_str_putc(d->s, ']');
    return WN_OK;
}

/* A whole real keeps a point, so that a tree reads back equal to itself: 3.0 is not the integer 3.
 */
static void dump_real(wn_str *s, double v)
{
    size_t from = s->len;
    wn_json_f64(s, v);
    if (!s->failed && !strpbrk(s->p + from, ".en"))
        wn_str_puts(s, ".0");
}

static wn_err dump_value(const struct dump *d, const json_t *v, int depth)
{
    if (depth > MAX_DEPTH)
        return wn_fail(WN_EARG, "JSON nested deeper than %d", (int)MAX_DEPTH);
    switch (v ? json_typeof(v) : JSON_NULL) {
    case JSON_OBJECT:
        return dump_object(d, v, depth);
    case JSON_ARRAY:
        return dump_array(d, v, depth);
    case JSON_STRING:
        wn_json_string(d->s, json_string_value(v), json_string_length(v));
        return WN_OK;
    case JSON_INTEGER:
        wn_str_printf(d->s, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
        return WN_OK;
    case JSON_REAL:
        dump_real(d->s, json_real_value(v));
        return WN_OK;
    case JSON_TRUE:
        wn_str_puts(d->s, "true");
        return WN_OK;
    case JSON_FALSE:
        wn_str_puts(d->s, "false");
        return WN_OK;
    case JSON_NULL:
        break;
    }
    wn_str_puts(d->s, "null");
    return WN_OK;
}

wn_err wn_json_dump(wn_str *s, const json_t *v, int indent, bool sorted)
{
    struct dump d = {.s = s, .indent = indent, .sorted = sorted};
    WN_TRY(dump_value(&d, v, 0));
    return wn_str_check(s);
}

/* ---- typed access ---- */

static const char *kind_name(const json_t *v)
{
    switch (v ? json_typeof(v) : JSON_NULL) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
        return "true";
    case JSON_FALSE:
        return "false";
    case JSON_NULL:
        break;
    }
    return v ? "null" : "nothing";
}

/* The member, or NULL in *v where it is optional and missing (or null, which says the same). */
static wn_err find(const json_t **v, const json_t *o, const char *key, bool required,
                   const char *expected, const char *where)
{
    *v = NULL;
    if (!json_is_object(o))
        return wn_fail(WN_EFORMAT, "%s: expected an object with %s, found %s", where, key,
                       kind_name(o));
    const json_t *found = json_object_get(o, key);
    if (found && !json_is_null(found))
        *v = found;
    else if (required)
        return wn_fail(WN_EFORMAT, "%s: %s: expected %s, found %s", where, key, expected,
                       kind_name(found));
    return WN_OK;
}

static wn_err wrong_kind(const json_t *v, const char *key, const char *expected, const char *where)
{
    return wn_fail(WN_EFORMAT, "%s: %s: expected %s, found %s", where, key, expected, kind_name(v));
}

wn_err wn_json_get_string(const char **out, const json_t *o, const char *key, bool required,
                          const char *where)
{
    const json_t *v;
    WN_TRY(find(&v, o, key, required, "a string", where));
    if (!v)
        return WN_OK;
    if (!json_is_string(v))
        return wrong_kind(v, key, "a string", where);
    if (strlen(json_string_value(v)) != json_string_length(v))
        return wn_fail(WN_EFORMAT, "%s: %s: expected a string without NUL", where, key);
    *out = json_string_value(v);
    return WN_OK;
}

wn_err wn_json_get_number(double *out, const json_t *o, const char *key, bool required,
                          const char *where)
{
    const json_t *v;
    WN_TRY(find(&v, o, key, required, "a number", where));
    if (!v)
        return WN_OK;
    if (!json_is_number(v))
        return wrong_kind(v, key, "a number", where);
    *out = json_number_value(v);
    return WN_OK;
}

/* A real is taken where it is a whole number that a double holds exactly: 1e6 in a recipe. */
wn_err wn_json_get_u64(uint64_t *out, const json_t *o, const char *key, bool required,
                       const char *where)
{
    static const char expected[] = "a whole number from 0";
    const json_t *v;
    WN_TRY(find(&v, o, key, required, expected, where));
    if (!v)
        return WN_OK;
    if (json_is_integer(v)) {
        json_int_t i = json_integer_value(v);
        if (i < 0)
            return wn_fail(WN_EFORMAT, "%s: %s: expected %s, found %" JSON_INTEGER_FORMAT, where,
                           key, expected, i);
        *out = (uint64_t)i;
        return WN_OK;
    }
    if (!json_is_real(v))
        return wrong_kind(v, key, expected, where);
    double r = json_real_value(v);
    if (!(r >= 0 && r <= 0x1p53 && r == floor(r)))
        return wn_fail(WN_EFORMAT, "%s: %s: expected %s, found %.17g", where, key, expected, r);
    *out = (uint64_t)r;
    return WN_OK;
}

wn_err wn_json_get_bool(bool *out, const json_t *o, const char *key, bool required,
                        const char *where)
{
    const json_t *v;
    WN_TRY(find(&v, o, key, required, "true or false", where));
    if (!v)
        return WN_OK;
    if (!json_is_boolean(v))
        return wrong_kind(v, key, "true or false", where);
    *out = json_is_true(v);
    return WN_OK;
}
