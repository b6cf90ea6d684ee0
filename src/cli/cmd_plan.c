/* winnow plan */
#include "cli/cli.h"

static const wn_opt opts[] = {
    OPT_SIZE(wn_plan_opts, cores, "cores", "the threads used here", "cores of a machine"),
    OPT_SIZE(wn_plan_opts, nodes, "nodes", "1", "machines"),
    OPT_F64(wn_plan_opts, core_rate, "core-rate", OPT_ABOVE_0, 1e9, "as measured here",
            "GFLOP/s of multiply-adds on one core there"),
    OPT_BYTES(wn_plan_opts, disk_rate, "disk-rate", "as measured here",
              "bytes a second that a disk is read with there"),
    OPT_END};

static wn_err run(const wn_call *c)
{
    wn_plan_opts *o = c->opts;
    char *text = NULL;
    o->recipe = c->args[0];
    o->json = c->shared->json;
    WN_TRY(wn_plan_job(o, &text));
    wn_err err = wn_print(c, text);
    wn_text_free(text);
    return err;
}

const wn_command wn_cmd_plan = {
    "plan",
    "RECIPE.yaml",
    "what a recipe will cost, before it runs",
    "Tokens, FLOPs, time, disk and memory of each part, from a measurement of this machine that "
    "takes some seconds. Files, models and environment variables that the recipe names need not "
    "be there: its section `sizes` then says how large they are (docs/recipe.md). With --cores, "
    "--nodes, --core-rate and --disk-rate times are scaled from what was measured here.",
    "winnow plan recipes/deft-p3.yaml --cores 64 --nodes 16",
    1,
    1,
    sizeof(wn_plan_opts),
    opts,
    WN_OUT_TEXT,
    run};
