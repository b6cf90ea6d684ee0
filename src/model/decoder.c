/* Decoder-only models: causal stacks with an output head. Llama (Touvron et al. 2023, arXiv 2302.13971):
 * root mean square norms before each half, rotary positions, grouped key/value heads, SiLU-gated
 * feed-forward part. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/internal.h"

/* transformers 4 keeps rope_theta and rope_scaling beside each other, 5 keeps both in rope_parameters. */
static wn_err rope_theta(double *theta, const wn_model *m)
{
    const json_t *config = m->files.config;
    const json_t *scaling = json_object_get(config, "rope_scaling");
    const json_t *both = json_object_get(config, "rope_parameters");
    WN_TRY(wn_config_real(theta, m, "rope_theta", 10000));
    if (json_is_object(both)) {
        scaling = both;
        WN_TRY(wn_json_get_number(theta, both, "rope_theta", false, m->files.place));
    }
    if (!json_is_object(scaling))
        return WN_OK;
    const char *kind = json_string_value(json_object_get(scaling, "rope_type"));
    if (!kind)
        kind = json_string_value(json_object_get(scaling, "type"));
    if (kind && strcmp(kind, "default") != 0)
        return wn_fail(WN_EFORMAT, "%s: rope scaling \"%s\" is not supported", m->files.place, kind);
    return WN_OK;
}

static wn_err build_layer(wn_model *m, size_t i, double eps, bool attn_bias, bool mlp_bias)
{
    wn_stack *s = &m->stack;
    wn_layer *l = &s->layer[i];
    char name[128];
#define NAME(part) (snprintf(name, sizeof name, "model.layers.%zu." part, i), name)
    WN_TRY(wn_build_norm(m, &l->attn_in, NAME("input_layernorm"), s->D, (float)eps, true, false));
    l->n_qkv = 3;
    WN_TRY(wn_build_linear(m, &l->qkv[0], NAME("self_attn.q_proj"), s->H * s->d, s->D, attn_bias, s->d));
    WN_TRY(wn_build_linear(m, &l->qkv[1], NAME("self_attn.k_proj"), s->G * s->d, s->D, attn_bias, s->d));
    WN_TRY(wn_build_linear(m, &l->qkv[2], NAME("self_attn.v_proj"), s->G * s->d, s->D, attn_bias, 0));
    WN_TRY(wn_build_linear(m, &l->out, NAME("self_attn.o_proj"), s->D, s->H * s->d, attn_bias, 0));
    WN_TRY(wn_build_norm(m, &l->mlp_in, NAME("post_attention_layernorm"), s->D, (float)eps, true, false));
    l->n_up = 2;
    WN_TRY(wn_build_linear(m, &l->up[0], NAME("mlp.gate_proj"), s->F, s->D, mlp_bias, 0));
    WN_TRY(wn_build_linear(m, &l->up[1], NAME("mlp.up_proj"), s->F, s->D, mlp_bias, 0));
    WN_TRY(wn_build_linear(m, &l->down, NAME("mlp.down_proj"), s->D, s->F, mlp_bias, 0));
#undef NAME
    l->rope = 0;
    return WN_OK;
}

wn_err wn_build_decoder(wn_model *m)
{
    wn_stack *s = &m->stack;
    double eps, theta;
    bool attn_bias, mlp_bias, tied;
    WN_TRY(wn_config_size(&s->D, m, "hidden_size", 0, true));
    WN_TRY(wn_config_size(&s->L, m, "num_hidden_layers", 0, true));
    WN_TRY(wn_config_size(&s->H, m, "num_attention_heads", 0, true));
    WN_TRY(wn_config_size(&s->G, m, "num_key_value_heads", s->H, false));
    WN_TRY(wn_config_size(&s->d, m, "head_dim", s->D / s->H, false));
    WN_TRY(wn_config_size(&s->F, m, "intermediate_size", 0, true));
    WN_TRY(wn_config_size(&m->facts.vocab, m, "vocab_size", 0, true));
    WN_TRY(wn_config_size(&m->facts.max_positions, m, "max_position_embeddings", 0, true));
    WN_TRY(wn_config_real(&eps, m, "rms_norm_eps", 1e-6));
    WN_TRY(wn_config_flag(&attn_bias, m, "attention_bias", false));
    WN_TRY(wn_config_flag(&mlp_bias, m, "mlp_bias", false));
    WN_TRY(wn_config_flag(&tied, m, "tie_word_embeddings", false));
    WN_TRY(wn_config_act(&s->act, m, "hidden_act"));
    WN_TRY(rope_theta(&theta, m));
    if (s->G == 0 || s->H % s->G || s->d % 2)
        return wn_fail(WN_EFORMAT,
                       "%s: %zu heads over %zu key/value heads of width %zu: expected a multiple and an even width",
                       m->files.place, s->H, s->G, s->d);
    s->causal = s->gated = true;
    s->scale = (float)(1 / sqrt((double)s->d));
    s->rot = s->d;
    s->positions = m->facts.max_positions;
    m->facts.family = "llama";
    m->facts.shape = WN_SHAPE_DECODER;
    m->facts.width = s->D;
    double *freq = wn_malloc(s->rot / 2 * sizeof *freq);
    if (!freq)
        return WN_ENOMEM;
    for (size_t i = 0; i < s->rot / 2; i++)
        freq[i] = 1 / pow(theta, 2.0 * (double)i / (double)s->rot);
    wn_err e = wn_build_rope(&s->rope[0], freq, s->rot, s->positions, 1);
    wn_free(freq);
    WN_TRY(e);
    WN_TRY(wn_build_table(m, &m->token, "model.embed_tokens.weight", m->facts.vocab, s->D));
    WN_TRY(wn_layer_new(m));
    for (size_t i = 0; i < s->L; i++)
        WN_TRY(build_layer(m, i, eps, attn_bias, mlp_bias));
    WN_TRY(wn_build_norm(m, &m->final_norm, "model.norm", s->D, (float)eps, true, false));
    return wn_build_head(m, "lm_head.weight", tied);
}
