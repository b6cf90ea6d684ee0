/* Completion scripts for bash, zsh and fish, from the same tables. */
#include <string.h>

#include "cli/cli.h"

/* Ends a word of a name at its space: "pool build" is completed word by word. */
static size_t first_word(const char *name)
{
    return strcspn(name, " ");
}

static bool first_of_group(size_t i)
{
    size_t n = first_word(wn_commands[i]->name);
    for (size_t j = 0; j < i; j++)
        if (first_word(wn_commands[j]->name) == n &&
            memcmp(wn_commands[j]->name, wn_commands[i]->name, n) == 0)
            return false;
    return true;
}

static void first_words(wn_str *s)
{
    for (size_t i = 0; wn_commands[i] != NULL; i++)
        if (first_of_group(i))
            wn_str_printf(s, "%.*s ", (int)first_word(wn_commands[i]->name), wn_commands[i]->name);
    wn_str_puts(s, "help --version");
}

static void choices(wn_str *s, const char *list)
{
    for (const char *p = list; *p != '\0'; p++)
        wn_str_putc(s, *p == '|' ? ' ' : *p);
}

static void bash_values(wn_str *s, const wn_opt *table)
{
    for (const wn_opt *o = table; o->kind != WN_OPT_END; o++) {
        if (o->kind != WN_OPT_CHOICE)
            continue;
        wn_str_printf(s, "        --%s) words='", o->name);
        choices(s, o->arg);
        wn_str_puts(s, "' ;;\n");
    }
}

static void names(wn_str *s, const wn_opt *table)
{
    for (const wn_opt *o = table; o->kind != WN_OPT_END; o++)
        wn_str_printf(s, "--%s ", o->name);
}

/* After a command: the choices of the option before the cursor, option names, else files. */
static void bash(wn_str *s)
{
    wn_str_puts(s, "# bash completion of winnow\n_winnow() {\n"
                   "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
                   "    local words='' cmd=${COMP_WORDS[1]}\n"
                   "    if [ \"$COMP_CWORD\" = 1 ]; then\n        words='");
    first_words(s);
    wn_str_puts(s, "'\n    else\n    case \"$cmd ${COMP_WORDS[2]}\" in\n");
    for (size_t i = 0; wn_commands[i] != NULL; i++) {
        const wn_command *c = wn_commands[i];
        wn_str_printf(s, "    '%s'%s) words='", c->name, strchr(c->name, ' ') ? "" : "\\ *");
        names(s, c->opts);
        names(s, wn_shared_opts);
        wn_str_puts(s, "'\n        case \"$prev\" in\n");
        bash_values(s, c->opts);
        bash_values(s, wn_shared_opts);
        wn_str_puts(
            s, "        --*) words=${cur:+$([ \"${cur#-}\" != \"$cur\" ] && echo \"$words\")} ;;\n"
               "        esac ;;\n");
    }
    for (size_t i = 0; wn_commands[i] != NULL; i++) {
        size_t n = first_word(wn_commands[i]->name);
        if (wn_commands[i]->name[n] == '\0' || !first_of_group(i))
            continue;
        wn_str_printf(s, "    %.*s\\ *) words='", (int)n, wn_commands[i]->name);
        for (size_t j = i; wn_commands[j] != NULL; j++)
            if (strncmp(wn_commands[j]->name, wn_commands[i]->name, n + 1) == 0)
                wn_str_printf(s, "%s ", wn_commands[j]->name + n + 1);
        wn_str_puts(s, "' ;;\n");
    }
    wn_str_puts(s, "    help\\ *) words='");
    first_words(s);
    wn_str_puts(s, "' ;;\n    esac\n    fi\n"
                   "    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
                   "    case \"$cur\" in -*) ;; *)\n"
                   "        [ \"$COMP_CWORD\" -gt 1 ] && [ ${#COMPREPLY[@]} = 0 ] &&\n"
                   "            COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n    esac\n}\n"
                   "complete -o filenames -F _winnow winnow\n");
}

/* fish: text between single quotes, where only ' and \ are special. */
static void quoted(wn_str *s, const char *text)
{
    wn_str_putc(s, '\'');
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '\'' || *p == '\\')
            wn_str_putc(s, '\\');
        wn_str_putc(s, *p);
    }
    wn_str_putc(s, '\'');
}

static void fish_options(wn_str *s, const char *condition, const wn_opt *table)
{
    for (const wn_opt *o = table; o->kind != WN_OPT_END; o++) {
        wn_str_printf(s, "complete -c winnow -n '%s' -l %s", condition, o->name);
        if (o->kind == WN_OPT_CHOICE) {
            wn_str_puts(s, " -x -a '");
            choices(s, o->arg);
            wn_str_putc(s, '\'');
        } else if (o->kind != WN_OPT_FLAG) {
            wn_str_puts(s, " -r");
        }
        wn_str_puts(s, " -d ");
        quoted(s, o->help);
        wn_str_putc(s, '\n');
    }
}

static void fish(wn_str *s)
{
    wn_str_puts(s,
                "# fish completion of winnow\ncomplete -c winnow -n __fish_use_subcommand -f -a '");
    first_words(s);
    wn_str_puts(s, "'\n");
    for (size_t i = 0; wn_commands[i] != NULL; i++) {
        const wn_command *c = wn_commands[i];
        size_t n = first_word(c->name);
        wn_str condition = {0};
        wn_str_printf(&condition, "__fish_seen_subcommand_from %.*s", (int)n, c->name);
        if (c->name[n] == ' ') {
            wn_str_printf(s, "complete -c winnow -n '%s' -f -a %s -d ",
                          condition.p ? condition.p : "", c->name + n + 1);
            quoted(s, c->about);
            wn_str_putc(s, '\n');
            wn_str_printf(&condition, "; and __fish_seen_subcommand_from %s", c->name + n + 1);
        }
        fish_options(s, condition.p ? condition.p : "", c->opts);
        s->failed |= condition.failed;
        wn_str_free(&condition);
    }
    fish_options(s, "not __fish_use_subcommand", wn_shared_opts);
}

bool wn_completion(wn_str *s, const char *shell)
{
    if (strcmp(shell, "fish") == 0) {
        fish(s);
        return true;
    }
    if (strcmp(shell, "zsh") == 0)
        wn_str_puts(s, "#compdef winnow\nautoload -U +X bashcompinit && bashcompinit\n");
    else if (strcmp(shell, "bash") != 0)
        return false;
    bash(s);
    return true;
}
