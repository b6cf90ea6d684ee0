/* Rank classification: the choice that the model finds likeliest behind the prompt. */
#include <string.h>

#include "base/mem.h"
#include "eval/eval.h"

wn_err wn_length_norm_parse(wn_length_norm *n, const char *name)
{
    if (!name || strcmp(name, "none") == 0)
        *n = WN_NORM_NONE;
    else if (strcmp(name, "tokens") == 0)
        *n = WN_NORM_TOKENS;
    else if (strcmp(name, "bytes") == 0)
        *n = WN_NORM_BYTES;
    else
        return wn_fail(WN_EARG, "length norm \"%s\" is unknown: expected none, tokens or bytes",
                       name);
    return WN_OK;
}

struct collect {
    wn_choice_scores *out;
    size_t cap;
};

/* nll and tokens grow together, so one capacity serves both. */
static wn_err reserve(struct collect *c, size_t need)
{
    if (need <= c->cap)
        return WN_OK;
    size_t cap = c->cap ? c->cap : 256;
    while (cap < need)
        cap *= 2;
    double *nll = wn_realloc(c->out->nll, cap * sizeof *nll);
    if (!nll)
        return WN_ENOMEM;
    c->out->nll = nll;
    uint32_t *tokens = wn_realloc(c->out->tokens, cap * sizeof *tokens);
    if (!tokens)
        return WN_ENOMEM;
    c->out->tokens = tokens;
    c->cap = cap;
    return WN_OK;
}

static wn_err collect_choices(void *ctx, const wn_row *row, const wn_text_score *target,
                              const wn_text_score *choice)
{
    (void)target;
    struct collect *c = ctx;
    size_t at = c->out->start[row->index];
    WN_TRY(reserve(c, at + row->n_choices));
    for (size_t i = 0; i < row->n_choices; i++) {
        c->out->nll[at + i] = choice[i].nll;
        c->out->tokens[at + i] = choice[i].tokens;
    }
    c->out->start[row->index + 1] = at + row->n_choices;
    return WN_OK;
}

wn_err wn_rank_rows(wn_choice_scores *out, wn_model *m, const wn_pool *rows,
                    const wn_encode_rule *rule, wn_encode_counts *counts)
{
    *out = (wn_choice_scores){.rows = wn_pool_rows(rows)};
    WN_NEW(out->start, out->rows + 1);
    struct collect c = {out, 0};
    const wn_score_want want = {.choices = true, .need_choices = true, .stage = "eval"};
    wn_err err = wn_score_texts(m, rows, rule, &want, collect_choices, &c, counts);
    if (err)
        wn_choice_scores_free(out);
    return err;
}

void wn_choice_scores_free(wn_choice_scores *c)
{
    wn_free(c->start);
    wn_free(c->nll);
    wn_free(c->tokens);
    *c = (wn_choice_scores){0};
}

wn_err wn_rank_best(size_t *best, const wn_choice_scores *c, const wn_row *row, wn_length_norm norm)
{
    size_t at = c->start[row->index];
    double lowest = 0;
    for (size_t i = 0; i < row->n_choices; i++) {
        double v = c->nll[at + i];
        if (norm == WN_NORM_BYTES && row->choices[i].len == 0)
            return wn_fail(WN_EARG,
                           "row \"%.*s\": choice %zu is empty, so its loss cannot be "
                           "divided by its bytes",
                           (int)row->id.len, row->id.p, i + 1);
        if (norm == WN_NORM_TOKENS)
            v /= c->tokens[at + i];
        if (norm == WN_NORM_BYTES)
            v /= (double)row->choices[i].len;
        if (i == 0 || v < lowest) {
            lowest = v;
            *best = i;
        }
    }
    return WN_OK;
}

struct targets {
    double *nll;
    uint32_t *tokens;
};

static wn_err collect_target(void *ctx, const wn_row *row, const wn_text_score *target,
                             const wn_text_score *choice)
{
    (void)choice;
    struct targets *t = ctx;
    t->nll[row->index] = target->nll;
    t->tokens[row->index] = target->tokens;
    return WN_OK;
}

wn_err wn_nll_rows(double *nll, uint32_t *tokens, wn_model *m, const wn_pool *rows,
                   const wn_encode_rule *rule, wn_encode_counts *counts)
{
    struct targets t = {nll, tokens};
    const wn_score_want want = {.target = true, .stage = "eval"};
    return wn_score_texts(m, rows, rule, &want, collect_target, &t, counts);
}
