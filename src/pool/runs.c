#include "pool/runs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "pool/rowread.h"

enum { WORDS = 5, SAMPLE = 64, SAMPLE_MIN = 8 };
#define MISSED 0.01 /* of pairs at the similarity asked for */

static uint64_t mix(uint64_t h)
{
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    return h ^ (h >> 32);
}

/* ---- sets ---- */

static int by_value(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Hashes are spread evenly: scattered by their first byte they are nearly in order, and what is
 * left to do for texts of usual length is little more than a pass of insertion. */
static wn_err sort_hashes(uint64_t *v, size_t n)
{
    enum { BUCKETS = 256, FEW = 32, ON_STACK = 1024, MANY = 1 << 14 };
    if (n > MANY) {
        qsort(v, n, sizeof *v, by_value);
        return WN_OK;
    }
    uint64_t stack[ON_STACK], *out = stack;
    if (n > FEW) {
        size_t end[BUCKETS + 1] = {0};
        if (n > ON_STACK && !(out = wn_malloc(n * sizeof *out)))
            return WN_ENOMEM;
        for (size_t i = 0; i < n; i++)
            end[(v[i] >> 56) + 1]++;
        for (size_t b = 0; b < BUCKETS; b++)
            end[b + 1] += end[b];
        for (size_t i = 0; i < n; i++)
            out[end[v[i] >> 56]++] = v[i];
        memcpy(v, out, n * sizeof *v);
        if (n > ON_STACK)
            wn_free(out);
    }
    for (size_t i = 1; i < n; i++) {
        uint64_t x = v[i];
        size_t k = i;
        for (; k && v[k - 1] > x; k--)
            v[k] = v[k - 1];
        v[k] = x;
    }
    return WN_OK;
}

static wn_err sort_unique(wn_runs *s)
{
    if (!s->n)
        return WN_OK;
    WN_TRY(sort_hashes(s->v, s->n));
    size_t k = 1;
    for (size_t i = 1; i < s->n; i++)
        if (s->v[i] != s->v[k - 1])
            s->v[k++] = s->v[i];
    s->n = k;
    return WN_OK;
}

static wn_err push(wn_runs *s, uint64_t h)
{
    if (!WN_GROW(s->v, s->n, s->cap))
        return WN_ENOMEM;
    s->v[s->n++] = h;
    return WN_OK;
}

void wn_runs_free(wn_runs *s)
{
    wn_free(s->v);
    *s = (wn_runs){0};
}

wn_err wn_runs_of(wn_runs *s, wn_span text)
{
    uint64_t last[WORDS] = {0};
    size_t words = 0, i = 0;
    s->n = 0;
    while (i < text.len) {
        uint64_t h = 0xcbf29ce484222325u;
        size_t from = i;
        for (; i < text.len && !wn_is_blank(text.p[i]); i++) {
            unsigned char c = (unsigned char)text.p[i];
            h = (h ^ (c >= 'A' && c <= 'Z' ? c + 32u : c)) * 0x100000001b3u;
        }
        if (i > from) {
            last[words++ % WORDS] = mix(h);
            uint64_t run = 0;
            for (size_t k = 0; words >= WORDS && k < WORDS; k++)
                run = mix(run + last[(words + k) % WORDS]);
            if (words >= WORDS)
                WN_TRY(push(s, run));
        }
        i++;
    }
    if (words && words < WORDS) {
        uint64_t run = words;
        for (size_t k = 0; k < words; k++)
            run = mix(run + last[k]);
        WN_TRY(push(s, run));
    }
    return sort_unique(s);
}

static void subtract(wn_runs *s, const wn_runs *t)
{
    size_t k = 0, j = 0;
    for (size_t i = 0; i < s->n; i++) {
        while (j < t->n && t->v[j] < s->v[i])
            j++;
        if (j == t->n || t->v[j] != s->v[i])
            s->v[k++] = s->v[i];
    }
    s->n = k;
}

static size_t in_both(const wn_runs *a, const wn_runs *b)
{
    size_t both = 0;
    for (size_t i = 0, j = 0; i < a->n && j < b->n;) {
        both += a->v[i] == b->v[j];
        size_t was = i;
        i += a->v[i] <= b->v[j];
        j += b->v[j] <= a->v[was];
    }
    return both;
}

double wn_runs_jaccard(const wn_runs *a, const wn_runs *b)
{
    size_t both = in_both(a, b), any = a->n + b->n - both;
    return any ? (double)both / (double)any : 0;
}

/* ---- templates ---- */

typedef struct sample {
    uint32_t n;
    uint64_t rows[SAMPLE];
} sample;

struct learning {
    wn_templates *t;
    const wn_pool *p;
    sample *sample; /* one a task */
};

static wn_err learn(void *ctx, size_t task, int thread)
{
    (void)thread;
    struct learning *l = ctx;
    const sample *sm = &l->sample[task];
    if (sm->n < SAMPLE_MIN)
        return WN_OK;
    wn_runs all = {0}, one = {0};
    wn_row row = {0};
    wn_err e = WN_OK;
    for (uint32_t i = 0; i < sm->n && !e; i++) {
        e = wn_pool_row(l->p, sm->rows[i], &row);
        if (!e)
            e = wn_runs_of(&one, row.prompt);
        for (size_t k = 0; k < one.n && !e; k++)
            e = push(&all, one.v[k]);
    }
    if (!e)
        e = sort_hashes(all.v, all.n);
    for (size_t i = 0; i < all.n && !e;) {
        size_t j = i;
        while (j < all.n && all.v[j] == all.v[i])
            j++;
        if (2 * (j - i) >= sm->n)
            e = push(&l->t->of[task], all.v[i]);
        i = j;
    }
    wn_row_free(&row);
    wn_runs_free(&all);
    wn_runs_free(&one);
    return e;
}

wn_err wn_templates_learn(wn_templates *t, const wn_pool *p, const uint64_t *row, uint64_t n)
{
    struct learning l = {t, p, NULL};
    *t = (wn_templates){.tasks = wn_pool_tasks(p)};
    WN_NEW(t->of, (size_t)t->tasks + 1);
    WN_NEW(l.sample, (size_t)t->tasks + 1);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t at = row ? row[i] : i;
        sample *sm = &l.sample[wn_pool_task_of(p, at)];
        if (sm->n < SAMPLE)
            sm->rows[sm->n++] = at;
    }
    wn_err e = wn_par_for(t->tasks, learn, &l);
    wn_free(l.sample);
    return e;
}

void wn_templates_free(wn_templates *t)
{
    for (uint32_t i = 0; t->of && i < t->tasks; i++)
        wn_runs_free(&t->of[i]);
    wn_free(t->of);
    *t = (wn_templates){0};
}

wn_err wn_runs_of_row(wn_runs *s, wn_row *row, const wn_pool *p, uint64_t at, const wn_templates *t)
{
    WN_TRY(wn_pool_row(p, at, row));
    WN_TRY(wn_runs_of(s, row->prompt));
    subtract(s, &t->of[row->task_number]);
    return WN_OK;
}

/* ---- bands ---- */

void wn_bands_init(wn_bands *b, double least)
{
    b->least = least;
    b->width = least >= 0.9 ? 8 : least >= 0.8 ? 5 : least >= 0.7 ? 4 : least >= 0.5 ? 3 : 2;
    double meet = pow(least, b->width);
    double need = meet < 1 ? ceil(log(MISSED) / log1p(-meet)) : 1;
    b->bands = need < 1 ? 1 : need > WN_BANDS_MOST ? WN_BANDS_MOST : (int)need;
    for (uint32_t k = 0; k < (uint32_t)(b->bands * b->width); k++)
        b->mult[k] = wn_hash64(&k, sizeof k, 2) | 1;
}

void wn_bands_keys(uint64_t *key, const wn_bands *b, const wn_runs *s, uint64_t seed)
{
    for (int i = 0; i < b->bands; i++) {
        key[i] = seed;
        for (int k = 0; k < b->width; k++) {
            uint64_t mult = b->mult[i * b->width + k], least = UINT64_MAX;
            for (size_t j = 0; j < s->n; j++) {
                uint64_t h = s->v[j] * mult;
                least = h < least ? h : least;
            }
            key[i] = mix(key[i] + least);
        }
    }
}

bool wn_bands_alike(const wn_bands *b, const wn_runs *x, const wn_runs *y)
{
    size_t fewer = x->n < y->n ? x->n : y->n, more = x->n + y->n - fewer;
    if ((double)fewer < b->least * (double)more)
        return false;
    size_t both = in_both(x, y);
    return both && (double)both >= b->least * (double)(x->n + y->n - both);
}
