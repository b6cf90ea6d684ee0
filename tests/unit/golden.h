/* Reading golden files (tests/goldens/README.md says what is in them) and comparing with them. A
 * fault of the files themselves fails the running test. Memory is the test process's: nothing is
 * freed. */
#ifndef TESTS_UNIT_GOLDEN_H
#define TESTS_UNIT_GOLDEN_H

#include <criterion/criterion.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/safetensors.h"

enum { GOLDEN_PATH = 1024 };

#define GOLDEN_OK(expr) cr_assert_eq((expr), WN_OK, "%s", wn_error_message())

typedef struct golden_block {
    struct golden_block *next;
    _Alignas(64) char data[];
} golden_block;

static golden_block *golden_blocks;

/* n zeroed elements, 64-byte aligned. */
static inline void *golden_alloc(size_t n, size_t size)
{
    golden_block *b = wn_calloc(1, sizeof *b + n * size);
    cr_assert(b, "%s", wn_error_message());
    b->next = golden_blocks;
    golden_blocks = b;
    return b->data;
}

static inline const char *golden_path(char path[GOLDEN_PATH], const char *fmt, ...)
{
    const char *root = getenv("WN_TEST_ROOT");
    char rest[GOLDEN_PATH / 2];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(rest, sizeof rest, fmt, ap);
    va_end(ap);
    snprintf(path, GOLDEN_PATH, "%s/tests/goldens/%s", root ? root : ".", rest);
    return path;
}

/* FOLDER/expected.safetensors, e.g. "models/llama-tiny". */
static inline wn_safetensors *golden_open(const char *folder)
{
    char path[GOLDEN_PATH];
    wn_safetensors *s = NULL;
    GOLDEN_OK(wn_safetensors_open(&s, golden_path(path, "%s/expected.safetensors", folder)));
    return s;
}

static inline const wn_tensor *golden_find(const wn_safetensors *s, const char *name)
{
    const wn_tensor *t = wn_safetensors_find(s, name);
    cr_assert(t, "%s has no %s", wn_safetensors_path(s), name);
    return t;
}

/* The tensor whose name the format makes, as float32 or int32; *n elements (n may be NULL). */
static inline float *golden_f32(const wn_safetensors *s, size_t *n, const char *fmt, ...)
{
    char name[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(name, sizeof name, fmt, ap);
    va_end(ap);
    const wn_tensor *t = golden_find(s, name);
    size_t count = wn_tensor_count(t);
    float *x = golden_alloc(count, sizeof *x);
    GOLDEN_OK(wn_tensor_to_f32(x, t, 0, count));
    if (n)
        *n = count;
    return x;
}

static inline int32_t *golden_i32(const wn_safetensors *s, size_t *n, const char *fmt, ...)
{
    char name[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(name, sizeof name, fmt, ap);
    va_end(ap);
    const wn_tensor *t = golden_find(s, name);
    cr_assert_eq(t->dtype, WN_I32, "%s is no i32", name);
    size_t count = wn_tensor_count(t);
    int32_t *x = golden_alloc(count, sizeof *x);
    memcpy(x, t->data, count * sizeof *x);
    if (n)
        *n = count;
    return x;
}

/* |a - b| / |b|, Euclidean; absolute where b is 0. NaN counts as infinitely far. */
static inline double golden_distance(const float *a, const float *b, size_t n)
{
    double d = 0, s = 0;
    for (size_t i = 0; i < n; i++) {
        d += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        s += (double)b[i] * b[i];
    }
    d = s > 0 ? sqrt(d / s) : sqrt(d);
    return isnan(d) ? INFINITY : d;
}

/* Largest |a - b| over the root mean square of b. */
static inline double golden_worst(const float *a, const float *b, size_t n)
{
    double worst = 0, s = 0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - b[i]);
        worst = !(d <= worst) ? (isnan(d) ? INFINITY : d) : worst;
        s += (double)b[i] * b[i];
    }
    return s > 0 ? worst / sqrt(s / (double)n) : worst;
}

#define GOLDEN_NEAR(a, b, n, limit, ...)                                                           \
    do {                                                                                           \
        double golden_d_ = golden_distance((a), (b), (n));                                         \
        char golden_what_[256];                                                                    \
        snprintf(golden_what_, sizeof golden_what_, __VA_ARGS__);                                  \
        cr_expect(golden_d_ <= (limit), "%s: distance %.3g, allowed %.3g", golden_what_,           \
                  golden_d_, (double)(limit));                                                     \
    } while (0)

#define GOLDEN_WORST(a, b, n, limit, ...)                                                          \
    do {                                                                                           \
        double golden_d_ = golden_worst((a), (b), (n));                                            \
        char golden_what_[256];                                                                    \
        snprintf(golden_what_, sizeof golden_what_, __VA_ARGS__);                                  \
        cr_expect(golden_d_ <= (limit), "%s: largest difference %.3g of RMS, allowed %.3g",        \
                  golden_what_, golden_d_, (double)(limit));                                       \
    } while (0)

#endif
