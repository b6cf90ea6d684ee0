/* Codes in a file: read back as they were made, refused when they are not of these rows or not
 * whole, and never a reason for another answer. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"
#include "io/file.h"
#include "search/code_file.h"

enum { N = 2500, D = 70, Q = 9, K = 20 };
#define SHA "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static float rows[N * D], query[Q * D];
static char path[64];
static wn_coded_rows of;

static void setup(void)
{
    for (size_t i = 0; i < N * D; i++)
        rows[i] = 1 + (float)wn_rng_normal(5, 1, i);
    for (size_t i = 0; i < Q * D; i++)
        query[i] = 1 + (float)wn_rng_normal(5, 2, i);
    memset(rows + 7 * D, 0, D * sizeof *rows);
    snprintf(path, sizeof path, "/tmp/wn-codes-%d", (int)getpid());
    of = (wn_coded_rows){.sha = SHA, .rows = rows, .N = N, .D = D};
}

static void teardown(void)
{
    remove(path);
    cr_assert_eq(wn_mem_live(), 0);
}

TestSuite(code_file, .init = setup, .fini = teardown);

static wn_err find(int64_t *row, double *score, wn_code_file *f, bool *damaged, wn_metric m)
{
    wn_code_use use = {.file = f};
    wn_err err = wn_search_coded(&of, &use, &(wn_asked){query, Q, K, NULL, row, score}, 1, m);
    *damaged = use.damaged;
    return err;
}

Test(code_file, answers_are_the_same_with_and_without)
{
    int64_t row[2][Q * K];
    double score[2][Q * K];
    for (int m = 0; m < 3; m++) {
        wn_code_file *f;
        const char *why;
        bool damaged;
        of.cosine = m == WN_METRIC_COSINE;
        cr_assert_eq(wn_code_file_write(path, &of), WN_OK, "%s", wn_error_text());
        cr_assert_eq(wn_code_file_open(&f, &why, path, &of), WN_OK);
        cr_assert(f, "%s", why);
        cr_assert_eq(find(row[0], score[0], NULL, &damaged, (wn_metric)m), WN_OK);
        cr_assert_eq(find(row[1], score[1], f, &damaged, (wn_metric)m), WN_OK);
        cr_assert_arr_eq(row[0], row[1], sizeof row[0]);
        cr_assert_arr_eq(score[0], score[1], sizeof score[0]);
        wn_code_file_close(f);
    }
}

Test(code_file, same_bytes_for_every_thread_count)
{
    char *text[2];
    size_t len[2];
    for (int t = 0; t < 2; t++) {
        wn_par_set_threads(t ? 5 : 1);
        cr_assert_eq(wn_code_file_write(path, &of), WN_OK);
        cr_assert_eq(wn_file_read(&text[t], &len[t], path, 1 << 24), WN_OK);
    }
    cr_assert_eq(len[0], len[1]);
    cr_assert_eq(memcmp(text[0], text[1], len[0]), 0);
    wn_free(text[0]);
    wn_free(text[1]);
}

/* Why the file is as good as none; "": it is taken. */
static const char *verdict(const wn_coded_rows *r)
{
    wn_code_file *f;
    const char *why;
    cr_assert_eq(wn_code_file_open(&f, &why, path, r), WN_OK);
    cr_assert(!f || !why);
    wn_code_file_close(f);
    return why ? why : "";
}

Test(code_file, other_rows_and_cut_files_are_refused)
{
    cr_assert_str_eq(verdict(&of), "");
    cr_assert_eq(wn_code_file_write(path, &of), WN_OK);
    struct stat s;
    stat(path, &s);
    cr_assert_str_eq(verdict(&of), "");
    wn_coded_rows other = of;
    other.cosine = true;
    cr_assert_str_eq(verdict(&other), "it belongs to other rows");
    other = of;
    other.N--;
    cr_assert_str_eq(verdict(&other), "it belongs to other rows");
    other = of;
    other.sha = "f" SHA;
    cr_assert_str_eq(verdict(&other), "it belongs to other rows");
    static const long cut[] = {1, 100, 200000};
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(truncate(path, s.st_size - cut[i]), 0);
        cr_assert_str_eq(verdict(&of), "it is cut");
    }
    cr_assert_eq(truncate(path, 0), 0);
    cr_assert_str_eq(verdict(&of), "it is cut");
}

static void flip(long at)
{
    FILE *f = fopen(path, "r+b");
    fseek(f, at, at < 0 ? SEEK_END : SEEK_SET);
    int c = fgetc(f);
    fseek(f, -1, SEEK_CUR);
    fputc(c ^ 1, f);
    fclose(f);
}

/* Of the head: magic, d, the centre, padding; of the end: the hash of hashes, a piece's hash. */
Test(code_file, a_changed_bit_is_noticed)
{
    static const long at[] = {3, 12, 4100, 8191, -8, -10};
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        cr_assert_eq(wn_code_file_write(path, &of), WN_OK);
        flip(at[i]);
        cr_assert(*verdict(&of), "bit at %ld", at[i]);
    }
    /* of a piece's codes, and of the last row's facts */
    static const long in[] = {8192, -8 * ((N + WN_CODE_ROWS - 1) / WN_CODE_ROWS + 1) - 20};
    for (size_t i = 0; i < 2; i++) {
        wn_code_file *f;
        const char *why;
        bool damaged;
        int64_t row[Q * K];
        double score[Q * K];
        cr_assert_eq(wn_code_file_write(path, &of), WN_OK);
        flip(in[i]);
        cr_assert_eq(wn_code_file_open(&f, &why, path, &of), WN_OK);
        cr_assert(f);
        cr_assert_eq(find(row, score, f, &damaged, WN_METRIC_L2), WN_EFORMAT);
        cr_assert(damaged);
        wn_code_file_close(f);
    }
}

Test(code_file, rows_that_are_not_finite_and_full_memory_leave_nothing)
{
    rows[2222 * D + 3] = NAN;
    cr_assert_eq(wn_code_file_write(path, &of), WN_EFORMAT);
    cr_assert(strstr(wn_error_text(), "row 2222 "), "%s", wn_error_text());
    cr_assert(!wn_file_exists(path));
    rows[2222 * D + 3] = 0;
    wn_err err = WN_ENOMEM;
    for (int n = 0; err != WN_OK; n++) {
        cr_assert(n < 60);
        wn_mem_fail_after(n);
        err = wn_code_file_write(path, &of);
        wn_mem_fail_after(-1);
        cr_assert(err == WN_OK || err == WN_ENOMEM);
        if (err && wn_file_exists(path)) { /* it was whole before its folder was synced */
            cr_assert_str_eq(verdict(&of), "");
            remove(path);
        }
        cr_assert_eq(wn_mem_live(), 0);
    }
    err = WN_ENOMEM;
    for (int n = 0; err != WN_OK; n++) {
        wn_code_file *f = NULL;
        const char *why;
        wn_mem_fail_after(n);
        err = wn_code_file_open(&f, &why, path, &of);
        wn_mem_fail_after(-1);
        wn_code_file_close(f);
        cr_assert_eq(wn_mem_live(), 0);
        if (why) /* the map could not be made */
            err = WN_ENOMEM;
        cr_assert(n < 20);
    }
}
