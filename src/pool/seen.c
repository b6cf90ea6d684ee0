/* Linear probing, load at most 0.7. The home of an entry is the top bits of its tag, so growing
 * needs nothing but the slots; entries of one tag keep their order because they are moved in slot
 * order and the table is walked from the first slot after a hole. */
#include "pool/seen.h"

#include "base/mem.h"

static size_t home(const wn_seen *t, uint64_t slot)
{
    return (size_t)(slot >> 32) >> (32 - t->bits);
}

static void put(wn_seen *t, uint64_t slot)
{
    size_t mask = ((size_t)1 << t->bits) - 1, i = home(t, slot);
    while (t->slot[i])
        i = (i + 1) & mask;
    t->slot[i] = slot;
}

static wn_err grow(wn_seen *t)
{
    if (t->bits == 32)
        return wn_fail(WN_ENOMEM, "out of memory: more than 2^31 rows");
    wn_seen next = {.bits = t->bits ? t->bits + 1 : 10, .used = t->used};
    next.slot = wn_calloc((size_t)1 << next.bits, sizeof *next.slot);
    if (!next.slot)
        return WN_ENOMEM;
    size_t n = t->bits ? (size_t)1 << t->bits : 0, hole = 0;
    while (hole < n && t->slot[hole])
        hole++;
    for (size_t i = 0; i < n; i++) {
        uint64_t slot = t->slot[(hole + i) & (n - 1)];
        if (slot)
            put(&next, slot);
    }
    wn_free(t->slot);
    *t = next;
    return WN_OK;
}

uint32_t wn_seen_next(const wn_seen *t, uint64_t hash, size_t *at)
{
    if (!t->bits)
        return WN_SEEN_NONE;
    size_t mask = ((size_t)1 << t->bits) - 1;
    size_t i = *at == SIZE_MAX ? home(t, hash) : (*at + 1) & mask;
    for (; t->slot[i]; i = (i + 1) & mask)
        if (t->slot[i] >> 32 == hash >> 32) {
            *at = i;
            return (uint32_t)t->slot[i] - 1;
        }
    return WN_SEEN_NONE;
}

wn_err wn_seen_add(wn_seen *t, uint64_t hash, uint32_t number)
{
    WN_ASSERT(number != WN_SEEN_NONE);
    if (!t->bits || t->used >= ((size_t)7 << t->bits) / 10)
        WN_TRY(grow(t));
    put(t, (hash & 0xFFFFFFFF00000000u) | (number + 1));
    t->used++;
    return WN_OK;
}

void wn_seen_free(wn_seen *t)
{
    wn_free(t->slot);
    *t = (wn_seen){0};
}
