#include "io/temp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/report.h"

#define STDIN_NAME "standard input"

enum { STEP = 1 << 20 };

wn_err wn_temp_open(int *fd, char **path)
{
    const char *dir = getenv("TMPDIR");
    wn_str s = {0};
    if (!dir || !*dir)
        dir = "/tmp";
    wn_str_printf(&s, "%s/winnow-XXXXXX", dir);
    *path = s.p;
    *fd = -1;
    WN_TRY(wn_str_check(&s));
    *fd = mkstemp(*path);
    if (*fd < 0)
        return wn_fail(WN_EIO, "%s: cannot make a temporary file in it: %s", dir, strerror(errno));
    unlink(*path);
    return WN_OK;
}

static wn_err copy(wn_append *to, char *step)
{
    for (;;) {
        ssize_t got = read(STDIN_FILENO, step, STEP);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return wn_fail(WN_EIO, STDIN_NAME ": cannot read: %s", strerror(errno));
        if (got == 0)
            return WN_OK;
        WN_TRY(wn_append_write(to, step, (size_t)got));
        WN_TRY(wn_progress(STDIN_NAME, "MB", to->size / 1000000, 0, NULL));
    }
}

wn_err wn_temp_stdin(wn_map *m)
{
    wn_append temp = {.fd = -1};
    *m = (wn_map){0};
    char *step = wn_malloc(STEP);
    wn_err err = step ? wn_temp_open(&temp.fd, &temp.path) : WN_ENOMEM;
    if (err == WN_OK)
        err = copy(&temp, step);
    if (err == WN_OK)
        err = wn_map_fd(m, temp.fd, STDIN_NAME);
    wn_free(step);
    if (temp.fd >= 0)
        close(temp.fd);
    wn_free(temp.path);
    return err;
}
