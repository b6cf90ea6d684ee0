/* What makes a part of an experiment finished: its stamp, a small JSON file that holds the key of
 * everything the part depends on (options, contents of its inputs) and the hashes of what it wrote.
 * A part whose stamp fits and whose files are as it left them is not run again. */
#ifndef WN_REPORT_STAMP_H
#define WN_REPORT_STAMP_H

#include <stdbool.h>

#include "io/hash.h"
#include "io/json.h"

typedef enum wn_stamp_state {
    WN_STAMP_NONE,    /* never begun, or its stamp is gone */
    WN_STAMP_OTHER,   /* made with other options or inputs */
    WN_STAMP_BEGUN,   /* begun with the same key, not finished */
    WN_STAMP_TOUCHED, /* finished with the same key, but an output changed or is gone */
    WN_STAMP_DONE
} wn_stamp_state;

/* SHA-256 over a file's bytes, or over names and hashes of a folder's files in order of name. Left
 * out in folders: checkpoints and the training log, which is about time. */
wn_err wn_tree_sha(char hex[WN_SHA_HEX], const char *path);

/* Where a stamp stands. `why` (may be NULL) says what differs, for WN_STAMP_OTHER and _TOUCHED. A
 * stamp that cannot be read counts as none. */
wn_err wn_stamp_check(wn_stamp_state *state, wn_str *why, const char *stamp, const json_t *key,
                      const char *output);
wn_err wn_stamp_begin(const char *stamp, const json_t *key);
wn_err wn_stamp_finish(const char *stamp, const json_t *key, const char *output);

#endif
