/* Rules that read an answer out of a text. */
#include <criterion/criterion.h>
#include <string.h>

#include "eval/extract.h"

static void reads(const char *const *rule, size_t n, const char *text, const char *want)
{
    wn_extract *p;
    wn_span out;
    bool found;
    cr_assert_eq(wn_extract_open(&p, rule, n), WN_OK, "%s", wn_error_message());
    cr_assert_eq(wn_extract_text(&out, &found, p, (wn_span){text, strlen(text)}), WN_OK);
    cr_expect_eq(found, want != NULL, "%s in \"%s\"", rule[0], text);
    if (want)
        cr_expect(out.len == strlen(want) && memcmp(out.p, want, out.len) == 0,
                  "%s in \"%s\": \"%.*s\", expected \"%s\"", rule[0], text, (int)out.len, out.p,
                  want);
    else
        cr_expect_eq(out.len, 0);
    wn_extract_close(p);
}

static void one(const char *rule, const char *text, const char *want)
{
    reads(&rule, 1, text, want);
}

Test(extract, no_rule_drops_blanks)
{
    const char *none = "";
    reads(&none, 0, " \n an answer\t", "an answer");
    reads(&none, 0, "", "");
}

Test(extract, yes_or_no)
{
    one("first-yes-no", "Well, Yes. No.", "Yes");
    one("first-yes-no", "know yesterday nope NO", "NO");
    one("first-yes-no", "no", "no");
    one("first-yes-no", "nö yes\xc3\xa9 maybe", NULL);
    one("first-yes-no", "", NULL);
}

Test(extract, letters)
{
    one("letter", "The answer is (B).", "B");
    one("letter", "A good guess is C, not D", "C");
    one("letter", "A", "A");
    one("letter", "A. because", "A");
    one("letter", "I think it's b) of course", "B");
    one("letter", "I'm sure: D", "D");
    one("letter",
        "B2 or 2C or caf\xc3\xa9"
        "D",
        NULL);
    one("letter", "a b c", NULL);
}

Test(extract, numbers)
{
    one("number", "12 apples and 1,234 pears", "1234");
    one("first-number", "12 apples and 1,234 pears", "12");
    one("number", "it costs $1,200.50.", "1200.5");
    one("number", "x = -3", "-3");
    one("number", "3-4", "4");
    one("number", "from 10 -7.250", "-7.25");
    one("number", "007", "7");
    one("number", "0.0", "0");
    one("number", ".5", "0.5");
    one("number", "1,23,456", "23456");
    one("first-number", "1,23,456", "1");
    one("number", "12,345,678", "12345678");
    one("number", "1234,567", "567");
    one("number", "v2 is a5 word", NULL);
    one("number", "none", NULL);
    one("number", "100", "100");
}

Test(extract, marks_lines_and_expressions)
{
    one("after:####", "so 2+2\n#### 4 \nQ: #### 5", "4");
    one("after:-->", "a --> b --> c", "b --> c");
    one("after:-->", "a -> b", NULL);
    one("line", "\n\n first \nsecond", "first");
    one("line", " \n", NULL);
    one("regex:\\d+", "ab 12 cd 34", "12");
    one("regex:answer is (\\w+)(\\.)?", "The answer is blue.", "blue");
    one("regex:x(y)?", "ax", "x");
    one("regex:z", "abc", NULL);
}

Test(extract, chains)
{
    const char *const gsm[] = {"after:####", "number"};
    reads(gsm, 2, "7 is\n#### $1,042.00 dollars", "1042");
    reads(gsm, 2, "7 is 8", NULL);
    reads(gsm, 2, "#### none", NULL);
    const char *const back[] = {"line", "letter", "line"};
    reads(back, 3, "It is C\nB", "C");
}

Test(extract, what_rules_say_of_themselves)
{
    wn_extract *p;
    const char *const rule[] = {"after:x", "letter", "line"};
    cr_assert_eq(wn_extract_open(&p, rule, 2), WN_OK);
    cr_expect(wn_extract_letters(p) && wn_extract_reads_answers(p));
    wn_extract_close(p);
    cr_assert_eq(wn_extract_open(&p, rule, 3), WN_OK);
    cr_expect_not(wn_extract_reads_answers(p));
    wn_extract_close(p);
    const char *const bad[] = {"letters", "after:", "regex:", "regex:(", "number:1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_expect_eq(wn_extract_open(&p, bad + i, 1) == WN_OK, false, "%s", bad[i]);
        cr_expect_null(p);
        cr_expect_not(strchr(wn_error_message(), '\n'));
    }
}
