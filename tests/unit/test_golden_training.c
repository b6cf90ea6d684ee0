/* Ten updates of every method, optimizer and schedule against PyTorch, transformers and PEFT
 * (tests/goldens/training.py), put together from the parts of the loop. */
#include "base/pattern_list.h"
#include "golden_model.h"
#include "train/losses.h"
#include "train/train.h"

enum { STEPS = 10, BATCH = 3, ROWS = 6, TEXTS = 3 };

#define LOSS_LIMIT  1e-3 /* relative, at any of the ten updates */
#define VALUE_LIMIT 1e-4 /* of a tensor's norm, behind the last one */

typedef struct training_case {
    const char *name, *model;
    double lr, clip_norm, clip_value;
    wn_schedule_opts schedule;
    wn_optim_opts optim;
    const char *targets, *feedforward, *freeze, *bias;
    bool rslora, token_mean, t_few;
} training_case;

#define LLAMA "models/llama-tiny"
#define GEMMA "families/gemma3-text"
#define GPT2  "families/gpt2"
#define T5    "families/t5-v1.1"
#define OPT   "families/opt-post-norm"

static const training_case cases[] = {
    {.name = "t5.full.adam",
     .model = T5,
     .lr = 1e-3,
     .clip_value = 0.05,
     .schedule = {.kind = "slanted", .cut = 0.3, .ratio = 8},
     .optim = {.kind = "adam"}},
    {.name = "t5.full.adafactor",
     .model = T5,
     .lr = 1,
     .schedule = {.kind = "constant"},
     .optim = {.kind = "adafactor", .relative_step = true, .warmup_init = true}},
    {.name = "t5.ia3.adafactor",
     .model = T5,
     .lr = 3e-3,
     .clip_norm = 1,
     .schedule = {.warmup = "2"},
     .optim = {.kind = "adafactor"},
     .targets = "k,v,wi_1"},
    {.name = "t5.lora.sgd",
     .model = T5,
     .lr = 1e-2,
     .clip_norm = 1,
     .optim = {.kind = "sgd", .momentum = 0.9, .weight_decay = 0.01}},
    {.name = "llama.full.lion",
     .model = LLAMA,
     .lr = 1e-4,
     .schedule = {.kind = "constant"},
     .optim = {.kind = "lion", .weight_decay = 0.1}},
    {.name = "llama.full.sgd",
     .model = LLAMA,
     .lr = 1e-2,
     .clip_norm = 2,
     .schedule = {.kind = "slanted"},
     .optim = {.kind = "sgd"}},
    {.name = "llama.full.token",
     .model = LLAMA,
     .lr = 1e-3,
     .schedule = {.kind = "constant"},
     .token_mean = true},
    {.name = "llama.lora.adamw",
     .model = LLAMA,
     .lr = 2e-3,
     .schedule = {.kind = "cosine", .warmup = "3"},
     .optim = {.beta1 = 0.8, .beta2 = 0.95, .eps = 1e-6},
     .rslora = true},
    {.name = "llama.ia3.adamw",
     .model = LLAMA,
     .lr = 5e-2,
     .schedule = {.warmup = "2"},
     .optim = {.weight_decay = 0.1}},
    {.name = "gemma3.full.sgd",
     .model = GEMMA,
     .lr = 3e-3,
     .schedule = {.kind = "cosine"},
     .optim = {.kind = "sgd", .momentum = 0.8, .nesterov = true, .weight_decay = 0.05}},
    {.name = "gemma3.lora.adafactor",
     .model = GEMMA,
     .lr = 1e-1,
     .optim = {.kind = "adafactor",
               .beta1 = 0.9,
               .decay_rate = 0.7,
               .clip_threshold = 0.5,
               .plain_scale = true,
               .weight_decay = 0.1}},
    {.name = "gemma3.ia3.lion",
     .model = GEMMA,
     .lr = 2e-2,
     .schedule = {.kind = "constant"},
     .optim = {.kind = "lion", .beta1 = 0.85, .beta2 = 0.9}},
    {.name = "gpt2.full.adafactor",
     .model = GPT2,
     .lr = 1e-2,
     .schedule = {.warmup = "2"},
     .optim = {.kind = "adafactor", .weight_decay = 0.1},
     .freeze = "c_attn.bias"},
    {.name = "gpt2.frozen.adamw", .model = GPT2, .lr = 1e-2, .freeze = "wte,h.0,ln_f,c_attn.bias"},
    {.name = "gpt2.lora.adam",
     .model = GPT2,
     .lr = 1e-2,
     .schedule = {.kind = "constant"},
     .optim = {.kind = "adam", .eps = 1e-3, .weight_decay = 0.05},
     .targets = "c_attn,mlp.c_proj",
     .bias = "all"},
    {.name = "gpt2.ia3.sgd", .model = GPT2, .lr = 5e-2, .optim = {.kind = "sgd"}},
    {.name = "t5.ia3.tfew",
     .model = T5,
     .lr = 3e-3,
     .schedule = {.kind = "constant"},
     .optim = {.kind = "adafactor"},
     .t_few = true},
    {.name = "t5.full.tfew",
     .model = T5,
     .lr = 1e-3,
     .schedule = {.kind = "constant"},
     .token_mean = true,
     .t_few = true},
    {.name = "llama.lora.tfew",
     .model = LLAMA,
     .lr = 1e-2,
     .schedule = {.kind = "constant"},
     .t_few = true},
    {.name = "opt.lora.adamw",
     .model = OPT,
     .lr = 5e-3,
     .clip_norm = 1,
     .schedule = {.warmup = "2"},
     .optim = {.weight_decay = 0.1}},
    {.name = "opt.ia3.sgd",
     .model = OPT,
     .lr = 1e-2,
     .schedule = {.kind = "constant"},
     .optim = {.kind = "sgd"},
     .targets = "project_in,project_out,v_proj",
     .feedforward = "project_out"},
    {.name = "llama.lora.output",
     .model = LLAMA,
     .lr = 2e-3,
     .schedule = {.kind = "constant"},
     .targets = "lm_head,q_proj"},
};

/* ---- the rows, as wn_data_open would have made them --------------------------------------------
 */

static const char *family_of(const training_case *c)
{
    static char text[32];
    snprintf(text, sizeof text, "%.*s", (int)strcspn(c->name, "."), c->name);
    return text;
}

static void set_size(wn_data *d, wn_data_row *r)
{
    uint32_t all = 0, gold = d->length[r->part + (d->choices ? r->answer : 0)];
    for (uint32_t i = 0; i < r->texts; i++)
        all += d->length[r->part + i];
    r->size = (wn_data_size){.labels = all, .gold = gold};
    r->size.tokens = d->two_sided ? all
                     : d->choices ? r->prompt + all - r->texts
                                  : r->prompt + all - 1;
    r->size.source = d->two_sided ? r->prompt : 0;
    r->size.segments = r->texts + (d->choices && !d->two_sided);
}

static wn_data make_data(const training_case *c, const wn_model *m, const wn_safetensors *e)
{
    const char *f = family_of(c);
    wn_data d = {.rows = ROWS, .choices = c->t_few};
    d.start = wn_model_facts_of(m)->decoder_start;
    d.two_sided = wn_model_facts_of(m)->shape == WN_SHAPE_ENCDEC;
    d.rule.shape = wn_model_facts_of(m)->shape;
    int32_t *prompt = golden_i32(e, NULL, "%s.prompt", f),
            *text = golden_i32(e, NULL, "%s.text", f);
    int32_t *prompt_n = golden_i32(e, NULL, "%s.prompt_n", f);
    int32_t *text_n = golden_i32(e, NULL, "%s.text_n", f);
    int32_t *answer = golden_i32(e, NULL, "%s.answer", f);
    d.row = golden_alloc(ROWS, sizeof *d.row);
    d.id = golden_alloc(4096, sizeof *d.id);
    d.length = golden_alloc(ROWS * TEXTS, sizeof *d.length);
    for (size_t i = 0; i < ROWS; i++) {
        wn_data_row *r = &d.row[i];
        *r = (wn_data_row){.begin = d.n_id,
                           .prompt = (uint32_t)prompt_n[i],
                           .part = d.n_length,
                           .answer = c->t_few ? (uint32_t)answer[i] : 0};
        memcpy(d.id + d.n_id, prompt, r->prompt * sizeof *prompt);
        d.n_id += r->prompt;
        prompt += r->prompt;
        for (int32_t k = 0; k < TEXTS; k++) {
            size_t n = (size_t)text_n[i * TEXTS + (size_t)k];
            if (c->t_few || k == answer[i]) {
                memcpy(d.id + d.n_id, text, n * sizeof *text);
                d.n_id += n;
                d.length[d.n_length++] = (uint32_t)n;
                r->texts++;
            }
            text += n;
        }
        set_size(&d, r);
    }
    return d;
}

/* ---- the model ---------------------------------------------------------------------------------
 */

static bool frozen(const char *list, const char *name)
{
    wn_pattern_list l;
    GOLDEN_OK(wn_patterns_open(&l, "freeze", list, true));
    bool is = wn_patterns_match(&l, name);
    wn_patterns_close(&l);
    return is;
}

static void start_values(wn_params *ps, const wn_safetensors *e, const char *name)
{
    for (size_t i = 0; i < ps->n; i++) {
        wn_param *p = &ps->p[i];
        char key[400];
        size_t n;
        snprintf(key, sizeof key, "%s.init.%s", name, p->name);
        if (!p->trainable || !wn_safetensors_find(e, key))
            continue;
        float *x = golden_f32(e, &n, "%s", key);
        cr_assert_eq(n, p->rows * p->cols, "%s", p->name);
        memcpy(p->value, x, n * sizeof *x);
    }
}

static wn_model *make_model(const training_case *c, const wn_safetensors *e)
{
    bool full = strstr(c->name, ".full.") || c->freeze;
    wn_model *m = golden_model(c->model, full, NULL);
    if (strstr(c->name, ".lora."))
        GOLDEN_OK(wn_model_add_lora(m, &(wn_lora_opts){.rank = 3,
                                                       .alpha = 7,
                                                       .rslora = c->rslora,
                                                       .bias = c->bias,
                                                       .targets = c->targets}));
    if (strstr(c->name, ".ia3."))
        GOLDEN_OK(wn_model_add_ia3(m, &(wn_ia3_opts){c->targets, c->feedforward}));
    wn_params *ps = wn_model_params(m);
    for (size_t i = 0; c->freeze && i < ps->n; i++)
        ps->p[i].trainable = !frozen(c->freeze, ps->p[i].name);
    GOLDEN_OK(wn_params_make_grads(ps));
    start_values(ps, e, c->name);
    return m;
}

/* ---- the loop ----------------------------------------------------------------------------------
 */

static double gradients(const training_case *c, wn_model *m, wn_work *w, wn_data *d,
                        wn_data_batch *b, size_t step)
{
    wn_sink sink = wn_sink_train();
    double nll[64], loss = 0, gold = 0, wrong = 0;
    uint32_t count[64];
    size_t at = BATCH * step % ROWS;
    for (size_t i = at; i < at + BATCH; i++) {
        gold += d->row[i].size.gold;
        wrong += d->row[i].size.labels - d->row[i].size.gold;
    }
    wn_data_batch_clear(b);
    wn_params_zero_grads(wn_model_params(m));
    for (size_t i = at; i < at + BATCH; i++)
        cr_assert(wn_data_add(
            b, d, i, (float)(1 / (c->token_mean ? gold : (double)d->row[i].size.gold * BATCH))));
    if (!c->t_few) {
        GOLDEN_OK(wn_model_loss_back(m, w, &b->batch, b->weight, 0, step, nll, count, &sink));
        for (size_t s = 0; s < b->batch.B; s++)
            loss += nll[s] * (double)b->weight[s];
        return loss;
    }
    wn_t_few t = {d, b, BATCH, c->token_mean ? gold : 0, c->token_mean ? wrong : 0, 0};
    wn_weigh weigh = {wn_t_few_weigh, &t};
    GOLDEN_OK(wn_model_weighed_back(m, w, &b->batch, &weigh, 0, step, nll, count, &sink));
    return t.loss;
}

static void check_case(const training_case *c, wn_work_kind kind)
{
    wn_safetensors *e = golden_open("training");
    wn_model *m = make_model(c, e);
    wn_params *ps = wn_model_params(m);
    wn_data d = make_data(c, m, e);
    wn_data_batch b;
    wn_work *w;
    wn_optim optim;
    wn_schedule schedule;
    size_t seen = 0;
    float *losses = golden_f32(e, NULL, "%s.loss", c->name);
    float *norms = golden_f32(e, NULL, "%s.norm", c->name);
    GOLDEN_OK(wn_optim_init(&optim, &c->optim, ps));
    GOLDEN_OK(wn_schedule_parse(&schedule, &c->schedule, STEPS));
    GOLDEN_OK(wn_data_batch_new(&b, &d, 512, 64));
    GOLDEN_OK(wn_work_new(&w, m, 512, 64, 512, kind));
    for (size_t step = 0; step < STEPS; step++) {
        double loss = gradients(c, m, w, &d, &b, step), norm = wn_grad_norm(ps);
        double rate = c->lr * wn_schedule_factor(&schedule, step);
        double scale = c->clip_norm > 0 ? fmin(1, c->clip_norm / (norm + 1e-6)) : 1;
        cr_expect(fabs(loss - losses[step]) <= LOSS_LIMIT * losses[step],
                  "%s: loss of update %zu: %.9g, expected %.9g", c->name, step, loss, losses[step]);
        cr_expect(fabs(norm - norms[step]) <= LOSS_LIMIT * norms[step],
                  "%s: norm of update %zu: %.9g, expected %.9g", c->name, step, norm, norms[step]);
        wn_optim_step(&optim, ps, rate, scale, c->clip_value);
        wn_model_refresh(m);
    }
    for (size_t i = 0; i < ps->n; i++) {
        const wn_param *p = &ps->p[i];
        size_t n;
        if (!p->trainable)
            continue;
        float *want = golden_f32(e, &n, "%s.value.%s", c->name, p->name);
        for (size_t k = 0; k < n; k++)
            want[k] += p->offset;
        GOLDEN_NEAR(p->value, want, n, VALUE_LIMIT, "%s: %s", c->name, p->name);
        seen++;
    }
    cr_expect_gt(seen, 3);
    wn_optim_free(&optim);
    wn_work_free(w);
    wn_data_batch_free(&b);
    wn_safetensors_close(e);
    wn_model_close(m);
}

Test(golden_training, kept)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_case(&cases[i], WN_WORK_TRAIN);
}

Test(golden_training, computed_again)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_case(&cases[i], WN_WORK_RECOMPUTE);
}

/* The first update's gradients in memory of a kind: one array of all trained parameters. */
static float *gradients_in(const training_case *c, wn_work_kind kind, size_t *n, double *loss)
{
    wn_safetensors *e = golden_open("training");
    wn_model *m = make_model(c, e);
    wn_params *ps = wn_model_params(m);
    wn_data d = make_data(c, m, e);
    wn_data_batch b;
    wn_work *w;
    GOLDEN_OK(wn_data_batch_new(&b, &d, 512, 64));
    GOLDEN_OK(wn_work_new(&w, m, 512, 64, 512, kind));
    *loss = gradients(c, m, w, &d, &b, 0);
    *n = 0;
    for (size_t i = 0; i < ps->n; i++)
        *n += ps->p[i].trainable ? ps->p[i].rows * ps->p[i].cols : 0;
    float *all = golden_alloc(*n, sizeof *all), *at = all;
    for (size_t i = 0; i < ps->n; i++) {
        size_t k = ps->p[i].trainable ? ps->p[i].rows * ps->p[i].cols : 0;
        if (k)
            memcpy(at, ps->p[i].grad, k * sizeof *at);
        at += k;
    }
    wn_work_free(w);
    wn_data_batch_free(&b);
    wn_safetensors_close(e);
    wn_model_close(m);
    return all;
}

/* The forward pass is the same, the gradient is off by bf16's rounding (2^-9 of a number). */
Test(golden_training, kept_as_bf16)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n, n2;
        double loss, loss2;
        float *whole = gradients_in(&cases[i], WN_WORK_TRAIN, &n, &loss);
        float *narrow = gradients_in(&cases[i], WN_WORK_NARROW, &n2, &loss2);
        cr_assert(n == n2 && loss == loss2, "%s", cases[i].name);
        cr_expect_neq(memcmp(whole, narrow, n * sizeof *whole), 0, "%s: nothing was rounded",
                      cases[i].name);
        GOLDEN_NEAR(narrow, whole, n, 2e-2, "%s", cases[i].name);
    }
}
