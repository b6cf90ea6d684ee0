/* Normal forms of answers. The scripts that define these metrics are Python, so this file follows
 * Python where it shows: Unicode lower case and blanks, float() and the text of a float. Invalid
 * UTF-8 cannot come from rows, which are JSON; a stray byte is kept as it is. */
#include "eval/normal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/mem.h"
#include "eval/porter.h"

void wn_normal_free(wn_normal *w)
{
    wn_str_free(&w->text);
    wn_free(w->word);
    *w = (wn_normal){0};
}

wn_span wn_trim(wn_span s)
{
    while (s.len && strchr(" \t\r\n\v\f", s.p[0]) && s.p[0])
        s.p++, s.len--;
    while (s.len && strchr(" \t\r\n\v\f", s.p[s.len - 1]) && s.p[s.len - 1])
        s.len--;
    return s;
}

static bool is_blank(utf8proc_int32_t c)
{
    return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
           c == 0x202f || c == 0x205f || c == 0x3000;
}

static bool is_punctuation(char c)
{
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
           (c >= '{' && c <= '~');
}

static void put_code(wn_str *s, utf8proc_int32_t c)
{
    utf8proc_uint8_t b[4];
    utf8proc_ssize_t n = utf8proc_encode_char(c, b);
    wn_str_add(s, b, (size_t)n);
}

/* Lower case, every blank as ' ' or, where `keep` asks for it, as it is. */
static void lower(wn_str *out, wn_span text, bool keep)
{
    size_t at = 0;
    while (at < text.len) {
        utf8proc_int32_t c;
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text.p + at,
                                              (utf8proc_ssize_t)(text.len - at), &c);
        if (n <= 0) {
            wn_str_putc(out, text.p[at++]);
            continue;
        }
        at += (size_t)n;
        if (is_blank(c) && !keep) {
            wn_str_putc(out, ' ');
        } else if (c == 0x130) {
            wn_str_puts(out, "i\xcc\x87");
        } else {
            put_code(out, utf8proc_tolower(c));
        }
    }
}

static wn_err add_word(wn_normal *w, const char *p, size_t len)
{
    if (!WN_GROW(w->word, w->n, w->cap))
        return WN_ENOMEM;
    w->word[w->n++] = (wn_span){p, len};
    return WN_OK;
}

static wn_err split(wn_normal *w)
{
    WN_TRY(wn_str_check(&w->text));
    w->n = 0;
    const char *p = w->text.p, *end = p + w->text.len;
    while (p < end) {
        while (p < end && *p == ' ')
            p++;
        const char *start = p;
        while (p < end && *p != ' ')
            p++;
        if (p > start)
            WN_TRY(add_word(w, start, (size_t)(p - start)));
    }
    return WN_OK;
}

wn_err wn_normal_plain(wn_normal *w, wn_span text)
{
    wn_str_clear(&w->text);
    lower(&w->text, text, false);
    size_t kept = 0;
    for (size_t i = 0; i < w->text.len; i++)
        if (!is_punctuation(w->text.p[i]))
            w->text.p[kept++] = w->text.p[i];
    w->text.len = kept;
    return split(w);
}

wn_err wn_normal_rouge(wn_normal *w, wn_span text)
{
    wn_str_clear(&w->text);
    lower(&w->text, text, false);
    for (size_t i = 0; i < w->text.len; i++) {
        char *c = w->text.p + i;
        if (!((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9')))
            *c = ' ';
    }
    WN_TRY(split(w));
    for (size_t i = 0; i < w->n; i++)
        if (w->word[i].len > 3)
            w->word[i].len = wn_porter_stem(w->text.p + (w->word[i].p - w->text.p), w->word[i].len);
    return WN_OK;
}

/* ---- DROP ---- */

/* float()'s grammar in ASCII: sign, digits with single underscores between them, a fraction, an
 * exponent; or inf, infinity, nan. */
static size_t take_digits(const char *p, size_t len, size_t at, char *out, size_t *n)
{
    size_t start = at;
    while (at < len) {
        bool digit = p[at] >= '0' && p[at] <= '9';
        bool joint = p[at] == '_' && at > start && p[at - 1] != '_' && at + 1 < len &&
                     p[at + 1] >= '0' && p[at + 1] <= '9';
        if (!digit && !joint)
            break;
        if (digit)
            out[(*n)++] = p[at];
        at++;
    }
    return at;
}

static bool is_word_of(const char *p, size_t len, const char *const *names)
{
    for (; *names; names++)
        if (wn_span_is((wn_span){p, len}, *names))
            return true;
    return false;
}

bool wn_word_is_number(wn_span word, double *value)
{
    static const char *const infinities[] = {"inf", "infinity", NULL};
    static const char *const nans[] = {"nan", NULL};
    char text[400];
    size_t n = 0, at = 0, len = word.len;
    if (len == 0 || len >= sizeof text - 1)
        return false;
    bool negative = word.p[0] == '-';
    at += word.p[0] == '-' || word.p[0] == '+';
    bool infinite = is_word_of(word.p + at, len - at, infinities);
    if (infinite || is_word_of(word.p + at, len - at, nans)) {
        *value = infinite ? (negative ? -INFINITY : INFINITY) : NAN;
        return true;
    }
    if (negative)
        text[n++] = '-';
    size_t before = n;
    at = take_digits(word.p, len, at, text, &n);
    if (at < len && word.p[at] == '.') {
        text[n++] = '.';
        at = take_digits(word.p, len, at + 1, text, &n);
        before++;
    }
    if (n == before)
        return false;
    if (at < len && word.p[at] == 'e') {
        text[n++] = 'e';
        at++;
        if (at < len && (word.p[at] == '-' || word.p[at] == '+'))
            text[n++] = word.p[at++];
        size_t digits = n;
        at = take_digits(word.p, len, at, text, &n);
        if (n == digits)
            return false;
    }
    text[n] = '\0';
    *value = strtod(text, NULL);
    return at == len;
}

/* Python's str() of a float: the fewest digits that read back, an exponent from 1e16 on and below
 * 1e-4, ".0" behind whole numbers. */
static void put_float(wn_str *out, double v)
{
    if (isnan(v) || isinf(v)) {
        wn_str_puts(out, isnan(v) ? "nan" : v < 0 ? "-inf" : "inf");
        return;
    }
    char e[40];
    int precision = 0;
    do {
        snprintf(e, sizeof e, "%.*e", precision, v);
    } while (strtod(e, NULL) != v && ++precision < 17);
    int exponent = atoi(strchr(e, 'e') + 1);
    if (exponent < -4 || exponent >= 16) {
        wn_str_puts(out, e);
        return;
    }
    int decimals = precision - exponent;
    wn_str_printf(out, "%.*f", decimals > 1 ? decimals : 1, v);
}

static bool is_word_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || (unsigned char)c >= 0x80;
}

/* float() itself, which looks past blanks at the ends: a piece may have a tab or a newline there.
 */
static bool reads_as_number(wn_span s, double *v)
{
    while (s.len && is_blank((unsigned char)s.p[0]))
        s.p++, s.len--;
    while (s.len && is_blank((unsigned char)s.p[s.len - 1]))
        s.len--;
    return wn_word_is_number(s, v);
}

/* One piece between blanks and hyphens: punctuation off unless it is a number, a number as a float,
 * articles (whole words) to blanks. */
static void put_part(wn_str *out, wn_span part, wn_str *scratch)
{
    double v;
    wn_str_clear(scratch);
    bool number = reads_as_number(part, &v);
    if (!number) {
        for (size_t i = 0; i < part.len; i++)
            if (!is_punctuation(part.p[i]))
                wn_str_putc(scratch, part.p[i]);
        number = reads_as_number((wn_span){scratch->p, scratch->len}, &v);
    }
    wn_str_putc(out, ' ');
    if (number) {
        put_float(out, v);
        return;
    }
    for (size_t i = 0; i < scratch->len;) {
        size_t end = i;
        while (end < scratch->len && is_word_byte(scratch->p[end]))
            end++;
        wn_span word = {scratch->p + i, end - i};
        if (end == i)
            wn_str_putc(out, scratch->p[i++]);
        else if (wn_span_is(word, "a") || wn_span_is(word, "an") || wn_span_is(word, "the"))
            wn_str_putc(out, ' ');
        else
            wn_str_add(out, word.p, word.len);
        i = end > i ? end : i;
    }
}

wn_err wn_normal_drop(wn_normal *w, wn_span text)
{
    wn_str low = {0}, scratch = {0}, parts = {0};
    lower(&low, text, true);
    wn_err err = wn_str_check(&low);
    for (size_t i = 0; err == WN_OK && i < low.len;) {
        size_t end = i;
        while (end < low.len && low.p[end] != ' ' && low.p[end] != '-')
            end++;
        put_part(&parts, (wn_span){low.p + i, end - i}, &scratch);
        i = end + 1;
    }
    wn_str_clear(&w->text);
    if (err == WN_OK)
        err = wn_str_check(&scratch);
    if (err == WN_OK)
        err = wn_str_check(&parts);
    if (err == WN_OK && parts.len)
        lower(&w->text, (wn_span){parts.p, parts.len}, false);
    wn_str_free(&low);
    wn_str_free(&scratch);
    wn_str_free(&parts);
    WN_TRY(err);
    return split(w);
}
