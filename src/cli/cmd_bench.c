/* winnow bench */
#include "cli/cli.h"

static const wn_opt opts[] = {
    OPT_CHOICE(wn_bench_opts, what, "what", "gemm|embed|forward|train|grad", "all but grad",
               "what to measure"),
    OPT_STR(wn_bench_opts, encoder, "encoder", "PATH", NULL, "the model of embed"),
    OPT_STR(wn_bench_opts, model, "model", "PATH", NULL, "the model of forward, train and grad"),
    OPT_STR(wn_bench_opts, rows, "rows", "PATH", "made-up token ids", "the texts to run on"),
    OPT_END};

static wn_err run(const wn_call *c)
{
    char *json = NULL;
    WN_TRY(wn_bench_job(c->opts, &json));
    wn_err err = wn_print_facts(c, json);
    wn_text_free(json);
    return err;
}

const wn_command wn_cmd_bench = {"bench",
                                 "",
                                 "measure this machine",
                                 "Matrix products in GFLOP/s; tokens/s of embedding, forward and "
                                 "LoRA training, and the share of the "
                                 "machine's own matrix-product rate that is.",
                                 "winnow bench --encoder encoder --model model.gguf",
                                 0,
                                 0,
                                 sizeof(wn_bench_opts),
                                 opts,
                                 WN_OUT_TEXT,
                                 run};
