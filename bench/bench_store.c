/* A store of made-up rows about 512 centres, as texts of tasks lie, to measure searches that no real
 * pool at hand is large enough for. Equal arguments give equal rows; other seeds, other rows about
 * the same centres: queries.
 *
 * bench_store OUT ROWS DIM SEED */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"
#include "store/store.h"

enum { CENTRES = 512, CHUNK = 1 << 15, PIECE = 256 };

struct rows {
    float *x;
    size_t D;
    uint64_t seed, first;
};

static float noise(uint32_t *x)
{
    *x = *x * 1664525U + 1013904223U;
    return (float)(int32_t)*x * 0x1p-31F;
}

static void fill(void *ctx, size_t piece, int thread)
{
    (void)thread;
    const struct rows *v = ctx;
    for (size_t r = piece * PIECE; r < (piece + 1) * PIECE; r++) {
        uint32_t own = (uint32_t)wn_rng_u64(v->seed, WN_STREAM_TEST, v->first + r) | 1;
        uint32_t centre = (own >> 8) % CENTRES * 2654435761U + 1;
        for (size_t d = 0; d < v->D; d++)
            v->x[r * v->D + d] = noise(&centre) + noise(&own) + noise(&own);
    }
}

static wn_err add(wn_store_writer *w, const struct rows *v, size_t r)
{
    char id[24];
    int n = snprintf(id, sizeof id, "%llu", (unsigned long long)(v->first + r));
    return wn_store_writer_add(w, &(wn_store_row){.vector = v->x + r * v->D,
                                                  .id = {id, (size_t)n},
                                                  .task = {"made up", 7},
                                                  .tokens = 1});
}

static wn_err make(wn_store_writer *w, struct rows *v, uint64_t rows)
{
    for (; v->first < rows; v->first += CHUNK) {
        size_t n = rows - v->first < CHUNK ? (size_t)(rows - v->first) : CHUNK;
        wn_par_do((n + PIECE - 1) / PIECE, fill, v);
        for (size_t r = 0; r < n; r++)
            WN_TRY(add(w, v, r));
    }
    return wn_store_writer_finish(w, NULL);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "bench_store OUT ROWS DIM SEED\n");
        return 2;
    }
    wn_store_writer *w;
    json_t *m = json_pack("{s:s}", "kind", "imported");
    uint64_t rows = strtoull(argv[2], NULL, 10), done;
    struct rows v = {.D = strtoull(argv[3], NULL, 10), .seed = strtoull(argv[4], NULL, 10)};
    v.x = wn_malloc((CHUNK + PIECE) * v.D * sizeof *v.x);
    wn_err e = v.x && m ? wn_store_writer_open(&w, argv[1], m, v.D, NULL, false, &done) : WN_ENOMEM;
    if (!e) {
        v.first = done;
        e = make(w, &v, rows);
    }
    if (e)
        fprintf(stderr, "bench_store: %s\n", wn_error_message());
    json_decref(m);
    wn_free(v.x);
    return e != WN_OK;
}
