/* The contamination veto: what counts as shared text and what does not. */
#include "base/par.h"
#include "io/json.h"
#include "select/contamination.h"
#include "select/wordlist.h"
#include "test_folder.h"

/* ---- words ---- */

static void expect_words(const char *text, const char *want)
{
    wn_wordlist w = {0};
    wn_str s = {0};
    cr_assert_eq(wn_wordlist_add(&w, (wn_span){text, strlen(text)}), WN_OK);
    for (size_t i = 0; i < w.n; i++)
        wn_str_printf(&s, "%.*s|", (int)w.word[i].len, w.text.p ? w.text.p + w.word[i].at : "");
    cr_assert_str_eq(s.p, want, "%s: %s, not %s", text, s.p, want);
    wn_str_free(&s);
    wn_wordlist_free(&w);
}

Test(words, are_lower_case_without_punctuation)
{
    expect_words("", "|");
    expect_words(" \t\n", "|");
    expect_words("Don't stop -- it's 3.5%!", "don|t|stop|it|s|3|5||");
    expect_words("ÄRGER Straße Ωμέγα", "ärger|straße|ωμέγα||");
    expect_words("\xe2\x80\x9cquoted\xe2\x80\x9d\xe2\x80\xa6",
                 "quoted||"); /* curly quotes, ellipsis */
    expect_words("我爱 you", "我|爱|you||");
    expect_words("bad\xff\xc3utf", "bad|utf||");
}

Test(words, a_window_is_the_hash_of_its_words)
{
    static const char text[] = "a b c d e f g h i j k l", other[] = "x y";
    wn_wordlist w = {0};
    cr_assert_eq(wn_wordlist_add(&w, (wn_span){text, strlen(text)}), WN_OK);
    cr_assert_eq(wn_wordlist_add(&w, (wn_span){other, 3}), WN_OK);
    for (size_t n = 1; n < 6; n++) {
        wn_window s = {0};
        uint64_t hash;
        size_t windows = 0;
        for (size_t i = 0; i < w.n; i++) {
            if (!wn_window_push(&s, &hash, &w, i, n))
                continue;
            windows++;
            cr_assert_eq(hash, wn_wordlist_hash(&w, i + 1 - n, n), "window %zu of %zu", i, n);
        }
        cr_assert_eq(windows, 13 - n + (n <= 2 ? 3 - n : 0), "none crosses the border");
    }
    wn_wordlist_free(&w);
}

/* ---- the veto ---- */

struct line {
    const char *id, *task, *prompt, *target;
};

static wn_pool *pool_of(const char *name, const struct line *l, size_t n)
{
    wn_str s = {0};
    char path[128];
    wn_pool *p;
    for (size_t i = 0; i < n; i++) {
        wn_str_printf(&s, "{\"id\": \"%s\", \"task\": \"%s\", \"prompt\": ", l[i].id, l[i].task);
        wn_json_cstring(&s, l[i].prompt);
        wn_str_puts(&s, ", \"target\": ");
        wn_json_cstring(&s, l[i].target);
        wn_str_puts(&s, "}\n");
    }
    snprintf(path, sizeof path, "%s/%s", dir, name);
    cr_assert_eq(wn_file_write(path, s.p, s.len), WN_OK);
    cr_assert_eq(wn_pool_open(&p, path, NULL, true), WN_OK, "%s", wn_error_text());
    wn_str_free(&s);
    return p;
}

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* "ID BY: WORDS" of each veto, a line each. */
static void expect_vetoes(const struct line *pool, size_t n_pool, const struct line *avoid,
                          size_t n_avoid, const char *want)
{
    wn_pool *p = pool_of("pool", pool, n_pool), *a = pool_of("avoid", avoid, n_avoid);
    uint64_t veto[8] = {0};
    wn_vetoes shown = {0};
    wn_compared compared;
    cr_assert_eq(wn_contamination(veto, &shown, &compared, p, &a, 1, 8), WN_OK, "%s",
                 wn_error_text());
    size_t n = shown.n;
    cr_assert_eq(compared.rows, n_avoid);
    wn_str s = {0};
    wn_str_puts(&s, "");
    size_t bits = 0;
    for (size_t i = 0; i < n_pool; i++)
        bits += wn_bit(veto, i);
    cr_assert_eq(bits, n);
    for (size_t i = 0; i < n; i++) {
        wn_str_printf(&s, "%s %s: %s\n", shown.v[i].id, shown.v[i].by + strlen("avoid: "),
                      shown.v[i].words ? shown.v[i].words : "similar");
    }
    wn_vetoes_free(&shown);
    cr_assert_str_eq(s.p ? s.p : "", want);
    wn_str_free(&s);
    wn_pool_close(p);
    wn_pool_close(a);
}

Test(contamination, a_shared_run_of_eight_words, .init = set_up, .fini = tear_down)
{
    static const struct line avoid[] = {
        {"q", "t", "Zebras graze quietly beside the muddy river every single evening.", "yes"}};
    static const struct line pool[] = {
        {"same", "a", "Note: zebras GRAZE quietly, beside the muddy river every evening", "x"},
        {"seven", "b", "zebras graze quietly beside the muddy lake every single evening", "x"},
        {"in-target", "c", "Go on:", "Graze quietly beside the muddy river every single day"},
        {"split", "d", "Zebras graze quietly beside", "the muddy river every single evening"}};
    expect_vetoes(pool, COUNT(pool), avoid, COUNT(avoid),
                  "same q: zebras graze quietly beside the muddy river every\n"
                  "in-target q: graze quietly beside the muddy river every single\n");
}

/* What all rows of the target task share is not shared text: only the slots are. */
#define ASK "Read the statement below carefully and answer with yes or no: "
Test(contamination, the_target_tasks_template_does_not_count, .init = set_up, .fini = tear_down)
{
    static const struct line avoid[] = {{"q0", "t", ASK "copper conducts heat very well", "yes"},
                                        {"q1", "t", ASK "whales are a kind of fish", "no"},
                                        {"q2", "t", ASK "seven times eight makes fifty six", "yes"},
                                        {"q3", "t", ASK "glass", "no"}};
    static const struct line pool[] = {
        {"template-only", "a", ASK "iron melts", "no"},
        {"slot", "b", "I know that whales are a kind of fish, surely", "no"},
        {"part", "c", "They are a kind of fish", "no"},
        {"whole", "d", ASK "Glass!", "no"},
        {"last-words", "e", "carefully and answer with yes or no: copper conducts", "no"}};
    expect_vetoes(pool, COUNT(pool), avoid, COUNT(avoid),
                  "slot q1: whales are a kind of fish\n"
                  "whole q3: read the statement below carefully and answer with yes or no glass\n");
}

/* Nor what the pool's own task shares; with two target rows nothing is known of their template. */
Test(contamination, the_pool_tasks_template_does_not_count, .init = set_up, .fini = tear_down)
{
    static const struct line avoid[] = {
        {"q0", "t", ASK "copper conducts heat very well indeed today", "yes"},
        {"q1", "t", ASK "whales are a kind of fish, they said", "no"}};
    static const struct line pool[] = {
        {"p0", "a", ASK "one", "no"},
        {"p1", "a", ASK "two", "no"},
        {"p2", "a", ASK "three", "no"},
        {"p3", "a", ASK "copper conducts heat very well indeed", "no"},
        {"p4", "b", ASK "four", "no"}};
    expect_vetoes(
        pool, COUNT(pool), avoid, COUNT(avoid),
        "p3 q0: carefully and answer with yes or no copper conducts heat very well indeed\n"
        "p4 q0: read the statement below carefully and answer with yes or no\n");
}

Test(contamination, nothing_shared_nothing_vetoed, .init = set_up, .fini = tear_down)
{
    static const struct line avoid[] = {
        {"q0", "t", "!", ""}, {"q1", "t", "yes", ""}, {"q2", "t", "?!", "no"}};
    static const struct line pool[] = {
        {"p0", "a", "no", "yes"}, {"p1", "a", "one two", ""}, {"p2", "a", "...", ""}};
    expect_vetoes(pool, COUNT(pool), avoid, COUNT(avoid), "");
}

Test(contamination, leaks_are_found_whatever_the_threads, .init = set_up, .fini = tear_down)
{
    enum { ROWS = 5000 };
    wn_str s = {0};
    char path[128];
    for (int i = 0; i < ROWS; i++)
        wn_str_printf(&s,
                      "{\"id\": \"p%d\", \"task\": \"t%d\", \"prompt\": \"w%d a%d b%d c%d d%d e%d "
                      "f%d g%d%s\", "
                      "\"target\": \"x\"}\n",
                      i, i % 9, i, i, i, i, i, i, i, i,
                      i % 97 == 5 ? " the leaked sentence has exactly nine words in it" : "");
    snprintf(path, sizeof path, "%s/pool", dir);
    cr_assert_eq(wn_file_write(path, s.p, s.len), WN_OK);
    wn_str_free(&s);
    static const struct line avoid[] = {
        {"q", "t", "The leaked sentence has exactly nine words in it.", ""}};
    wn_pool *p, *a = pool_of("avoid", avoid, 1);
    cr_assert_eq(wn_pool_open(&p, path, NULL, true), WN_OK);
    for (int t = 1; t <= 5; t += 2) {
        uint64_t veto[ROWS / 64 + 1] = {0};
        wn_vetoes shown = {0};
        wn_compared compared;
        wn_par_set_threads(t);
        cr_assert_eq(wn_contamination(veto, &shown, &compared, p, &a, 1, 8), WN_OK);
        for (uint64_t i = 0; i < ROWS; i++)
            cr_assert_eq(wn_bit(veto, i), i % 97 == 5, "row %d", (int)i);
        cr_assert_eq(shown.n, (ROWS - 5 + 96) / 97);
        for (size_t i = 0; i < shown.n; i++) {
            char id[16];
            snprintf(id, sizeof id, "p%zu", 97 * i + 5);
            cr_assert_str_eq(shown.v[i].id, id);
        }
        wn_vetoes_free(&shown);
    }
    wn_par_set_threads(0);
    wn_pool_close(p);
    wn_pool_close(a);
}

/* ---- kinds ---- */

/* "ID KIND" of each veto. */
static void expect_kinds(const struct line *pool, size_t n_pool, const struct line *avoid,
                         size_t n_avoid, size_t run, const char *want)
{
    wn_pool *p = pool_of("pool", pool, n_pool), *a = pool_of("avoid", avoid, n_avoid);
    uint64_t veto[8] = {0};
    wn_vetoes shown = {0};
    wn_compared compared;
    wn_str s = {0};
    cr_assert_eq(wn_contamination(veto, &shown, &compared, p, &a, 1, run), WN_OK, "%s",
                 wn_error_text());
    wn_str_puts(&s, "");
    for (size_t i = 0; i < shown.n; i++)
        wn_str_printf(&s, "%s %s\n", shown.v[i].id, wn_veto_kind_name(shown.v[i].kind));
    cr_assert_str_eq(s.p ? s.p : "", want);
    wn_vetoes_free(&shown);
    wn_str_free(&s);
    wn_pool_close(p);
    wn_pool_close(a);
}

#define TWELVE "one two three four five six seven eight nine ten eleven twelve"
Test(contamination, thirteen_words_unless_said_otherwise, .init = set_up, .fini = tear_down)
{
    static const struct line avoid[] = {{"q", "t", "Zero " TWELVE " thirteen fourteen", "yes"}};
    static const struct line pool[] = {{"twelve", "a", "Once " TWELVE " times", "x"},
                                       {"thirteen", "b", "Count: zero " TWELVE ".", "x"},
                                       {"target", "c", "Count!", TWELVE " thirteen"}};
    expect_kinds(pool, COUNT(pool), avoid, COUNT(avoid), 0, "thirteen words\ntarget words\n");
    expect_kinds(pool, COUNT(pool), avoid, COUNT(avoid), 12,
                 "twelve words\nthirteen words\ntarget words\n");
    expect_kinds(pool, COUNT(pool), avoid, COUNT(avoid), 14, "");
}

/* Short rows are compared as wholes; a prompt that is the template and nothing else only together
 * with its target. */
Test(contamination, rows_as_wholes, .init = set_up, .fini = tear_down)
{
    static const struct line avoid[] = {{"q0", "t", "Tell me a good joke", "knock knock"},
                                        {"q1", "t", "Tell me a good joke", "a horse walks"},
                                        {"q2", "t", "Tell me a good joke", "no"},
                                        {"q3", "u", "Paris", "France"}};
    static const struct line pool[] = {{"other", "a", "Tell me a good joke", "what is brown"},
                                       {"same", "b", "Tell me a good joke!", "Knock, knock."},
                                       {"part", "c", "Paris is", "France"},
                                       {"prompt", "d", "paris?", "Texas"}};
    expect_kinds(pool, COUNT(pool), avoid, COUNT(avoid), 0, "same exact\nprompt exact\n");
}

/* Exact rows count even where a pool's task holds nothing else, which no template can excuse. */
Test(contamination, copies_are_not_their_tasks_template, .init = set_up, .fini = tear_down)
{
    static const struct line avoid[] = {{"q", "t", "Why is the sky blue?", "light"}};
    static const struct line pool[] = {{"p0", "a", "Why is the sky blue?", "light"},
                                       {"p1", "a", "why is the sky blue", "air"},
                                       {"p2", "a", "Why, is the sky blue?", "dust"}};
    expect_kinds(pool, COUNT(pool), avoid, COUNT(avoid), 0, "p0 exact\np1 exact\np2 exact\n");
}

#define FORTY                                                                                      \
    "a1 a2 a3 a4 a5 a6 a7 a8 a9 b0 b1 b2 b3 b4 b5 b6 b7 b8 b9 c0 c1 c2 c3 c4 c5 c6 c7 c8 c9 d0 "   \
    "d1 d2 d3 d4 d5 d6 d7 d8 d9"
Test(contamination, similar_prompts, .init = set_up, .fini = tear_down)
{
    static const struct line avoid[] = {{"q", "t", FORTY " end", "yes"}};
    static const struct line pool[] = {{"near", "a", FORTY " stop", "no"},
                                       {"far", "b", "a1 a2 a3 a4 a5 a6 a7 a8 a9 b0 b1 b2 b3", ""}};
    expect_kinds(pool, COUNT(pool), avoid, COUNT(avoid), 64, "near near\n");
    expect_kinds(pool, COUNT(pool), avoid, COUNT(avoid), 20, "near words\n");
}

Test(contamination, nothing_to_compare_is_an_error, .init = set_up, .fini = tear_down)
{
    static const struct line avoid[] = {{"q0", "t", "!?", ""}, {"q1", "t", "...", "--"}};
    static const struct line pool[] = {{"p", "a", "one two", "x"}};
    wn_pool *p = pool_of("pool", pool, 1), *a = pool_of("avoid", avoid, 2);
    uint64_t veto[1] = {0};
    wn_vetoes shown = {0};
    wn_compared compared;
    cr_assert_eq(wn_contamination(veto, &shown, &compared, p, &a, 1, 0), WN_EARG);
    cr_assert(strstr(wn_error_text(), "avoid: none of its 2 rows has words to compare"), "%s",
              wn_error_text());
    cr_assert_eq(wn_contamination(veto, &shown, &compared, p, &a, 1, 65), WN_EARG);
    wn_pool_close(p);
    wn_pool_close(a);
}
