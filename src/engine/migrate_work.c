/* Which batches have something to claim? Answered by reading: a rerun with nothing to do writes nothing and asks the store nothing (P7). */
#include "blobferry/base/str.h"
#include "engine/migrate_job.h"

#include <stdlib.h>
#include <string.h>

void migrate_work_release(struct migrate_work *w)
{
    for (size_t i = 0; i < w->n; i++)
        free(w->ids[i]);
    free(w->ids);
    memset(w, 0, sizeof *w);
}

/* ---- what was asked for ------------------------------------------------------------------------------------ */

/* One row tells as much as all of them, and is found at once. */
static enum err_code has_rows(struct migrate_job *j, const char *batch_id, bool *any, struct err *e)
{
    const struct tracker_filter f = {.batch_id = batch_id};
    struct record_list list;

    record_list_init(&list, 0);
    const enum err_code code = tracker_records(j->g->tracker, &f, NULL, 1, &list, e);
    *any = code == ERR_OK && list.len > 0;
    record_list_release(&list);
    return code;
}

static enum err_code check_named(struct migrate_job *j, const char *batch_id, struct err *e)
{
    struct tracker_totals rows;
    bool exists = false, any = false;
    enum err_code code = tracker_batch_exists(j->g->tracker, batch_id, &exists, e);

    if (code == ERR_OK)
        code = has_rows(j, batch_id, &any, e);
    if (code != ERR_OK || (exists && any))
        return code;
    /* also those that cannot be read one by one */
    code = tracker_totals(j->g->tracker, &(struct tracker_filter){.batch_id = batch_id}, &rows, e);
    if (code != ERR_OK)
        return code;
    const int64_t n = state_counts_total(&rows.counts);
    if (exists && n > 0)
        return ERR_OK;
    if (exists) {
        err_set(e, ERR_NOTFOUND, "batch '%s' has no files", batch_id);
        return err_hint(e, "add files with: blobferry plan");
    }
    if (n > 0) { /* orphans are reported, never guessed */
        err_set(e, ERR_NOTFOUND,
                "batch '%s' is not in migration_batches, though %lld files name it", batch_id,
                (long long)n);
        return err_hint(e, "insert its row into migration_batches first");
    }
    err_set(e, ERR_NOTFOUND, "batch '%s' not found", batch_id);
    return err_hint(e, "see: blobferry status");
}

enum err_code migrate_work_check(struct migrate_job *j, struct err *e)
{
    struct batch_list list;
    enum err_code code = ERR_OK;

    record_batches_init(&list, 0);
    for (size_t i = 0; code == ERR_OK && i < j->o.batch_count; i++)
        code = check_named(j, j->o.batch_ids[i], e);
    if (code == ERR_OK && j->o.batch_count == 0 && !j->o.watch) {
        code = tracker_batches(j->g->tracker, NULL, 1, &list, e);
        if (code == ERR_OK && list.len == 0) {
            err_set(e, ERR_NOTFOUND, "there is no batch to migrate");
            code = err_hint(e, "make one with: blobferry plan");
        }
    }
    record_batches_release(&list);
    return code;
}

/* ---- what there is to do --------------------------------------------------------------------------------------- */

static enum err_code add(struct migrate_work *w, const char *batch_id, struct err *e)
{
    char **more = realloc(w->ids, (w->n + 1) * sizeof *more);

    if (more == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    w->ids = more;
    w->ids[w->n] = str_dup(batch_id);
    if (w->ids[w->n] == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    w->n++;
    return ERR_OK;
}

/* What this round may take, and what others may have left behind. */
static unsigned wanted(const struct migrate_job *j)
{
    unsigned statuses = TRACKER_STATUS(FILE_PENDING) | TRACKER_STATUS(FILE_PROCESSING);

    statuses |= j->first_round && j->o.retry_failed ? TRACKER_STATUS(FILE_FAILED) : 0;
    statuses |= j->first_round && j->o.again ? TRACKER_STATUS(FILE_ROLLED_BACK) : 0;
    return statuses;
}

/* Files of the batch that this round may take, and their bytes. */
static enum err_code look_at(struct migrate_job *j, const char *batch_id, struct err *e)
{
    const struct tracker_filter f = {.batch_id = batch_id, .statuses = wanted(j)};
    struct tracker_totals rows;
    int64_t elsewhere = 0;
    bool left_behind = false;
    enum err_code code = tracker_totals(j->g->tracker, &f, &rows, e);

    if (code == ERR_OK && rows.counts.by[FILE_PROCESSING] > 0)
        code = recover_rows(&j->owners, j->g, batch_id, &left_behind, &elsewhere, e);
    if (code != ERR_OK)
        return code;
    const int64_t files = state_counts_total(&rows.counts) - elsewhere;
    j->work.elsewhere += elsewhere;
    if (files == 0)
        return ERR_OK;
    j->work.files += files;
    j->work.bytes += rows.bytes;
    return add(&j->work, batch_id, e);
}

static enum err_code add_open(void *user, const char *batch_id, struct err *e)
{
    return add(user, batch_id, e);
}

/* --all: the oldest ones that have something to do, and no more of them than a round needs (P10): a table of a hundred million rows is
 * not counted to begin. After a round in vain, and where failed rows are taken (once in a run), all of them. */
static enum err_code look_at_open(struct migrate_job *j, struct err *e)
{
    const bool failed = j->first_round && j->o.retry_failed, again = j->first_round && j->o.again;
    const size_t most = failed || again || j->in_vain > 0 ? 0 : MIGRATE_OPEN;
    struct migrate_work open = {0};
    enum err_code code = tracker_open_batches(j->g->tracker, wanted(j), most, add_open, &open, e);

    for (size_t i = 0; code == ERR_OK && i < open.n; i++)
        code = look_at(j, open.ids[i], e);
    j->work.more = open.n == most;
    if (j->work.more)
        j->work.bytes = -1;
    migrate_work_release(&open);
    return code;
}

/* A batch whose row has gone since has orphans, which are nobody's work. */
static enum err_code look_at_named(struct migrate_job *j, struct err *e)
{
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < j->o.batch_count; i++) {
        bool exists = false;

        code = tracker_batch_exists(j->g->tracker, j->o.batch_ids[i], &exists, e);
        if (code == ERR_OK && exists)
            code = look_at(j, j->o.batch_ids[i], e);
    }
    return code;
}

/* Is there anything to be had, in this batch (NULL: any)? An index tells, without counting a row that has ended. */
static enum err_code glance_at(struct migrate_job *j, const char *batch_id, bool *work,
                               struct err *e)
{
    struct tracker_filter pending = {.batch_id = batch_id,
                                     .statuses = TRACKER_STATUS(FILE_PENDING)};
    struct record_list list;
    int64_t elsewhere = 0;
    bool left_behind = false;
    enum err_code code;

    record_list_init(&list, 0);
    code = tracker_records(j->g->tracker, &pending, NULL, 1, &list, e);
    if (code == ERR_OK && list.len > 0)
        *work = true;
    else if (code == ERR_OK)
        code = recover_rows(&j->owners, j->g, batch_id, &left_behind, &elsewhere, e);
    *work = *work || left_behind;
    j->work.elsewhere += elsewhere;
    record_list_release(&list);
    return code;
}

/* Who waits or watches asks again and again: whatever the size of the table, that may cost next to nothing. */
static enum err_code glance(struct migrate_job *j, bool *work, struct err *e)
{
    enum err_code code = ERR_OK;

    *work = j->first_round;
    if (!*work && j->o.batch_count == 0)
        code = glance_at(j, NULL, work, e);
    for (size_t i = 0; code == ERR_OK && !*work && i < j->o.batch_count; i++)
        code = glance_at(j, j->o.batch_ids[i], work, e);
    return code;
}

enum err_code migrate_work_find(struct migrate_job *j, struct err *e)
{
    bool work = false;
    enum err_code code = recover_owners_find(&j->owners, j->g, e);

    migrate_work_release(&j->work);
    if (code == ERR_OK)
        code = glance(j, &work, e);
    if (code != ERR_OK || !work)
        return code;
    j->work.elsewhere = 0; /* counted once more */
    return j->o.batch_count > 0 ? look_at_named(j, e) : look_at_open(j, e);
}

enum err_code migrate_work_left(struct migrate_job *j, struct tracker_totals *out, struct err *e)
{
    enum err_code code = ERR_OK;

    memset(out, 0, sizeof *out);
    if (j->o.batch_count == 0)
        return tracker_totals(j->g->tracker, NULL, out, e);
    for (size_t i = 0; code == ERR_OK && i < j->o.batch_count; i++) {
        struct tracker_filter f = {.batch_id = j->o.batch_ids[i]};
        struct tracker_totals t;

        code = tracker_totals(j->g->tracker, &f, &t, e);
        for (size_t s = 0; code == ERR_OK && s < FILE_STATUS_COUNT; s++)
            out->counts.by[s] += t.counts.by[s];
        out->owed += code == ERR_OK ? t.owed : 0;
    }
    return code;
}
