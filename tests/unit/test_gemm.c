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

/* What the processor lacks runs as "ref". */
static const char *const TABLES[] = {"ref", "avx2", "avx512", "amx"};
enum { TABLE_COUNT = 4 };

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
    m.panel = wn_malloc(wn_mat_bytes(kind, N, K) + 4);
    wn_mat_pack(&m, W, 0, half);
    wn_mat_pack(&m, W + half * K, half, N - half);
    return m;
}

static void unpack(wn_mat *m)
{
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
    if (flags & WN_MM_SILU)
        return s / (1 + exp(-s));
    return flags & WN_MM_RELU && s < 0 ? 0 : s;
}

/* The numbers that a product of this kind multiplies. */
static float *as_kind(const float *x, size_t n, wn_mat_kind kind)
{
    float *y = wn_malloc((n + !n) * sizeof *y);
    memcpy(y, x, n * sizeof *y);
    if (kind != WN_MAT_F32)
        wn_kernel_table_ref.round_bf16(y, y, n);
    return y;
}

typedef struct shape {
    size_t T, N, K;
    wn_mat_kind kind;
    bool f32;
} shape;

static void check_linear(shape s, int flags, bool with_bias, bool back)
{
    size_t T = s.T, N = s.N, K = s.K;
    size_t out = back ? K : N, in = back ? N : K, ldx = in + 3, ldy = out + 5;
    float *W = noise(N * K, 1), *x = noise(T * ldx, 2), *y = noise(T * ldy, 3);
    float *bias = noise(N, 4), *old = noise(T * ldy, 3);
    wn_mat m = pack(W, N, K, s.kind);
    m.f32 = s.f32;
    float *W2 = as_kind(W, N * K, WN_MAT_F32),
          *x2 = as_kind(x, T * ldx, s.f32 ? WN_MAT_F32 : s.kind);
    for (size_t n = 0; n < N; n++)
        wn_mat_row(W2 + n * K, &m, n);
    if (back)
        wn_mm_back(y, ldy, x, ldx, &m, T, flags);
    else
        wn_mm(y, ldy, x, ldx, &m, with_bias ? bias : NULL, T, flags);
    for (size_t t = 0; t < T; t++) {
        for (size_t n = 0; n < out; n++) {
            double slack, want = sum_of((matrix){x2, ldx, 1},
                                        (matrix){W2, back ? K : 1, back ? 1 : K}, t, n, in, &slack);
            want += flags & WN_MM_ADD ? old[t * ldy + n] : 0;
            want = activate(want + (with_bias ? bias[n] : 0), flags);
            if (s.kind != WN_MAT_F32 && flags & WN_MM_GELU)
                slack += 4e-5; /* a rough GELU */
            cr_assert_float_eq(y[t * ldy + n], want, slack * 2,
                               "%s %d [%zu,%zu,%zu] at %zu %zu: %g %g", wn_kernel_name(), s.kind, T,
                               N, K, t, n, y[t * ldy + n], want);
        }
        cr_assert_eq(memcmp(y + t * ldy + out, old + t * ldy + out, 5 * sizeof *y), 0);
    }
    unpack(&m);
    wn_free(W), wn_free(x), wn_free(y), wn_free(bias), wn_free(old), wn_free(W2), wn_free(x2);
}

static void check_all(shape s)
{
    check_linear(s, 0, false, false);
    check_linear(s, WN_MM_ADD, true, false);
    check_linear(s, WN_MM_ADD, false, false);
    check_linear(s, WN_MM_GELU, true, false);
    check_linear(s, WN_MM_GELU_TANH, false, false);
    check_linear(s, WN_MM_RELU, true, false);
    check_linear(s, WN_MM_ADD | WN_MM_SILU, true, false);
    check_linear(s, 0, false, true);
    check_linear(s, WN_MM_ADD, false, true);
}

/* The last ones are more than one range of the inner dimension and of rows. */
static const size_t LINEAR[][3] = {
    {1, 1, 1},      {0, 5, 5},      {1, 17, 300},    {2, 33, 5},     {5, 16, 257},  {7, 40, 64},
    {13, 1, 513},   {300, 50, 19},  {250, 130, 7},   {3, 100, 0},    {26, 577, 31}, {4, 47, 33},
    {600, 70, 300}, {14, 1019, 70}, {14, 1021, 700}, {40, 31, 2600}, {33, 1700, 40}};

Test(gemm, linear_layers_equal_double_sums)
{
    for (size_t v = 0; v < TABLE_COUNT; v++) {
        wn_kernel_use(TABLES[v]);
        for (size_t i = 0; i < sizeof LINEAR / sizeof *LINEAR; i++)
            check_all((shape){LINEAR[i][0], LINEAR[i][1], LINEAR[i][2], WN_MAT_F32, false});
    }
    wn_kernel_use(NULL);
}

Test(gemm, bf16_layers_equal_double_sums_of_rounded_numbers)
{
    for (size_t v = 0; v < TABLE_COUNT; v++) {
        wn_kernel_use(TABLES[v]);
        for (size_t i = 0; i < sizeof LINEAR / sizeof *LINEAR; i++)
            check_all((shape){LINEAR[i][0], LINEAR[i][1], LINEAR[i][2], WN_MAT_BF16, false});
    }
    wn_kernel_use(NULL);
}

/* The products of what wn_mat_row says is held. */
Test(gemm, q8_and_q4_layers_equal_double_sums_of_what_they_hold)
{
    static const size_t SHAPES[][3] = {{1, 1, 1},    {5, 16, 257},  {7, 40, 64},
                                       {50, 31, 90}, {33, 70, 300}, {3, 1700, 40}};
    for (size_t v = 0; v < TABLE_COUNT; v++) {
        wn_kernel_use(TABLES[v]);
        for (size_t i = 0; i < sizeof SHAPES / sizeof *SHAPES; i++)
            for (int c = 0; c < 4; c++)
                check_all((shape){SHAPES[i][0], SHAPES[i][1], SHAPES[i][2],
                                  c & 1 ? WN_MAT_Q4 : WN_MAT_Q8, c & 2});
    }
    wn_kernel_use(NULL);
}

/* Half a step of the block's grid at most, and the half float of a scale. */
Test(gemm, q8_and_q4_hold_numbers_within_half_a_step)
{
    enum { N = 37, K = 100 };
    float *W = noise(N * K, 1), row[K];
    W[5] = 100, memset(W + 3 * K, 0, K * sizeof *W);
    for (int kind = WN_MAT_Q8; kind <= WN_MAT_Q4; kind++) {
        wn_mat m = pack(W, N, K, (wn_mat_kind)kind);
        m.f32 = true;
        for (size_t n = 0; n < N; n++) {
            wn_mat_row(row, &m, n);
            for (size_t k0 = 0; k0 < K; k0 += 32) {
                float top = 0, low = INFINITY, high = -INFINITY;
                for (size_t k = k0; k < k0 + 32; k++) {
                    float w = k < K ? W[n * K + k] : 0;
                    top = fmaxf(top, fabsf(w)), low = fminf(low, w), high = fmaxf(high, w);
                }
                float step = kind == WN_MAT_Q8 ? top / 127 : (high - low) / 15;
                for (size_t k = k0; k < k0 + 32 && k < K; k++)
                    cr_assert_float_eq(row[k], W[n * K + k], step * 0.51f + top * 1e-3f,
                                       "%d at %zu %zu: %g %g", kind, n, k, row[k], W[n * K + k]);
            }
        }
        unpack(&m);
    }
    cr_assert_eq(wn_mat_bytes(WN_MAT_Q8, N, K), 3 * 4 * 544);
    cr_assert_eq(wn_mat_bytes(WN_MAT_Q4, N, K), 3 * 4 * 320);
    wn_free(W);
}

/* Every number of rows up to more than two strips, odd widths. */
Test(gemm, bf16_layers_of_any_number_of_rows)
{
    for (size_t v = 2; v < TABLE_COUNT; v++) {
        wn_kernel_use(TABLES[v]);
        for (size_t T = 1; T <= 70; T++) {
            shape s = {T, 2 * (T * 7 % 40) + 1, 2 * (T * 13 % 60) + 1, WN_MAT_BF16, false};
            check_linear(s, 0, true, false);
            check_linear(s, WN_MM_ADD, false, true);
        }
    }
    wn_kernel_use(NULL);
}

/* y = act(x W^T + bias) * (x up^T + up_bias) + residual, against the parts one by one. */
static void check_fused(shape s, int flags, bool with_up, bool with_bias, bool with_residual)
{
    size_t T = s.T, N = s.N, K = s.K, ldy = N + 2;
    float *W = noise(N * K, 1), *U = noise(N * K, 2), *x = noise(T * K, 3), *r = noise(T * N, 4);
    float *bias = noise(N, 5), *up_bias = noise(N, 6), *y = noise(T * ldy, 7);
    float *gate = noise(T * N, 8), *up = noise(T * N, 9);
    wn_mat w = pack(W, N, K, s.kind), u = pack(U, N, K, s.kind);
    wn_mm(gate, N, x, K, &w, with_bias ? bias : NULL, T, flags);
    wn_mm(up, N, x, K, &u, with_bias ? up_bias : NULL, T, 0);
    wn_mm_fused(y, ldy, x, K, &w, T,
                &(wn_fused){.flags = flags,
                            .bias = with_bias ? bias : NULL,
                            .up = with_up ? &u : NULL,
                            .up_bias = with_bias ? up_bias : NULL,
                            .residual = with_residual ? r : NULL,
                            .ldr = N});
    for (size_t t = 0; t < T; t++)
        for (size_t n = 0; n < N; n++) {
            double want = gate[t * N + n];
            want = (with_up ? want * up[t * N + n] : want) + (with_residual ? r[t * N + n] : 0);
            cr_assert_float_eq(y[t * ldy + n], want, 1e-5 * (1 + fabs(want)),
                               "%s %d at %zu %zu: %g %g", wn_kernel_name(), s.kind, t, n,
                               y[t * ldy + n], want);
        }
    unpack(&w), unpack(&u);
    wn_free(W), wn_free(U), wn_free(x), wn_free(r), wn_free(bias), wn_free(up_bias), wn_free(y);
    wn_free(gate), wn_free(up);
}

Test(gemm, fused_layers_equal_their_parts)
{
    for (size_t v = 0; v < TABLE_COUNT; v++) {
        wn_kernel_use(TABLES[v]);
        for (int kind = WN_MAT_F32; kind <= WN_MAT_Q4; kind++)
            for (int bits = 0; bits < 8; bits++) {
                int flags = bits & 1 ? WN_MM_SILU : WN_MM_GELU_TANH;
                check_fused((shape){45, 71, 90, (wn_mat_kind)kind, false}, flags, true, bits & 2,
                            bits & 4);
                check_fused((shape){70, 130, 101, (wn_mat_kind)kind, false},
                            bits & 1 ? WN_MM_GELU : 0, bits & 1, bits & 2, bits & 4);
            }
    }
    wn_kernel_use(NULL);
}

/* Weights of an output as integers and the factor back, as the contract says. */
static float weights8(int *q, const float *x, size_t n)
{
    float top = 0;
    for (size_t i = 0; i < n; i++)
        top = fmaxf(top, fabsf(x[i]));
    for (size_t i = 0; i < n; i++)
        q[i] = top > 0 ? (int)rintf(x[i] * (127 / top)) : 0;
    return top / 127;
}

/* The same of a row of x, without its zero. */
static float row8(int *q, const float *x, size_t n)
{
    float low = 0, high = 0;
    for (size_t i = 0; i < n; i++)
        low = fminf(low, x[i]), high = fmaxf(high, x[i]);
    float by = high > low ? 255 / (high - low) : 0, zero = rintf(-low * by);
    for (size_t i = 0; i < n; i++)
        q[i] = (int)(fminf(255, fmaxf(0, rintf(x[i] * by) + zero)) - zero);
    return (high - low) / 255;
}

/* The same bytes from every table: exact sums, then two products in a fixed order. */
static void check_int8(size_t T, size_t N, size_t K, bool add)
{
    size_t ldx = K + 3, ldy = N + 1;
    float *W = noise(N * K, 1), *x = noise(T * ldx, 2), *y = noise(T * ldy, 3);
    float *old = noise(T * ldy, 3);
    int *q = wn_malloc((K + 1) * sizeof *q), *w = wn_malloc((K + 1) * sizeof *w);
    if (K)
        memset(x, 0, K * sizeof *x), W[N / 2 * K] = -100; /* a row of zeros, an outlier */
    wn_mat m = pack(W, N, K, WN_MAT_INT8);
    wn_mm(y, ldy, x, ldx, &m, NULL, T, add ? WN_MM_ADD : 0);
    for (size_t t = 0; t < T; t++) {
        float row = row8(q, x + t * ldx, K);
        for (size_t n = 0; n < N; n++) {
            float column = weights8(w, W + n * K, K);
            int sum = 0;
            for (size_t k = 0; k < K; k++)
                sum += q[k] * w[k];
            float want = (float)sum * column * row;
            want = add ? old[t * ldy + n] + want : want;
            cr_assert_eq(y[t * ldy + n], want, "%s [%zu,%zu,%zu] at %zu %zu: %g %g",
                         wn_kernel_name(), T, N, K, t, n, y[t * ldy + n], want);
        }
        cr_assert_eq(y[t * ldy + N], old[t * ldy + N]);
    }
    unpack(&m);
    wn_free(W), wn_free(x), wn_free(y), wn_free(old), wn_free(q), wn_free(w);
}

Test(gemm, int8_layers_are_exact_on_every_table)
{
    for (size_t v = 0; v < TABLE_COUNT; v++) {
        wn_kernel_use(TABLES[v]);
        for (size_t i = 0; i < sizeof LINEAR / sizeof *LINEAR; i++)
            check_int8(LINEAR[i][0], LINEAR[i][1], LINEAR[i][2], i % 2);
        for (size_t T = 1; T <= 70; T += v ? 1 : 9)
            check_int8(T, 2 * (T * 7 % 40) + 1, 2 * (T * 13 % 90) + 1, T % 3 == 0);
    }
    wn_kernel_use(NULL);
}

/* A zero row must not wake an infinite weight's column of another row; NaNs stay where they are. */
Test(gemm, infinities_and_nans_stay_in_their_rows)
{
    enum { T = 40, N = 40, K = 70 };
    for (size_t v = 0; v < TABLE_COUNT; v++) {
        wn_kernel_use(TABLES[v]);
        for (int kind = WN_MAT_F32; kind <= WN_MAT_INT8; kind++) {
            float *W = noise(N * K, 1), *x = noise(T * K, 2), *y = noise(T * N, 3);
            x[3 * K + 69] = NAN;
            x[35 * K] = INFINITY;
            x[36 * K + 5] = 1e-41f; /* denormal */
            wn_mat m = pack(W, N, K, (wn_mat_kind)kind);
            wn_mm(y, N, x, K, &m, NULL, T, 0);
            for (size_t t = 0; t < T; t++)
                for (size_t n = 0; n < N; n++) {
                    float got = y[t * N + n];
                    bool good = t == 3    ? isnan(got)
                                : t == 35 ? isinf(got) || (kind == WN_MAT_INT8 && isnan(got))
                                          : isfinite(got);
                    cr_assert(good, "%s %d at %zu %zu: %g", wn_kernel_name(), kind, t, n, got);
                }
            unpack(&m);
            wn_free(W), wn_free(x), wn_free(y);
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
    for (size_t v = 0; v < TABLE_COUNT; v++) {
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
    for (int c = 0; c < 9; c++) {
        wn_kernel_use(TABLES[1 + c / 3]);
        wn_mat_kind kind = (wn_mat_kind)(c % 3);
        wn_mat m = pack(W, N, K, kind);
        wn_par_set_threads(1);
        wn_mm(y, N, x, K, &m, NULL, T, WN_MM_GELU);
        if (kind != WN_MAT_INT8)
            wn_mm_back(dx, K, dy, N, &m, T, 0);
        for (int threads = 1; threads <= 7; threads += threads == 1 ? 1 : 5) {
            wn_par_set_threads(threads);
            static const size_t PARTS[] = {1, 7, 79, T};
            for (size_t i = 0; i < 4; i++) {
                size_t part = PARTS[i], upto = part == 1 ? 12 : T;
                for (size_t t = 0; t < upto; t += part) {
                    size_t n = T - t < part ? T - t : part;
                    wn_mm(y2 + t * N, N, x + t * K, K, &m, NULL, n, WN_MM_GELU);
                    if (kind != WN_MAT_INT8)
                        wn_mm_back(dx2 + t * K, K, dy + t * N, N, &m, n, 0);
                }
                cr_assert_eq(memcmp(y, y2, upto * N * sizeof *y), 0, "parts of %zu", part);
                if (kind != WN_MAT_INT8)
                    cr_assert_eq(memcmp(dx, dx2, upto * K * sizeof *y), 0, "parts of %zu", part);
            }
        }
        unpack(&m);
    }
    wn_kernel_use(NULL);
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

/* One element of a LoRA's product in double, and the sum of its terms' sizes: first and second [.,
 * r] by strides are the factors that rows meet first and then. */
static double low_of(const float *x, size_t in, size_t r, matrix first, matrix second, size_t n,
                     double *size)
{
    double sum = 0;
    *size = 0;
    for (size_t i = 0; i < r; i++) {
        double low = 0, most = 0, b = second.p[n * second.row + i * second.col];
        for (size_t k = 0; k < in; k++) {
            double v = (double)x[k] * first.p[k * first.row + i * first.col];
            low += v;
            most += fabs(v);
        }
        sum += low * b;
        *size += most * fabs(b);
    }
    return sum;
}

static void check_low(size_t T, size_t N, size_t K, size_t r, wn_mat_kind kind, bool back, bool add)
{
    size_t in = back ? N : K, out = back ? K : N, ldx = in + 3, ldy = out + 5;
    float *W = noise(N * K, 1), *x = noise(T * ldx, 2), *y = noise(T * ldy, 3),
          *z = noise(T * ldy, 3);
    float *A = noise(r * K, 4), *B = noise(N * r, 5), *kept = noise(T * r, 6), *bias = noise(N, 7);
    wn_mat m = pack(W, N, K, kind);
    wn_low low = {A, B, r, 0.5f, kept};
    matrix a = {A, 1, K}, b = {B, r, 1};
    int flags = add ? WN_MM_ADD : 0;
    if (back) {
        wn_mm_back(z, ldy, x, ldx, &m, T, flags);
        wn_mm_low_back(y, ldy, x, ldx, &m, T, flags, &low);
    } else {
        wn_mm(z, ldy, x, ldx, &m, bias, T, flags);
        wn_mm_low(y, ldy, x, ldx, &m, bias, T, flags, &low);
    }
    double most = kind == WN_MAT_F32 ? 1e-6 : 1 / 128.;
    for (size_t t = 0; t < T; t++) {
        for (size_t n = 0; n < out; n++) {
            double size, want = 0.5 * low_of(x + t * ldx, in, r, back ? b : a,
                                             back ? (matrix){A, 1, K} : b, n, &size);
            cr_assert_float_eq(y[t * ldy + n] - z[t * ldy + n], want, most * size + 1e-5,
                               "%s %d [%zu,%zu,%zu] r %zu back %d at %zu %zu: %g %g",
                               wn_kernel_name(), kind, T, N, K, r, back, t, n,
                               y[t * ldy + n] - z[t * ldy + n], want);
        }
        for (size_t i = 0; i < r; i++) {
            double slack,
                want = sum_of((matrix){x, ldx, 1}, back ? b : (matrix){A, 1, K}, t, i, in, &slack);
            cr_assert_float_eq(kept[t * r + i], back ? want / 2 : want,
                               slack + most * 4 * sqrt((double)in));
        }
        cr_assert_eq(memcmp(y + t * ldy + out, z + t * ldy + out, 5 * sizeof *y), 0);
    }
    unpack(&m);
    wn_free(W), wn_free(x), wn_free(y), wn_free(z), wn_free(A), wn_free(B), wn_free(kept),
        wn_free(bias);
}

Test(gemm, a_lora_rides_on_its_layers_product)
{
    static const size_t SHAPES[][4] = {{1, 1, 1, 1},     {40, 33, 70, 8},   {70, 100, 45, 17},
                                       {600, 40, 37, 8}, {33, 70, 2700, 4}, {33, 2700, 70, 4},
                                       {20, 50, 64, 40}};
    for (size_t v = 0; v < TABLE_COUNT; v++) {
        wn_kernel_use(TABLES[v]);
        for (size_t i = 0; i < sizeof SHAPES / sizeof *SHAPES; i++)
            for (int bits = 0; bits < 8; bits++)
                check_low(SHAPES[i][0], SHAPES[i][1], SHAPES[i][2], SHAPES[i][3],
                          bits & 4 ? WN_MAT_BF16 : WN_MAT_F32, bits & 1, bits & 2);
    }
    wn_kernel_use(NULL);
}

/* Whole, in parts, and with more threads: the same bits, of what is kept too. */
Test(gemm, a_loras_rows_do_not_depend_on_batch_or_threads)
{
    enum { T = 300, N = 150, K = 610, R = 8 };
    float *W = noise(N * K, 1), *x = noise(T * K, 2), *A = noise(R * K, 3), *B = noise(N * R, 4);
    float *y = noise(T * N, 5), *y2 = noise(T * N, 6), *k = noise(T * R, 7), *k2 = noise(T * R, 8);
    wn_mat m = pack(W, N, K, WN_MAT_BF16);
    wn_par_set_threads(1);
    wn_mm_low(y, N, x, K, &m, NULL, T, 0, &(wn_low){A, B, R, 2, k});
    for (int threads = 1; threads <= 7; threads += 3)
        for (size_t part = 7; part <= T; part += T - 7) {
            wn_par_set_threads(threads);
            for (size_t t = 0; t < T; t += part) {
                size_t n = T - t < part ? T - t : part;
                wn_mm_low(y2 + t * N, N, x + t * K, K, &m, NULL, n, 0,
                          &(wn_low){A, B, R, 2, k2 + t * R});
            }
            cr_assert_eq(memcmp(y, y2, T * N * sizeof *y), 0, "parts of %zu", part);
            cr_assert_eq(memcmp(k, k2, T * R * sizeof *y), 0, "parts of %zu", part);
        }
    wn_par_set_threads(0);
    unpack(&m);
    wn_free(W), wn_free(x), wn_free(A), wn_free(B), wn_free(y), wn_free(y2), wn_free(k),
        wn_free(k2);
}

/* dW += dy^T x over examples, whole and cut into calls, with 1 and 3 threads: sums of rounded
 * numbers, the same bits. */
static void check_grad(size_t N, size_t K, bool bf16)
{
    static const uint32_t OFF[] = {3, 4, 4, 37, 100, 132, 700};
    enum { T = 700, B = 6 };
    size_t lddw = K + 1, lddy = N + 2, ldx = K + 3;
    wn_mat_kind kind = bf16 ? WN_MAT_BF16 : WN_MAT_F32;
    float *dy = noise(T * lddy, 1), *x = noise(T * ldx, 2), *dW = noise(N * lddw, 3);
    float *old = noise(N * lddw, 3), *cut = noise(N * lddw, 3);
    float *dy2 = as_kind(dy, T * lddy, kind), *x2 = as_kind(x, T * ldx, kind);
    wn_par_set_threads(1);
    wn_mm_grad(dW, lddw, dy, lddy, x, ldx, N, K, 1, OFF, B, bf16, true);
    wn_par_set_threads(3);
    wn_mm_grad(cut, lddw, dy, lddy, x, ldx, N, K, 1, OFF, 2, bf16, true);
    wn_mm_grad(cut, lddw, dy, lddy, x, ldx, N, K, 1, OFF + 2, 4, bf16, true);
    wn_par_set_threads(0);
    cr_assert_eq(memcmp(dW, cut, N * lddw * sizeof *dW), 0);
    for (size_t n = 0; n < N; n++) {
        for (size_t k = 0; k < K; k++) {
            double slack, want = sum_of((matrix){dy2 + 3 * lddy, 1, lddy},
                                        (matrix){x2 + 3 * ldx, ldx, 1}, n, k, T - 3, &slack);
            want += old[n * lddw + k];
            cr_assert_float_eq(dW[n * lddw + k], want, slack * 2, "%s %d at %zu %zu: %g %g",
                               wn_kernel_name(), bf16, n, k, dW[n * lddw + k], want);
        }
        cr_assert_eq(dW[n * lddw + K], old[n * lddw + K]);
    }
    /* written over whatever is there: as added to zeros */
    for (size_t n = 0; n < N; n++)
        memset(cut + n * lddw, 0, K * sizeof *cut);
    wn_mm_grad(cut, lddw, dy, lddy, x, ldx, N, K, 1, OFF, B, bf16, true);
    wn_mm_grad(dW, lddw, dy, lddy, x, ldx, N, K, 1, OFF, B, bf16, false);
    cr_assert_eq(memcmp(dW, cut, N * lddw * sizeof *dW), 0);
    wn_mm_grad(dW, lddw, dy, lddy, x, ldx, N, K, 1, OFF + 1, 1, bf16, false); /* no token */
    for (size_t n = 0; n < N; n++)
        for (size_t k = 0; k <= K; k++)
            cr_assert_eq(dW[n * lddw + k], k < K ? 0 : old[n * lddw + k]);
    wn_free(dy), wn_free(x), wn_free(dW), wn_free(old), wn_free(cut), wn_free(dy2), wn_free(x2);
}

Test(gemm, gradients_are_sums_over_examples)
{
    for (size_t v = 0; v < TABLE_COUNT; v++) {
        wn_kernel_use(TABLES[v]);
        for (int bf16 = 0; bf16 < 2; bf16++) {
            check_grad(1, 1, bf16);
            check_grad(45, 17, bf16);
            check_grad(31, 70, bf16);
            check_grad(8, 500, bf16);
            check_grad(500, 9, bf16);
            if (v)
                check_grad(300, 530, bf16);
        }
    }
    wn_kernel_use(NULL);
}

Test(gemm, rows_come_back_from_the_packed_form)
{
    enum { N = 37, K = 45 };
    float *W = noise(N * K, 1), row[K];
    for (int kind = WN_MAT_F32; kind <= WN_MAT_BF16; kind++) {
        wn_mat m = pack(W, N, K, (wn_mat_kind)kind), part = wn_mat_part(&m, 16, 20);
        float *as = as_kind(W, N * K, (wn_mat_kind)kind);
        for (size_t n = 0; n < N; n++) {
            wn_mat_row(row, &m, n);
            cr_assert_eq(memcmp(row, as + n * K, sizeof row), 0);
        }
        wn_mat_row(row, &part, 3);
        cr_assert_eq(memcmp(row, as + 19 * K, sizeof row), 0);
        unpack(&m);
        wn_free(as);
    }
    cr_assert_eq(wn_mat_bytes(WN_MAT_F32, N, K), 48 * K * sizeof(float));
    cr_assert_eq(wn_mat_bytes(WN_MAT_BF16, N, K), 48 * 64 * sizeof(uint16_t));
    wn_free(W);
}

Test(gemm, emulated_bf16_is_rounding_then_f32)
{
    enum { T = 50, N = 70, K = 90 };
    wn_kernel_use("avx2");
    float *W = noise(N * K, 1), *x = noise(T * K, 2), *y = noise(T * N, 3), *z = noise(T * N, 4);
    wn_mat m = pack(W, N, K, WN_MAT_BF16);
    wn_mm(y, N, x, K, &m, NULL, T, 0);
    wn_kernel_table_ref.round_bf16(W, W, N * K);
    wn_kernel_table_ref.round_bf16(x, x, T * K);
    wn_mat f = pack(W, N, K, WN_MAT_F32);
    wn_mm(z, N, x, K, &f, NULL, T, 0);
    cr_assert_eq(memcmp(y, z, T * N * sizeof *y), 0);
    wn_kernel_use(NULL);
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
    wn_dnnl *h = wn_dnnl_new(W, N, K, false);
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
        h = wn_dnnl_new(W, 64, 64, false);
        cr_assert(h || wn_mem_live() == live, "leak at %d", (int)n);
    }
    wn_mem_fail_after(-1);
    cr_assert(h);
    wn_dnnl_free(h);
    cr_assert_eq(wn_mem_live(), live);
    unpack(&m);
    wn_free(W);
}
