#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local char text[WN_ERROR_TEXT_BYTES] = "no error";

/* Names from hostile files stand in the text: it stays one line whatever they hold. */
static void one_line(void)
{
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?';
}

wn_err wn_fail(wn_err code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    one_line();
    return code;
}

wn_err wn_context(wn_err code, const char *fmt, ...)
{
    if (code == WN_OK)
        return code;
    char joined[WN_ERROR_TEXT_BYTES];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(joined, sizeof joined, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof joined) {
        size_t left = sizeof joined - (size_t)n;
        snprintf(joined + n, left, ": %.*s", (int)left, text);
    }
    memcpy(text, joined, sizeof text);
    text[sizeof text - 1] = '\0';
    one_line();
    return code;
}

const char *wn_error_text(void)
{
    return text;
}

void wn_error_set_text(const char *s)
{
    snprintf(text, sizeof text, "%s", s);
}

wn_err wn_fail_nomem(size_t bytes, const char *what)
{
    return wn_fail(WN_ENOMEM, "out of memory: %zu bytes for %s", bytes, what);
}

void wn_assert_failed(const char *file, int line, const char *cond)
{
    fprintf(stderr, "winnow: internal error at %s:%d: %s\n", file, line, cond);
    abort();
}

const char *wn_strerror(wn_err code)
{
    switch (code) {
#define WN_X(name, value, meaning)                                                                 \
    case WN_##name:                                                                                \
        return meaning;
        WN_ERRORS(WN_X)
#undef WN_X
    case WN_OK:
        return "ok";
    }
    return "unknown error";
}

const char *wn_error_message(void)
{
    return wn_error_text();
}
