/* winnow what-if */
#include "cli/cli.h"

static const wn_opt opts[] = {
    OPT_NEED(wn_what_if_opts, store, "store", "PATH", "gradients of the rows to train on"),
    OPT_NEED(wn_what_if_opts, target, "target", "PATH", "gradients of the target's rows"),
    OPT_STR(wn_what_if_opts, without, "without", "NAME[,NAME...]", NULL, "groups to leave out"),
    OPT_STR(wn_what_if_opts, with, "with", "NAME[,NAME...]", NULL, "groups to add"),
    OPT_STR(wn_what_if_opts, base, "base", "NAME[,NAME...]", "all but those of --with",
            "the groups to begin with"),
    OPT_STR(wn_what_if_opts, how.groups, "groups", "task|source|cluster:K|kmeans:K", "task",
            "what a name stands for"),
    OPT_CHOICE(wn_what_if_opts, how.mode, "mode", "clean|ref|step", "clean",
               "as `estimate` has it"),
    OPT_STR(wn_what_if_opts, how.ridge, "ridge", "X|cv", "0.01", "as `estimate` has it"),
    OPT_F64(wn_what_if_opts, how.c, "c", OPT_ABOVE_0, 1e12, "1e-4", "as `estimate` has it"),
    OPT_F64(wn_what_if_opts, how.step_size, "step-size", OPT_ABOVE_0, 1e12, "1",
            "as `estimate` has it"),
    OPT_U64(wn_what_if_opts, bootstrap, "bootstrap", 2, "200", "resamples of rows"),
    OPT_STR(wn_what_if_opts, verified, "verified", "FILE", NULL,
            "manifest of an `estimate --verify` on these stores: shows what was measured there"),
    OPT_STR(wn_what_if_opts, pool, "pool", "PATH", NULL, "the store's rows: their sources"),
    OPT_STR(wn_what_if_opts, map, "map", "NAME|FILE", "winnow's own rows",
            "reads other shapes of rows"),
    OPT_END};

static wn_err run(const wn_call *c)
{
    char *json = NULL;
    WN_TRY(wn_what_if_job(c->opts, &json));
    wn_err err = wn_print_facts(c, json);
    wn_text_free(json);
    return err;
}

const wn_command wn_cmd_what_if = {
    "what-if",
    "",
    "what leaving a task out, or adding it, would change",
    "The estimated loss of the target before and after, and of their difference a 95 % interval by "
    "bootstrap over rows: better, worse, or cannot tell. The interval is of the estimate; what the "
    "estimate itself is worth, `estimate --verify` measures.",
    "winnow what-if --store grads --target target-grads --without \"noisy task\"",
    0,
    0,
    sizeof(wn_what_if_opts),
    opts,
    WN_OUT_TEXT,
    run};
