/* What a recipe's options say is checked before any part of it runs: a word that is mistyped must
 * not come to light behind hours of embedding. The jobs check the same again, and what needs a
 * model or rows. */
#include <string.h>

#include "eval/extract.h"
#include "model/sentence.h"
#include "report/recipe.h"
#include "token/template.h"
#include "train/train.h"

/* A recipe is a file: what is wrong in it is not wrong use of the command. */
static wn_err in(const wn_recipe *r, const char *section, wn_err e)
{
    return e == WN_OK ? e : wn_context(e == WN_EUSE ? WN_EARG : e, "%s: %s", r->path, section);
}

/* The model's own format is known when the model is. */
static wn_err check_template(const char *name, const char *system)
{
    const wn_template *t;
    if (name && strcmp(name, "chat") == 0)
        return WN_OK;
    WN_TRY(wn_template_find(&t, name, NULL, false));
    return wn_template_system(t, NULL, system);
}

static wn_err check_embed(const wn_embed_opts *o)
{
    wn_pooling p[WN_POOLINGS];
    size_t n;
    if (o->pooling)
        WN_TRY(wn_pooling_parse(p, &n, o->pooling));
    return check_template(o->tmpl, o->system);
}

static wn_err check_train(const wn_train_opts *o)
{
    WN_TRY(wn_train_check(o));
    return check_template(o->tmpl, o->system);
}

static wn_err check_eval(const wn_eval_opts *o)
{
    wn_extract *rules;
    WN_TRY(wn_extract_open(&rules, o->parse, o->n_parse));
    wn_extract_close(rules);
    return check_template(o->tmpl, o->system);
}

wn_err wn_recipe_check(const wn_recipe *r)
{
    WN_TRY(in(r, "embed", check_embed(&r->embed.o)));
    WN_TRY(in(r, "training", check_train(&r->train)));
    if (r->few.there)
        WN_TRY(in(r, "few_shot: training", check_train(&r->few.train)));
    return in(r, "eval", check_eval(&r->eval));
}
