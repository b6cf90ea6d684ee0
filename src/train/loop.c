/* The loop. An update's gradient is a sum over its examples in their order, so it does not depend
 * on how many tokens are computed at once (but for the last bits of shared parameters in full
 * fine-tuning: sink.c), nor on how many ranks compute them (relay.h). All ranks make the same step
 * with it; rank 0 alone keeps the log and checkpoints. Nothing is allocated in it but by
 * evaluations and by writing checkpoints. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/ranks.h"
#include "base/report.h"
#include "train/losses.h"
#include "train/run.h"

enum { CHECKPOINT_SEC = 60, SAVE_EVERY = 200 };

/* A run has exploded where its loss is this many times that of guessing. */
#define EXPLODED 10

/* The rows of one update and what they are divided by. */
struct update {
    const uint64_t *row;
    uint64_t n;
    double gold, wrong; /* supervised tokens of answers, of other choices */
    uint64_t batches;   /* so far */
    wn_train_sums sums; /* out */
};

static struct update next_update(wn_train_run *r)
{
    struct update u = {.n = wn_order_take(&r->order, r->at.epoch, r->at.at)};
    u.row = r->order.row + r->at.at;
    for (uint64_t i = 0; i < u.n; i++) {
        const wn_data_size *s = &r->data.row[u.row[i]].size;
        u.gold += s->gold;
        u.wrong += s->labels - s->gold;
    }
    return u;
}

static float weight_of(const wn_train_run *r, const struct update *u, uint64_t row)
{
    double gold = r->data.row[row].size.gold;
    return (float)(1 / (r->token_mean ? u->gold : gold * (double)u->n));
}

/* Sums of losses and tokens are those up to the batch. */
static wn_err run_batch(wn_train_run *r, struct update *u, const wn_sink *sink)
{
    wn_data_batch *f = &r->batch;
    const wn_batch *b = &f->batch;
    uint64_t seed = r->o->common.seed;
    if (r->t_few) {
        wn_t_few t = {.data = &r->data,
                      .batch = f,
                      .examples = (double)u->n,
                      .gold = r->token_mean ? u->gold : 0,
                      .wrong = r->token_mean ? u->wrong : 0};
        wn_weigh weigh = {wn_t_few_weigh, &t};
        WN_TRY(wn_model_weighed_back(r->model, r->work, b, &weigh, seed, r->at.step, r->nll,
                                     r->count, sink));
        WN_TRY(wn_train_relay_take(r->relay, &u->sums));
        u->sums.loss += t.loss;
    } else {
        WN_TRY(wn_model_loss_back(r->model, r->work, b, f->weight, seed, r->at.step, r->nll,
                                  r->count, sink));
        WN_TRY(wn_train_relay_take(r->relay, &u->sums));
        for (size_t i = 0; i < b->B; i++)
            u->sums.loss += r->nll[i] * (double)f->weight[i];
    }
    u->sums.tokens += b->T + f->source.T;
    return wn_train_relay_pass(r->relay, &u->sums);
}

/* Gradients of one update, and the mean loss. Every rank puts all batches together, and computes
 * its own. */
static wn_err run_update(wn_train_run *r, struct update *u)
{
    wn_sink sink = wn_train_relay_sink(r->relay);
    wn_params_fresh_grads(r->params);
    wn_data_batch_clear(&r->batch);
    for (uint64_t i = 0; i < u->n;) {
        bool fits = wn_data_add(&r->batch, &r->data, u->row[i], weight_of(r, u, u->row[i]));
        i += fits;
        if (fits && i < u->n)
            continue;
        if (wn_train_relay_mine(r->relay, u->batches)) {
            WN_TRY(wn_train_relay_begin(r->relay, u->batches, fits));
            WN_TRY(run_batch(r, u, &sink));
        }
        wn_data_batch_clear(&r->batch);
        u->batches++;
    }
    return wn_train_relay_share(r->relay, u->batches, &u->sums);
}

static wn_err diverged(wn_train_run *r, const struct update *u, double norm, double most)
{
    wn_str rows = {0};
    wn_row row = {0};
    for (uint64_t i = 0; i < u->n && rows.len < 300; i++)
        if (wn_pool_row(r->pool, u->row[i], &row) == WN_OK)
            wn_str_printf(&rows, "%s%.*s", i ? ", " : "", (int)row.id.len, row.id.p);
    wn_row_free(&row);
    wn_err e =
        wn_fail(WN_EFORMAT,
                "train: update %llu: loss %g, gradient norm %g: expected finite numbers and "
                "a loss up to %.0f, ten times that of guessing (rows %s); last good "
                "checkpoint: %s",
                (unsigned long long)r->at.step + 1, u->sums.loss, norm, most, rows.p ? rows.p : "",
                wn_file_exists(r->checkpoint) ? r->checkpoint : "none");
    wn_str_free(&rows);
    return e;
}

/* ---- evaluation ----------------------------------------------------------------------------
 */

/* Sums over rows, of batches that are dealt to ranks. */
struct score {
    double loss, right;
};

struct evaluation {
    wn_train_run *r;
    struct score sum;
    uint64_t batch, row; /* made next, and its first row */
};

/* The batch that begins at row *at, which becomes that of the next. */
static void fill_eval_batch(wn_train_run *r, uint64_t *at)
{
    wn_data_batch_clear(&r->eval_batch);
    while (*at < r->eval_data.rows && wn_data_add(&r->eval_batch, &r->eval_data, *at, 1))
        ++*at;
}

/* A row's texts are its choices, or its target alone; the first of equals wins. */
static struct score score_row(const wn_train_run *r, size_t i)
{
    const wn_data_batch *b = &r->eval_batch;
    const wn_data_row *row = &r->eval_data.row[b->row[i]];
    uint32_t s0 = b->first[i], best = s0;
    for (uint32_t k = s0; k < s0 + row->texts; k++)
        best = r->nll[k] < r->nll[best] ? k : best;
    return (struct score){r->nll[s0 + row->answer] / r->count[s0 + row->answer],
                          best == s0 + row->answer};
}

static wn_err score_batch(void *ctx, uint64_t batch, wn_str *scores)
{
    struct evaluation *e = ctx;
    wn_train_run *r = e->r;
    for (; e->batch <= batch; e->batch++)
        fill_eval_batch(r, &e->row);
    WN_TRY(wn_model_nll(r->model, r->work, &r->eval_batch.batch, r->nll, r->count));
    for (size_t i = 0; i < r->eval_batch.rows; i++) {
        struct score s = score_row(r, i);
        wn_str_add(scores, &s, sizeof s);
    }
    return WN_OK;
}

static wn_err add_scores(void *ctx, uint64_t batch, const char *scores, size_t bytes)
{
    (void)batch;
    struct evaluation *e = ctx;
    for (struct score s; bytes >= sizeof s; bytes -= sizeof s, scores += sizeof s) {
        memcpy(&s, scores, sizeof s);
        e->sum.loss += s.loss;
        e->sum.right += s.right;
    }
    return WN_OK;
}

static wn_err evaluate(wn_train_run *r, double *loss, double *accuracy)
{
    struct evaluation e = {.r = r};
    wn_deal deal = {.ctx = &e, .make = score_batch, .take = add_scores};
    double n = (double)r->eval_data.rows;
    for (uint64_t row = 0; row < r->eval_data.rows; deal.chunks++)
        fill_eval_batch(r, &row);
    WN_TRY(wn_ranks_deal(&deal));
    WN_TRY(wn_ranks_share(&e.sum, sizeof e.sum));
    *loss = e.sum.loss / n;
    *accuracy = e.sum.right / n;
    return WN_OK;
}

/* Evaluates where it is time, adds a line to the log, keeps the best. */
static wn_err look(wn_train_run *r)
{
    const wn_train_opts *o = r->o;
    double loss, accuracy;
    bool last = r->at.step == r->steps;
    if (!o->eval || !(last || (o->eval_every && r->at.step % o->eval_every == 0)))
        return WN_OK;
    WN_TRY(evaluate(r, &loss, &accuracy));
    wn_str_printf(&r->line, "{\"step\":%llu,\"eval_loss\":", (unsigned long long)r->at.step);
    wn_json_f64(&r->line, loss);
    if (r->eval_data.choices) {
        wn_str_puts(&r->line, ",\"eval_accuracy\":");
        wn_json_f64(&r->line, accuracy);
    }
    wn_str_puts(&r->line, "}\n");
    if (r->at.best_step && !(loss < r->at.best)) {
        r->at.bad++;
        return WN_OK;
    }
    r->at.best = loss;
    r->at.best_step = r->at.step;
    r->at.bad = 0;
    return r->keep_best ? wn_train_save_best(r) : WN_OK;
}

/* ---- updates -------------------------------------------------------------------------------
 */

static wn_err log_update(wn_train_run *r, const struct update *u, double lr, double norm,
                         double seconds)
{
    wn_str *s = &r->line;
    wn_str_clear(s);
    wn_str_printf(s, "{\"step\":%llu,\"loss\":", (unsigned long long)r->at.step);
    wn_json_f64(s, u->sums.loss);
    wn_str_puts(s, ",\"lr\":");
    wn_json_f64(s, lr);
    wn_str_puts(s, ",\"grad_norm\":");
    wn_json_f64(s, norm);
    wn_str_printf(s, ",\"tokens_per_sec\":%.1f}\n", (double)u->sums.tokens / (seconds + 1e-9));
    WN_TRY(look(r));
    WN_TRY(wn_str_check(s));
    return wn_rank() == 0 ? wn_append_write(&r->log, s->p, s->len) : WN_OK;
}

static wn_err one_update(wn_train_run *r)
{
    const wn_train_opts *o = r->o;
    double start = wn_seconds();
    double most = EXPLODED * log((double)wn_model_facts_of(r->model)->vocab);
    struct update u = next_update(r);
    WN_TRY(run_update(r, &u));
    double norm = wn_grad_norm(r->params),
           lr = r->lr * wn_schedule_factor(&r->schedule, r->at.step);
    if (!(u.sums.loss <= most) || !isfinite(norm))
        return wn_ranks_agree(diverged(r, &u, norm, most));
    double scale = o->clip_norm > 0 ? fmin(1, o->clip_norm / (norm + 1e-6)) : 1;
    wn_optim_step(&r->optim, r->params, lr, scale, o->clip_value);
    wn_train_refresh(r);
    r->at.step++;
    r->at.at += u.n;
    r->at.tokens += u.sums.tokens;
    r->at.loss = u.sums.loss;
    if (r->at.at == r->order.n) {
        r->at.at = 0;
        r->at.epoch++;
    }
    return log_update(r, &u, lr, norm, wn_seconds() - start);
}

static bool gave_up(const wn_train_run *r)
{
    return r->o->patience && r->at.bad >= r->o->patience;
}

wn_err wn_train_loop(wn_train_run *r)
{
    double start = wn_seconds(), saved = start;
    uint64_t tokens0 = r->at.tokens, every = r->o->save_every ? r->o->save_every : SAVE_EVERY;
    while (r->at.step < r->steps && !gave_up(r)) {
        char note[96];
        WN_TRY(one_update(r));
        double now = wn_seconds();
        if (r->at.step < r->steps && (r->at.step % every == 0 || now - saved > CHECKPOINT_SEC)) {
            WN_TRY(wn_train_save(r));
            saved = now;
        }
        snprintf(note, sizeof note, "loss %.4f, %.0f tokens/s", r->at.loss,
                 (double)(r->at.tokens - tokens0) / (now - start + 1e-9));
        wn_err e = wn_progress("train", "updates", r->at.step, r->steps, note);
        if (e) {
            wn_err saving = wn_train_save(r);
            return saving ? saving : e;
        }
    }
    if (gave_up(r))
        wn_message("train: stopped behind update %llu: the evaluation has not been better since "
                   "update %llu",
                   (unsigned long long)r->at.step, (unsigned long long)r->at.best_step);
    return WN_OK;
}
