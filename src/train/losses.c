#include "train/losses.h"

#include <math.h>

#define UNLIKELY_EPS 0.01

/* Means of a row's texts; returns log of the sum of exp(-mean). */
static double sum_exp(const float *nll, const uint32_t *off, uint32_t s0, uint32_t s1)
{
    double least = INFINITY, sum = 0;
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t s = s0; s < s1; s++) {
            double mean = 0;
            for (uint32_t p = off[s]; p < off[s + 1]; p++)
                mean += (double)nll[p];
            mean /= off[s + 1] - off[s];
            if (pass)
                sum += exp(least - mean);
            else
                least = fmin(least, mean);
        }
    return log(sum) - least;
}

/* One text's positions. share: of LN, the derivative by the text's mean. */
static void weigh_text(wn_t_few *t, float *weight, const float *nll, size_t n, bool gold, double lm,
                       double ul, double share)
{
    for (size_t p = 0; p < n; p++) {
        double w = share / (double)n, x = (double)nll[p];
        if (gold) {
            w += lm;
            t->loss += lm * x;
        } else {
            double likely = exp(-x), rest = 1 - likely + UNLIKELY_EPS;
            w -= ul * likely / rest;
            t->loss -= ul * log(rest);
        }
        weight[p] = (float)w;
    }
}

static double mean_of(const float *nll, size_t n)
{
    double sum = 0;
    for (size_t p = 0; p < n; p++)
        sum += (double)nll[p];
    return sum / (double)n;
}

void wn_t_few_weigh(void *ctx, float *weight, const float *nll, const uint32_t *off, size_t B)
{
    (void)B;
    wn_t_few *t = ctx;
    const wn_data_batch *b = t->batch;
    for (size_t r = 0; r < b->rows; r++) {
        const wn_data_row *row = &t->data->row[b->row[r]];
        uint32_t s0 = b->first[r], s1 = s0 + row->texts;
        double lse = sum_exp(nll, off, s0, s1);
        double gold = row->size.gold, wrong = row->size.labels - row->size.gold;
        double lm = 1 / (t->gold > 0 ? t->gold : gold * t->examples);
        double ul = 1 / (t->wrong > 0 ? t->wrong : wrong * t->examples);
        for (uint32_t s = s0; s < s1; s++) {
            size_t n = off[s + 1] - off[s];
            bool is_gold = s - s0 == row->answer;
            double mean = mean_of(nll + off[s], n), q = exp(-mean - lse);
            if (is_gold)
                t->loss += (mean + lse) / t->examples;
            weigh_text(t, weight + off[s], nll + off[s], n, is_gold, lm, ul,
                       ((is_gold ? 1 : 0) - q) / t->examples);
        }
    }
}
