#include "feature/choose.h"

#include <string.h>

#include "base/mem.h"
#include "base/pattern_list.h"

static wn_err mark(wn_params *ps, const char *text, bool choose)
{
    wn_pattern_list l;
    WN_TRY(wn_patterns_open(&l, "params", text, true));
    for (size_t i = 0; i < ps->n; i++)
        if (wn_patterns_match(&l, ps->p[i].name))
            ps->p[i].trainable = choose;
    const char *unused = wn_patterns_unused(&l);
    wn_err e = WN_OK;
    if (unused)
        e = wn_fail(WN_EARG,
                    "params: no parameter fits \"%s\" (winnow model info --params lists them)",
                    unused);
    wn_patterns_close(&l);
    return e;
}

/* "A!B": what fits A and not B; no A: all. */
static wn_err mark_patterns(wn_params *ps, const char *what)
{
    const char *but = strchr(what, '!');
    size_t len = but ? (size_t)(but - what) : strlen(what);
    for (size_t i = 0; i < ps->n && but == what; i++)
        ps->p[i].trainable = true;
    if (but != what) {
        char *text = wn_strndup(what, len);
        wn_err e = text ? mark(ps, text, true) : WN_ENOMEM;
        wn_free(text);
        WN_TRY(e);
    }
    return but ? mark(ps, but + 1, false) : WN_OK;
}

wn_err wn_choose(wn_chosen *c, wn_model *m, const char *what)
{
    wn_params *ps = wn_model_params(m);
    bool lora = strcmp(what, "lora") == 0, all = strcmp(what, "all") == 0;
    *c = (wn_chosen){0};
    for (size_t i = 0; i < ps->n; i++)
        ps->p[i].trainable = all || (lora && ps->p[i].adapter);
    if (!all && !lora)
        WN_TRY(mark_patterns(ps, what));
    WN_NEW(c->param, ps->n);
    WN_NEW(c->at, ps->n + 1);
    for (size_t i = 0; i < ps->n; i++) {
        if (!ps->p[i].trainable)
            continue;
        c->param[c->n++] = &ps->p[i];
        c->p += (uint64_t)ps->p[i].rows * ps->p[i].cols;
        c->at[c->n] = c->p;
    }
    if (c->p)
        return WN_OK;
    return lora
               ? wn_fail(WN_EARG, "params lora: expected an adapter, found none on the model")
               : wn_fail(WN_EARG, "params \"%s\": expected some parameters, found none left", what);
}

void wn_chosen_free(wn_chosen *c)
{
    wn_free(c->param);
    wn_free(c->at);
    *c = (wn_chosen){0};
}

size_t wn_chosen_find(const wn_chosen *c, uint64_t k)
{
    size_t lo = 0, hi = c->n;
    WN_ASSERT(k < c->p);
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (c->at[mid] <= k)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}
