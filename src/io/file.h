/* Files: mapped reading and atomic writing. A finished file appears by rename or not at all. */
#ifndef WN_IO_FILE_H
#define WN_IO_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/str.h"

/* A read-only map of a whole file. An empty file has data == "" and size 0. */
typedef struct wn_map {
    const char *data;
    uint64_t size;
    char *path;
    void *base; /* NULL where nothing is mapped */
} wn_map;

wn_err wn_map_open(wn_map *m, const char *path);
wn_err wn_map_fd(wn_map *m, int fd, const char *path); /* path: what errors call it */
void wn_map_close(wn_map *m);                          /* idempotent */
/* The pages read so far no longer count as this process's memory; what is read again comes back. */
void wn_map_forget(const wn_map *m);

/* The whole file ("-": standard input), NUL-terminated, refused above `limit` bytes.
 * wn_free(*text). */
wn_err wn_file_read(char **text, size_t *len, const char *path, size_t limit);

bool wn_file_exists(const char *path);
bool wn_is_dir(const char *path);
wn_err wn_mkdirs(const char *path);       /* with parents; fine if it is there */
wn_err wn_mkdirs_above(const char *path); /* the folders that a file of that path needs */
wn_err wn_remove_tree(const char *path);  /* file or folder; fine if it is not there */
wn_err wn_dir_empty(const char *path);    /* what is in it goes, the folder stays */
wn_err wn_path_join(char **out, const char *dir, const char *name); /* wn_free(*out) */
const char *wn_path_base(const char *path); /* the part after the last slash */
/* Sorted names (bytewise) of a folder without "." and "..". wn_names_free. */
wn_err wn_dir_list(char ***names, size_t *n, const char *path);
void wn_names_free(char **names, size_t n);

/* An output that appears whole: bytes go to a temporary beside `path`; commit does fsync, rename
 * and fsync of the folder. "-" or NULL is standard output (commit flushes). After any failure, and
 * without a commit, abort removes the temporary. Errors of write(2), such as a full disk, name the
 * path. */
typedef struct wn_out {
    FILE *f;
    char *path, *temp; /* NULL for standard output */
    uint64_t written;
} wn_out;

/* Refuses an output that is there already, unless overwrite. Devices and pipes can always be
 * written. */
wn_err wn_out_refuse(const char *path, bool overwrite);
bool wn_out_unfinished(const char *path); /* a run that was killed left its temporary */
wn_err wn_out_open(wn_out *o, const char *path);
wn_err wn_out_write(wn_out *o, const void *bytes, size_t n);
wn_err wn_out_printf(wn_out *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
wn_err wn_out_sync(wn_out *o);   /* before the commit of another file: what may fail fails here */
wn_err wn_out_commit(wn_out *o); /* closes in every case */
void wn_out_abort(wn_out *o);    /* after a commit or failure: does nothing more */

/* The same in one call. */
wn_err wn_file_write(const char *path, const void *bytes, size_t n);

/* Appending to a file that a kill may cut: writes, and on sync makes them last. Used by stores and
 * logs, whose readers know what a torn tail is. */
typedef struct wn_append {
    int fd;
    char *path;
    uint64_t size;
} wn_append;
wn_err wn_append_open(wn_append *a, const char *path,
                      uint64_t keep); /* cuts the file to `keep` bytes */
wn_err wn_append_write(wn_append *a, const void *bytes, size_t n);
wn_err wn_append_sync(wn_append *a);
void wn_append_close(wn_append *a);

/* fsync of a folder, so that a rename in it lasts. */
wn_err wn_dir_sync(const char *path);
/* rename with fsync of the folder of `to`. */
wn_err wn_rename(const char *from, const char *to);

/* Lines of a text: plain, .gz or .zst by content, "-" is standard input. A last line without
 * newline counts; "\r\n" loses its "\r". A truncated or damaged compressed stream is an error that
 * names the file. Lines over `WN_LINE_MAX` bytes are an error naming file and line. */
enum { WN_LINE_MAX = 1 << 28 };
typedef struct wn_lines wn_lines;
wn_err wn_lines_open(wn_lines **out, const char *path);
/* A byte-order mark is left out of the first line: for files of rows, ids and names. */
void wn_lines_drop_mark(wn_lines *l);
/* false at the end or on failure: check *err. The span is valid until the next call. */
bool wn_lines_next(wn_lines *l, wn_span *line, wn_err *err);
uint64_t wn_lines_number(const wn_lines *l); /* of the line last returned, from 1 */
void wn_lines_close(wn_lines *l);

#endif
