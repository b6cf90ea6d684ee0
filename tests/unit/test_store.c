/* Stores: round trip, refusals, kills. */
#include <math.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/rng.h"
#include "io/manifest.h"
#include "io/npy.h"
#include "io/tensor.h"
#include "store/pack.h"
#include "store/store.h"
#include "test_folder.h"

enum { DIM = 5 };

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

static const wn_store_layout *layout; /* files of 4096 rows where it says so */
static const wn_store_layout small = {.shard_bytes = 1};

static wn_err make(const char *path, const char *model, uint64_t rows, uint64_t sync_every,
                   bool overwrite)
{
    wn_store_writer *w;
    uint64_t done;
    json_t *m = manifest(model);
    wn_err err = wn_store_writer_open(&w, path, m, DIM, layout, overwrite, &done);
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
    layout = &small;
    cr_assert_eq(make(at("calm"), "m", ROWS, 700, false), WN_OK);
    int kills = 0;
    for (int turn = 0;; turn++) {
        cr_assert(turn < 4000, "no progress");
        pid_t child = fork();
        cr_assert(child >= 0);
        if (child == 0)
            _exit(make(at("killed"), "m", ROWS, 700, false) == WN_OK ? 0 : 1);
        /* longer and longer, for a machine that has much else to do */
        uint64_t most = turn < 10 ? 1500 : 15000 + 200 * (uint64_t)turn;
        usleep((useconds_t)(wn_rng_u64(1, 1, (uint64_t)turn) % most));
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
    static const char *const name[] = {"store.json", "rows.bin",   "rows.1.bin",
                                       "rows.6.bin", "rows.7.bin", "meta.bin",
                                       "ids.txt",    "tasks.txt",  "sums.bin"};
    for (int i = 0; i < 9; i++)
        same_file(at("calm"), at("killed"), name[i]);
    cr_assert_not(wn_file_exists(at("killed/partial.json")));
}

/* What stands behind the last sync is never believed, whatever it holds. */
Test(store, cuts_a_torn_tail, .init = set_up, .fini = tear_down)
{
    wn_store_writer *w;
    uint64_t done;
    json_t *m = manifest("m");
    cr_assert_eq(wn_store_writer_open(&w, at("s"), m, DIM, NULL, false, &done), WN_OK);
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
    cr_assert_eq(wn_store_writer_open(&w, at("s"), m, DIM, NULL, false, &done), WN_OK, "%s",
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
    cr_assert_eq(wn_store_writer_open(&w, at("s"), m, DIM, NULL, false, &done), WN_OK);
    expect(wn_store_open(&s, at("s")), WN_EFORMAT, "unfinished");
    expect(make(at("s"), "m", 9, 1, false), WN_EIO, "another process");
    cr_assert_eq(add(w, 0), WN_OK);
    wn_store_writer_close(w);
    expect(wn_store_writer_open(&w, at("s"), other, DIM, NULL, false, &done), WN_EARG,
           "model is \"m\" there, but \"another\" here");
    expect(wn_store_writer_open(&w, at("s"), m, DIM + 1, NULL, false, &done), WN_EARG,
           "dim is 5 there, but 6");
    cr_assert_eq(make(at("s"), "m", 9, 1, false), WN_OK);
    expect(make(at("s"), "m", 9, 1, false), WN_EARG, "--overwrite");
    cr_assert_eq(make(at("s"), "another", 4, 1, true), WN_OK);
    json_decref(m);
    json_decref(other);
}

Test(store, nothing_stays_where_no_row_was_or_the_input_is_to_blame, .init = set_up,
     .fini = tear_down)
{
    wn_store_writer *w;
    uint64_t done;
    json_t *m = manifest("m");
    cr_assert_eq(wn_store_writer_open(&w, at("s"), m, DIM, NULL, false, &done), WN_OK);
    wn_store_writer_close(w);
    cr_assert(!wn_file_exists(at("s")), "closed without a row");

    cr_assert_eq(wn_store_writer_open(&w, at("s"), m, DIM, NULL, false, &done), WN_OK);
    cr_assert_eq(add(w, 0), WN_OK);
    cr_assert_eq(wn_store_writer_sync(w), WN_OK);
    wn_fail(WN_EARG, "the reason");
    wn_store_writer_abandon(w, done);
    cr_assert(!wn_file_exists(at("s")), "abandoned");
    cr_assert_str_eq(wn_error_text(), "the reason");

    cr_assert_eq(wn_store_writer_open(&w, at("s"), m, DIM, NULL, false, &done), WN_OK);
    cr_assert_eq(add(w, 0), WN_OK);
    cr_assert_eq(wn_store_writer_sync(w), WN_OK);
    wn_store_writer_close(w);
    cr_assert_eq(wn_store_writer_open(&w, at("s"), m, DIM, NULL, false, &done), WN_OK);
    cr_assert_eq(done, 1);
    wn_store_writer_abandon(w, done);
    cr_assert(wn_file_exists(at("s/partial.json")), "what stood before stays");
    json_decref(m);
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
                {"s/rows.bin", 8, 2, "expected dtype f32 as in store.json, found f16"},
                {"s/rows.bin", 12, 0, "a dim of"},
                {"s/rows.bin", 12, 6, "header says"},
                {"s/rows.bin", 12, 4, "expected dim 5 as in store.json, found 4"},
                {"s/rows.bin", 16, 3, "expected 20 rows"},
                {"s/rows.bin", 23, 200, "header says"},
                {"s/rows.bin", 24, 1, "a multiple of 4096 rows"},
                {"s/rows.bin", 28, 1, "rows a file as in store.json"},
                {"s/rows.bin", 32, 1, "byte 32 of the head: expected 0, found 1"},
                {"s/rows.bin", 4095, 1, "byte 4095 of the head: expected 0, found 1"},
                {"s/meta.bin", 4, 99, "meta.bin: block 0 (of 1 MiB): expected checksum"},
                {"s/meta.bin", 24, 9, "meta.bin: block 0"},
                {"s/ids.txt", 2, '\n', "ids.txt: block 0"},
                {"s/tasks.txt", 2, 'x', "tasks.txt: block 0"},
                {"s/sums.bin", 0, 'x', "sums.bin: expected checksums"},
                {"s/sums.bin", 70, 'x', "sums.bin: expected SHA-256"},
                {"s/store.json", 0, 'x', "store.json"}};
    wn_store *s;
    for (size_t i = 0; i < sizeof hurt / sizeof *hurt; i++) {
        cr_assert_eq(make(at("s"), "m", 20, 5, true), WN_OK);
        damage(hurt[i].file, hurt[i].offset, hurt[i].byte);
        expect(wn_store_open(&s, at("s")), WN_EFORMAT, hurt[i].part);
        static const char *const name[] = {"s/rows.bin",  "s/meta.bin",   "s/ids.txt",
                                           "s/tasks.txt", "s/store.json", "s/sums.bin"};
        cr_assert_eq(make(at("s"), "m", 20, 5, true), WN_OK);
        wn_map f;
        cr_assert_eq(wn_map_open(&f, at(name[i % 6])), WN_OK);
        off_t size = (off_t)f.size;
        wn_map_close(&f);
        cr_assert_eq(truncate(at(name[i % 6]), size / 2), 0);
        cr_assert_eq(wn_store_open(&s, at("s")), WN_EFORMAT, "%s cut in half", name[i % 6]);
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

/* A store of one row whose manifest has "adam" where it is given. */
static wn_store *with_adam(const char *name, const char *sha)
{
    wn_store_writer *w;
    wn_store *s;
    uint64_t done;
    const float x[2] = {1, 2};
    json_t *m = json_pack("{s:s, s:s}", "kind", "gradient", "quantity", "loss");
    if (sha)
        json_object_set_new(m, "adam", json_pack("{s:s, s:s}", "name", name, "sha256", sha));
    cr_assert_eq(wn_store_writer_open(&w, at(name), m, 2, NULL, false, &done), WN_OK);
    json_decref(m);
    const wn_store_row row = {.vector = x, .id = {"r", 1}, .task = {"t", 1}};
    cr_assert_eq(wn_store_writer_add(w, &row), WN_OK);
    cr_assert_eq(wn_store_writer_finish(w, NULL), WN_OK);
    cr_assert_eq(wn_store_open(&s, at(name)), WN_OK);
    return s;
}

Test(store, only_rows_may_be_adam_s_steps, .init = set_up, .fini = tear_down)
{
    wn_store *plain = with_adam("p", NULL), *step = with_adam("s", "aa");
    wn_store *other = with_adam("o", "bb");
    expect(wn_store_match(step, plain), WN_EARG, "adam is \"aa\" there, but absent here");
    cr_assert_eq(wn_store_match_steps(step, plain), WN_OK);
    cr_assert_eq(wn_store_match_steps(step, step), WN_OK);
    cr_assert_eq(wn_store_match_steps(plain, plain), WN_OK);
    expect(wn_store_match_steps(plain, step), WN_EARG, "adam is absent there, but \"aa\" here");
    expect(wn_store_match_steps(step, other), WN_EARG, "adam is \"aa\" there, but \"bb\" here");
    wn_store_close(plain);
    wn_store_close(step);
    wn_store_close(other);
}

Test(store, every_failed_allocation_is_clean, .init = set_up, .fini = tear_down)
{
    wn_err err = WN_ENOMEM;
    for (int n = 0; err != WN_OK; n++) {
        cr_assert(n < 600);
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

/* ---- types, files of rows, checksums ---- */

static wn_store *open_store(const char *path)
{
    wn_store *s;
    cr_assert_eq(wn_store_open(&s, path), WN_OK, "%s", wn_error_text());
    return s;
}

static const char *const dtypes[] = {"f32", "f16", "bf16", "int8"};
enum { DTYPES = 4 };

/* The stored number is the nearest that the type has, or, of int8, within half a step. */
Test(store, numbers_are_rounded_to_the_nearest)
{
    enum { N = 20000 };
    static float v[N], got[N];
    static char bytes[4 * N + 4];
    for (int t = WN_STORE_F32; t <= WN_STORE_INT8; t++)
        for (int scale = -140; scale <= 14; scale += 11) {
            for (size_t i = 0; i < N; i++)
                v[i] = ldexpf((float)wn_rng_normal(5, (uint64_t)t, i), scale);
            wn_store_pack(bytes, (wn_store_type)t, v, N);
            wn_store_unpack(got, (wn_store_type)t, bytes, N, 1);
            float step = 0;
            for (size_t i = 0; i < N; i++)
                step = fmaxf(step, fabsf(v[i]) / 127);
            for (size_t i = 0; i < N; i++) {
                float off = fabsf(got[i] - v[i]), most = 0;
                if (t == WN_STORE_F16)
                    most = fmaxf(fabsf(v[i]) * 0x1p-11f, 0x1p-25f);
                if (t == WN_STORE_BF16)
                    most = fmaxf(fabsf(v[i]) * 0x1p-8f, 0x1p-134f);
                if (t == WN_STORE_INT8)
                    most = fmaxf(0.5f * step * (1 + 0x1p-15f), 0x1p-149f);
                cr_assert_leq(off, most, "type %d, scale %d: %a became %a", t, scale, v[i], got[i]);
            }
        }
}

Test(store, every_half_float_comes_back)
{
    for (uint32_t h = 0; h < 0x10000; h++) {
        uint16_t half = (uint16_t)h;
        float x = wn_f16_to_f32(half), y;
        if ((h & 0x7c00) == 0x7c00)
            continue;
        wn_store_unpack(&y, WN_STORE_F16, (const char *)&half, 1, 1);
        cr_assert_eq(memcmp(&x, &y, 4), 0, "%04x: %a, not %a", h, y, x);
    }
}

Test(store, what_a_type_cannot_hold_is_refused_by_place)
{
    static const struct {
        int type;
        float v;
        bool fits;
    } c[] = {{WN_STORE_F16, 65504, true},    {WN_STORE_F16, 65519.996f, true},
             {WN_STORE_F16, 65520, false},   {WN_STORE_F16, -INFINITY, false},
             {WN_STORE_BF16, 3e38f, true},   {WN_STORE_BF16, 3.4e38f, false},
             {WN_STORE_INT8, 3.4e38f, true}, {WN_STORE_INT8, NAN, false},
             {WN_STORE_F32, NAN, true}};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        float v[3] = {0, c[i].v, 1}, got[3];
        char bytes[16];
        cr_assert_eq(wn_store_unfit((wn_store_type)c[i].type, v, 3), c[i].fits ? 3 : 1, "case %zu",
                     i);
        if (!c[i].fits)
            continue;
        wn_store_pack(bytes, (wn_store_type)c[i].type, v, 3);
        wn_store_unpack(got, (wn_store_type)c[i].type, bytes, 3, 1);
        cr_assert(isnan(c[i].v) || isfinite(got[1]), "case %zu", i);
    }
}

/* Whatever the type and however the rows are spread over files: row by row the same numbers, by
 * wn_store_vector and by wn_store_read. */
Test(store, types_and_files_of_rows, .init = set_up, .fini = tear_down)
{
    enum { ROWS = 9000 };
    static float want[DIM], got[3 * DIM];
    for (int t = 0; t < DTYPES; t++)
        for (int split = 0; split < 2; split++) {
            const wn_store_layout l = {.dtype = dtypes[t], .shard_bytes = (uint64_t)split};
            layout = &l;
            cr_assert_eq(make(at("s"), "m", ROWS, 5000, true), WN_OK, "%s", wn_error_text());
            cr_assert_eq(wn_file_exists(at("s/rows.2.bin")), split != 0);
            wn_store *s = open_store(at("s"));
            cr_assert_str_eq(wn_store_dtype(s), dtypes[t]);
            for (uint64_t r = 0; r + 3 <= ROWS; r += 1 + r % 97) {
                char bytes[64];
                cr_assert_eq(wn_store_read(got, s, r, 3), WN_OK, "%s", wn_error_text());
                for (uint64_t k = 0; k < 3; k++) {
                    for (size_t i = 0; i < DIM; i++)
                        want[i] = (float)wn_rng_normal(1, 2, (r + k) * DIM + i);
                    wn_store_pack(bytes, (wn_store_type)(t + 1), want, DIM);
                    wn_store_unpack(want, (wn_store_type)(t + 1), bytes, DIM, 1);
                    cr_assert_eq(memcmp(want, got + k * DIM, sizeof want), 0);
                    cr_assert_eq(memcmp(want, wn_store_vector(s, r + k), sizeof want), 0);
                }
            }
            wn_store_close(s);
        }
}

/* One byte anywhere in the rows: found by the first who reads its block, and by the check. */
Test(store, a_corrupted_byte_is_found, .init = set_up, .fini = tear_down)
{
    enum { ROWS = 70000 }; /* 1.4 MB of f32: two blocks */
    wn_store *s;
    float v[DIM];
    char *json;
    cr_assert_eq(make(at("s"), "m", ROWS, 50000, false), WN_OK);
    cr_assert_eq(wn_store_check_job(at("s"), &json), WN_OK, "%s", wn_error_text());
    wn_free(json);
    damage("s/rows.bin", 4096 + (1 << 20) + 17, 'x');
    cr_assert_eq(wn_store_open_packed(&s, at("s")), WN_OK);
    cr_assert_eq(wn_store_read(v, s, 0, 1), WN_OK);
    expect(wn_store_read(v, s, ROWS - 1, 1), WN_EFORMAT,
           "s/rows.bin: block 1 (of 1 MiB): expected checksum");
    expect(wn_store_verify(s, 0, ROWS), WN_EFORMAT, "block 1");
    wn_store_close(s);
    expect(wn_store_check_job(at("s"), &json), WN_EFORMAT, "block 1");
    layout = &(wn_store_layout){.dtype = "int8", .shard_bytes = 1};
    cr_assert_eq(make(at("t"), "m", ROWS, 50000, false), WN_OK);
    damage("t/rows.3.bin", 5000, 'x');
    expect(wn_store_open(&s, at("t")), WN_EFORMAT, "t/rows.3.bin: block 0");
    cr_assert_eq(truncate(at("t/rows.3.bin"), 9999), 0);
    expect(wn_store_open(&s, at("t")), WN_EFORMAT, "rows.3.bin: expected 40960 bytes, found 9999");
    unlink(at("t/rows.3.bin"));
    expect(wn_store_open(&s, at("t")), WN_EIO, "rows.3.bin: cannot open");
}

static struct {
    const char *stage;
    uint64_t done, total;
    bool stop;
} told;

static bool tell(void *ctx, const char *stage, const char *unit, uint64_t done, uint64_t total,
                 const char *note)
{
    (void)ctx;
    (void)note;
    cr_assert_str_eq(stage, told.stage);
    cr_assert_str_eq(unit, "MB");
    told.done = done;
    told.total = total;
    return !told.stop;
}

/* All rows in one stream: to the end, in MB; what was compared once is not read again; a stop is
 * obeyed, and damage found in whichever file it is. */
Test(store, the_whole_is_compared_in_one_stream, .init = set_up, .fini = tear_down)
{
    enum { ROWS = 70000 };
    wn_store *s;
    layout = &small;
    cr_assert_eq(make(at("s"), "m", ROWS, 50000, false), WN_OK);
    cr_assert_eq(wn_store_open(&s, at("s")), WN_OK);
    told.stage = "check";
    wn_set_progress(tell, NULL);
    cr_assert_eq(wn_store_verify_all(s), WN_OK, "%s", wn_error_text());
    cr_assert_eq(told.total, ROWS * DIM * 4 / 1000000);
    cr_assert_eq(told.done, told.total);
    damage("s/rows.12.bin", 5000, 'x');
    cr_assert_eq(wn_store_verify_all(s), WN_OK, "read again: %s", wn_error_text());
    told.stop = true;
    cr_assert_eq(wn_store_verify_all(s), WN_ESTOP);
    wn_set_progress(NULL, NULL);
    wn_store_close(s);
    cr_assert_eq(wn_store_open(&s, at("s")), WN_OK);
    expect(wn_store_verify_all(s), WN_EFORMAT, "s/rows.12.bin: block 0");
    wn_store_close(s);
}

/* Unpacking says how far it is, a stop leaves nothing open, and the rest goes through. */
Test(store, unpacking_says_how_far_it_is, .init = set_up, .fini = tear_down)
{
    enum { ROWS = 110000, BYTES = 2 * DIM };
    wn_store *s;
    layout = &(wn_store_layout){.dtype = "bf16", .shard_bytes = 1};
    cr_assert_eq(make(at("s"), "m", ROWS, 50000, false), WN_OK);
    told.stage = "unpack";
    told.stop = true;
    wn_set_progress(tell, NULL);
    expect(wn_store_open(&s, at("s")), WN_ESTOP, "unpack: stopped at 1 of 1 MB");
    told.stop = false;
    cr_assert_eq(wn_store_open(&s, at("s")), WN_OK, "%s", wn_error_text());
    wn_set_progress(NULL, NULL);
    cr_assert_eq(told.total, ROWS * BYTES / 1000000);
    cr_assert_eq(told.done, told.total);
    wn_store_close(s);
}

static void must_merge(const char *out, const char *a, const char *b, const wn_store_layout *l)
{
    const char *list[2] = {a, b};
    cr_assert_eq(wn_store_merge_job(&(wn_store_merge_opts){.common.out = out,
                                                           .stores = list,
                                                           .n_stores = b ? 2 : 1,
                                                           .store_dtype = l ? l->dtype : NULL,
                                                           .shard_bytes = l ? l->shard_bytes : 0}),
                 WN_OK, "%s", wn_error_text());
}

/* Rows [from, to) of what make() writes. */
static void make_part(const char *path, uint64_t from, uint64_t to)
{
    wn_store_writer *w;
    uint64_t done;
    json_t *m = manifest("m");
    cr_assert_eq(wn_store_writer_open(&w, path, m, DIM, layout, true, &done), WN_OK);
    for (uint64_t r = from; r < to; r++)
        cr_assert_eq(add(w, r), WN_OK);
    cr_assert_eq(wn_store_writer_finish(w, NULL), WN_OK);
    json_decref(m);
}

/* Two halves become what the whole is, in every type, without a second rounding. */
Test(store, merged_halves_are_the_whole, .init = set_up, .fini = tear_down)
{
    static const char *const files[] = {"rows.bin", "rows.1.bin", "rows.2.bin", "meta.bin",
                                        "ids.txt",  "tasks.txt",  "sums.bin"};
    for (int t = 0; t < DTYPES; t++) {
        const wn_store_layout l = {dtypes[t], 1};
        layout = &l;
        make_part(at("a"), 0, 5001);
        make_part(at("b"), 5001, 9000);
        make_part(at("whole"), 0, 9000);
        must_merge(at("m"), at("a"), at("b"), &(wn_store_layout){NULL, 1});
        for (int i = 0; i < 7; i++)
            same_file(at("m"), at("whole"), files[i]);
        must_merge(at("n"), at("whole"), NULL, &(wn_store_layout){"f32", 0});
        wn_store *a = open_store(at("whole")), *b = open_store(at("n"));
        cr_assert_eq(
            memcmp(wn_store_vector(a, 0), wn_store_vector(b, 0), 9000 * DIM * sizeof(float)), 0);
        wn_store_close(a);
        wn_store_close(b);
        wn_remove_tree(at("m"));
        wn_remove_tree(at("n"));
    }
    layout = NULL;
    make_part(at("c"), 5000, 5002);
    const char *twice[2] = {at("whole"), at("c")};
    wn_store_merge_opts o = {.common.out = at("x"), .stores = twice, .n_stores = 2};
    expect(wn_store_merge_job(&o), WN_EARG, "dtype is int8 there, but f32");
    o.store_dtype = "f32";
    expect(wn_store_merge_job(&o), WN_EARG, "has a row of that id too");
    cr_assert_eq(make(at("d"), "n", 3, 5, false), WN_OK);
    twice[1] = at("d");
    expect(wn_store_merge_job(&o), WN_EARG, "model is \"m\" there, but \"n\" here");
    cr_assert_not(wn_file_exists(at("x")));
}

/* A store of the first format: still read, checked by its own hashes, never written on. */
Test(store, the_first_format_is_read, .init = set_up, .fini = tear_down)
{
    char head[64] = "WNSTORE1";
    uint32_t type = 1, dim = DIM;
    uint64_t rows = 20;
    cr_assert_eq(make(at("s"), "m", rows, 5, false), WN_OK);
    wn_store *s = open_store(at("s"));
    memcpy(head + 8, &type, 4);
    memcpy(head + 12, &dim, 4);
    memcpy(head + 16, &rows, 8);
    wn_out out;
    cr_assert_eq(wn_out_open(&out, at("rows")), WN_OK);
    wn_out_write(&out, head, 64);
    wn_out_write(&out, wn_store_vector(s, 0), rows * DIM * sizeof(float));
    cr_assert_eq(wn_out_commit(&out), WN_OK);
    json_t *m = json_deep_copy(wn_store_manifest(s)), *files = json_object();
    float last[DIM];
    memcpy(last, wn_store_vector(s, 19), sizeof last);
    wn_store_close(s);
    cr_assert_eq(wn_rename(at("rows"), at("s/rows.bin")), WN_OK);
    unlink(at("s/sums.bin"));
    static const char *const name[] = {"rows.bin", "meta.bin", "ids.txt", "tasks.txt"};
    for (int i = 0; i < 4; i++) {
        char hex[WN_SHA_HEX], path[256];
        snprintf(path, sizeof path, "%s/%s", at("s"), name[i]);
        cr_assert_eq(wn_sha_file(hex, path), WN_OK);
        json_object_set_new(files, name[i], json_string(hex));
    }
    json_object_set_new(m, "files", files);
    json_object_set_new(m, "format", json_string("winnow-store-1"));
    json_object_del(m, "sums_sha256");
    cr_assert_eq(wn_manifest_write(at("s/store.json"), m), WN_OK);
    json_decref(m);
    s = open_store(at("s"));
    cr_assert_eq(memcmp(last, wn_store_vector(s, 19), sizeof last), 0);
    cr_assert_eq(wn_store_verify(s, 0, 20), WN_OK);
    wn_store_close(s);
    char *json;
    cr_assert_eq(wn_store_check_job(at("s"), &json), WN_OK, "%s", wn_error_text());
    wn_free(json);
    must_merge(at("new"), at("s"), NULL, NULL);
    s = open_store(at("new"));
    cr_assert_eq(memcmp(last, wn_store_vector(s, 19), sizeof last), 0);
    wn_store_close(s);
    /* it has no checksums at open: whatever stands in its files, nobody reads out of bounds */
    for (uint64_t i = 0; i < 800; i++) {
        wn_map file;
        char path[32];
        snprintf(path, sizeof path, "s/%s", name[i % 4]);
        cr_assert_eq(wn_map_open(&file, at(path)), WN_OK);
        uint64_t size = i % 4 == 0 ? 24 : file.size, place = wn_rng_u64(13, 1, i) % size;
        int was = (unsigned char)file.data[place];
        wn_map_close(&file);
        damage(path, (long)place, (int)(wn_rng_u64(13, 2, i) % 256));
        if (wn_store_open(&s, at("s")) == WN_OK) {
            size_t bytes = 0;
            for (uint64_t r = 0; r < wn_store_rows(s); r++)
                bytes += wn_store_id(s, r).len + strlen(wn_store_task(s, r)) +
                         (size_t)isnan(wn_store_vector(s, r)[DIM - 1]);
            cr_assert(bytes > 0);
            wn_store_close(s);
        }
        damage(path, (long)place, was);
    }
    damage("s/rows.bin", 100, 'x');
    expect(wn_store_check_job(at("s"), &json), WN_EFORMAT, "rows.bin: expected SHA-256");
}

static void rows_file(const char *name, int rows, int changed)
{
    wn_str s = {0};
    for (int i = 0; i < rows; i++)
        wn_str_printf(&s,
                      "{\"id\": \"r%d\", \"task\": \"t\", \"prompt\": \"%s %d\", \"target\": "
                      "\"x\"}\n",
                      i, i == changed ? "other" : "word", i);
    cr_assert_eq(wn_file_write(at(name), s.p, s.len), WN_OK);
    wn_str_free(&s);
}

static wn_err fill_from(const char *path, const char *rows, const char *model)
{
    wn_pool *p;
    wn_store_writer *w;
    uint64_t done;
    json_t *m = manifest(model);
    wn_row row = {0};
    cr_assert_eq(wn_pool_open(&p, rows, NULL, true), WN_OK);
    wn_err err = wn_store_grow(path, p, m, DIM, layout);
    if (err == WN_OK)
        err = wn_store_writer_open(&w, path, m, DIM, layout, false, &done);
    if (err == WN_OK) {
        for (uint64_t r = done; r < wn_pool_rows(p); r++) {
            float v[DIM] = {(float)r};
            cr_assert_eq(wn_pool_row(p, r, &row), WN_OK);
            cr_assert_eq(
                wn_store_writer_add(w, &(wn_store_row){.vector = v,
                                                       .id = row.id,
                                                       .task = row.task,
                                                       .text_hash = wn_pool_text_hash(p, r)}),
                WN_OK);
        }
        err = wn_store_writer_finish(w, NULL);
    }
    wn_row_free(&row);
    wn_pool_close(p);
    json_decref(m);
    return err;
}

/* A grown pool: the store ends with the bytes of one made at once; anything else is refused. */
Test(store, a_grown_pool_is_gone_on_with, .init = set_up, .fini = tear_down)
{
    static const char *const files[] = {"store.json", "rows.bin",  "rows.1.bin", "meta.bin",
                                        "ids.txt",    "tasks.txt", "sums.bin"};
    layout = &small;
    rows_file("few", 3000, -1);
    rows_file("more", 5000, -1);
    rows_file("changed", 5000, 1234);
    cr_assert_eq(fill_from(at("s"), at("few"), "m"), WN_OK, "%s", wn_error_text());
    expect(fill_from(at("s"), at("few"), "m"), WN_EARG, "finished store is there already");
    expect(fill_from(at("s"), at("changed"), "m"), WN_EARG, "row 1234 (r1234): its text is not");
    expect(fill_from(at("s"), at("more"), "n"), WN_EARG, "model is \"m\" there, but \"n\" here");
    cr_assert(wn_is_store(at("s")));
    cr_assert_eq(fill_from(at("s"), at("more"), "m"), WN_OK, "%s", wn_error_text());
    cr_assert_eq(fill_from(at("whole"), at("more"), "m"), WN_OK);
    for (int i = 0; i < 7; i++)
        same_file(at("s"), at("whole"), files[i]);
    cr_assert_eq(fill_from(at("t"), at("few"), "m"), WN_OK);
    damage("t/rows.bin", 5000, 'x');
    expect(fill_from(at("t"), at("more"), "m"), WN_EFORMAT, "rows.bin: block 0");
}

/* A handle goes on reading what it opened while the store grows, and while it is replaced. */
Test(store, readers_are_not_disturbed, .init = set_up, .fini = tear_down)
{
    float before[DIM], v[DIM];
    layout = &small;
    rows_file("few", 3000, -1);
    rows_file("more", 9000, -1);
    cr_assert_eq(fill_from(at("s"), at("few"), "m"), WN_OK);
    wn_store *s = open_store(at("s"));
    cr_assert_eq(wn_store_read(before, s, 2999, 1), WN_OK);
    wn_store_close(s);
    for (int turn = 0; turn < 2; turn++) {
        s = open_store(at("s"));
        uint64_t rows = wn_store_rows(s);
        cr_assert_eq(turn ? make(at("s"), "m", 10, 5, true) : fill_from(at("s"), at("more"), "m"),
                     WN_OK, "%s", wn_error_text());
        cr_assert_eq(wn_store_verify(s, 0, rows), WN_OK, "%s", wn_error_text());
        cr_assert_eq(wn_store_read(v, s, 2999, 1), WN_OK);
        cr_assert_eq(memcmp(v, before, sizeof v), 0);
        cr_assert(wn_span_is(wn_store_id(s, 2999), "r2999"));
        wn_store_close(s);
    }
}

/* Any bit of any file but store.json, flipped: the check finds it, and nobody reads out of bounds.
 */
Test(store, any_flipped_bit_is_found, .init = set_up, .fini = tear_down)
{
    static const char *const name[] = {"s/rows.bin", "s/rows.1.bin", "s/meta.bin",
                                       "s/ids.txt",  "s/tasks.txt",  "s/sums.bin"};
    layout = &(wn_store_layout){"int8", 1};
    cr_assert_eq(make(at("s"), "m", 5000, 1000, false), WN_OK);
    for (uint64_t i = 0; i < 600; i++) {
        const char *path = at(name[i % 6]);
        wn_map m;
        cr_assert_eq(wn_map_open(&m, path), WN_OK);
        /* half of the flips in the first bytes, where the fields are */
        uint64_t size = m.size, r = wn_rng_u64(11, 1, i);
        uint64_t place = r / 16 % (r % 2 && size > 64 ? 64 : size);
        int was = (unsigned char)m.data[place];
        char *json = NULL;
        wn_map_close(&m);
        damage(name[i % 6], (long)place, was ^ 1 << (r / 2 % 8));
        cr_assert_neq(wn_store_check_job(at("s"), &json), WN_OK, "%s: byte %d", name[i % 6],
                      (int)place);
        damage(name[i % 6], (long)place, was);
    }
    char *json;
    cr_assert_eq(wn_store_check_job(at("s"), &json), WN_OK, "%s", wn_error_text());
    wn_free(json);
}
