/* Matrix products against double sums: shapes with odd tails, all flags; one order of sums whatever
 * the batch, the tiles and the threads. */
#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"
#include "kernel/table.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const TABLES[] = {"ref", "avx2", "avx512"};

static float *noise(size_t n, uint64_t seed)
{
    float *x = wn_malloc((n + !n) * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)wn_rng_normal(seed, WN_STREAM_TEST, i);
    return x;
}

static wn_mat pack(const float *W, size_t N, size_t K, wn_mat_kind kind)
{
    wn_mat m = {.N = N, .K = K, .kind = kind};
    size_t half = N / 2 / WN_NR * WN_NR;
    m.panel = wn_malloc(wn_mat_bytes(N, K) + 4);
    wn_mat_pack(&m, W, 0, half);
    wn_mat_pack(&m, W + half * K, half, N - half);
    cr_assert(wn_mat_finish(&m));
    return m;
}

static void unpack(wn_mat *m)
{
    wn_mat_release(m);
    wn_free(m->panel);
}

/* A product in double with what float sums may be off: operands by strides. */
typedef struct matrix {
    const float *p;
    size_t row, col;
} matrix;

static double sum_of(matrix a, matrix b, size_t i, size_t j, size_t K, double *slack)
{
    double s = 0, squares = 0;
    for (size_t k = 0; k < K; k++) {
        double v = (double)a.p[i * a.row + k * a.col] * b.p[k * b.row + j * b.col];
        s += v;
        squares += v * v;
    }
    *slack = 1e-6 + 1e-7 * sqrt((double)K + 4) * (sqrt(squares) * 3 + fabs(s));
    return s;
}

static double activate(double s, int flags)
{
    if (flags & WN_MM_GELU)
        return 0.5 * s * (1 + erf(s / sqrt(2)));
    if (flags & WN_MM_GELU_TANH)
        return 0.5 * s * (1 + tanh(sqrt(2 / M_PI) * (s + 0.044715 * s * s * s)));
    return flags & WN_MM_RELU && s < 0 ? 0 : s;
}

static void check_linear(size_t T, size_t N, size_t K, int flags, bool with_bias, bool back)
{
    size_t out = back ? K : N, in = back ? N : K, ldx = in + 3, ldy = out + 5;
    float *W = noise(N * K, 1), *x = noise(T * ldx, 2), *y = noise(T * ldy, 3);
    float *bias = noise(N, 4), *old = noise(T * ldy, 3);
    wn_mat m = pack(W, N, K, WN_MAT_F32);
    if (back)
        wn_mm_back(y, ldy, x, ldx, &m, T, flags);
    else
        wn_mm(y, ldy, x, ldx, &m, with_bias ? bias : NULL, T, flags);
    for (size_t t = 0; t < T; t++) {
        for (size_t n = 0; n < out; n++) {
            double slack, want = sum_of((matrix){x, ldx, 1},
                                        (matrix){W, back ? K : 1, back ? 1 : K}, t, n, in, &slack);
            want += flags & WN_MM_ADD ? old[t * ldy + n] : 0;
            want = activate(want + (with_bias ? bias[n] : 0), flags);
            cr_assert_float_eq(y[t * ldy + n], want, slack * 2,
                               "%s [%zu,%zu,%zu] at %zu %zu: %g %g", wn_kernel_name(), T, N, K, t,
                               n, y[t * ldy + n], want);
        }
        cr_assert_eq(memcmp(y + t * ldy + out, old + t * ldy + out, 5 * sizeof *y), 0);
    }
    unpack(&m);
    wn_free(W), wn_free(x), wn_free(y), wn_free(bias), wn_free(old);
}

Test(gemm, linear_layers_equal_double_sums)
{
    static const size_t SHAPES[][3] = {
        {1, 1, 1},     {0, 5, 5},    {1, 17, 300},   {2, 33, 5},       {5, 16, 257},
        {7, 40, 64},   {13, 1, 513}, {300, 50, 19},  {250, 130, 7},    {3, 100, 0},
        {26, 577, 31}, {4, 47, 33},  {600, 70, 300}, {14, 1019, 1021}, {14, 1021, 700}};
    for (size_t v = 0; v < 3; v++) {
        wn_kernel_use(TABLES[v]);
        for (size_t i = 0; i < sizeof SHAPES / sizeof *SHAPES; i++) {
            const size_t *s = SHAPES[i];
            check_linear(s[0], s[1], s[2], 0, false, false);
            check_linear(s[0], s[1], s[2], WN_MM_ADD, true, false);
            check_linear(s[0], s[1], s[2], WN_MM_GELU, true, false);
            check_linear(s[0], s[1], s[2], WN_MM_GELU_TANH, false, false);
            check_linear(s[0], s[1], s[2], WN_MM_RELU, true, false);
            check_linear(s[0], s[1], s[2], 0, false, true);
            check_linear(s[0], s[1], s[2], WN_MM_ADD, false, true);
        }
    }
    wn_kernel_use(NULL);
}

static void check_gemm(bool ta, bool tb, size_t M, size_t N, size_t K, float alpha, bool add)
{
    size_t lda = (ta ? M : K) + 2, ldb = (tb ? K : N) + 1, ldc = N + 3;
    float *A = noise((ta ? K : M) * lda, 1), *B = noise((tb ? N : K) * ldb, 2);
    float *C = noise(M * ldc, 3), *old = noise(M * ldc, 3);
    wn_gemm(ta, tb, M, N, K, alpha, A, lda, B, ldb, add, C, ldc);
    for (size_t i = 0; i < M; i++) {
        for (size_t j = 0; j < N; j++) {
            double slack;
            double s = sum_of((matrix){A, ta ? 1 : lda, ta ? lda : 1},
                              (matrix){B, tb ? 1 : ldb, tb ? ldb : 1}, i, j, K, &slack);
            s = alpha * s + (add ? old[i * ldc + j] : 0);
            cr_assert_float_eq(C[i * ldc + j], s, slack,
                               "%d %d [%zu,%zu,%zu] at %zu %zu: %.9g %.9g %s", ta, tb, M, N, K, i,
                               j, C[i * ldc + j], s, wn_kernel_name());
        }
        cr_assert_eq(memcmp(C + i * ldc + N, old + i * ldc + N, 3 * sizeof *C), 0);
    }
    wn_free(A), wn_free(B), wn_free(C), wn_free(old);
}

Test(gemm, plain_products_equal_double_sums)
{
    static const size_t SHAPES[][3] = {{1, 1, 1},    {0, 3, 3},    {300, 8, 70},  {8, 300, 70},
                                       {70, 300, 8}, {5, 16, 0},   {12, 33, 300}, {260, 140, 270},
                                       {500, 20, 9}, {17, 129, 17}};
    for (size_t v = 0; v < 3; v++) {
        wn_kernel_use(TABLES[v]);
        for (size_t i = 0; i < sizeof SHAPES / sizeof *SHAPES; i++)
            for (int bits = 0; bits < 16; bits++)
                check_gemm(bits & 1, bits & 2, SHAPES[i][0], SHAPES[i][1], SHAPES[i][2],
                           bits & 4 ? -0.5f : 1, bits & 8);
    }
    wn_kernel_use(NULL);
}

/* Rows of a batch of 300 computed alone, in small batches, and with 1, 2 and 7 threads. */
Test(gemm, rows_do_not_depend_on_batch_or_threads)
{
    enum { T = 300, N = 150, K = 610 };
    float *W = noise(N * K, 1), *x = noise(T * K, 2), *dy = noise(T * N, 3);
    float *y = noise(T * N, 4), *y2 = noise(T * N, 5), *dx = noise(T * K, 6),
          *dx2 = noise(T * K, 7);
    for (int kind = WN_MAT_F32; kind <= WN_MAT_BF16; kind++) {
        wn_mat m = pack(W, N, K, (wn_mat_kind)kind);
        wn_par_set_threads(1);
        wn_mm(y, N, x, K, &m, NULL, T, WN_MM_GELU);
        wn_mm_back(dx, K, dy, N, &m, T, 0);
        for (int threads = 1; threads <= 7; threads += threads == 1 ? 1 : 5) {
            wn_par_set_threads(threads);
            static const size_t PARTS[] = {1, 7, 79, T};
            for (size_t i = 0; i < 4; i++) {
                size_t part = PARTS[i], upto = part == 1 ? 12 : T;
                for (size_t t = 0; t < upto; t += part) {
                    size_t n = T - t < part ? T - t : part;
                    wn_mm(y2 + t * N, N, x + t * K, K, &m, NULL, n, WN_MM_GELU);
                    wn_mm_back(dx2 + t * K, K, dy + t * N, N, &m, n, 0);
                }
                cr_assert_eq(memcmp(y, y2, upto * N * sizeof *y), 0, "parts of %zu", part);
                cr_assert_eq(memcmp(dx, dx2, upto * K * sizeof *y), 0, "parts of %zu", part);
            }
        }
        unpack(&m);
    }
    wn_par_set_threads(0);
    wn_free(W), wn_free(x), wn_free(dy), wn_free(y), wn_free(y2), wn_free(dx), wn_free(dx2);
}

Test(gemm, plain_products_do_not_depend_on_threads)
{
    enum { M = 290, N = 130, K = 300 };
    float *A = noise(M * K, 1), *B = noise(N * K, 2), *C = noise(M * N, 3), *D = noise(M * N, 4);
    for (int bits = 0; bits < 4; bits++) {
        size_t lda = bits & 1 ? M : K;
        for (size_t n = 7; n <= N; n += N - 7) {
            size_t ldb = bits & 2 ? K : n;
            wn_par_set_threads(1);
            wn_gemm(bits & 1, bits & 2, M, n, K, 0.3f, A, lda, B, ldb, false, C, N);
            for (int threads = 2; threads <= 7; threads += 5) {
                wn_par_set_threads(threads);
                wn_gemm(bits & 1, bits & 2, M, n, K, 0.3f, A, lda, B, ldb, false, D, N);
                for (size_t i = 0; i < M; i++)
                    cr_assert_eq(memcmp(C + i * N, D + i * N, n * sizeof *C), 0);
            }
        }
    }
    wn_par_set_threads(0);
    wn_free(A), wn_free(B), wn_free(C), wn_free(D);
}

Test(gemm, rows_come_back_from_the_packed_form)
{
    enum { N = 37, K = 21 };
    float *W = noise(N * K, 1), row[K];
    wn_mat m = pack(W, N, K, WN_MAT_F32);
    for (size_t n = 0; n < N; n++) {
        wn_mat_row(row, &m, n);
        cr_assert_eq(memcmp(row, W + n * K, sizeof row), 0);
    }
    cr_assert_eq(wn_mat_bytes(N, K), 48 * K * sizeof(float));
    unpack(&m);
    wn_free(W);
}

Test(gemm, emulated_bf16_is_rounding_then_f32)
{
    enum { T = 50, N = 70, K = 90 };
    if (wn_cpu_fast_bf16())
        return;
    float *W = noise(N * K, 1), *x = noise(T * K, 2), *y = noise(T * N, 3), *z = noise(T * N, 4);
    wn_mat m = pack(W, N, K, WN_MAT_BF16);
    wn_mm(y, N, x, K, &m, NULL, T, 0);
    wn_kernel_table_ref.round_bf16(W, W, N * K);
    wn_kernel_table_ref.round_bf16(x, x, T * K);
    wn_mat f = pack(W, N, K, WN_MAT_F32);
    wn_mm(z, N, x, K, &f, NULL, T, 0);
    cr_assert_eq(memcmp(y, z, T * N * sizeof *y), 0);
    cr_assert_eq(memcmp(m.panel, f.panel, wn_mat_bytes(N, K)), 0);
    unpack(&m);
    unpack(&f);
    wn_free(W), wn_free(x), wn_free(y), wn_free(z);
}

/* Blocks of oneDNN (2048 x 1024) and tiles of 64 rows, with tails of each. */
Test(gemm, onednn_agrees)
{
    enum { T = 70, N = 2100, K = 1030 };
    float *W = noise(N * K, 1), *x = noise(T * K, 2), *y = noise(T * N, 3), *z = noise(T * N, 3);
    float *dx = noise(T * K, 4), *dz = noise(T * K, 4);
    wn_mat m = pack(W, N, K, WN_MAT_F32);
    wn_mm(y, N, x, K, &m, NULL, T, WN_MM_ADD | WN_MM_RELU);
    wn_mm_back(dx, K, y, N, &m, T, WN_MM_ADD);
    wn_dnnl *h = wn_dnnl_new(m.panel, N, K, false);
    cr_assert(h);
    setenv("WN_GEMM", "onednn", 1);
    wn_mm(z, N, x, K, &m, NULL, T, WN_MM_ADD | WN_MM_RELU);
    wn_mm_back(dz, K, y, N, &m, T, WN_MM_ADD);
    unsetenv("WN_GEMM");
    for (size_t i = 0; i < T * N; i++)
        cr_assert_float_eq(y[i], z[i], 3e-4);
    for (size_t i = 0; i < T * K; i++)
        cr_assert_float_eq(dx[i], dz[i], 2e-2);
    float one[N];
    wn_dnnl_mm(z, N, x, K, h, T, false, false);
    for (size_t t = 0; t < T; t += 23) {
        wn_dnnl_mm(one, N, x + t * K, K, h, 1, false, false);
        cr_assert_eq(memcmp(one, z + t * N, sizeof one), 0, "row %zu depends on its batch", t);
    }
    wn_dnnl_free(h);
    unpack(&m);
    wn_free(W), wn_free(x), wn_free(y), wn_free(z), wn_free(dx), wn_free(dz);
}

Test(gemm, onednn_without_memory_gives_nothing)
{
    float *W = noise(64 * 64, 1);
    wn_mat m = pack(W, 64, 64, WN_MAT_F32);
    size_t live = wn_mem_live();
    wn_dnnl *h = NULL;
    for (int64_t n = 1; !h && n < 50; n++) {
        wn_mem_fail_after(n);
        h = wn_dnnl_new(m.panel, 64, 64, false);
        cr_assert(h || wn_mem_live() == live, "leak at %d", (int)n);
    }
    wn_mem_fail_after(-1);
    cr_assert(h);
    wn_dnnl_free(h);
    cr_assert_eq(wn_mem_live(), live);
    unpack(&m);
    wn_free(W);
}
