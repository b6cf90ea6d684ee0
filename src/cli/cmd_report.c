/* winnow report */
#include "base/mem.h"
#include "cli/cli.h"
#include "io/file.h"

typedef struct report_opts {
    wn_common common;
} report_opts;

static const wn_opt opts[] = {OPT_END};

static wn_err run(const wn_call *c)
{
    const report_opts *o = c->opts;
    char *page = NULL;
    WN_TRY(wn_print_check_out(c));
    WN_TRY(wn_report_job(c->args[0], &o->common));
    if (!c->shared->out)
        WN_TRY(wn_path_join(&page, c->args[0], "report.html"));
    wn_shared shared = *c->shared;
    wn_call done = *c;
    shared.out = page ? page : shared.out;
    done.shared = &shared;
    wn_err err = wn_print_done(&done, NULL);
    wn_free(page);
    return err;
}

const wn_command wn_cmd_report = {"report",
                                  "D",
                                  "the HTML report of a finished experiment, again",
                                  "Reads D/verdict.json and writes D/report.html, or --out: tables "
                                  "and plots in one file that needs no "
                                  "network.",
                                  "winnow report demo/run",
                                  1,
                                  1,
                                  sizeof(report_opts),
                                  opts,
                                  WN_OUT_TEXT,
                                  run};
