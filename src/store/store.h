/* Feature rows on disk: one format for embeddings and gradients. Appendable and resumable: a kill
 * loses at most what was not yet synced, and what stands is never half a row.
 *
 * A store is a folder:
 *   store.json   manifest: format, kind ("embedding", "gradient", "imported"), dim, dtype, tool
 * version, options, model and pool hashes, and at the end rows and SHA-256 of the other files. It
 *                is written last: a folder without it is unfinished
 *   partial.json the manifest of an unfinished store: the same command goes on where rows.bin ends
 * if this is equal to what it would write, and is refused, naming the field, if not rows.bin
 * 64-byte header (drawn in store.c), then rows * dim float32, little-endian meta.bin     one
 * 32-byte record a row: u32 tokens, u32 task, f32 loss, f32 margin (NaN where unknown), u64 text
 * hash, u64 offset of the id in ids.txt ids.txt      one id a line (JSON-escaped where it has
 * control characters), tasks.txt one task name a line Row i of every file is row i of the pool it
 * was made from. */
#ifndef WN_STORE_STORE_H
#define WN_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "io/hash.h"
#include "io/json.h"

/* ---- reading ---- */
typedef struct wn_store wn_store;
/* Maps a finished store; an unfinished one, a short file or a foreign header is refused by name. */
wn_err wn_store_open(wn_store **out, const char *path);
void wn_store_close(wn_store *s);
bool wn_is_store(const char *path); /* a folder with store.json */
uint64_t wn_store_rows(const wn_store *s);
size_t wn_store_dim(const wn_store *s);
const float *wn_store_vector(const wn_store *s, uint64_t row); /* [dim], mapped */
wn_span wn_store_id(const wn_store *s, uint64_t row);
const char *wn_store_task(const wn_store *s, uint64_t row);
uint32_t wn_store_task_number(const wn_store *s, uint64_t row);
uint32_t wn_store_tasks(const wn_store *s);
const char *wn_store_task_name(const wn_store *s, uint32_t task);
uint32_t wn_store_tokens(const wn_store *s, uint64_t row);
uint64_t wn_store_text_hash(const wn_store *s, uint64_t row); /* as wn_pool_text_hash; 0 unknown */
float wn_store_loss(const wn_store *s, uint64_t row);         /* NaN: unknown */
float wn_store_margin(const wn_store *s, uint64_t row);
const json_t *wn_store_manifest(const wn_store *s);
const char *wn_store_path(const wn_store *s);
const char *wn_store_sha(const wn_store *s); /* of store.json's bytes */
/* Refuses two stores whose vectors cannot be compared (dim, kind, model, pooling, layer, ...): one
 * line naming the field and both values. */
wn_err wn_store_match(const wn_store *a, const wn_store *b);

/* ---- writing ---- */
typedef struct wn_store_row {
    const float *vector;
    wn_span id, task;
    uint32_t tokens;
    float loss, margin; /* NaN: unknown */
    uint64_t text_hash;
} wn_store_row;
typedef struct wn_store_writer wn_store_writer;
/* manifest: everything that decides the contents (borrowed). Starts or resumes: *rows_done is how
 * many rows stand already. A finished store at `path` is refused unless overwrite. */
wn_err wn_store_writer_open(wn_store_writer **out, const char *path, const json_t *manifest,
                            size_t dim, bool overwrite, uint64_t *rows_done);
wn_err wn_store_writer_add(wn_store_writer *w, const wn_store_row *row);
wn_err wn_store_writer_sync(wn_store_writer *w); /* makes all rows so far last */
/* Writes store.json and closes, in every case. extra: members added to the manifest at the end
 * (counts), NULL: none. */
wn_err wn_store_writer_finish(wn_store_writer *w, const json_t *extra);
void wn_store_writer_close(wn_store_writer *w); /* leaves the unfinished store for a later resume */

#endif
