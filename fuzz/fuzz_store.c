/* libFuzzer target: bytes as edits of a small store's files: manifest, tasks, ids, records, rows,
 * checksums, kept codes, or of an unfinished store that a writer goes on with. What opens is read
 * through; where the checksums were left to themselves it must also be what was written, and a
 * search of it finds what it found before.
 *
 *   byte 0     bits 0-1: f32, f16, int8 or a store of the first format; bit 2: checksums are made
 * to fit the edited files; bit 3: unfinished; bit 4: opened packed then each  file, what is done to
 * it, place (2 bytes), n, n bytes */
#include "fuzz.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/file.h"
#include "io/manifest.h"
#include "search/finder.h"
#include "store/sums.h"

enum { DIM = 3, ROWS = 20, K = 4, TYPES = 4, OLD = 3, MOST = 1 << 17 };
enum { OVERWRITE, CUT, APPEND, REMOVE, DEEDS };
enum { MANIFEST, PARTIAL, ROWS_BIN, FILES = 8 };

static const char *const file_name[FILES] = {"store.json", "partial.json", "rows.bin",
                                             "meta.bin",   "ids.txt",      "tasks.txt",
                                             "sums.bin",   "../s.codes-l2"};

struct text {
    char *p;
    size_t n; /* 0: there is no such file */
};

static char top[64], store[80];
static struct text whole[TYPES][FILES];
static float numbers[TYPES][ROWS * DIM];
static int64_t found[TYPES][K];

static void must(wn_err e)
{
    if (e) {
        fprintf(stderr, "%s\n", wn_error_message());
        abort();
    }
}

/* ---- whole stores ---- */

static json_t *manifest(void)
{
    return json_pack("{s:s}", "kind", "imported");
}

static wn_err add(wn_store_writer *w, uint64_t r)
{
    static const char *const task[] = {"one", "two\nlines", "three"};
    float v[DIM] = {(float)r, 1.5F, -(float)(r % 7)};
    char id[16];
    int n = snprintf(id, sizeof id, r == 5 ? "\"%d" : "row %d", (int)r);
    const char *t = task[r / 8 % 3];
    return wn_store_writer_add(w, &(wn_store_row){.vector = v,
                                                  .id = {id, (size_t)n},
                                                  .task = {t, strlen(t)},
                                                  .tokens = 9,
                                                  .loss = NAN,
                                                  .margin = NAN});
}

static wn_err begin(wn_store_writer **w, uint64_t *done, int type)
{
    static const char *const dtype[TYPES] = {"f32", "f16", "int8", "f32"};
    json_t *m = manifest();
    wn_err e =
        wn_store_writer_open(w, store, m, DIM, &(wn_store_layout){dtype[type], 0}, false, done);
    json_decref(m);
    return e;
}

static void path_of(char path[128], int file)
{
    snprintf(path, 128, "%s/%s", store, file_name[file]);
}

static void keep(int type, int file)
{
    char path[128];
    struct text *t = &whole[type][file];
    path_of(path, file);
    if (wn_file_exists(path))
        must(wn_file_read(&t->p, &t->n, path, MOST));
}

/* The first format's rows have a short head, and nothing has a checksum. */
static void make_old(void)
{
    struct text *rows = &whole[OLD][ROWS_BIN], *m = &whole[OLD][MANIFEST];
    uint64_t n = ROWS;
    size_t data = rows->n - WN_STORE_HEAD;
    memcpy(rows->p, "WNSTORE1", 8);
    memcpy(rows->p + 16, &n, sizeof n);
    memmove(rows->p + WN_STORE_HEAD_1, rows->p + WN_STORE_HEAD, data);
    rows->n = WN_STORE_HEAD_1 + data;
    char *format = strstr(m->p, WN_STORE_FORMAT);
    memcpy(format, WN_STORE_FORMAT_1, strlen(WN_STORE_FORMAT_1));
}

static wn_err search(int64_t row[K], const wn_store *s, bool prepare)
{
    static const float query[DIM] = {6.25F, 1, -3};
    wn_finder *f;
    double score[K];
    WN_TRY(wn_finder_open(&f, s, WN_METRIC_L2, prepare));
    wn_err e = wn_finder_find(f, &(wn_asked){query, 1, K, NULL, row, score}, 1);
    wn_finder_close(f);
    return e;
}

static void make_whole(int type)
{
    wn_store_writer *w;
    wn_store *s;
    uint64_t done;
    must(begin(&w, &done, type));
    for (uint64_t r = 0; r < ROWS; r++)
        must(add(w, r));
    must(wn_store_writer_sync(w));
    keep(type, PARTIAL);
    must(wn_store_writer_finish(w, NULL));
    must(wn_store_open(&s, store));
    memcpy(numbers[type], wn_store_vector(s, 0), sizeof numbers[type]);
    must(search(found[type], s, true));
    wn_store_close(s);
    for (int f = 0; f < FILES; f++)
        if (f != PARTIAL)
            keep(type, f);
    if (type == OLD)
        make_old();
}

static void clear(void)
{
    char codes[128];
    path_of(codes, FILES - 1);
    must(wn_remove_tree(codes));
    must(wn_remove_tree(store));
}

static void sweep(void)
{
    clear();
    rmdir(top);
}

static void make_all(void)
{
    snprintf(top, sizeof top, "%s/wn_fuzz_XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    if (!mkdtemp(top))
        abort();
    atexit(sweep);
    snprintf(store, sizeof store, "%s/s", top);
    for (int type = 0; type < TYPES; type++) {
        make_whole(type);
        clear();
    }
}

/* ---- edits ---- */

static void put(int file, const char *bytes, size_t n)
{
    char path[128];
    path_of(path, file);
    FILE *f = fopen(path, "wb");
    if (!f)
        abort();
    fwrite(bytes, 1, n, f);
    fclose(f);
}

/* One edit of a file's n bytes in `work`; false: the file is gone. */
static bool edit(char *work, size_t *n, uint8_t deed, size_t place, const uint8_t *bytes, size_t m)
{
    switch (deed % DEEDS) {
    case OVERWRITE:
        place %= *n + 1;
        m = m < *n - place ? m : *n - place;
        memcpy(work + place, bytes, m);
        return true;
    case CUT:
        *n = place < *n ? place : *n;
        return true;
    case APPEND:
        m = m < MOST - *n ? m : MOST - *n;
        memcpy(work + *n, bytes, m);
        *n += m;
        return true;
    default:
        return false;
    }
}

static void write_file(int type, int file, const uint8_t *data, size_t size)
{
    static char work[MOST];
    const struct text *t = &whole[type][file];
    size_t n = t->n;
    memcpy(work, t->p ? t->p : "", n);
    bool there = n > 0;
    for (size_t i = 1; i + 5 <= size && (there || n == 0); i += 5 + data[i + 4]) {
        size_t most = size - i - 5, m = data[i + 4] < most ? data[i + 4] : most;
        if (data[i] % FILES == file)
            there = edit(work, &n, data[i + 1], (size_t)(data[i + 2] | data[i + 3] << 8),
                         data + i + 5, m);
        if (!there)
            return;
    }
    if (there)
        put(file, work, n);
}

/* Checksums of whatever stands there, if it has the shape of a store. */
static void repair(void)
{
    char path[128], hex[WN_SHA_HEX];
    wn_map m;
    wn_store_shape shape;
    uint64_t rows;
    path_of(path, ROWS_BIN);
    if (wn_map_open(&m, path))
        return;
    wn_err e = wn_store_head_read(&shape, &rows, m.data, m.size, path);
    bool one = !e && shape.version == 2 && wn_store_shards(&shape, rows) == 1;
    wn_map_close(&m);
    snprintf(path, sizeof path, "%s/" WN_STORE_SUMS, store);
    if (!one || wn_sums_write(store, &shape, rows) || wn_sha_file(hex, path))
        return;
    json_t *j;
    path_of(path, MANIFEST);
    if (wn_json_load(&j, path))
        return;
    json_object_set_new(j, "sums_sha256", json_string(hex));
    must(wn_manifest_write(path, j));
    json_decref(j);
}

/* ---- what is done with it ---- */

static void check_same(const wn_store *s, int type, bool packed)
{
    float v[DIM];
    int64_t row[K];
    WN_ASSERT(wn_store_rows(s) == ROWS && wn_store_dim(s) == DIM);
    for (uint64_t r = 0; r < ROWS; r++) {
        WN_ASSERT(wn_store_read(v, s, r, 1) == WN_OK);
        WN_ASSERT(memcmp(v, numbers[type] + r * DIM, sizeof v) == 0);
        WN_ASSERT(wn_store_tokens(s, r) == 9 && isnan(wn_store_loss(s, r)));
        WN_ASSERT(wn_store_id(s, r).len == strlen(r == 5 ? "\"5" : r < 10 ? "row 1" : "row 10"));
    }
    if (packed)
        return;
    WN_ASSERT(search(row, s, false) == WN_OK);
    WN_ASSERT(memcmp(row, found[type], sizeof row) == 0);
}

static void read_through(const wn_store *s, bool packed)
{
    size_t sum = 0, dim = wn_store_dim(s);
    float *v = wn_malloc(dim * sizeof *v);
    int64_t row[K];
    for (uint64_t r = 0; v && r < wn_store_rows(s); r++) {
        sum += wn_store_id(s, r).len + strlen(wn_store_task(s, r)) + wn_store_tokens(s, r);
        sum += (size_t)isnan(wn_store_loss(s, r)) + (size_t)isnan(wn_store_margin(s, r));
        if (wn_store_read(v, s, r, 1) == WN_OK)
            sum += (size_t)isnan(v[dim - 1]);
    }
    WN_ASSERT(sum < SIZE_MAX);
    wn_free(v);
    if (!packed && dim == DIM && wn_store_rows(s) > 0)
        search(row, s, false);
}

static void finished(int type, bool repaired, bool packed)
{
    wn_store *s;
    char *json = NULL;
    if ((packed ? wn_store_open_packed : wn_store_open)(&s, store) == WN_OK) {
        bool sound = wn_store_verify_all(s) == WN_OK;
        if (sound && !repaired && type != OLD)
            check_same(s, type, packed);
        read_through(s, packed);
        wn_store_close(s);
    }
    if (wn_store_info_job(store, &json) == WN_OK)
        wn_text_free(json);
    if (wn_store_check_job(store, &json) == WN_OK)
        wn_text_free(json);
}

static void unfinished(int type)
{
    wn_store_writer *w;
    uint64_t done;
    char *json;
    if (wn_store_info_job(store, &json) == WN_OK)
        wn_text_free(json);
    if (begin(&w, &done, type))
        return;
    WN_ASSERT(done <= ROWS || done < MOST);
    for (uint64_t r = done; r < done + 2; r++)
        if (add(w, r)) {
            wn_store_writer_close(w);
            return;
        }
    if (wn_store_writer_finish(w, NULL) == WN_OK)
        finished(type, true, false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!top[0])
        make_all();
    if (size == 0)
        return 0;
    int type = data[0] & 3;
    bool open = data[0] & 8, fit = data[0] & 4;
    size_t live = wn_mem_live();
    must(wn_mkdirs(store));
    for (int f = 0; f < FILES; f++)
        if (f == (open ? MANIFEST : PARTIAL) || (open && f == 6))
            continue;
        else
            write_file(type, f, data, size);
    if (fit && !open)
        repair();
    if (open)
        unfinished(type == OLD ? 0 : type);
    else
        finished(type, fit, data[0] & 16);
    clear();
    WN_ASSERT(wn_mem_live() == live);
    return 0;
}
