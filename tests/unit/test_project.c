/* Projections: NumPy's signs, the laws of random projection, the map back. */
#include "base/par.h"
#include "base/rng.h"
#include "feature/project.h"
#include "golden.h"

static const wn_projection_kind kinds[] = {WN_PROJECT_RADEMACHER, WN_PROJECT_MT19937,
                                           WN_PROJECT_KRON};

typedef struct shape {
    wn_param p[3];
    wn_param *chosen[3];
    uint64_t at[4];
    wn_chosen c;
} shape;

static void shape_init(shape *s, size_t n, const size_t (*dims)[2])
{
    s->at[0] = 0;
    s->c = (wn_chosen){.n = n, .param = s->chosen, .at = s->at};
    for (size_t i = 0; i < n; i++) {
        s->p[i] = (wn_param){.rows = dims[i][0], .cols = dims[i][1]};
        s->chosen[i] = &s->p[i];
        s->at[i + 1] = s->at[i] + dims[i][0] * dims[i][1];
    }
    s->c.p = s->at[n];
}

static float *random_floats(uint64_t seed, size_t n)
{
    float *x = golden_alloc(n, sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)wn_rng_normal(seed, WN_STREAM_TEST, i);
    return x;
}

Test(project, mt19937_is_numpy)
{
    char path[GOLDEN_PATH];
    wn_safetensors *want = NULL;
    shape s;
    static const uint64_t seeds[] = {0, 1234567};
    shape_init(&s, 1, (const size_t[][2]){{70, 1}});
    GOLDEN_OK(wn_safetensors_open(&want, golden_path(path, "gradients.safetensors")));
    float *g = golden_f32(want, NULL, "signs.g");
    for (int i = 0; i < 2; i++) {
        wn_projection P;
        float out[3 * 11];
        int32_t *bits = golden_i32(want, NULL, "signs.%d.bits", (int)seeds[i]);
        float *there = golden_f32(want, NULL, "signs.%d.projected", (int)seeds[i]);
        GOLDEN_OK(wn_projection_init(&P, WN_PROJECT_MT19937, 11, seeds[i], &s.c, 0));
        for (uint64_t k = 0; k < 70; k++)
            for (size_t j = 0; j < 11; j++)
                cr_assert_eq(wn_sign(&P.signs, k, j), 2 * bits[k * 11 + j] - 1, "entry %llu %zu",
                             (unsigned long long)k, j);
        GOLDEN_OK(wn_project(out, &P, g, 70, 3));
        GOLDEN_NEAR(out, there, 33, 1e-6, "seed %llu", (unsigned long long)seeds[i]);
        wn_projection_free(&P);
    }
    wn_safetensors_close(want);
}

Test(project, refuses)
{
    shape s;
    wn_projection P;
    shape_init(&s, 1, (const size_t[][2]){{1000, 1}});
    cr_assert_eq(wn_projection_init(&P, WN_PROJECT_MT19937, 8, UINT64_C(1) << 32, &s.c, 0),
                 WN_EARG);
    cr_assert(strstr(wn_error_message(), "seeds up to"));
    cr_assert_eq(wn_projection_init(&P, WN_PROJECT_MT19937, 4000, 1, &s.c, 1000), WN_ENOMEM);
    cr_assert_eq(wn_projection_init(&P, WN_PROJECT_RADEMACHER, 0, 1, &s.c, 0), WN_EARG);
    cr_assert_eq(wn_projection_init(&P, WN_PROJECT_KRON, 65537, 1, &s.c, 0), WN_EARG);
}

/* |P^T g|^2 / |g|^2 has mean 1 and variance about 2/d, inner products of orthogonal unit vectors
 * mean 0 and variance about 1/d; over many seeds. Kron's vary more, more so at low rank. */
static void check_law(wn_projection_kind kind, size_t d, double slack)
{
    enum { SEEDS = 60 };
    shape s;
    shape_init(&s, 3, (const size_t[][2]){{30, 40}, {40, 1}, {20, 70}});
    size_t p = (size_t)s.c.p;
    float *g = random_floats(1, 2 * p), *out = golden_alloc(2 * d, sizeof *out);
    double n0 = wn_dot64(g, g, p), along = wn_dot64(g, g + p, p) / n0;
    wn_axpy(g + p, (float)-along, g, p);
    double n1 = wn_dot64(g + p, g + p, p), mean = 0, square = 0, cross = 0, cross2 = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        wn_projection P;
        GOLDEN_OK(wn_projection_init(&P, kind, d, seed, &s.c, 0));
        GOLDEN_OK(wn_project(out, &P, g, p, 2));
        double r = wn_dot64(out, out, d) / n0, c = wn_dot64(out, out + d, d) / sqrt(n0 * n1);
        mean += r / SEEDS;
        square += (r - 1) * (r - 1) / SEEDS;
        cross += c / SEEDS;
        cross2 += c * c / SEEDS;
        wn_projection_free(&P);
    }
    const char *name = wn_projection_name(kind);
    double sd = sqrt(slack * 2 / (double)d);
    cr_expect(fabs(mean - 1) < 4 * sd / sqrt(SEEDS), "%s %zu: mean of norms %g", name, d, mean);
    cr_expect(square < 2 * sd * sd && square > sd * sd / slack / 2, "%s %zu: variance of norms %g",
              name, d, square);
    cr_expect(fabs(cross) < 4 * sd / sqrt(SEEDS), "%s %zu: mean of products %g", name, d, cross);
    cr_expect(cross2 < sd * sd, "%s %zu: variance of products %g", name, d, cross2);
}

Test(project, keeps_norms_and_products)
{
    for (int k = 0; k < 3; k++) {
        check_law(kinds[k], 64, kinds[k] == WN_PROJECT_KRON ? 3 : 1);
        check_law(kinds[k], 400, kinds[k] == WN_PROJECT_KRON ? 3 : 1);
    }
}

/* <P w, g> = <w, P^T g>; the same bytes however the parameters are cut, on any number of threads.
 */
Test(project, back_is_the_transpose)
{
    enum { M = 5, D = 60 };
    shape s;
    shape_init(&s, 3, (const size_t[][2]){{33, 130}, {50, 1}, {17, 9}});
    size_t p = (size_t)s.c.p;
    float *g = random_floats(2, p), *w = random_floats(3, M * D), there[D];
    float *back = golden_alloc(M * p, sizeof *back), *cut = golden_alloc(M * p, sizeof *cut);
    for (int k = 0; k < 3; k++) {
        wn_projection P;
        GOLDEN_OK(wn_projection_init(&P, kinds[k], D, 8, &s.c, 0));
        GOLDEN_OK(wn_project(there, &P, g, p, 1));
        GOLDEN_OK(wn_project_back(back, p, &P, w, D, M, 0, p));
        for (size_t m = 0; m < M; m++) {
            double a = wn_dot64(back + m * p, g, p), b = wn_dot64(w + m * D, there, D);
            cr_expect_float_eq(a, b, 1e-3, "%s: %g and %g", wn_projection_name(kinds[k]), a, b);
        }
        for (uint64_t at = 0, n; at < p; at += n) {
            n = p - at < 777 ? p - at : 777;
            wn_par_set_threads(1 + (int)(at % 3));
            GOLDEN_OK(wn_project_back(cut + at, p, &P, w, D, M, at, (size_t)n));
        }
        wn_par_set_threads(0);
        cr_expect(!memcmp(back, cut, M * p * sizeof *cut), "%s: cut", wn_projection_name(kinds[k]));
        wn_projection_free(&P);
    }
}
