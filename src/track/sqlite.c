/* sqlite: the driver's table, opening and closing. */
#include "track/sqlite.h"

#include "blobferry/base/str.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* "sqlite:PATH", "sqlite:///absolute"; the rest of the URL is the path as it stands, nothing is decoded. */
static const char *path_of(const char *rest)
{
    return str_starts(rest, "//") ? rest + 2 : rest;
}

#define PAGE_BYTES "8192"              /* of databases that we make */
#define WAL_BYTES  ((int64_t)16 << 20) /* of -wal, where no reader holds it (P10) */

/* WAL with synchronous=NORMAL may lose the last commits: forbidden before a DELETE of an object (P6). Claims and results touch
 * few pages, a larger cache would only fill up. Ids ascend, so that rows which are written together lie together: pages of
 * twice SQLite's size need two thirds of the writes, at the same CPU. */
static enum err_code configure_writer(struct sqlite *s, struct err *e)
{
    static const char durable[] = "PRAGMA synchronous = FULL; PRAGMA cache_size = -4096";

    if ((s->made &&
         sqlite3_exec(s->db, "PRAGMA page_size = " PAGE_BYTES, NULL, NULL, NULL) != SQLITE_OK) ||
        sqlite3_exec(s->db, durable, NULL, NULL, NULL) != SQLITE_OK)
        return sqlite_error(s, e, "set its durability");
    return ERR_OK;
}

static enum err_code bound_wal(struct sqlite *s, struct err *e)
{
    int64_t page = 0;
    enum err_code code = sqlite_statement_number(s, "PRAGMA page_size", SQLITE_NONE, &page, e);

    if (code == ERR_OK && page > 0)
        sqlite3_wal_autocheckpoint(s->db, (int)(WAL_BYTES / page));
    return code;
}

static enum err_code configure(struct sqlite *s, const struct tracker_options *o, struct err *e)
{
    const int64_t wait = o->busy_timeout_ms > 0 ? o->busy_timeout_ms : SQLITE_BUSY_MS;

    /* The file may come from anywhere: nothing in its schema may reach beyond SQL. Its triggers must run, though, and
     * those that call json_object() would not without trusted_schema. */
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
    sqlite3_limit(s->db, SQLITE_LIMIT_LENGTH, SQLITE_VALUE_MAX);
    sqlite3_limit(s->db, SQLITE_LIMIT_ATTACHED, 0);
    s->busy_ms = wait > 3600000 ? 3600000 : (int)wait;
    sqlite_busy_wait(s, s->busy_ms);
    enum err_code code = s->read_only ? ERR_OK : configure_writer(s, e);
    if (code == ERR_OK)
        code = sqlite_function_register(s, e);
    if (code == ERR_OK)
        code = sqlite_schema_look(s, e);
    return code == ERR_OK && !s->read_only ? bound_wal(s, e) : code;
}

/* A file that we have made and nothing came into was not there before: so it shall be again. */
static void discard(struct sqlite *s)
{
    struct stat st;

    if (sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
        return; /* somebody else is about to use it */
    if (stat(s->path, &st) == 0 && st.st_size == 0)
        unlink(s->path);
    sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
}

static void sqlite_close(struct tracker *t)
{
    struct sqlite *s = sqlite_of(t);

    if (s->made && s->discard && s->db != NULL)
        discard(s);
    sqlite_statement_forget_all(s);
    sqlite3_close_v2(s->db);
    buf_release(&s->read_one);
    free(s->path);
    free(s->base.name);
    free(s);
}

static pthread_once_t memory_once = PTHREAD_ONCE_INIT;

/* Nobody asks how much memory SQLite uses, and to keep count costs a lock with each block. Refused, which is harmless, once SQLite
 * is in use. */
static void count_no_memory(void)
{
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

static enum err_code sqlite_open(struct tracker **out, const struct tracker_options *o,
                                 const char *rest, struct err *e)
{
    const char *path = path_of(rest);

    if (*path == '\0') {
        err_set(e, ERR_CONFIG, "the database URL '%s' names no file", o->url);
        return err_hint(e, "give --db sqlite:PATH");
    }
    if (o->may_be_missing && access(path, F_OK) != 0 && errno == ENOENT)
        return ERR_OK;
    (void)pthread_once(&memory_once, count_no_memory);
    struct sqlite *s = calloc(1, sizeof *s);
    if (s == NULL)
        return err_set(e, ERR_NOMEM, "cannot open database '%s': out of memory", path);
    s->base.ops = &sqlite_ops;
    s->base.name = str_dup(o->url);
    s->path = str_dup(path);
    s->read_only = o->read_only;
    s->discard = o->discard;
    s->info.cookie = -1;
    buf_init(&s->read_one, 16384);
    enum err_code code = s->base.name != NULL && s->path != NULL
                             ? sqlite_file_open(s, o->create, e)
                             : err_set(e, ERR_NOMEM, "cannot open database: out of memory");
    if (code == ERR_OK)
        code = configure(s, o, e);
    if (code != ERR_OK) {
        sqlite_close(&s->base);
        return code;
    }
    *out = &s->base;
    return ERR_OK;
}

const struct tracker_ops sqlite_ops = {
    .scheme = "sqlite:",
    .open = sqlite_open,
    .close = sqlite_close,
    .inspect = sqlite_schema_inspect,
    .require = sqlite_schema_require,
    .init = sqlite_schema_init,
    .prepare = sqlite_schema_prepare,
    .heads = sqlite_run_heads,
    .set_head = sqlite_run_set_head,
    .run_begin = sqlite_run_begin,
    .run_end = sqlite_run_end,
    .lock = sqlite_lock,
    .unlock = sqlite_lock_release,
    .plan = sqlite_plan,
    .key_holder = sqlite_keys_holder,
    .batch_exists = sqlite_files_batch_exists,
    .file_exists = sqlite_files_exists,
    .files_without_key = sqlite_files_without_key,
    .claim = sqlite_claim,
    .owners = sqlite_lease_owners,
    .workers = sqlite_workers,
    .renew = sqlite_lease_renew,
    .release = sqlite_lease_release,
    .set_upload = sqlite_lease_set_upload,
    .apply = sqlite_apply,
    .debts_paid = sqlite_apply_debts_paid,
    .shared_keys = sqlite_keys_shared,
    .refresh = sqlite_batches_refresh,
    .records = sqlite_read_records,
    .totals = sqlite_read_totals,
    .batches = sqlite_batches,
    .open_batches = sqlite_open_batches,
    .dump = sqlite_dump,
    .restore = sqlite_restore,
    .check_begin = sqlite_check_begin,
    .check_end = sqlite_check_end,
    .ask = sqlite_check_ask,
    .check_false = "0",
    .index_list = sqlite_upgrade_list,
    .missing_indexes = sqlite_upgrade_missing,
    .upgrade = sqlite_upgrade,
    .columns = sqlite_copy_columns,
    .copy_out = sqlite_copy_out,
    .copy_in = sqlite_copy_in,
    .copy_put = sqlite_copy_put,
};
