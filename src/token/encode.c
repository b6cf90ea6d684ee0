/* A row's tokens. Everything is appended; positions in the callers' lists stay what they were. */
#include "token/encode.h"

#include <string.h>

#include "base/mem.h"
#include "token/template.h"
#include "token/unicode.h"

static wn_err push_all(wn_ids *to, const int32_t *id, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!WN_GROW(to->id, to->n, to->cap))
            return wn_fail_nomem(to->n * sizeof *to->id, "token ids");
        to->id[to->n++] = id[i];
    }
    return WN_OK;
}

static void drop(wn_ids *ids, size_t at, size_t n)
{
    memmove(ids->id + at, ids->id + at + n, (ids->n - at - n) * sizeof *ids->id);
    ids->n -= n;
}

static bool blank_first(wn_span s)
{
    size_t n;
    return s.len && wn_utf8_valid(s.p, s.len) && wn_uc_space(wn_utf8_get(s.p, &n));
}

static bool blank_last(wn_span s)
{
    size_t n;
    return s.len && wn_utf8_valid(s.p, s.len) &&
           wn_uc_space(wn_utf8_get(s.p + wn_utf8_back(s.p, s.len), &n));
}

static wn_span trim_end(wn_span s)
{
    while (blank_last(s))
        s.len = wn_utf8_back(s.p, s.len);
    return s;
}

static wn_span trim(wn_span s)
{
    while (blank_first(s)) {
        size_t n = wn_utf8_size(s.p);
        s = (wn_span){s.p + n, s.len - n};
    }
    return trim_end(s);
}

/* What a row's encoding needs at every step. */
typedef struct job {
    const wn_tokenizer *t;
    const wn_token_facts *f;
    wn_token_work *w;
    const wn_row *row;
    const wn_encode_rule *rule;
    const wn_template *tmpl;
    const char *eos; /* its text, "" where there is none */
    wn_span system;
} job;

static wn_err begin(job *j, const wn_tokenizer *t, wn_token_work *w, const wn_row *row,
                    const wn_encode_rule *rule)
{
    *j = (job){t, wn_tokenizer_facts(t), w, row, rule, NULL, "", {"", 0}};
    const wn_template_own own = {j->f->chat, j->f->chat_bos, j->f->chat_system};
    bool chat = rule->tmpl && strcmp(rule->tmpl, "chat") == 0;
    WN_TRY(wn_template_find(&j->tmpl, rule->tmpl, own.t, j->f->chat_template != NULL));
    WN_TRY(wn_template_system(j->tmpl, chat ? &own : NULL, rule->system));
    if (rule->system) {
        wn_span s = {rule->system, strlen(rule->system)}, cut = trim(s);
        size_t before = (size_t)(cut.p - s.p);
        j->system = j->tmpl->trim_system  ? cut
                    : j->tmpl->end_system ? (wn_span){s.p, before + cut.len}
                                          : s;
    }
    const char *eos = wn_tokenizer_token(t, j->f->eos);
    j->eos = eos ? eos : "";
    return WN_OK;
}

wn_err wn_encode_check(const wn_tokenizer *t, const wn_encode_rule *rule)
{
    job j;
    return begin(&j, t, NULL, NULL, rule);
}

/* Whether a decoder's chat format writes BOS: its own text says so, or the table. */
static bool chat_bos(const job *j)
{
    bool own = strcmp(j->rule->tmpl, "chat") == 0;
    return (own ? j->f->chat_bos : j->tmpl->bos) && j->f->bos >= 0;
}

/* What stands before the text: a chat format's BOS, else the post-processor's prefix. */
static wn_err append_prefix(const job *j, wn_ids *out)
{
    if (!j->tmpl || j->rule->shape != WN_SHAPE_DECODER)
        return push_all(out, j->f->prefix, j->f->n_prefix);
    return chat_bos(j) ? push_all(out, &j->f->bos, 1) : WN_OK;
}

/* a + text + b, where a and b may speak of the end token. */
static wn_err append_joined(const job *j, wn_ids *out, const char *a, const char *lead,
                            wn_span text, const char *b)
{
    wn_str s = {0};
    wn_template_put(&s, a, j->eos, j->system);
    wn_str_puts(&s, lead);
    wn_str_add(&s, text.p, text.len);
    wn_template_put(&s, b, j->eos, j->system);
    wn_err err = wn_str_check(&s);
    if (!err)
        err = wn_tokenizer_append(j->t, j->w, s.p, s.len, out);
    wn_str_free(&s);
    return err;
}

/* Behind a BOS a text begins otherwise than at the very beginning, for some tokenizers: it is put
 * there, and its token, which is there already, taken away. */
static wn_err append_chat_prompt(const job *j, wn_ids *out, const char *lead, wn_span p)
{
    const wn_template *f = j->tmpl;
    size_t at = out->n;
    const char *before = j->rule->system ? f->with_system : f->before;
    p = !f->trim ? p : j->rule->system && f->system_behind ? trim_end(p) : trim(p);
    const char *bos = j->rule->shape == WN_SHAPE_DECODER && chat_bos(j)
                          ? wn_tokenizer_token(j->t, j->f->bos)
                          : NULL;
    wn_str s = {0};
    wn_str_puts(&s, bos ? bos : "");
    wn_str_puts(&s, before);
    wn_err err = wn_str_check(&s);
    if (!err)
        err = append_joined(j, out, s.p, lead, p, f->between);
    wn_str_free(&s);
    WN_TRY(err);
    if (!bos)
        return WN_OK;
    if (out->n > at && out->id[at] == j->f->bos) {
        drop(out, at, 1);
        return WN_OK;
    }
    out->n = at; /* its text is no token to this tokenizer */
    return append_joined(j, out, before, lead, p, f->between);
}

static wn_err append_prompt(const job *j, wn_ids *out)
{
    wn_span p = j->row->prompt;
    const char *lead = j->rule->lead ? j->rule->lead : "";
    if (j->tmpl)
        return append_chat_prompt(j, out, lead, p);
    return *lead ? append_joined(j, out, "", lead, p, "")
                 : wn_tokenizer_append(j->t, j->w, p.p, p.len, out);
}

/* An answer in a chat format has the tokens that it has behind the format's own text. Where the two
 * would melt into one token it is tokenised apart: that is how a model goes on from a prompt. */
static wn_err append_chat_answer(const job *j, wn_ids *out, wn_span text)
{
    const wn_template *f = j->tmpl;
    wn_span none = {"", 0};
    wn_ids lead = {0}, all = {0};
    text = f->trim_answer ? trim(text) : text;
    while (f->strip_lines && text.len && *text.p == '\n')
        text = (wn_span){text.p + 1, text.len - 1};
    const char *space = f->space_answer ? " " : "", *after = j->rule->no_eos ? "" : f->after;
    wn_err err = append_joined(j, &lead, f->between, "", none, "");
    if (!err)
        err = append_joined(j, &all, f->between, space, text, after);
    bool apart = all.n < lead.n || memcmp(all.id, lead.id, lead.n * sizeof *lead.id) != 0;
    if (!err)
        err = apart ? append_joined(j, out, "", space, text, after)
                    : push_all(out, all.id + lead.n, all.n - lead.n);
    wn_ids_release(&lead);
    wn_ids_release(&all);
    return err;
}

bool wn_encode_apart(wn_span prompt, wn_span text)
{
    return text.len && !blank_last(prompt) && !blank_first(text);
}

/* The answer's own tokens: a decoder's is set off from the prompt by one space, unless there is
 * white space already, or the tokenizer puts one itself, or there is no text. */
static wn_err append_answer(const job *j, wn_ids *out, wn_span text)
{
    if (j->tmpl)
        return append_chat_answer(j, out, text);
    bool apart = j->rule->shape != WN_SHAPE_ENCDEC && !j->f->adds_space &&
                 wn_encode_apart(j->row->prompt, text);
    return apart ? append_joined(j, out, " ", "", text, "")
                 : wn_tokenizer_append(j->t, j->w, text.p, text.len, out);
}

/* What ends an encoder's text: the post-processor's suffix; for T5 at least EOS. */
static wn_err append_suffix(const job *j, wn_ids *out)
{
    if (j->rule->shape == WN_SHAPE_ENCDEC && !j->f->n_suffix && j->f->eos >= 0)
        return push_all(out, &j->f->eos, 1);
    return push_all(out, j->f->suffix, j->f->n_suffix);
}

/* Cuts the text tokens out->id[at ...) to `room`: decoders lose the beginning, others the end. */
static void cut_text(const job *j, wn_ids *out, size_t at, size_t room, wn_encode_counts *counts)
{
    size_t have = out->n - at;
    if (have <= room)
        return;
    drop(out, j->rule->shape == WN_SHAPE_DECODER ? at : at + room, have - room);
    if (counts) {
        counts->prompts_cut++;
        counts->prompt_tokens_cut += have - room;
    }
}

/* Tokens left for the text beside `taken` others. */
static size_t room_beside(const job *j, size_t taken)
{
    size_t most = j->rule->max_tokens ? j->rule->max_tokens : SIZE_MAX;
    return most > taken ? most - taken : 0;
}

static void count(wn_encode_counts *counts, uint64_t tokens)
{
    if (counts) {
        counts->rows++;
        counts->tokens += tokens;
    }
}

wn_err wn_encode_prompt(wn_ids *out, const wn_tokenizer *t, wn_token_work *w, const wn_row *row,
                        const wn_encode_rule *rule, bool both, wn_encode_counts *counts)
{
    job j;
    size_t first = out->n;
    WN_TRY(begin(&j, t, w, row, rule));
    WN_TRY(append_prefix(&j, out));
    size_t at = out->n;
    WN_TRY(append_prompt(&j, out));
    if (both && row->has_target)
        WN_TRY(append_answer(&j, out, row->target));
    if (rule->shape == WN_SHAPE_DECODER) {
        cut_text(&j, out, at, room_beside(&j, at - first), counts);
    } else {
        wn_ids end = {0};
        wn_err err = append_suffix(&j, &end);
        if (!err) {
            cut_text(&j, out, at, room_beside(&j, at - first + end.n), counts);
            err = push_all(out, end.id, end.n);
        }
        wn_ids_release(&end);
        WN_TRY(err);
    }
    count(counts, out->n - first);
    return WN_OK;
}

/* Answer + EOS (unless the rule leaves it out), at most max_target tokens with EOS among them. */
static wn_err append_target(const job *j, wn_ids *out, wn_span text, wn_encode_counts *counts)
{
    size_t at = out->n;
    int32_t eos = j->rule->no_eos ? -1 : j->f->eos;
    WN_TRY(append_answer(j, out, text));
    bool ended = !j->rule->no_eos && j->tmpl && *j->tmpl->after &&
                 out->n > at; /* by the format's own mark */
    if (eos >= 0 && !ended)
        WN_TRY(push_all(out, &eos, 1));
    if (out->n == at)
        return wn_fail(WN_EARG,
                       "row '%.*s': a target without a token (the text \"%.*s\" has none and %s)",
                       (int)j->row->id.len, j->row->id.p, (int)(text.len < 40 ? text.len : 40),
                       text.len ? text.p : "",
                       j->rule->no_eos ? "--eos is no" : "the tokenizer has no end-of-text token");
    size_t have = out->n - at, most = j->rule->max_target;
    if (!most || have <= most)
        return WN_OK;
    bool keep_last = eos >= 0 || ended;
    drop(out, out->n - (have - most) - keep_last, have - most);
    if (counts) {
        counts->targets_cut++;
        counts->target_tokens_cut += have - most;
    }
    return WN_OK;
}

wn_err wn_encode_targets(wn_ids *prompt, wn_ids *targets, size_t *part, const wn_tokenizer *t,
                         wn_token_work *w, const wn_row *row, const wn_span *text, size_t n,
                         const wn_encode_rule *rule, wn_encode_counts *counts)
{
    job j;
    size_t longest = 0, first = prompt->n;
    WN_TRY(begin(&j, t, w, row, rule));
    part[0] = targets->n;
    for (size_t i = 0; i < n; i++) {
        WN_TRY(append_target(&j, targets, text[i], counts));
        part[i + 1] = targets->n;
        if (part[i + 1] - part[i] > longest)
            longest = part[i + 1] - part[i];
    }
    if (rule->shape != WN_SHAPE_DECODER) {
        WN_TRY(wn_encode_prompt(prompt, t, w, row, rule, false, counts));
        if (counts)
            counts->tokens += targets->n - part[0];
        return WN_OK;
    }
    WN_TRY(append_prefix(&j, prompt));
    size_t at = prompt->n, room = room_beside(&j, at - first + longest);
    WN_TRY(append_prompt(&j, prompt));
    if (room == 0 && (prompt->n > at || at - first + longest > rule->max_tokens))
        return wn_fail(WN_EARG,
                       "row '%.*s': its target of %zu tokens leaves no room for any prompt "
                       "within %zu tokens",
                       (int)row->id.len, row->id.p, longest, rule->max_tokens);
    cut_text(&j, prompt, at, room, counts);
    count(counts, prompt->n - first + (targets->n - part[0]));
    return WN_OK;
}

/* 1234567 as 1,234,567. */
static const char *grouped(char out[32], uint64_t v)
{
    char *p = out + 31;
    *p = '\0';
    for (int i = 0; v || !i; i++, v /= 10) {
        if (i && i % 3 == 0)
            *--p = ',';
        *--p = (char)('0' + v % 10);
    }
    return p;
}

void wn_encode_summary(wn_str *s, const wn_encode_counts *c, const wn_encode_rule *rule)
{
    char a[32], b[32], d[32];
    if (c->prompts_cut)
        wn_str_printf(s, "%s of %s prompts cut to %zu tokens (%s tokens dropped)",
                      grouped(a, c->prompts_cut), grouped(b, c->rows), rule->max_tokens,
                      grouped(d, c->prompt_tokens_cut));
    if (c->prompts_cut && c->targets_cut)
        wn_str_puts(s, ", ");
    if (c->targets_cut)
        wn_str_printf(s, "%s targets cut to %zu tokens (%s tokens dropped)",
                      grouped(a, c->targets_cut), rule->max_target,
                      grouped(d, c->target_tokens_cut));
    wn_str_puts(s, "");
}
