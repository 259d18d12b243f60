/* postgres_check: one snapshot to be looked at; the helpful indexes that the contract's tables lack; our tables brought up to date. An index
 * is no alteration: rows and columns of the application's tables stay as they are, and DROP INDEX takes it back. */
#include "blobferry/base/str.h"
#include "track/postgres_copy.h"
#include "track/postgres_restore.h"

#include <stdio.h>

enum err_code postgres_check_begin(struct tracker *t, struct check_rules *out, struct err *e)
{
    struct postgres *p = postgres_of(t);
    enum err_code code;

    postgres_check_rules(p, out);
    code = postgres_statement_script(p, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
                                     "begin a transaction", e);
    if (code != ERR_OK)
        return code;
    p->in_transaction = true; /* a lost connection ends it: nothing is asked of another snapshot */
    code = postgres_value_formats(p, e);
    return code == ERR_OK ? ERR_OK : postgres_check_end(t, code, e);
}

enum err_code postgres_check_end(struct tracker *t, enum err_code code, struct err *e)
{
    struct postgres *p = postgres_of(t);

    (void)e;
    postgres_statement_script(p, "ROLLBACK", "end a transaction", NULL); /* it has only read */
    p->in_transaction = false;
    return code;
}

/* ---- indexes ------------------------------------------------------------------------------------------------ */

struct wanted {
    const char *name, *table, *columns;
    const char *where; /* of the index that we would make: what is claimed is in it */
};
/* As postgres_ddl makes them along with the tables. */
static const struct wanted wanted[] = {
    {"blobferry_ix_batches_batch", "migration_batches", "batch_id", ""},
    {"blobferry_ix_migrations_batch_status", "file_migrations", "batch_id, status, id", ""},
    {"blobferry_ix_migrations_batch", "file_migrations", "batch_id, id", ""},
    {"blobferry_ix_migrations_status", "file_migrations", "status, id",
     " WHERE status IN ('pending', 'processing', 'failed', 'rolled_back')"},
    {"blobferry_ix_migrations_key", "file_migrations", "target_r2_key", ""},
    {"blobferry_ix_migrations_file", "file_migrations", "file_id", ""},
    {"blobferry_ix_files_key", "files", "r2_key", ""},
};

const char postgres_check_list[] =
    "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE tablename IN"
    " ('migration_batches', 'file_migrations', 'files') ORDER BY 1, 2";

/* Is there a valid index that begins with these columns? A partial one counts where ours would be partial too. Views want none. */
static enum err_code is_there(struct postgres *p, const struct wanted *w, bool *there,
                              struct err *e)
{
    static const char sql[] =
        "SELECT count(*) FROM pg_catalog.pg_class AS c WHERE c.oid = to_regclass($1)"
        " AND (c.relkind NOT IN ('r', 'p') OR EXISTS (SELECT 1 FROM pg_catalog.pg_index AS i"
        "  WHERE i.indrelid = c.oid AND i.indisvalid AND (i.indpred IS NULL OR $3 <> '')"
        "  AND starts_with((SELECT string_agg(coalesce(a.attname::text, '?'), ', ' ORDER BY k.at)"
        "   FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (num, at)"
        "   LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.num"
        "   WHERE k.at <= i.indnkeyatts) || ', ', $2 || ', ')))";
    int64_t n = 0;
    enum err_code code = postgres_statement_number(
        p, sql, POSTGRES_ARGS(POSTGRES_T(w->table), POSTGRES_T(w->columns), POSTGRES_T(w->where)),
        &n, e);

    *there = n > 0;
    return code;
}

/* CONCURRENTLY keeps nobody from writing; one that failed leaves an index that is not valid and in the way. */
static enum err_code make(struct postgres *p, const struct wanted *w, const char *sql,
                          struct err *e)
{
    char drop[200];
    enum err_code code;

    snprintf(drop, sizeof drop, "DROP INDEX CONCURRENTLY IF EXISTS %s", w->name);
    code = postgres_statement_script(p, drop, "make an index", e);
    if (code == ERR_OK)
        code = postgres_statement_script(p, sql, "make an index", e);
    if (code != ERR_OK)
        postgres_statement_script(p, drop, "make an index", NULL);
    return code;
}

static enum err_code indexes(struct postgres *p, bool create, tracker_step_fn *fn, void *user,
                             struct err *e)
{
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < sizeof wanted / sizeof *wanted; i++) {
        const struct wanted *w = &wanted[i];
        char sql[400];
        bool there = true;

        code = is_there(p, w, &there, e);
        if (code != ERR_OK || there)
            continue;
        snprintf(sql, sizeof sql, "CREATE INDEX CONCURRENTLY %s ON %s (%s)%s", w->name, w->table,
                 w->columns, w->where);
        if (create)
            code = make(p, w, sql, e);
        if (code == ERR_OK)
            code = fn(user,
                      &(struct tracker_step){.kind = TRACKER_STEP_INDEX,
                                             .table = w->table,
                                             .name = w->name,
                                             .sql = sql,
                                             .done = create},
                      e);
    }
    return code;
}

enum err_code postgres_check_missing(struct tracker *t, tracker_step_fn *fn, void *user,
                                     struct err *e)
{
    return indexes(postgres_of(t), false, fn, user, e);
}

enum err_code postgres_check_upgrade(struct tracker *t, const struct tracker_upgrade *o,
                                     tracker_step_fn *fn, void *user, struct err *e)
{
    struct postgres *p = postgres_of(t);
    const int from = p->info.schema.version;
    enum err_code code = o->dry_run ? ERR_OK : postgres_schema_upgrade(t, e);

    for (int v = from; code == ERR_OK && v < POSTGRES_OWN_VERSION; v++)
        code = fn(user,
                  &(struct tracker_step){.kind = TRACKER_STEP_TABLES,
                                         .version = v + 1,
                                         .name = "blobferry_*",
                                         .done = !o->dry_run},
                  e);
    return code == ERR_OK ? indexes(p, o->indexes && !o->dry_run, fn, user, e) : code;
}
