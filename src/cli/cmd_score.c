/* winnow score */
#include <string.h>

#include "cli/cli.h"

typedef struct score_opts {
    wn_score_opts o;
    const char *loss_on;
} score_opts;

static const wn_opt opts[] = {
    OPT_NEED(score_opts, o.model, "model", "PATH", "a Hugging Face folder or a .gguf file"),
    OPT_STR(score_opts, o.adapter, "adapter", "DIR", NULL, "a PEFT adapter on top of the model"),
    OPT_NEED(score_opts, o.rows, "rows", "PATH", "the rows: JSONL in any form, or a pool"),
    OPT_STR(score_opts, o.map, "map", "NAME|FILE", "winnow's own rows",
            "reads other shapes of rows"),
    OPT_STR(score_opts, o.tmpl, "template", "none|chat|NAME", "none",
            "wrap prompt and target in the model's chat format"),
    OPT_STR(score_opts, o.system, "system", "TEXT", "the format's own, if any",
            "with --template: the system prompt"),
    OPT_SIZE(score_opts, o.max_tokens, "max-tokens", "the model's own",
             "whole sequence; a longer prompt loses its beginning"),
    OPT_SIZE(score_opts, o.max_target, "max-target", "no limit", "cut longer targets"),
    OPT_CHOICE(score_opts, loss_on, "loss-on", "target|all", "target", "which tokens count"),
    OPT_END};

static wn_err job(const void *o)
{
    return wn_score_job(&((const score_opts *)o)->o);
}

static wn_err run(const wn_call *c)
{
    score_opts *s = c->opts;
    s->o.loss_on_all = s->loss_on != NULL && strcmp(s->loss_on, "all") == 0;
    return wn_print_lines(c, job, NULL);
}

const wn_command wn_cmd_score = {
    "score",
    "",
    "how likely a model finds each row's target",
    "A JSON line a row: `id`, `nll` (sum over the target's tokens, end-of-text included, of -log "
    "p), "
    "`tokens`, and where the row has choices `choices`: [{\"nll\", \"tokens\"}...] in their order. "
    "With --out a killed run goes on where it stopped when the same command is given again, and "
    "ends with the same bytes.",
    "winnow score --model model.gguf --rows test.jsonl",
    0,
    0,
    sizeof(score_opts),
    opts,
    WN_OUT_LINES,
    run};
