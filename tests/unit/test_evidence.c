/* Evidence F1 against a restatement of Qasper's scorer on random questions whose rows lie mixed. */
#include "golden.h"

#include <unistd.h>

#include "eval/evidence.h"
#include "io/file.h"
#include "io/json.h"

static char folder[] = "/tmp/wn_evidence_XXXXXX";

static void make_folder(void)
{
    cr_assert(mkdtemp(folder));
}

static void remove_folder(void)
{
    wn_remove_tree(folder);
}

TestSuite(evidence, .init = make_folder, .fini = remove_folder);

static wn_pool *open_rows(const json_t *rows)
{
    char path[GOLDEN_PATH];
    wn_str s = {0};
    wn_pool *p;
    size_t i;
    const json_t *row;
    json_array_foreach(rows, i, row)
    {
        wn_str_printf(&s,
                      "{\"id\": %zu, \"prompt\": \"p\", \"target\": \"Yes\", \"paragraph\": ", i);
        wn_json_cstring(&s, json_string_value(json_object_get(row, "paragraph")));
        wn_str_printf(&s, ", \"question\": %d, \"evidence\": ",
                      (int)json_integer_value(json_object_get(row, "question")));
        GOLDEN_OK(wn_json_dump(&s, json_object_get(row, "evidence"), 0, false));
        wn_str_puts(&s, "}\n");
    }
    snprintf(path, sizeof path, "%s/rows.jsonl", folder);
    GOLDEN_OK(wn_file_write(path, s.p, s.len));
    wn_str_free(&s);
    GOLDEN_OK(wn_pool_open(&p, path, NULL, true));
    return p;
}

static double mean(const wn_evidence *e)
{
    double sum = 0;
    for (size_t i = 0; i < e->n; i++)
        sum += e->score[i];
    return sum / (double)e->n;
}

Test(evidence, as_the_scorers_rules)
{
    char path[GOLDEN_PATH];
    json_t *all, *c, *row;
    size_t k, i, rows_seen = 0;
    GOLDEN_OK(wn_json_load(&all, golden_path(path, "metrics.json")));
    json_array_foreach(json_object_get(all, "evidence-f1"), k, c)
    {
        const json_t *rows = json_object_get(c, "rows");
        wn_pool *pool = open_rows(rows);
        wn_predictions p;
        wn_evidence e;
        GOLDEN_OK(wn_predictions_init(&p, json_array_size(rows)));
        json_array_foreach(rows, i, row)
        {
            bool said = json_is_true(json_object_get(row, "said"));
            GOLDEN_OK(wn_predictions_set(&p, i,
                                         said ? (wn_span){i % 2 ? "Yes" : " yes\n", i % 2 ? 3 : 5}
                                              : (wn_span){"No", 2}));
            rows_seen++;
        }
        GOLDEN_OK(wn_evidence_score(&e, &p, pool));
        cr_expect_float_eq(mean(&e), json_number_value(json_object_get(c, "score")), 1e-12,
                           "case %zu: %.17g", k, mean(&e));
        cr_expect_float_eq(e.nothing, json_number_value(json_object_get(c, "nothing")), 1e-12);
        wn_evidence_free(&e);
        GOLDEN_OK(wn_evidence_score(&e, NULL, pool));
        cr_expect_float_eq(mean(&e), e.nothing, 1e-12, "saying nothing");
        wn_evidence_free(&e);
        wn_predictions_free(&p);
        wn_pool_close(pool);
    }
    cr_expect_gt(rows_seen, 30);
    json_decref(all);
}
