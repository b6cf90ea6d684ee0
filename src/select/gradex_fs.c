/* gradex-fs: groups chosen one by one by the estimate of what training on them would give.
 *   pass      the authors' forward selection: every group once, in order of name; kept if the
 *             estimate is no worse than the best so far (the first is always kept)
 *   forward   the group that lowers the estimate most, until none does
 *   backward  from all groups, without the one whose absence lowers it most, until none does */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/report.h"
#include "select/gradex.h"

struct search {
    wn_surrogate s;
    uint32_t T;
    uint8_t *now;     /* [T] the set so far */
    uint8_t *tries;   /* [T, T] */
    double *estimate; /* [T] of the tries */
    double *score;    /* [T] the estimate when the group came (backward: without it) */
    double best;
    uint64_t estimates;
    json_t *steps;
};

/* What a step changed, for the manifest. */
static void note(struct search *f, uint32_t t)
{
    json_array_append_new(
        f->steps, json_pack("{s:s, s:f}", "group", f->s.groups.name[t], "estimate", f->best));
}

static wn_err pass(struct search *f)
{
    f->best = INFINITY;
    for (uint32_t t = 0; t < f->T; t++) {
        f->now[t] = 1;
        WN_TRY(wn_surrogate_estimate(&f->score[t], NULL, NULL, &f->s, f->now, 1));
        f->estimates++;
        f->now[t] = f->score[t] <= f->best;
        if (f->now[t]) {
            f->best = f->score[t];
            note(f, t);
        }
        WN_TRY(wn_progress("gradex-fs", "groups", t + 1, f->T, NULL));
    }
    return WN_OK;
}

/* The best of all sets that differ from this one by one group of membership `from`. UINT32_MAX:
 * there is none. */
static wn_err best_step(uint32_t *group, struct search *f, uint8_t from)
{
    uint32_t n = 0;
    for (uint32_t t = 0; t < f->T; t++) {
        if (f->now[t] != from)
            continue;
        memcpy(f->tries + (size_t)n * f->T, f->now, f->T);
        f->tries[(size_t)n++ * f->T + t] = !from;
    }
    WN_TRY(wn_surrogate_estimate(f->estimate, NULL, NULL, &f->s, f->tries, n));
    f->estimates += n;
    *group = UINT32_MAX;
    double least = INFINITY;
    n = 0;
    for (uint32_t t = 0; t < f->T; t++) {
        if (f->now[t] != from)
            continue;
        f->score[t] = f->estimate[n];
        if (f->estimate[n++] < least) {
            least = f->score[t];
            *group = t;
        }
    }
    return WN_OK;
}

static wn_err greedy(struct search *f, bool backward)
{
    uint8_t from = backward;
    memset(f->now, from, f->T);
    f->best = f->s.begin;
    if (backward)
        WN_TRY(wn_surrogate_estimate(&f->best, NULL, NULL, &f->s, f->now, 1));
    for (uint32_t done = 0; done < f->T - backward; done++) {
        uint32_t t;
        WN_TRY(best_step(&t, f, from));
        bool better = f->score[t] < f->best;
        if (!better && (backward || done > 0))
            break;
        if (!better)
            wn_message("gradex-fs: no group is estimated to lower the target's loss (%.6g before "
                       "training); the least harmful one is chosen",
                       f->s.begin);
        f->now[t] = !from;
        f->best = f->score[t];
        note(f, t);
        WN_TRY(wn_progress("gradex-fs", "groups", done + 1, f->T, NULL));
        if (!better)
            break;
    }
    return WN_OK;
}

static wn_err search(struct search *f, const char *how)
{
    f->T = f->s.groups.T;
    WN_NEW(f->now, f->T);
    WN_NEW(f->tries, (size_t)f->T * f->T);
    WN_NEW(f->estimate, f->T);
    WN_NEW(f->score, f->T);
    f->steps = json_array();
    if (!how || strcmp(how, "pass") == 0)
        return pass(f);
    if (strcmp(how, "forward") == 0 || strcmp(how, "backward") == 0)
        return greedy(f, how[0] == 'b');
    return wn_fail(WN_EARG, "--search: expected pass, forward or backward, found %s", how);
}

wn_err wn_pick_gradex_fs(wn_picks *out, const wn_candidates *c, const wn_select_opts *o)
{
    struct search f = {0};
    wn_err err = wn_gradex_open(&f.s, c, o);
    if (err == WN_OK)
        err = search(&f, o->search);
    if (err == WN_OK) {
        json_t *about = wn_surrogate_about(&f.s, &o->how);
        json_object_set_new(about, "search", json_string(o->search ? o->search : "pass"));
        json_object_set_new(about, "estimates", json_integer((json_int_t)f.estimates));
        json_object_set_new(about, "estimate", json_real(f.best));
        json_object_set(about, "steps", f.steps);
        json_object_set_new(about, "table", wn_gradex_table(&f.s, f.now, f.score));
        err = wn_gradex_take(out, c, o, &f.s, f.now, f.score, about);
    }
    json_decref(f.steps);
    wn_free(f.now);
    wn_free(f.tries);
    wn_free(f.estimate);
    wn_free(f.score);
    wn_surrogate_close(&f.s);
    return err;
}
