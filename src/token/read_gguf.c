#include "token/parts.h"
wn_err wn_tokenizer_read_gguf(wn_tokenizer *t, const char *path){(void)t;return wn_fail(WN_EFORMAT,"%s: not yet",path);}
