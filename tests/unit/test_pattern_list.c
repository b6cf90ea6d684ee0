#include <criterion/criterion.h>
#include <string.h>

#include "base/pattern_list.h"

static bool fits(const char *text, const char *name, bool inside)
{
    wn_pattern_list l;
    cr_assert_eq(wn_patterns_open(&l, "targets", text, inside), WN_OK, "%s", wn_error_text());
    bool is = wn_patterns_match(&l, name);
    cr_expect_eq(wn_patterns_unused(&l) == NULL, is && !strchr(text, ','));
    wn_patterns_close(&l);
    return is;
}

#define Q "model.layers.10.self_attn.q_proj"

Test(pattern_list, ends_behind_a_dot)
{
    cr_expect(fits("q_proj", Q, false));
    cr_expect(fits("self_attn.q_proj", Q, false));
    cr_expect(fits(Q, Q, false));
    cr_expect(!fits("proj", Q, false));
    cr_expect(!fits("self_attn", Q, false));
    cr_expect(!fits("layers.1", Q, true));
    cr_expect(fits("layers.10", Q, true));
    cr_expect(fits("self_attn", Q, true));
    cr_expect(fits("k_proj,q_proj", Q, false));
}

Test(pattern_list, wildcards)
{
    cr_expect(fits("?_proj", Q, false));
    cr_expect(fits("layers.1*.q_proj", Q, false));
    cr_expect(!fits("layers.2*", Q, false));
    cr_expect(fits("[kq]_proj", Q, false));
}

Test(pattern_list, expressions_fit_the_whole_name)
{
    cr_expect(fits("re:.*\\.(q|v)_proj", Q, false));
    cr_expect(!fits("re:q_proj", Q, false));
    cr_expect(fits("re:model[.]layers[.][0-9]{2}[.].*", Q, false));
}

Test(pattern_list, what_is_refused)
{
    static const char *const bad[] = {"", "a,", ",a", "a,,b", "re:(", "re:"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        wn_pattern_list l;
        cr_expect_eq(wn_patterns_open(&l, "targets", bad[i], false), WN_EUSE, "%s", bad[i]);
    }
}
