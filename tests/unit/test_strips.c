/* Products between bf16 strips against the same products of rounded floats: odd shapes, every way
 * out of the sums, int8; and whole models that run on them against transformers. Where the
 * processor has no tile products there is nothing to test but that models give the same. */
#include <math.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"
#include "golden_model.h"
#include "kernel/strips.h"
#include "kernel/table.h"
#include "model/internal.h"
#include "model/stack_strips.h"

static float *noise(size_t n, uint64_t seed)
{
    float *x = golden_alloc(n + !n, sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)wn_rng_normal(seed, WN_STREAM_TEST, i);
    return x;
}

static void *room(size_t bytes)
{
    void *p = wn_malloc(bytes + 64);
    memset(p, 0xff, bytes + 64); /* NaNs: what is not written must not be read */
    return p;
}

static wn_mat pack(size_t N, size_t K, wn_mat_kind kind, uint64_t seed)
{
    wn_mat m = {.N = N, .K = K, .kind = kind};
    float *W = noise(N * K, seed);
    m.panel = wn_malloc(wn_mat_bytes(kind, N, K) + 4);
    wn_mat_pack(&m, W, 0, N);
    return m;
}

/* One product both ways. */
typedef struct test_case {
    size_t T, N, K;
    wn_mat_kind kind;
    wn_act act;
    bool gated, bias;
    enum { STRIPS, ROWS, SUMS, TURNED } to;
} test_case;

enum { HALF = 32 };

static void turn(float *y, const test_case *c, const float *angle, const int32_t *pos)
{
    wn_rope(y, c->N, c->N / (2 * HALF), 2 * HALF, 2 * HALF, false, false, angle, pos, c->T);
}

static void check_product(const test_case *c)
{
    static const int flag[] = {WN_MM_SILU, WN_MM_GELU, WN_MM_GELU_TANH, WN_MM_RELU, 0};
    size_t T = c->T, N = c->N, K = c->K, ld = N + 3;
    bool int8 = c->kind == WN_MAT_INT8;
    float *x = noise(T * K, 1), *bias = noise(N, 2), *up_bias = noise(N, 3);
    float *angle = noise(T * 2 * HALF, 4), *want = noise(T * N, 5), *got = noise(T * ld, 5);
    int32_t *pos = golden_alloc(T, sizeof *pos);
    wn_mat W = pack(N, K, c->kind, 6), U = pack(N, K, c->kind, 7);
    uint16_t *strips = room(wn_strips_bytes(T, K)), *out = room(wn_strips_bytes(T, N));
    uint16_t *rows = room(T * ld * sizeof *rows);
    wn_strip_bytes bytes = {room(wn_strips_bytes(T, K)), noise(T, 1), golden_alloc(T, 4)};
    for (size_t t = 0; t < T; t++) {
        pos[t] = (int32_t)(T - 1 - t);
        wn_strip_row(strips, &bytes, t, x + t * K, K);
        for (size_t n = 0; n < N; n++)
            got[t * ld + n] = want[t * N + n];
    }
    wn_strip_product p = {.x = int8 ? NULL : strips,
                          .bytes = int8 ? &bytes : NULL,
                          .T = T,
                          .kt = int8 ? (K + 63) / 64 : wn_strip_tiles(K),
                          .W = &W,
                          .up = c->gated ? &U : NULL,
                          .bias = c->bias ? bias : NULL,
                          .up_bias = c->bias ? up_bias : NULL,
                          .act = c->act,
                          .half = c->to == TURNED ? HALF : 0,
                          .angle = angle,
                          .pos = pos,
                          .strips = c->to == STRIPS ? out : NULL,
                          .rows = c->to == ROWS || c->to == TURNED ? rows : NULL,
                          .y = c->to == SUMS ? got : NULL,
                          .ld = ld};
    wn_strip_mm(&p);
    wn_fused f = {.bias = p.bias,
                  .flags = flag[c->act] | (c->to == SUMS ? WN_MM_ADD : 0),
                  .up = p.up,
                  .up_bias = p.up_bias};
    wn_mm_fused(want, N, x, K, &W, T, &f);
    if (c->to == TURNED)
        turn(want, c, angle, pos);
    float *line = golden_alloc(N + 64, sizeof *line);
    for (size_t t = 0; t < T; t++) {
        if (c->to == STRIPS)
            wn_strip_floats(line, out, t, N);
        else if (c->to == SUMS)
            memcpy(line, got + t * ld, N * sizeof *line);
        else
            wn_from_bf16(line, rows + t * ld, N);
        for (size_t n = 0; n < N; n++) {
            double limit = 1e-5 * sqrt((double)K) +
                           fabs((double)want[t * N + n]) * (c->to == SUMS ? 1e-5 : 0.004);
            cr_assert_float_eq(line[n], want[t * N + n], limit,
                               "[%zu,%zu,%zu] kind %d act %d gated %d to %d at %zu %zu: %g %g", T,
                               N, K, c->kind, c->act, c->gated, c->to, t, n, (double)line[n],
                               (double)want[t * N + n]);
        }
        for (size_t n = N; c->to == STRIPS && n < wn_strip_tiles(N) * 32; n++)
            cr_assert_eq(out[(t / 32 * wn_strip_tiles(N) + n / 32) * 1024 + t % 32 * 32 + n % 32],
                         0, "behind the matrix: row %zu, column %zu", t, n);
        cr_assert(c->to != ROWS || rows[t * ld + N] == 0xffff);
        cr_assert(c->to != SUMS || got[t * ld + N] == noise(T * ld, 5)[t * ld + N]);
    }
    wn_free(W.panel), wn_free(U.panel), wn_free(strips), wn_free(out), wn_free(rows);
    wn_free(bytes.at);
}

Test(strips, products_equal_those_of_rounded_floats, .timeout = 120)
{
    static const size_t shape[][3] = {{1, 32, 32},   {16, 17, 40},   {17, 96, 96},  {33, 40, 7},
                                      {70, 144, 64}, {40, 64, 1600}, {300, 16, 800}};
    if (!wn_strips_there())
        return;
    for (size_t s = 0; s < sizeof shape / sizeof *shape; s++)
        for (int kind = 0; kind < 2; kind++)
            for (int act = WN_ACT_SILU; act <= WN_ACT_IDENTITY; act++)
                for (int to = STRIPS; to <= SUMS; to++)
                    for (int gated = 0; gated < 2; gated++) {
                        if (to != STRIPS && (gated || act != WN_ACT_IDENTITY))
                            continue;
                        check_product(&(test_case){shape[s][0], shape[s][1], shape[s][2],
                                                   kind ? WN_MAT_INT8 : WN_MAT_BF16, (wn_act)act,
                                                   gated, (act + to) % 2 == 0, to});
                    }
}

Test(strips, rotated_products)
{
    if (!wn_strips_there())
        return;
    for (int kind = 0; kind < 2; kind++)
        for (size_t T = 1; T < 80; T += 26)
            for (size_t K = 40; K < 1000; K += 900)
                check_product(&(test_case){T, 192, K, kind ? WN_MAT_INT8 : WN_MAT_BF16,
                                           WN_ACT_IDENTITY, false, true, TURNED});
}

/* A weight's inner dimension in pieces, as feed-forward parts take it. */
Test(strips, sums_of_pieces)
{
    enum { T = 45, N = 48, K = 200, PIECE = 64 };
    if (!wn_strips_there())
        return;
    float *x = noise(T * K, 1), *want = noise(T * N, 2), *got = noise(T * N, 2);
    wn_mat W = pack(N, K, WN_MAT_BF16, 3);
    for (size_t k = 0; k < K; k += PIECE) {
        size_t n = K - k < PIECE ? K - k : PIECE;
        uint16_t *strips = room(wn_strips_bytes(T, n));
        for (size_t t = 0; t < T; t++)
            wn_strip_row(strips, NULL, t, x + t * K + k, n);
        wn_strip_mm(&(wn_strip_product){.x = strips,
                                        .T = T,
                                        .kt = wn_strip_tiles(n),
                                        .W = &W,
                                        .k0 = k / 32,
                                        .act = WN_ACT_IDENTITY,
                                        .y = got,
                                        .ld = N});
        wn_free(strips);
    }
    wn_mm(want, N, x, K, &W, NULL, T, WN_MM_ADD);
    for (size_t i = 0; i < T * N; i++)
        cr_assert_float_eq(got[i], want[i], 2e-4, "%zu: %g %g", i, (double)got[i], (double)want[i]);
    wn_free(W.panel);
}

/* ---- models ---- */

static wn_model *open_at(const char *path, wn_precision precision)
{
    char file[GOLDEN_PATH];
    wn_model *m = NULL;
    wn_model_opts o = {.precision = precision};
    GOLDEN_OK(wn_model_open(&m, golden_path(file, "%s", path), &o));
    return m;
}

static float *states(const wn_model *m, const golden_batch *g)
{
    size_t D = wn_model_facts_of(m)->width;
    float *h = golden_alloc(g->b.T * D, sizeof *h);
    wn_work *w = golden_work(m, g, false);
    GOLDEN_OK(wn_model_hidden(m, w, &g->b, 0, h));
    wn_work_free(w);
    return h;
}

static golden_batch rows_of(const wn_safetensors *s)
{
    golden_batch g = {0};
    size_t n;
    g.id = golden_i32(s, &g.b.T, "ids");
    g.off = (uint32_t *)golden_i32(s, &n, "off");
    g.b = (wn_batch){.B = n - 1, .T = g.b.T, .id = g.id, .off = g.off};
    return g;
}

static double cosine(const float *x, const float *y, size_t n)
{
    double xy = 0, xx = 0, yy = 0;
    for (size_t i = 0; i < n; i++) {
        xy += (double)x[i] * (double)y[i];
        xx += (double)x[i] * (double)x[i];
        yy += (double)y[i] * (double)y[i];
    }
    return xy / sqrt(xx * yy);
}

/* On every table, at both precisions: near the reference, the same bits for a row alone and on two
 * threads. */
static void check_model(const char *path, wn_precision precision, double least)
{
    static const char *const table[] = {"ref", "avx2", "avx512", "amx"};
    wn_safetensors *e = golden_open(path);
    golden_batch g = rows_of(e);
    float *want = golden_f32(e, NULL, "hidden.last");
    for (size_t k = 0; k < sizeof table / sizeof *table; k++) {
        wn_kernel_use(table[k]);
        wn_model *m = open_at(path, precision);
        size_t D = wn_model_facts_of(m)->width;
        cr_assert(wn_stack_strips_fit(&m->stack), "%s", path);
        wn_par_set_threads(1);
        float *got = states(m, &g);
        double c = cosine(got, want, g.b.T * D);
        cr_expect_gt(c, least, "%s on %s: %.6f", path, table[k], c);
        wn_par_set_threads(2);
        float *two = states(m, &g);
        cr_expect_arr_eq(two, got, g.b.T * D * sizeof *got, "%s: two threads", path);
        for (size_t s = 0; s < g.b.B; s++) {
            golden_batch one = golden_segment(&g, s);
            float *alone = states(m, &one);
            cr_expect_arr_eq(alone, got + g.off[s] * D, one.b.T * D * sizeof *got,
                             "%s: row %zu alone", path, s);
        }
        wn_model_close(m);
    }
    wn_kernel_use(NULL);
    wn_par_set_threads(0);
    wn_safetensors_close(e);
}

Test(strips, an_encoder)
{
    check_model("families/bert-wide", WN_PRECISION_BF16, 0.9999);
    check_model("families/bert-wide", WN_PRECISION_INT8, 0.999);
}

Test(strips, a_decoder)
{
    check_model("families/llama-wide", WN_PRECISION_BF16, 0.9999);
    check_model("families/llama-wide", WN_PRECISION_INT8, 0.999);
}
