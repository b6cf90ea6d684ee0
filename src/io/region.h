/* Stretches of address space: files side by side as one array, or room for more numbers than memory
 * may hold. */
#ifndef WN_IO_REGION_H
#define WN_IO_REGION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct wn_region {
    char *data; /* NULL: nothing is held */
    size_t bytes;
} wn_region;

/* Address space with nothing in it; `bytes` above 0. */
wn_err wn_region_reserve(wn_region *r, uint64_t bytes);
/* Maps bytes [offset, offset + bytes) of a file, read-only, at place `at`; the file must be exactly
 * offset + bytes long. `at` and `offset` must be multiples of a page: a machine whose pages are
 * larger than the caller thinks is refused. */
wn_err wn_region_file(const wn_region *r, uint64_t at, const char *path, uint64_t offset,
                      uint64_t bytes);
/* Zeroed and writable, backed by an unlinked file in $TMPDIR or /tmp, so that the system can put it
 * out of memory; a disk that is too small is an error here, not a signal later. */
wn_err wn_region_scratch(wn_region *r, uint64_t bytes);
/* Hints: these bytes are needed soon; not again for long (their memory is given back, the bytes
 * stay); from now on reads are scattered, so nothing but what is asked for is to be read, or again
 * in order. */
void wn_region_ahead(const wn_region *r, uint64_t at, uint64_t bytes);
void wn_region_behind(const wn_region *r, uint64_t at, uint64_t bytes);
void wn_region_scattered(const wn_region *r, bool yes);
void wn_region_free(wn_region *r); /* idempotent */

#endif
