/* Optimisers beyond the goldens: 8-bit state, weight decay's groups, what is refused. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "train/optim.h"
#include "train/rules.h"

#define OK(expr) cr_assert_eq((expr), WN_OK, "%s", wn_error_message())

/* Magnitudes over seven decades, as moments of one block are. */
static void fill(float x[WN_STATE_BLOCK], bool is_signed)
{
    for (size_t i = 0; i < WN_STATE_BLOCK; i++) {
        double size = pow(10, -7 * wn_rng_uniform(1, WN_STREAM_TEST, i));
        x[i] = (float)(is_signed && i % 2 ? -size : size);
    }
    x[3] = 0;
    x[5] = 1e-12F; /* below the smallest code */
}

Test(optim, codes_are_near_and_right_on_average)
{
    enum { DRAWS = 4000 };
    for (int is_signed = 0; is_signed < 2; is_signed++) {
        float x[WN_STATE_BLOCK], back[WN_STATE_BLOCK], scale;
        double sum[WN_STATE_BLOCK] = {0};
        uint8_t code[WN_STATE_BLOCK];
        fill(x, is_signed);
        for (uint32_t d = 0; d < DRAWS; d++) {
            wn_state8_put(code, &scale, x, WN_STATE_BLOCK, is_signed,
                          (uint32_t)wn_rng_u64(2, WN_STREAM_TEST, d));
            wn_state8_get(back, code, scale, WN_STATE_BLOCK, is_signed);
            for (size_t i = 0; i < WN_STATE_BLOCK; i++) {
                float step = fmaxf(fabsf(x[i]) / 8, is_signed ? 8e-6F : 2e-10F);
                cr_assert(fabsf(back[i] - x[i]) <= step, "%g became %g", (double)x[i],
                          (double)back[i]);
                cr_assert(is_signed || (back[i] > 0) == (x[i] > 0));
                sum[i] += (double)back[i];
            }
        }
        for (size_t i = 0; i < WN_STATE_BLOCK; i++) {
            double step = fmax(fabs((double)x[i]) / 8, 8e-6);
            cr_expect(fabs(sum[i] / DRAWS - (double)x[i]) < 5 * step / sqrt(DRAWS),
                      "the mean of %g is %g", (double)x[i], sum[i] / DRAWS);
        }
    }
}

Test(optim, codes_of_nothing)
{
    float x[5] = {0}, back[5] = {1, 1, 1, 1, 1}, scale = 3;
    uint8_t code[5];
    wn_state8_put(code, &scale, x, 5, true, 9);
    wn_state8_get(back, code, scale, 5, true);
    for (int i = 0; i < 5; i++)
        cr_expect_eq(back[i], 0);
}

/* One parameter [rows, cols] of that many elements. */
static wn_params one(size_t rows, size_t cols, bool decay)
{
    wn_params ps = {0};
    OK(wn_params_add(&ps, NULL, "w", rows, cols, decay));
    ps.p[0].trainable = true;
    ps.p[0].value = wn_calloc(rows * cols, sizeof(float));
    OK(wn_params_make_grads(&ps));
    return ps;
}

/* Distance to the minimum of sum of a_i (w_i - 1)^2 after some updates. */
static double distance_after(const wn_optim_opts *opts, double lr, int updates)
{
    wn_params ps = one(30, 40, false);
    wn_param *p = &ps.p[0];
    wn_optim o;
    double sum = 0;
    OK(wn_optim_init(&o, opts, &ps));
    for (int t = 0; t < updates; t++) {
        for (size_t i = 0; i < 1200; i++)
            p->grad[i] = (float)(1 + i % 7) * (p->value[i] - 1);
        wn_optim_step(&o, &ps, lr * (1 - (double)t / updates), 1, 0);
    }
    for (size_t i = 0; i < 1200; i++)
        sum += ((double)p->value[i] - 1) * ((double)p->value[i] - 1);
    wn_optim_free(&o);
    wn_params_free(&ps);
    return sqrt(sum / 1200);
}

Test(optim, eight_bits_learn_as_well)
{
    static const char *const kinds[] = {"adamw", "adam", "lion"};
    for (int k = 0; k < 3; k++) {
        double whole = distance_after(&(wn_optim_opts){.kind = kinds[k]}, 0.05, 200);
        double eight =
            distance_after(&(wn_optim_opts){.kind = kinds[k], .eight_bit = true}, 0.05, 200);
        cr_expect(whole < 0.01, "%s: %g", kinds[k], whole);
        cr_expect(eight < 0.02, "%s in 8 bits: %g, in f32 %g", kinds[k], eight, whole);
    }
}

Test(optim, every_kind_finds_the_minimum)
{
    cr_expect_lt(distance_after(&(wn_optim_opts){.kind = "sgd"}, 0.1, 200), 0.01);
    cr_expect_lt(distance_after(&(wn_optim_opts){.kind = "sgd", .momentum = 0.9}, 0.02, 300), 0.01);
    cr_expect_lt(distance_after(&(wn_optim_opts){.kind = "adafactor"}, 0.1, 300), 0.05);
}

Test(optim, decay_spares_what_it_should)
{
    static const char *const kinds[] = {"adamw", "adam", "sgd", "lion", "adafactor"};
    for (int k = 0; k < 5; k++)
        for (int decays = 0; decays < 2; decays++) {
            wn_params ps = one(4, 3, decays);
            wn_optim o;
            for (int i = 0; i < 12; i++)
                ps.p[0].value[i] = 2;
            OK(wn_optim_init(&o, &(wn_optim_opts){.kind = kinds[k], .weight_decay = 0.5}, &ps));
            wn_optim_step(&o, &ps, 0.1, 1, 0);
            cr_expect_eq(ps.p[0].value[5] < 2, decays, "%s: %g", kinds[k],
                         (double)ps.p[0].value[5]);
            wn_optim_free(&o);
            wn_params_free(&ps);
        }
}

Test(optim, bytes_are_what_is_allocated)
{
    const wn_optim_opts all[] = {{.kind = "adamw"},     {.kind = "lion", .eight_bit = true},
                                 {.kind = "adafactor"}, {.kind = "adafactor", .beta1 = 0.9},
                                 {.kind = "sgd"},       {.kind = "sgd", .momentum = 0.5}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        wn_params ps = one(50, 70, true);
        wn_optim o;
        size_t before = wn_mem_live();
        OK(wn_optim_init(&o, &all[i], &ps));
        size_t got = wn_mem_live() - before - sizeof(wn_optim_state);
        cr_expect_eq(got, wn_optim_bytes(&all[i], &ps), "%s: %zu, planned %zu", all[i].kind, got,
                     wn_optim_bytes(&all[i], &ps));
        wn_optim_free(&o);
        wn_params_free(&ps);
    }
}

Test(optim, options_of_others_are_refused)
{
    const wn_optim_opts bad[] = {{.kind = "adagrad"},
                                 {.kind = "sgd", .beta1 = 0.9},
                                 {.kind = "adamw", .momentum = 0.9},
                                 {.kind = "lion", .eps = 1e-6},
                                 {.kind = "adafactor", .eight_bit = true},
                                 {.kind = "adafactor", .warmup_init = true},
                                 {.kind = "adam", .relative_step = true},
                                 {.kind = "sgd", .nesterov = true},
                                 {.beta2 = 1}};
    wn_params ps = one(2, 2, true);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        wn_optim o;
        cr_expect_eq(wn_optim_init(&o, &bad[i], &ps), WN_EUSE, "%zu", i);
        wn_optim_free(&o);
    }
    wn_params_free(&ps);
}
