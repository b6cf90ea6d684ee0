#include "eval/evidence.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/normal.h"
#include "io/json.h"

/* A row's place among its question's. */
struct place {
    char *question;
    uint64_t row;
};

struct question {
    json_t *evidence; /* NULL: none seen yet */
    json_t *said;     /* paragraphs answered yes */
};

struct judge {
    const wn_pool *rows;
    const wn_predictions *p;
    wn_row row;
    struct place *place;
    uint64_t n_rows;
    struct question *question;
    wn_evidence *out;
};

static wn_err bad(const struct judge *j, const char *what)
{
    return wn_fail(WN_EARG, "%s: row \"%.*s\": %s", wn_pool_path(j->rows), (int)j->row.id.len,
                   j->row.id.p, what);
}

static wn_err parse_row(json_t **v, struct judge *j, uint64_t r)
{
    WN_TRY(wn_pool_row(j->rows, r, &j->row));
    return wn_json_parse(v, j->row.raw.p, j->row.raw.len, wn_pool_path(j->rows));
}

static int by_question(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    int c = strcmp(x->question, y->question);
    return c ? c : (x->row > y->row) - (x->row < y->row);
}

static int by_row(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    return (x->row > y->row) - (x->row < y->row);
}

static wn_err read_questions(struct judge *j)
{
    for (uint64_t r = 0; r < j->n_rows; r++) {
        json_t *v;
        WN_TRY(parse_row(&v, j, r));
        const json_t *q = json_object_get(v, "question");
        bool right = json_is_string(q) || json_is_integer(q);
        wn_str text = {0};
        wn_err err = right ? wn_json_dump(&text, q, 0, false) : WN_OK;
        j->place[r] = (struct place){text.p, r}; /* a number and its digits as a text differ */
        json_decref(v);
        if (!right)
            return bad(j, "evidence-f1 needs the field question, a text or a number");
        WN_TRY(err);
    }
    return WN_OK;
}

/* Numbers questions by their first rows: of_row [rows]. */
static wn_err number_questions(struct judge *j)
{
    size_t *first, n = 0; /* of each row: the first row of its question */
    WN_NEW(first, j->n_rows);
    qsort(j->place, j->n_rows, sizeof *j->place, by_question);
    for (uint64_t i = 0, begin = 0; i < j->n_rows; i++) {
        if (i && strcmp(j->place[i].question, j->place[begin].question) != 0)
            begin = i;
        first[j->place[i].row] = (size_t)j->place[begin].row;
    }
    qsort(j->place, j->n_rows, sizeof *j->place, by_row);
    for (uint64_t r = 0; r < j->n_rows; r++)
        j->out->of_row[r] = first[r] == r ? n++ : j->out->of_row[first[r]];
    wn_free(first);
    j->out->n = n;
    WN_NEW(j->out->score, n);
    WN_NEW(j->out->rows, n);
    WN_NEW(j->question, n);
    return WN_OK;
}

static bool is_evidence(const json_t *v)
{
    size_t i, k;
    json_t *one, *text;
    if (json_array_size(v) == 0)
        return false;
    json_array_foreach((json_t *)v, i, one)
    {
        if (!json_is_array(one))
            return false;
        json_array_foreach(one, k, text) if (!json_is_string(text)) return false;
    }
    return true;
}

static bool says_yes(wn_span s)
{
    s = wn_trim(s);
    return s.len == 3 && (s.p[0] | 32) == 'y' && (s.p[1] | 32) == 'e' && (s.p[2] | 32) == 's';
}

static wn_err take_row(struct judge *j, const json_t *v, uint64_t r)
{
    struct question *q = &j->question[j->out->of_row[r]];
    json_t *paragraph = json_object_get(v, "paragraph"), *evidence = json_object_get(v, "evidence");
    j->out->rows[j->out->of_row[r]]++;
    if (!json_is_string(paragraph))
        return bad(j, "evidence-f1 needs the field paragraph, a text");
    if (evidence && !is_evidence(evidence))
        return bad(j, "evidence: expected a list of texts for each annotator, at least one");
    if (evidence && q->evidence && !json_equal(evidence, q->evidence))
        return bad(j, "its evidence differs from that of another row of its question");
    if (evidence && !q->evidence)
        q->evidence = json_incref(evidence);
    if (!q->said)
        q->said = json_array();
    if (j->p && says_yes(wn_predictions_get(j->p, r)) && json_array_append(q->said, paragraph) != 0)
        return wn_fail_nomem(64, "paragraphs");
    return q->said ? WN_OK : wn_fail_nomem(64, "paragraphs");
}

static bool among(const json_t *list, size_t n, const json_t *text)
{
    for (size_t i = 0; i < n; i++)
        if (json_equal(json_array_get(list, i), text))
            return true;
    return false;
}

static double against(const json_t *said, const json_t *right)
{
    size_t n = json_array_size(said), m = json_array_size(right), both = 0;
    if (m == 0)
        return n == 0;
    for (size_t i = 0; i < n; i++)
        both += among(right, m, json_array_get(said, i)) &&
                !among(said, i, json_array_get(said, i)); /* each text once */
    double precision = n ? (double)both / (double)n : 0, recall = (double)both / (double)m;
    return both ? 2 * precision * recall / (precision + recall) : 0;
}

static double best_of(const json_t *said, const json_t *annotators)
{
    double best = 0;
    for (size_t i = 0; i < json_array_size(annotators); i++) {
        double f = against(said, json_array_get(annotators, i));
        best = f > best ? f : best;
    }
    return best;
}

static wn_err judge(struct judge *j)
{
    WN_TRY(read_questions(j));
    WN_TRY(number_questions(j));
    for (uint64_t r = 0; r < j->n_rows; r++) {
        json_t *v;
        WN_TRY(parse_row(&v, j, r));
        wn_err err = take_row(j, v, r);
        json_decref(v);
        WN_TRY(err);
    }
    for (uint64_t r = 0; r < j->n_rows; r++)
        if (!j->question[j->out->of_row[r]].evidence) {
            WN_TRY(wn_pool_row(j->rows, r, &j->row));
            return bad(j, "no row of its question has the field evidence");
        }
    for (size_t i = 0; i < j->out->n; i++) {
        j->out->score[i] = best_of(j->question[i].said, j->question[i].evidence);
        j->out->nothing += best_of(NULL, j->question[i].evidence) / (double)j->out->n;
    }
    return WN_OK;
}

wn_err wn_evidence_score(wn_evidence *out, const wn_predictions *p, const wn_pool *rows)
{
    struct judge j = {.rows = rows, .p = p, .n_rows = wn_pool_rows(rows), .out = out};
    *out = (wn_evidence){0};
    out->of_row = wn_calloc(j.n_rows, sizeof *out->of_row);
    j.place = wn_calloc(j.n_rows, sizeof *j.place);
    wn_err err = out->of_row && j.place ? judge(&j) : WN_ENOMEM;
    for (uint64_t r = 0; j.place && r < j.n_rows; r++)
        wn_free(j.place[r].question);
    for (size_t i = 0; j.question && i < out->n; i++) {
        json_decref(j.question[i].evidence);
        json_decref(j.question[i].said);
    }
    wn_free(j.place);
    wn_free(j.question);
    wn_row_free(&j.row);
    if (err)
        wn_evidence_free(out);
    return err;
}

void wn_evidence_free(wn_evidence *e)
{
    wn_free(e->score);
    wn_free(e->of_row);
    wn_free(e->rows);
    *e = (wn_evidence){0};
}
