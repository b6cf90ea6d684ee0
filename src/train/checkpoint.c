/* A checkpoint is one safetensors file: "value:", "m:" and "v:" before each trained parameter's
 * name, and the place as metadata-like tensors of integers. It replaces the one before by rename,
 * so there is always a whole one. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "io/safetensors.h"
#include "train/train.h"

enum { PLACE = 8 }; /* 64-bit words of the place tensor */

static wn_err name_of(char **out, const char *kind, const char *name)
{
    wn_str s = {0};
    wn_str_printf(&s, "%s:%s", kind, name);
    *out = s.p;
    return wn_str_check(&s);
}

wn_err wn_checkpoint_write(const char *path, const wn_params *ps, const wn_optim *o,
                           const wn_place *at, const char *key)
{
    static const char *const kinds[] = {"value", "m", "v"};
    wn_tensor *t = wn_calloc(ps->n * 3 + 2, sizeof *t);
    size_t n = 0;
    wn_err e = t ? WN_OK : WN_ENOMEM;
    for (size_t i = 0; !e && i < ps->n; i++) {
        const wn_param *p = &ps->p[i];
        const float *data[] = {p->value, o->m[i], o->v[i]};
        for (int k = 0; !e && k < 3 && p->trainable; k++) {
            char *name = NULL;
            if (!data[k])
                continue;
            e = name_of(&name, kinds[k], p->name);
            t[n++] = (wn_tensor){.name = name,
                                 .dtype = WN_F32,
                                 .ndim = 2,
                                 .dim = {p->rows, p->cols},
                                 .data = data[k],
                                 .bytes = (uint64_t)p->rows * p->cols * sizeof(float)};
        }
    }
    size_t named = n;
    int64_t place[PLACE] = {(int64_t)at->step, (int64_t)at->log_bytes, (int64_t)at->tokens,
                            (int64_t)o->t};
    memcpy(&place[4], &at->loss_sum, sizeof at->loss_sum);
    if (!e) {
        t[n++] = (wn_tensor){.name = "place",
                             .dtype = WN_I64,
                             .ndim = 1,
                             .dim = {PLACE},
                             .data = place,
                             .bytes = sizeof place};
        t[n++] = (wn_tensor){.name = "key",
                             .dtype = WN_U8,
                             .ndim = 1,
                             .dim = {strlen(key)},
                             .data = key,
                             .bytes = strlen(key)};
        e = wn_safetensors_write(path, t, n, NULL);
    }
    for (size_t i = 0; i < named; i++)
        wn_free((char *)t[i].name);
    wn_free(t);
    return e;
}

static wn_err read_one(float *out, const wn_safetensors *st, const char *kind, const wn_param *p)
{
    char *name = NULL;
    if (!out)
        return WN_OK;
    wn_err e = name_of(&name, kind, p->name);
    const wn_tensor *t = e ? NULL : wn_safetensors_find(st, name);
    if (!e && (!t || t->dtype != WN_F32 || wn_tensor_count(t) != (uint64_t)p->rows * p->cols))
        e = wn_fail(WN_EFORMAT, "%s: tensor %s is missing or of another shape",
                    wn_safetensors_path(st), name);
    if (!e)
        e = wn_tensor_to_f32(out, t, 0, (uint64_t)p->rows * p->cols);
    wn_free(name);
    return e;
}

wn_err wn_checkpoint_read(const char *path, wn_params *ps, wn_optim *o, wn_place *at,
                          const char *key)
{
    wn_safetensors *st;
    WN_TRY(wn_safetensors_open(&st, path));
    const wn_tensor *place = wn_safetensors_find(st, "place"), *k = wn_safetensors_find(st, "key");
    wn_err e = WN_OK;
    if (!place || place->dtype != WN_I64 || place->bytes != PLACE * sizeof(int64_t) || !k)
        e = wn_fail(WN_EFORMAT, "%s: expected a checkpoint of winnow train", path);
    else if (k->bytes != strlen(key) || memcmp(k->data, key, strlen(key)) != 0)
        e = wn_fail(WN_EARG,
                    "%s: a checkpoint of other options, model or data; --overwrite starts anew",
                    path);
    for (size_t i = 0; !e && i < ps->n; i++) {
        if (!ps->p[i].trainable)
            continue;
        e = read_one(ps->p[i].value, st, "value", &ps->p[i]);
        if (!e)
            e = read_one(o->m[i], st, "m", &ps->p[i]);
        if (!e)
            e = read_one(o->v[i], st, "v", &ps->p[i]);
    }
    if (!e) {
        int64_t words[PLACE];
        memcpy(words, place->data, sizeof words);
        *at = (wn_place){(uint64_t)words[0], (uint64_t)words[1], (uint64_t)words[2], 0};
        o->t = (uint64_t)words[3];
        memcpy(&at->loss_sum, &words[4], sizeof at->loss_sum);
    }
    wn_safetensors_close(st);
    return e;
}
