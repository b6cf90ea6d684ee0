/* LoRA's factors are small (r is 4 to 64), so their products run on unpacked matrices beside the
 * packed base product. Dropout masks are never stored: an element's fate is a function of (seed,
 * layer, update, example, position in the example, column), so a backward makes the same mask
 * again. */
#include "model/linear.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"

struct drop_job {
    float *out;
    const float *x;
    size_t ldx, K;
    const wn_batch *b;
    uint64_t seed, stream, step;
    uint32_t keep; /* of 2^32 */
    float scale;
    bool multiply; /* out *= mask instead of out = x * mask */
};

static void drop_segment(void *ctx, size_t s, int thread)
{
    (void)thread;
    const struct drop_job *j = ctx;
    uint64_t example = j->b->example ? j->b->example[s] : s;
    uint32_t key[2] = {(uint32_t)j->seed, (uint32_t)(j->seed >> 32) ^ (uint32_t)j->stream};
    for (uint32_t t = j->b->off[s]; t < j->b->off[s + 1]; t++) {
        float *out = j->out + (size_t)t * j->K;
        const float *x = j->multiply ? out : j->x + (size_t)t * j->ldx;
        for (size_t k = 0; k < j->K; k += 4) {
            uint32_t bits[4],
                ctr[4] = {(uint32_t)k, t - j->b->off[s], (uint32_t)example, (uint32_t)j->step};
            wn_philox(bits, ctr, key);
            for (size_t i = 0; i < 4 && k + i < j->K; i++)
                out[k + i] = bits[i] < j->keep ? x[k + i] * j->scale : 0;
        }
    }
}

/* out [T,K] = mask * x / (1 - p), or out *= mask / (1 - p) with x NULL. */
static void drop(float *out, const float *x, size_t ldx, const wn_linear *l, const wn_pass *pass)
{
    struct drop_job j = {.out = out,
                         .x = x,
                         .ldx = ldx,
                         .K = l->K,
                         .b = pass->batch,
                         .seed = pass->seed,
                         .stream = WN_STREAM_DROPOUT << 20 ^ l->number,
                         .step = pass->step,
                         .multiply = !x,
                         .keep = (uint32_t)fmin(4294967295.0, (1 - l->dropout) * 4294967296.0),
                         .scale = (float)(1 / (1 - l->dropout))};
    wn_par_do(pass->batch->B, drop_segment, &j);
}

void wn_linear_fwd(float *y, size_t ldy, const float *x, size_t ldx, const wn_linear *l,
                   wn_pass *pass, float *xa, int flags)
{
    size_t T = pass->batch->T;
    const float *bias = l->bias == WN_NO_PARAM ? NULL : pass->params->p[l->bias].value;
    wn_mm(y, ldy, x, ldx, &l->mat, bias, T, flags);
    if (l->lora_a == WN_NO_PARAM)
        return;
    const float *A = pass->params->p[l->lora_a].value, *B = pass->params->p[l->lora_b].value;
    if (!xa)
        xa = pass->low;
    if (pass->sink && l->dropout > 0) {
        drop(pass->drop, x, ldx, l, pass);
        x = pass->drop;
        ldx = l->K;
    }
    wn_gemm(false, true, T, l->r, l->K, 1, x, ldx, A, l->K, false, xa, l->r);
    wn_gemm(false, true, T, l->N, l->r, l->scale, xa, l->r, B, l->r, true, y, ldy);
}

void wn_linear_bwd(float *dx, size_t lddx, const float *dy, size_t ldy, const float *x, size_t ldx,
                   const float *xa, const wn_linear *l, wn_pass *pass, int flags)
{
    size_t T = pass->batch->T;
    wn_param *ps = pass->params->p;
    wn_seg seg = {pass->batch->B, pass->batch->off};
    wn_param *w = ps[l->weight].trainable ? &ps[l->weight] : NULL;
    wn_param *bias = l->bias != WN_NO_PARAM && ps[l->bias].trainable ? &ps[l->bias] : NULL;
    if (w && l->transposed) { /* d(W^T) = x^T dy: the two change places */
        pass->sink->linear(pass->sink->ctx, w, NULL, 1, x, ldx, dy, ldy, l->K, l->N, &seg);
        w = NULL;
    }
    if (w || bias)
        pass->sink->linear(pass->sink->ctx, w, bias, 1, dy, ldy, x, ldx, l->N, l->K, &seg);
    if (dx)
        wn_mm_back(dx, lddx, dy, ldy, &l->mat, T, flags);
    if (l->lora_a == WN_NO_PARAM)
        return;
    wn_param *A = &ps[l->lora_a], *B = &ps[l->lora_b];
    bool dropped = l->dropout > 0;
    float *low = pass->low; /* scale * dy B */
    if (B->trainable)
        pass->sink->linear(pass->sink->ctx, B, NULL, l->scale, dy, ldy, xa, l->r, l->N, l->r, &seg);
    wn_gemm(false, false, T, l->r, l->N, l->scale, dy, ldy, B->value, l->r, false, low, l->r);
    if (dropped) {
        drop(pass->drop, x, ldx, l, pass);
        x = pass->drop;
        ldx = l->K;
    }
    if (A->trainable)
        pass->sink->linear(pass->sink->ctx, A, NULL, 1, low, l->r, x, ldx, l->r, l->K, &seg);
    if (!dx)
        return;
    if (!dropped) {
        wn_gemm(false, false, T, l->K, l->r, 1, low, l->r, A->value, l->K, true, dx, lddx);
        return;
    }
    wn_gemm(false, false, T, l->K, l->r, 1, low, l->r, A->value, l->K, false, pass->drop, l->K);
    drop(pass->drop, NULL, 0, l, pass);
    for (size_t t = 0; t < T; t++)
        wn_add(dx + t * lddx, pass->drop + t * l->K, l->K);
}

bool wn_linear_trainable(const wn_linear *l, const wn_params *ps)
{
    return ps->p[l->weight].trainable || (l->bias != WN_NO_PARAM && ps->p[l->bias].trainable) ||
           (l->lora_a != WN_NO_PARAM && (ps->p[l->lora_a].trainable || ps->p[l->lora_b].trainable));
}

void wn_linear_free(wn_linear *l)
{
    wn_mat_release(&l->mat);
    wn_free(l->mat.panel);
    wn_free(l->module);
    *l = (wn_linear){0};
}
