/* winnow pool build | info | show | check */
#include "cli/cli.h"

#define MAP_HELP                                                                                   \
    "reads other shapes of rows: p3, deft, superni, superni-raw, alpaca, messages, bigbench, "     \
    "dolly, "                                                                                      \
    "or a YAML file"

/* ---- build ---- */

static const wn_opt build_opts[] = {
    OPT_STR(wn_pool_build_opts, map, "map", "NAME|FILE", "winnow's own rows", MAP_HELP),
    OPT_CHOICE(wn_pool_build_opts, dedup, "dedup", "exact|near|none", "exact",
               "which rows count as duplicates and are left out"),
    OPT_STR(wn_pool_build_opts, split, "split", "NAME", "all",
            "of folders only the files named so: NAME.jsonl, NAME-00000-of-00008.jsonl"),
    OPT_STR(wn_pool_build_opts, tasks, "tasks", "FILE", "all",
            "only the tasks that the file lists, a name a line"),
    OPT_U64(wn_pool_build_opts, per_task, "per-task", 1, "all", "the first N rows of each task"),
    OPT_END};

static wn_err build(const wn_call *c)
{
    wn_pool_build_opts *o = c->opts;
    o->sources = c->args;
    o->n_sources = c->n_args;
    WN_TRY(wn_pool_build_job(o));
    return wn_print_done(c, "pool.json");
}

const wn_command wn_cmd_pool_build = {
    "pool build",
    "SRC...",
    "read, map, check, hash and index rows into a pool",
    "SRC is a file of JSON Lines, plain, .gz or .zst, a folder of such files, or - for standard "
    "input. A folder that has none stands for those of its sub-folders, whose names are then the "
    "tasks. A row has `prompt` and `target`, and may have `id`, `task`, `choices`, `references`, "
    "`source`, "
    "`category`; other fields travel through unchanged. Rows that cannot be used are counted with "
    "their "
    "reason; `winnow pool info` lists them.",
    "winnow pool build rows.jsonl.gz --out pool",
    1,
    SIZE_MAX,
    sizeof(wn_pool_build_opts),
    build_opts,
    WN_OUT_FOLDER,
    build};

/* ---- info, show, check ---- */

typedef struct look {
    wn_common common;
    const char *map, *model;
} look;

static const wn_opt info_opts[] = {
    OPT_STR(look, map, "map", "NAME|FILE", "winnow's own rows", MAP_HELP),
    OPT_STR(look, model, "model", "PATH", NULL, "count tokens too, with this model's tokenizer"),
    OPT_END};

static wn_err show_facts(const wn_call *c, char *json)
{
    wn_err err = wn_print_facts(c, json);
    wn_text_free(json);
    return err;
}

static wn_err info(const wn_call *c)
{
    const look *o = c->opts;
    char *json = NULL;
    WN_TRY(wn_pool_info_job(c->args[0], o->map, o->model, &json));
    return show_facts(c, json);
}

const wn_command wn_cmd_pool_info = {
    "pool info",
    "P",
    "rows, tasks, duplicates and rejected lines of a pool",
    "P is a built pool, or rows in any form that `winnow pool build` reads.",
    "winnow pool info pool",
    1,
    1,
    sizeof(look),
    info_opts,
    WN_OUT_TEXT,
    info};

static const wn_opt show_opts[] = {
    OPT_STR(look, map, "map", "NAME|FILE", "winnow's own rows", MAP_HELP), OPT_END};

static wn_err show(const wn_call *c)
{
    const look *o = c->opts;
    char *json = NULL;
    WN_TRY(wn_pool_show_job(c->args[0], o->map, c->args[1], &json));
    wn_err err = wn_print(c, json);
    wn_text_free(json);
    return err;
}

const wn_command wn_cmd_pool_show = {"pool show",
                                     "P ID",
                                     "one row of a pool as JSON",
                                     "",
                                     "winnow pool show pool rows.jsonl:17",
                                     2,
                                     2,
                                     sizeof(look),
                                     show_opts,
                                     WN_OUT_TEXT,
                                     show};

static const wn_opt no_opts[] = {OPT_END};

static wn_err check(const wn_call *c)
{
    char *json = NULL;
    WN_TRY(wn_pool_check_job(c->args[0], &json));
    return show_facts(c, json);
}

const wn_command wn_cmd_pool_check = {"pool check",
                                      "P",
                                      "read every byte of a pool against its stored hashes",
                                      "",
                                      "winnow pool check pool",
                                      1,
                                      1,
                                      sizeof(look),
                                      no_opts,
                                      WN_OUT_TEXT,
                                      check};
