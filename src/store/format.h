/* The bytes of a store's files, shared by its reader and its writer. Integers are little-endian.
 *
 *   rows.bin, rows.1.bin, ...: rows 0 .. S-1, S .. 2S-1, ...
 *     OFFSET  SIZE  FIELD
 *          0     8  magic "WNSTORE2"
 *          8     4  element type: 1 f32, 2 f16, 3 bf16, 4 int8 (pack.h)
 *         12     4  dim, 1 .. 65536
 *         16     8  rows.bin: rows of the whole store known to be on disk, written by each sync
 *                   behind the rows themselves; else 0
 *         24     8  S, a multiple of 4096: so every file but the last holds whole pages, and all of
 *                   them are mapped side by side, as one array
 *         32     8  number of the file's first row
 *         40  4056  zeros
 *       4096     *  rows
 *   meta.bin, a record a row:
 *          0     4  tokens             4  4  task
 *          8     4  loss, f32         12  4  margin, f32
 *         16     8  text hash         24  8  offset of the id in ids.txt
 *   ids.txt, tasks.txt: a line each; a text that holds control characters or starts with a quote is
 *     written as a JSON string, every other as it is
 *   sums.bin: checksums (sums.h)
 *
 * Format 1, which is still read: one rows.bin of f32, magic "WNSTORE1", fields at 8, 12 and 16 as
 * above, a head of 64 bytes; no sums.bin, but SHA-256 of the files in store.json. */
#ifndef WN_STORE_FORMAT_H
#define WN_STORE_FORMAT_H

#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "store/pack.h"

#define WN_STORE_FORMAT   "winnow-store-2"
#define WN_STORE_FORMAT_1 "winnow-store-1"
enum {
    WN_STORE_HEAD = 4096,
    WN_STORE_HEAD_1 = 64,
    WN_STORE_META = 32,
    WN_STORE_DIM_MAX = 65536,
    WN_STORE_SHARD_STEP = 4096, /* S is a multiple of it */
    WN_STORE_ROWS_AT = 16
};
#define WN_STORE_SHARD_BYTES                                                                       \
    ((uint64_t)4 << 30) /* of a file of rows, where nothing else is said                           \
                         */

static inline uint32_t wn_get32(const char *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t wn_get64(const char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* The files that are not rows, in the order in which they are written: whoever refers comes last.
 */
enum { WN_FILE_TASKS, WN_FILE_IDS, WN_FILE_META, WN_STORE_FILES };
extern const char *const wn_store_file[WN_STORE_FILES];
#define WN_STORE_SUMS "sums.bin"

/* "DIR/rows.bin", "DIR/rows.1.bin", ...; wn_free. */
wn_err wn_store_rows_path(char **path, const char *dir, uint64_t shard);
/* Whether a file of that name belongs to a store. */
bool wn_store_owns(const char *name);

/* Appends text and a newline as ids.txt and tasks.txt hold them. */
void wn_store_line_add(wn_str *s, wn_span text);
/* Text of a line (without its newline) back; owned by the caller. */
wn_err wn_store_line_read(char **text, size_t *len, const char *line, size_t n, const char *where);

/* How rows lie in their files. */
typedef struct wn_store_shape {
    int version; /* of the format: 1 or 2 */
    wn_store_type type;
    uint32_t dim;
    size_t head_bytes, row_bytes;
    uint64_t shard_rows;
} wn_store_shape;

/* shard_bytes: about how large a file of rows may become; 0: WN_STORE_SHARD_BYTES. */
wn_err wn_store_shape_make(wn_store_shape *s, const char *dtype, size_t dim, uint64_t shard_bytes,
                           const char *path);
uint64_t wn_store_shards(const wn_store_shape *s, uint64_t rows);
/* Rows of a shard of a store of `rows` rows. */
uint64_t wn_store_shard_fill(const wn_store_shape *s, uint64_t shard, uint64_t rows);

void wn_store_head_make(char head[WN_STORE_HEAD], const wn_store_shape *s, uint64_t shard);
/* Reads the head of rows.bin: shape, and the rows of the whole store it vouches for. `size`: bytes
 * of the file. */
wn_err wn_store_head_read(wn_store_shape *s, uint64_t *rows, const char *data, uint64_t size,
                          const char *path);
/* Compares the head of any file of rows with what it must be, byte by byte. */
wn_err wn_store_head_check(const wn_store_shape *s, uint64_t shard, uint64_t rows, const char *data,
                           const char *path);

#endif
