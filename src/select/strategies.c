/* The table of strategies: adding one is a file with its function and a row here. */
#include <string.h>

#include "select/select.h"

static const wn_strategy table[] = {
    /* name              feature              fills   pick */
    {"deft", WN_FEATURE_VECTORS, false, wn_pick_deft},
    {"random", WN_FEATURE_NONE, true, wn_pick_random},
    {"balanced-random", WN_FEATURE_NONE, true, wn_pick_balanced},
    {"all", WN_FEATURE_NONE, false, wn_pick_all},
};

wn_err wn_strategy_find(const wn_strategy **s, const char *name)
{
    if (!name)
        return wn_fail(WN_EARG,
                       "select: --strategy is required: deft, random, balanced-random, all");
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (strcmp(table[i].name, name) == 0) {
            *s = &table[i];
            return WN_OK;
        }
    }
    return wn_fail(WN_EARG, "--strategy: expected deft, random, balanced-random or all, found %s",
                   name);
}
