/* winnow export */
#include <string.h>

#include "cli/cli.h"

static const wn_opt opts[] = {OPT_CHOICE(wn_export_opts, format, "format",
                                         "npy|jsonl|completion|alpaca|messages|sharegpt",
                                         "npy, or what --out ends in", "what to write"),
                              OPT_STR(wn_export_opts, map, "map", "NAME|FILE", "winnow's own rows",
                                      "reads other shapes of rows"),
                              OPT_END};

static wn_err job(const void *o)
{
    return wn_export_job(o);
}

static wn_err run(const wn_call *c)
{
    wn_export_opts *o = c->opts;
    const char *out = c->shared->out, *dot = out ? strrchr(out, '.') : NULL;
    o->store = c->args[0];
    if (o->format == NULL)
        o->format = out == NULL || (dot != NULL && strcmp(dot, ".jsonl") == 0) ? "jsonl" : "npy";
    return wn_print_lines(c, job, NULL);
}

#define ABOUT "a store's vectors as an array or JSON lines; rows for other trainers"
#define TEXT                                                                                       \
    "npy: an array [rows, dim] of float32 in row order, and beside it the ids, a line each, in "   \
    "OUT with .npy replaced by .ids.txt. jsonl: `id`, `task`, `loss` and `margin` where known, "   \
    "`vector`. A store of any size passes through a little memory.\n"                              \
    "Of rows, such as a selection, a line each in the shapes that other trainers (TRL, Axolotl, "  \
    "LLaMA-Factory) read: completion {prompt, completion}, alpaca {instruction, input, output}, "  \
    "messages [{role, content}...], sharegpt [{from, value}...]."
#define COMMAND(name)                                                                              \
    {                                                                                              \
        name, "S|ROWS", ABOUT, TEXT, "winnow " name " vectors --format npy --out vectors.npy", 1,  \
            1, sizeof(wn_export_opts), opts, WN_OUT_LINES, run                                     \
    }

const wn_command wn_cmd_export = COMMAND("export");
const wn_command wn_cmd_store_export = COMMAND("store export");
