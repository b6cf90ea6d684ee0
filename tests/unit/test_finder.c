/* Searches of a store: the codes that the first one keeps in passing, streams of stores that memory
 * cannot hold, and damage, which is found before an answer rests on it. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/par.h"
#include "base/rng.h"
#include "search/code_file.h"
#include "search/finder.h"
#include "test_folder.h"

enum { N = 9001, D = 65, Q = 7, K = 25, SHARD = 4096, HEAD = 4096 };

static float query[Q * D];

static void number(float *x, uint64_t stream, uint64_t row)
{
    for (size_t i = 0; i < D; i++)
        x[i] = 1 + (float)wn_rng_normal(9, stream, row * D + i);
}

/* The store "s", its rows in three files; queries. */
static void setup(void)
{
    wn_store_writer *w;
    uint64_t done;
    float x[D];
    char id[16];
    set_up();
    json_t *m = json_pack("{s:s}", "kind", "imported");
    ok(wn_store_writer_open(&w, at("s"), m, D, &(wn_store_layout){.shard_bytes = 1}, true, &done));
    for (uint64_t r = 0; r < N; r++) {
        number(x, 1, r);
        int n = snprintf(id, sizeof id, "%d", (int)r);
        ok(wn_store_writer_add(
            w, &(wn_store_row){.vector = x, .id = {id, (size_t)n}, .task = {"t", 1}}));
    }
    ok(wn_store_writer_finish(w, NULL));
    json_decref(m);
    for (uint64_t q = 0; q < Q; q++)
        number(query + q * D, 2, q);
}

TestSuite(finder, .init = setup, .fini = tear_down);

struct answer {
    int64_t row[Q * K];
    double score[Q * K];
};

static void same(const struct answer *a, const struct answer *b)
{
    cr_assert_arr_eq(a->row, b->row, sizeof a->row);
    cr_assert_arr_eq(a->score, b->score, sizeof a->score);
}

static wn_store *open_store(void)
{
    wn_store *s;
    ok(wn_store_open(&s, at("s")));
    return s;
}

/* Of plain rows in memory, with no store and no codes behind them. */
static void plain(struct answer *a, const uint64_t *skip, wn_metric m)
{
    static float rows[N * D];
    for (uint64_t r = 0; r < N; r++)
        number(rows + r * D, 1, r);
    ok(wn_search_among(a->row, a->score, rows, N, skip, query, Q, D, K, m));
}

static wn_err find(struct answer *a, const wn_store *s, wn_code_use *use, const uint64_t *skip,
                   bool large, wn_metric m)
{
    const wn_coded_rows of = {.sha = wn_store_sha(s),
                              .rows = wn_store_vector(s, 0),
                              .N = N,
                              .D = D,
                              .cosine = m == WN_METRIC_COSINE,
                              .store = s,
                              .large = large};
    return wn_search_coded(&of, use, &(wn_asked){query, Q, K, skip, a->row, a->score}, 1, m);
}

static char *bytes_of(size_t *n, const char *path)
{
    char *text;
    ok(wn_file_read(&text, n, path, 1 << 26));
    return text;
}

/* The first search makes the file that --prepare makes, byte for byte, whatever it may not find,
 * in one window or in several and for any number of threads; all answers are the plain ones. */
Test(finder, the_first_search_keeps_the_codes)
{
    uint64_t skip[N / 64 + 1] = {0};
    struct answer want, got;
    size_t n, size;
    for (uint64_t r = 0; r < N; r += 3)
        wn_bit_set(skip, r);
    for (int round = 0; round < 12; round++) {
        wn_metric m = (wn_metric)(round % 3);
        wn_store *s = open_store();
        wn_finder *f;
        const uint64_t *none = round % 2 ? skip : NULL;
        wn_par_set_threads(round < 6 ? 1 : 3);
        plain(&want, none, m);
        ok(wn_finder_open(&f, s, m, true));
        ok(wn_finder_prepare(f));
        wn_finder_close(f);
        const char *codes = at(m == WN_METRIC_COSINE ? "s.codes-cosine" : "s.codes-l2");
        char *prepared = bytes_of(&n, codes);
        wn_code_use use = {.keep = at("kept")};
        ok(find(&got, s, &use, none, round % 4 > 1, m));
        same(&want, &got);
        char *kept = bytes_of(&size, at("kept"));
        cr_assert_eq(n, size);
        cr_assert_eq(memcmp(kept, prepared, n), 0);
        cr_assert(use.file, "what was kept is used from now on");
        ok(find(&got, s, &use, none, round % 4 > 1, m));
        same(&want, &got);
        wn_code_file_close(use.file);
        wn_free(kept);
        wn_free(prepared);
        wn_store_close(s);
        cr_assert_eq(remove(codes), 0);
    }
    wn_par_set_threads(0);
}

/* Several askers in one pass, each with rows that are not for it and a k of its own, one of whom
 * has fewer rows left than that and one none: what each finds alone. */
Test(finder, several_askers_in_one_pass)
{
    enum { A = 4 };
    static const size_t k[A] = {5, K, 12, 3}, first[A] = {0, 3, 2, 6}, n[A] = {3, 4, 1, 1};
    static int64_t row[2][A][Q * K];
    static double score[2][A][Q * K];
    uint64_t *skip[A] = {NULL};
    wn_asked ask[A];
    for (size_t a = 1; a < A; a++) {
        skip[a] = wn_calloc(N / 64 + 1, sizeof **skip);
        for (uint64_t r = 0; r < N; r++)
            if (a == 1 ? r % 2 : a == 2 ? r != 4 && r != N - 1 : true)
                wn_bit_set(skip[a], r);
    }
    for (int m = 0; m < 3; m++)
        for (size_t from = 0; from < 2; from++) { /* with and without one who may have all rows */
            wn_store *s = open_store();
            wn_finder *f;
            ok(wn_finder_open(&f, s, (wn_metric)m, m == 1));
            for (size_t a = from; a < A; a++) {
                ask[a] =
                    (wn_asked){query + first[a] * D, n[a], k[a], skip[a], row[0][a], score[0][a]};
                ok(wn_finder_find(f, &ask[a], 1));
                ask[a].row = row[1][a];
                ask[a].score = score[1][a];
            }
            ok(wn_finder_find(f, ask + from, A - from));
            for (size_t a = from; a < A; a++)
                for (size_t i = 0; i < n[a] * k[a]; i++) {
                    cr_assert_eq(row[0][a][i], row[1][a][i]);
                    cr_assert_eq(memcmp(&score[0][a][i], &score[1][a][i], sizeof(double)), 0);
                }
            cr_assert_eq(row[1][2][0] + row[1][2][1], 4 + N - 1);
            cr_assert_eq(row[1][2][2], WN_NO_ROW);
            cr_assert_eq(row[1][3][0], WN_NO_ROW);
            wn_finder_close(f);
            wn_store_close(s);
        }
    for (size_t a = 1; a < A; a++)
        wn_free(skip[a]);
}

/* A file that cannot be written: an answer and a message, or where it must be kept an error. */
Test(finder, codes_that_cannot_be_kept)
{
    struct answer want, got;
    wn_store *s = open_store();
    wn_code_use use = {.keep = at("nosuch/kept")};
    plain(&want, NULL, WN_METRIC_L2);
    ok(find(&got, s, &use, NULL, false, WN_METRIC_L2));
    same(&want, &got);
    cr_assert(!use.file);
    use.must = true;
    cr_assert_eq(find(&got, s, &use, NULL, false, WN_METRIC_L2), WN_EIO);
    wn_store_close(s);
}

/* Changes one byte of a row. */
static void damage(uint64_t row)
{
    char path[32];
    snprintf(path, sizeof path, row < SHARD ? "s/rows.bin" : "s/rows.%d.bin", (int)(row / SHARD));
    FILE *f = fopen(at(path), "r+b");
    long place = HEAD + (long)(row % SHARD * D * sizeof(float)) + 2;
    fseek(f, place, SEEK_SET);
    int c = fgetc(f);
    fseek(f, place, SEEK_SET);
    fputc(c ^ 1, f);
    fclose(f);
}

static void refused(wn_err e, const char *what)
{
    cr_assert_eq(e, WN_EFORMAT);
    cr_assert(strstr(wn_error_text(), what), "%s", wn_error_text());
    cr_assert(strstr(wn_error_text(), ": expected checksum "), "%s", wn_error_text());
    cr_assert(strstr(wn_error_text(), ", found "), "%s", wn_error_text());
}

/* Where rows are read to be coded all of them are compared: any byte is found. */
Test(finder, damage_is_found_when_codes_are_made)
{
    struct answer a;
    static const uint64_t row[] = {0, 4095, 5000, N - 1};
    for (size_t i = 0; i < 4; i++)
        for (int kept = 0; kept < 2; kept++) {
            damage(row[i]);
            wn_store *s = open_store();
            wn_code_use use = {.keep = kept ? at("kept") : NULL};
            refused(find(&a, s, &use, NULL, false, WN_METRIC_L2),
                    row[i] < SHARD       ? "s/rows.bin: block "
                    : row[i] < 2 * SHARD ? "s/rows.1.bin: block "
                                         : "s/rows.2.bin: block ");
            cr_assert(!use.file && !wn_file_exists(at("kept")));
            wn_store_close(s);
            damage(row[i]);
        }
}

/* Where codes are kept only rows that are scored are read: those are compared, and one that is not
 * scored has no part in the answer. */
Test(finder, damage_is_found_when_rows_are_scored)
{
    struct answer want, got;
    wn_code_use use = {.keep = at("kept")};
    wn_store *s = open_store();
    ok(find(&want, s, &use, NULL, false, WN_METRIC_L2));
    wn_code_file *codes = use.file;
    wn_store_close(s);
    for (size_t i = 0; i < Q * K; i += 37) {
        uint64_t row = (uint64_t)want.row[i];
        damage(row);
        s = open_store();
        use = (wn_code_use){.file = codes};
        refused(find(&got, s, &use, NULL, i % 2, WN_METRIC_L2), row < SHARD ? "s/rows.bin: block "
                                                                : row < 2 * SHARD
                                                                    ? "s/rows.1.bin: block "
                                                                    : "s/rows.2.bin: block ");
        cr_assert(!use.damaged, "the codes are as they were");
        wn_store_close(s);
        damage(row);
    }
    uint64_t far = N;
    for (bool hit = true; hit;) {
        hit = false;
        far--;
        for (size_t i = 0; i < Q * K; i++)
            hit = hit || want.row[i] == (int64_t)far;
    }
    damage(far); /* scored in vain, or not at all */
    s = open_store();
    use = (wn_code_use){.file = codes};
    if (find(&got, s, &use, NULL, false, WN_METRIC_L2) == WN_OK)
        same(&want, &got);
    else
        cr_assert(strstr(wn_error_text(), "s/rows.2.bin: block "), "%s", wn_error_text());
    wn_store_close(s);
    wn_code_file_close(codes);
}

/* Rows that no checksum of a store stands for. */
Test(finder, rows_in_memory_that_are_not_what_was_coded)
{
    static float rows[N * D];
    struct answer a;
    for (uint64_t r = 0; r < N; r++)
        number(rows + r * D, 1, r);
    const wn_coded_rows of = {
        .sha = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        .rows = rows,
        .N = N,
        .D = D};
    wn_code_use use = {.keep = at("kept")};
    const wn_asked ask = {query, Q, K, NULL, a.row, a.score};
    ok(wn_search_coded(&of, &use, &ask, 1, WN_METRIC_L2));
    rows[(size_t)a.row[3] * D + 5] += 0.5f;
    wn_err e = wn_search_coded(&of, &use, &ask, 1, WN_METRIC_L2);
    refused(e, "row ");
    cr_assert(strstr(wn_error_text(), ", as when its codes were made"), "%s", wn_error_text());
    wn_code_file_close(use.file);
}

/* A part's answers are the plain ones of its rows, by their places in the store, with the whole
 * store's codes and without; and a part keeps none. */
Test(finder, a_part_of_the_rows)
{
    static const uint64_t part[][2] = {{0, N}, {0, 256}, {512, 3000}, {8960, N - 8960}};
    struct answer want, got;
    for (int round = 0; round < 16; round++) {
        uint64_t first = part[round % 4][0], n = part[round % 4][1], skip[N / 64 + 1] = {0};
        wn_metric m = round < 8 ? WN_METRIC_L2 : WN_METRIC_COSINE;
        const char *codes = at(m == WN_METRIC_COSINE ? "s.codes-cosine" : "s.codes-l2");
        wn_store *s = open_store();
        wn_finder *f;
        for (uint64_t r = 0; r < N; r++)
            if (r < first || r >= first + n)
                wn_bit_set(skip, r);
        plain(&want, skip, m);
        if (round % 8 == 4) {
            ok(wn_finder_open(&f, s, m, true));
            ok(wn_finder_prepare(f));
            wn_finder_close(f);
        }
        ok(wn_finder_open(&f, s, m, false));
        wn_finder_part(f, first, n);
        ok(wn_finder_find(f, &(wn_asked){query, Q, K, NULL, got.row, got.score}, 1));
        wn_finder_close(f);
        same(&want, &got);
        cr_assert_eq(wn_file_exists(codes), round % 8 >= 4);
        wn_store_close(s);
    }
}
