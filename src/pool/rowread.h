/* Why a line is no row, and the reader that says so. Private to src/pool. */
#ifndef WN_POOL_ROWREAD_H
#define WN_POOL_ROWREAD_H

#include "base/str.h"
#include "pool/pool.h"

/* One list makes the enum and the reasons as they stand in pool.json. */
#define WN_REJECTS(X)                                                                              \
    X(UTF8, "invalid UTF-8")                                                                       \
    X(JSON, "malformed JSON")                                                                      \
    X(OBJECT, "not an object")                                                                     \
    X(ID, "bad id")                                                                                \
    X(TASK, "bad task")                                                                            \
    X(NO_PROMPT, "no prompt")                                                                      \
    X(PROMPT, "prompt is not a string")                                                            \
    X(EMPTY_PROMPT, "empty prompt")                                                                \
    X(NO_TARGET, "no target")                                                                      \
    X(TARGET, "target is not a string")                                                            \
    X(CHOICES, "choices are not an array of strings")                                              \
    X(UNANSWERED, "target is not among the choices")                                               \
    X(REFERENCES, "references are not an array of strings")                                        \
    X(SHAPE, "not of the map's shape")                                                             \
    X(SAME_ID, "duplicate id")

typedef enum wn_reject {
    WN_ROW_GOOD,
#define WN_X(name, text) WN_REJECT_##name,
    WN_REJECTS(WN_X)
#undef WN_X
        WN_REJECT_COUNT
} wn_reject;

const char *wn_reject_text(wn_reject why);

/* Where a line stands. `path` goes into errors, `base` into the id of a row that has none; line 0:
 * the text stands alone, without a number. */
typedef struct wn_place {
    const char *path, *base;
    uint64_t line;
} wn_place;

/* "PATH:LINE: what", or "PATH:LINE: row "ID": what" where the id is known; returns WN_EFORMAT. */
wn_err wn_place_fail(const wn_place *at, wn_span id, const char *what, const char *detail);

/* wn_row_parse, which also tells the reason: on WN_EFORMAT *why is set, on success it is
 * WN_ROW_GOOD. With `need_target` a row without a target is rejected. *complete: the line itself
 * has id and task. */
wn_err wn_row_read(wn_row *out, wn_reject *why, bool *complete, const char *line, size_t len,
                   const wn_place *at, const char *default_task, bool need_target);

/* The row's line with id and task in it: `raw` itself where `complete`, else both put first. */
void wn_row_write(wn_str *s, const wn_row *row, bool complete);

uint64_t wn_row_text_hash(const wn_row *row);
uint64_t wn_id_hash(const char *id, size_t len);

/* White space of JSON and text: blank, tab, line feed, carriage return, form feed, vertical tab. */
bool wn_is_blank(char c);
wn_span wn_span_trim(wn_span s);

#endif
