#include "train/data.h"

#include <string.h>

#include "base/mem.h"

/* ---- rows to tokens ------------------------------------------------------------------------
 */

/* What encoding a row needs, made once. */
struct encoder {
    const wn_tokenizer *tokenizer;
    wn_row row;
    wn_token_work work;
    wn_ids prompt, text;
    size_t *part, cap;
};

static wn_err refuse(const wn_data *f, const struct encoder *e, const char *what)
{
    return wn_fail(WN_EARG, "%s: row %.*s %s", wn_pool_path(f->pool), (int)e->row.id.len,
                   e->row.id.p, what);
}

static wn_err texts_of(const wn_span **text, size_t *n, size_t *answer, const wn_data *f,
                       const struct encoder *e)
{
    const wn_row *row = &e->row;
    *answer = 0;
    if (!row->has_target)
        return refuse(f, e, "has no target to train on");
    if (!f->choices) {
        *text = &row->target;
        *n = 1;
        return WN_OK;
    }
    if (row->n_choices < 2)
        return refuse(f, e, "has no choices: expected two or more");
    int found = wn_row_answer(row);
    if (found < 0)
        return refuse(f, e, "has a target that is none of its choices");
    *text = row->choices;
    *n = row->n_choices;
    *answer = (size_t)found;
    return WN_OK;
}

static wn_err append_ids(wn_data *f, const wn_ids *ids)
{
    if (f->n_id + ids->n > f->cap_id) {
        size_t cap = f->cap_id + f->cap_id / 2 + ids->n + 1024;
        int32_t *more = wn_realloc(f->id, cap * sizeof *more);
        if (!more)
            return WN_ENOMEM;
        f->id = more;
        f->cap_id = cap;
    }
    memcpy(f->id + f->n_id, ids->id, ids->n * sizeof *f->id);
    f->n_id += ids->n;
    return WN_OK;
}

static uint32_t sum_lengths(const wn_data *f, const wn_data_row *r)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->texts; i++)
        n += f->length[r->part + i];
    return n;
}

/* A decoder computes no token behind which nothing is to be predicted: a text's last. */
static void measure(wn_data *f, wn_data_row *r)
{
    uint32_t all = sum_lengths(f, r), gold = f->length[r->part + r->answer];
    uint32_t in_prompt = f->rule.supervise_prompt && r->prompt ? r->prompt - 1 : 0;
    if (f->two_sided)
        r->size = (wn_data_size){all, r->prompt, r->texts, all, gold};
    else if (f->choices)
        r->size = (wn_data_size){r->prompt + all - r->texts, 0, r->texts + 1, all, gold};
    else /* without a prompt the first token has nothing to be predicted from */
        r->size = (wn_data_size){r->prompt + all - 1, 0, 1, all - !r->prompt + in_prompt,
                                 all - !r->prompt + in_prompt};
    wn_data_size *m = &f->most;
#define WN_MOST(x) m->x = r->size.x > m->x ? r->size.x : m->x
    WN_MOST(tokens);
    WN_MOST(source);
    WN_MOST(segments);
    WN_MOST(labels);
    WN_MOST(gold);
#undef WN_MOST
    f->tokens += r->prompt + all;
}

static wn_err encode(wn_data *f, struct encoder *e, uint64_t index)
{
    const wn_span *text = NULL;
    size_t n = 0, answer = 0;
    WN_TRY(wn_pool_row(f->pool, index, &e->row));
    WN_TRY(texts_of(&text, &n, &answer, f, e));
    while (e->cap < n + 1)
        if (!WN_GROW(e->part, e->cap, e->cap))
            return WN_ENOMEM;
    wn_ids_clear(&e->prompt);
    wn_ids_clear(&e->text);
    WN_TRY(wn_encode_targets(&e->prompt, &e->text, e->part, e->tokenizer, &e->work, &e->row, text,
                             n, &f->rule, &f->counts));
    wn_data_row *r = &f->row[index];
    *r = (wn_data_row){.begin = f->n_id,
                       .prompt = (uint32_t)e->prompt.n,
                       .texts = (uint32_t)n,
                       .part = f->n_length,
                       .answer = (uint32_t)answer};
    for (size_t i = 0; i < n; i++) {
        if (!WN_GROW(f->length, f->n_length, f->cap_length))
            return WN_ENOMEM;
        f->length[f->n_length++] = (uint32_t)(e->part[i + 1] - e->part[i]);
        if (e->part[i + 1] == e->part[i])
            return refuse(f, e, "has a target without a token");
    }
    if (r->prompt == 0 && (f->two_sided || f->choices))
        return refuse(f, e, "has no prompt token");
    if (r->prompt + e->text.n < 2)
        return refuse(f, e, "has no token to predict");
    WN_TRY(append_ids(f, &e->prompt));
    WN_TRY(append_ids(f, &e->text));
    measure(f, r);
    return WN_OK;
}

wn_err wn_data_open(wn_data *f, const wn_pool *pool, const wn_model *m, const wn_encode_rule *rule,
                    bool choices)
{
    *f = (wn_data){.pool = pool,
                   .rule = *rule,
                   .two_sided = rule->shape == WN_SHAPE_ENCDEC,
                   .choices = choices,
                   .start = wn_model_facts_of(m)->decoder_start,
                   .rows = wn_pool_rows(pool)};
    struct encoder e = {.tokenizer = wn_model_tokenizer(m)};
    WN_NEW(f->row, f->rows);
    wn_err err = WN_OK;
    for (uint64_t i = 0; !err && i < f->rows; i++)
        err = encode(f, &e, i);
    wn_row_free(&e.row);
    wn_token_work_free(&e.work);
    wn_ids_release(&e.prompt);
    wn_ids_release(&e.text);
    wn_free(e.part);
    return err;
}

void wn_data_close(wn_data *f)
{
    wn_free(f->row);
    wn_free(f->id);
    wn_free(f->length);
    *f = (wn_data){0};
}

/* ---- batches -------------------------------------------------------------------------------
 */

static void lay_out(wn_data_batch *b, size_t T, size_t S)
{
    wn_arena *a = &b->memory;
    b->id = wn_arena_push(a, T * sizeof *b->id);
    b->label = wn_arena_push(a, T * sizeof *b->label);
    b->source_id = wn_arena_push(a, T * sizeof *b->source_id);
    b->parent = wn_arena_push(a, S * sizeof *b->parent);
    b->first_label = wn_arena_push(a, S * sizeof *b->first_label);
    b->off = wn_arena_push(a, (S + 1) * sizeof *b->off);
    b->source_off = wn_arena_push(a, (S + 1) * sizeof *b->source_off);
    b->source_of = wn_arena_push(a, S * sizeof *b->source_of);
    b->example = wn_arena_push(a, S * sizeof *b->example);
    b->source_example = wn_arena_push(a, S * sizeof *b->source_example);
    b->weight = wn_arena_push(a, S * sizeof *b->weight);
    b->row = wn_arena_push(a, S * sizeof *b->row);
    b->first = wn_arena_push(a, (S + 1) * sizeof *b->first);
}

size_t wn_data_batch_bytes(size_t max_tokens, size_t max_segments)
{
    wn_data_batch b = {0};
    lay_out(&b, max_tokens, max_segments);
    return b.memory.used;
}

wn_err wn_data_batch_new(wn_data_batch *b, const wn_data *f, size_t max_tokens, size_t max_segments)
{
    *b = (wn_data_batch){.max_tokens = max_tokens, .max_segments = max_segments};
    WN_TRY(wn_arena_init(&b->memory, wn_data_batch_bytes(max_tokens, max_segments)));
    lay_out(b, max_tokens, max_segments);
    b->batch = (wn_batch){.id = b->id, .label = b->label, .off = b->off, .example = b->example};
    if (f->two_sided) {
        b->source =
            (wn_batch){.id = b->source_id, .off = b->source_off, .example = b->source_example};
        b->batch.source = &b->source;
        b->batch.source_of = b->source_of;
    } else if (f->choices) {
        b->batch.parent = b->parent;
        b->batch.first_label = b->first_label;
    }
    wn_data_batch_clear(b);
    return WN_OK;
}

void wn_data_batch_free(wn_data_batch *b)
{
    wn_arena_free(&b->memory);
    *b = (wn_data_batch){0};
}

void wn_data_batch_clear(wn_data_batch *b)
{
    b->batch.B = b->batch.T = b->source.B = b->source.T = b->rows = 0;
    b->off[0] = b->source_off[0] = b->first[0] = 0;
}

static bool has_room(const wn_data_batch *b, const wn_data_size *s)
{
    return b->batch.B + s->segments <= b->max_segments && b->batch.T + s->tokens <= b->max_tokens &&
           b->source.T + s->source <= b->max_tokens;
}

/* The next segment's number. Dropout masks of a row's texts differ: the text is the counter's upper
 * half. */
static size_t open_segment(wn_data_batch *b, uint64_t row, uint64_t text, float weight)
{
    size_t s = b->batch.B++;
    b->off[s + 1] = b->off[s];
    b->example[s] = row | text << 32;
    b->weight[s] = weight;
    b->parent[s] = b->first_label[s] = -1;
    return s;
}

static void put(wn_data_batch *b, int32_t id, int32_t label)
{
    b->id[b->batch.T] = id;
    b->label[b->batch.T++] = label;
    b->off[b->batch.B] = (uint32_t)b->batch.T;
}

static void add_joined(wn_data_batch *b, const wn_data *f, const wn_data_row *r, uint64_t index,
                       float weight)
{
    const int32_t *id = f->id + r->begin;
    size_t n = r->prompt + f->length[r->part],
           from = f->rule.supervise_prompt || r->prompt == 0 ? 0 : r->prompt - 1;
    open_segment(b, index, 0, weight);
    for (size_t i = 0; i + 1 < n; i++)
        put(b, id[i], i >= from ? id[i + 1] : -1);
}

static void add_shared(wn_data_batch *b, const wn_data *f, const wn_data_row *r, uint64_t index,
                       float weight)
{
    const int32_t *id = f->id + r->begin;
    int32_t parent = (int32_t)open_segment(b, index, 0, 0);
    for (size_t i = 0; i < r->prompt; i++)
        put(b, id[i], -1);
    b->first[b->rows] = (uint32_t)b->batch.B;
    id += r->prompt;
    for (uint32_t k = 0; k < r->texts; k++) {
        size_t n = f->length[r->part + k], s = open_segment(b, index, k + 1, 0);
        b->weight[s] = k == r->answer ? weight : 0;
        b->parent[s] = parent;
        b->first_label[s] = id[0];
        for (size_t i = 0; i + 1 < n; i++)
            put(b, id[i], id[i + 1]);
        id += n;
    }
}

static void add_two_sided(wn_data_batch *b, const wn_data *f, const wn_data_row *r, uint64_t index,
                          float weight)
{
    wn_batch *s = &b->source;
    const int32_t *id = f->id + r->begin;
    memcpy(b->source_id + s->T, id, r->prompt * sizeof *id);
    s->T += r->prompt;
    b->source_example[s->B] = index;
    b->source_off[++s->B] = (uint32_t)s->T;
    id += r->prompt;
    for (uint32_t k = 0; k < r->texts; k++) {
        size_t n = f->length[r->part + k];
        b->source_of[open_segment(b, index, k, k == r->answer ? weight : 0)] = (uint32_t)(s->B - 1);
        for (size_t i = 0; i < n; i++)
            put(b, i ? id[i - 1] : f->start, id[i]);
        id += n;
    }
}

bool wn_data_add(wn_data_batch *b, const wn_data *f, uint64_t index, float weight)
{
    const wn_data_row *r = &f->row[index];
    if (!has_room(b, &r->size))
        return false;
    b->first[b->rows] = (uint32_t)b->batch.B;
    b->row[b->rows] = index;
    if (f->two_sided)
        add_two_sided(b, f, r, index, weight);
    else if (f->choices)
        add_shared(b, f, r, index, weight);
    else
        add_joined(b, f, r, index, weight);
    b->first[++b->rows] = (uint32_t)b->batch.B;
    return true;
}
