#include "token/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <string.h>

#include "base/mem.h"
#include "token/unicode.h"

/* PCRE2 takes its memory from base as everyone does. */
static void *take(PCRE2_SIZE n, void *ctx)
{
    (void)ctx;
    return wn_malloc(n);
}

static void give(void *p, void *ctx)
{
    (void)ctx;
    wn_free(p);
}

void wn_match_free(wn_match *m)
{
    pcre2_match_data_free(m->data);
    pcre2_match_context_free(m->context);
    pcre2_jit_stack_free(m->stack);
    *m = (wn_match){0};
}

enum { JIT_STACK_BYTES = 4 << 20 };

static wn_err make_match(wn_match *m)
{
    pcre2_general_context *g = pcre2_general_context_create(take, give, NULL);
    if (!g)
        return WN_ENOMEM;
    m->data = pcre2_match_data_create(2, g);
    m->context = pcre2_match_context_create(g);
    m->stack = pcre2_jit_stack_create(32 << 10, JIT_STACK_BYTES, g);
    pcre2_general_context_free(g);
    if (!m->data || !m->context || !m->stack) {
        wn_match_free(m);
        return wn_fail_nomem(JIT_STACK_BYTES, "pattern matching");
    }
    pcre2_jit_stack_assign(m->context, NULL, m->stack);
    return WN_OK;
}

wn_err wn_pattern_literal(wn_pattern *p, const char *text, size_t len)
{
    *p = (wn_pattern){0};
    wn_str_add(&p->text, text, len);
    return wn_str_check(&p->text);
}

static wn_err refuse(const char *text, const char *what)
{
    return wn_fail(WN_EFORMAT, "pattern '%.200s': %s is not supported", text, what);
}

#define WORD "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}"

/* One escape of Oniguruma's Ruby syntax in PCRE2's words; in_class: between brackets. \p{...} is
 * not for here. */
static wn_err rewrite_escape(wn_str *out, const char *all, const char *at, bool in_class)
{
    switch (at[1]) {
    case 's':
        wn_str_puts(out, "\\p{White_Space}");
        return WN_OK;
    case 'S':
        wn_str_puts(out, "\\P{White_Space}");
        return WN_OK;
    case 'd':
        wn_str_puts(out, "\\p{Nd}");
        return WN_OK;
    case 'D':
        wn_str_puts(out, "\\P{Nd}");
        return WN_OK;
    case 'w':
        wn_str_puts(out, in_class ? WORD : "[" WORD "]");
        return WN_OK;
    case 'W':
        if (in_class)
            return refuse(all, "\\W in a class");
        wn_str_puts(out, "[^" WORD "]");
        return WN_OK;
    case 'h':
        wn_str_puts(out, in_class ? "0-9a-fA-F" : "[0-9a-fA-F]");
        return WN_OK;
    case 'H':
        if (in_class)
            return refuse(all, "\\H in a class");
        wn_str_puts(out, "[^0-9a-fA-F]");
        return WN_OK;
    case 'b':
    case 'B':
        if (!in_class)
            return refuse(all, "a word border");
        break;
    case 'K':
        return refuse(all, "\\K");
    case 'u': /* \uHHHH */
        for (int i = 2; i < 6; i++)
            if (!at[i] || !strchr("0123456789abcdefABCDEF", at[i]))
                return refuse(all, "\\u without four digits");
        wn_str_printf(out, "\\x{%.4s}", at + 2);
        return WN_OK;
    default:
        break;
    }
    wn_str_add(out, at, 2);
    return WN_OK;
}

/* The reference compiles with Oniguruma's Ruby syntax. What means the same there and here is
 * copied; what does not is rewritten or refused. */
static wn_err rewrite(wn_str *out, const char *text, size_t len)
{
    bool in_class = false;
    size_t class_at = 0, depth = 0;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (c == '\\') {
            if (i + 1 >= len)
                return refuse(text, "a final backslash");
            const char *end = strchr(text + i, '}');
            if ((text[i + 1] == 'p' || text[i + 1] == 'P') && text[i + 2] == '{' && end) {
                wn_str_add(out, text + i, (size_t)(end + 1 - (text + i)));
                i = (size_t)(end - text);
                continue;
            }
            WN_TRY(rewrite_escape(out, text, text + i, in_class));
            i += text[i + 1] == 'u' ? 5 : 1;
            continue;
        }
        if (in_class) {
            bool first = i == class_at + 1 || (i == class_at + 2 && text[i - 1] == '^');
            if (c == '[' && text[i + 1] != ':') { /* a union: its members stand as well here */
                if (text[i + 1] == '^')
                    return refuse(text, "a negated class in a class");
                depth++;
                continue;
            }
            if (c == '&' && text[i + 1] == '&')
                return refuse(text, "&& in a class");
            if (c == '[') { /* [:name:] */
                const char *end = strstr(text + i, ":]");
                if (!end)
                    return refuse(text, "[: without :]");
                wn_str_add(out, text + i, (size_t)(end + 2 - (text + i)));
                i = (size_t)(end + 1 - text);
                continue;
            }
            if (c == ']' && !first && depth) {
                depth--;
                continue;
            }
            if (c == ']' && !first)
                in_class = false;
        } else if (c == '[') {
            in_class = true;
            class_at = i;
        } else if (c == '(' && text[i + 1] == '*') {
            return refuse(text, "(*");
        } else if (c == '}' && text[i + 1] == '+') {
            return refuse(text, "a plus behind {}");
        }
        wn_str_putc(out, c);
    }
    return wn_str_check(out);
}

static wn_err compile(wn_pattern *p, const char *expression, size_t len)
{
    pcre2_general_context *g = pcre2_general_context_create(take, give, NULL);
    pcre2_compile_context *c = g ? pcre2_compile_context_create(g) : NULL;
    int code = 0;
    PCRE2_SIZE at = 0;
    if (c) {
        pcre2_set_parens_nest_limit(c, 100);
        p->code = pcre2_compile((PCRE2_SPTR)expression, len,
                                PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NO_UTF_CHECK |
                                    PCRE2_NEVER_BACKSLASH_C,
                                &code, &at, c);
    }
    pcre2_compile_context_free(c);
    pcre2_general_context_free(g);
    if (!c)
        return WN_ENOMEM;
    if (!p->code) {
        char why[128] = "";
        pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof why);
        return wn_fail(WN_EFORMAT, "pattern '%.200s': %s at byte %zu of '%.200s'", p->text.p, why,
                       (size_t)at, expression);
    }
    pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE); /* without it, slower, same matches */
    return WN_OK;
}

wn_err wn_pattern_regex(wn_pattern *p, const char *text, size_t len, bool slow)
{
    WN_TRY(wn_pattern_literal(p, text, len));
    if (!len || memchr(text, 0, len) || !wn_utf8_valid(text, len)) {
        wn_err err = wn_fail(WN_EFORMAT, "pattern '%.200s': empty, or not plain UTF-8", p->text.p);
        wn_pattern_free(p);
        return err;
    }
    p->scan = slow ? NULL : wn_scan_for(p->text.p);
    wn_str s = {0};
    wn_err err = rewrite(&s, p->text.p, len);
    if (!err)
        err = compile(p, s.p, s.len);
    wn_str_free(&s);
    if (err)
        wn_pattern_free(p);
    return err;
}

void wn_pattern_free(wn_pattern *p)
{
    pcre2_code_free(p->code);
    wn_str_free(&p->text);
    *p = (wn_pattern){0};
}

static bool find_literal(const wn_str *what, const char *text, size_t len, size_t from,
                         size_t *start)
{
    if (!what->len)
        return false;
    while (from + what->len <= len) {
        const char *p = memchr(text + from, what->p[0], len - from - what->len + 1);
        if (!p)
            return false;
        if (!memcmp(p, what->p, what->len)) {
            *start = (size_t)(p - text);
            return true;
        }
        from = (size_t)(p - text) + 1;
    }
    return false;
}

static wn_err find(const wn_pattern *p, wn_match *m, const char *text, size_t len, size_t from,
                   bool *found, size_t *start, size_t *end)
{
    if (!p->code) {
        *found = find_literal(&p->text, text, len, from, start);
        *end = *found ? *start + p->text.len : 0;
        return WN_OK;
    }
    if (!m->data)
        WN_TRY(make_match(m));
    int rc =
        pcre2_match(p->code, (PCRE2_SPTR)text, len, from, PCRE2_NO_UTF_CHECK, m->data, m->context);
    *found = rc >= 0;
    if (rc >= 0) {
        const PCRE2_SIZE *o = pcre2_get_ovector_pointer(m->data);
        *start = o[0];
        *end = o[1];
        WN_ASSERT(*start <= *end && *start >= from); /* only \K could change that */
        return WN_OK;
    }
    if (rc == PCRE2_ERROR_NOMATCH)
        return WN_OK;
    char why[128] = "";
    pcre2_get_error_message(rc, (PCRE2_UCHAR *)why, sizeof why);
    return wn_fail(WN_EFORMAT, "pattern '%.200s': %s", p->text.p, why);
}

wn_err wn_pattern_next(const wn_pattern *p, wn_match *m, const char *text, size_t len,
                       wn_search *at, bool *found, size_t *start, size_t *end)
{
    *found = false;
    while (at->from <= len) {
        WN_TRY(find(p, m, text, len, at->from, found, start, end));
        if (!*found)
            return WN_OK;
        if (*start != *end || !at->any || at->last != *end) {
            at->from = at->last = *end;
            at->any = true;
            return WN_OK;
        }
        at->from += at->from < len ? wn_utf8_size(text + at->from) : 1;
        *found = false;
    }
    return WN_OK;
}

bool wn_pattern_group(const wn_pattern *p, const wn_match *m, size_t *start, size_t *end)
{
    uint32_t groups = 0;
    const PCRE2_SIZE *o = pcre2_get_ovector_pointer(m->data);
    if (pcre2_pattern_info(p->code, PCRE2_INFO_CAPTURECOUNT, &groups) != 0 || groups == 0 ||
        o[2] == PCRE2_UNSET)
        return false;
    *start = o[2];
    *end = o[3];
    return true;
}
