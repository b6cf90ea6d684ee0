/* The vectors of an open store. Files of rows are mapped side by side, so the rows of all of them
 * are one array. Blocks are compared with their checksums when wn_store_read or wn_store_verify
 * first comes to them; two threads that come at once both compare, which does no harm. */
#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/report.h"
#include "store/reader.h"

enum {
    PIECE_BYTES = 1 << 20,   /* of numbers that a thread unpacks at once */
    STRETCH_BYTES = 64 << 20 /* of rows between two signs of progress, and read ahead */
};

static wn_err check_head(const wn_store *s, uint64_t shard, const char *path)
{
    wn_map m;
    WN_TRY(wn_map_open(&m, path));
    wn_err err = m.size < WN_STORE_HEAD
                     ? wn_fail(WN_EFORMAT, "%s: expected a head of %d bytes, found %" PRIu64, path,
                               WN_STORE_HEAD, m.size)
                     : wn_store_head_check(&s->shape, shard, s->rows, m.data, path);
    wn_map_close(&m);
    return err;
}

static wn_err map_shard(const wn_store *s, uint64_t shard)
{
    char *path;
    WN_TRY(wn_store_rows_path(&path, s->path, shard));
    uint64_t bytes = wn_store_shard_fill(&s->shape, shard, s->rows) * s->shape.row_bytes;
    wn_err err = s->old ? WN_OK : check_head(s, shard, path);
    if (err == WN_OK && s->old) /* its head is no whole page */
        err = wn_region_file(&s->packed, 0, path, 0, WN_STORE_HEAD_1 + bytes);
    else if (err == WN_OK)
        err = wn_region_file(&s->packed, shard * s->shape.shard_rows * s->shape.row_bytes, path,
                             WN_STORE_HEAD, bytes);
    wn_free(path);
    return err;
}

static uint64_t shard_blocks(const wn_store *s)
{
    return wn_sum_blocks(s->shape.shard_rows * s->shape.row_bytes);
}

wn_err wn_vectors_map(wn_store *s)
{
    uint64_t shards = wn_store_shards(&s->shape, s->rows);
    WN_TRY(wn_region_reserve(&s->packed, s->rows * s->shape.row_bytes + WN_STORE_HEAD_1));
    s->row0 = s->packed.data + (s->old ? WN_STORE_HEAD_1 : 0);
    for (uint64_t k = 0; k < shards; k++)
        WN_TRY(map_shard(s, k));
    if (s->shape.type == WN_STORE_F32)
        s->vectors = (const float *)(const void *)s->row0;
    return WN_OK;
}

void wn_vectors_close(wn_store *s)
{
    wn_region_free(&s->packed);
    wn_region_free(&s->floats);
    wn_free((void *)s->seen);
}

/* ---- checksums ---- */

struct verifying {
    const wn_store *s;
    uint64_t shard, first_block;
    const char *path;
};

static wn_err verify_block(void *ctx, size_t i, int thread)
{
    (void)thread;
    const struct verifying *v = ctx;
    const wn_store *s = v->s;
    uint64_t block = v->first_block + i, number = v->shard * shard_blocks(s) + block;
    _Atomic uint64_t *word = &s->seen[number / 64];
    uint64_t bit = (uint64_t)1 << (number % 64);
    if (atomic_load_explicit(word, memory_order_relaxed) & bit)
        return WN_OK;
    uint64_t row0 = v->shard * s->shape.shard_rows;
    const char *data = s->row0 + row0 * s->shape.row_bytes;
    uint64_t bytes = wn_store_shard_fill(&s->shape, v->shard, s->rows) * s->shape.row_bytes;
    WN_TRY(wn_sums_check(s->sums.sum + s->vector_sums + number, data, bytes, block, 1, v->path));
    atomic_fetch_or_explicit(word, bit, memory_order_relaxed);
    return WN_OK;
}

static bool all_seen(const wn_store *s, uint64_t number, uint64_t n)
{
    for (uint64_t i = number; i < number + n; i++)
        if (!(atomic_load_explicit(&s->seen[i / 64], memory_order_relaxed) >> (i % 64) & 1))
            return false;
    return true;
}

/* Rows [first, end) of one shard. */
static wn_err verify_shard(const wn_store *s, uint64_t shard, uint64_t first, uint64_t end)
{
    uint64_t from = (first - shard * s->shape.shard_rows) * s->shape.row_bytes / WN_SUM_BLOCK;
    uint64_t to = wn_sum_blocks((end - shard * s->shape.shard_rows) * s->shape.row_bytes);
    if (all_seen(s, shard * shard_blocks(s) + from, to - from))
        return WN_OK;
    char *path;
    WN_TRY(wn_store_rows_path(&path, s->path, shard));
    struct verifying v = {s, shard, from, path};
    wn_err err = wn_par_for((size_t)(to - from), verify_block, &v);
    wn_free(path);
    return err;
}

wn_err wn_store_verify(const wn_store *s, uint64_t first, uint64_t n)
{
    WN_ASSERT(first <= s->rows && n <= s->rows - first);
    for (uint64_t r = first; r < first + n && !s->old;) {
        uint64_t shard = r / s->shape.shard_rows, end = first + n;
        if (end > (shard + 1) * s->shape.shard_rows)
            end = (shard + 1) * s->shape.shard_rows;
        WN_TRY(verify_shard(s, shard, r, end));
        r = end;
    }
    return WN_OK;
}

/* Whether the blocks of all these rows have been compared; of one shard or of several. */
static bool rows_seen(const wn_store *s, uint64_t first, uint64_t n)
{
    for (uint64_t r = first, next; r < first + n; r = next) {
        uint64_t shard = r / s->shape.shard_rows, row0 = shard * s->shape.shard_rows;
        next = row0 + s->shape.shard_rows < first + n ? row0 + s->shape.shard_rows : first + n;
        uint64_t from = (r - row0) * s->shape.row_bytes / WN_SUM_BLOCK;
        uint64_t to = wn_sum_blocks((next - row0) * s->shape.row_bytes);
        if (!all_seen(s, shard * shard_blocks(s) + from, to - from))
            return false;
    }
    return true;
}

wn_err wn_store_verify_all(const wn_store *s)
{
    uint64_t bytes = s->shape.row_bytes, stretch = STRETCH_BYTES / bytes + 1;
    for (uint64_t r = 0, n; r < s->rows && !s->old; r += n) {
        n = s->rows - r < stretch ? s->rows - r : stretch;
        if (!rows_seen(s, r, n)) {
            wn_store_ahead(s, r + n, stretch);
            WN_TRY(wn_store_verify(s, r, n));
            wn_store_behind(s, r, n);
        }
        WN_TRY(
            wn_progress("check", "MB", (r + n) * bytes / 1000000, s->rows * bytes / 1000000, NULL));
    }
    return WN_OK;
}

/* ---- numbers ---- */

wn_err wn_store_read(float *out, const wn_store *s, uint64_t first, size_t n)
{
    WN_TRY(wn_store_verify(s, first, n));
    if (n)
        wn_store_unpack(out, s->shape.type, s->row0 + first * s->shape.row_bytes, s->shape.dim, n);
    return WN_OK;
}

struct unpacking {
    const wn_store *s;
    float *out;
    uint64_t first, end; /* rows of the present stretch */
    size_t piece_rows;
};

static wn_err unpack_piece(void *ctx, size_t i, int thread)
{
    (void)thread;
    const struct unpacking *u = ctx;
    uint64_t first = u->first + i * (uint64_t)u->piece_rows, left = u->end - first;
    size_t n = left < u->piece_rows ? (size_t)left : u->piece_rows;
    return wn_store_read(u->out + first * u->s->shape.dim, u->s, first, n);
}

static wn_err unpack_all(struct unpacking *u)
{
    const wn_store *s = u->s;
    uint64_t bytes = s->shape.row_bytes, stretch = STRETCH_BYTES / bytes + 1;
    for (u->first = 0; u->first < s->rows; u->first = u->end) {
        u->end = s->rows - u->first < stretch ? s->rows : u->first + stretch;
        uint64_t n = u->end - u->first;
        wn_store_ahead(s, u->end, stretch);
        WN_TRY(wn_par_for((size_t)((n + u->piece_rows - 1) / u->piece_rows), unpack_piece, u));
        wn_store_behind(s, u->first, n);
        WN_TRY(
            wn_progress("unpack", "MB", u->end * bytes / 1000000, s->rows * bytes / 1000000, NULL));
    }
    return WN_OK;
}

wn_err wn_vectors_unpack(wn_store *s)
{
    if (s->vectors)
        return WN_OK;
    uint64_t row = s->shape.dim * (uint64_t)sizeof(float);
    wn_region floats;
    WN_TRY(wn_region_scratch(&floats, s->rows * row + 1));
    struct unpacking u = {
        .s = s, .out = (float *)(void *)floats.data, .piece_rows = PIECE_BYTES / row + 1};
    wn_err err = unpack_all(&u);
    if (err != WN_OK) {
        wn_region_free(&floats);
        return err;
    }
    s->floats = floats;
    s->vectors = u.out;
    return WN_OK;
}

const float *wn_store_vector(const wn_store *s, uint64_t row)
{
    WN_ASSERT(row < s->rows && s->vectors);
    return s->vectors + row * s->shape.dim;
}

const char *wn_store_packed(const wn_store *s, uint64_t row)
{
    WN_ASSERT(row < s->rows);
    return s->row0 + row * s->shape.row_bytes;
}

/* What readers read: the unpacked rows where there are any. */
struct stretch {
    const wn_region *region;
    uint64_t at, row_bytes;
};

static struct stretch stretch_of(const wn_store *s, uint64_t row)
{
    uint64_t floats = s->shape.dim * (uint64_t)sizeof(float);
    if (s->floats.data)
        return (struct stretch){&s->floats, row * floats, floats};
    return (struct stretch){&s->packed,
                            (uint64_t)(s->row0 - s->packed.data) + row * s->shape.row_bytes,
                            s->shape.row_bytes};
}

void wn_store_ahead(const wn_store *s, uint64_t first, uint64_t n)
{
    struct stretch t = stretch_of(s, first);
    if (first < s->rows)
        wn_region_ahead(t.region, t.at, n * t.row_bytes);
}

void wn_store_behind(const wn_store *s, uint64_t first, uint64_t n)
{
    struct stretch t = stretch_of(s, first);
    if (first < s->rows)
        wn_region_behind(t.region, t.at, n * t.row_bytes);
}

void wn_store_scattered(const wn_store *s, bool yes)
{
    wn_region_scattered(stretch_of(s, 0).region, yes);
}
