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
 * which vector units do while the matrix unit is busy. Measured: 97 % of the products' own rate
 * with stores in between, 51 % with stores at the end of a step. Scores are never written but to
 * a scratch.
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
    RING = 3
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

struct step {
    size_t block, query, part; /* part: its first chunk */
    int32_t *sums;             /* [TRIPLE][SUMS]; NULL: no step */
    bool judged;               /* by the time it is oldest: whether its sums are whole */
};

struct pipe {
    const int8_t *block;
    const wn_scan_facts *facts;
    const wn_scan_queries *q;
    wn_scan_hit *hit;
    size_t hits, done;               /* done: steps */
    struct step last, older, oldest; /* one, two and three steps ago */
    _Alignas(64) int32_t sums[SPAN][TRIPLE * SUMS];
    _Alignas(64) uint16_t pass[2][WN_SCAN_ROWS][4]; /* masks for each row and vector of queries */
};

AMX INLINE void judge(uint16_t pass[4], const int32_t *sums, const wn_scan_facts *f,
                      const struct queries16 *q, size_t r)
{
#pragma GCC unroll 3
    for (size_t j = 0; j < TRIPLE; j++)
        pass[j] =
            (uint16_t)passes(_mm512_load_si512(sums + j * SUMS + r * WN_SCAN_GROUP), f, r, &q[j]);
}

/* Pairs of the oldest step. */
AMX INLINE void collect(struct pipe *p, uint16_t pass[WN_SCAN_ROWS][4])
{
    __m512i a = _mm512_load_si512(pass), b = _mm512_load_si512(pass[8]);
    uint32_t rows = _mm512_test_epi64_mask(a, a) | (uint32_t)_mm512_test_epi64_mask(b, b) << 8;
    for (; __builtin_expect(rows != 0, 0); rows &= rows - 1) {
        size_t r = (size_t)__builtin_ctz(rows), row = p->oldest.block * WN_SCAN_ROWS + r;
        for (size_t j = 0; j < TRIPLE; j++)
            p->hits = put(p->hit, p->hits, pass[r][j], p->oldest.query + j * WN_SCAN_GROUP, row);
    }
}

/* One step of `chunks` chunks into set `set`, both known when compiled, so that what lies between
 * products is too; without now.sums only what is left of earlier steps. */
AMX INLINE void step(struct pipe *p, const int set, const size_t chunks, const struct step *now)
{
    const wn_scan_queries *q = p->q;
    const struct step last = p->last, older = p->older;
    const wn_scan_facts *facts = &p->facts[older.block];
    const size_t line = q->chunks * TILE_BYTES;
    const int8_t *x = p->block + now->block * line + now->part * TILE_BYTES;
    const int8_t *y = q->code + now->query / WN_SCAN_GROUP * line + now->part * TILE_BYTES;
    int32_t *sums = now->sums;
    uint16_t(*pass)[4] = p->pass[set];
    bool first = now->part == 0;
    struct queries16 side[TRIPLE];
#pragma GCC unroll 3
    for (size_t j = 0; j < TRIPLE; j++)
        side[j] = load_queries(q, older.query + j * WN_SCAN_GROUP);
#pragma GCC unroll 8
    for (size_t k = 0; k < chunks; k++) {
        if (sums) {
            _tile_loadd(6, x + k * TILE_BYTES, 64);
#pragma GCC unroll 3
            for (int j = 0; j < TRIPLE; j++) {
                _tile_loadd(7, y + (size_t)j * line + k * TILE_BYTES, 64);
                if (k == 0 && first)
                    clear(set, j);
                else if (k == 0)
                    restore(set, j, sums + j * SUMS);
                multiply(set, j);
            }
        }
        if (last.sums)
#pragma GCC unroll 3
            for (size_t j = 0; j < TRIPLE; j++)
                if (j >= TRIPLE * k / chunks && j < TRIPLE * (k + 1) / chunks)
                    keep(1 - set, j, last.sums + j * SUMS);
        if (older.judged)
            for (size_t r = WN_SCAN_ROWS * k / chunks; r < WN_SCAN_ROWS * (k + 1) / chunks; r++)
                judge(pass[r], older.sums, facts, side, r);
    }
    if (p->oldest.judged)
        collect(p, p->pass[1 - set]);
    p->oldest = older;
    p->older = last;
    p->last = *now;
    p->done++;
}

#define STEP(chunks)                                                                               \
    case chunks:                                                                                   \
        if (p->done % 2 == 0)                                                                      \
            step(p, 0, chunks, now);                                                               \
        else                                                                                       \
            step(p, 1, chunks, now);                                                               \
        break

AMX static void next(struct pipe *p, const struct step *now)
{
    size_t chunks = p->q->chunks - now->part;
    __asm__ volatile("" ::: "memory"); /* the compiler does not know that a tile load reads */
    switch (chunks < PART ? chunks : PART) {
        STEP(1);
        STEP(2);
        STEP(3);
        STEP(4);
        STEP(5);
        STEP(6);
        STEP(7);
        STEP(8);
    }
}

/* Asks for a slice of a block, the i-th of m, that a later span will want. */
AMX INLINE void fetch(const int8_t *block, size_t lines, size_t i, size_t m)
{
    for (size_t l = lines * i / m; l < lines * (i + 1) / m; l++)
        _mm_prefetch((const char *)block + l * 64, _MM_HINT_T1);
}

/* Blocks [first, first + n) of `all` and all queries, while the blocks of the next span come. */
AMX static void scan_span(struct pipe *p, size_t first, size_t n, size_t all)
{
    const wn_scan_queries *q = p->q;
    const struct step none = {0};
    size_t lines = q->chunks * TILE_BYTES / 64, i = 0;
    size_t passes = q->Q / WN_SCAN_QUERIES * ((q->chunks + PART - 1) / PART);
    bool whole = q->chunks <= PART;
    for (size_t query = 0; query < q->Q; query += WN_SCAN_QUERIES)
        for (size_t part = 0; part < q->chunks; part += PART, i++)
            for (size_t b = 0; b < n; b++) {
                if (first + b + SPAN < all)
                    fetch(p->block + (first + b + SPAN) * lines * 64, lines, i, passes);
                if (!whole && n == 1) /* its sums must have left the tiles */
                    next(p, &none);
                next(p, &(struct step){first + b, query, part, p->sums[whole ? p->done % RING : b],
                                       part + PART >= q->chunks});
            }
}

AMX size_t wn_scan_amx(wn_scan_hit *hit, const int8_t *block, const wn_scan_facts *facts, size_t n,
                       const wn_scan_queries *q)
{
    struct pipe p;
    const struct step none = {0};
    p.block = block;
    p.facts = facts;
    p.q = q;
    p.hit = hit;
    p.hits = p.done = 0;
    p.last = p.older = p.oldest = none;
    for (size_t i = 0; i < 4; i++)
        _mm512_store_si512(p.pass[i / 2][i % 2 * 8], _mm512_setzero_si512());
    _tile_loadconfig(&config);
    for (size_t b = 0; b < n; b += SPAN)
        scan_span(&p, b, n - b < SPAN ? n - b : SPAN, n);
    for (int i = 0; i < 3; i++)
        next(&p, &none);
    _tile_release();
    return p.hits;
}

#endif
