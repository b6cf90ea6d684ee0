/* Row sources to the two files of a pool: read, map, check, drop duplicates, write, in one
 * streaming pass. Used by the build and by opening a source as it stands. Private to src/pool. */
#ifndef WN_POOL_INGEST_H
#define WN_POOL_INGEST_H

#include "io/json.h"
#include "pool/rowread.h"
#include "pool/seen.h"
#include "pool/spool.h"

#define WN_POOL_MAGIC "WNPOOL1" /* with its NUL: 8 bytes */

/* rows.idx: this header, then `rows` records. Little-endian. */
typedef struct wn_index_header {
    char magic[8];
    uint64_t rows, bytes; /* bytes of rows.jsonl */
    uint32_t tasks, record_bytes;
    uint64_t zero[4];
} wn_index_header;

typedef struct wn_record {
    uint64_t offset;
    uint32_t length, task; /* length without the newline */
    uint64_t text, id;     /* hashes */
} wn_record;

_Static_assert(sizeof(wn_index_header) == 64 && sizeof(wn_record) == 32, "format of rows.idx");

typedef enum wn_duplicates {
    WN_DUPLICATES_IGNORE,
    WN_DUPLICATES_COUNT,
    WN_DUPLICATES_DROP
} wn_duplicates;

typedef struct wn_ingest_opts {
    const char *const *sources;
    size_t n_sources;
    const char *map;
    const char *dir;          /* rows.jsonl and rows.idx go there; NULL: unlinked temporaries */
    wn_duplicates duplicates; /* what a second row with the same prompt and target is */
    const char *split;        /* of folders only files of that name; NULL: all */
    const char *tasks;        /* file of task names; NULL: all */
    uint64_t per_task;        /* 0: all */
    bool strict;              /* the first bad line is an error */
    bool need_target;
} wn_ingest_opts;

enum { WN_PLACES_KEPT = 20 };

typedef struct wn_reject_list {
    uint64_t lines;
    char *place[WN_PLACES_KEPT]; /* the error lines of the first */
} wn_reject_list;

typedef struct wn_source {
    char *path;
    char *task; /* of rows that name none: the sub-folder's name; NULL: by the file's name */
    uint64_t lines, rows; /* read; accepted */
} wn_source;

typedef struct wn_ingest {
    wn_spool rows, index;
    uint64_t n_rows, text_bytes, duplicates, rejected;
    uint64_t left_out; /* rows of tasks not listed, or beyond per_task */
    wn_reject_list reject[WN_REJECT_COUNT];
    char **task;
    uint64_t *task_rows;
    size_t n_tasks, cap_tasks, cap_task_rows;
    wn_source *source;
    size_t n_sources, cap_sources;
    wn_seen ids, texts, tasks;
} wn_ingest;

/* Zero `g` before; wn_ingest_close after, also on failure. No row at all is an error. */
wn_err wn_ingest_run(wn_ingest *g, const wn_ingest_opts *o);
void wn_ingest_close(wn_ingest *g);

/* {"rows", "text_bytes", "duplicates", "rejected", "tasks"} of what was read. */
wn_err wn_ingest_facts(json_t *into, const wn_ingest *g);

/* The files of the sources in order: folders become their row files, sorted. */
wn_err wn_sources_list(wn_ingest *g, const wn_ingest_opts *o);
/* The file name without folder and extensions. wn_free it. */
char *wn_source_task(const char *path);

#endif
