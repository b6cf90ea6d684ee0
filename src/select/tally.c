#include "select/tally.h"

#include "base/mem.h"

static size_t place_of(const wn_tally *t, uint64_t key)
{
    size_t at = (size_t)(key >> 7 ^ key) & (t->slots - 1);
    while (t->slot[at].key && t->slot[at].key != key)
        at = (at + 1) & (t->slots - 1);
    return at;
}

static wn_err grow(wn_tally *t)
{
    if (t->slots && t->used < t->slots / 4 * 3)
        return WN_OK;
    wn_tally old = *t;
    t->slots = old.slots ? 2 * old.slots : 1024;
    t->slot = wn_calloc(t->slots, sizeof *t->slot);
    if (!t->slot) {
        *t = old;
        return WN_ENOMEM;
    }
    for (size_t i = 0; i < old.slots; i++)
        if (old.slot[i].key)
            t->slot[place_of(t, old.slot[i].key)] = old.slot[i];
    wn_free(old.slot);
    return WN_OK;
}

wn_err wn_tally_at(wn_tally_slot **s, wn_tally *t, uint64_t key)
{
    WN_TRY(grow(t));
    key = key ? key : 1;
    wn_tally_slot *slot = &t->slot[place_of(t, key)];
    if (!slot->key) {
        slot->key = key;
        t->used++;
    }
    *s = slot;
    return WN_OK;
}

const wn_tally_slot *wn_tally_find(const wn_tally *t, uint64_t key)
{
    if (!t->slots)
        return NULL;
    const wn_tally_slot *slot = &t->slot[place_of(t, key ? key : 1)];
    return slot->key ? slot : NULL;
}

wn_err wn_tally_row(wn_tally *t, uint64_t key, uint32_t row)
{
    wn_tally_slot *s;
    WN_TRY(wn_tally_at(&s, t, key));
    if (s->count == 0 || s->mark != row)
        s->count++;
    s->mark = row;
    return WN_OK;
}

void wn_tally_free(wn_tally *t)
{
    wn_free(t->slot);
    *t = (wn_tally){0};
}
