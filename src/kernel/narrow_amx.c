/* Products of narrow numbers on AMX: tiles of 16 lines by 64 bytes in registers of their own, one
 * instruction a tile product (16 x 16 sums of 32 bf16 products in 16 cycles).
 *
 * A block is 2 x 2 tiles of sums, two tiles of x and two of W: a loaded tile is used twice, so 64
 * bytes a cycle have to come from the first cache or near it. The panels of W stay there while the
 * strips of x stream by; what the next panels need is fetched meanwhile. Three tiles of sums in a
 * row or one by four would load more for the same work. */
#include "kernel/narrow.h"

#include <sys/syscall.h>
#include <unistd.h>

/* Of struct: palette 1, eight tiles of 16 lines of 64 bytes. */
static const struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t line_bytes[16];
    uint8_t lines[16];
} config = {.palette = 1,
            .line_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
            .lines = {16, 16, 16, 16, 16, 16, 16, 16}};

static void begin(void)
{
    _tile_loadconfig(&config);
}

static void end(void)
{
    _tile_release();
}

bool wn_amx_allowed(void)
{
    enum { REQ_XCOMP_PERM = 0x1023, XTILEDATA = 18 };
    static int known; /* 0: not asked yet */
    int k = __atomic_load_n(&known, __ATOMIC_RELAXED);
    if (!k) {
        k = syscall(SYS_arch_prctl, REQ_XCOMP_PERM, XTILEDATA) == 0 ? 1 : -1;
        __atomic_store_n(&known, k, __ATOMIC_RELAXED);
    }
    return k > 0;
}

/* The compiler does not know that a tile load reads memory. */
static void load_sums(const float *c, size_t ldc)
{
    __asm__ volatile("" ::: "memory");
    _tile_loadd(0, c, ldc * 4);
    _tile_loadd(1, c + 16, ldc * 4);
    _tile_loadd(2, c + 16 * ldc, ldc * 4);
    _tile_loadd(3, c + 16 * ldc + 16, ldc * 4);
}

static void zero_sums(void)
{
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
}

static void store_sums(float *c, size_t ldc)
{
    _tile_stored(0, c, ldc * 4);
    _tile_stored(1, c + 16, ldc * 4);
    _tile_stored(2, c + 16 * ldc, ldc * 4);
    _tile_stored(3, c + 16 * ldc + 16, ldc * 4);
}

#define FETCH(lines)                                                                               \
    for (size_t j = 0; j < (lines); j++, next += 64)                                               \
    _mm_prefetch(next, _MM_HINT_T1)

static void sum16(const uint16_t *a, const uint16_t *b, size_t bp, size_t kt, const char *next,
                  size_t lines)
{
    for (size_t i = 0; i < kt; i++, a += 2 * TILE, b += TILE) {
        _tile_loadd(4, a, 64);
        _tile_loadd(6, b, 64);
        FETCH(lines);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, b + bp, 64);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, a + TILE, 64);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
}

/* The upper 16 rows alone. */
static void half16(const uint16_t *a, const uint16_t *b, size_t bp, size_t kt, const char *next,
                   size_t lines)
{
    for (size_t i = 0; i < kt; i++, a += 2 * TILE, b += TILE) {
        _tile_loadd(4, a, 64);
        _tile_loadd(6, b, 64);
        FETCH(lines);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, b + bp, 64);
        _tile_dpbf16ps(1, 4, 7);
    }
}

static void mm16(float *c, size_t ldc, const uint16_t *a, const uint16_t *b, size_t bp, size_t kt,
                 size_t m, size_t n, bool add, const void *next, size_t lines)
{
    _Alignas(64) float part[32 * 32];
    bool whole = m == 32 && n == 32;
    float *sums = whole ? c : part;
    size_t ld = whole ? ldc : 32;
    if (add && !whole)
        copy_block(part, 32, c, ldc, m, n);
    if (add)
        load_sums(sums, ld);
    else
        zero_sums();
    if (m > 16)
        sum16(a, b, n > 16 ? bp : 0, kt, next, lines);
    else
        half16(a, b, n > 16 ? bp : 0, kt, next, lines);
    store_sums(sums, ld);
    if (!whole)
        copy_block(c, ldc, part, 32, m, n);
}

static void mm8(int32_t *c, const uint8_t *a, const int8_t *b, const int32_t *sums, size_t bp,
                size_t kt, size_t m, size_t n, const void *from, size_t lines)
{
    const char *next = from;
    (void)sums;
    bp = n > 16 ? bp : 0;
    zero_sums();
    for (size_t i = 0; i < kt; i++, a += 2048, b += 1024) {
        _tile_loadd(4, a, 64);
        _tile_loadd(6, b, 64);
        FETCH(lines);
        _tile_dpbusd(0, 4, 6);
        _tile_loadd(7, b + bp, 64);
        _tile_dpbusd(1, 4, 7);
        if (m <= 16)
            continue;
        _tile_loadd(5, a + 1024, 64);
        _tile_dpbusd(2, 5, 6);
        _tile_dpbusd(3, 5, 7);
    }
    store_sums((float *)(void *)c, 32);
}

/* Tiles of numbers such as products have: on zeros the unit is a quarter faster. */
static void load_numbers(uint16_t keep, uint16_t set)
{
    uint16_t tile[512];
    uint32_t x = 1;
    for (size_t i = 0; i < sizeof tile / sizeof *tile; i++) {
        x = x * 1664525 + 1013904223;
        tile[i] = (uint16_t)((x >> 16 & keep) | set);
    }
    _tile_loadd(4, tile, 64);
    _tile_loadd(5, tile, 64);
    _tile_loadd(6, tile, 64);
    _tile_loadd(7, tile, 64);
}

static double spin8(size_t rounds)
{
    begin();
    zero_sums();
    load_numbers(0xffff, 0);
    for (size_t i = 0; i < rounds; i++) {
        _tile_dpbusd(0, 4, 6);
        _tile_dpbusd(1, 4, 7);
        _tile_dpbusd(2, 5, 6);
        _tile_dpbusd(3, 5, 7);
    }
    end();
    return 4.0 * 2 * 16 * 16 * 64 * (double)rounds;
}

static double spin16(size_t rounds)
{
    begin();
    zero_sums();
    load_numbers(0x80ff, 0x3f00); /* +- 0.5 .. 1.99 */
    for (size_t i = 0; i < rounds; i++) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    end();
    return 4.0 * 2 * 16 * 16 * 32 * (double)rounds;
}

const wn_narrow wn_narrow_amx = {.name = "amx",
                                 .begin = begin,
                                 .end = end,
                                 .pack16 = pack16,
                                 .mm16 = mm16,
                                 .turn16 = turn16,
                                 .down16 = down16,
                                 .across16 = across16,
                                 .mm8 = mm8,
                                 .spin8 = spin8,
                                 .spin16 = spin16};
