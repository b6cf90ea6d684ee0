/* A checkpoint is one safetensors file: "value:" before each trained parameter's name, the names of
 * the optimiser's slots before it for what that keeps, and the place as a tensor of integers. It
 * replaces the one before by rename, so there is always a whole one. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "io/safetensors.h"
#include "train/train.h"

enum { PLACE = 12 }; /* 64-bit words of the place tensor */

static wn_err name_of(char **out, const char *kind, const char *name)
{
    wn_str s = {0};
    wn_str_printf(&s, "%s:%s", kind, name);
    *out = s.p;
    return wn_str_check(&s);
}

static void pack_place(int64_t word[PLACE], const wn_train_place *at, uint64_t t)
{
    const uint64_t n[] = {at->step,   at->epoch,     at->at,  at->log_bytes,
                          at->tokens, at->best_step, at->bad, t};
    memset(word, 0, PLACE * sizeof *word);
    memcpy(word, n, sizeof n);
    memcpy(word + 8, &at->loss, sizeof at->loss);
    memcpy(word + 9, &at->best, sizeof at->best);
}

static void unpack_place(wn_train_place *at, uint64_t *t, const void *bytes)
{
    uint64_t n[PLACE];
    memcpy(n, bytes, sizeof n);
    *at = (wn_train_place){.step = n[0],
                           .epoch = n[1],
                           .at = n[2],
                           .log_bytes = n[3],
                           .tokens = n[4],
                           .best_step = n[5],
                           .bad = n[6]};
    *t = n[7];
    memcpy(&at->loss, n + 8, sizeof at->loss);
    memcpy(&at->best, n + 9, sizeof at->best);
}

/* What is kept of parameter i: its value, then the optimiser's slots. */
static size_t slots_of(wn_optim_slot slot[WN_OPTIM_SLOTS + 1], const wn_optim *o, const wn_param *p,
                       size_t i)
{
    slot[0] = (wn_optim_slot){"value", false, p->value, p->rows * p->cols};
    return 1 + (o ? wn_optim_slots(slot + 1, o, p, i) : 0);
}

static wn_err add_param(wn_tensor *t, size_t *n, const wn_optim *o, const wn_param *p, size_t i)
{
    wn_optim_slot slot[WN_OPTIM_SLOTS + 1];
    size_t k = slots_of(slot, o, p, i);
    for (size_t s = 0; s < k; s++) {
        char *name = NULL;
        bool whole = slot[s].n == p->rows * p->cols && !slot[s].bytes;
        WN_TRY(name_of(&name, slot[s].name, p->name));
        t[(*n)++] = (wn_tensor){.name = name,
                                .dtype = slot[s].bytes ? WN_U8 : WN_F32,
                                .ndim = whole ? 2 : 1,
                                .dim = {whole ? p->rows : slot[s].n, p->cols},
                                .data = slot[s].data,
                                .bytes = slot[s].n * (slot[s].bytes ? 1 : sizeof(float))};
    }
    return WN_OK;
}

wn_err wn_checkpoint_write(const char *path, const wn_params *ps, const wn_optim *o,
                           const wn_train_place *at, const char *key)
{
    wn_tensor *t = wn_calloc(ps->n * (WN_OPTIM_SLOTS + 1) + 2, sizeof *t);
    size_t n = 0;
    wn_err e = t ? WN_OK : WN_ENOMEM;
    for (size_t i = 0; !e && i < ps->n; i++)
        if (ps->p[i].trainable)
            e = add_param(t, &n, o, &ps->p[i], i);
    size_t named = n;
    int64_t place[PLACE];
    pack_place(place, at, o ? o->t : 0);
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

static wn_err read_slot(const wn_optim_slot *s, const wn_safetensors *st, const wn_param *p)
{
    char *name = NULL;
    wn_err e = name_of(&name, s->name, p->name);
    const wn_tensor *t = e ? NULL : wn_safetensors_find(st, name);
    if (!e && (!t || t->dtype != (s->bytes ? WN_U8 : WN_F32) || wn_tensor_count(t) != s->n))
        e = wn_fail(WN_EFORMAT, "%s: tensor %s is missing or of another shape",
                    wn_safetensors_path(st), name);
    if (!e && s->bytes)
        memcpy(s->data, t->data, s->n);
    else if (!e)
        e = wn_tensor_to_f32(s->data, t, 0, s->n);
    wn_free(name);
    return e;
}

wn_err wn_checkpoint_read(const char *path, wn_params *ps, wn_optim *o, wn_train_place *at,
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
        wn_optim_slot slot[WN_OPTIM_SLOTS + 1];
        size_t n = ps->p[i].trainable ? slots_of(slot, o, &ps->p[i], i) : 0;
        for (size_t s = 0; !e && s < n; s++)
            e = read_slot(&slot[s], st, &ps->p[i]);
    }
    uint64_t t = 0;
    if (!e)
        unpack_place(at, &t, place->data);
    if (!e && o)
        o->t = t;
    wn_safetensors_close(st);
    return e;
}
