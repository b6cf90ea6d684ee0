/* The fast table: compiled once for each instruction set with -DWN_ISA=name, written once over the
 * vectors of vec.h. All sums that a reader of ref.c sees in double are float vectors here, in an
 * order that depends on the row's length alone. */
#include "kernel/table.h"
#include "kernel/fast_mm.h"
#include "kernel/fast_rows.h"
#include "kernel/fast_signs.h"
#include "kernel/fast_tile.h"
#include "kernel/fast_f64.h"

#define PASTE2(a, b) a##b
#define PASTE(a, b)  PASTE2(a, b)
#define QUOTE2(a)    #a
#define QUOTE(a)     QUOTE2(a)

const wn_kernels PASTE(wn_kernel_table_, WN_ISA) = {
    .name = QUOTE(WN_ISA),
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
