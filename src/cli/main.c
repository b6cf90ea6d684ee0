/* The tool: finds the command, parses, runs, and turns the outcome into an exit status: 0 done, 1
 * failed, 2 wrong usage. The only place that writes an error line. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/ranks.h"
#include "cli/cli.h"

enum { DONE = 0, FAILED = 1, USAGE = 2 };

#define WN_X(name) &wn_cmd_##name,
const wn_command *const wn_commands[] = {WN_COMMANDS(WN_X) NULL};
#undef WN_X

/* Those whose jobs share their work among the processes that mpirun or srun started. */
static const wn_command *const for_ranks[] = {&wn_cmd_embed, &wn_cmd_grad, &wn_cmd_train,
                                              &wn_cmd_search};
enum { FOR_RANKS = sizeof for_ranks / sizeof *for_ranks };

/* Error texts may quote a file's bytes: nothing that a terminal would obey gets through. What rank
 * 0 knows of too, it says. */
static void say(const char *prefix, const char *text)
{
    if (wn_rank() > 0 && wn_ranks_told())
        return;
    char line[WN_ERROR_TEXT_BYTES + 256];
    int n = snprintf(line, sizeof line - 1, "winnow: %s%s", prefix, text);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof line - 1 ? (size_t)n : sizeof line - 2;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)line[i] < 32 || line[i] == 127)
            line[i] = ' ';
    line[len] = '\n';
    fwrite(line, 1, len + 1, stderr);
}

/* One line: what is wrong, and where to read what is right. */
static int usage(const char *text, const char *command)
{
    char line[WN_ERROR_TEXT_BYTES + 128];
    snprintf(line, sizeof line, "%.*s (try 'winnow %s%s')", WN_ERROR_TEXT_BYTES, text,
             command != NULL ? command : "help", command != NULL ? " -h" : "");
    say("", line);
    return USAGE;
}

/* Everything that was printed has to have arrived. */
static int finish(int status)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        if (status == DONE)
            say("", "standard output: write failed");
        return FAILED;
    }
    if (fclose(stdout) != 0 && status == DONE) {
        say("", "standard output: write failed");
        return FAILED;
    }
    return status;
}

static int print(wn_str *s)
{
    int status = DONE;
    if (wn_str_check(s) != WN_OK) {
        say("", wn_error_text());
        status = FAILED;
    } else {
        fwrite(s->p, 1, s->len, stdout);
    }
    wn_str_free(s);
    return finish(status);
}

/* "pool build" is two words of argv; *words tells how many were taken. */
static const wn_command *find_command(int argc, char **argv, int *words)
{
    for (size_t i = 0; wn_commands[i] != NULL; i++) {
        const char *name = wn_commands[i]->name, *space = strchr(name, ' ');
        if (space == NULL) {
            *words = 1;
            if (strcmp(argv[0], name) == 0)
                return wn_commands[i];
            continue;
        }
        size_t first = (size_t)(space - name);
        *words = 2;
        if (argc > 1 && strlen(argv[0]) == first && memcmp(argv[0], name, first) == 0 &&
            strcmp(argv[1], space + 1) == 0)
            return wn_commands[i];
    }
    return NULL;
}

static int unknown_command(int argc, char **argv)
{
    enum { MOST = 64 };
    wn_str s = {0};
    if (wn_help_group(&s, argv[0])) {
        bool asked = argc > 1 && (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0);
        if (asked)
            return print(&s);
        wn_str_free(&s);
        char line[300];
        snprintf(line, sizeof line,
                 argc > 1 ? "%s: unknown command '%.200s'" : "%s: which command?", argv[0],
                 argc > 1 ? argv[1] : "");
        return usage(line, argv[0]);
    }
    const char *names[MOST];
    size_t n = 0;
    while (n < MOST && wn_commands[n] != NULL) {
        names[n] = wn_commands[n]->name;
        n++;
    }
    const char *near = wn_opt_nearest(argv[0], names, n);
    char line[300];
    snprintf(line, sizeof line, "unknown command '%.200s'%s%s%s", argv[0],
             near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    return usage(line, NULL);
}

static wn_precision precision_of(const char *name)
{
    if (name == NULL || strcmp(name, "auto") == 0)
        return WN_PRECISION_AUTO;
    if (strcmp(name, "f32") == 0)
        return WN_PRECISION_F32;
    return strcmp(name, "bf16") == 0 ? WN_PRECISION_BF16 : WN_PRECISION_INT8;
}

static int run(const wn_command *cmd, const wn_shared *shared, void *opts, char **args,
               size_t n_args)
{
    wn_common *common = opts;
    *common = (wn_common){shared->out, shared->seed, precision_of(shared->precision),
                          shared->max_memory, shared->overwrite};
    wn_set_threads(shared->threads);
    wn_set_max_memory(shared->max_memory);
    wn_progress_start(shared->quiet);
    if (shared->threads == 0)
        wn_ranks_remark();
    wn_call call = {cmd, shared, opts, (const char *const *)args, n_args};
    wn_err err = wn_ranks_name(cmd->run(&call));
    wn_progress_end();
    if (err == WN_EUSE)
        return finish(usage(wn_error_message(), cmd->name));
    if (err != WN_OK)
        say("", wn_error_message());
    return finish(err == WN_OK ? DONE : FAILED);
}

static wn_err check_ranks(const wn_command *cmd)
{
    char able[64] = "";
    for (size_t i = 0, n = 0; i < FOR_RANKS; i++) {
        if (for_ranks[i] == cmd || wn_ranks() == 1)
            return WN_OK;
        n += (size_t)snprintf(able + n, sizeof able - n, "%s%s", i ? ", " : "", for_ranks[i]->name);
    }
    return wn_fail(WN_EARG, "%s: expected one process, found %d ranks; for several there is %s",
                   cmd->name, wn_ranks(), able);
}

/* The processes that were started together find each other; only rank 0 has a standard output. */
static wn_err start_ranks(const wn_command *cmd)
{
    WN_TRY(wn_ranks_start());
    wn_err e = WN_OK;
    if (wn_rank() > 0) {
        int nowhere = open("/dev/null", O_WRONLY);
        if (nowhere < 0 || dup2(nowhere, STDOUT_FILENO) < 0)
            e = wn_fail(WN_EIO, "/dev/null: cannot be opened");
        close(nowhere);
    }
    return wn_ranks_agree(e ? e : check_ranks(cmd));
}

static int command(const wn_command *cmd, int argc, char **argv)
{
    wn_shared shared = {0};
    wn_config config = {0};
    size_t n_args = 0;
    int status;
    void *opts = wn_calloc(1, cmd->size);
    wn_err err = start_ranks(cmd);
    if (err != WN_OK) {
        say("", wn_error_text());
        wn_free(opts);
        return FAILED;
    }
    err = opts ? wn_parse(cmd, &shared, opts, argc, argv, &n_args, &config) : WN_ENOMEM;
    err = wn_ranks_agree(err);
    if (err == WN_EARG) {
        char line[WN_ERROR_TEXT_BYTES + 64];
        snprintf(line, sizeof line, "%s: %s", cmd->name, wn_error_text());
        status = usage(line, cmd->name);
    } else if (err != WN_OK) {
        say("", wn_error_text());
        status = FAILED;
    } else if (shared.help) {
        wn_str s = {0};
        wn_help_command(&s, cmd);
        status = print(&s);
    } else {
        status = run(cmd, &shared, opts, argv, n_args);
    }
    if (opts != NULL)
        wn_opt_free(cmd->opts, opts);
    wn_free(opts);
    wn_config_free(&config);
    return status;
}

static int version(bool json)
{
    if (!json) {
        printf("winnow %s\n", wn_version());
        return finish(DONE);
    }
    char *text = NULL;
    if (wn_about(&text) != WN_OK) {
        say("", wn_error_message());
        return finish(FAILED);
    }
    puts(text);
    wn_text_free(text);
    return finish(DONE);
}

static int help(int argc, char **argv)
{
    wn_str s = {0};
    int words;
    if (argc == 0) {
        wn_help_all(&s);
        return print(&s);
    }
    const wn_command *cmd = find_command(argc, argv, &words);
    if (cmd == NULL && !wn_help_group(&s, argv[0]))
        return unknown_command(argc, argv);
    if (cmd != NULL)
        wn_help_command(&s, cmd);
    return print(&s);
}

/* What packaging asks for: the tables in other forms. */
static int generate(int argc, char **argv)
{
    wn_str s = {0};
    int words;
    if (strcmp(argv[0], "--commands") == 0) {
        for (size_t i = 0; wn_commands[i] != NULL; i++)
            wn_str_printf(&s, "%s\n", wn_commands[i]->name);
    } else if (strcmp(argv[0], "--markdown") == 0) {
        wn_markdown_all(&s);
    } else if (strcmp(argv[0], "--completion") == 0) {
        if (argc < 2 || !wn_completion(&s, argv[1]))
            return usage("--completion: expected bash, zsh or fish", NULL);
    } else if (argc < 2) {
        wn_man_all(&s);
    } else {
        const wn_command *cmd = find_command(argc - 1, argv + 1, &words);
        if (cmd == NULL)
            return unknown_command(argc - 1, argv + 1);
        wn_man_command(&s, cmd);
    }
    return print(&s);
}

/* A closed standard stream must not be handed out again as the first file we open; what stands in
 * for it fails on use. A reader that went away makes writes fail, which is reported, not a signal.
 */
static void guard_streams(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)!open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
    signal(SIGPIPE, SIG_IGN);
}

/* libgomp lets a thread that waits spin for milliseconds. On a machine with other work, where two
 * of our threads may share a core, one then spins while the other waits for that core: training ran
 * 10 times slower beside one busy process. Some microseconds of spinning lose nothing on an idle
 * machine. libgomp reads its settings before main, so they are set for the same program started
 * anew. */
static void calm_threads(char **argv)
{
    if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY") ||
        setenv("GOMP_SPINCOUNT", "2000", 1))
        return;
    execv("/proc/self/exe", argv); /* where there is no /proc, the program goes on as it is */
}

int main(int argc, char **argv)
{
    calm_threads(argv);
    guard_streams();
    if (argc < 2)
        return usage("which command?", NULL);
    const char *first = argv[1];
    if (argc == 3 && strcmp(first, "--json") == 0 && strcmp(argv[2], "--version") == 0)
        return version(true);
    if (strcmp(first, "--version") == 0)
        return argc == 2 ? version(false)
               : argc == 3 && !strcmp(argv[2], "--json")
                   ? version(true)
                   : usage("--version takes only --json", NULL);
    if (strcmp(first, "-h") == 0 || strcmp(first, "--help") == 0)
        return help(0, NULL);
    if (strcmp(first, "help") == 0)
        return help(argc - 2, argv + 2);
    if (strcmp(first, "--man") == 0 || strcmp(first, "--markdown") == 0 ||
        strcmp(first, "--completion") == 0 || strcmp(first, "--commands") == 0)
        return generate(argc - 1, argv + 1);
    if (first[0] == '-') {
        char line[300];
        snprintf(line, sizeof line, "expected a command, found '%.200s'", first);
        return usage(line, NULL);
    }
    int words;
    const wn_command *cmd = find_command(argc - 1, argv + 1, &words);
    if (cmd == NULL)
        return unknown_command(argc - 1, argv + 1);
    int status = command(cmd, argc - 1 - words, argv + 1 + words);
    wn_ranks_end(status != DONE);
    return status;
}
