/* .npy: magic, version, header length, then a Python dict literal. The literal is read by a parser
 * of just that: string keys, and strings, booleans and tuples of whole numbers as values. */
#include "io/npy.h"

#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "io/temp.h"
#include "io/tensor_table.h"

enum { MAX_NDIM = 2, DESCR_BYTES = 16, ALIGN = 64, STEP = 1024 };

struct header {
    char descr[DESCR_BYTES];
    bool fortran, have_descr, have_fortran, have_shape;
    int ndim;
    uint64_t dim[MAX_NDIM];
};

struct text {
    const char *p, *end;
};

static void blanks(struct text *t)
{
    while (t->p < t->end && (*t->p == ' ' || *t->p == '\n' || *t->p == '\t'))
        t->p++;
}

static bool eat(struct text *t, char c)
{
    blanks(t);
    if (t->p == t->end || *t->p != c)
        return false;
    t->p++;
    return true;
}

static bool word(struct text *t, const char *w)
{
    blanks(t);
    size_t n = strlen(w);
    if ((size_t)(t->end - t->p) < n || memcmp(t->p, w, n) != 0)
        return false;
    t->p += n;
    return true;
}

static bool quoted(struct text *t, wn_span *s)
{
    blanks(t);
    if (t->p == t->end || (*t->p != '\'' && *t->p != '"'))
        return false;
    char quote = *t->p++;
    s->p = t->p;
    while (t->p < t->end && *t->p != quote)
        t->p++;
    s->len = (size_t)(t->p - s->p);
    return eat(t, quote);
}

static bool number(struct text *t, uint64_t *v)
{
    blanks(t);
    const char *from = t->p;
    for (*v = 0; t->p < t->end && *t->p >= '0' && *t->p <= '9'; t->p++) {
        if (*v > WN_DIM_MAX)
            return false;
        *v = *v * 10 + (uint64_t)(*t->p - '0');
    }
    return t->p > from && *v <= WN_DIM_MAX;
}

/* Dims beyond MAX_NDIM are counted, not kept. */
static bool tuple(struct text *t, struct header *h)
{
    if (!eat(t, '('))
        return false;
    for (h->ndim = 0; !eat(t, ')'); h->ndim++) {
        uint64_t v;
        if (h->ndim > MAX_NDIM || !number(t, &v))
            return false;
        if (h->ndim < MAX_NDIM)
            h->dim[h->ndim] = v;
        if (!eat(t, ',')) {
            h->ndim++;
            return eat(t, ')');
        }
    }
    return true;
}

static bool entry(struct text *t, struct header *h)
{
    wn_span key, s;
    if (!quoted(t, &key) || !eat(t, ':'))
        return false;
    if (wn_span_is(key, "shape") && !h->have_shape) {
        h->have_shape = true;
        return tuple(t, h);
    }
    if (wn_span_is(key, "fortran_order") && !h->have_fortran) {
        h->have_fortran = true;
        h->fortran = word(t, "True");
        return h->fortran || word(t, "False");
    }
    if (!wn_span_is(key, "descr") || h->have_descr)
        return false;
    h->have_descr = true;
    if (!quoted(t, &s)) {
        strcpy(h->descr, "structured");
        return false;
    }
    size_t n = s.len < DESCR_BYTES - 1 ? s.len : DESCR_BYTES - 1;
    memcpy(h->descr, s.p, n);
    h->descr[n] = '\0';
    return true;
}

static bool parse(struct text *t, struct header *h)
{
    if (!eat(t, '{'))
        return false;
    while (!eat(t, '}')) {
        if (!entry(t, h))
            return false;
        if (!eat(t, ',')) {
            if (!eat(t, '}'))
                return false;
            break;
        }
    }
    blanks(t);
    return t->p == t->end && h->have_descr && h->have_fortran && h->have_shape;
}

static wn_err set_type(wn_npy *a, const char *descr)
{
    static const struct {
        const char *descr;
        char kind, width;
    } known[] = {
        {"<f4", 'f', 4}, {"<f2", 'f', 2}, {"<f8", 'f', 8}, {"<i4", 'i', 4}, {"<i8", 'i', 8}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(descr, known[i].descr) == 0) {
            a->kind = known[i].kind;
            a->width = known[i].width;
            return WN_OK;
        }
    }
    return wn_fail(WN_EFORMAT, "%s: expected little-endian f2, f4, f8, i4 or i8, found %s",
                   a->map.path, descr);
}

static wn_err check_shape(wn_npy *a, const struct header *h, uint64_t bytes)
{
    const char *path = a->map.path;
    if (h->fortran)
        return wn_fail(WN_EFORMAT, "%s: expected C order, found Fortran order", path);
    if (h->ndim < 1 || h->ndim > MAX_NDIM)
        return wn_fail(WN_EFORMAT, "%s: expected 1 or 2 dims, found %s", path,
                       h->ndim ? "more" : "none");
    a->ndim = h->ndim;
    a->rows = h->dim[0];
    a->cols = h->ndim == 2 ? h->dim[1] : 1;
    uint64_t fit = bytes / (uint64_t)a->width;
    if (a->cols && a->rows > fit / a->cols)
        return wn_fail(WN_EFORMAT,
                       "%s: shape (%" PRIu64 ", %" PRIu64 ") needs more than the %" PRIu64
                       " bytes of data found (cut short?)",
                       path, a->rows, a->cols, bytes);
    if (a->rows * a->cols * (uint64_t)a->width != bytes)
        return wn_fail(WN_EFORMAT, "%s: expected %" PRIu64 " bytes of data, found %" PRIu64, path,
                       a->rows * a->cols * (uint64_t)a->width, bytes);
    return WN_OK;
}

static wn_err read_npy(wn_npy *a)
{
    const wn_map *m = &a->map;
    const unsigned char *b = (const unsigned char *)m->data;
    if (m->size < 10 || memcmp(b, "\x93NUMPY", 6) != 0)
        return wn_fail(WN_EFORMAT, "%s: expected a .npy file, found another kind", m->path);
    if ((b[6] != 1 && b[6] != 2) || b[7] != 0)
        return wn_fail(WN_EFORMAT, "%s: expected .npy version 1.0 or 2.0, found %d.%d", m->path,
                       b[6], b[7]);
    uint64_t at = b[6] == 1 ? 10 : 12, n = b[8] | (uint64_t)b[9] << 8;
    if (b[6] == 2 && m->size >= 12)
        n |= (uint64_t)b[10] << 16 | (uint64_t)b[11] << 24;
    if (m->size < at || n > m->size - at)
        return wn_fail(WN_EFORMAT, "%s: header of %" PRIu64 " bytes in a file of %" PRIu64, m->path,
                       n, m->size);
    struct header h = {0};
    struct text t = {m->data + at, m->data + at + n};
    if (!parse(&t, &h)) {
        if (strcmp(h.descr, "structured") == 0)
            return wn_fail(WN_EFORMAT, "%s: structured types are not supported", m->path);
        if (h.ndim > MAX_NDIM)
            return wn_fail(WN_EFORMAT, "%s: expected 1 or 2 dims, found more", m->path);
        return wn_fail(WN_EFORMAT, "%s: bad .npy header at byte %" PRIu64, m->path,
                       (uint64_t)(t.p - m->data));
    }
    WN_TRY(set_type(a, h.descr));
    a->data = m->data + at + n;
    return check_shape(a, &h, m->size - at - n);
}

wn_err wn_npy_open(wn_npy *a, const char *path)
{
    *a = (wn_npy){0};
    WN_TRY(strcmp(path, "-") == 0 ? wn_temp_stdin(&a->map) : wn_map_open(&a->map, path));
    wn_err err = read_npy(a);
    if (err != WN_OK)
        wn_npy_close(a);
    return err;
}

void wn_npy_close(wn_npy *a)
{
    wn_map_close(&a->map);
    *a = (wn_npy){0};
}

static void narrow(float *out, const char *in, uint64_t n)
{
    double step[STEP];
    for (uint64_t done = 0; done < n;) {
        size_t k = n - done < STEP ? (size_t)(n - done) : STEP;
        memcpy(step, in + done * sizeof *step, k * sizeof *step);
        for (size_t i = 0; i < k; i++)
            out[done + i] = (float)step[i];
        done += k;
    }
}

wn_err wn_npy_f32(float *out, const wn_npy *a, uint64_t first_row, uint64_t rows)
{
    if (a->kind != 'f')
        return wn_fail(WN_EARG, "%s: expected floating-point numbers, found i%d", a->map.path,
                       a->width);
    if (first_row > a->rows || rows > a->rows - first_row)
        return wn_fail(WN_EARG,
                       "%s: expected a range within %" PRIu64 " rows, found %" PRIu64 " + %" PRIu64,
                       a->map.path, a->rows, first_row, rows);
    uint64_t first = first_row * a->cols, n = rows * a->cols;
    if (a->width == 8) {
        narrow(out, a->data + first * 8, n);
        return WN_OK;
    }
    wn_tensor t = {.name = a->map.path,
                   .dtype = a->width == 4 ? WN_F32 : WN_F16,
                   .ndim = 2,
                   .dim = {a->rows, a->cols},
                   .data = a->data,
                   .bytes = a->rows * a->cols * (uint64_t)a->width};
    return wn_tensor_to_f32(out, &t, first, n);
}

wn_err wn_npy_header(wn_out *o, uint64_t rows, uint64_t cols)
{
    char text[2 * ALIGN];
    int n =
        snprintf(text, sizeof text,
                 "{'descr': '<f4', 'fortran_order': False, 'shape': (%" PRIu64 ", %" PRIu64 "), }",
                 rows, cols);
    WN_ASSERT(n > 0 && (size_t)n < sizeof text);
    /* Blanks and a newline bring the data to a multiple of 64, as NumPy does. */
    unsigned total = (10u + (unsigned)n + 1u + ALIGN - 1u) / ALIGN * ALIGN;
    unsigned len = total - 10u;
    const unsigned char head[10] = {
        0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (unsigned char)(len & 255), (unsigned char)(len >> 8)};
    WN_TRY(wn_out_write(o, head, sizeof head));
    return wn_out_printf(o, "%-*s\n", (int)len - 1, text);
}
