/* Facts of a pool as JSON. Counting tokens needs a tokenizer, which stands to the right of this
 * folder, so it comes in as a function. */
#ifndef WN_POOL_INFO_H
#define WN_POOL_INFO_H

#include "pool/pool.h"

/* Adds the row's tokens to *tokens. Called from several threads. */
typedef wn_err (*wn_pool_count_fn)(void *ctx, const wn_row *row, uint64_t *tokens);

/* {"pool", "built", "rows", "text_bytes", "tokens" (null without `count`), "duplicates",
 * "near_duplicates", "rejected": {"lines", "reasons": {REASON: {"lines", "places"}}},
 * "tasks": {NAME: rows}, "sha256"} ; "duplicates" are those left out, or, in a pool built with
 * dedup none and in an unbuilt source, those that are there. *json: wn_text_free. */
wn_err wn_pool_info(char **json, const char *pool, const char *map, wn_pool_count_fn count,
                    void *ctx);

#endif
