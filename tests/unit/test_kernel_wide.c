/* The 16-wide kernels on any processor: fast.c compiled over plain vector extensions instead of
 * AVX-512, so that blocks of two panels, 12 rows and 16-wide tails are tested where only AVX2 runs.
 */
#pragma GCC diagnostic ignored "-Wpsabi"
#define WN_VEC_WIDE
#define WN_ISA wide
#include "../../src/kernel/fast.c"
#undef GET
#undef PUT

#define WN_TEST_TABLE
#define noise test_noise
#include "test_kernel.c"

Test(kernel_wide, equals_the_plain_table)
{
    check_table(&wn_kernel_table_wide);
}
