/* GGUF v2 and v3, little-endian:
 *   "GGUF", u32 version, u64 tensors, u64 pairs
 *   pairs:   string key, u32 kind, value      string: u64 bytes, text
 *                                             array: u32 kind, u64 elements, the elements
 *   tensors: string name, u32 dims, u64 dim[dims] (fastest first), u32 type, u64 offset
 *   padding to general.alignment (32), then the data, to which the offsets count
 * Nothing is allocated from a count alone: lists grow as entries are really read, so memory stays
 * within a small multiple of the file. */
#include "io/gguf.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/tensor_table.h"

enum kind {
    KIND_U8,
    KIND_I8,
    KIND_U16,
    KIND_I16,
    KIND_U32,
    KIND_I32,
    KIND_F32,
    KIND_BOOL,
    KIND_STRING,
    KIND_ARRAY,
    KIND_U64,
    KIND_I64,
    KIND_F64,
    KIND_COUNT
};

/* Bytes of a value; 0 where it varies. */
static const uint8_t kind_bytes[KIND_COUNT] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

enum { DEFAULT_ALIGNMENT = 32, MAX_ALIGNMENT = 1 << 20 };

struct pair {
    wn_span key;
    uint32_t kind, elem; /* elem: kind of an array's elements */
    uint64_t n;          /* elements of an array */
    const char *at;      /* the value, the string's text, or the array's first element */
    wn_span *strings;    /* of an array of strings; owned */
};

struct wn_gguf {
    wn_map map;
    struct pair *pair;
    size_t n_pairs, cap_pairs;
    wn_table table;
};

/* A place in the file; at <= size always. */
struct cursor {
    const wn_gguf *g;
    uint64_t at;
};

/* ---- reading numbers and strings ---- */

static wn_err cut_short(const struct cursor *c, const char *what)
{
    return wn_fail(WN_EFORMAT, "%s: cut short at byte %" PRIu64 ": expected %s", c->g->map.path,
                   c->g->map.size, what);
}

static uint64_t le(const char *p, int bytes)
{
    uint64_t v = 0;
    for (int i = bytes - 1; i >= 0; i--)
        v = v << 8 | (unsigned char)p[i];
    return v;
}

static wn_err take(const char **p, struct cursor *c, uint64_t bytes, const char *what)
{
    if (bytes > c->g->map.size - c->at)
        return cut_short(c, what);
    *p = c->g->map.data + c->at;
    c->at += bytes;
    return WN_OK;
}

static wn_err take_u32(uint32_t *v, struct cursor *c, const char *what)
{
    const char *p = NULL;
    WN_TRY(take(&p, c, 4, what));
    *v = (uint32_t)le(p, 4);
    return WN_OK;
}

static wn_err take_u64(uint64_t *v, struct cursor *c, const char *what)
{
    const char *p = NULL;
    WN_TRY(take(&p, c, 8, what));
    *v = le(p, 8);
    return WN_OK;
}

static wn_err take_string(wn_span *s, struct cursor *c, const char *what)
{
    uint64_t n;
    WN_TRY(take_u64(&n, c, what));
    WN_TRY(take(&s->p, c, n, what));
    s->len = (size_t)n;
    return WN_OK;
}

/* ---- pairs ---- */

static wn_err take_strings(struct pair *p, struct cursor *c)
{
    size_t cap = 0;
    for (size_t i = 0; i < p->n; i++) {
        if (!WN_GROW(p->strings, i, cap))
            return WN_ENOMEM;
        WN_TRY(take_string(&p->strings[i], c, "a string of an array"));
    }
    return WN_OK;
}

static wn_err bad_kind(const struct cursor *c, const struct pair *p, uint32_t kind)
{
    return wn_fail(WN_EFORMAT, "%s: key %.*s: value kind %" PRIu32 " is not supported",
                   c->g->map.path, (int)(p->key.len < 200 ? p->key.len : 200), p->key.p, kind);
}

static wn_err take_array(struct pair *p, struct cursor *c)
{
    WN_TRY(take_u32(&p->elem, c, "an array's kind"));
    WN_TRY(take_u64(&p->n, c, "an array's length"));
    if (p->elem >= KIND_COUNT || p->elem == KIND_ARRAY)
        return bad_kind(c, p, p->elem);
    uint64_t least = p->elem == KIND_STRING ? 8 : kind_bytes[p->elem];
    if (p->n > (c->g->map.size - c->at) / least)
        return wn_fail(WN_EFORMAT,
                       "%s: key %.*s: an array of %" PRIu64 " elements does not fit the file",
                       c->g->map.path, (int)(p->key.len < 200 ? p->key.len : 200), p->key.p, p->n);
    if (p->elem == KIND_STRING)
        return take_strings(p, c);
    return take(&p->at, c, p->n * least, "an array");
}

static wn_err take_pair(wn_gguf *g, struct cursor *c)
{
    if (!WN_GROW(g->pair, g->n_pairs, g->cap_pairs))
        return WN_ENOMEM;
    struct pair *p = &g->pair[g->n_pairs++];
    *p = (struct pair){0};
    WN_TRY(take_string(&p->key, c, "a key"));
    WN_TRY(take_u32(&p->kind, c, "a value's kind"));
    if (p->kind >= KIND_COUNT)
        return bad_kind(c, p, p->kind);
    if (p->kind == KIND_ARRAY)
        return take_array(p, c);
    if (p->kind != KIND_STRING)
        return take(&p->at, c, kind_bytes[p->kind], "a value");
    wn_span s;
    WN_TRY(take_string(&s, c, "a string"));
    p->at = s.p;
    p->n = s.len;
    return WN_OK;
}

static int span_order(wn_span a, wn_span b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n ? memcmp(a.p, b.p, n) : 0;
    return c ? c : (a.len > b.len) - (a.len < b.len);
}

static int by_key(const void *a, const void *b)
{
    return span_order(((const struct pair *)a)->key, ((const struct pair *)b)->key);
}

static wn_err take_pairs(wn_gguf *g, struct cursor *c, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        WN_TRY(take_pair(g, c));
    if (g->n_pairs)
        qsort(g->pair, g->n_pairs, sizeof *g->pair, by_key);
    for (size_t i = 1; i < g->n_pairs; i++) {
        wn_span k = g->pair[i].key;
        if (span_order(k, g->pair[i - 1].key) == 0)
            return wn_fail(WN_EFORMAT, "%s: key %.*s stands there twice", g->map.path,
                           (int)(k.len < 200 ? k.len : 200), k.p);
    }
    return WN_OK;
}

static const struct pair *find_pair(const wn_gguf *g, const char *key)
{
    struct pair want = {.key = {key, strlen(key)}};
    if (!g->n_pairs)
        return NULL;
    return bsearch(&want, g->pair, g->n_pairs, sizeof *g->pair, by_key);
}

/* ---- tensors ---- */

static const struct {
    const char *name;
    int type; /* wn_dtype, or -1 where it is not supported */
} ggml_types[] = {
    {"f32", WN_F32},    {"f16", WN_F16},    {"q4_0", WN_Q4_0},
    {"q4_1", WN_Q4_1},  {"q4_2", -1},       {"q4_3", -1},
    {"q5_0", WN_Q5_0},  {"q5_1", WN_Q5_1},  {"q8_0", WN_Q8_0},
    {"q8_1", -1},       {"q2_k", WN_Q2_K},  {"q3_k", WN_Q3_K},
    {"q4_k", WN_Q4_K},  {"q5_k", WN_Q5_K},  {"q6_k", WN_Q6_K},
    {"q8_k", -1},       {"iq2_xxs", -1},    {"iq2_xs", -1},
    {"iq3_xxs", -1},    {"iq1_s", -1},      {"iq4_nl", WN_IQ4_NL},
    {"iq3_s", -1},      {"iq2_s", -1},      {"iq4_xs", WN_IQ4_XS},
    {"i8", -1},         {"i16", -1},        {"i32", WN_I32},
    {"i64", WN_I64},    {"f64", -1},        {"iq1_m", -1},
    {"bf16", WN_BF16},  {"q4_0_4_4", -1},   {"q4_0_4_8", -1},
    {"q4_0_8_8", -1},   {"tq1_0", -1},      {"tq2_0", -1},
    {"iq4_nl_4_4", -1}, {"iq4_nl_4_8", -1}, {"iq4_nl_8_8", -1},
    {"mxfp4", -1},      {"nvfp4", -1},
};
enum { N_GGML_TYPES = sizeof ggml_types / sizeof *ggml_types };

static wn_err set_type(wn_tensor *t, uint32_t type, const char *where)
{
    if (type >= N_GGML_TYPES)
        return wn_fail(WN_EFORMAT, "%s: tensor type %" PRIu32 " is not supported", where, type);
    if (ggml_types[type].type < 0)
        return wn_fail(WN_EFORMAT, "%s: tensor type %s is not supported", where,
                       ggml_types[type].name);
    t->dtype = (wn_dtype)ggml_types[type].type;
    return WN_OK;
}

/* `data` is left NULL and the offset kept apart: where the data begin is known only after the last
 * entry. */
static wn_err take_tensor(wn_gguf *g, struct cursor *c, uint64_t *offset)
{
    wn_tensor t = {0};
    wn_span name;
    uint32_t ndim, type;
    WN_TRY(take_string(&name, c, "a tensor's name"));
    char shown[201], where[WN_ERROR_TEXT_BYTES];
    snprintf(shown, sizeof shown, "%.*s", (int)(name.len < 200 ? name.len : 200), name.p);
    snprintf(where, sizeof where, "%s: tensor %s", g->map.path, shown);
    WN_TRY(take_u32(&ndim, c, "a tensor's dims"));
    if (ndim > WN_MAX_DIMS)
        return wn_fail(WN_EFORMAT, "%s: expected at most %d dims, found %" PRIu32, where,
                       (int)WN_MAX_DIMS, ndim);
    t.ndim = (int)ndim;
    for (uint32_t i = 0; i < ndim; i++)
        WN_TRY(take_u64(&t.dim[ndim - 1 - i], c, "a tensor's dims"));
    WN_TRY(take_u32(&type, c, "a tensor's type"));
    WN_TRY(take_u64(offset, c, "a tensor's offset"));
    WN_TRY(set_type(&t, type, where));
    WN_TRY(wn_shape_bytes(&t.bytes, t.dtype, t.dim, t.ndim, shown, g->map.path));
    return wn_table_add(&g->table, name.p, name.len, &t, g->map.path);
}

static wn_err place_tensors(wn_gguf *g, const uint64_t *offset, uint64_t data_at,
                            uint64_t alignment)
{
    const wn_map *m = &g->map;
    uint64_t size = data_at < m->size ? m->size - data_at : 0;
    const char *data = m->data + (m->size - size);
    for (size_t i = 0; i < g->table.n; i++) {
        wn_tensor *t = &g->table.t[i];
        if (offset[i] % alignment)
            return wn_fail(WN_EFORMAT,
                           "%s: tensor %.200s: expected an offset of a multiple of %" PRIu64
                           ", found %" PRIu64,
                           m->path, t->name, alignment, offset[i]);
        if (offset[i] > size || t->bytes > size - offset[i])
            return wn_fail(WN_EFORMAT,
                           "%s: tensor %.200s: %" PRIu64 " bytes at %" PRIu64
                           " of the data, but the file holds %" PRIu64 " (cut short?)",
                           m->path, t->name, t->bytes, offset[i], size);
        t->data = data + offset[i];
    }
    return wn_table_check_layout(&g->table, 0, g->table.n, data, size, true, m->path);
}

static wn_err take_tensors(wn_gguf *g, struct cursor *c, uint64_t n, uint64_t alignment)
{
    uint64_t *offset = NULL;
    size_t cap = 0;
    wn_err err = WN_OK;
    for (size_t i = 0; i < n && err == WN_OK; i++)
        err = WN_GROW(offset, i, cap) ? take_tensor(g, c, &offset[i]) : WN_ENOMEM;
    if (err == WN_OK)
        err = wn_table_seal(&g->table, g->map.path);
    uint64_t data_at = (c->at + alignment - 1) / alignment * alignment;
    if (err == WN_OK)
        err = place_tensors(g, offset, data_at, alignment);
    wn_free(offset);
    return err;
}

/* ---- the file ---- */

static wn_err check_version(const wn_gguf *g, uint32_t version)
{
    if (version == 2 || version == 3)
        return WN_OK;
    if (version == 2u << 24 || version == 3u << 24)
        return wn_fail(WN_EFORMAT, "%s: big-endian GGUF is not supported", g->map.path);
    return wn_fail(WN_EFORMAT, "%s: expected GGUF version 2 or 3, found %" PRIu32, g->map.path,
                   version);
}

static wn_err read_alignment(uint64_t *alignment, const wn_gguf *g)
{
    int64_t a;
    *alignment = DEFAULT_ALIGNMENT;
    if (!find_pair(g, "general.alignment"))
        return WN_OK;
    if (!wn_gguf_i64(g, "general.alignment", &a) || a < 1 || a > MAX_ALIGNMENT || (a & (a - 1)))
        return wn_fail(WN_EFORMAT, "%s: general.alignment: expected a power of two", g->map.path);
    *alignment = (uint64_t)a;
    return WN_OK;
}

static wn_err read_gguf(wn_gguf *g)
{
    struct cursor c = {.g = g};
    uint32_t version;
    uint64_t n_tensors, n_pairs, alignment;
    if (g->map.size < 4 || memcmp(g->map.data, "GGUF", 4) != 0)
        return wn_fail(WN_EFORMAT, "%s: expected a GGUF file, found another kind", g->map.path);
    c.at = 4;
    WN_TRY(take_u32(&version, &c, "the version"));
    WN_TRY(check_version(g, version));
    WN_TRY(take_u64(&n_tensors, &c, "the number of tensors"));
    WN_TRY(take_u64(&n_pairs, &c, "the number of keys"));
    WN_TRY(take_pairs(g, &c, n_pairs));
    WN_TRY(read_alignment(&alignment, g));
    int64_t parts;
    if (wn_gguf_i64(g, "split.count", &parts) && parts > 1)
        return wn_fail(WN_EFORMAT, "%s: expected a whole model, found one of %" PRId64 " parts",
                       g->map.path, parts);
    return take_tensors(g, &c, n_tensors, alignment);
}

static wn_err hand_out(wn_gguf **out, wn_gguf *g, wn_err err)
{
    if (err == WN_OK)
        err = read_gguf(g);
    if (err == WN_OK)
        *out = g;
    else
        wn_gguf_close(g);
    return err;
}

wn_err wn_gguf_open(wn_gguf **out, const char *path)
{
    *out = NULL;
    wn_gguf *g;
    WN_NEW(g, 1);
    return hand_out(out, g, wn_map_open(&g->map, path));
}

wn_err wn_gguf_open_memory(wn_gguf **out, const void *bytes, uint64_t size, const char *name)
{
    *out = NULL;
    wn_gguf *g;
    WN_NEW(g, 1);
    g->map = (wn_map){.data = bytes, .size = size, .path = wn_strdup(name)};
    return hand_out(out, g, g->map.path ? WN_OK : WN_ENOMEM);
}

void wn_gguf_close(wn_gguf *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->n_pairs; i++)
        wn_free(g->pair[i].strings);
    wn_free(g->pair);
    wn_table_free(&g->table);
    wn_map_close(&g->map);
    wn_free(g);
}

void wn_gguf_forget(const wn_gguf *g)
{
    if (g)
        wn_map_forget(&g->map);
}

size_t wn_gguf_count(const wn_gguf *g)
{
    return g->table.n;
}

const wn_tensor *wn_gguf_at(const wn_gguf *g, size_t i)
{
    WN_ASSERT(i < g->table.n);
    return &g->table.t[i];
}

const wn_tensor *wn_gguf_find(const wn_gguf *g, const char *name)
{
    return wn_table_find(&g->table, name);
}

const char *wn_gguf_path(const wn_gguf *g)
{
    return g->map.path;
}

/* ---- metadata ---- */

static bool integer_at(int64_t *v, uint32_t kind, const char *p)
{
    switch (kind) {
    case KIND_U8:
    case KIND_U16:
    case KIND_U32:
    case KIND_U64: {
        uint64_t u = le(p, kind_bytes[kind]);
        if (u > INT64_MAX)
            return false;
        *v = (int64_t)u;
        return true;
    }
    case KIND_I8:
        *v = (int8_t)le(p, 1);
        return true;
    case KIND_I16:
        *v = (int16_t)le(p, 2);
        return true;
    case KIND_I32:
        *v = (int32_t)le(p, 4);
        return true;
    case KIND_I64:
        *v = (int64_t)le(p, 8);
        return true;
    default:
        return false;
    }
}

static bool number_at(double *v, uint32_t kind, const char *p)
{
    if (kind == KIND_F32) {
        uint32_t bits = (uint32_t)le(p, 4);
        float f;
        memcpy(&f, &bits, sizeof f);
        *v = f;
        return true;
    }
    if (kind == KIND_F64 || kind == KIND_U64) {
        uint64_t bits = le(p, 8);
        if (kind == KIND_U64)
            *v = (double)bits;
        else
            memcpy(v, &bits, sizeof *v);
        return true;
    }
    int64_t i;
    if (!integer_at(&i, kind, p))
        return false;
    *v = (double)i;
    return true;
}

bool wn_gguf_i64(const wn_gguf *g, const char *key, int64_t *v)
{
    const struct pair *p = find_pair(g, key);
    return p && integer_at(v, p->kind, p->at);
}

bool wn_gguf_f64(const wn_gguf *g, const char *key, double *v)
{
    const struct pair *p = find_pair(g, key);
    return p && number_at(v, p->kind, p->at);
}

bool wn_gguf_bool(const wn_gguf *g, const char *key, bool *v)
{
    const struct pair *p = find_pair(g, key);
    if (!p || p->kind != KIND_BOOL)
        return false;
    *v = *p->at != 0;
    return true;
}

bool wn_gguf_string(const wn_gguf *g, const char *key, wn_span *v)
{
    const struct pair *p = find_pair(g, key);
    if (!p || p->kind != KIND_STRING)
        return false;
    *v = (wn_span){p->at, (size_t)p->n};
    return true;
}

static const struct pair *find_array(const wn_gguf *g, const char *key)
{
    const struct pair *p = find_pair(g, key);
    return p && p->kind == KIND_ARRAY ? p : NULL;
}

bool wn_gguf_array(const wn_gguf *g, const char *key, size_t *n)
{
    const struct pair *p = find_array(g, key);
    if (!p)
        return false;
    *n = (size_t)p->n;
    return true;
}

bool wn_gguf_array_string(const wn_gguf *g, const char *key, size_t i, wn_span *v)
{
    const struct pair *p = find_array(g, key);
    if (!p || p->elem != KIND_STRING || i >= p->n)
        return false;
    *v = p->strings[i];
    return true;
}

bool wn_gguf_array_f64(const wn_gguf *g, const char *key, size_t i, double *v)
{
    const struct pair *p = find_array(g, key);
    return p && p->elem != KIND_STRING && i < p->n &&
           number_at(v, p->elem, p->at + i * kind_bytes[p->elem]);
}

bool wn_gguf_array_i64(const wn_gguf *g, const char *key, size_t i, int64_t *v)
{
    const struct pair *p = find_array(g, key);
    return p && p->elem != KIND_STRING && i < p->n &&
           integer_at(v, p->elem, p->at + i * kind_bytes[p->elem]);
}
