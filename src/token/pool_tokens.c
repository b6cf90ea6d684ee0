/* `pool info`, with the tokens that a model's tokenizer makes of prompts and targets. */
#include "pool/info.h"
#include "token/tokenizer.h"

static wn_err count(void *ctx, const wn_row *row, uint64_t *tokens)
{
    const wn_tokenizer *t = ctx;
    wn_token_work work = {0};
    wn_ids ids = {0};
    wn_err e = wn_tokenizer_append(t, &work, row->prompt.p, row->prompt.len, &ids);
    if (!e && row->has_target)
        e = wn_tokenizer_append(t, &work, row->target.p, row->target.len, &ids);
    *tokens += ids.n;
    wn_ids_release(&ids);
    wn_token_work_free(&work);
    return e;
}

wn_err wn_pool_info_job(const char *pool, const char *map, const char *model, char **json)
{
    wn_tokenizer *t = NULL;
    if (model)
        WN_TRY(wn_tokenizer_open(&t, model));
    wn_err e = wn_pool_info(json, pool, map, t ? count : NULL, t);
    wn_tokenizer_close(t);
    return e;
}
