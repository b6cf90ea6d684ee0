/* Attention. */
#include "kernel/table.h"

void wn_attention(float *o, float *lse, const float *q, const float *k, const float *v,
                  const wn_attn *a)
{
    wn_attention_ref(o, lse, q, k, v, a);
}

void wn_attention_back(float *dq, float *dk, float *dv, float *dbias, const float *do_,
                       const float *o, const float *lse, const float *q, const float *k,
                       const float *v, const wn_attn *a)
{
    wn_attention_back_ref(dq, dk, dv, dbias, do_, o, lse, q, k, v, a);
}
