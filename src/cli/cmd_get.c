/* winnow get */
#include "cli/cli.h"

typedef struct get_opts {
    wn_get_opts o;
    wn_opt_list include;
} get_opts;

static const wn_opt opts[] = {
    OPT_LIST(get_opts, include, "include", "PATTERN", "only files whose names fit: '*Q4_K_M.gguf'"),
    OPT_STR(get_opts, o.mirror, "mirror", "URL", "https://huggingface.co", "the hub to ask"),
    OPT_END};

static wn_err run(const wn_call *c)
{
    get_opts *g = c->opts;
    g->o.source = c->args[0];
    g->o.include = g->include.item;
    g->o.n_include = g->include.n;
    WN_TRY(wn_get_job(&g->o));
    return wn_print_done(c, "get.json");
}

const wn_command wn_cmd_get = {
    "get",
    "hf:ORG/NAME[@REVISION]",
    "fetch a model from a hub",
    "Fetches what winnow reads of a model: config, tokenizer, safetensors and, of a "
    "sentence-transformers folder, its modules; other files by --include. Every file is checked "
    "against the hash that the hub tells, and get.json in OUT says which commit they are of. A "
    "killed run goes on where it was when the same command is given again. The environment "
    "variable HF_TOKEN is sent to the hub for models that want it.",
    "winnow get hf:sentence-transformers/all-MiniLM-L6-v2 --out encoder",
    1,
    1,
    sizeof(get_opts),
    opts,
    WN_OUT_FOLDER,
    run};
