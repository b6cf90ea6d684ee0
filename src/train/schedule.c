#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "train/train.h"

static wn_err parse_warmup(uint64_t *warmup, const char *text, uint64_t steps)
{
    char *end;
    if (!text) {
        *warmup = 0;
        return WN_OK;
    }
    double v = strtod(text, &end);
    bool share = *end == '%';
    if (end == text || (share ? end[1] : *end) || !(v >= 0) || (share && v > 100) ||
        (!share && v != floor(v)))
        return wn_fail(WN_EARG,
                       "warmup \"%s\": expected a number of updates, or a share such as 6%%", text);
    *warmup = share ? (uint64_t)ceil(v / 100 * (double)steps) : (uint64_t)v;
    return WN_OK;
}

wn_err wn_schedule_parse(wn_schedule *s, const char *kind, const char *warmup, uint64_t steps)
{
    static const char *const names[] = {"constant", "linear", "cosine", "slanted"};
    *s = (wn_schedule){.steps = steps, .cut = 0.1, .ratio = 32};
    WN_TRY(parse_warmup(&s->warmup, warmup, steps));
    for (int i = 0; i < 4; i++)
        if (strcmp(kind, names[i]) == 0) {
            s->kind = (wn_schedule_kind)i;
            if (s->kind == WN_SCHEDULE_SLANTED && s->warmup)
                return wn_fail(
                    WN_EARG,
                    "warmup: the slanted schedule has its own (the first tenth of the updates)");
            return WN_OK;
        }
    return wn_fail(WN_EARG, "schedule \"%s\": expected constant, linear, cosine or slanted", kind);
}

double wn_schedule_factor(const wn_schedule *s, uint64_t t)
{
    double n = (double)s->steps, at = (double)t, w = (double)s->warmup;
    if (s->kind == WN_SCHEDULE_SLANTED) {
        double cut = floor(s->cut * n);
        double p = at < cut ? at / cut : n > cut ? 1 - (at - cut) / (n - cut) : 0;
        return (1 + p * (s->ratio - 1)) / s->ratio;
    }
    if (t < s->warmup)
        return at / fmax(1, w);
    double left = fmax(0, n - at) / fmax(1, n - w);
    switch (s->kind) {
    case WN_SCHEDULE_LINEAR:
        return left;
    case WN_SCHEDULE_COSINE:
        return fmax(0, 0.5 * (1 + cos(3.141592653589793 * (at - w) / fmax(1, n - w))));
    default:
        return 1;
    }
}

void wn_epoch_order(uint64_t *order, uint64_t n, uint64_t seed, uint64_t epoch, int shuffle)
{
    for (uint64_t i = 0; i < n; i++)
        order[i] = i;
    if (shuffle)
        wn_rng_shuffle(&(wn_rng){.seed = seed, .stream = (uint64_t)WN_STREAM_SHUFFLE | epoch << 8},
                       order, (size_t)n);
}
