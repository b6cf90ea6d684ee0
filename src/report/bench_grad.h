/* The gradient part of `winnow bench`. */
#ifndef WN_REPORT_BENCH_GRAD_H
#define WN_REPORT_BENCH_GRAD_H

#include "io/json.h"
#include "winnow.h"

/* Appends to `list`: an ordinary update and per-example gradients of the same batch, for LoRA (rank
 * 8 on queries and values where the model has layers of that name, else on all; d = 400) and for
 * all parameters (d = 100); each with tokens_per_sec, the latter with `ratio`, their time over the
 * update's. */
wn_err wn_bench_grad(json_t *list, const wn_bench_opts *o);

#endif
