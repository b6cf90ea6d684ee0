/* The filter and the sums of search, every form that this processor has against plain loops. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "kernel/code_scan.h"

static const char *const FORM[] = {"c", "avx2", "vnni", "amx"};

/* Names the form, or NULL where the processor lacks it. */
static const char *use(size_t i)
{
    wn_scan_use(FORM[i]);
    return strcmp(wn_scan_name(), FORM[i]) == 0 ? FORM[i] : NULL;
}

static int by_pair(const void *a, const void *b)
{
    const wn_scan_hit *x = a, *y = b;
    if (x->query != y->query)
        return x->query < y->query ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

enum { Q = 64, CHUNKS = 3, MOST = WN_SCAN_BLOCKS * WN_SCAN_ROWS * Q };

struct fixture {
    int8_t block[WN_SCAN_BLOCKS * WN_SCAN_ROWS * CHUNKS * WN_SCAN_DEPTH];
    int8_t code[Q * CHUNKS * WN_SCAN_DEPTH];
    wn_scan_facts facts[WN_SCAN_BLOCKS];
    float plus[Q], rest[Q], slack[Q], floor[Q];
    wn_scan_queries q;
};

static float small(uint64_t i)
{
    return (float)(wn_rng_u64(3, WN_STREAM_TEST, i) % 64) / 8; /* sums of these are exact */
}

static void fill(struct fixture *f, uint64_t seed)
{
    for (size_t i = 0; i < sizeof f->block; i++)
        f->block[i] = (int8_t)(wn_rng_u64(seed, 1, i) % 255 - 127);
    for (size_t i = 0; i < sizeof f->code; i++)
        f->code[i] = (int8_t)(wn_rng_u64(seed, 2, i) % 255 - 127);
    for (size_t i = 0; i < 64; i++) /* the ends of the range, where 16-bit sums would overflow */
        f->block[i] = f->code[i] = i % 2 ? -127 : 127;
    for (size_t b = 0; b < WN_SCAN_BLOCKS; b++)
        for (size_t r = 0; r < WN_SCAN_ROWS; r++) {
            uint64_t n = (b * WN_SCAN_ROWS + r) * 4;
            f->facts[b].scale[r] = 1 + (float)(n % 3);
            f->facts[b].plus[r] = small(n);
            f->facts[b].rest[r] = small(n + 1);
            f->facts[b].slack[r] = small(n + 2);
        }
    for (size_t i = 0; i < Q; i++) {
        f->plus[i] = small(1000 + i);
        f->rest[i] = small(2000 + i);
        f->slack[i] = small(3000 + i);
        f->floor[i] = (float)(wn_rng_u64(seed, 4, i) % 400000);
    }
    f->facts[1].slack[5] = INFINITY;
    f->facts[2].plus[7] = NAN;
    f->floor[3] = INFINITY;
    f->floor[4] = -INFINITY;
    f->q = (wn_scan_queries){Q, CHUNKS, f->code, f->plus, f->rest, f->slack, f->floor};
}

static size_t expected(wn_scan_hit *hit, const struct fixture *f, size_t n)
{
    size_t hits = 0, d = CHUNKS * WN_SCAN_DEPTH;
    for (size_t i = 0; i < Q; i++)
        for (size_t r = 0; r < n * WN_SCAN_ROWS; r++) {
            const wn_scan_facts *a = &f->facts[r / WN_SCAN_ROWS];
            size_t j = r % WN_SCAN_ROWS;
            int32_t dot = 0;
            for (size_t k = 0; k < d; k++)
                dot += f->block[(r / WN_SCAN_ROWS * d / 4 + k / 4) * 64 + j * 4 + k % 4] *
                       f->code[i * d + k];
            double bound = (double)dot * a->scale[j] + (double)f->plus[i] * a->plus[j] +
                           (double)f->rest[i] * a->rest[j] + (double)f->slack[i] * a->slack[j];
            if (!(bound < f->floor[i]))
                hit[hits++] = (wn_scan_hit){(uint32_t)i, (uint32_t)r};
        }
    return hits;
}

Test(scan, every_form_lets_the_same_pairs_pass)
{
    static struct fixture f;
    static wn_scan_hit want[MOST], found[MOST];
    for (uint64_t seed = 1; seed <= 3; seed++) {
        fill(&f, seed);
        for (size_t n = 1; n <= WN_SCAN_BLOCKS; n++) {
            size_t m = expected(want, &f, n);
            cr_assert(m > 20 && m < n * WN_SCAN_ROWS * Q);
            for (size_t i = 0; i < sizeof FORM / sizeof *FORM; i++) {
                if (!use(i))
                    continue;
                size_t hits = wn_scan(found, f.block, f.facts, n, &f.q);
                cr_assert_eq(hits, m, "%s, %zu blocks: %zu pairs, not %zu", FORM[i], n, hits, m);
                qsort(found, hits, sizeof *found, by_pair);
                cr_assert_eq(memcmp(found, want, m * sizeof *want), 0, "%s: other pairs", FORM[i]);
            }
        }
    }
    wn_scan_use(NULL);
}

Test(scan, codes_are_nearest_and_their_error_is_told)
{
    enum { D = 192 };
    static int8_t block[WN_SCAN_ROWS * D];
    float w[D];
    for (size_t n = 1; n <= D; n += 13) {
        for (size_t i = 0; i < D; i++)
            w[i] = i < n ? (float)wn_rng_normal(7, n, i) : 99;
        for (size_t i = 0; i < sizeof FORM / sizeof *FORM; i++) {
            if (!use(i))
                continue;
            float most = wn_scan_max(w, n), scale = most / 127;
            memset(block, 55, sizeof block);
            float error2 = wn_scan_code(block, 3, w, n, D, scale);
            double sum = 0, top = 0;
            for (size_t k = 0; k < D; k++) {
                int a = block[(k / 4 * WN_SCAN_ROWS + 3) * 4 + k % 4];
                double left = k < n ? (double)w[k] - (double)scale * a : 0;
                cr_assert(k < n ? fabs(left) <= scale * 0.5001 : a == 0, "%s: %zu", FORM[i], k);
                sum += left * left;
                top = k < n ? fmax(top, fabs(w[k])) : top;
            }
            cr_assert_float_eq(most, top, 0);
            cr_assert_float_eq(error2, sum, sum * 1e-5, "%s: %g, not %g", FORM[i], error2, sum);
            cr_assert_eq(block[4 * 4], 55, "the next row's place was written");
        }
    }
    wn_scan_use(NULL);
}

Test(scan, float64_sums_have_the_same_bits_in_every_form)
{
    enum { D = 131 };
    float x[D], y[D];
    for (size_t i = 0; i < D; i++) {
        x[i] = (float)wn_rng_normal(1, 1, i) * 1e10F;
        y[i] = (float)wn_rng_normal(1, 2, i);
    }
    for (size_t n = 0; n <= D; n++) {
        wn_scan_use("c");
        double far = wn_exact_distance2(x, y, n), along = wn_exact_dot(x, y, n);
        for (size_t i = 0; i < sizeof FORM / sizeof *FORM; i++) {
            if (!use(i))
                continue;
            cr_assert_eq(wn_exact_distance2(x, y, n), far, "%s %zu", FORM[i], n);
            cr_assert_eq(wn_exact_dot(x, y, n), along, "%s %zu", FORM[i], n);
            double size = sqrt(wn_exact_dot(x, x, n) * wn_exact_dot(y, y, n));
            double g = ((double)n / 16 + 40) * 0x1p-24;
            cr_assert_float_eq(wn_scan_distance2(x, y, n), far, far * g);
            cr_assert_float_eq(wn_scan_dot(x, y, n), along, size * g);
        }
    }
    wn_scan_use(NULL);
}
