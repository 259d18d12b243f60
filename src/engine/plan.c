/* plan: options, rows through the stage, totals. */
#include "blobferry/engine/plan.h"

#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"
#include "blobferry/codec/objkey.h"
#include "blobferry/codec/timefmt.h"
#include "engine/plan_job.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define USD_PER_GB_MONTH 0.015 /* R2 standard storage, decimal gigabytes */
#define USD_PER_PUT      4.5e-6

/* ---- options -------------------------------------------------------------------------------------------- */

/* It names batches/<batch_id>.json, appears on terminals, and "*" stands for all batches in locks. */
static enum err_code check_batch_id(const char *id, struct err *e)
{
    const char *wrong = NULL;
    const size_t n = strlen(id);
    uint32_t point = 0;

    if (n == 0)
        wrong = "is empty";
    else if (n > PLAN_BATCH_ID_MAX)
        wrong = "is longer than 200 bytes";
    else if (!str_utf8_valid(id, n))
        wrong = "is not valid UTF-8";
    else if (strchr(id, '/') != NULL)
        wrong = "contains a '/'";
    else if (str_eq(id, ".") || str_eq(id, "..") || str_eq(id, "*"))
        wrong = "is reserved";
    for (size_t at = 0; wrong == NULL && at < n;) {
        at += str_utf8_next(id + at, n - at, &point);
        if (str_is_control(point))
            wrong = "contains a control character";
    }
    if (wrong == NULL)
        return ERR_OK;
    err_set(e, ERR_USAGE, "the batch id '%.200s' %s", id, wrong);
    (void)err_hint(e, "use letters, digits, '-', '_' and '.'");
    return ERR_USAGE;
}

static enum err_code choose_batch_id(struct plan_job *j, struct err *e)
{
    char stamp[TIMEFMT_SIZE];
    uint16_t random;

    if (j->o->batch_id != NULL) {
        str_copy(j->batch_id, sizeof j->batch_id, j->o->batch_id);
        return check_batch_id(j->o->batch_id, e);
    }
    clock_random(&random, sizeof random);
    timefmt_stamp(clock_wall_ms(), stamp);
    snprintf(j->batch_id, sizeof j->batch_id, "batch_%s_%04x", stamp, random);
    return ERR_OK;
}

static enum err_code check_table_options(const struct plan_options *o, struct err *e)
{
    const unsigned allowed = PLAN_KEY_BIT(PLAN_KEY_USER_ID) | PLAN_KEY_BIT(PLAN_KEY_FILE_ID) |
                             PLAN_KEY_BIT(PLAN_KEY_FILENAME);
    unsigned used;

    if (str_empty(o->source_column) == str_empty(o->source_template)) {
        err_set(e, ERR_USAGE, "planning from the table files needs a source column or a template");
        (void)err_hint(e, "give one of --source-column, --source-template");
        return ERR_USAGE;
    }
    return o->source_template != NULL ? plan_key_check(o->source_template, allowed, &used, e)
                                      : ERR_OK;
}

static enum err_code check_options(struct plan_job *j, struct err *e)
{
    const struct plan_options *o = j->o;
    unsigned used = 0;
    enum err_code code = choose_batch_id(j, e);

    if (code == ERR_OK && o->batch_size < 0)
        code = err_set(e, ERR_USAGE, "the batch size is negative");
    if (code == ERR_OK && o->user_id != NULL &&
        (*o->user_id == '\0' || !str_utf8_valid(o->user_id, strlen(o->user_id))))
        code = err_set(e, ERR_USAGE, "the user id is empty or not valid UTF-8");
    if (code == ERR_OK && o->from == PLAN_FROM_TABLE)
        code = check_table_options(o, e);
    else if (code == ERR_OK && str_empty(o->input))
        code = err_set(e, ERR_USAGE, "there is no input to plan from");
    j->key_template = !str_empty(o->key_template)  ? o->key_template
                      : o->from == PLAN_FROM_TABLE ? "{user_id}/{file_id}/{filename}"
                                                   : "{path}";
    if (code == ERR_OK)
        code = plan_key_check(j->key_template, PLAN_KEY_ANY, &used, e);
    j->hash = o->checksum || (used & PLAN_KEY_BIT(PLAN_KEY_SHA256)) != 0;
    return code;
}

/* ---- rows ----------------------------------------------------------------------------------------------- */

static enum err_code gather(struct plan_job *j, struct err *e)
{
    enum err_code code = ERR_OK;

    switch (j->o->from) {
    case PLAN_FROM_DIR:
        code = plan_dir_read(j, e);
        break;
    case PLAN_FROM_CSV:
        code = plan_csv_read(j, e);
        break;
    case PLAN_FROM_JSONL:
        code = plan_jsonl_read(j, e);
        break;
    case PLAN_FROM_TABLE:
        code = plan_table_read(j, e);
        break;
    }
    if (code == ERR_OK && plan_write_batches(j) > PLAN_BATCHES_MAX) {
        err_set(e, ERR_USAGE, "%" PRId64 " rows would make more than %" PRId64 " batches",
                stage_rows(j->stage), PLAN_BATCHES_MAX);
        (void)err_hint(e, "give a larger --batch-size");
        code = ERR_USAGE;
    }
    return code;
}

static enum err_code write_it(struct plan_job *j, struct err *e)
{
    const int64_t batches = plan_write_batches(j);
    enum err_code code = plan_write_check_new(j, batches, e);

    if (code != ERR_OK || batches == 0)
        return code;
    if (j->o->dry_run) {
        j->out->batches = batches;
        return ERR_OK;
    }
    return plan_write_all(j, e);
}

static enum err_code verdict(const struct plan_job *j, struct err *e)
{
    const struct plan_result *r = j->out;

    if (r->planned == 0 && r->refused == 0)
        return err_set(e, ERR_NOTFOUND, "there is nothing to plan");
    if (r->refused == 0)
        return ERR_OK;
    return err_set(e, ERR_PARTIAL, "%" PRId64 " of %" PRId64 " files %s not planned", r->refused,
                   r->refused + r->planned, r->refused == 1 ? "was" : "were");
}

static enum err_code open_job(struct plan_job *j, struct err *e)
{
    enum err_code code = check_options(j, e);

    if (code == ERR_OK)
        code = plan_write_check_new(j, 1, e);
    if (code == ERR_OK)
        code = source_root_open(&j->root, j->g->source_root, e);
    if (code == ERR_OK)
        code = stage_open(&j->stage, NULL, e);
    plan_write_batch_name(j, 0, j->out->first_batch);
    return code;
}

enum err_code plan_run(const struct engine *g, const struct plan_options *o,
                       plan_problem_fn *problem, void *user, struct plan_result *out, struct err *e)
{
    struct plan_job j = {.g = g,
                         .o = o,
                         .problem = problem,
                         .user = user,
                         .out = out,
                         .root = {.fd = -1},
                         .told_ms = clock_mono_ms()};
    enum err_code code;

    memset(out, 0, sizeof *out);
    buf_init(&j.stored, PATH_MAX - 1);
    buf_init(&j.key, (size_t)4 * OBJKEY_MAX);
    code = open_job(&j, e);
    if (code == ERR_OK)
        code = gather(&j, e);
    if (code == ERR_OK)
        code = write_it(&j, e);
    if (code == ERR_OK)
        code = verdict(&j, e);
    out->estimated_usd_month = (double)out->bytes / 1e9 * USD_PER_GB_MONTH;
    out->estimated_usd_put = (double)out->planned * USD_PER_PUT;
    if (code != ERR_OK && code != ERR_PARTIAL && code != ERR_NOTFOUND && !j.written)
        out->planned = out->batches = 0; /* the rest says how far it went */
    stage_close(j.stage);
    source_root_close(&j.root);
    buf_release(&j.stored);
    buf_release(&j.key);
    return code;
}
