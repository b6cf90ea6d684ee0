/* Mapped reading and whole reads, folders, and the two ways to write: an output that appears by
 * rename (wn_out) and a file that grows (wn_append).
 *
 * The temporary of wn_out is PATH.tmp, a fixed name: what a kill leaves behind is used again by the
 * next run instead of piling up. Two processes that write the same output at once are kept apart by
 * a lock on the temporary; the inode is compared after locking because the other process may have
 * renamed it between our open and our lock. Where the path is a device or a pipe there is nothing
 * to rename: bytes go straight to it. */
#include "io/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

/* write(2) takes at most about 2 GiB at once. */
enum { CHUNK = 1 << 30, READ_STEP = 1 << 16 };

static wn_err fail_io(const char *path, const char *verb)
{
    int e = errno;
    return wn_fail(e == ENOMEM ? WN_ENOMEM : WN_EIO, "%s: cannot %s: %s", path, verb, strerror(e));
}

/* ---- reading ---- */

static int open_retry(const char *path, int flags, mode_t mode)
{
    int fd;
    do
        fd = open(path, flags | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR);
    return fd;
}

static wn_err map_all(wn_map *m, int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return fail_io(m->path, "look at");
    if (!S_ISREG(st.st_mode))
        return wn_fail(WN_EIO, "%s: expected a regular file, found %s", m->path,
                       S_ISDIR(st.st_mode) ? "a folder" : "a pipe or device");
    if ((uintmax_t)st.st_size > SIZE_MAX / 2)
        return wn_fail(WN_EIO, "%s: too big to map", m->path);
    m->data = "";
    m->size = (uint64_t)st.st_size;
    if (m->size == 0)
        return WN_OK;
    void *p = mmap(NULL, (size_t)m->size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        return fail_io(m->path, "map");
    m->base = p;
    m->data = p;
    return WN_OK;
}

wn_err wn_map_fd(wn_map *m, int fd, const char *path)
{
    *m = (wn_map){.path = wn_strdup(path)};
    wn_err err = m->path ? map_all(m, fd) : WN_ENOMEM;
    if (err != WN_OK)
        wn_map_close(m);
    return err;
}

wn_err wn_map_open(wn_map *m, const char *path)
{
    *m = (wn_map){0};
    int fd = open_retry(path, O_RDONLY, 0);
    if (fd < 0)
        return fail_io(path, "open");
    wn_err err = wn_map_fd(m, fd, path);
    close(fd);
    return err;
}

void wn_map_close(wn_map *m)
{
    if (m->base)
        munmap(m->base, (size_t)m->size);
    wn_free(m->path);
    *m = (wn_map){0};
}

void wn_map_forget(const wn_map *m)
{
    if (m->base)
        madvise(m->base, (size_t)m->size, MADV_DONTNEED);
}

static wn_err read_all(wn_str *s, int fd, const char *path, size_t limit)
{
    char *step = wn_malloc(READ_STEP);
    if (!step)
        return WN_ENOMEM;
    wn_err err = WN_OK;
    while (err == WN_OK) {
        ssize_t got = read(fd, step, READ_STEP);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            err = fail_io(path, "read");
        if (got <= 0)
            break;
        if ((size_t)got > limit - s->len)
            err = wn_fail(WN_EFORMAT, "%s: expected at most %zu bytes, found more", path, limit);
        else
            wn_str_add(s, step, (size_t)got);
        if (err == WN_OK)
            err = wn_str_check(s);
    }
    wn_free(step);
    return err;
}

wn_err wn_file_read(char **text, size_t *len, const char *path, size_t limit)
{
    *text = NULL;
    if (len)
        *len = 0;
    bool std_in = strcmp(path, "-") == 0;
    int fd = std_in ? STDIN_FILENO : open_retry(path, O_RDONLY, 0);
    if (fd < 0)
        return fail_io(path, "open");
    wn_str s = {0};
    wn_err err = read_all(&s, fd, std_in ? "standard input" : path, limit);
    if (!std_in)
        close(fd);
    if (err == WN_OK) {
        wn_str_add(&s, "", 0); /* an empty file is NUL-terminated too */
        err = wn_str_check(&s);
    }
    if (err != WN_OK) {
        wn_str_free(&s);
        return err;
    }
    *text = s.p;
    if (len)
        *len = s.len;
    return WN_OK;
}

/* ---- folders and names ---- */

bool wn_file_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

bool wn_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static wn_err make_dir(const char *path)
{
    if (mkdir(path, 0777) == 0 || (errno == EEXIST && wn_is_dir(path)))
        return WN_OK;
    if (errno == EEXIST)
        return wn_fail(WN_EIO, "%s: expected a folder, found a file", path);
    return fail_io(path, "make the folder");
}

wn_err wn_mkdirs(const char *path)
{
    if (wn_is_dir(path))
        return WN_OK;
    char *part = wn_strdup(path);
    if (!part)
        return WN_ENOMEM;
    wn_err err = WN_OK;
    for (char *p = part + 1; *part && *p && err == WN_OK; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        if (!wn_is_dir(part))
            err = make_dir(part);
        *p = '/';
    }
    if (err == WN_OK)
        err = make_dir(path);
    wn_free(part);
    return err;
}

wn_err wn_mkdirs_above(const char *path)
{
    char *dir = wn_strdup(path);
    if (!dir)
        return WN_ENOMEM;
    char *slash = strrchr(dir, '/');
    if (slash)
        *slash = '\0';
    wn_err err = slash ? wn_mkdirs(dir) : WN_OK;
    wn_free(dir);
    return err;
}

wn_err wn_dir_empty(const char *path)
{
    char **names;
    size_t n;
    WN_TRY(wn_dir_list(&names, &n, path));
    wn_err err = WN_OK;
    for (size_t i = 0; i < n && err == WN_OK; i++) {
        char *child;
        err = wn_path_join(&child, path, names[i]);
        if (err == WN_OK)
            err = wn_remove_tree(child);
        wn_free(child);
    }
    wn_names_free(names, n);
    return err;
}

wn_err wn_remove_tree(const char *path)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return errno == ENOENT || errno == ENOTDIR ? WN_OK : fail_io(path, "look at");
    if (!S_ISDIR(st.st_mode))
        return unlink(path) == 0 || errno == ENOENT ? WN_OK : fail_io(path, "remove");
    WN_TRY(wn_dir_empty(path));
    return rmdir(path) == 0 || errno == ENOENT ? WN_OK : fail_io(path, "remove");
}

wn_err wn_path_join(char **out, const char *dir, const char *name)
{
    *out = NULL;
    size_t n = strlen(dir);
    wn_str s = {0};
    if (name[0] != '/' && n > 0) {
        wn_str_add(&s, dir, n);
        if (dir[n - 1] != '/')
            wn_str_putc(&s, '/');
    }
    wn_str_puts(&s, name);
    wn_err err = wn_str_check(&s);
    if (err != WN_OK) {
        wn_str_free(&s);
        return err;
    }
    *out = s.p;
    return WN_OK;
}

const char *wn_path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static wn_err read_names(char ***names, size_t *n, DIR *d, const char *path)
{
    size_t cap = 0;
    for (;;) {
        errno = 0;
        const struct dirent *e = readdir(d);
        if (!e)
            return errno ? fail_io(path, "list") : WN_OK;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (!WN_GROW(*names, *n, cap))
            return WN_ENOMEM;
        (*names)[*n] = wn_strdup(e->d_name);
        if (!(*names)[*n])
            return WN_ENOMEM;
        ++*n;
    }
}

wn_err wn_dir_list(char ***names, size_t *n, const char *path)
{
    *names = NULL;
    *n = 0;
    DIR *d = opendir(path);
    if (!d)
        return fail_io(path, "open the folder");
    wn_err err = read_names(names, n, d, path);
    closedir(d);
    if (err != WN_OK) {
        wn_names_free(*names, *n);
        *names = NULL;
        *n = 0;
        return err;
    }
    if (*n)
        qsort(*names, *n, sizeof **names, by_bytes);
    return WN_OK;
}

void wn_names_free(char **names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        wn_free(names[i]);
    wn_free(names);
}

/* ---- an output that appears whole ---- */

/* The temporary, locked and empty; -1 with the error set. */
static int open_temp(wn_err *err, const char *temp)
{
    for (;;) {
        int fd = open_retry(temp, O_WRONLY | O_CREAT, 0666);
        if (fd < 0) {
            *err = fail_io(temp, "create");
            return -1;
        }
        if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
            close(fd);
            *err = wn_fail(WN_EIO, "%s: another process is writing it", temp);
            return -1;
        }
        struct stat ours, there;
        if (fstat(fd, &ours) == 0 && stat(temp, &there) == 0 && ours.st_ino == there.st_ino &&
            ours.st_dev == there.st_dev) {
            if (ftruncate(fd, 0) == 0)
                return fd;
            *err = fail_io(temp, "empty");
            close(fd);
            return -1;
        }
        close(fd);
    }
}

static wn_err open_stream(wn_out *o, int fd)
{
    o->f = fdopen(fd, "wb");
    if (o->f)
        return WN_OK;
    wn_err err = fail_io(o->path, "open");
    close(fd);
    if (o->temp)
        unlink(o->temp);
    return err;
}

static wn_err temp_path(char **temp, const char *path)
{
    wn_str s = {0};
    wn_str_puts(&s, path);
    wn_str_puts(&s, ".tmp");
    *temp = s.p;
    return wn_str_check(&s);
}

static wn_err open_out(wn_out *o, const char *path)
{
    struct stat st;
    bool there = stat(path, &st) == 0;
    if (there && S_ISDIR(st.st_mode))
        return wn_fail(WN_EIO, "%s: expected a file to write, found a folder", path);
    o->path = wn_strdup(path);
    if (!o->path)
        return WN_ENOMEM;
    if (there && !S_ISREG(st.st_mode)) {
        int fd = open_retry(path, O_WRONLY, 0);
        return fd < 0 ? fail_io(path, "open") : open_stream(o, fd);
    }
    WN_TRY(temp_path(&o->temp, path));
    wn_err err = WN_OK;
    int fd = open_temp(&err, o->temp);
    return fd < 0 ? err : open_stream(o, fd);
}

static void forget(wn_out *o)
{
    wn_free(o->path);
    wn_free(o->temp);
    o->f = NULL;
    o->path = o->temp = NULL;
}

wn_err wn_out_refuse(const char *path, bool overwrite)
{
    struct stat st;
    if (!path || strcmp(path, "-") == 0 || overwrite || stat(path, &st) != 0 ||
        (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
        return WN_OK;
    return wn_fail(WN_EARG, "%s: exists already; --overwrite replaces it", path);
}

bool wn_out_unfinished(const char *path)
{
    char *temp;
    bool there = temp_path(&temp, path) == WN_OK && wn_file_exists(temp);
    wn_free(temp);
    return there;
}

wn_err wn_out_open(wn_out *o, const char *path)
{
    *o = (wn_out){0};
    if (!path || strcmp(path, "-") == 0) {
        o->f = stdout;
        return WN_OK;
    }
    wn_err err = open_out(o, path);
    if (err != WN_OK)
        forget(o);
    return err;
}

static const char *shown(const wn_out *o)
{
    return o->path ? o->path : "standard output";
}

wn_err wn_out_write(wn_out *o, const void *bytes, size_t n)
{
    if (n && fwrite(bytes, 1, n, o->f) != n)
        return fail_io(shown(o), "write");
    o->written += n;
    return WN_OK;
}

wn_err wn_out_printf(wn_out *o, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vfprintf(o->f, fmt, ap);
    va_end(ap);
    if (n < 0)
        return fail_io(shown(o), "write");
    o->written += (uint64_t)n;
    return WN_OK;
}

/* An earlier failure of the stream whose errno is long gone still has to fail the commit. */
static wn_err flush(wn_out *o)
{
    bool bad = ferror(o->f);
    if (fflush(o->f) != 0)
        return fail_io(shown(o), "write");
    return bad ? wn_fail(WN_EIO, "%s: cannot write", shown(o)) : WN_OK;
}

wn_err wn_out_sync(wn_out *o)
{
    WN_TRY(flush(o));
    if (o->temp && fsync(fileno(o->f)) != 0)
        return fail_io(o->path, "write");
    return WN_OK;
}

wn_err wn_out_commit(wn_out *o)
{
    WN_ASSERT(o->f);
    wn_err err = wn_out_sync(o);
    if (o->path) {
        if (err == WN_OK && o->temp)
            err = wn_rename(o->temp, o->path);
        if (err != WN_OK && o->temp)
            unlink(o->temp);
        /* Closed only now: the lock must last until the temporary has its final name. */
        fclose(o->f);
    }
    forget(o);
    return err;
}

void wn_out_abort(wn_out *o)
{
    if (!o->f)
        return;
    if (o->path) {
        if (o->temp)
            unlink(o->temp);
        fclose(o->f);
    }
    forget(o);
}

wn_err wn_file_write(const char *path, const void *bytes, size_t n)
{
    wn_out o;
    WN_TRY(wn_out_open(&o, path));
    wn_err err = wn_out_write(&o, bytes, n);
    if (err == WN_OK)
        return wn_out_commit(&o);
    wn_out_abort(&o);
    return err;
}

/* ---- a file that grows ---- */

static wn_err cut(wn_append *a, uint64_t keep)
{
    if (flock(a->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return wn_fail(WN_EIO, "%s: another process is writing it", a->path);
    struct stat st;
    if (fstat(a->fd, &st) != 0)
        return fail_io(a->path, "look at");
    if ((uint64_t)st.st_size < keep)
        return wn_fail(WN_EFORMAT, "%s: expected at least %llu bytes, found %llu", a->path,
                       (unsigned long long)keep, (unsigned long long)st.st_size);
    if (ftruncate(a->fd, (off_t)keep) != 0)
        return fail_io(a->path, "cut");
    if (lseek(a->fd, (off_t)keep, SEEK_SET) < 0)
        return fail_io(a->path, "seek in");
    a->size = keep;
    return WN_OK;
}

wn_err wn_append_open(wn_append *a, const char *path, uint64_t keep)
{
    *a = (wn_append){.fd = -1};
    int fd = open_retry(path, O_WRONLY | O_CREAT, 0666);
    if (fd < 0)
        return fail_io(path, "open for writing");
    a->path = wn_strdup(path);
    if (!a->path) {
        close(fd);
        return WN_ENOMEM;
    }
    a->fd = fd;
    wn_err err = cut(a, keep);
    if (err != WN_OK)
        wn_append_close(a);
    return err;
}

wn_err wn_append_write(wn_append *a, const void *bytes, size_t n)
{
    const char *p = bytes;
    for (size_t left = n; left > 0;) {
        ssize_t put = write(a->fd, p, left < CHUNK ? left : CHUNK);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0) {
            if (put == 0)
                errno = ENOSPC;
            return fail_io(a->path, "write");
        }
        p += put;
        left -= (size_t)put;
    }
    a->size += n;
    return WN_OK;
}

wn_err wn_append_sync(wn_append *a)
{
    return fsync(a->fd) == 0 || errno == EINVAL ? WN_OK : fail_io(a->path, "write");
}

void wn_append_close(wn_append *a)
{
    if (a->path) /* a zeroed wn_append was never opened */
        close(a->fd);
    wn_free(a->path);
    *a = (wn_append){.fd = -1};
}

/* ---- lasting renames ---- */

wn_err wn_dir_sync(const char *path)
{
    int fd = open_retry(path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return fail_io(path, "open the folder");
    wn_err err = WN_OK;
    /* Some file systems cannot sync a folder; there is nothing better to do on them. */
    if (fsync(fd) != 0 && errno != EINVAL && errno != EROFS && errno != ENOTSUP)
        err = fail_io(path, "write the folder");
    close(fd);
    return err;
}

wn_err wn_rename(const char *from, const char *to)
{
    if (rename(from, to) != 0)
        return fail_io(to, "rename the finished file to it");
    const char *base = wn_path_base(to);
    if (base == to)
        return wn_dir_sync(".");
    char *dir = wn_strndup(to, (size_t)(base - to));
    if (!dir)
        return WN_ENOMEM;
    wn_err err = wn_dir_sync(dir);
    wn_free(dir);
    return err;
}
