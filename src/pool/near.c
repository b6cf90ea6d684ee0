/* MinHash (runs.h) finds, sets of runs decide. Signatures are made in parallel by blocks; rows are
 * taken in order, for whether a row stays depends on those before it. A band's bucket is asked for
 * its first 8 rows only, so a pool full of alike rows costs no more than linear time. */
#include "pool/near.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/report.h"
#include "io/file.h"
#include "pool/handle.h"
#include "pool/runs.h"
#include "pool/seen.h"

enum { BUCKET = 8, MOST_TRIED = WN_BANDS_MOST * BUCKET };
enum { BLOCK_ROWS = 4096, PIECE_ROWS = 64 };
#define LEAST 0.8

typedef struct signature {
    uint64_t band[WN_BANDS_MOST];
    bool empty; /* nothing but template */
} signature;

typedef struct near {
    const wn_pool *p;
    const uint64_t *row;
    uint64_t n;
    wn_templates templates;
    wn_bands bands;
    uint64_t block0; /* the list's position of the block's first row */
    signature *sig;  /* of the block's rows */
    wn_seen seen[WN_BANDS_MOST];
    wn_row a, b; /* the row at hand and a candidate */
    wn_runs sa, sb;
} near;

static uint64_t row_at(const near *m, uint64_t i)
{
    return m->row ? m->row[i] : i;
}

static wn_err read_set(wn_runs *s, wn_row *row, const near *m, uint64_t i)
{
    return wn_runs_of_row(s, row, m->p, row_at(m, i), &m->templates);
}

/* ---- signatures ---- */

/* The target is part of every band's key: only rows with the same target can meet. */
static void sign(signature *sig, const near *m, const wn_runs *s, const wn_row *row)
{
    wn_span target = wn_span_trim(row->target);
    sig->empty = !s->n;
    wn_bands_keys(sig->band, &m->bands, s, wn_hash64(target.p, target.len, 1));
}

static wn_err sign_piece(void *ctx, size_t piece, int thread)
{
    (void)thread;
    near *m = ctx;
    wn_runs s = {0};
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
    wn_runs_free(&s);
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
    *same =
        x.len == y.len && memcmp(x.p, y.p, x.len) == 0 && wn_bands_alike(&m->bands, &m->sa, &m->sb);
    return WN_OK;
}

static wn_err decide(uint8_t *drop, near *m, uint64_t i, const signature *sig)
{
    uint32_t tried[MOST_TRIED];
    size_t n_tried = 0;
    bool have_a = false, same = false;
    *drop = 0;
    if (sig->empty)
        return WN_OK;
    bool full[WN_BANDS_MOST] = {false};
    for (int b = 0; b < m->bands.bands; b++) {
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
    for (int b = 0; b < m->bands.bands; b++)
        if (!full[b])
            WN_TRY(wn_seen_add(&m->seen[b], sig->band[b], (uint32_t)i));
    return WN_OK;
}

static wn_err mark_all(uint8_t *drop, near *m)
{
    wn_bands_init(&m->bands, LEAST);
    WN_TRY(wn_templates_learn(&m->templates, m->p, m->row, m->n));
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
    for (int b = 0; b < m.bands.bands; b++)
        wn_seen_free(&m.seen[b]);
    wn_templates_free(&m.templates);
    wn_free(m.sig);
    wn_runs_free(&m.sa);
    wn_runs_free(&m.sb);
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
