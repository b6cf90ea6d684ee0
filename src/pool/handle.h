/* What a pool handle holds. Private to src/pool. */
#ifndef WN_POOL_HANDLE_H
#define WN_POOL_HANDLE_H

#include "io/file.h"
#include "io/json.h"
#include "base/keyed.h"
#include "pool/ingest.h"

#define WN_POOL_FORMAT "winnow-pool-1"

struct wn_pool {
    char *path;
    bool built;
    wn_map text, index;
    const wn_record *record; /* in `index` */
    uint64_t rows;
    json_t *facts;     /* pool.json, or the same facts of an unbuilt source */
    const char **task; /* names, borrowed from `facts` */
    uint32_t n_tasks;
    char sha[WN_SHA_HEX]; /* "": not computed yet */
    wn_keyed *by_id;      /* sorted; NULL: not made yet */
};

bool wn_pool_is_built(const char *path);

/* Makes the zeroed `p` a view of a finished ingest: maps its files, takes its facts. */
wn_err wn_pool_view(wn_pool *p, const wn_ingest *g);
void wn_pool_release(wn_pool *p); /* all that p holds, not p itself */

#endif
