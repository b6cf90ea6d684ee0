/* Reading a selection back: rows, manifest, hits. */
#ifndef WN_REPORT_CHOSEN_H
#define WN_REPORT_CHOSEN_H

#include "base/str.h"
#include "io/json.h"

/* PATH.manifest.json of the selection at `path`; refused if it is not that of these rows. */
wn_err wn_chosen_manifest(json_t **m, const char *path);

/* The id of a row as text: strings as they are, numbers in decimal. "" where there is none.
 * wn_free. */
wn_err wn_chosen_id(char **id, const json_t *row);

/* Calls body for each JSON line of a file, in order, until it fails or sets *stop. */
typedef wn_err (*wn_chosen_body)(void *ctx, const json_t *line, bool *stop);
wn_err wn_chosen_lines(const char *path, wn_chosen_body body, void *ctx);

/* PATH + tail; wn_free. */
wn_err wn_chosen_path(char **out, const char *path, const char *tail);

#endif
