/* Chat formats: what stands around a prompt and its answer. A model's own Jinja text is not run: it
 * is brought into a normal form (template.c) in which the expressions that write a turn are plain
 * texts, and a format is recognised where all of its own are there and none of another's. What is
 * not recognised is refused with the list of names, never guessed. */
#ifndef WN_TOKEN_TEMPLATE_H
#define WN_TOKEN_TEMPLATE_H

#include <stdbool.h>

#include "base/str.h"

enum { WN_TEMPLATE_MARKS = 5 };

/* In before, between and after, "{eos}" is the tokenizer's end token; in with_system, "{system}" is
 * the system prompt. */
typedef struct wn_template {
    const char *name;
    const char *before;  /* ahead of the prompt, behind BOS */
    const char *between; /* behind the prompt, ahead of the answer */
    const char *after;   /* ends the answer and is supervised with it */
    bool bos;            /* BOS first */
    bool trim;           /* blanks around the prompt go */
    bool trim_answer;
    bool strip_lines;        /* line feeds before the answer go */
    bool space_answer;       /* a space before the answer belongs to it */
    const char *with_system; /* in place of before, NULL: the format has no system prompt */
    const char *system_mark; /* in the normal form of a text that writes it so; NULL: all do */
    bool trim_system;        /* blanks around it go */
    bool end_system;         /* blanks behind it go */
    bool system_behind;      /* the prompt follows it in one text: blanks before the prompt stay */
    const char *system_bars[3]; /* words in it that the format takes for orders: refused */
    const char *needs[WN_TEMPLATE_MARKS]; /* all of them are in the normal form */
    const char *bars[WN_TEMPLATE_MARKS];  /* none of them is */
} wn_template;

/* name: one of the table's. "none" and NULL give *out = NULL. "chat" is the model's own: `own`,
 * what wn_template_recognise found (NULL: nothing; has_own says whether there was a text at all).
 * An unknown name or text is refused with the list of names. */
wn_err wn_template_find(const wn_template **out, const char *name, const wn_template *own,
                        bool has_own);

/* The format of a Jinja text, t NULL: not one that is known; whether the text writes BOS, and a
 * system prompt. */
typedef struct wn_template_own {
    const wn_template *t;
    bool bos, system;
} wn_template_own;
wn_err wn_template_recognise(wn_template_own *out, const char *jinja);

/* Whether a system prompt can be put; `own`: the format is the model's own text. Refusals name the
 * format. */
wn_err wn_template_system(const wn_template *t, const wn_template_own *own, const char *system);

/* The text of a template member with "{eos}" and "{system}" replaced, appended. */
void wn_template_put(wn_str *s, const char *text, const char *eos, wn_span system);

#endif
