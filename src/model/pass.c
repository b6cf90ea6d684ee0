/* Forward and backward of a whole model, and the memory they run in. */
#include <string.h>

#include "base/par.h"
#include "model/dropout.h"
#include "model/internal.h"

/* ---- memory
 * ---------------------------------------------------------------------------------------------- */

static void plan(wn_work *w, const wn_model *m, size_t T, size_t segments, size_t labels)
{
    wn_work_kind kind = w->kind;
    wn_arena *a = &w->arena;
    w->x = wn_arena_push(a, T * m->facts.width * sizeof(float));
    size_t narrow = m->project_in.N ? T * m->project_in.K * sizeof(float) : 0;
    w->narrow = narrow ? wn_arena_push(a, narrow) : NULL;
    w->d_narrow = narrow && kind != WN_WORK_FORWARD ? wn_arena_push(a, narrow) : NULL;
    wn_linear_plan(&w->project_in, &m->project_in, a, T);
    wn_linear_plan(&w->project_out, &m->project_out, a, T);
    w->zero = m->type.tensor ? wn_arena_push(a, T * sizeof(int32_t)) : NULL;
    if (m->encoder.L) {
        w->source_x = wn_arena_push(a, T * m->facts.width * sizeof(float));
        w->source_out = wn_arena_push(a, T * m->facts.width * sizeof(float));
        wn_stack_plan(&w->source, &m->encoder, a, w->source_acts, T, segments, kind);
    }
    wn_stack_plan(&w->stack, &m->stack, a, w->acts, T, segments, kind);
    w->stack.round = w->source.round =
        kind == WN_WORK_RECOMPUTE && m->facts.precision == WN_PRECISION_BF16;
    if (m->output.N)
        wn_head_plan(&w->head, &m->head, a, labels, segments, kind);
}

wn_err wn_work_new(wn_work **out, const wn_model *m, size_t max_tokens, size_t max_segments,
                   size_t max_labels, wn_work_kind kind)
{
    *out = NULL;
    wn_work *w;
    if (kind != WN_WORK_FORWARD && m->facts.precision == WN_PRECISION_INT8)
        return wn_int8_has_no_backward();
    WN_NEW(w, 1);
    w->model = m;
    w->T = max_tokens;
    w->segments = max_segments;
    w->kind = kind;
    w->acts = wn_calloc(kind != WN_WORK_FORWARD ? m->stack.L : 1, sizeof *w->acts);
    w->source_acts = wn_calloc(kind != WN_WORK_FORWARD ? m->encoder.L : 1, sizeof *w->source_acts);
    wn_err e = w->acts && w->source_acts ? WN_OK : WN_ENOMEM;
    if (!e) {
        plan(w, m, max_tokens, max_segments, max_labels);
        size_t bytes = w->arena.used;
        e = wn_arena_init(&w->arena, bytes);
    }
    if (e) {
        wn_work_free(w);
        return e;
    }
    plan(w, m, max_tokens, max_segments, max_labels);
    if (w->zero)
        memset(w->zero, 0, max_tokens * sizeof(int32_t));
    *out = w;
    return WN_OK;
}

void wn_work_free(wn_work *w)
{
    if (!w)
        return;
    wn_arena_free(&w->arena);
    wn_free(w->acts);
    wn_free(w->source_acts);
    wn_free(w);
}

size_t wn_work_bytes(const wn_model *m, size_t max_tokens, size_t max_segments, size_t max_labels,
                     wn_work_kind kind)
{
    wn_work w = {.model = m, .kind = kind};
    w.acts = wn_calloc(kind != WN_WORK_FORWARD ? m->stack.L : 1, sizeof *w.acts);
    w.source_acts = wn_calloc(kind != WN_WORK_FORWARD ? m->encoder.L : 1, sizeof *w.source_acts);
    if (w.acts && w.source_acts)
        plan(&w, m, max_tokens, max_segments, max_labels);
    bool planned = w.acts && w.source_acts;
    wn_free(w.acts);
    wn_free(w.source_acts);
    return planned ? w.arena.used : SIZE_MAX;
}

/* ---- embeddings
 * ------------------------------------------------------------------------------------------ */

struct look_job {
    const wn_model *m;
    const wn_table *t;
    const int32_t *id;
    float *x;
    float scale;
    int32_t offset;
    bool add;
    size_t T;
};

enum { LOOK_ROWS = 32 };

static wn_err look_rows(void *ctx, size_t i, int thread)
{
    (void)thread;
    const struct look_job *j = ctx;
    size_t D = (size_t)j->t->tensor->dim[1],
           end = (i + 1) * LOOK_ROWS < j->T ? (i + 1) * LOOK_ROWS : j->T;
    const float *value = j->m->params.p[j->t->param].value;
    float row[4096];
    float *wide = D > 4096 ? wn_malloc(D * sizeof *wide) : row;
    wn_err e = wide ? WN_OK : WN_ENOMEM;
    for (size_t t = i * LOOK_ROWS; !e && t < end; t++) {
        size_t id = (size_t)j->id[t] + (size_t)j->offset;
        if (id >= j->t->rows) {
            e = wn_fail(WN_EARG, "id %d: the table %s has %zu rows", j->id[t],
                        j->m->params.p[j->t->param].name, j->t->rows);
            break;
        }
        float *x = j->x + t * D;
        if (value)
            memcpy(wide, value + id * D, D * sizeof(float));
        else
            e = wn_weights_rows(wide, &j->m->files, j->t->tensor, id, 1, (wn_row_order){0});
        if (j->scale != 1)
            wn_scale(wide, j->scale, D);
        if (j->add)
            wn_add(x, wide, D);
        else
            memcpy(x, wide, D * sizeof(float));
    }
    if (wide != row)
        wn_free(wide);
    return e;
}

static wn_err look_up(const wn_model *m, const wn_table *t, const int32_t *id, float *x,
                      float scale, size_t offset, bool add, size_t T)
{
    struct look_job j = {m, t, id, x, scale, (int32_t)offset, add, T};
    return wn_par_for((T + LOOK_ROWS - 1) / LOOK_ROWS, look_rows, &j);
}

/* The sum of the tables' rows, before the embedding's norm. */
static wn_err embed_fwd(const wn_model *m, wn_work *w, const wn_pass *pass)
{
    const wn_linear *l = &m->project_in;
    const wn_batch *b = pass->batch;
    wn_pass in = wn_linear_pass(pass, &w->project_in);
    WN_TRY(look_up(m, &m->token, b->id, l->N ? w->narrow : w->x, m->embed_scale, 0, false, b->T));
    if (l->N)
        wn_linear_fwd(w->x, l->N, w->narrow, l->K, l, &in, w->project_in.kept, 0);
    if (m->position.tensor)
        WN_TRY(look_up(m, &m->position, w->stack.pos, w->x, 1, m->position_offset, true, b->T));
    if (m->type.tensor)
        WN_TRY(look_up(m, &m->type, w->zero, w->x, 1, 0, true, b->T));
    return WN_OK;
}

static void embed_norm(const wn_model *m, wn_work *w, const wn_batch *b)
{
    if (m->embed_norm.gain != WN_NO_PARAM)
        wn_norm_fwd(w->x, NULL, NULL, w->x, &m->embed_norm, &m->params, b->T, m->facts.width);
}

static void drop_own(float *x, const wn_stack *s, double p, enum wn_drop_place place,
                     const wn_pass *pass)
{
    if (wn_dropping(pass) && p > 0)
        wn_drop(x, x, s->D, pass->batch->T, s->D, p, s->drop.site + place, NULL, pass);
}

static bool embeds_train(const wn_model *m)
{
    const wn_params *ps = &m->params;
    return ps->p[m->token.param].trainable ||
           (m->project_in.N && wn_linear_trained(&m->project_in, ps)) ||
           (m->position.tensor && ps->p[m->position.param].trainable) ||
           (m->type.tensor && ps->p[m->type.param].trainable) ||
           wn_norm_trainable(&m->embed_norm, ps);
}

/* Gradient dx of the stack's input to the tables. */
static wn_err embed_bwd(const wn_model *m, wn_work *w, wn_pass *pass, float *dx)
{
    const wn_batch *b = pass->batch;
    size_t D = m->facts.width, T = b->T;
    wn_seg seg = {b->B, b->off, 0};
    wn_param *ps = pass->params->p;
    drop_own(dx, &m->stack, m->stack.drop.embed, WN_DROP_EMBED, pass);
    if (m->embed_norm.gain != WN_NO_PARAM) { /* make the norm's input and statistics again */
        float *mean = w->stack.d_mid, *rinv = mean + T;
        WN_TRY(embed_fwd(m, w, pass));
        wn_norm_fwd(w->stack.h, mean, rinv, w->x, &m->embed_norm, pass->params, T, D);
        wn_norm_bwd(w->stack.h, dx, w->x, mean, rinv, &m->embed_norm, pass, &seg, T, D, false);
        memcpy(dx, w->stack.h, T * D * sizeof(float));
    }
    if (m->position.tensor && ps[m->position.param].trainable) {
        int32_t *id = (int32_t *)w->stack.d_qkv;
        for (size_t t = 0; t < T; t++)
            id[t] = w->stack.pos[t] + (int32_t)m->position_offset;
        pass->sink->embed(pass->sink->ctx, &ps[m->position.param], dx, id, D, &seg);
    }
    if (m->type.tensor && ps[m->type.param].trainable)
        pass->sink->embed(pass->sink->ctx, &ps[m->type.param], dx, w->zero, D, &seg);
    if (m->project_in.N) {
        D = m->project_in.K;
        wn_pass in = wn_linear_pass(pass, &w->project_in);
        wn_linear_bwd(w->d_narrow, D, dx, m->facts.width, w->narrow, D, w->project_in.kept,
                      &m->project_in, &in, 0);
        dx = w->d_narrow;
    }
    if (m->embed_scale != 1)
        wn_scale(dx, m->embed_scale, T * D);
    if (ps[m->token.param].trainable)
        pass->sink->embed(pass->sink->ctx, &ps[m->token.param], dx, b->id, D, &seg);
    return WN_OK;
}

/* ---- passes
 * ------------------------------------------------------------------------------------------------
 */

/* Parameters are only read in passes without a sink. */
wn_pass wn_pass_forward(const wn_model *m, const wn_batch *b)
{
    return (wn_pass){.params = (wn_params *)&m->params, .batch = b};
}

wn_err wn_pass_source(const wn_model *m, wn_work *w, wn_pass *pass, size_t last, bool keep)
{
    const wn_batch *b = pass->batch;
    WN_ASSERT(b->T <= w->T && b->B <= w->segments);
    WN_TRY(wn_stack_prepare(&m->encoder, &w->source, b));
    WN_TRY(look_up(m, &m->token, b->id, w->source_x, m->embed_scale, 0, false, b->T));
    drop_own(w->source_x, &m->encoder, m->encoder.drop.embed, WN_DROP_EMBED, pass);
    wn_stack_fwd(&m->encoder, &w->source, pass, w->source_x, last, keep);
    if (last == m->encoder.L)
        wn_norm_fwd(w->source_out, w->source.mean, w->source.rinv, w->source_x, &m->encoder_norm,
                    &m->params, b->T, m->facts.width);
    drop_own(w->source_out, &m->encoder, m->encoder.drop.final, WN_DROP_FINAL, pass);
    w->stack.source = w->source_out;
    return WN_OK;
}

wn_err wn_pass_embed(const wn_model *m, wn_work *w, const wn_pass *pass)
{
    WN_TRY(embed_fwd(m, w, pass));
    embed_norm(m, w, pass->batch);
    return WN_OK;
}

static wn_err start(const wn_model *m, wn_work *w, const wn_batch *b, const wn_pass *pass,
                    bool keep)
{
    WN_ASSERT(w->model == m && b->T <= w->T && b->B <= w->segments);
    if (m->encoder.L) {
        WN_ASSERT(b->source && b->source_of);
        wn_pass source = *pass;
        source.batch = b->source;
        WN_TRY(wn_pass_source(m, w, &source, m->encoder.L, keep));
    }
    WN_TRY(wn_stack_prepare(&m->stack, &w->stack, b));
    WN_TRY(wn_pass_embed(m, w, pass));
    drop_own(w->x, &m->stack, m->stack.drop.embed, WN_DROP_EMBED, pass);
    return WN_OK;
}

static size_t state_layers(const wn_model *m)
{
    return m->encoder.L ? m->encoder.L : m->stack.L;
}

size_t wn_model_state_width(const wn_model *m, int layer)
{
    bool last = layer == 0 || (size_t)layer == state_layers(m);
    return last && m->project_out.N ? m->project_out.N : m->facts.width;
}

wn_err wn_model_hidden(const wn_model *m, wn_work *w, const wn_batch *b, int layer, float *hidden)
{
    bool two = m->encoder.L > 0;
    size_t all = state_layers(m), last = layer ? (size_t)layer : all, D = m->facts.width;
    if (layer < 0 || last > all)
        return wn_fail(WN_EARG, "layer %d: the model has %zu", layer, all);
    wn_pass pass = wn_pass_forward(m, b);
    if (two) {
        WN_TRY(wn_pass_source(m, w, &pass, last, false));
        memcpy(hidden, last == all ? w->source_out : w->source_x, b->T * D * sizeof(float));
        return WN_OK;
    }
    WN_TRY(start(m, w, b, &pass, false));
    wn_stack_fwd(&m->stack, &w->stack, &pass, w->x, last, false);
    bool norm = last == all && m->final_norm.gain != WN_NO_PARAM,
         project = last == all && m->project_out.N;
    if (norm)
        wn_norm_fwd(project ? w->x : hidden, NULL, NULL, w->x, &m->final_norm, &m->params, b->T, D);
    wn_pass out = wn_linear_pass(&pass, &w->project_out);
    if (project)
        wn_linear_fwd(hidden, m->project_out.N, w->x, D, &m->project_out, &out, NULL, 0);
    else if (!norm)
        memcpy(hidden, w->x, b->T * D * sizeof(float));
    return WN_OK;
}

wn_err wn_pass_need_head(const wn_model *m)
{
    if (!m->output.N)
        return wn_fail(WN_EARG,
                       "%s: a %s encoder has no output head: it can embed, not score or train",
                       m->files.path, m->facts.family);
    return WN_OK;
}

wn_err wn_model_nll(const wn_model *m, wn_work *w, const wn_batch *b, double *nll, uint32_t *count)
{
    WN_TRY(wn_pass_need_head(m));
    wn_pass pass = wn_pass_forward(m, b);
    WN_TRY(start(m, w, b, &pass, false));
    wn_stack_fwd(&m->stack, &w->stack, &pass, w->x, m->stack.L, false);
    return wn_head_run(&m->head, &w->head, &pass, w->x, NULL, NULL, nll, count);
}

/* From the gradient of the encoder's output, which the decoder's layers summed up, to the encoder's
 * parameters. */
static void source_bwd(const wn_model *m, wn_work *w, const wn_pass *decoder, bool embeds)
{
    wn_pass pass = *decoder;
    const wn_batch *b = pass.batch = decoder->batch->source;
    wn_seg seg = {b->B, b->off, 0};
    size_t D = m->facts.width;
    drop_own(w->stack.d_source, &m->encoder, m->encoder.drop.final, WN_DROP_FINAL, &pass);
    wn_norm_bwd(w->source.gradient, w->stack.d_source, w->source_x, w->source.mean, w->source.rinv,
                &m->encoder_norm, &pass, &seg, b->T, D, false);
    wn_stack_bwd(&m->encoder, &w->source, &pass, embeds);
    drop_own(w->source.gradient, &m->encoder, m->encoder.drop.embed, WN_DROP_EMBED, &pass);
    wn_param *token = &pass.params->p[m->token.param];
    if (token->trainable)
        pass.sink->embed(pass.sink->ctx, token, w->source.gradient, b->id, D, &seg);
}

static bool source_trained(const wn_model *m)
{
    return wn_stack_trained(&m->encoder, &m->params) || m->params.p[m->encoder_norm.gain].trainable;
}

static wn_err run_back(const wn_model *m, wn_work *w, wn_pass *pass, const wn_head_weight *weight,
                       double *nll, uint32_t *count)
{
    const wn_batch *b = pass->batch;
    WN_ASSERT(w->kind != WN_WORK_FORWARD);
    WN_TRY(wn_pass_need_head(m));
    WN_TRY(start(m, w, b, pass, true));
    wn_stack_fwd(&m->stack, &w->stack, pass, w->x, m->stack.L, true);
    WN_TRY(wn_head_run(&m->head, &w->head, pass, w->x, weight, w->stack.gradient, nll, count));
    bool embeds = embeds_train(m);
    bool source = m->encoder.L && (embeds || source_trained(m));
    if (m->encoder.L)
        memset(w->stack.d_source, 0, b->source->T * m->facts.width * sizeof(float));
    wn_stack_bwd(&m->stack, &w->stack, pass, embeds || source);
    if (embeds)
        WN_TRY(embed_bwd(m, w, pass, w->stack.gradient));
    if (source)
        source_bwd(m, w, pass, embeds);
    return WN_OK;
}

wn_err wn_model_loss_back(const wn_model *m, wn_work *w, const wn_batch *b, const float *weight,
                          uint64_t seed, uint64_t step, double *nll, uint32_t *count,
                          const wn_sink *sink)
{
    wn_pass pass = wn_pass_forward(m, b);
    pass.sink = sink;
    pass.seed = seed;
    pass.step = step;
    return run_back(m, w, &pass, &(wn_head_weight){.segment = weight}, nll, count);
}

wn_err wn_model_example_back(const wn_model *m, wn_work *w, const wn_batch *b, wn_quantity quantity,
                             const float *weight, double *nll, double *margin, uint32_t *count,
                             const wn_sink *sink)
{
    wn_pass pass = wn_pass_forward(m, b);
    pass.sink = sink;
    pass.still = true;
    pass.quantity = quantity;
    pass.margin = margin;
    return run_back(m, w, &pass, &(wn_head_weight){.segment = weight}, nll, count);
}

wn_err wn_model_margins(const wn_model *m, wn_work *w, const wn_batch *b, wn_quantity quantity,
                        double *nll, double *margin, uint32_t *count)
{
    WN_TRY(wn_pass_need_head(m));
    wn_pass pass = wn_pass_forward(m, b);
    pass.quantity = quantity;
    pass.margin = margin;
    WN_TRY(start(m, w, b, &pass, false));
    wn_stack_fwd(&m->stack, &w->stack, &pass, w->x, m->stack.L, false);
    return wn_head_run(&m->head, &w->head, &pass, w->x, NULL, NULL, nll, count);
}

wn_err wn_model_weighed_back(const wn_model *m, wn_work *w, const wn_batch *b,
                             const wn_weigh *weigh, uint64_t seed, uint64_t step, double *nll,
                             uint32_t *count, const wn_sink *sink)
{
    wn_pass pass = wn_pass_forward(m, b);
    pass.sink = sink;
    pass.seed = seed;
    pass.step = step;
    return run_back(m, w, &pass, &(wn_head_weight){.weigh = weigh}, nll, count);
}
