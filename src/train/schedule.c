#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/train.h"

static const char *const names[] = {"constant", "linear", "cosine", "slanted"};

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
        return wn_fail(WN_EUSE,
                       "warmup \"%s\": expected a number of updates, or a share such as 6%%", text);
    *warmup = share ? (uint64_t)ceil(v / 100 * (double)steps) : (uint64_t)v;
    return WN_OK;
}

wn_err wn_schedule_parse(wn_schedule *s, const wn_schedule_opts *o, uint64_t steps)
{
    const char *kind = o->kind ? o->kind : "linear", *warmup = o->warmup;
    *s = (wn_schedule){
        .steps = steps, .cut = o->cut != 0 ? o->cut : 0.1, .ratio = o->ratio != 0 ? o->ratio : 32};
    if (!(s->cut > 0 && s->cut < 1) || !(s->ratio >= 1))
        return wn_fail(WN_EUSE, "slanted-cut, slanted-ratio: expected a share and 1 or more");
    if (strcmp(kind, "slanted") != 0 && (o->cut != 0 || o->ratio != 0))
        return wn_fail(WN_EUSE, "slanted-cut, slanted-ratio: schedule %s does not have them", kind);
    WN_TRY(parse_warmup(&s->warmup, warmup, steps));
    for (int i = 0; i < 4; i++)
        if (strcmp(kind, names[i]) == 0) {
            s->kind = (wn_schedule_kind)i;
            if (s->kind == WN_SCHEDULE_SLANTED && s->warmup)
                return wn_fail(
                    WN_EUSE,
                    "warmup: the slanted schedule has its own (the first tenth of the updates)");
            return WN_OK;
        }
    return wn_fail(WN_EARG, "schedule \"%s\": expected constant, linear, cosine or slanted", kind);
}

const char *wn_schedule_name(const wn_schedule *s)
{
    return names[s->kind];
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
