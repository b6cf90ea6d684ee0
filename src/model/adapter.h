/* LoRA adapters: put on, read from and written to PEFT folders. */
#ifndef WN_MODEL_ADAPTER_H
#define WN_MODEL_ADAPTER_H

#include "model/internal.h"

/* Puts the PEFT adapter of folder `dir` on the model, frozen until it is trained on. Refused,
 * naming file and member: other kinds than LoRA, use_dora, fan_in_fan_out, a module or shape the
 * model does not have. */
wn_err wn_adapter_load(wn_model *m, const char *dir);

#endif
