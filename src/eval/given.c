#include "eval/given.h"

#include "base/mem.h"
#include "io/file.h"

/* ---- lines ---- */

struct reading {
    wn_pool *rows;
    bool *seen; /* [rows] */
    wn_given_take take;
    void *ctx;
};

/* The id's text: of a number as it is written in the file, which is how rows hold theirs. */
static wn_err read_id(wn_span *id, wn_span line, const json_t *v, const char *where)
{
    if (json_is_string(v)) {
        *id = (wn_span){json_string_value(v), json_string_length(v)};
        return WN_OK;
    }
    wn_span key, value;
    size_t at = 0;
    while (json_is_number(v) && wn_json_member(line.p, line.len, &at, &key, &value))
        if (wn_span_is(key, "id")) {
            *id = value;
            return WN_OK;
        }
    return wn_fail(WN_EFORMAT, "%s: id: expected a string or a number", where);
}

static wn_err take_line(const struct reading *r, wn_span line, const json_t *v, const char *where)
{
    wn_span id = {0};
    if (!json_is_object(v))
        return wn_fail(WN_EFORMAT, "%s: expected an object with an id", where);
    WN_TRY(read_id(&id, line, json_object_get(v, "id"), where));
    uint64_t row = wn_pool_find(r->rows, id.p, id.len);
    if (row == UINT64_MAX)
        return wn_fail(WN_EARG, "%s: no row of %s has the id \"%.*s\"", where,
                       wn_pool_path(r->rows), (int)id.len, id.p);
    if (r->seen[row])
        return wn_fail(WN_EARG, "%s: the id \"%.*s\" has a second line", where, (int)id.len, id.p);
    r->seen[row] = true;
    return r->take(r->ctx, row, v, where);
}

static wn_err read_lines(const struct reading *r, wn_lines *lines, const char *path)
{
    wn_span line;
    wn_err err = WN_OK;
    while (wn_lines_next(lines, &line, &err)) {
        if (line.len == 0)
            continue;
        wn_str where = {0};
        json_t *v = NULL;
        wn_str_printf(&where, "%s:%llu", path, (unsigned long long)wn_lines_number(lines));
        err = wn_str_check(&where);
        if (err == WN_OK)
            err = wn_json_parse(&v, line.p, line.len, where.p);
        if (err == WN_OK)
            err = take_line(r, line, v, where.p);
        json_decref(v);
        wn_str_free(&where);
        WN_TRY(err);
    }
    return err;
}

static wn_err all_there(const struct reading *r, const char *path)
{
    for (uint64_t i = 0; i < wn_pool_rows(r->rows); i++) {
        if (r->seen[i])
            continue;
        wn_row row = {0};
        wn_err err = wn_pool_row(r->rows, i, &row);
        if (err == WN_OK)
            err = wn_fail(WN_EARG, "%s: no line for the id \"%.*s\" of %s", path, (int)row.id.len,
                          row.id.p, wn_pool_path(r->rows));
        wn_row_free(&row);
        return err;
    }
    return WN_OK;
}

wn_err wn_given_read(wn_pool *rows, const char *path, wn_given_take take, void *ctx)
{
    wn_lines *lines;
    struct reading r = {.rows = rows, .take = take, .ctx = ctx};
    WN_NEW(r.seen, wn_pool_rows(rows));
    wn_err err = wn_lines_open(&lines, path);
    if (err == WN_OK) {
        err = read_lines(&r, lines, path);
        wn_lines_close(lines);
    }
    if (err == WN_OK)
        err = all_there(&r, path);
    wn_free(r.seen);
    return err;
}

/* ---- figures ---- */

/* `nll` and `tokens` of an object. */
static wn_err take_figures(double *nll, uint32_t *tokens, const json_t *v, const char *metric,
                           const char *where)
{
    const json_t *x = json_object_get(v, "nll"), *n = json_object_get(v, "tokens");
    if (!json_is_number(x))
        return wn_fail(WN_EFORMAT, "%s: nll: expected a number, which metric %s is made of", where,
                       metric);
    if (!json_is_integer(n) || json_integer_value(n) < 1 || json_integer_value(n) > UINT32_MAX)
        return wn_fail(WN_EFORMAT, "%s: tokens: expected a whole number above 0, beside nll",
                       where);
    *nll = json_number_value(x);
    *tokens = (uint32_t)json_integer_value(n);
    return WN_OK;
}

struct losses {
    double *nll;
    uint32_t *tokens;
    const char *metric;
};

static wn_err take_losses(void *ctx, uint64_t row, const json_t *line, const char *where)
{
    struct losses *l = ctx;
    return take_figures(&l->nll[row], &l->tokens[row], line, l->metric, where);
}

wn_err wn_given_losses(double *nll, uint32_t *tokens, wn_pool *rows, const char *path,
                       const char *metric)
{
    struct losses l = {nll, tokens, metric};
    return wn_given_read(rows, path, take_losses, &l);
}

struct choices {
    wn_choice_scores *out;
    const char *metric;
    size_t priors, figures; /* seen so far */
};

static wn_err take_choices(void *ctx, uint64_t row, const json_t *line, const char *where)
{
    struct choices *c = ctx;
    const json_t *list = json_object_get(line, "choices");
    size_t at = c->out->start[row], n = c->out->start[row + 1] - at;
    if (json_array_size(list) != n)
        return wn_fail(WN_EFORMAT,
                       "%s: choices: expected %zu with nll and tokens, which metric %s is made of, "
                       "found %zu",
                       where, n, c->metric, json_array_size(list));
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, i), *prior = json_object_get(v, "prior");
        WN_TRY(take_figures(&c->out->nll[at + i], &c->out->tokens[at + i], v, c->metric, where));
        c->figures++;
        c->priors += json_is_number(prior);
        if (c->priors && c->priors != c->figures)
            return wn_fail(WN_EFORMAT, "%s: prior: expected a number in all choices or in none",
                           where);
        c->out->prior[at + i] = json_number_value(prior);
    }
    return WN_OK;
}

/* Room for the figures of all rows' choices. */
static wn_err make_room(wn_choice_scores *c, const wn_pool *rows)
{
    wn_row row = {0};
    wn_err err = WN_OK;
    *c = (wn_choice_scores){.rows = wn_pool_rows(rows)};
    WN_NEW(c->start, c->rows + 1);
    for (uint64_t r = 0; r < c->rows && err == WN_OK; r++) {
        err = wn_pool_row(rows, r, &row);
        c->start[r + 1] = c->start[r] + row.n_choices;
    }
    wn_row_free(&row);
    WN_TRY(err);
    WN_NEW(c->nll, c->start[c->rows] + 1);
    WN_NEW(c->tokens, c->start[c->rows] + 1);
    WN_NEW(c->prior, c->start[c->rows] + 1);
    return WN_OK;
}

wn_err wn_given_choices(wn_choice_scores *out, wn_pool *rows, const char *path, const char *metric)
{
    struct choices c = {.out = out, .metric = metric};
    wn_err err = make_room(out, rows);
    if (err == WN_OK)
        err = wn_given_read(rows, path, take_choices, &c);
    if (err) {
        wn_choice_scores_free(out);
        return err;
    }
    if (!c.priors) {
        wn_free(out->prior);
        out->prior = NULL;
    }
    return WN_OK;
}
