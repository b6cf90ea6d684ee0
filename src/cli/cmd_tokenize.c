/* winnow tokenize */
#include <string.h>

#include "cli/cli.h"

typedef struct tokenize_opts {
    wn_tokenize_opts o;
    const char *special;
} tokenize_opts;

static const wn_opt opts[] = {
    OPT_NEED(tokenize_opts, o.model, "model", "PATH",
             "a Hugging Face folder, a tokenizer.json or a .gguf file"),
    OPT_STR(tokenize_opts, o.field, "field", "NAME", NULL,
            "FILE holds JSONL rows; take this field of each, such as prompt"),
    OPT_STR(tokenize_opts, o.map, "map", "NAME|FILE", "winnow's own rows",
            "with --field: reads other shapes of rows"),
    OPT_CHOICE(tokenize_opts, special, "special", "yes|no", "yes",
               "add special tokens as the tokenizer's post-processor says"),
    OPT_FLAG(tokenize_opts, o.decode, "decode", "the other way: lines of ids to text"),
    OPT_END};

static wn_err job(const void *o)
{
    return wn_tokenize_job(&((const tokenize_opts *)o)->o);
}

static wn_err run(const wn_call *c)
{
    tokenize_opts *t = c->opts;
    t->o.file = c->n_args > 0 ? c->args[0] : "-";
    t->o.no_special = t->special != NULL && strcmp(t->special, "no") == 0;
    return wn_print_lines(c, job, NULL);
}

const wn_command wn_cmd_tokenize = {"tokenize",
                                    "[FILE]",
                                    "token ids of each line of text",
                                    "Each line of FILE (default: standard input) becomes a line of "
                                    "JSON such as [1, 2]; nothing is cut. "
                                    "--decode reads such lines and writes text.",
                                    "echo 'Hello world' | winnow tokenize --model encoder",
                                    0,
                                    1,
                                    sizeof(tokenize_opts),
                                    opts,
                                    WN_OUT_LINES,
                                    run};
