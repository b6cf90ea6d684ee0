/* What the two sources of a saved model share: a Hugging Face folder (save.c) and a GGUF file
 * (save_gguf.c). */
#ifndef WN_MODEL_SAVE_H
#define WN_MODEL_SAVE_H

#include "model/internal.h"

/* j, which is given away, as a file of the folder; NULL: out of memory. */
wn_err wn_save_json(const char *dir, const char *name, json_t *j);

/* A GGUF model's tensors as its family's checkpoint has them: t [n] named and shaped, of type f32;
 * param [n]: what each is. Both are the caller's. */
wn_err wn_save_gguf_tensors(wn_tensor **t, const wn_param ***param, size_t *n, const wn_model *m);
/* config.json, generation_config.json, tokenizer.json and tokenizer_config.json, made from the
 * metadata. can: refuses, before the work, a tokenizer that no tokenizer.json says. */
wn_err wn_save_gguf_rest(const wn_model *m, const char *dir, const char *dtype);
wn_err wn_save_gguf_can(const wn_model *m);

#endif
