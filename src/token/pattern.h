/* Search patterns of tokenizer.json: a literal string or a regular expression. The reference runs
 * Oniguruma; here the expression is rewritten for PCRE2 (classes such as \s and \w mean slightly
 * different sets there), and the well-known split patterns are run by scan.c, which says the same
 * several times faster. */
#ifndef WN_TOKEN_PATTERN_H
#define WN_TOKEN_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"
#include "token/scan.h"

typedef struct wn_pattern {
    wn_str text;     /* the literal, or the expression as written */
    wn_scan_fn scan; /* a known split pattern: covers the text piece by piece; else NULL */
    void *code;      /* compiled expression; NULL: a literal */
} wn_pattern;

/* One thread's memory for matching; zero it first. */
typedef struct wn_match {
    void *data, *context, *stack;
} wn_match;
void wn_match_free(wn_match *m);

wn_err wn_pattern_literal(wn_pattern *p, const char *text, size_t len);
/* `slow`: never use scan.c (tests compare the two). Errors name the expression. */
wn_err wn_pattern_regex(wn_pattern *p, const char *text, size_t len, bool slow);
void wn_pattern_free(wn_pattern *p);
/* Where a search goes on; zero it first. */
typedef struct wn_search {
    size_t from, last;
    bool any;
} wn_search;
/* The next match in valid UTF-8: *found, [*start, *end). It may be empty, but not where the match
 * before it ended. */
wn_err wn_pattern_next(const wn_pattern *p, wn_match *m, const char *text, size_t len,
                       wn_search *at, bool *found, size_t *start, size_t *end);
/* What the first group of the match just found took; false: the expression has none, or it took no
 * part. Not for patterns that scan.c runs. */
bool wn_pattern_group(const wn_pattern *p, const wn_match *m, size_t *start, size_t *end);

#endif
