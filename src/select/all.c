/* all: every row the constraints leave, the first ones of each task where there is a cap. */
#include "select/select.h"

wn_err wn_pick_all(wn_picks *out, const wn_candidates *c, const wn_select_opts *o)
{
    wn_filler f;
    wn_err err = wn_filler_init(&f, c, o);
    for (uint64_t i = 0; i < c->N && err == WN_OK; i++)
        if (!wn_bit(c->skip, i) && wn_filler_take(&f, i) == WN_FILL_TAKEN)
            err = wn_picks_add(out, (wn_pick){.row = i});
    wn_filler_free(&f);
    return err;
}
