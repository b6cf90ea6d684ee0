/* JSON through Jansson (strict, well kept, in every distribution), plus what Jansson lacks for
 * rows: the raw text of members, so that unknown fields travel through unchanged, and error lines
 * that name file and place. libyaml's documents become the same trees (recipes, --config, --map
 * files). */
#ifndef WN_IO_JSON_H
#define WN_IO_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

/* One JSON value of `len` bytes. `where` ("FILE:LINE" or a file name) stands in the error. Integers
 * beyond 64 bits are read as reals; duplicate keys are refused; NUL in strings is allowed. */
wn_err wn_json_parse(json_t **out, const char *text, size_t len, const char *where);
wn_err wn_json_load(json_t **out, const char *path); /* a whole file */
wn_err wn_yaml_load(json_t **out,
                    const char *path); /* scalars: null, bool, int, real, else string */
wn_err wn_yaml_parse(json_t **out, const char *text, size_t len, const char *where);

/* Top-level members of a valid object's text: for each the key as raw text between its quotes and
 * the value's raw text. Returns false at the end. Start with *pos = 0. */
bool wn_json_member(const char *text, size_t len, size_t *pos, wn_span *key, wn_span *value);

/* Writing. Strings are escaped minimally (UTF-8 stays); numbers are the shortest text that reads
 * back to the same float or double ("3", "0.1", "1e-05", "-0.0"); NaN and infinities become null.
 */
void wn_json_string(wn_str *s, const char *text, size_t len);
void wn_json_cstring(wn_str *s, const char *text);
void wn_json_f32(wn_str *s, float v);
void wn_json_f64(wn_str *s, double v);
/* The whole tree, sorted keys if `sorted`, `indent` blanks a level (0: one line). Reals keep a
 * point ("3.0"), so the text reads back as an equal tree. */
wn_err wn_json_dump(wn_str *s, const json_t *v, int indent, bool sorted);

/* Typed access with an error that names `where` and the key. Missing optional keys leave *out
 * alone. */
wn_err wn_json_get_string(const char **out, const json_t *o, const char *key, bool required,
                          const char *where);
wn_err wn_json_get_number(double *out, const json_t *o, const char *key, bool required,
                          const char *where);
wn_err wn_json_get_u64(uint64_t *out, const json_t *o, const char *key, bool required,
                       const char *where);
wn_err wn_json_get_bool(bool *out, const json_t *o, const char *key, bool required,
                        const char *where);

#endif
