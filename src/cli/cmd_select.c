/* winnow select */
#include "cli/cli.h"

typedef struct select_opts {
    wn_select_opts o;
    wn_opt_list avoid, avoid_store, checkpoint;
} select_opts;

static const wn_opt opts[] = {
    OPT_CHOICE_NEED(select_opts, o.strategy, "strategy",
                    "deft|gradex-fs|gradex-re|less|dsir|bm25|random|balanced-random|all",
                    "how rows are chosen"),
    OPT_STR(select_opts, o.pool, "pool", "PATH", NULL,
            "the rows to choose from, or whose texts are attached"),
    OPT_STR(select_opts, o.map, "map", "NAME|FILE", "winnow's own rows",
            "reads other shapes of rows"),
    OPT_STR(select_opts, o.store, "store", "PATH", NULL,
            "the pool's vectors; gradex-*, less: its gradients"),
    OPT_STR(select_opts, o.queries, "queries", "PATH", NULL,
            "the target: deft: a store, or rows that --model embeds; gradex-*, less: a store of "
            "gradients; dsir, bm25: rows"),
    OPT_STR(select_opts, o.model, "model", "PATH", NULL,
            "embeds --queries rows; its tokens are what --budget-tokens counts"),
    OPT_SIZE(select_opts, o.k, "k", "500", "deft, bm25: neighbours a query"),
    OPT_CHOICE(select_opts, o.metric, "metric", "l2|ip|cosine", "l2; less: cosine",
               "deft, less: what near means"),
    OPT_U64(select_opts, o.budget, "budget", 1, "none", "most rows to choose"),
    OPT_U64(select_opts, o.budget_tokens, "budget-tokens", 1, "none", "most tokens to choose"),
    OPT_U64(select_opts, o.per_task, "per-task", 1, "no cap", "most rows of one task"),
    OPT_CHOICE(select_opts, o.dedup, "dedup", "exact|near|none", "exact",
               "which chosen rows count as duplicates"),
    OPT_FLAG(select_opts, o.other_text, "other-text",
             "the store is of another rendering of the pool's rows"),
    OPT_LIST(select_opts, avoid, "avoid", "FILE",
             "rows whose texts may not be shared, such as the test rows"),
    OPT_SIZE(select_opts, o.avoid_run, "avoid-words", "13",
             "--avoid: words of a run that may not be shared"),
    OPT_LIST(select_opts, avoid_store, "avoid-store", "PATH",
             "vectors that may not be resembled, such as the test rows'"),
    OPT_F64(select_opts, o.avoid_cosine, "avoid-cosine", OPT_ABOVE_0, 1, "0.95",
            "--avoid-store: from this cosine on"),
    OPT_F64(select_opts, o.near_cosine, "near-cosine", OPT_ABOVE_0, 1, "no matter",
            "a row whose vector has this cosine with an earlier one's is a duplicate too"),
    OPT_STR(select_opts, o.vectors, "vectors", "PATH", "--store",
            "the rows' vectors for --avoid-store and --near-cosine"),
    OPT_STR(select_opts, o.how.groups, "groups", "task|source|cluster:K|kmeans:K", "task",
            "gradex-*: what is chosen or left out as a whole"),
    OPT_CHOICE(select_opts, o.search, "search", "pass|forward|backward", "pass",
               "gradex-fs: every group once; the best next one; without the worst one"),
    OPT_U64(select_opts, o.subsets, "subsets", 1, "10 a group, at least 200",
            "gradex-re: most random subsets"),
    OPT_F64(select_opts, o.share, "share", OPT_ABOVE_0, 1, "0.5",
            "gradex-re: of the groups, in a subset"),
    OPT_F64(select_opts, o.settle, "settle", OPT_ABOVE_0, 1, "0.98",
            "gradex-re: reliability of the ranking at which drawing ends; 1: never"),
    OPT_U64(select_opts, o.keep, "keep", 1, "as many as are best together",
            "gradex-re: groups to keep"),
    OPT_F64(select_opts, o.below, "below", OPT_ABOVE_0, 1e300, NULL,
            "gradex-re: keep the groups whose score is below this"),
    OPT_CHOICE(select_opts, o.how.mode, "mode", "clean|ref|step", "clean",
               "gradex-*: as `estimate` has it"),
    OPT_STR(select_opts, o.how.ridge, "ridge", "X|cv", "0.01", "gradex-*: as `estimate` has it"),
    OPT_F64(select_opts, o.how.c, "c", OPT_ABOVE_0, 1e12, "1e-4", "gradex-*: as `estimate` has it"),
    OPT_F64(select_opts, o.how.step_size, "step-size", OPT_ABOVE_0, 1e12, "1",
            "gradex-*: as `estimate` has it"),
    OPT_LIST(select_opts, checkpoint, "checkpoint", "STORE,QUERIES[,WEIGHT]",
             "less: gradients at a further checkpoint"),
    OPT_F64(select_opts, o.weight, "weight", OPT_ABOVE_0, 1e12, "1",
            "less: of --store and --queries among the checkpoints"),
    OPT_CHOICE(select_opts, o.gumbel, "gumbel", "yes|no", "yes",
               "dsir: draw in proportion to the weights, or take the largest"),
    OPT_FLAG(select_opts, o.per_token, "per-token", "dsir: weights by length"),
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
    s->o.avoid_store = s->avoid_store.item;
    s->o.n_avoid_store = s->avoid_store.n;
    s->o.checkpoints = s->checkpoint.item;
    s->o.n_checkpoints = s->checkpoint.n;
    return wn_print_lines(c, job, ".manifest.json");
}

const wn_command wn_cmd_select = {
    "select",
    "",
    "the rows to train on",
    "deft: the union of the queries' nearest rows; over budget, every query's last hit is dropped "
    "until it "
    "fits. gradex-fs, gradex-re: the tasks (or sources, or clusters) whose estimated effect on the "
    "target's loss is best, one after the other or in random subsets. less: rows whose gradients "
    "point where the target's do. dsir: rows with the target's words; bm25: the union of the "
    "queries' best rows by words. random: rows drawn evenly; balanced-random: tasks drawn evenly; "
    "all: every row.\n"
    "The output is rows again; deft, bm25: with `hits` (how many queries have it), `score`, "
    "`query` "
    "and `rank` (its best score, whose it is, its place there from 1); gradex-*, less, dsir: with "
    "`score`. OUT.manifest.json says what it was made from. Rows too like a target row (--avoid, "
    "--queries rows, --avoid-store) are never chosen; OUT.avoided.jsonl shows each with its "
    "counterpart.",
    "winnow select --strategy deft --pool pool --store vectors --queries target --k 50 \\\n"
    "    --budget 1000 --avoid test.jsonl --out chosen.jsonl",
    0,
    0,
    sizeof(select_opts),
    opts,
    WN_OUT_LINES,
    run};
