/* `winnow get`: a model's files from a hub. The hub says which files there are and what their bytes
 * hash to; each is fetched into OUT.partial/FILE.part, goes on from there if it was cut, gets its
 * name when its hash is right, and the folder gets its own when all are there. */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/mem.h"
#include "base/report.h"
#include "io/file.h"
#include "io/folder.h"
#include "io/hash.h"
#include "io/http.h"
#include "io/manifest.h"

#define HUB "https://huggingface.co"

enum { LIST_MOST = 64 << 20 };

struct entry {
    const char *name; /* borrowed from the list */
    uint64_t size;
    bool sized;
    const char *sha256, *blob; /* hex; one of them, or none */
};

struct get {
    const wn_get_opts *o;
    char *hub;             /* without a slash at its end */
    char *repo, *revision; /* "ORG/NAME", as asked for */
    const char *commit;    /* what that is */
    char *partial;
    wn_folder_lock lock; /* of it */
    json_t *list;
    struct entry *file;
    size_t n;
    wn_http *http;
    uint64_t total, before; /* bytes: of all files, of finished ones */
};

/* ---- what there is ---- */

static wn_err parse_source(struct get *g)
{
    const char *s = g->o->source, *at = strchr(s, '@');
    if (strncmp(s, "hf:", 3) != 0)
        return wn_fail(WN_EUSE, "%s: expected hf:ORG/NAME or hf:ORG/NAME@REVISION", s);
    s += 3;
    g->repo = wn_strndup(s, at ? (size_t)(at - s) : strlen(s));
    g->revision = wn_strdup(at ? at + 1 : "main");
    if (!g->repo || !g->revision)
        return WN_ENOMEM;
    const char *slash = strchr(g->repo, '/');
    const char *allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/";
    bool good = slash && slash != g->repo && slash[1] && !strchr(slash + 1, '/') &&
                strspn(g->repo, allowed) == strlen(g->repo) && !strstr(g->repo, "..") &&
                g->revision[0] && strspn(g->revision, allowed) == strlen(g->revision) &&
                !strstr(g->revision, "..");
    if (!good)
        return wn_fail(WN_EUSE, "%s: expected hf:ORG/NAME or hf:ORG/NAME@REVISION", g->o->source);
    const char *hub = g->o->mirror ? g->o->mirror : HUB;
    size_t n = strlen(hub);
    while (n > 0 && hub[n - 1] == '/')
        n--;
    g->hub = wn_strndup(hub, n);
    return g->hub ? WN_OK : WN_ENOMEM;
}

/* What the hub's refusals mean; other errors stay as they are. */
static wn_err explain(const struct get *g, wn_err e)
{
    bool token = getenv("HF_TOKEN") != NULL;
    switch (e == WN_EIO ? wn_http_status(g->http) : 0) {
    case 401:
        return wn_fail(WN_EIO, "%s: 401 from %s: %s", g->o->source, g->hub,
                       token ? "the token in HF_TOKEN is not accepted"
                             : "no such model, or one that wants a token (set HF_TOKEN)");
    case 403:
        return wn_fail(WN_EIO, "%s: 403 from %s: access is not granted%s", g->o->source, g->hub,
                       token ? "; accept the model's terms on its page"
                             : "; accept the model's terms on its page, then set HF_TOKEN");
    case 404:
        return wn_fail(WN_EIO, "%s: 404 from %s: no such model, revision or file", g->o->source,
                       g->hub);
    default:
        return e;
    }
}

/* Names from elsewhere become paths: no way out of the folder. */
static bool is_safe(const char *name)
{
    if (!*name || *name == '/' || strchr(name, '\\') || strlen(name) > 512)
        return false;
    for (const char *p = name; p; p = strchr(p, '/') ? strchr(p, '/') + 1 : NULL)
        if (*p == '.' || *p == '/' || !*p)
            return false;
    for (const char *p = name; *p; p++)
        if ((unsigned char)*p < ' ')
            return false;
    return true;
}

static bool any(const char *name, const char *const *patterns, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (fnmatch(patterns[i], name, 0) == 0)
            return true;
    return false;
}

static bool is_weights(const char *name)
{
    static const char *const some[] = {"model.safetensors", "model-*-of-*.safetensors",
                                       "adapter_model.safetensors"};
    return any(name, some, 3);
}

/* Config, tokenizer and weights; of a sentence-transformers folder the modules in folders of their
 * own. */
static bool is_needed(const char *name)
{
    static const char *const some[] = {"config.json",
                                       "generation_config.json",
                                       "tokenizer*.json",
                                       "special_tokens_map.json",
                                       "added_tokens.json",
                                       "vocab.json",
                                       "vocab.txt",
                                       "merges.txt",
                                       "*.model",
                                       "chat_template.*",
                                       "model.safetensors.index.json",
                                       "modules.json",
                                       "sentence_bert_config.json",
                                       "config_sentence_transformers.json",
                                       "adapter_config.json"};
    const char *slash = strchr(name, '/');
    if (!slash)
        return is_weights(name) || any(name, some, sizeof some / sizeof *some);
    if (*name < '0' || *name > '9' || strchr(slash + 1, '/'))
        return false;
    return is_weights(slash + 1) || any(slash + 1, some, sizeof some / sizeof *some);
}

static wn_err read_entry(struct get *g, const json_t *one)
{
    const json_t *lfs = json_object_get(one, "lfs"), *size = json_object_get(one, "size");
    struct entry *f = &g->file[g->n];
    *f = (struct entry){.name = json_string_value(json_object_get(one, "rfilename"))};
    if (!f->name)
        return wn_fail(WN_EFORMAT, "%s: the hub's list: siblings: expected rfilename",
                       g->o->source);
    bool wanted =
        g->o->n_include ? any(f->name, g->o->include, g->o->n_include) : is_needed(f->name);
    if (!wanted || f->name[0] == '.')
        return WN_OK;
    if (!is_safe(f->name))
        return wn_fail(WN_EFORMAT, "%s: the hub's list: \"%.100s\" is no plain file name",
                       g->o->source, f->name);
    f->sha256 = json_string_value(json_object_get(lfs, "sha256"));
    f->blob = f->sha256 ? NULL : json_string_value(json_object_get(one, "blobId"));
    if (json_is_integer(json_object_get(lfs, "size")))
        size = json_object_get(lfs, "size");
    f->sized = json_is_integer(size) && json_integer_value(size) >= 0;
    f->size = f->sized ? (uint64_t)json_integer_value(size) : 0;
    g->total += f->size;
    g->n++;
    return WN_OK;
}

/* No weights among them: says what there is instead. */
static wn_err check_found(const struct get *g, const json_t *siblings)
{
    bool weights = g->o->n_include && g->n;
    char others[300] = "";
    size_t i, n = 0;
    json_t *one;
    for (i = 0; i < g->n; i++)
        weights = weights || is_weights(g->file[i].name);
    if (weights)
        return WN_OK;
    json_array_foreach(siblings, i, one)
    {
        const char *name = json_string_value(json_object_get(one, "rfilename"));
        bool known = name && (fnmatch("*.gguf", name, 0) == 0 || fnmatch("*.bin", name, 0) == 0 ||
                              fnmatch("*.safetensors", name, 0) == 0);
        if (known && n < 200)
            n += (size_t)snprintf(others + n, sizeof others - n, "%s%.80s", n ? ", " : "", name);
    }
    if (g->o->n_include)
        return wn_fail(WN_EARG, "%s: no file fits --include%s%s", g->o->source,
                       n ? "; it has " : "", others);
    return wn_fail(WN_EARG, "%s: expected model.safetensors in it%s%s%s", g->o->source,
                   n ? ", found " : "", others, n ? " (--include fetches others)" : "");
}

/* What is neither letter, digit nor one of `plain` is escaped. */
static void put_escaped(wn_str *url, const char *s, const char *plain)
{
    for (; *s; s++)
        if (strchr(plain, *s) || (*s >= '0' && *s <= '9') || (*s >= 'A' && *s <= 'Z') ||
            (*s >= 'a' && *s <= 'z'))
            wn_str_putc(url, *s);
        else
            wn_str_printf(url, "%%%02X", (unsigned char)*s);
}

static wn_err read_list(struct get *g)
{
    wn_str url = {0}, text = {0};
    size_t i;
    json_t *one;
    wn_str_printf(&url, "%s/api/models/%s/revision/", g->hub, g->repo);
    put_escaped(&url, g->revision, "-._~");
    wn_str_puts(&url, "?blobs=true");
    wn_err e = wn_str_check(&url);
    if (!e)
        e = explain(g, wn_http_text(&text, g->http, url.p, LIST_MOST));
    if (!e)
        e = wn_json_parse(&g->list, text.p ? text.p : "", text.len, url.p);
    const json_t *siblings = json_object_get(g->list, "siblings");
    g->commit = json_string_value(json_object_get(g->list, "sha"));
    if (!e && (!json_is_array(siblings) || (g->commit && !is_safe(g->commit))))
        e = wn_fail(WN_EFORMAT, "%s: expected a list of siblings", url.p);
    if (!g->commit)
        g->commit = g->revision;
    if (!e) {
        g->file = wn_calloc(json_array_size(siblings) + 1, sizeof *g->file);
        e = g->file ? WN_OK : WN_ENOMEM;
    }
    json_array_foreach(siblings, i, one) if (!e) e = read_entry(g, one);
    if (!e)
        e = check_found(g, siblings);
    wn_str_free(&url);
    wn_str_free(&text);
    return e;
}

/* ---- files ---- */

static wn_err seen(void *ctx, uint64_t bytes)
{
    struct get *g = ctx;
    uint64_t at = g->before + bytes;
    return wn_progress("get", "bytes", at, at > g->total ? at : g->total, NULL);
}

static wn_err wrong(const struct get *g, const struct entry *f, const char *part, const char *kind,
                    const char *want, const char *found)
{
    WN_TRY(wn_remove_tree(part));
    return wn_fail(WN_EFORMAT, "%s: %s: expected %s %s, found %s", g->o->source, f->name, kind,
                   want, found);
}

/* By what the list said, else by the tag of the answer, where that is a hash. */
static wn_err check_hash(const struct get *g, const struct entry *f, const char *part)
{
    char found[WN_SHA_HEX], size[2][32];
    struct stat st;
    const char *tag = wn_http_etag(g->http), *sha = f->sha256, *blob = f->blob;
    size_t digits = strspn(tag, "0123456789abcdef");
    if (!sha && !blob && !tag[digits])
        sha = digits == 64 ? tag : NULL;
    if (!sha && !blob && !tag[digits])
        blob = digits == 40 ? tag : NULL;
    if (f->sized && stat(part, &st) == 0 && (uint64_t)st.st_size != f->size) {
        snprintf(size[0], sizeof size[0], "%llu", (unsigned long long)f->size);
        snprintf(size[1], sizeof size[1], "%llu", (unsigned long long)st.st_size);
        return wrong(g, f, part, "size", size[0], size[1]);
    }
    if (sha) {
        WN_TRY(wn_sha_file(found, part));
        return strcmp(found, sha) == 0 ? WN_OK : wrong(g, f, part, "SHA-256", sha, found);
    }
    if (blob) {
        WN_TRY(wn_git_blob_file(found, part));
        return strcmp(found, blob) == 0 ? WN_OK : wrong(g, f, part, "git hash", blob, found);
    }
    wn_message("%s: the hub told no hash to check it by", f->name);
    return WN_OK;
}

static wn_err make_parents(const char *path)
{
    char *dir = wn_strndup(path, (size_t)(wn_path_base(path) - path));
    if (!dir)
        return WN_ENOMEM;
    wn_err e = wn_mkdirs(dir);
    wn_free(dir);
    return e;
}

static wn_err fetch(struct get *g, const struct entry *f)
{
    char *path = NULL;
    wn_str part = {0}, url = {0};
    WN_TRY(wn_path_join(&path, g->partial, f->name));
    wn_str_printf(&part, "%s.part", path);
    wn_str_printf(&url, "%s/%s/resolve/%s/", g->hub, g->repo, g->commit);
    put_escaped(&url, f->name, "-._~/");
    wn_err e = wn_str_check(&part);
    if (!e)
        e = wn_str_check(&url);
    if (!e && !wn_file_exists(path)) {
        struct stat st;
        bool whole =
            f->sized && f->size && stat(part.p, &st) == 0 && (uint64_t)st.st_size == f->size;
        e = make_parents(path);
        if (!e && !whole)
            e = explain(g, wn_http_file(g->http, url.p, part.p, seen, g));
        if (!e)
            e = check_hash(g, f, part.p);
        if (!e)
            e = wn_rename(part.p, path);
    }
    g->before += f->size;
    if (!e)
        e = seen(g, 0);
    wn_free(path);
    wn_str_free(&part);
    wn_str_free(&url);
    return e;
}

/* A folder of another model or commit is begun anew. */
static wn_err start_folder(struct get *g)
{
    char *mark = NULL, *text = NULL;
    size_t len = 0;
    wn_str want = {0};
    wn_str_printf(&want, "%s %s\n", g->repo, g->commit);
    WN_TRY(wn_str_check(&want));
    wn_err e = wn_path_join(&mark, g->partial, ".commit");
    bool same = !e && wn_file_exists(mark) && wn_file_read(&text, &len, mark, 4096) == WN_OK &&
                len == want.len && memcmp(text, want.p, len) == 0;
    if (!e && !same)
        e = wn_dir_empty(g->partial);
    if (!e && !same)
        e = wn_file_write(mark, want.p, want.len);
    struct statvfs fs;
    if (!e && statvfs(g->partial, &fs) == 0 && !same &&
        g->total / fs.f_frsize >= (uint64_t)fs.f_bavail)
        e = wn_fail(WN_EIO, "%s: %llu bytes are to come, but only %llu are free", g->o->common.out,
                    (unsigned long long)g->total,
                    (unsigned long long)fs.f_bavail * (unsigned long long)fs.f_frsize);
    wn_free(mark);
    wn_free(text);
    wn_str_free(&want);
    return e;
}

/* Every file that an index of shards names must be among those fetched. */
static wn_err check_shards(const struct get *g)
{
    static const char name[] = "model.safetensors.index.json";
    char *path = NULL;
    json_t *index = NULL;
    const char *tensor;
    json_t *shard;
    WN_TRY(wn_path_join(&path, g->partial, name));
    wn_err e = wn_file_exists(path) ? wn_json_load(&index, path) : WN_OK;
    json_object_foreach(json_object_get(index, "weight_map"), tensor, shard)
    {
        const char *file = json_string_value(shard);
        bool there = false;
        for (size_t i = 0; file && i < g->n && !there; i++)
            there = strcmp(g->file[i].name, file) == 0;
        if (!there && !e)
            e = wn_fail(WN_EFORMAT, "%s: %s: tensor %s is in %.100s, which is not among the files",
                        g->o->source, name, tensor, file ? file : "no file");
    }
    json_decref(index);
    wn_free(path);
    return e;
}

static wn_err write_manifest(const struct get *g)
{
    char *path = NULL, hex[WN_SHA_HEX];
    json_t *files = json_object();
    json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:o}", "format", "winnow get", "version",
                          WN_VERSION, "model", g->repo, "commit", g->commit, "sha256", files);
    wn_err e = j ? WN_OK : wn_fail_nomem(64, "a manifest");
    for (size_t i = 0; !e && i < g->n; i++) {
        e = wn_path_join(&path, g->partial, g->file[i].name);
        if (!e && !g->file[i].sha256)
            e = wn_sha_file(hex, path);
        if (!e)
            json_object_set_new(files, g->file[i].name,
                                json_string(g->file[i].sha256 ? g->file[i].sha256 : hex));
        wn_free(path);
        path = NULL;
    }
    if (!e)
        e = wn_path_join(&path, g->partial, "get.json");
    if (!e)
        e = wn_manifest_write(path, j);
    wn_free(path);
    json_decref(j);
    return e;
}

static wn_err get(struct get *g)
{
    char *mark = NULL;
    WN_TRY(parse_source(g));
    WN_TRY(wn_folder_refuse(g->o->common.out, "a finished model", wn_model_marks,
                            g->o->common.overwrite));
    WN_TRY(wn_folder_beside(&g->partial, g->o->common.out, ".partial"));
    WN_TRY(wn_http_new(&g->http, getenv("HF_TOKEN")));
    WN_TRY(read_list(g));
    WN_TRY(wn_folder_lock_make(&g->lock, g->partial));
    WN_TRY(start_folder(g));
    for (size_t i = 0; i < g->n; i++)
        WN_TRY(fetch(g, &g->file[i]));
    if (!g->o->n_include)
        WN_TRY(check_shards(g));
    WN_TRY(write_manifest(g));
    WN_TRY(wn_path_join(&mark, g->partial, ".commit"));
    wn_err e = wn_remove_tree(mark);
    wn_free(mark);
    WN_TRY(e);
    return wn_folder_put(g->partial, g->o->common.out);
}

wn_err wn_get_job(const wn_get_opts *o)
{
    struct get g = {.o = o};
    wn_err e = get(&g);
    wn_http_free(g.http);
    json_decref(g.list);
    wn_free(g.file);
    wn_free(g.repo);
    wn_free(g.hub);
    wn_free(g.revision);
    wn_folder_unlock(&g.lock);
    wn_free(g.partial);
    return e;
}
