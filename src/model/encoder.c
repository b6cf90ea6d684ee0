/* Encoders, every family a row of one table: names of the weights and where its norms stand. The
 * loop they share is stack.c. Poolers and pre-training heads are not computed. To add one: a row
 * here and a golden in tests/goldens. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/internal.h"
#include "model/rope.h"

enum {
    BEHIND_PAD = 1, /* positions are counted from pad_token_id + 1 (RoBERTa) */
    PRE_NORM = 2, /* norms before the halves, one behind the last layer; none of them has a bias */
    BUCKETS = 4,  /* T5's relative position buckets, one table for all layers (MPNet) */
    LOCAL = 8,    /* layers by turns see all keys or a window (ModernBERT) */
    POOLER = 32,  /* transformers gives the bare model one, whether or not the checkpoint has it */
    ROTARY = 16   /* BERT with rotary positions, a gate, linear layers without biases (nomic) */
};

typedef struct row {
    const char *type, *prefix; /* model_type; what a checkpoint with a head puts before */
    const char *token, *position, *kind, *embed_norm;
    const char *layers, *q, *k, *v, *out, *attn_norm; /* k NULL: q is q|k|v */
    const char *gate, *up, *down, *mlp_norm, *final;  /* gate NULL: none, or within `up` */
    unsigned flags;
} row;

#define BERT_NAMES(name, before)                                                                   \
    .type = name, .prefix = before, .token = "embeddings.word_embeddings.weight",                  \
    .position = "embeddings.position_embeddings.weight", .embed_norm = "embeddings.LayerNorm",     \
    .layers = "encoder.layer", .up = "intermediate.dense", .down = "output.dense",                 \
    .mlp_norm = "output.LayerNorm"
#define BERT_ATTENTION                                                                             \
    .kind = "embeddings.token_type_embeddings.weight", .q = "attention.self.query",                \
    .k = "attention.self.key", .v = "attention.self.value", .out = "attention.output.dense",       \
    .attn_norm = "attention.output.LayerNorm"

#define NOMIC                                                                                      \
    .type = "nomic_bert", .prefix = "nomic_bert.", .token = "embeddings.word_embeddings.weight",   \
    .kind = "embeddings.token_type_embeddings.weight", .flags = ROTARY

static const row table[] = {
    {BERT_NAMES("bert", "bert."), BERT_ATTENTION, .flags = POOLER},
    {BERT_NAMES("roberta", "roberta."), BERT_ATTENTION, .flags = BEHIND_PAD | POOLER},
    {BERT_NAMES("xlm-roberta", "roberta."), BERT_ATTENTION, .flags = BEHIND_PAD | POOLER},
    {BERT_NAMES("mpnet", "mpnet."), .q = "attention.attn.q", .k = "attention.attn.k",
     .v = "attention.attn.v", .out = "attention.attn.o", .attn_norm = "attention.LayerNorm",
     .flags = BEHIND_PAD | BUCKETS | POOLER},
    {.type = "distilbert",
     .prefix = "distilbert.",
     .token = "embeddings.word_embeddings.weight",
     .position = "embeddings.position_embeddings.weight",
     .embed_norm = "embeddings.LayerNorm",
     .layers = "transformer.layer",
     .q = "attention.q_lin",
     .k = "attention.k_lin",
     .v = "attention.v_lin",
     .out = "attention.out_lin",
     .attn_norm = "sa_layer_norm",
     .up = "ffn.lin1",
     .down = "ffn.lin2",
     .mlp_norm = "output_layer_norm"},
    {.type = "modernbert",
     .prefix = "model.",
     .token = "embeddings.tok_embeddings.weight",
     .embed_norm = "embeddings.norm",
     .layers = "layers",
     .q = "attn.Wqkv",
     .out = "attn.Wo",
     .attn_norm = "attn_norm",
     .up = "mlp.Wi",
     .down = "mlp.Wo",
     .mlp_norm = "mlp_norm",
     .final = "final_norm",
     .flags = PRE_NORM | LOCAL},
    {NOMIC, /* as published */
     .embed_norm = "emb_ln", .layers = "encoder.layers", .q = "attn.Wqkv", .out = "attn.out_proj",
     .attn_norm = "norm1", .gate = "mlp.fc12", .up = "mlp.fc11", .down = "mlp.fc2",
     .mlp_norm = "norm2"},
    {NOMIC, /* as transformers names it */
     .embed_norm = "embeddings.LayerNorm", .layers = "layers", .q = "self_attn.q_proj",
     .k = "self_attn.k_proj", .v = "self_attn.v_proj", .out = "self_attn.o_proj",
     .attn_norm = "post_attention_layernorm", .gate = "mlp.gate_proj", .up = "mlp.up_proj",
     .down = "mlp.down_proj", .mlp_norm = "post_mlp_layernorm"},
};

static const row *find(const char *model_type)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].type, model_type) == 0)
            return &table[i];
    return NULL;
}

/* Of the rows of a type the one whose names this checkpoint has; the last where it has none. */
static const row *choose(wn_model *m, const char *model_type)
{
    const row *r = find(model_type);
    for (; r + 1 < table + sizeof table / sizeof *table; r++) {
        char name[128];
        snprintf(name, sizeof name, "%s.weight", r->embed_norm);
        if (strcmp(r[1].type, model_type) != 0 || wn_weights_find(&m->files, name))
            break;
    }
    return r;
}

bool wn_encoder_knows(const char *model_type)
{
    return find(model_type) != NULL;
}

const char *wn_encoder_name(size_t i)
{
    return i < sizeof table / sizeof *table ? table[i].type : NULL;
}

typedef struct builder {
    wn_model *m;
    const row *r;
    wn_norm_form norm;
    wn_linear_form linear, mlp;
} builder;

/* The first of three keys that is there: families name the same thing differently. */
static wn_err any_size(size_t *out, const wn_model *m, const char *a, const char *b, const char *c)
{
    const char *keys[] = {a, b, c};
    for (int i = 0; i < 3; i++)
        if (json_is_number(json_object_get(m->files.config, keys[i])))
            return wn_config_size(out, m, keys[i], 0, true);
    return wn_config_size(out, m, a, 0, true);
}

/* nomic's own checkpoints: options that no published one sets otherwise are refused; positions
 * beyond those it was trained on stretch the rotation by a row's length. */
static wn_err nomic(wn_model *m)
{
    bool prenorm, fc1, fc2, qkv;
    size_t trained;
    const char *act = wn_config_text(m, "activation_function", "swiglu");
    WN_TRY(wn_config_flag(&prenorm, m, "prenorm", false));
    WN_TRY(wn_config_flag(&fc1, m, "mlp_fc1_bias", false));
    WN_TRY(wn_config_flag(&fc2, m, "mlp_fc2_bias", false));
    WN_TRY(wn_config_flag(&qkv, m, "qkv_proj_bias", false));
    WN_TRY(wn_config_size(&trained, m, "max_trained_positions", m->facts.max_positions, false));
    if (trained && trained < m->facts.max_positions)
        m->facts.max_positions = trained;
    if (prenorm || fc1 || fc2 || qkv || strcmp(act, "swiglu") != 0)
        return wn_fail(
            WN_EFORMAT,
            "%s: nomic_bert with prenorm, biases or activation_function \"%s\": expected "
            "none of them, and swiglu",
            m->files.place, act);
    return WN_OK;
}

static wn_err read_config(builder *b, size_t *types)
{
    wn_model *m = b->m;
    wn_stack *s = &m->stack;
    double eps;
    const char *act = wn_config_text(m, "hidden_activation", NULL) ? "hidden_activation"
                      : wn_config_text(m, "activation", NULL)      ? "activation"
                                                                   : "hidden_act";
    const char *kind = wn_config_text(m, "position_embedding_type", "absolute");
    if (b->r->position && strcmp(kind, "absolute") != 0)
        return wn_fail(WN_EFORMAT, "%s: position_embedding_type \"%s\" is not supported",
                       m->files.place, kind);
    WN_TRY(any_size(&s->D, m, "hidden_size", "dim", "n_embd"));
    WN_TRY(any_size(&s->L, m, "num_hidden_layers", "n_layers", "n_layer"));
    WN_TRY(any_size(&s->H, m, "num_attention_heads", "n_heads", "n_head"));
    WN_TRY(any_size(&s->F, m, "intermediate_size", "hidden_dim", "n_inner"));
    WN_TRY(wn_config_size(&m->facts.vocab, m, "vocab_size", 0, true));
    WN_TRY(any_size(&m->facts.max_positions, m, "max_position_embeddings", "n_positions", ""));
    WN_TRY(wn_config_size(types, m, "type_vocab_size", 2, false));
    WN_TRY(wn_config_real(&eps, m, "norm_eps", 1e-12));
    WN_TRY(wn_config_real(&eps, m, "layer_norm_epsilon", eps));
    WN_TRY(wn_config_real(&eps, m, "layer_norm_eps", eps));
    s->act = WN_ACT_SILU;
    if (!(b->r->flags & ROTARY) || wn_config_text(m, act, NULL))
        WN_TRY(wn_config_act(&s->act, m, act));
    if (b->r->flags & ROTARY)
        WN_TRY(nomic(m));
    if (s->D % s->H)
        return wn_fail(WN_EFORMAT, "%s: width %zu is no multiple of its %zu heads", m->files.place,
                       s->D, s->H);
    s->G = s->H;
    s->d = s->D / s->H;
    s->scale = (float)(1 / sqrt((double)s->d));
    s->post_norm = !(b->r->flags & PRE_NORM);
    s->gated = b->r->flags & (LOCAL | ROTARY);
    if (b->r->flags & BEHIND_PAD) {
        size_t pad;
        WN_TRY(wn_config_size(&pad, m, "pad_token_id", 1, false));
        m->position_offset = pad + 1;
        if (m->facts.max_positions <= m->position_offset)
            return wn_fail(WN_EFORMAT, "%s: max_position_embeddings %zu: expected more than %zu",
                           m->files.place, m->facts.max_positions, m->position_offset);
        m->facts.max_positions -= m->position_offset;
    }
    s->positions = m->facts.max_positions;
    m->facts.family = b->r->type;
    m->facts.shape = WN_SHAPE_ENCODER;
    m->facts.width = s->D;
    b->norm = (wn_norm_form){(float)eps, false, !(b->r->flags & PRE_NORM), 0};
    b->linear = b->mlp = (wn_linear_form){.bias = !(b->r->flags & (PRE_NORM | ROTARY))};
    if (!(b->r->flags & PRE_NORM))
        return WN_OK;
    WN_TRY(wn_config_flag(&b->norm.bias, m, "norm_bias", false));
    WN_TRY(wn_config_flag(&b->linear.bias, m, "attention_bias", false));
    return wn_config_flag(&b->mlp.bias, m, "mlp_bias", false);
}

/* Base frequencies of global and local layers; which layers are which. */
static wn_err local_layers(wn_model *m)
{
    wn_stack *s = &m->stack;
    size_t every, window;
    wn_rope_rule rule;
    const json_t *kinds = json_object_get(m->files.config, "layer_types");
    const json_t *both = json_object_get(m->files.config, "rope_parameters");
    WN_TRY(wn_config_size(&every, m, "global_attn_every_n_layers", 3, false));
    WN_TRY(wn_config_size(&window, m, "local_attention", 128, false));
    WN_TRY(wn_rope_read(&rule, m, "full_attention", 10000));
    if (!json_is_object(json_object_get(both, "full_attention")))
        WN_TRY(wn_config_real(&rule.theta, m, "global_rope_theta", 160000));
    WN_TRY(wn_rope_build(m, 0, &rule));
    WN_TRY(wn_rope_read(&rule, m, "sliding_attention", 10000));
    if (!json_is_object(json_object_get(both, "sliding_attention")))
        WN_TRY(wn_config_real(&rule.theta, m, "local_rope_theta", 10000));
    WN_TRY(wn_rope_build(m, 1, &rule));
    for (size_t i = 0; i < s->L; i++) {
        const char *kind = json_string_value(json_array_get(kinds, i));
        bool local = kind ? strcmp(kind, "sliding_attention") == 0 : every && i % every != 0;
        s->layer[i].rope = local;
        s->layer[i].window =
            local ? window / 2 + 1 : 0; /* half to each side, the query's own place besides */
    }
    return WN_OK;
}

static wn_err rotary(wn_model *m)
{
    wn_rope_rule rule;
    WN_TRY(wn_rope_read(&rule, m, NULL, 10000));
    if (!json_is_object(json_object_get(m->files.config, "rope_parameters")) &&
        !json_is_number(json_object_get(m->files.config, "rotary_emb_base")))
        rule.theta = 1000;
    for (size_t i = 0; i < m->stack.L; i++)
        m->stack.layer[i].rope = 0;
    return wn_rope_build(m, 0, &rule);
}

static wn_err build_buckets(wn_model *m)
{
    const char *name = "encoder.relative_attention_bias.weight";
    const wn_tensor *t;
    wn_stack *s = &m->stack;
    size_t i;
    WN_TRY(wn_config_size(&s->buckets, m, "relative_attention_num_buckets", 32, false));
    WN_TRY(wn_weights_get(&t, &m->files, name, s->buckets, s->H));
    WN_TRY(wn_params_add(&m->params, &i, name, s->buckets, s->H, false));
    float *value;
    WN_NEW(value, s->buckets * s->H);
    m->params.p[i].value = value;
    s->bias = (int)i;
    s->max_distance = 128;
    return wn_weights_rows(value, &m->files, t, 0, s->buckets, (wn_row_order){0});
}

static wn_err build_layer(builder *b, size_t i)
{
    wn_stack *s = &b->m->stack;
    wn_layer *l = &s->layer[i];
    const row *r = b->r;
    char name[128];
    bool pre = r->flags & PRE_NORM;
#define NAME(part) (snprintf(name, sizeof name, "%s.%zu.%s", r->layers, i, part), name)
    l->n_qkv = r->k ? 3 : 1;
    const char *qkv[] = {r->q, r->k, r->v};
    for (int k = 0; k < l->n_qkv; k++)
        WN_TRY(wn_build_linear(b->m, &l->qkv[k], NAME(qkv[k]), r->k ? s->D : 3 * s->D, s->D,
                               &b->linear));
    WN_TRY(wn_build_linear(b->m, &l->out, NAME(r->out), s->D, s->D, &b->linear));
    if (!(r->flags & LOCAL && i == 0)) /* ModernBERT's first layer starts from normed embeddings */
        WN_TRY(wn_build_norm(b->m, pre ? &l->attn_in : &l->attn_out, NAME(r->attn_norm), s->D,
                             &b->norm));
    l->n_up = r->gate ? 2 : 1;
    if (r->gate)
        WN_TRY(wn_build_linear(b->m, &l->up[0], NAME(r->gate), s->F, s->D, &b->mlp));
    WN_TRY(wn_build_linear(b->m, &l->up[l->n_up - 1], NAME(r->up),
                           s->gated && !r->gate ? 2 * s->F : s->F, s->D, &b->mlp));
    WN_TRY(wn_build_linear(b->m, &l->down, NAME(r->down), s->D, s->F, &b->mlp));
    return wn_build_norm(b->m, pre ? &l->mlp_in : &l->mlp_out, NAME(r->mlp_norm), s->D, &b->norm);
#undef NAME
}

wn_err wn_build_encoder(wn_model *m)
{
    builder b = {.m = m, .r = choose(m, wn_config_text(m, "model_type", ""))};
    const row *r = b.r;
    wn_stack *s = &m->stack;
    size_t types;
    WN_TRY(read_config(&b, &types));
    WN_TRY(wn_layer_new(m, &m->stack));
    if (!wn_weights_find(&m->files, r->token))
        m->files.prefix = r->prefix;
    WN_TRY(wn_build_table(m, &m->token, r->token, m->facts.vocab, s->D));
    if (r->position)
        WN_TRY(wn_build_table(m, &m->position, r->position,
                              m->facts.max_positions + m->position_offset, s->D));
    if (r->kind)
        WN_TRY(wn_build_table(m, &m->type, r->kind, types, s->D));
    WN_TRY(wn_build_norm(m, &m->embed_norm, r->embed_norm, s->D, &b.norm));
    if (r->flags & LOCAL)
        WN_TRY(local_layers(m));
    if (r->flags & BUCKETS)
        WN_TRY(build_buckets(m));
    if (r->flags & ROTARY)
        WN_TRY(rotary(m));
    for (size_t i = 0; i < s->L; i++)
        WN_TRY(build_layer(&b, i));
    if (r->flags & POOLER)
        WN_TRY(wn_build_idle(m, &m->pooler, "pooler.dense", s->D, s->D));
    return r->final ? wn_build_norm(m, &m->final_norm, r->final, s->D, &b.norm) : WN_OK;
}
