#include "model/dropout.h"

#include <math.h>
#include <string.h>

#include "base/par.h"
#include "base/rng.h"
#include "model/internal.h"

enum { ROWS = 16 }; /* one thread drops at a time */

struct drop_job {
    float *out;
    const float *x;
    size_t ldx, n, K;
    const uint32_t *token;
    const wn_batch *b;
    wn_drop_rule r;
};

static size_t segment_of(const wn_batch *b, uint32_t token)
{
    size_t lo = 0, hi = b->B; /* off[lo] <= token < off[hi] */
    while (hi - lo > 1) {
        size_t mid = (lo + hi) / 2;
        if (b->off[mid] <= token)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

static void drop_row(const struct drop_job *j, size_t i)
{
    uint32_t t = j->token ? j->token[i] : (uint32_t)i;
    size_t s = segment_of(j->b, t);
    uint64_t example = j->b->example ? j->b->example[s] : s;
    uint32_t high = (uint32_t)(example >> 32) << 20; /* which of the row's texts */
    float *out = j->out + i * j->K;
    const float *x = j->x + i * j->ldx;
    for (size_t k = 0; k < j->K; k += 4) {
        uint32_t bits[4],
            ctr[4] = {(uint32_t)k ^ high, t - j->b->off[s], (uint32_t)example, j->r.step};
        wn_philox(bits, ctr, j->r.key);
        for (size_t e = 0; e < 4 && k + e < j->K; e++)
            out[k + e] = bits[e] < j->r.keep ? x[k + e] * j->r.scale : 0;
    }
}

static void drop_rows(void *ctx, size_t i, int thread)
{
    (void)thread;
    const struct drop_job *j = ctx;
    size_t end = (i + 1) * ROWS < j->n ? (i + 1) * ROWS : j->n;
    for (size_t row = i * ROWS; row < end; row++)
        drop_row(j, row);
}

void wn_drop_rule_of(wn_drop_rule *r, double p, uint64_t place, const wn_pass *pass)
{
    uint64_t stream = WN_STREAM_DROPOUT << 20 ^ place;
    *r = (wn_drop_rule){
        .key = {(uint32_t)pass->seed, (uint32_t)(pass->seed >> 32) ^ (uint32_t)stream},
        .step = (uint32_t)pass->step,
        .keep = (uint32_t)fmin(4294967295.0, (1 - p) * 4294967296.0),
        .scale = (float)(1 / (1 - p))};
}

void wn_drop(float *out, const float *x, size_t ldx, size_t n, size_t K, double p, uint64_t place,
             const uint32_t *token, const wn_pass *pass)
{
    struct drop_job j = {
        .out = out, .x = x, .ldx = ldx, .n = n, .K = K, .token = token, .b = pass->batch};
    if (pass->tokens)
        j.b = pass->tokens;
    wn_drop_rule_of(&j.r, p, place, pass);
    wn_par_do((n + ROWS - 1) / ROWS, drop_rows, &j);
}

/* ---- what a model's config says ------------------------------------------------------------
 */

/* Members of config.json by family, with what transformers takes where one is missing; a NULL name:
 * nothing is dropped there. Families that are not listed drop only attention's probabilities. */
struct dropped {
    const char *family, *embed, *attn, *residual;
    double embed_default, attn_default, residual_default;
    bool inside; /* also within the feed-forward part and behind the final norm */
};

static const struct dropped families[] = {
    {"t5", "dropout_rate", "dropout_rate", "dropout_rate", 0.1, 0.1, 0.1, true},
    {"mt5", "dropout_rate", "dropout_rate", "dropout_rate", 0.1, 0.1, 0.1, true},
    {"gpt2", "embd_pdrop", "attn_pdrop", "resid_pdrop", 0.1, 0.1, 0.1, false},
    {"gpt_neo", "embed_dropout", "attention_dropout", "resid_dropout", 0, 0, 0, false},
    {"gpt_neox", "hidden_dropout", "attention_dropout", "hidden_dropout", 0, 0, 0, false},
    {"opt", NULL, "attention_dropout", "dropout", 0, 0, 0.1, false},
    {"bloom", NULL, "attention_dropout", "hidden_dropout", 0, 0, 0, false},
    {"phi3", NULL, "attention_dropout", "resid_pdrop", 0, 0, 0, false},
    {NULL, NULL, "attention_dropout", NULL, 0, 0, 0, false},
};

static wn_err read_share(double *out, const wn_model *m, const char *key, double fallback, double p)
{
    *out = 0;
    if (!key)
        return WN_OK;
    if (p >= 0) {
        *out = p;
        return WN_OK;
    }
    WN_TRY(wn_config_real(out, m, key, fallback));
    if (!(*out >= 0 && *out < 1))
        return wn_fail(WN_EFORMAT, "%s: %s %g: expected 0 or more, below 1", m->files.place, key,
                       *out);
    return WN_OK;
}

wn_err wn_model_set_dropout(wn_model *m, double p)
{
    const struct dropped *f = families;
    wn_dropout d = {.site = WN_DROP_MODEL};
    double layers = 0;
    if (p >= 1 || p != p)
        return wn_fail(WN_EARG, "dropout %g: expected 0 or more, below 1", p);
    if (m->files.is_gguf && p < 0)
        return wn_fail(WN_EARG, "%s: a GGUF file does not say its model's dropout; give a share",
                       m->files.path);
    while (f->family && strcmp(f->family, m->facts.family) != 0)
        f++;
    if (p < 0)
        WN_TRY(wn_config_real(&layers, m, "layerdrop", 0));
    if (layers > 0)
        return wn_fail(WN_EFORMAT, "%s: layerdrop %g is not supported", m->files.place, layers);
    WN_TRY(read_share(&d.embed, m, f->embed, f->embed_default, p));
    WN_TRY(read_share(&d.attn, m, f->attn, f->attn_default, p));
    WN_TRY(read_share(&d.residual, m, f->residual, f->residual_default, p));
    d.act = d.final = f->inside ? d.residual : 0;
    m->stack.drop = m->encoder.drop = d;
    m->encoder.drop.site += WN_DROP_MODEL / 2;
    m->head.drop = d.final;
    m->head.place = d.site + WN_DROP_FINAL;
    return WN_OK;
}
