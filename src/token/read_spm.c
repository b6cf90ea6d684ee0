#include "token/parts.h"
wn_err wn_tokenizer_read_spm(wn_tokenizer *t, const char *b, size_t n){(void)b;(void)n;return wn_fail(WN_EFORMAT,"%s: not yet",t->path);}
