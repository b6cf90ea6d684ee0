/* winnow store info | check | merge */
#include "cli/cli.h"

static const wn_opt no_opts[] = {OPT_END};

static wn_err show_facts(const wn_call *c, char *json)
{
    wn_err err = wn_print_facts(c, json);
    wn_text_free(json);
    return err;
}

static wn_err info(const wn_call *c)
{
    char *json = NULL;
    WN_TRY(wn_store_info_job(c->args[0], &json));
    return show_facts(c, json);
}

const wn_command wn_cmd_store_info = {
    "store info",
    "S",
    "rows, dim, type, tasks and size of a store, and what it was made from",
    "Of a store that is not finished: how many of its rows stand.",
    "winnow store info vectors",
    1,
    1,
    sizeof(wn_common),
    no_opts,
    WN_OUT_TEXT,
    info};

static wn_err check(const wn_call *c)
{
    char *json = NULL;
    WN_TRY(wn_store_check_job(c->args[0], &json));
    return show_facts(c, json);
}

const wn_command wn_cmd_store_check = {
    "store check",
    "S",
    "read every byte of a store against its checksums",
    "The first block that differs is the error: file, block, expected and found checksum.",
    "winnow store check vectors",
    1,
    1,
    sizeof(wn_common),
    no_opts,
    WN_OUT_TEXT,
    check};

static const wn_opt merge_opts[] = {
    OPTS_STORE(wn_store_merge_opts, store_dtype, shard_bytes, "that of the stores"), OPT_END};

static wn_err merge(const wn_call *c)
{
    wn_store_merge_opts *o = c->opts;
    o->stores = c->args;
    o->n_stores = c->n_args;
    WN_TRY(wn_store_merge_job(o));
    return wn_print_done(c, "store.json");
}

const wn_command wn_cmd_store_merge = {
    "store merge",
    "S...",
    "stores of the same making, one after the other, as one",
    "Their vectors must mean the same: model, pooling, layer and so on are compared, and no id may "
    "occur twice. A single store is written anew, as another type or in files of another size.",
    "winnow store merge first second --out both",
    1,
    SIZE_MAX,
    sizeof(wn_store_merge_opts),
    merge_opts,
    WN_OUT_FOLDER,
    merge};
