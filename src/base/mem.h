/* The one place that calls malloc. Two kinds of owner: plain blocks (handles, grown arrays) and
 * arenas (all memory of a step or a model: measured, allocated once, reset). wn_mem_live counts
 * what is still held, so tests can see a leak without a sanitizer; wn_mem_fail_after makes the n-th
 * allocation fail, so tests can walk every out-of-memory path. */
#ifndef WN_BASE_MEM_H
#define WN_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* 64-byte aligned. NULL when memory runs out (the error text is set) and never for 0 bytes. */
void *wn_malloc(size_t bytes);
/* Zeroed; NULL also where n * size wraps. */
void *wn_calloc(size_t n, size_t size);
/* Grows or shrinks; on failure NULL, and `p` stays valid. */
void *wn_realloc(void *p, size_t bytes) __attribute__((warn_unused_result));
void wn_free(void *p); /* NULL is allowed */
char *wn_strdup(const char *s);
char *wn_strndup(const char *s, size_t n);

size_t wn_mem_live(void);    /* bytes held now, all threads */
size_t wn_mem_peak(void);    /* highest wn_mem_live so far */
uint64_t wn_mem_calls(void); /* blocks allocated so far: what a loop must not add to */
/* A plan within wn_set_max_memory's limit stands, with all that is large already counted: from here
 * on small blocks beside it are no reason to stop in the middle of the work. */
void wn_mem_planned(void);
void wn_mem_fail_after(int64_t n); /* the n-th next allocation fails once; negative: off */

/* Allocate into `ptr` or return WN_ENOMEM from the calling function. */
#define WN_NEW(ptr, n)                                                                             \
    do {                                                                                           \
        (ptr) = wn_calloc((n), sizeof *(ptr));                                                     \
        if (!(ptr))                                                                                \
            return WN_ENOMEM;                                                                      \
    } while (0)

/* Room for one more element in a doubling array: `n` used, `cap` reserved, both size_t. Evaluates
 * to 0 when memory runs out. */
#define WN_GROW(ptr, n, cap) wn_grow((void **)&(ptr), (n), &(cap), sizeof *(ptr))
int wn_grow(void **ptr, size_t n, size_t *cap, size_t size);

/* A bump arena of 64-byte aligned pieces. Use: plan the sizes with base == NULL (push returns NULL
 * and only counts), then wn_arena_init with `used` bytes, then push the same pieces again. */
typedef struct wn_arena {
    char *base;
    size_t used, size;
} wn_arena;

wn_err wn_arena_init(wn_arena *a, size_t bytes);
void wn_arena_free(wn_arena *a);
/* Uninitialised memory. Overflow of a planned arena is our own bug and aborts. */
void *wn_arena_push(wn_arena *a, size_t bytes);
size_t wn_arena_mark(const wn_arena *a);
void wn_arena_reset(wn_arena *a, size_t mark);

/* Of this machine, bytes; 0: unknown. */
uint64_t wn_machine_memory(void);

#endif
