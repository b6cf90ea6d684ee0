/* oneDNN, the one file that knows it: 2.x (Debian 12) and 3.x differ in how descriptors are made.
 *
 * What our own products are compared with (WN_GEMM=onednn, doctor, benchmarks). A weight becomes a
 * grid of packed blocks, and a product a loop over tiles of 64 rows and one column of blocks, each
 * run single-threaded inside our own parallel-for: whole tiles only (the last one padded with
 * zeros) and inner blocks summed in order, so that a row's result does not depend on the batch or
 * on threads. Blocks also bound the scratch a thread needs. */
#include "kernel/table.h"
#include "base/mem.h"
#include "base/par.h"

#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <string.h>

enum { ROWS = 64, IN = 2048, OUT = 1024 };

/* One direction of a weight: a product [ROWS, in] x [in, out]. Of the at most four block shapes,
 * shape (i last) + 2 * (o last). */
typedef struct side {
    size_t in, out, n_in, n_out;
    dnnl_primitive_t prim[4];
    dnnl_primitive_desc_t pd[4];
    dnnl_memory_t *blocks; /* [n_out][n_in] */
    void **bytes;
} side;

struct wn_dnnl {
    dnnl_engine_t engine;
    dnnl_data_type_t type;
    side fwd, back;
};

static size_t min(size_t a, size_t b)
{
    return a < b ? a : b;
}

#if DNNL_VERSION_MAJOR >= 3
typedef const_dnnl_memory_desc_t md_in;
static bool describe(dnnl_memory_desc_t *md, size_t r, size_t c, dnnl_data_type_t type, bool any)
{
    dnnl_dims_t dims = {(dnnl_dim_t)r, (dnnl_dim_t)c}, strides = {(dnnl_dim_t)c, 1};
    return any ? !dnnl_memory_desc_create_with_tag(md, 2, dims, type, dnnl_format_tag_any)
               : !dnnl_memory_desc_create_with_strides(md, 2, dims, type, strides);
}
static void forget(dnnl_memory_desc_t *md)
{
    dnnl_memory_desc_destroy(*md);
}
static md_in as_in(const dnnl_memory_desc_t *md)
{
    return *md;
}
#else
typedef const dnnl_memory_desc_t *md_in;
static bool describe(dnnl_memory_desc_t *md, size_t r, size_t c, dnnl_data_type_t type, bool any)
{
    dnnl_dims_t dims = {(dnnl_dim_t)r, (dnnl_dim_t)c}, strides = {(dnnl_dim_t)c, 1};
    return any ? !dnnl_memory_desc_init_by_tag(md, 2, dims, type, dnnl_format_tag_any)
               : !dnnl_memory_desc_init_by_strides(md, 2, dims, type, strides);
}
static void forget(dnnl_memory_desc_t *md)
{
    (void)md;
}
static md_in as_in(const dnnl_memory_desc_t *md)
{
    return md;
}
#endif

static bool make_matmul(dnnl_primitive_desc_t *pd, dnnl_engine_t engine,
                        const dnnl_memory_desc_t *x, const dnnl_memory_desc_t *w,
                        const dnnl_memory_desc_t *y)
{
    dnnl_primitive_attr_t attr;
    if (dnnl_primitive_attr_create(&attr))
        return false;
    bool ok = !dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
#if DNNL_VERSION_MAJOR >= 3
    ok = ok && !dnnl_matmul_primitive_desc_create(pd, engine, *x, *w, NULL, *y, attr);
#else
    dnnl_matmul_desc_t op;
    ok = ok && !dnnl_matmul_desc_init(&op, x, w, NULL, y) &&
         !dnnl_primitive_desc_create(pd, &op, attr, engine, NULL);
#endif
    dnnl_primitive_attr_destroy(attr);
    return ok;
}

static md_in query(const_dnnl_primitive_desc_t pd, dnnl_query_t what)
{
    return dnnl_primitive_desc_query_md(pd, what, 0);
}

static bool shape_init(struct wn_dnnl *h, side *s, int shape, size_t in, size_t out)
{
    dnnl_memory_desc_t x, w, y;
    if (s->prim[shape])
        return true;
    if (!describe(&x, ROWS, in, h->type, false))
        return false;
    bool ok = false;
    if (describe(&w, in, out, h->type, true)) {
        if (describe(&y, ROWS, out, dnnl_f32, false)) {
            ok = make_matmul(&s->pd[shape], h->engine, &x, &w, &y);
            forget(&y);
        }
        forget(&w);
    }
    forget(&x);
    return ok && !dnnl_primitive_create(&s->prim[shape], s->pd[shape]);
}

/* Element (i, o) of a side's weight, from W [N, K]. */
static float weight(const float *W, size_t K, bool back, size_t i, size_t o)
{
    return back ? W[i * K + o] : W[o * K + i];
}

/* Writes block (bi, bo) into oneDNN's own layout. */
static bool block_init(struct wn_dnnl *h, side *s, const float *W, size_t K, size_t bi, size_t bo)
{
    size_t in = min(IN, s->in - bi * IN), out = min(OUT, s->out - bo * OUT), at = bo * s->n_in + bi;
    int shape = (bi + 1 == s->n_in) + 2 * (bo + 1 == s->n_out);
    if (!shape_init(h, s, shape, in, out))
        return false;
    md_in packed = query(s->pd[shape], dnnl_query_weights_md);
    float *plain = wn_malloc(in * out * sizeof *plain);
    s->bytes[at] = wn_malloc(dnnl_memory_desc_get_size(packed));
    dnnl_memory_desc_t md;
    if (!plain || !s->bytes[at] || !describe(&md, in, out, dnnl_f32, false)) {
        wn_free(plain);
        return false;
    }
    for (size_t i = 0; i < in; i++)
        for (size_t o = 0; o < out; o++)
            plain[i * out + o] = weight(W, K, s == &h->back, bi * IN + i, bo * OUT + o);
    dnnl_memory_t from = NULL;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_t reorder = NULL;
    dnnl_stream_t stream = NULL;
    bool ok =
        !dnnl_memory_create(&s->blocks[at], packed, h->engine, s->bytes[at]) &&
        !dnnl_memory_create(&from, as_in(&md), h->engine, plain) &&
        !dnnl_reorder_primitive_desc_create(&pd, as_in(&md), h->engine, packed, h->engine, NULL) &&
        !dnnl_primitive_create(&reorder, pd) &&
        !dnnl_stream_create(&stream, h->engine, dnnl_stream_default_flags);
    dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, s->blocks[at]}};
    ok = ok && !dnnl_primitive_execute(reorder, stream, 2, args) && !dnnl_stream_wait(stream);
    dnnl_stream_destroy(stream);
    dnnl_primitive_destroy(reorder);
    dnnl_primitive_desc_destroy(pd);
    dnnl_memory_destroy(from);
    forget(&md);
    wn_free(plain);
    return ok;
}

static bool side_init(struct wn_dnnl *h, side *s, const float *W, size_t K, size_t in, size_t out)
{
    s->in = in, s->out = out;
    s->n_in = (in + IN - 1) / IN, s->n_out = (out + OUT - 1) / OUT;
    s->blocks = wn_calloc(s->n_in * s->n_out, sizeof *s->blocks);
    s->bytes = wn_calloc(s->n_in * s->n_out, sizeof *s->bytes);
    if (!s->blocks || !s->bytes)
        return false;
    for (size_t o = 0; o < s->n_out; o++)
        for (size_t i = 0; i < s->n_in; i++)
            if (!block_init(h, s, W, K, i, o))
                return false;
    return true;
}

static void side_free(side *s)
{
    for (size_t i = 0; i < s->n_in * s->n_out; i++) {
        if (s->blocks)
            dnnl_memory_destroy(s->blocks[i]);
        if (s->bytes)
            wn_free(s->bytes[i]);
    }
    for (int i = 0; i < 4; i++) {
        dnnl_primitive_destroy(s->prim[i]);
        dnnl_primitive_desc_destroy(s->pd[i]);
    }
    wn_free(s->blocks);
    wn_free(s->bytes);
}

wn_dnnl *wn_dnnl_new(const float *W, size_t N, size_t K, bool bf16)
{
    wn_dnnl *h = wn_calloc(1, sizeof *h);
    if (!h || !N || !K)
        goto fail;
    h->type = bf16 ? dnnl_bf16 : dnnl_f32;
    /* oneDNN plans a primitive for the threads of this moment; ours run it one by one. */
    int threads = omp_get_max_threads();
    omp_set_num_threads(1);
    bool ok = !dnnl_engine_create(&h->engine, dnnl_cpu, 0) && side_init(h, &h->fwd, W, K, K, N) &&
              side_init(h, &h->back, W, K, N, K);
    omp_set_num_threads(threads);
    if (ok)
        return h;
fail:
    wn_dnnl_free(h);
    return NULL;
}

void wn_dnnl_free(wn_dnnl *h)
{
    if (!h)
        return;
    side_free(&h->fwd);
    side_free(&h->back);
    dnnl_engine_destroy(h->engine);
    wn_free(h);
}

typedef struct product {
    const wn_dnnl *h;
    const side *s;
    float *y;
    const float *x;
    size_t ldy, ldx, T, row_tiles;
    bool add, failed; /* failed: written atomically */
} product;

/* Rows of x as the primitive reads them: dense, of its type, zeros below the last. */
static void fill_in(const product *p, float *in_buf, size_t t0, size_t rows, size_t i0, size_t in)
{
    const wn_kernels *t = wn_kernel_table();
    bool bf16 = p->h->type == dnnl_bf16;
    uint16_t *half = (uint16_t *)(void *)in_buf;
    float line[IN];
    for (size_t r = 0; r < rows; r++) {
        const float *x = p->x + (t0 + r) * p->ldx + i0;
        if (!bf16) {
            memcpy(in_buf + r * in, x, in * sizeof *x);
            continue;
        }
        t->round_bf16(line, x, in);
        for (size_t i = 0; i < in; i++) {
            uint32_t u;
            memcpy(&u, line + i, sizeof u);
            half[r * in + i] = (uint16_t)(u >> 16);
        }
    }
    size_t each = bf16 ? 2 : 4;
    memset((char *)in_buf + rows * in * each, 0, (ROWS - rows) * in * each);
}

static bool run_block(const product *p, dnnl_stream_t stream, float *in_buf, float *out_buf,
                      size_t bi, size_t bo)
{
    const side *s = p->s;
    int shape = (bi + 1 == s->n_in) + 2 * (bo + 1 == s->n_out);
    const_dnnl_primitive_desc_t pd = s->pd[shape];
    md_in pad = query(pd, dnnl_query_scratchpad_md);
    void *bytes = wn_malloc(dnnl_memory_desc_get_size(pad) + 1);
    dnnl_memory_t x = NULL, y = NULL, room = NULL;
    bool ok = bytes &&
              !dnnl_memory_create(&x, query(pd, dnnl_query_src_md), p->h->engine, in_buf) &&
              !dnnl_memory_create(&y, query(pd, dnnl_query_dst_md), p->h->engine, out_buf) &&
              !dnnl_memory_create(&room, pad, p->h->engine, bytes);
    dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, x},
                              {DNNL_ARG_WEIGHTS, s->blocks[bo * s->n_in + bi]},
                              {DNNL_ARG_DST, y},
                              {DNNL_ARG_SCRATCHPAD, room}};
    ok =
        ok && !dnnl_primitive_execute(s->prim[shape], stream, 4, args) && !dnnl_stream_wait(stream);
    dnnl_memory_destroy(x);
    dnnl_memory_destroy(y);
    dnnl_memory_destroy(room);
    wn_free(bytes);
    return ok;
}

static void run_tile(void *ctx, size_t tile, int thread)
{
    (void)thread;
    product *p = ctx;
    const wn_kernels *t = wn_kernel_table();
    size_t t0 = tile % p->row_tiles * ROWS, bo = tile / p->row_tiles, rows = min(ROWS, p->T - t0);
    size_t out = min(OUT, p->s->out - bo * OUT);
    int threads = omp_get_max_threads();
    omp_set_num_threads(1);
    dnnl_stream_t stream = NULL;
    float *in_buf = wn_malloc(ROWS * (IN + OUT) * sizeof *in_buf);
    float *out_buf = in_buf ? in_buf + ROWS * IN : NULL;
    bool ok = in_buf && !dnnl_stream_create(&stream, p->h->engine, dnnl_stream_default_flags);
    for (size_t bi = 0; ok && bi < p->s->n_in; bi++) {
        fill_in(p, in_buf, t0, rows, bi * IN, min(IN, p->s->in - bi * IN));
        ok = run_block(p, stream, in_buf, out_buf, bi, bo);
        for (size_t r = 0; ok && r < rows; r++) {
            float *y = p->y + (t0 + r) * p->ldy + bo * OUT;
            if (bi || p->add)
                t->add(y, out_buf + r * out, out);
            else
                memcpy(y, out_buf + r * out, out * sizeof *y);
        }
    }
    dnnl_stream_destroy(stream);
    wn_free(in_buf);
    omp_set_num_threads(threads);
    if (!ok)
        __atomic_store_n(&p->failed, true, __ATOMIC_RELAXED);
}

bool wn_dnnl_mm(float *y, size_t ldy, const float *x, size_t ldx, const wn_dnnl *h, size_t T,
                bool back, bool add)
{
    product p = {.h = h,
                 .s = back ? &h->back : &h->fwd,
                 .y = y,
                 .x = x,
                 .ldy = ldy,
                 .ldx = ldx,
                 .T = T,
                 .row_tiles = (T + ROWS - 1) / ROWS,
                 .add = add};
    wn_par_do(p.row_tiles * p.s->n_out, run_tile, &p);
    return !p.failed;
}
