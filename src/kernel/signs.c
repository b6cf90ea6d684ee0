/* Products with random signs: words to panels of +1 and -1 in this thread's scratch, then the
 * table's mm. A panel block is used for all M rows before it is overwritten, so with M rows a sign
 * is made once and added M times; from about eight rows on the additions are what it costs. */
#include <string.h>

#include "base/err.h"
#include "base/rng.h"
#include "kernel/table.h"

enum {
    WORD_ROWS = 32,
    LANES = 16,
    GROUP = 64,    /* columns of one round of Philox */
    COLUMNS = 128, /* of the signs that lie in scratch at once */
    ROWS = 384
};
_Static_assert((ROWS + WORD_ROWS) * COLUMNS <= WN_SCRATCH, "scratch");

static size_t min(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Words of rows [32 block, 32 block + 32) and columns [j, j + GROUP): in place, or made. Columns
 * past R are anything. */
static void words(uint32_t out[GROUP], const wn_signs *s, const wn_kernels *t, uint64_t block,
                  size_t j)
{
    if (s->word) {
        size_t n = min(GROUP, s->R - j);
        memcpy(out, s->word + block * s->R + j, n * sizeof *out);
        memset(out + n, 0, (GROUP - n) * sizeof *out);
        return;
    }
    uint64_t index = block << 16 | j / GROUP * LANES;
    uint32_t ctr[4] = {(uint32_t)index, (uint32_t)(index >> 32), (uint32_t)s->stream,
                       (uint32_t)(s->stream >> 32)};
    uint32_t key[2] = {(uint32_t)s->seed, (uint32_t)(s->seed >> 32)}, made[4][LANES];
    t->philox16(made, ctr, key);
    memcpy(out, made, sizeof made);
}

int wn_sign(const wn_signs *s, uint64_t k, size_t j)
{
    uint32_t w[GROUP];
    words(w, s, wn_kernel_table(), k / WORD_ROWS, j / GROUP * GROUP);
    return w[j % GROUP] >> k % WORD_ROWS & 1 ? 1 : -1;
}

/* Panels of rows [k, k + n) and columns [j, j + COLUMNS): element (i, c) at
 * panel[(c / 16) * n * 16 + i * 16 + c % 16]. */
static void fill(float *panel, const wn_signs *s, const wn_kernels *t, uint64_t k, size_t n,
                 size_t j, size_t columns)
{
    uint32_t w[GROUP];
    for (size_t i = 0; i < n;) {
        unsigned from = (unsigned)((k + i) % WORD_ROWS);
        unsigned to = (unsigned)min(WORD_ROWS, from + n - i);
        for (size_t g = 0; g < columns; g += GROUP) {
            words(w, s, t, (k + i) / WORD_ROWS, j + g);
            for (size_t c = 0; c < min(GROUP, columns - g); c += LANES)
                t->sign_rows(panel + (g + c) * n + i * LANES, w + c, from, to);
        }
        i += to - from;
    }
}

void wn_signs_add(float *c, size_t ldc, const float *g, size_t ldg, size_t M, size_t n,
                  const wn_signs *s, uint64_t first)
{
    const wn_kernels *t = wn_kernel_table();
    float *panel = wn_kernel_scratch();
    WN_ASSERT(s->R <= WN_SIGNS_MAX);
    for (size_t k = 0, rows; k < n; k += rows) {
        rows = min(ROWS - (first + k) % WORD_ROWS, n - k);
        for (size_t j = 0; j < s->R; j += COLUMNS) {
            size_t columns = min(COLUMNS, s->R - j);
            fill(panel, s, t, first + k, rows, j, columns);
            t->mm(c + j, ldc, g + k, ldg, panel, LANES, rows * LANES, M, columns, rows, true);
        }
    }
}

/* Panels of the transposed matrix: element (j, i), i a row of the signs, at
 * panel[(i / 16) * R * 16 + j * 16 + i % 16]; rows from `k`, a multiple of 16, n of them up to 32,
 * columns [j0, j0 + columns). */
static void fill_back(float *panel, const wn_signs *s, const wn_kernels *t, uint64_t k, size_t n,
                      size_t j0, size_t columns)
{
    uint32_t w[GROUP];
    for (size_t i = 0; i < n; i += LANES)
        for (size_t g = 0; g < columns; g += GROUP) {
            words(w, s, t, (k + i) / WORD_ROWS, j0 + g);
            for (size_t c = 0; c < min(GROUP, columns - g); c++)
                t->sign_columns(panel + i * columns + (g + c) * LANES, w[c],
                                (unsigned)((k + i) % WORD_ROWS));
        }
}

void wn_signs_back(float *out, size_t ldo, const float *w, size_t ldw, size_t M, size_t n,
                   const wn_signs *s, uint64_t first)
{
    enum { AT_ONCE = 64, INNER = 512 };
    const wn_kernels *t = wn_kernel_table();
    float *panel = wn_kernel_scratch();
    /* rows before `first` in its group of 16 are multiplied too, into a tile of their own */
    float *tile = panel + (size_t)AT_ONCE * INNER;
    enum { TILE_ROWS = 128 };
    _Static_assert(AT_ONCE * INNER + TILE_ROWS * AT_ONCE <= WN_SCRATCH, "scratch");
    for (size_t i = 0, rows; i < n; i += rows) {
        size_t skip = (first + i) % LANES;
        rows = min(AT_ONCE - skip, n - i);
        for (size_t m = 0; m < M; m += TILE_ROWS) {
            size_t some = min(TILE_ROWS, M - m);
            for (size_t j = 0; j < s->R; j += INNER) {
                size_t columns = min(INNER, s->R - j);
                fill_back(panel, s, t, first + i - skip, skip + rows, j, columns);
                t->mm(tile, AT_ONCE, w + m * ldw + j, ldw, panel, LANES, columns * LANES, some,
                      skip + rows, columns, j > 0);
            }
            for (size_t r = 0; r < some; r++)
                memcpy(out + (m + r) * ldo + i, tile + r * AT_ONCE + skip, rows * sizeof *out);
        }
    }
}
