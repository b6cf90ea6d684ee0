/* T5 (Raffel et al. 2019, arXiv 1910.10683): encoder and decoder of root mean square norms before
 * each half, relative position buckets instead of positions, one table a stack, scores not divided.
 * v1.0: ReLU, output tied to the embedding and scaled by width^-1/2; v1.1, lm-adapt, flan, mT5,
 * ByT5: gated GELU, an output matrix of its own. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/internal.h"

static const char *const types[] = {"t5", "mt5"};

bool wn_t5_knows(const char *model_type)
{
    return strcmp(model_type, "t5") == 0 || strcmp(model_type, "mt5") == 0;
}

const char *wn_t5_name(size_t i)
{
    return i < 2 ? types[i] : NULL;
}

static wn_err read_stack(wn_model *m, wn_stack *s, const char *layers)
{
    const char *proj = wn_config_text(m, "feed_forward_proj", "relu");
    WN_TRY(wn_config_size(&s->D, m, "d_model", 0, true));
    WN_TRY(wn_config_size(&s->L, m, "num_layers", 0, true));
    WN_TRY(wn_config_size(&s->L, m, layers, s->L, false));
    WN_TRY(wn_config_size(&s->H, m, "num_heads", 0, true));
    WN_TRY(wn_config_size(&s->d, m, "d_kv", 0, true));
    WN_TRY(wn_config_size(&s->F, m, "d_ff", 0, true));
    WN_TRY(wn_config_size(&s->buckets, m, "relative_attention_num_buckets", 32, false));
    WN_TRY(wn_config_size(&s->max_distance, m, "relative_attention_max_distance", 128, false));
    s->G = s->H;
    s->scale = 1;
    s->gated = strncmp(proj, "gated-", 6) == 0;
    if (strcmp(proj, "relu") == 0)
        s->act = WN_ACT_RELU;
    else if (strcmp(proj, "gated-gelu") == 0) /* the tanh form */
        s->act = WN_ACT_GELU_TANH;
    else if (strcmp(proj, "gated-silu") == 0)
        s->act = WN_ACT_SILU;
    else
        return wn_fail(WN_EFORMAT, "%s: feed_forward_proj \"%s\" is not supported", m->files.place,
                       proj);
    return wn_layer_new(m, s);
}

struct part {
    wn_model *m;
    wn_stack *s;
    const char *stack; /* "encoder" or "decoder" */
    size_t layer;
    float eps;
};

static wn_err linear(const struct part *p, wn_linear *l, int sub, const char *name, size_t N,
                     size_t K)
{
    char full[128];
    snprintf(full, sizeof full, "%s.block.%zu.layer.%d.%s", p->stack, p->layer, sub, name);
    return wn_build_linear(p->m, l, full, N, K, &(wn_linear_form){0});
}

static wn_err norm(const struct part *p, wn_norm *n, int sub)
{
    char full[128];
    snprintf(full, sizeof full, "%s.block.%zu.layer.%d.layer_norm", p->stack, p->layer, sub);
    return wn_build_norm(p->m, n, full, p->s->D, &(wn_norm_form){p->eps, true, false, 0});
}

static wn_err buckets(const struct part *p)
{
    char name[128];
    const wn_tensor *t;
    wn_model *m = p->m;
    wn_stack *s = p->s;
    size_t i;
    snprintf(name, sizeof name, "%s.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
             p->stack);
    WN_TRY(wn_weights_get(&t, &m->files, name, s->buckets, s->H));
    WN_TRY(wn_params_add(&m->params, &i, name, s->buckets, s->H, true));
    float *value;
    WN_NEW(value, s->buckets * s->H);
    m->params.p[i].value = value;
    m->params.p[i].use = WN_PARAM_BIAS_TABLE;
    s->bias = (int)i;
    return wn_weights_rows(value, &m->files, t, 0, s->buckets, (wn_row_order){0});
}

static wn_err build_layer(const struct part *p, bool cross)
{
    const wn_stack *s = p->s;
    wn_layer *l = &s->layer[p->layer];
    size_t all = s->H * s->d;
    int mlp = cross ? 2 : 1;
    l->n_qkv = 3;
    WN_TRY(linear(p, &l->qkv[0], 0, "SelfAttention.q", all, s->D));
    WN_TRY(linear(p, &l->qkv[1], 0, "SelfAttention.k", all, s->D));
    WN_TRY(linear(p, &l->qkv[2], 0, "SelfAttention.v", all, s->D));
    WN_TRY(linear(p, &l->out, 0, "SelfAttention.o", s->D, all));
    if (p->layer == 0)
        WN_TRY(buckets(p));
    WN_TRY(norm(p, &l->attn_in, 0));
    if (cross) {
        WN_TRY(linear(p, &l->cross_q, 1, "EncDecAttention.q", all, s->D));
        WN_TRY(linear(p, &l->cross_k, 1, "EncDecAttention.k", all, s->D));
        WN_TRY(linear(p, &l->cross_v, 1, "EncDecAttention.v", all, s->D));
        WN_TRY(linear(p, &l->cross_out, 1, "EncDecAttention.o", s->D, all));
        WN_TRY(norm(p, &l->cross_in, 1));
    }
    l->n_up = s->gated ? 2 : 1;
    WN_TRY(linear(p, &l->up[0], mlp, s->gated ? "DenseReluDense.wi_0" : "DenseReluDense.wi", s->F,
                  s->D));
    if (s->gated)
        WN_TRY(linear(p, &l->up[1], mlp, "DenseReluDense.wi_1", s->F, s->D));
    WN_TRY(linear(p, &l->down, mlp, "DenseReluDense.wo", s->D, s->F));
    return norm(p, &l->mlp_in, mlp);
}

static wn_err build_stack(wn_model *m, wn_stack *s, const char *name, float eps, wn_norm *final,
                          bool cross)
{
    struct part p = {.m = m, .s = s, .stack = name, .eps = eps};
    char full[64];
    for (; p.layer < s->L; p.layer++)
        WN_TRY(build_layer(&p, cross));
    snprintf(full, sizeof full, "%s.final_layer_norm", name);
    return wn_build_norm(m, final, full, s->D, &(wn_norm_form){eps, true, false, 0});
}

/* A checkpoint of the encoder alone (GTR, Sentence-T5): it is the model's only stack. */
static wn_err build_encoder(wn_model *m, float eps)
{
    WN_TRY(read_stack(m, &m->stack, "num_layers"));
    m->facts.shape = WN_SHAPE_ENCODER;
    return build_stack(m, &m->stack, "encoder", eps, &m->final_norm, false);
}

wn_err wn_build_t5(wn_model *m)
{
    double eps;
    bool tied, scaled;
    size_t start;
    WN_TRY(wn_config_size(&m->facts.vocab, m, "vocab_size", 0, true));
    WN_TRY(wn_config_size(&m->facts.width, m, "d_model", 0, true));
    WN_TRY(wn_config_real(&eps, m, "layer_norm_epsilon", 1e-6));
    WN_TRY(wn_config_flag(&tied, m, "tie_word_embeddings", true));
    /* transformers 5 writes every T5 as tied; one that is not scaled has a matrix of its own */
    WN_TRY(wn_config_flag(&scaled, m, "scale_decoder_outputs", tied));
    tied = tied && (scaled || !wn_weights_find(&m->files, "lm_head.weight"));
    WN_TRY(wn_config_size(&start, m, "decoder_start_token_id", 0, false));
    m->facts.family = wn_config_text(m, "model_type", "t5");
    m->facts.decoder_start = (int32_t)start;
    m->facts.ends_in_eos = true;
    const char *shared = wn_weights_find(&m->files, "shared.weight")
                             ? "shared.weight"
                             : "encoder.embed_tokens.weight";
    WN_TRY(wn_build_table(m, &m->token, shared, m->facts.vocab, m->facts.width));
    if (m->states_only || !wn_weights_find(&m->files, "decoder.final_layer_norm.weight"))
        return build_encoder(m, (float)eps);
    WN_TRY(read_stack(m, &m->encoder, "num_layers"));
    WN_TRY(read_stack(m, &m->stack, "num_decoder_layers"));
    m->stack.causal = true;
    m->facts.shape = WN_SHAPE_ENCDEC;
    WN_TRY(build_stack(m, &m->encoder, "encoder", (float)eps, &m->encoder_norm, false));
    WN_TRY(build_stack(m, &m->stack, "decoder", (float)eps, &m->final_norm, true));
    WN_TRY(wn_build_head(m, "lm_head.weight", tied));
    if (scaled)
        m->head.scale = (float)(1 / sqrt((double)m->stack.D));
    return WN_OK;
}
