/* What a search of a store costs here: a store of made-up rows is searched, the first quarter of
 * its rows and all of them, each as a first search does and as a later one. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/report.h"
#include "base/rng.h"
#include "io/file.h"
#include "report/pace_data.h"
#include "search/code_file.h"

enum {
    SCAN_FLOATS = 48 << 20,
    SCAN_ROWS = 400000,
    CENTRES = 512,
    VECTORS = 1024, /* made together */
    TURNS = 2
};

struct vectors {
    float *x;
    size_t D;
    uint64_t seed, first; /* first: of the rows in x */
};

static float noise(uint32_t *x)
{
    *x = *x * 1664525u + 1013904223u;
    return (float)(int32_t)*x * 0x1p-31f;
}

/* Rows about some hundred centres, as texts of tasks lie. */
static void fill(void *ctx, size_t i, int thread)
{
    (void)thread;
    struct vectors *v = ctx;
    uint32_t own = (uint32_t)wn_rng_u64(v->seed, WN_STREAM_TEST, v->first + i) | 1;
    uint32_t centre = (own >> 8) % CENTRES * 2654435761u + 1;
    for (size_t d = 0; d < v->D; d++)
        v->x[i * v->D + d] = noise(&centre) + noise(&own) + noise(&own);
}

static wn_err write_rows(wn_store_writer *w, struct vectors *v, uint64_t N)
{
    for (; v->first < N; v->first += VECTORS) {
        wn_par_do(VECTORS, fill, v);
        for (size_t i = 0; i < VECTORS && v->first + i < N; i++) {
            char id[24];
            int n = snprintf(id, sizeof id, "%llu", (unsigned long long)(v->first + i));
            WN_TRY(wn_store_writer_add(w, &(wn_store_row){.vector = v->x + i * v->D,
                                                          .id = {id, (size_t)n},
                                                          .task = {"made up", 7},
                                                          .tokens = 1}));
        }
    }
    return WN_OK;
}

wn_err wn_pace_store(const char *path, uint64_t rows, size_t D, uint64_t seed)
{
    wn_store_writer *w;
    struct vectors v = {.D = D, .seed = seed};
    json_t *m = json_pack("{s:s}", "kind", "imported");
    v.x = wn_malloc(VECTORS * D * sizeof *v.x);
    wn_err e = m && v.x ? wn_store_writer_open(&w, path, m, D, NULL, false, &v.first) : WN_ENOMEM;
    if (!e) {
        e = write_rows(w, &v, rows);
        if (!e)
            e = wn_store_writer_finish(w, NULL);
        else
            wn_store_writer_close(w);
    }
    wn_free(v.x);
    json_decref(m);
    return e;
}

/* Seconds of a first search of N rows and of one that finds its codes, the least so far. */
static wn_err search_twice(double *first, double *again, const char *path, const char *codes,
                           uint64_t N, const wn_asked *ask, wn_metric metric)
{
    wn_store *s;
    wn_code_use use = {.keep = codes};
    WN_TRY(wn_remove_tree(codes));
    double start = wn_seconds();
    WN_TRY(wn_store_open(&s, path));
    double opened = wn_seconds() - start;
    const wn_coded_rows of = {.sha = wn_store_sha(s),
                              .rows = wn_store_vector(s, 0),
                              .N = N,
                              .D = wn_store_dim(s),
                              .cosine = metric == WN_METRIC_COSINE,
                              .store = s};
    wn_err e = WN_OK;
    for (int turn = 0; turn < 2 && !e; turn++) {
        double *least = turn ? again : first;
        start = wn_seconds();
        e = wn_search_coded(&of, &use, ask, 1, metric);
        double took = wn_seconds() - start + opened;
        *least = *least > 0 && *least < took ? *least : took;
    }
    wn_code_file_close(use.file);
    wn_store_close(s);
    return e;
}

static double positive(double a, double b)
{
    return a > 0 ? a : b;
}

static wn_err measure(wn_pace_scan *s, const char *dir, uint64_t N, size_t D, const wn_asked *ask,
                      wn_metric metric)
{
    char *store = NULL, *codes = NULL;
    double first[2] = {0}, again[2] = {0}, whole = (double)N, part = (double)(N / 4);
    wn_err e = wn_path_join(&store, dir, "vectors");
    if (!e)
        e = wn_path_join(&codes, dir, "codes");
    if (!e)
        e = wn_pace_store(store, N, D, 1);
    for (int i = 0; i < 2 * TURNS && !e; i++)
        e = search_twice(&first[i % 2], &again[i % 2], store, codes, i % 2 ? N : N / 4, ask,
                         metric);
    s->row_sec = positive((first[1] - first[0]) / (whole - part), first[1] / whole);
    s->again_sec = positive((again[1] - again[0]) / (whole - part), again[1] / whole);
    s->fixed_sec = positive(again[1] - s->again_sec * whole, 0);
    wn_free(store);
    wn_free(codes);
    return e;
}

wn_err wn_pace_search(wn_pace_scan *s, uint64_t rows, size_t D, size_t Q, size_t k,
                      wn_metric metric)
{
    size_t most = SCAN_FLOATS / D, N = most < SCAN_ROWS ? most : SCAN_ROWS;
    struct vectors asked = {.D = D, .seed = 2};
    char *dir = NULL;
    N = rows < N ? (size_t)rows : N;
    N = N < VECTORS ? VECTORS : N;
    asked.x = wn_malloc(Q * D * sizeof *asked.x);
    int64_t *row = wn_malloc(Q * k * sizeof *row);
    double *score = wn_malloc(Q * k * sizeof *score);
    wn_err e = asked.x && row && score ? wn_pace_scratch(&dir) : WN_ENOMEM;
    if (!e) {
        const wn_asked ask = {asked.x, Q, k, NULL, row, score};
        wn_par_do(Q, fill, &asked);
        e = measure(s, dir, N, D, &ask, metric);
        wn_remove_tree(dir);
    }
    wn_free(dir);
    wn_free(asked.x);
    wn_free(row);
    wn_free(score);
    return e;
}
