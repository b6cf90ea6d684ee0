/* Which table runs: the best one the processor has, unless WN_KERNEL or a test says otherwise; and
 * the scratch of each thread. */
#include "kernel/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const wn_kernels *current; /* NULL: not chosen yet; read and written atomically */

static const wn_kernels *find(const char *name)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    if (avx512 && (!name || !strcmp(name, "avx512")))
        return &wn_kernel_table_avx512;
    if (avx2 && (!name || !strcmp(name, "avx2")))
        return &wn_kernel_table_avx2;
#else
    (void)name;
#endif
    return &wn_kernel_table_ref;
}

void wn_kernel_use(const char *name)
{
    if (!name)
        name = getenv("WN_KERNEL");
    __atomic_store_n(&current, find(name && *name ? name : NULL), __ATOMIC_RELEASE);
}

const wn_kernels *wn_kernel_table(void)
{
    const wn_kernels *t = __atomic_load_n(&current, __ATOMIC_ACQUIRE);
    if (!t) {
        wn_kernel_use(NULL);
        t = __atomic_load_n(&current, __ATOMIC_ACQUIRE);
    }
    return t;
}

float *wn_kernel_scratch(void)
{
    static _Thread_local _Alignas(64) float scratch[WN_SCRATCH];
    return scratch;
}

const char *wn_kernel_name(void)
{
    return wn_kernel_table()->name;
}

bool wn_cpu_fast_bf16(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512bf16");
#else
    return false;
#endif
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
#endif
    (void)n;
}
