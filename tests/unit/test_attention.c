/* Tiled attention against the plain one for every option, the plain one against an independent
 * formula and finite differences; the same bytes for any number of threads and any neighbours. */
#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"
#include "kernel/table.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { LIMIT = 64 };

/* A case: segments of nq queries, keys of their own, and a prefix shared by all of them. */
typedef struct trial {
    wn_attn a;
    uint32_t q0[LIMIT + 1], pre[2 * LIMIT], own[2 * LIMIT];
    size_t T, R; /* query rows, key rows */
    float *q, *k, *v, *o, *lse, *go, *dq, *dk, *dv, *dbias;
    float slope[LIMIT], bias[32 * LIMIT];
} trial;

static float *noise(size_t n, uint64_t seed)
{
    float *x = wn_malloc((n + !n) * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)wn_rng_normal(seed, WN_STREAM_TEST, i);
    return x;
}

static void build(trial *c, const size_t *lengths, size_t S, size_t prefix, size_t H, size_t G,
                  size_t d, size_t dv)
{
    memset(c, 0, sizeof *c);
    c->R = prefix;
    for (size_t s = 0; s < S; s++) {
        c->q0[s + 1] = c->q0[s] + (uint32_t)lengths[s];
        c->pre[2 * s + 1] = (uint32_t)prefix;
        c->own[2 * s] = (uint32_t)c->R;
        c->R += lengths[s];
        c->own[2 * s + 1] = (uint32_t)c->R;
    }
    c->T = c->q0[S];
    c->a = (wn_attn){.S = S,
                     .q0 = c->q0,
                     .pre = c->pre,
                     .own = c->own,
                     .H = H,
                     .G = G,
                     .d = d,
                     .dv = dv,
                     .ldq = H * d + 3,
                     .ldk = G * d + 1,
                     .ldv = G * dv,
                     .ldo = H * dv + 2,
                     .scale = 1 / sqrtf((float)d)};
    c->q = noise(c->T * c->a.ldq, 1);
    c->k = noise(c->R * c->a.ldk, 2);
    c->v = noise(c->R * c->a.ldv, 3);
    c->o = noise(c->T * c->a.ldo, 4);
    c->lse = noise(c->T * H, 5);
    c->go = noise(c->T * c->a.ldo, 6);
    c->dq = noise(c->T * c->a.ldq, 7);
    c->dk = noise(c->R * c->a.ldk, 8);
    c->dv = noise(c->R * c->a.ldv, 9);
    c->dbias = wn_calloc(32 * LIMIT, sizeof(float));
    for (size_t i = 0; i < LIMIT; i++)
        c->slope[i] = 0.06f / (float)(i + 1);
    for (size_t i = 0; i < 32 * LIMIT; i++)
        c->bias[i] = (float)wn_rng_normal(10, WN_STREAM_TEST, i);
}

static void drop(trial *c)
{
    float *all[] = {c->q, c->k, c->v, c->o, c->lse, c->go, c->dq, c->dk, c->dv, c->dbias};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        wn_free(all[i]);
}

enum { OPTIONS = 8 };

static void choose(trial *c, int option)
{
    c->a.causal = option & 1;
    if (option / 2 == 1)
        c->a.softcap = 2.5f, c->a.window = 7;
    if (option / 2 == 2)
        c->a.slope = c->slope;
    if (option / 2 == 3) {
        c->a.bias = c->bias;
        c->a.buckets = 12;
        c->a.max_distance = 40;
        c->a.bidirectional = !c->a.causal;
    }
}

static double off(const float *x, const float *y, size_t rows, size_t ld, size_t width)
{
    double diff = 0, size = 1e-12;
    for (size_t r = 0; r < rows; r++) {
        for (size_t i = 0; i < width; i++) {
            double e = (double)x[r * ld + i] - y[r * ld + i];
            diff += e * e;
            size += (double)y[r * ld + i] * y[r * ld + i];
        }
    }
    return sqrt(diff / size);
}

/* Scores of some 10 (softcap, ALiBi) are floats here: their last bit is 1e-6 of a probability. */
static void close_to(const float *x, const float *y, size_t rows, size_t ld, size_t width,
                     int option)
{
    double e = off(x, y, rows, ld, width);
    cr_assert_lt(e, 1e-5, "option %d: off by %g", option, e);
}

static void compare(const size_t *lengths, size_t S, size_t prefix, size_t H, size_t G, size_t d,
                    size_t dv)
{
    for (int option = 0; option < OPTIONS; option++) {
        trial f, r;
        build(&f, lengths, S, prefix, H, G, d, dv);
        build(&r, lengths, S, prefix, H, G, d, dv);
        choose(&f, option);
        choose(&r, option);
        wn_attention(f.o, f.lse, f.q, f.k, f.v, &f.a);
        wn_attention_ref(r.o, r.lse, r.q, r.k, r.v, &r.a);
        close_to(f.o, r.o, f.T, f.a.ldo, H * dv, option);
        close_to(f.lse, r.lse, f.T, H, H, option);
        wn_attention_back(f.dq, f.dk, f.dv, f.dbias, f.go, r.o, r.lse, f.q, f.k, f.v, &f.a);
        wn_attention_back_ref(r.dq, r.dk, r.dv, r.dbias, r.go, r.o, r.lse, r.q, r.k, r.v, &r.a);
        close_to(f.dq, r.dq, f.T, f.a.ldq, H * d, option);
        close_to(f.dk, r.dk, f.R, f.a.ldk, G * d, option);
        close_to(f.dv, r.dv, f.R, f.a.ldv, G * dv, option);
        close_to(f.dbias, r.dbias, 32, H, H, option);
        for (size_t t = 0; t < f.T; t++)
            cr_assert_eq(f.o[t * f.a.ldo + H * dv], r.o[t * f.a.ldo + H * dv], "wrote past a row");
        drop(&f);
        drop(&r);
    }
}

Test(attention, tiles_equal_the_plain_loops)
{
    compare((size_t[]){1, 5, 0, 70, 20}, 5, 0, 3, 3, 32, 32);
    compare((size_t[]){30, 2, 17}, 3, 21, 6, 2, 20, 20);
    compare((size_t[]){150, 201}, 2, 0, 2, 1, 64, 64);
    compare((size_t[]){9, 100}, 2, 130, 20, 2, 5, 7);
    compare((size_t[]){33}, 1, 3, 2, 2, 128, 48);
    compare((size_t[]){900}, 1, 0, 1, 1, 16, 16);
}

/* ---- products of bf16 numbers
 * ------------------------------------------------------------------------------- */

static uint16_t half(float x)
{
    uint32_t u;
    wn_kernel_table()->round_bf16(&x, &x, 1);
    memcpy(&u, &x, sizeof u);
    return (uint16_t)(u >> 16);
}

static float whole(uint16_t h)
{
    uint32_t u = (uint32_t)h << 16;
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static uint16_t *halves(float *x, size_t n)
{
    uint16_t *h = wn_malloc((n + !n) * sizeof *h);
    for (size_t i = 0; i < n; i++)
        x[i] = whole(h[i] = half(x[i]));
    return h;
}

/* Rounded inputs leave only the rounding of probabilities (2^-9, averaged over keys) between the
 * two. */
static void compare_bf16(const size_t *lengths, size_t S, size_t prefix, size_t H, size_t G,
                         size_t d, size_t dv)
{
    for (int option = 0; option < OPTIONS; option++) {
        trial f, r;
        build(&f, lengths, S, prefix, H, G, d, dv);
        build(&r, lengths, S, prefix, H, G, d, dv);
        choose(&f, option);
        choose(&r, option);
        size_t n = f.T * f.a.ldo;
        uint16_t *q = halves(r.q, r.T * r.a.ldq), *k = halves(r.k, r.R * r.a.ldk);
        uint16_t *v = halves(r.v, r.R * r.a.ldv), *ho = wn_calloc(n + 1, sizeof *ho);
        float *o = noise(n, 4);
        wn_attention_ref(r.o, r.lse, r.q, r.k, r.v, &r.a);
        f.a.bf16 = true;
        wn_par_set_threads(1); /* all on one line */
        wn_attention(f.o, NULL, f.q, f.k, f.v, &f.a);
        wn_par_set_threads(0);
        double e = off(f.o, r.o, f.T, f.a.ldo, H * dv);
        cr_assert_lt(e, 4e-3, "option %d: off by %g", option, e);
        wn_kernel_use("avx512");
        wn_attention(o, NULL, f.q, f.k, f.v, &f.a);
        wn_kernel_use(NULL);
        e = off(o, r.o, f.T, f.a.ldo, H * dv);
        cr_assert_lt(e, 4e-3, "option %d: without tiles off by %g", option, e);
        wn_attention_bf16(ho, q, k, v, &f.a, true, true);
        for (size_t t = 0; t < f.T; t++) {
            for (size_t i = 0; i < H * dv; i++)
                cr_assert_eq(ho[t * f.a.ldo + i], half(f.o[t * f.a.ldo + i]));
            cr_assert_eq(ho[t * f.a.ldo + H * dv], 0, "wrote past a row");
            cr_assert_eq(f.o[t * f.a.ldo + H * dv], r.o[t * f.a.ldo + H * dv], "wrote past a row");
        }
        wn_free(q), wn_free(k), wn_free(v), wn_free(ho), wn_free(o);
        drop(&f);
        drop(&r);
    }
}

Test(attention, bf16_products_are_the_plain_loops_rounded)
{
    if (!wn_cpu_fast_bf16())
        cr_skip("no bf16 products here");
    compare_bf16((size_t[]){1, 5, 0, 70, 20}, 5, 0, 3, 3, 32, 32);
    compare_bf16((size_t[]){30, 2, 17}, 3, 21, 6, 2, 20, 20);
    compare_bf16((size_t[]){150, 201}, 2, 0, 2, 1, 64, 64);
    compare_bf16((size_t[]){9, 100}, 2, 130, 20, 2, 5, 7);
    compare_bf16((size_t[]){33}, 1, 3, 2, 2, 128, 48);
    compare_bf16((size_t[]){1300}, 1, 0, 4, 2, 16, 16); /* blocks of keys */
    compare_bf16((size_t[]){350, 3}, 2, 200, 2, 1, 400, 400);
    compare_bf16((size_t[]){20}, 1, 1100, 1, 1, 64, 64);          /* one unit, three blocks */
    compare_bf16((size_t[]){100, 3, 40}, 3, 150, 4, 4, 400, 400); /* one set of keys at a time */
}

Test(attention, bf16_threads_and_neighbours_change_nothing)
{
    if (!wn_cpu_fast_bf16())
        cr_skip("no bf16 products here");
    for (int option = 0; option < OPTIONS; option++) {
        trial a, one;
        build(&a, (size_t[]){130, 7, 700, 48}, 4, 0, 4, 2, 20, 20);
        build(&one, (size_t[]){700}, 1, 0, 4, 2, 20, 20);
        choose(&a, option);
        choose(&one, option);
        a.a.bf16 = one.a.bf16 = true;
        size_t n = a.T * a.a.ldo;
        float *o = noise(n, 4);
        wn_par_set_threads(1);
        wn_attention(a.o, NULL, a.q, a.k, a.v, &a.a);
        for (int threads = 2; threads <= 7; threads += 5) {
            wn_par_set_threads(threads);
            wn_attention(o, NULL, a.q, a.k, a.v, &a.a);
            cr_assert_eq(memcmp(a.o, o, n * sizeof *o), 0);
        }
        memcpy(one.q, a.q + 137 * a.a.ldq, 700 * a.a.ldq * sizeof(float));
        memcpy(one.k, a.k + 137 * a.a.ldk, 700 * a.a.ldk * sizeof(float));
        memcpy(one.v, a.v + 137 * a.a.ldv, 700 * a.a.ldv * sizeof(float));
        wn_attention(one.o, NULL, one.q, one.k, one.v, &one.a);
        for (size_t t = 0; t < 700; t++)
            cr_assert_eq(memcmp(one.o + t * a.a.ldo, a.o + (137 + t) * a.a.ldo, 80 * sizeof(float)),
                         0);
        wn_par_set_threads(0);
        wn_free(o);
        drop(&a);
        drop(&one);
    }
}

/* A NaN among the inputs is not lost. */
Test(attention, bf16_products_keep_nan)
{
    if (!wn_cpu_fast_bf16())
        cr_skip("no bf16 products here");
    for (int what = 0; what < 3; what++) {
        trial c;
        build(&c, (size_t[]){20}, 1, 0, 1, 1, 8, 8);
        (what == 0 ? c.q : what == 1 ? c.k : c.v)[5] = NAN;
        c.a.bf16 = true;
        wn_attention(c.o, NULL, c.q, c.k, c.v, &c.a);
        cr_assert_not(wn_all_finite(c.o, 8));
        drop(&c);
    }
}

/* Queries and keys of different rows and number, some queries without any key. */
Test(attention, cross_attention_and_queries_without_keys)
{
    trial c;
    build(&c, (size_t[]){4, 6, 3}, 3, 0, 2, 2, 8, 8);
    c.own[0] = 3, c.own[1] = 13; /* 4 queries see 10 keys */
    c.own[2] = c.own[3] = 0;     /* 6 see none */
    c.own[4] = 0, c.own[5] = 2;
    float *o = noise(c.T * c.a.ldo, 4), *lse = noise(c.T * 2, 4);
    wn_attention(c.o, c.lse, c.q, c.k, c.v, &c.a);
    wn_attention_ref(o, lse, c.q, c.k, c.v, &c.a);
    cr_assert_lt(off(c.o, o, c.T, c.a.ldo, 16), 2e-6);
    c.a.bf16 = true;
    wn_attention(c.o, NULL, c.q, c.k, c.v, &c.a);
    cr_assert_lt(off(c.o, o, c.T, c.a.ldo, 16), 8e-3);
    for (size_t t = 4; t < 10; t++) {
        cr_assert(isinf(c.lse[t * 2]) && c.lse[t * 2] < 0 && isinf(lse[t * 2]));
        for (size_t i = 0; i < 16; i++)
            cr_assert_eq(c.o[t * c.a.ldo + i], 0);
    }
    wn_attention_back(c.dq, c.dk, c.dv, NULL, c.go, c.o, c.lse, c.q, c.k, c.v, &c.a);
    for (size_t t = 4; t < 10; t++)
        for (size_t i = 0; i < 16; i++)
            cr_assert_eq(c.dq[t * c.a.ldq + i], 0);
    cr_assert(wn_all_finite(c.dk, 13 * c.a.ldk));
    wn_free(o), wn_free(lse);
    drop(&c);
}

/* sum(go * o) as a function of one input. */
static double target(trial *c)
{
    double s = 0;
    wn_attention_ref(c->o, c->lse, c->q, c->k, c->v, &c->a);
    for (size_t t = 0; t < c->T; t++)
        for (size_t i = 0; i < c->a.H * c->a.dv; i++)
            s += (double)c->o[t * c->a.ldo + i] * c->go[t * c->a.ldo + i];
    return s;
}

static void differences(trial *c, float *x, const float *grad, size_t n, size_t ld, size_t width)
{
    const float h = 1.0f / 64;
    for (size_t i = 0; i < n; i += 5) {
        if (i % ld >= width)
            continue;
        float kept = x[i];
        x[i] = kept + h;
        double up = target(c);
        x[i] = kept - h;
        double down = target(c);
        x[i] = kept;
        cr_assert_float_eq((up - down) / (2 * (double)h), grad[i], 6e-3 * (1 + fabs(grad[i])),
                           "%zu: %g %g", i, (up - down) / (2 * (double)h), grad[i]);
    }
}

Test(attention, gradients_equal_finite_differences)
{
    for (int option = 0; option < OPTIONS; option++) {
        trial c;
        build(&c, (size_t[]){5, 11}, 2, 4, 4, 2, 6, 5);
        choose(&c, option);
        wn_attention(c.o, c.lse, c.q, c.k, c.v, &c.a);
        wn_attention_back(c.dq, c.dk, c.dv, c.dbias, c.go, c.o, c.lse, c.q, c.k, c.v, &c.a);
        differences(&c, c.q, c.dq, c.T * c.a.ldq, c.a.ldq, 24);
        differences(&c, c.k, c.dk, c.R * c.a.ldk, c.a.ldk, 12);
        differences(&c, c.v, c.dv, c.R * c.a.ldv, c.a.ldv, 10);
        if (c.a.bias)
            differences(&c, c.bias, c.dbias, 12 * 4, 4, 4);
        drop(&c);
    }
}

/* One query's softmax written out, without the code under test. */
Test(attention, plain_loops_follow_the_formula)
{
    trial c;
    build(&c, (size_t[]){6}, 1, 2, 1, 1, 4, 4);
    c.a.causal = true;
    wn_attention_ref(c.o, c.lse, c.q, c.k, c.v, &c.a);
    double p[8], sum = 0;
    for (size_t j = 0; j < 2 + 4; j++) { /* query 3: prefix of 2 and own keys 0..3 */
        p[j] = 0;
        for (size_t i = 0; i < 4; i++)
            p[j] += (double)c.q[3 * c.a.ldq + i] * c.k[j * c.a.ldk + i];
        sum += p[j] = exp(p[j] * 0.5);
    }
    for (size_t i = 0; i < 4; i++) {
        double want = 0;
        for (size_t j = 0; j < 6; j++)
            want += p[j] / sum * c.v[j * c.a.ldv + i];
        cr_assert_float_eq(c.o[3 * c.a.ldo + i], want, 1e-6);
    }
    cr_assert_float_eq(c.lse[3], log(sum), 1e-6);
    drop(&c);
}

Test(attention, threads_and_neighbours_change_nothing)
{
    for (int option = 0; option < OPTIONS; option++) {
        trial a, b, one;
        build(&a, (size_t[]){130, 7, 300, 48}, 4, 0, 4, 2, 20, 20);
        build(&b, (size_t[]){130, 7, 300, 48}, 4, 0, 4, 2, 20, 20);
        build(&one, (size_t[]){300}, 1, 0, 4, 2, 20, 20);
        choose(&a, option);
        choose(&b, option);
        choose(&one, option);
        wn_par_set_threads(1);
        wn_attention(a.o, a.lse, a.q, a.k, a.v, &a.a);
        wn_attention_back(a.dq, a.dk, a.dv, a.dbias, a.go, a.o, a.lse, a.q, a.k, a.v, &a.a);
        for (int threads = 2; threads <= 7; threads += 5) {
            wn_par_set_threads(threads);
            memset(b.dbias, 0, 32 * LIMIT * sizeof(float));
            wn_attention(b.o, b.lse, b.q, b.k, b.v, &b.a);
            wn_attention_back(b.dq, b.dk, b.dv, b.dbias, b.go, b.o, b.lse, b.q, b.k, b.v, &b.a);
            cr_assert_eq(memcmp(a.o, b.o, a.T * a.a.ldo * sizeof(float)), 0);
            cr_assert_eq(memcmp(a.dq, b.dq, a.T * a.a.ldq * sizeof(float)), 0);
            cr_assert_eq(memcmp(a.dk, b.dk, a.R * a.a.ldk * sizeof(float)), 0);
            cr_assert_eq(memcmp(a.dv, b.dv, a.R * a.a.ldv * sizeof(float)), 0);
            cr_assert_eq(memcmp(a.dbias, b.dbias, 32 * LIMIT * sizeof(float)), 0);
        }
        memcpy(one.q, a.q + 137 * a.a.ldq, 300 * a.a.ldq * sizeof(float));
        memcpy(one.k, a.k + 137 * a.a.ldk, 300 * a.a.ldk * sizeof(float));
        memcpy(one.v, a.v + 137 * a.a.ldv, 300 * a.a.ldv * sizeof(float));
        wn_attention(one.o, one.lse, one.q, one.k, one.v, &one.a);
        for (size_t t = 0; t < 300; t++)
            cr_assert_eq(memcmp(one.o + t * a.a.ldo, a.o + (137 + t) * a.a.ldo, 80 * sizeof(float)),
                         0);
        wn_par_set_threads(0);
        drop(&a);
        drop(&b);
        drop(&one);
    }
}

/* Buckets of the reference implementation (32 buckets, distance 128). */
Test(attention, t5_buckets)
{
    static const int REL[] = {0, 1, -1, 7, -7, 8, -8, 16, -16, 20, -64, 127, 128, 5000, -5000};
    static const int BOTH[] = {0, 17, 1, 23, 7, 24, 8, 26, 10, 26, 14, 31, 31, 31, 15};
    static const int PAST[] = {0, 0, 1, 0, 7, 0, 8, 0, 16, 0, 26, 0, 0, 0, 31};
    for (size_t i = 0; i < sizeof REL / sizeof *REL; i++) {
        cr_assert_eq(wn_t5_bucket(REL[i], true, 32, 128), BOTH[i], "%d", REL[i]);
        cr_assert_eq(wn_t5_bucket(REL[i], false, 32, 128), PAST[i], "%d", REL[i]);
    }
}
