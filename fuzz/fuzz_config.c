/* libFuzzer target: bytes as the config.json of a model, or, where they begin a list, as its
 * modules.json. The weights beside it are those of seeds/config: one layer of width 8, under the
 * names of BERT, Llama and T5. What opens must run. */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/safetensors.h"
#include "model/model.h"

enum { D = 8, F = 12, V = 10, P = 16, MOST = 64 };

static char folder[] = "/tmp/wn_fuzz_XXXXXX";
static float numbers[V * F > P *D ? V *F : P *D];
static wn_tensor tensors[MOST];
static size_t n_tensors;

static void add(const char *name, uint64_t rows, uint64_t cols)
{
    wn_tensor *t = &tensors[n_tensors++];
    *t = (wn_tensor){.name = name,
                     .dtype = WN_F32,
                     .ndim = cols ? 2 : 1,
                     .dim = {rows, cols},
                     .data = numbers,
                     .bytes = rows * (cols ? cols : 1) * sizeof(float)};
}

static void put(const char *name, const void *bytes, size_t n)
{
    char path[96];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    if (!f)
        abort();
    fwrite(bytes, 1, n, f);
    fclose(f);
}

static void put_weights(void)
{
    static const char *const square[] = {
        "encoder.layer.0.attention.self.query",    "encoder.layer.0.attention.self.key",
        "encoder.layer.0.attention.self.value",    "encoder.layer.0.attention.output.dense",
        "model.layers.0.self_attn.q_proj",         "model.layers.0.self_attn.k_proj",
        "model.layers.0.self_attn.v_proj",         "model.layers.0.self_attn.o_proj",
        "encoder.block.0.layer.0.SelfAttention.q", "encoder.block.0.layer.0.SelfAttention.k",
        "encoder.block.0.layer.0.SelfAttention.v", "encoder.block.0.layer.0.SelfAttention.o"};
    static char weight[12][64], bias[12][64], path[64];
    for (size_t i = 0; i < V * F; i++)
        numbers[i] = (float)(i % 7) * 0.1F - 0.3F;
    add("embeddings.word_embeddings.weight", V, D);
    add("embeddings.position_embeddings.weight", P, D);
    add("embeddings.token_type_embeddings.weight", 2, D);
    add("embeddings.LayerNorm.weight", D, 0);
    add("embeddings.LayerNorm.bias", D, 0);
    add("model.embed_tokens.weight", V, D);
    add("shared.weight", V, D);
    for (size_t i = 0; i < 12; i++) {
        snprintf(weight[i], sizeof weight[i], "%s.weight", square[i]);
        add(weight[i], D, D);
        snprintf(bias[i], sizeof bias[i], "%s.bias", square[i]);
        if (i < 4)
            add(bias[i], D, 0);
    }
    add("encoder.layer.0.attention.output.LayerNorm.weight", D, 0);
    add("encoder.layer.0.attention.output.LayerNorm.bias", D, 0);
    add("encoder.layer.0.intermediate.dense.weight", F, D);
    add("encoder.layer.0.intermediate.dense.bias", F, 0);
    add("encoder.layer.0.output.dense.weight", D, F);
    add("encoder.layer.0.output.dense.bias", D, 0);
    add("encoder.layer.0.output.LayerNorm.weight", D, 0);
    add("encoder.layer.0.output.LayerNorm.bias", D, 0);
    add("model.layers.0.input_layernorm.weight", D, 0);
    add("model.layers.0.post_attention_layernorm.weight", D, 0);
    add("model.layers.0.mlp.gate_proj.weight", F, D);
    add("model.layers.0.mlp.up_proj.weight", F, D);
    add("model.layers.0.mlp.down_proj.weight", D, F);
    add("model.norm.weight", D, 0);
    add("encoder.block.0.layer.0.layer_norm.weight", D, 0);
    add("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", 8, 2);
    add("encoder.block.0.layer.1.layer_norm.weight", D, 0);
    add("encoder.block.0.layer.1.DenseReluDense.wi.weight", F, D);
    add("encoder.block.0.layer.1.DenseReluDense.wo.weight", D, F);
    add("encoder.final_layer_norm.weight", D, 0);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    if (wn_safetensors_write(path, tensors, n_tensors, NULL))
        abort();
}

static void make_folder(void)
{
    static const char words[] =
        "{\"version\": \"1.0\", \"added_tokens\": [], \"normalizer\": null, \"pre_tokenizer\": "
        "{\"type\": \"BertPreTokenizer\"}, \"post_processor\": null, \"decoder\": null, \"model\": "
        "{\"type\": \"WordPiece\", \"unk_token\": \"a\", \"continuing_subword_prefix\": \"##\", "
        "\"max_input_chars_per_word\": 100, \"vocab\": {\"a\": 0, \"b\": 1, \"c\": 2}}}";
    if (!mkdtemp(folder))
        abort();
    put("tokenizer.json", words, sizeof words - 1);
    put_weights();
}

static void use(wn_model *m)
{
    static const int32_t id[] = {0, 1, 2};
    static const uint32_t off[] = {0, 2, 3};
    const wn_batch b = {.B = 2, .T = 3, .id = id, .off = off};
    wn_work *w;
    float hidden[3 * D];
    if (wn_model_facts_of(m)->width != D)
        return;
    if (wn_work_new(&w, m, 3, 2, 1, WN_WORK_FORWARD))
        return;
    wn_err e = wn_model_hidden(m, w, &b, 0, hidden);
    WN_ASSERT(!e || wn_error_message()[0]);
    wn_work_free(w);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed)
{
    return fuzz_mutate_numbers(data, size, most, seed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char plain[] =
        "{\"model_type\": \"llama\", \"hidden_size\": 8, \"num_hidden_layers\": 1, "
        "\"num_attention_heads\": 2, \"intermediate_size\": 12, \"vocab_size\": 10, "
        "\"max_position_embeddings\": 16, \"hidden_act\": \"silu\", \"tie_word_embeddings\": true}";
    static bool made;
    if (!made)
        make_folder();
    made = true;
    bool list = size && data[0] == '[';
    size_t before = wn_mem_live();
    wn_model *m;
    char path[96];
    snprintf(path, sizeof path, "%s/modules.json", folder);
    if (list)
        put("modules.json", data, size);
    else
        remove(path);
    put("config.json", list ? (const void *)plain : data, list ? sizeof plain - 1 : size);
    if (!wn_model_open(&m, folder, &(wn_model_opts){.precision = WN_PRECISION_F32})) {
        use(m);
        wn_model_close(m);
    }
    WN_ASSERT(wn_mem_live() == before);
    return 0;
}
