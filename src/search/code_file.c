#include "search/code_file.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/hash.h"
#include "io/region.h"

#define MAGIC "WNCODES3"
enum { HEAD = 4096, PAGE = 4096, SHA_AT = 32, SHA_DIGITS = 64 };

struct head {
    char magic[8];
    uint32_t D, d;
    uint64_t N;
    uint32_t cosine;
    float unit;
    char sha[SHA_DIGITS];
};
_Static_assert(sizeof(struct head) == SHA_AT + SHA_DIGITS, "the head is as drawn in code_file.h");

/* Where things are. */
struct plan {
    uint64_t N, pieces, first, piece_bytes, table, size; /* first: offset of the first piece */
    size_t d;
};

/* Parts of a piece of so many rows: codes, facts, checksums. */
static size_t codes_bytes(size_t rows, size_t d)
{
    return wn_code_blocks(rows) * WN_SCAN_ROWS * d;
}

static size_t facts_bytes(size_t rows)
{
    return wn_code_blocks(rows) * WN_SCAN_ROWS * sizeof(wn_row_facts);
}

static size_t rows_bytes(size_t rows, size_t d)
{
    return codes_bytes(rows, d) + facts_bytes(rows) +
           wn_code_blocks(rows) * WN_SCAN_ROWS * sizeof(uint64_t);
}
_Static_assert(sizeof(wn_row_facts) * WN_SCAN_ROWS % sizeof(uint64_t) == 0,
               "checksums are aligned");

size_t wn_code_row_bytes(size_t D)
{
    return wn_code_length(D) + sizeof(wn_row_facts) + sizeof(uint64_t);
}

static size_t rows_of(const struct plan *p, uint64_t piece)
{
    uint64_t left = p->N - piece * WN_CODE_ROWS;
    return left < WN_CODE_ROWS ? (size_t)left : WN_CODE_ROWS;
}

static struct plan plan_of(uint64_t N, size_t D)
{
    size_t d = wn_code_length(D);
    struct plan p = {.N = N, .pieces = (N + WN_CODE_ROWS - 1) / WN_CODE_ROWS, .d = d};
    uint64_t before = HEAD + (uint64_t)D * sizeof(float);
    p.first = (before + PAGE - 1) / PAGE * PAGE;
    p.piece_bytes = rows_bytes(WN_CODE_ROWS, d);
    p.table = p.first;
    if (p.pieces)
        p.table += (p.pieces - 1) * p.piece_bytes + rows_bytes(rows_of(&p, p.pieces - 1), d);
    p.size = p.table + (p.pieces + 1) * sizeof(uint64_t);
    return p;
}

/* ---- reading ---- */

struct wn_code_file {
    wn_map map;
    wn_basis basis;
    struct plan plan;
};

static uint64_t hash_ends(const struct plan *p, const char *before, const char *table)
{
    return wn_hash64(table, p->pieces * sizeof(uint64_t), wn_hash64(before, p->first, 0));
}

/* What is wrong with the file's head; NULL: nothing. */
static const char *fault(struct plan *p, struct head *h, const wn_map *m, const wn_coded_rows *of)
{
    if (m->size < HEAD)
        return "it is cut";
    memcpy(h, m->data, sizeof *h);
    if (memcmp(h->magic, MAGIC, sizeof h->magic) != 0)
        return "it is of another version";
    if (memcmp(h->sha, of->sha, SHA_DIGITS) != 0 || h->N != of->N || h->D != of->D ||
        h->cosine != of->cosine)
        return "it belongs to other rows";
    if (h->d != wn_code_length(of->D))
        return "its head is damaged";
    *p = plan_of(of->N, of->D);
    uint64_t hash;
    if (m->size != p->size)
        return "it is cut";
    memcpy(&hash, m->data + p->size - sizeof hash, sizeof hash);
    return hash == hash_ends(p, m->data, m->data + p->table) ? NULL : "it is damaged";
}

static wn_err read_basis(wn_basis *b, const struct head *h, const char *data)
{
    *b = (wn_basis){.D = h->D, .d = h->d, .cosine = h->cosine, .unit = h->unit};
    WN_NEW(b->centre, b->D);
    memcpy(b->centre, data + HEAD, b->D * sizeof *b->centre);
    return WN_OK;
}

wn_err wn_code_file_open(wn_code_file **out, const char **why, const char *path,
                         const wn_coded_rows *of)
{
    struct head h;
    wn_code_file *k;
    *out = NULL;
    *why = NULL;
    if (!wn_file_exists(path))
        return WN_OK;
    WN_NEW(k, 1);
    if (wn_map_open(&k->map, path) != WN_OK)
        *why = "it cannot be read";
    else
        *why = fault(&k->plan, &h, &k->map, of);
    wn_err e = *why ? WN_OK : read_basis(&k->basis, &h, k->map.data);
    if (*why || e)
        wn_code_file_close(k);
    else
        *out = k;
    return e;
}

void wn_code_file_close(wn_code_file *k)
{
    if (!k)
        return;
    wn_map_close(&k->map);
    wn_basis_free(&k->basis);
    wn_free(k);
}

const wn_basis *wn_code_file_basis(const wn_code_file *k)
{
    return &k->basis;
}

bool wn_code_file_piece(wn_code_piece *out, const wn_code_file *k, uint64_t piece)
{
    const struct plan *p = &k->plan;
    const char *at = k->map.data + p->first + piece * p->piece_bytes;
    size_t rows = rows_of(p, piece), codes = codes_bytes(rows, p->d);
    uint64_t hash;
    memcpy(&hash, k->map.data + p->table + piece * sizeof hash, sizeof hash);
    out->code = (const int8_t *)at;
    out->facts = (const wn_row_facts *)(const void *)(at + codes);
    out->sum = (const uint64_t *)(const void *)(at + codes + facts_bytes(rows));
    return wn_hash64(at, rows_bytes(rows, p->d), 0) == hash;
}

/* Where row's block of codes lies, and its facts. */
static const char *row_at(const wn_code_file *k, uint64_t row, const char **facts)
{
    const struct plan *p = &k->plan;
    const char *at = k->map.data + p->first + row / WN_CODE_ROWS * p->piece_bytes;
    size_t i = row % WN_CODE_ROWS;
    *facts = at + codes_bytes(rows_of(p, row / WN_CODE_ROWS), p->d) + i * sizeof(wn_row_facts);
    return at + i / WN_SCAN_ROWS * WN_SCAN_ROWS * p->d;
}

void wn_code_file_row(const wn_code_file *k, uint64_t row, int8_t *block, size_t to,
                      wn_row_facts *facts)
{
    const char *fact, *from = row_at(k, row, &fact);
    for (size_t n = 0; n < k->plan.d; n += WN_SCAN_DEPTH)
        memcpy(block + wn_scan_row_at(to, n), from + wn_scan_row_at(row % WN_SCAN_ROWS, n),
               WN_SCAN_DEPTH);
    memcpy(facts, fact, sizeof *facts);
}

void wn_code_file_row_ahead(const wn_code_file *k, uint64_t row)
{
    wn_region all = {k->map.base, (size_t)k->map.size};
    const char *fact, *from = row_at(k, row, &fact);
    wn_region_ahead(&all, (size_t)(from - (const char *)k->map.data), WN_SCAN_ROWS * k->plan.d);
    wn_region_ahead(&all, (size_t)(fact - (const char *)k->map.data), sizeof(wn_row_facts));
}

void wn_code_file_ahead(const wn_code_file *k, uint64_t first, uint64_t n)
{
    wn_region all = {k->map.base, (size_t)k->map.size};
    wn_region_ahead(&all, k->plan.first + first * k->plan.piece_bytes, n * k->plan.piece_bytes);
}

void wn_code_file_behind(const wn_code_file *k, uint64_t first, uint64_t n)
{
    wn_region all = {k->map.base, (size_t)k->map.size};
    wn_region_behind(&all, k->plan.first + first * k->plan.piece_bytes, n * k->plan.piece_bytes);
}

/* ---- writing ---- */

struct wn_code_writer {
    wn_out out;
    struct plan plan;
    char *before;    /* what stands before the pieces */
    char *round;     /* the pieces at work */
    uint64_t *table; /* a hash a piece, and one of the ends */
    uint64_t from;   /* the first piece at work */
};

/* All that stands before the pieces. */
static char *make_before(const struct plan *p, const wn_coded_rows *of, const wn_basis *b)
{
    char *before = wn_calloc(1, p->first);
    if (!before)
        return NULL;
    struct head h = {.D = (uint32_t)b->D, .d = (uint32_t)b->d, .N = of->N, .cosine = of->cosine};
    h.unit = b->unit;
    memcpy(h.magic, MAGIC, sizeof h.magic);
    memcpy(h.sha, of->sha, SHA_DIGITS);
    memcpy(before, &h, sizeof h);
    memcpy(before + HEAD, b->centre, b->D * sizeof *b->centre);
    return before;
}

static void free_writer(wn_code_writer *w)
{
    wn_free(w->before);
    wn_free(w->round);
    wn_free(w->table);
    wn_free(w);
}

wn_err wn_code_writer_open(wn_code_writer **out, const char *path, const wn_coded_rows *of,
                           const wn_basis *b, size_t most)
{
    wn_code_writer *w;
    *out = NULL;
    WN_NEW(w, 1);
    w->plan = plan_of(of->N, of->D);
    w->before = make_before(&w->plan, of, b);
    w->round = wn_calloc(most, w->plan.piece_bytes);
    w->table = wn_calloc(w->plan.pieces + 1, sizeof *w->table);
    wn_err e = w->before && w->round && w->table ? wn_out_open(&w->out, path) : WN_ENOMEM;
    if (!e)
        e = wn_out_write(&w->out, w->before, w->plan.first);
    if (e) {
        wn_code_writer_abort(w);
        return e;
    }
    *out = w;
    return WN_OK;
}

void wn_code_writer_room(const wn_code_writer *w, size_t i, int8_t **code, wn_row_facts **facts,
                         uint64_t **sum)
{
    char *at = w->round + i * w->plan.piece_bytes;
    size_t rows = rows_of(&w->plan, w->from + i), codes = codes_bytes(rows, w->plan.d);
    *code = (int8_t *)at;
    *facts = (wn_row_facts *)(void *)(at + codes);
    *sum = (uint64_t *)(void *)(at + codes + facts_bytes(rows));
}

void wn_code_writer_made(wn_code_writer *w, size_t i)
{
    size_t rows = rows_of(&w->plan, w->from + i);
    w->table[w->from + i] =
        wn_hash64(w->round + i * w->plan.piece_bytes, rows_bytes(rows, w->plan.d), 0);
}

wn_err wn_code_writer_next(wn_code_writer *w, size_t n)
{
    const struct plan *p = &w->plan;
    size_t last = rows_bytes(rows_of(p, w->from + n - 1), p->d);
    WN_TRY(wn_out_write(&w->out, w->round, (n - 1) * p->piece_bytes + last));
    w->from += n;
    return WN_OK;
}

wn_err wn_code_writer_commit(wn_code_writer *w)
{
    const struct plan *p = &w->plan;
    w->table[p->pieces] = hash_ends(p, w->before, (const char *)w->table);
    wn_err e = wn_out_write(&w->out, w->table, (p->pieces + 1) * sizeof *w->table);
    if (e)
        wn_out_abort(&w->out);
    else
        e = wn_out_commit(&w->out);
    free_writer(w);
    return e;
}

void wn_code_writer_abort(wn_code_writer *w)
{
    if (!w)
        return;
    wn_out_abort(&w->out);
    free_writer(w);
}
