#include "model/params.h"

#include <string.h>

#include "base/mem.h"

wn_err wn_params_add(wn_params *ps, size_t *index, const char *name, size_t rows, size_t cols,
                     bool decay)
{
    if (!WN_GROW(ps->p, ps->n, ps->cap))
        return WN_ENOMEM;
    wn_param *p = &ps->p[ps->n];
    *p = (wn_param){.rows = rows, .cols = cols, .decay = decay};
    p->name = wn_strdup(name);
    if (!p->name)
        return WN_ENOMEM;
    if (index)
        *index = ps->n;
    ps->n++;
    return WN_OK;
}

void wn_params_free(wn_params *ps)
{
    for (size_t i = 0; i < ps->n; i++) {
        wn_free(ps->p[i].name);
        wn_free(ps->p[i].value);
        wn_free(ps->p[i].grad);
    }
    wn_free(ps->p);
    *ps = (wn_params){0};
}

wn_err wn_params_make_grads(wn_params *ps)
{
    for (size_t i = 0; i < ps->n; i++) {
        wn_param *p = &ps->p[i];
        wn_free(p->grad);
        p->grad = NULL;
        if (p->trainable)
            WN_NEW(p->grad, p->rows * p->cols);
    }
    return WN_OK;
}

void wn_param_settle(wn_param *p)
{
    if (p->fresh && p->grad)
        memset(p->grad, 0, p->rows * p->cols * sizeof *p->grad);
    p->fresh = false;
}

void wn_params_fresh_grads(wn_params *ps)
{
    for (size_t i = 0; i < ps->n; i++)
        ps->p[i].fresh = ps->p[i].trainable;
}

void wn_params_settle_grads(wn_params *ps)
{
    for (size_t i = 0; i < ps->n; i++)
        wn_param_settle(&ps->p[i]);
}

void wn_params_zero_grads(wn_params *ps)
{
    wn_params_fresh_grads(ps);
    wn_params_settle_grads(ps);
}

uint64_t wn_params_count(const wn_params *ps)
{
    uint64_t n = 0;
    for (size_t i = 0; i < ps->n; i++)
        n += (uint64_t)ps->p[i].rows * ps->p[i].cols;
    return n;
}

uint64_t wn_params_trainable(const wn_params *ps)
{
    uint64_t n = 0;
    for (size_t i = 0; i < ps->n; i++)
        if (ps->p[i].trainable)
            n += (uint64_t)ps->p[i].rows * ps->p[i].cols;
    return n;
}

wn_param *wn_params_find(wn_params *ps, const char *name)
{
    for (size_t i = 0; i < ps->n; i++)
        if (strcmp(ps->p[i].name, name) == 0)
            return &ps->p[i];
    return NULL;
}
