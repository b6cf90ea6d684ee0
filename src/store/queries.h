/* The queries of a search: a store, or rows that are embedded as the searched store's own were. */
#ifndef WN_STORE_QUERIES_H
#define WN_STORE_QUERIES_H

#include "store/store.h"

typedef struct wn_queries {
    wn_store *store; /* its vectors are compared with their checksums, and with its kind of store */
    char *scratch;   /* folder of vectors made for this call; NULL: none */
} wn_queries;

typedef struct wn_queries_from {
    const wn_common *common; /* for embedding */
    const char *path;        /* a store, or rows in any form */
    const char *map, *model; /* of rows; model NULL: rows are refused */
    bool steps;              /* compared by wn_store_match_steps */
} wn_queries_from;

/* At least one query whose vector can be compared with those of `s`; anything else is refused.
 * Rows become a store in $TMPDIR (or /tmp), with progress. Close after failures too. */
wn_err wn_queries_open(wn_queries *q, const wn_store *s, const wn_queries_from *from);
void wn_queries_close(wn_queries *q); /* removes what was made; idempotent */

#endif
