#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "kernel/kernel.h"
#include "train/train.h"

wn_err wn_optim_init(wn_optim *o, const char *kind, double weight_decay, const wn_params *ps)
{
    static const char *const names[] = {"adamw", "adam", "sgd"};
    int found = -1;
    for (int i = 0; i < 3; i++)
        found = strcmp(kind, names[i]) == 0 ? i : found;
    if (found < 0)
        return wn_fail(WN_EARG, "optimizer \"%s\": expected adamw, adam or sgd", kind);
    *o = (wn_optim){.kind = (wn_optim_kind)found,
                    .b1 = 0.9,
                    .b2 = 0.999,
                    .eps = 1e-8,
                    .weight_decay = weight_decay,
                    .n = ps->n};
    if (o->kind != WN_OPTIM_ADAMW && weight_decay != 0)
        return wn_fail(WN_EARG, "weight-decay: only adamw has it, not %s", kind);
    WN_NEW(o->m, ps->n);
    WN_NEW(o->v, ps->n);
    for (size_t i = 0; i < ps->n && o->kind != WN_OPTIM_SGD; i++)
        if (ps->p[i].trainable) {
            WN_NEW(o->m[i], ps->p[i].rows * ps->p[i].cols);
            WN_NEW(o->v[i], ps->p[i].rows * ps->p[i].cols);
        }
    return WN_OK;
}

void wn_optim_free(wn_optim *o)
{
    for (size_t i = 0; i < o->n; i++) {
        wn_free(o->m ? o->m[i] : NULL);
        wn_free(o->v ? o->v[i] : NULL);
    }
    wn_free(o->m);
    wn_free(o->v);
    *o = (wn_optim){0};
}

enum { PIECE = 1 << 16 }; /* elements one thread updates at a time */

struct step_job {
    const wn_optim *o;
    wn_param *p;
    float *m, *v;
    float lr, decay, scale, clip;
    double c1, c2;
};

static void step_piece(void *ctx, size_t i, int thread)
{
    (void)thread;
    const struct step_job *j = ctx;
    size_t n = j->p->rows * j->p->cols, at = i * PIECE, len = n - at < PIECE ? n - at : PIECE;
    float *w = j->p->value + at;
    const float *g = j->p->grad + at;
    if (j->m) {
        wn_adamw(w, j->m + at, j->v + at, g, len, j->lr, (float)j->o->b1, (float)j->o->b2,
                 (float)j->o->eps, j->decay, j->c1, j->c2, j->scale, j->clip);
        return;
    }
    for (size_t k = 0; k < len; k++) {
        float d = g[k] * j->scale;
        if (j->clip > 0)
            d = fminf(j->clip, fmaxf(-j->clip, d));
        w[k] -= j->lr * d;
    }
}

void wn_optim_step(wn_optim *o, wn_params *ps, double lr, double scale, double clip_value)
{
    o->t++;
    for (size_t i = 0; i < ps->n; i++) {
        wn_param *p = &ps->p[i];
        if (!p->trainable)
            continue;
        struct step_job j = {.o = o,
                             .p = p,
                             .m = o->m[i],
                             .v = o->v[i],
                             .lr = (float)lr,
                             .decay = p->decay ? (float)o->weight_decay : 0,
                             .scale = (float)scale,
                             .clip = (float)clip_value,
                             .c1 = 1 - pow(o->b1, (double)o->t),
                             .c2 = 1 - pow(o->b2, (double)o->t)};
        wn_par_do((p->rows * p->cols + PIECE - 1) / PIECE, step_piece, &j);
    }
}

double wn_grad_norm(const wn_params *ps)
{
    double sum = 0;
    for (size_t i = 0; i < ps->n; i++)
        if (ps->p[i].trainable)
            sum += wn_sum_squares(ps->p[i].grad, ps->p[i].rows * ps->p[i].cols);
    return sqrt(sum);
}
