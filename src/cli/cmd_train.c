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
    OPT_STR(train_opts, o.system, "system", "TEXT", "the format's own, if any",
            "with --template: the system prompt"),
    OPT_CHOICE(train_opts, o.method, "method", "lora|full|ia3", "lora", "what is trained"),
    OPT_STR(train_opts, o.targets, "targets", "PATTERN", "lora: all-linear; ia3: as T-Few",
            "layers with an adapter: q_proj,v_proj; layers.*.k_proj; re:EXPR"),
    OPT_STR(train_opts, o.feedforward, "feedforward", "PATTERN", "the last feed-forward layer",
            "ia3: targets whose input is scaled, not the output"),
    OPT_SIZE(train_opts, o.rank, "rank", "8", "LoRA: rank"),
    OPT_F64(train_opts, o.alpha, "alpha", OPT_ABOVE_0, OPT_HUGE, "2 * rank", "LoRA: scale"),
    OPT_FLAG(train_opts, o.rslora, "rslora", "LoRA: scaled by alpha / sqrt(rank)"),
    OPT_CHOICE(train_opts, o.base, "base", "auto|q8|q4", "auto",
               "LoRA, IA3: how frozen matrices are held in memory; q8, q4: blocks of 8 or 4 bits"),
    OPT_CHOICE(train_opts, o.lora_bias, "lora-bias", "none|lora-only|all", "none",
               "LoRA: biases trained beside it"),
    OPT_STR(train_opts, o.train, "train", "PATTERN", "all", "full: only these parameters"),
    OPT_STR(train_opts, o.freeze, "freeze", "PATTERN", "none", "full: not these parameters"),
    OPT_STR(train_opts, o.dropout, "dropout", "P|model", "0",
            "share dropped: of a LoRA's input, else of all the model's places; model: as its "
            "config says"),
    OPT_F64(train_opts, o.epochs, "epochs", OPT_ABOVE_0, OPT_HUGE, "1, unless --steps is given",
            "passes over the rows"),
    OPT_U64(train_opts, o.steps, "steps", 1, "as --epochs says", "updates"),
    OPT_SIZE(train_opts, o.batch, "batch", "8", "examples an update"),
    OPT_U64(train_opts, o.batch_tokens, "batch-tokens", 1, "as --batch says",
            "at most so many tokens an update"),
    OPT_SIZE(train_opts, o.max_batch_tokens, "max-batch-tokens", "1024",
             "tokens computed at once: memory, not meaning"),
    OPT_CHOICE(train_opts, o.shuffle, "shuffle", "yes|no", "yes", "a new order every epoch"),
    OPT_STR(train_opts, o.order, "order", "FILE", NULL, "ids of rows, a line each: an epoch"),
    OPT_CHOICE(train_opts, o.checkpointing, "checkpointing", "no|yes|auto", "no",
               "compute layers again instead of keeping them; auto: where --max-memory needs it"),
    OPT_CHOICE(train_opts, o.loss, "loss", "lm|t-few", "lm",
               "t-few: with length-normalised and unlikelihood losses over the choices"),
    OPT_CHOICE(train_opts, o.loss_mean, "loss-mean", "example|token", "example",
               "mean over examples of their tokens' mean, or over all tokens"),
    OPT_CHOICE(train_opts, loss_on, "loss-on", "target|all", "target",
               "which tokens are supervised"),
    OPT_SIZE(train_opts, o.max_tokens, "max-tokens", "the model's own",
             "whole sequence; a longer prompt loses its beginning"),
    OPT_SIZE(train_opts, o.max_target, "max-target", "no limit", "cut longer targets"),
    OPT_F64(train_opts, o.lr, "lr", OPT_ABOVE_0, OPT_HUGE,
            "1e-4 for lora, 5e-5 for full, 3e-3 for ia3", "learning rate"),
    OPT_CHOICE(train_opts, o.optimizer, "optimizer", "adamw|adam|adafactor|sgd|lion", "adamw",
               "the update rule"),
    OPT_F64(train_opts, o.beta1, "beta1", OPT_ABOVE_0, 0.999999, "0.9; adafactor: none",
            "decay of the first moment"),
    OPT_F64(train_opts, o.beta2, "beta2", OPT_ABOVE_0, 0.999999, "0.999; lion: 0.99",
            "decay of the second moment"),
    OPT_F64(train_opts, o.eps, "eps", OPT_ABOVE_0, 1, "1e-8; adafactor: 1e-30",
            "keeps divisions finite"),
    OPT_F64(train_opts, o.momentum, "momentum", 0, 0.999999, "0", "sgd: momentum"),
    OPT_FLAG(train_opts, o.nesterov, "nesterov", "sgd: Nesterov's momentum"),
    OPT_FLAG(train_opts, o.relative_step, "relative-step",
             "adafactor: the step from the update's number"),
    OPT_FLAG(train_opts, o.warmup_init, "warmup-init",
             "adafactor: relative steps that begin small"),
    OPT_CHOICE(train_opts, o.scale_parameter, "scale-parameter", "yes|no", "yes",
               "adafactor: steps scaled by the parameter's size"),
    OPT_F64(train_opts, o.clip_threshold, "clip-threshold", OPT_ABOVE_0, OPT_HUGE, "1",
            "adafactor: largest root mean square of an update"),
    OPT_F64(train_opts, o.decay_rate, "decay-rate", OPT_ABOVE_0, 1, "0.8",
            "adafactor: second moment's decay is 1 - t^-X"),
    OPT_CHOICE(train_opts, o.state, "state", "f32|8bit", "f32",
               "adamw, adam, lion: how moments are kept"),
    OPT_F64(train_opts, o.weight_decay, "weight-decay", 0, OPT_HUGE, "0",
            "spares norms and biases"),
    OPT_STR(train_opts, o.no_decay, "no-decay", "PATTERN", "norms and biases",
            "parameters that weight decay spares"),
    OPT_CHOICE(train_opts, o.schedule, "schedule", "constant|linear|cosine|slanted",
               "linear; with --relative-step constant", "how the learning rate goes"),
    OPT_STR(train_opts, o.warmup, "warmup", "N|N%", "0", "updates, or a share of them, to warm up"),
    OPT_F64(train_opts, o.slanted_cut, "slanted-cut", OPT_ABOVE_0, 0.999999, "0.1",
            "slanted: share of updates that go up"),
    OPT_F64(train_opts, o.slanted_ratio, "slanted-ratio", 1, OPT_HUGE, "32",
            "slanted: highest over lowest rate"),
    OPT_F64(train_opts, o.clip_norm, "clip-norm", 0, OPT_HUGE, "off", "largest norm of a gradient"),
    OPT_F64(train_opts, o.clip_value, "clip-value", 0, OPT_HUGE, "off",
            "largest element of a gradient"),
    OPT_STR(train_opts, o.eval, "eval", "PATH", NULL,
            "rows whose loss, and accuracy where all have choices, is logged on the way"),
    OPT_U64(train_opts, o.eval_every, "eval-every", 1, "only at the end", "updates between these"),
    OPT_CHOICE(train_opts, o.keep, "keep", "last|best|both", "last; with --patience best",
               "which weights are written; both: the best in OUT/best"),
    OPT_U64(train_opts, o.patience, "patience", 1, "never",
            "stop behind so many evaluations without a better one"),
    OPT_U64(train_opts, o.save_every, "save-every", 1, "200", "updates between checkpoints"),
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
    "lora and ia3 write an adapter that PEFT loads, full a model folder that transformers loads; "
    "train.jsonl in it has step, loss, learning rate and tokens/s. A killed run goes on from its "
    "last checkpoint when the same command is given again, and ends with the same bytes. "
    "docs/training.md says what each method, loss and optimizer does. Processes that mpirun or "
    "srun started together share the work (docs/clusters.md).",
    "winnow train --model model.gguf --data chosen.jsonl --epochs 2 --out adapter",
    0,
    0,
    sizeof(train_opts),
    opts,
    WN_OUT_FOLDER,
    run};
