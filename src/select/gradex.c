#include "select/gradex.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"

wn_err wn_gradex_open(wn_surrogate *s, const wn_candidates *c, const wn_select_opts *o)
{
    return wn_surrogate_open(s, c->store, c->queries, c->pool, c->skip, &o->how, o->common.seed);
}

struct entry {
    uint32_t t;
    double score;
};

/* The smallest loss first; what has no score last. */
static int by_score(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (isnan(x->score) || isnan(y->score))
        return isnan(x->score) - isnan(y->score) ? isnan(x->score) - isnan(y->score)
               : x->t < y->t                     ? -1
                                                 : x->t > y->t;
    if (x->score != y->score)
        return x->score < y->score ? -1 : 1;
    return x->t < y->t ? -1 : x->t > y->t;
}

json_t *wn_gradex_table(const wn_surrogate *s, const uint8_t *chosen, const double *score)
{
    const wn_groups *g = &s->groups;
    struct entry *e = wn_calloc(g->T + 1, sizeof *e);
    json_t *list = json_array();
    for (uint32_t t = 0; e && t < g->T; t++)
        e[t] = (struct entry){t, score[t]};
    if (e)
        qsort(e, g->T, sizeof *e, by_score);
    for (uint32_t i = 0; e && i < g->T; i++) {
        uint32_t t = e[i].t;
        json_array_append_new(list, json_pack("{s:s, s:I, s:b, s:o}", "name", g->name[t], "rows",
                                              (json_int_t)(g->start[t + 1] - g->start[t]), "chosen",
                                              chosen[t], "score",
                                              isnan(score[t]) ? json_null() : json_real(score[t])));
    }
    wn_free(e);
    return list;
}

/* The score of every row whose group is chosen, NaN for the others. */
static wn_err score_rows(double **rows, const wn_candidates *c, const wn_surrogate *s,
                         const uint8_t *chosen, const double *score)
{
    const wn_groups *g = &s->groups;
    WN_NEW(*rows, c->N + 1);
    for (uint64_t i = 0; i < c->N; i++)
        (*rows)[i] = NAN;
    for (uint32_t t = 0; t < g->T; t++)
        for (uint64_t i = g->start[t]; chosen[t] && i < g->start[t + 1]; i++)
            (*rows)[g->at[i]] = score[t];
    return WN_OK;
}

wn_err wn_gradex_take(wn_picks *out, const wn_candidates *c, const wn_select_opts *o,
                      const wn_surrogate *s, const uint8_t *chosen, const double *score,
                      json_t *about)
{
    double *rows = NULL;
    uint64_t *order = NULL;
    out->about = about;
    out->scored = true;
    wn_err err = about ? score_rows(&rows, c, s, chosen, score) : WN_ENOMEM;
    if (err == WN_OK)
        err = wn_random_order(&order, c, o->common.seed, 0);
    if (err == WN_OK)
        err = wn_take_in_order(out, c, o, order, rows);
    wn_free(order);
    wn_free(rows);
    return err;
}
