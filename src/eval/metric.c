#include "eval/metric.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/normal.h"

static const char *const kind_name[] = {
    [WN_SCORE_ACCURACY] = "accuracy",
    [WN_SCORE_MACRO_F1] = "macro-f1",
    [WN_SCORE_EXACT] = "exact",
    [WN_SCORE_TOKEN_F1] = "token-f1",
    [WN_SCORE_ROUGE_L] = "rouge-l",
    [WN_SCORE_DROP_F1] = "drop-f1",
    [WN_SCORE_NLL] = "nll",
    [WN_SCORE_MICRO_F1] = "micro-f1",
    [WN_SCORE_EVIDENCE_F1] = "evidence-f1",
    [WN_SCORE_MC1] = "mc1",
    [WN_SCORE_MC2] = "mc2",
    [WN_SCORE_PERPLEXITY] = "perplexity",
};

wn_err wn_metric_kind_parse(wn_metric_kind *k, const char *name)
{
    for (size_t i = 0; i < sizeof kind_name / sizeof *kind_name; i++)
        if (strcmp(name, kind_name[i]) == 0) {
            *k = (wn_metric_kind)i;
            return WN_OK;
        }
    return wn_fail(
        WN_EARG,
        "metric \"%s\" is unknown: expected accuracy, micro-f1, macro-f1, exact, token-f1, "
        "rouge-l, drop-f1, evidence-f1, mc1, mc2, nll or perplexity",
        name);
}

const char *wn_metric_kind_name(wn_metric_kind k)
{
    return kind_name[k];
}

bool wn_metric_lower_is_better(wn_metric_kind k)
{
    return wn_metric_of_losses(k);
}

bool wn_metric_of_losses(wn_metric_kind k)
{
    return k == WN_SCORE_NLL || k == WN_SCORE_PERPLEXITY;
}

bool wn_metric_of_values(wn_metric_kind k)
{
    return k == WN_SCORE_MC1 || k == WN_SCORE_MC2;
}

/* ---- one row ---- */

static int by_bytes(const void *a, const void *b)
{
    const wn_span *x = a, *y = b;
    size_t n = x->len < y->len ? x->len : y->len;
    int c = n ? memcmp(x->p, y->p, n) : 0;
    return c ? c : (x->len > y->len) - (x->len < y->len);
}

/* The sort is by content, so the order of equal words cannot show. */
static void sort_words(wn_normal *w)
{
    if (w->n)
        qsort(w->word, w->n, sizeof *w->word, by_bytes);
}

/* Words in both of two sorted lists; a repeated word counts as often as both have it. */
static size_t common(const wn_normal *a, const wn_normal *b)
{
    size_t i = 0, j = 0, n = 0;
    while (i < a->n && j < b->n) {
        int c = by_bytes(&a->word[i], &b->word[j]);
        n += c == 0;
        i += c <= 0;
        j += c >= 0;
    }
    return n;
}

static double f1(double shared, size_t predicted, size_t right)
{
    if (shared == 0)
        return 0;
    double precision = shared / (double)predicted, recall = shared / (double)right;
    return 2 * precision * recall / (precision + recall);
}

static bool same_words(const wn_normal *a, const wn_normal *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!wn_span_same(a->word[i], b->word[i]))
            return false;
    return true;
}

static double token_f1(wn_normal *p, wn_normal *a)
{
    if (p->n == 0 || a->n == 0)
        return p->n == a->n;
    sort_words(p);
    sort_words(a);
    return f1((double)common(p, a), p->n, a->n);
}

/* Longest common subsequence in one row of lengths: row[j] is that of a's words so far and b's
 * first j. */
static wn_err lcs(size_t *length, const wn_normal *a, const wn_normal *b)
{
    size_t *row;
    WN_NEW(row, b->n + 1);
    for (size_t i = 0; i < a->n; i++) {
        size_t diagonal = 0;
        for (size_t j = 0; j < b->n; j++) {
            size_t above = row[j + 1];
            if (wn_span_same(a->word[i], b->word[j]))
                row[j + 1] = diagonal + 1;
            else if (row[j] > above)
                row[j + 1] = row[j];
            diagonal = above;
        }
    }
    *length = row[b->n];
    wn_free(row);
    return WN_OK;
}

static wn_err rouge_l(double *score, const wn_normal *p, const wn_normal *a)
{
    size_t length = 0;
    *score = 0;
    if (p->n == 0 || a->n == 0)
        return WN_OK;
    WN_TRY(lcs(&length, a, p));
    *score = f1((double)length, p->n, a->n);
    return WN_OK;
}

/* ---- DROP ---- */

static void make_set(wn_normal *w)
{
    sort_words(w);
    size_t n = 0;
    for (size_t i = 0; i < w->n; i++)
        if (n == 0 || !wn_span_same(w->word[n - 1], w->word[i]))
            w->word[n++] = w->word[i];
    w->n = n;
}

/* The gate: an answer that has numbers must share one with the prediction. */
static bool numbers_meet(const wn_normal *p, const wn_normal *a)
{
    bool any = false;
    for (size_t i = 0; i < a->n; i++) {
        double v;
        if (!wn_word_is_number(a->word[i], &v))
            continue;
        any = true;
        if (p->n && bsearch(&a->word[i], p->word, p->n, sizeof *p->word, by_bytes))
            return true;
    }
    return !any;
}

static double drop_span(const wn_normal *p, const wn_normal *a)
{
    if (!numbers_meet(p, a))
        return 0;
    double shared = (double)common(p, a);
    double precision = p->n ? shared / (double)p->n : 1, recall = a->n ? shared / (double)a->n : 1;
    return precision + recall > 0 ? 2 * precision * recall / (precision + recall) : 0;
}

/* p is a set already. One predicted span can be aligned with one of the answer's spans; the others
 * score nothing. */
static wn_err drop_f1(double *score, const wn_normal *p, wn_span answer, wn_normal *scratch)
{
    double best = 0;
    size_t spans = 0;
    for (const char *at = answer.p, *end = answer.p + answer.len; at <= end;) {
        const char *newline = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
        const char *stop = newline ? newline : end;
        if (stop > at || answer.len == 0) {
            WN_TRY(wn_normal_drop(scratch, (wn_span){at, (size_t)(stop - at)}));
            make_set(scratch);
            best = fmax(best, drop_span(p, scratch));
            spans++;
        }
        at = stop + 1;
    }
    *score = spans ? rint(best / (double)spans * 100) / 100 : 0;
    return WN_OK;
}

static wn_err cut(wn_normal *w, wn_metric_kind k, wn_span text)
{
    switch (k) {
    case WN_SCORE_ROUGE_L:
        return wn_normal_rouge(w, text);
    case WN_SCORE_DROP_F1:
        WN_TRY(wn_normal_drop(w, text));
        make_set(w);
        return WN_OK;
    default:
        return wn_normal_plain(w, text);
    }
}

static wn_err score_answer(double *score, wn_metric_kind k, wn_normal *p, wn_span answer,
                           wn_normal *a)
{
    if (k == WN_SCORE_DROP_F1)
        return drop_f1(score, p, answer, a);
    WN_TRY(cut(a, k, answer));
    if (k == WN_SCORE_ROUGE_L)
        return rouge_l(score, p, a);
    *score = k == WN_SCORE_EXACT ? same_words(p, a) : token_f1(p, a);
    return WN_OK;
}

wn_err wn_metric_row(double *score, wn_metric_kind k, wn_span prediction, const wn_span *answers,
                     size_t n)
{
    *score = 0;
    if (k == WN_SCORE_ACCURACY || k == WN_SCORE_MICRO_F1) {
        for (size_t i = 0; i < n; i++)
            *score = fmax(*score, wn_span_same(wn_trim(prediction), wn_trim(answers[i])));
        return WN_OK;
    }
    WN_ASSERT(k == WN_SCORE_EXACT || k == WN_SCORE_TOKEN_F1 || k == WN_SCORE_ROUGE_L ||
              k == WN_SCORE_DROP_F1);
    wn_normal p = {0}, a = {0};
    wn_err err = cut(&p, k, prediction);
    for (size_t i = 0; i < n && err == WN_OK; i++) {
        double s = 0;
        err = score_answer(&s, k, &p, answers[i], &a);
        *score = fmax(*score, s);
    }
    wn_normal_free(&p);
    wn_normal_free(&a);
    return err;
}

/* ---- macro-F1 ---- */

/* Of each label: rows that have it in gold, in the predictions, in both. */
struct tally {
    size_t gold, predicted, both;
};

static double tally_f1(const struct tally *t)
{
    return 2.0 * (double)t->both / (double)(t->gold + t->predicted);
}

static void tally_row(struct tally *t, int gold, int predicted, bool add)
{
    size_t one = add ? 1 : (size_t)-1;
    t[gold].gold += one;
    t[predicted].predicted += one;
    if (gold == predicted)
        t[gold].both += one;
}

static double tally_macro(const struct tally *t, int labels)
{
    double sum = 0;
    size_t present = 0;
    for (int l = 0; l < labels; l++)
        if (t[l].gold + t[l].predicted) {
            sum += tally_f1(&t[l]);
            present++;
        }
    return present ? sum / (double)present : 0;
}

static struct tally *tally_all(const int *gold, const int *predicted, size_t n, int labels)
{
    struct tally *t = wn_calloc(labels > 0 ? (size_t)labels : 1, sizeof *t);
    for (size_t i = 0; t && i < n; i++)
        tally_row(t, gold[i], predicted[i], true);
    return t;
}

double wn_macro_f1(const int *gold, const int *predicted, size_t n, int labels)
{
    struct tally *t = tally_all(gold, predicted, n, labels);
    double f = t ? tally_macro(t, labels) : NAN;
    wn_free(t);
    return f;
}

/* Taking a row away changes at most two labels, so the sum over labels is corrected, not made anew.
 */
wn_err wn_macro_f1_rows(double *score, const int *gold, const int *predicted, size_t n, int labels)
{
    struct tally *t = tally_all(gold, predicted, n, labels);
    if (!t)
        return WN_ENOMEM;
    double all = tally_macro(t, labels), sum_all = 0, mean = 0;
    size_t present_all = 0;
    for (int l = 0; l < labels; l++)
        if (t[l].gold + t[l].predicted) {
            sum_all += tally_f1(&t[l]);
            present_all++;
        }
    for (size_t i = 0; i < n; i++) {
        int touched[2] = {gold[i], predicted[i]};
        size_t present = present_all;
        double sum = sum_all;
        for (int k = 0; k < 1 + (touched[0] != touched[1]); k++)
            sum -= tally_f1(&t[touched[k]]), present--;
        tally_row(t, gold[i], predicted[i], false);
        for (int k = 0; k < 1 + (touched[0] != touched[1]); k++)
            if (t[touched[k]].gold + t[touched[k]].predicted)
                sum += tally_f1(&t[touched[k]]), present++;
        tally_row(t, gold[i], predicted[i], true);
        score[i] = (double)n * all - (double)(n - 1) * (present ? sum / (double)present : 0);
        mean += score[i] / (double)n;
    }
    for (size_t i = 0; i < n; i++)
        score[i] += all - mean;
    wn_free(t);
    return WN_OK;
}

/* ---- perplexity ---- */

wn_err wn_perplexity_rows(double *score, const double *nll, const uint32_t *tokens, size_t n)
{
    double sum = 0, count = 0, mean = 0;
    for (size_t i = 0; i < n; i++) {
        sum += nll[i];
        count += tokens[i];
    }
    double all = exp(sum / count);
    for (size_t i = 0; i < n; i++) {
        double without = n > 1 ? exp((sum - nll[i]) / (count - tokens[i])) : 0;
        score[i] = (double)n * all - (double)(n - 1) * without;
        mean += score[i] / (double)n;
    }
    for (size_t i = 0; i < n; i++)
        score[i] += all - mean;
    if (!isfinite(all))
        return wn_fail(WN_EFORMAT, "perplexity of a mean loss of %g a token: not a number",
                       sum / count);
    return WN_OK;
}
