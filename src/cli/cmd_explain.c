/* winnow explain */
#include "cli/cli.h"

static const wn_opt opts[] = {OPT_END};

static wn_err run(const wn_call *c)
{
    wn_explain_opts *o = c->opts;
    o->selection = c->args[0];
    o->id = c->args[1];
    o->json = c->shared->json;
    char *text = NULL;
    WN_TRY(wn_explain_job(o, &text));
    wn_err err = wn_print(c, text);
    wn_text_free(text);
    return err;
}

const wn_command wn_cmd_explain = {"explain",
                                   "SEL ID",
                                   "why a row was chosen",
                                   "SEL is what `winnow select` wrote: which queries have the row, "
                                   "at which rank and distance, and what "
                                   "it displaced.",
                                   "winnow explain chosen.jsonl rows.jsonl:17",
                                   2,
                                   2,
                                   sizeof(wn_explain_opts),
                                   opts,
                                   WN_OUT_TEXT,
                                   run};
