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
                   const wn_scan_queries *q);
    wn_shifted (*shift)(float *u, const float *x, float norm, const float *centre, float unit,
                        size_t n);
    float (*code)(int8_t *block, size_t row, const float *u, size_t n, size_t d, float scale);
    float (*distance2)(const float *x, const float *y, size_t n);
    float (*dot)(const float *x, const float *y, size_t n);
    double (*exact_distance2)(const float *x, const float *y, size_t n);
    double (*exact_dot)(const float *x, const float *y, size_t n);
} wn_scan_table;

/* The best of this processor (NULL: any), or the one of that name if the processor has it; NULL:
 * none. */
const wn_scan_table *wn_scan_table_x86(const char *name);

enum { WN_EXACT_LANES = 8 };
static inline double wn_exact_sum(const double a[WN_EXACT_LANES])
{
    return ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]));
}

#endif
