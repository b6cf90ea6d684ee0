/* Hand-written scanners for the split patterns of byte-level BPE. Each takes a text and the start
 * of a piece and returns the piece's end; pieces cover the text. tests/unit/test_unicode.c proves
 * them equal to the expressions run by PCRE2. */
#ifndef WN_TOKEN_SCAN_H
#define WN_TOKEN_SCAN_H

#include <stddef.h>

/* s: valid UTF-8 of len bytes, pos < len. */
typedef size_t (*wn_scan_fn)(const char *s, size_t pos, size_t len);

extern const char wn_pattern_gpt2[];   /* GPT-2, and ByteLevel with use_regex */
extern const char wn_pattern_llama3[]; /* up to three digits together */
extern const char wn_pattern_qwen2[];  /* each digit alone */

/* NULL if the expression is not one of them. */
wn_scan_fn wn_scan_for(const char *expression);

#endif
