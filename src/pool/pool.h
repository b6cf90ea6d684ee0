/* Pools of rows: prompted examples with stable ids, tasks and hashes, read by position without ever
 * being whole in memory.
 *
 * A built pool is a folder:
 *   pool.json    manifest: format, tool version, sources with SHA-256, map, dedup, counts, rejected
 *                lines by reason (with up to 20 places each), tasks with rows, SHA-256 of the two
 * files rows.jsonl   one accepted row a line, in winnow's own fields, unknown fields unchanged
 *   rows.idx     64-byte header, then one fixed record a row: u64 offset, u32 length, u32 task
 * number, u64 hash of (prompt, target), u64 hash of the id wn_pool_open reads that, and also any
 * row source (JSONL, .gz, .zst, folder, "-") as if it had been built with dedup none: into an
 * unlinked temporary where it cannot be mapped as it is. */
#ifndef WN_POOL_POOL_H
#define WN_POOL_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "io/hash.h"

typedef struct wn_pool wn_pool;

/* map: NULL for winnow's own rows, else a name (p3, superni, alpaca, ...; rowmap.h) or
 * a YAML file; ignored for a built pool, which has been mapped. strict: the first bad line is an
 * error (rows to train on, queries, test rows); otherwise bad lines are counted and can be asked
 * for. An empty source is an error that names it. */
wn_err wn_pool_open(wn_pool **out, const char *path, const char *map, bool strict);
void wn_pool_close(wn_pool *p);

uint64_t wn_pool_rows(const wn_pool *p);
const char *wn_pool_path(const wn_pool *p);
/* SHA-256 of rows.jsonl's bytes (for an unbuilt source: of the rows as they would be written): what
 * manifests name as the input. Computed at first use. */
wn_err wn_pool_sha(wn_pool *p, char hex[WN_SHA_HEX]);
uint32_t wn_pool_tasks(const wn_pool *p);                       /* number of tasks */
const char *wn_pool_task_name(const wn_pool *p, uint32_t task); /* tasks in order of first row */
uint32_t wn_pool_task_of(const wn_pool *p, uint64_t row);
uint64_t wn_pool_text_hash(const wn_pool *p,
                           uint64_t row); /* of prompt and target, for exact duplicates */
uint64_t wn_pool_rejected(const wn_pool *p);
/* Says how many lines of rows that are no built pool were no rows; a built one was told so. */
void wn_pool_say_rejected(const wn_pool *p);
/* Position of an id, or UINT64_MAX. First use makes an index (16 bytes a row). */
uint64_t wn_pool_find(wn_pool *p, const char *id, size_t len);

/* One row, parsed. All pointers live in the buffers of this struct and stay valid until the next
 * wn_pool_row with it; zero it first, wn_row_free it last. One a thread. */
typedef struct wn_row {
    uint64_t index;
    uint32_t task_number;
    wn_span id, task, prompt, target; /* UTF-8, unescaped */
    wn_span source, category;         /* len 0: absent */
    const wn_span *choices;           /* n_choices 0: none */
    size_t n_choices;
    const wn_span *references;
    size_t n_references;
    bool has_target; /* queries may lack one */
    wn_span raw;     /* the row's JSON line */
    struct wn_row_memory *memory;
} wn_row;
wn_err wn_pool_row(const wn_pool *p, uint64_t row, wn_row *out);
void wn_row_free(wn_row *row);

/* The row's line as it stands in the pool: `raw` alone, no parsing. */
wn_span wn_pool_raw(const wn_pool *p, uint64_t row);

/* Index of the target among the choices, -1 where it is not there. */
int wn_row_answer(const wn_row *row);

/* Parses one line of JSON to a row (used by readers of small row files and tests). `where` is
 * "FILE:LINE"; an absent id becomes `where`, an absent task `default_task`. Errors name the reason.
 */
wn_err wn_row_parse(wn_row *out, const char *line, size_t len, const char *where,
                    const char *default_task);

#endif
