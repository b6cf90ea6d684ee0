/* The tables as man pages (roff, man macros) and as docs/commands.md. */
#include <string.h>

#include "cli/cli.h"

/* roff: a backslash and a line's leading dot or quote would be obeyed; a hyphen must stay one. */
static void roff(wn_str *s, const char *text)
{
    for (const char *p = text; *p != '\0'; p++) {
        if ((p == text || p[-1] == '\n') && (*p == '.' || *p == '\''))
            wn_str_puts(s, "\\&");
        if (*p == '\\')
            wn_str_puts(s, "\\e");
        else if (*p == '-')
            wn_str_puts(s, "\\-");
        else if (*p == '\n')
            wn_str_puts(s, "\n.PP\n");
        else
            wn_str_putc(s, *p);
    }
}

static void suffix(wn_str *s, const wn_opt *o)
{
    if (o->required)
        wn_str_puts(s, " (required)");
    else if (o->def != NULL)
        wn_str_printf(s, " (default: %s)", o->def);
    if (o->kind == WN_OPT_LIST)
        wn_str_puts(s, "; may be given again");
}

static void man_options(wn_str *s, const char *title, const wn_opt *table)
{
    if (table->kind == WN_OPT_END)
        return;
    wn_str_printf(s, ".SH %s\n", title);
    for (const wn_opt *o = table; o->kind != WN_OPT_END; o++) {
        wn_str_puts(s, ".TP\n.B \\-\\-");
        roff(s, o->name);
        if (o->arg != NULL) {
            wn_str_puts(s, " \\fI");
            roff(s, o->arg);
            wn_str_puts(s, "\\fR");
        }
        wn_str_putc(s, '\n');
        wn_str tail = {0};
        wn_str_puts(&tail, o->help);
        suffix(&tail, o);
        roff(s, tail.p ? tail.p : "");
        s->failed |= tail.failed;
        wn_str_free(&tail);
        wn_str_putc(s, '\n');
    }
}

static void man_title(wn_str *s, const char *name, const char *about)
{
    wn_str_puts(s, ".TH WINNOW");
    if (*name != '\0')
        wn_str_putc(s, '-');
    for (const char *p = name; *p != '\0'; p++)
        wn_str_putc(s, *p == ' ' ? '-' : *p >= 'a' && *p <= 'z' ? (char)(*p - 32) : *p);
    wn_str_printf(s, " 1 \"\" \"winnow %s\" \"User Commands\"\n.SH NAME\nwinnow%s", wn_version(),
                  *name ? "\\-" : "");
    for (const char *p = name; *p != '\0'; p++)
        wn_str_puts(s, *p == ' ' ? "\\-" : (char[]){*p, '\0'});
    wn_str_puts(s, " \\- ");
    roff(s, about);
    wn_str_putc(s, '\n');
}

void wn_man_command(wn_str *s, const wn_command *cmd)
{
    man_title(s, cmd->name, cmd->about);
    wn_str_printf(s, ".SH SYNOPSIS\n.B winnow %s\n[options] ", cmd->name);
    roff(s, cmd->args);
    wn_str_puts(s, "\n.SH DESCRIPTION\n");
    roff(s, *cmd->text ? cmd->text : cmd->about);
    wn_str_putc(s, '\n');
    man_options(s, "OPTIONS", cmd->opts);
    man_options(s, "OPTIONS OF EVERY COMMAND", wn_shared_opts);
    if (cmd->example != NULL) {
        wn_str_puts(s, ".SH EXAMPLE\n.nf\n");
        for (const char *p = cmd->example; *p != '\0';) {
            size_t n = strcspn(p, "\n");
            wn_str line = {0};
            wn_str_add(&line, p, n);
            roff(s, line.p ? line.p : "");
            wn_str_free(&line);
            wn_str_putc(s, '\n');
            p += n + (p[n] == '\n');
        }
        wn_str_puts(s, ".fi\n");
    }
    wn_str_puts(s, ".SH EXIT STATUS\n0 done, 1 failed, 2 wrong usage.\n"
                   ".SH SEE ALSO\n.BR winnow (1)\n");
}

void wn_man_all(wn_str *s)
{
    man_title(s, "", "pick the fine-tuning data that matters");
    wn_str_puts(
        s, ".SH SYNOPSIS\n.B winnow\n.I COMMAND\n[options]\n.SH DESCRIPTION\n"
           "From a pool of prompted examples, some examples of a task and a model: which rows\n"
           "to train on, the training itself, and whether it beat random rows.\n.SH COMMANDS\n");
    for (size_t i = 0; wn_commands[i] != NULL; i++) {
        wn_str_printf(s, ".TP\n.B %s\n", wn_commands[i]->name);
        roff(s, wn_commands[i]->about);
        wn_str_putc(s, '\n');
    }
    man_options(s, "OPTIONS OF EVERY COMMAND", wn_shared_opts);
    wn_str_puts(s, ".SH EXIT STATUS\n0 done, 1 failed, 2 wrong usage.\n");
}

/* ---- docs/commands.md ---- */

/* A bar would end a table's cell. */
static void cell(wn_str *s, const char *text)
{
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '|')
            wn_str_putc(s, '\\');
        wn_str_putc(s, *p);
    }
}

static void markdown_options(wn_str *s, const wn_opt *table)
{
    if (table->kind == WN_OPT_END)
        return;
    wn_str_puts(s, "\n| option | meaning |\n| --- | --- |\n");
    for (const wn_opt *o = table; o->kind != WN_OPT_END; o++) {
        wn_str_printf(s, "| `--%s", o->name);
        if (o->arg != NULL) {
            wn_str_putc(s, ' ');
            cell(s, o->arg);
        }
        wn_str_puts(s, "` | ");
        cell(s, o->help);
        suffix(s, o);
        wn_str_puts(s, " |\n");
    }
}

void wn_markdown_all(wn_str *s)
{
    wn_str_puts(
        s, "# Commands\n\nWritten by `make docs` from the tool's own option tables; "
           "`winnow COMMAND -h` says the same.\n\n"
           "Data go to standard output or `--out`, words to standard error; `-` is a standard "
           "stream. Exit status:\n0 done, 1 failed, 2 wrong usage. Options are `--name value` or "
           "`--name=value`.\n\n## Options of every command\n");
    markdown_options(s, wn_shared_opts);
    for (size_t i = 0; wn_commands[i] != NULL; i++) {
        const wn_command *c = wn_commands[i];
        wn_str_printf(s, "\n## winnow %s%s%s\n\n%s\n", c->name, *c->args ? " " : "", c->args,
                      c->about);
        for (const char *p = c->text; *p != '\0';) {
            size_t n = strcspn(p, "\n");
            wn_str_printf(s, "\n%.*s\n", (int)n, p);
            p += n + (p[n] == '\n');
        }
        markdown_options(s, c->opts);
        if (c->example != NULL)
            wn_str_printf(s, "\n```sh\n%s\n```\n", c->example);
    }
}
