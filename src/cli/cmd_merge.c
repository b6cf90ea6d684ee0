/* winnow merge */
#include "cli/cli.h"

static const wn_opt opts[] = {
    OPT_NEED(wn_merge_opts, model, "model", "PATH", "a Hugging Face folder or a .gguf file"),
    OPT_STR(wn_merge_opts, adapter, "adapter", "DIR", "none: the model as it is",
            "the PEFT adapter to merge into it"),
    OPT_CHOICE(wn_merge_opts, save_dtype, "save-dtype", "f32|f16|bf16",
               "each tensor's own; bf16 for float8; f32 for GGUF", "type of the weights written"),
    OPT_BYTES(wn_merge_opts, shard_bytes, "shard-size", "5000000000",
              "largest file of weights; more are listed in model.safetensors.index.json"),
    OPT_END};

static wn_err run(const wn_call *c)
{
    WN_TRY(wn_merge_job(c->opts));
    return wn_print_done(c, "merge.json");
}

const wn_command wn_cmd_merge = {
    "merge",
    "",
    "write an adapter's changes into a model's weights",
    "OUT is a folder that transformers loads: the model's tensors with LoRA or IA3 merged in, its "
    "config, tokenizer and, of a sentence-transformers folder, the modules behind it. Sums are "
    "made "
    "in float32 and rounded once, to the type that is written. Of a GGUF file the weights are made "
    "floats under their own names, config.json and tokenizer.json are made from its metadata, and "
    "the adapter may be left out; a SentencePiece unigram (T5) is refused.",
    "winnow merge --model base --adapter adapter --out merged --save-dtype bf16",
    0,
    0,
    sizeof(wn_merge_opts),
    opts,
    WN_OUT_FOLDER,
    run};
