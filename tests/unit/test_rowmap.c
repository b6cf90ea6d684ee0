/* Every named shape, YAML maps, and what a map may not do. */
#include "unit/test_pool_files.h"

TestSuite(rowmap, .init = scratch_open, .fini = scratch_close);

/* The only row of a file read through a map. */
static void expect_row(const char *file, const char *map, const char *line)
{
    wn_pool *p;
    cr_assert_eq(wn_pool_open(&p, file, map, true), WN_OK, "%s", wn_error_message());
    cr_expect_eq(wn_pool_rows(p), 1);
    expect_span(wn_pool_raw(p, 0), line);
    wn_pool_close(p);
}

Test(rowmap, p3)
{
    put("p.jsonl", "{\"inputs\": [1, 2],\"inputs_pretokenized\":\"Is it?\\n\","
                   "\"targets_pretokenized\":\"\\n yes\",\"answer_choices\":[\"yes \",\"no\"],"
                   "\"task\":\"t0\"}");
    expect_row(in("p.jsonl"), "p3",
               "{\"id\": \"p.jsonl:1\", \"task\": \"t0\", \"prompt\": \"Is it?\\n\", \"target\": "
               "\"yes\", \"choices\": [\"yes\", \"no\"], \"inputs\": [1, 2]}");
    put("q.jsonl", "{\"inputs_pretokenized\":\"q\",\"targets_pretokenized\":\"a\","
                   "\"answer_choices\":null}");
    expect_row(in("q.jsonl"), "p3",
               "{\"id\": \"q.jsonl:1\", \"task\": \"q\", \"prompt\": \"q\", \"target\": \"a\"}");
}

Test(rowmap, alpaca_and_dolly)
{
    put("a.jsonl", "{\"instruction\":\"Add.\",\"input\":\"1, 2\",\"output\":\"3\",\"id\":7,"
                   "\"task\":\"x\"}");
    expect_row(in("a.jsonl"), "alpaca",
               "{\"prompt\": \"Add.\\n\\n1, 2\", \"target\": \"3\", \"id\": 7, \"task\": \"x\"}");
    put("b.jsonl", "{\"instruction\":\"Sing.\",\"input\":\"\",\"output\":\"La\","
                   "\"prompt\":\"gone\"}");
    expect_row(in("b.jsonl"), "alpaca",
               "{\"id\": \"b.jsonl:1\", \"task\": \"b\", "
               "\"prompt\": \"Sing.\", \"target\": \"La\"}");
    put("d.jsonl", "{\"instruction\":\"Who?\",\"context\":\"\",\"response\":\"I\","
                   "\"category\":\"open_qa\"}");
    expect_row(in("d.jsonl"), "dolly",
               "{\"id\": \"d.jsonl:1\", \"task\": \"d\", \"prompt\": \"Who?\", \"target\": \"I\", "
               "\"category\": \"open_qa\"}");
}

Test(rowmap, messages)
{
    put("m.jsonl", "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"},{\"role\":\"assistant\","
                   "\"content\":\"Hello\"}],\"n\":1}");
    expect_row(in("m.jsonl"), "messages",
               "{\"id\": \"m.jsonl:1\", \"task\": \"m\", \"prompt\": \"Hi\", \"target\": "
               "\"Hello\", \"n\": 1}");
    put("s.jsonl", "{\"id\":\"s1\",\"conversations\":[{\"from\":\"system\",\"value\":\"Be kind.\"},"
                   "{\"from\":\"human\",\"value\":\"Hi\"},{\"from\":\"gpt\",\"value\":\"Hello\"},"
                   "{\"from\":\"human\",\"value\":\"Bye\"},{\"from\":\"gpt\",\"value\":\"So "
                   "long\"},{\"from\":\"human\",\"value\":\"?\"}]}");
    expect_row(in("s.jsonl"), "messages",
               "{\"id\": \"s1\", \"task\": \"s\", \"prompt\": \"System: Be kind.\\n\\nUser: "
               "Hi\\n\\nAssistant: Hello\\n\\nUser: Bye\\n\\nAssistant:\", \"target\": \"So "
               "long\"}");
}

Test(rowmap, messages_without_an_answer_or_a_text)
{
    wn_pool *p;
    put("m.jsonl", "{\"messages\":[{\"role\":\"user\",\"content\":[]}]}");
    expect_error(wn_pool_open(&p, in("m.jsonl"), "messages", true),
                 "m.jsonl:1: not of the map's shape");
    put("n.jsonl", "{\"messages\":[]}");
    expect_error(wn_pool_open(&p, in("n.jsonl"), "messages", true), "no prompt");
    put("o.jsonl", "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}");
    expect_error(build(in("P"), in("o.jsonl"), "messages", NULL), "no target");
}

Test(rowmap, superni)
{
    put("task1_x.json",
        "{\n \"Definition\": [\" Say what it is \"],\n \"Source\": [\"mctaco\"],\n"
        " \"Categories\": [\"Question Answering\"],\n \"Instances\": [\n"
        "  {\"id\": \"task1-a\", \"input\": \"A bird.\", \"output\": [\"bird\", \"animal\"],\n"
        "   \"w\": [1,\n 2.5]},\n  {\"input\": \"a fish\", \"output\": [\"fish\"]}\n ]\n}\n");
    wn_pool *p;
    cr_assert_eq(wn_pool_open(&p, in("task1_x.json"), "superni", true), WN_OK, "%s",
                 wn_error_message());
    cr_assert_eq(wn_pool_rows(p), 2);
    wn_row r = {0};
    wn_pool_row(p, 0, &r);
    expect_span(r.id, "task1-a");
    expect_span(r.task, "task1_x");
    expect_span(r.prompt, "Definition: Say what it is.\n\nNow complete the following example -\n"
                          "Input: A bird.\nOutput: ");
    expect_span(r.target, "bird");
    cr_expect_eq(r.n_references, 2);
    expect_span(r.source, "mctaco");
    expect_span(r.category, "Question Answering");
    cr_expect(strstr(r.raw.p, "\"w\": [1, 2.5]"));
    wn_pool_row(p, 1, &r);
    expect_span(r.id, "task1_x.json:2");
    expect_span(r.prompt, "Definition: Say what it is.\n\nNow complete the following example -\n"
                          "Input: a fish.\nOutput: ");
    wn_row_free(&r);
    wn_pool_close(p);
}

/* The prompt that a task file of one instance becomes. */
static void expect_prompt(const char *definition, const char *input, const char *map,
                          const char *prompt)
{
    wn_str text = {0};
    wn_pool *p;
    wn_row r = {0};
    wn_str_puts(&text, "{\"Definition\": ");
    wn_json_cstring(&text, definition);
    wn_str_puts(&text, ", \"Instances\": [{\"input\": ");
    wn_json_cstring(&text, input);
    wn_str_puts(&text, ", \"output\": [\"x\"]}]}");
    put("t.json", text.p);
    cr_assert_eq(wn_pool_open(&p, in("t.json"), map, true), WN_OK, "%s", wn_error_message());
    wn_pool_row(p, 0, &r);
    expect_span(r.prompt, prompt);
    wn_row_free(&r);
    wn_pool_close(p);
    wn_str_free(&text);
}

/* Wang et al. 2022 (arXiv 2204.07705): a full stop behind definition and input, unless their last
 * character is one of Python's string.punctuation. */
Test(rowmap, superni_full_stops)
{
    static const char punctuation[] = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
    for (char c = '!'; c < 0x7f; c++) {
        char text[3] = {'a', c, '\0'}, prompt[200];
        const char *stop = strchr(punctuation, c) ? "" : ".";
        snprintf(prompt, sizeof prompt,
                 "Definition: a%c%s\n\nNow complete the following example -\nInput: a%c%s\n"
                 "Output: ",
                 c, stop, c, stop);
        expect_prompt(text, text, "superni", prompt);
        expect_prompt(text, text, "superni-raw", strstr(prompt, "Now complete"));
    }
#define HEADER "\n\nNow complete the following example -\nInput: "
    expect_prompt(" \n Do it. \t", "  a\nb  ", "superni",
                  "Definition: Do it." HEADER "a\nb.\nOutput: ");
    expect_prompt("Tu das \xc3\xa9", "\xe3\x80\x82", "superni", /* not ASCII: no mark */
                  "Definition: Tu das \xc3\xa9." HEADER "\xe3\x80\x82.\nOutput: ");
    expect_prompt("", "", "superni", "Definition: ." HEADER ".\nOutput: ");
    expect_prompt("", " ", "superni-raw",
                  "Now complete the following example -\nInput: .\nOutput: ");
}

/* A value that is no text is refused, not turned into one. */
Test(rowmap, rendered_pairs_are_texts)
{
    static const struct {
        const char *line, *map, *why;
    } bad[] = {
        {"{\"inputs_pretokenized\":\"q\",\"targets_pretokenized\":5}", "p3",
         "target is not a string"},
        {"{\"inputs_pretokenized\":[\"q\"],\"targets_pretokenized\":\"a\"}", "p3", "no prompt"},
        {"{\"inputs_pretokenized\":1,\"targets_pretokenized\":\"a\"}", "p3",
         "prompt is not a string"},
        {"{\"inputs_pretokenized\":\"q\",\"targets_pretokenized\":\"a\",\"answer_choices\":"
         "[\"a\",3]}",
         "p3", "choices are not an array of strings"},
        {"{\"input\":\"q\",\"target\":true}", "deft", "target is not a string"},
        {"{\"input\":\"q\"}", "deft", "no target"},
        {"{\"input\":\"q\",\"target\":\"c\",\"answer_choices\":[\"a\",\"b\"]}", "deft",
         "target is not among the choices"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *source = put("b.jsonl", bad[i].line);
        expect_error(build(in("B"), source, bad[i].map, NULL), bad[i].why);
    }
    put("g.jsonl", "{\"input\":\" q \",\"target\":\" a\\n\",\"answer_choices\":[\"b \",\" a\"],"
                   "\"index_id\":3}");
    expect_row(in("g.jsonl"), "deft",
               "{\"id\": \"g.jsonl:1\", \"task\": \"g\", \"prompt\": \" q \", \"target\": \"a\", "
               "\"choices\": [\"b\", \"a\"], \"index_id\": 3}");
}

Test(rowmap, bigbench)
{
    put("task.json",
        "{\"task_prefix\":\"Pick. \",\"examples\":[{\"input\":\"x?\",\"target_scores\":"
        "{\"zed\":0,\"mid\":1,\"abc\":1},\"comment\":\"c\"},"
        "{\"input\":\"y?\",\"target\":[\"why\",\"because\"]},{\"input\":\"z?\"}]}");
    wn_pool *p;
    cr_assert_eq(wn_pool_open(&p, in("task.json"), "bigbench", true), WN_OK, "%s",
                 wn_error_message());
    cr_assert_eq(wn_pool_rows(p), 3);
    expect_span(wn_pool_raw(p, 0),
                "{\"id\": \"task.json:1\", \"task\": \"task\", \"prompt\": \"Pick. x?\", "
                "\"target\": \"mid\", \"choices\": [\"zed\", \"mid\", \"abc\"], "
                "\"comment\": \"c\"}");
    wn_row r = {0};
    wn_pool_row(p, 1, &r);
    expect_span(r.target, "why");
    cr_expect_eq(r.n_references, 2);
    wn_row_free(&r);
    wn_pool_close(p);
}

Test(rowmap, a_broken_document_is_one_bad_line)
{
    wn_mkdirs(in("d"));
    put("d/a.json", "{\"Definition\":\"d\",\"Instances\":[{\"input\":\"i\",\"output\":[\"o\"]}]}");
    put("d/b.json", "{\"Definition\":");
    put("d/c.json", "{\"Instances\":[]}");
    must_build(in("P"), in("d"), "superni", NULL);
    json_t *j = info_of(in("P"), NULL);
    cr_expect_eq(number_of(j, "rows"), 1);
    cr_expect_eq(number_of(json_object_get(j, "rejected"), "lines"), 2);
    json_decref(j);
}

Test(rowmap, yaml_templates)
{
    put("m.yaml", "id: 'x-{uid}'\n"
                  "task: quiz\n"
                  "prompt: \"{meta.title|strip}: {q}[ ({hint})][ {{{none}}}]\"\n"
                  "choices: '{opts}'\n"
                  "target_index: '{label}'\n"
                  "category: '{meta.tags.1}'\n");
    put("r.jsonl", "{\"uid\":5,\"meta\":{\"title\":\" T \",\"tags\":[\"a\",\"b\"]},\"q\":\"why?\","
                   "\"hint\":true,\"opts\":[\"one\",2,\"three\"],\"label\":1,\"keep\":null}");
    expect_row(in("r.jsonl"), in("m.yaml"),
               "{\"id\": \"x-5\", \"task\": \"quiz\", \"prompt\": \"T: why? (true)\", \"target\": "
               "\"2\", \"choices\": [\"one\", \"2\", \"three\"], \"category\": \"b\", \"keep\": "
               "null}");
    put("n.yaml", "prompt: '{q}'\nchoices: ['{a}', '{b}', never]\ntarget: '{a}'\n");
    put("s.jsonl", "{\"q\":\"why?\",\"a\":\"so\",\"b\":\"no\"}");
    expect_row(in("s.jsonl"), in("n.yaml"),
               "{\"id\": \"s.jsonl:1\", \"task\": \"s\", \"prompt\": \"why?\", \"target\": \"so\", "
               "\"choices\": [\"so\", \"no\", \"never\"]}");
    put("o.yaml", "prompt: '{q}'\ntarget: '{answers}'\n");
    put("t.jsonl", "{\"q\":\"why?\",\"answers\":[\"so\",\"thus\"]}");
    expect_row(in("t.jsonl"), in("o.yaml"),
               "{\"id\": \"t.jsonl:1\", \"task\": \"t\", \"prompt\": \"why?\", \"target\": \"so\", "
               "\"references\": [\"so\", \"thus\"]}");
}

Test(rowmap, yaml_faults_name_the_file)
{
    static const struct {
        const char *yaml, *message;
    } bad[] = {
        {"prompt: '{q'\n", "m.yaml: prompt: expected } after"},
        {"prompt: '{q} ]'\n", "a lone ]"},
        {"prompt: '[{q}'\n", "expected ]"},
        {"prompt: '{ }{|strip}'\n", "expected {field}"},
        {"prompt: '{q|upper}'\n", "expected {field}"},
        {"question: '{q}'\n", "found question"},
        {"target: '{q}'\n", "expected prompt, found none"},
        {"prompt: [1]\n", "expected a template"},
        {"- prompt\n", "expected a map"},
        {"prompt: ''\n", "found an empty text"},
    };
    put("r.jsonl", "{\"q\":\"why?\"}");
    wn_pool *p;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put("m.yaml", bad[i].yaml);
        expect_error(wn_pool_open(&p, in("r.jsonl"), in("m.yaml"), true), bad[i].message);
        expect_error(wn_pool_open(&p, in("r.jsonl"), in("m.yaml"), true), "m.yaml");
    }
    expect_error(wn_pool_open(&p, in("r.jsonl"), "p4", true), "expected p3, deft, superni");
}

Test(rowmap, a_missing_field_is_the_reader_s_to_refuse)
{
    put("m.yaml", "prompt: '{q}'\ntarget: '{a}'\n");
    wn_pool *p;
    put("r.jsonl", "{\"a\":\"x\"}");
    expect_error(wn_pool_open(&p, in("r.jsonl"), in("m.yaml"), true),
                 "r.jsonl:1: row \"r.jsonl:1\": no prompt");
    put("s.jsonl", "{\"q\":{},\"a\":\"x\"}");
    expect_error(wn_pool_open(&p, in("s.jsonl"), in("m.yaml"), true), "prompt is not a string");
    put("t.jsonl", "[]");
    expect_error(wn_pool_open(&p, in("t.jsonl"), in("m.yaml"), true), "t.jsonl:1: not an object");
}
