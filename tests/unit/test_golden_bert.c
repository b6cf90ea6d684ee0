/* The encoder against PyTorch: hidden states of a tiny BERT, and a sentence-transformers folder's
 * rules. */
#include "golden_model.h"
#include "pool/pool.h"

#define STATE_LIMIT 5e-5 /* largest difference, of the RMS */

static void check_states(const wn_model *m, const wn_safetensors *e, const char *prefix)
{
    size_t L = wn_model_facts_of(m)->layers, D = wn_model_facts_of(m)->width;
    golden_batch g = golden_batch_of(e, prefix);
    wn_work *w = golden_work(m, &g, false);
    float *h = golden_alloc(g.b.T, D * sizeof *h);
    for (size_t layer = 0; layer <= L; layer++) {
        size_t n;
        float *want = golden_f32(e, &n, "%s.hidden.%zu", prefix, layer ? layer : L);
        cr_assert_eq(n, g.b.T * D);
        GOLDEN_OK(wn_model_hidden(m, w, &g.b, (int)layer, h));
        GOLDEN_WORST(h, want, n, STATE_LIMIT, "%s layer %zu", prefix, layer);
    }
    wn_work_free(w);
}

Test(golden_bert, hidden_states)
{
    wn_model *m = golden_model("models/bert-tiny", false, NULL);
    wn_safetensors *e = golden_open("models/bert-tiny");
    check_states(m, e, "batch.0");
    check_states(m, e, "batch.1");
    check_states(m, e, "batch.2");
    wn_safetensors_close(e);
    wn_model_close(m);
}

Test(golden_bert, float16_weights)
{
    wn_model *m = golden_model("models/sentence-tiny", false, NULL);
    wn_safetensors *e = golden_open("models/sentence-tiny");
    check_states(m, e, "texts");
    wn_safetensors_close(e);
    wn_model_close(m);
}

Test(golden_bert, facts)
{
    wn_model *m = golden_model("models/sentence-tiny", false, NULL);
    const wn_model_facts *f = wn_model_facts_of(m);
    cr_expect_str_eq(f->family, "bert");
    cr_expect_eq(f->shape, WN_SHAPE_ENCODER);
    cr_expect_str_eq(f->dtype, "f16");
    cr_assert(f->sentence);
    cr_expect_eq(f->sentence->n_pooling, 1);
    cr_expect_eq(f->sentence->pooling[0], WN_POOL_MEAN);
    cr_assert_eq(f->sentence->n_part, 1);
    cr_expect_eq(f->sentence->part[0].kind, WN_PART_NORMALIZE);
    cr_expect_eq(f->sentence->max_seq_length, 32);
    wn_model_close(m);
    m = golden_model("models/bert-tiny", false, NULL);
    f = wn_model_facts_of(m);
    cr_expect_null(f->sentence);
    cr_expect_eq(f->max_positions, 64);
    cr_expect_str_eq(f->dtype, "bf16");
    wn_model_close(m);
}
