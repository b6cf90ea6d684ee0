#include "report/pace_data.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/report.h"
#include "base/rng.h"
#include "io/file.h"

enum { POOL_BYTES = 16 << 20, POOL_ROWS = 20000, DISK_BYTES = 256 << 20, DISK_PIECE = 1 << 20 };

/* ---- multiply-adds ---- */

typedef struct spins {
    wn_mat_kind kind;
    double work[64][8]; /* a thread's, a cache line each */
} spins;

static void spin(void *ctx, size_t i, int thread)
{
    (void)thread;
    spins *s = ctx;
    s->work[i][0] = wn_mat_spin(s->kind, 200000);
}

double wn_pace_peak(wn_mat_kind kind)
{
    int threads = wn_par_threads() < 64 ? wn_par_threads() : 64;
    double best = 0;
    for (int i = 0; i < 20; i++) {
        spins s = {.kind = kind};
        double start = wn_seconds(), work = 0;
        wn_par_do((size_t)threads, spin, &s);
        double sec = wn_seconds() - start;
        for (int t = 0; t < threads; t++)
            work += s.work[t][0];
        best = work / sec * 1e-9 > best ? work / sec * 1e-9 : best;
    }
    return best;
}

wn_err wn_pace_scratch(char **dir)
{
    const char *tmp = getenv("TMPDIR");
    wn_str path = {0};
    wn_str_printf(&path, "%s/winnow-plan-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    WN_TRY(wn_str_check(&path));
    if (!mkdtemp(path.p)) {
        wn_err e = wn_fail(WN_EIO, "%s: cannot make a folder for the measurement", path.p);
        wn_str_free(&path);
        return e;
    }
    *dir = path.p;
    return WN_OK;
}

/* ---- rows ---- */

/* A word, common ones often: letters from a number whose size falls like 1 / rank. */
static void put_word(wn_str *s, uint64_t *at)
{
    double u = wn_rng_uniform(11, WN_STREAM_TEST, (*at)++);
    uint64_t rank = (uint64_t)exp(u * log(30000.0));
    do {
        wn_str_putc(s, (char)('a' + rank % 26));
        rank /= 26;
    } while (rank);
    wn_str_puts(s, "e ");
}

/* The row's prompt has the template of its task in front, as prompted pools do. */
static wn_err put_row(wn_out *out, wn_str *line, uint64_t i, double bytes, uint64_t *at)
{
    wn_str_clear(line);
    wn_str_printf(line, "{\"id\":\"%llu\",\"task\":\"t%llu\",\"prompt\":\"", (unsigned long long)i,
                  (unsigned long long)(i % 40));
    wn_str_printf(line, "Read what task %llu says and answer: ", (unsigned long long)(i % 40));
    while ((double)line->len < bytes - 30)
        put_word(line, at);
    wn_str_puts(line, "\",\"target\":\"");
    put_word(line, at);
    put_word(line, at);
    wn_str_puts(line, "\"}\n");
    WN_TRY(wn_str_check(line));
    return wn_out_write(out, line->p, line->len);
}

static wn_err write_rows(const char *dir, const char *name, uint64_t rows, double bytes,
                         uint64_t first, uint64_t *written)
{
    char *path;
    wn_out out;
    wn_str line = {0};
    uint64_t at = first * 1000;
    WN_TRY(wn_path_join(&path, dir, name));
    wn_err e = wn_out_open(&out, path);
    wn_free(path);
    WN_TRY(e);
    for (uint64_t i = 0; i < rows && !e; i++)
        e = put_row(&out, &line, first + i, bytes, &at);
    *written = out.written;
    if (!e)
        e = wn_out_commit(&out);
    wn_out_abort(&out);
    wn_str_free(&line);
    return e;
}

static wn_err build(wn_pace_pool *p, const char *dedup)
{
    char *from = NULL, *to = NULL;
    wn_err e = wn_path_join(&from, p->dir, "rows.jsonl");
    if (!e)
        e = wn_path_join(&to, p->dir, "pool");
    double start = wn_seconds();
    if (!e) {
        const char *source = from;
        e = wn_pool_build_job(&(wn_pool_build_opts){
            .common = {.out = to}, .sources = &source, .n_sources = 1, .dedup = dedup});
    }
    p->build_sec = wn_seconds() - start;
    wn_free(from);
    wn_free(to);
    return e;
}

wn_err wn_pace_pool_open(wn_pace_pool *p, double row_bytes, const char *dedup)
{
    *p = (wn_pace_pool){0};
    double bytes = row_bytes > 100 ? row_bytes : 100;
    p->rows = (uint64_t)(POOL_BYTES / bytes);
    p->rows = p->rows > POOL_ROWS ? POOL_ROWS : p->rows < 64 ? 64 : p->rows;
    WN_TRY(wn_pace_scratch(&p->dir));
    wn_err e = write_rows(p->dir, "rows.jsonl", p->rows, bytes, 0, &p->bytes);
    if (!e)
        e = build(p, dedup);
    if (e)
        wn_pace_pool_close(p);
    return e;
}

void wn_pace_pool_close(wn_pace_pool *p)
{
    if (p->dir)
        wn_remove_tree(p->dir);
    wn_free(p->dir);
    *p = (wn_pace_pool){0};
}

wn_err wn_pace_select(double *row_sec, const wn_pace_pool *p, const char *strategy,
                      const char *dedup, bool veto, uint64_t target_rows)
{
    char *pool = NULL, *target = NULL, *out = NULL;
    uint64_t written, rows = target_rows < POOL_ROWS ? target_rows : POOL_ROWS;
    double bytes = (double)p->bytes / (double)p->rows;
    wn_err e = write_rows(p->dir, "target.jsonl", rows ? rows : 1, bytes, POOL_ROWS, &written);
    if (!e)
        e = wn_path_join(&pool, p->dir, "pool");
    if (!e)
        e = wn_path_join(&target, p->dir, "target.jsonl");
    if (!e)
        e = wn_path_join(&out, p->dir, "chosen.jsonl");
    double start = wn_seconds();
    if (!e) {
        const char *avoid = target;
        bool all = strcmp(strategy, "all") == 0;
        e = wn_select_job(&(wn_select_opts){.common = {.out = out, .overwrite = true},
                                            .strategy = strategy,
                                            .pool = pool,
                                            .queries = target,
                                            .budget = all ? 0 : p->rows / 10 + 1,
                                            .dedup = dedup,
                                            .avoid = &avoid,
                                            .n_avoid = veto,
                                            .allow_queries = !veto});
    }
    *row_sec = (wn_seconds() - start) / (double)p->rows;
    wn_free(pool);
    wn_free(target);
    wn_free(out);
    return e;
}

/* ---- disk ---- */

struct reading {
    const char *data;
    unsigned sum;
};

static void read_piece(void *ctx, size_t i, int thread)
{
    (void)thread;
    struct reading *r = ctx;
    unsigned sum = 0;
    for (size_t k = 0; k < DISK_PIECE; k += 512)
        sum += (unsigned char)r->data[i * DISK_PIECE + k];
    __atomic_fetch_add(&r->sum, sum, __ATOMIC_RELAXED);
}

static wn_err write_file(const char *path, char *piece)
{
    wn_append a;
    WN_TRY(wn_append_open(&a, path, 0));
    wn_err e = WN_OK;
    for (size_t i = 0; i < DISK_BYTES / DISK_PIECE && !e; i++) {
        memset(piece, (int)i, DISK_PIECE);
        e = wn_append_write(&a, piece, DISK_PIECE);
    }
    if (!e)
        e = wn_append_sync(&a);
    if (!e)
        posix_fadvise(a.fd, 0, 0, POSIX_FADV_DONTNEED);
    wn_append_close(&a);
    return e;
}

wn_err wn_pace_disk(double *rate)
{
    char *dir, *path = NULL, *piece = wn_malloc(DISK_PIECE);
    wn_map map = {0};
    *rate = 0;
    if (!piece)
        return WN_ENOMEM;
    wn_err e = wn_pace_scratch(&dir);
    if (e) {
        wn_free(piece);
        return e;
    }
    e = wn_path_join(&path, dir, "bytes");
    if (!e)
        e = write_file(path, piece);
    if (!e)
        e = wn_map_open(&map, path);
    if (!e) {
        struct reading r = {.data = map.data};
        double start = wn_seconds();
        wn_par_do(DISK_BYTES / DISK_PIECE, read_piece, &r);
        *rate = DISK_BYTES / (wn_seconds() - start);
    }
    wn_map_close(&map);
    wn_remove_tree(dir);
    wn_free(path);
    wn_free(dir);
    wn_free(piece);
    return e;
}
