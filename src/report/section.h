/* Sections of a YAML tree read by tables: a table names a section's keys, their kinds and where in
 * a struct they go; it reads the section, and says what is known when a key is not. */
#ifndef WN_REPORT_SECTION_H
#define WN_REPORT_SECTION_H

#include <stddef.h>

#include "io/json.h"

typedef enum wn_field_kind {
    WN_KEY_TEXT,
    WN_KEY_PATH,         /* relative to the recipe, ${NAME} allowed */
    WN_KEY_NAME_OR_PATH, /* a path if it looks like one */
    WN_KEY_REAL,         /* double, >= 0 */
    WN_KEY_WHOLE,        /* uint64_t */
    WN_KEY_SIZE,         /* size_t */
    WN_KEY_NUMBER,       /* int, >= 0 */
    WN_KEY_FLAG,         /* bool */
    WN_KEY_YES_NO,       /* a string "yes" or "no", written as YAML likes */
    WN_KEY_COUNT_TEXT,   /* a string, or a whole number taken as one */
    WN_KEY_OTHER         /* read elsewhere */
} wn_field_kind;

typedef struct wn_field {
    const char *key;
    wn_field_kind kind;
    size_t offset;
    bool required;
} wn_field;

/* One that may be absent. */
#define WN_FIELD(type, member, key, kind)                                                          \
    {                                                                                              \
        key, kind, offsetof(type, member), false                                                   \
    }

/* Reads section o (NULL: the recipe has none) into the struct at `base` by a table that ends in a
 * NULL key; a null member counts as absent. Paths are taken relative to the folder of `recipe`.
 * Strings are borrowed from the tree, into which expanded paths are put. `where` stands in errors
 * (WN_EARG). */
wn_err wn_section_read(void *base, json_t *o, const wn_field *fields, const char *recipe,
                       const char *where);

/* Replaces the string of the tree by the path it means: ${NAME} from the environment, relative to
 * the recipe's folder. */
wn_err wn_section_path(json_t *string, const char *recipe, const char *key);

/* Replaces ${NAME} in every text of the tree by <NAME> where the environment has no NAME. */
wn_err wn_section_name_unset(json_t *tree);

/* 1 yes or true, 0 no or false, -1 neither: YAML 1.2 reads yes and no as texts, but people write
 * them. */
int wn_yaml_truth(const json_t *v);

#endif
