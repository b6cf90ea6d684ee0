/* winnow tasks */
#include "cli/cli.h"

static const wn_opt opts[] = {OPT_END};

static wn_err run(const wn_call *c)
{
    wn_explain_opts *o = c->opts;
    o->selection = c->args[0];
    o->json = c->shared->json;
    char *text = NULL;
    WN_TRY(wn_explain_job(o, &text));
    wn_err err = wn_print(c, text);
    wn_text_free(text);
    return err;
}

const wn_command wn_cmd_tasks = {"tasks",
                                 "SEL",
                                 "which tasks a selection comes from",
                                 "SEL is what `winnow select` wrote: each task's share of the rows "
                                 "chosen against its share of the pool, and, where queries have "
                                 "neighbours, how that mix shifts with their number k.",
                                 "winnow tasks chosen.jsonl",
                                 1,
                                 1,
                                 sizeof(wn_explain_opts),
                                 opts,
                                 WN_OUT_TEXT,
                                 run};
