/* Whole paths from rows of text to numbers: embeddings of a sentence-transformers folder, losses of
 * targets and of choices that share their prompt. */
#include "base/par.h"
#include "eval/eval.h"
#include "feature/embed.h"
#include "golden_model.h"

#define LOSS_LIMIT  2e-5 /* relative */
#define STATE_LIMIT 5e-5 /* largest difference, of the RMS */

static wn_pool *open_rows(const char *name)
{
    char path[GOLDEN_PATH];
    wn_pool *p = NULL;
    GOLDEN_OK(wn_pool_open(&p, golden_path(path, "models/%s", name), NULL, true));
    return p;
}

/* ---- embeddings --------------------------------------------------------------------------------
 */

struct vectors {
    float *v;
    size_t D, n;
    const int32_t *off;
};

static wn_err keep(void *ctx, uint64_t row, const wn_row *r, const float *vector, uint32_t tokens)
{
    struct vectors *out = ctx;
    char id[16];
    snprintf(id, sizeof id, "t%zu", out->n);
    cr_expect_eq(row, out->n);
    cr_expect(wn_span_is(r->id, id));
    cr_expect_eq(tokens, (uint32_t)(out->off[row + 1] - out->off[row]));
    memcpy(out->v + out->n++ * out->D, vector, out->D * sizeof *vector);
    return WN_OK;
}

Test(golden_eval, embeddings)
{
    static const struct {
        const char *pooling, *normalize, *expected;
    } way[] = {{NULL, NULL, "embedding"},
               {"mean", "no", "mean"},
               {"cls", "no", "cls"},
               {"last", "no", "last"},
               {"weighted", "no", "weighted"}};
    wn_model *m = golden_model("models/sentence-tiny", false, NULL);
    wn_safetensors *e = golden_open("models/sentence-tiny");
    wn_pool *p = open_rows("texts.jsonl");
    size_t D = wn_model_facts_of(m)->width, rows = wn_pool_rows(p);
    struct vectors got = {golden_alloc(rows, D * sizeof(float)), D, 0,
                          golden_i32(e, NULL, "texts.off")};
    for (size_t i = 0; i < sizeof way / sizeof *way; i++) {
        wn_embed_rule rule;
        wn_embed_opts o = {.pooling = way[i].pooling, .normalize = way[i].normalize};
        wn_encode_counts counts = {0};
        size_t n;
        got.n = 0;
        GOLDEN_OK(wn_embed_rule_init(&rule, m, &o));
        GOLDEN_OK(wn_embed_rows(m, p, 0, rows, &rule, keep, &got, &counts));
        cr_assert_eq(got.n, rows);
        cr_expect_eq(counts.prompts_cut, 1);
        float *want = golden_f32(e, &n, "texts.%s", way[i].expected);
        cr_assert_eq(n, rows * D);
        GOLDEN_WORST(got.v, want, n, STATE_LIMIT, "%s", way[i].expected);
    }
    wn_pool_close(p);
    wn_safetensors_close(e);
    wn_model_close(m);
}

/* ---- losses ------------------------------------------------------------------------------------
 */

static void near_nll(double got, double want, const char *what, size_t i)
{
    cr_expect(fabs(got - want) <= LOSS_LIMIT * want, "%s %zu: nll %.9g, expected %.9g", what, i,
              got, want);
}

static void check_rows(const char *path)
{
    wn_model *m = golden_model(path, false, NULL);
    wn_safetensors *e = golden_open(path);
    wn_encode_rule rule = {.shape = WN_SHAPE_DECODER, .max_tokens = 64};
    wn_encode_counts counts = {0};
    wn_pool *p = open_rows("rows.jsonl");
    size_t n;
    float *want = golden_f32(e, &n, "rows.nll");
    int32_t *tokens = golden_i32(e, NULL, "rows.count");
    cr_assert_eq(wn_pool_rows(p), n);
    double *nll = golden_alloc(n, sizeof *nll);
    uint32_t *count = golden_alloc(n, sizeof *count);
    GOLDEN_OK(wn_nll_rows(nll, count, m, p, &rule, &counts, NULL));
    for (size_t i = 0; i < n; i++) {
        near_nll(nll[i], want[i], "row", i);
        cr_expect_eq(count[i], (uint32_t)tokens[i]);
    }
    wn_pool_close(p);
    wn_safetensors_close(e);
    wn_model_close(m);
}

static void check_choices(const char *path)
{
    wn_model *m = golden_model(path, false, NULL);
    wn_safetensors *e = golden_open(path);
    wn_encode_rule rule = {.shape = WN_SHAPE_DECODER, .max_tokens = 64};
    wn_encode_counts counts = {0};
    wn_choice_scores got = {0};
    wn_pool *p = open_rows("rank.jsonl");
    wn_row row = {0};
    size_t rows;
    int32_t *choices = golden_i32(e, &rows, "rank.choices"),
            *count = golden_i32(e, NULL, "rank.count");
    float *want = golden_f32(e, NULL, "rank.nll");
    GOLDEN_OK(wn_rank_rows(&got, m, p, &rule, &counts, NULL));
    cr_assert_eq(got.rows, rows);
    size_t at = 0;
    for (size_t r = 0; r < rows; r++) {
        size_t best = 0, found, first = at;
        cr_assert_eq(got.start[r], at);
        for (int32_t c = 0; c < choices[r]; c++, at++) {
            near_nll(got.nll[at], want[at], "choice", at);
            cr_expect_eq(got.tokens[at], (uint32_t)count[at]);
            best = want[at] < want[first + best] ? (size_t)c : best;
        }
        GOLDEN_OK(wn_pool_row(p, r, &row));
        GOLDEN_OK(wn_rank_best(&found, &got, &row, WN_NORM_NONE));
        cr_expect_eq(found, best, "row %zu: choice %zu, expected %zu", r, found, best);
    }
    cr_expect_eq(got.start[rows], at);
    wn_row_free(&row);
    wn_choice_scores_free(&got);
    wn_pool_close(p);
    wn_safetensors_close(e);
    wn_model_close(m);
}

Test(golden_eval, losses_of_rows)
{
    check_rows("models/llama-tiny");
    check_rows("models/llama-untied");
}

Test(golden_eval, losses_of_choices)
{
    check_choices("models/llama-tiny");
    check_choices("models/llama-untied");
}
