/* The command line as tables. A command lists its options once; parsing, -h, the man page, shell
 * completion, docs/commands.md and --config all read that list.
 *
 * A row names a member of the command's options struct by offset, so tables are constant and a
 * parse has no state besides the struct. The macros take the struct type and the member and check
 * the member's type at compile time: OPT_SIZE on a double does not build. A zero member is the
 * default, as everywhere in winnow.h; `def` only says in words what that default is. */
#ifndef WN_CLI_OPT_H
#define WN_CLI_OPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef enum wn_opt_kind {
    WN_OPT_END,
    WN_OPT_STR,    /* const char *, borrowed from argv or the config */
    WN_OPT_TEXT,   /* the same, may be empty */
    WN_OPT_CHOICE, /* const char *, one of `choices` */
    WN_OPT_SIZE,   /* size_t */
    WN_OPT_U64,    /* uint64_t */
    WN_OPT_BYTES,  /* uint64_t: 512M, 2G, 1T; powers of 1024 */
    WN_OPT_INT,    /* int, not negative */
    WN_OPT_F64,    /* double, finite */
    WN_OPT_FLAG,   /* bool; takes no value */
    WN_OPT_LIST    /* wn_opt_list; may be given again */
} wn_opt_kind;

typedef struct wn_opt_list {
    const char **item;
    size_t n, cap;
} wn_opt_list;

typedef struct wn_opt {
    wn_opt_kind kind;
    bool required;
    size_t offset;
    double min, max;  /* numbers: allowed range, both ends in */
    const char *name; /* without dashes */
    const char *arg;  /* what the value is called in help; choices: "a|b|c" */
    const char *def;  /* the default in words, NULL: none worth saying */
    const char *help;
} wn_opt;

/* The offset of a member, refused by the compiler unless the member has type T. */
#define OPT_AT(S, m, T) (offsetof(S, m) + 0 * sizeof(1 ? &((S *)0)->m : (T *)0))
#define OPT_HUGE        1.8e19

#define OPT_STR(S, m, name, arg, def, help)                                                        \
    {                                                                                              \
        WN_OPT_STR, false, OPT_AT(S, m, const char *), 0, 0, name, arg, def, help                  \
    }
#define OPT_TEXT(S, m, name, arg, def, help)                                                       \
    {                                                                                              \
        WN_OPT_TEXT, false, OPT_AT(S, m, const char *), 0, 0, name, arg, def, help                 \
    }
#define OPT_NEED(S, m, name, arg, help)                                                            \
    {                                                                                              \
        WN_OPT_STR, true, OPT_AT(S, m, const char *), 0, 0, name, arg, NULL, help                  \
    }
#define OPT_CHOICE(S, m, name, choices, def, help)                                                 \
    {                                                                                              \
        WN_OPT_CHOICE, false, OPT_AT(S, m, const char *), 0, 0, name, choices, def, help           \
    }
#define OPT_CHOICE_NEED(S, m, name, choices, help)                                                 \
    {                                                                                              \
        WN_OPT_CHOICE, true, OPT_AT(S, m, const char *), 0, 0, name, choices, NULL, help           \
    }
#define OPT_SIZE(S, m, name, def, help)                                                            \
    {                                                                                              \
        WN_OPT_SIZE, false, OPT_AT(S, m, size_t), 1, OPT_HUGE, name, "N", def, help                \
    }
#define OPT_U64(S, m, name, min, def, help)                                                        \
    {                                                                                              \
        WN_OPT_U64, false, OPT_AT(S, m, uint64_t), min, OPT_HUGE, name, "N", def, help             \
    }
#define OPT_BYTES(S, m, name, def, help)                                                           \
    {                                                                                              \
        WN_OPT_BYTES, false, OPT_AT(S, m, uint64_t), 0, OPT_HUGE, name, "SIZE", def, help          \
    }
#define OPT_INT(S, m, name, min, max, def, help)                                                   \
    {                                                                                              \
        WN_OPT_INT, false, OPT_AT(S, m, int), min, max, name, "N", def, help                       \
    }
#define OPT_F64(S, m, name, min, max, def, help)                                                   \
    {                                                                                              \
        WN_OPT_F64, false, OPT_AT(S, m, double), min, max, name, "X", def, help                    \
    }
#define OPT_FLAG(S, m, name, help)                                                                 \
    {                                                                                              \
        WN_OPT_FLAG, false, OPT_AT(S, m, bool), 0, 0, name, NULL, NULL, help                       \
    }
#define OPT_LIST(S, m, name, arg, help)                                                            \
    {                                                                                              \
        WN_OPT_LIST, false, OPT_AT(S, m, wn_opt_list), 0, 0, name, arg, NULL, help                 \
    }
#define OPT_END                                                                                    \
    {                                                                                              \
        WN_OPT_END, false, 0, 0, 0, NULL, NULL, NULL, NULL                                         \
    }

/* How the vectors of a store are written. */
#define OPTS_STORE(S, dtype, shard, def)                                                           \
    OPT_CHOICE(S, dtype, "store-dtype", "f32|f16|bf16|int8", def,                                  \
               "type of the stored numbers; int8: with a scale a row"),                            \
        OPT_BYTES(S, shard, "shard-size", "4G", "about how large a file of rows becomes")

/* Smallest number above 0: the `min` of options whose 0 would silently mean the default. */
#define OPT_ABOVE_0 1e-300

const wn_opt *wn_opt_find(const wn_opt *table, const char *name, size_t len);

/* Sets one option from text (NULL for a flag). WN_EARG: the text says what was expected. `shown` is
 * how messages name the option: "--k" or "FILE.yaml: k". */
wn_err wn_opt_set(const wn_opt *o, void *opts, const char *text, const char *shown);
void wn_opt_free(const wn_opt *table, void *opts); /* the lists */

/* Strict numbers: the whole text, no blanks, no sign on whole numbers. */
bool wn_opt_number(uint64_t *v, const char *text);
bool wn_opt_bytes(uint64_t *v, const char *text);
bool wn_opt_real(double *v, const char *text);

/* The name in a table (or NULL) that `name` was most likely meant to be. */
const char *wn_opt_nearest(const char *name, const char *const *names, size_t n);

#endif
