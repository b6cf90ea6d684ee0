/* Adafactor (Shazeer & Stern 2018, arXiv 1804.04235, algorithm 4), every detail as transformers'
 * Adafactor has it: eps is added to the squares, beta2 of update t is 1 - t^-0.8, a matrix's second
 * moment is kept as the means of its rows and columns, the update's root mean square is cut to a
 * threshold, the step is scaled by the parameter's root mean square. A vector (also [n, 1]) keeps
 * its moment whole, which for one column is the same number. */
#include <math.h>

#include "base/par.h"
#include "kernel/kernel.h"
#include "train/rules.h"

enum { STRIPE = 256 }; /* columns that one thread sums at a time */

struct job {
    const wn_rule *r;
    size_t rows, cols, per; /* per: rows of a piece */
    float b2, eps, step, b1, keep;
    float *rf, *cf; /* factors of the update: 1 / sqrt(row / mean), 1 / sqrt(col) */
};

static float grad_at(const struct job *j, size_t i)
{
    return wn_rule_grad(j->r, j->r->p->grad[i]);
}

static void row_mean(void *ctx, size_t i, int thread)
{
    (void)thread;
    const struct job *j = ctx;
    float *row = j->r->s->row;
    double sum = 0;
    for (size_t k = 0; k < j->cols; k++) {
        float g = grad_at(j, i * j->cols + k);
        sum += (double)(g * g + j->eps);
    }
    row[i] = j->b2 * row[i] + (1 - j->b2) * (float)(sum / (double)j->cols);
}

static void column_means(void *ctx, size_t i, int thread)
{
    (void)thread;
    const struct job *j = ctx;
    float *col = j->r->s->col;
    size_t k0 = i * STRIPE, n = j->cols - k0 < STRIPE ? j->cols - k0 : STRIPE;
    double sum[STRIPE] = {0};
    for (size_t row = 0; row < j->rows; row++)
        for (size_t k = 0; k < n; k++) {
            float g = grad_at(j, row * j->cols + k0 + k);
            sum[k] += (double)(g * g + j->eps);
        }
    for (size_t k = 0; k < n; k++)
        col[k0 + k] = j->b2 * col[k0 + k] + (1 - j->b2) * (float)(sum[k] / (double)j->rows);
}

/* Element i (in row `row`) of the update before clipping. */
static float raw_update(const struct job *j, size_t i, size_t row, size_t k)
{
    float g = grad_at(j, i);
    return j->rf ? g * (j->rf[row] * j->cf[k]) : g / sqrtf(j->r->s->v.f[i]);
}

/* Sum of squares of a piece's update; the vector's moment on the way. */
static void measure(void *ctx, size_t i, int thread)
{
    (void)thread;
    const struct job *j = ctx;
    size_t first = i * j->per, last = first + j->per < j->rows ? first + j->per : j->rows;
    double sum = 0;
    for (size_t row = first; row < last; row++)
        for (size_t k = 0; k < j->cols; k++) {
            size_t at = row * j->cols + k;
            if (!j->rf) {
                float g = grad_at(j, at), *v = &j->r->s->v.f[at];
                *v = j->b2 * *v + (1 - j->b2) * (g * g + j->eps);
            }
            float u = raw_update(j, at, row, k);
            sum += (double)u * u;
        }
    j->r->o->part[i] = sum;
}

static void apply(void *ctx, size_t i, int thread)
{
    (void)thread;
    const struct job *j = ctx;
    size_t first = i * j->per, last = first + j->per < j->rows ? first + j->per : j->rows;
    float *w = j->r->p->value, *m = j->r->s->m.f;
    for (size_t row = first; row < last; row++)
        for (size_t k = 0; k < j->cols; k++) {
            size_t at = row * j->cols + k;
            float u = raw_update(j, at, row, k) * j->step;
            if (m)
                u = m[at] = j->b1 * m[at] + (1 - j->b1) * u;
            w[at] = w[at] * j->keep - u;
        }
}

static void factors(struct job *j)
{
    wn_optim_state *s = j->r->s;
    wn_par_do(j->rows, row_mean, j);
    wn_par_do((j->cols + STRIPE - 1) / STRIPE, column_means, j);
    double mean = 0;
    for (size_t i = 0; i < j->rows; i++)
        mean += (double)s->row[i];
    mean /= (double)j->rows;
    j->rf = j->r->o->factor;
    j->cf = j->rf + j->rows;
    for (size_t i = 0; i < j->rows; i++)
        j->rf[i] = 1 / sqrtf(s->row[i] / (float)mean);
    for (size_t k = 0; k < j->cols; k++)
        j->cf[k] = 1 / sqrtf(s->col[k]);
}

static double step_size(const wn_rule *r, size_t n)
{
    const wn_optim_opts *o = &r->o->o;
    double t = (double)r->o->t, step = (double)r->lr;
    if (o->relative_step)
        step *= fmin(o->warmup_init ? 1e-6 * t : 1e-2, 1 / sqrt(t));
    if (!o->plain_scale)
        step *= fmax(1e-3, sqrt(wn_sum_squares(r->p->value, n) / (double)n));
    return step;
}

void wn_rule_adafactor(const wn_rule *r)
{
    const wn_optim_opts *o = &r->o->o;
    bool factored = wn_factored(r->p);
    size_t n = r->p->rows * r->p->cols;
    struct job j = {.r = r,
                    .rows = factored ? r->p->rows : n,
                    .cols = factored ? r->p->cols : 1,
                    .b2 = (float)(1 - pow((double)r->o->t, -o->decay_rate)),
                    .eps = (float)o->eps,
                    .b1 = (float)o->beta1};
    double step = step_size(r, n), sum = 0;
    if (factored)
        factors(&j);
    j.per = 1 + WN_RULE_PIECE / j.cols;
    size_t pieces = (j.rows + j.per - 1) / j.per;
    wn_par_do(pieces, measure, &j);
    for (size_t i = 0; i < pieces; i++)
        sum += r->o->part[i];
    j.step = (float)(step / fmax(1, sqrt(sum / (double)n) / o->clip_threshold));
    j.keep = (float)(1 - (double)r->decay * step);
    wn_par_do(pieces, apply, &j);
}
