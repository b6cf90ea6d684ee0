#include "store/sums.h"

#include <inttypes.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/report.h"
#include "io/region.h"

#define MAGIC "WNSUMS01"
enum { HEAD = 64, BATCH = 64 }; /* blocks hashed before memory is given back */

static wn_hash128 sum_of(const char *data, uint64_t bytes, uint64_t block)
{
    uint64_t at = block * WN_SUM_BLOCK, left = bytes - at;
    return wn_hash(data + at, (size_t)(left < WN_SUM_BLOCK ? left : WN_SUM_BLOCK), 0);
}

struct blocks {
    const wn_hash128 *expected;
    wn_hash128 *found;
    const char *data, *path;
    uint64_t bytes, first;
};

static void hash_block(void *ctx, size_t i, int thread)
{
    (void)thread;
    const struct blocks *b = ctx;
    b->found[i] = sum_of(b->data, b->bytes, b->first + i);
}

static wn_err check_block(void *ctx, size_t i, int thread)
{
    (void)thread;
    const struct blocks *b = ctx;
    wn_hash128 e = b->expected[i], f = sum_of(b->data, b->bytes, b->first + i);
    if (e.lo == f.lo && e.hi == f.hi)
        return WN_OK;
    return wn_fail(WN_EFORMAT,
                   "%s: block %" PRIu64 " (of 1 MiB): expected checksum %016" PRIx64 "%016" PRIx64
                   ", found %016" PRIx64 "%016" PRIx64,
                   b->path, b->first + i, e.hi, e.lo, f.hi, f.lo);
}

wn_err wn_sums_check(const wn_hash128 *sum, const char *data, uint64_t bytes, uint64_t first,
                     uint64_t n, const char *path)
{
    struct blocks b = {.expected = sum, .data = data, .path = path, .bytes = bytes, .first = first};
    return wn_par_for((size_t)n, check_block, &b);
}

/* ---- writing ---- */

/* A file's checksums; what has been hashed need not stay in memory. */
static wn_err sum_file(wn_out *out, const char *path, uint64_t head)
{
    wn_map m;
    wn_hash128 sum[BATCH];
    WN_TRY(wn_map_open(&m, path));
    WN_ASSERT(m.size >= head);
    wn_region all = {m.base, (size_t)m.size};
    struct blocks h = {.found = sum, .data = m.data + head, .bytes = m.size - head};
    uint64_t n = wn_sum_blocks(h.bytes);
    wn_err err = WN_OK;
    for (uint64_t b = 0; b < n && err == WN_OK; b += BATCH) {
        uint64_t left = n - b, most = left < BATCH ? left : BATCH, at = b * WN_SUM_BLOCK;
        h.first = b;
        wn_region_ahead(&all, head + at + most * WN_SUM_BLOCK, BATCH * WN_SUM_BLOCK);
        wn_par_do((size_t)most, hash_block, &h);
        wn_region_behind(&all, head + at, most * WN_SUM_BLOCK);
        err = wn_out_write(out, sum, (size_t)most * sizeof *sum);
        if (err == WN_OK)
            err = wn_progress("checksums", "MiB", b + most, n, NULL);
    }
    wn_map_close(&m);
    return err;
}

static wn_err sum_all(wn_out *out, const char *dir, const wn_store_shape *shape, uint64_t rows)
{
    uint64_t shards = wn_store_shards(shape, rows);
    wn_err err = WN_OK;
    for (uint64_t i = 0; i < WN_STORE_FILES + shards && err == WN_OK; i++) {
        char *path;
        bool is_rows = i >= WN_STORE_FILES;
        WN_TRY(is_rows ? wn_store_rows_path(&path, dir, i - WN_STORE_FILES)
                       : wn_path_join(&path, dir, wn_store_file[i]));
        err = sum_file(out, path, is_rows ? shape->head_bytes : 0);
        wn_free(path);
    }
    return err;
}

wn_err wn_sums_write(const char *dir, const wn_store_shape *shape, uint64_t rows)
{
    char *path, head[HEAD] = MAGIC;
    wn_out out;
    uint64_t block = WN_SUM_BLOCK;
    memcpy(head + 8, &block, sizeof block);
    WN_TRY(wn_path_join(&path, dir, WN_STORE_SUMS));
    wn_err err = wn_out_open(&out, path);
    wn_free(path);
    WN_TRY(err);
    err = wn_out_write(&out, head, sizeof head);
    if (err == WN_OK)
        err = sum_all(&out, dir, shape, rows);
    if (err == WN_OK)
        return wn_out_commit(&out);
    wn_out_abort(&out);
    return err;
}

/* ---- reading ---- */

wn_err wn_sums_open(wn_sums *s, const char *dir, uint64_t count)
{
    char *path, head[HEAD] = MAGIC;
    uint64_t block = WN_SUM_BLOCK;
    memcpy(head + 8, &block, sizeof block);
    *s = (wn_sums){0};
    WN_TRY(wn_path_join(&path, dir, WN_STORE_SUMS));
    wn_err err = wn_map_open(&s->map, path);
    wn_free(path);
    WN_TRY(err);
    if (s->map.size != HEAD + count * sizeof *s->sum)
        return wn_fail(WN_EFORMAT, "%s: expected %" PRIu64 " bytes, found %" PRIu64, s->map.path,
                       HEAD + count * (uint64_t)sizeof *s->sum, s->map.size);
    if (memcmp(s->map.data, head, HEAD) != 0)
        return wn_fail(WN_EFORMAT, "%s: expected checksums (\"%s\"), found something else",
                       s->map.path, MAGIC);
    s->sum = (const wn_hash128 *)(const void *)(s->map.data + HEAD);
    return WN_OK;
}

void wn_sums_close(wn_sums *s)
{
    wn_map_close(&s->map);
    s->sum = NULL;
}
