/* winnow eval */
#include "cli/cli.h"

typedef struct eval_opts {
    wn_eval_opts o;
    wn_opt_list parse, stop, predictions, against;
} eval_opts;

static const wn_opt opts[] = {
    OPT_STR(eval_opts, o.model, "model", "PATH", NULL, "a Hugging Face folder or a .gguf file"),
    OPT_STR(eval_opts, o.adapter, "adapter", "DIR", NULL, "a PEFT adapter on top of the model"),
    OPT_NEED(eval_opts, o.rows, "rows", "PATH", "the rows with their right answers"),
    OPT_STR(eval_opts, o.map, "map", "NAME|FILE", "winnow's own rows",
            "reads other shapes of rows"),
    OPT_STR(eval_opts, o.tmpl, "template", "none|chat|NAME", "none",
            "wrap the prompt in the model's chat format"),
    OPT_STR(eval_opts, o.system, "system", "TEXT", "the format's own, if any",
            "with --template: the system prompt"),
    OPT_CHOICE(eval_opts, o.metric, "metric",
               "accuracy|micro-f1|macro-f1|exact|token-f1|rouge-l|drop-f1|evidence-f1|mc1|mc2|nll|"
               "perplexity",
               "accuracy where there are choices, else rouge-l", "what is measured"),
    OPT_CHOICE(eval_opts, o.answer, "answer", "auto|rank|generate",
               "auto: choices are ranked, without them or with --parse text is generated",
               "how a row is answered"),
    OPT_CHOICE(eval_opts, o.length_norm, "length-norm", "none|tokens|bytes", "none",
               "what a choice's NLL is divided by"),
    OPT_CHOICE(eval_opts, o.eos, "eos", "yes|no", "yes", "whether a choice ends in EOS"),
    OPT_TEXT(eval_opts, o.calibrate, "calibrate", "TEXT", "no calibration",
             "subtract each choice's NLL behind this neutral prompt"),
    OPT_SIZE(eval_opts, o.max_new, "max-new", "128", "most tokens to generate"),
    OPT_LIST(eval_opts, stop, "stop", "TEXT", "a generated answer ends before this text"),
    OPT_LIST(eval_opts, parse, "parse", "RULE",
             "first-yes-no, letter, number, first-number, after:TEXT, line, regex:EXPR: the answer "
             "within the text; several are used in turn"),
    OPT_LIST(eval_opts, predictions, "predictions", "FILE",
             "score these answers (JSONL id, prediction) without a model; several are seeds"),
    OPT_LIST(eval_opts, against, "against", "FILE",
             "compare with these answers to the same rows; several are seeds"),
    OPT_SIZE(eval_opts, o.max_tokens, "max-tokens", "the model's own",
             "whole sequence; a longer prompt loses its beginning"),
    OPT_SIZE(eval_opts, o.max_target, "max-target", "no limit", "cut longer targets"),
    OPT_END};

static wn_err run(const wn_call *c)
{
    eval_opts *s = c->opts;
    wn_eval_opts *o = &s->o;
    o->parse = s->parse.item;
    o->n_parse = s->parse.n;
    o->stop = s->stop.item;
    o->n_stop = s->stop.n;
    o->predictions = s->predictions.item;
    o->n_predictions = s->predictions.n;
    o->against = s->against.item;
    o->n_against = s->against.n;
    if (o->model == NULL && o->n_predictions == 0)
        return wn_fail(WN_EUSE, "eval: expected --model PATH or --predictions FILE, found neither");
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
    "`metric`, `value` (0 to 1; nll, perplexity: from 0 up), `n`, `ci95`; --out writes a line a "
    "row with the prediction; a "
    "killed "
    "run then goes on where it stopped when the same command is given again, and ends with the "
    "same bytes.\n"
    "--against compares two sets of answers row by row: `compare` holds the difference, its "
    "interval, the p values of a paired permutation test and of McNemar's, and the verdict.\n"
    "docs/evaluation.md says what metrics and rules do, and which fields of a row they read.",
    "winnow eval --model model.gguf --adapter adapter --rows test.jsonl",
    0,
    0,
    sizeof(eval_opts),
    opts,
    WN_OUT_LINES,
    run};
