/* Building, opening, showing and checking pools: sources of every kind, refusals, damage, and the
 * same bytes whatever the number of threads. */
#include "unit/test_pool_files.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <zlib.h>
#include <zstd.h>

TestSuite(pool, .init = scratch_open, .fini = scratch_close);

static const char three[] = "{\"id\":\"a\",\"task\":\"x\",\"prompt\":\"one\",\"target\":\"1\"}\n"
                            "\n"
                            "{\"id\":2,\"prompt\":\"two\",\"target\":\"2\",\"extra\":[1, 2.0]}\r\n"
                            "{\"prompt\":\"three\",\"target\":\"3\",\"task\":\"x\"}";

static void expect_three(const wn_pool *p, const char *third_id)
{
    cr_assert_eq(wn_pool_rows(p), 3);
    cr_assert_eq(wn_pool_tasks(p), 2);
    cr_expect_str_eq(wn_pool_task_name(p, 0), "x");
    cr_expect_str_eq(wn_pool_task_name(p, 1), "three");
    wn_row r = {0};
    cr_assert_eq(wn_pool_row(p, 1, &r), WN_OK);
    expect_span(r.id, "2");
    expect_span(r.prompt, "two");
    cr_expect_eq(r.task_number, 1);
    expect_span(wn_pool_raw(p, 1), "{\"id\": 2, \"task\": \"three\", \"prompt\": \"two\", "
                                   "\"target\": \"2\", \"extra\": [1, 2.0]}");
    cr_assert_eq(wn_pool_row(p, 2, &r), WN_OK);
    expect_span(r.id, third_id);
    cr_expect_eq(r.index, 2);
    cr_expect_eq(wn_pool_task_of(p, 2), 0);
    wn_row_free(&r);
}

Test(pool, built_and_unbuilt_are_the_same_rows)
{
    put("three.jsonl", three);
    must_build(in("P"), in("three.jsonl"), NULL, NULL);
    wn_pool *built, *plain;
    cr_assert_eq(wn_pool_open(&built, in("P"), NULL, false), WN_OK, "%s", wn_error_message());
    cr_assert_eq(wn_pool_open(&plain, in("three.jsonl"), NULL, true), WN_OK);
    expect_three(built, "three.jsonl:4");
    expect_three(plain, "three.jsonl:4");
    char a[WN_SHA_HEX], b[WN_SHA_HEX];
    cr_assert_eq(wn_pool_sha(built, a), WN_OK);
    cr_assert_eq(wn_pool_sha(plain, b), WN_OK);
    cr_expect_str_eq(a, b);
    cr_expect_eq(wn_pool_find(built, "2", 1), 1);
    cr_expect_eq(wn_pool_find(built, "three.jsonl:4", 13), 2);
    cr_expect_eq(wn_pool_find(built, "nobody", 6), UINT64_MAX);
    cr_expect_eq(wn_pool_text_hash(built, 0), wn_pool_text_hash(plain, 0));
    wn_pool_close(built);
    wn_pool_close(plain);
    wn_pool_close(NULL);
}

static void put_gz(const char *path, const char *text, size_t cut)
{
    gzFile f = gzopen(path, "wb");
    gzwrite(f, text, (unsigned)strlen(text));
    gzclose(f);
    struct stat st;
    stat(path, &st);
    cr_assert_eq(truncate(path, st.st_size - (off_t)cut), 0);
}

Test(pool, gzip_and_zstd_are_read_alike)
{
    put_gz(in("three.jsonl.gz"), three, 0);
    char packed[512];
    size_t n = ZSTD_compress(packed, sizeof packed, three, strlen(three), 3);
    wn_file_write(in("three.jsonl.zst"), packed, n);
    wn_pool *p;
    cr_assert_eq(wn_pool_open(&p, in("three.jsonl.gz"), NULL, true), WN_OK);
    expect_three(p, "three.jsonl.gz:4");
    wn_pool_close(p);
    cr_assert_eq(wn_pool_open(&p, in("three.jsonl.zst"), NULL, true), WN_OK);
    expect_three(p, "three.jsonl.zst:4");
    wn_pool_close(p);
}

Test(pool, a_truncated_gzip_is_an_error_and_leaves_nothing)
{
    put_gz(in("t.jsonl.gz"), three, 9);
    expect_error(build(in("P"), in("t.jsonl.gz"), NULL, NULL), "t.jsonl.gz");
    cr_expect_not(wn_file_exists(in("P")));
    cr_expect_not(wn_file_exists(in("P.partial")));
}

Test(pool, a_folder_is_its_row_files_in_the_order_of_their_names)
{
    wn_mkdirs(in("d"));
    put("d/b.jsonl", "{\"prompt\":\"b\",\"target\":\"1\"}\n");
    put("d/a.ndjson", "{\"prompt\":\"a\",\"target\":\"1\"}\n");
    put("d/README.md", "no rows here\n");
    put("d/.hidden.jsonl", "neither here\n");
    wn_mkdirs(in("d/sub.jsonl"));
    put_gz(in("d/c.jsonl.gz"), "{\"prompt\":\"c\",\"target\":\"1\"}", 0);
    wn_pool *p;
    cr_assert_eq(wn_pool_open(&p, in("d"), NULL, true), WN_OK, "%s", wn_error_message());
    cr_assert_eq(wn_pool_rows(p), 3);
    cr_expect_str_eq(wn_pool_task_name(p, 0), "a");
    cr_expect_str_eq(wn_pool_task_name(p, 1), "b");
    cr_expect_str_eq(wn_pool_task_name(p, 2), "c");
    wn_pool_close(p);
    wn_mkdirs(in("empty"));
    expect_error(wn_pool_open(&p, in("empty"), NULL, true), "empty: expected .jsonl");
    cr_expect_null(p);
}

Test(pool, files_of_one_name_keep_their_ids_apart)
{
    wn_mkdirs(in("d"));
    wn_mkdirs(in("e"));
    const char *sources[] = {put("d/r.jsonl", "{\"prompt\":\"b\",\"target\":\"1\"}\n"),
                             put("e/r.jsonl", "{\"prompt\":\"c\",\"target\":\"1\"}\n")};
    wn_pool_build_opts o = {.common.out = in("P"), .sources = sources, .n_sources = 2};
    cr_assert_eq(wn_pool_build_job(&o), WN_OK, "%s", wn_error_message());
    json_t *j = info_of(in("P"), NULL);
    cr_expect_eq(number_of(j, "rows"), 2);
    json_decref(j);
}

Test(pool, standard_input_is_a_source)
{
    put("three.jsonl", three);
    int fd = open(in("three.jsonl"), O_RDONLY);
    cr_assert_eq(dup2(fd, 0), 0);
    must_build(in("P"), "-", NULL, NULL);
    char *row;
    cr_assert_eq(wn_pool_show_job(in("P"), NULL, "stdin:4", &row), WN_OK, "%s", wn_error_message());
    cr_expect(strstr(row, "\"three\""));
    wn_free(row);
    close(fd);
}

Test(pool, a_pool_is_a_source)
{
    put("three.jsonl", three);
    must_build(in("P"), in("three.jsonl"), NULL, NULL);
    must_build(in("Q"), in("P"), NULL, NULL);
    size_t n, m;
    char *a = slurp(in("P/rows.jsonl"), &n), *b = slurp(in("Q/rows.jsonl"), &m);
    cr_expect(n == m && memcmp(a, b, n) == 0);
    wn_free(a);
    wn_free(b);
}

Test(pool, bad_lines_are_counted_with_reason_and_place)
{
    put("r.jsonl", "{\"id\":\"a\",\"prompt\":\"p\",\"target\":\"t\"}\n"
                   "{\"id\":\"b\"\n"
                   "{\"id\":\"c\",\"target\":\"t\"}\n"
                   "{\"id\":\"d\",\"prompt\":\"p2\"}\n"
                   "{\"id\":\"a\",\"prompt\":\"p3\",\"target\":\"t\"}\n"
                   "{\"id\":\"\xff\",\"prompt\":\"p3\",\"target\":\"t\"}\n"
                   "{\"id\":\"e\",\"target\":\"t\"}\n");
    must_build(in("P"), in("r.jsonl"), NULL, NULL);
    json_t *j = info_of(in("P"), NULL), *bad = json_object_get(j, "rejected");
    json_t *reasons = json_object_get(bad, "reasons");
    cr_expect_eq(number_of(j, "rows"), 1);
    cr_expect_eq(number_of(bad, "lines"), 6);
    cr_expect_eq(number_of(json_object_get(reasons, "no prompt"), "lines"), 2);
    cr_expect_eq(number_of(json_object_get(reasons, "no target"), "lines"), 1);
    cr_expect_eq(number_of(json_object_get(reasons, "malformed JSON"), "lines"), 1);
    cr_expect_eq(number_of(json_object_get(reasons, "invalid UTF-8"), "lines"), 1);
    json_t *same = json_object_get(reasons, "duplicate id");
    cr_expect_eq(number_of(same, "lines"), 1);
    const char *place = json_string_value(json_array_get(json_object_get(same, "places"), 0));
    cr_assert(place);
    cr_expect(strstr(place, "r.jsonl:5: row \"a\": duplicate id"), "%s", place);
    cr_expect(json_is_null(json_object_get(j, "tokens")));
    json_decref(j);
}

Test(pool, twenty_places_are_kept)
{
    wn_str s = {0};
    wn_str_puts(&s, "{\"prompt\":\"p\",\"target\":\"t\"}\n");
    for (int i = 0; i < 50; i++)
        wn_str_puts(&s, "[]\n");
    put("r.jsonl", s.p);
    wn_str_free(&s);
    must_build(in("P"), in("r.jsonl"), NULL, NULL);
    json_t *j = info_of(in("P"), NULL);
    json_t *r = json_object_get(json_object_get(json_object_get(j, "rejected"), "reasons"),
                                "not an object");
    cr_expect_eq(number_of(r, "lines"), 50);
    cr_expect_eq(json_array_size(json_object_get(r, "places")), 20);
    json_decref(j);
}

Test(pool, strict_opening_stops_at_the_first_bad_line)
{
    wn_pool *p;
    put("r.jsonl", "{\"id\":\"a\",\"prompt\":\"p\"}\n"
                   "{\"id\":\"b\",\"prompt\":\"p\",\"target\":\"x\",\"choices\":[\"y\"]}\n");
    expect_error(wn_pool_open(&p, in("r.jsonl"), NULL, true),
                 "r.jsonl:2: row \"b\": target is not among the choices");
    cr_assert_eq(wn_pool_open(&p, in("r.jsonl"), NULL, false), WN_OK);
    cr_expect_eq(wn_pool_rows(p), 1);
    cr_expect_eq(wn_pool_rejected(p), 1);
    wn_pool_close(p);
}

Test(pool, an_empty_source_is_named)
{
    wn_pool *p;
    put("none.jsonl", "\n \n");
    expect_error(wn_pool_open(&p, in("none.jsonl"), NULL, true),
                 "none.jsonl: expected at least one row");
    expect_error(build(in("P"), in("none.jsonl"), NULL, NULL),
                 "none.jsonl: expected at least one row");
    put("bad.jsonl", "{\"prompt\":\"p\"}\n");
    expect_error(build(in("P"), in("bad.jsonl"), NULL, NULL), "found 1 bad lines");
    expect_error(build(in("P"), in("missing.jsonl"), NULL, NULL), "missing.jsonl");
    cr_expect_not(wn_file_exists(in("P")));
    cr_expect_not(wn_file_exists(in("P.partial")));
}

Test(pool, a_finished_pool_is_replaced_only_on_demand)
{
    put("three.jsonl", three);
    put("one.jsonl", "{\"prompt\":\"p\",\"target\":\"t\"}\n");
    must_build(in("P"), in("three.jsonl"), NULL, NULL);
    expect_error(build(in("P"), in("one.jsonl"), NULL, NULL), "--overwrite");
    char source_path[128], out[128];
    strcpy(source_path, in("missing.jsonl"));
    strcpy(out, in("P"));
    const char *source = source_path;
    wn_pool_build_opts o = {
        .common = {.out = out, .overwrite = true}, .sources = &source, .n_sources = 1};
    expect_error(wn_pool_build_job(&o), "missing.jsonl");
    json_t *j = info_of(in("P"), NULL);
    cr_expect_eq(number_of(j, "rows"), 3, "a failed build must leave the old pool");
    json_decref(j);
    strcpy(source_path, in("one.jsonl"));
    cr_assert_eq(wn_pool_build_job(&o), WN_OK, "%s", wn_error_message());
    j = info_of(in("P"), NULL);
    cr_expect_eq(number_of(j, "rows"), 1);
    json_decref(j);
    cr_expect_not(wn_file_exists(in("P.old")));
    wn_mkdirs(in("other"));
    put("other/letter.txt", "dear");
    strcpy(out, in("other"));
    expect_error(wn_pool_build_job(&o), "other: expected a finished pool or an empty folder");
    cr_expect(wn_file_exists(in("other/letter.txt")));
}

static void flip(const char *path, long at)
{
    FILE *f = fopen(path, "r+b");
    fseek(f, at, at < 0 ? SEEK_END : SEEK_SET);
    long pos = ftell(f);
    int c = fgetc(f);
    fseek(f, pos, SEEK_SET);
    fputc(c ^ 1, f);
    fclose(f);
}

Test(pool, check_finds_a_flipped_byte)
{
    static const struct {
        const char *file, *message;
        long at;
    } damage[] = {{"P/rows.jsonl", "rows.jsonl:1: ", 32}, /* in a prompt */
                  {"P/rows.jsonl", "rows.jsonl: ", -1},   /* the newline at the end */
                  {"P/rows.idx", "rows.jsonl:3: ", -3},   /* in a hash */
                  {"P/rows.idx", "rows.idx: ", 50}};      /* in the header's zeros */
    put("three.jsonl", three);
    char *json;
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        wn_remove_tree(in("P"));
        must_build(in("P"), in("three.jsonl"), NULL, NULL);
        cr_assert_eq(wn_pool_check_job(in("P"), &json), WN_OK, "%s", wn_error_message());
        wn_free(json);
        flip(in(damage[i].file), damage[i].at);
        expect_error(wn_pool_check_job(in("P"), &json), damage[i].message);
    }
    expect_error(wn_pool_check_job(in("three.jsonl"), &json), "expected a built pool");
}

Test(pool, damage_never_crashes_the_opening)
{
    put("three.jsonl", three);
    must_build(in("P"), in("three.jsonl"), NULL, NULL);
    size_t n;
    char *index = slurp(in("P/rows.idx"), &n);
    for (size_t at = 0; at < n; at++) {
        char old = index[at];
        index[at] = (char)~old;
        wn_file_write(in("P/rows.idx"), index, n);
        index[at] = old;
        wn_pool *p;
        wn_row r = {0};
        if (wn_pool_open(&p, in("P"), NULL, true) == WN_OK)
            for (uint64_t i = 0; i < wn_pool_rows(p); i++)
                wn_pool_row(p, i, &r);
        wn_row_free(&r);
        wn_pool_close(p);
    }
    for (size_t keep = 0; keep < n; keep += 7) {
        wn_pool *p;
        wn_file_write(in("P/rows.idx"), index, keep);
        cr_expect_neq(wn_pool_open(&p, in("P"), NULL, true), WN_OK, "%zu bytes", keep);
    }
    wn_file_write(in("P/rows.idx"), index, n);
    wn_free(index);
    cr_assert_eq(truncate(in("P/rows.jsonl"), 20), 0);
    wn_pool *p;
    expect_error(wn_pool_open(&p, in("P"), NULL, true), "changed since");
}

Test(pool, a_changed_row_file_has_no_sha)
{
    put("three.jsonl", three);
    must_build(in("P"), in("three.jsonl"), NULL, NULL);
    flip(in("P/rows.jsonl"), 32);
    wn_pool *p;
    cr_assert_eq(wn_pool_open(&p, in("P"), NULL, true), WN_OK);
    char sha[WN_SHA_HEX];
    expect_error(wn_pool_sha(p, sha), "changed since");
    wn_pool_close(p);
}

Test(pool, show_tells_when_there_is_no_such_row)
{
    put("three.jsonl", three);
    char *json;
    cr_expect_eq(wn_pool_show_job(in("three.jsonl"), NULL, "zzz", &json), WN_EARG);
    cr_expect(strstr(wn_error_message(), "zzz"));
    cr_assert_eq(wn_pool_show_job(in("three.jsonl"), NULL, "a", &json), WN_OK);
    cr_expect_str_eq(json, "{\"id\":\"a\",\"task\":\"x\",\"prompt\":\"one\",\"target\":\"1\"}");
    wn_free(json);
}

/* Many rows in many blocks, some bad, some double. */
static void put_many(const char *name)
{
    wn_str s = {0};
    for (int i = 0; i < 20000; i++) {
        if (i % 97 == 5)
            wn_str_puts(&s, "{\"id\": }\n");
        else
            wn_str_printf(
                &s, "{\"prompt\":\"what is %d plus %d?\",\"target\":\"%d\",\"task\":\"t%d\"}\n",
                i % 15000, i % 5, i % 15000 + i % 5, i % 13);
    }
    put(name, s.p);
    wn_str_free(&s);
}

Test(pool, bytes_do_not_depend_on_threads)
{
    put_many("m.jsonl");
    static const char *const files[] = {"rows.jsonl", "rows.idx", "pool.json"};
    for (int t = 1; t <= 4; t += 3) {
        wn_par_set_threads(t);
        must_build(in(t == 1 ? "P1" : "P4"), in("m.jsonl"), NULL, "near");
    }
    for (int i = 0; i < 3; i++) {
        char name[32];
        size_t n, m;
        snprintf(name, sizeof name, "P1/%s", files[i]);
        char *a = slurp(in(name), &n);
        name[1] = '4';
        char *b = slurp(in(name), &m);
        cr_expect(n == m && memcmp(a, b, n) == 0, "%s differs", files[i]);
        wn_free(a);
        wn_free(b);
    }
    json_t *j = info_of(in("P1"), NULL);
    cr_expect_gt(number_of(j, "duplicates"), 1000);
    json_decref(j);
}

Test(pool, a_full_disk_is_one_error_and_leaves_nothing)
{
    put_many("m.jsonl");
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit old, small;
    getrlimit(RLIMIT_FSIZE, &old);
    for (rlim_t limit = 100; limit < 10000000; limit = limit * 5 + 1) {
        small = (struct rlimit){limit, old.rlim_max};
        setrlimit(RLIMIT_FSIZE, &small);
        wn_err e = build(in("P"), in("m.jsonl"), NULL, NULL);
        setrlimit(RLIMIT_FSIZE, &old);
        if (e == WN_OK) {
            cr_expect_gt(limit, 1000000, "a limit of %llu was not seen", (unsigned long long)limit);
            return;
        }
        cr_expect_eq(e, WN_EIO);
        cr_expect(strstr(wn_error_message(), "rows."), "%s", wn_error_message());
        cr_expect_not(wn_file_exists(in("P")));
        cr_expect_not(wn_file_exists(in("P.partial")));
    }
    cr_assert_fail("never succeeded");
}

Test(pool, running_out_of_memory_is_clean_wherever_it_happens)
{
    put("three.jsonl", three);
    wn_par_set_threads(1);
    for (int64_t n = 1; n < 400; n++) {
        wn_mem_fail_after(n);
        wn_err e = build(in("P"), in("three.jsonl"), NULL, "near");
        wn_mem_fail_after(-1);
        cr_assert_eq(wn_mem_live(), 0, "allocation %d leaks", (int)n);
        if (e == WN_OK)
            return;
        cr_assert_eq(e, WN_ENOMEM, "allocation %d: %s", (int)n, wn_error_message());
        char *json; /* what is there is whole: only the sync after the rename can have failed */
        if (wn_file_exists(in("P")))
            cr_assert_eq(wn_pool_check_job(in("P"), &json), WN_OK, "allocation %d", (int)n);
        else
            json = NULL;
        wn_free(json);
        wn_remove_tree(in("P"));
    }
    cr_assert_fail("never succeeded");
}

static wn_err count_bytes(void *ctx, const wn_row *row, uint64_t *tokens)
{
    (void)ctx;
    *tokens += row->prompt.len;
    return WN_OK;
}

Test(pool, tokens_are_counted_by_whoever_can)
{
    put_many("m.jsonl");
    char *one, *four;
    wn_par_set_threads(1);
    cr_assert_eq(wn_pool_info(&one, in("m.jsonl"), NULL, count_bytes, NULL), WN_OK);
    wn_par_set_threads(4);
    cr_assert_eq(wn_pool_info(&four, in("m.jsonl"), NULL, count_bytes, NULL), WN_OK);
    cr_expect_str_eq(one, four);
    json_t *j;
    wn_json_parse(&j, one, strlen(one), "info");
    cr_expect_gt(number_of(j, "tokens"), 300000);
    cr_expect_gt(number_of(j, "duplicates"), 0);
    json_decref(j);
    wn_free(one);
    wn_free(four);
}
