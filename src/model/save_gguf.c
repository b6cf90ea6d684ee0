/* A GGUF file as a Hugging Face folder: what its metadata says in the words of config.json, and its
 * tensors under their own names, in their own order, as floats. */
#include <math.h>
#include <string.h>

#include "model/greedy.h"
#include "model/save.h"

static const char *const classes[][2] = {
    {"llama", "LlamaForCausalLM"},        {"mistral", "MistralForCausalLM"},
    {"qwen2", "Qwen2ForCausalLM"},        {"qwen3", "Qwen3ForCausalLM"},
    {"smollm3", "SmolLM3ForCausalLM"},    {"gemma", "GemmaForCausalLM"},
    {"gemma2", "Gemma2ForCausalLM"},      {"gemma3_text", "Gemma3ForCausalLM"},
    {"phi3", "Phi3ForCausalLM"},          {"olmo2", "Olmo2ForCausalLM"},
    {"gpt2", "GPT2LMHeadModel"},          {"gpt_neox", "GPTNeoXForCausalLM"},
    {"bloom", "BloomForCausalLM"},        {"bert", "BertModel"},
    {"t5", "T5ForConditionalGeneration"},
};

/* Members that a family's configuration has under names of its own. */
static const char *const renamed[][3] = {
    {"gpt2", "hidden_size", "n_embd"},
    {"gpt2", "num_hidden_layers", "n_layer"},
    {"gpt2", "num_attention_heads", "n_head"},
    {"gpt2", "max_position_embeddings", "n_positions"},
    {"gpt2", "intermediate_size", "n_inner"},
    {"gpt2", "hidden_act", "activation_function"},
    {"bloom", "num_hidden_layers", "n_layer"},
    {"bloom", "num_attention_heads", "n_head"},
    {"bloom", "max_position_embeddings", "seq_length"},
    {"gpt_neox", "layer_norm_epsilon", "layer_norm_eps"},
};

wn_err wn_save_gguf_can(const wn_model *m)
{
    if (strcmp(wn_tokenizer_facts(m->tokenizer)->kind, "unigram") != 0)
        return WN_OK;
    return wn_fail(WN_EARG,
                   "%s: a folder is not written of this GGUF file: no tokenizer.json says what its "
                   "SentencePiece unigram does; expected the model's Hugging Face folder, or an "
                   "adapter used on it as it is",
                   m->files.path);
}

static void rename_members(json_t *c, const char *type)
{
    for (size_t i = 0; i < sizeof renamed / sizeof *renamed; i++) {
        json_t *v = json_object_get(c, renamed[i][1]);
        if (strcmp(renamed[i][0], type) != 0 || !v)
            continue;
        json_object_set(c, renamed[i][2], v);
        json_object_del(c, renamed[i][1]);
    }
}

/* Which layers see a window, where a family has both kinds. */
static void put_layer_types(json_t *c, const wn_model *m)
{
    json_t *kinds = json_array();
    size_t windowed = 0;
    for (size_t i = 0; i < m->stack.L; i++) {
        bool sliding = m->stack.layer[i].window > 0;
        windowed += sliding;
        json_array_append_new(kinds, json_string(sliding ? "sliding_attention" : "full_attention"));
    }
    if (windowed && windowed < m->stack.L)
        json_object_set(c, "layer_types", kinds);
    json_decref(kinds);
}

/* Frequencies that the file holds as divisors: the reference wants both lists. */
static void complete_rope(json_t *c)
{
    json_t *rope = json_object_get(c, "rope_parameters");
    json_t *factors = json_object_get(rope, "short_factor");
    if (!factors)
        return;
    if (!json_object_get(rope, "long_factor"))
        json_object_set(rope, "long_factor", factors);
    json_t *original = json_object_get(rope, "original_max_position_embeddings");
    json_int_t n = (json_int_t)json_number_value(original);
    json_object_set_new(rope, "original_max_position_embeddings", json_integer(n));
    json_object_set_new(c, "original_max_position_embeddings", json_integer(n));
}

static json_t *number_or_null(double x)
{
    return x > 0 ? json_real(x) : json_null();
}

/* What the file leaves to its reader and the reference's configuration has other defaults for. */
static void put_defaults(json_t *c, const wn_model *m, const char *type)
{
    const wn_stack *s = &m->stack;
    if (json_object_get(c, "rope_parameters") && strcmp(type, "gpt_neox") != 0)
        json_object_set_new(c, "head_dim", json_integer((json_int_t)s->d));
    if (strcmp(type, "gemma2") == 0 || strcmp(type, "gemma3_text") == 0) {
        double scale = s->scale;
        json_object_set_new(c, "query_pre_attn_scalar", json_integer(lround(1 / (scale * scale))));
        json_object_set_new(c, "attn_logit_softcapping", number_or_null(s->softcap));
        json_object_set_new(c, "final_logit_softcapping", number_or_null(m->head.softcap));
    }
}

static void put_id(json_t *c, const char *key, int32_t id)
{
    json_object_set_new(c, key, id < 0 ? json_null() : json_integer(id));
}

static wn_err write_config(const wn_model *m, const char *dir, const char *dtype)
{
    static const char *const types[][2] = {
        {"f16", "float16"}, {"bf16", "bfloat16"}, {"f32", "float32"}};
    const wn_token_facts *f = wn_tokenizer_facts(m->tokenizer);
    json_t *c = json_deep_copy(m->files.config);
    if (!c)
        return wn_fail_nomem(4096, "a config");
    const char *type = wn_config_text(m, "model_type", ""), *name = "float32";
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (strcmp(classes[i][0], type) == 0)
            json_object_set_new(c, "architectures", json_pack("[s]", classes[i][1]));
    for (size_t i = 0; i < 3; i++)
        name = strcmp(types[i][0], dtype) == 0 ? types[i][1] : name;
    json_object_set_new(c, "torch_dtype", json_string(name));
    rename_members(c, type);
    put_layer_types(c, m);
    complete_rope(c);
    put_defaults(c, m, type);
    put_id(c, "bos_token_id", f->bos);
    put_id(c, "eos_token_id", f->eos);
    if (f->pad >= 0 || m->facts.shape == WN_SHAPE_DECODER) /* whose defaults may lie beyond */
        put_id(c, "pad_token_id", f->pad);
    return wn_save_json(dir, "config.json", c);
}

static wn_err write_generation(const wn_model *m, const char *dir)
{
    const wn_token_facts *f = wn_tokenizer_facts(m->tokenizer);
    wn_ids ends = {0};
    wn_err e = wn_model_ends(&ends, m);
    json_t *c = json_object(), *list = json_array();
    for (size_t i = 0; i < ends.n; i++)
        json_array_append_new(list, json_integer(ends.id[i]));
    put_id(c, "bos_token_id", f->bos);
    put_id(c, "pad_token_id", f->pad);
    json_object_set_new(c, "eos_token_id", list);
    wn_ids_release(&ends);
    if (!e)
        return wn_save_json(dir, "generation_config.json", c);
    json_decref(c);
    return e;
}

static wn_err write_tokenizer(const wn_model *m, const char *dir)
{
    static const char *const keys[] = {"bos_token", "eos_token", "unk_token", "pad_token"};
    const wn_token_facts *f = wn_tokenizer_facts(m->tokenizer);
    const int32_t id[] = {f->bos, f->eos, f->unk, f->pad};
    json_t *j = NULL;
    WN_TRY(wn_tokenizer_json(&j, m->tokenizer));
    WN_TRY(wn_save_json(dir, "tokenizer.json", j));
    j = json_pack("{s:s, s:b}", "tokenizer_class", "PreTrainedTokenizerFast",
                  "clean_up_tokenization_spaces", 0);
    for (int i = 0; j && i < 4; i++) {
        const char *text = id[i] < 0 ? NULL : wn_tokenizer_token(m->tokenizer, id[i]);
        if (text)
            json_object_set_new(j, keys[i], json_string(text));
    }
    if (j && f->chat_template)
        json_object_set_new(j, "chat_template", json_string(f->chat_template));
    return wn_save_json(dir, "tokenizer_config.json", j);
}

wn_err wn_save_gguf_rest(const wn_model *m, const char *dir, const char *dtype)
{
    WN_TRY(write_config(m, dir, dtype ? dtype : "f32"));
    if (m->head.V || m->facts.shape != WN_SHAPE_ENCODER)
        WN_TRY(write_generation(m, dir));
    return write_tokenizer(m, dir);
}

wn_err wn_save_gguf_tensors(wn_tensor **t, const wn_param ***param, size_t *n, const wn_model *m)
{
    *n = 0;
    WN_NEW(*t, m->params.n);
    WN_NEW(*param, m->params.n);
    for (size_t i = 0; i < m->params.n; i++) {
        const wn_param *p = &m->params.p[i];
        if (p->adapter)
            continue;
        bool vector = p->cols == 1 && !p->decay;
        (*t)[*n] = (wn_tensor){.name = p->name,
                               .dtype = WN_F32,
                               .ndim = vector ? 1 : 2,
                               .dim = {p->rows, vector ? 0 : p->cols}};
        (*param)[(*n)++] = p;
    }
    return WN_OK;
}
