/* How many tokens a row costs in training. */
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/report.h"
#include "select/select.h"
#include "token/encode.h"

enum { PIECE = 64 };

struct work {
    wn_token_work token;
    wn_row row;
    wn_ids prompt, target;
};

struct counting {
    wn_candidates *c;
    const wn_tokenizer *t;
    struct work *work;
};

/* As a decoder trains on it, nothing cut: BOS, prompt, target, EOS. */
static wn_err count(uint32_t *n, struct work *k, const wn_tokenizer *t)
{
    static const wn_encode_rule rule = {.shape = WN_SHAPE_DECODER, .max_tokens = (size_t)1 << 30};
    wn_encode_counts counts = {0};
    size_t part[2];
    wn_ids_clear(&k->prompt);
    wn_ids_clear(&k->target);
    WN_TRY(wn_encode_targets(&k->prompt, &k->target, part, t, &k->token, &k->row, &k->row.target, 1,
                             &rule, &counts));
    *n = (uint32_t)(k->prompt.n + k->target.n);
    return WN_OK;
}

static wn_err piece(void *ctx, size_t at, int thread)
{
    struct counting *g = ctx;
    struct work *k = &g->work[thread];
    wn_candidates *c = g->c;
    for (uint64_t i = at * PIECE; i < (at + 1) * PIECE && i < c->N; i++) {
        if (wn_bit(c->skip, i))
            continue;
        WN_TRY(wn_pool_row(c->pool, wn_candidate_pool_row(c, i), &k->row));
        WN_TRY(count(&c->tokens[i], k, g->t));
    }
    return WN_OK;
}

static wn_err by_model(wn_candidates *c, const char *model)
{
    wn_tokenizer *t;
    if (!c->pool)
        return wn_fail(WN_EUSE,
                       "--budget-tokens: counting with --model needs --pool: without it the rows' "
                       "texts are not known");
    WN_TRY(wn_tokenizer_open(&t, model));
    memcpy(c->tokenizer_sha, wn_tokenizer_sha(t), sizeof c->tokenizer_sha);
    struct counting g = {.c = c, .t = t};
    g.work = wn_calloc((size_t)wn_par_threads(), sizeof *g.work);
    wn_err err = g.work ? wn_par_for((size_t)((c->N + PIECE - 1) / PIECE), piece, &g) : WN_ENOMEM;
    for (int i = 0; g.work && i < wn_par_threads(); i++) {
        wn_token_work_free(&g.work[i].token);
        wn_row_free(&g.work[i].row);
        wn_ids_release(&g.work[i].prompt);
        wn_ids_release(&g.work[i].target);
    }
    wn_free(g.work);
    wn_tokenizer_close(t);
    return err;
}

static wn_err by_store(wn_candidates *c)
{
    bool any = false;
    for (uint64_t i = 0; c->store && i < c->N; i++) {
        c->tokens[i] = wn_store_tokens(c->store, i);
        any = any || c->tokens[i];
    }
    return any ? WN_OK
               : wn_fail(
                     WN_EUSE,
                     "--budget-tokens: nothing here knows the rows' tokens: give --model, whose "
                     "tokenizer counts them, or --store with vectors made by embed");
}

wn_err wn_count_tokens(wn_candidates *c, const char *model)
{
    WN_NEW(c->tokens, c->N + 1);
    return model ? by_model(c, model) : by_store(c);
}
