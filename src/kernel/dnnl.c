/* oneDNN behind one file. */
#include "kernel/table.h"

void *wn_dnnl_weights(const float *panel, size_t N, size_t K)
{
    (void)panel, (void)N, (void)K;
    return NULL;
}
void wn_dnnl_weights_free(void *weights)
{
    (void)weights;
}
bool wn_dnnl_bf16(float *y, size_t ldy, const float *x, size_t ldx, const void *weights, size_t T,
                  bool back, bool add)
{
    (void)y, (void)ldy, (void)x, (void)ldx, (void)weights, (void)T, (void)back, (void)add;
    return false;
}
bool wn_dnnl_f32(float *y, size_t ldy, const float *x, size_t ldx, const float *panel, size_t N,
                 size_t K, size_t T)
{
    (void)y, (void)ldy, (void)x, (void)ldx, (void)panel, (void)T, (void)N, (void)K;
    return false;
}
