/* Feature rows on disk: one format for embeddings and gradients, of any size. Appendable and
 * resumable: a kill loses at most what was not yet synced, and what stands is never half a row.
 *
 * A store is a folder; format.h draws its bytes:
 *   store.json     manifest: format, kind ("embedding", "gradient", "imported"), dim, dtype, rows a
 *                  file, tool version, options, model and pool hashes, and at the end rows and the
 *                  SHA-256 of sums.bin. It is written last: a folder without it is unfinished
 *   partial.json   the manifest of an unfinished store: the same command goes on where
 *                  this is equal to what it would write, and is refused, naming the field,
 *                  where it is not
 *   rows.bin, rows.1.bin, ...   the vectors in f32, f16, bf16 or int8 (pack.h)
 *   meta.bin       a record a row: tokens, task, loss, margin (NaN where unknown), text hash, id
 *   ids.txt, tasks.txt          a line an id and a task
 *   sums.bin       a checksum of every MiB of the files above
 *
 * Row i of every file is row i of the pool it was made from. "The stored vectors" are the numbers
 * that the files hold, as float32: exact whatever their type. */
#ifndef WN_STORE_STORE_H
#define WN_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "io/hash.h"
#include "io/json.h"
#include "pool/pool.h"

/* ---- reading ---- */
typedef struct wn_store wn_store;
/* Maps a finished store; an unfinished one, a short file or a foreign header is refused by name.
 * What stands beside the vectors is compared with its checksums, the vectors are not:
 * wn_store_verify. Vectors that are not f32 are unpacked into an unlinked file in $TMPDIR (4 bytes
 * a number), with their checksums and with progress in MB (stage "unpack"). Handles may be shared
 * by threads, stores by processes. */
wn_err wn_store_open(wn_store **out, const char *path);
/* The same without unpacking: vectors by wn_store_read alone. */
wn_err wn_store_open_packed(wn_store **out, const char *path);
void wn_store_close(wn_store *s);
bool wn_is_store(const char *path); /* a folder with store.json */
uint64_t wn_store_rows(const wn_store *s);
size_t wn_store_dim(const wn_store *s);
const char *wn_store_dtype(const wn_store *s);
uint64_t wn_store_bytes(const wn_store *s); /* on disk, but for store.json */
/* [dim]; all rows lie one behind the other. Not of a store that was opened packed. */
const float *wn_store_vector(const wn_store *s, uint64_t row);
/* out [n, dim]: rows [first, first + n), whose blocks are compared with their checksums when
 * somebody first comes to them. */
wn_err wn_store_read(float *out, const wn_store *s, uint64_t first, size_t n);
/* The comparison alone, for readers of wn_store_vector; in parallel. WN_EFORMAT: file, block,
 * expected and found checksum. Format 1 has no checksums: nothing is compared. */
wn_err wn_store_verify(const wn_store *s, uint64_t first, uint64_t n);
/* The comparison of all rows in one stream over the files: it reads ahead of itself, leaves no
 * memory full behind itself, and says how far it is in MB (stage "check"). Blocks that were
 * compared before are not read again. WN_ESTOP where progress asks to stop. */
wn_err wn_store_verify_all(const wn_store *s);
const char *wn_store_packed(const wn_store *s, uint64_t row); /* its bytes, as stored */
/* For passes over stores larger than memory: these rows are needed soon; are not needed again soon;
 * rows here and there will be read (yes), so none around them, or all in order again (no). */
void wn_store_ahead(const wn_store *s, uint64_t first, uint64_t n);
void wn_store_behind(const wn_store *s, uint64_t first, uint64_t n);
void wn_store_scattered(const wn_store *s, bool yes);
/* Ids and records looked at so far need not stay mapped: for who looks at many, here and there. */
void wn_store_forget(const wn_store *s);
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
/* The same, but rows may be Adam's steps where queries are plain gradients: the pairing of LESS
 * (Xia et al. 2024, arXiv 2402.04333, section 3), which asks how far a step on a row moves a
 * query's loss. */
wn_err wn_store_match_steps(const wn_store *rows, const wn_store *queries);

/* ---- writing ---- */
typedef struct wn_store_row {
    const float *vector;
    const char *packed; /* instead of vector: the row's bytes in the writer's type */
    wn_span id, task;
    uint32_t tokens;
    float loss, margin; /* NaN: unknown */
    uint64_t text_hash;
} wn_store_row;
typedef struct wn_store_writer wn_store_writer;
/* How vectors are written. NULL or zeros: f32, files of 4 GiB. */
typedef struct wn_store_layout {
    const char *dtype;    /* "f32", "f16", "bf16", "int8" */
    uint64_t shard_bytes; /* about how large a file of rows becomes */
} wn_store_layout;
/* manifest: everything that decides the contents (borrowed). Starts or resumes: *rows_done is how
 * many rows stand already. A finished store at `path` is refused unless overwrite. */
wn_err wn_store_writer_open(wn_store_writer **out, const char *path, const json_t *manifest,
                            size_t dim, const wn_store_layout *layout, bool overwrite,
                            uint64_t *rows_done);
/* The manifest as the writer completes it: format, dim, dtype, rows a file. json_decref. */
wn_err wn_store_manifest_make(json_t **out, const json_t *manifest, size_t dim,
                              const wn_store_layout *layout, const char *path);
/* Before wn_store_writer_open: where `path` is a finished store of the pool's first rows, made as
 * the manifest says, and the pool has more, the store becomes an unfinished one that the writer
 * goes on with. Its bytes are compared with their checksums, its rows with the pool's by id, task
 * and text; a difference is refused, naming field or row. In every other case nothing is done. */
wn_err wn_store_grow(const char *path, const wn_pool *pool, const json_t *manifest, size_t dim,
                     const wn_store_layout *layout);
/* Both, for the vectors of a pool's rows; a store that is to be overwritten is not grown. Says
 * where it goes on. */
wn_err wn_store_writer_of_pool(wn_store_writer **out, const char *path, const wn_pool *pool,
                               const json_t *manifest, size_t dim, const wn_store_layout *layout,
                               bool overwrite, uint64_t *rows_done);
/* Refuses a vector that the type cannot hold by id and place. */
wn_err wn_store_writer_add(wn_store_writer *w, const wn_store_row *row);
wn_err wn_store_writer_sync(wn_store_writer *w); /* makes all rows so far last */
/* Writes store.json and closes, in every case. extra: members added to the manifest at the end
 * (counts), NULL: none. */
wn_err wn_store_writer_finish(wn_store_writer *w, const json_t *extra);
/* Leaves the unfinished store for a later resume; of one that has no row yet nothing stays. */
void wn_store_writer_close(wn_store_writer *w);
/* As close, where the input is to blame and no resume can help: unless rows stood before
 * (rows_done), nothing of the store stays. */
void wn_store_writer_abandon(wn_store_writer *w, uint64_t rows_done);

#endif
