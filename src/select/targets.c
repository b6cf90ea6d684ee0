/* Indexing the target rows. Two passes over each file: which runs of 4 words are template, by task;
 * then each row's runs of words, its short stretches, and the row as a whole. */
#include "select/targets.h"

#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "select/contamination.h"

enum { TEMPLATE_RUN = 4, OWN_WORDS = 5 };
#define WHOLE_PROMPT 0x5bd1e995a5a5c3d7u
#define WHOLE_ROW    0x27d4eb2f165667c5u

wn_err wn_row_words(wn_wordlist *w, size_t *prompt_words, const wn_row *row)
{
    wn_wordlist_clear(w);
    WN_TRY(wn_wordlist_add(w, row->prompt));
    *prompt_words = w->n - 1;
    WN_TRY(wn_wordlist_add(w, row->target));
    for (size_t i = 0; i < row->n_choices; i++)
        WN_TRY(wn_wordlist_add(w, row->choices[i]));
    for (size_t i = 0; i < row->n_references; i++)
        WN_TRY(wn_wordlist_add(w, row->references[i]));
    return wn_str_check(&w->text);
}

uint64_t wn_targets_prompt_key(const wn_wordlist *w, size_t prompt_words)
{
    return prompt_words ? wn_wordlist_hash(w, 0, prompt_words) ^ WHOLE_PROMPT : 0;
}

uint64_t wn_targets_row_key(const wn_wordlist *w, size_t prompt_words)
{
    size_t first = prompt_words + 1, end = first;
    while (end < w->n && w->word[end].hash != 0)
        end++;
    if (!prompt_words || end == first)
        return 0;
    return wn_wordlist_hash(w, 0, prompt_words) * WHOLE_ROW +
           wn_wordlist_hash(w, first, end - first);
}

/* ---- template ---- */

struct reader {
    wn_wordlist words;
    size_t prompt_words;
    wn_row row;
    uint8_t *template; /* [words]: is part of the task's template */
    size_t cap;
    wn_tally runs;     /* of 4 words, by task */
    uint64_t *rows_of; /* [tasks] */
};

static wn_err read_row(struct reader *r, const wn_pool *p, uint64_t row)
{
    WN_TRY(wn_pool_row(p, row, &r->row));
    return wn_row_words(&r->words, &r->prompt_words, &r->row);
}

static wn_err count_runs(struct reader *r, const wn_pool *p)
{
    WN_NEW(r->rows_of, wn_pool_tasks(p) + 1);
    for (uint64_t i = 0; i < wn_pool_rows(p); i++) {
        wn_window window = {0};
        uint64_t key;
        WN_TRY(read_row(r, p, i));
        r->rows_of[r->row.task_number]++;
        for (size_t j = 0; j < r->words.n; j++)
            if (wn_window_push(&window, &key, &r->words, j, TEMPLATE_RUN))
                WN_TRY(
                    wn_tally_row(&r->runs, wn_tally_in_task(key, r->row.task_number), (uint32_t)i));
    }
    return WN_OK;
}

static wn_err mark_template(struct reader *r)
{
    if (r->words.n > r->cap) {
        wn_free(r->template);
        r->template = wn_malloc(2 * r->words.n);
        if (!r->template)
            return WN_ENOMEM;
        r->cap = 2 * r->words.n;
    }
    memset(r->template, 0, r->words.n);
    wn_window window = {0};
    uint64_t key;
    for (size_t j = 0; j < r->words.n; j++) {
        if (!wn_window_push(&window, &key, &r->words, j, TEMPLATE_RUN))
            continue;
        const wn_tally_slot *s = wn_tally_find(&r->runs, wn_tally_in_task(key, r->row.task_number));
        if (s && wn_is_template(s->count, r->rows_of[r->row.task_number]))
            memset(r->template + j + 1 - TEMPLATE_RUN, 1, TEMPLATE_RUN);
    }
    return WN_OK;
}

/* ---- the index ---- */

static wn_err add(wn_targets *t, uint64_t key, uint32_t number, uint64_t *different)
{
    wn_tally_slot *s;
    WN_TRY(wn_tally_at(&s, &t->index, key));
    if (s->count++ == 0) {
        s->mark = number;
        ++*different;
    }
    return WN_OK;
}

static size_t own_words(const struct reader *r, size_t first, size_t n)
{
    size_t own = 0;
    for (size_t i = first; i < first + n; i++)
        own += !r->template[i];
    return own;
}

static wn_err add_runs(wn_targets *t, const struct reader *r, uint32_t number, bool *any)
{
    wn_window window = {0};
    uint64_t key;
    for (size_t j = 0; j < r->words.n; j++) {
        if (!wn_window_push(&window, &key, &r->words, j, t->run) ||
            own_words(r, j + 1 - t->run, t->run) < OWN_WORDS)
            continue;
        WN_TRY(add(t, key, number, &t->runs));
        t->has[t->run] = *any = true;
    }
    return WN_OK;
}

/* Stretches of words that are not template, whole, in prompt and target. */
static wn_err add_stretches(wn_targets *t, const struct reader *r, uint32_t number, bool *any)
{
    size_t start = 0, borders = 0;
    for (size_t j = 0; j < r->words.n && borders < 2; j++) {
        bool border = r->words.word[j].hash == 0;
        borders += border;
        if (!border && !r->template[j])
            continue;
        size_t n = j - start;
        if (n >= WN_PHRASE_MIN && n < t->run) {
            WN_TRY(add(t, wn_wordlist_hash(&r->words, start, n), number, &t->stretches));
            t->has[n] = *any = true;
        }
        start = j + 1;
    }
    return WN_OK;
}

/* A prompt that is nothing but template stands only together with its target. */
static wn_err add_row(wn_targets *t, const struct reader *r, uint32_t number)
{
    bool any = false;
    WN_TRY(add_runs(t, r, number, &any));
    WN_TRY(add_stretches(t, r, number, &any));
    bool own = own_words(r, 0, r->prompt_words) > 0;
    uint64_t key = own ? wn_targets_prompt_key(&r->words, r->prompt_words)
                       : wn_targets_row_key(&r->words, r->prompt_words);
    t->rows++;
    t->wordless += !any && !key;
    return key ? add(t, key, number, &t->wholes) : WN_OK;
}

static wn_err index_file(wn_targets *t, struct reader *r, const wn_pool *p, uint32_t first)
{
    uint64_t before = t->wordless;
    WN_TRY(count_runs(r, p));
    for (uint64_t i = 0; i < wn_pool_rows(p); i++) {
        WN_TRY(read_row(r, p, i));
        WN_TRY(mark_template(r));
        WN_TRY(add_row(t, r, first + (uint32_t)i));
    }
    if (t->wordless - before == wn_pool_rows(p))
        return wn_fail(WN_EARG, "%s: none of its %llu rows has words to compare", wn_pool_path(p),
                       (unsigned long long)wn_pool_rows(p));
    return WN_OK;
}

wn_err wn_targets_init(wn_targets *t, wn_pool *const *avoid, size_t n_avoid, size_t run)
{
    *t = (wn_targets){.run = run, .avoid = avoid, .n_avoid = n_avoid};
    if (run < WN_PHRASE_MIN || run > WN_RUN_MOST)
        return wn_fail(WN_EARG, "--avoid-words: expected %d to %d, found %zu", WN_PHRASE_MIN,
                       WN_RUN_MOST, run);
    uint64_t first = 0;
    wn_err err = WN_OK;
    for (size_t f = 0; f < n_avoid && err == WN_OK; f++) {
        struct reader r = {0};
        if (wn_pool_rows(avoid[f]) > UINT32_MAX - first)
            err = wn_fail(WN_EARG, "--avoid: more than %u target rows", UINT32_MAX);
        if (err == WN_OK)
            err = index_file(t, &r, avoid[f], (uint32_t)first);
        first += wn_pool_rows(avoid[f]);
        wn_wordlist_free(&r.words);
        wn_row_free(&r.row);
        wn_free(r.template);
        wn_free(r.rows_of);
        wn_tally_free(&r.runs);
    }
    if (err != WN_OK)
        wn_targets_free(t);
    return err;
}

void wn_targets_free(wn_targets *t)
{
    wn_tally_free(&t->index);
}

wn_err wn_avoid_name(char **name, wn_pool *const *avoid, uint64_t number)
{
    size_t f = 0;
    uint64_t i = number;
    *name = NULL;
    while (i >= wn_pool_rows(avoid[f]))
        i -= wn_pool_rows(avoid[f++]);
    wn_row row = {0};
    wn_str s = {0};
    wn_err err = wn_pool_row(avoid[f], i, &row);
    if (err == WN_OK) {
        wn_str_puts(&s, wn_path_base(wn_pool_path(avoid[f])));
        wn_str_puts(&s, ": ");
        wn_str_add(&s, row.id.p, row.id.len);
        err = wn_str_check(&s);
    }
    if (err == WN_OK) {
        *name = wn_strndup(s.p, s.len);
        err = *name ? WN_OK : WN_ENOMEM;
    }
    wn_row_free(&row);
    wn_str_free(&s);
    return err;
}
