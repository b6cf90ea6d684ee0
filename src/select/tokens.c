/* How many tokens a row costs in training. */
#include <ctype.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/report.h"
#include "select/select.h"
#include "token/tokenizer.h"

enum { PIECE = 64 };

struct work {
    wn_token_work token;
    wn_row row;
    wn_ids ids;
};

struct counting {
    wn_candidates *c;
    const wn_tokenizer *t;
    struct work *work;
};

static bool blank_at(wn_span s, size_t at)
{
    return at < s.len && isspace((unsigned char)s.p[at]);
}

/* BOS, prompt, one space if neither text brings one, target, EOS. */
static wn_err count(uint32_t *n, struct work *k, const wn_tokenizer *t)
{
    const wn_token_facts *f = wn_tokenizer_facts(t);
    wn_span p = k->row.prompt, a = k->row.target;
    bool space = a.len && !f->adds_space && !blank_at(p, p.len - 1) && !blank_at(a, 0);
    wn_ids_clear(&k->ids);
    WN_TRY(wn_tokenizer_append(t, &k->token, p.p, p.len, &k->ids));
    wn_str text = {0};
    if (space)
        wn_str_putc(&text, ' ');
    wn_str_add(&text, a.p, a.len);
    wn_err err = wn_str_check(&text);
    if (err == WN_OK && text.len)
        err = wn_tokenizer_append(t, &k->token, text.p, text.len, &k->ids);
    wn_str_free(&text);
    *n = (uint32_t)(k->ids.n + f->n_prefix + (f->eos >= 0));
    return err;
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
        return wn_fail(WN_EARG,
                       "--budget-tokens: counting with --model needs --pool: without it the rows' "
                       "texts are not known");
    WN_TRY(wn_tokenizer_open(&t, model));
    struct counting g = {.c = c, .t = t};
    g.work = wn_calloc((size_t)wn_par_threads(), sizeof *g.work);
    wn_err err = g.work ? wn_par_for((size_t)((c->N + PIECE - 1) / PIECE), piece, &g) : WN_ENOMEM;
    for (int i = 0; g.work && i < wn_par_threads(); i++) {
        wn_token_work_free(&g.work[i].token);
        wn_row_free(&g.work[i].row);
        wn_ids_release(&g.work[i].ids);
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
                     WN_EARG,
                     "--budget-tokens: nothing here knows the rows' tokens: give --model, whose "
                     "tokenizer counts them, or --store with vectors made by embed");
}

wn_err wn_count_tokens(wn_candidates *c, const char *model)
{
    WN_NEW(c->tokens, c->N + 1);
    return model ? by_model(c, model) : by_store(c);
}
