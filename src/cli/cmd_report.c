/* winnow report */
#include "cli/cli.h"

typedef struct report_opts {
    wn_common common;
} report_opts;

static const wn_opt opts[] = {OPT_END};

static wn_err run(const wn_call *c)
{
    const report_opts *o = c->opts;
    return wn_report_job(c->args[0], &o->common);
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
