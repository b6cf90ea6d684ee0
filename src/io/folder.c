#include "io/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "io/file.h"

const char *const wn_model_marks[] = {"train.json", "merge.json", "get.json", NULL};

wn_err wn_folder_beside(char **path, const char *out, const char *tail)
{
    size_t n = strlen(out);
    while (n > 1 && out[n - 1] == '/')
        n--;
    wn_str s = {0};
    wn_str_add(&s, out, n);
    wn_str_puts(&s, tail);
    wn_err e = wn_str_check(&s);
    if (e)
        wn_str_free(&s);
    *path = e ? NULL : s.p;
    return e;
}

static wn_err has_mark(bool *found, const char *out, const char *const *marks)
{
    *found = false;
    for (size_t i = 0; marks[i] && !*found; i++) {
        char *path;
        WN_TRY(wn_path_join(&path, out, marks[i]));
        *found = wn_file_exists(path);
        wn_free(path);
    }
    return WN_OK;
}

wn_err wn_folder_refuse(const char *out, const char *what, const char *const *marks, bool overwrite)
{
    char **names;
    size_t n;
    bool ours;
    if (!wn_file_exists(out))
        return WN_OK;
    if (!wn_is_dir(out))
        return wn_fail(WN_EARG, "%s: expected a folder or nothing, found a file", out);
    WN_TRY(has_mark(&ours, out, marks));
    if (ours)
        return overwrite ? WN_OK
                         : wn_fail(WN_EARG, "%s: %s is there already; --overwrite replaces it", out,
                                   what);
    WN_TRY(wn_dir_list(&names, &n, out));
    wn_err e = n ? wn_fail(WN_EARG, "%s: expected %s or an empty folder, found other files: %s",
                           out, what, names[0])
                 : WN_OK;
    wn_names_free(names, n);
    return e;
}

wn_err wn_folder_lock_make(wn_folder_lock *l, const char *dir)
{
    for (;;) {
        struct stat ours, there;
        WN_TRY(wn_mkdirs(dir));
        int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT)
            continue; /* another process has just put its own in place */
        if (fd < 0)
            return wn_fail(WN_EIO, "%s: cannot open: %s", dir, strerror(errno));
        if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
            close(fd);
            return wn_fail(WN_EIO, "%s: another process is writing it", dir);
        }
        if (fstat(fd, &ours) == 0 && stat(dir, &there) == 0 && ours.st_ino == there.st_ino &&
            ours.st_dev == there.st_dev) {
            *l = (wn_folder_lock){true, fd};
            return WN_OK;
        }
        close(fd);
    }
}

void wn_folder_unlock(wn_folder_lock *l)
{
    if (l->held)
        close(l->fd);
    *l = (wn_folder_lock){0};
}

/* Behind a failure `old` comes back; a good end removes it. */
static wn_err settle(wn_err e, const char *old, const char *out, bool replace)
{
    if (!e)
        return wn_remove_tree(old);
    if (replace) {
        char text[WN_ERROR_TEXT_BYTES];
        snprintf(text, sizeof text, "%s", wn_error_text());
        wn_rename(old, out);
        wn_error_set_text(text);
    }
    return e;
}

wn_err wn_folder_put(const char *made, const char *out)
{
    char *old;
    bool replace = wn_file_exists(out);
    WN_TRY(wn_folder_beside(&old, out, ".partial.old"));
    wn_err e = replace ? wn_remove_tree(old) : WN_OK;
    if (!e && replace)
        e = wn_rename(out, old);
    if (!e)
        e = settle(wn_rename(made, out), old, out, replace);
    wn_free(old);
    return e;
}

bool wn_same_place(const char *a, const char *b)
{
    struct stat x, y;
    return strcmp(a, b) == 0 ||
           (stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino);
}
