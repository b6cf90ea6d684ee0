/* winnow dedup */
#include "cli/cli.h"

static const wn_opt opts[] = {
    OPT_STR(wn_dedup_opts, pool, "pool", "PATH", NULL, "the rows, compared by text"),
    OPT_STR(wn_dedup_opts, map, "map", "NAME|FILE", "winnow's own rows",
            "reads other shapes of rows"),
    OPT_STR(wn_dedup_opts, store, "store", "PATH", NULL, "the vectors, compared by cosine"),
    OPT_F64(wn_dedup_opts, threshold, "threshold", OPT_ABOVE_0, 1, "0.8 of texts, 0.95 of vectors",
            "how similar two rows of a group are, at least"),
    OPT_FLAG(wn_dedup_opts, any_target, "any-target",
             "texts: prompts alone count; else targets must be equal"),
    OPT_END};

static wn_err job(const void *o)
{
    return wn_dedup_job(o);
}

static wn_err run(const wn_call *c)
{
    return wn_print_lines(c, job, NULL);
}

const wn_command wn_cmd_dedup = {
    "dedup",
    "",
    "groups of near-duplicates, by text or by vectors",
    "A JSON line a group: {\"id\", \"row\", \"duplicates\": [{\"id\", \"row\", \"score\"}...]}, id "
    "being its first row, score the similarity to that. A group is what similar pairs tie "
    "together. Texts: Jaccard similarity of the prompts' five-word runs without the task's "
    "template, over 99 % of the pairs at the threshold are found, from 0.3 on. Vectors: cosine; "
    "exact, no pair is missed.",
    "winnow dedup --store vectors --threshold 0.97 --out groups.jsonl",
    0,
    0,
    sizeof(wn_dedup_opts),
    opts,
    WN_OUT_LINES,
    run};
