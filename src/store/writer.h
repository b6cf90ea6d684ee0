/* What a writer holds; shared by writer.c (rows) and resume.c (starting, going on). Private to
 * src/store. */
#ifndef WN_STORE_WRITER_H
#define WN_STORE_WRITER_H

#include "io/file.h"
#include "io/folder.h"
#include "store/format.h"
#include "store/store.h"

struct wn_store_writer {
    char *dir;
    wn_folder_lock lock; /* of dir */
    json_t *manifest;    /* what partial.json holds */
    wn_store_shape shape;
    uint64_t rows, unsynced_bytes;
    wn_append file[WN_STORE_FILES];
    wn_str buffer[WN_STORE_FILES];
    wn_append first, later; /* rows.bin, whose head counts; the file of rows at work, if another */
    wn_str rows_buffer;
    uint64_t shard;    /* at work */
    uint64_t id_bytes; /* of ids.txt, buffered ones included */
    char **task;       /* names as lines (escaped), for comparing */
    size_t n_tasks, cap_tasks;
    uint32_t *slot; /* hash table: task number + 1 */
    size_t slots;
    bool begun; /* the folder is ours, and unfinished */
};

static inline wn_append *wn_writer_rows(wn_store_writer *w)
{
    return w->shard ? &w->later : &w->first;
}

/* Decides between a new store and going on, and leaves the files open. partial: path of
 * partial.json. */
wn_err wn_writer_begin(wn_store_writer *w, const char *partial, bool overwrite);
/* The store's files go, and the folder if nothing else is in it. */
void wn_writer_withdraw(const wn_store_writer *w);
/* A new, empty file of rows. */
wn_err wn_writer_shard(wn_store_writer *w, uint64_t shard);
/* The number of the task whose line (with newline) is given; *fresh: it was not known before. */
wn_err wn_writer_task(uint32_t *number, bool *fresh, wn_store_writer *w, const char *line,
                      size_t n);
wn_err wn_writer_remove(const wn_store_writer *w, const char *name);

#endif
