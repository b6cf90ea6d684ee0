/* BERT encoders (Devlin et al. 2018, arXiv 1810.04805): learned positions and token types, layer norm
 * behind every residual sum, full attention. The pooler and pre-training heads are not read. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/internal.h"

static wn_err build_layer(wn_model *m, size_t i, const wn_norm_form *norm)
{
    static const wn_linear_form biased = {.bias = true};
    wn_stack *s = &m->stack;
    wn_layer *l = &s->layer[i];
    static const char *const qkv[] = {"query", "key", "value"};
    char name[128];
    l->n_qkv = 3;
    for (int k = 0; k < 3; k++) {
        snprintf(name, sizeof name, "encoder.layer.%zu.attention.self.%s", i, qkv[k]);
        WN_TRY(wn_build_linear(m, &l->qkv[k], name, s->D, s->D, &biased));
    }
    snprintf(name, sizeof name, "encoder.layer.%zu.attention.output.dense", i);
    WN_TRY(wn_build_linear(m, &l->out, name, s->D, s->D, &biased));
    snprintf(name, sizeof name, "encoder.layer.%zu.attention.output.LayerNorm", i);
    WN_TRY(wn_build_norm(m, &l->attn_out, name, s->D, norm));
    snprintf(name, sizeof name, "encoder.layer.%zu.intermediate.dense", i);
    l->n_up = 1;
    WN_TRY(wn_build_linear(m, &l->up[0], name, s->F, s->D, &biased));
    snprintf(name, sizeof name, "encoder.layer.%zu.output.dense", i);
    WN_TRY(wn_build_linear(m, &l->down, name, s->D, s->F, &biased));
    snprintf(name, sizeof name, "encoder.layer.%zu.output.LayerNorm", i);
    return wn_build_norm(m, &l->mlp_out, name, s->D, norm);
}

wn_err wn_build_bert(wn_model *m)
{
    wn_stack *s = &m->stack;
    size_t types;
    double eps;
    const char *kind = wn_config_text(m, "position_embedding_type", "absolute");
    if (strcmp(kind, "absolute") != 0)
        return wn_fail(WN_EFORMAT, "%s: position_embedding_type \"%s\" is not supported", m->files.place, kind);
    WN_TRY(wn_config_size(&s->D, m, "hidden_size", 0, true));
    WN_TRY(wn_config_size(&s->L, m, "num_hidden_layers", 0, true));
    WN_TRY(wn_config_size(&s->H, m, "num_attention_heads", 0, true));
    WN_TRY(wn_config_size(&s->F, m, "intermediate_size", 0, true));
    WN_TRY(wn_config_size(&m->facts.vocab, m, "vocab_size", 0, true));
    WN_TRY(wn_config_size(&m->facts.max_positions, m, "max_position_embeddings", 0, true));
    WN_TRY(wn_config_size(&types, m, "type_vocab_size", 2, false));
    WN_TRY(wn_config_real(&eps, m, "layer_norm_eps", 1e-12));
    WN_TRY(wn_config_act(&s->act, m, "hidden_act"));
    if (s->D % s->H)
        return wn_fail(WN_EFORMAT, "%s: hidden_size %zu is no multiple of num_attention_heads %zu",
                       m->files.place, s->D, s->H);
    s->G = s->H;
    s->d = s->D / s->H;
    s->scale = (float)(1 / sqrt((double)s->d));
    s->post_norm = true;
    s->positions = m->facts.max_positions;
    wn_norm_form norm = {(float)eps, false, true, 0};
    m->facts.family = "bert";
    m->facts.shape = WN_SHAPE_ENCODER;
    m->facts.width = s->D;
    if (!wn_weights_find(&m->files, "embeddings.word_embeddings.weight"))
        m->files.prefix = "bert.";
    WN_TRY(wn_build_table(m, &m->token, "embeddings.word_embeddings.weight", m->facts.vocab, s->D));
    WN_TRY(wn_build_table(m, &m->position, "embeddings.position_embeddings.weight", m->facts.max_positions, s->D));
    WN_TRY(wn_build_table(m, &m->type, "embeddings.token_type_embeddings.weight", types, s->D));
    WN_TRY(wn_build_norm(m, &m->embed_norm, "embeddings.LayerNorm", s->D, &norm));
    WN_TRY(wn_layer_new(m));
    for (size_t i = 0; i < s->L; i++)
        WN_TRY(build_layer(m, i, &norm));
    return WN_OK;
}
