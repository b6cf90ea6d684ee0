/* Shapes of some models, so that an experiment with them can be planned where they are not. T5's
 * lm-adapted checkpoints have the shape of v1.1. */
#include <string.h>

#include "report/sizes.h"

#define T5(name, d, kv, ff, layers, heads)                                                         \
    {                                                                                              \
        name, "{\"model_type\":\"t5\",\"d_model\":" #d ",\"d_kv\":" #kv ",\"d_ff\":" #ff           \
              ",\"num_layers\":" #layers ",\"num_decoder_layers\":" #layers                        \
              ",\"num_heads\":" #heads ",\"vocab_size\":32128,\"feed_forward_proj\":"              \
              "\"gated-gelu\",\"tie_word_embeddings\":false}"                                      \
    }

static const struct {
    const char *name, *config;
} shapes[] = {
    T5("t5-v1_1-small", 512, 64, 1024, 8, 6),
    T5("t5-v1_1-base", 768, 64, 2048, 12, 12),
    T5("t5-v1_1-large", 1024, 64, 2816, 24, 16),
    T5("t5-v1_1-xl", 2048, 64, 5120, 24, 32),
    T5("t5-v1_1-xxl", 4096, 64, 10240, 24, 64),
    {"all-MiniLM-L6-v2",
     "{\"model_type\":\"bert\",\"hidden_size\":384,\"num_hidden_layers\":6,"
     "\"num_attention_heads\":12,\"intermediate_size\":1536,\"vocab_size\":30522,"
     "\"max_position_embeddings\":512,\"type_vocab_size\":2,\"hidden_act\":\"gelu\"}"},
    {"SmolLM2-135M",
     "{\"model_type\":\"llama\",\"hidden_size\":576,\"num_hidden_layers\":30,"
     "\"num_attention_heads\":9,\"num_key_value_heads\":3,\"intermediate_size\":1536,"
     "\"vocab_size\":49152,\"max_position_embeddings\":8192,\"hidden_act\":\"silu\","
     "\"rms_norm_eps\":1e-05,\"rope_theta\":100000,\"tie_word_embeddings\":true}"},
};

enum { SHAPES = sizeof shapes / sizeof *shapes };

json_t *wn_shape_config(const char *name)
{
    json_t *config = NULL;
    for (size_t i = 0; i < SHAPES; i++)
        if (strcmp(shapes[i].name, name) == 0 &&
            wn_json_parse(&config, shapes[i].config, strlen(shapes[i].config), name) == WN_OK)
            return config;
    return NULL;
}

const char *wn_shape_names(void)
{
    return "t5-v1_1-small, t5-v1_1-base, t5-v1_1-large, t5-v1_1-xl, t5-v1_1-xxl, "
           "all-MiniLM-L6-v2, SmolLM2-135M";
}
