#include "select/bags.h"

#include "base/mem.h"
#include "select/wordlist.h"

struct reader {
    wn_wordlist words;
    wn_row row;
    size_t n;
};

static wn_err add(wn_bags *t, struct reader *r, const wn_pool *p, uint64_t row)
{
    WN_TRY(wn_pool_row(p, row, &r->row));
    wn_wordlist_clear(&r->words);
    WN_TRY(wn_wordlist_add(&r->words, r->row.prompt));
    for (size_t i = 0; i < r->words.n; i++) {
        if (!r->words.word[i].hash) /* a border */
            continue;
        if (!WN_GROW(t->hash, r->n, t->cap))
            return WN_ENOMEM;
        t->hash[r->n++] = r->words.word[i].hash;
    }
    return WN_OK;
}

static wn_err read_all(wn_bags *t, const wn_candidates *c, const wn_pool *p, uint64_t N)
{
    struct reader r = {0};
    *t = (wn_bags){.N = N};
    WN_NEW(t->start, N + 1);
    wn_err err = WN_OK;
    for (uint64_t i = 0; i < N && err == WN_OK; i++) {
        if (!c || !wn_bit(c->skip, i))
            err = add(t, &r, p, c ? wn_candidate_pool_row(c, i) : i);
        t->start[i + 1] = r.n;
    }
    wn_wordlist_free(&r.words);
    wn_row_free(&r.row);
    return err;
}

wn_err wn_bags_of_candidates(wn_bags *t, const wn_candidates *c)
{
    return read_all(t, c, c->pool, c->N);
}

wn_err wn_bags_of_pool(wn_bags *t, const wn_pool *p)
{
    return read_all(t, NULL, p, wn_pool_rows(p));
}

void wn_bags_free(wn_bags *t)
{
    wn_free(t->start);
    wn_free(t->hash);
    *t = (wn_bags){0};
}
