/* -h and `winnow help`: the tables as text of at most 80 columns. */
#include <string.h>

#include "cli/cli.h"

enum { WIDTH = 80, INDENT = 26 };

/* Words of `text` from column `col` on, continuation lines at `indent`. */
static void wrap(wn_str *s, const char *text, size_t col, size_t indent)
{
    bool first = true;
    while (*text != '\0') {
        text += strspn(text, " ");
        size_t n = strcspn(text, " ");
        if (n == 0)
            break;
        if (!first && col + 1 + n > WIDTH) {
            wn_str_printf(s, "\n%*s", (int)indent, "");
            col = indent;
        } else if (!first) {
            wn_str_putc(s, ' ');
            col++;
        }
        wn_str_add(s, text, n);
        col += n;
        text += n;
        first = false;
    }
    wn_str_putc(s, '\n');
}

/* A line of `text` is a paragraph. */
static void paragraphs(wn_str *s, const char *text)
{
    while (*text != '\0') {
        size_t n = strcspn(text, "\n");
        wn_str one = {0};
        wn_str_add(&one, text, n);
        if (one.p != NULL)
            wrap(s, one.p, 0, 0);
        wn_str_free(&one);
        text += n + (text[n] == '\n');
    }
}

/* "  --name a|b|c", broken behind a bar where it is too wide; returns the last line's width. */
static size_t put_head(wn_str *s, const char *head, size_t indent)
{
    size_t len = strlen(head), from = 0;
    while (len + from > WIDTH) {
        size_t n = WIDTH - from;
        while (n > 0 && head[n - 1] != '|')
            n--;
        if (n == 0)
            break;
        wn_str_printf(s, "%.*s\n%*s", (int)n, head, (int)indent, "");
        head += n;
        len -= n;
        from = indent;
    }
    wn_str_puts(s, head);
    return from + len;
}

static void option(wn_str *s, const wn_opt *o)
{
    wn_str head = {0}, tail = {0};
    wn_str_printf(&head, "  --%s%s%s", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
    wn_str_puts(&tail, o->help);
    if (o->required)
        wn_str_puts(&tail, " (required)");
    else if (o->def != NULL)
        wn_str_printf(&tail, " (default: %s)", o->def);
    if (o->kind == WN_OPT_LIST)
        wn_str_puts(&tail, "; may be given again");
    if (wn_str_check(&head) == WN_OK && wn_str_check(&tail) == WN_OK) {
        size_t col = put_head(s, head.p, strlen(o->name) + 5);
        if (head.len + 2 > INDENT)
            wn_str_printf(s, "\n%*s", INDENT, "");
        else
            wn_str_printf(s, "%*s", (int)(INDENT - col), "");
        wrap(s, tail.p, INDENT, INDENT);
    } else {
        s->failed = true;
    }
    wn_str_free(&head);
    wn_str_free(&tail);
}

static void options(wn_str *s, const char *title, const wn_opt *table)
{
    if (table->kind == WN_OPT_END)
        return;
    wn_str_printf(s, "\n%s:\n", title);
    for (const wn_opt *o = table; o->kind != WN_OPT_END; o++)
        option(s, o);
}

void wn_help_command(wn_str *s, const wn_command *cmd)
{
    wn_str_printf(s, "Usage: winnow %s [options]%s%s\n\n", cmd->name, *cmd->args ? " " : "",
                  cmd->args);
    wn_str_printf(s, "%s\n", cmd->about);
    if (*cmd->text != '\0') {
        wn_str_putc(s, '\n');
        paragraphs(s, cmd->text);
    }
    options(s, "Options", cmd->opts);
    options(s, "Options of every command", wn_shared_opts);
    if (cmd->example != NULL) {
        wn_str_puts(s, "\nExample:\n");
        for (const char *p = cmd->example; *p != '\0';) {
            size_t n = strcspn(p, "\n");
            wn_str_printf(s, "  %.*s\n", (int)n, p);
            p += n + (p[n] == '\n');
        }
    }
}

static void command_line(wn_str *s, const wn_command *cmd)
{
    wn_str_printf(s, "  %-12s ", cmd->name);
    wrap(s, cmd->about, 15, 15);
}

bool wn_help_group(wn_str *s, const char *group)
{
    size_t len = strlen(group);
    bool any = false;
    for (size_t i = 0; wn_commands[i] != NULL; i++) {
        const char *name = wn_commands[i]->name;
        if (strncmp(name, group, len) != 0 || name[len] != ' ')
            continue;
        if (!any)
            wn_str_printf(s, "Usage: winnow %s COMMAND [options]\n\nCommands:\n", group);
        any = true;
        command_line(s, wn_commands[i]);
    }
    return any;
}

void wn_help_all(wn_str *s)
{
    wn_str_puts(s, "Usage: winnow COMMAND [options]\n\n"
                   "winnow picks the fine-tuning data that matters.\n\nCommands:\n");
    for (size_t i = 0; wn_commands[i] != NULL; i++)
        command_line(s, wn_commands[i]);
    wn_str_puts(s, "\n  winnow COMMAND -h         options of a command\n"
                   "  winnow help COMMAND       the same\n"
                   "  winnow --version [--json] version, build options, processor features\n\n"
                   "Exit status: 0 done, 1 failed, 2 wrong usage.\n");
}
