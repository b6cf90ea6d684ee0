/* The seconds of an exact search over .npy vectors, the best and the median of several, and the
 * answer as raw int64 for a caller that checks it (bench/search.py).
 *
 * bench_search ROWS.npy QUERIES.npy K METRIC REPEATS OUT.bin [CODES]
 *
 * CODES: a file of the rows' codes, made first if it is not there (its seconds are "codes_sec"), which
 * the searches then read as those of a store do. */
#include "base/mem.h"
#include "base/par.h"
#include "io/npy.h"
#include "kernel/code_scan.h"
#include "search/code_file.h"
#include "search/search.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define NO_SHA "0000000000000000000000000000000000000000000000000000000000000000"

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The file of codes at `path`, NULL: none; *sec: what making it took. */
static wn_err open_codes(wn_code_file **file, double *sec, const char *path,
                         const wn_coded_rows *of)
{
    const char *why;
    *file = NULL;
    *sec = 0;
    if (!path)
        return WN_OK;
    WN_TRY(wn_code_file_open(file, &why, path, of));
    if (*file)
        return WN_OK;
    double t = now();
    WN_TRY(wn_code_file_write(path, of));
    *sec = now() - t;
    return wn_code_file_open(file, &why, path, of);
}

static wn_err run(char **argv)
{
    wn_npy rows, query;
    wn_metric metric;
    wn_code_use use = {0};
    size_t k = (size_t)atol(argv[3]), repeats = (size_t)atol(argv[5]);
    double sec[64], codes_sec;
    WN_TRY(wn_npy_open(&rows, argv[1]));
    WN_TRY(wn_npy_open(&query, argv[2]));
    WN_TRY(wn_metric_parse(&metric, argv[4]));
    const wn_coded_rows of = {.sha = NO_SHA,
                              .rows = (const float *)(const void *)rows.data,
                              .N = rows.rows,
                              .D = rows.cols,
                              .cosine = metric == WN_METRIC_COSINE};
    WN_TRY(open_codes(&use.file, &codes_sec, argv[7], &of));
    int64_t *row = wn_malloc(query.rows * k * sizeof *row);
    double *score = wn_malloc(query.rows * k * sizeof *score);
    repeats = repeats < 1 ? 1 : repeats > 64 ? 64 : repeats;
    if (!row || !score)
        return WN_ENOMEM;
    size_t before = wn_mem_live();
    for (size_t i = 0; i < repeats; i++) {
        double t = now();
        const wn_asked ask = {
            (const float *)(const void *)query.data, query.rows, k, NULL, row, score};
        WN_TRY(wn_search_coded(&of, &use, &ask, 1, metric));
        sec[i] = now() - t;
    }
    double first = sec[0];
    qsort(sec, repeats, sizeof *sec, by_size);
    printf("{\"first\": %.4f, \"median\": %.4f, \"best\": %.4f, \"codes_sec\": %.4f, "
           "\"scan\": \"%s\", \"threads\": %d, \"memory_mb\": %.1f}\n",
           first, sec[repeats / 2], sec[0], codes_sec, wn_scan_name(), wn_par_threads(),
           (double)(wn_mem_peak() - before) / 1e6);
    WN_TRY(wn_file_write(argv[6], row, query.rows * k * sizeof *row));
    wn_free(row);
    wn_free(score);
    wn_code_file_close(use.file);
    wn_npy_close(&rows);
    wn_npy_close(&query);
    return WN_OK;
}

int main(int argc, char **argv)
{
    if (argc != 7 && argc != 8) {
        fprintf(stderr, "bench_search ROWS.npy QUERIES.npy K METRIC REPEATS OUT.bin [CODES]\n");
        return 2;
    }
    if (run(argv) != WN_OK) {
        fprintf(stderr, "bench_search: %s\n", wn_error_text());
        return 1;
    }
    return 0;
}
