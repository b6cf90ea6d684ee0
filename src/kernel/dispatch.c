/* Which table runs: the best one the processor has, unless WN_KERNEL or a test says otherwise; and
 * the scratch of each thread. */
#include "kernel/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>

/* Bit `at` of register eax, ebx, ecx, edx (0..3) of a CPUID leaf. */
static bool bit(unsigned leaf, unsigned sub, unsigned reg, unsigned at)
{
    unsigned r[4];
    return __get_cpuid_count(leaf, sub, &r[0], &r[1], &r[2], &r[3]) && r[reg] >> at & 1;
}
#endif

/* A way to run: the float table and that of narrow numbers, best first. */
typedef struct way {
    const char *name;
    const wn_kernels *wide;
    const wn_narrow *narrow;
    bool (*there)(void);
} way;

#if defined(__x86_64__)
static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && bit(1, 0, 2, 29);
}

static bool has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}

static bool has_vnni(void)
{
    return has_avx512() && __builtin_cpu_supports("avx512vnni");
}

static bool has_bf16(void)
{
    return has_vnni() && __builtin_cpu_supports("avx512bf16");
}

static bool has_amx(void)
{
    return has_bf16() && bit(7, 0, 3, 24) && bit(7, 0, 3, 22) && bit(7, 0, 3, 25) &&
           wn_amx_allowed();
}

static const way WAYS[] = {{"amx", &wn_kernel_table_avx512, &wn_narrow_amx, has_amx},
                           {"avx512", &wn_kernel_table_avx512, &wn_narrow_bf16, has_bf16},
                           {"avx512", &wn_kernel_table_avx512, &wn_narrow_vnni, has_vnni},
                           {"avx512", &wn_kernel_table_avx512, &wn_narrow_avx2, has_avx512},
                           {"avx2", &wn_kernel_table_avx2, &wn_narrow_avx2, has_avx2}};
#endif
static const way PLAIN = {"ref", &wn_kernel_table_ref, &wn_narrow_ref, NULL};

static const way *current; /* NULL: not chosen yet; read and written atomically */

static const way *find(const char *name)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    for (size_t i = 0; i < sizeof WAYS / sizeof *WAYS; i++)
        if ((!name || !strcmp(name, WAYS[i].name)) && WAYS[i].there())
            return &WAYS[i];
#else
    (void)name;
#endif
    return &PLAIN;
}

void wn_kernel_use(const char *name)
{
    if (!name)
        name = getenv("WN_KERNEL");
    __atomic_store_n(&current, find(name && *name ? name : NULL), __ATOMIC_RELEASE);
}

static const way *chosen(void)
{
    const way *w = __atomic_load_n(&current, __ATOMIC_ACQUIRE);
    if (!w) {
        wn_kernel_use(NULL);
        w = __atomic_load_n(&current, __ATOMIC_ACQUIRE);
    }
    return w;
}

const wn_kernels *wn_kernel_table(void)
{
    return chosen()->wide;
}

const wn_narrow *wn_narrow_table(void)
{
    return chosen()->narrow;
}

float *wn_kernel_scratch(void)
{
    static _Thread_local _Alignas(64) float scratch[WN_SCRATCH];
    return scratch;
}

const char *wn_kernel_name(void)
{
    return chosen()->name;
}

bool wn_cpu_fast_bf16(void)
{
    return chosen()->narrow->mm16 != NULL;
}

void wn_cpu_features(char *text, size_t size)
{
    size_t n = 0;
    if (size)
        text[0] = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
#define FEATURE(name)                                                                              \
    if (__builtin_cpu_supports(name) && n < size)                                                  \
        n += (size_t)snprintf(text + n, size - n, "%s" name, n ? " " : "");
    FEATURE("avx2")
    FEATURE("fma")
    FEATURE("avx512f")
    FEATURE("avx512bw")
    FEATURE("avx512vl")
    FEATURE("avx512dq")
    FEATURE("avx512vnni")
    FEATURE("avx512bf16")
#undef FEATURE
    static const struct {
        const char *name;
        unsigned leaf, sub, reg, at;
    } more[] = {{"avx_vnni", 7, 1, 0, 4},
                {"avx512_fp16", 7, 0, 3, 23},
                {"amx_tile", 7, 0, 3, 24},
                {"amx_bf16", 7, 0, 3, 22},
                {"amx_int8", 7, 0, 3, 25}};
    for (size_t i = 0; i < sizeof more / sizeof *more; i++)
        if (bit(more[i].leaf, more[i].sub, more[i].reg, more[i].at) && n < size)
            n += (size_t)snprintf(text + n, size - n, "%s%s", n ? " " : "", more[i].name);
#endif
    (void)n;
}
