/* Checks this machine and the maths with small built-in cases: nothing is read but the tables
 * below, so a failure points at the processor, a library or the build, never at data. Each check
 * compares two ways to the same number: published vectors, the plain kernels, double sums, finite
 * differences, other thread counts. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"
#include "base/str.h"
#include "io/file.h"
#include "io/json.h"
#include "kernel/kernel.h"

typedef struct verdict {
    bool ok;
    char detail[400];
} verdict;

static void fill(float *x, size_t n, uint64_t seed, float scale)
{
    for (size_t i = 0; i < n; i++)
        x[i] = scale * (float)wn_rng_normal(seed, WN_STREAM_TEST, i);
}

/* Largest difference relative to the RMS of `want`. */
static double distance(const float *got, const float *want, size_t n)
{
    double most = 0, sum = 0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)got[i] - (double)want[i]);
        if (!(d <= most))
            most = d; /* a NaN stays */
        sum += (double)want[i] * (double)want[i];
    }
    return most / (sqrt(sum / (double)n) + 1e-30);
}

static void within(verdict *v, const char *what, double d, double limit)
{
    size_t used = strlen(v->detail);
    bool ok = d <= limit;
    v->ok = v->ok && ok;
    snprintf(v->detail + used, sizeof v->detail - used, "%s%s %.1e%s", used ? ", " : "", what, d,
             ok ? "" : " (too far)");
}

/* Vectors of the Random123 distribution (Salmon, Moraes, Dror, Shaw 2011). */
static wn_err check_philox(verdict *v, const char *dir)
{
    (void)dir;
    static const uint32_t table[3][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {~0u, ~0u, ~0u, ~0u, ~0u, ~0u, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09,
         0x94fdcceb, 0x5001e420, 0x24126ea1}};
    for (size_t i = 0; i < 3; i++) {
        uint32_t out[4];
        wn_philox(out, table[i], table[i] + 4);
        if (memcmp(out, table[i] + 6, sizeof out) != 0)
            v->ok = false;
    }
    snprintf(v->detail, sizeof v->detail, "Philox4x32-10, 3 published vectors");
    return WN_OK;
}

/* ---- matrix products ---- */

enum { M = 37, N = 45, K = 131 };

static void product64(float *c, const float *x, const float *w)
{
    for (size_t i = 0; i < M; i++) {
        for (size_t j = 0; j < N; j++) {
            double sum = 0;
            for (size_t k = 0; k < K; k++)
                sum += (double)x[i * K + k] * (double)w[j * K + k];
            c[i * N + j] = (float)sum;
        }
    }
}

static void packed_product(float *y, const float *x, const float *w, void *panel, wn_mat_kind kind)
{
    wn_mat m = {.N = N, .K = K, .kind = kind, .panel = panel};
    wn_mat_pack(&m, w, 0, N);
    wn_mm(y, N, x, K, &m, NULL, M, 0);
}

static wn_err check_products(verdict *v, const char *dir)
{
    (void)dir;
    wn_arena a = {0};
    size_t floats = M * K + N * K + 2 * M * N;
    WN_TRY(
        wn_arena_init(&a, (floats + 128) * sizeof(float) + wn_mat_bytes(WN_MAT_F32, N, K) + 1024));
    float *x = wn_arena_push(&a, M * K * sizeof(float)),
          *w = wn_arena_push(&a, N * K * sizeof(float));
    float *want = wn_arena_push(&a, M * N * sizeof(float)),
          *y = wn_arena_push(&a, M * N * sizeof(float));
    void *panel = wn_arena_push(&a, wn_mat_bytes(WN_MAT_F32, N, K));
    fill(x, M * K, 1, 1);
    fill(w, N * K, 2, 1);
    product64(want, x, w);
    wn_gemm(false, true, M, N, K, 1, x, K, w, K, false, y, N);
    within(v, "f32 against double", distance(y, want, M * N), 1e-5);
    packed_product(y, x, w, panel, WN_MAT_F32);
    within(v, "packed", distance(y, want, M * N), 1e-5);
    packed_product(y, x, w, panel, WN_MAT_BF16);
    within(v, wn_cpu_fast_bf16() ? "bf16 (native)" : "bf16 (emulated)", distance(y, want, M * N),
           4e-2);
    packed_product(y, x, w, panel, WN_MAT_INT8);
    within(v, "int8", distance(y, want, M * N), 1e-1);
    wn_arena_free(&a);
    return WN_OK;
}

/* ---- kernels against the plain reference ---- */

enum { ROWS = 7, WIDTH = 83 };

typedef struct outputs {
    float rms[ROWS * WIDTH], layer[ROWS * WIDTH], act[ROWS * WIDTH], nll[ROWS], lse[ROWS];
} outputs;

static void run_kernels(outputs *o, const float *x, const float *g)
{
    static const int32_t label[ROWS] = {0, 5, WIDTH - 1, 3, 3, 40, 41};
    float logits[ROWS * WIDTH];
    memcpy(logits, x, sizeof logits);
    wn_rmsnorm(o->rms, NULL, x, g, ROWS, WIDTH, 1e-6f);
    wn_layernorm(o->layer, NULL, NULL, x, g, g, ROWS, WIDTH, 1e-6f);
    wn_act_gate(o->act, x, g, WIDTH, 1, WIDTH, WN_ACT_SILU);
    wn_act_gate(o->act + WIDTH, x, NULL, WIDTH, ROWS - 1, WIDTH, WN_ACT_GELU);
    wn_softmax_nll(o->nll, o->lse, logits, label, ROWS, WIDTH, 0);
}

static wn_err check_kernels(verdict *v, const char *dir)
{
    (void)dir;
    outputs *o = wn_calloc(2, sizeof *o);
    if (o == NULL)
        return WN_ENOMEM;
    float x[ROWS * WIDTH], g[WIDTH];
    fill(x, ROWS * WIDTH, 3, 2);
    fill(g, WIDTH, 4, 1);
    run_kernels(&o[0], x, g);
    const char *name = wn_kernel_name();
    wn_kernel_use("ref");
    run_kernels(&o[1], x, g);
    wn_kernel_use(name);
    snprintf(v->detail, sizeof v->detail, "%s against ref", name);
    within(v, "rmsnorm", distance(o[0].rms, o[1].rms, ROWS * WIDTH), 1e-5);
    within(v, "layernorm", distance(o[0].layer, o[1].layer, ROWS * WIDTH), 1e-5);
    within(v, "activations", distance(o[0].act, o[1].act, ROWS * WIDTH), 1e-5);
    within(v, "cross-entropy", distance(o[0].nll, o[1].nll, ROWS), 1e-5);
    wn_free(o);
    return WN_OK;
}

/* ---- attention: its gradient against finite differences ---- */

enum { T = 19, HEADS = 4, GROUPS = 2, HEAD = 8, Q = T * HEADS * HEAD, KV = T * GROUPS * HEAD };

typedef struct attention_case {
    float q[Q], k[KV], v[KV], o[Q], w[Q], lse[T * HEADS];
    float dq[Q], dk[KV], dv[KV], uq[Q], uk[KV], uv[KV];
} attention_case;

static double weighted_output(attention_case *c, const wn_attn *a, float step)
{
    float q[Q], k[KV], v[KV];
    for (size_t i = 0; i < Q; i++)
        q[i] = c->q[i] + step * c->uq[i];
    for (size_t i = 0; i < KV; i++) {
        k[i] = c->k[i] + step * c->uk[i];
        v[i] = c->v[i] + step * c->uv[i];
    }
    wn_attention(c->o, c->lse, q, k, v, a);
    return wn_dot64(c->o, c->w, Q);
}

static wn_err check_gradient(verdict *v, const char *dir)
{
    (void)dir;
    static const uint32_t q0[] = {0, 8, T}, pre[] = {0, 0, 0, 8}, own[] = {0, 8, 8, T};
    wn_attn a = {.S = 2,
                 .q0 = q0,
                 .pre = pre,
                 .own = own,
                 .H = HEADS,
                 .G = GROUPS,
                 .d = HEAD,
                 .dv = HEAD,
                 .ldq = HEADS * HEAD,
                 .ldk = GROUPS * HEAD,
                 .ldv = GROUPS * HEAD,
                 .ldo = HEADS * HEAD,
                 .causal = true,
                 .scale = 0.35f};
    attention_case *c = wn_calloc(1, sizeof *c);
    if (c == NULL)
        return WN_ENOMEM;
    fill(c->q, Q, 5, 1);
    fill(c->k, KV, 6, 1);
    fill(c->v, KV, 7, 1);
    fill(c->w, Q, 8, 1);
    fill(c->uq, Q, 9, 1);
    fill(c->uk, KV, 10, 1);
    fill(c->uv, KV, 11, 1);
    const float h = 1e-2f;
    double slope = (weighted_output(c, &a, h) - weighted_output(c, &a, -h)) / (2 * (double)h);
    weighted_output(c, &a, 0);
    wn_attention_back(c->dq, c->dk, c->dv, NULL, c->w, c->o, c->lse, c->q, c->k, c->v, &a);
    double along =
        wn_dot64(c->dq, c->uq, Q) + wn_dot64(c->dk, c->uk, KV) + wn_dot64(c->dv, c->uv, KV);
    within(v, "attention with shared keys, along a random line", fabs(slope - along) / fabs(along),
           2e-3);
    wn_free(c);
    return WN_OK;
}

/* ---- threads, files ---- */

enum { SIDE = 200 };

static wn_err check_threads(verdict *v, const char *dir)
{
    (void)dir;
    enum { CELLS = SIDE * SIDE };
    float *x = wn_calloc(4 * CELLS, sizeof *x);
    if (x == NULL)
        return WN_ENOMEM;
    int threads = wn_par_threads(), tried[] = {1, 2, threads};
    fill(x, 2 * CELLS, 12, 1);
    for (size_t i = 0; i < 3; i++) {
        float *y = x + (i == 0 ? 2 : 3) * CELLS;
        wn_par_set_threads(tried[i]);
        wn_gemm(false, true, SIDE, SIDE, SIDE, 1, x, SIDE, x + CELLS, SIDE, false, y, SIDE);
        if (memcmp(y, x + 2 * CELLS, CELLS * sizeof *y) != 0)
            v->ok = false;
    }
    wn_par_set_threads(threads);
    snprintf(v->detail, sizeof v->detail, "a product with 1, 2 and %d threads: %s", threads,
             v->ok ? "the same bytes" : "bytes differ");
    wn_free(x);
    return WN_OK;
}

/* A file that a crash may not cut: temporary, fsync, rename, fsync of the folder; then read again.
 */
static wn_err check_files(verdict *v, const char *dir)
{
    static const char text[] = "winnow doctor\n";
    char *path = NULL, *back = NULL;
    size_t len = 0;
    WN_TRY(wn_path_join(&path, dir, ".winnow-doctor"));
    wn_err err = wn_file_write(path, text, sizeof text - 1);
    if (err == WN_OK)
        err = wn_file_read(&back, &len, path, 1024);
    v->ok = err == WN_OK && len == sizeof text - 1 && memcmp(back, text, len) == 0;
    snprintf(v->detail, sizeof v->detail, "%.200s: %.180s", dir,
             v->ok          ? "fsync, rename and reading again"
             : err == WN_OK ? "other bytes came back"
                            : wn_error_text());
    if (wn_file_exists(path) && wn_remove_tree(path) != WN_OK)
        v->ok = false;
    wn_free(path);
    wn_free(back);
    return WN_OK;
}

static wn_err check_bf16(verdict *v, const char *dir)
{
    (void)dir;
    snprintf(v->detail, sizeof v->detail, "%s",
             wn_cpu_fast_bf16() ? "native: --precision auto computes products in bf16"
                                : "emulated: --precision auto computes products in f32");
    return WN_OK;
}

static const struct {
    const char *name;
    wn_err (*run)(verdict *v, const char *dir);
} checks[] = {{"random numbers", check_philox},
              {"matrix products", check_products},
              {"kernels", check_kernels},
              {"gradient", check_gradient},
              {"threads", check_threads},
              {"files", check_files},
              {"bf16", check_bf16}};

static wn_err run_all(json_t *list, const char *dir, bool *all_ok)
{
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        verdict v = {.ok = true};
        WN_TRY(checks[i].run(&v, dir));
        json_t *row = json_pack("{s:s,s:b,s:s#}", "name", checks[i].name, "ok", v.ok, "detail",
                                v.detail, (int)strlen(v.detail));
        if (row == NULL)
            row = json_pack("{s:s,s:b,s:s}", "name", checks[i].name, "ok", v.ok, "detail",
                            "not UTF-8");
        if (row == NULL || json_array_append_new(list, row) != 0)
            return wn_fail_nomem(0, "doctor");
        *all_ok = *all_ok && v.ok;
    }
    return WN_OK;
}

wn_err wn_doctor_job(const char *dir, char **json, bool *all_ok)
{
    *json = NULL;
    *all_ok = true;
    json_t *list = json_array();
    wn_err err = list ? run_all(list, dir ? dir : ".", all_ok) : wn_fail_nomem(0, "doctor");
    json_t *o = err == WN_OK ? json_pack("{s:O,s:b}", "checks", list, "ok", *all_ok) : NULL;
    json_decref(list);
    if (err == WN_OK && o == NULL)
        err = wn_fail_nomem(0, "doctor");
    wn_str s = {0};
    if (err == WN_OK)
        err = wn_json_dump(&s, o, 2, false);
    json_decref(o);
    if (err != WN_OK)
        wn_str_free(&s);
    *json = s.p;
    return err;
}
