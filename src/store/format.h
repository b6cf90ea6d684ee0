/* The bytes of a store's files, shared by its reader and its writer.
 *
 *   rows.bin   OFFSET  SIZE  FIELD (integers little-endian)
 *                   0     8  magic "WNSTORE1"
 *                   8     4  element type: 1 = f32
 *                  12     4  dim, 1 .. 65536
 *                  16     8  rows known to be on disk: written by each sync, behind the rows
 * themselves 24    40  zeros 64     *  row 0, row 1, ... meta.bin   0 tokens u32, 4 task u32, 8
 * loss f32, 12 margin f32, 16 text hash u64, 24 id offset u64 ids.txt, tasks.txt   a line each; a
 * text that holds control characters or starts with a quote is written as a JSON string, every
 * other as it is */
#ifndef WN_STORE_FORMAT_H
#define WN_STORE_FORMAT_H

#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"

#define WN_STORE_MAGIC  "WNSTORE1"
#define WN_STORE_FORMAT "winnow-store-1"
enum {
    WN_STORE_HEAD = 64,
    WN_STORE_META = 32,
    WN_STORE_DIM_MAX = 65536,
    WN_STORE_F32 = 1,
    WN_STORE_ROWS_AT = 16
};

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

/* The files of a store in the order in which they are written: whoever refers comes last. */
enum { WN_FILE_TASKS, WN_FILE_IDS, WN_FILE_META, WN_FILE_ROWS, WN_STORE_FILES };
extern const char *const wn_store_file[WN_STORE_FILES];

/* Appends text and a newline as ids.txt and tasks.txt hold them. */
void wn_store_line_add(wn_str *s, wn_span text);
/* Text of a line (without its newline) back; owned by the caller. */
wn_err wn_store_line_read(char **text, size_t *len, const char *line, size_t n, const char *where);

/* Checks the head of rows.bin and gives dim and the rows it vouches for. */
wn_err wn_store_head_read(uint32_t *dim, uint64_t *rows, const char *data, uint64_t size,
                          const char *path);

#endif
