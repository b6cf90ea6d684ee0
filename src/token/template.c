#include "token/template.h"

#include <string.h>

#include "base/str.h"

/* Order matters: "chat" takes the first whose marks are all there. */
static const wn_template TABLE[] = {
    {"smollm2",
     "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
     "<|im_end|>\n<|im_start|>user\n",
     "<|im_end|>\n<|im_start|>assistant\n",
     "<|im_end|>",
     false,
     {"<|im_start|>", "named SmolLM, trained by Hugging Face", NULL}},
    {"qwen2.5",
     "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant."
     "<|im_end|>\n<|im_start|>user\n",
     "<|im_end|>\n<|im_start|>assistant\n",
     "<|im_end|>",
     false,
     {"<|im_start|>", "You are Qwen, created by Alibaba Cloud", NULL}},
    {"qwen2",
     "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n",
     "<|im_end|>\n<|im_start|>assistant\n",
     "<|im_end|>",
     false,
     {"<|im_start|>system\\nYou are a helpful assistant", NULL, NULL}},
    {"llama-3",
     "<|start_header_id|>user<|end_header_id|>\n\n",
     "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
     "<|eot_id|>",
     true,
     {"<|start_header_id|>", "<|eot_id|>", NULL}},
    {"gemma",
     "<start_of_turn>user\n",
     "<end_of_turn>\n<start_of_turn>model\n",
     "<end_of_turn>",
     true,
     {"<start_of_turn>", "<end_of_turn>", NULL}},
    {"zephyr",
     "<|user|>\n",
     "</s>\n<|assistant|>\n",
     "</s>",
     false,
     {"<|user|>", "<|assistant|>", "eos_token"}},
    {"llama-2", "[INST] ", " [/INST]", "", true, {"[INST]", "<<SYS>>", NULL}},
    {"mistral", "[INST] ", " [/INST]", "", false, {"[INST]", "[/INST]", NULL}},
    {"chatml",
     "<|im_start|>user\n",
     "<|im_end|>\n<|im_start|>assistant\n",
     "<|im_end|>",
     false,
     {"<|im_start|>", "<|im_end|>", NULL}},
};
enum { N = sizeof TABLE / sizeof *TABLE };

static bool shows(const wn_template *t, const char *jinja)
{
    for (size_t i = 0; i < 3 && t->marks[i]; i++)
        if (!strstr(jinja, t->marks[i]))
            return false;
    return true;
}

wn_err wn_template_find(const wn_template **out, const char *name, const char *jinja)
{
    *out = NULL;
    if (!name || !strcmp(name, "none"))
        return WN_OK;
    bool own = !strcmp(name, "chat");
    for (size_t i = 0; i < N; i++) {
        if (own ? jinja && shows(&TABLE[i], jinja) : !strcmp(name, TABLE[i].name)) {
            *out = &TABLE[i];
            return WN_OK;
        }
    }
    char list[256];
    size_t n = 0;
    for (size_t i = 0; i < N && n + strlen(TABLE[i].name) + 3 < sizeof list; i++) {
        n += strlen(strcpy(list + n, i ? ", " : ""));
        n += strlen(strcpy(list + n, TABLE[i].name));
    }
    if (own)
        return wn_fail(WN_EARG,
                       "template chat: the model's chat template is %s; give one by name: %s",
                       jinja ? "not one that is known" : "missing", list);
    return wn_fail(WN_EARG, "template '%.64s': expected none, chat, or one of %s", name, list);
}
