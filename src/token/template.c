/* The normal form of a Jinja text: comments gone; inside of tags, blanks outside of strings gone,
 * double quotes single, "\n" a line feed, the sum of two strings one string, message.role and the
 * like message['role'], .strip() a filter |trim; the dashes that strip blanks gone; between tags,
 * blanks gone. Revisions of one format differ in little else. */
#include "token/template.h"

#include <string.h>

#define CHATML_USER  "<|im_start|>user\n"
#define CHATML_NEXT  "<|im_end|>\n<|im_start|>assistant\n"
#define CHATML_TURN  "'<|im_start|>'+message['role']+'\n'+message['content']+'<|im_end|>\n'"
#define CHATML_START "{{'<|im_start|>assistant\n'}}"
#define SYSTEM(text) "<|im_start|>system\n" text "<|im_end|>\n"
#define SMOLLM2      "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
#define QWEN2        "You are a helpful assistant."
#define QWEN25       "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
#define SMOLLM3_HEAD                                                                               \
    "## Metadata\n\nKnowledge Cutoff Date: June 2025\nToday Date: 08 July 2025\n"                  \
    "Reasoning Mode: /no_think\n\n## Custom Instructions\n\n"
#define SMOLLM3                                                                                    \
    SMOLLM3_HEAD "You are a helpful AI assistant named SmolLM, trained by Hugging Face.\n\n"
#define QWEN_SYSTEM "'<|im_start|>system\n'+messages[0]['content']+'<|im_end|>\n'"
#define LLAMA3_USER "<|start_header_id|>user<|end_header_id|>\n\n"
#define LLAMA3_NEXT "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
#define LLAMA3_TURN                                                                                \
    "'<|start_header_id|>'+message['role']+'<|end_header_id|>\n\n'+message['content']|trim+"       \
    "'<|eot_id|>'"
#define LLAMA3_START "'<|start_header_id|>assistant<|end_header_id|>\n\n'"
#define GEMMA_NEXT   "<end_of_turn>\n<start_of_turn>model\n"
#define PHI3         "<|user|>\n", "<|end|>\n<|assistant|>\n", "<|end|>"
#define PHI4         "<|im_start|>user<|im_sep|>", "<|im_end|><|im_start|>assistant<|im_sep|>"

/* "chat" takes the first that fits. Texts with a date get a fixed one: equal work gives equal bytes
 * (Llama 3.1's is its own fallback). Formats that think are used without. */
static const wn_template TABLE[] = {
    {"smollm3", "<|im_start|>system\n" SMOLLM3 CHATML_USER, CHATML_NEXT "<think>\n\n</think>\n",
     "<|im_end|>", .strip_lines = true,
     .with_system = "<|im_start|>system\n" SMOLLM3_HEAD "{system}\n\n" CHATML_USER,
     .system_mark = "custom_instructions+'\n\n'", .end_system = true,
     .system_bars = {"/think", "/no_think", "/system_override"},
     .needs = {"'Knowledge Cutoff Date: June 2025\n'", "'Reasoning Mode: '+reasoning_mode+'\n\n'",
               "{{'<|im_start|>assistant\n<think>\n\n</think>\n'}}",
               "{{'\n\n'}}{{'<|im_end|>\n'}}{%endif%}{%endif%}",
               "'<|im_start|>'+message['role']+'\n'+content+'<|im_end|>\n'"}},
    {"smollm2", SYSTEM(SMOLLM2) CHATML_USER, CHATML_NEXT, "<|im_end|>",
     .with_system = SYSTEM("{system}") CHATML_USER,
     .needs = {"'" SYSTEM(SMOLLM2) "'", CHATML_TURN, CHATML_START}},
    {"qwen2.5", SYSTEM(QWEN25) CHATML_USER, CHATML_NEXT, "<|im_end|>",
     .with_system = SYSTEM("{system}") CHATML_USER, .system_mark = QWEN_SYSTEM,
     .needs = {"'" SYSTEM(QWEN25) "'", CHATML_TURN, CHATML_START}},
    {"qwen2", SYSTEM(QWEN2) CHATML_USER, CHATML_NEXT, "<|im_end|>",
     .with_system = SYSTEM("{system}") CHATML_USER,
     .needs = {"'" SYSTEM(QWEN2) "'", CHATML_TURN, CHATML_START}},
    {"qwen3", CHATML_USER, CHATML_NEXT "<think>\n\n</think>\n\n", "<|im_end|>", .strip_lines = true,
     .with_system = SYSTEM("{system}") CHATML_USER, .system_mark = QWEN_SYSTEM,
     .needs =
         {"enable_thinking", "{{'<think>\n\n</think>\n\n'}}", CHATML_START,
          "+'\n<think>\n'+reasoning_content|trim('\n')+'\n</think>\n\n'+content.lstrip('\n')"}},
    {"qwen3-instruct", CHATML_USER, CHATML_NEXT, "<|im_end|>",
     .with_system = SYSTEM("{system}") CHATML_USER, .system_mark = QWEN_SYSTEM,
     .needs = {"'<|im_start|>'+message['role']+'\n'+content+'<|im_end|>\n'", CHATML_START,
               "{{'<|im_start|>'+message['role']+'\n'+content}}"},
     .bars = {"<think>", "{{'<|im_start|>system\nYou"}},
    {"llama-3.1",
     "<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n"
     "Today Date: 26 Jul 2024\n\n<|eot_id|>" LLAMA3_USER,
     LLAMA3_NEXT, "<|eot_id|>", .bos = true, .trim = true, .trim_answer = true,
     .with_system =
         "<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n"
         "Today Date: 26 Jul 2024\n\n{system}<|eot_id|>" LLAMA3_USER,
     .trim_system = true,
     .needs = {"'Cutting Knowledge Date: December 2023\n'", "'Today Date: '+date_string+'\n\n'",
               "'26 Jul 2024'", LLAMA3_TURN, LLAMA3_START}},
    {"llama-3", LLAMA3_USER, LLAMA3_NEXT, "<|eot_id|>", .bos = true, .trim = true,
     .trim_answer = true,
     .with_system = "<|start_header_id|>system<|end_header_id|>\n\n{system}<|eot_id|>" LLAMA3_USER,
     .trim_system = true, .needs = {LLAMA3_TURN, LLAMA3_START},
     .bars = {"Knowledge Date", "<|start_header_id|>system"}},
    {"llama-2", "[INST] ", " [/INST]", " {eos}", .bos = true, .trim = true, .trim_answer = true,
     .space_answer = true, .with_system = "[INST] <<SYS>>\n{system}\n<</SYS>>\n\n",
     .system_behind = true,
     .system_mark = "'<<SYS>>\n'+system_message+'\n<</SYS>>\n\n'+message['content']",
     .needs = {"'[INST] '+content|trim+' [/INST]'", "' '+content|trim+' '+eos_token"},
     .bars = {"true==true"}},
    {"mistral-v1", " [INST] ", " [/INST]", "{eos}", .bos = true, .space_answer = true,
     .with_system = " [INST] {system}\n\n",
     .system_mark = "' [INST] '+system_message+'\n\n'+message['content']+' [/INST]'",
     .needs = {"{{' [INST] '+message['content']+' [/INST]'}}",
               "{{' '+message['content']+eos_token}}"}},
    {"mistral", "[INST] ", " [/INST]", "{eos}", .bos = true, .with_system = "[INST] {system}\n\n",
     .system_mark = "'[INST] '+system_message+'\n\n'+message['content']+' [/INST]'",
     .needs = {"{{'[INST] '+message['content']+' [/INST]'}}", "{{message['content']+eos_token"}},
    {"mistral-v7", "[INST] ", "[/INST]", "{eos}", .bos = true, .space_answer = true,
     .with_system = "[SYSTEM_PROMPT] {system}[/SYSTEM_PROMPT][INST] ",
     .system_mark = "'[SYSTEM_PROMPT] '+message['content']+'[/SYSTEM_PROMPT]'",
     .needs = {"{{'[INST] '+message['content']+'[/INST]'}}", "{{' '+message['content']+eos_token}}",
               "'[SYSTEM_PROMPT] '"}},
    {"mistral-v3", "[INST] ", "[/INST]", "{eos}", .bos = true, .trim_answer = true,
     .space_answer = true, .with_system = "[INST] {system}\n\n",
     .system_mark = "'[INST] '+system_message+'\n\n'+message['content']+'[/INST]'",
     .needs = {"{{'[INST] '+message['content']+'[/INST]'}}",
               "{{' '+message['content']|trim+eos_token}}"}},
    {"mistral-tekken", "[INST]", "[/INST]", "{eos}", .bos = true,
     .with_system = "[INST]{system}\n\n",
     .system_mark = "'[INST]'+system_message+'\n\n'+message['content']+'[/INST]'",
     .needs = {"{{'[INST]'+message['content']+'[/INST]'}}", "{{message['content']+eos_token}}"},
     .bars = {"[SYSTEM_PROMPT]"}},
    {"gemma", "<start_of_turn>user\n", GEMMA_NEXT, "<end_of_turn>", .bos = true, .trim = true,
     .trim_answer = true, .with_system = "<start_of_turn>user\n{system}\n\n",
     .system_mark = "first_user_prefix=messages[0]['content']+'\n\n'",
     .needs = {"'<start_of_turn>'+role+'\n'+message['content']|trim+'<end_of_turn>\n'",
               "{{'<start_of_turn>model\n'}}"}},
    {"gemma", "<start_of_turn>user\n", GEMMA_NEXT, "<end_of_turn>", .bos = true, .trim = true,
     .trim_answer = true, .with_system = "<start_of_turn>user\n{system}\n\n",
     .system_mark = "first_user_prefix=messages[0]['content']+'\n\n'",
     .needs = {"'<start_of_turn>'+role+'\n'+(first_user_prefixifloop.firstelse'')",
               "{{message['content']|trim}}", "{{'<end_of_turn>\n'}}",
               "{{'<start_of_turn>model\n'}}"}},
    {"zephyr", "<|user|>\n", "{eos}\n<|assistant|>\n", "{eos}",
     .with_system = "<|system|>\n{system}{eos}\n<|user|>\n",
     .system_mark = "{{'<|system|>\n'+message['content']+eos_token}}",
     .needs = {"{{'<|user|>\n'+message['content']+eos_token}}",
               "{{'<|assistant|>\n'+message['content']+eos_token}}", "{{'<|assistant|>'}}"}},
    {"olmo2", "<|user|>\n", "\n<|assistant|>\n", "{eos}", .bos = true,
     .with_system = "<|system|>\n{system}\n<|user|>\n",
     .system_mark = "{{'<|system|>\n'+message['content']+'\n'}}",
     .needs = {"{{'<|user|>\n'+message['content']+'\n'}}",
               "{{'<|assistant|>\n'+message['content']+eos_token}}", "{{'<|assistant|>\n'}}"}},
    {"phi-3", PHI3, .with_system = "<|system|>\n{system}<|end|>\n<|user|>\n",
     .system_mark = "{{'<|system|>\n'+message['content']+'<|end|>\n'}}",
     .needs = {"{{'<|user|>\n'+message['content']+'<|end|>\n<|assistant|>\n'}}",
               "{{message['content']+'<|end|>\n'}}"}},
    {"phi-3", PHI3, .with_system = "<|system|>\n{system}<|end|>\n<|user|>\n",
     .system_mark = "{{'<|system|>\n'+message['content']+'<|end|>\n'}}",
     .needs = {"{{'<|user|>\n'+message['content']+'<|end|>\n'}}",
               "{{'<|assistant|>\n'+message['content']+'<|end|>\n'}}", "{{'<|assistant|>\n'}}"}},
    {"phi-3", PHI3, .with_system = "<|system|>\n{system}<|end|>\n<|user|>\n",
     .needs = {"{{'<|'+message['role']+'|>\n'+message['content']+'<|end|>\n'}}",
               "{{'<|assistant|>\n'}}"}},
    {"phi-4-mini", "<|user|>", "<|end|><|assistant|>", "<|end|>",
     .with_system = "<|system|>{system}<|end|><|user|>",
     .needs = {"{{'<|'+message['role']+'|>'+message['content']+'<|end|>'}}",
               "{{'<|assistant|>'}}"}},
    {"phi-4", PHI4, "<|im_end|>",
     .with_system = "<|im_start|>system<|im_sep|>{system}<|im_end|>"
                    "<|im_start|>user<|im_sep|>",
     .system_mark = "{{'<|im_start|>system<|im_sep|>'+message['content']+'<|im_end|>'}}",
     .needs = {"{{'<|im_start|>user<|im_sep|>'+message['content']+'<|im_end|>'}}",
               "{{'<|im_start|>assistant<|im_sep|>'+message['content']+'<|im_end|>'}}",
               "{{'<|im_start|>assistant<|im_sep|>'}}"},
     .bars = {"You are"}},
    {"phi-4", PHI4, "<|im_end|>",
     .with_system = "<|im_start|>system<|im_sep|>{system}<|im_end|>"
                    "<|im_start|>user<|im_sep|>",
     .system_mark = "{{'<|im_start|>system<|im_sep|>'+message['content']+'<|im_end|>'}}",
     .needs = {"{{'<|im_start|>user<|im_sep|>'+message['content']+"
               "'<|im_end|><|im_start|>assistant<|im_sep|>'}}",
               "{{message['content']+'<|im_end|>'}}"},
     .bars = {"You are"}},
    {"chatml", CHATML_USER, CHATML_NEXT, "<|im_end|>",
     .with_system = SYSTEM("{system}") CHATML_USER, .needs = {"{{" CHATML_TURN "}}", CHATML_START},
     .bars = {"system\nYou", "<think>", "loop.firstand", "messages[0]['role']!='system'"}},
};
enum { N = sizeof TABLE / sizeof *TABLE };

/* ---- the normal form ------------------------------------------------------------------------ */

static bool starts(const char *s, const char *with)
{
    return strncmp(s, with, strlen(with)) == 0;
}

/* The member or method at s in its one spelling; its length, 0: nothing of the kind. */
static size_t respell(wn_str *out, const char *s)
{
    static const struct {
        const char *from, *to;
    } spelling[] = {{".role", "['role']"},
                    {".content", "['content']"},
                    {".strip()", "|trim"},
                    {".strip(", "|trim("}};
    for (size_t i = 0; i < sizeof spelling / sizeof *spelling; i++) {
        if (!starts(s, spelling[i].from))
            continue;
        size_t n = strlen(spelling[i].from);
        char last = spelling[i].from[n - 1], next = s[n];
        bool word = last != ')' && last != '(' && (next == '_' || (next >= 'a' && next <= 'z'));
        if (!word) {
            wn_str_puts(out, spelling[i].to);
            return n;
        }
    }
    return 0;
}

static char escaped(char c)
{
    return c == 'n' ? '\n' : c == 't' ? '\t' : c;
}

/* The string literal that begins at s, joined to one right before it. Returns what lies behind. */
static const char *put_string(wn_str *out, const char *s)
{
    char quote = *s++;
    bool join = out->len >= 2 && out->p[out->len - 1] == '+' && out->p[out->len - 2] == '\'';
    if (join) {
        out->len -= 2;
        out->p[out->len] = '\0';
    } else {
        wn_str_putc(out, '\'');
    }
    for (; *s && *s != quote; s++) {
        if (*s == '\\' && s[1])
            wn_str_putc(out, escaped(*++s));
        else
            wn_str_putc(out, *s);
    }
    wn_str_putc(out, '\'');
    return *s ? s + 1 : s;
}

/* One tag from its opening braces on. */
static const char *put_tag(wn_str *out, const char *s)
{
    const char *close = s[1] == '{' ? "}}" : "%}";
    wn_str_add(out, s, 2);
    s += s[2] == '-' || s[2] == '+' ? 3 : 2;
    while (*s && !starts(s, close) && !(*s == '-' && starts(s + 1, close))) {
        size_t n;
        if (*s == '\'' || *s == '"')
            s = put_string(out, s);
        else if (strchr(" \t\r\n", *s))
            s++;
        else if ((n = respell(out, s)))
            s += n;
        else
            wn_str_putc(out, *s++);
    }
    s += *s == '-';
    wn_str_puts(out, close);
    return *s ? s + 2 : s;
}

static void normal_form(wn_str *out, const char *s)
{
    while (*s) {
        if (starts(s, "{#")) {
            const char *end = strstr(s, "#}");
            s = end ? end + 2 : s + strlen(s);
        } else if (starts(s, "{{") || starts(s, "{%")) {
            s = put_tag(out, s);
        } else {
            size_t blank = strspn(s, " \t\r\n");
            s += starts(s + blank, "{") ? blank : 0;
            if (!starts(s, "{"))
                wn_str_putc(out, *s++);
            else if (s[1] != '{' && s[1] != '%' && s[1] != '#')
                wn_str_putc(out, *s++);
        }
    }
    wn_str_puts(out, "");
}

/* ---- finding ----------------------------------------------------------------------------------
 */

static bool shows(const wn_template *t, const char *text)
{
    for (size_t i = 0; i < WN_TEMPLATE_MARKS && t->needs[i]; i++)
        if (!strstr(text, t->needs[i]))
            return false;
    for (size_t i = 0; i < WN_TEMPLATE_MARKS && t->bars[i]; i++)
        if (strstr(text, t->bars[i]))
            return false;
    return true;
}

wn_err wn_template_recognise(wn_template_own *out, const char *jinja)
{
    wn_str s = {0};
    *out = (wn_template_own){0};
    normal_form(&s, jinja);
    wn_err e = wn_str_check(&s);
    const wn_template *t = NULL;
    for (size_t i = 0; !e && i < N && !t; i++)
        if (shows(&TABLE[i], s.p))
            t = &TABLE[i];
    out->t = t;
    out->bos = !e && strstr(s.p, "bos_token");
    out->system = t && t->with_system && (!t->system_mark || strstr(s.p, t->system_mark));
    wn_str_free(&s);
    return e;
}

wn_err wn_template_system(const wn_template *t, const wn_template_own *own, const char *system)
{
    if (!system)
        return WN_OK;
    if (!t)
        return wn_fail(WN_EUSE, "--system: a system prompt stands in a chat format; expected "
                                "--template chat or a name with it");
    if (own ? !own->system : !t->with_system)
        return wn_fail(own ? WN_EARG : WN_EUSE, "--system: %s%s has no place for a system prompt",
                       own ? "the model's own chat template, " : "the chat format ", t->name);
    for (size_t i = 0; i < sizeof t->system_bars / sizeof *t->system_bars; i++)
        if (t->system_bars[i] && strstr(system, t->system_bars[i]))
            return wn_fail(own ? WN_EARG : WN_EUSE,
                           "--system: %s takes \"%s\" for an order, not for text", t->name,
                           t->system_bars[i]);
    return WN_OK;
}

wn_err wn_template_find(const wn_template **out, const char *name, const wn_template *own,
                        bool has_own)
{
    *out = NULL;
    if (!name || !strcmp(name, "none"))
        return WN_OK;
    bool chat = !strcmp(name, "chat");
    *out = chat ? own : NULL;
    for (size_t i = 0; i < N && !chat && !*out; i++)
        if (!strcmp(name, TABLE[i].name))
            *out = &TABLE[i];
    if (*out)
        return WN_OK;
    wn_str list = {0};
    for (size_t i = 0; i < N; i++)
        if (!i || strcmp(TABLE[i].name, TABLE[i - 1].name) != 0)
            wn_str_printf(&list, "%s%s", i ? ", " : "", TABLE[i].name);
    const char *known = list.p ? list.p : "";
    wn_err e =
        chat ? wn_fail(WN_EARG,
                       "template chat: the model's chat template is %s; give one by name: %s",
                       has_own ? "not one that is known" : "missing", known)
             : wn_fail(WN_EUSE, "template '%.64s': expected none, chat, or one of %s", name, known);
    wn_str_free(&list);
    return e;
}

void wn_template_put(wn_str *s, const char *text, const char *eos, wn_span system)
{
    const char *const mark[] = {"{eos}", "{system}"};
    while (*text) {
        int k = starts(text, mark[0]) ? 0 : starts(text, mark[1]) ? 1 : -1;
        if (k < 0) {
            wn_str_putc(s, *text++);
            continue;
        }
        if (k == 0)
            wn_str_puts(s, eos);
        else
            wn_str_add(s, system.p, system.len);
        text += strlen(mark[k]);
    }
}
