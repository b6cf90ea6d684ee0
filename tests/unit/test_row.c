/* One line to a row: every field, every reason to refuse it, and what a row without id and task
 * looks like in the pool. */
#include "unit/test_pool_files.h"

#include "pool/rowread.h"

static wn_row row;

static void done(void)
{
    wn_row_free(&row);
    cr_expect_eq(wn_mem_live(), 0);
}

TestSuite(row, .fini = done);

static wn_err parse(const char *line)
{
    return wn_row_parse(&row, line, strlen(line), "rows.jsonl:7", "rows");
}

Test(row, reads_every_field)
{
    cr_assert_eq(parse(" {\"id\":\"a\\u00e9\",\"task\":\"t\",\"prompt\":\"p\\n\\\"q\",\"target\":"
                       "\"yes\",\"choices\":[\"no\",\"yes\"],\"references\":[\"yes\",\"yep\"],"
                       "\"source\":\"s\",\"category\":\"c\",\"x\":1} \r"),
                 WN_OK, "%s", wn_error_message());
    expect_span(row.id, "a\xc3\xa9");
    expect_span(row.task, "t");
    expect_span(row.prompt, "p\n\"q");
    expect_span(row.target, "yes");
    expect_span(row.source, "s");
    expect_span(row.category, "c");
    cr_assert_eq(row.n_choices, 2);
    expect_span(row.choices[0], "no");
    cr_assert_eq(row.n_references, 2);
    expect_span(row.references[1], "yep");
    cr_expect(row.has_target);
    cr_expect_eq(wn_row_answer(&row), 1);
    cr_expect_eq(row.raw.p[0], '{');
    cr_expect_eq(row.raw.p[row.raw.len - 1], '}');
}

Test(row, id_and_task_have_defaults)
{
    cr_assert_eq(parse("{\"prompt\":\"p\",\"id\":null}"), WN_OK);
    expect_span(row.id, "rows.jsonl:7");
    expect_span(row.task, "rows");
    cr_expect_not(row.has_target);
    cr_expect_eq(wn_row_answer(&row), -1);
}

Test(row, a_number_is_an_id_as_it_is_written)
{
    cr_assert_eq(parse("{\"prompt\":\"p\",\"id\":1.50}"), WN_OK);
    expect_span(row.id, "1.50");
    cr_assert_eq(parse("{\"prompt\":\"p\",\"id\":123456789012345678901234567890}"), WN_OK);
    expect_span(row.id, "123456789012345678901234567890");
}

Test(row, an_empty_target_is_a_target)
{
    cr_assert_eq(parse("{\"prompt\":\"p\",\"target\":\"\"}"), WN_OK);
    cr_expect(row.has_target);
    cr_expect_eq(row.target.len, 0);
}

Test(row, a_query_may_have_choices_and_no_target)
{
    cr_assert_eq(parse("{\"prompt\":\"p\",\"choices\":[\"a\",\"b\"]}"), WN_OK);
    cr_expect_eq(row.n_choices, 2);
}

Test(row, a_struct_is_used_again_and_again)
{
    cr_assert_eq(parse("{\"prompt\":\"p\",\"target\":\"a\",\"choices\":[\"a\",\"b\",\"c\"]}"),
                 WN_OK);
    cr_assert_eq(parse("{\"prompt\":\"q\"}"), WN_OK);
    cr_expect_eq(row.n_choices, 0);
    expect_span(row.prompt, "q");
    expect_error(parse("{"), "bad JSON");
    cr_assert_eq(parse("{\"prompt\":\"r\"}"), WN_OK);
    expect_span(row.prompt, "r");
}

Test(row, every_fault_has_its_reason)
{
    static const struct {
        wn_reject why;
        const char *line, *message;
    } bad[] = {
        {WN_REJECT_UTF8, "{\"prompt\":\"\xff\",\"target\":\"t\"}", "f:3: invalid UTF-8"},
        {WN_REJECT_UTF8, "{\"prompt\":\"\xed\xa0\x80\",\"target\":\"t\"}", "invalid UTF-8"},
        {WN_REJECT_UTF8, "{\"prompt\":\"\xc3", "invalid UTF-8"},
        {WN_REJECT_JSON, "{\"prompt\":\"p\",}", "f:3: bad JSON"},
        {WN_REJECT_JSON, "{\"prompt\":\"p\"} x", "f:3: bad JSON"},
        {WN_REJECT_JSON, "{\"prompt\":\"p\",\"prompt\":\"q\"}", "duplicate"},
        {WN_REJECT_OBJECT, "[1]", "f:3: not an object"},
        {WN_REJECT_ID, "{\"id\":[],\"prompt\":\"p\"}", "bad id"},
        {WN_REJECT_ID, "{\"id\":\"\",\"prompt\":\"p\"}", "bad id"},
        {WN_REJECT_ID, "{\"id\":\"a\\nb\",\"prompt\":\"p\"}", "line break"},
        {WN_REJECT_TASK, "{\"id\":\"x\",\"task\":5,\"prompt\":\"p\"}", "row \"x\": bad task"},
        {WN_REJECT_NO_PROMPT, "{\"id\":\"x\"}", "f:3: row \"x\": no prompt"},
        {WN_REJECT_NO_PROMPT, "{\"id\":\"x\",\"prompt\":null}", "no prompt"},
        {WN_REJECT_PROMPT, "{\"prompt\":3}", "prompt is not a string"},
        {WN_REJECT_EMPTY_PROMPT, "{\"prompt\":\" \\n\"}", "empty prompt"},
        {WN_REJECT_NO_TARGET, "{\"id\":4,\"prompt\":\"p\"}", "row \"4\": no target"},
        {WN_REJECT_TARGET, "{\"prompt\":\"p\",\"target\":1}", "target is not a string"},
        {WN_REJECT_CHOICES, "{\"prompt\":\"p\",\"target\":\"a\",\"choices\":\"a\"}", "choices"},
        {WN_REJECT_CHOICES, "{\"prompt\":\"p\",\"target\":\"a\",\"choices\":[\"a\",1]}", "choices"},
        {WN_REJECT_UNANSWERED,
         "{\"id\":\"z\",\"prompt\":\"p\",\"target\":\"a\",\"choices\":[\"b\"]}",
         "f:3: row \"z\": target is not among the choices"},
        {WN_REJECT_REFERENCES, "{\"prompt\":\"p\",\"target\":\"a\",\"references\":[1]}",
         "references"},
    };
    wn_place at = {"f", "f", 3};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        wn_reject why;
        bool complete;
        cr_expect_eq(
            wn_row_read(&row, &why, &complete, bad[i].line, strlen(bad[i].line), &at, "t", true),
            WN_EFORMAT, "%s", bad[i].line);
        cr_expect_eq(why, bad[i].why, "%s: %s", bad[i].line, wn_reject_text(why));
        cr_expect(strstr(wn_error_message(), bad[i].message), "%s: %s", bad[i].line,
                  wn_error_message());
    }
}

Test(row, written_with_id_and_task_and_all_else_byte_by_byte)
{
    static const char line[] =
        "{\"prompt\" : \"p\\u0041\", \"n\":1.50, \"task\":null,\"o\":{\"a\": [1,  2]}}";
    wn_reject why;
    bool complete;
    wn_place at = {"dir/f.jsonl", "f.jsonl", 3};
    cr_assert_eq(wn_row_read(&row, &why, &complete, line, strlen(line), &at, "f", false), WN_OK);
    cr_expect_not(complete);
    wn_str s = {0};
    wn_row_write(&s, &row, complete);
    cr_expect_str_eq(s.p, "{\"id\": \"f.jsonl:3\", \"task\": \"f\", \"prompt\": \"p\\u0041\", "
                          "\"n\": 1.50, \"o\": {\"a\": [1,  2]}}");
    wn_str_free(&s);
}
