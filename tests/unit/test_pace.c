/* Models that are a config alone, and what is reckoned from measuring them. Times are a clock's:
 * only their signs are asked for. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/report.h"
#include "eval/eval.h"
#include "feature/embed.h"
#include "model/model.h"
#include "report/cost.h"
#include "report/pace.h"
#include "report/pace_data.h"
#include "report/price_parts.h"
#include "report/sizes.h"

static const char *const llama =
    "{\"model_type\":\"llama\",\"vocab_size\":301,\"hidden_size\":36,\"intermediate_size\":52,"
    "\"num_hidden_layers\":2,\"num_attention_heads\":6,\"num_key_value_heads\":2,\"head_dim\":6,"
    "\"hidden_act\":\"silu\",\"max_position_embeddings\":64,\"tie_word_embeddings\":true}";
static const char *const t5 =
    "{\"model_type\":\"t5\",\"d_model\":32,\"d_kv\":8,\"d_ff\":48,\"num_layers\":3,"
    "\"num_decoder_layers\":3,\"num_heads\":4,\"vocab_size\":100,\"feed_forward_proj\":"
    "\"gated-gelu\",\"tie_word_embeddings\":false}";

static json_t *config_of(const char *text)
{
    json_t *c;
    cr_assert_eq(wn_json_parse(&c, text, strlen(text), "config"), WN_OK, "%s", wn_error_text());
    return c;
}

/* Linear weights of one layer of the two shapes above. */
enum {
    LLAMA_LAYER = 36 * (36 + 12 + 12) + 36 * 36 + 3 * 36 * 52,
    T5_ATTENTION = 4 * 32 * 32,
    T5_FF = 3 * 32 * 48
};

Test(pace, a_made_up_model_has_the_parameters_of_its_shape)
{
    json_t *c = config_of(llama);
    wn_model *m;
    size_t live = wn_mem_live();
    cr_assert_eq(
        wn_model_make_up(&m, c, "here", 0, &(wn_model_opts){.precision = WN_PRECISION_F32}), WN_OK,
        "%s", wn_error_text());
    uint64_t norms = 2 * 2 * 36 + 36;
    cr_expect_eq(wn_model_facts_of(m)->parameters, 301 * 36 + 2 * LLAMA_LAYER + norms);
    wn_model_close(m);
    cr_assert_eq(wn_model_make_up(&m, c, "here", 5, NULL), WN_OK);
    cr_expect_eq(wn_model_facts_of(m)->layers, 5);
    wn_model_close(m);
    cr_expect_eq(wn_mem_live(), live);
    json_object_set_new(c, "model_type", json_string("nosuch"));
    cr_expect_eq(wn_model_make_up(&m, c, "here", 0, NULL), WN_EFORMAT);
    cr_expect(strstr(wn_error_text(), "here: architecture \"nosuch\""));
    cr_expect_eq(wn_mem_live(), live);
    json_decref(c);
}

static wn_pace measured(const wn_pace_job *j)
{
    wn_pace p;
    size_t live = wn_mem_live();
    cr_assert_eq(wn_pace_measure(&p, j), WN_OK, "%s", wn_error_text());
    cr_expect_gt(p.row_sec, 0);
    cr_expect_eq(wn_mem_live(), live);
    return p;
}

Test(pace, flops_of_a_decoder)
{
    json_t *c = config_of(llama);
    const wn_train_opts full = {.method = "full", .max_batch_tokens = 32},
                        lora = {.max_batch_tokens = 32};
    wn_pace_job j = {.config = c,
                     .place = "here",
                     .precision = WN_PRECISION_F32,
                     .prompt = 10,
                     .target = 3,
                     .texts = 4};
    j.kind = WN_PACE_EMBED;
    cr_expect_float_eq(measured(&j).row_flops, 2.0 * 2 * LLAMA_LAYER * 10, 0.5);
    j.kind = WN_PACE_RANK; /* four texts of three tokens, the last of each predicted only */
    cr_expect_float_eq(measured(&j).row_flops,
                       2.0 * (2 * LLAMA_LAYER * (10 + 4 * 2) + 301 * 36 * 12), 0.5);
    j.kind = WN_PACE_TRAIN;
    j.train = &full;
    double forward = 2.0 * (2 * LLAMA_LAYER * 12 + 301 * 36 * 3);
    wn_pace p = measured(&j);
    cr_expect_float_eq(p.row_flops, 3 * forward, 0.5);
    cr_expect_gt(p.update_sec, 0);
    cr_expect_gt(p.bytes, 16 * p.parameters);
    cr_expect_float_eq(p.trained, p.parameters, 0);
    j.train = &lora;
    p = measured(&j);
    cr_expect_float_eq(p.row_flops, 2 * forward, 0.5);
    cr_expect_lt(p.trained, p.parameters / 2);
    j.kind = WN_PACE_ANSWER;
    cr_expect_float_eq(measured(&j).row_flops, 2.0 * (2 * LLAMA_LAYER + 301 * 36), 0.5);
    json_decref(c);
}

Test(pace, flops_of_an_encoder_decoder)
{
    json_t *c = config_of(t5);
    wn_pace_job j = {.kind = WN_PACE_EMBED,
                     .config = c,
                     .place = "here",
                     .precision = WN_PRECISION_F32,
                     .prompt = 20,
                     .target = 2,
                     .texts = 3};
    double encoder = 3.0 * (T5_ATTENTION + T5_FF), cross = 3.0 * 2 * 32 * 32;
    double decoder = 3.0 * (T5_ATTENTION + 2 * 32 * 32 + T5_FF);
    cr_expect_float_eq(measured(&j).row_flops, 2 * encoder * 20, 0.5);
    j.kind = WN_PACE_RANK;
    cr_expect_float_eq(measured(&j).row_flops,
                       2 * ((encoder + cross) * 20 + decoder * 6 + 100 * 32 * 6), 0.5);
    j.kind = WN_PACE_ANSWER;
    cr_expect_float_eq(measured(&j).row_flops, 2 * (decoder + 100 * 32), 0.5);
    json_decref(c);
}

/* Measured at one and some layers: what is linear in them comes out exactly. */
Test(pace, a_large_model_from_small_ones)
{
    json_t *c = config_of(llama);
    json_object_set_new(c, "hidden_size", json_integer(512));
    json_object_set_new(c, "intermediate_size", json_integer(1024));
    json_object_set_new(c, "num_hidden_layers", json_integer(40));
    json_object_set_new(c, "vocab_size", json_integer(40000));
    const double layer = 512.0 * (36 + 12 + 12) + 36 * 512 + 3.0 * 512 * 1024;
    const wn_train_opts lora = {.rank = 4, .max_batch_tokens = 64};
    wn_pace_job j = {.kind = WN_PACE_TRAIN,
                     .config = c,
                     .place = "here",
                     .precision = WN_PRECISION_F32,
                     .train = &lora,
                     .prompt = 20,
                     .target = 2};
    wn_pace p = measured(&j);
    cr_expect_float_eq(p.row_flops, 2 * 2 * (40 * layer * 21 + 40000.0 * 512 * 2), 1e3);
    double numbers =
        40 * 4.0 * (512 + 36 + 2 * (512 + 12) + 36 + 512 + 2 * (512 + 1024) + 1024 + 512);
    cr_expect_float_eq(p.trained, numbers, 1);
    cr_expect_gt(p.bytes, 4 * 40 * layer);
    cr_expect_lt(p.work_bytes, p.bytes);
    json_decref(c);
}

Test(pace, known_shapes_are_models)
{
    const struct {
        const char *name;
        double millions;
    } shape[] = {{"t5-v1_1-small", 77},
                 {"t5-v1_1-base", 248},
                 {"t5-v1_1-xl", 2850},
                 {"all-MiniLM-L6-v2", 22.6},
                 {"SmolLM2-135M", 134.5}};
    for (size_t i = 0; i < sizeof shape / sizeof *shape; i++) {
        json_t *c = wn_shape_config(shape[i].name);
        wn_model *m;
        cr_assert(c);
        cr_expect(strstr(wn_shape_names(), shape[i].name));
        cr_assert_eq(wn_model_make_up(&m, c, "here", 0, &(wn_model_opts){.unpacked = true}), WN_OK,
                     "%s", wn_error_text());
        double n = (double)wn_model_facts_of(m)->parameters;
        cr_expect_float_eq(n * 1e-6, shape[i].millions, 0.01 * shape[i].millions, "%s: %g",
                           shape[i].name, n);
        wn_model_close(m);
        json_decref(c);
    }
    cr_expect_null(wn_shape_config("nosuch"));
}

Test(pace, rows_and_vectors_leave_nothing_behind)
{
    wn_pace_pool p;
    double row;
    wn_pace_scan s;
    size_t live = wn_mem_live();
    cr_assert_eq(wn_pace_pool_open(&p, 300, NULL), WN_OK, "%s", wn_error_text());
    cr_expect_float_eq((double)p.bytes / (double)p.rows, 300, 15, "%g",
                       (double)p.bytes / (double)p.rows);
    cr_expect_gt(p.build_sec, 0);
    cr_assert_eq(wn_pace_select(&row, &p, "random", NULL, true, 50), WN_OK, "%s", wn_error_text());
    cr_expect_gt(row, 0);
    wn_pace_pool_close(&p);
    cr_assert_eq(wn_pace_search(&s, 5000, 64, 20, 10, WN_METRIC_L2), WN_OK, "%s", wn_error_text());
    cr_expect_gt(s.row_sec, 0);
    cr_expect_gt(s.again_sec, 0);
    cr_expect_geq(s.fixed_sec, 0);
    cr_expect_eq(wn_mem_live(), live);
}

static void priced(wn_pricing *p, double runs, wn_price_spread how, double sec, json_int_t machines)
{
    wn_price_line l = {.stage = "train", .name = "some", .runs = runs, .sec = 120};
    size_t i = json_array_size(p->parts);
    cr_assert_eq(wn_price_add(p, &l, how), WN_OK);
    const json_t *part = json_array_get(p->parts, i);
    cr_expect_float_eq(json_real_value(json_object_get(part, "seconds")), sec, 1e-9,
                       "%g runs, way %d: %g", runs, (int)how,
                       json_real_value(json_object_get(part, "seconds")));
    cr_expect_eq(json_integer_value(json_object_get(part, "machines")), machines);
}

/* Four machines twice as fast as this one: a training is not cut, six of them take two rounds, rows
 * are shared out, and what was made in pieces has to be joined. */
Test(pace, machines_share_what_can_be_shared)
{
    const wn_plan_opts o = {.nodes = 4};
    wn_pricing p = {.o = &o,
                    .parts = json_array(),
                    .rates = json_array(),
                    .nodes = 4,
                    .speed = 2,
                    .disk_rate = 1e9};
    priced(&p, 1, WN_PRICE_ONE_MACHINE, 60, 1);
    priced(&p, 1, WN_PRICE_BY_ROWS, 15, 4);
    priced(&p, 1, WN_PRICE_BY_RUNS, 60, 1);
    priced(&p, 3, WN_PRICE_BY_RUNS, 20, 3);
    priced(&p, 6, WN_PRICE_BY_RUNS, 20, 4);
    priced(&p, 8, WN_PRICE_BY_RUNS, 15, 4);
    cr_assert_eq(wn_price_joining(&p, "join", 1e6, 1000), WN_OK);
    const json_t *join = json_array_get(p.parts, 6);
    cr_expect_float_eq(json_real_value(json_object_get(join, "seconds")), 2, 1e-9);
    p.nodes = 1;
    cr_assert_eq(wn_price_joining(&p, "join", 1e6, 1000), WN_OK);
    cr_expect_eq(json_array_size(p.parts), 7);
    priced(&p, 6, WN_PRICE_BY_RUNS, 60, 1);
    json_decref(p.parts);
    json_decref(p.rates);
}

/* A thread takes as many tokens at once as `embed` gives it, and as `score` does. */
Test(pace, batches_are_those_of_the_commands)
{
    static const struct {
        wn_pace_kind kind;
        size_t tokens;
    } c[] = {{WN_PACE_EMBED, WN_EMBED_TOKENS}, {WN_PACE_RANK, WN_SCORE_TOKENS}};
    json_t *config = config_of(llama);
    for (size_t i = 0; i < 2; i++) {
        wn_pace_job j = {.kind = c[i].kind,
                         .config = config,
                         .place = "here",
                         .precision = WN_PRECISION_F32,
                         .prompt = 15,
                         .target = 1,
                         .texts = 1};
        size_t each = c[i].kind == WN_PACE_EMBED ? 15 : 16, rows = c[i].tokens / each;
        size_t labels = c[i].kind == WN_PACE_EMBED ? 0 : rows;
        size_t segments = c[i].kind == WN_PACE_EMBED ? rows : 2 * rows;
        wn_model *m;
        const wn_model_opts mo = {.precision = WN_PRECISION_F32,
                                  .states_only = c[i].kind == WN_PACE_EMBED};
        cr_assert_eq(wn_model_make_up(&m, config, "here", 0, &mo), WN_OK);
        cr_expect_float_eq(measured(&j).work_bytes,
                           (double)wn_par_threads() * (double)wn_work_bytes(m, rows * each,
                                                                            segments, labels,
                                                                            WN_WORK_FORWARD),
                           0.5, "case %zu", i);
        wn_model_close(m);
    }
    json_decref(config);
}

/* Arms that would measure the same are measured once; another k, metric or rule is not the same. */
Test(pace, equal_arms_are_measured_once)
{
    const wn_plan_opts o = {0};
    wn_recipe_arm arm[] = {
        {.name = "a", .strategy = "deft", .k = 5, .uses_store = true},
        {.name = "b", .strategy = "deft", .k = 5, .distance = "l2", .uses_store = true},
        {.name = "c", .strategy = "deft", .k = 6, .uses_store = true},
        {.name = "d", .strategy = "deft", .k = 5, .distance = "cosine", .uses_store = true},
        {.name = "e", .strategy = "random", .fills = true},
        {.name = "f", .strategy = "random", .dedup = "none", .fills = true},
        {.name = "g", .strategy = "all"}};
    static const uint64_t searches[] = {1, 1, 2, 3}, selections[] = {1, 1, 1, 1, 1, 2, 3};
    wn_target_size target = {.queries = {.rows = 3, .prompt = 9}, .test = {.rows = 4}};
    wn_pricing p = {.o = &o,
                    .r = {.arm = arm, .n_arms = 7, .n_targets = 1, .n_seeds = 1},
                    .s = {.pool = {.rows = 2000, .bytes = 100, .prompt = 9}, .target = &target},
                    .nodes = 1,
                    .speed = 1,
                    .disk_rate = 1e9,
                    .reference = 0,
                    .embed = {.width = 8},
                    .arm = (wn_arm_pace[7]){{.select_sec = 0}},
                    .parts = json_array(),
                    .rates = json_array()};
    for (size_t a = 0; a < 4; a++) {
        cr_assert_eq(wn_price_search(&p, a), WN_OK, "%s", wn_error_text());
        cr_expect_eq(p.measured, searches[a], "%s: %zu", arm[a].name, (size_t)p.measured);
    }
    cr_expect_eq(memcmp(&p.arm[0].scan, &p.arm[1].scan, sizeof p.arm[0].scan), 0);
    cr_expect_eq(json_array_size(p.rates), 6);
    cr_assert_eq(wn_pace_pool_open(&p.pool, 100, NULL), WN_OK, "%s", wn_error_text());
    p.measured = 0;
    for (size_t a = 0; a < 7; a++) {
        cr_assert_eq(wn_price_select(&p, a), WN_OK, "%s", wn_error_text());
        cr_expect_eq(p.measured, selections[a], "%s: %zu", arm[a].name, (size_t)p.measured);
    }
    wn_hush(false);
    wn_pace_pool_close(&p.pool);
    json_decref(p.parts);
    json_decref(p.rates);
}
