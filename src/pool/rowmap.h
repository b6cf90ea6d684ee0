/* Other shapes of rows to winnow's own: named shapes and the YAML maps of docs/rows.md. A mapped
 * row is written as text (its fields first, then whatever members the map has not used) and then
 * read like any other line, so there is one set of checks. Private to src/pool. */
#ifndef WN_POOL_ROWMAP_H
#define WN_POOL_ROWMAP_H

#include "io/json.h"
#include "pool/rowread.h"

typedef struct wn_rowmap wn_rowmap;

/* "p3", "deft", "superni", "superni-raw", "alpaca", "messages", "bigbench", "dolly", or a YAML
 * file. */
wn_err wn_rowmap_open(wn_rowmap **out, const char *map);
void wn_rowmap_close(wn_rowmap *m);
bool wn_rowmap_is_name(const char *map); /* a named shape, not a file */

/* True: a file is one JSON document with many rows; false: a line is a row. */
bool wn_rowmap_is_document(const wn_rowmap *m);

/* One line to a row's line, replacing what `out` holds. On WN_EFORMAT *why is set. */
wn_err wn_rowmap_line(const wn_rowmap *m, wn_str *out, wn_reject *why, wn_span line,
                      const wn_place *at);

/* A document to its rows' lines, numbered from 1. An emit that fails ends it. */
typedef wn_err (*wn_rowmap_emit)(void *ctx, wn_span line, uint64_t number);
wn_err wn_rowmap_document(const wn_rowmap *m, wn_reject *why, wn_span text, const wn_place *at,
                          wn_rowmap_emit emit, void *ctx);

/* ---- shared by the named shapes that are code (rowshape.c) ---- */

typedef struct wn_shape {
    const char *name;
    bool document;
    wn_err (*line)(wn_str *out, wn_reject *why, const json_t *root, wn_span raw,
                   const wn_place *at);
    wn_err (*rows)(wn_reject *why, const json_t *root, const wn_place *at, wn_rowmap_emit emit,
                   void *ctx);
} wn_shape;
const wn_shape *wn_shape_find(const char *name);

/* Building an object: "{" and members; finish closes it. */
void wn_member_key(wn_str *s, const char *key);
void wn_member_string(wn_str *s, const char *key, const char *text, size_t len);
void wn_member_text(wn_str *s, const char *key, const wn_str *text); /* its failure too */
/* The members of `raw` whose keys are neither in `used` (NULL-terminated) nor fields of a row that
 * `s` has already; line breaks between tokens become blanks. */
void wn_member_rest(wn_str *s, wn_span raw, const char *const *used);

#endif
