/* winnow eval */
#include "cli/cli.h"

static const wn_opt opts[] = {
    OPT_STR(wn_eval_opts, model, "model", "PATH", NULL, "a Hugging Face folder or a .gguf file"),
    OPT_STR(wn_eval_opts, adapter, "adapter", "DIR", NULL, "a PEFT adapter on top of the model"),
    OPT_NEED(wn_eval_opts, rows, "rows", "PATH", "the rows with their right answers"),
    OPT_STR(wn_eval_opts, map, "map", "NAME|FILE", "winnow's own rows",
            "reads other shapes of rows"),
    OPT_STR(wn_eval_opts, tmpl, "template", "none|chat|NAME", "none",
            "wrap the prompt in the model's chat format"),
    OPT_CHOICE(wn_eval_opts, metric, "metric",
               "accuracy|macro-f1|exact|token-f1|rouge-l|drop-f1|nll",
               "accuracy where there are choices, else rouge-l", "what is measured"),
    OPT_CHOICE(wn_eval_opts, length_norm, "length-norm", "none|tokens|bytes", "none",
               "what a choice's NLL is divided by"),
    OPT_STR(wn_eval_opts, predictions, "predictions", "FILE", NULL,
            "score these answers (JSONL id, prediction) without a model"),
    OPT_SIZE(wn_eval_opts, max_tokens, "max-tokens", "the model's own",
             "whole sequence; a longer prompt loses its beginning"),
    OPT_SIZE(wn_eval_opts, max_target, "max-target", "no limit", "cut longer targets"),
    OPT_SIZE(wn_eval_opts, max_new, "max-new", "128", "most tokens to generate"),
    OPT_END};

static wn_err run(const wn_call *c)
{
    const wn_eval_opts *o = c->opts;
    if (o->model == NULL && o->predictions == NULL)
        return wn_fail(WN_EARG, "eval: expected --model PATH or --predictions FILE, found neither");
    char *json = NULL;
    WN_TRY(wn_print_check_out(c));
    WN_TRY(wn_eval_job(o, &json));
    wn_err err = wn_print(c, json);
    wn_text_free(json);
    return err;
}

const wn_command wn_cmd_eval = {
    "eval",
    "",
    "how well a model, or given answers, do on rows",
    "Ranks the choices of each row by summed NLL, or generates greedily where rows have none. "
    "Prints JSON: "
    "`metric`, `value` (0 to 1), `n`, `ci95`; --out writes a line a row with the prediction.",
    "winnow eval --model model.gguf --adapter adapter --rows test.jsonl",
    0,
    0,
    sizeof(wn_eval_opts),
    opts,
    WN_OUT_LINES,
    run};
