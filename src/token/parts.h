/* The inside of a tokenizer: a pipeline built by one of the readers (read_json.c, read_gguf.c,
 * read_spm.c) and run by tokenizer.c:
 *
 *   text -> added tokens cut out of it (added.c) -> normalisers (normalize.c) -> normalised added
 *   tokens cut out -> pre-tokenisers make pieces (pretoken.c) -> the model makes ids of each piece
 *   (wordpiece.c, bpe.c, unigram.c) -> prefix and suffix of the post-processor
 *
 * Each stage is an array of nodes; Sequences are flattened. Not for other folders. */
#ifndef WN_TOKEN_PARTS_H
#define WN_TOKEN_PARTS_H

#include "io/hash.h"
#include "token/pattern.h"
#include "token/tokenizer.h"
#include "token/unicode.h"
#include "token/vocab.h"

/* ---- scratch of one thread ------------------------------------------------------------- */

/* A stretch of a buffer that the model will see as one word. `origin`: it starts where the whole
 * text does (Metaspace's scheme "first" asks). */
typedef struct wn_piece {
    const char *p;
    size_t len;
    bool origin;
} wn_piece;

typedef struct wn_pieces {
    wn_piece *at;
    size_t n, cap;
} wn_pieces;
wn_err wn_pieces_push(wn_pieces *v, const char *p, size_t len, bool origin);

/* A stretch of text: id < 0, or an added token. */
typedef struct wn_cut {
    size_t start, end;
    int32_t id;
} wn_cut;

typedef struct wn_cuts {
    wn_cut *at;
    size_t n, cap;
} wn_cuts;

typedef struct wn_symbol {
    int32_t id, prev, next; /* prev, next: -1 at the ends; id -1: merged away */
} wn_symbol;

typedef struct wn_merge {
    uint64_t key; /* rank << 32 | position: the order of merging */
    int32_t id;
} wn_merge;

typedef struct wn_best {
    double score;
    int32_t from, id; /* from -1: not reached */
} wn_best;

enum { WN_WORD_BYTES = 22, WN_WORD_IDS = 8, WN_WORD_SLOTS = 1 << 15 };
/* A word already done: one cache line; a newer word takes the place of an older one. */
typedef struct wn_word {
    uint64_t hash;
    uint8_t len, n; /* len 0: empty slot */
    char text[WN_WORD_BYTES];
    int32_t id[WN_WORD_IDS];
} wn_word;

typedef struct wn_token_memory {
    uint64_t serial; /* the tokenizer that `word` belongs to */
    wn_word *word;
    wn_match match;
    wn_points points;
    wn_str norm[2], pre[2], tmp, clean;
    wn_pieces pieces[2];
    wn_cuts outer, inner, spans;
    wn_symbol *symbol;
    size_t symbol_cap;
    wn_merge *heap;
    size_t n_heap, heap_cap;
    wn_best *best;
    size_t best_cap;
} wn_token_memory;

/* ---- normalisers ----------------------------------------------------------------------- */

typedef enum wn_norm_kind {
    WN_NORM_BERT,
    WN_NORM_FORM,
    WN_NORM_LOWER,
    WN_NORM_STRIP,
    WN_NORM_STRIP_ACCENTS,
    WN_NORM_REPLACE,
    WN_NORM_PREPEND,
    WN_NORM_PRECOMPILED,
    WN_NORM_NMT,
    WN_NORM_BYTES,
    WN_NORM_SPM_SPACES /* SentencePiece's own: blanks trimmed and collapsed */
} wn_norm_kind;

/* SentencePiece's map of characters: a double-array trie over replacement texts. */
typedef struct wn_charsmap {
    uint32_t *unit;
    size_t n_unit;
    wn_str text;        /* replacements, NUL after each */
    int32_t ascii[128]; /* offset into text for a lone ASCII character, -1: itself */
    bool longest;       /* as SentencePiece: longest entry at each place. Else as the tokenizers
                           library: by grapheme, shortest entry */
} wn_charsmap;
/* Takes the bytes of `precompiled_charsmap`; checks every offset that can be reached. */
wn_err wn_charsmap_read(wn_charsmap *m, const void *bytes, size_t n);
void wn_charsmap_free(wn_charsmap *m);
wn_err wn_charsmap_apply(const wn_charsmap *m, wn_str *out, const char *s, size_t len);

typedef struct wn_norm {
    wn_norm_kind kind;
    enum wn_form form;
    bool clean, chinese, accents, lower; /* Bert */
    bool left, right;                    /* Strip */
    wn_pattern pattern;                  /* Replace */
    wn_str content;                      /* Replace, Prepend */
    wn_charsmap map;                     /* Precompiled */
} wn_norm;
void wn_norm_free(wn_norm *n);
/* The normalised text, in one of m->norm, or the input itself without nodes. *kept: the text still
 * begins with what its first character became. */
wn_err wn_normalize(wn_span *out, bool *kept, const wn_norm *node, size_t n, wn_token_memory *m,
                    wn_span text);
/* One step, appended to out. */
wn_err wn_norm_apply(const wn_norm *node, wn_token_memory *m, wn_str *out, const char *s,
                     size_t len);

/* ---- pre-tokenisers -------------------------------------------------------------------- */

typedef enum wn_pre_kind {
    WN_PRE_BERT,
    WN_PRE_WHITESPACE,
    WN_PRE_WHITESPACE_SPLIT,
    WN_PRE_PUNCTUATION,
    WN_PRE_DIGITS,
    WN_PRE_DELIMITER,
    WN_PRE_FIXED,
    WN_PRE_SPLIT,
    WN_PRE_METASPACE,
    WN_PRE_BYTES
} wn_pre_kind;

typedef enum wn_behavior {
    WN_REMOVED,
    WN_ISOLATED,
    WN_MERGED_WITH_PREVIOUS,
    WN_MERGED_WITH_NEXT,
    WN_CONTIGUOUS
} wn_behavior;

enum wn_prepend { WN_PREPEND_ALWAYS, WN_PREPEND_FIRST, WN_PREPEND_NEVER };

typedef struct wn_pre {
    wn_pre_kind kind;
    wn_behavior behavior;
    bool invert;       /* Split */
    bool individual;   /* Digits */
    bool prefix_space; /* ByteLevel */
    bool use_regex;    /* ByteLevel */
    bool split;        /* Metaspace */
    enum wn_prepend prepend;
    uint32_t character; /* Metaspace's replacement, the delimiter */
    size_t length;      /* FixedLength */
    wn_pattern pattern; /* Split; ByteLevel's own */
} wn_pre;
void wn_pre_free(wn_pre *p);
/* Pieces of a normalised text that starts at the text's origin or not. If the last node is
 * ByteLevel its mapping of bytes to characters is left to the model: *mapped says so. */
wn_err wn_pretokenize(const wn_pieces **out, bool *mapped, const wn_pre *node, size_t n,
                      wn_token_memory *m, wn_span text, bool origin);

/* GPT-2's printable character for each byte, and back (-1). */
uint32_t wn_byte_char(unsigned char b);
int wn_char_byte(uint32_t c);
void wn_byte_map(wn_str *out, const char *s, size_t len);

/* ---- added tokens ---------------------------------------------------------------------- */

typedef struct wn_added_token {
    wn_str content;
    wn_str normal; /* what is looked for and decoded; equal to content unless `normalized` */
    int32_t id;
    bool special, single_word, lstrip, rstrip, normalized;
} wn_added_token;

typedef struct wn_added {
    wn_added_token *token;
    size_t n, cap;
    wn_trie raw, normal; /* values: indices into token */
} wn_added;
/* Takes the strings of *t over, in failure too. An equal id replaces the earlier token. */
wn_err wn_added_push(wn_added *a, wn_added_token *t);
/* The same for a tokenizer being read, with `normal` worked out by its normalisers. */
wn_err wn_added_take(wn_tokenizer *t, wn_added_token *a);
/* To be called once all are in and have `normal`: sorts by id, builds the tries. */
wn_err wn_added_index(wn_added *a);
void wn_added_free(wn_added *a);
/* By id, once indexed; by content, at any time. */
const wn_added_token *wn_added_find(const wn_added *a, int64_t id);
const wn_added_token *wn_added_named(const wn_added *a, const char *text, size_t len);
wn_err wn_added_split(wn_cuts *out, const wn_added *a, const wn_trie *trie, const char *s,
                      size_t len);

/* ---- models ---------------------------------------------------------------------------- */

typedef enum wn_model_kind { WN_MODEL_WORDPIECE, WN_MODEL_BPE, WN_MODEL_UNIGRAM } wn_model_kind;

typedef struct wn_pair {
    uint64_t key; /* left id << 32 | right id; UINT64_MAX empty */
    uint32_t rank;
    int32_t id;
} wn_pair;

typedef struct wn_lexicon {
    wn_model_kind kind;
    int32_t unk;      /* -1: none */
    wn_str prefix;    /* WordPiece's ##, BPE's continuing_subword_prefix */
    size_t max_chars; /* WordPiece */
    wn_str suffix;    /* BPE's end_of_word_suffix */
    bool fuse_unk, byte_fallback, ignore_merges, mapped;
    wn_pair *pair; /* BPE */
    size_t pair_mask, n_pair;
    bool parts;               /* BPE: words may be parted before marks (wn_bpe_parts) */
    unsigned char glued[256]; /* last bytes that a pair joins with a mark behind them */
    int32_t byte_id[256];     /* id of the byte's character, -1 */
    int32_t fallback_id[256]; /* id of <0xHH>, -1 */
    double *score;            /* unigram, by id */
    double min_score;
    bool single;  /* sums are rounded to f32, as SentencePiece's are */
    wn_trie trie; /* unigram */
} wn_lexicon;
void wn_lexicon_free(wn_lexicon *x);
/* Byte tables of a BPE or unigram model; call when the vocabulary is complete. */
void wn_lexicon_bytes(wn_lexicon *x, const wn_vocab *v);

/* The trie of a WordPiece or unigram model: the vocabulary's texts, where `usable` is not NULL
 * those with usable[id]. */
wn_err wn_lexicon_trie(wn_lexicon *x, const wn_vocab *v, const unsigned char *usable);

wn_err wn_pairs_init(wn_lexicon *x, size_t n);
/* The rule "a b": both and what they make must be in the vocabulary. `joined` is scratch. */
wn_err wn_pairs_merge(wn_lexicon *x, const wn_vocab *v, wn_span a, wn_span b, size_t rank,
                      wn_str *joined);
wn_err wn_pairs_grow(wn_lexicon *x); /* twice the room */
/* Where words may be parted without a change of ids: before a mark (U+2581) behind another
 * character, unless some pair joins the two. Call when the pairs are complete. */
wn_err wn_bpe_parts(wn_lexicon *x, const wn_vocab *v);
/* Length of the first part of s, len at most. */
size_t wn_bpe_part(const wn_lexicon *x, const char *s, size_t len);
/* A later pair of the same two replaces the rank, as in the reference. */
void wn_pairs_put(wn_lexicon *x, int32_t left, int32_t right, uint32_t rank, int32_t id);

/* SentencePiece's BPE: pairs from texts and scores; usable[id]: the token may take part. */
wn_err wn_spm_pairs(wn_tokenizer *t, const unsigned char *usable);
/* Its normalisers: a text in front of every other; blanks as marks (U+2581), with the way back,
 * which drops a first blank that the prefix made. */
wn_err wn_spm_prefix(wn_tokenizer *t, const char *text);
wn_err wn_spm_marks(wn_tokenizer *t, bool prefix);

/* Append the ids of one piece. */
wn_err wn_wordpiece_encode(const wn_tokenizer *t, wn_token_memory *m, const char *s, size_t len,
                           wn_ids *out);
wn_err wn_bpe_encode(const wn_tokenizer *t, wn_token_memory *m, const char *s, size_t len,
                     bool mapped, wn_ids *out);
wn_err wn_unigram_encode(const wn_tokenizer *t, wn_token_memory *m, const char *s, size_t len,
                         wn_ids *out);

wn_err wn_ids_push(wn_ids *ids, int32_t id);
wn_err wn_ids_reserve(wn_ids *ids, size_t more);

/* ---- decoders -------------------------------------------------------------------------- */

typedef enum wn_dec_kind {
    WN_DEC_BYTES,
    WN_DEC_WORDPIECE,
    WN_DEC_METASPACE,
    WN_DEC_BPE,
    WN_DEC_FALLBACK,
    WN_DEC_FUSE,
    WN_DEC_STRIP,
    WN_DEC_REPLACE
} wn_dec_kind;

typedef struct wn_dec {
    wn_dec_kind kind;
    wn_str text;        /* WordPiece's prefix, BPE's suffix, Replace's content */
    wn_pattern pattern; /* Replace */
    bool cleanup;       /* WordPiece */
    bool prefix;        /* Metaspace: the first blank is dropped */
    uint32_t character; /* Metaspace, Strip */
    size_t start, stop; /* Strip */
} wn_dec;
void wn_dec_free(wn_dec *d);
/* A list of texts, the decoders' working form: text i ends at end[i]. */
typedef struct wn_texts {
    wn_str text;
    size_t *end;
    size_t n, cap;
} wn_texts;
wn_err wn_texts_end(wn_texts *v); /* what was appended to v->text since the last one is a text */
void wn_texts_free(wn_texts *v);
/* Runs the decoders over the tokens' texts; *v is replaced. */
wn_err wn_decode_texts(wn_texts *v, const wn_dec *dec, size_t n);

/* ---- the whole ------------------------------------------------------------------------- */

struct wn_tokenizer {
    char *path;
    char sha[WN_SHA_HEX];
    uint64_t serial;
    wn_vocab vocab;
    wn_added added;
    wn_norm *norm;
    size_t n_norm, norm_cap;
    wn_pre *pre;
    size_t n_pre, pre_cap;
    wn_lexicon model;
    wn_dec *dec;
    size_t n_dec, dec_cap;
    bool has_dec; /* without a decoder tokens are joined by blanks */
    wn_ids prefix, suffix;
    char *chat_template;
    wn_token_facts facts;
};

/* The readers fill a zeroed tokenizer whose path and sha are set; tokenizer.c frees it on failure.
 */
wn_err wn_tokenizer_read_json(wn_tokenizer *t, const char *text, size_t len);
wn_err wn_tokenizer_read_gguf(wn_tokenizer *t, const char *path);
wn_err wn_tokenizer_read_spm(wn_tokenizer *t, const char *bytes, size_t len);
/* From the text of a configuration whose tokenizer_class is ByT5Tokenizer; find says which of a
 * folder's files that is, NULL: none. */
wn_err wn_tokenizer_read_byt5(wn_tokenizer *t, const char *text, size_t len);
wn_err wn_byt5_find(char **path, const char *folder);
/* From the text of vocab.json (merges.txt beside it) or vocab.txt; find says which of them a folder
 * has, NULL: none. Errors name the class of tokenizer that such files are not read for. */
wn_err wn_tokenizer_read_plain(wn_tokenizer *t, const char *text, size_t len);
wn_err wn_plain_find(char **path, const char *folder);
/* Ids of bos, eos, unk, pad and the chat template from the files beside a tokenizer.json. */
wn_err wn_tokenizer_read_config(wn_tokenizer *t, const char *folder);
/* Id of an added or vocabulary token, -1. */
int32_t wn_tokenizer_lookup(const wn_tokenizer *t, const char *text, size_t len);

#endif
