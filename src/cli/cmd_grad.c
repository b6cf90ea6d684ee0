/* winnow grad */
#include <string.h>

#include "cli/cli.h"

typedef struct grad_opts {
    wn_grad_opts o;
    const char *loss_on, *project;
} grad_opts;

static const wn_opt opts[] = {
    OPT_NEED(grad_opts, o.model, "model", "PATH", "a Hugging Face folder or a .gguf file"),
    OPT_STR(grad_opts, o.adapter, "adapter", "DIR", NULL, "a PEFT adapter on top of the model"),
    OPT_NEED(grad_opts, o.pool, "pool", "PATH", "the rows: a pool, or JSONL in any form"),
    OPT_STR(grad_opts, o.map, "map", "NAME|FILE", "winnow's own rows",
            "reads other shapes of rows"),
    OPT_STR(grad_opts, o.params, "params", "all|lora|PATTERN", "lora with an adapter, else all",
            "parameters to differentiate by; names by comma, behind a ! those left out"),
    OPT_CHOICE(grad_opts, o.quantity, "quantity", "loss|margin|margin-ref|margin-ref-cot", "loss",
               "what of a row is differentiated"),
    OPT_STR(grad_opts, project, "project", "D", "400", "numbers a row; 0: the raw gradient"),
    OPT_CHOICE(grad_opts, o.projection, "projection", "rademacher|mt19937|kron", "rademacher",
               "random signs: counter-based, NumPy's, or of Kronecker structure"),
    OPT_STR(grad_opts, o.adam, "adam", "CKPT", NULL,
            "Adam's step instead of the gradient, with the moments of this train checkpoint"),
    OPT_SIZE(grad_opts, o.rank, "rank", "8, with --alpha or --targets",
             "put an untrained LoRA of this rank on the model"),
    OPT_F64(grad_opts, o.alpha, "alpha", OPT_ABOVE_0, OPT_HUGE, "2 * rank", "its scale"),
    OPT_STR(grad_opts, o.targets, "targets", "NAMES", "all-linear",
            "its layers by comma, such as q_proj,v_proj"),
    OPT_STR(grad_opts, o.tmpl, "template", "none|chat|NAME", "none",
            "wrap prompt and target in the model's chat format"),
    OPT_STR(grad_opts, o.system, "system", "TEXT", "the format's own, if any",
            "with --template: the system prompt"),
    OPT_SIZE(grad_opts, o.max_tokens, "max-tokens", "the model's own",
             "whole sequence; a longer prompt loses its beginning"),
    OPT_SIZE(grad_opts, o.max_target, "max-target", "no limit", "cut longer targets"),
    OPTS_STORE(grad_opts, o.store_dtype, o.shard_bytes, "f32"),
    OPT_CHOICE(grad_opts, loss_on, "loss-on", "target|all", "target",
               "which tokens are supervised"),
    OPT_SIZE(grad_opts, o.max_batch_tokens, "max-batch-tokens", "2048",
             "tokens computed at once: memory, not meaning"),
    OPT_END};

static wn_err run(const wn_call *c)
{
    grad_opts *g = c->opts;
    uint64_t d = 0;
    g->o.loss_on_all = g->loss_on != NULL && strcmp(g->loss_on, "all") == 0;
    if (g->project && !wn_opt_number(&d, g->project))
        return wn_fail(WN_EUSE, "--project: expected a whole number, found \"%s\"", g->project);
    g->o.project = (size_t)d;
    g->o.raw = g->project && d == 0;
    WN_TRY(wn_grad_job(&g->o));
    return wn_print_done(c, "store.json");
}

const wn_command wn_cmd_grad = {
    "grad",
    "",
    "one gradient for each row",
    "Writes a store: each row's gradient at the model's parameters, projected to D numbers as soon "
    "as "
    "it is made, with the row's loss and margin beside it. Quantities are means over the target's "
    "tokens: loss is -log p, margin is log(p / (1 - p)), exact; margin-ref and margin-ref-cot are "
    "the "
    "clipped margins of the GradEx reference (instruction and chain-of-thought data). A killed run "
    "goes on where it stopped when the same command is given again, and ends with the same bytes. "
    "Processes that mpirun or srun started together share the work (docs/clusters.md).",
    "winnow grad --model model.gguf --adapter adapter --pool pool --quantity margin "
    "--project 100 --out gradients",
    0,
    0,
    sizeof(grad_opts),
    opts,
    WN_OUT_FOLDER,
    run};
