/* The rule of strategies that give every row a score of its own: the best first, as far as budget
 * and caps go. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "select/select.h"

struct scored {
    double score;
    uint64_t row;
};

static int by_score(const void *a, const void *b)
{
    const struct scored *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

wn_err wn_take_in_order(wn_picks *out, const wn_candidates *c, const wn_select_opts *o,
                        const uint64_t *order, const double *score)
{
    wn_filler f;
    wn_err err = wn_filler_init(&f, c, o);
    for (uint64_t i = 0; i < c->left && err == WN_OK; i++) {
        wn_pick p = {.row = order[i], .score = score ? score[order[i]] : 0};
        if (isnan(p.score))
            continue;
        wn_fill fill = wn_filler_take(&f, p.row);
        if (fill == WN_FILL_FULL)
            break;
        if (fill == WN_FILL_TAKEN)
            err = wn_picks_add(out, p);
    }
    wn_filler_free(&f);
    return err;
}

wn_err wn_take_best(wn_picks *out, const wn_candidates *c, const wn_select_opts *o,
                    const double *score)
{
    struct scored *s;
    uint64_t n = 0;
    WN_NEW(s, c->left + 1);
    for (uint64_t i = 0; i < c->N; i++)
        if (!wn_bit(c->skip, i))
            s[n++] = (struct scored){score[i], i};
    qsort(s, n, sizeof *s, by_score);
    uint64_t *order = (uint64_t *)s; /* in place, as in random.c */
    for (uint64_t i = 0; i < n; i++)
        order[i] = s[i].row;
    out->scored = true;
    wn_err err = wn_take_in_order(out, c, o, order, score);
    wn_free(s);
    return err;
}
