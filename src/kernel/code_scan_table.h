/* Between code_scan.c and code_scan_x86.c: the forms of search's kernels for one instruction set.
 */
#ifndef WN_KERNEL_CODE_SCAN_TABLE_H
#define WN_KERNEL_CODE_SCAN_TABLE_H

#include <stdbool.h>
#include <string.h>

#include "kernel/code_scan.h"

typedef struct wn_scan_table {
    const char *name;
    size_t (*scan)(wn_scan_hit *hit, const int8_t *block, const wn_scan_facts *facts, size_t n,
                   const wn_scan_queries *q, const wn_scan_ahead *ahead);
    size_t (*refine)(wn_scan_hit *hit, size_t n, const int8_t *block, const wn_scan_facts *facts,
                     const wn_scan_queries *q);
    wn_shifted (*shift)(float *u, const float *x, float norm, const float *centre, float unit,
                        size_t n);
    float (*code)(int8_t *block, size_t row, const float *u, size_t n, size_t d, float scale);
    void (*exact_distances2)(double *out, const wn_scan_pair *pair, size_t m, size_t n);
    void (*exact_dots)(double *out, const wn_scan_pair *pair, size_t m, size_t n);
} wn_scan_table;

/* The best of this processor (NULL: any), or the one of that name if the processor has it; NULL:
 * none. */
const wn_scan_table *wn_scan_table_x86(const char *name);

/* Asks for all of it at once. */
static inline void wn_ask_ahead(const wn_scan_ahead *a)
{
    for (size_t i = 0; a && i < a->n; i++)
        for (size_t l = 0; l < a->lines; l++)
            __builtin_prefetch(a->base + (a->row ? a->row[i] : i) * a->stride + l * 64, 0, 2);
}

/* Whether a pair stays, given the product of its row's code and its query's fine one. */
static inline bool wn_refined(const wn_scan_hit *h, int32_t product, const wn_scan_facts *facts,
                              const wn_scan_queries *q)
{
    const wn_scan_facts *f = &facts[h->row / WN_SCAN_ROWS];
    size_t r = h->row % WN_SCAN_ROWS, i = h->query;
    float dot = h->dot + (float)product * (1.0F / WN_SCAN_FINER);
    float bound = q->reach[i] * f->fine[r] - q->floor[i] + q->plus[i] * f->plus[r];
    return !(bound + dot * f->scale[r] < 0);
}

enum { WN_EXACT_LANES = 8 };
static inline double wn_exact_sum(const double a[WN_EXACT_LANES])
{
    return ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]));
}

#endif
