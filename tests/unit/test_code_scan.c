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

enum { Q = 144, MOST_CHUNKS = 33, BLOCKS = 5, MOST = BLOCKS * WN_SCAN_ROWS * Q };

struct fixture {
    int8_t block[BLOCKS * WN_SCAN_ROWS * MOST_CHUNKS * WN_SCAN_DEPTH];
    int8_t code[Q * MOST_CHUNKS * WN_SCAN_DEPTH];
    int8_t fine[Q * MOST_CHUNKS * WN_SCAN_DEPTH];
    int32_t excess[Q], fine_excess[Q];
    wn_scan_facts facts[BLOCKS];
    float plus[Q], reach[Q], floor[Q];
    wn_scan_queries q;
};

static float small(uint64_t i)
{
    return (float)(wn_rng_u64(3, WN_STREAM_TEST, i) % 64) / 8; /* sums of these are exact */
}

static void fill(struct fixture *f, uint64_t seed, size_t chunks)
{
    size_t d = chunks * WN_SCAN_DEPTH;
    for (size_t i = 0; i < BLOCKS * WN_SCAN_ROWS * d; i++)
        f->block[i] = (int8_t)(wn_rng_u64(seed, 1, i) % 255 - 127);
    for (size_t i = 0; i < Q * d; i++)
        f->code[i] = (int8_t)(wn_rng_u64(seed, 2, i) % 255 - 127);
    for (size_t i = 0; i < Q * d; i++)
        f->fine[i] =
            i / d == 20 ? (i % 2 ? -127 : 127) : (int8_t)(wn_rng_u64(seed, 5, i) % 255 - 127);
    for (size_t i = 0; i < d; i++) /* the ends of the range, where 16-bit sums would overflow */
        f->block[wn_scan_row_at(3, i)] = f->code[wn_scan_query_at(20, i, chunks)] =
            i % 2 ? -127 : 127;
    for (size_t q = 0; q < Q; q++) {
        f->excess[q] = f->fine_excess[q] = 0;
        for (size_t i = 0; i < d; i++) {
            f->excess[q] += 128 * f->code[wn_scan_query_at(q, i, chunks)];
            f->fine_excess[q] += 128 * f->fine[q * d + i];
        }
    }
    for (size_t b = 0; b < BLOCKS; b++)
        for (size_t r = 0; r < WN_SCAN_ROWS; r++) {
            uint64_t n = (b * WN_SCAN_ROWS + r) * 4;
            f->facts[b].scale[r] = 1 + (float)(n % 3);
            f->facts[b].plus[r] = small(n);
            f->facts[b].reach[r] = small(n + 1);
            f->facts[b].fine[r] = small(n + 2);
        }
    for (size_t i = 0; i < Q; i++) {
        f->plus[i] = small(1000 + i);
        f->reach[i] = small(2000 + i);
        f->floor[i] = (float)(wn_rng_u64(seed, 4, i) % 400000);
    }
    f->facts[1].reach[5] = INFINITY;
    f->facts[2].plus[7] = NAN;
    f->floor[3] = INFINITY;
    f->floor[4] = -INFINITY;
    f->q = (wn_scan_queries){Q,        chunks,   f->code, f->excess,     f->plus,
                             f->reach, f->floor, f->fine, f->fine_excess};
}

static size_t expected(wn_scan_hit *hit, const struct fixture *f, size_t n)
{
    size_t hits = 0, d = f->q.chunks * WN_SCAN_DEPTH;
    for (size_t i = 0; i < Q; i++)
        for (size_t r = 0; r < n * WN_SCAN_ROWS; r++) {
            const wn_scan_facts *a = &f->facts[r / WN_SCAN_ROWS];
            const int8_t *block = f->block + r / WN_SCAN_ROWS * WN_SCAN_ROWS * d;
            size_t j = r % WN_SCAN_ROWS;
            int32_t dot = 0;
            for (size_t k = 0; k < d; k++)
                dot += block[wn_scan_row_at(j, k)] * f->code[wn_scan_query_at(i, k, f->q.chunks)];
            double bound = (double)dot * a->scale[j] + (double)f->plus[i] * a->plus[j] +
                           (double)f->reach[i] * a->reach[j] - f->floor[i];
            if (!(bound < 0))
                hit[hits++] = (wn_scan_hit){(uint32_t)i, (uint32_t)r, (float)dot};
        }
    return hits;
}

/* Numbers of chunks and blocks around every cut: two steps in flight, eight chunks flipped at a
 * time, queries that fit the first cache or not. */
Test(scan, every_form_lets_the_same_pairs_pass)
{
    static struct fixture f;
    static wn_scan_hit want[MOST], found[MOST + 1];
    static const size_t chunks[] = {1, 2, 3, 8, MOST_CHUNKS};
    for (uint64_t c = 0; c < sizeof chunks / sizeof *chunks; c++) {
        fill(&f, c, chunks[c]);
        for (size_t n = 1; n <= BLOCKS; n++) {
            size_t m = expected(want, &f, n);
            cr_assert(m > 20 && m < n * WN_SCAN_ROWS * Q);
            for (size_t i = 0; i < sizeof FORM / sizeof *FORM; i++) {
                if (!use(i))
                    continue;
                size_t hits = wn_scan(found, f.block, f.facts, n, &f.q, NULL);
                cr_assert_eq(hits, m, "%s, %zu blocks of %zu chunks: %zu pairs, not %zu", FORM[i],
                             n, chunks[c], hits, m);
                qsort(found, hits, sizeof *found, by_pair);
                cr_assert_eq(memcmp(found, want, m * sizeof *want), 0, "%s: other pairs", FORM[i]);
            }
        }
    }
    wn_scan_use(NULL);
}

/* Of all pairs; whole numbers of steps, so that float32 sums are exact but for the bound's last
 * step. */
Test(scan, every_form_keeps_the_same_pairs_when_codes_are_finer)
{
    static struct fixture f;
    static wn_scan_hit all[MOST], found[MOST];
    static const size_t chunks[] = {1, 2, 3, 8, MOST_CHUNKS};
    for (uint64_t c = 0; c < sizeof chunks / sizeof *chunks; c++) {
        size_t d = chunks[c] * WN_SCAN_DEPTH, n = 0, kept = 0;
        fill(&f, 10 + c, chunks[c]);
        for (uint32_t i = 0; i < Q; i++)
            for (uint32_t r = 0; r < BLOCKS * WN_SCAN_ROWS; r++)
                all[n++] = (wn_scan_hit){i, r, (float)(wn_rng_u64(c, 6, n) % 400000)};
        for (size_t i = 0; i < sizeof FORM / sizeof *FORM; i++) {
            if (!use(i))
                continue;
            memcpy(found, all, n * sizeof *all);
            size_t left = wn_scan_refine(found, n, f.block, f.facts, &f.q), at = 0, unsure = 0;
            for (size_t h = 0; h < n; h++) {
                size_t r = all[h].row % WN_SCAN_ROWS, q = all[h].query;
                const wn_scan_facts *a = &f.facts[all[h].row / WN_SCAN_ROWS];
                const int8_t *x = f.block + all[h].row / WN_SCAN_ROWS * WN_SCAN_ROWS * d;
                int32_t dot = 0;
                for (size_t k = 0; k < d; k++)
                    dot += x[wn_scan_row_at(r, k)] * f.fine[q * d + k];
                double bound = ((double)all[h].dot + (double)dot / WN_SCAN_FINER) * a->scale[r] +
                               (double)f.plus[q] * a->plus[r] + (double)f.reach[q] * a->fine[r] -
                               f.floor[q];
                bool there = at < left && found[at].query == q && found[at].row == all[h].row;
                at += there;
                if (fabs(bound) < 1)
                    unsure++;
                else
                    cr_assert_eq(there, !(bound < 0), "%s: query %zu, row %u: %g", FORM[i], q,
                                 all[h].row, bound);
            }
            cr_assert_eq(at, left, "%s: other pairs, or another order", FORM[i]);
            cr_assert(left > 20 && left < n && unsure < n / 100);
            cr_assert(!kept || left + n / 100 > kept);
            kept = left;
        }
    }
    wn_scan_use(NULL);
}

Test(scan, codes_and_queries_have_a_place_each)
{
    enum { CHUNKS = 3, D = CHUNKS * WN_SCAN_DEPTH };
    static bool row[WN_SCAN_ROWS * D], query[WN_SCAN_QUERIES * D];
    for (size_t i = 0; i < D; i++) {
        for (size_t r = 0; r < WN_SCAN_ROWS; r++)
            row[wn_scan_row_at(r, i)] = true;
        for (size_t q = 0; q < WN_SCAN_QUERIES; q++)
            query[wn_scan_query_at(q, i, CHUNKS)] = true;
    }
    for (size_t i = 0; i < sizeof row; i++)
        cr_assert(row[i]);
    for (size_t i = 0; i < sizeof query; i++)
        cr_assert(query[i]);
}

Test(scan, shifting_tells_length_and_largest)
{
    enum { D = 77 };
    float x[D], centre[D], u[D];
    for (size_t k = 0; k < D; k++) {
        x[k] = (float)wn_rng_normal(9, 1, k);
        centre[k] = (float)wn_rng_normal(9, 2, k);
    }
    for (size_t n = 1; n <= D; n += 19)
        for (size_t i = 0; i < sizeof FORM / sizeof *FORM; i++) {
            double norm2 = 0, most = 0;
            if (!use(i))
                continue;
            wn_shifted s = wn_scan_shift(u, x, 0.7F, centre, 0.25F, n);
            for (size_t k = 0; k < n; k++) {
                cr_assert_eq(u[k], (x[k] * 0.7F - centre[k]) * 0.25F, "%s", FORM[i]);
                norm2 += (double)u[k] * u[k];
                most = fmax(most, fabs(u[k]));
            }
            cr_assert_float_eq(s.norm2, norm2, norm2 * 1e-6, "%s", FORM[i]);
            cr_assert_eq(s.most, most, "%s", FORM[i]);
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
            float most = 0;
            for (size_t k = 0; k < n; k++)
                most = fmaxf(most, fabsf(w[k]));
            float scale = most / 127;
            memset(block, 55, sizeof block);
            float error2 = wn_scan_code(block, 3, w, n, D, scale);
            double sum = 0;
            for (size_t k = 0; k < D; k++) {
                int a = block[wn_scan_row_at(3, k)];
                double left = k < n ? (double)w[k] - (double)scale * a : 0;
                cr_assert(k < n ? fabs(left) <= scale * 0.5001 : a == 0, "%s: %zu", FORM[i], k);
                sum += left * left;
            }
            cr_assert_float_eq(error2, sum, sum * 1e-5, "%s: %g, not %g", FORM[i], error2, sum);
            cr_assert_eq(block[wn_scan_row_at(4, 0)], 55, "the next row's place was written");
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
        }
    }
    wn_scan_use(NULL);
}

Test(scan, pairs_scored_together_have_the_bits_of_each_alone)
{
    enum { D = 77, PAIRS = 11 };
    float x[PAIRS][D], y[PAIRS][D];
    wn_scan_pair pair[PAIRS];
    double far[PAIRS], along[PAIRS];
    for (size_t i = 0; i < PAIRS; i++) {
        for (size_t k = 0; k < D; k++) {
            x[i][k] = (float)wn_rng_normal(2, 1, i * D + k);
            y[i][k] = (float)wn_rng_normal(2, 2, i * D + k);
        }
        pair[i] = (wn_scan_pair){x[i], y[i]};
    }
    for (size_t f = 0; f < sizeof FORM / sizeof *FORM; f++)
        for (size_t m = 0; use(f) && m <= PAIRS; m++)
            for (size_t n = D - 9; n <= D; n++) {
                wn_exact_distances2(far, pair, m, n);
                wn_exact_dots(along, pair, m, n);
                wn_scan_use("c");
                for (size_t i = 0; i < m; i++) {
                    cr_assert_eq(far[i], wn_exact_distance2(x[i], y[i], n), "%s %zu", FORM[f], i);
                    cr_assert_eq(along[i], wn_exact_dot(x[i], y[i], n), "%s %zu", FORM[f], i);
                }
                use(f);
            }
    wn_scan_use(NULL);
}
