/* Matrix products: packing and tiles over the table's mm. */
#include "kernel/table.h"
#include "base/par.h"

#include <stdlib.h>
#include <string.h>

size_t wn_mat_bytes(size_t N, size_t K)
{
    return (N + WN_NR - 1) / WN_NR * WN_NR * K * sizeof(float);
}

void wn_mat_pack(wn_mat *m, const float *W, size_t n0, size_t n)
{
    for (size_t i = n0; i < n0 + n; i++)
        for (size_t k = 0; k < m->K; k++)
            m->panel[(i / WN_NR * m->K + k) * WN_NR + i % WN_NR] = W[(i - n0) * m->K + k];
    if (n0 + n == m->N)
        for (size_t i = m->N; i % WN_NR; i++)
            for (size_t k = 0; k < m->K; k++)
                m->panel[(i / WN_NR * m->K + k) * WN_NR + i % WN_NR] = 0;
}

void wn_mat_row(float *out, const wn_mat *m, size_t n)
{
    for (size_t k = 0; k < m->K; k++)
        out[k] = m->panel[(n / WN_NR * m->K + k) * WN_NR + n % WN_NR];
}

bool wn_mat_finish(wn_mat *m)
{
    m->dnnl = NULL;
    if (m->kind == WN_MAT_BF16)
        wn_kernel_table()->round_bf16(m->panel, m->panel, wn_mat_bytes(m->N, m->K) / sizeof(float));
    return true;
}

void wn_mat_release(wn_mat *m)
{
    (void)m;
}

typedef struct job {
    const wn_kernels *t;
    float *y;
    const float *x, *bias;
    size_t ldy, ldx, T;
    const wn_mat *W;
    int flags;
    bool ta, tb, add;
    size_t N, K;
    float alpha;
    const float *b;
    size_t ldb;
} job;

static float value(const job *j, float x)
{
    if (j->W->kind == WN_MAT_BF16)
        j->t->round_bf16(&x, &x, 1);
    return x;
}

static void mm_row(void *ctx, size_t t, int thread)
{
    (void)thread;
    const job *j = ctx;
    for (size_t n = 0; n < j->W->N; n++) {
        const float *col = j->W->panel + n / WN_NR * j->W->K * WN_NR + n % WN_NR;
        double s = j->flags & WN_MM_ADD ? j->y[t * j->ldy + n] : 0;
        for (size_t k = 0; k < j->W->K; k++)
            s += (double)value(j, j->x[t * j->ldx + k]) * col[k * WN_NR];
        j->y[t * j->ldy + n] = (float)s;
    }
    j->t->finish(j->y + t * j->ldy, j->bias, j->W->N, j->flags);
}

void wn_mm(float *y, size_t ldy, const float *x, size_t ldx, const wn_mat *W, const float *bias,
           size_t T, int flags)
{
    job j = {.t = wn_kernel_table(),
             .y = y,
             .x = x,
             .bias = bias,
             .ldy = ldy,
             .ldx = ldx,
             .W = W,
             .flags = flags};
    wn_par_do(T, mm_row, &j);
}

static void back_row(void *ctx, size_t t, int thread)
{
    (void)thread;
    const job *j = ctx;
    for (size_t k = 0; k < j->W->K; k++) {
        double s = j->flags & WN_MM_ADD ? j->y[t * j->ldy + k] : 0;
        for (size_t n = 0; n < j->W->N; n++)
            s += (double)value(j, j->x[t * j->ldx + n]) *
                 j->W->panel[(n / WN_NR * j->W->K + k) * WN_NR + n % WN_NR];
        j->y[t * j->ldy + k] = (float)s;
    }
}

void wn_mm_back(float *dx, size_t lddx, const float *dy, size_t lddy, const wn_mat *W, size_t T,
                int flags)
{
    job j = {
        .t = wn_kernel_table(), .y = dx, .x = dy, .ldy = lddx, .ldx = lddy, .W = W, .flags = flags};
    wn_par_do(T, back_row, &j);
}

static void gemm_row(void *ctx, size_t i, int thread)
{
    (void)thread;
    const job *j = ctx;
    for (size_t n = 0; n < j->N; n++) {
        double s = 0;
        for (size_t k = 0; k < j->K; k++)
            s += (double)(j->ta ? j->x[k * j->ldx + i] : j->x[i * j->ldx + k]) *
                 (j->tb ? j->b[n * j->ldb + k] : j->b[k * j->ldb + n]);
        float *c = j->y + i * j->ldy + n;
        *c = (float)(j->alpha * s + (j->add ? *c : 0));
    }
}

void wn_gemm(bool ta, bool tb, size_t M, size_t N, size_t K, float alpha, const float *A,
             size_t lda, const float *B, size_t ldb, bool add, float *C, size_t ldc)
{
    job j = {.t = wn_kernel_table(),
             .y = C,
             .x = A,
             .ldy = ldc,
             .ldx = lda,
             .ta = ta,
             .tb = tb,
             .add = add,
             .N = N,
             .K = K,
             .alpha = alpha,
             .b = B,
             .ldb = ldb};
    wn_par_do(M, gemm_row, &j);
}
