/* winnow run: the parts of the plan one after the other, each unless its stamp says that it stands.
 * A kill anywhere loses at most what the part at hand cannot resume. Selections that are searched
 * for in the same store are made together, at the place of the first: one pass over it for the
 * queries of all targets. */
#include <string.h>

#include "base/mem.h"
#include "base/report.h"
#include "io/file.h"
#include "pool/pool.h"
#include "report/plan.h"
#include "report/stamp.h"

/* "about 12 min 05 s left", by what parts of the same stage have taken; "at least" where a stage
 * has not been seen yet. */
static void put_time_left(wn_str *s, const wn_run *r, size_t from)
{
    double sum = 0;
    bool all = true;
    for (size_t i = from; i < r->n_parts; i++) {
        double seconds = 0;
        all &= wn_cost_guess(&seconds, r->cost, wn_stage_name(r->part[i].kind), r->part[i].work);
        sum += seconds;
    }
    if (sum < 1)
        return;
    wn_str_puts(s, all ? ", about " : ", at least ");
    wn_cost_text(s, sum);
    wn_str_puts(s, " left");
}

static wn_err announce(const wn_run *r, size_t i)
{
    wn_str s = {0};
    wn_str_printf(&s, "part %zu of %zu: %s", i + 1, r->n_parts, r->part[i].name);
    put_time_left(&s, r, i);
    wn_err err = wn_str_check(&s);
    if (err == WN_OK)
        wn_message("%s", s.p);
    if (err == WN_OK)
        err = wn_progress("run", "parts", i, r->n_parts, r->part[i].name);
    wn_str_free(&s);
    return err;
}

/* How many rows a part has to do with, once they are known: guesses of time go by them. */
static wn_err learn_work(wn_run *r, const wn_part *p)
{
    if (p->kind != WN_PART_POOL && p->kind != WN_PART_SELECT)
        return WN_OK;
    wn_pool *rows;
    WN_TRY(wn_pool_open(&rows, p->out, NULL, true));
    uint64_t n = wn_pool_rows(rows);
    wn_pool_close(rows);
    for (size_t i = 0; i < r->n_parts; i++) {
        wn_part *q = &r->part[i];
        bool fed = p->kind == WN_PART_POOL
                       ? q->kind == WN_PART_EMBED_POOL || q->kind == WN_PART_BASE ||
                             q->kind == WN_PART_GRAD_POOL
                       : q->kind == WN_PART_TRAIN && q->target == p->target && q->arm == p->arm &&
                             (p->seed == WN_NO_SEED || p->seed == q->seed);
        if (fed)
            q->work = n;
    }
    return WN_OK;
}

/* Puts what is left of other work away, and says so; leaves what the same work can go on from. */
static wn_err clear_way(wn_run *r, const wn_part *p, wn_stamp_state state, const char *why)
{
    if (state == WN_STAMP_BEGUN) {
        wn_message("%s: was interrupted, goes on", p->name);
        return WN_OK;
    }
    if (state == WN_STAMP_OTHER)
        wn_message("%s: made again, since this changed: %s", p->name, why);
    if (state == WN_STAMP_TOUCHED)
        wn_message("%s: made again, since %s is not as it was left", p->name, why);
    WN_TRY(wn_cost_anew(r->cost, p->name));
    return wn_part_remove(p);
}

/* A part that is to be made. */
struct todo {
    const wn_part *p;
    json_t *key;
    wn_str stamp;
};

static void todo_free(struct todo *t)
{
    json_decref(t->key);
    wn_str_free(&t->stamp);
    *t = (struct todo){0};
}

/* The time of parts that were made together is shared out evenly. */
static wn_err book(wn_run *r, const struct todo *t, size_t n, double sec, bool done)
{
    for (size_t i = 0; i < n; i++) {
        if (done)
            WN_TRY(learn_work(r, t[i].p));
        WN_TRY(wn_cost_add(r->cost, t[i].p->name, wn_stage_name(t[i].p->kind), sec / (double)n,
                           done ? t[i].p->work : 0, done));
    }
    return WN_OK;
}

static wn_err work_on(wn_run *r, const struct todo *t, const wn_part *const *p, size_t n)
{
    double start = wn_seconds();
    for (size_t i = 0; i < n; i++) {
        WN_TRY(wn_mkdirs_above(p[i]->out));
        WN_TRY(wn_stamp_begin(t[i].stamp.p, t[i].key));
    }
    wn_err err = wn_parts_do(r, p, n);
    if (err) { /* the cost so far is kept; the failure's text is the one to show */
        wn_str text = {0};
        wn_str_puts(&text, wn_error_text());
        book(r, t, n, wn_seconds() - start, false);
        wn_error_set_text(text.failed ? "out of memory" : text.p);
        wn_str_free(&text);
        return wn_context(err, n > 1 ? "%s and what is searched for with it" : "%s", p[0]->name);
    }
    WN_TRY(book(r, t, n, wn_seconds() - start, true));
    for (size_t i = 0; i < n; i++) {
        wn_run_forget_sha(r, p[i]->out);
        WN_TRY(wn_stamp_finish(t[i].stamp.p, t[i].key, p[i]->out));
    }
    return WN_OK;
}

/* Looks at a part's stamp: *stands, or its way is cleared and t says what to do. */
static wn_err prepare(struct todo *t, bool *stands, wn_run *r, size_t i)
{
    wn_str why = {0};
    wn_stamp_state state = WN_STAMP_NONE;
    *t = (struct todo){.p = &r->part[i]};
    WN_TRY(wn_part_key(&t->key, r, t->p));
    wn_str_printf(&t->stamp, "%s.stamp.json", t->p->out);
    wn_err err = wn_str_check(&t->stamp);
    if (err == WN_OK)
        err = wn_stamp_check(&state, &why, t->stamp.p, t->key, t->p->out);
    *stands = err == WN_OK && state == WN_STAMP_DONE;
    if (err == WN_OK && !*stands)
        err = announce(r, i);
    if (err == WN_OK && !*stands)
        err = clear_way(r, t->p, state, why.len ? why.p : "an option");
    wn_str_free(&why);
    return err;
}

/* Part i, and those behind it that are made with it; marks them in `made`. */
static wn_err run_part(bool *made, wn_run *r, size_t i, size_t *stood)
{
    struct todo *t;
    const wn_part **p;
    bool stands = false;
    size_t n = 0;
    wn_err err = WN_OK;
    WN_NEW(t, r->n_parts - i);
    p = wn_calloc(r->n_parts - i, sizeof *p);
    err = p ? WN_OK : WN_ENOMEM;
    for (size_t j = i; j < r->n_parts && err == WN_OK && !stands; j++) {
        bool also = false;
        if (j > i && (made[j] || !wn_parts_together(r, &r->part[i], &r->part[j])))
            continue;
        err = prepare(&t[n], j == i ? &stands : &also, r, j);
        p[n] = t[n].p;
        if (err || stands || also)
            todo_free(&t[n]);
        else {
            made[j] = true;
            n++;
        }
    }
    if (err == WN_OK && stands) {
        (*stood)++;
        err = learn_work(r, &r->part[i]);
    } else if (err == WN_OK) {
        err = work_on(r, t, p, n);
    }
    for (size_t k = 0; k < n; k++)
        todo_free(&t[k]);
    wn_free(t);
    wn_free(p);
    return err;
}

wn_err wn_run_parts(size_t *stood, wn_run *r)
{
    bool *made;
    wn_err err = WN_OK;
    WN_NEW(made, r->n_parts + 1);
    for (size_t i = 0; i < r->n_parts && err == WN_OK; i++)
        if (!made[i])
            err = run_part(made, r, i, stood);
    wn_free(made);
    return err;
}
