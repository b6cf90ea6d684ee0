/* The table of strategies: adding one is a file with its function and a row here. */
#include <string.h>

#include "select/select.h"

#define NAMES "deft, gradex-fs, gradex-re, less, dsir, bm25, random, balanced-random"

static const wn_strategy table[] = {
    /* name, feature, fills, seeded, steps, pick, pick_all */
    {"deft", WN_FEATURE_VECTORS, false, false, false, wn_pick_deft, wn_pick_deft_all},
    {"gradex-fs", WN_FEATURE_GRADIENTS, false, true, false, wn_pick_gradex_fs, NULL},
    {"gradex-re", WN_FEATURE_GRADIENTS, false, true, false, wn_pick_gradex_re, NULL},
    {"less", WN_FEATURE_GRADIENTS, true, false, true, wn_pick_less, NULL},
    {"dsir", WN_FEATURE_TEXT, true, true, false, wn_pick_dsir, NULL},
    {"bm25", WN_FEATURE_TEXT, false, false, false, wn_pick_bm25, NULL},
    {"random", WN_FEATURE_NONE, true, true, false, wn_pick_random, NULL},
    {"balanced-random", WN_FEATURE_NONE, true, true, false, wn_pick_balanced, NULL},
    {"all", WN_FEATURE_NONE, false, false, false, wn_pick_all, NULL},
};

wn_err wn_strategy_find(const wn_strategy **s, const char *name)
{
    if (!name)
        return wn_fail(WN_EUSE, "select: --strategy is required: " NAMES ", all");
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (strcmp(table[i].name, name) == 0) {
            *s = &table[i];
            return WN_OK;
        }
    }
    return wn_fail(WN_EARG, "--strategy: expected " NAMES " or all, found %s", name);
}
