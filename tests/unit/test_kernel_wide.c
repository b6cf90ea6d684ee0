/* The 16-wide kernels on any processor: fast.c over plain arrays instead of AVX-512 vectors, so
 * that blocks of two panels, 12 rows and 16-wide tails are tested where only AVX2 runs. */
#define WN_VEC_WIDE
#define WN_ISA wide
#include "../../src/kernel/fast.c"
#undef GET
#undef PUT

#define WN_TEST_TABLE
#include "test_kernel.c"

Test(kernel_wide, equals_the_plain_table)
{
    check_table(&wn_kernel_table_wide);
}
