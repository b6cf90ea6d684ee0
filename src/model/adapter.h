/* Adapters: LoRA and IA3 (linear.h) on linear layers, read from and written to PEFT folders. */
#ifndef WN_MODEL_ADAPTER_H
#define WN_MODEL_ADAPTER_H

#include "model/internal.h"

/* What PEFT puts before every module's name. */
#define WN_PEFT_PREFIX "base_model.model."

/* Adds an adapter's parameters to a layer, frozen: LoRA's factors zeroed, IA3's vector of ones. */
wn_err wn_put_lora(wn_model *m, wn_linear *l, size_t r, double alpha, bool rslora);
wn_err wn_put_ia3(wn_model *m, wn_linear *l, bool in);

/* Puts the PEFT adapter of folder `dir` on the model, frozen until it is trained on: LoRA (rslora,
 * rank and alpha patterns, trained biases) or IA3. Modules are found by name; one component more or
 * less at its beginning (an adapter of the bare stack, of a model with another head) is the same
 * module. Refused, naming file and member: other kinds, what changes the formula (use_dora,
 * lora_bias, ...), whole modules (modules_to_save), a tensor the model has no place for. */
wn_err wn_adapter_load(wn_model *m, const char *dir);

#endif
