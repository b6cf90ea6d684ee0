/* winnow diff */
#include "cli/cli.h"

typedef struct diff_opts {
    wn_common common;
} diff_opts;

static const wn_opt opts[] = {OPT_END};

static wn_err run(const wn_call *c)
{
    char *text = NULL;
    WN_TRY(wn_diff_job(c->args[0], c->args[1], c->shared->json, &text));
    wn_err err = wn_print(c, text);
    wn_text_free(text);
    return err;
}

const wn_command wn_cmd_diff = {
    "diff", "SEL1 SEL2", "what two selections share", "",   "winnow diff chosen.jsonl random.jsonl",
    2,      2,           sizeof(diff_opts),           opts, WN_OUT_TEXT,
    run};
