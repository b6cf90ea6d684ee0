/* winnow model info */
#include "cli/cli.h"

static const wn_opt opts[] = {
    OPT_STR(wn_model_info_opts, adapter, "adapter", "DIR", NULL,
            "a PEFT adapter on top of the model"),
    OPT_STR(wn_model_info_opts, lengths, "lengths", "N,N,...", "128,512,2048",
            "tokens a row that memory is told for"),
    OPT_SIZE(wn_model_info_opts, rank, "rank", "8", "of the LoRA that is counted"),
    OPT_FLAG(wn_model_info_opts, params, "params",
             "list every parameter with its shape, in gradients' order"),
    OPT_END};

static wn_err run(const wn_call *c)
{
    wn_model_info_opts *o = c->opts;
    char *json = NULL;
    o->model = c->args[0];
    WN_TRY(wn_model_info_job(o, &json));
    wn_err err = wn_print_facts(c, json);
    wn_text_free(json);
    return err;
}

const wn_command wn_cmd_model_info = {
    "model info",
    "M",
    "family, shape, parameters and tokenizer of a model",
    "M is a Hugging Face folder or a .gguf file. Memory is what embed, grad (all parameters) and "
    "train (AdamW, all tokens supervised) allocate with their defaults for rows of so many tokens; "
    "a mapped weight file is the system's cache and comes on top while it is read.",
    "winnow model info model.gguf --params",
    1,
    1,
    sizeof(wn_model_info_opts),
    opts,
    WN_OUT_TEXT,
    run};
