/* Looking the pool's rows up in the targets' texts. Two passes: the first finds the rows that share
 * anything and counts, for each shared run, how many rows of their own task have it; the second
 * goes through those rows again, now that what is the pool task's own template is known. Rows are
 * worked on in pieces by one thread each and merged in row order. */
#include "select/contamination.h"

#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/report.h"
#include "select/targets.h"

enum { PIECE = 128, BATCH = 64, SHOWN_WORDS = 40 }; /* rows a piece, pieces a batch */

struct shared {
    uint64_t key;
    size_t first, n; /* words of the pool's row */
    uint32_t target;
    bool exact;
};

/* What a thread works with. */
struct work {
    wn_wordlist words;
    wn_row row;
    struct shared *hit;
    size_t n, cap;
};

/* What a piece found: pass 1 keys with their rows, pass 2 rows with their pairs. */
struct found {
    struct {
        uint64_t row, key;
    } * hit;
    size_t n, cap;
    wn_veto *veto;
    size_t n_veto, cap_veto;
};

struct scan {
    const wn_pool *pool;
    const wn_targets *targets;
    uint64_t *suspect, *veto;
    wn_tally shared;   /* (task, key) -> rows of the task that have it */
    uint64_t *rows_of; /* [tasks] */
    struct work *work;
    struct found found[BATCH];
    uint64_t first; /* row of the batch */
    bool second;
};

/* ---- one row ---- */

static wn_err note(struct work *k, const wn_targets *t, uint64_t key, size_t first, size_t n,
                   bool exact)
{
    const wn_tally_slot *s = key ? wn_tally_find(&t->index, key) : NULL;
    if (!s)
        return WN_OK;
    if (!WN_GROW(k->hit, k->n, k->cap))
        return WN_ENOMEM;
    k->hit[k->n++] = (struct shared){key, first, n, s->mark, exact};
    return WN_OK;
}

/* Exact hits first. */
static wn_err look_up(struct work *k, const struct scan *s, uint64_t row)
{
    const wn_targets *t = s->targets;
    size_t words;
    WN_TRY(wn_pool_row(s->pool, row, &k->row));
    WN_TRY(wn_row_words(&k->words, &words, &k->row));
    k->n = 0;
    WN_TRY(note(k, t, wn_targets_prompt_key(&k->words, words), 0, words, true));
    WN_TRY(note(k, t, wn_targets_row_key(&k->words, words), 0, words, true));
    for (size_t n = t->run; n >= WN_PHRASE_MIN; n--) {
        wn_window window = {0};
        uint64_t key;
        for (size_t i = 0; t->has[n] && i < k->words.n; i++)
            if (wn_window_push(&window, &key, &k->words, i, n))
                WN_TRY(note(k, t, key, i + 1 - n, n, false));
    }
    return WN_OK;
}

/* ---- pass 1 ---- */

static wn_err collect(struct found *f, const struct work *k, uint64_t row)
{
    for (size_t i = 0; i < k->n; i++) {
        if (!WN_GROW(f->hit, f->n, f->cap))
            return WN_ENOMEM;
        f->hit[f->n].row = row;
        f->hit[f->n++].key = k->hit[i].key;
    }
    return WN_OK;
}

static wn_err count(struct scan *s, const struct found *f)
{
    for (size_t i = 0; i < f->n; i++) {
        uint64_t row = f->hit[i].row;
        wn_bit_set(s->suspect, row);
        WN_TRY(wn_tally_row(&s->shared,
                            wn_tally_in_task(f->hit[i].key, wn_pool_task_of(s->pool, row)),
                            (uint32_t)row));
    }
    return WN_OK;
}

/* ---- pass 2 ---- */

static bool own(const struct scan *s, const struct work *k, const struct shared *h)
{
    uint32_t task = k->row.task_number;
    if (h->exact)
        return true;
    const wn_tally_slot *t = wn_tally_find(&s->shared, wn_tally_in_task(h->key, task));
    return t && !wn_is_template(t->count, s->rows_of[task]);
}

/* The shared words: the first run, and on while the next run is shared too. */
static char *shown_words(const struct work *k, size_t at)
{
    const struct shared *h = &k->hit[at];
    size_t end = h->first + h->n;
    for (size_t i = at + 1; !h->exact && i < k->n && k->hit[i].n == h->n && k->hit[i].first < end;
         i++)
        end = k->hit[i].first + h->n;
    if (end - h->first > SHOWN_WORDS)
        end = h->first + SHOWN_WORDS;
    size_t from = k->words.word[h->first].at;
    const wn_listed_word *last = &k->words.word[end - 1];
    return wn_strndup(k->words.text.p + from, last->at + last->len - from);
}

static wn_err judge(struct found *f, const struct scan *s, const struct work *k)
{
    size_t at = 0;
    while (at < k->n && !own(s, k, &k->hit[at]))
        at++;
    if (at == k->n)
        return WN_OK;
    if (!WN_GROW(f->veto, f->n_veto, f->cap_veto) || !WN_GROW(f->hit, f->n, f->cap))
        return WN_ENOMEM;
    f->hit[f->n++].row = k->row.index;
    const struct shared *h = &k->hit[at];
    wn_veto *v = &f->veto[f->n_veto++];
    *v = (wn_veto){.row = k->row.index, .kind = h->exact ? WN_VETO_EXACT : WN_VETO_WORDS};
    v->id = wn_strndup(k->row.id.p, k->row.id.len);
    v->words = shown_words(k, at);
    if (!v->id || !v->words)
        return WN_ENOMEM;
    return wn_avoid_name(&v->by, s->targets->avoid, h->target);
}

static wn_err conclude(struct scan *s, struct found *f, wn_vetoes *out)
{
    for (size_t i = 0; i < f->n; i++)
        wn_bit_set(s->veto, f->hit[i].row);
    for (size_t i = 0; i < f->n_veto; i++) {
        if (!WN_GROW(out->v, out->n, out->cap))
            return WN_ENOMEM;
        out->v[out->n++] = f->veto[i];
        f->veto[i] = (wn_veto){0};
    }
    f->n_veto = 0;
    return WN_OK;
}

/* ---- both ---- */

static wn_err piece(void *ctx, size_t at, int thread)
{
    struct scan *s = ctx;
    struct work *k = &s->work[thread];
    struct found *f = &s->found[at];
    uint64_t first = s->first + at * PIECE, end = first + PIECE, rows = wn_pool_rows(s->pool);
    f->n = 0;
    for (uint64_t row = first; row < end && row < rows; row++) {
        if (s->second && !wn_bit(s->suspect, row))
            continue;
        WN_TRY(look_up(k, s, row));
        WN_TRY(s->second ? judge(f, s, k) : collect(f, k, row));
    }
    return WN_OK;
}

static wn_err pass(struct scan *s, bool second, wn_vetoes *out)
{
    uint64_t rows = wn_pool_rows(s->pool);
    s->second = second;
    for (s->first = 0; s->first < rows; s->first += PIECE * BATCH) {
        uint64_t left = rows - s->first;
        size_t n = left < PIECE * BATCH ? (size_t)((left + PIECE - 1) / PIECE) : BATCH;
        WN_TRY(wn_par_for(n, piece, s));
        for (size_t i = 0; i < n; i++) {
            WN_TRY(second ? conclude(s, &s->found[i], out) : count(s, &s->found[i]));
        }
        WN_TRY(wn_progress(second ? "contamination, second look" : "contamination", "rows",
                           s->first + (left < PIECE * BATCH ? left : PIECE * BATCH), rows, NULL));
    }
    return WN_OK;
}

static wn_err scan_pool(struct scan *s, wn_vetoes *out)
{
    WN_NEW(s->suspect, wn_pool_rows(s->pool) / 64 + 1);
    WN_NEW(s->rows_of, wn_pool_tasks(s->pool) + 1);
    WN_NEW(s->work, (size_t)wn_par_threads());
    for (uint64_t i = 0; i < wn_pool_rows(s->pool); i++)
        s->rows_of[wn_pool_task_of(s->pool, i)]++;
    WN_TRY(pass(s, false, out));
    return pass(s, true, out);
}

wn_err wn_contamination(uint64_t *veto, wn_vetoes *out, wn_compared *compared, const wn_pool *pool,
                        wn_pool *const *avoid, size_t n_avoid, size_t run)
{
    wn_targets targets;
    *compared = (wn_compared){.run_words = run ? run : WN_AVOID_WORDS};
    WN_TRY(wn_targets_init(&targets, avoid, n_avoid, (size_t)compared->run_words));
    struct scan *s = wn_calloc(1, sizeof *s);
    if (!s) {
        wn_targets_free(&targets);
        return WN_ENOMEM;
    }
    compared->rows = targets.rows;
    compared->wordless = targets.wordless;
    compared->runs = targets.runs;
    compared->stretches = targets.stretches;
    compared->wholes = targets.wholes;
    *s = (struct scan){.pool = pool, .targets = &targets, .veto = veto};
    wn_err err = scan_pool(s, out);
    if (err == WN_OK)
        err = wn_near_targets(veto, out, &compared->sets, pool, avoid, n_avoid);
    for (int t = 0; s->work && t < wn_par_threads(); t++) {
        wn_wordlist_free(&s->work[t].words);
        wn_row_free(&s->work[t].row);
        wn_free(s->work[t].hit);
    }
    for (size_t i = 0; i < BATCH; i++) {
        for (size_t j = 0; j < s->found[i].n_veto; j++)
            wn_veto_free(&s->found[i].veto[j]);
        wn_free(s->found[i].hit);
        wn_free(s->found[i].veto);
    }
    wn_free(s->work);
    wn_free(s->suspect);
    wn_free(s->rows_of);
    wn_tally_free(&s->shared);
    wn_free(s);
    wn_targets_free(&targets);
    return err;
}
