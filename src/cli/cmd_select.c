/* winnow select */
#include "cli/cli.h"

typedef struct select_opts {
    wn_select_opts o;
    wn_opt_list avoid;
} select_opts;

static const wn_opt opts[] = {
    OPT_CHOICE_NEED(select_opts, o.strategy, "strategy", "deft|random|balanced-random|all",
                    "how rows are chosen"),
    OPT_STR(select_opts, o.pool, "pool", "PATH", NULL,
            "the rows to choose from, or whose texts are attached"),
    OPT_STR(select_opts, o.map, "map", "NAME|FILE", "winnow's own rows",
            "reads other shapes of rows"),
    OPT_STR(select_opts, o.store, "store", "PATH", NULL, "deft: the pool's vectors"),
    OPT_STR(select_opts, o.queries, "queries", "PATH", NULL,
            "deft: a store of the target's vectors, or rows that --model embeds"),
    OPT_STR(select_opts, o.model, "model", "PATH", NULL,
            "embeds --queries rows; its tokens are what --budget-tokens counts"),
    OPT_SIZE(select_opts, o.k, "k", "500", "deft: neighbours a query"),
    OPT_CHOICE(select_opts, o.metric, "metric", "l2|ip|cosine", "l2", "deft: what near means"),
    OPT_U64(select_opts, o.budget, "budget", 1, "none", "most rows to choose"),
    OPT_U64(select_opts, o.budget_tokens, "budget-tokens", 1, "none", "most tokens to choose"),
    OPT_U64(select_opts, o.per_task, "per-task", 1, "no cap", "most rows of one task"),
    OPT_CHOICE(select_opts, o.dedup, "dedup", "exact|near|none", "exact",
               "which chosen rows count as duplicates"),
    OPT_LIST(select_opts, avoid, "avoid", "FILE",
             "rows whose texts may not be shared, such as the test rows"),
    OPT_END};

static wn_err job(const void *o)
{
    return wn_select_job(&((const select_opts *)o)->o);
}

static wn_err run(const wn_call *c)
{
    select_opts *s = c->opts;
    s->o.avoid = s->avoid.item;
    s->o.n_avoid = s->avoid.n;
    return wn_print_lines(c, job, ".manifest.json");
}

const wn_command wn_cmd_select = {
    "select",
    "",
    "the rows to train on",
    "deft: the union of the queries' nearest rows; over budget, every query's last hit is dropped "
    "until it "
    "fits. random: rows drawn evenly; balanced-random: tasks drawn evenly; all: every row.\n"
    "The output is rows again, with `hits` (how many queries have it), `score`, `query` and `rank` "
    "(its "
    "best score, whose it is, its place there from 1). OUT.manifest.json says what it was made "
    "from.",
    "winnow select --strategy deft --pool pool --store vectors --queries target --k 50 \\\n"
    "    --budget 1000 --avoid test.jsonl --out chosen.jsonl",
    0,
    0,
    sizeof(select_opts),
    opts,
    WN_OUT_LINES,
    run};
