/* Kernel speeds, one JSON line a case: matrix products as a share of the rate of bare multiply-adds, which
 * the same run measures, with oneDNN beside them; attention in tokens per second. Each figure is
 * the best of several repetitions of a case, since other work on the machine can only slow it down.
 *
 * bench_kernel [all|mm|bf16|gemm|attention [most threads [least threads]]] */
#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"
#include "kernel/table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* With one thread the thread's own time, which a busy machine distorts least. */
static double now(void)
{
    struct timespec t;
    clock_gettime(wn_par_threads() == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct spin {
    double work;
    wn_mat_kind kind;
    char apart[48];
} spin;

static void spin_work(void *ctx, size_t i, int thread)
{
    (void)thread;
    spin *s = (spin *)ctx + i;
    s->work = wn_mat_spin(s->kind, 1000000);
}

/* Best rate of bare multiply-adds, GFLOP/s; 0: none of this kind. */
static double spin_rate(int threads, wn_mat_kind kind)
{
    spin s[64];
    double best = 0;
    for (int i = 0; i < threads; i++)
        s[i].kind = kind;
    for (int r = 0; r < 10; r++) {
        double t = now();
        wn_par_do((size_t)threads, spin_work, s);
        t = now() - t;
        best = fmax(best, s[0].work * threads / t * 1e-9);
    }
    return best;
}

static float *random_floats(size_t n, uint64_t seed)
{
    float *x = wn_malloc(n * sizeof *x);
    if (!x)
        exit(1);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(wn_rng_uniform(seed, WN_STREAM_TEST, i % 4096) - 0.5);
    return x;
}

typedef struct mm_case {
    wn_mat W;
    size_t T;
    float *x, *y;
    int what; /* 0 mm, 1 mm_back, 2 and 3 the same through oneDNN */
    wn_dnnl *dnnl;
} mm_case;

static void run_mm(void *p)
{
    mm_case *c = p;
    if (c->what >= 2)
        wn_dnnl_mm(c->what == 2 ? c->y : c->x, c->what == 2 ? c->W.N : c->W.K,
                   c->what == 2 ? c->x : c->y, c->what == 2 ? c->W.K : c->W.N, c->dnnl, c->T,
                   c->what == 3, false);
    else if (c->what == 1)
        wn_mm_back(c->x, c->W.K, c->y, c->W.N, &c->W, c->T, 0);
    else
        wn_mm(c->y, c->W.N, c->x, c->W.K, &c->W, NULL, c->T, 0);
}

/* Best seconds of a run: at least 5 runs and a fifth of a second. */
static double best_time(void (*run)(void *), void *p)
{
    double best = INFINITY, begin = now();
    for (int r = 0; r < 5 || (now() - begin < 0.2 && r < 1000); r++) {
        double t = now();
        run(p);
        best = fmin(best, now() - t);
    }
    return best;
}

static const char *kind_name(wn_mat_kind kind)
{
    return kind == WN_MAT_F32 ? "f32" : wn_cpu_fast_bf16() ? "bf16" : "bf16 emulated";
}

static void bench_mm(int threads, double peak, size_t N, size_t K, size_t T, wn_mat_kind kind)
{
    static const char *const NAMES[] = {"mm", "mm_back", "mm_onednn", "mm_back_onednn"};
    mm_case c = {.W = {.N = N, .K = K, .kind = kind}, .T = T};
    float *W = random_floats(N * K, 1);
    c.W.panel = wn_malloc(wn_mat_bytes(kind, N, K));
    c.x = random_floats(T * K, 2);
    c.y = random_floats(T * N, 3);
    wn_mat_pack(&c.W, W, 0, N);
    c.dnnl = N < 20000 ? wn_dnnl_new(W, N, K, kind != WN_MAT_F32) : NULL;
    for (c.what = 0; c.what < (c.dnnl ? 4 : 2); c.what++) {
        double g = 2e-9 * (double)N * (double)K * (double)T / best_time(run_mm, &c);
        printf("{\"op\":\"%s\",\"kind\":\"%s\",\"N\":%zu,\"K\":%zu,\"T\":%zu,\"threads\":%d,"
               "\"gflops\":%.1f,\"share\":%.3f}\n",
               NAMES[c.what], kind_name(kind), N, K, T, threads, g, g / peak);
        fflush(stdout);
    }
    wn_dnnl_free(c.dnnl);
    wn_free(W);
    wn_free(c.W.panel);
    wn_free(c.x);
    wn_free(c.y);
}

static void bench_kind(int threads, wn_mat_kind kind)
{
    static const size_t SHAPES[][2] = {{384, 384}, {1536, 384}, {384, 1536},  {576, 576},
                                       {960, 576}, {1536, 576}, {576, 1536}, {49152, 576}};
    static const size_t TOKENS[] = {64, 256, 512, 2048};
    double peak = spin_rate(threads, kind);
    printf("{\"op\":\"spin\",\"kind\":\"%s\",\"kernel\":\"%s\",\"threads\":%d,\"gflops\":%.1f}\n",
           kind_name(kind), wn_kernel_name(), threads, peak);
    for (size_t s = 0; s < sizeof SHAPES / sizeof *SHAPES; s++)
        for (size_t t = 0; t < sizeof TOKENS / sizeof *TOKENS; t++)
            if (SHAPES[s][0] * TOKENS[t] < 49152 * 500)
                bench_mm(threads, peak, SHAPES[s][0], SHAPES[s][1], TOKENS[t], kind);
}

typedef struct gemm_case {
    bool ta, tb;
    size_t M, N, K;
    float *A, *B, *C;
} gemm_case;

static void run_gemm(void *p)
{
    gemm_case *c = p;
    wn_gemm(c->ta, c->tb, c->M, c->N, c->K, 1, c->A, c->ta ? c->M : c->K, c->B, c->tb ? c->K : c->N,
            false, c->C, c->N);
}

static void bench_gemm(int threads, double peak, bool ta, bool tb, size_t M, size_t N, size_t K)
{
    gemm_case c = {
        ta, tb, M, N, K, random_floats(M * K, 1), random_floats(K * N, 2), random_floats(M * N, 3)};
    double g = 2e-9 * (double)N * (double)K * (double)M / best_time(run_gemm, &c);
    printf("{\"op\":\"gemm\",\"ta\":%d,\"tb\":%d,\"M\":%zu,\"N\":%zu,\"K\":%zu,\"threads\":%d,"
           "\"gflops\":%.1f,\"share_of_fma\":%.3f}\n",
           ta, tb, M, N, K, threads, g, g / peak);
    wn_free(c.A);
    wn_free(c.B);
    wn_free(c.C);
}

typedef struct attn_case {
    wn_attn a;
    float *q, *k, *v, *o, *lse, *dq, *dk, *dv;
    bool back;
} attn_case;

static void run_attn(void *p)
{
    attn_case *c = p;
    if (c->back)
        wn_attention_back(c->dq, c->dk, c->dv, NULL, c->o, c->o, c->lse, c->q, c->k, c->v, &c->a);
    else
        wn_attention(c->o, c->lse, c->q, c->k, c->v, &c->a);
}

static void bench_attention(int threads, double peak, size_t H, size_t G, size_t d, size_t length,
                            bool causal)
{
    enum { TOKENS = 4096 };
    size_t S = TOKENS / length, T = S * length;
    uint32_t q0[TOKENS + 1], own[2 * TOKENS], pre[2 * TOKENS] = {0};
    for (size_t s = 0; s <= S; s++)
        q0[s] = (uint32_t)(s * length);
    for (size_t s = 0; s < S; s++)
        own[2 * s] = q0[s], own[2 * s + 1] = q0[s + 1];
    attn_case c = {.a = {.S = S,
                         .q0 = q0,
                         .pre = pre,
                         .own = own,
                         .H = H,
                         .G = G,
                         .d = d,
                         .dv = d,
                         .ldq = H * d,
                         .ldk = G * d,
                         .ldv = G * d,
                         .ldo = H * d,
                         .causal = causal,
                         .scale = 0.125f},
                   .q = random_floats(T * H * d, 1),
                   .k = random_floats(T * G * d, 2),
                   .v = random_floats(T * G * d, 3),
                   .o = random_floats(T * H * d, 4),
                   .lse = random_floats(T * H, 5),
                   .dq = random_floats(T * H * d, 6),
                   .dk = random_floats(T * G * d, 7),
                   .dv = random_floats(T * G * d, 8)};
    for (int back = 0; back < 2; back++) {
        c.back = back;
        double t = best_time(run_attn, &c);
        double pairs = (double)S * (causal ? (double)length * (double)(length + 1) / 2
                                           : (double)length * (double)length);
        double g = 2e-9 * pairs * (double)(H * d) * (back ? 5 : 2) / t;
        printf("{\"op\":\"attention%s\",\"H\":%zu,\"G\":%zu,\"d\":%zu,\"causal\":%d,\"length\":%zu,"
               "\"threads\":%d,\"tokens_per_sec\":%.0f,\"gflops\":%.1f,\"share_of_fma\":%.3f}\n",
               back ? "_back" : "", H, G, d, causal, length, threads, (double)T / t, g, g / peak);
        fflush(stdout);
    }
    float *all[] = {c.q, c.k, c.v, c.o, c.lse, c.dq, c.dk, c.dv};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        wn_free(all[i]);
}

int main(int argc, char **argv)
{
    static const size_t LENGTHS[] = {20, 130, 250, 1024};
    const char *only = argc > 1 && strcmp(argv[1], "all") != 0 ? argv[1] : "";
    int most = argc > 2 ? atoi(argv[2]) : 2, least = argc > 3 ? atoi(argv[3]) : 1;
    for (int threads = least; threads <= most; threads++) {
        wn_par_set_threads(threads);
        double peak = spin_rate(threads, WN_MAT_F32);
        if (!*only || !strcmp(only, "mm"))
            bench_kind(threads, WN_MAT_F32);
        if (!*only || !strcmp(only, "bf16"))
            bench_kind(threads, WN_MAT_BF16);
        if (!*only || !strcmp(only, "gemm")) {
            bench_gemm(threads, peak, false, true, 2048, 8, 576);
            bench_gemm(threads, peak, false, true, 2048, 576, 8);
            bench_gemm(threads, peak, true, false, 8, 576, 2048);
            bench_gemm(threads, peak, true, false, 576, 8, 2048);
            bench_gemm(threads, peak, true, false, 1536, 576, 2048);
            bench_gemm(threads, peak, false, true, 128, 4096, 384);
        }
        for (size_t l = 0; l < 4 && (!*only || !strcmp(only, "attention")); l++) {
            bench_attention(threads, peak, 12, 12, 32, LENGTHS[l], false);
            bench_attention(threads, peak, 9, 3, 64, LENGTHS[l], true);
        }
    }
    return 0;
}
