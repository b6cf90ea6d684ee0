/* Checksums of a store's bytes: XXH3 (128 bits) of every MiB of every file, heads of the files of
 * rows left out (they are compared with what they must be). One corrupted byte is found with the
 * block it lies in; nothing guards against someone who changes checksums too, but store.json holds
 * the SHA-256 of sums.bin, and every manifest that names a store that of store.json.
 *
 *   sums.bin   OFFSET  SIZE  FIELD
 *                   0     8  magic "WNSUMS01"
 *                   8     8  bytes of a block, 1048576
 *                  16    48  zeros
 *                  64     *  16 bytes each, low half first: of tasks.txt, ids.txt, meta.bin, then
 *                            of the files of rows in order; each file begins a block */
#ifndef WN_STORE_SUMS_H
#define WN_STORE_SUMS_H

#include "io/file.h"
#include "io/hash.h"
#include "store/format.h"

enum { WN_SUM_BLOCK = 1 << 20 };

static inline uint64_t wn_sum_blocks(uint64_t bytes)
{
    return (bytes + WN_SUM_BLOCK - 1) / WN_SUM_BLOCK;
}

/* Compares n blocks from `first` on, of a file's `bytes` bytes, with sum [n]; in parallel. A block
 * that differs is reported with file, number, expected and found checksum. */
wn_err wn_sums_check(const wn_hash128 *sum, const char *data, uint64_t bytes, uint64_t first,
                     uint64_t n, const char *path);

/* Writes DIR/sums.bin for finished files of a store of that shape. */
wn_err wn_sums_write(const char *dir, const wn_store_shape *shape, uint64_t rows);

/* A mapped sums.bin. */
typedef struct wn_sums {
    wn_map map;
    const wn_hash128 *sum;
} wn_sums;
/* `count`: how many checksums there must be. */
wn_err wn_sums_open(wn_sums *s, const char *dir, uint64_t count);
void wn_sums_close(wn_sums *s);

#endif
