/* Search's filter on AMX.
 *
 * A step is a block of 16 rows against 48 queries over at most eight chunks: three tiles of sums,
 * and for each chunk one tile of rows and three of queries, 16 x 16 x 64 products an instruction.
 * Then the sums must leave the tiles, become bounds, and pairs that pass must be written. A tile
 * that is being stored cannot take the next products, and four stores in a row take longer than
 * twelve products, so six tiles are two sets that take turns, and between the products of step s
 * lie, spread out,
 *     the stores of step s - 1 (from the other set),
 *     the bounds of step s - 2 (from the scratch that those stores filled), and
 *     the hits of step s - 3 (from the masks that those bounds left; read earlier, they would wait
 *     for all stores between),
 * which vector units do while the matrix unit is busy. For that nothing in a step may depend on
 * a branch, so every number of chunks has a step of its own, with and without bounds. Measured, an
 * instruction in a step of six chunks: 6.1 ns from registers (4.8 on zeros: the unit's
 * rate depends on what it multiplies), 6.1 with the loads of tiles in the first cache; 8.2 ns with
 * all of it where no pair passes, of which 0.7 are rows in the second cache, 0.65 the stores and
 * 0.85 the bounds; 9.8 where a step asked what there was to do. Scores are never written but to a
 * scratch.
 *
 * The queries' 24 KB of eight chunks stay in the first cache while all blocks go by, whose chunks
 * come from the second: that gives 48 bytes a cycle, a third of what tiles of both would ask for.
 * Longer codes are scanned in parts, whose sums wait in the scratch. */
#include "kernel/code_scan_x86.h"

#if defined(__x86_64__)

enum {
    TILE_BYTES = 1024,
    SUMS = WN_SCAN_ROWS * WN_SCAN_GROUP,
    PART = 8,  /* chunks */
    SPAN = 16, /* blocks whose sums wait for the next part */
    RING = 3,
    UNCONDITIONAL = 2 /* hits of a step */
};

/* Of struct: palette 1, eight tiles of 16 lines of 64 bytes. */
static const struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t line_bytes[16];
    uint8_t lines[16];
} config = {.palette = 1,
            .line_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
            .lines = {16, 16, 16, 16, 16, 16, 16, 16}};

/* Tiles 0 1 2 and 3 4 5 are the sets of sums, 6 a chunk of rows, 7 one of queries. Tiles are named
 * by literals, hence these; all but the j of
 * keep is known when compiled. */
AMX INLINE void clear(int set, int j)
{
    switch (set * 3 + j) {
    case 0:
        _tile_zero(0);
        break;
    case 1:
        _tile_zero(1);
        break;
    case 2:
        _tile_zero(2);
        break;
    case 3:
        _tile_zero(3);
        break;
    case 4:
        _tile_zero(4);
        break;
    default:
        _tile_zero(5);
    }
}

AMX INLINE void restore(int set, int j, const int32_t *in)
{
    switch (set * 3 + j) {
    case 0:
        _tile_loadd(0, in, 64);
        break;
    case 1:
        _tile_loadd(1, in, 64);
        break;
    case 2:
        _tile_loadd(2, in, 64);
        break;
    case 3:
        _tile_loadd(3, in, 64);
        break;
    case 4:
        _tile_loadd(4, in, 64);
        break;
    default:
        _tile_loadd(5, in, 64);
    }
}

AMX INLINE void multiply(int set, int j)
{
    switch (set * 3 + j) {
    case 0:
        _tile_dpbssd(0, 6, 7);
        break;
    case 1:
        _tile_dpbssd(1, 6, 7);
        break;
    case 2:
        _tile_dpbssd(2, 6, 7);
        break;
    case 3:
        _tile_dpbssd(3, 6, 7);
        break;
    case 4:
        _tile_dpbssd(4, 6, 7);
        break;
    default:
        _tile_dpbssd(5, 6, 7);
    }
}

AMX INLINE void keep(int set, size_t j, int32_t *out)
{
    switch ((size_t)set * 3 + j) {
    case 0:
        _tile_stored(0, out, 64);
        break;
    case 1:
        _tile_stored(1, out, 64);
        break;
    case 2:
        _tile_stored(2, out, 64);
        break;
    case 3:
        _tile_stored(3, out, 64);
        break;
    case 4:
        _tile_stored(4, out, 64);
        break;
    default:
        _tile_stored(5, out, 64);
    }
}

/* What a step leaves for later ones. */
struct step {
    size_t block, query;
    int32_t *sums; /* [TRIPLE][SUMS] */
    bool judged;   /* by the time it is older: whether its sums are whole */
};

struct pipe {
    const int8_t *block;
    const wn_scan_facts *facts;
    const wn_scan_queries *q;
    wn_scan_hit *hit;
    size_t hits, done; /* done: steps */
    const wn_scan_ahead *ahead;
    size_t piece, line, quota;       /* what is asked for next, lines a step */
    struct step last, older, oldest; /* one, two and three steps ago */
    _Alignas(64) int32_t sums[SPAN][TRIPLE * SUMS];
    _Alignas(64) uint16_t pass[2][WN_SCAN_ROWS][4]; /* masks for each row and vector of queries,
                                                       and zero */
};

AMX INLINE void judge(uint16_t pass[4], const int32_t *sums, const wn_scan_facts *f,
                      const struct queries16 *q, size_t r)
{
#pragma GCC unroll 3
    for (size_t j = 0; j < TRIPLE; j++)
        pass[j] =
            (uint16_t)passes(_mm512_load_si512(sums + j * SUMS + r * WN_SCAN_GROUP), f, r, &q[j]);
}

/* Pairs of a step, from its masks. Nobody can predict how many there are, and a branch that goes
 * the wrong way costs as much as four products, as the steps behind it must begin again: so the
 * first few are taken without one, by the way of a pair that is written but not counted where there
 * is none. */
AMX INLINE void collect(struct pipe *p, const struct step *of, uint16_t pass[WN_SCAN_ROWS][4])
{
    __m512i a = _mm512_load_si512(pass), b = _mm512_load_si512(pass[8]);
    uint32_t rows = _mm512_test_epi64_mask(a, a) | (uint32_t)_mm512_test_epi64_mask(b, b) << 8;
    wn_scan_hit *hit = p->hit;
    size_t hits = p->hits;
#pragma GCC unroll 4
    for (int i = 0; i < UNCONDITIONAL; i++) {
        uint32_t r = (uint32_t)__builtin_ctz(rows | 1U << (WN_SCAN_ROWS - 1));
        uint64_t queries;
        memcpy(&queries, pass[r], sizeof queries);
        uint32_t q = (uint32_t)__builtin_ctzll(queries | 1ULL << (WN_SCAN_QUERIES - 1));
        hit[hits] = (wn_scan_hit){
            (uint32_t)of->query + q, (uint32_t)of->block * WN_SCAN_ROWS + r,
            (float)of->sums[q / WN_SCAN_GROUP * SUMS + r * WN_SCAN_GROUP + q % WN_SCAN_GROUP]};
        hits += queries != 0;
        queries &= queries - 1;
        memcpy(pass[r], &queries, sizeof queries);
        rows &= ~((uint32_t)(queries == 0) << r);
    }
    p->hits = hits;
    for (; __builtin_expect(rows != 0, 0); rows &= rows - 1) {
        size_t r = (size_t)__builtin_ctz(rows), row = of->block * WN_SCAN_ROWS + r;
        for (size_t j = 0; j < TRIPLE; j++)
            p->hits = put(p->hit, p->hits, pass[r][j], of->query + j * WN_SCAN_GROUP, row,
                          of->sums + j * SUMS + r * WN_SCAN_GROUP);
    }
}

AMX INLINE void side_of(struct queries16 side[TRIPLE], const struct pipe *p, const struct step *of)
{
#pragma GCC unroll 3
    for (size_t j = 0; j < TRIPLE; j++)
        side[j] = load_queries(p->q, of->query + j * WN_SCAN_GROUP);
}

/* One step of `chunks` chunks into set `set`. All but the pointers is known when compiled, so that
 * between products there is no branch; `judging`: whether older.judged. */
AMX INLINE void step(struct pipe *p, const int set, const size_t chunks, const bool judging,
                     const struct step *now, size_t part)
{
    const wn_scan_facts *facts = &p->facts[p->older.block];
    const size_t line = p->q->chunks * TILE_BYTES;
    const int8_t *x = p->block + now->block * line + part * TILE_BYTES;
    const int8_t *y = p->q->code + now->query / WN_SCAN_GROUP * line + part * TILE_BYTES;
    const int32_t *judged = p->older.sums;
    int32_t *kept = p->last.sums;
    uint16_t(*pass)[4] = p->pass[set];
    struct queries16 side[TRIPLE];
    if (judging)
        side_of(side, p, &p->older);
#pragma GCC unroll 3
    for (int j = 0; j < TRIPLE; j++) {
        if (part == 0)
            clear(set, j);
        else
            restore(set, j, now->sums + j * SUMS);
    }
#pragma GCC unroll 8
    for (size_t k = 0; k < chunks; k++) {
        _tile_loadd(6, x + k * TILE_BYTES, 64);
#pragma GCC unroll 3
        for (int j = 0; j < TRIPLE; j++) {
            _tile_loadd(7, y + (size_t)j * line + k * TILE_BYTES, 64);
            multiply(set, j);
            const size_t at = k * TRIPLE + (size_t)j, all = chunks * TRIPLE,
                         end = WN_SCAN_ROWS * (at + 1) / all;
            if (judging)
#pragma GCC unroll 16
                for (size_t r = WN_SCAN_ROWS * at / all; r < end; r++)
                    judge(pass[r], judged, facts, side, r);
        }
        const size_t last = TRIPLE * (k + 1) / chunks; /* simple conditions keep their unrolling
                                                          under sanitizers */
#pragma GCC unroll 3
        for (size_t j = TRIPLE * k / chunks; j < last; j++)
            keep(1 - set, j, kept + j * SUMS);
    }
    if (p->oldest.judged)
        collect(p, &p->oldest, p->pass[1 - set]);
    p->oldest = p->older;
    p->older = p->last;
    p->last = *now;
    p->done++;
}

/* Steps of so many chunks. */
#define STEP(chunks)                                                                               \
    AMX static void step##chunks(struct pipe *p, const struct step *now, size_t part)              \
    {                                                                                              \
        bool odd = p->done % 2 != 0;                                                               \
        if (p->older.judged && odd)                                                                \
            step(p, 1, chunks, true, now, part);                                                   \
        else if (p->older.judged)                                                                  \
            step(p, 0, chunks, true, now, part);                                                   \
        else if (odd)                                                                              \
            step(p, 1, chunks, false, now, part);                                                  \
        else                                                                                       \
            step(p, 0, chunks, false, now, part);                                                  \
    }

STEP(1)
STEP(2)
STEP(3)
STEP(4)
STEP(5)
STEP(6)
STEP(7)
STEP(8)

typedef void step_fn(struct pipe *p, const struct step *now, size_t part);
static step_fn *const steps[PART + 1] = {NULL,  step1, step2, step3, step4,
                                         step5, step6, step7, step8};

/* What is left of the last three steps. */
AMX static void drain(struct pipe *p)
{
    const struct step none = {.sums = p->sums[0]};
    for (int i = 0; i < 3; i++) {
        size_t set = p->done % 2;
        struct queries16 side[TRIPLE];
        if (p->older.judged) {
            side_of(side, p, &p->older);
            for (size_t r = 0; r < WN_SCAN_ROWS; r++)
                judge(p->pass[set][r], p->older.sums, &p->facts[p->older.block], side, r);
        }
        for (size_t j = 0; i == 0 && j < TRIPLE; j++)
            keep(1 - (int)set, j, p->last.sums + j * SUMS);
        if (p->oldest.judged)
            collect(p, &p->oldest, p->pass[1 - set]);
        p->oldest = p->older;
        p->older = p->last;
        p->last = none;
        p->done++;
    }
}

/* Asks for the next lines of what the caller wants ahead. */
AMX INLINE void ask(struct pipe *p)
{
    const wn_scan_ahead *a = p->ahead;
    for (size_t i = 0; i < p->quota && p->piece < a->n; i++) {
        size_t at = a->row ? a->row[p->piece] : p->piece;
        _mm_prefetch(a->base + at * a->stride + p->line * 64, _MM_HINT_T1);
        if (++p->line == a->lines) {
            p->line = 0;
            p->piece++;
        }
    }
}

/* Blocks [first, first + n) and all queries. */
AMX static void scan_span(struct pipe *p, size_t first, size_t n)
{
    const wn_scan_queries *q = p->q;
    bool whole = q->chunks <= PART;
    for (size_t query = 0; query < q->Q; query += WN_SCAN_QUERIES)
        for (size_t part = 0; part < q->chunks; part += PART) {
            size_t chunks = q->chunks - part < PART ? q->chunks - part : PART;
            for (size_t b = 0; b < n; b++) {
                ask(p);
                steps[chunks](p,
                              &(struct step){.block = first + b,
                                             .query = query,
                                             .sums = p->sums[whole ? p->done % RING : b],
                                             .judged = part + chunks == q->chunks},
                              part);
            }
            if (!whole && n < RING) /* its sums must have been read before they are written again */
                drain(p);
        }
}

AMX size_t wn_scan_amx(wn_scan_hit *hit, const int8_t *block, const wn_scan_facts *facts, size_t n,
                       const wn_scan_queries *q, const wn_scan_ahead *ahead)
{
    static const wn_scan_ahead nothing = {0};
    size_t all = q->Q / WN_SCAN_QUERIES * ((q->chunks + PART - 1) / PART) * n;
    struct pipe p;
    p.ahead = ahead ? ahead : &nothing;
    p.piece = p.line = 0;
    p.quota = all ? (p.ahead->n * p.ahead->lines + all - 1) / all : 0;
    p.block = block;
    p.facts = facts;
    p.q = q;
    p.hit = hit;
    p.hits = p.done = 0;
    memset(p.pass, 0, sizeof p.pass);
    p.last = p.older = p.oldest = (struct step){.sums = p.sums[RING - 1]};
    __asm__ volatile("" ::: "memory"); /* the compiler does not know that a tile load reads */
    _tile_loadconfig(&config);
    size_t span = q->chunks > PART ? SPAN : n;
    for (size_t b = 0; b < n; b += span)
        scan_span(&p, b, n - b < span ? n - b : span);
    drain(&p);
    _tile_release();
    return p.hits;
}

#endif
