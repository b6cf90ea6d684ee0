/* winnow embed */
#include "cli/cli.h"

static const wn_opt opts[] = {
    OPT_NEED(wn_embed_opts, model, "model", "PATH", "a Hugging Face folder or a .gguf file"),
    OPT_STR(wn_embed_opts, adapter, "adapter", "DIR", NULL, "a PEFT adapter on top of the model"),
    OPT_NEED(wn_embed_opts, pool, "pool", "PATH", "the rows: a pool, or JSONL in any form"),
    OPT_STR(wn_embed_opts, map, "map", "NAME|FILE", "winnow's own rows",
            "reads other shapes of rows"),
    OPT_CHOICE(wn_embed_opts, pooling, "pooling", "mean|weighted|last|cls|max|mean-sqrt",
               "the model's own, else mean", "how token vectors become one"),
    OPT_INT(wn_embed_opts, layer, "layer", 1, 4096, "the last",
            "take hidden states behind this layer"),
    OPT_CHOICE(wn_embed_opts, normalize, "normalize", "yes|no", "the model's own, else no",
               "scale vectors to length 1"),
    OPT_CHOICE(wn_embed_opts, text, "text", "prompt|both", "prompt", "what of a row is embedded"),
    OPT_STR(wn_embed_opts, tmpl, "template", "none|chat|NAME", "none",
            "wrap the text in the model's chat format"),
    OPT_STR(wn_embed_opts, system, "system", "TEXT", "the format's own, if any",
            "with --template: the system prompt"),
    OPT_STR(wn_embed_opts, prompt_name, "prompt-name", "NAME", "the model's own",
            "put one of the model's own prompts before every text (E5's query, passage)"),
    OPT_STR(wn_embed_opts, prompt, "prompt", "TEXT", NULL, "put TEXT before every text"),
    OPT_SIZE(wn_embed_opts, max_tokens, "max-tokens", "the model's own", "cut longer texts"),
    OPTS_STORE(wn_embed_opts, store_dtype, shard_bytes, "f32"),
    OPT_END};

static wn_err run(const wn_call *c)
{
    WN_TRY(wn_embed_job(c->opts));
    return wn_print_done(c, "store.json");
}

const wn_command wn_cmd_embed = {
    "embed",
    "",
    "one vector for each row",
    "Writes a store: vectors in the rows' order with ids, tasks and token counts. A killed run "
    "goes on "
    "where it stopped when the same command is given again, and ends with the same bytes. So does "
    "a finished store when the pool has grown behind the rows it has. Processes that mpirun or "
    "srun started together share the work (docs/clusters.md).",
    "winnow embed --model encoder --pool pool --out vectors",
    0,
    0,
    sizeof(wn_embed_opts),
    opts,
    WN_OUT_FOLDER,
    run};
