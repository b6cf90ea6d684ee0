#include "base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Every block has a 64-byte head that keeps its size, so accounting needs no table. */
enum { HEAD = 64 };

static _Atomic size_t live, peak;
static _Atomic uint64_t calls;
static _Atomic int64_t fail_after = -1;
static _Atomic uint64_t limit; /* 0: none */

static int must_fail(void)
{
    if (atomic_load_explicit(&fail_after, memory_order_relaxed) < 0)
        return 0;
    return atomic_fetch_sub(&fail_after, 1) == 0;
}

static void account(size_t plus, size_t minus)
{
    size_t now = atomic_fetch_add(&live, plus - minus) + plus - minus;
    size_t p = atomic_load(&peak);
    while (now > p && !atomic_compare_exchange_weak(&peak, &p, now))
        ;
}

void wn_set_max_memory(uint64_t bytes)
{
    atomic_store(&limit, bytes);
}

void wn_mem_planned(void)
{
    atomic_store(&limit, 0);
}

/* Threads that ask at once may pass together: the limit is meant for what one work needs. */
static int too_much(size_t bytes)
{
    uint64_t most = atomic_load_explicit(&limit, memory_order_relaxed), have;
    if (most == 0 || (have = atomic_load_explicit(&live, memory_order_relaxed)) + bytes <= most)
        return 0;
    wn_fail(
        WN_ENOMEM,
        "--max-memory: expected to need at most %llu bytes, found %llu in use and %zu more needed",
        (unsigned long long)most, (unsigned long long)have, bytes);
    return 1;
}

void *wn_malloc(size_t bytes)
{
    if (too_much(bytes))
        return NULL;
    if (bytes > SIZE_MAX - 2 * HEAD || must_fail()) {
        wn_fail_nomem(bytes, "a block");
        return NULL;
    }
    size_t padded = (bytes + HEAD - 1) / HEAD * HEAD + HEAD;
    char *p = aligned_alloc(HEAD, padded);
    if (!p) {
        wn_fail_nomem(bytes, "a block");
        return NULL;
    }
    memcpy(p, &bytes, sizeof bytes);
    account(bytes, 0);
    atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed);
    return p + HEAD;
}

void *wn_calloc(size_t n, size_t size)
{
    if (size && n > SIZE_MAX / size) {
        wn_fail_nomem(SIZE_MAX, "an array whose size wraps");
        return NULL;
    }
    void *p = wn_malloc(n * size);
    if (p)
        memset(p, 0, n * size);
    return p;
}

void *wn_realloc(void *p, size_t bytes)
{
    void *q = wn_malloc(bytes);
    if (!q || !p)
        return q;
    size_t old;
    memcpy(&old, (char *)p - HEAD, sizeof old);
    memcpy(q, p, old < bytes ? old : bytes);
    wn_free(p);
    return q;
}

void wn_free(void *p)
{
    if (!p)
        return;
    size_t bytes;
    memcpy(&bytes, (char *)p - HEAD, sizeof bytes);
    account(0, bytes);
    free((char *)p - HEAD);
}

char *wn_strndup(const char *s, size_t n)
{
    char *p = wn_malloc(n + 1);
    if (p) {
        memcpy(p, s, n);
        p[n] = '\0';
    }
    return p;
}

char *wn_strdup(const char *s)
{
    return wn_strndup(s, strlen(s));
}

size_t wn_mem_live(void)
{
    return atomic_load(&live);
}

size_t wn_mem_peak(void)
{
    return atomic_load(&peak);
}

uint64_t wn_mem_calls(void)
{
    return atomic_load(&calls);
}

void wn_mem_fail_after(int64_t n)
{
    atomic_store(&fail_after, n);
}

int wn_grow(void **ptr, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return 1;
    size_t want = *cap ? *cap * 2 : 16;
    if (want > SIZE_MAX / size)
        return 0;
    void *p = wn_realloc(*ptr, want * size);
    if (!p)
        return 0;
    *ptr = p;
    *cap = want;
    return 1;
}

wn_err wn_arena_init(wn_arena *a, size_t bytes)
{
    *a = (wn_arena){0};
    a->base = wn_malloc(bytes ? bytes : 64);
    if (!a->base)
        return WN_ENOMEM;
    a->size = bytes;
    return WN_OK;
}

void wn_arena_free(wn_arena *a)
{
    wn_free(a->base);
    *a = (wn_arena){0};
}

void *wn_arena_push(wn_arena *a, size_t bytes)
{
    size_t at = a->used;
    a->used += (bytes + 63) / 64 * 64;
    if (!a->base)
        return NULL;
    WN_ASSERT(a->used <= a->size);
    return a->base + at;
}

size_t wn_arena_mark(const wn_arena *a)
{
    return a->used;
}

void wn_arena_reset(wn_arena *a, size_t mark)
{
    WN_ASSERT(mark <= a->used);
    a->used = mark;
}

uint64_t wn_machine_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : 0;
}
