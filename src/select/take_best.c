/* The rule of strategies that give every row a score of its own: the best first, as far as budget
 * and caps go. */
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

wn_err wn_take_best(wn_picks *out, const wn_candidates *c, const wn_select_opts *o,
                    const double *score)
{
    struct scored *s;
    wn_filler f;
    uint64_t n = 0;
    WN_NEW(s, c->left + 1);
    for (uint64_t i = 0; i < c->N; i++)
        if (!wn_bit(c->skip, i))
            s[n++] = (struct scored){score[i], i};
    qsort(s, n, sizeof *s, by_score);
    out->scored = true;
    wn_err err = wn_filler_init(&f, c, o);
    for (uint64_t i = 0; i < n && err == WN_OK; i++) {
        wn_fill fill = wn_filler_take(&f, s[i].row);
        if (fill == WN_FILL_FULL)
            break;
        if (fill == WN_FILL_TAKEN)
            err = wn_picks_add(out, (wn_pick){.row = s[i].row, .score = s[i].score});
    }
    wn_filler_free(&f);
    wn_free(s);
    return err;
}
