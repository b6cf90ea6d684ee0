/* A growing byte string. Always NUL-terminated once something was written; may hold NUL bytes.
 * Failing to grow sets `failed` and later calls do nothing, so a long run of appends needs one
 * check at its end (wn_str_check). */
#ifndef WN_BASE_STR_H
#define WN_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

typedef struct wn_str {
    char *p;
    size_t len, cap;
    bool failed;
} wn_str;

void wn_str_add(wn_str *s, const void *bytes, size_t n);
void wn_str_puts(wn_str *s, const char *text);
void wn_str_putc(wn_str *s, char c);
void wn_str_printf(wn_str *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* n more bytes, for the caller to fill; NULL where they cannot be had. */
char *wn_str_room(wn_str *s, size_t n);
void wn_str_clear(wn_str *s); /* empties, keeps the memory */
void wn_str_free(wn_str *s);
wn_err wn_str_check(const wn_str *s); /* WN_ENOMEM if an append failed */

/* A borrowed stretch of bytes. */
typedef struct wn_span {
    const char *p;
    size_t len;
} wn_span;

bool wn_span_is(wn_span s, const char *text);
bool wn_span_same(wn_span a, wn_span b);

#endif
