/* Cached decoding: every family's greedy continuation as transformers', and that neither company,
 * nor how a text is cut into steps, nor threads change a bit of it. */
#include <dirent.h>

#include "base/par.h"
#include "golden_model.h"
#include "model/greedy.h"
#include "model/internal.h"

enum { MOST = 64, ROOM = 64, TEXTS = 8 };

/* A text on its way: what was read, what came. */
struct text {
    int32_t id[ROOM]; /* the decoder's side: prompt (or start), then what was generated */
    uint32_t n, seen, first;
    const int32_t *source; /* the encoder's side */
    uint32_t source_n, source_first;
    bool source_read;
};

struct decoder {
    const wn_model *m;
    wn_work *w;
    wn_cache *c;
    size_t step_tokens; /* most tokens of a text a step */
};

static struct decoder decoder_new(const wn_model *m, size_t step_tokens)
{
    struct decoder d = {.m = m, .step_tokens = step_tokens};
    GOLDEN_OK(wn_work_new(&d.w, m, TEXTS * ROOM, TEXTS, TEXTS, WN_WORK_FORWARD));
    GOLDEN_OK(wn_cache_new(&d.c, m, TEXTS * ROOM, TEXTS * ROOM));
    return d;
}

static void decoder_free(struct decoder *d)
{
    wn_work_free(d->w);
    wn_cache_free(d->c);
}

/* One step of all texts; a token is appended to those that have been read whole. */
static wn_err step(struct decoder *d, struct text **t, size_t n)
{
    static int32_t id[TEXTS * ROOM], source_id[TEXTS * ROOM];
    uint32_t off[TEXTS + 1] = {0}, source_off[TEXTS + 1] = {0}, first[TEXTS], seen[TEXTS];
    uint32_t source_first[TEXTS], source_n[TEXTS], source_to[TEXTS];
    int32_t next[TEXTS];
    wn_batch source = {.id = source_id, .off = source_off}, b = {.id = id, .off = off};
    for (size_t i = 0; i < n; i++) {
        size_t count = t[i]->n - t[i]->seen;
        count = count < d->step_tokens ? count : d->step_tokens;
        memcpy(id + b.T, t[i]->id + t[i]->seen, count * sizeof *id);
        first[i] = t[i]->first;
        seen[i] = t[i]->seen;
        source_first[i] = t[i]->source_first;
        source_n[i] = t[i]->source_n;
        b.T += count;
        off[++b.B] = (uint32_t)b.T;
        t[i]->seen += (uint32_t)count;
        if (!t[i]->source || t[i]->source_read)
            continue;
        memcpy(source_id + source.T, t[i]->source, t[i]->source_n * sizeof *id);
        source_to[source.B] = t[i]->source_first;
        source.T += t[i]->source_n;
        source_off[++source.B] = (uint32_t)source.T;
        t[i]->source_read = true;
    }
    b.source = &source;
    const wn_step s = {&b, first, seen, source_first, source_n, source_to};
    wn_err err = wn_model_next(d->m, d->w, d->c, &s, next);
    for (size_t i = 0; !err && i < n; i++)
        if (t[i]->seen == t[i]->n)
            t[i]->id[t[i]->n++] = next[i];
    return err;
}

/* A text that begins with n ids: a decoder's prompt, or an encoder-decoder's source. */
static struct text text_of(const wn_model *m, const int32_t *id, size_t n, uint32_t slot)
{
    struct text t = {.first = slot * ROOM};
    if (wn_model_facts_of(m)->shape == WN_SHAPE_ENCDEC) {
        t.source = id;
        t.source_n = (uint32_t)n;
        t.source_first = slot * ROOM;
        t.id[t.n++] = wn_model_facts_of(m)->decoder_start;
    } else {
        memcpy(t.id, id, n * sizeof *id);
        t.n = (uint32_t)n;
    }
    return t;
}

static size_t list(char name[MOST][64])
{
    char path[GOLDEN_PATH];
    size_t n = 0;
    DIR *d = opendir(golden_path(path, "families"));
    cr_assert(d, "%s is missing", path);
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.' && !strstr(e->d_name, "opt-post-norm") && n < MOST)
            snprintf(name[n++], 64, "families/%.50s", e->d_name);
    closedir(d);
    return n;
}

/* The golden prompt alone in slot 0, `step_tokens` tokens at once, as far as the model's positions
 * go. Returns how many tokens were compared. */
static size_t check_alone(const wn_model *m, const wn_safetensors *s, const char *name,
                          size_t step_tokens)
{
    size_t n, more;
    int32_t *prompt = golden_i32(s, &n, "greedy.prompt"),
            *want = golden_i32(s, &more, "greedy.ids");
    struct decoder d = decoder_new(m, step_tokens);
    struct text t = text_of(m, prompt, n, 0), *all[] = {&t};
    size_t begin = t.n, most = wn_model_facts_of(m)->max_positions;
    if (!t.source && most && n + more > most)
        more = most + 1 - n; /* the last token needs no place */
    while (!t.source && !wn_model_can_grow(m, n, n + more - 1))
        more--;
    while (t.n < begin + more)
        GOLDEN_OK(step(&d, all, 1));
    for (size_t i = 0; i < more; i++)
        cr_expect_eq(t.id[begin + i], want[i], "%s: token %zu: %d, expected %d", name, i,
                     t.id[begin + i], want[i]);
    decoder_free(&d);
    return more;
}

Test(greedy, greedy_as_transformers, .timeout = 120)
{
    static char name[MOST][64];
    size_t n = list(name), checked = 0;
    for (size_t i = 0; i < n; i++) {
        wn_safetensors *s = golden_open(name[i]);
        if (wn_safetensors_find(s, "greedy.ids")) {
            wn_model *m = golden_model(name[i], false, NULL);
            cr_expect_geq(check_alone(m, s, name[i], ROOM), strstr(name[i], "longrope") ? 4 : 11,
                          "%s", name[i]); /* which ends where its cache cannot follow */
            check_alone(m, s, name[i], 4);
            checked++;
            wn_model_close(m);
        }
        wn_safetensors_close(s);
    }
    cr_expect_geq(checked, 23);
}

/* Texts of several lengths that come at different steps, into slots that others have left. */
static void in_company(const wn_model *m, const golden_batch *rows, struct text *t, size_t n,
                       size_t tokens)
{
    struct decoder d = decoder_new(m, ROOM);
    struct text *now[TEXTS];
    uint32_t until[TEXTS];
    for (size_t i = 0; i < n; i++) {
        size_t r = i % rows->b.B;
        t[i] =
            text_of(m, rows->id + rows->off[r], rows->off[r + 1] - rows->off[r], (uint32_t)(i % 3));
        until[i] = t[i].n + (uint32_t)tokens;
    }
    for (size_t next = 0, live = 0; next < n || live;) {
        while (live < 3 && next < n) {
            bool taken = false;
            for (size_t k = 0; k < live; k++)
                taken |= now[k]->first == t[next].first;
            if (taken)
                break;
            now[live++] = &t[next++];
        }
        GOLDEN_OK(step(&d, now, live));
        size_t left = 0;
        for (size_t k = 0; k < live; k++)
            if (now[k]->n < until[now[k] - t])
                now[left++] = now[k];
        live = left;
        if (next == 2) /* the third comes later than it could */
            GOLDEN_OK(step(&d, now, live));
    }
    decoder_free(&d);
}

static void company_changes_nothing(const char *name)
{
    wn_safetensors *s = golden_open(name);
    wn_model *m = golden_model(name, false, NULL);
    size_t n;
    golden_batch rows = {0};
    rows.id = golden_i32(s, &rows.b.T, "ids");
    rows.off = (uint32_t *)golden_i32(s, &n, "off");
    rows.b.B = n - 1;
    struct text together[TEXTS], again[TEXTS];
    wn_par_set_threads(1);
    in_company(m, &rows, together, TEXTS, 10);
    wn_par_set_threads(3);
    in_company(m, &rows, again, TEXTS, 10);
    for (size_t i = 0; i < TEXTS; i++) {
        struct decoder d = decoder_new(m, 3);
        size_t r = i % rows.b.B;
        struct text alone = text_of(m, rows.id + rows.off[r], rows.off[r + 1] - rows.off[r], 7),
                    *one[] = {&alone};
        while (alone.n < together[i].n)
            GOLDEN_OK(step(&d, one, 1));
        cr_expect_eq(memcmp(alone.id, together[i].id, alone.n * sizeof *alone.id), 0,
                     "%s: text %zu differs in company", name, i);
        cr_expect_eq(memcmp(again[i].id, together[i].id, alone.n * sizeof *alone.id), 0,
                     "%s: text %zu differs with threads", name, i);
        decoder_free(&d);
    }
    wn_par_set_threads(0);
    wn_safetensors_close(s);
    wn_model_close(m);
}

Test(greedy, company_steps_and_threads_change_nothing, .timeout = 120)
{
    company_changes_nothing("families/gemma2");
    company_changes_nothing("families/bloom");
    company_changes_nothing("families/gpt2");
    company_changes_nothing("families/t5-v1.1");
}

/* The last token's state behind the stack, bit for bit: read in pieces, and in one ordinary pass.
 */
static void pieces_are_a_whole_pass(const char *name)
{
    wn_model *m = golden_model(name, false, NULL);
    size_t D = wn_model_facts_of(m)->width;
    int32_t id[40];
    for (int i = 0; i < 40; i++)
        id[i] = (i * 7 + 3) % 40;
    uint32_t off[2] = {0, 40};
    const wn_batch b = {.B = 1, .T = 40, .id = id, .off = off};
    float *hidden = golden_alloc(40 * D, sizeof *hidden);
    wn_work *w;
    GOLDEN_OK(wn_work_new(&w, m, 40, 1, 1, WN_WORK_FORWARD));
    GOLDEN_OK(wn_model_hidden(m, w, &b, 0, hidden));
    for (size_t pieces = 1; pieces <= 40; pieces = pieces * 3 + 4) {
        struct decoder d = decoder_new(m, (39 + pieces) / pieces);
        struct text t = text_of(m, id, 40, 2), *one[] = {&t};
        while (t.n == 40)
            GOLDEN_OK(step(&d, one, 1));
        size_t last = (40 - 1) % d.step_tokens;
        cr_expect_eq(memcmp(d.w->x + last * D, w->x + 39 * D, D * sizeof(float)), 0,
                     "%s in %zu pieces", name, pieces);
        decoder_free(&d);
    }
    wn_work_free(w);
    wn_model_close(m);
}

Test(greedy, pieces_are_a_whole_pass)
{
    pieces_are_a_whole_pass("families/gemma3-text");
    pieces_are_a_whole_pass("families/gpt-neo");
    pieces_are_a_whole_pass("families/bloom");
}

Test(greedy, text_beyond_the_positions_is_refused)
{
    wn_model *m = golden_model("families/llama-dynamic", false, NULL);
    int32_t id[20] = {0};
    struct decoder d = decoder_new(m, ROOM);
    struct text t = text_of(m, id, 16, 1), *one[] = {&t};
    GOLDEN_OK(step(&d, one, 1));
    cr_expect_eq(step(&d, one, 1), WN_EARG);
    cr_expect(strstr(wn_error_message(), "a text grows to 17 tokens"), "%s", wn_error_message());
    cr_expect(wn_model_can_grow(m, 3, 16) && !wn_model_can_grow(m, 16, 17) &&
              !wn_model_can_grow(m, 17, 18) && wn_model_can_grow(m, 18, 18));
    t = text_of(m, id, 1, 1);
    t.seen = 0;
    t.n = 49;
    memset(t.id, 0, sizeof t.id);
    cr_expect_eq(step(&d, one, 1), WN_EARG);
    cr_expect(strstr(wn_error_message(), "49 tokens: the model has 48 positions"), "%s",
              wn_error_message());
    decoder_free(&d);
    wn_model_close(m);
}

/* A prompt beyond the length from which on the long factors hold goes on as the reference does. */
Test(greedy, text_that_begins_long)
{
    wn_model *m = golden_model("families/phi3-longrope", false, NULL);
    wn_safetensors *s = golden_open("families/phi3-longrope");
    size_t n, more;
    int32_t id[40], *prompt = golden_i32(s, &n, "greedy.prompt"),
                    *want = golden_i32(s, &more, "greedy.ids");
    memcpy(id, prompt, n * sizeof *id);
    memcpy(id + n, want, more * sizeof *id);
    cr_expect(!wn_model_can_grow(m, 9, 10) && wn_model_can_grow(m, 10, n + more));
    struct decoder d = decoder_new(m, ROOM);
    struct text t = text_of(m, id, 10, 0), *one[] = {&t};
    while (t.n < n + more)
        GOLDEN_OK(step(&d, one, 1));
    for (size_t i = 10; i < n + more; i++)
        cr_expect_eq(t.id[i], id[i], "token %zu: %d, expected %d", i, t.id[i], id[i]);
    decoder_free(&d);
    wn_safetensors_close(s);
    wn_model_close(m);
}

Test(greedy, cache_bytes)
{
    wn_model *m = golden_model("families/t5-v1.1", false, NULL);
    const wn_model_facts *f = wn_model_facts_of(m);
    size_t row = wn_cache_bytes(m, 1, 0);
    cr_expect_gt(row, 0);
    cr_expect_eq(wn_cache_bytes(m, 5, 7), 5 * row + 7 * wn_cache_bytes(m, 0, 1));
    cr_expect_eq(row % (2 * f->layers * sizeof(float)), 0);
    wn_model_close(m);
    m = golden_model("families/qwen3", false, NULL);
    cr_expect_eq(wn_cache_bytes(m, 0, 9), 0);
    wn_model_close(m);
}

Test(greedy, ends_of_texts)
{
    wn_model *m = golden_model("families/gpt2", false, NULL);
    wn_ids ends = {0};
    GOLDEN_OK(wn_model_ends(&ends, m));
    cr_assert_eq(ends.n, 1);
    cr_expect_eq(ends.id[0], 1);
    wn_ids_release(&ends);
    wn_model_close(m);
}
