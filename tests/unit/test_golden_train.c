/* Training against PyTorch: ten updates of an adapter and of all parameters, first put together
 * from the parts, then as the whole job on a file of rows. */
#include <unistd.h>

#include "golden_model.h"
#include "io/file.h"
#include "io/json.h"
#include "train/train.h"

enum { STEPS = 10, BATCH = 3, ROWS = 9 };

#define LOSS_LIMIT  1e-4 /* relative, at any of the ten updates */
#define VALUE_LIMIT 1e-4 /* of a tensor's norm, behind the last one */

static const char *const base = "models/llama-tiny";

static void near_number(double got, double want, double limit, const char *what, size_t step)
{
    cr_expect(fabs(got - want) <= limit * fabs(want), "%s of update %zu: %.9g, expected %.9g", what,
              step, got, want);
}

static void check_values(const wn_safetensors *got, const wn_safetensors *e, const char *kind)
{
    size_t length = strlen(kind), seen = 0;
    for (size_t i = 0; i < wn_safetensors_count(e); i++) {
        const wn_tensor *t = wn_safetensors_at(e, i);
        if (strncmp(t->name, kind, length) != 0 || strncmp(t->name + length, "value.", 6) != 0)
            continue;
        const char *name = t->name + length + 6;
        size_t n, m;
        float *want = golden_f32(e, &n, "%s", t->name), *have = golden_f32(got, &m, "%s", name);
        cr_assert_eq(n, m, "%s: %zu elements, expected %zu", name, m, n);
        GOLDEN_NEAR(have, want, n, VALUE_LIMIT, "%s", name);
        seen++;
    }
    cr_expect_eq(seen, wn_safetensors_count(got), "%zu tensors, expected %zu",
                 wn_safetensors_count(got), seen);
}

/* ---- by parts ----------------------------------------------------------------------------------
 */

static void check_parts(bool full, const char *kind, double lr)
{
    wn_model *m = golden_model(base, full, full ? NULL : "adapter");
    wn_safetensors *e = golden_open(base);
    wn_params *ps = wn_model_params(m);
    wn_optim optim;
    wn_schedule schedule;
    wn_sink sink = wn_sink_train();
    int32_t *tokens = golden_i32(e, NULL, "rows.count");
    float *losses = golden_f32(e, NULL, "%sloss", kind), *rates = golden_f32(e, NULL, "%slr", kind);
    float *norms = golden_f32(e, NULL, "%snorm", kind);
    GOLDEN_OK(wn_optim_init(&optim, &(wn_optim_opts){.weight_decay = 0.01}, ps));
    GOLDEN_OK(wn_schedule_parse(&schedule, &(wn_schedule_opts){.warmup = "2"}, STEPS));
    for (size_t step = 0; step < STEPS; step++) {
        size_t at = BATCH * step % ROWS;
        golden_batch g = golden_rows_of(e, at, BATCH);
        float weight[BATCH];
        double nll[BATCH], loss = 0;
        uint32_t count[BATCH];
        for (size_t i = 0; i < BATCH; i++)
            weight[i] = 1.0F / (float)(BATCH * tokens[at + i]);
        wn_work *w = golden_work(m, &g, true);
        wn_params_zero_grads(ps);
        GOLDEN_OK(wn_model_loss_back(m, w, &g.b, weight, 0, step, nll, count, &sink));
        wn_work_free(w);
        for (size_t i = 0; i < BATCH; i++)
            loss += nll[i] / tokens[at + i] / BATCH;
        double rate = lr * wn_schedule_factor(&schedule, step), norm = wn_grad_norm(ps);
        near_number(loss, losses[step], LOSS_LIMIT, "loss", step);
        near_number(norm, norms[step], 1e-3, "gradient norm", step);
        near_number(rate, rates[step], 1e-6, "learning rate", step);
        wn_optim_step(&optim, ps, rate, fmin(1, 1.0 / (norm + 1e-6)), 0);
        wn_model_refresh(m);
    }
    for (size_t i = 0; i < ps->n; i++) {
        const wn_param *p = &ps->p[i];
        size_t n;
        if (!p->trainable)
            continue;
        float *want = golden_f32(e, &n, "%svalue.%s", kind, p->name);
        GOLDEN_NEAR(p->value, want, n, VALUE_LIMIT, "%s", p->name);
    }
    wn_optim_free(&optim);
    wn_safetensors_close(e);
    wn_model_close(m);
}

Test(golden_train, adapter_by_parts)
{
    check_parts(false, "lora_steps.", 1e-2);
}

Test(golden_train, all_parameters_by_parts)
{
    check_parts(true, "full_steps.", 1e-3);
}

/* ---- as a job ----------------------------------------------------------------------------------
 */

static char scratch[] = "/tmp/winnow-golden-XXXXXX";

static void make_scratch(void)
{
    cr_assert(mkdtemp(scratch));
}

static void remove_scratch(void)
{
    GOLDEN_OK(wn_remove_tree(scratch));
}

TestSuite(golden_train_job, .init = make_scratch, .fini = remove_scratch);

/* Runs the job of the goldens into SCRATCH/name. */
static void train(char out[GOLDEN_PATH], const char *name, bool full, size_t batch_tokens)
{
    char model[GOLDEN_PATH], adapter[GOLDEN_PATH], data[GOLDEN_PATH];
    snprintf(out, GOLDEN_PATH, "%s/%s", scratch, name);
    wn_train_opts o = {
        .common = {.out = out, .precision = WN_PRECISION_F32},
        .model = golden_path(model, "%s", base),
        .adapter = full ? NULL : golden_path(adapter, "%s/adapter", base),
        .data = golden_path(data, "models/rows.jsonl"),
        .method = full ? "full" : "lora",
        .steps = STEPS,
        .lr = full ? 1e-3 : 1e-2,
        .batch = BATCH,
        .schedule = "linear",
        .warmup = "2",
        .clip_norm = 1,
        .weight_decay = 0.01,
        .shuffle = "no",
        .max_batch_tokens = batch_tokens,
    };
    GOLDEN_OK(wn_train_job(&o));
}

static void check_log(const char *out, const wn_safetensors *e, const char *kind)
{
    char path[GOLDEN_PATH + 32];
    wn_lines *lines;
    wn_span line;
    wn_err err = WN_OK;
    float *losses = golden_f32(e, NULL, "%sloss", kind), *rates = golden_f32(e, NULL, "%slr", kind);
    size_t n = 0;
    snprintf(path, sizeof path, "%s/train.jsonl", out);
    GOLDEN_OK(wn_lines_open(&lines, path));
    while (wn_lines_next(lines, &line, &err)) {
        json_t *v = NULL;
        double loss = NAN, lr = NAN;
        uint64_t step = 0;
        GOLDEN_OK(wn_json_parse(&v, line.p, line.len, path));
        GOLDEN_OK(wn_json_get_u64(&step, v, "step", true, path));
        GOLDEN_OK(wn_json_get_number(&loss, v, "loss", true, path));
        GOLDEN_OK(wn_json_get_number(&lr, v, "lr", true, path));
        cr_assert_lt(n, STEPS);
        cr_expect_eq(step, n + 1);
        near_number(loss, losses[n], LOSS_LIMIT, "loss", n);
        near_number(lr, rates[n], 1e-6, "learning rate", n);
        json_decref(v);
        n++;
    }
    GOLDEN_OK(err);
    cr_expect_eq(n, STEPS);
    wn_lines_close(lines);
}

Test(golden_train_job, adapter)
{
    char out[GOLDEN_PATH], path[GOLDEN_PATH + 32];
    wn_safetensors *e = golden_open(base), *got = NULL;
    train(out, "adapter", false, 0);
    check_log(out, e, "lora_steps.");
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", out);
    GOLDEN_OK(wn_safetensors_open(&got, path));
    check_values(got, e, "lora_steps.");
    wn_safetensors_close(got);
    wn_safetensors_close(e);
}

Test(golden_train_job, all_parameters)
{
    char out[GOLDEN_PATH];
    wn_safetensors *e = golden_open(base), *got = NULL;
    train(out, "full", true, 0);
    check_log(out, e, "full_steps.");
    GOLDEN_OK(wn_safetensors_open(&got, out));
    check_values(got, e, "full_steps.");
    wn_safetensors_close(got);
    wn_safetensors_close(e);
}

static void same_file(const char *a, const char *b, const char *name)
{
    char path[GOLDEN_PATH + 64];
    char *x, *y;
    size_t nx, ny;
    snprintf(path, sizeof path, "%s/%s", a, name);
    GOLDEN_OK(wn_file_read(&x, &nx, path, 1 << 26));
    snprintf(path, sizeof path, "%s/%s", b, name);
    GOLDEN_OK(wn_file_read(&y, &ny, path, 1 << 26));
    cr_expect(nx == ny && !memcmp(x, y, nx), "%s differs", name);
    wn_free(x);
    wn_free(y);
}

/* How many tokens are computed at once changes memory, never the result; nor does the number of
 * threads. */
Test(golden_train_job, any_cut_of_a_batch)
{
    char one[GOLDEN_PATH], two[GOLDEN_PATH];
    train(one, "one", false, 4096);
    wn_set_threads(3);
    train(two, "two", false, 1);
    same_file(one, two, "adapter_model.safetensors");
    same_file(one, two, "train.json");
}
