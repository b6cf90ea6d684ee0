/* winnow import */
#include "cli/cli.h"

static const wn_opt opts[] = {
    OPT_NEED(wn_import_opts, ids, "ids", "FILE",
             "a line an id, or JSONL with id, task, loss, margin; in the array's order"),
    OPTS_STORE(wn_import_opts, store_dtype, shard_bytes, "f32"), OPT_END};

static wn_err run(const wn_call *c)
{
    wn_import_opts *o = c->opts;
    o->file = c->args[0];
    WN_TRY(wn_import_job(o));
    return wn_print_done(c, "store.json");
}

#define COMMAND(name)                                                                              \
    {                                                                                              \
        name, "FILE.npy", "vectors from elsewhere to a store",                                     \
            "An array [rows, dim] of float16, float32 or float64; - is standard input.",           \
            "winnow " name " vectors.npy --ids vectors.ids.txt --out store", 1, 1,                 \
            sizeof(wn_import_opts), opts, WN_OUT_FOLDER, run                                       \
    }

const wn_command wn_cmd_import = COMMAND("import");
const wn_command wn_cmd_store_import = COMMAND("store import");
