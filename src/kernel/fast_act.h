/* Activations of a vector. */
#ifndef WN_KERNEL_FAST_ACT_H
#define WN_KERNEL_FAST_ACT_H

#include "kernel/kernel.h"
#include "kernel/vec.h"

INLINE vf act_value(vf x, wn_act act)
{
    const float c = 0.797884561f; /* sqrt(2/pi) */
    vf d;
    switch (act) {
    case WN_ACT_SILU:
        return vmul(x, vsigmoid(x));
    case WN_ACT_GELU:
        return vmul(x, vnormal(x, &d));
    case WN_ACT_GELU_TANH: /* (1 + tanh u) / 2 = sigmoid(2u) */
        d = vmul(vmul(x, vfma(vmul(x, x), vset(0.044715f), vset(1))), vset(2 * c));
        return vmul(x, vsigmoid(d));
    case WN_ACT_RELU:
        return vmax(vset(0), x);
    case WN_ACT_IDENTITY:
        break;
    }
    return x;
}

#endif
