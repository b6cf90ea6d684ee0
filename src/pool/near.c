/* MinHash with banding (Broder 1997; Leskovec, Rajaraman, Ullman, "Mining of massive datasets", ch.
 * 3): 12 bands of 5 minima, so a pair of similarity s becomes a candidate with probability 1 - (1 -
 * s^5)^12: 0.991 at 0.8, 0.99999 at 0.9, 0.32 at 0.5. Candidates are then compared exactly.
 * Signatures are made in parallel by blocks; rows are taken in order, for whether a row stays
 * depends on those before it. A band's bucket is asked for its first 8 rows only, so a pool full of
 * alike rows costs no more than linear time. Templates are learned from a task's first 64 rows:
 * without that, tasks with a long instruction and a short input would be near-duplicates of
 * themselves. */
#include "pool/near.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/report.h"
#include "io/file.h"
#include "pool/handle.h"

enum { WORDS = 5, BANDS = 12, MINIMA = 5, BUCKET = 8, SAMPLE = 64, SAMPLE_MIN = 8 };
enum { BLOCK_ROWS = 4096, PIECE_ROWS = 64 };

/* A sorted set of hashes of five-word runs. */
typedef struct set {
    uint64_t *v;
    size_t n, cap;
} set;

typedef struct sample {
    uint32_t rows[SAMPLE];
    uint32_t n;
} sample;

typedef struct signature {
    uint64_t band[BANDS];
    bool empty; /* nothing but template */
} signature;

typedef struct near {
    const wn_pool *p;
    const uint64_t *row;
    uint64_t n;
    sample *sample; /* one a task */
    set *template;  /* one a task */
    uint64_t mult[BANDS * MINIMA];
    uint64_t block0; /* the list's position of the block's first row */
    signature *sig;  /* of the block's rows */
    wn_seen seen[BANDS];
    wn_row a, b; /* the row at hand and a candidate */
    set sa, sb;
} near;

static uint64_t mix(uint64_t h)
{
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    return h ^ (h >> 32);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void sort_unique(set *s)
{
    if (!s->n)
        return;
    qsort(s->v, s->n, sizeof *s->v, by_value);
    size_t k = 1;
    for (size_t i = 1; i < s->n; i++)
        if (s->v[i] != s->v[k - 1])
            s->v[k++] = s->v[i];
    s->n = k;
}

static wn_err push(set *s, uint64_t h)
{
    if (!WN_GROW(s->v, s->n, s->cap))
        return WN_ENOMEM;
    s->v[s->n++] = h;
    return WN_OK;
}

/* Words: what stands between white space, ASCII letters folded. Fewer than five words: one run. */
static wn_err runs(set *s, wn_span text)
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
    sort_unique(s);
    return WN_OK;
}

static void subtract(set *s, const set *t)
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

/* |a & b| / |a | b| >= 0.8, in whole numbers. */
static bool alike(const set *a, const set *b)
{
    size_t both = 0;
    for (size_t i = 0, j = 0; i < a->n && j < b->n;) {
        both += a->v[i] == b->v[j];
        size_t was = i;
        i += a->v[i] <= b->v[j];
        j += b->v[j] <= a->v[was];
    }
    return both && 5 * both >= 4 * (a->n + b->n - both);
}

static uint64_t row_at(const near *m, uint64_t i)
{
    return m->row ? m->row[i] : i;
}

static wn_err read_set(set *s, wn_row *row, const near *m, uint64_t i)
{
    WN_TRY(wn_pool_row(m->p, row_at(m, i), row));
    WN_TRY(runs(s, row->prompt));
    subtract(s, &m->template[row->task_number]);
    return WN_OK;
}

/* ---- templates ---- */

static wn_err learn(void *ctx, size_t task, int thread)
{
    (void)thread;
    near *m = ctx;
    const sample *sm = &m->sample[task];
    if (sm->n < SAMPLE_MIN)
        return WN_OK;
    set all = {0}, one = {0};
    wn_row row = {0};
    wn_err e = WN_OK;
    for (uint32_t i = 0; i < sm->n && !e; i++) {
        e = wn_pool_row(m->p, row_at(m, sm->rows[i]), &row);
        if (!e)
            e = runs(&one, row.prompt);
        for (size_t k = 0; k < one.n && !e; k++)
            e = push(&all, one.v[k]);
    }
    if (!e && all.n)
        qsort(all.v, all.n, sizeof *all.v, by_value);
    for (size_t i = 0; i < all.n && !e;) {
        size_t j = i;
        while (j < all.n && all.v[j] == all.v[i])
            j++;
        if (2 * (j - i) >= sm->n)
            e = push(&m->template[task], all.v[i]);
        i = j;
    }
    wn_row_free(&row);
    wn_free(all.v);
    wn_free(one.v);
    return e;
}

static wn_err learn_templates(near *m)
{
    size_t tasks = wn_pool_tasks(m->p);
    WN_NEW(m->sample, tasks);
    WN_NEW(m->template, tasks);
    for (uint64_t i = 0; i < m->n; i++) {
        sample *sm = &m->sample[wn_pool_task_of(m->p, row_at(m, i))];
        if (sm->n < SAMPLE)
            sm->rows[sm->n++] = (uint32_t)i;
    }
    WN_TRY(wn_par_for(tasks, learn, m));
    wn_free(m->sample);
    m->sample = NULL;
    return WN_OK;
}

/* ---- signatures ---- */

/* The target is part of every band's key: only rows with the same target can meet. */
static void sign(signature *sig, const near *m, const set *s, const wn_row *row)
{
    wn_span target = wn_span_trim(row->target);
    uint64_t seed = wn_hash64(target.p, target.len, 1);
    sig->empty = !s->n;
    for (int b = 0; b < BANDS; b++) {
        uint64_t key = seed;
        for (int k = 0; k < MINIMA; k++) {
            uint64_t mult = m->mult[b * MINIMA + k], least = UINT64_MAX;
            for (size_t i = 0; i < s->n; i++) {
                uint64_t h = s->v[i] * mult;
                least = h < least ? h : least;
            }
            key = mix(key + least);
        }
        sig->band[b] = key;
    }
}

static wn_err sign_piece(void *ctx, size_t piece, int thread)
{
    (void)thread;
    near *m = ctx;
    set s = {0};
    wn_row row = {0};
    wn_err e = WN_OK;
    for (uint64_t k = piece * PIECE_ROWS; k < (piece + 1) * PIECE_ROWS && !e; k++) {
        if (k >= BLOCK_ROWS || m->block0 + k >= m->n)
            break;
        e = read_set(&s, &row, m, m->block0 + k);
        if (!e)
            sign(&m->sig[k], m, &s, &row);
    }
    wn_row_free(&row);
    wn_free(s.v);
    return e;
}

/* ---- in order ---- */

static wn_err compare(bool *same, near *m, bool *have_a, uint64_t i, uint32_t candidate)
{
    if (!*have_a)
        WN_TRY(read_set(&m->sa, &m->a, m, i));
    *have_a = true;
    WN_TRY(read_set(&m->sb, &m->b, m, candidate));
    wn_span x = wn_span_trim(m->a.target), y = wn_span_trim(m->b.target);
    *same = x.len == y.len && memcmp(x.p, y.p, x.len) == 0 && alike(&m->sa, &m->sb);
    return WN_OK;
}

static wn_err decide(uint8_t *drop, near *m, uint64_t i, const signature *sig)
{
    uint32_t tried[BANDS * BUCKET];
    size_t n_tried = 0;
    bool have_a = false, same = false;
    *drop = 0;
    if (sig->empty)
        return WN_OK;
    bool full[BANDS] = {false};
    for (int b = 0; b < BANDS; b++) {
        size_t at = SIZE_MAX;
        int in_bucket = 0;
        uint32_t c;
        while (in_bucket < BUCKET &&
               (c = wn_seen_next(&m->seen[b], sig->band[b], &at)) != WN_SEEN_NONE) {
            in_bucket++;
            size_t k = 0;
            while (k < n_tried && tried[k] != c)
                k++;
            if (k < n_tried)
                continue;
            tried[n_tried++] = c;
            WN_TRY(compare(&same, m, &have_a, i, c));
            if (same) {
                *drop = 1;
                return WN_OK;
            }
        }
        full[b] = in_bucket == BUCKET;
    }
    for (int b = 0; b < BANDS; b++)
        if (!full[b])
            WN_TRY(wn_seen_add(&m->seen[b], sig->band[b], (uint32_t)i));
    return WN_OK;
}

static wn_err mark_all(uint8_t *drop, near *m)
{
    for (uint32_t k = 0; k < BANDS * MINIMA; k++)
        m->mult[k] = wn_hash64(&k, sizeof k, 2) | 1;
    WN_TRY(learn_templates(m));
    WN_NEW(m->sig, BLOCK_ROWS);
    for (m->block0 = 0; m->block0 < m->n; m->block0 += BLOCK_ROWS) {
        uint64_t left = m->n - m->block0, rows = left < BLOCK_ROWS ? left : BLOCK_ROWS;
        WN_TRY(wn_par_for((size_t)((rows + PIECE_ROWS - 1) / PIECE_ROWS), sign_piece, m));
        for (uint64_t k = 0; k < rows; k++)
            WN_TRY(decide(&drop[m->block0 + k], m, m->block0 + k, &m->sig[k]));
        WN_TRY(wn_progress("near-duplicates", "rows", m->block0 + rows, m->n, NULL));
    }
    return WN_OK;
}

wn_err wn_near_mark(uint8_t *drop, const wn_pool *p, const uint64_t *row, uint64_t n)
{
    if (n >= INT32_MAX)
        return wn_fail(WN_EARG, "%s: near-duplicates: expected under 2^31 rows", p->path);
    near m = {.p = p, .row = row, .n = n};
    wn_err e = mark_all(drop, &m);
    for (size_t t = 0; m.template && t < wn_pool_tasks(p); t++)
        wn_free(m.template[t].v);
    for (int b = 0; b < BANDS; b++)
        wn_seen_free(&m.seen[b]);
    wn_free(m.template);
    wn_free(m.sample);
    wn_free(m.sig);
    wn_free(m.sa.v);
    wn_free(m.sb.v);
    wn_row_free(&m.a);
    wn_row_free(&m.b);
    return e;
}

/* ---- filtering a pool in the making ---- */

/* The kept rows again, into new spools. Every task keeps its first row, so task numbers stand. */
static wn_err copy_kept(wn_spool *rows, wn_spool *index, wn_ingest *g, const wn_pool *p,
                        const uint8_t *drop, uint64_t *text_bytes)
{
    wn_index_header h;
    memcpy(&h, p->index.data, sizeof h);
    h.rows = h.bytes = 0;
    WN_TRY(wn_spool_add(index, &h, sizeof h));
    wn_row row = {0};
    wn_err e = WN_OK;
    for (uint64_t i = 0; i < p->rows && !e; i++) {
        wn_record rec = p->record[i];
        if (drop[i]) {
            e = wn_pool_row(p, i, &row);
            *text_bytes += row.prompt.len + row.target.len;
            g->task_rows[rec.task]--;
            continue;
        }
        rec.offset = wn_spool_size(rows);
        e = wn_spool_add(rows, p->text.data + p->record[i].offset, (size_t)rec.length + 1);
        if (!e)
            e = wn_spool_add(index, &rec, sizeof rec);
        h.rows++;
    }
    wn_row_free(&row);
    WN_TRY(e);
    h.bytes = wn_spool_size(rows);
    WN_TRY(wn_spool_sync(rows));
    WN_TRY(wn_spool_sync(index));
    return wn_spool_patch(index, 0, &h, sizeof h);
}

/* Takes the new file's place in `g`; its name becomes the old one's. */
static wn_err replace(wn_spool *old, wn_spool *new)
{
    WN_TRY(wn_rename(new->path, old->path));
    char *path = old->path;
    old->path = new->path;
    new->path = path;
    wn_spool swap = *old;
    *old = *new;
    *new = swap;
    return WN_OK;
}

static wn_err open_beside(wn_spool *s, const wn_spool *old)
{
    wn_str path = {0};
    wn_str_printf(&path, "%s.near", old->path);
    wn_err e = wn_str_check(&path);
    if (!e)
        e = wn_spool_open(s, path.p);
    wn_str_free(&path);
    return e;
}

static wn_err rewrite(uint64_t *dropped, wn_ingest *g, const wn_pool *p, const uint8_t *drop)
{
    wn_spool rows = {.fd = -1}, index = {.fd = -1};
    uint64_t text_bytes = 0;
    wn_err e = open_beside(&rows, &g->rows);
    if (!e)
        e = open_beside(&index, &g->index);
    if (!e)
        e = copy_kept(&rows, &index, g, p, drop, &text_bytes);
    if (!e)
        e = replace(&g->rows, &rows);
    if (!e)
        e = replace(&g->index, &index);
    wn_spool_close(&rows);
    wn_spool_close(&index);
    WN_TRY(e);
    for (uint64_t i = 0; i < p->rows; i++)
        *dropped += drop[i];
    g->n_rows -= *dropped;
    g->text_bytes -= text_bytes;
    return WN_OK;
}

wn_err wn_near_filter(uint64_t *dropped, wn_ingest *g)
{
    wn_pool p = {0};
    uint8_t *drop = NULL;
    *dropped = 0;
    wn_err e = wn_pool_view(&p, g);
    if (!e && !(drop = wn_calloc((size_t)p.rows, 1)))
        e = WN_ENOMEM;
    if (!e)
        e = wn_near_mark(drop, &p, NULL, p.rows);
    if (!e)
        e = rewrite(dropped, g, &p, drop);
    wn_free(drop);
    wn_pool_release(&p);
    return e;
}
