/* A stack's forward on tile products, with bf16 between them; see kernel/strips.h. */
#ifndef WN_MODEL_STACK_STRIPS_H
#define WN_MODEL_STACK_STRIPS_H

#include "model/stack.h"

/* Whether the stack is made of nothing but what runs this way: bf16 or int8 weights without
 * adapters, norms before the halves or behind the sums, heads that are multiples of 16 wide (32
 * where they are rotated, and then whole). */
bool wn_stack_strips_fit(const wn_stack *s);
/* Memory of passes of at most T tokens. */
void wn_stack_strips_plan(wn_strips *w, const wn_stack *s, wn_arena *a, size_t T);
/* wn_stack_fwd without keeping; false, with nothing done, where the stack, the pass or the
 * processor wants the other loop, which depends on nothing but these. */
bool wn_stack_strips_fwd(const wn_stack *s, wn_stack_work *w, wn_pass *pass, float *x, size_t last);

#endif
