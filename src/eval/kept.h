/* What a job of this folder has computed so far, kept beside its output so that a killed run goes
 * on: OUT.partial, text. Its first line is the manifest of the run, each other line the record of a
 * row in one stage:
 *
 *   {"stage":"rank","row":7,"nll":[12.5,3.25],"tokens":[2,1]}
 *
 * Records are written as they come. A kill may cut the last line, a power failure more: all from
 * the first line on that is no record is dropped, and computed again. */
#ifndef WN_EVAL_KEPT_H
#define WN_EVAL_KEPT_H

#include "base/str.h"
#include "io/json.h"

typedef struct wn_kept wn_kept;

/* Opens or makes OUT.partial. One of another manifest is refused by the field that differs, or made
 * anew if overwrite. *out NULL where `out` is no file: nothing is kept then, which all calls
 * below accept. */
wn_err wn_kept_open(wn_kept **out, const char *path, const json_t *manifest, bool overwrite);
/* The output stands: OUT.partial goes. Closes in every case. */
wn_err wn_kept_finish(wn_kept *k);
/* Leaves OUT.partial for the next run, unless nothing was computed. */
void wn_kept_close(wn_kept *k);

/* Calls take for each record of `stage` that was there on opening, in the order of writing.
 * `where` names it for errors. The record is borrowed. */
typedef wn_err (*wn_kept_take)(void *ctx, uint64_t row, const json_t *record, const char *where);
wn_err wn_kept_replay(const wn_kept *k, const char *stage, wn_kept_take take, void *ctx);

/* A record in writing: begin writes stage and row, the caller appends further members (each with a
 * comma before it) to the text, end writes it out. begin gives NULL where nothing is kept. */
wn_str *wn_kept_begin(wn_kept *k, const char *stage, uint64_t row);
wn_err wn_kept_end(wn_kept *k);

/* Member `key` of a record as n numbers, which a record that is not ours may not have. */
wn_err wn_kept_numbers(double *out, size_t n, const json_t *record, const char *key,
                       const char *where);

#endif
