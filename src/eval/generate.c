/* One loop: texts whose rows of the cache are free enter with their whole prompts, all others go on
 * by a token, those that end leave. Cache rows of a text are one run, found by first fit among the
 * at most 32 runs in use.
 *
 * Prompts are encoded twice, once to measure and once on entering: that costs a thousandth of the
 * steps, and keeping the ids of all rows would be memory that grows with the rows. */
#include "eval/generate.h"

#include <string.h>

#include "base/mem.h"
#include "base/report.h"
#include "model/greedy.h"
#include "token/template.h"

enum { SLOTS = 32, STEP_TOKENS = 1024 };
static const size_t CACHE_BYTES = (size_t)1 << 30;

/* A text on its way. */
struct slot {
    uint64_t row;
    uint32_t first, need;               /* its run of cache rows */
    uint32_t source_first, source_need; /* the same of the encoder's side */
    uint32_t seen, n_new;
    int32_t *made; /* [max_new] */
};

struct generation {
    wn_model *model;
    const wn_pool *rows;
    wn_encode_rule rule; /* max_tokens less what is generated */
    const wn_generate_rule *g;
    wn_generate_counts *counts;
    wn_predictions *out;
    wn_kept *kept;
    size_t max_new;
    bool encdec;
    wn_ids ends;
    wn_str close; /* text that closes an answer in the chat format, empty: there is none */
    /* of the row that waits */
    uint64_t next;
    wn_row row;
    wn_ids prompt;
    wn_token_work token_work;
    bool waiting;
    /* running */
    struct slot slot[SLOTS];
    size_t live, most, step_tokens;
    uint64_t total;
    size_t longest;
    uint32_t cache_rows, source_rows;
    wn_work *work;
    wn_cache *cache;
    wn_arena memory;
    int32_t *id, *source_id, *made;
    uint32_t off[SLOTS + 1], source_off[SLOTS + 1], first[SLOTS], seen[SLOTS];
    uint32_t source_first[SLOTS], source_n[SLOTS], source_to[SLOTS];
    int32_t token[SLOTS];
    size_t T, source_T, sources;
};

/* ---- rows ---- */

static wn_err encode(struct generation *e, wn_encode_counts *counts)
{
    wn_ids_clear(&e->prompt);
    WN_TRY(wn_encode_prompt(&e->prompt, wn_model_tokenizer(e->model), &e->token_work, &e->row,
                            &e->rule, false, counts));
    if (e->prompt.n == 0)
        return wn_fail(WN_EARG, "%s: row \"%.*s\" has no prompt token to go on from",
                       wn_pool_path(e->rows), (int)e->row.id.len, e->row.id.p);
    return WN_OK;
}

static wn_err fetch(struct generation *e, uint64_t r, bool *wanted)
{
    WN_TRY(wn_pool_row(e->rows, r, &e->row));
    *wanted = e->g->all || e->row.n_choices == 0;
    return WN_OK;
}

static wn_err measure(struct generation *e)
{
    bool wanted;
    for (uint64_t r = 0; r < wn_pool_rows(e->rows); r++) {
        WN_TRY(fetch(e, r, &wanted));
        if (!wanted)
            continue;
        WN_TRY(encode(e, &e->counts->prompts));
        size_t n = e->prompt.n, most = n + e->max_new - 1;
        if (!e->encdec && !wn_model_can_grow(e->model, n, most))
            return wn_fail(
                WN_EARG,
                "%s: row \"%.*s\": a prompt of %zu tokens that grows to %zu: %s turns rows "
                "of more than %zu tokens by other angles; expected less --max-new or "
                "--max-tokens",
                wn_pool_path(e->rows), (int)e->row.id.len, e->row.id.p, n, most,
                wn_model_facts_of(e->model)->path, wn_model_facts_of(e->model)->same_angles);
        e->longest = e->prompt.n > e->longest ? e->prompt.n : e->longest;
        e->total++;
    }
    return WN_OK;
}

/* Makes the next wanted row the one that waits, if there is one. */
static wn_err advance(struct generation *e)
{
    bool wanted = false;
    while (!e->waiting && e->next < wn_pool_rows(e->rows)) {
        WN_TRY(fetch(e, e->next, &wanted));
        if (wanted && e->out->start[e->next] == SIZE_MAX) {
            WN_TRY(encode(e, NULL));
            e->waiting = true;
        } else {
            e->next++;
        }
    }
    return WN_OK;
}

/* ---- memory ---- */

/* Cache rows of a text whose prompt has n tokens: its last token is never read. */
static uint32_t own_need(const struct generation *e, size_t n)
{
    return (uint32_t)(e->encdec ? e->max_new : n + e->max_new - 1);
}

static wn_err too_little(const struct generation *e, size_t need)
{
    return wn_fail(
        WN_EARG, "--max-memory %llu MB: generating %zu tokens behind a prompt of %zu needs %zu MB",
        (unsigned long long)(e->g->max_memory >> 20), e->max_new, e->longest, need >> 20);
}

static wn_err plan(struct generation *e)
{
    size_t own = own_need(e, e->longest), source = e->encdec ? e->longest : 0;
    size_t each = wn_cache_bytes(e->model, own, source);
    size_t tokens = e->step_tokens = e->longest > STEP_TOKENS ? e->longest : STEP_TOKENS;
    size_t step = wn_work_bytes(e->model, tokens + SLOTS, SLOTS, SLOTS, WN_WORK_FORWARD);
    size_t budget = CACHE_BYTES, have = wn_mem_live() + step;
    if (e->g->max_memory) {
        if (have + each > e->g->max_memory)
            return too_little(e, have + each);
        budget = e->g->max_memory - have;
        wn_mem_planned();
    }
    size_t most = e->total < SLOTS ? (size_t)e->total : SLOTS;
    e->most = budget / each < 1 ? 1 : budget / each < most ? budget / each : most;
    if (e->most * (own > source ? own : source) > UINT32_MAX / 2)
        e->most = 1;
    e->cache_rows = (uint32_t)(e->most * own);
    e->source_rows = (uint32_t)(e->most * source);
    WN_TRY(wn_work_new(&e->work, e->model, tokens + SLOTS, SLOTS, SLOTS, WN_WORK_FORWARD));
    WN_TRY(wn_cache_new(&e->cache, e->model, e->cache_rows, e->source_rows));
    size_t ids = tokens + SLOTS, made = SLOTS * e->max_new;
    WN_TRY(wn_arena_init(&e->memory, (2 * ids + made) * sizeof(int32_t) + 3 * 64));
    e->id = wn_arena_push(&e->memory, ids * sizeof *e->id);
    e->source_id = wn_arena_push(&e->memory, ids * sizeof *e->source_id);
    e->made = wn_arena_push(&e->memory, made * sizeof *e->made);
    for (size_t i = 0; i < SLOTS; i++)
        e->slot[i].made = e->made + i * e->max_new;
    return WN_OK;
}

/* First fit: where `need` rows are free before, between or behind the live texts' runs; false:
 * nowhere. Every try moves beyond all runs that are in the way. */
static bool find_run(const struct generation *e, bool source, uint32_t need, uint32_t *at)
{
    uint32_t end = source ? e->source_rows : e->cache_rows, from = 0;
    for (size_t tries = 0; tries <= e->live; tries++) {
        uint32_t next = from;
        for (size_t i = 0; i < e->live; i++) {
            uint32_t a = source ? e->slot[i].source_first : e->slot[i].first;
            uint32_t b = a + (source ? e->slot[i].source_need : e->slot[i].need);
            if (a < from + need && b > from)
                next = b > next ? b : next;
        }
        if (next == from) {
            *at = from;
            return from + need <= end;
        }
        from = next;
        if (from + need > end)
            return false;
    }
    return false;
}

/* ---- a step ---- */

static void put(struct generation *e, size_t i, const int32_t *id, size_t n)
{
    struct slot *s = &e->slot[i];
    memcpy(e->id + e->T, id, n * sizeof *id);
    e->T += n;
    e->off[i + 1] = (uint32_t)e->T;
    e->first[i] = s->first;
    e->seen[i] = s->seen;
    e->source_first[i] = s->source_first;
    e->source_n[i] = s->source_need;
    s->seen += (uint32_t)n;
}

/* The row that waits becomes a text, if the cache and the step have room. */
static bool enter(struct generation *e)
{
    size_t n = e->prompt.n, now = e->encdec ? e->source_T : e->T - e->live;
    struct slot *s = &e->slot[e->live];
    uint32_t need = own_need(e, n), first, source_first = 0;
    if (e->live == e->most || now + n > e->step_tokens || !find_run(e, false, need, &first) ||
        (e->encdec && !find_run(e, true, (uint32_t)n, &source_first)))
        return false;
    int32_t *made = s->made;
    *s = (struct slot){.row = e->next,
                       .first = first,
                       .need = need,
                       .source_first = source_first,
                       .source_need = e->encdec ? (uint32_t)n : 0,
                       .made = made};
    if (e->encdec) {
        int32_t start = wn_model_facts_of(e->model)->decoder_start;
        memcpy(e->source_id + e->source_T, e->prompt.id, n * sizeof *e->source_id);
        e->source_T += n;
        e->source_to[e->sources] = source_first;
        e->source_off[++e->sources] = (uint32_t)e->source_T;
        put(e, e->live++, &start, 1);
    } else {
        put(e, e->live++, e->prompt.id, n);
    }
    return true;
}

static wn_err step(struct generation *e)
{
    e->T = e->source_T = e->sources = 0;
    e->off[0] = e->source_off[0] = 0;
    for (size_t i = 0; i < e->live; i++)
        put(e, i, &e->slot[i].made[e->slot[i].n_new - 1], 1);
    WN_TRY(advance(e));
    while (e->waiting && enter(e)) {
        e->waiting = false;
        e->next++;
        WN_TRY(advance(e));
    }
    WN_ASSERT(e->live > 0);
    const wn_batch source = {
        .B = e->sources, .T = e->source_T, .id = e->source_id, .off = e->source_off};
    const wn_batch b = {.B = e->live, .T = e->T, .id = e->id, .off = e->off, .source = &source};
    const wn_step s = {&b, e->first, e->seen, e->source_first, e->source_n, e->source_to};
    return wn_model_next(e->model, e->work, e->cache, &s, e->token);
}

/* ---- ends ---- */

/* The text of what was made so far; ids that stand for no text (rows of the output matrix beyond
 * the vocabulary) are left out. */
static wn_err text_of(char **text, const struct generation *e, const struct slot *s)
{
    const wn_tokenizer *t = wn_model_tokenizer(e->model);
    int32_t *id;
    size_t n = 0;
    WN_NEW(id, s->n_new + 1);
    for (uint32_t i = 0; i < s->n_new; i++)
        if (wn_tokenizer_token(t, s->made[i]))
            id[n++] = s->made[i];
    wn_err err = wn_tokenizer_decode(t, id, n, true, text);
    wn_free(id);
    return err;
}

/* Length of the text before the first stop text, SIZE_MAX: none. */
static size_t stop_at(const struct generation *e, const char *text)
{
    size_t at = SIZE_MAX;
    for (size_t i = 0; i < e->g->n_stop + (e->close.len > 0); i++) {
        const char *p = strstr(text, i < e->g->n_stop ? e->g->stop[i] : e->close.p);
        if (p && (size_t)(p - text) < at)
            at = (size_t)(p - text);
    }
    return at;
}

static bool is_end(const struct generation *e, int32_t id)
{
    for (size_t i = 0; i < e->ends.n; i++)
        if (e->ends.id[i] == id)
            return true;
    return false;
}

/* ---- what is kept ---- */

static wn_err keep(struct generation *e, uint64_t row, wn_span text, bool unended)
{
    wn_str *s = wn_kept_begin(e->kept, "generate", row);
    if (!s)
        return WN_OK;
    wn_str_printf(s, ",\"unended\":%s,\"text\":", unended ? "true" : "false");
    wn_json_string(s, text.p, text.len);
    return wn_kept_end(e->kept);
}

static wn_err take_kept(void *ctx, uint64_t row, const json_t *record, const char *where)
{
    struct generation *e = ctx;
    const json_t *text = json_object_get(record, "text");
    bool wanted = false;
    if (row < wn_pool_rows(e->rows))
        WN_TRY(fetch(e, row, &wanted));
    if (!wanted || !json_is_string(text) || e->out->start[row] != SIZE_MAX)
        return wn_fail(WN_EFORMAT,
                       "%s: expected one text of each row to be answered, found %s %llu", where,
                       wanted ? "another of row" : "row", (unsigned long long)row);
    e->counts->rows++;
    e->counts->unended += json_is_true(json_object_get(record, "unended"));
    return wn_predictions_set(e->out, row,
                              (wn_span){json_string_value(text), json_string_length(text)});
}

/* ---- texts that end ---- */

/* Takes the text's new token; *done with the answer set where that ends it. */
static wn_err take(struct generation *e, struct slot *s, int32_t token, bool *done)
{
    bool ended = is_end(e, token);
    if (!ended)
        s->made[s->n_new++] = token;
    *done = ended || s->n_new == e->max_new;
    e->counts->tokens++;
    if (!*done && e->g->n_stop == 0 && e->close.len == 0)
        return WN_OK;
    char *text = NULL;
    WN_TRY(text_of(&text, e, s));
    size_t len = stop_at(e, text);
    bool unended = !ended && len == SIZE_MAX && *done;
    *done |= len != SIZE_MAX;
    wn_err err = WN_OK;
    if (*done) {
        wn_span answer = {text, len == SIZE_MAX ? strlen(text) : len};
        e->counts->rows++;
        e->counts->unended += unended;
        err = wn_predictions_set(e->out, s->row, answer);
        if (err == WN_OK)
            err = keep(e, s->row, answer, unended);
    }
    wn_text_free(text);
    return err;
}

static wn_err take_all(struct generation *e)
{
    size_t left = 0;
    for (size_t i = 0; i < e->live; i++) {
        bool done;
        WN_TRY(take(e, &e->slot[i], e->token[i], &done));
        if (done)
            continue;
        struct slot gone = e->slot[left];
        e->slot[left++] = e->slot[i];
        e->slot[i] = gone; /* its room for made tokens goes with it */
    }
    e->live = left;
    return WN_OK;
}

/* ---- all ---- */

/* What closes an answer in the chat format: a special token, which is an end like others, or text,
 * which is looked for in the answer. */
static wn_err find_close(struct generation *e, const wn_template *tmpl)
{
    const wn_tokenizer *t = wn_model_tokenizer(e->model);
    const wn_token_facts *f = wn_tokenizer_facts(t);
    const char *eos = wn_tokenizer_token(t, f->eos);
    wn_ids id = {0};
    char *text = NULL;
    wn_template_put(&e->close, tmpl->after, eos ? eos : "", (wn_span){"", 0});
    wn_err err = wn_str_check(&e->close);
    if (err == WN_OK)
        err = wn_tokenizer_append(t, &e->token_work, e->close.p, e->close.len, &id);
    if (err == WN_OK && id.n)
        err = wn_tokenizer_decode(t, id.id, 1, true, &text);
    if (err == WN_OK && (!text || !*text)) { /* special, or nothing at all */
        wn_str_clear(&e->close);
        if (id.n && !WN_GROW(e->ends.id, e->ends.n, e->ends.cap))
            err = WN_ENOMEM;
        else if (id.n)
            e->ends.id[e->ends.n++] = id.id[0];
    }
    wn_text_free(text);
    wn_ids_release(&id);
    return err;
}

static wn_err find_ends(struct generation *e)
{
    const wn_token_facts *f = wn_tokenizer_facts(wn_model_tokenizer(e->model));
    const wn_template *tmpl;
    WN_TRY(wn_model_ends(&e->ends, e->model));
    WN_TRY(wn_template_find(&tmpl, e->rule.tmpl, f->chat, f->chat_template != NULL));
    return tmpl ? find_close(e, tmpl) : WN_OK;
}

static wn_err make_room(struct generation *e)
{
    e->max_new = e->g->max_new ? e->g->max_new : WN_MAX_NEW;
    e->encdec = e->rule.shape == WN_SHAPE_ENCDEC;
    if (e->max_new > UINT32_MAX / (2 * SLOTS))
        return wn_fail(WN_EARG, "--max-new %zu: expected less", e->max_new);
    size_t special = wn_tokenizer_facts(wn_model_tokenizer(e->model))->n_prefix;
    if (!e->encdec) {
        if (e->max_new + special >= e->rule.max_tokens)
            return wn_fail(WN_EARG,
                           "--max-new %zu leaves no room for a prompt within the %zu tokens that "
                           "%s reads",
                           e->max_new, e->rule.max_tokens, wn_model_facts_of(e->model)->path);
        e->rule.max_tokens -= e->max_new;
    }
    e->counts->room = e->rule.max_tokens;
    return WN_OK;
}

static wn_err run(struct generation *e)
{
    WN_TRY(make_room(e));
    WN_TRY(find_ends(e));
    WN_TRY(measure(e));
    WN_TRY(wn_kept_replay(e->kept, "generate", take_kept, e));
    WN_TRY(advance(e));
    if (!e->waiting)
        return WN_OK;
    WN_TRY(plan(e));
    double start = wn_seconds();
    while (e->live || e->waiting) {
        char note[64];
        WN_TRY(step(e));
        WN_TRY(take_all(e));
        double took = wn_seconds() - start;
        snprintf(note, sizeof note, "%.0f tokens/s",
                 took > 0 ? (double)e->counts->tokens / took : 0);
        WN_TRY(wn_progress("generate", "rows", e->counts->rows, e->total, note));
        WN_TRY(advance(e));
    }
    return WN_OK;
}

wn_err wn_generate_rows(wn_predictions *out, wn_model *m, const wn_pool *rows,
                        const wn_encode_rule *rule, const wn_generate_rule *g,
                        wn_generate_counts *counts, wn_kept *kept)
{
    struct generation *e;
    *counts = (wn_generate_counts){0};
    WN_NEW(e, 1);
    e->model = m;
    e->rows = rows;
    e->rule = *rule;
    e->g = g;
    e->counts = counts;
    e->out = out;
    e->kept = kept;
    wn_err err = run(e);
    wn_work_free(e->work);
    wn_cache_free(e->cache);
    wn_arena_free(&e->memory);
    wn_ids_release(&e->ends);
    wn_str_free(&e->close);
    wn_ids_release(&e->prompt);
    wn_row_free(&e->row);
    wn_token_work_free(&e->token_work);
    wn_free(e);
    return err;
}
