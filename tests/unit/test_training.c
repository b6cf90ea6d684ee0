/* The job of `winnow train` on tiny models: what must not change its bytes, and what must. */
#include <unistd.h>

#include "golden_model.h"
#include "io/file.h"
#include "io/json.h"
#include "train/order.h"
#include "train/train.h"

static char scratch[] = "/tmp/winnow-training-XXXXXX";

static void make_scratch(void)
{
    cr_assert(mkdtemp(scratch));
}

static void remove_scratch(void)
{
    GOLDEN_OK(wn_remove_tree(scratch));
}

TestSuite(training, .init = make_scratch, .fini = remove_scratch);

static const char *in_scratch(const char *name)
{
    char *path = golden_alloc(GOLDEN_PATH, 1);
    snprintf(path, GOLDEN_PATH, "%s/%s", scratch, name);
    return path;
}

static const char *in_goldens(const char *name)
{
    return golden_path(golden_alloc(GOLDEN_PATH, 1), "%s", name);
}

/* Options of a short run of the tiny Llama into SCRATCH/out. */
static wn_train_opts short_run(const char *out)
{
    return (wn_train_opts){.common = {.out = in_scratch(out), .precision = WN_PRECISION_F32},
                           .model = in_goldens("models/llama-tiny"),
                           .data = in_goldens("models/rows.jsonl"),
                           .rank = 3,
                           .steps = 7,
                           .lr = 1e-2,
                           .batch = 4};
}

static wn_train_opts full_run(const char *out)
{
    wn_train_opts o = short_run(out);
    o.method = "full";
    o.rank = 0;
    o.lr = 1e-3;
    return o;
}

static bool same_file(const char *a, const char *b, const char *name)
{
    char path[GOLDEN_PATH + 64];
    char *x, *y;
    size_t nx, ny;
    snprintf(path, sizeof path, "%s/%s/%s", scratch, a, name);
    GOLDEN_OK(wn_file_read(&x, &nx, path, 1 << 26));
    snprintf(path, sizeof path, "%s/%s/%s", scratch, b, name);
    GOLDEN_OK(wn_file_read(&y, &ny, path, 1 << 26));
    bool same = nx == ny && !memcmp(x, y, nx);
    wn_free(x);
    wn_free(y);
    return same;
}

#define ADAPTER "adapter_model.safetensors"
#define MODEL   "model.safetensors"

/* The lines of a run's log that have a member, its value in x [most]; returns their number. */
static size_t logged(const char *out, const char *key, double *x, size_t most)
{
    wn_lines *lines;
    wn_span line;
    wn_err err = WN_OK;
    size_t n = 0;
    char path[GOLDEN_PATH + 32];
    snprintf(path, sizeof path, "%s/%s/train.jsonl", scratch, out);
    GOLDEN_OK(wn_lines_open(&lines, path));
    while (wn_lines_next(lines, &line, &err)) {
        json_t *v = NULL;
        GOLDEN_OK(wn_json_parse(&v, line.p, line.len, path));
        if (json_object_get(v, key) && n < most)
            x[n++] = json_number_value(json_object_get(v, key));
        json_decref(v);
    }
    GOLDEN_OK(err);
    wn_lines_close(lines);
    return n;
}

/* ---- a run that is stopped ---------------------------------------------------------------------
 */

static bool stop(void *ctx, const char *stage, const char *unit, uint64_t done, uint64_t total,
                 const char *note)
{
    (void)ctx, (void)stage, (void)unit, (void)done, (void)total, (void)note;
    return false;
}

/* Three stops behind an update each, then to the end; against one that was left alone. */
static void check_stops(wn_train_opts whole, wn_train_opts parts, const char *file)
{
    GOLDEN_OK(wn_train_job(&whole));
    for (int i = 0; i < 3; i++) {
        usleep(250000); /* progress is reported a few times a second */
        wn_set_progress(stop, NULL);
        cr_assert_eq(wn_train_job(&parts), WN_ESTOP, "%s", wn_error_message());
        wn_set_progress(NULL, NULL);
    }
    GOLDEN_OK(wn_train_job(&parts));
    cr_expect(same_file("whole", "parts", file), "%s %s: other weights",
              whole.optimizer ? whole.optimizer : "", whole.state ? whole.state : "");
    cr_expect(same_file("whole", "parts", "train.json"));
}

static void set_optimizer(wn_train_opts *o, int i)
{
    static const char *const kinds[] = {"adamw", "adam", "lion", "sgd", "adafactor", "adafactor"};
    o->optimizer = kinds[i];
    o->momentum = strcmp(kinds[i], "sgd") == 0 ? 0.9 : 0;
    o->beta1 = i == 5 ? 0.9 : 0;
    o->common.overwrite = true;
}

Test(training, stopped_runs_end_with_the_same_bytes)
{
    for (int i = 0; i < 6; i++)
        for (int eight = 0; eight < (i < 3 ? 2 : 1); eight++) {
            wn_train_opts whole = short_run("whole"), parts = short_run("parts");
            set_optimizer(&whole, i);
            set_optimizer(&parts, i);
            whole.state = parts.state = eight ? "8bit" : NULL;
            GOLDEN_OK(wn_remove_tree(in_scratch("parts")));
            parts.common.overwrite = false;
            check_stops(whole, parts, ADAPTER);
        }
}

Test(training, stopped_runs_of_every_method)
{
    static const char *const methods[] = {"full", "ia3"};
    for (int i = 0; i < 2; i++) {
        wn_train_opts whole = full_run("whole"), parts = full_run("parts");
        whole.method = parts.method = methods[i];
        whole.common.overwrite = true;
        whole.dropout = parts.dropout = "0.1";
        whole.batch = parts.batch = 0;
        whole.batch_tokens = parts.batch_tokens = 60;
        whole.eval = parts.eval = in_goldens("models/rank.jsonl");
        whole.eval_every = parts.eval_every = 2;
        whole.keep = parts.keep = "both";
        GOLDEN_OK(wn_remove_tree(in_scratch("parts")));
        check_stops(whole, parts, i ? ADAPTER : MODEL);
        cr_expect(same_file("whole", "parts", i ? "best/" ADAPTER : "best/" MODEL));
    }
}

/* ---- what changes no byte ----------------------------------------------------------------------
 */

static void check_same(wn_train_opts a, wn_train_opts b, const char *file, const char *what)
{
    a.common.overwrite = b.common.overwrite = true;
    a.common.out = in_scratch("a");
    b.common.out = in_scratch("b");
    GOLDEN_OK(wn_train_job(&a));
    wn_set_threads(3);
    GOLDEN_OK(wn_train_job(&b));
    wn_set_threads(0);
    cr_expect(same_file("a", "b", file), "%s changes the weights", what);
    cr_expect(same_file("a", "b", "train.json"), "%s changes the manifest", what);
}

/* Full fine-tuning sums over what is computed at once: equal to rounding. */
static void check_cut(wn_train_opts a, wn_train_opts b)
{
    wn_safetensors *x, *y;
    b.max_batch_tokens = 1;
    b.common.out = in_scratch("cut");
    a.common.out = in_scratch("uncut");
    a.common.overwrite = b.common.overwrite = true;
    GOLDEN_OK(wn_train_job(&a));
    GOLDEN_OK(wn_train_job(&b));
    GOLDEN_OK(wn_safetensors_open(&x, a.common.out));
    GOLDEN_OK(wn_safetensors_open(&y, b.common.out));
    for (size_t i = 0; i < wn_safetensors_count(x); i++) {
        const char *name = wn_safetensors_at(x, i)->name;
        size_t n;
        float *one = golden_f32(x, &n, "%s", name), *two = golden_f32(y, NULL, "%s", name);
        GOLDEN_NEAR(two, one, n, 1e-4, "%s", name);
    }
    wn_safetensors_close(x);
    wn_safetensors_close(y);
}

Test(training, cuts_threads_and_checkpointing)
{
    static const char *const dropout[] = {NULL, "0.3"};
    for (int d = 0; d < 2; d++) {
        wn_train_opts a = short_run("a"), b;
        a.dropout = dropout[d];
        b = a;
        b.checkpointing = "yes";
        check_same(a, b, ADAPTER, "lora: checkpointing");
        b.max_batch_tokens = 1;
        check_same(a, b, ADAPTER, "lora: a cut");
        a.method = b.method = "ia3";
        a.rank = b.rank = 0;
        check_same(a, b, ADAPTER, "ia3: a cut");
        a.method = b.method = "full";
        b.max_batch_tokens = 0;
        check_same(a, b, MODEL, "full: checkpointing");
        check_cut(a, b);
    }
}

/* What is computed again is rounded as what is kept. */
Test(training, checkpointing_in_bf16)
{
    static const char *const method[] = {"lora", "ia3", "full"};
    for (int i = 0; i < 3; i++) {
        wn_train_opts a = i == 2 ? full_run("a") : short_run("a"), b;
        a.common.precision = WN_PRECISION_BF16;
        a.method = method[i];
        a.rank = i ? 0 : 3;
        b = a;
        b.checkpointing = "yes";
        check_same(a, b, i == 2 ? MODEL : ADAPTER, method[i]);
    }
}

/* ---- the order of rows -------------------------------------------------------------------------
 */

static void write_text(const char *name, const char *text)
{
    GOLDEN_OK(wn_file_write(in_scratch(name), text, strlen(text)));
}

Test(training, an_order_file_is_the_pool_in_that_order)
{
    wn_train_opts a = short_run("a"), b = short_run("b");
    write_text("rows.jsonl", "{\"id\": \"x\", \"prompt\": \"Is water wet?\", \"target\": \"yes\"}\n"
                             "{\"id\": 7, \"prompt\": \"Capital of\", \"target\": \"Paris\"}\n"
                             "{\"id\": \"z\", \"prompt\": \"One and one\", \"target\": \"two\"}\n");
    write_text("turned.jsonl",
               "{\"id\": 7, \"prompt\": \"Capital of\", \"target\": \"Paris\"}\n"
               "{\"id\": \"x\", \"prompt\": \"Is water wet?\", \"target\": \"yes\"}\n"
               "{\"id\": \"again\", \"prompt\": \"Capital of\", \"target\": \"Paris\"}\n");
    write_text("order", "7\n{\"id\": \"x\"}\n\n{\"id\": 7}\n");
    a.data = in_scratch("rows.jsonl");
    a.order = in_scratch("order");
    b.data = in_scratch("turned.jsonl");
    b.shuffle = "no";
    a.batch = b.batch = 2;
    GOLDEN_OK(wn_train_job(&a));
    GOLDEN_OK(wn_train_job(&b));
    cr_expect(same_file("a", "b", ADAPTER));
    write_text("order", "7\nnosuch\n");
    a.common.overwrite = true;
    cr_expect_eq(wn_train_job(&a), WN_EARG);
    cr_expect(strstr(wn_error_message(), "order:2: id \"nosuch\""), "%s", wn_error_message());
}

/* Rows of 12, 3, 4, 9 tokens in updates of at most 10: 12 | 3 + 4 | 9. */
Test(training, updates_by_tokens)
{
    wn_data_row row[4] = {{.size = {.tokens = 5, .source = 7}},
                          {.size = {.tokens = 3}},
                          {.size = {.tokens = 4}},
                          {.size = {.tokens = 9}}};
    wn_data d = {.rows = 4, .row = row};
    wn_order o;
    static const uint64_t want[] = {1, 2, 1};
    GOLDEN_OK(wn_order_open(&o, &d, NULL, NULL, 0, false, 8, 10));
    uint64_t at = 0;
    for (int i = 0; i < 3; i++) {
        uint64_t n = wn_order_take(&o, 5, at);
        cr_expect_eq(n, want[i], "update %d takes %d", i, (int)n);
        at += n;
    }
    cr_expect_eq(wn_order_updates(&o, 2), 6);
    cr_expect_eq(wn_order_updates(&o, 1.5), 5);
    wn_order_close(&o);
}

/* ---- evaluation on the way ---------------------------------------------------------------------
 */

Test(training, the_best_is_kept_and_it_stops)
{
    double loss[64], accuracy[64], step[64];
    wn_train_opts o = short_run("run"), at_best = short_run("best");
    o.eval = in_goldens("models/rank.jsonl");
    o.eval_every = 1;
    o.patience = 4;
    o.steps = 60;
    o.lr = 5e-2;
    o.schedule = "constant";
    GOLDEN_OK(wn_train_job(&o));
    size_t n = logged("run", "eval_loss", loss, 64), best = 0;
    cr_expect_eq(logged("run", "eval_accuracy", accuracy, 64), n);
    cr_assert(n > 4 && n < 60, "%zu evaluations", n);
    for (size_t i = 0; i < n; i++) {
        best = loss[i] < loss[best] ? i : best;
        cr_expect(accuracy[i] >= 0 && accuracy[i] <= 1);
    }
    cr_expect_eq(n, best + 5, "it stopped %zu evaluations behind the best", n - 1 - best);
    cr_expect_eq(logged("run", "loss", step, 64), n);
    at_best = o;
    at_best.common.out = in_scratch("best");
    at_best.eval = NULL;
    at_best.eval_every = at_best.patience = 0;
    at_best.steps = best + 1;
    GOLDEN_OK(wn_train_job(&at_best));
    cr_expect(same_file("run", "best", ADAPTER), "not the weights of evaluation %zu", best);
}

/* ---- memory ------------------------------------------------------------------------------------
 */

Test(training, updates_allocate_nothing)
{
    static const char *const methods[] = {"lora", "full", "ia3"};
    wn_set_threads(1);
    for (int m = 0; m < 3; m++) {
        uint64_t calls[2];
        size_t peak[2];
        for (int i = 0; i < 2; i++) {
            char name[32];
            snprintf(name, sizeof name, "run%d%d", m, i);
            wn_train_opts o = full_run(name);
            o.method = methods[m];
            o.dropout = "0.1";
            o.steps = i ? 12 : 3;
            uint64_t before = wn_mem_calls();
            GOLDEN_OK(wn_train_job(&o));
            calls[i] = wn_mem_calls() - before;
            peak[i] = wn_mem_peak();
        }
        cr_expect_eq(calls[0], calls[1], "%s: nine more updates made %d more blocks", methods[m],
                     (int)(calls[1] - calls[0]));
        cr_expect(peak[1] - peak[0] < 8192, "%s: %zu bytes more", methods[m], peak[1] - peak[0]);
    }
}

Test(training, less_memory_where_it_is_asked_for)
{
    wn_train_opts o = short_run("run");
    o.max_batch_tokens = 200;
    o.batch = 9;
    o.common.overwrite = true;
    size_t limit = 0;
    for (size_t kb = 4000; kb > 100 && !limit; kb -= 20) { /* the largest that is too small */
        o.common.max_memory = kb << 10;
        limit = wn_train_job(&o) == WN_ENOMEM ? kb << 10 : 0;
    }
    cr_assert_gt(limit, 0);
    o.common.max_memory = limit;
    o.checkpointing = "auto";
    GOLDEN_OK(wn_train_job(&o));
}
