/* winnow estimate */
#include "cli/cli.h"

static const wn_opt opts[] = {
    OPT_NEED(wn_estimate_opts, store, "store", "PATH", "gradients of the rows to train on"),
    OPT_NEED(wn_estimate_opts, target, "target", "PATH", "gradients of the target's rows"),
    OPT_STR(wn_estimate_opts, subsets, "subsets", "FILE", NULL,
            "a line a subset: names as a JSON array, or separated by tabs, commas or blanks"),
    OPT_U64(wn_estimate_opts, random, "random", 1, NULL, "instead: so many random subsets"),
    OPT_F64(wn_estimate_opts, share, "share", OPT_ABOVE_0, 1, "0.5",
            "of the groups, in a random subset"),
    OPT_STR(wn_estimate_opts, how.groups, "groups", "task|source|cluster:K|kmeans:K", "task",
            "what a name stands for"),
    OPT_CHOICE(wn_estimate_opts, how.mode, "mode", "clean|ref|step", "clean",
               "the regression with margins and mean loss; the authors' published one; one step "
               "along mean gradients"),
    OPT_STR(wn_estimate_opts, how.ridge, "ridge", "X|cv", "0.01",
            "clean: weight of |w|^2; cv: chosen by cross-validation"),
    OPT_F64(wn_estimate_opts, how.c, "c", OPT_ABOVE_0, 1e12, "1e-4", "ref: weight of the losses"),
    OPT_FLAG(wn_estimate_opts, how.coin, "coin", "ref: rows get random signs, 0.7 of them +"),
    OPT_CHOICE(wn_estimate_opts, how.intercept, "intercept", "yes|no", "yes with --coin",
               "ref: a penalised intercept"),
    OPT_F64(wn_estimate_opts, how.first, "first", OPT_ABOVE_0, 1, "all",
            "ref: only this share of a group's rows, the first ones"),
    OPT_F64(wn_estimate_opts, how.step_size, "step-size", OPT_ABOVE_0, 1e12, "1",
            "step: factor of the mean gradient"),
    OPT_U64(wn_estimate_opts, bootstrap, "bootstrap", 2, "none",
            "resamples of rows for 95 % intervals"),
    OPT_CHOICE(wn_estimate_opts, evaluate, "evaluate", "linear|forward", "linear",
               "read off gradients, or run the real model at W + P w"),
    OPT_F64(wn_estimate_opts, scale, "scale", OPT_ABOVE_0, 1e12, "as it is",
            "forward: length of P w as a share of the parameters' norm"),
    OPT_F64(wn_estimate_opts, norm, "norm", OPT_ABOVE_0, 1e12, "as it is",
            "forward: length of P w"),
    OPT_STR(wn_estimate_opts, first_order, "first-order", "S[,S...]", NULL,
            "instead of estimates: f(W) + g.D against f(W + D) at these shares of the norm"),
    OPT_U64(wn_estimate_opts, verify, "verify", 1, "none",
            "train on so many of the subsets and compare"),
    OPT_STR(wn_estimate_opts, pool, "pool", "PATH", NULL,
            "the store's rows: their sources, and what verification trains on"),
    OPT_STR(wn_estimate_opts, target_rows, "target-rows", "PATH", NULL,
            "forward, first-order, verify: the target's rows"),
    OPT_STR(wn_estimate_opts, train.model, "model", "PATH", NULL,
            "forward, first-order, verify: the model of the gradients"),
    OPT_STR(wn_estimate_opts, train.adapter, "adapter", "DIR", NULL, "the adapter on top of it"),
    OPT_CHOICE(wn_estimate_opts, train.method, "method", "lora|full|ia3", "lora",
               "verify: as `train` has it, and so below"),
    OPT_F64(wn_estimate_opts, train.epochs, "epochs", OPT_ABOVE_0, 1e6, "1", "verify"),
    OPT_U64(wn_estimate_opts, train.steps, "steps", 1, "by --epochs", "verify: updates"),
    OPT_F64(wn_estimate_opts, train.lr, "lr", OPT_ABOVE_0, 1e6, "as `train`", "verify"),
    OPT_SIZE(wn_estimate_opts, train.batch, "batch", "8", "verify: examples an update"),
    OPT_SIZE(wn_estimate_opts, train.rank, "rank", "8", "verify"),
    OPT_F64(wn_estimate_opts, train.alpha, "alpha", OPT_ABOVE_0, 1e6, "2 * rank", "verify"),
    OPT_STR(wn_estimate_opts, train.targets, "targets", "NAMES", "all-linear", "verify"),
    OPT_STR(wn_estimate_opts, train.optimizer, "optimizer", "NAME", "adamw", "verify"),
    OPT_STR(wn_estimate_opts, train.schedule, "schedule", "NAME", "linear", "verify"),
    OPT_SIZE(wn_estimate_opts, train.max_tokens, "max-tokens", "the model's own", "verify"),
    OPT_STR(wn_estimate_opts, train.tmpl, "template", "none|chat|NAME", "none", "verify"),
    OPT_STR(wn_estimate_opts, train.system, "system", "TEXT", "the format's own, if any", "verify"),
    OPT_STR(wn_estimate_opts, map, "map", "NAME|FILE", "winnow's own rows",
            "reads other shapes of rows"),
    OPT_END};

static wn_err job(const void *o)
{
    return wn_estimate_job(o);
}

static wn_err run(const wn_call *c)
{
    return wn_print_lines(c, job, ".manifest.json");
}

const wn_command wn_cmd_estimate = {
    "estimate",
    "",
    "what training on a subset would give, without training",
    "For each subset of tasks (or sources, or clusters) a small regression on the rows' projected "
    "gradients and margins; the target's loss is read off its own gradients. A JSON line a subset: "
    "`subset`, `estimate` (the target's mean loss), `start` (its loss before any training), `low` "
    "and `high` with --bootstrap, and what the fit took. --evaluate forward moves the real "
    "model along P w: `estimate` is then its mean loss. With --verify some subsets are trained "
    "for real (a folder OUT.verify, from "
    "which a killed run goes on): `measured`, `measured_loss`, and the manifest says how far off "
    "the estimates are, how well they rank, and whether either beats predicting no change or "
    "predicting from the subsets' sizes. See docs/gradex.md for what the numbers "
    "can be trusted with.",
    "winnow estimate --store grads --target target-grads --random 1000 --share 0.5 --out e.jsonl",
    0,
    0,
    sizeof(wn_estimate_opts),
    opts,
    WN_OUT_LINES,
    run};
