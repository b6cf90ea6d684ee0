/* winnow model info */
#include "cli/cli.h"

typedef struct model_opts {
    wn_common common;
    const char *adapter;
    bool params;
} model_opts;

static const wn_opt opts[] = {
    OPT_STR(model_opts, adapter, "adapter", "DIR", NULL, "a PEFT adapter on top of the model"),
    OPT_FLAG(model_opts, params, "params",
             "list every parameter with its shape, in gradients' order"),
    OPT_END};

static wn_err run(const wn_call *c)
{
    const model_opts *o = c->opts;
    char *json = NULL;
    WN_TRY(wn_model_info_job(c->args[0], o->adapter, o->params, &json));
    wn_err err = wn_print_facts(c, json);
    wn_text_free(json);
    return err;
}

const wn_command wn_cmd_model_info = {"model info",
                                      "M",
                                      "family, shape, parameters and tokenizer of a model",
                                      "M is a Hugging Face folder or a .gguf file.",
                                      "winnow model info model.gguf --params",
                                      1,
                                      1,
                                      sizeof(model_opts),
                                      opts,
                                      WN_OUT_TEXT,
                                      run};
