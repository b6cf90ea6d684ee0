/* Chat formats against transformers' apply_chat_template (tests/goldens/chats.py): a model's own
 * Jinja text is recognised, and rows get the same ids; what is not known is refused. */
#include "golden.h"
#include "io/json.h"
#include "token/encode.h"
#include "token/template.h"

static json_t *chats(void)
{
    char path[GOLDEN_PATH];
    json_t *v = NULL;
    GOLDEN_OK(wn_json_load(&v, golden_path(path, "chats/chats.json")));
    return v;
}

static wn_tokenizer *open_tokenizer(const char *name)
{
    char path[GOLDEN_PATH];
    wn_tokenizer *t = NULL;
    GOLDEN_OK(wn_tokenizer_open(&t, golden_path(path, "chats/%s", name)));
    return t;
}

/* The tokenizer as if `jinja` stood in its folder. */
static const wn_template *give_template(wn_tokenizer *t, const char *jinja)
{
    wn_token_facts *f = (wn_token_facts *)wn_tokenizer_facts(t);
    f->chat_template = jinja;
    wn_template_own own = {0};
    if (jinja)
        GOLDEN_OK(wn_template_recognise(&own, jinja));
    f->chat = own.t;
    f->chat_bos = own.bos;
    f->chat_system = own.system;
    return f->chat;
}

static void same_ids(const wn_ids *got, const json_t *want, const char *what)
{
    bool same = got->n == json_array_size(want);
    for (size_t i = 0; same && i < got->n; i++)
        same = got->id[i] == json_integer_value(json_array_get(want, i));
    wn_str s = {0};
    for (size_t i = 0; i < got->n && !same; i++)
        wn_str_printf(&s, " %d", got->id[i]);
    char *text = json_dumps(want, 0);
    cr_expect(same, "%s: found%s, expected %s", what, s.p ? s.p : "", text);
    free(text);
    wn_str_free(&s);
}

static wn_span text_of(const json_t *row, const char *key)
{
    const json_t *v = json_object_get(row, key);
    return (wn_span){json_string_value(v), json_string_length(v)};
}

static void check_row(wn_tokenizer *t, wn_token_work *w, const char *tmpl, const char *system,
                      const json_t *row, const char *name)
{
    wn_ids prompt = {0}, targets = {0};
    size_t part[2];
    char what[256];
    wn_row r = {.prompt = text_of(row, "prompt"),
                .target = text_of(row, "target"),
                .id = text_of(row, "prompt"),
                .has_target = true};
    wn_encode_rule rule = {.shape = WN_SHAPE_DECODER, .tmpl = tmpl, .system = system};
    GOLDEN_OK(wn_encode_targets(&prompt, &targets, part, t, w, &r, &r.target, 1, &rule, NULL));
    snprintf(what, sizeof what, "%s as %s: prompt \"%.40s\"", name, tmpl, r.prompt.p);
    same_ids(&prompt, json_object_get(row, "ids"), what);
    snprintf(what, sizeof what, "%s as %s: answer \"%.40s\"", name, tmpl, r.target.p);
    const json_t *answer = json_object_get(row, "answer");
    if (json_is_array(answer))
        same_ids(&targets, answer, what);
    wn_ids_release(&prompt);
    wn_ids_release(&targets);
}

Test(golden_chats, ids)
{
    json_t *all = chats();
    size_t i, k, compared = 0;
    json_t *one, *row;
    json_array_foreach(all, i, one)
    {
        const char *name = json_string_value(json_object_get(one, "name"));
        wn_tokenizer *t = open_tokenizer(json_string_value(json_object_get(one, "tokenizer")));
        const wn_template *found =
            give_template(t, json_string_value(json_object_get(one, "jinja")));
        wn_token_work w = {0};
        cr_assert(found, "chat %zu is not recognised: expected %s", i, name);
        cr_expect_str_eq(found->name, name);
        const char *system = json_string_value(json_object_get(one, "system"));
        cr_expect(!system || wn_tokenizer_facts(t)->chat_system, "chat %zu, %s", i, name);
        json_array_foreach(json_object_get(one, "rows"), k, row)
        {
            check_row(t, &w, "chat", system, row, name);
            if (found->bos == wn_tokenizer_facts(t)->chat_bos)
                check_row(t, &w, name, system, row, name);
            compared += json_is_array(json_object_get(row, "answer"));
        }
        wn_token_work_free(&w);
        wn_tokenizer_close(t);
    }
    cr_expect_geq(i, 54);
    cr_expect_geq(compared, 380);
    json_decref(all);
}

/* Where a format has no place for a system prompt, or the model's own text shows none, it is
 * refused; so are words that it would take for orders. */
Test(golden_chats, system_prompts_are_refused)
{
    static const struct {
        const char *name, *system, *says;
    } refusals[] = {
        {"none", "s", "expected --template chat or a name"},
        {"smollm3", "think /think", "smollm3 takes \"/think\" for an order"},
    };
    json_t *all = chats(), *one;
    wn_tokenizer *t = open_tokenizer("bpe");
    size_t i, refused = 0, none = 0;
    for (size_t k = 0; k < sizeof refusals / sizeof *refusals; k++) {
        wn_encode_rule rule = {.tmpl = refusals[k].name, .system = refusals[k].system};
        cr_expect_eq(wn_encode_check(t, &rule), WN_EUSE);
        cr_expect(strstr(wn_error_message(), refusals[k].says), "%s", wn_error_message());
    }
    json_array_foreach(all, i, one)
    {
        const char *jinja = json_string_value(json_object_get(one, "jinja"));
        wn_encode_rule rule = {.tmpl = "chat", .system = "s"};
        const wn_template *found = give_template(t, jinja);
        bool has = json_object_get(one, "system") != NULL, shown = strstr(jinja, "system") != NULL,
             any = strstr(jinja, "<|' + message['role']") ||
                   strstr(jinja, "|>' + message['role']") || strstr(jinja, "|>' + message.role") ||
                   strstr(jinja, "'<|start_header_id|>' + ");
        wn_err e = wn_encode_check(t, &rule);
        cr_expect(!has || e == WN_OK, "chat %zu: %s", i, wn_error_message());
        if (!has && !shown && !any) {
            cr_expect_eq(e, WN_EARG, "chat %zu, %s", i, found->name);
            cr_expect(strstr(wn_error_message(), "has no place for a system prompt"), "%s",
                      wn_error_message());
            refused++;
        }
        none += e != WN_OK;
    }
    cr_expect_geq(refused, 8);
    cr_expect_geq(none, 12);
    wn_tokenizer_close(t);
    json_decref(all);
}

/* A text that only resembles a known one is not taken for it. */
static void not_known(wn_tokenizer *t, const char *jinja)
{
    const wn_template *found = give_template(t, jinja), *out;
    cr_expect_null(found, "taken for %s: %s", found ? found->name : "", jinja ? jinja : "");
    cr_expect_eq(wn_template_find(&out, "chat", found, jinja != NULL), WN_EARG);
    cr_expect(strstr(wn_error_message(), "smollm2, qwen2.5") &&
                  strstr(wn_error_message(), jinja ? "not one that is known" : "missing"),
              "%s", wn_error_message());
}

Test(golden_chats, unknown_texts_are_refused)
{
    static const struct {
        const char *name, *from, *to;
    } change[] = {{"chatml", "<|im_end|>", "<|im_stop|>"},
                  {"chatml", "assistant", "bot"},
                  {"chatml", "message['content'] + '<", "message['content'] | upper + '<"},
                  {"smollm2", "named SmolLM", "named Smol"},
                  {"qwen2.5", "created by Alibaba Cloud", "created by nobody"},
                  {"qwen3", "</think>\\n\\n' }}", "</think>' }}"},
                  {"llama-3", "| trim", ""},
                  {"llama-3.1", "December 2023", "December 2024"},
                  {"llama-2", "[INST] ", "[ASK] "},
                  {"mistral", "[/INST]'", "[/INST] '"},
                  {"gemma", "<start_of_turn>model", "<start_of_turn>me"},
                  {"zephyr", "+ eos_token", ""},
                  {"phi-4", "<|im_sep|>", "<|sep|>"},
                  {"olmo2", "+ eos_token", "+ '</s>'"}};
    json_t *all = chats(), *one;
    wn_tokenizer *t = open_tokenizer("bpe");
    size_t i;
    not_known(t, NULL);
    not_known(t, "");
    not_known(t, "{{ '<|im_start|>' }}{# '<|im_start|>assistant\\n' #}");
    not_known(t, "{% for m in messages %}<|im_start|>{{ m.role }}<|im_end|>{% endfor %}");
    not_known(t, "{{ 'unfinished");
    not_known(t, "{");
    for (size_t c = 0; c < sizeof change / sizeof *change; c++) {
        size_t tried = 0;
        json_array_foreach(all, i, one)
        {
            const char *jinja = json_string_value(json_object_get(one, "jinja")), *from = jinja;
            if (strcmp(json_string_value(json_object_get(one, "name")), change[c].name) != 0)
                continue;
            wn_str s = {0};
            for (const char *at; (at = strstr(from, change[c].from));
                 from = at + strlen(change[c].from)) {
                wn_str_add(&s, from, (size_t)(at - from));
                wn_str_puts(&s, change[c].to);
                tried++;
            }
            wn_str_puts(&s, from);
            if (strcmp(s.p, jinja) != 0)
                not_known(t, s.p);
            give_template(t, NULL);
            wn_str_free(&s);
        }
        cr_expect_gt(tried, 0, "%s: %s", change[c].name, change[c].from);
    }
    give_template(t, NULL);
    wn_tokenizer_close(t);
    json_decref(all);
}
