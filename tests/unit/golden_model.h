/* Golden batches as the model takes them. */
#ifndef TESTS_UNIT_GOLDEN_MODEL_H
#define TESTS_UNIT_GOLDEN_MODEL_H

#include "golden.h"
#include "model/model.h"

/* A batch that owns its arrays. */
typedef struct golden_batch {
    wn_batch b;
    int32_t *id, *label;
    uint32_t *off;
    size_t labels;
} golden_batch;

static inline size_t golden_supervised(const int32_t *label, size_t n)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++)
        k += label[i] >= 0;
    return k;
}

/* batch.K of the file; labels only where it has them. */
static inline golden_batch golden_batch_of(const wn_safetensors *s, const char *prefix)
{
    golden_batch g = {0};
    size_t n;
    char name[128];
    g.id = golden_i32(s, &g.b.T, "%s.ids", prefix);
    g.off = (uint32_t *)golden_i32(s, &n, "%s.off", prefix);
    snprintf(name, sizeof name, "%s.label", prefix);
    if (wn_safetensors_find(s, name))
        g.label = golden_i32(s, NULL, "%s", name);
    g.labels = g.label ? golden_supervised(g.label, g.b.T) : 0;
    g.b.B = n - 1;
    g.b.id = g.id;
    g.b.off = g.off;
    g.b.label = g.label;
    return g;
}

/* Rows [first, first + n) of rows.*: prompt and target end to end, the target supervised. */
static inline golden_batch golden_rows_of(const wn_safetensors *s, size_t first, size_t n)
{
    golden_batch g = {0};
    int32_t *prompt = golden_i32(s, NULL, "rows.prompt"),
            *target = golden_i32(s, NULL, "rows.target");
    int32_t *po = golden_i32(s, NULL, "rows.prompt_off"),
            *to = golden_i32(s, NULL, "rows.target_off");
    size_t last = first + n;
    size_t T = (size_t)(po[last] - po[first] + to[last] - to[first]);
    g.id = golden_alloc(T, sizeof *g.id);
    g.label = golden_alloc(T, sizeof *g.label);
    g.off = golden_alloc(n + 1, sizeof *g.off);
    size_t at = 0;
    for (size_t r = first; r < last; r++) {
        g.off[r - first] = (uint32_t)at;
        for (int32_t i = po[r]; i < po[r + 1]; i++) {
            g.label[at] = -1;
            g.id[at++] = prompt[i];
        }
        for (int32_t i = to[r]; i < to[r + 1]; i++) {
            g.label[at - 1] = target[i];
            g.label[at] = -1;
            g.id[at++] = target[i];
        }
    }
    g.off[n] = (uint32_t)at;
    g.b = (wn_batch){.B = n, .T = T, .id = g.id, .off = g.off, .label = g.label};
    g.labels = golden_supervised(g.label, T);
    return g;
}

/* Segment s of a batch alone. */
static inline golden_batch golden_segment(const golden_batch *all, size_t s)
{
    golden_batch g = {0};
    size_t t0 = all->off[s], n = all->off[s + 1] - t0;
    g.off = golden_alloc(2, sizeof *g.off);
    g.off[1] = (uint32_t)n;
    g.id = all->id + t0;
    g.label = all->label ? all->label + t0 : NULL;
    g.labels = g.label ? golden_supervised(g.label, n) : 0;
    g.b = (wn_batch){.B = 1, .T = n, .id = g.id, .off = g.off, .label = g.label};
    return g;
}

/* path within tests/goldens; full: float32 masters and every parameter trainable; adapter NULL or
 * the name of a folder within it, whose parameters are then the trainable ones. */
static inline wn_model *golden_model(const char *path, bool full, const char *adapter)
{
    char file[GOLDEN_PATH], on[GOLDEN_PATH];
    wn_model *m = NULL;
    wn_model_opts o = {.precision = WN_PRECISION_F32, .train_full = full};
    if (adapter)
        o.adapter = golden_path(on, "%s/%s", path, adapter);
    GOLDEN_OK(wn_model_open(&m, golden_path(file, "%s", path), &o));
    if (full)
        GOLDEN_OK(wn_model_train_full(m));
    wn_params *ps = wn_model_params(m);
    for (size_t i = 0; adapter && i < ps->n; i++)
        ps->p[i].trainable = ps->p[i].adapter;
    if (full || adapter)
        GOLDEN_OK(wn_params_make_grads(ps));
    return m;
}

static inline wn_work *golden_work(const wn_model *m, const golden_batch *g, bool train)
{
    wn_work *w = NULL;
    GOLDEN_OK(wn_work_new(&w, m, g->b.T, g->b.B, g->labels ? g->labels : 1, train));
    return w;
}

#endif
