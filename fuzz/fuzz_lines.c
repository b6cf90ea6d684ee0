/* Plain, gzip and Zstandard streams; the reader takes a path, so the bytes go through a memory
 * file. */
#define _GNU_SOURCE
#include "fuzz.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "io/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    wn_lines *l;
    wn_span line;
    wn_err err;
    char path[64];
    size_t live = wn_mem_live();
    int fd = memfd_create("fuzz", 0);
    if (fd < 0 || write(fd, bytes, size) != (ssize_t)size)
        return 0;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (wn_lines_open(&l, path) == WN_OK) {
        while (wn_lines_next(l, &line, &err))
            WN_ASSERT(!line.len || !memchr(line.p, '\n', line.len));
        wn_lines_close(l);
    }
    close(fd);
    WN_ASSERT(wn_mem_live() == live);
    return 0;
}
