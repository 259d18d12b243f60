/* sqlite_upgrade: our tables to the newest version, and the helpful indexes that the contract's tables lack. An index is no alteration: rows and
 * columns of the application's tables stay as they are, and DROP INDEX takes it back. */
#include "track/sqlite.h"

#include <stdio.h>
#include <string.h>

struct wanted {
    const char *name, *table, *columns;
};
/* As sqlite_ddl makes them along with the tables. */
static const struct wanted wanted[] = {
    {"blobferry_ix_batches_batch", "migration_batches", "batch_id"},
    {"blobferry_ix_migrations_batch_status", "file_migrations", "batch_id, status, id"},
    {"blobferry_ix_migrations_batch", "file_migrations", "batch_id, id"},
    {"blobferry_ix_migrations_status", "file_migrations", "status, id"},
    {"blobferry_ix_migrations_key", "file_migrations", "target_r2_key"},
    {"blobferry_ix_migrations_file", "file_migrations", "file_id"},
    {"blobferry_ix_files_key", "files", "r2_key"},
};

const char sqlite_upgrade_list[] =
    "SELECT m.tbl_name, m.name, (SELECT group_concat(name, ', ') FROM (SELECT name"
    " FROM pragma_index_info(m.name) ORDER BY seqno)) AS columns FROM sqlite_schema AS m"
    " WHERE m.type = 'index' AND m.tbl_name IN ('migration_batches', 'file_migrations', 'files')"
    " ORDER BY 1, 2";

/* Is there an index that begins with these columns? Views have none and want none. */
static enum err_code is_there(struct sqlite *s, const struct wanted *w, bool *there, struct err *e)
{
    static const char sql[] =
        "SELECT count(*) FROM pragma_index_list(?1) AS l WHERE l.partial = 0 AND"
        " substr((SELECT group_concat(coalesce(name, '?'), ', ') FROM (SELECT name"
        " FROM pragma_index_info(l.name) ORDER BY seqno)) || ', ', 1, length(?2) + 2)"
        " = ?2 || ', ' COLLATE NOCASE";
    static const char view[] =
        "SELECT count(*) FROM sqlite_schema WHERE type = 'view' AND name = ?1 COLLATE NOCASE";
    int64_t n = 0;
    enum err_code code = sqlite_statement_number(
        s, sql, SQLITE_ARGS(SQLITE_T(w->table), SQLITE_T(w->columns)), &n, e);

    if (code == ERR_OK && n == 0)
        code = sqlite_statement_number(s, view, SQLITE_ARGS(SQLITE_T(w->table)), &n, e);
    *there = n > 0;
    return code;
}

static enum err_code make(struct sqlite *s, const char *sql, struct err *e)
{
    if (sqlite3_exec(s->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return sqlite_error(s, e, "make an index");
    return ERR_OK;
}

static enum err_code indexes(struct sqlite *s, bool create, tracker_step_fn *fn, void *user,
                             struct err *e)
{
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < sizeof wanted / sizeof *wanted; i++) {
        const struct wanted *w = &wanted[i];
        char sql[300];
        bool there = true;

        code = is_there(s, w, &there, e);
        if (code != ERR_OK || there)
            continue;
        snprintf(sql, sizeof sql, "CREATE INDEX %s ON %s (%s)", w->name, w->table, w->columns);
        if (create)
            code = make(s, sql, e);
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

enum err_code sqlite_upgrade_missing(struct tracker *t, tracker_step_fn *fn, void *user,
                                     struct err *e)
{
    return indexes(sqlite_of(t), false, fn, user, e);
}

static enum err_code tables(bool done, int from, tracker_step_fn *fn, void *user, struct err *e)
{
    enum err_code code = ERR_OK;

    for (int v = from; code == ERR_OK && v < SQLITE_OWN_VERSION; v++)
        code = fn(
            user,
            &(struct tracker_step){
                .kind = TRACKER_STEP_TABLES, .version = v + 1, .name = "blobferry_*", .done = done},
            e);
    return code;
}

enum err_code sqlite_upgrade(struct tracker *t, const struct tracker_upgrade *o,
                             tracker_step_fn *fn, void *user, struct err *e)
{
    struct sqlite *s = sqlite_of(t);
    const int from = s->info.schema.version;
    enum err_code code = ERR_OK;

    if (!o->dry_run)
        code = sqlite_schema_prepare(t, e);
    if (code == ERR_OK)
        code = tables(!o->dry_run, from, fn, user, e);
    if (code != ERR_OK || o->dry_run || !o->indexes)
        return code == ERR_OK ? indexes(s, false, fn, user, e) : code;
    code = sqlite_statement_lock(s, e);
    if (code == ERR_OK)
        code = sqlite_statement_end(s, indexes(s, true, fn, user, e), e);
    return code;
}
