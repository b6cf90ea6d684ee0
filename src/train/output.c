/* All is done in OUT.partial, which becomes OUT by rename when it is finished; a kill anywhere
 * leaves a folder that the same command goes on from. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/ranks.h"
#include "base/report.h"
#include "io/folder.h"
#include "io/manifest.h"
#include "train/run.h"

void wn_train_refresh(wn_train_run *r)
{
    if (r->method == WN_TRAIN_FULL)
        wn_model_refresh(r->model);
}

static wn_err name_files(wn_train_run *r)
{
    WN_TRY(wn_folder_beside(&r->partial, r->o->common.out, ".partial"));
    WN_TRY(wn_path_join(&r->checkpoint, r->partial, "checkpoint.safetensors"));
    WN_TRY(wn_path_join(&r->best, r->partial, "best.safetensors"));
    return wn_path_join(&r->log_path, r->partial, "train.jsonl");
}

static wn_err go_on(wn_train_run *r)
{
    WN_TRY(wn_checkpoint_read(r->checkpoint, r->params, &r->optim, &r->at, r->key));
    wn_train_refresh(r);
    return WN_OK;
}

/* *going: from a checkpoint. */
static wn_err begin(wn_train_run *r, bool *going)
{
    const wn_common *c = &r->o->common;
    WN_TRY(wn_folder_refuse(c->out, "a finished model", wn_model_marks, c->overwrite));
    WN_TRY(wn_folder_lock_make(&r->lock, r->partial));
    wn_err late = wn_folder_refuse(c->out, "a finished model", wn_model_marks, c->overwrite);
    if (late) { /* another process has finished it meanwhile */
        rmdir(r->partial);
        return late;
    }
    if (wn_file_exists(r->checkpoint)) {
        wn_err e = go_on(r);
        *going = !e;
        if (e && !c->overwrite)
            return e;
        if (!e) {
            wn_message("%s: goes on behind update %llu of %llu", c->out,
                       (unsigned long long)r->at.step, (unsigned long long)r->steps);
            return wn_append_open(&r->log, r->log_path, r->at.log_bytes);
        }
    }
    WN_TRY(wn_dir_empty(r->partial));
    return wn_append_open(&r->log, r->log_path, 0);
}

wn_err wn_train_start_files(wn_train_run *r)
{
    bool going = false;
    wn_err e = name_files(r);
    if (!e && wn_rank() == 0)
        e = begin(r, &going);
    WN_TRY(wn_ranks_agree(e));
    WN_TRY(wn_ranks_share(&going, sizeof going));
    return wn_ranks_agree(going && wn_rank() > 0 ? go_on(r) : WN_OK);
}

wn_err wn_train_save(wn_train_run *r)
{
    if (wn_rank() > 0)
        return WN_OK;
    WN_TRY(wn_append_sync(&r->log));
    r->at.log_bytes = r->log.size;
    return wn_checkpoint_write(r->checkpoint, r->params, &r->optim, &r->at, r->key);
}

wn_err wn_train_save_best(wn_train_run *r)
{
    return wn_rank() > 0 ? WN_OK : wn_checkpoint_write(r->best, r->params, NULL, &r->at, r->key);
}

static wn_err write_model(wn_train_run *r, const char *dir)
{
    if (r->method == WN_TRAIN_FULL)
        return wn_model_save(r->model, dir, &(wn_save_opts){.dtype = r->o->save_dtype});
    return wn_model_save_adapter(r->model, dir, r->o->model);
}

/* The best where it was asked for: alone, or beside the last. */
static wn_err write_models(wn_train_run *r)
{
    char *dir = NULL;
    wn_train_place at;
    if (r->keep_last)
        WN_TRY(write_model(r, r->partial));
    if (!r->keep_best)
        return WN_OK;
    WN_TRY(wn_checkpoint_read(r->best, r->params, NULL, &at, r->key));
    wn_train_refresh(r);
    if (r->keep_last)
        WN_TRY(wn_path_join(&dir, r->partial, "best"));
    wn_err e = write_model(r, dir ? dir : r->partial);
    wn_free(dir);
    return e ? e : wn_remove_tree(r->best);
}

static wn_err write_manifest(wn_train_run *r)
{
    char *path = NULL;
    json_t *m = r->manifest;
    json_object_set_new(m, "updates", json_integer((json_int_t)r->at.step));
    json_object_set_new(m, "tokens", json_integer((json_int_t)r->at.tokens));
    json_object_set_new(m, "last_loss", json_real(r->at.loss));
    if (r->at.best_step) {
        json_object_set_new(m, "best_step", json_integer((json_int_t)r->at.best_step));
        json_object_set_new(m, "best_eval_loss", json_real(r->at.best));
    }
    WN_TRY(wn_path_join(&path, r->partial, "train.json"));
    wn_err e = wn_manifest_write(path, m);
    wn_free(path);
    return e;
}

wn_err wn_train_finish_files(wn_train_run *r)
{
    if (wn_rank() > 0)
        return WN_OK;
    WN_TRY(wn_append_sync(&r->log));
    wn_append_close(&r->log);
    WN_TRY(write_models(r));
    WN_TRY(write_manifest(r));
    WN_TRY(wn_remove_tree(r->checkpoint));
    return wn_folder_put(r->partial, r->o->common.out);
}
