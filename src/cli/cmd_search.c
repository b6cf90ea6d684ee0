/* winnow search */
#include "cli/cli.h"

static const wn_opt opts[] = {
    OPT_NEED(wn_search_opts, store, "store", "PATH", "the vectors to search"),
    OPT_STR(wn_search_opts, queries, "queries", "PATH", NULL,
            "a store with one vector a query, or rows that --model embeds as the store's were"),
    OPT_STR(wn_search_opts, model, "model", "PATH", NULL, "embeds --queries rows"),
    OPT_STR(wn_search_opts, map, "map", "NAME|FILE", "winnow's own rows",
            "reads other shapes of --queries rows"),
    OPT_SIZE(wn_search_opts, k, "k", "500", "hits a query"),
    OPT_CHOICE(wn_search_opts, metric, "metric", "l2|ip|cosine", "l2",
               "l2: squared distance, small is near; ip, cosine: large is near"),
    OPT_FLAG(wn_search_opts, prepare, "prepare",
             "keep 8-bit codes beside the store; without --queries that is all"),
    OPT_END};

static wn_err job(const void *o)
{
    return wn_search_job(o);
}

static wn_err run(const wn_call *c)
{
    return wn_print_lines(c, job, NULL);
}

const wn_command wn_cmd_search = {
    "search",
    "",
    "the exact nearest rows of each query",
    "A JSON line a query: {\"query\", \"hits\": [{\"id\", \"score\"}...]}, best first, ties to the "
    "smaller row position. The answer is exact and does not depend on the number of threads. For "
    "stores "
    "of 64 MB of vectors and more the first search keeps 8-bit codes of the rows in a file beside "
    "the store, STORE.codes-l2 or STORE.codes-cosine, which later ones read: a quarter of the "
    "bytes. It may be removed at any time. Processes that mpirun or srun started together share "
    "the work (docs/clusters.md).",
    "winnow search --store vectors --queries target --k 10",
    0,
    0,
    sizeof(wn_search_opts),
    opts,
    WN_OUT_LINES,
    run};
