/* Rank classification: the choice that the model finds likeliest behind the prompt. */
#include <math.h>
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
    const wn_pool *rows;
    wn_kept *kept;
    size_t cap;
    uint64_t done; /* rows that were kept */
    wn_row row;
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

/* A row's figures to the record of it that is being written. */
static wn_err keep(wn_kept *kept, const char *stage, const wn_row *row, const wn_text_score *text,
                   size_t n)
{
    wn_str *s = n ? wn_kept_begin(kept, stage, row->index) : NULL;
    if (!s)
        return WN_OK;
    for (size_t i = 0; i < n; i++) {
        wn_str_puts(s, i ? "," : ",\"nll\":[");
        wn_json_f64(s, text[i].nll);
    }
    for (size_t i = 0; i < n; i++)
        wn_str_printf(s, "%s%u", i ? "," : "],\"tokens\":[", text[i].tokens);
    wn_str_puts(s, "]");
    return wn_kept_end(kept);
}

/* The record of row `row`, which must be the next one, in place of computing it. */
static wn_err next_kept(uint64_t *done, uint64_t row, uint64_t rows, const char *where)
{
    if (row != *done || row >= rows)
        return wn_fail(WN_EFORMAT, "%s: expected row %llu next, found %llu", where,
                       (unsigned long long)*done, (unsigned long long)row);
    ++*done;
    return WN_OK;
}

/* Token counts of a record: whole numbers that can divide. */
static wn_err kept_tokens(uint32_t *tokens, double *room, size_t n, const json_t *record,
                          const char *where)
{
    WN_TRY(wn_kept_numbers(room, n, record, "tokens", where));
    for (size_t i = 0; i < n; i++) {
        if (!(room[i] >= 1 && room[i] <= UINT32_MAX))
            return wn_fail(WN_EFORMAT, "%s: tokens: expected 1 and more, found %g", where, room[i]);
        tokens[i] = (uint32_t)room[i];
    }
    return WN_OK;
}

/* Rows without choices have no record. */
static wn_err skip_bare(struct collect *c, uint64_t row)
{
    for (; c->done < row && c->done < c->out->rows; c->done++) {
        WN_TRY(wn_pool_row(c->rows, c->done, &c->row));
        if (c->row.n_choices)
            break; /* which next_kept refuses */
        c->out->start[c->done + 1] = c->out->start[c->done];
    }
    return WN_OK;
}

static wn_err take_choices(void *ctx, uint64_t row, const json_t *record, const char *where)
{
    struct collect *c = ctx;
    WN_TRY(skip_bare(c, row));
    WN_TRY(next_kept(&c->done, row, c->out->rows, where));
    WN_TRY(wn_pool_row(c->rows, row, &c->row));
    size_t at = c->out->start[row], n = c->row.n_choices;
    WN_TRY(reserve(c, at + n));
    c->out->start[row + 1] = at + n;
    WN_TRY(kept_tokens(c->out->tokens + at, c->out->nll + at, n, record, where));
    return wn_kept_numbers(c->out->nll + at, n, record, "nll", where);
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
    return keep(c->kept, "rank", row, choice, row->n_choices);
}

wn_err wn_rank_rows(wn_choice_scores *out, wn_model *m, const wn_pool *rows,
                    const wn_encode_rule *rule, wn_encode_counts *counts, wn_kept *kept)
{
    *out = (wn_choice_scores){.rows = wn_pool_rows(rows)};
    WN_NEW(out->start, out->rows + 1);
    struct collect c = {.out = out, .rows = rows, .kept = kept};
    wn_err err = wn_kept_replay(kept, "rank", take_choices, &c);
    const wn_score_want want = {
        .choices = true, .stage = "rank", .done = c.done, .often = kept != NULL};
    if (err == WN_OK)
        err = wn_score_texts(m, rows, rule, &want, collect_choices, &c, counts);
    wn_row_free(&c.row);
    if (err)
        wn_choice_scores_free(out);
    return err;
}

void wn_choice_scores_free(wn_choice_scores *c)
{
    wn_free(c->start);
    wn_free(c->nll);
    wn_free(c->tokens);
    wn_free(c->prior);
    *c = (wn_choice_scores){0};
}

struct priors {
    wn_choice_scores *c;
    wn_kept *kept;
    uint64_t done;
};

static wn_err take_prior(void *ctx, uint64_t row, const json_t *record, const char *where)
{
    struct priors *p = ctx;
    const size_t *start = p->c->start;
    while (p->done < row && p->done < p->c->rows && start[p->done] == start[p->done + 1])
        p->done++;
    WN_TRY(next_kept(&p->done, row, p->c->rows, where));
    return wn_kept_numbers(p->c->prior + start[row], start[row + 1] - start[row], record, "nll",
                           where);
}

static wn_err collect_prior(void *ctx, const wn_row *row, const wn_text_score *target,
                            const wn_text_score *choice)
{
    (void)target;
    struct priors *p = ctx;
    for (size_t i = 0; i < row->n_choices; i++)
        p->c->prior[p->c->start[row->index] + i] = choice[i].nll;
    return keep(p->kept, "calibrate", row, choice, row->n_choices);
}

wn_err wn_rank_calibrate(wn_choice_scores *c, wn_model *m, const wn_pool *rows,
                         const wn_encode_rule *rule, const char *text, wn_kept *kept)
{
    wn_encode_counts counts = {0};
    struct priors p = {.c = c, .kept = kept};
    if (c->start[c->rows] == 0)
        return WN_OK;
    WN_NEW(c->prior, c->start[c->rows]);
    WN_TRY(wn_kept_replay(kept, "calibrate", take_prior, &p));
    const wn_score_want want = {.choices = true,
                                .prompt = text,
                                .stage = "calibrate",
                                .done = p.done,
                                .often = kept != NULL};
    return wn_score_texts(m, rows, rule, &want, collect_prior, &p, &counts);
}

static wn_err rank_values(double *value, const wn_choice_scores *c, const wn_row *row,
                          wn_length_norm norm)
{
    size_t at = c->start[row->index];
    for (size_t i = 0; i < row->n_choices; i++) {
        double v = c->nll[at + i] - (c->prior ? c->prior[at + i] : 0);
        if (norm == WN_NORM_BYTES && row->choices[i].len == 0)
            return wn_fail(WN_EARG,
                           "row \"%.*s\": choice %zu is empty, so its loss cannot be "
                           "divided by its bytes",
                           (int)row->id.len, row->id.p, i + 1);
        if (norm == WN_NORM_TOKENS)
            v /= c->tokens[at + i];
        if (norm == WN_NORM_BYTES)
            v /= (double)row->choices[i].len;
        value[i] = v;
    }
    return WN_OK;
}

/* Values of a row in memory that grows with its choices. */
struct values {
    double *v;
    size_t cap;
};

static wn_err values_of(struct values *out, const wn_choice_scores *c, const wn_row *row,
                        wn_length_norm norm)
{
    while (out->cap < row->n_choices)
        if (!WN_GROW(out->v, out->cap, out->cap))
            return WN_ENOMEM;
    return rank_values(out->v, c, row, norm);
}

wn_err wn_rank_best(size_t *best, const wn_choice_scores *c, const wn_row *row, wn_length_norm norm)
{
    struct values values = {0};
    wn_err err = values_of(&values, c, row, norm);
    *best = 0;
    for (size_t i = 1; err == WN_OK && i < row->n_choices; i++)
        if (values.v[i] < values.v[*best])
            *best = i;
    wn_free(values.v);
    return err;
}

/* ---- several right choices ---- */

static bool is_right(const wn_row *row, size_t choice)
{
    wn_span c = row->choices[choice];
    bool right = wn_span_same(c, row->target);
    for (size_t i = 0; i < row->n_references && !right; i++)
        right = wn_span_same(c, row->references[i]);
    return right;
}

/* Likelihoods are taken relative to the best choice's, so that long choices do not all vanish. */
static wn_err truth_row(double *score, const double *value, const wn_row *row, bool mass,
                        const char *path)
{
    double lowest_wrong = INFINITY, lowest = INFINITY, right = 0, all = 0;
    int target = row->has_target ? wn_row_answer(row) : -1;
    for (size_t i = 0; i < row->n_choices; i++) {
        lowest = fmin(lowest, value[i]);
        if (!is_right(row, i))
            lowest_wrong = fmin(lowest_wrong, value[i]);
    }
    if (target < 0 || isinf(lowest_wrong))
        return wn_fail(WN_EARG, "%s: row \"%.*s\": %s", path, (int)row->id.len, row->id.p,
                       target < 0 ? "its target is none of its choices"
                                  : "none of its choices is wrong");
    for (size_t i = 0; i < row->n_choices; i++) {
        double p = exp(lowest - value[i]);
        all += p;
        right += is_right(row, i) ? p : 0;
    }
    *score = mass ? right / all : value[target] < lowest_wrong;
    return WN_OK;
}

wn_err wn_rank_truth(double *score, const wn_choice_scores *c, const wn_pool *rows,
                     wn_length_norm norm, bool mass)
{
    struct values values = {0};
    wn_row row = {0};
    wn_err err = WN_OK;
    for (uint64_t r = 0; r < c->rows && err == WN_OK; r++) {
        err = wn_pool_row(rows, r, &row);
        if (err == WN_OK)
            err = values_of(&values, c, &row, norm);
        if (err == WN_OK)
            err = truth_row(&score[r], values.v, &row, mass, wn_pool_path(rows));
    }
    wn_free(values.v);
    wn_row_free(&row);
    return err;
}

/* ---- targets ---- */

struct targets {
    double *nll;
    uint32_t *tokens;
    uint64_t rows, done;
    wn_kept *kept;
};

static wn_err take_target(void *ctx, uint64_t row, const json_t *record, const char *where)
{
    struct targets *t = ctx;
    WN_TRY(next_kept(&t->done, row, t->rows, where));
    WN_TRY(kept_tokens(t->tokens + row, t->nll + row, 1, record, where));
    return wn_kept_numbers(t->nll + row, 1, record, "nll", where);
}

static wn_err collect_target(void *ctx, const wn_row *row, const wn_text_score *target,
                             const wn_text_score *choice)
{
    (void)choice;
    struct targets *t = ctx;
    t->nll[row->index] = target->nll;
    t->tokens[row->index] = target->tokens;
    return keep(t->kept, "nll", row, target, 1);
}

wn_err wn_nll_rows(double *nll, uint32_t *tokens, wn_model *m, const wn_pool *rows,
                   const wn_encode_rule *rule, wn_encode_counts *counts, wn_kept *kept)
{
    struct targets t = {.nll = nll, .tokens = tokens, .rows = wn_pool_rows(rows), .kept = kept};
    WN_TRY(wn_kept_replay(kept, "nll", take_target, &t));
    const wn_score_want want = {
        .target = true, .stage = "eval", .done = t.done, .often = kept != NULL};
    return wn_score_texts(m, rows, rule, &want, collect_target, &t, counts);
}
