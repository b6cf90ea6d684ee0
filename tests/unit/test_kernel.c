/* Every entry of a fast table against the plain one, on random rows of odd lengths; the drivers'
 * gradients against finite differences; losses, sums and AdamW against their formulas. */
#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"
#include "kernel/table.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static const wn_kernels *const REF = &wn_kernel_table_ref;
static const size_t LENGTHS[] = {0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, 257, 576, 1000};
enum { MOST = 1008, GUARD = 16 };

#define EACH_LENGTH(n)                                                                             \
    for (size_t l_ = 0, n = 0; l_ < sizeof LENGTHS / sizeof *LENGTHS; l_++)                        \
        if ((n = LENGTHS[l_]) || n == 0)

typedef struct row {
    float v[MOST + GUARD];
} row;

static row noise(uint64_t seed, float size)
{
    row r;
    for (size_t i = 0; i < MOST + GUARD; i++)
        r.v[i] = size * (float)wn_rng_normal(seed, WN_STREAM_TEST, i);
    return r;
}

/* n elements within tol * (1 + |want|), and nothing written behind them. */
static void same(const row *got, const row *want, size_t n, double tol, const char *what)
{
    for (size_t i = 0; i < n; i++)
        cr_assert(fabs((double)got->v[i] - want->v[i]) <= tol * (1 + fabs(want->v[i])),
                  "%s of %zu at %zu: %.9g, expected %.9g", what, n, i, got->v[i], want->v[i]);
    cr_assert_eq(memcmp(got->v + n, want->v + n, GUARD * sizeof(float)), 0, "%s wrote past %zu",
                 what, n);
}

static void check_norms(const wn_kernels *t)
{
    EACH_LENGTH(n)
    {
        if (!n)
            continue;
        for (int add = 0; add < 2; add++) {
            row x = noise(1, 2), g = noise(2, 1), b = noise(3, 1), dy = noise(4, 1);
            row y = noise(5, 1), z = y, p = noise(6, 1), q = p;
            float m1, m2, r1, r2;
            r1 = t->rmsnorm(y.v, x.v, g.v, n, 1e-5f), r2 = REF->rmsnorm(z.v, x.v, g.v, n, 1e-5f);
            cr_assert_float_eq(r1, r2, 1e-6 * r2);
            same(&y, &z, n, 1e-6, "rmsnorm");
            t->rmsnorm_back(p.v, dy.v, x.v, g.v, r2, n, add);
            REF->rmsnorm_back(q.v, dy.v, x.v, g.v, r2, n, add);
            same(&p, &q, n, 2e-6, "rmsnorm_back");
            t->rmsnorm_gain(p.v, dy.v, x.v, r2, n), REF->rmsnorm_gain(q.v, dy.v, x.v, r2, n);
            same(&p, &q, n, 3e-6, "rmsnorm_gain");
            t->layernorm(y.v, &m1, &r1, x.v, g.v, add ? b.v : NULL, n, 1e-5f);
            REF->layernorm(z.v, &m2, &r2, x.v, g.v, add ? b.v : NULL, n, 1e-5f);
            cr_assert(n == 1 || fabsf(r1 - r2) <= 2e-6f * r2, "%zu: %g %g", n, r1, r2);
            cr_assert_float_eq(m1, m2, 1e-6);
            same(&y, &z, n, n == 1 ? 1e-4 : 2e-6, "layernorm");
            if (n < 3)
                continue;
            t->layernorm_back(p.v, dy.v, x.v, g.v, m2, r2, n, add);
            REF->layernorm_back(q.v, dy.v, x.v, g.v, m2, r2, n, add);
            same(&p, &q, n, 4e-6, "layernorm_back");
            t->layernorm_gain(p.v, add ? y.v : NULL, dy.v, x.v, m2, r2, n);
            REF->layernorm_gain(q.v, add ? z.v : NULL, dy.v, x.v, m2, r2, n);
            same(&p, &q, n, 5e-6, "layernorm_gain");
            same(&y, &z, n, 2e-6, "layernorm bias");
        }
    }
}

static void check_activations(const wn_kernels *t)
{
    EACH_LENGTH(n)
    {
        row x = noise(1, 3), u = noise(2, 1), dy = noise(3, 1), y = noise(4, 1), z = y, p = y,
            q = y;
        for (wn_act a = WN_ACT_SILU; a <= WN_ACT_IDENTITY; a++) {
            for (int up = 0; up < 2; up++) {
                t->act(y.v, x.v, up ? u.v : NULL, n, a), REF->act(z.v, x.v, up ? u.v : NULL, n, a);
                same(&y, &z, n, 4e-7, "act");
                t->act_back(y.v, up ? p.v : NULL, dy.v, x.v, up ? u.v : NULL, n, a);
                REF->act_back(z.v, up ? q.v : NULL, dy.v, x.v, up ? u.v : NULL, n, a);
                same(&y, &z, n, 4e-6, "act_back");
                same(&p, &q, n, 4e-7, "act_back up");
            }
        }
        for (wn_act f = WN_ACT_SILU; f <= WN_ACT_IDENTITY; f++) {
            row a = x, b = x;
            wn_after e = {f % 2 ? u.v : NULL, dy.v, f % 3 ? z.v : NULL, 0, f, false};
            const float *up = f % 2 ? NULL : u.v;
            t->after(a.v, n, a.v, n, up, n, 1, n, &e);
            REF->after(b.v, n, b.v, n, up, n, 1, n, &e);
            same(&a, &b, n, 1e-6, "after");
        }
        row a = x, b = x;
        t->softcap(a.v, n, 0.7f, 5), REF->softcap(b.v, n, 0.7f, 5);
        same(&a, &b, n, 5e-7, "softcap");
        t->softcap_back(y.v, b.v, n, 5), REF->softcap_back(z.v, b.v, n, 5);
        same(&y, &z, n, 1e-6, "softcap_back");
    }
}

/* x Phi(x) of sums of bf16 products. */
static void check_rough_gelu(const wn_kernels *t)
{
    const wn_after e = {.act = WN_ACT_GELU, .rough = true};
    for (float x = -30; x < 30; x += 1.0f / 128) {
        float y, want = x * 0.5f * erfcf(-x * 0.707106781f);
        t->after(&y, 1, &x, 1, NULL, 0, 1, 1, &e);
        cr_assert_float_eq(y, want, t == REF ? 2e-6 : 7e-5, "%s %g: %g", t->name, x, y);
    }
    float x = NAN, y;
    t->after(&y, 1, &x, 1, NULL, 0, 1, 1, &e);
    cr_assert(isnan(y));
}

/* Values far out: no overflow, no NaN of our own making, NaN kept. */
static void check_extremes(const wn_kernels *t)
{
    row x = noise(1, 1), y = x, z = x;
    static const float FAR[] = {-1e30f, -200,   -90, -88, -87.4f, -60, -20,  -1e-20f,
                                0,      1e-20f, 20,  60,  90,     200, 1e30f};
    const size_t n = sizeof FAR / sizeof *FAR;
    memcpy(x.v, FAR, sizeof FAR);
    for (wn_act a = WN_ACT_SILU; a <= WN_ACT_IDENTITY; a++) {
        y = z = x;
        t->act(y.v, x.v, NULL, n, a), REF->act(z.v, x.v, NULL, n, a);
        same(&y, &z, n, 1e-6, "act far out");
    }
    y = z = x;
    t->exp_scaled(y.v, 10, 0, 1), REF->exp_scaled(z.v, 10, 0, 1);
    same(&y, &z, 10, 3e-7, "exp");
    x.v[3] = NAN;
    for (wn_act a = WN_ACT_SILU; a <= WN_ACT_GELU_TANH; a++) {
        t->act(y.v, x.v, NULL, n, a);
        cr_assert(isnan(y.v[3]), "%s loses a NaN in activation %d", t->name, (int)a);
    }
    cr_assert(isnan(t->lse(x.v, n)) && !t->all_finite(x.v, n));
    x.v[3] = INFINITY;
    cr_assert(!t->all_finite(x.v, n) && t->all_finite(x.v, 3));
    x.v[3] = 0;
    cr_assert(t->all_finite(x.v, n));
}

static void check_exp(const wn_kernels *t)
{
    for (int i = 0; i < 200; i++) {
        row x, y;
        for (int j = 0; j < 64; j++)
            y.v[j] = x.v[j] =
                -87.0f * (float)wn_rng_uniform(7, WN_STREAM_TEST, (uint64_t)(64 * i + j));
        t->exp_scaled(y.v, 64, 0, 1);
        for (int j = 0; j < 64; j++)
            cr_assert(fabs(y.v[j] / exp(x.v[j]) - 1) < 2e-7, "exp(%.9g)", x.v[j]);
    }
}

/* Any flipped bit, any two words that change places. */
static void check_row_sum(const wn_kernels *t)
{
    EACH_LENGTH(n)
    {
        row x = noise(1, 3), y = x;
        uint64_t sum = t->row_sum(x.v, n);
        cr_assert_eq(sum, REF->row_sum(x.v, n), "%s, %zu numbers", t->name, n);
        for (size_t bit = 0; bit < 32 * n; bit += 1 + bit % 7) {
            ((unsigned char *)y.v)[bit / 8] ^= (unsigned char)(1 << (bit % 8));
            cr_assert_neq(t->row_sum(y.v, n), sum, "bit %zu of %zu numbers", bit, n);
            y = x;
        }
        for (size_t i = 1; i < n; i++) {
            y.v[0] = x.v[i], y.v[i] = x.v[0];
            cr_assert_neq(t->row_sum(y.v, n), sum, "0 and %zu of %zu numbers", i, n);
            y = x;
        }
    }
}

static void check_sums(const wn_kernels *t)
{
    check_row_sum(t);
    EACH_LENGTH(n)
    {
        row x = noise(1, 3), y = noise(2, 1), z = y, m = noise(3, 1), v = noise(4, 1), m2 = m,
            v2 = v;
        double exact = REF->dot64(x.v, y.v, n), size = sqrt((double)n + 1) * 3;
        cr_assert_float_eq(t->dot(x.v, y.v, n), exact, 2e-6 * size);
        cr_assert_float_eq(t->dot64(x.v, y.v, n), exact, 1e-13 * size * size);
        cr_assert_float_eq(t->sum_squares(x.v, n), REF->sum_squares(x.v, n),
                           1e-11 * (double)(n + 1));
        if (n)
            cr_assert_float_eq(t->lse(x.v, n), REF->lse(x.v, n), 1e-6);
        t->add(y.v, x.v, n), REF->add(z.v, x.v, n);
        same(&y, &z, n, 0, "add");
        t->scale(y.v, 0.3f, n), REF->scale(z.v, 0.3f, n);
        same(&y, &z, n, 0, "scale");
        t->axpy(y.v, -1.7f, x.v, n), REF->axpy(z.v, -1.7f, x.v, n);
        same(&y, &z, n, 2e-7, "axpy");
        t->exp_scaled(y.v, n, 20, 2), REF->exp_scaled(z.v, n, 20, 2);
        same(&y, &z, n, 3e-7, "exp_scaled");
        t->round_bf16(y.v, x.v, n), REF->round_bf16(z.v, x.v, n);
        same(&y, &z, n, 0, "round_bf16");
        static uint16_t half[2][4096];
        cr_assert_leq(n, 4096);
        t->to_bf16(half[0], x.v, n), REF->to_bf16(half[1], x.v, n);
        cr_expect_eq(memcmp(half[0], half[1], n * sizeof **half), 0, "to_bf16");
        t->from_bf16(y.v, half[0], n);
        same(&y, &z, n, 0, "from_bf16");
        for (size_t i = 0; i < MOST; i++)
            v.v[i] = v2.v[i] = fabsf(v.v[i]);
        for (int clip = 0; clip < 2; clip++) {
            t->adamw(y.v, m.v, v.v, x.v, n, 0.1f, 0.9f, 0.99f, 1e-8f, 0.999f, 2, 0.5f, (float)clip);
            REF->adamw(z.v, m2.v, v2.v, x.v, n, 0.1f, 0.9f, 0.99f, 1e-8f, 0.999f, 2, 0.5f,
                       (float)clip);
            same(&m, &m2, n, 5e-7, "adamw m");
            same(&v, &v2, n, 5e-7, "adamw v");
            same(&y, &z, n, 1e-6, "adamw w");
        }
    }
}

static void check_layout(const wn_kernels *t)
{
    for (size_t rows = 0; rows < 30; rows += 1 + rows / 3) {
        for (size_t cols = 0; cols < 30; cols += 1 + cols / 3) {
            row x = noise(1, 1), y = noise(2, 1), z = y;
            t->transpose(y.v, rows + 1, x.v, cols + 2, rows, cols);
            REF->transpose(z.v, rows + 1, x.v, cols + 2, rows, cols);
            same(&y, &z, 31 * 30, 0, "transpose");
        }
    }
    for (size_t half = 0; half < 50; half += 1 + half / 4) {
        for (int way = 0; way < 4; way++) {
            row x = noise(1, 1), y = x, cs = noise(2, 1);
            t->rope(x.v, cs.v, half, way & 1, way & 2 ? 1 : -1);
            REF->rope(y.v, cs.v, half, way & 1, way & 2 ? 1 : -1);
            same(&x, &y, 2 * half, 3e-7, "rope");
        }
    }
}

static void check_tiles(const wn_kernels *t)
{
    enum { ROWS = 9, LD = 64 };
    for (size_t n = 16; n <= 64; n += 16) {
        row s = noise(1, 3), r = s, top = noise(2, 1), sum = noise(3, 1), keep = top;
        row top2 = top, sum2 = sum, keep2 = keep, d = noise(4, 1), d2 = d, p = s, p2 = s;
        uint32_t lo[ROWS], hi[ROWS];
        for (uint32_t i = 0; i < ROWS; i++) {
            lo[i] = i * 3 % 20, hi[i] = lo[i] + i * 7 % 33;
            hi[i] = hi[i] > n ? (uint32_t)n : hi[i];
        }
        top.v[2] = top2.v[2] = -INFINITY, sum.v[2] = sum2.v[2] = 0;
        wn_tile tile = {LD, ROWS, n, lo, hi};
        s.v[n - 1] = r.v[n - 1] = p.v[n - 1] = p2.v[n - 1] = NAN; /* a masked place of row 0 */
        t->tile_softmax(s.v, top.v, sum.v, keep.v, &tile, 0.4f);
        REF->tile_softmax(r.v, top2.v, sum2.v, keep2.v, &tile, 0.4f);
        for (size_t i = 0; i < ROWS; i++)
            for (size_t j = 0; j < n; j++)
                cr_assert_float_eq(s.v[i * LD + j], r.v[i * LD + j], 1e-6);
        same(&top, &top2, ROWS, 1e-6, "top");
        same(&sum, &sum2, ROWS, 2e-6, "sum");
        same(&keep, &keep2, ROWS, 1e-6, "keep");
        t->tile_softmax_back(p.v, d.v, sum2.v, top2.v, &tile, 0.4f);
        REF->tile_softmax_back(p2.v, d2.v, sum2.v, top2.v, &tile, 0.4f);
        for (size_t i = 0; i < ROWS; i++) {
            for (size_t j = 0; j < n; j++) {
                double want = d2.v[i * LD + j];
                cr_assert_float_eq(p.v[i * LD + j], p2.v[i * LD + j],
                                   1e-6 * (1 + p2.v[i * LD + j]));
                cr_assert_float_eq(d.v[i * LD + j], want, 2e-6 * (1 + fabs(want)));
            }
        }
    }
}

static void check_mm(const wn_kernels *t)
{
    for (size_t m = 0; m < 30; m += 1 + m / 5) {
        for (size_t n = 0; n < 90; n += 1 + n / 3) {
            row a = noise(1, 1), b = noise(2, 1);
            enum { K = 9, LD = 92 };
            static float c[30 * LD], d[30 * LD];
            for (size_t i = 0; i < 30 * LD; i++)
                c[i] = d[i] = (float)i;
            for (int add = 0; add < 2; add++) {
                t->mm(c, LD, a.v, K + 1, b.v, 16, 16 * K, m, n, K, add);
                REF->mm(d, LD, a.v, K + 1, b.v, 16, 16 * K, m, n, K, add);
                for (size_t i = 0; i < 30 * LD; i++)
                    cr_assert_float_eq(c[i], d[i], 1e-5, "%zu %zu at %zu", m, n, i);
            }
        }
    }
}

/* Panels of doubles, with guards between and behind them. */
static void check_f64(const wn_kernels *t)
{
    enum { K = 21, P = 4, ROWS = 19, CP = ROWS * WN_ND + 8, BP = K * WN_ND + 8 };
    static double a[2][ROWS * K], b[P * BP], c[P * CP], d[P * CP];
    for (size_t i = 0; i < ROWS * K; i++)
        a[0][i] = a[1][i % K * ROWS + i / K] = wn_rng_normal(1, WN_STREAM_TEST, i);
    for (size_t i = 0; i < P * BP; i++)
        b[i] = wn_rng_normal(2, WN_STREAM_TEST, i);
    for (size_t m = 0; m <= ROWS; m++)
        for (size_t panels = 0; panels <= P; panels++)
            for (int how = 0; how < 4; how++) {
                for (size_t i = 0; i < P * CP; i++)
                    c[i] = d[i] = (double)i;
                bool turned = how & 1, add = how & 2;
                t->mm64(c, CP, a[turned], turned ? 1 : K, turned ? ROWS : 1, b, BP, m, panels, K,
                        add);
                REF->mm64(d, CP, a[0], K, 1, b, BP, m, panels, K, add);
                for (size_t i = 0; i < P * CP; i++)
                    cr_assert_float_eq(c[i], d[i], 1e-12, "mm64 %zu %zu at %zu", m, panels, i);
            }
    for (size_t n = 0; n < 40; n++) {
        double x[48], y[48], z[48];
        for (size_t i = 0; i < 48; i++) {
            x[i] = y[i] = z[i] = 40 * wn_rng_normal(n + 3, WN_STREAM_TEST, i);
            y[i] = z[i] = 1;
        }
        x[0] = n % 2 ? 1e4 : -1e4;
        t->sigmoid_neg(y, x, n), REF->sigmoid_neg(z, x, n);
        for (size_t i = 0; i < 48; i++)
            cr_assert(fabs(y[i] - z[i]) <= 4e-16 * fabs(z[i]) + 1e-300, "sigmoid_neg(%.17g): %.17g",
                      x[i], y[i]);
        float f[48];
        for (size_t i = 0; i < 48; i++)
            f[i] = (float)x[i];
        t->widen(y, f, n), REF->widen(z, f, n);
        cr_assert_eq(memcmp(y, z, sizeof y), 0);
        t->axpy64(y, 0.3, x, n), REF->axpy64(z, 0.3, x, n);
        for (size_t i = 0; i < 48; i++)
            cr_assert_float_eq(y[i], z[i], 1e-12 * (1 + fabs(x[i])));
    }
}

void check_table(const wn_kernels *t);
void check_table(const wn_kernels *t)
{
    check_norms(t);
    check_activations(t);
    check_rough_gelu(t);
    check_extremes(t);
    check_exp(t);
    check_sums(t);
    check_layout(t);
    check_tiles(t);
    check_mm(t);
    check_f64(t);
}

#ifndef WN_TEST_TABLE
Test(kernel, the_table_in_use_equals_the_plain_one)
{
    check_table(wn_kernel_table());
}

Test(kernel, names)
{
    wn_kernel_use("ref");
    cr_assert_str_eq(wn_kernel_name(), "ref");
    wn_kernel_use("no such table");
    cr_assert_str_eq(wn_kernel_name(), "ref");
    wn_kernel_use(NULL);
    char text[200], tiny[4];
    wn_cpu_features(text, sizeof text);
    wn_cpu_features(tiny, sizeof tiny);
    cr_assert_lt(strlen(tiny), sizeof tiny);
    cr_assert_gt(wn_mat_spin(WN_MAT_F32, 10), 0);
}
#endif
