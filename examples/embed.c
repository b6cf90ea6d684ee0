/* Embeds the rows of a JSON Lines file: the README's example.
 *   cc examples/embed.c $(pkg-config --cflags --libs winnow) && ./a.out encoder rows.jsonl vectors
 */
#include <stdio.h>
#include <winnow.h>

static bool progress(void *ctx, const char *stage, const char *unit, uint64_t done, uint64_t total,
                     const char *note)
{
    (void)ctx, (void)note;
    fprintf(stderr, "%s: %llu of %llu %s\n", stage, (unsigned long long)done,
            (unsigned long long)total, unit);
    return true;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: %s ENCODER ROWS STORE\n", argv[0]);
        return 2;
    }
    wn_set_progress(progress, NULL);
    wn_embed_opts o = {.model = argv[1], .pool = argv[2], .common.out = argv[3]};
    if (wn_embed_job(&o) != WN_OK) {
        fprintf(stderr, "%s\n", wn_error_message());
        return 1;
    }
    return 0;
}
