/* The plain kernels: loops a reader can check against the formula, sums in double. They run where
 * no faster table fits and are what every faster table is tested against. */
#include "kernel/mat.h"
#include "base/rng.h"

#include <math.h>
#include <string.h>

static void mm(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t bk,
               size_t bp, size_t m, size_t n, size_t k, bool add)
{
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < n; j++) {
            const float *col = b + j / WN_NR * bp + j % WN_NR;
            double s = add ? c[i * ldc + j] : 0;
            for (size_t kk = 0; kk < k; kk++)
                s += (double)a[i * lda + kk] * col[kk * bk];
            c[i * ldc + j] = (float)s;
        }
    }
}

static void transpose(float *out, size_t ldo, const float *in, size_t ldi, size_t rows, size_t cols)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++)
            out[c * ldo + r] = in[r * ldi + c];
}

static double act1(double x, wn_act act)
{
    switch (act) {
    case WN_ACT_SILU:
        return x / (1 + exp(-x));
    case WN_ACT_GELU:
        return 0.5 * x * (1 + erf(x * M_SQRT1_2));
    case WN_ACT_GELU_TANH:
        return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case WN_ACT_RELU:
        return x > 0 ? x : 0;
    case WN_ACT_IDENTITY:
        break;
    }
    return x;
}

static double slope1(double x, wn_act act)
{
    switch (act) {
    case WN_ACT_SILU: {
        double s = 1 / (1 + exp(-x));
        return s * (1 + x * (1 - s));
    }
    case WN_ACT_GELU:
        return 0.5 * (1 + erf(x * M_SQRT1_2)) + x * exp(-0.5 * x * x) / sqrt(2 * M_PI);
    case WN_ACT_GELU_TANH: {
        double c = sqrt(2 / M_PI);
        double t = tanh(c * (x + 0.044715 * x * x * x));
        return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 3 * 0.044715 * x * x);
    }
    case WN_ACT_RELU:
        return x > 0;
    case WN_ACT_IDENTITY:
        break;
    }
    return 1;
}

static void after(float *y, size_t ldy, const float *c, size_t ldc, const float *up, size_t ldup,
                  size_t m, size_t n, const wn_after *e)
{
    for (size_t r = 0; r < m; r++)
        for (size_t i = 0; i < n; i++) {
            double v = act1((double)c[r * ldc + i] + (e->bias ? e->bias[i] : 0), e->act);
            if (up)
                v *= (double)up[r * ldup + i] + (e->up_bias ? e->up_bias[i] : 0);
            y[r * ldy + i] = (float)(v + (e->residual ? e->residual[r * e->ldr + i] : 0));
        }
}

static void block_f32(float *out, const void *from, wn_mat_kind kind)
{
    wn_block_f32(out, from, kind);
}

static void block_pairs(uint16_t *out, const float *rows)
{
    wn_block_pairs(out, rows);
}

/* In floats, unlike its neighbours: these numbers are the same everywhere. */
static float row_int8(uint8_t *out, size_t step, int32_t *zero, const float *x, size_t n)
{
    float low, high;
    bool fine = wn_range(&low, &high, x, n);
    float range = high - low, by = fine && range > WN_INT8_LEAST ? 255 / range : 0;
    float z = by > 0 ? rintf(-low * by) : 0;
    *zero = (int32_t)z;
    for (size_t i = 0; i < wn_div_up(n, 64) * 64; i++) {
        float q = by > 0 && i < n ? rintf(x[i] * by) + z : z;
        out[i / 64 * step + i % 64] = (uint8_t)(q < 0 ? 0 : q > 255 ? 255 : q);
    }
    return fine ? range / 255 : NAN;
}

static void from_int32(float *y, size_t ldy, const int32_t *c, const wn_int8 *f, size_t m, size_t n,
                       bool add)
{
    wn_from_int32(y, ldy, c, f, m, n, add);
}

static void mm8(int32_t *c, const uint8_t *a, const int8_t *b, const int32_t *sums, size_t bp,
                size_t kt, size_t m, size_t n, const void *next, size_t lines)
{
    (void)sums, (void)next, (void)lines;
    for (size_t r = 0; r < m; r++)
        for (size_t j = 0; j < n; j++) {
            int32_t s = 0;
            for (size_t k = 0; k < kt * 64; k++)
                s += a[k / 64 * 2048 + r * 64 + k % 64] *
                     b[j / 16 * bp + k / 4 * 64 + j % 16 * 4 + k % 4];
            c[r * 32 + j] = s;
        }
}

const wn_narrow wn_narrow_ref = {.name = "ref", .mm8 = mm8};

/* Nearest even, as the conversion instructions do; NaNs stay NaNs. */
static void to_bf16(uint16_t *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, x + i, sizeof u);
        uint32_t near = u + 0x7fff + (u >> 16 & 1), quiet = u | 0x400000;
        y[i] = (uint16_t)(((u & 0x7fffffff) > 0x7f800000 ? quiet : near) >> 16);
    }
}

static void from_bf16(float *y, const uint16_t *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t u = (uint32_t)x[i] << 16;
        memcpy(y + i, &u, sizeof u);
    }
}

static void round_bf16(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t h;
        to_bf16(&h, x + i, 1);
        from_bf16(y + i, &h, 1);
    }
}

static float rmsnorm(float *y, const float *x, const float *g, size_t D, float eps)
{
    double s = 0;
    for (size_t i = 0; i < D; i++)
        s += (double)x[i] * x[i];
    float r = (float)(1 / sqrt(s / (double)D + (double)eps));
    for (size_t i = 0; i < D; i++)
        y[i] = g[i] * (x[i] * r);
    return r;
}

static void rmsnorm_back(float *dx, const float *dy, const float *x, const float *g, float rinv,
                         size_t D, bool add)
{
    double s = 0;
    for (size_t i = 0; i < D; i++)
        s += (double)g[i] * dy[i] * x[i] * rinv;
    s /= (double)D;
    for (size_t i = 0; i < D; i++) {
        double d = rinv * ((double)g[i] * dy[i] - (double)x[i] * rinv * s);
        dx[i] = (float)(add ? dx[i] + d : d);
    }
}

static void rmsnorm_gain(float *dg, const float *dy, const float *x, float rinv, size_t D)
{
    for (size_t i = 0; i < D; i++)
        dg[i] += dy[i] * (x[i] * rinv);
}

static void layernorm(float *y, float *mean, float *rinv, const float *x, const float *g,
                      const float *b, size_t D, float eps)
{
    double s = 0, ss = 0;
    for (size_t i = 0; i < D; i++)
        s += x[i];
    s /= (double)D;
    for (size_t i = 0; i < D; i++)
        ss += (x[i] - s) * (x[i] - s);
    double r = 1 / sqrt(ss / (double)D + (double)eps);
    for (size_t i = 0; i < D; i++)
        y[i] = (float)(g[i] * ((x[i] - s) * r) + (b ? b[i] : 0));
    *mean = (float)s;
    *rinv = (float)r;
}

static void layernorm_back(float *dx, const float *dy, const float *x, const float *g, float mean,
                           float rinv, size_t D, bool add)
{
    double su = 0, suh = 0;
    for (size_t i = 0; i < D; i++) {
        double u = (double)g[i] * dy[i];
        su += u;
        suh += u * ((double)x[i] - mean) * rinv;
    }
    su /= (double)D;
    suh /= (double)D;
    for (size_t i = 0; i < D; i++) {
        double h = ((double)x[i] - mean) * rinv;
        double d = rinv * ((double)g[i] * dy[i] - su - h * suh);
        dx[i] = (float)(add ? dx[i] + d : d);
    }
}

static void layernorm_gain(float *dg, float *db, const float *dy, const float *x, float mean,
                           float rinv, size_t D)
{
    for (size_t i = 0; i < D; i++) {
        dg[i] += dy[i] * ((x[i] - mean) * rinv);
        if (db)
            db[i] += dy[i];
    }
}

static void act(float *y, const float *gate, const float *up, size_t n, wn_act kind)
{
    for (size_t i = 0; i < n; i++)
        y[i] = (float)(act1(gate[i], kind) * (up ? up[i] : 1));
}

static void act_back(float *dgate, float *dup, const float *dy, const float *gate, const float *up,
                     size_t n, wn_act kind)
{
    for (size_t i = 0; i < n; i++) {
        double x = gate[i], u = up ? up[i] : 1, d = dy[i];
        dgate[i] = (float)(d * u * slope1(x, kind));
        if (dup)
            dup[i] = (float)(d * act1(x, kind));
    }
}

static void rope(float *x, const float *cs, size_t half, bool interleaved, float sign)
{
    for (size_t i = 0; i < half; i++) {
        float *p = interleaved ? x + 2 * i : x + i, *q = interleaved ? p + 1 : p + half;
        float c = cs[i], s = cs[half + i] * sign, a = *p, b = *q;
        *p = a * c - b * s;
        *q = b * c + a * s;
    }
}

static void tile_softmax(float *s, float *top, float *sum, float *keep, const wn_tile *t,
                         float scale)
{
    for (size_t i = 0; i < t->rows; i++) {
        float *row = s + i * t->ld;
        double m = top[i], l = 0;
        for (size_t j = t->lo[i]; j < t->hi[i]; j++)
            m = fmax(m, (double)scale * row[j]);
        keep[i] = top[i] == (float)m ? 1 : (float)exp(top[i] - m);
        for (size_t j = 0; j < t->n; j++) {
            bool seen = j >= t->lo[i] && j < t->hi[i];
            row[j] = seen ? (float)exp((double)scale * row[j] - m) : 0;
            l += row[j];
        }
        top[i] = (float)m;
        sum[i] = (float)(sum[i] * (double)keep[i] + l);
    }
}

static void tile_softmax_back(float *s, float *dp, const float *lse, const float *delta,
                              const wn_tile *t, float scale)
{
    for (size_t i = 0; i < t->rows; i++) {
        for (size_t j = 0; j < t->n; j++) {
            bool seen = j >= t->lo[i] && j < t->hi[i];
            float *p = s + i * t->ld + j, *d = dp + i * t->ld + j;
            *p = seen ? (float)exp((double)scale * *p - lse[i]) : 0;
            *d = seen ? *p * (*d - delta[i]) : 0;
        }
    }
}

static void softcap(float *s, size_t n, float scale, float cap)
{
    for (size_t i = 0; i < n; i++)
        s[i] = (float)(cap * tanh((double)scale * s[i] / cap));
}

static void softcap_back(float *ds, const float *capped, size_t n, float cap)
{
    for (size_t i = 0; i < n; i++) {
        float r = capped[i] / cap;
        ds[i] *= 1 - r * r;
    }
}

static float lse(const float *x, size_t n)
{
    double m = -INFINITY, s = 0;
    for (size_t i = 0; i < n; i++)
        m = fmax(m, x[i]);
    for (size_t i = 0; i < n; i++)
        s += exp(x[i] - m);
    return (float)(m + log(s));
}

static void exp_scaled(float *x, size_t n, float l, float weight)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(weight * exp((double)x[i] - l));
}

static void add(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

static void scale(float *y, float a, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] *= a;
}

static void axpy(float *y, float a, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = (float)((double)a * x[i] + y[i]);
}

static double dot64(const float *x, const float *y, size_t n)
{
    double s = 0;
    for (size_t i = 0; i < n; i++)
        s += (double)x[i] * y[i];
    return s;
}

static void add64(double *y, double a, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += a * (double)x[i];
}

static double sum_squares(const float *x, size_t n)
{
    return dot64(x, x, n);
}

static float dot(const float *x, const float *y, size_t n)
{
    return (float)dot64(x, y, n);
}

static bool all_finite(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return false;
    return true;
}

static uint64_t row_sum(const float *x, size_t n)
{
    uint64_t first[WN_ROW_LANES] = {0}, second[WN_ROW_LANES] = {0}, sum = 0;
    for (size_t i = 0; i < n; i += WN_ROW_LANES)
        for (size_t l = 0; l < WN_ROW_LANES; l++) {
            uint32_t word = 0;
            if (i + l < n)
                memcpy(&word, x + i + l, sizeof word);
            first[l] += word;
            second[l] += first[l];
        }
    for (size_t l = 0; l < WN_ROW_LANES; l++)
        sum += first[l] * WN_ROW_ODD(l) + second[l] * WN_ROW_EVEN(l);
    return sum;
}

static void adamw(float *w, float *m, float *v, const float *g, size_t n, float step, float b1,
                  float b2, float eps, float decay, float root, float gscale, float clip)
{
    for (size_t i = 0; i < n; i++) {
        float d = g[i] * gscale;
        if (clip > 0)
            d = fminf(fmaxf(d, -clip), clip);
        m[i] += (d - m[i]) * (1 - b1);
        v[i] = v[i] * b2 + (1 - b2) * d * d;
        w[i] = w[i] * decay - step * (m[i] / (sqrtf(v[i]) * root + eps));
    }
}

static void philox16(uint32_t out[4][16], const uint32_t ctr[4], const uint32_t key[2])
{
    for (uint32_t l = 0; l < 16; l++) {
        uint32_t at[4] = {ctr[0] + l, ctr[1], ctr[2], ctr[3]}, block[4];
        wn_philox(block, at, key);
        for (int w = 0; w < 4; w++)
            out[w][l] = block[w];
    }
}

static void sign_rows(float *out, const uint32_t word[16], unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++)
        for (int l = 0; l < 16; l++)
            *out++ = word[l] >> i & 1 ? 1 : -1;
}

static void sign_columns(float *out, uint32_t word, unsigned from)
{
    for (unsigned i = from; i < from + 16; i++)
        *out++ = i < 32 && word >> i & 1 ? 1 : -1;
}

static void mm64(double *c, size_t cp, const double *a, size_t rs, size_t cs, const double *b,
                 size_t bp, size_t m, size_t panels, size_t k, bool add)
{
    for (size_t j = 0; j < panels * WN_ND; j++)
        for (size_t i = 0; i < m; i++) {
            double *y = &c[j / WN_ND * cp + i * WN_ND + j % WN_ND];
            double sum = add ? *y : 0;
            for (size_t kk = 0; kk < k; kk++)
                sum += a[i * rs + kk * cs] * b[j / WN_ND * bp + kk * WN_ND + j % WN_ND];
            *y = sum;
        }
}

static void sigmoid_neg(double *y, const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = 1 / (1 + exp(x[i]));
}

static void axpy64(double *y, double a, const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += a * x[i];
}

static void widen(double *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = x[i];
}

static double spin(size_t rounds)
{
    volatile double s = 1;
    for (size_t i = 0; i < rounds; i++)
        s = s * 0.999 + 0.001;
    return 2 * (double)rounds;
}

const wn_kernels wn_kernel_table_ref = {
    .name = "ref",
    .mm = mm,
    .transpose = transpose,
    .after = after,
    .block_f32 = block_f32,
    .block_pairs = block_pairs,
    .row_int8 = row_int8,
    .from_int32 = from_int32,
    .round_bf16 = round_bf16,
    .to_bf16 = to_bf16,
    .from_bf16 = from_bf16,
    .rmsnorm = rmsnorm,
    .rmsnorm_back = rmsnorm_back,
    .rmsnorm_gain = rmsnorm_gain,
    .layernorm = layernorm,
    .layernorm_back = layernorm_back,
    .layernorm_gain = layernorm_gain,
    .act = act,
    .act_back = act_back,
    .rope = rope,
    .tile_softmax = tile_softmax,
    .tile_softmax_back = tile_softmax_back,
    .softcap = softcap,
    .softcap_back = softcap_back,
    .lse = lse,
    .exp_scaled = exp_scaled,
    .add = add,
    .scale = scale,
    .axpy = axpy,
    .sum_squares = sum_squares,
    .dot = dot,
    .dot64 = dot64,
    .add64 = add64,
    .all_finite = all_finite,
    .row_sum = row_sum,
    .adamw = adamw,
    .philox16 = philox16,
    .sign_rows = sign_rows,
    .sign_columns = sign_columns,
    .mm64 = mm64,
    .sigmoid_neg = sigmoid_neg,
    .axpy64 = axpy64,
    .widen = widen,
    .spin = spin,
};
