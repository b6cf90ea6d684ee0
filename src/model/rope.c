/* Frequencies as transformers' modeling_rope_utils computes them: f_i = theta^(-2i/rot), then by
 * kind
 *
 *   linear    f / factor (Chen et al. 2023, arXiv 2306.15595)
 *   dynamic   as default up to max_position_embeddings; a row of n more tokens has the base
 *             theta (factor n / positions - factor + 1)^(rot / (rot - 2))
 *   llama3    low frequencies / factor, high ones kept, a smooth step between (Llama 3.1)
 *   yarn      a ramp between f and f / factor, values scaled by 0.1 ln(factor) + 1 (Peng et al.
 *             2023, arXiv 2309.00071)
 *   longrope  f / short_factor in rows of up to original_max_position_embeddings, f / long_factor
 *             in longer ones (Ding et al. 2024, arXiv 2402.13753) */
#include "model/rope.h"

#include <math.h>
#include <string.h>

#define PI 3.141592653589793

/* A table holds the angles of every position: longer rows are refused. */
enum { MOST_POSITIONS = 1 << 20 };

wn_err wn_rope_read(wn_rope_rule *r, const wn_model *m, const char *layers, double theta)
{
    const json_t *c = m->files.config, *both = json_object_get(c, "rope_parameters");
    *r = (wn_rope_rule){.more = json_object_get(c, "rope_scaling")};
    WN_TRY(wn_config_real(&r->theta, m, "rope_theta", theta));
    WN_TRY(wn_config_real(&r->theta, m, "rotary_emb_base", r->theta));
    WN_TRY(wn_config_real(&r->partial, m, "partial_rotary_factor", 1));
    WN_TRY(wn_config_real(&r->partial, m, "rotary_pct", r->partial));
    if (layers && json_is_object(json_object_get(both, layers)))
        both = json_object_get(both, layers);
    if (json_is_object(both)) {
        r->more = both;
        WN_TRY(wn_json_get_number(&r->theta, both, "rope_theta", false, m->files.place));
        if (!json_is_null(json_object_get(both, "partial_rotary_factor")))
            WN_TRY(wn_json_get_number(&r->partial, both, "partial_rotary_factor", false,
                                      m->files.place));
    }
    if (!json_is_object(r->more))
        r->more = NULL;
    if (!(r->theta > 0) || !(r->partial > 0 && r->partial <= 1))
        return wn_fail(WN_EFORMAT,
                       "%s: rope theta %g, partial factor %g: expected above 0 and 0 to 1",
                       m->files.place, r->theta, r->partial);
    return WN_OK;
}

static wn_err number(double *out, const wn_model *m, const wn_rope_rule *r, const char *key,
                     double fallback, bool required)
{
    *out = fallback;
    if (!required && json_is_null(json_object_get(r->more, key)))
        return WN_OK;
    return wn_json_get_number(out, r->more, key, required, m->files.place);
}

static wn_err llama3(double *freq, size_t n, const wn_model *m, const wn_rope_rule *r)
{
    double factor, low, high, original;
    WN_TRY(number(&factor, m, r, "factor", 0, true));
    WN_TRY(number(&low, m, r, "low_freq_factor", 0, true));
    WN_TRY(number(&high, m, r, "high_freq_factor", 0, true));
    WN_TRY(number(&original, m, r, "original_max_position_embeddings", 0, true));
    for (size_t i = 0; i < n; i++) {
        double wave = 2 * PI / freq[i];
        if (wave < original / high)
            continue;
        double smooth = wave > original / low ? 0 : (original / wave - low) / (high - low);
        freq[i] = (1 - smooth) * freq[i] / factor + smooth * freq[i];
    }
    return WN_OK;
}

/* The component whose wave turns `turns` times within the original length. */
static double yarn_dim(double turns, double rot, double theta, double original)
{
    return rot * log(original / (turns * 2 * PI)) / (2 * log(theta));
}

static wn_err yarn(double *freq, size_t n, double *scale, const wn_model *m, const wn_rope_rule *r)
{
    double factor, fast, slow, original, attention, ms, ms_all, rot = 2.0 * (double)n;
    bool truncate = true;
    WN_TRY(number(&factor, m, r, "factor", 0, true));
    WN_TRY(number(&fast, m, r, "beta_fast", 32, false));
    WN_TRY(number(&slow, m, r, "beta_slow", 1, false));
    WN_TRY(number(&original, m, r, "original_max_position_embeddings", (double)m->stack.positions,
                  false));
    WN_TRY(number(&ms, m, r, "mscale", 0, false));
    WN_TRY(number(&ms_all, m, r, "mscale_all_dim", 0, false));
    double usual = factor <= 1 ? 1 : 0.1 * log(factor) + 1;
    if (ms > 0 && ms_all > 0)
        usual = (0.1 * ms * log(factor) + 1) / (0.1 * ms_all * log(factor) + 1);
    WN_TRY(number(&attention, m, r, "attention_factor", usual, false));
    if (json_is_false(json_object_get(r->more, "truncate")))
        truncate = false;
    double low = yarn_dim(fast, rot, r->theta, original),
           high = yarn_dim(slow, rot, r->theta, original);
    if (truncate) {
        low = floor(low);
        high = ceil(high);
    }
    low = fmax(low, 0);
    high = fmin(high, rot - 1);
    if (low == high)
        high += 0.001;
    for (size_t i = 0; i < n; i++) {
        double ramp = fmin(1, fmax(0, ((double)i - low) / (high - low)));
        freq[i] = freq[i] / factor * ramp + freq[i] * (1 - ramp);
    }
    *scale = attention;
    return WN_OK;
}

/* freq [n] divided by the factors of that name. */
static wn_err divide(double *freq, size_t n, const wn_model *m, const wn_rope_rule *r,
                     const char *key)
{
    const json_t *factors = json_object_get(r->more, key);
    if (json_array_size(factors) != n)
        return wn_fail(WN_EFORMAT, "%s: rope %s: expected %zu numbers, found %zu", m->files.place,
                       key, n, json_array_size(factors));
    for (size_t i = 0; i < n; i++) {
        double f = json_number_value(json_array_get(factors, i));
        if (!(f > 0))
            return wn_fail(WN_EFORMAT, "%s: rope %s, number %zu: expected above 0, found %g",
                           m->files.place, key, i, f);
        freq[i] /= f;
    }
    return WN_OK;
}

static wn_err longrope(double *freq, size_t n, double *scale, wn_model *m, const wn_rope_rule *r)
{
    double original, attention, top;
    size_t fallback;
    WN_TRY(wn_config_size(&fallback, m, "original_max_position_embeddings", m->stack.positions,
                          false));
    WN_TRY(number(&original, m, r, "original_max_position_embeddings", (double)fallback, false));
    WN_TRY(number(&top, m, r, "factor", (double)m->facts.max_positions / original, false));
    double usual = top <= 1 ? 1 : sqrt(1 + log(top) / log(original));
    WN_TRY(number(&attention, m, r, "attention_factor", usual, false));
    *scale = attention;
    if (!(original >= 1))
        return wn_fail(WN_EFORMAT,
                       "%s: original_max_position_embeddings: expected 1 or more, found %g",
                       m->files.place, original);
    if ((double)m->stack.positions > original) {
        wn_rope_long *more = &m->stack.longer;
        *more = (wn_rope_long){.from = (size_t)original, .scale = attention};
        WN_NEW(more->freq, n);
        memcpy(more->freq, freq, n * sizeof *freq);
        WN_TRY(divide(more->freq, n, m, r, "long_factor"));
    }
    return divide(freq, n, m, r, "short_factor");
}

static wn_err dynamic(wn_model *m, const wn_rope_rule *r)
{
    wn_stack *s = &m->stack;
    double factor;
    WN_TRY(number(&factor, m, r, "factor", 0, true));
    if (!(factor >= 1) || s->rot < 4)
        return wn_fail(WN_EFORMAT,
                       "%s: dynamic rope factor %g on %zu components: expected 1 or more, on 4 or "
                       "more",
                       m->files.place, factor, s->rot);
    double most = factor * (double)s->positions;
    s->longer =
        (wn_rope_long){.from = s->positions, .theta = r->theta, .factor = factor, .scale = 1};
    s->positions = m->facts.max_positions = most < MOST_POSITIONS ? (size_t)most : MOST_POSITIONS;
    return WN_OK;
}

wn_err wn_rope_build(wn_model *m, int table, const wn_rope_rule *r)
{
    wn_stack *s = &m->stack;
    const char *kind = json_string_value(json_object_get(r->more, "rope_type"));
    double scale = 1, factor;
    if (!kind)
        kind = json_string_value(json_object_get(r->more, "type"));
    if (!kind)
        kind = "default";
    bool by_length =
        strcmp(kind, "longrope") == 0 || strcmp(kind, "su") == 0 || strcmp(kind, "dynamic") == 0;
    if (by_length && table != 0)
        return wn_fail(WN_EFORMAT, "%s: rope scaling \"%s\" of local layers is not supported",
                       m->files.place, kind);
    if (s->positions > MOST_POSITIONS)
        s->positions = m->facts.max_positions = MOST_POSITIONS;
    s->rot = (size_t)((double)s->d * r->partial) / 2 * 2;
    size_t n = s->rot / 2;
    if (n == 0)
        return wn_fail(WN_EFORMAT, "%s: rotary positions on heads of width %zu: nothing to rotate",
                       m->files.place, s->d);
    double *freq = wn_malloc(n * sizeof *freq);
    if (!freq)
        return WN_ENOMEM;
    for (size_t i = 0; i < n; i++)
        freq[i] = 1 / pow(r->theta, 2.0 * (double)i / (double)s->rot);
    wn_err e = WN_OK;
    if (strcmp(kind, "linear") == 0) {
        e = number(&factor, m, r, "factor", 0, true);
        for (size_t i = 0; !e && i < n; i++)
            freq[i] /= factor;
    } else if (strcmp(kind, "llama3") == 0) {
        e = llama3(freq, n, m, r);
    } else if (strcmp(kind, "yarn") == 0) {
        e = yarn(freq, n, &scale, m, r);
    } else if (strcmp(kind, "dynamic") == 0) {
        e = dynamic(m, r);
    } else if (by_length) {
        e = longrope(freq, n, &scale, m, r);
    } else if (strcmp(kind, "default") != 0) {
        e = wn_fail(WN_EFORMAT, "%s: rope scaling \"%s\" is not supported", m->files.place, kind);
    }
    if (!e)
        e = wn_build_rope(&s->rope[table], freq, s->rot,
                          by_length && s->longer.from ? s->longer.from : s->positions, scale);
    wn_free(freq);
    return e;
}

/* ---- rows whose length decides ----------------------------------------------------------------
 */

/* Two rows of the same key are turned by the same frequencies. */
static uint32_t key_of(const wn_rope_long *more, uint32_t length)
{
    return length <= more->from ? 0 : more->freq ? 1 : length;
}

bool wn_rope_same(const wn_stack *s, uint32_t a, uint32_t b)
{
    return !s->longer.from || key_of(&s->longer, a) == key_of(&s->longer, b);
}

/* Angles of tokens first..end of a row of that length, at the positions in w->pos. */
static void turn_row(const wn_stack *s, wn_stack_work *w, size_t first, size_t end, uint32_t length)
{
    const wn_rope_long *more = &s->longer;
    size_t n = s->rot / 2;
    if (length <= more->from) {
        for (size_t t = first; t < end; t++)
            memcpy(w->angle + t * s->rot, s->rope[0] + (size_t)w->pos[t] * s->rot,
                   s->rot * sizeof(float));
        return;
    }
    double rot = (double)s->rot, theta = more->theta;
    if (!more->freq)
        theta *=
            pow(more->factor * length / (double)more->from - (more->factor - 1), rot / (rot - 2));
    for (size_t i = 0; i < n; i++) {
        double f = more->freq ? more->freq[i] : 1 / pow(theta, 2.0 * (double)i / rot);
        for (size_t t = first; t < end; t++)
            wn_rope_angle(w->angle + t * s->rot + i, n, w->pos[t], f, more->scale);
    }
}

/* Angles of all tokens, once the rows' lengths are known. */
static void turn_rows(const wn_stack *s, wn_stack_work *w, const wn_batch *b)
{
    w->any_long = false;
    for (size_t i = 0; i < b->B; i++)
        w->any_long |= w->length[i] > s->longer.from;
    if (!w->any_long)
        return;
    for (size_t t = 0; t < b->T; t++)
        w->angle_at[t] = (int32_t)t;
    for (size_t i = 0; i < b->B; i++)
        turn_row(s, w, b->off[i], b->off[i + 1], w->length[i]);
}

wn_err wn_rope_prepare(const wn_stack *s, wn_stack_work *w, const wn_batch *b)
{
    if (!s->longer.from)
        return WN_OK;
    for (size_t i = 0; i < b->B; i++) /* parents come before their children */
        w->length[i] = 0;
    for (size_t i = 0; i < b->B; i++) {
        int32_t p = b->parent ? b->parent[i] : -1;
        uint32_t n = b->off[i + 1] - b->off[i], whole = p < 0 ? n : n + b->off[p + 1] - b->off[p];
        if (p >= 0 && w->length[p] != 0 && !wn_rope_same(s, w->length[p], whole))
            return wn_fail(WN_EARG,
                           "a prompt before texts that make rows of %u and %u tokens: this model "
                           "turns rows of more than %zu tokens by other angles",
                           w->length[p], whole, s->longer.from);
        w->length[i] = p < 0 ? 0 : whole;
        if (p >= 0)
            w->length[p] = whole;
    }
    for (size_t i = 0; i < b->B; i++)
        if (w->length[i] == 0)
            w->length[i] = b->off[i + 1] - b->off[i];
    turn_rows(s, w, b);
    return WN_OK;
}

wn_err wn_rope_prepare_step(const wn_stack *s, wn_stack_work *w, const wn_batch *b,
                            const uint32_t *seen)
{
    if (!s->longer.from)
        return WN_OK;
    for (size_t i = 0; i < b->B; i++) {
        w->length[i] = seen[i] + b->off[i + 1] - b->off[i];
        if (seen[i] && !wn_rope_same(s, seen[i], w->length[i]))
            return wn_fail(WN_EARG,
                           "a text grows to %u tokens: this model turns all tokens by other angles "
                           "beyond %zu, which a cache of %u cannot follow; expected fewer tokens",
                           w->length[i], s->longer.from, seen[i]);
    }
    turn_rows(s, w, b);
    return WN_OK;
}
