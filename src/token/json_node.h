/* Options of tokenizer.json's nodes, with errors that name the file, the node and the option. */
#ifndef WN_TOKEN_JSON_NODE_H
#define WN_TOKEN_JSON_NODE_H

#include "io/json.h"
#include "token/parts.h"

/* "PATH: ..." as WN_EFORMAT. */
wn_err wn_node_refuse(const wn_tokenizer *t, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Every key of the node but "type" must be in `allowed`, names between blanks. */
wn_err wn_node_check(const wn_tokenizer *t, const json_t *node, const char *what,
                     const char *allowed);
/* A missing option and null are `absent`. */
wn_err wn_node_bool(const wn_tokenizer *t, const json_t *node, const char *what, const char *key,
                    bool absent, bool *out);
wn_err wn_node_size(const wn_tokenizer *t, const json_t *node, const char *what, const char *key,
                    size_t absent, size_t *out);
/* Appends a string; a missing one or null is empty unless `required`. */
wn_err wn_node_text(const wn_tokenizer *t, const json_t *node, const char *what, const char *key,
                    bool required, wn_str *out);
/* A string of one character. */
wn_err wn_node_char(const wn_tokenizer *t, const json_t *node, const char *what, const char *key,
                    uint32_t *out);

/* The sections that json_model.c reads. */
wn_err wn_json_model(wn_tokenizer *t, const json_t *model);
wn_err wn_json_added(wn_tokenizer *t, const json_t *list);

#endif
