/* `pool info`, with the tokens that a model's tokenizer makes of prompts and targets. The counting
 * function runs on several threads that have no number, so scratch is handed around. */
#include <pthread.h>

#include "base/mem.h"
#include "pool/pool_info.h"
#include "token/tokenizer.h"

typedef struct scratch {
    wn_token_work work;
    wn_ids ids;
    struct scratch *next;
} scratch;

typedef struct counter {
    wn_tokenizer *t;
    pthread_mutex_t lock;
    scratch *idle;
} counter;

static scratch *take(counter *c)
{
    pthread_mutex_lock(&c->lock);
    scratch *s = c->idle;
    if (s)
        c->idle = s->next;
    pthread_mutex_unlock(&c->lock);
    return s ? s : wn_calloc(1, sizeof *s);
}

static void give(counter *c, scratch *s)
{
    pthread_mutex_lock(&c->lock);
    s->next = c->idle;
    c->idle = s;
    pthread_mutex_unlock(&c->lock);
}

static wn_err count(void *ctx, const wn_row *row, uint64_t *tokens)
{
    counter *c = ctx;
    scratch *s = take(c);
    if (!s)
        return WN_ENOMEM;
    wn_ids_clear(&s->ids);
    wn_err e = wn_tokenizer_append(c->t, &s->work, row->prompt.p, row->prompt.len, &s->ids);
    if (!e && row->has_target)
        e = wn_tokenizer_append(c->t, &s->work, row->target.p, row->target.len, &s->ids);
    *tokens += s->ids.n;
    give(c, s);
    return e;
}

wn_err wn_pool_info_job(const char *pool, const char *map, const char *model, char **json)
{
    counter c = {.lock = PTHREAD_MUTEX_INITIALIZER};
    if (model)
        WN_TRY(wn_tokenizer_open(&c.t, model));
    wn_err e = wn_pool_info(json, pool, map, c.t ? count : NULL, &c);
    while (c.idle) {
        scratch *s = c.idle;
        c.idle = s->next;
        wn_token_work_free(&s->work);
        wn_ids_release(&s->ids);
        wn_free(s);
    }
    pthread_mutex_destroy(&c.lock);
    wn_tokenizer_close(c.t);
    return e;
}
