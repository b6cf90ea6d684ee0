/* What a command is, and what all commands share. To add one: a file cmd_NAME.c that defines a
 * wn_command, a line in COMMANDS below, its cases in tests/cli/NAME/, and `make docs`; the
 * structure tests notice what was forgotten. */
#ifndef WN_CLI_CLI_H
#define WN_CLI_CLI_H

#include <stdbool.h>

#include "base/str.h"
#include "cli/opt.h"
#include "winnow.h"

/* What --out is for a command, and so how an existing one is treated. */
typedef enum wn_out_kind {
    WN_OUT_TEXT,  /* the text that else goes to standard output */
    WN_OUT_LINES, /* JSON lines, standard output by default; --json makes them one array */
    WN_OUT_FOLDER /* a folder that must be named; unfinished ones are resumed */
} wn_out_kind;

typedef struct wn_shared {
    const char *out, *precision, *config;
    int threads;
    uint64_t seed, max_memory;
    bool json, quiet, overwrite, help;
} wn_shared;

typedef struct wn_call {
    const struct wn_command *command;
    const wn_shared *shared;
    void *opts;              /* command->size bytes, a wn_common first */
    const char *const *args; /* positional arguments */
    size_t n_args;
} wn_call;

typedef struct wn_command {
    const char *name;    /* "embed", "pool build" */
    const char *args;    /* positional arguments as usage shows them, "" for none */
    const char *about;   /* one line */
    const char *text;    /* paragraphs for help and manual */
    const char *example; /* lines of a shell, NULL: none */
    size_t min_args, max_args;
    size_t size; /* of the options struct */
    const wn_opt *opts;
    wn_out_kind out;
    wn_err (*run)(const wn_call *c);
} wn_command;

#define WN_COMMANDS(X)                                                                             \
    X(pool_build)                                                                                  \
    X(pool_info)                                                                                   \
    X(pool_show)                                                                                   \
    X(pool_check)                                                                                  \
    X(tokenize)                                                                                    \
    X(embed)                                                                                       \
    X(grad)                                                                                        \
    X(score)                                                                                       \
    X(export)                                                                                      \
    X(import)                                                                                      \
    X(store_info)                                                                                  \
    X(store_check)                                                                                 \
    X(store_merge)                                                                                 \
    X(store_export)                                                                                \
    X(store_import)                                                                                \
    X(search)                                                                                      \
    X(dedup)                                                                                       \
    X(select)                                                                                      \
    X(estimate)                                                                                    \
    X(what_if)                                                                                     \
    X(train)                                                                                       \
    X(eval)                                                                                        \
    X(run)                                                                                         \
    X(plan)                                                                                        \
    X(explain)                                                                                     \
    X(tasks)                                                                                       \
    X(diff)                                                                                        \
    X(report)                                                                                      \
    X(model_info)                                                                                  \
    X(get)                                                                                         \
    X(merge)                                                                                       \
    X(doctor)                                                                                      \
    X(bench)
#define WN_X(name) extern const wn_command wn_cmd_##name;
WN_COMMANDS(WN_X)
#undef WN_X

extern const wn_command *const wn_commands[]; /* NULL-terminated */
extern const wn_opt wn_shared_opts[];

/* ---- parse.c ---- */

/* Fills shared and opts from --config and argv (the words after the command); positional words are
 * moved to the front of argv, *n_args of them. WN_EARG is a usage error. The config's strings live
 * in *config (wn_config_free). */
typedef struct wn_config {
    char **item;
    size_t n, cap;
} wn_config;
wn_err wn_parse(const wn_command *cmd, wn_shared *shared, void *opts, int argc, char **argv,
                size_t *n_args, wn_config *config);
void wn_config_free(wn_config *c);

/* ---- help.c, manual.c, completion.c: the tables as text ---- */
void wn_help_command(wn_str *s, const wn_command *cmd);
bool wn_help_group(wn_str *s, const char *group); /* false: no such group of commands */
void wn_help_all(wn_str *s);
void wn_man_command(wn_str *s, const wn_command *cmd);
void wn_man_all(wn_str *s);
void wn_markdown_all(wn_str *s);
bool wn_completion(wn_str *s, const char *shell); /* false: unknown shell */

/* ---- progress.c ---- */
void wn_progress_start(bool quiet);
void wn_progress_end(void); /* leaves the terminal's line in order */

/* ---- print.c ---- */

/* Text to --out or standard output, ending in one newline. */
wn_err wn_print(const wn_call *c, const char *text);
/* Refuses an existing regular file at --out without --overwrite: files appear whole, so it is
 * finished. */
wn_err wn_print_check_out(const wn_call *c);
/* The JSON file `name` in the folder --out, on standard output. */
wn_err wn_print_file(const wn_call *c, const char *name);
/* JSON: as it is with --json, else as lines and tables for people. */
wn_err wn_print_facts(const wn_call *c, const char *json);
/* After a job that wrote files: with --json {"command", "out", "manifest"}, manifest being the JSON
 * file `name` in the folder out (or out + name where name starts with a dot), null where there is
 * none. */
wn_err wn_print_done(const wn_call *c, const char *name);
/* Runs a job that writes JSON lines to o->out (`opts` begins with a wn_common). With --json and no
 * --out its lines become one array. */
wn_err wn_print_lines(const wn_call *c, wn_err (*job)(const void *opts), const char *manifest);

#endif
