/* What stands beside tokenizer.json: which tokens begin, end and pad, and the chat template. Texts
 * come from tokenizer_config.json, ids from config.json and generation_config.json, in that order.
 */
#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/json.h"
#include "token/parts.h"

enum { MAX_TEMPLATE = 1 << 22 };

static wn_err load_if_there(json_t **out, const char *folder, const char *name)
{
    char *path;
    *out = NULL;
    WN_TRY(wn_path_join(&path, folder, name));
    wn_err err = wn_file_exists(path) ? wn_json_load(out, path) : WN_OK;
    wn_free(path);
    return err;
}

/* A token's text: a string, or {"content": ...}. */
static int32_t by_text(const wn_tokenizer *t, const json_t *config, const char *key)
{
    const json_t *v = json_object_get(config, key);
    if (json_is_object(v))
        v = json_object_get(v, "content");
    return json_is_string(v) ? wn_tokenizer_lookup(t, json_string_value(v), json_string_length(v))
                             : -1;
}

/* An id, or the first of a list of ids. */
static int32_t by_id(const json_t *config, const char *key)
{
    const json_t *v = json_object_get(config, key);
    if (json_is_array(v))
        v = json_array_get(v, 0);
    bool fits =
        json_is_integer(v) && json_integer_value(v) >= 0 && json_integer_value(v) < INT32_MAX;
    return fits ? (int32_t)json_integer_value(v) : -1;
}

static wn_err set_template(wn_tokenizer *t, const json_t *v)
{
    size_t i;
    json_t *one;
    if (json_is_array(v)) { /* several by name */
        const json_t *list = v;
        v = NULL;
        json_array_foreach((json_t *)list, i, one)
        {
            const char *name = json_string_value(json_object_get(one, "name"));
            if (name && !strcmp(name, "default"))
                v = json_object_get(one, "template");
        }
    }
    if (!json_is_string(v))
        return WN_OK;
    t->chat_template = wn_strdup(json_string_value(v));
    return t->chat_template ? WN_OK : WN_ENOMEM;
}

static wn_err template_file(wn_tokenizer *t, const char *folder)
{
    char *path;
    size_t len;
    WN_TRY(wn_path_join(&path, folder, "chat_template.jinja"));
    wn_err err = WN_OK;
    if (wn_file_exists(path))
        err = wn_file_read(&t->chat_template, &len, path, MAX_TEMPLATE);
    wn_free(path);
    return err;
}

static void fill(int32_t *out, int32_t id)
{
    if (*out < 0)
        *out = id;
}

static bool only(const wn_ids *ids, int32_t id)
{
    return ids->n == 0 || (ids->n == 1 && ids->id[0] == id);
}

/* Files without a post-processor: the configuration says whether the begin and end tokens are
 * added, to models whose texts have no others around them. A tokenizer.json's post-processor is
 * obeyed whatever the configuration says. */
static wn_err read_ends(wn_tokenizer *t, const json_t *c)
{
    const json_t *bos = json_object_get(c, "add_bos_token"),
                 *eos = json_object_get(c, "add_eos_token");
    if (!strcmp(wn_path_base(t->path), "tokenizer.json") || (!bos && !eos) ||
        !only(&t->prefix, t->facts.bos) || !only(&t->suffix, t->facts.eos))
        return WN_OK;
    wn_ids_clear(&t->prefix);
    wn_ids_clear(&t->suffix);
    if (json_is_true(bos) && t->facts.bos >= 0)
        WN_TRY(wn_ids_push(&t->prefix, t->facts.bos));
    if (json_is_true(eos) && t->facts.eos >= 0)
        WN_TRY(wn_ids_push(&t->suffix, t->facts.eos));
    return WN_OK;
}

wn_err wn_tokenizer_read_config(wn_tokenizer *t, const char *folder)
{
    static const char *const names[] = {"config.json", "generation_config.json"};
    wn_token_facts *f = &t->facts;
    json_t *c;
    WN_TRY(load_if_there(&c, folder, "tokenizer_config.json"));
    fill(&f->bos, by_text(t, c, "bos_token"));
    fill(&f->eos, by_text(t, c, "eos_token"));
    fill(&f->unk, by_text(t, c, "unk_token"));
    fill(&f->pad, by_text(t, c, "pad_token"));
    wn_err err = read_ends(t, c);
    if (!err)
        err = template_file(t, folder);
    if (!err && !t->chat_template)
        err = set_template(t, json_object_get(c, "chat_template"));
    json_decref(c);
    WN_TRY(err);
    for (int i = 0; i < 2; i++) {
        WN_TRY(load_if_there(&c, folder, names[i]));
        fill(&f->bos, by_id(c, "bos_token_id"));
        fill(&f->eos, by_id(c, "eos_token_id"));
        fill(&f->pad, by_id(c, "pad_token_id"));
        json_decref(c);
    }
    if (f->unk < 0 && t->model.unk >= 0)
        f->unk = t->model.unk;
    return WN_OK;
}
