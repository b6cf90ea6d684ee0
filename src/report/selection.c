/* Facts of a selection: rows, tasks, and tokens as training will read them. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "pool/pool.h"
#include "report/plan.h"
#include "token/encode.h"

static wn_err count_tokens(uint64_t *tokens, wn_pool *rows, const wn_recipe *recipe)
{
    wn_tokenizer *t;
    wn_token_work work = {0};
    wn_ids prompt = {0}, target = {0};
    wn_row row = {0};
    wn_encode_counts counts = {0};
    const wn_encode_rule rule = {.shape = WN_SHAPE_DECODER,
                                 .max_tokens = recipe->train.max_tokens ? recipe->train.max_tokens
                                                                        : (size_t)1 << 30,
                                 .max_target = recipe->train.max_target,
                                 .tmpl = recipe->train.tmpl,
                                 .system = recipe->train.system};
    WN_TRY(wn_tokenizer_open(&t, recipe->model));
    wn_err err = WN_OK;
    for (uint64_t r = 0; r < wn_pool_rows(rows) && err == WN_OK; r++) {
        size_t part[2];
        wn_ids_clear(&prompt);
        wn_ids_clear(&target);
        err = wn_pool_row(rows, r, &row);
        if (err == WN_OK)
            err = wn_encode_targets(&prompt, &target, part, t, &work, &row, &row.target, 1, &rule,
                                    &counts);
        *tokens += prompt.n + target.n;
    }
    wn_row_free(&row);
    wn_ids_release(&prompt);
    wn_ids_release(&target);
    wn_token_work_free(&work);
    wn_tokenizer_close(t);
    return err;
}

static int by_rows(const void *a, const void *b)
{
    const wn_task_count *x = a, *y = b;
    if (x->rows != y->rows)
        return x->rows > y->rows ? -1 : 1;
    return strcmp(x->task, y->task);
}

static wn_err count_tasks(wn_selection_facts *f, const wn_pool *rows)
{
    WN_NEW(f->task, wn_pool_tasks(rows));
    f->n_tasks = wn_pool_tasks(rows);
    for (uint32_t t = 0; t < f->n_tasks; t++) {
        f->task[t].task = wn_strdup(wn_pool_task_name(rows, t));
        if (!f->task[t].task)
            return WN_ENOMEM;
    }
    for (uint64_t r = 0; r < f->rows; r++)
        f->task[wn_pool_task_of(rows, r)].rows++;
    qsort(f->task, f->n_tasks, sizeof *f->task, by_rows);
    return WN_OK;
}

wn_err wn_selection_read(wn_selection_facts *f, const char *path, const wn_recipe *recipe)
{
    wn_pool *rows;
    *f = (wn_selection_facts){0};
    WN_TRY(wn_pool_open(&rows, path, NULL, true));
    f->rows = wn_pool_rows(rows);
    wn_err err = count_tasks(f, rows);
    if (err == WN_OK)
        err = count_tokens(&f->tokens, rows, recipe);
    wn_pool_close(rows);
    if (err)
        wn_selection_free(f);
    return err;
}

void wn_selection_free(wn_selection_facts *f)
{
    for (size_t t = 0; t < f->n_tasks; t++)
        wn_free(f->task[t].task);
    wn_free(f->task);
    *f = (wn_selection_facts){0};
}
