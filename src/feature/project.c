#include "feature/project.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/report.h"
#include "base/rng.h"

enum { TILE = 8192, ROWS = 8, BACK = 2048, WORD_ROWS = 32 };

static const char *const names[] = {"rademacher", "mt19937", "kron"};

wn_err wn_projection_parse(wn_projection_kind *kind, const char *name)
{
    *kind = WN_PROJECT_RADEMACHER;
    for (int i = 0; name && i < 3; i++)
        if (strcmp(name, names[i]) == 0) {
            *kind = (wn_projection_kind)i;
            return WN_OK;
        }
    return name ? wn_fail(WN_EARG, "projection \"%s\": expected rademacher, mt19937 or kron", name)
                : WN_OK;
}

const char *wn_projection_name(wn_projection_kind kind)
{
    return names[kind];
}

/* ---- MT19937 (Matsumoto & Nishimura 1998), seeded as NumPy's RandomState(integer) ---- */

enum { MT_N = 624, MT_M = 397 };
struct mt {
    uint32_t state[MT_N];
    int at;
};

static void mt_seed(struct mt *g, uint32_t seed)
{
    g->state[0] = seed;
    for (uint32_t i = 1; i < MT_N; i++)
        g->state[i] = 1812433253u * (g->state[i - 1] ^ g->state[i - 1] >> 30) + i;
    g->at = MT_N;
}

static void mt_twist(struct mt *g)
{
    for (int i = 0; i < MT_N; i++) {
        uint32_t y = (g->state[i] & 0x80000000u) | (g->state[(i + 1) % MT_N] & 0x7fffffffu);
        g->state[i] = g->state[(i + MT_M) % MT_N] ^ y >> 1 ^ (y & 1 ? 0x9908b0dfu : 0);
    }
    g->at = 0;
}

static uint32_t mt_next(struct mt *g)
{
    if (g->at == MT_N)
        mt_twist(g);
    uint32_t y = g->state[g->at++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680u;
    y ^= y << 15 & 0xefc60000u;
    return y ^ y >> 18;
}

static wn_err draw_bits(wn_projection *P, uint64_t max_memory)
{
    uint64_t blocks = (P->chosen->p + WORD_ROWS - 1) / WORD_ROWS;
    uint64_t bytes = blocks * P->d * sizeof *P->word;
    if (P->seed > UINT32_MAX)
        return wn_fail(WN_EARG, "seed %llu: mt19937 takes seeds up to %u",
                       (unsigned long long)P->seed, UINT32_MAX);
    if (bytes > SIZE_MAX / 2 || (max_memory && wn_mem_live() + bytes > max_memory))
        return wn_fail(WN_ENOMEM,
                       "projection mt19937: its signs need %llu MB, max-memory allows %llu MB in "
                       "all; rademacher needs none",
                       (unsigned long long)(bytes >> 20), (unsigned long long)(max_memory >> 20));
    WN_NEW(P->word, (size_t)bytes / sizeof *P->word);
    struct mt g;
    mt_seed(&g, (uint32_t)P->seed);
    for (uint64_t k = 0; k < P->chosen->p; k++) {
        uint32_t *row = P->word + k / WORD_ROWS * P->d;
        for (size_t j = 0; j < P->d; j++)
            row[j] |= (mt_next(&g) & 1) << k % WORD_ROWS;
        if (k % 65536 == 65535)
            WN_TRY(wn_progress("signs", "parameters", k + 1, P->chosen->p, NULL));
    }
    return WN_OK;
}

/* ---- making one ---- */

wn_err wn_projection_init(wn_projection *P, wn_projection_kind kind, size_t d, uint64_t seed,
                          const wn_chosen *chosen, uint64_t max_memory)
{
    *P = (wn_projection){.kind = kind, .d = d, .seed = seed, .chosen = chosen};
    if (d < 1 || d > WN_SIGNS_MAX)
        return wn_fail(WN_EARG, "project %zu: expected 1 to %d", d, WN_SIGNS_MAX);
    P->signs = (wn_signs){.seed = seed, .stream = WN_STREAM_PROJECT, .R = d};
    if (kind == WN_PROJECT_MT19937) {
        WN_TRY(draw_bits(P, max_memory));
        P->signs.word = P->word;
    }
    for (P->ko = (size_t)sqrt((double)d); d % P->ko; P->ko--)
        ;
    P->ki = d / P->ko;
    P->out = (wn_signs){.seed = seed, .stream = WN_STREAM_KRON_OUT, .R = P->ko};
    P->in = (wn_signs){.seed = seed, .stream = WN_STREAM_KRON_IN, .R = P->ki};
    return WN_OK;
}

void wn_projection_free(wn_projection *P)
{
    wn_free(P->word);
    *P = (wn_projection){0};
}

bool wn_projection_factored(const wn_projection *P, const wn_param *p)
{
    return P->kind == WN_PROJECT_KRON && p->rows > 1 && p->cols > 1 &&
           p->use != WN_PARAM_BIAS_TABLE;
}

/* ---- there ---- */

struct there {
    const wn_projection *P;
    const float *g;
    float *out;
    size_t ldg, M;
};

/* sum [M, d] += elements [k, k + n) of the gradients g [M, p]. */
static void add_plain(double *sum, const wn_projection *P, const float *g, size_t ldg, size_t M,
                      uint64_t k, size_t n, float *part)
{
    memset(part, 0, M * P->d * sizeof *part);
    wn_signs_add(part, P->d, g + k, ldg, M, n, &P->signs, k);
    for (size_t i = 0; i < M * P->d; i++)
        sum[i] += (double)part[i];
}

/* sum [d] += R_o G R_i^T of one matrix G [N, K] at `at`. */
static wn_err add_factored(double *sum, const wn_projection *P, const float *G, size_t N, size_t K,
                           uint64_t at)
{
    float *low = wn_calloc(N * P->ki, sizeof *low), *turned = wn_calloc(N * P->ki, sizeof *turned);
    float *part = wn_calloc(P->d, sizeof *part);
    wn_err e = low && turned && part ? WN_OK : WN_ENOMEM;
    if (!e) {
        wn_signs_add(low, P->ki, G, K, N, K, &P->in, at);
        for (size_t n = 0; n < N; n++)
            for (size_t b = 0; b < P->ki; b++)
                turned[b * N + n] = low[n * P->ki + b];
        wn_signs_add(part, P->ko, turned, N, P->ki, N, &P->out, at);
        for (size_t a = 0; a < P->ko; a++)
            for (size_t b = 0; b < P->ki; b++)
                sum[a * P->ki + b] += (double)part[b * P->ko + a];
    }
    wn_free(low);
    wn_free(turned);
    wn_free(part);
    return e;
}

static wn_err project_rows(void *ctx, size_t i, int thread)
{
    (void)thread;
    const struct there *j = ctx;
    const wn_projection *P = j->P;
    const wn_chosen *c = P->chosen;
    size_t m0 = i * ROWS, M = j->M - m0 < ROWS ? j->M - m0 : ROWS, d = P->d;
    const float *g = j->g + m0 * j->ldg;
    double *sum = wn_calloc(M * d, sizeof *sum);
    float *part = wn_malloc(M * d * sizeof *part);
    wn_err e = sum && part ? WN_OK : WN_ENOMEM;
    for (size_t q = 0; q < c->n && !e; q++) {
        if (wn_projection_factored(P, c->param[q])) {
            for (size_t m = 0; m < M && !e; m++)
                e = add_factored(sum + m * d, P, g + m * j->ldg + c->at[q], c->param[q]->rows,
                                 c->param[q]->cols, c->at[q]);
            continue;
        }
        for (uint64_t k = c->at[q]; k < c->at[q + 1]; k += TILE) {
            uint64_t left = c->at[q + 1] - k;
            add_plain(sum, P, g, j->ldg, M, k, left < TILE ? (size_t)left : TILE, part);
        }
    }
    for (size_t k = 0; k < M * d && !e; k++)
        j->out[m0 * d + k] = (float)(sum[k] / sqrt((double)d));
    wn_free(sum);
    wn_free(part);
    return e;
}

wn_err wn_project(float *out, const wn_projection *P, const float *g, size_t ldg, size_t M)
{
    struct there j = {P, g, out, ldg, M};
    return wn_par_for((M + ROWS - 1) / ROWS, project_rows, &j);
}

/* ---- and back ---- */

struct back {
    const wn_projection *P;
    float *out;
    const float *w;
    size_t ldo, ldw, M, n;
    uint64_t first;
};

static void back_plain(const struct back *j, uint64_t k, size_t n)
{
    float *out = j->out + (k - j->first), scale = (float)(1 / sqrt((double)j->P->d));
    wn_signs_back(out, j->ldo, j->w, j->ldw, j->M, n, &j->P->signs, k);
    for (size_t m = 0; m < j->M; m++)
        wn_scale(out + m * j->ldo, scale, n);
}

/* Elements [k, k + n) of parameter q, a matrix: R_o^T (W R_i) row by row. */
static wn_err back_factored(const struct back *j, size_t q, uint64_t k, size_t n)
{
    const wn_projection *P = j->P;
    size_t K = P->chosen->param[q]->cols, ko = P->ko;
    uint64_t at = P->chosen->at[q];
    float *wide = wn_malloc(ko * K * sizeof *wide), *low = wn_malloc(K * sizeof *low);
    wn_err e = wide && low ? WN_OK : WN_ENOMEM;
    float scale = (float)(1 / sqrt((double)P->d));
    for (size_t m = 0; m < j->M && !e; m++) {
        wn_signs_back(wide, K, j->w + m * j->ldw, P->ki, ko, K, &P->in, at);
        for (uint64_t i = k - at, end = i + n, next; i < end; i = next) {
            uint64_t row = i / K, from = i % K;
            next = (row + 1) * K < end ? (row + 1) * K : end;
            memset(low, 0, K * sizeof *low);
            for (size_t a = 0; a < ko; a++)
                wn_axpy(low, (float)wn_sign(&P->out, at + row, a), wide + a * K, K);
            wn_scale(low, scale, K);
            memcpy(j->out + m * j->ldo + (at + i - j->first), low + from,
                   (size_t)(next - i) * sizeof *low);
        }
    }
    wn_free(wide);
    wn_free(low);
    return e;
}

static wn_err back_tile(void *ctx, size_t i, int thread)
{
    (void)thread;
    const struct back *j = ctx;
    const wn_chosen *c = j->P->chosen;
    uint64_t k = j->first + (uint64_t)i * BACK, end = j->first + j->n;
    end = end - k < BACK ? end : k + BACK;
    if (j->P->kind != WN_PROJECT_KRON) {
        back_plain(j, k, (size_t)(end - k));
        return WN_OK;
    }
    for (uint64_t next; k < end; k = next) {
        size_t q = wn_chosen_find(c, k);
        next = c->at[q + 1] < end ? c->at[q + 1] : end;
        if (wn_projection_factored(j->P, c->param[q]))
            WN_TRY(back_factored(j, q, k, (size_t)(next - k)));
        else
            back_plain(j, k, (size_t)(next - k));
    }
    return WN_OK;
}

wn_err wn_project_back(float *out, size_t ldo, const wn_projection *P, const float *w, size_t ldw,
                       size_t M, uint64_t first, size_t n)
{
    WN_ASSERT(first <= P->chosen->p && n <= P->chosen->p - first);
    struct back j = {P, out, w, ldo, ldw, M, n, first};
    return wn_par_for((n + BACK - 1) / BACK, back_tile, &j);
}
