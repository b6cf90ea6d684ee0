/* A file that grows and can be read back while it does: the rows and the index of a pool in the
 * making, and texts that are read more than once. */
#ifndef WN_POOL_SPOOL_H
#define WN_POOL_SPOOL_H

#include <stdint.h>

#include "base/str.h"

typedef struct wn_spool {
    int fd;           /* -1: closed */
    char *path;       /* for errors; an unlinked temporary says so */
    uint64_t flushed; /* bytes written; `pending` follows them */
    wn_str pending;
} wn_spool;

/* path NULL: a temporary in $TMPDIR (or /tmp) that is unlinked at once. */
wn_err wn_spool_open(wn_spool *s, const char *path);
wn_err wn_spool_add(wn_spool *s, const void *bytes, size_t n);
wn_err wn_spool_flush(wn_spool *s);
wn_err wn_spool_sync(wn_spool *s); /* flush and fsync */
uint64_t wn_spool_size(const wn_spool *s);
/* Bytes [offset, offset + n), which have been added. */
wn_err wn_spool_read(const wn_spool *s, uint64_t offset, void *bytes, size_t n);
/* Overwrites flushed bytes. */
wn_err wn_spool_patch(wn_spool *s, uint64_t offset, const void *bytes, size_t n);
void wn_spool_close(wn_spool *s);

#endif
