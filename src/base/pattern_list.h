/* Names chosen by pattern, as options give them: names by comma, each of which may hold the
 * wildcards * ? [ ] ; or "re:" and one POSIX extended regular expression, to the end of the text,
 * that must fit the whole name. A plain name or one with wildcards fits the whole name or its end
 * behind a dot ("q_proj" fits "model.layers.0.self_attn.q_proj"); with `inside` also any run of
 * whole parts between dots ("layers.0"). */
#ifndef WN_BASE_PATTERN_LIST_H
#define WN_BASE_PATTERN_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

typedef struct wn_pattern_list {
    const char *option; /* how errors name it */
    struct wn_pattern_item *item;
    size_t n;
    bool inside;
} wn_pattern_list;

/* Refuses an empty text, an empty item and a malformed expression, naming the option. */
wn_err wn_patterns_open(wn_pattern_list *l, const char *option, const char *text, bool inside);
void wn_patterns_close(wn_pattern_list *l);
/* Remembers which items fitted something. */
bool wn_patterns_match(wn_pattern_list *l, const char *name);
/* An item that has fitted no name yet, NULL: none. A misspelt one would silently choose less. */
const char *wn_patterns_unused(const wn_pattern_list *l);

#endif
