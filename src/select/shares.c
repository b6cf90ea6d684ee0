/* Which tasks a selection comes from, for its manifest: each task's share of the picks beside its
 * share of the candidates, and, where queries have lists, how that mix shifts with their length. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "select/select.h"

enum { SHOWN = 10 }; /* tasks followed along k: those with most picks */

struct task {
    uint32_t number;
    const char *name;
    uint64_t picks, candidates;
};

static int by_picks(const void *a, const void *b)
{
    const struct task *x = a, *y = b;
    if (x->picks != y->picks)
        return x->picks > y->picks ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* Tasks with picks, most first; *n of them. wn_free. */
static wn_err count(struct task **tasks, size_t *n, const wn_picks *p, const wn_candidates *c)
{
    struct task *t;
    WN_NEW(t, (size_t)c->tasks + 1);
    for (uint64_t i = 0; i < c->N; i++)
        t[c->task[i]].candidates++;
    for (size_t i = 0; i < p->n; i++) {
        struct task *of = &t[c->task[p->pick[i].row]];
        of->picks++;
        of->name = wn_candidate_task(c, p->pick[i].row);
    }
    *n = 0;
    for (uint32_t k = 0; k < c->tasks; k++) {
        t[k].number = k;
        if (t[k].picks)
            t[(*n)++] = t[k];
    }
    qsort(t, *n, sizeof *t, by_picks);
    *tasks = t;
    return WN_OK;
}

static json_t *task_lines(const struct task *t, size_t n, const wn_picks *p, const wn_candidates *c)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        double share = (double)t[i].picks / (double)p->n;
        double pool = (double)t[i].candidates / (double)c->N;
        json_array_append_new(list, json_pack("{s:s, s:I, s:f, s:I, s:f, s:f}", "task", t[i].name,
                                              "rows", (json_int_t)t[i].picks, "share", share,
                                              "pool_rows", (json_int_t)t[i].candidates,
                                              "pool_share", pool, "times", share / pool));
    }
    return list;
}

/* 1, 2, 5, 10, 20, ... and the last. */
static bool is_step(size_t k, size_t last)
{
    size_t unit = 1;
    while (unit * 10 <= k)
        unit *= 10;
    return k == last || k == unit || k == 2 * unit || k == 5 * unit;
}

/* The union of the first k hits of all queries for growing k, whatever the budget keeps of it. */
static json_t *along_k(const struct task *t, size_t n, const wn_picks *p, const wn_candidates *c,
                       size_t last, uint64_t *seen, uint64_t *of_task)
{
    json_t *list = json_array();
    uint64_t rows = 0;
    for (size_t k = 1; k <= last; k++) {
        for (size_t q = 0; q < p->Q; q++) {
            int64_t row = p->list_row[q * p->width + k - 1];
            if (row == WN_NO_ROW || wn_bit(seen, (uint64_t)row))
                continue;
            wn_bit_set(seen, (uint64_t)row);
            of_task[c->task[row]]++;
            rows++;
        }
        if (!is_step(k, last))
            continue;
        json_t *shares = json_array();
        for (size_t i = 0; i < n && i < SHOWN; i++)
            json_array_append_new(shares, json_pack("{s:s, s:f}", "task", t[i].name, "share",
                                                    (double)of_task[t[i].number] / (double)rows));
        json_array_append_new(list, json_pack("{s:I, s:I, s:o}", "k", (json_int_t)k, "rows",
                                              (json_int_t)rows, "shares", shares));
    }
    return list;
}

wn_err wn_selection_shares(json_t *m, const wn_picks *p, const wn_candidates *c, size_t k)
{
    struct task *t;
    size_t n;
    WN_TRY(count(&t, &n, p, c));
    json_object_set_new(m, "shares", task_lines(t, n, p, c));
    uint64_t *seen = p->Q ? wn_calloc(c->N / 64 + 1, sizeof *seen) : NULL;
    uint64_t *of_task = p->Q ? wn_calloc((size_t)c->tasks + 1, sizeof *of_task) : NULL;
    wn_err e = !p->Q || (seen && of_task) ? WN_OK : WN_ENOMEM;
    if (!e && p->Q)
        json_object_set_new(m, "by_k",
                            along_k(t, n, p, c, k < p->width ? k : p->width, seen, of_task));
    wn_free(seen);
    wn_free(of_task);
    wn_free(t);
    return e;
}
