/* Stores: round trip, refusals, kills. */
#include <criterion/criterion.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"
#include "io/file.h"
#include "io/npy.h"
#include "store/store.h"

enum { DIM = 5 };
static char dir[64];

static void set_up(void)
{
    strcpy(dir, "/tmp/wn_store_XXXXXX");
    cr_assert(mkdtemp(dir));
}

static void tear_down(void)
{
    wn_remove_tree(dir);
    cr_assert_eq(wn_mem_live(), 0, "%zu bytes leaked", wn_mem_live());
}

static const char *at(const char *name)
{
    static char path[8][128];
    static int next;
    char *p = path[next++ % 8];
    snprintf(p, 128, "%s/%s", dir, name);
    return p;
}

static json_t *manifest(const char *model)
{
    return json_pack("{s:s, s:s, s:{s:s}}", "kind", "embedding", "model", model, "options",
                     "pooling", "mean");
}

static wn_err add(wn_store_writer *w, uint64_t r)
{
    float v[DIM];
    char id[64], task[32];
    for (size_t i = 0; i < DIM; i++)
        v[i] = (float)wn_rng_normal(1, 2, r * DIM + i);
    snprintf(id, sizeof id, r % 7 == 3 ? "row\n%d" : r % 7 == 4 ? "\"%d" : "row %d", (int)r);
    snprintf(task, sizeof task, "task%d", (int)(r / 10 % 13));
    return wn_store_writer_add(w, &(wn_store_row){.vector = v,
                                                  .id = {id, strlen(id)},
                                                  .task = {task, strlen(task)},
                                                  .tokens = (uint32_t)r,
                                                  .loss = r % 2 ? NAN : 0.5f,
                                                  .margin = -1,
                                                  .text_hash = r * 77});
}

static wn_err make(const char *path, const char *model, uint64_t rows, uint64_t sync_every,
                   bool overwrite)
{
    wn_store_writer *w;
    uint64_t done;
    json_t *m = manifest(model);
    wn_err err = wn_store_writer_open(&w, path, m, DIM, overwrite, &done);
    json_decref(m);
    WN_TRY(err);
    for (uint64_t r = done; r < rows && err == WN_OK; r++) {
        err = add(w, r);
        if (err == WN_OK && (r + 1) % sync_every == 0)
            err = wn_store_writer_sync(w);
    }
    if (err == WN_OK)
        return wn_store_writer_finish(w, NULL);
    wn_store_writer_close(w);
    return err;
}

Test(store, gives_back_what_was_added, .init = set_up, .fini = tear_down)
{
    cr_assert_eq(make(at("s"), "m", 300, 50, false), WN_OK, "%s", wn_error_text());
    wn_store *s;
    cr_assert_eq(wn_store_open(&s, at("s")), WN_OK, "%s", wn_error_text());
    cr_assert(wn_is_store(at("s")));
    cr_assert_eq(wn_store_rows(s), 300);
    cr_assert_eq(wn_store_dim(s), DIM);
    cr_assert_eq(wn_store_tasks(s), 13);
    for (uint64_t r = 0; r < 300; r++) {
        char id[64], task[32];
        snprintf(id, sizeof id, r % 7 == 3 ? "row\n%d" : r % 7 == 4 ? "\"%d" : "row %d", (int)r);
        snprintf(task, sizeof task, "task%d", (int)(r / 10 % 13));
        cr_assert(wn_span_is(wn_store_id(s, r), id), "row %d", (int)r);
        cr_assert_str_eq(wn_store_task(s, r), task);
        for (size_t i = 0; i < DIM; i++)
            cr_assert_eq(wn_store_vector(s, r)[i], (float)wn_rng_normal(1, 2, r * DIM + i));
        cr_assert_eq(wn_store_tokens(s, r), r);
        cr_assert_eq(wn_store_text_hash(s, r), r * 77);
        cr_assert_eq(isnan(wn_store_loss(s, r)) != 0, r % 2);
        cr_assert_eq(wn_store_margin(s, r), -1);
    }
    cr_assert_str_eq(json_string_value(json_object_get(wn_store_manifest(s), "kind")), "embedding");
    cr_assert_eq(strlen(wn_store_sha(s)), 64);
    wn_store_close(s);
}

static void same_file(const char *a, const char *b, const char *name)
{
    char pa[256], pb[256], *ta, *tb;
    size_t na, nb;
    snprintf(pa, sizeof pa, "%s/%s", a, name);
    snprintf(pb, sizeof pb, "%s/%s", b, name);
    cr_assert_eq(wn_file_read(&ta, &na, pa, 1 << 26), WN_OK, "%s", wn_error_text());
    cr_assert_eq(wn_file_read(&tb, &nb, pb, 1 << 26), WN_OK, "%s", wn_error_text());
    cr_assert(na == nb && memcmp(ta, tb, na) == 0, "%s differs", name);
    wn_free(ta);
    wn_free(tb);
}

/* The same command, killed again and again at random moments, ends with the undisturbed bytes. */
Test(store, survives_kill_9, .init = set_up, .fini = tear_down, .timeout = 120)
{
    enum { ROWS = 30000 };
    cr_assert_eq(make(at("calm"), "m", ROWS, 700, false), WN_OK);
    int kills = 0;
    for (int turn = 0;; turn++) {
        cr_assert(turn < 4000, "no progress");
        pid_t child = fork();
        cr_assert(child >= 0);
        if (child == 0)
            _exit(make(at("killed"), "m", ROWS, 700, false) == WN_OK ? 0 : 1);
        usleep((useconds_t)(wn_rng_u64(1, 1, (uint64_t)turn) % (turn < 10 ? 1500 : 15000)));
        kill(child, SIGKILL);
        int status;
        cr_assert_eq(waitpid(child, &status, 0), child);
        /* killed behind its last byte but one, the store stands, and the same command is refused */
        if (WIFEXITED(status)) {
            cr_assert(WEXITSTATUS(status) == 0 || wn_is_store(at("killed")), "turn %d", turn);
            break;
        }
        kills++;
    }
    cr_assert(kills > 2, "%d kills prove little", kills);
    static const char *const name[] = {"store.json", "rows.bin", "meta.bin", "ids.txt",
                                       "tasks.txt"};
    for (int i = 0; i < 5; i++)
        same_file(at("calm"), at("killed"), name[i]);
    cr_assert_not(wn_file_exists(at("killed/partial.json")));
}

/* What stands behind the last sync is never believed, whatever it holds. */
Test(store, cuts_a_torn_tail, .init = set_up, .fini = tear_down)
{
    wn_store_writer *w;
    uint64_t done;
    json_t *m = manifest("m");
    cr_assert_eq(wn_store_writer_open(&w, at("s"), m, DIM, false, &done), WN_OK);
    for (uint64_t r = 0; r < 40; r++)
        cr_assert_eq(add(w, r), WN_OK);
    cr_assert_eq(wn_store_writer_sync(w), WN_OK);
    for (uint64_t r = 40; r < 60; r++)
        cr_assert_eq(add(w, r), WN_OK);
    wn_store_writer_close(w);
    static const char *const name[] = {"s/rows.bin", "s/meta.bin", "s/ids.txt", "s/tasks.txt"};
    for (int i = 0; i < 4; i++) {
        FILE *f = fopen(at(name[i]), "a");
        fputs("torn", f);
        fclose(f);
    }
    cr_assert_eq(wn_store_writer_open(&w, at("s"), m, DIM, false, &done), WN_OK, "%s",
                 wn_error_text());
    cr_assert_eq(done, 40);
    wn_store_writer_close(w);
    json_decref(m);
    cr_assert_eq(make(at("s"), "m", 60, 7, false), WN_OK);
    cr_assert_eq(make(at("calm"), "m", 60, 1000, false), WN_OK);
    for (int i = 0; i < 4; i++)
        same_file(at("s"), at("calm"), name[i] + 2);
    same_file(at("s"), at("calm"), "store.json");
}

static void expect(wn_err got, wn_err want, const char *part)
{
    cr_assert_eq(got, want, "%d: %s", got, wn_error_text());
    cr_assert(strstr(wn_error_text(), part), "\"%s\" does not hold \"%s\"", wn_error_text(), part);
}

Test(store, refusals_say_what_is_wrong, .init = set_up, .fini = tear_down)
{
    wn_store *s;
    wn_store_writer *w;
    uint64_t done;
    expect(wn_store_open(&s, at("none")), WN_EIO, "no such store");
    wn_mkdirs(at("dir"));
    expect(wn_store_open(&s, at("dir")), WN_EFORMAT, "expected a store");
    wn_file_write(at("dir/precious"), "x", 1);
    expect(make(at("dir"), "m", 3, 1, true), WN_EARG, "another file in it: precious");

    /* what a kill while an old store is being cleared away leaves */
    cr_assert_eq(make(at("half"), "m", 9, 1, false), WN_OK);
    unlink(at("half/store.json"));
    unlink(at("half/tasks.txt"));
    cr_assert_eq(make(at("half"), "n", 9, 1, false), WN_OK, "%s", wn_error_text());

    json_t *m = manifest("m"), *other = manifest("another");
    cr_assert_eq(wn_store_writer_open(&w, at("s"), m, DIM, false, &done), WN_OK);
    expect(wn_store_open(&s, at("s")), WN_EFORMAT, "unfinished");
    expect(make(at("s"), "m", 9, 1, false), WN_EIO, "another process");
    wn_store_writer_close(w);
    expect(wn_store_writer_open(&w, at("s"), other, DIM, false, &done), WN_EARG,
           "model is \"m\" there, but \"another\" here");
    expect(wn_store_writer_open(&w, at("s"), m, DIM + 1, false, &done), WN_EARG,
           "dim is 5 there, but 6");
    cr_assert_eq(make(at("s"), "m", 9, 1, false), WN_OK);
    expect(make(at("s"), "m", 9, 1, false), WN_EARG, "--overwrite");
    cr_assert_eq(make(at("s"), "another", 4, 1, true), WN_OK);
    json_decref(m);
    json_decref(other);
}

static void damage(const char *name, long offset, int byte)
{
    FILE *f = fopen(at(name), "r+");
    fseek(f, offset, SEEK_SET);
    fputc(byte, f);
    fclose(f);
}

Test(store, damaged_files_are_refused, .init = set_up, .fini = tear_down)
{
    static const struct {
        const char *file;
        long offset;
        int byte;
        const char *part;
    } hurt[] = {{"s/rows.bin", 0, 'X', "expected a store's rows"},
                {"s/rows.bin", 8, 9, "element type"},
                {"s/rows.bin", 12, 0, "a dim of"},
                {"s/rows.bin", 12, 6, "header says"},
                {"s/rows.bin", 12, 4, "bytes, found"},
                {"s/rows.bin", 16, 3, "expected 20 rows"},
                {"s/rows.bin", 23, 200, "header says"},
                {"s/meta.bin", 4, 99, "a task below"},
                {"s/meta.bin", 24, 9, "an id at byte"},
                {"s/ids.txt", 2, '\n', "an id at byte"},
                {"s/store.json", 0, 'x', "store.json"}};
    wn_store *s;
    for (size_t i = 0; i < sizeof hurt / sizeof *hurt; i++) {
        cr_assert_eq(make(at("s"), "m", 20, 5, true), WN_OK);
        damage(hurt[i].file, hurt[i].offset, hurt[i].byte);
        expect(wn_store_open(&s, at("s")), WN_EFORMAT, hurt[i].part);
        static const char *const name[] = {"s/rows.bin", "s/meta.bin", "s/ids.txt", "s/tasks.txt",
                                           "s/store.json"};
        cr_assert_eq(make(at("s"), "m", 20, 5, true), WN_OK);
        wn_map f;
        cr_assert_eq(wn_map_open(&f, at(name[i % 5])), WN_OK);
        off_t size = (off_t)f.size;
        wn_map_close(&f);
        cr_assert_eq(truncate(at(name[i % 5]), size / 2), 0);
        cr_assert_eq(wn_store_open(&s, at("s")), WN_EFORMAT, "%s cut in half", name[i % 5]);
    }
}

Test(store, match_names_the_field, .init = set_up, .fini = tear_down)
{
    wn_store *a, *b;
    cr_assert_eq(make(at("a"), "m", 3, 5, false), WN_OK);
    cr_assert_eq(make(at("b"), "n", 4, 5, false), WN_OK);
    cr_assert_eq(wn_store_open(&a, at("a")), WN_OK);
    cr_assert_eq(wn_store_open(&b, at("b")), WN_OK);
    expect(wn_store_match(a, b), WN_EARG, "model is \"m\" there, but \"n\" here");
    cr_assert_eq(wn_store_match(a, a), WN_OK);
    wn_store_close(a);
    wn_store_close(b);
}

Test(store, every_failed_allocation_is_clean, .init = set_up, .fini = tear_down)
{
    wn_err err = WN_ENOMEM;
    for (int n = 0; err != WN_OK; n++) {
        cr_assert(n < 400);
        wn_mem_fail_after(n);
        err = make(at("s"), "m", 30, 7, true);
        wn_mem_fail_after(-1);
        cr_assert(err == WN_OK || err == WN_ENOMEM, "%s", wn_error_text());
    }
    wn_store *s;
    err = WN_ENOMEM;
    for (int n = 0; err != WN_OK; n++) {
        cr_assert(n < 400);
        wn_mem_fail_after(n);
        err = wn_store_open(&s, at("s"));
        wn_mem_fail_after(-1);
    }
    cr_assert_eq(wn_store_rows(s), 30);
    wn_store_close(s);
}

Test(store, exports_and_imports_back, .init = set_up, .fini = tear_down)
{
    cr_assert_eq(make(at("s"), "m", 33, 5, false), WN_OK);
    cr_assert_eq(wn_export_job(&(wn_export_opts){
                     .common.out = at("v.npy"), .store = at("s"), .format = "npy"}),
                 WN_OK, "%s", wn_error_text());
    cr_assert_eq(wn_export_job(&(wn_export_opts){
                     .common.out = at("v.jsonl"), .store = at("s"), .format = "jsonl"}),
                 WN_OK);
    expect(wn_export_job(
               &(wn_export_opts){.common.out = at("v.npy"), .store = at("s"), .format = "npy"}),
           WN_EARG, "--overwrite");
    /* ids from plain lines, then from the JSON lines with task, loss and margin */
    for (int full = 0; full < 2; full++) {
        cr_assert_eq(wn_import_job(&(wn_import_opts){.common.out = at(full ? "t" : "u"),
                                                     .file = at("v.npy"),
                                                     .ids = at(full ? "v.jsonl" : "v.ids.txt")}),
                     WN_OK, "%s", wn_error_text());
        wn_store *a, *b;
        cr_assert_eq(wn_store_open(&a, at("s")), WN_OK);
        cr_assert_eq(wn_store_open(&b, at(full ? "t" : "u")), WN_OK);
        cr_assert_eq(wn_store_rows(b), 33);
        for (uint64_t r = 0; r < 33; r++) {
            wn_span x = wn_store_id(a, r), y = wn_store_id(b, r);
            cr_assert(x.len == y.len && memcmp(x.p, y.p, x.len) == 0);
            cr_assert_eq(memcmp(wn_store_vector(a, r), wn_store_vector(b, r), DIM * sizeof(float)),
                         0);
            cr_assert_str_eq(wn_store_task(b, r), full ? wn_store_task(a, r) : "v");
            cr_assert_eq(isnan(wn_store_loss(b, r)) != 0, !full || r % 2);
        }
        wn_store_close(a);
        wn_store_close(b);
    }
    wn_file_write(at("few"), "a\nb\n", 4);
    expect(wn_import_job(
               &(wn_import_opts){.common.out = at("w"), .file = at("v.npy"), .ids = at("few")}),
           WN_EARG, "expected 33 ids");
}
