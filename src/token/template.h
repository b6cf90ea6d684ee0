/* Chat formats: what stands around a prompt and its answer. The published Jinja texts are not run;
 * the format of a model is recognised by marks in its own text. */
#ifndef WN_TOKEN_TEMPLATE_H
#define WN_TOKEN_TEMPLATE_H

#include <stdbool.h>

#include "base/err.h"

typedef struct wn_template {
    const char *name;
    const char *before;   /* ahead of the prompt; BOS comes from the tokenizer's post-processor */
    const char *between;  /* behind the prompt, ahead of the answer */
    const char *after;    /* ends the answer, "" : EOS alone does */
    bool trim;            /* blanks around the prompt go */
    const char *marks[3]; /* all of them, in the model's Jinja text, tell the format */
} wn_template;

/* name: one of the table's, or "chat" for the model's own, whose text is `jinja` (NULL: it has
 * none). "none" and NULL give *out = NULL. An unknown name or text is refused with the list of
 * names. */
wn_err wn_template_find(const wn_template **out, const char *name, const char *jinja);

#endif
