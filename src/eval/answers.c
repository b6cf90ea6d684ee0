#include "eval/answers.h"

#include <string.h>

#include "base/mem.h"
#include "eval/given.h"
#include "eval/normal.h"
#include "io/json.h"

wn_err wn_predictions_init(wn_predictions *p, uint64_t rows)
{
    *p = (wn_predictions){.rows = rows};
    WN_NEW(p->start, rows);
    p->len = wn_calloc(rows, sizeof *p->len);
    if (!p->len) {
        wn_predictions_free(p);
        return WN_ENOMEM;
    }
    for (uint64_t r = 0; r < rows; r++)
        p->start[r] = SIZE_MAX;
    return WN_OK;
}

void wn_predictions_free(wn_predictions *p)
{
    wn_str_free(&p->text);
    wn_free(p->start);
    wn_free(p->len);
    *p = (wn_predictions){0};
}

wn_err wn_predictions_set(wn_predictions *p, uint64_t row, wn_span text)
{
    p->start[row] = p->text.len;
    p->len[row] = text.len;
    wn_str_add(&p->text, text.p, text.len);
    return wn_str_check(&p->text);
}

wn_span wn_predictions_get(const wn_predictions *p, uint64_t row)
{
    return (wn_span){p->text.p ? p->text.p + p->start[row] : "", p->len[row]};
}

/* ---- a file of predictions ---- */

static wn_err take_text(void *ctx, uint64_t row, const json_t *line, const char *where)
{
    const json_t *text = json_object_get(line, "prediction");
    if (!json_is_string(text))
        return wn_fail(WN_EFORMAT, "%s: prediction: expected a string", where);
    return wn_predictions_set(ctx, row,
                              (wn_span){json_string_value(text), json_string_length(text)});
}

wn_err wn_predictions_read(wn_predictions *p, wn_pool *rows, const char *path)
{
    WN_TRY(wn_predictions_init(p, wn_pool_rows(rows)));
    wn_err err = wn_given_read(rows, path, take_text, p);
    if (err)
        wn_predictions_free(p);
    return err;
}

/* ---- parsing ---- */

static bool same_letters(wn_span a, wn_span b)
{
    for (size_t i = 0; i < a.len && a.len == b.len; i++) {
        char x = a.p[i], y = b.p[i];
        x = x >= 'A' && x <= 'Z' ? (char)(x - 'A' + 'a') : x;
        y = y >= 'A' && y <= 'Z' ? (char)(y - 'A' + 'a') : y;
        if (x != y)
            return false;
    }
    return a.len == b.len;
}

static bool take_spelling(wn_span *text, const wn_span *list, size_t n)
{
    for (int exact = 1; exact >= 0; exact--)
        for (size_t i = 0; i < n; i++)
            if (exact ? wn_span_same(list[i], *text) : same_letters(wn_trim(list[i]), *text)) {
                *text = list[i];
                return true;
            }
    return false;
}

static wn_span as_spelled(wn_span text, const wn_row *row, const wn_extract *parse)
{
    if (text.len == 0 || take_spelling(&text, row->choices, row->n_choices))
        return text;
    if (wn_extract_letters(parse) && text.len == 1 && text.p[0] >= 'A' &&
        (size_t)(text.p[0] - 'A') < row->n_choices)
        return row->choices[text.p[0] - 'A'];
    if (!take_spelling(&text, row->references, row->n_references) && row->has_target)
        take_spelling(&text, &row->target, 1);
    return text;
}

wn_err wn_predictions_parse(wn_predictions *out, uint64_t *nothing, const wn_predictions *raw,
                            const wn_pool *rows, wn_extract *parse)
{
    wn_row row = {0};
    wn_err err = wn_predictions_init(out, raw->rows);
    *nothing = 0;
    for (uint64_t r = 0; r < raw->rows && err == WN_OK; r++) {
        wn_span text;
        bool found = false;
        err = wn_pool_row(rows, r, &row);
        if (err == WN_OK)
            err = wn_extract_text(&text, &found, parse, wn_predictions_get(raw, r));
        if (err == WN_OK)
            err = wn_predictions_set(out, r, as_spelled(text, &row, parse));
        *nothing += !found;
    }
    wn_row_free(&row);
    if (err)
        wn_predictions_free(out);
    return err;
}

/* ---- scoring ---- */

struct scoring {
    const wn_predictions *p;
    const wn_pool *rows;
    wn_metric_kind kind;
    wn_extract *parse; /* NULL: right answers stand as they are */
    wn_row row, first; /* first: row 0, whose choices name the labels */
    wn_span *answers;  /* of the row at hand */
    size_t answers_cap;
    wn_predictions parsed; /* of the row at hand: one text an answer */
    bool by_place;         /* macro-f1: rows differ in their choices, so labels are their places */
    int labels;
};

static int find_text(const wn_span *list, size_t n, wn_span text)
{
    for (size_t i = 0; i < n; i++)
        if (wn_span_same(list[i], text))
            return (int)i;
    return -1;
}

wn_err wn_answers_check(const wn_row *row, const wn_pool *rows, wn_metric_kind k)
{
    if (!row->has_target && !(row->n_references && !wn_metric_of_losses(k)))
        return wn_fail(WN_EARG, "%s: row \"%.*s\" has no target", wn_pool_path(rows),
                       (int)row->id.len, row->id.p);
    if (!row->n_choices && (k == WN_SCORE_MACRO_F1 || wn_metric_of_values(k)))
        return wn_fail(WN_EARG, "%s: row \"%.*s\" has no choices, which are %s", wn_pool_path(rows),
                       (int)row->id.len, row->id.p,
                       k == WN_SCORE_MACRO_F1 ? "macro-f1's labels" : "what mc1 and mc2 rank");
    return WN_OK;
}

static wn_err fetch(struct scoring *s, uint64_t r)
{
    WN_TRY(wn_pool_row(s->rows, r, &s->row));
    return wn_answers_check(&s->row, s->rows, s->kind);
}

/* Right answers as the chain reads them, where it reads something; each in the scoring's memory. */
static wn_err parse_answers(struct scoring *s, size_t n)
{
    if (!s->parse || !wn_extract_reads_answers(s->parse) || s->row.n_choices)
        return WN_OK;
    wn_predictions_free(&s->parsed);
    WN_TRY(wn_predictions_init(&s->parsed, n));
    for (size_t i = 0; i < n; i++) {
        wn_span text;
        bool found;
        WN_TRY(wn_extract_text(&text, &found, s->parse, s->answers[i]));
        WN_TRY(wn_predictions_set(&s->parsed, i, found ? text : s->answers[i]));
    }
    for (size_t i = 0; i < n; i++)
        s->answers[i] = wn_predictions_get(&s->parsed, i);
    return WN_OK;
}

static wn_err score_row(double *score, struct scoring *s, uint64_t r)
{
    WN_TRY(fetch(s, r));
    const wn_row *row = &s->row;
    size_t n = 0;
    while (s->answers_cap < row->n_references + 1)
        if (!WN_GROW(s->answers, s->answers_cap, s->answers_cap))
            return WN_ENOMEM;
    if (row->has_target)
        s->answers[n++] = row->target;
    for (size_t i = 0; i < row->n_references; i++)
        s->answers[n++] = row->references[i];
    WN_TRY(parse_answers(s, n));
    return wn_metric_row(score, s->kind, wn_predictions_get(s->p, r), s->answers, n);
}

/* Labels are texts where all rows offer the same choices, in whatever order, else places. */
static wn_err find_labels(struct scoring *s)
{
    size_t most = 0;
    WN_TRY(wn_pool_row(s->rows, 0, &s->first));
    for (uint64_t r = 0; r < s->p->rows; r++) {
        WN_TRY(fetch(s, r));
        const wn_row *row = &s->row;
        most = row->n_choices > most ? row->n_choices : most;
        s->by_place |= row->n_choices != s->first.n_choices;
        for (size_t i = 0; i < row->n_choices && !s->by_place; i++)
            s->by_place = find_text(s->first.choices, s->first.n_choices, row->choices[i]) < 0;
    }
    s->labels = (int)most + 1; /* the last: a prediction that is no choice */
    return WN_OK;
}

static int label_of(const struct scoring *s, wn_span text)
{
    const wn_row *from = s->by_place ? &s->row : &s->first;
    int at = find_text(from->choices, from->n_choices, text);
    for (size_t i = 0; i < from->n_choices && at < 0; i++)
        if (wn_span_same(wn_trim(from->choices[i]), wn_trim(text)))
            at = (int)i;
    return at < 0 ? s->labels - 1 : at;
}

static wn_err score_macro(double *score, struct scoring *s)
{
    int *label;
    WN_TRY(find_labels(s));
    WN_NEW(label, 2 * s->p->rows);
    int *gold = label, *predicted = label + s->p->rows;
    wn_err err = WN_OK;
    for (uint64_t r = 0; r < s->p->rows && err == WN_OK; r++) {
        err = fetch(s, r);
        if (err)
            break;
        gold[r] = label_of(s, s->row.target);
        predicted[r] = label_of(s, wn_predictions_get(s->p, r));
    }
    if (err == WN_OK)
        err = wn_macro_f1_rows(score, gold, predicted, s->p->rows, s->labels);
    wn_free(label);
    return err;
}

wn_err wn_predictions_score(double *score, const wn_predictions *p, const wn_pool *rows,
                            wn_metric_kind k, wn_extract *parse)
{
    struct scoring s = {.p = p, .rows = rows, .kind = k, .parse = parse};
    wn_err err = WN_OK;
    if (k == WN_SCORE_MACRO_F1)
        err = score_macro(score, &s);
    for (uint64_t r = 0; k != WN_SCORE_MACRO_F1 && r < p->rows && err == WN_OK; r++)
        err = score_row(&score[r], &s, r);
    wn_free(s.answers);
    wn_predictions_free(&s.parsed);
    wn_row_free(&s.row);
    wn_row_free(&s.first);
    return err;
}

void wn_row_id_json(wn_str *s, const wn_row *row)
{
    wn_span key, value;
    size_t at = 0;
    while (row->raw.len && wn_json_member(row->raw.p, row->raw.len, &at, &key, &value))
        if (wn_span_is(key, "id") && !wn_span_is(value, "null")) {
            wn_str_add(s, value.p, value.len);
            return;
        }
    wn_json_string(s, row->id.p, row->id.len);
}
