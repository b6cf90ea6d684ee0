/* balanced-random: again and again a task drawn uniformly among those that still have rows (and
 * room under the cap), then a row of it drawn uniformly without replacement. */
#include "base/mem.h"
#include "base/rng.h"
#include "select/select.h"

/* Parts of the stream of random numbers; random has its beginning. Were they one, the two
 * strategies would share most of a small task's rows at equal seeds. */
#define ROWS_AT  ((uint64_t)1 << 62)
#define TASKS_AT ((uint64_t)1 << 63)

/* Rows in random order, one task after the other; queue t is rows[next[t], end[t]). */
struct queues {
    uint64_t *row, *next, *end;
    uint32_t *open; /* tasks that can still give a row */
    size_t n_open;
};

static void free_queues(struct queues *q)
{
    wn_free(q->row);
    wn_free(q->next);
    wn_free(q->end);
    wn_free(q->open);
}

static wn_err make_queues(struct queues *q, const wn_candidates *c, uint64_t seed)
{
    uint64_t *order;
    WN_NEW(q->row, c->left);
    WN_NEW(q->next, c->tasks);
    WN_NEW(q->end, c->tasks);
    WN_NEW(q->open, c->tasks);
    WN_TRY(wn_random_order(&order, c, seed, ROWS_AT));
    for (uint64_t i = 0; i < c->left; i++)
        q->end[c->task[order[i]]]++;
    uint64_t at = 0;
    for (uint32_t t = 0; t < c->tasks; t++) {
        q->next[t] = at;
        at += q->end[t];
        q->end[t] = q->next[t];
        if (at > q->next[t])
            q->open[q->n_open++] = t;
    }
    for (uint64_t i = 0; i < c->left; i++)
        q->row[q->end[c->task[order[i]]]++] = order[i];
    wn_free(order);
    return WN_OK;
}

static wn_err draw(wn_picks *out, struct queues *q, wn_filler *f, uint64_t seed)
{
    wn_rng rng = {seed, WN_STREAM_SELECT, TASKS_AT};
    while (q->n_open > 0) {
        size_t at = wn_rng_below(&rng, q->n_open);
        uint32_t t = q->open[at];
        uint64_t row = q->row[q->next[t]];
        wn_fill fill = wn_filler_take(f, row);
        if (fill == WN_FILL_FULL)
            break;
        if (fill == WN_FILL_TAKEN) {
            WN_TRY(wn_picks_add(out, (wn_pick){.row = row}));
            q->next[t]++;
        }
        if (fill == WN_FILL_TASK_FULL || q->next[t] == q->end[t])
            q->open[at] = q->open[--q->n_open];
    }
    return WN_OK;
}

wn_err wn_pick_balanced(wn_picks *out, const wn_candidates *c, const wn_select_opts *o)
{
    struct queues q = {0};
    wn_filler f;
    wn_err err = wn_filler_init(&f, c, o);
    if (err == WN_OK)
        err = make_queues(&q, c, o->common.seed);
    if (err == WN_OK)
        err = draw(out, &q, &f, o->common.seed);
    free_queues(&q);
    wn_filler_free(&f);
    return err;
}
