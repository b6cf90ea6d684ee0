/* winnow train */
#include <string.h>

#include "cli/cli.h"

typedef struct train_opts {
    wn_train_opts o;
    const char *loss_on;
    bool resume;
} train_opts;

static const wn_opt opts[] = {
    OPT_NEED(train_opts, o.model, "model", "PATH", "a Hugging Face folder or a .gguf file"),
    OPT_STR(train_opts, o.adapter, "adapter", "DIR", NULL, "go on from this PEFT adapter"),
    OPT_NEED(train_opts, o.data, "data", "PATH", "the rows to train on"),
    OPT_STR(train_opts, o.map, "map", "NAME|FILE", "winnow's own rows",
            "reads other shapes of rows"),
    OPT_STR(train_opts, o.tmpl, "template", "none|chat|NAME", "none",
            "wrap prompt and target in the model's chat format"),
    OPT_CHOICE(train_opts, o.method, "method", "lora|full", "lora", "what is trained"),
    OPT_F64(train_opts, o.epochs, "epochs", OPT_ABOVE_0, OPT_HUGE, "1, unless --steps is given",
            "passes over the rows"),
    OPT_U64(train_opts, o.steps, "steps", 1, "as --epochs says", "updates"),
    OPT_F64(train_opts, o.lr, "lr", OPT_ABOVE_0, OPT_HUGE, "1e-4 for lora, 5e-5 for full",
            "learning rate"),
    OPT_SIZE(train_opts, o.batch, "batch", "8", "examples an update"),
    OPT_SIZE(train_opts, o.max_batch_tokens, "max-batch-tokens", "2048",
             "tokens computed at once: memory, not meaning"),
    OPT_CHOICE(train_opts, o.optimizer, "optimizer", "adamw|adam|sgd", "adamw", "the update rule"),
    OPT_CHOICE(train_opts, o.schedule, "schedule", "constant|linear|cosine|slanted", "linear",
               "how the learning rate goes"),
    OPT_STR(train_opts, o.warmup, "warmup", "N|N%", "0", "updates, or a share of them, to warm up"),
    OPT_F64(train_opts, o.clip_norm, "clip-norm", 0, OPT_HUGE, "off", "largest norm of a gradient"),
    OPT_F64(train_opts, o.clip_value, "clip-value", 0, OPT_HUGE, "off",
            "largest element of a gradient"),
    OPT_F64(train_opts, o.weight_decay, "weight-decay", 0, OPT_HUGE, "0",
            "spares norms and biases"),
    OPT_F64(train_opts, o.dropout, "dropout", 0, 0.99, "0", "share of inputs dropped"),
    OPT_CHOICE(train_opts, o.shuffle, "shuffle", "yes|no", "yes", "a new order every epoch"),
    OPT_SIZE(train_opts, o.rank, "rank", "8", "LoRA: rank"),
    OPT_F64(train_opts, o.alpha, "alpha", OPT_ABOVE_0, OPT_HUGE, "2 * rank", "LoRA: scale"),
    OPT_STR(train_opts, o.targets, "targets", "NAMES", "all-linear",
            "LoRA: layers by comma, such as q_proj,v_proj"),
    OPT_STR(train_opts, o.eval, "eval", "PATH", NULL, "rows whose loss is logged on the way"),
    OPT_U64(train_opts, o.eval_every, "eval-every", 1, "only at the end", "updates between these"),
    OPT_U64(train_opts, o.save_every, "save-every", 1, "50", "updates between checkpoints"),
    OPT_SIZE(train_opts, o.max_tokens, "max-tokens", "the model's own",
             "whole sequence; a longer prompt loses its beginning"),
    OPT_SIZE(train_opts, o.max_target, "max-target", "no limit", "cut longer targets"),
    OPT_CHOICE(train_opts, loss_on, "loss-on", "target|all", "target",
               "which tokens are supervised"),
    OPT_CHOICE(train_opts, o.save_dtype, "save-dtype", "f32|f16|bf16", "the model's own",
               "type of the weights written"),
    OPT_FLAG(train_opts, resume, "resume", "says nothing new: an unfinished run always goes on"),
    OPT_END};

static wn_err run(const wn_call *c)
{
    train_opts *t = c->opts;
    t->o.loss_on_all = t->loss_on != NULL && strcmp(t->loss_on, "all") == 0;
    WN_TRY(wn_train_job(&t->o));
    return wn_print_done(c, "train.json");
}

const wn_command wn_cmd_train = {
    "train",
    "",
    "fine-tune a model on rows",
    "lora writes an adapter that PEFT loads, full a model folder that transformers loads; "
    "train.jsonl in "
    "it has step, loss, learning rate and tokens/s. A killed run goes on from its last checkpoint "
    "when "
    "the same command is given again, and ends with the same bytes.",
    "winnow train --model model.gguf --data chosen.jsonl --epochs 2 --out adapter",
    0,
    0,
    sizeof(train_opts),
    opts,
    WN_OUT_FOLDER,
    run};
