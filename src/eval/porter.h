/* The Porter stemmer with NLTK's extensions, which is what the rouge_score package stems with. */
#ifndef WN_EVAL_PORTER_H
#define WN_EVAL_PORTER_H

#include <stddef.h>

/* Stems a lower-case ASCII word in place and returns its new length, which is never above len. */
size_t wn_porter_stem(char *word, size_t len);

#endif
