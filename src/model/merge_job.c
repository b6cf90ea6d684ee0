/* `winnow merge`: an adapter's changes written into the weights. */
#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/folder.h"
#include "io/manifest.h"
#include "model/model.h"

static wn_err write_manifest(wn_model *m, const wn_merge_opts *o, const char *dir)
{
    json_t *j = NULL, *model = NULL;
    char *path = NULL;
    wn_err e = wn_manifest_new(&j, "winnow merge", &o->common, "none");
    if (!e)
        e = wn_model_manifest(&model, m);
    if (!e) {
        json_object_del(j, "seed"); /* neither has a say in it */
        json_object_del(j, "precision");
        json_object_del(j, "kernel");
        json_object_del(model, "precision");
        json_object_set(j, "model", model);
        json_object_set_new(j, "save_dtype", json_string(o->save_dtype ? o->save_dtype : "own"));
        e = wn_path_join(&path, dir, "merge.json");
    }
    if (!e)
        e = wn_manifest_write(path, j);
    json_decref(j);
    json_decref(model);
    wn_free(path);
    return e;
}

static wn_err check_out(const wn_merge_opts *o)
{
    return wn_folder_refuse(o->common.out, "a finished model", wn_model_marks, o->common.overwrite);
}

static wn_err merge(wn_folder_lock *lock, wn_model *m, const wn_merge_opts *o, const char *partial)
{
    const wn_save_opts save = {.dtype = o->save_dtype, .shard_bytes = o->shard_bytes};
    WN_TRY(wn_folder_lock_make(lock, partial));
    WN_TRY(check_out(o)); /* another process may have finished it meanwhile */
    WN_TRY(wn_dir_empty(partial));
    WN_TRY(wn_model_save(m, partial, &save));
    WN_TRY(write_manifest(m, o, partial));
    return wn_folder_put(partial, o->common.out);
}

wn_err wn_merge_job(const wn_merge_opts *o)
{
    wn_model *m = NULL;
    char *partial = NULL;
    const wn_model_opts open = {
        .precision = WN_PRECISION_F32, .adapter = o->adapter, .unpacked = true};
    wn_folder_lock lock = {0};
    WN_TRY(check_out(o));
    wn_err e = wn_model_open(&m, o->model, &open);
    if (!e)
        e = wn_model_can_save(m);
    if (!e)
        e = wn_folder_beside(&partial, o->common.out, ".partial");
    if (!e)
        e = merge(&lock, m, o, partial);
    if (e && lock.held)
        wn_remove_tree(partial);
    wn_folder_unlock(&lock);
    wn_model_close(m);
    wn_free(partial);
    return e;
}
