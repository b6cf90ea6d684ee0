/* Replays files through a target without libFuzzer: link it with one fuzz_*.c.
 *   standalone FILE|FOLDER...
 * Every file goes in whole, then cut to each of its first 4096 lengths. */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include "io/file.h"

static wn_err replay_file(const char *path)
{
    wn_map m;
    WN_TRY(wn_map_open(&m, path));
    /* A copy of the exact size, by malloc itself: the sanitizer sees a read of one byte more. */
    for (uint64_t n = 0; n <= m.size && n <= 4096; n++) {
        uint8_t *copy = malloc(n);
        for (uint64_t i = 0; copy && i < n; i++)
            copy[i] = (uint8_t)m.data[i];
        if (copy)
            LLVMFuzzerTestOneInput(copy, n);
        free(copy);
    }
    LLVMFuzzerTestOneInput((const uint8_t *)m.data, m.size);
    wn_map_close(&m);
    return WN_OK;
}

static wn_err replay(const char *path)
{
    if (!wn_is_dir(path))
        return replay_file(path);
    char **names;
    size_t n;
    WN_TRY(wn_dir_list(&names, &n, path));
    wn_err err = WN_OK;
    for (size_t i = 0; i < n && err == WN_OK; i++) {
        char *child;
        err = wn_path_join(&child, path, names[i]);
        if (err == WN_OK)
            err = replay(child);
        wn_free(child);
    }
    wn_names_free(names, n);
    return err;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (replay(argv[i]) != WN_OK) {
            fprintf(stderr, "standalone: %s\n", wn_error_text());
            return 1;
        }
    }
    return 0;
}
