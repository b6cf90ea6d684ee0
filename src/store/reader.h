/* What a store's handle holds. Private to src/store. */
#ifndef WN_STORE_READER_H
#define WN_STORE_READER_H

#include <stdatomic.h>

#include "io/file.h"
#include "io/region.h"
#include "store/format.h"
#include "store/store.h"
#include "store/sums.h"

/* An id that is not in ids.txt as it is (control characters); sorted by row. */
typedef struct wn_odd_id {
    uint64_t row;
    char *text;
    size_t len;
} wn_odd_id;

struct wn_store {
    char *path;
    json_t *manifest;
    char sha[WN_SHA_HEX];
    bool old; /* of format 1: no checksums */
    wn_store_shape shape;
    uint64_t rows;
    wn_map map[WN_STORE_FILES];
    char **task;
    size_t n_tasks, cap_tasks;
    wn_odd_id *odd;
    size_t n_odd, cap_odd;
    /* vectors.c */
    wn_region packed;       /* all files of rows side by side */
    const char *row0;       /* where the rows begin in it */
    wn_region floats;       /* the rows as f32, where they are stored as something else */
    const float *vectors;   /* NULL: opened packed */
    wn_sums sums;           /* not of format 1 */
    uint64_t vector_sums;   /* number of the first checksum of rows */
    _Atomic uint64_t *seen; /* bit a block of rows: has its checksum */
};

wn_err wn_vectors_map(wn_store *s);
wn_err wn_vectors_unpack(wn_store *s);
void wn_vectors_close(wn_store *s);

#endif
