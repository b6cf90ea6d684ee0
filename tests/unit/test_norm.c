/* The drivers of norms, activations, rotary positions and losses: gradients against finite
 * differences, the same bytes for any number of threads and for a row alone. */
#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"
#include "kernel/table.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { T = 5, D = 21, LD = 2 * D + 3 };

static void fill(float *x, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)wn_rng_normal(seed, WN_STREAM_TEST, i);
}

static double inner(const float *x, const float *y, size_t n)
{
    return wn_kernel_table_ref.dot64(x, y, n);
}

/* (f(x + h) - f(x - h)) / 2h for each element of x against grad. */
#define DIFFERENCES(x, grad, n, tol, f)                                                            \
    for (size_t i_ = 0; i_ < (n); i_++) {                                                          \
        const float kept_ = (x)[i_], h_ = 1.0f / 128;                                              \
        (x)[i_] = kept_ + h_;                                                                      \
        double up_ = (f);                                                                          \
        (x)[i_] = kept_ - h_;                                                                      \
        up_ -= (f);                                                                                \
        (x)[i_] = kept_;                                                                           \
        up_ /= 2 * (double)h_;                                                                     \
        cr_assert(fabs(up_ - (grad)[i_]) <= (tol) * (1 + fabs(up_)), "%zu: %g %g", i_, up_,        \
                  (double)(grad)[i_]);                                                             \
    }

static float x[T * LD], y[T * LD], dy[T * LD], dx[T * LD], gain[D], shift[D], dgain[D], dshift[D];
static float mean[T], rinv[T];

static double rms(void)
{
    wn_rmsnorm(y, NULL, x, gain, T, D, 1e-3f);
    return inner(y, dy, T * D);
}

static double layer(void)
{
    wn_layernorm(y, NULL, NULL, x, gain, shift, T, D, 1e-3f);
    return inner(y, dy, T * D);
}

Test(norm, gradients_of_norms)
{
    fill(x, T * D, 1), fill(dy, T * D, 2), fill(gain, D, 3), fill(shift, D, 4), fill(dx, T * D, 5);
    wn_rmsnorm(y, rinv, x, gain, T, D, 1e-3f);
    wn_rmsnorm_back(dx, dy, x, gain, rinv, T, D, false);
    memset(dgain, 0, sizeof dgain);
    wn_rmsnorm_gain(dgain, dy, x, rinv, 0, 2, D);
    wn_rmsnorm_gain(dgain, dy, x, rinv, 2, T, D);
    DIFFERENCES(x, dx, T * D, 3e-3, rms());
    DIFFERENCES(gain, dgain, D, 2e-3, rms());
    float twice[T * D];
    memcpy(twice, dx, sizeof twice);
    wn_rmsnorm_back(twice, dy, x, gain, rinv, T, D, true);
    for (size_t i = 0; i < T * D; i++)
        cr_assert_float_eq(twice[i], 2 * dx[i], 1e-5);

    wn_layernorm(y, mean, rinv, x, gain, shift, T, D, 1e-3f);
    wn_layernorm_back(dx, dy, x, gain, mean, rinv, T, D, false);
    memset(dgain, 0, sizeof dgain);
    memset(dshift, 0, sizeof dshift);
    wn_layernorm_gain(dgain, dshift, dy, x, mean, rinv, 0, T, D);
    DIFFERENCES(x, dx, T * D, 3e-3, layer());
    DIFFERENCES(gain, dgain, D, 2e-3, layer());
    DIFFERENCES(shift, dshift, D, 2e-3, layer());
}

static double gated(wn_act act, bool up)
{
    wn_act_gate(y, x, up ? x + D : NULL, LD, T, D, act);
    return inner(y, dy, T * D);
}

Test(norm, gradients_of_activations)
{
    for (wn_act act = WN_ACT_SILU; act <= WN_ACT_IDENTITY; act++) {
        for (int up = 0; up < 2; up++) {
            fill(x, T * LD, 1), fill(dy, T * D, 2);
            for (size_t i = 0; i < T * LD; i++)
                x[i] += x[i] > 0 ? 0.02f : -0.02f; /* away from the corner of ReLU */
            memset(dx, 0, sizeof dx);
            wn_act_gate_back(dx, up ? dx + D : NULL, dy, x, up ? x + D : NULL, LD, T, D, act);
            DIFFERENCES(x, dx, T * LD, 3e-3, gated(act, up));
        }
    }
}

Test(norm, gate_gradients_may_overwrite_their_inputs)
{
    fill(x, T * LD, 1), fill(dy, T * D, 2);
    wn_act_gate_back(dx, dx + D, dy, x, x + D, LD, T, D, WN_ACT_SILU);
    wn_act_gate_back(x, x + D, dy, x, x + D, LD, T, D, WN_ACT_SILU);
    for (size_t t = 0; t < T; t++)
        cr_assert_eq(memcmp(x + t * LD, dx + t * LD, 2 * D * sizeof *x), 0);
}

static double loss(const float *logits, const int32_t *label, const float *weight, size_t V,
                   float cap)
{
    float nll[T], lse[T], copy[T * D];
    memcpy(copy, logits, sizeof copy);
    wn_softmax_nll(nll, lse, copy, label, T, V, cap);
    double s = 0;
    for (size_t t = 0; t < T; t++)
        s += (double)weight[t] * nll[t];
    return s;
}

Test(norm, gradients_of_the_loss)
{
    static const int32_t LABEL[T] = {0, 20, 7, 7, 3};
    static const float WEIGHT[T] = {1, 0.5f, 0, 2, -1};
    for (int capped = 0; capped < 2; capped++) {
        float logits[T * D], grad[T * D], nll[T], lse[T], cap = capped ? 3 : 0;
        fill(logits, T * D, 1);
        for (size_t i = 0; i < T * D; i++)
            grad[i] = logits[i] *= 2;
        wn_softmax_nll(nll, lse, grad, LABEL, T, D, cap);
        wn_softmax_nll_back(grad, lse, LABEL, WEIGHT, T, D, cap);
        DIFFERENCES(logits, grad, T * D, 1e-3, loss(logits, LABEL, WEIGHT, D, cap));
    }
}

/* Rows of 600 logits, so that the pieces of the backward meet a label in each. */
Test(norm, loss_of_a_large_vocabulary)
{
    enum { V = 601 };
    float logits[V], grad[V], nll, lse, one = 1;
    fill(logits, V, 1);
    for (int32_t label = 0; label < V; label += 100) {
        memcpy(grad, logits, sizeof grad);
        wn_softmax_nll(&nll, &lse, grad, &label, 1, V, 0);
        double sum = 0;
        for (size_t i = 0; i < V; i++)
            sum += exp(logits[i]);
        cr_assert_float_eq(lse, log(sum), 1e-6);
        cr_assert_float_eq(nll, log(sum) - logits[label], 1e-5);
        wn_softmax_nll_back(grad, &lse, &label, &one, 1, V, 0);
        for (int32_t i = 0; i < V; i++)
            cr_assert_float_eq(grad[i], exp(logits[i]) / sum - (i == label), 1e-6);
    }
}

Test(norm, rope_turns_pairs_and_back)
{
    enum { HEADS = 3, HEAD = 10, ROT = 8, LINE = HEADS * HEAD + 1, POSITIONS = 9 };
    static const int32_t POS[T] = {8, 0, 3, 3, 5};
    float cs[POSITIONS * ROT], a[T * LINE], b[T * LINE];
    for (size_t p = 0; p < POSITIONS; p++) {
        for (size_t i = 0; i < ROT / 2; i++) {
            double angle = (double)p * pow(10000, -2.0 * (double)i / ROT);
            cs[p * ROT + i] = (float)cos(angle);
            cs[p * ROT + ROT / 2 + i] = (float)sin(angle);
        }
    }
    for (int pairs = 0; pairs < 2; pairs++) {
        fill(a, T * LINE, 1);
        memcpy(b, a, sizeof a);
        wn_rope(b, LINE, HEADS, HEAD, ROT, pairs, false, cs, POS, T);
        for (size_t t = 0; t < T; t++) {
            for (size_t h = 0; h < HEADS; h++) {
                const float *u = a + t * LINE + h * HEAD, *v = b + t * LINE + h * HEAD;
                for (size_t i = 0; i < ROT / 2; i++) {
                    size_t p = pairs ? 2 * i : i, q = pairs ? p + 1 : i + ROT / 2;
                    double angle = POS[t] * pow(10000, -2.0 * (double)i / ROT);
                    cr_assert_float_eq(v[p], u[p] * cos(angle) - u[q] * sin(angle), 1e-6);
                    cr_assert_float_eq(v[q], u[q] * cos(angle) + u[p] * sin(angle), 1e-6);
                }
                cr_assert_eq(memcmp(u + ROT, v + ROT, (HEAD - ROT) * sizeof *u), 0);
            }
        }
        wn_rope(b, LINE, HEADS, HEAD, ROT, pairs, true, cs, POS, T);
        for (size_t i = 0; i < T * LINE; i++)
            cr_assert_float_eq(a[i], b[i], 1e-6);
    }
}

/* PyTorch's AdamW step written out in double. */
Test(norm, adamw_step)
{
    enum { N = 1003 };
    static float w[N], m[N], v[N], g[N];
    fill(w, N, 1), fill(m, N, 2), fill(v, N, 3), fill(g, N, 4);
    for (size_t i = 0; i < N; i++)
        v[i] *= v[i];
    static double want[N];
    const double b1 = 0.9f, b2 = 0.999f, c1 = 1 - pow(b1, 3), c2 = 1 - pow(b2, 3);
    for (size_t i = 0; i < N; i++) {
        double d = fmax(-1, fmin(1, g[i] * 2.0)), mi = b1 * m[i] + (1 - b1) * d;
        double vi = b2 * v[i] + (1 - b2) * d * d;
        want[i] = w[i] * (1 - 0.01 * 0.1) - 0.01 / c1 * mi / (sqrt(vi) / sqrt(c2) + 1e-8);
    }
    wn_adamw(w, m, v, g, N, 0.01f, 0.9f, 0.999f, 1e-8f, 0.1f, c1, c2, 2, 1);
    for (size_t i = 0; i < N; i++)
        cr_assert_float_eq(w[i], want[i], 1e-6 * (1 + fabs(want[i])));
}

/* Big enough that the drivers cut their work; bytes for 1 thread must be bytes for all. */
Test(norm, threads_change_nothing)
{
    enum { ROWS = 500, WIDTH = 130, N = ROWS * WIDTH };
    float *in = wn_malloc(N * sizeof(float)), *out[3], sums[3][ROWS], gains[3][WIDTH];
    double squares[3];
    static const int THREADS[3] = {1, 2, 7};
    fill(in, N, 1);
    for (int k = 0; k < 3; k++) {
        int32_t label[ROWS] = {0};
        float nll[ROWS];
        wn_par_set_threads(THREADS[k]);
        out[k] = wn_malloc(N * sizeof(float));
        wn_layernorm(out[k], NULL, sums[k], in, in, NULL, ROWS, WIDTH, 1e-5f);
        wn_rmsnorm_back(out[k], in, in, in + 7, sums[k], ROWS, WIDTH, true);
        memset(gains[k], 0, sizeof gains[k]);
        wn_rmsnorm_gain(gains[k], in, out[k], sums[k], 0, ROWS, WIDTH);
        wn_act_gate(out[k], out[k], in, WIDTH, ROWS, WIDTH, WN_ACT_GELU);
        wn_add(out[k], in, N), wn_scale(out[k], 0.7f, N), wn_axpy(out[k], 0.3f, in, N);
        squares[k] = wn_sum_squares(out[k], N);
        wn_softmax_nll(nll, sums[k], out[k], label, ROWS, WIDTH, 0);
        cr_assert_eq(memcmp(out[0], out[k], N * sizeof(float)), 0);
        cr_assert_eq(memcmp(sums[0], sums[k], sizeof sums[0]), 0);
        cr_assert_eq(memcmp(gains[0], gains[k], sizeof gains[0]), 0);
        cr_assert_eq(squares[0], squares[k]);
    }
    cr_assert_float_eq(squares[0], inner(out[0], out[0], N), 1e-6 * squares[0]);
    float row[WIDTH], lone;
    wn_layernorm(out[0], NULL, NULL, in, in, NULL, ROWS, WIDTH, 1e-5f);
    wn_layernorm(row, NULL, &lone, in + 77 * WIDTH, in, NULL, 1, WIDTH, 1e-5f);
    cr_assert_eq(memcmp(row, out[0] + 77 * WIDTH, sizeof row), 0, "a row depends on its batch");
    wn_par_set_threads(0);
    for (int k = 0; k < 3; k++)
        wn_free(out[k]);
    wn_free(in);
}
