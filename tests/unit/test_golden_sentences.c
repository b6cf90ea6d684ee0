/* Folders of tests/goldens/sentences against sentence-transformers: pooling of every kind, the
 * parts behind it, prompts, limits. */
#include <dirent.h>

#include "feature/embed.h"
#include "golden_model.h"
#include "io/file.h"

#define VECTOR_LIMIT 2e-5 /* of a vector's length */

static wn_pool *open_rows(void)
{
    char path[GOLDEN_PATH];
    wn_pool *p = NULL;
    GOLDEN_OK(wn_pool_open(&p, golden_path(path, "sentences/rows.jsonl"), NULL, true));
    return p;
}

struct vectors {
    float *v;
    size_t D, n;
};

static wn_err keep(void *ctx, uint64_t row, const wn_row *r, const float *vector, uint32_t tokens)
{
    struct vectors *out = ctx;
    (void)r;
    (void)tokens;
    memcpy(out->v + row * out->D, vector, out->D * sizeof *vector);
    out->n++;
    return WN_OK;
}

static void check_way(const char *folder, wn_model *m, wn_pool *p, const wn_safetensors *e,
                      const char *name, const wn_embed_opts *o)
{
    wn_embed_rule rule;
    wn_encode_counts counts = {0};
    size_t n, rows = wn_pool_rows(p);
    GOLDEN_OK(wn_embed_rule_init(&rule, m, o));
    float *want = golden_f32(e, &n, "%s", name);
    struct vectors got = {golden_alloc(n, sizeof(float)), rule.vector.dim, 0};
    cr_assert_eq(n, rows * got.D, "%s: %s: width %zu", folder, name, got.D);
    GOLDEN_OK(wn_embed_rows(m, p, 0, rows, &rule, keep, &got, &counts));
    cr_assert_eq(got.n, rows);
    for (size_t r = 0; r < rows; r++)
        GOLDEN_NEAR(got.v + r * got.D, want + r * got.D, got.D, VECTOR_LIMIT, "%s: %s: row %zu",
                    folder, name, r);
}

static void check_folder(const char *folder, wn_pool *p)
{
    char path[GOLDEN_PATH];
    wn_model *m = NULL;
    wn_safetensors *e = golden_open(folder);
    size_t ways = 0;
    GOLDEN_OK(wn_model_open(&m, golden_path(path, "%s", folder),
                            &(wn_model_opts){.precision = WN_PRECISION_F32, .states_only = true}));
    for (size_t i = 0; i < wn_safetensors_count(e); i++, ways++) {
        const char *name = wn_safetensors_at(e, i)->name;
        wn_embed_opts o = {0};
        if (strcmp(name, "text") == 0)
            o.prompt = "Represent the sentence: ";
        else if (strncmp(name, "prompt.", 7) == 0)
            o.prompt_name = name + 7;
        check_way(folder, m, p, e, name, &o);
    }
    cr_expect_geq(ways, 2);
    wn_model_close(m);
    wn_safetensors_close(e);
}

Test(golden_sentences, vectors)
{
    static const char *const folders[] = {"bge",    "e5",    "embedding-gemma", "everything", "gte",
                                          "gtr-t5", "order", "qwen3-embedding", "sentence-t5"};
    wn_pool *p = open_rows();
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        char folder[64];
        snprintf(folder, sizeof folder, "sentences/%s", folders[i]);
        check_folder(folder, p);
    }
    wn_pool_close(p);
}

/* ---- what options change ----------------------------------------------------------------------
 */

static wn_model *open_folder(const char *name)
{
    char path[GOLDEN_PATH];
    wn_model *m = NULL;
    GOLDEN_OK(wn_model_open(&m, golden_path(path, "sentences/%s", name),
                            &(wn_model_opts){.precision = WN_PRECISION_F32}));
    return m;
}

static void refused(const wn_model *m, const wn_embed_opts *o, const char *part)
{
    wn_embed_rule r;
    cr_expect_neq(wn_embed_rule_init(&r, m, o), WN_OK, "expected: %s", part);
    cr_expect(strstr(wn_error_message(), part) && !strchr(wn_error_message(), '\n'),
              "expected %s in: %s", part, wn_error_message());
}

Test(golden_sentences, options_and_refusals)
{
    wn_model *m = open_folder("e5");
    wn_embed_rule r;
    GOLDEN_OK(wn_embed_rule_init(&r, m, &(wn_embed_opts){.pooling = "cls+max", .normalize = "no"}));
    cr_expect_eq(r.vector.dim, 40);
    cr_expect_eq(r.vector.n_part, 0);
    cr_expect_eq(r.encode.max_tokens, 40);
    refused(m, &(wn_embed_opts){.prompt_name = "document"}, "only query, passage");
    refused(m, &(wn_embed_opts){.prompt_name = "query", .prompt = "x"}, "exclude each other");
    refused(m, &(wn_embed_opts){.pooling = "mean+median"}, "mean+median");
    refused(m, &(wn_embed_opts){.pooling = ""}, "pooling \"\"");
    wn_model_close(m);
    m = open_folder("gtr-t5");
    refused(m, &(wn_embed_opts){.pooling = "cls+max"}, "takes vectors of width 18");
    refused(m, &(wn_embed_opts){.prompt_name = "query"}, "no prompts");
    wn_model_close(m);
    m = open_folder("everything");
    GOLDEN_OK(wn_embed_rule_init(&r, m, &(wn_embed_opts){.prompt_name = "none"}));
    cr_expect_str_eq(r.prompt, "");
    cr_expect_eq(r.vector.skip, 0);
    GOLDEN_OK(wn_embed_rule_init(&r, m, &(wn_embed_opts){0}));
    cr_expect_str_eq(r.prompt_name, "usual");
    cr_expect_gt(r.vector.skip, 0);
    wn_model_close(m);
}

/* A folder of the encoder alone embeds, and says so when more is asked of it. */
Test(golden_sentences, an_encoder_alone_has_no_losses)
{
    wn_model *m = open_folder("sentence-t5");
    int32_t id[] = {5, 1};
    uint32_t off[] = {0, 2};
    wn_batch b = {.B = 1, .T = 2, .id = id, .off = off};
    wn_work *w = NULL;
    double nll;
    uint32_t count;
    cr_expect_eq(wn_model_facts_of(m)->shape, WN_SHAPE_ENCODER);
    cr_expect_eq(wn_model_facts_of(m)->layers, 2);
    GOLDEN_OK(wn_work_new(&w, m, 2, 1, 1, false));
    cr_expect_eq(wn_model_nll(m, w, &b, &nll, &count), WN_EARG);
    cr_expect(strstr(wn_error_message(), "no output head"), "%s", wn_error_message());
    wn_work_free(w);
    wn_model_close(m);
}
