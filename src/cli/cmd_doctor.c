/* winnow doctor */
#include "cli/cli.h"

typedef struct doctor_opts {
    wn_common common;
    const char *dir;
} doctor_opts;

static const wn_opt opts[] = {
    OPT_STR(doctor_opts, dir, "dir", "DIR", "the current one", "folder in which writing is tried"),
    OPT_END};

static wn_err run(const wn_call *c)
{
    const doctor_opts *o = c->opts;
    char *json = NULL;
    bool all_ok = false;
    WN_TRY(wn_doctor_job(o->dir, &json, &all_ok));
    wn_err err = wn_print_facts(c, json);
    wn_text_free(json);
    if (err == WN_OK && !all_ok)
        err = wn_fail(WN_EARG, "doctor: a check failed");
    return err;
}

const wn_command wn_cmd_doctor = {
    "doctor",
    "",
    "check this machine and the maths",
    "Random numbers against published vectors, kernels against plain references, a gradient "
    "against "
    "finite differences, atomic writing, threads. Exit 1 if a check fails.",
    "winnow doctor",
    0,
    0,
    sizeof(doctor_opts),
    opts,
    WN_OUT_TEXT,
    run};
