#include "pool/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/temp.h"

enum { PENDING_BYTES = 1 << 20 };

static wn_err fail_io(const wn_spool *s, const char *what)
{
    return wn_fail(WN_EIO, "%s: cannot %s: %s", s->path, what, strerror(errno));
}

wn_err wn_spool_open(wn_spool *s, const char *path)
{
    *s = (wn_spool){.fd = -1};
    wn_err e = WN_OK;
    if (!path) {
        e = wn_temp_open(&s->fd, &s->path);
    } else if (!(s->path = wn_strdup(path))) {
        e = WN_ENOMEM;
    } else {
        s->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        if (s->fd < 0)
            e = fail_io(s, "create");
    }
    if (e)
        wn_spool_close(s);
    return e;
}

uint64_t wn_spool_size(const wn_spool *s)
{
    return s->flushed + s->pending.len;
}

wn_err wn_spool_patch(wn_spool *s, uint64_t offset, const void *bytes, size_t n)
{
    const char *p = bytes;
    while (n) {
        ssize_t k = pwrite(s->fd, p, n, (off_t)offset);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return fail_io(s, "write");
        p += k;
        n -= (size_t)k;
        offset += (uint64_t)k;
    }
    return WN_OK;
}

wn_err wn_spool_flush(wn_spool *s)
{
    WN_TRY(wn_str_check(&s->pending));
    WN_TRY(wn_spool_patch(s, s->flushed, s->pending.p, s->pending.len));
    s->flushed += s->pending.len;
    wn_str_clear(&s->pending);
    return WN_OK;
}

wn_err wn_spool_sync(wn_spool *s)
{
    WN_TRY(wn_spool_flush(s));
    return fsync(s->fd) ? fail_io(s, "write") : WN_OK;
}

wn_err wn_spool_add(wn_spool *s, const void *bytes, size_t n)
{
    wn_str_add(&s->pending, bytes, n);
    return s->pending.len >= PENDING_BYTES || s->pending.failed ? wn_spool_flush(s) : WN_OK;
}

wn_err wn_spool_read(const wn_spool *s, uint64_t offset, void *bytes, size_t n)
{
    WN_ASSERT(offset <= wn_spool_size(s) && n <= wn_spool_size(s) - offset);
    char *p = bytes;
    while (n && offset < s->flushed) {
        size_t want = n < s->flushed - offset ? n : (size_t)(s->flushed - offset);
        ssize_t k = pread(s->fd, p, want, (off_t)offset);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return wn_fail(WN_EIO, "%s: cannot read back: %s", s->path,
                           k ? strerror(errno) : "the file has become shorter");
        p += k;
        n -= (size_t)k;
        offset += (uint64_t)k;
    }
    if (n)
        memcpy(p, s->pending.p + (offset - s->flushed), n);
    return WN_OK;
}

void wn_spool_close(wn_spool *s)
{
    if (s->fd >= 0)
        close(s->fd);
    wn_free(s->path);
    wn_str_free(&s->pending);
    *s = (wn_spool){.fd = -1};
}
