/* winnow run */
#include "cli/cli.h"

static const wn_opt opts[] = {OPT_END};

static wn_err run(const wn_call *c)
{
    wn_run_opts *o = c->opts;
    o->recipe = c->args[0];
    char *table = NULL;
    WN_TRY(wn_run_job(o, &table));
    wn_err err = c->shared->json ? wn_print_file(c, "verdict.json") : wn_print(c, table);
    wn_text_free(table);
    return err;
}

const wn_command wn_cmd_run = {
    "run",
    "RECIPE.yaml",
    "a whole experiment, from a recipe to a verdict",
    "Pool, targets, encoder, model, strategies, budgets and seeds stand in the recipe; see "
    "docs/recipe.md. OUT gets verdict.json, report.html and every artefact with its manifest. "
    "Finished "
    "parts are not run again. Prints the verdict as a table; with --json, verdict.json.",
    "winnow run recipes/demo.yaml --out demo/run",
    1,
    1,
    sizeof(wn_run_opts),
    opts,
    WN_OUT_FOLDER,
    run};
