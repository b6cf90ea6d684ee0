/* The codes of all rows (codes.h) in a file, so that a later search reads a quarter of the
 * rows' bytes and makes no codes.
 *
 *   OFFSET  SIZE  FIELD (integers and floats little-endian)
 *        0     8  magic "WNCODES3"
 *        8     8  D u32, d u32
 *       16     8  N u64
 *       24     8  cosine u32, unit f32
 *       32    64  SHA-256 of the rows' store.json, hex
 *       96     *  zeros up to 4096; centre [D] f32; zeros up to a multiple of 4096
 *              *  pieces of WN_CODE_ROWS rows, the last one padded to whole blocks: their codes in
 *                 blocks, then 12 bytes of facts a row, then a checksum (wn_row_sum) of each row's
 *                 own numbers, by which the rows that are scored are known to be as they were
 *              *  a hash (XXH3, 64 bits) of every piece
 *              8  the same of all that stands before the pieces and of the hashes
 *
 * A file that belongs to other rows, is cut, or whose head or hashes are damaged is as good as
 * none; a damaged piece is found when it is read. Files appear by rename. */
#ifndef WN_SEARCH_CODE_FILE_H
#define WN_SEARCH_CODE_FILE_H

#include "search/codes.h"

/* What is filtered together is scored while the second cache holds it. */
enum { WN_CODE_ROWS = 256 };

typedef struct wn_code_file wn_code_file;

/* Whose codes: rows [N, D], known by the hash (hex, 64 digits) of what describes them. They may be
 * a part of a store's rows, N from `first` on: their codes then come from the whole store's file,
 * and are not kept. Answers and errors name rows by their place in the store. */
typedef struct wn_coded_rows {
    const char *sha;
    const float *rows;
    uint64_t N;
    uint64_t first; /* a multiple of WN_CODE_ROWS */
    size_t D;
    bool cosine;
    const wn_store *store; /* whose vectors they are: what is read is compared with its checksums;
                              NULL: rows that have none */
    bool large; /* more than memory will keep: read ahead of the scan, given back behind it */
} wn_coded_rows;

/* Maps the file if it is there and whole and of these rows: else *out is NULL, and *why says what
 * is wrong with it, NULL if there is none. Fails only for want of memory. */
wn_err wn_code_file_open(wn_code_file **out, const char **why, const char *path,
                         const wn_coded_rows *of);
void wn_code_file_close(wn_code_file *k);

/* Bytes of the file a row. */
size_t wn_code_row_bytes(size_t D);
const wn_basis *wn_code_file_basis(const wn_code_file *k);
/* Of rows [piece * WN_CODE_ROWS, ...). */
typedef struct wn_code_piece {
    const int8_t *code;
    const wn_row_facts *facts;
    const uint64_t *sum; /* wn_row_sum of each; NULL: the rows were read just now */
} wn_code_piece;
/* Mapped; false: damaged. Reads them all. */
bool wn_code_file_piece(wn_code_piece *out, const wn_code_file *k, uint64_t piece);
/* As wn_store_ahead and wn_store_behind, of pieces [first, first + n). */
void wn_code_file_ahead(const wn_code_file *k, uint64_t first, uint64_t n);
void wn_code_file_behind(const wn_code_file *k, uint64_t first, uint64_t n);

/* Copies one row's code to row `to` of a block, and its facts; unchecked, for guesses. */
void wn_code_file_row(const wn_code_file *k, uint64_t row, int8_t *block, size_t to,
                      wn_row_facts *facts);
void wn_code_file_row_ahead(const wn_code_file *k, uint64_t row); /* asks the disk for them */

/* The file while it is made, `most` pieces together: memory for so many. */
typedef struct wn_code_writer wn_code_writer;
wn_err wn_code_writer_open(wn_code_writer **out, const char *path, const wn_coded_rows *of,
                           const wn_basis *b, size_t most);
/* Where the i-th of the pieces at work goes: *code and *facts in whole blocks, *sum [its rows];
 * when they are there, wn_code_writer_made. Different pieces from different threads. */
void wn_code_writer_room(const wn_code_writer *w, size_t i, int8_t **code, wn_row_facts **facts,
                         uint64_t **sum);
void wn_code_writer_made(wn_code_writer *w, size_t i);
wn_err wn_code_writer_next(wn_code_writer *w, size_t n); /* writes these n, goes on behind them */
wn_err wn_code_writer_commit(wn_code_writer *w);         /* closes in every case */
void wn_code_writer_abort(wn_code_writer *w);            /* NULL: nothing */

/* ---- searches (exact.c) ---- */

/* The codes that a search goes by. */
typedef struct wn_code_use {
    wn_code_file
        *file;        /* in and out: those of a file. NULL: they are made as rows are read; where
                         they were kept, the file is there afterwards, to be closed by the caller */
    const char *keep; /* where to keep those that are made, in the same pass; NULL: nowhere */
    bool must;        /* that they cannot be kept is an error; else a message */
    bool damaged;     /* out: it failed because some in `file` are not what was written */
} wn_code_use;

/* What `n` askers ask for, in one pass over the rows by kept codes, or keeping them. A row that is
 * scored and is not what its code was made of, or lies in a block that is not what its checksum
 * says, is an error: the store's, if it knows better (file, block, both checksums), else row and
 * both checksums. Rows that are not scored are not read where there are codes: these stand for
 * them. n 0: only makes codes. */
wn_err wn_search_coded(const wn_coded_rows *of, wn_code_use *use, const wn_asked *ask, size_t n,
                       wn_metric metric);
/* Makes the file. Memory: some MB a thread, and 64 MB of rows at a time. A row that holds NaN or
 * infinity is refused. */
wn_err wn_code_file_write(const char *path, const wn_coded_rows *of);

#endif
