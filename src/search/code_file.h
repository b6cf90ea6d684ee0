/* The codes of all rows (codes.h) in a file, so that a later search reads a quarter of the
 * rows' bytes and makes no codes.
 *
 *   OFFSET  SIZE  FIELD (integers and floats little-endian)
 *        0     8  magic "WNCODES1"
 *        8     8  D u32, d u32
 *       16     8  N u64
 *       24     8  cosine u32, unit f32
 *       32    64  SHA-256 of the rows' store.json, hex
 *       96     *  zeros up to 4096; centre [D] f32; zeros up to a multiple of 4096
 *              *  pieces of WN_CODE_ROWS rows, the last one padded to whole blocks: their codes in
 *                 blocks, then 12 bytes of facts a row
 *              *  a hash (XXH3, 64 bits) of every piece
 *              8  the same of all that stands before the pieces and of the hashes
 *
 * A file that belongs to other rows, is cut, or whose head or hashes are damaged is as good as
 * none; a damaged piece is found when it is read. Files appear by rename. */
#ifndef WN_SEARCH_CODE_FILE_H
#define WN_SEARCH_CODE_FILE_H

#include "search/codes.h"

enum { WN_CODE_ROWS = 1024 };

typedef struct wn_code_file wn_code_file;

/* Whose codes: rows [N, D], known by the hash (hex, 64 digits) of what describes them. */
typedef struct wn_coded_rows {
    const char *sha;
    const float *rows;
    uint64_t N;
    size_t D;
    bool cosine;
} wn_coded_rows;

/* Maps the file if it is there and whole and of these rows: else *out is NULL, and *why says what
 * is wrong with it, NULL if there is none. Fails only for want of memory. */
wn_err wn_code_file_open(wn_code_file **out, const char **why, const char *path,
                         const wn_coded_rows *of);
void wn_code_file_close(wn_code_file *k);
/* Makes the file. Memory: some MB a thread. A row that holds NaN or infinity is refused. */
wn_err wn_code_file_write(const char *path, const wn_coded_rows *of);

const wn_basis *wn_code_file_basis(const wn_code_file *k);
/* Codes and facts of rows [piece * WN_CODE_ROWS, ...), mapped; false: damaged. Reads them all. */
bool wn_code_file_piece(const wn_code_file *k, uint64_t piece, const int8_t **code,
                        const wn_row_facts **facts);

/* wn_search_among with codes of these rows (NULL: none are kept). *damaged: it failed because some
 * of them are not what was written. */
wn_err wn_search_coded(int64_t *row, double *score, const float *rows, uint64_t N,
                       const uint64_t *skip, const wn_code_file *file, bool *damaged,
                       const float *query, size_t Q, size_t D, size_t k, wn_metric metric);

#endif
