/* Duplicates: exact ones by bytes, near ones by runs of words; the first stays. */
#include "unit/test_pool_files.h"

#include "base/par.h"
#include "base/rng.h"
#include "base/sets.h"
#include "pool/near.h"
#include "pool/runs.h"
#include "pool/seen.h"

TestSuite(dedup, .init = scratch_open, .fini = scratch_close);

static const char doubles[] = "{\"id\":\"a\",\"prompt\":\"p\",\"target\":\"t\"}\n"
                              "{\"id\":\"b\",\"prompt\":\"p\",\"target\":\"u\"}\n"
                              "{\"id\":\"c\",\"target\":\"t\",\"prompt\":\"\\u0070\"}\n"
                              "{\"id\":\"d\",\"prompt\":\"pt\",\"target\":\"\"}\n"
                              "{\"id\":\"e\",\"prompt\":\"p \",\"target\":\"t\"}\n";

Test(dedup, exact_is_the_same_prompt_and_target)
{
    put("d.jsonl", doubles);
    must_build(in("P"), in("d.jsonl"), NULL, NULL);
    wn_pool *p;
    cr_assert_eq(wn_pool_open(&p, in("P"), NULL, true), WN_OK);
    cr_expect_eq(wn_pool_rows(p), 4);
    cr_expect_neq(wn_pool_find(p, "a", 1), UINT64_MAX);
    cr_expect_eq(wn_pool_find(p, "c", 1), UINT64_MAX);
    wn_pool_close(p);
    json_t *j = info_of(in("P"), NULL);
    cr_expect_eq(number_of(j, "duplicates"), 1);
    json_decref(j);
}

Test(dedup, none_keeps_and_counts)
{
    put("d.jsonl", doubles);
    must_build(in("P"), in("d.jsonl"), NULL, "none");
    json_t *j = info_of(in("P"), NULL);
    cr_expect_eq(number_of(j, "rows"), 5);
    cr_expect_eq(number_of(j, "duplicates"), 1);
    json_decref(j);
    j = info_of(in("d.jsonl"), NULL);
    cr_expect_eq(number_of(j, "rows"), 5);
    cr_expect_eq(number_of(j, "duplicates"), 1);
    json_decref(j);
    expect_error(build(in("Q"), in("d.jsonl"), NULL, "fuzzy"), "expected exact, near or none");
}

/* Words word0 .. word<n-1>, with one of them changed. */
static void add_text(wn_str *s, const char *id, int n, int changed, const char *target)
{
    wn_str_printf(s, "{\"id\":\"%s\",\"target\":\"%s\",\"prompt\":\"", id, target);
    for (int i = 0; i < n; i++)
        wn_str_printf(s, "%s%d ", i == changed ? "other" : "word", i);
    wn_str_puts(s, "\"}\n");
}

Test(dedup, near_is_a_jaccard_similarity_of_four_fifths)
{
    wn_str s = {0};
    add_text(&s, "first", 100, -1, "yes");
    add_text(&s, "changed", 100, 50, "yes"); /* 91 of 101 runs in common: 0.90 */
    add_text(&s, "answer", 100, 50, "no");   /* another target */
    add_text(&s, "shorter", 60, 30, "yes");  /* 51 of 101 runs */
    add_text(&s, "longer", 115, -1, "yes");  /* 96 of 111 runs: 0.86 */
    add_text(&s, "toolong", 126, -1, "yes"); /* 96 of 122 runs: 0.79 */
    put("n.jsonl", s.p);
    wn_str_free(&s);
    must_build(in("P"), in("n.jsonl"), NULL, "near");
    wn_pool *p;
    cr_assert_eq(wn_pool_open(&p, in("P"), NULL, true), WN_OK, "%s", wn_error_message());
    static const char *const stay[] = {"first", "answer", "shorter", "toolong"};
    cr_assert_eq(wn_pool_rows(p), 4);
    for (uint64_t i = 0; i < 4; i++)
        cr_expect_eq(wn_pool_find(p, stay[i], strlen(stay[i])), i, "%s", stay[i]);
    wn_pool_close(p);
    json_t *j = info_of(in("P"), NULL);
    cr_expect_eq(number_of(j, "near_duplicates"), 2);
    json_decref(j);
    char *json;
    cr_assert_eq(wn_pool_check_job(in("P"), &json), WN_OK, "%s", wn_error_message());
    wn_free(json);
}

Test(dedup, what_the_rows_of_a_task_share_does_not_make_them_near)
{
    wn_str s = {0};
    for (int i = 0; i < 40; i++) {
        wn_str_puts(&s, "{\"target\":\"yes\",\"prompt\":\"");
        for (int k = 0; k < 100; k++)
            wn_str_printf(&s, "instruction%d ", k);
        wn_str_printf(&s, "input%d\"}\n", i);
    }
    put("t.jsonl", s.p);
    wn_str_free(&s);
    must_build(in("P"), in("t.jsonl"), NULL, "near");
    json_t *j = info_of(in("P"), NULL);
    cr_expect_eq(number_of(j, "rows"), 40);
    json_decref(j);
}

Test(dedup, near_rows_of_a_list_are_marked_in_its_order)
{
    wn_str s = {0};
    add_text(&s, "a", 100, 10, "yes");
    add_text(&s, "b", 100, 99, "yes");
    add_text(&s, "c", 50, 0, "yes");
    put("n.jsonl", s.p);
    wn_str_free(&s);
    wn_pool *p;
    cr_assert_eq(wn_pool_open(&p, in("n.jsonl"), NULL, true), WN_OK);
    uint8_t drop[3];
    uint64_t order[3] = {2, 1, 0};
    cr_assert_eq(wn_near_mark(drop, p, order, 3), WN_OK);
    cr_expect_eq(drop[0] + 2 * drop[1] + 4 * drop[2], 4);
    cr_assert_eq(wn_near_mark(drop, p, NULL, 3), WN_OK);
    cr_expect_eq(drop[0] + 2 * drop[1] + 4 * drop[2], 2);
    wn_pool_close(p);
}

Test(dedup, the_table_gives_every_number_of_a_hash_in_order)
{
    wn_seen t = {0};
    for (uint32_t i = 0; i < 5000; i++)
        cr_assert_eq(wn_seen_add(&t, (uint64_t)(i % 100) * 0x9e3779b97f4a7c15u, i), WN_OK);
    for (uint32_t h = 0; h < 100; h++) {
        size_t at = SIZE_MAX;
        uint32_t n, want = h;
        while ((n = wn_seen_next(&t, (uint64_t)h * 0x9e3779b97f4a7c15u, &at)) != WN_SEEN_NONE) {
            cr_assert_eq(n, want);
            want += 100;
        }
        cr_expect_eq(want, 5000 + h);
    }
    wn_seen_free(&t);
}

/* ---- groups ---- */

enum { TEXTS = 1200 };

/* Texts of 40 words, most of them an earlier text with some words changed, so that pairs of every
 * similarity are there. Targets: two. */
static wn_pool *many_texts(void)
{
    wn_pool *p;
    wn_str s = {0};
    static int word[TEXTS][40];
    for (int i = 0; i < TEXTS; i++) {
        uint64_t from = wn_rng_u64(3, 1, (uint64_t)i) % (uint64_t)(i + 1);
        uint64_t change = wn_rng_u64(3, 2, (uint64_t)i) % 4;
        bool fresh = i < 50 || i % 5 == 0;
        for (int k = 0; k < 40; k++)
            word[i][k] =
                fresh ? (int)(wn_rng_u64(3, 3, (uint64_t)(i * 40 + k)) % 100000) : word[from][k];
        for (uint64_t c = 0; c < change && !fresh; c++)
            word[i][wn_rng_u64(3, 4, (uint64_t)i * 8 + c) % 40] = -i - 1;
        wn_str_printf(&s, "{\"id\":\"t%d\",\"target\":\"%s\",\"task\":\"%d\",\"prompt\":\"", i,
                      i % 3 ? "yes" : " no", i % 400);
        for (int k = 0; k < 40; k++)
            wn_str_printf(&s, "w%d ", word[i][k]);
        wn_str_puts(&s, "\"}\n");
    }
    put("many.jsonl", s.p);
    wn_str_free(&s);
    cr_assert_eq(wn_pool_open(&p, in("many.jsonl"), NULL, true), WN_OK, "%s", wn_error_message());
    return p;
}

/* What is tied together is similar, by every pair one by one, and hardly any pair is missed. */
Test(dedup, groups_against_every_pair)
{
    static const double least[] = {0.3, 0.5, 0.7, 0.8, 0.9, 1};
    static wn_runs set[TEXTS];
    static uint64_t first[TEXTS];
    static double score[TEXTS];
    static int target[TEXTS];
    wn_pool *p = many_texts();
    wn_row row = {0};
    for (uint64_t i = 0; i < TEXTS; i++) {
        cr_assert_eq(wn_pool_row(p, i, &row), WN_OK);
        cr_assert_eq(wn_runs_of(&set[i], row.prompt), WN_OK);
        target[i] = wn_span_is(row.target, "yes");
    }
    for (size_t c = 0; c < 6; c++)
        for (int any = 0; any < 2; any++) {
            wn_sets want;
            uint64_t pairs = 0, missed = 0;
            cr_assert_eq(
                wn_near_groups(first, score, p, NULL, TEXTS, &(wn_near_rule){least[c], any != 0}),
                WN_OK, "%s", wn_error_message());
            cr_assert_eq(wn_sets_init(&want, TEXTS), WN_OK);
            for (uint32_t i = 0; i < TEXTS; i++)
                for (uint32_t j = i + 1; j < TEXTS; j++)
                    if ((any || target[i] == target[j]) &&
                        wn_runs_jaccard(&set[i], &set[j]) >= least[c]) {
                        wn_sets_join(&want, i, j);
                        pairs++;
                        missed += first[i] != first[j];
                    }
            cr_assert(pairs > 100, "%d pairs prove little", (int)pairs);
            cr_assert(100 * missed <= pairs, "%g: %d of %d pairs missed", least[c], (int)missed,
                      (int)pairs);
            for (uint32_t i = 0; i < TEXTS; i++) {
                cr_assert_eq(wn_sets_first(&want, i), wn_sets_first(&want, (uint32_t)first[i]),
                             "%g: row %u is not of the group of %u", least[c], i,
                             (unsigned)first[i]);
                cr_assert_leq(first[i], i);
                cr_assert_eq(score[i],
                             i == first[i] ? 1 : wn_runs_jaccard(&set[i], &set[first[i]]));
            }
            wn_sets_free(&want);
        }
    for (int i = 0; i < TEXTS; i++)
        wn_runs_free(&set[i]);
    wn_row_free(&row);
    wn_pool_close(p);
}

Test(dedup, groups_do_not_depend_on_threads)
{
    static uint64_t one[TEXTS], many[TEXTS], list[TEXTS];
    static double score[TEXTS];
    wn_pool *p = many_texts();
    for (uint64_t i = 0; i < TEXTS; i++)
        list[i] = TEXTS - 1 - i;
    for (int t = 1; t < 8; t += 2) {
        wn_par_set_threads(t);
        cr_assert_eq(wn_near_groups(t == 1 ? one : many, score, p, list, TEXTS, &(wn_near_rule){0}),
                     WN_OK);
        cr_assert(t == 1 || memcmp(one, many, sizeof one) == 0, "%d threads", t);
    }
    wn_par_set_threads(0);
    wn_near_rule bad = {0.2, false};
    cr_assert_eq(wn_near_groups(one, score, p, NULL, TEXTS, &bad), WN_EARG);
    wn_pool_close(p);
}
