/* Folders that are made whole beside their place and appear there by rename. */
#ifndef WN_IO_FOLDER_H
#define WN_IO_FOLDER_H

#include <stdbool.h>

#include "base/err.h"

/* OUT with a tail behind its name, without the slashes a user may have put there: "a/b/" and
 * ".partial" are "a/b.partial". wn_free(*path). */
wn_err wn_folder_beside(char **path, const char *out, const char *tail);

/* Only nothing, an empty folder or, with overwrite, a folder that holds one of the files `marks`
 * (NULL at the end) may be replaced: a wrong --out takes nothing else with it. `what` names what
 * such a folder is. */
wn_err wn_folder_refuse(const char *out, const char *what, const char *const *marks,
                        bool overwrite);
extern const char *const wn_model_marks[]; /* of folders that train, merge and get write */

/* The folder `dir`, made where it is not, as that of this process until wn_folder_unlock: a second
 * one that is at the same work gets WN_EIO. The lock goes with the folder when it is renamed, and
 * with the process. */
typedef struct wn_folder_lock {
    bool held;
    int fd;
} wn_folder_lock;
wn_err wn_folder_lock_make(wn_folder_lock *l, const char *dir);
void wn_folder_unlock(wn_folder_lock *l); /* of one that is not held: nothing */

/* Renames the finished folder `made` to `out`. What is there stands aside as OUT.partial.old until
 * then and comes back if that fails; what a killed run left of such a one goes. */
wn_err wn_folder_put(const char *made, const char *out);

/* Whether both are one folder or file, however they are spelled. */
bool wn_same_place(const char *a, const char *b);

#endif
