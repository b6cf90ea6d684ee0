#include "search/code_file.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/report.h"
#include "io/file.h"
#include "io/hash.h"
#include "search/exact.h"

#define MAGIC "WNCODES1"
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

static size_t rows_bytes(size_t rows, size_t d)
{
    return wn_code_blocks(rows) * WN_SCAN_ROWS * (d + sizeof(wn_row_facts));
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

bool wn_code_file_piece(const wn_code_file *k, uint64_t piece, const int8_t **code,
                        const wn_row_facts **facts)
{
    const struct plan *p = &k->plan;
    const char *at = k->map.data + p->first + piece * p->piece_bytes;
    size_t rows = rows_of(p, piece);
    uint64_t hash;
    memcpy(&hash, k->map.data + p->table + piece * sizeof hash, sizeof hash);
    *code = (const int8_t *)at;
    *facts = (const wn_row_facts *)(const void *)(at + wn_code_blocks(rows) * WN_SCAN_ROWS * p->d);
    return wn_hash64(at, rows_bytes(rows, p->d), 0) == hash;
}

/* ---- writing ---- */

struct write_job {
    const wn_coded_rows *of;
    const struct plan *plan;
    const wn_basis *basis;
    char *round;    /* pieces that are made together */
    float *scratch; /* [threads] */
    uint64_t *table;
    uint64_t from; /* the round's first piece */
};

static wn_err make_piece(void *ctx, size_t i, int thread)
{
    struct write_job *j = ctx;
    const wn_coded_rows *of = j->of;
    uint64_t piece = j->from + i, first = piece * WN_CODE_ROWS;
    size_t rows = rows_of(j->plan, piece), d = j->plan->d, bad;
    char *at = j->round + i * j->plan->piece_bytes;
    wn_encode_rows((int8_t *)at,
                   (wn_row_facts *)(void *)(at + wn_code_blocks(rows) * WN_SCAN_ROWS * d), &bad,
                   j->basis, of->rows + first * of->D, rows,
                   j->scratch + (size_t)thread * wn_encode_scratch(j->basis));
    if (bad < rows)
        return wn_fail(WN_EFORMAT, "row %llu holds NaN or infinity",
                       (unsigned long long)(first + bad));
    j->table[piece] = wn_hash64(at, rows_bytes(rows, d), 0);
    return WN_OK;
}

static wn_err write_pieces(wn_out *out, struct write_job *j, size_t together)
{
    const struct plan *p = j->plan;
    for (j->from = 0; j->from < p->pieces; j->from += together) {
        uint64_t n = p->pieces - j->from < together ? p->pieces - j->from : together;
        uint64_t last = j->from + n - 1;
        WN_TRY(wn_par_for(n, make_piece, j));
        WN_TRY(wn_out_write(out, j->round,
                            (n - 1) * p->piece_bytes + rows_bytes(rows_of(p, last), p->d)));
        WN_TRY(wn_progress("codes", "rows", last * WN_CODE_ROWS + rows_of(p, last), p->N, NULL));
    }
    return WN_OK;
}

/* All that stands before the pieces: wn_free. */
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

static wn_err write_file(const char *path, const wn_coded_rows *of, const wn_basis *b)
{
    struct plan p = plan_of(of->N, of->D);
    size_t threads = (size_t)wn_par_threads(), together = 4 * threads;
    struct write_job j = {.of = of, .plan = &p, .basis = b};
    char *before = make_before(&p, of, b);
    j.round = wn_malloc(together * p.piece_bytes);
    j.scratch = wn_malloc(threads * wn_encode_scratch(b) * sizeof *j.scratch);
    j.table = wn_malloc((p.pieces + 1) * sizeof *j.table);
    wn_out out = {0};
    wn_err e = before && j.round && j.scratch && j.table ? WN_OK : WN_ENOMEM;
    if (!e)
        e = wn_out_open(&out, path);
    if (!e) {
        e = wn_out_write(&out, before, p.first);
        if (!e)
            e = write_pieces(&out, &j, together);
        if (!e) {
            j.table[p.pieces] = hash_ends(&p, before, (const char *)j.table);
            e = wn_out_write(&out, j.table, (p.pieces + 1) * sizeof *j.table);
        }
        if (e)
            wn_out_abort(&out);
        else
            e = wn_out_commit(&out);
    }
    wn_free(before);
    wn_free(j.round);
    wn_free(j.scratch);
    wn_free(j.table);
    return e;
}

wn_err wn_code_file_write(const char *path, const wn_coded_rows *of)
{
    wn_basis b = {0};
    struct scan s = {.rows = of->rows, .N = of->N, .left = of->N, .D = of->D};
    s.metric = of->cosine ? WN_METRIC_COSINE : WN_METRIC_L2;
    wn_err e = wn_sample_take(&s, 0);
    if (!e)
        e = wn_sample_basis(&b, &s);
    if (!e)
        e = write_file(path, of, &b);
    wn_free(s.sample);
    wn_basis_free(&b);
    return e;
}
