/* tracker: picks the driver by the URL's scheme, checks what every driver may then rely on, and hands over. */
#include "blobferry/track/tracker.h"

#include "blobferry/base/str.h"
#include "track/driver.h"

#include <string.h>
#include <time.h>

static const struct tracker_ops *const drivers[] = {&sqlite_ops, &postgres_ops, &postgres_long_ops,
                                                    &d1_ops, NULL};

/* Drivers may rely on being given one: a caller that does not want to know is given the tracker's own. */
static struct err *told(struct tracker *t, struct err *e)
{
    if (e != NULL)
        return e;
    err_init(&t->spare);
    return &t->spare;
}

enum err_code tracker_open(struct tracker **out, const struct tracker_options *o, struct err *e)
{
    struct err spare;

    *out = NULL;
    if (e == NULL)
        err_init(e = &spare);
    if (o == NULL || str_empty(o->url)) {
        err_set(e, ERR_CONFIG, "no tracking database is named");
        return err_hint(e, "give --db sqlite:PATH or --db postgres://HOST/DATABASE");
    }
    for (const struct tracker_ops *const *d = drivers; *d != NULL; d++) {
        if (str_starts(o->url, (*d)->scheme))
            return (*d)->open(out, o, o->url + strlen((*d)->scheme), e);
    }
    /* The URL may hold a password: only its scheme is repeated (P8). */
    size_t scheme = strcspn(o->url, ":/@?");
    err_set(e, ERR_CONFIG, "this tracking database is not supported: '%.*s:'",
            (int)(scheme > 40 ? 40 : scheme), o->url);
    return err_hint(e, "give --db sqlite:PATH or --db postgres://HOST/DATABASE");
}

void tracker_close(struct tracker *t)
{
    if (t != NULL)
        t->ops->close(t);
}

const char *tracker_name(const struct tracker *t)
{
    return t->name;
}

size_t tracker_rows_at_once(const struct tracker *t)
{
    const size_t n = t->ops->rows_at_once;

    return n == 0 ? TRACKER_ROWS : n < TRACKER_ROWS_MAX ? n : TRACKER_ROWS_MAX;
}

bool tracker_side_by_side(const struct tracker *t)
{
    return t->ops->side_by_side;
}

enum err_code tracker_inspect(struct tracker *t, struct tracker_schema *out, struct err *e)
{
    memset(out, 0, sizeof *out);
    return t->ops->inspect(t, out, told(t, e));
}

enum err_code tracker_require(struct tracker *t, struct err *e)
{
    return t->ops->require(t, told(t, e));
}

enum err_code tracker_init(struct tracker *t, int *created, struct err *e)
{
    *created = 0;
    return t->ops->init(t, created, told(t, e));
}

enum err_code tracker_prepare(struct tracker *t, struct err *e)
{
    return t->ops->prepare(t, told(t, e));
}

enum err_code tracker_heads(struct tracker *t, tracker_head_fn *fn, void *user, struct err *e)
{
    return t->ops->heads(t, fn, user, told(t, e));
}

enum err_code tracker_set_head(struct tracker *t, const struct tracker_head *h, struct err *e)
{
    return t->ops->set_head(t, h, told(t, e));
}

enum err_code tracker_run_begin(struct tracker *t, const struct tracker_run *r, struct err *e)
{
    return t->ops->run_begin(t, r, told(t, e));
}

enum err_code tracker_run_end(struct tracker *t, const struct tracker_run *r, struct err *e)
{
    return t->ops->run_end(t, r, told(t, e));
}

enum err_code tracker_lock(struct tracker *t, const struct tracker_lock *l, struct err *e)
{
    static const char *const everything[] = {"*"};
    struct tracker_lock lock = *l;

    if (str_empty(l->owner))
        return err_set(e, ERR_GENERAL, "a lock needs an owner");
    if (lock.batch_count == 0) { /* no batch named: all of them, never none */
        lock.batch_ids = everything;
        lock.batch_count = 1;
    }
    return t->ops->lock(t, &lock, told(t, e));
}

enum err_code tracker_unlock(struct tracker *t, const char *owner, struct err *e)
{
    return t->ops->unlock(t, owner, told(t, e));
}

enum err_code tracker_plan(struct tracker *t, tracker_plan_next_fn *next,
                           tracker_plan_done_fn *done, void *user, const struct tracker_head *head,
                           struct err *e)
{
    return t->ops->plan(t, next, done, user, head, told(t, e));
}

enum err_code tracker_key_holder(struct tracker *t, const char *key_digest, char *batch,
                                 size_t size, struct err *e)
{
    if (size > 0)
        batch[0] = '\0';
    return t->ops->key_holder(t, key_digest, batch, size, told(t, e));
}

enum err_code tracker_batch_exists(struct tracker *t, const char *batch_id, bool *exists,
                                   struct err *e)
{
    *exists = false;
    return t->ops->batch_exists(t, batch_id, exists, told(t, e));
}

enum err_code tracker_file_exists(struct tracker *t, const char *file_id, bool *exists,
                                  struct err *e)
{
    *exists = false;
    return t->ops->file_exists(t, file_id, exists, told(t, e));
}

/* A page of 0 rows would look like the end. */
static size_t page_size(size_t limit)
{
    return limit == 0 || limit > DRIVER_PAGE_MAX ? DRIVER_PAGE_MAX : limit;
}

enum err_code tracker_files_without_key(struct tracker *t, const char *source_column,
                                        const char *after_id, size_t limit, struct record_list *out,
                                        struct err *e)
{
    record_list_reset(out);
    return t->ops->files_without_key(t, source_column, after_id, page_size(limit), out, told(t, e));
}

enum err_code tracker_claim(struct tracker *t, const struct tracker_claim *c,
                            struct record_list *out, struct err *e)
{
    struct tracker_claim claim = *c;

    if (str_empty(c->owner))
        return err_set(e, ERR_GENERAL, "a claim needs an owner");
    record_list_reset(out);
    claim.limit = page_size(c->limit);
    return t->ops->claim(t, &claim, out, told(t, e));
}

enum err_code tracker_owners(struct tracker *t, const char *me, tracker_owner_fn *fn, void *user,
                             struct err *e)
{
    return t->ops->owners(t, me, fn, user, told(t, e));
}

struct as_worker {
    tracker_worker_fn *fn;
    void *user;
};

static enum err_code owner_as_worker(void *user, const char *owner, int64_t rows,
                                     int64_t lease_until_ms, struct err *e)
{
    const struct as_worker *as = user;

    return as->fn(
        as->user,
        &(struct tracker_worker){.owner = owner, .rows = rows, .lease_until_ms = lease_until_ms},
        e);
}

enum err_code tracker_workers(struct tracker *t, tracker_worker_fn *fn, void *user, struct err *e)
{
    struct as_worker as = {fn, user};

    return t->ops->workers != NULL ? t->ops->workers(t, fn, user, told(t, e))
                                   : t->ops->owners(t, NULL, owner_as_worker, &as, told(t, e));
}

enum err_code tracker_wait(struct tracker *t, int64_t timeout_ms, enum tracker_wait *how,
                           struct err *e)
{
    const int64_t ms = timeout_ms > 0 ? timeout_ms : 0;

    *how = TRACKER_WAIT_SLEPT;
    if (t->ops->wait != NULL)
        return t->ops->wait(t, ms, how, told(t, e));
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
    return ERR_OK;
}

enum err_code tracker_renew(struct tracker *t, const char *owner, int64_t until_ms, struct err *e)
{
    return t->ops->renew(t, owner, until_ms, told(t, e));
}

enum err_code tracker_release(struct tracker *t, const char *owner, int64_t *released,
                              struct err *e)
{
    int64_t ignored;

    if (released == NULL)
        released = &ignored;
    *released = 0;
    return t->ops->release(t, owner, released, told(t, e));
}

enum err_code tracker_set_upload(struct tracker *t, const char *id, const char *owner,
                                 const char *upload_id, int64_t part_size, struct err *e)
{
    return t->ops->set_upload(t, id, owner, upload_id, part_size, told(t, e));
}

/* What can be refused without looking at the database is refused before anything is written. */
static enum err_code check_move(const struct tracker_move *m, struct err *e)
{
    if (m->id == NULL)
        return err_set(e, ERR_GENERAL, "a move without a row");
    if (!state_move_legal(m->from, m->to))
        return err_set(e, ERR_GENERAL, "row '%s' cannot go from %s to %s", m->id,
                       state_file_name(m->from), state_file_name(m->to));
    if (m->to == FILE_PROCESSING)
        return err_set(e, ERR_GENERAL, "row '%s' becomes processing only by a claim", m->id);
    if (m->from == FILE_PROCESSING && str_empty(m->owner))
        return err_set(e, ERR_GENERAL, "row '%s' leaves processing only by its owner", m->id);
    if (m->pointer != TRACKER_POINTER_KEEP && m->target_key == NULL)
        return err_set(e, ERR_GENERAL, "row '%s' has no key for its pointer", m->id);
    return ERR_OK;
}

enum err_code tracker_apply(struct tracker *t, struct tracker_move *moves, size_t n,
                            const struct tracker_head *head, struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        moves[i].applied = TRACKER_LOST;
        enum err_code code = check_move(&moves[i], e);
        if (code != ERR_OK)
            return code;
    }
    return t->ops->apply(t, moves, n, head, told(t, e));
}

enum err_code tracker_debts_paid(struct tracker *t, const char *const *ids, size_t n,
                                 const struct tracker_head *head, struct err *e)
{
    return t->ops->debts_paid(t, ids, n, head, told(t, e));
}

enum err_code tracker_shared_keys(struct tracker *t, struct tracker_key_ref *refs, size_t n,
                                  struct err *e)
{
    if (n > 1000)
        return err_set(e, ERR_GENERAL, "more than 1000 keys are asked for at once");
    for (size_t i = 0; i < n; i++)
        refs[i].shared = false;
    return n == 0 ? ERR_OK : t->ops->shared_keys(t, refs, n, told(t, e));
}

enum err_code tracker_refresh(struct tracker *t, const char *batch_id, int64_t *changed,
                              struct err *e)
{
    int64_t ignored;

    if (changed == NULL)
        changed = &ignored;
    *changed = 0;
    return t->ops->refresh(t, batch_id, changed, told(t, e));
}

static const struct tracker_filter no_filter;

enum err_code tracker_records(struct tracker *t, const struct tracker_filter *f,
                              const char *after_id, size_t limit, struct record_list *out,
                              struct err *e)
{
    record_list_reset(out);
    return t->ops->records(t, f != NULL ? f : &no_filter, after_id, page_size(limit), out,
                           told(t, e));
}

enum err_code tracker_totals(struct tracker *t, const struct tracker_filter *f,
                             struct tracker_totals *out, struct err *e)
{
    memset(out, 0, sizeof *out);
    return t->ops->totals(t, f != NULL ? f : &no_filter, out, told(t, e));
}

enum err_code tracker_batches(struct tracker *t, const char *batch_id, size_t limit,
                              struct batch_list *out, struct err *e)
{
    record_batches_reset(out);
    return t->ops->batches(t, batch_id, limit, out, told(t, e));
}

static bool has_any(const struct batch *b, unsigned statuses)
{
    for (int s = 0; s < FILE_UNKNOWN; s++) {
        if ((statuses & TRACKER_STATUS(s)) != 0 && b->counts.by[s] > 0)
            return b->batch_id != NULL;
    }
    return false;
}

enum err_code tracker_open_batches(struct tracker *t, unsigned statuses, size_t limit,
                                   tracker_batch_fn *fn, void *user, struct err *e)
{
    struct batch_list all;
    size_t found = 0;
    enum err_code code;

    statuses &= TRACKER_STATUS(FILE_UNKNOWN) - 1;
    if (statuses == 0)
        return ERR_OK;
    if (t->ops->open_batches != NULL)
        return t->ops->open_batches(t, statuses, limit, fn, user, told(t, e));
    record_batches_init(&all, 0);
    code = tracker_batches(t, NULL, 0, &all, e);
    for (size_t i = all.len; code == ERR_OK && i > 0 && (limit == 0 || found < limit); i--) {
        if (has_any(&all.items[i - 1], statuses)) {
            code = fn(user, all.items[i - 1].batch_id, told(t, e));
            found++;
        }
    }
    record_batches_release(&all);
    return code;
}

enum err_code tracker_dump(struct tracker *t, const struct tracker_filter *f, tracker_dump_fn *fn,
                           void *user, struct err *e)
{
    return t->ops->dump(t, f != NULL ? f : &no_filter, fn, user, told(t, e));
}

static const char *const table_names[TRACKER_TABLES] = {
    [TRACKER_BATCHES] = "migration_batches",
    [TRACKER_MIGRATIONS] = "file_migrations",
    [TRACKER_FILES] = "files",
    [TRACKER_RECORDS] = "blobferry_records",
};

const char *tracker_table_name(enum tracker_table t)
{
    return (unsigned)t < TRACKER_TABLES ? table_names[t] : "";
}

bool tracker_table_parse(const char *name, enum tracker_table *out)
{
    for (int i = 0; i < TRACKER_TABLES; i++) {
        if (str_eq(name, table_names[i])) {
            *out = (enum tracker_table)i;
            return true;
        }
    }
    return false;
}

enum err_code tracker_restore(struct tracker *t, const struct tracker_restore *r,
                              struct tracker_restore_counts counts[TRACKER_TABLES], struct err *e)
{
    memset(counts, 0, TRACKER_TABLES * sizeof *counts);
    return t->ops->restore(t, r, counts, told(t, e));
}
