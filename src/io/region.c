#include "io/region.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/temp.h"

enum { AHEAD_BYTES = 128 << 10 };

wn_err wn_region_reserve(wn_region *r, uint64_t bytes)
{
    *r = (wn_region){0};
    if (bytes > SIZE_MAX / 2)
        return wn_fail(WN_ENOMEM, "out of memory: %" PRIu64 " bytes of address space", bytes);
    void *p =
        mmap(NULL, (size_t)bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return wn_fail(WN_ENOMEM, "out of memory: %" PRIu64 " bytes of address space", bytes);
    *r = (wn_region){p, (size_t)bytes};
    return WN_OK;
}

static wn_err map_at(const wn_region *r, uint64_t at, int fd, const char *path, uint64_t offset,
                     uint64_t bytes)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return wn_fail(WN_EIO, "%s: cannot look at: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return wn_fail(WN_EIO, "%s: expected a regular file", path);
    if ((uint64_t)st.st_size != offset + bytes)
        return wn_fail(WN_EFORMAT, "%s: expected %" PRIu64 " bytes, found %" PRIu64, path,
                       offset + bytes, (uint64_t)st.st_size);
    if (bytes == 0)
        return WN_OK;
    WN_ASSERT(at + bytes <= r->bytes);
    void *p =
        mmap(r->data + at, (size_t)bytes, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, (off_t)offset);
    return p != MAP_FAILED ? WN_OK
                           : wn_fail(errno == ENOMEM ? WN_ENOMEM : WN_EIO,
                                     "%s: cannot map at byte %" PRIu64 " (pages of %ld bytes): %s",
                                     path, offset, sysconf(_SC_PAGESIZE), strerror(errno));
}

wn_err wn_region_file(const wn_region *r, uint64_t at, const char *path, uint64_t offset,
                      uint64_t bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return wn_fail(WN_EIO, "%s: cannot open: %s", path, strerror(errno));
    wn_err err = map_at(r, at, fd, path, offset, bytes);
    close(fd);
    return err;
}

wn_err wn_region_scratch(wn_region *r, uint64_t bytes)
{
    int fd;
    char *path;
    *r = (wn_region){0};
    wn_err err = wn_temp_open(&fd, &path);
    if (err == WN_OK) {
        int e = bytes > INT64_MAX ? EFBIG : posix_fallocate(fd, 0, (off_t)bytes);
        void *p =
            e ? MAP_FAILED : mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED)
            err = wn_fail(WN_EIO, "%s: no room for a temporary file of %" PRIu64 " bytes: %s", path,
                          bytes, strerror(e ? e : errno));
        else
            *r = (wn_region){p, (size_t)bytes};
        close(fd);
    }
    wn_free(path);
    return err;
}

/* Whole pages: of what is needed all that are touched, of what is left only those wholly inside.
 * What is needed is asked for in small pieces: Linux reads no more of one request than a device's
 * read-ahead, 128 KiB unless somebody set it, and forgets the rest without a word. */
void wn_region_ahead(const wn_region *r, uint64_t at, uint64_t bytes)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), from = at / page * page;
    if (!r->data || at >= r->bytes)
        return;
    uint64_t to = bytes < r->bytes - at ? at + bytes : r->bytes;
    for (uint64_t next; from < to; from = next) {
        next = to - from < AHEAD_BYTES ? to : from + AHEAD_BYTES;
        madvise(r->data + from, (size_t)(next - from), MADV_WILLNEED);
    }
}

void wn_region_scattered(const wn_region *r, bool yes)
{
    if (r->data)
        madvise(r->data, r->bytes, yes ? MADV_RANDOM : MADV_NORMAL);
}

void wn_region_behind(const wn_region *r, uint64_t at, uint64_t bytes)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), from = (at + page - 1) / page * page;
    uint64_t to = (at + bytes < r->bytes ? at + bytes : r->bytes) / page * page;
    if (r->data && from < to)
        madvise(r->data + from, (size_t)(to - from), MADV_DONTNEED);
}

void wn_region_free(wn_region *r)
{
    if (r->data)
        munmap(r->data, r->bytes);
    *r = (wn_region){0};
}
