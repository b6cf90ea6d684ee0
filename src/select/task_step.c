#include "select/task_step.h"

#include <math.h>

#include "base/mem.h"
#include "base/par.h"

struct steps {
    const wn_logit_data *rows, *aim;
    double *margin, *room; /* room [threads, d] */
};

/* g [d] += the step of group t's rows at the start: p times the row, p = 1 / (1 + exp(margin)). */
static void add_group(double *g, const wn_logit_data *r, uint32_t t)
{
    for (uint64_t i = r->start[t]; i < r->start[t + 1]; i++) {
        double p = 1 / (1 + exp(r->offset[i]));
        const float *x = r->x + r->at[i] * r->d;
        for (size_t k = 0; k < r->d; k++)
            g[k] += p * x[k];
    }
}

static void group_step(void *ctx, size_t t, int thread)
{
    const struct steps *s = ctx;
    const wn_logit_data *r = s->rows;
    double *g = s->room + (size_t)thread * r->d;
    for (size_t k = 0; k < r->d; k++)
        g[k] = 0;
    add_group(g, r, (uint32_t)t);
    for (uint64_t v = 0; v < s->aim->N; v++) {
        const float *x = s->aim->x + s->aim->at[v] * r->d;
        double sum = 0;
        for (size_t k = 0; k < r->d; k++)
            sum += g[k] * x[k];
        s->margin[t * s->aim->N + v] = sum;
    }
}

wn_err wn_task_steps(double **margin, const wn_logit_data *rows, const wn_logit_data *aim)
{
    struct steps s = {.rows = rows, .aim = aim};
    WN_NEW(*margin, rows->T * aim->N + 1);
    WN_NEW(s.room, (size_t)wn_par_threads() * rows->d);
    s.margin = *margin;
    wn_par_do(rows->T, group_step, &s);
    wn_free(s.room);
    return WN_OK;
}

wn_err wn_task_step_estimate(double *estimate, wn_logit_fact *fact, const double *margin,
                             const wn_logit_data *rows, const wn_logit_data *aim, double step,
                             const uint8_t *member, size_t M, const double *weight)
{
    for (size_t j = 0; j < M; j++) {
        const uint8_t *in = member + j * rows->T;
        double n = 0, total = 0, sum = 0;
        for (uint32_t t = 0; t < rows->T; t++)
            n += in[t] ? (double)(rows->start[t + 1] - rows->start[t]) : 0;
        for (uint64_t v = 0; v < aim->N; v++) {
            double m = 0, a = weight ? weight[v] : 1;
            for (uint32_t t = 0; t < rows->T; t++)
                m += in[t] ? margin[t * aim->N + v] : 0;
            m = aim->offset[v] + (n > 0 ? step * m / n : 0);
            sum += a * (log1p(exp(-fabs(m))) + (m < 0 ? -m : 0));
            total += a;
        }
        estimate[j] = sum / total;
        if (fact)
            fact[j] = (wn_logit_fact){.rows = n};
    }
    return WN_OK;
}

void wn_task_step_direction(double *w, const wn_logit_data *rows, double step,
                            const uint8_t *member)
{
    double n = 0;
    for (size_t k = 0; k < rows->d; k++)
        w[k] = 0;
    for (uint32_t t = 0; t < rows->T; t++) {
        n += member[t] ? (double)(rows->start[t + 1] - rows->start[t]) : 0;
        if (member[t])
            add_group(w, rows, t);
    }
    for (size_t k = 0; n > 0 && k < rows->d; k++)
        w[k] *= step / n;
}
