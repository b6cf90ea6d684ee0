#include "base/str.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

static bool reserve(wn_str *s, size_t more)
{
    if (s->failed)
        return false;
    if (more >= SIZE_MAX / 2 - s->len) {
        s->failed = true;
        return false;
    }
    size_t need = s->len + more + 1;
    if (need <= s->cap)
        return true;
    size_t cap = s->cap ? s->cap : 64;
    while (cap < need)
        cap *= 2;
    char *p = wn_realloc(s->p, cap);
    if (!p) {
        s->failed = true;
        return false;
    }
    s->p = p;
    s->cap = cap;
    return true;
}

void wn_str_add(wn_str *s, const void *bytes, size_t n)
{
    if (!reserve(s, n))
        return;
    if (n)
        memcpy(s->p + s->len, bytes, n);
    s->len += n;
    s->p[s->len] = '\0';
}

char *wn_str_room(wn_str *s, size_t n)
{
    if (!reserve(s, n))
        return NULL;
    s->len += n;
    s->p[s->len] = '\0';
    return s->p + s->len - n;
}

void wn_str_puts(wn_str *s, const char *text)
{
    wn_str_add(s, text, strlen(text));
}

void wn_str_putc(wn_str *s, char c)
{
    wn_str_add(s, &c, 1);
}

void wn_str_printf(wn_str *s, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n >= 0 && reserve(s, (size_t)n)) {
        vsnprintf(s->p + s->len, (size_t)n + 1, fmt, again);
        s->len += (size_t)n;
    }
    va_end(again);
}

void wn_str_clear(wn_str *s)
{
    s->len = 0;
    s->failed = false;
    if (s->p)
        s->p[0] = '\0';
}

void wn_str_free(wn_str *s)
{
    wn_free(s->p);
    *s = (wn_str){0};
}

wn_err wn_str_check(const wn_str *s)
{
    return s->failed ? wn_fail_nomem(s->cap, "text") : WN_OK;
}

bool wn_span_is(wn_span s, const char *text)
{
    return strlen(text) == s.len && memcmp(s.p, text, s.len) == 0;
}

bool wn_span_same(wn_span a, wn_span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}
