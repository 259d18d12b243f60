/* sqlite_copy_in: whole tables put in, in one transaction. The journal stays in the mode it is in: for new tables the rollback journal
 * is the cheaper one, because pages that were not there before need not be saved. */
#include "blobferry/base/str.h"
#include "track/copy_ddl.h"
#include "track/sqlite.h"

#include <stdlib.h>
#include <string.h>

/* As sqlite_ddl declares them. */
static const char *const types[TRACKER_KINDS] = {
    [TRACKER_KIND_ANY] = "",
    [TRACKER_KIND_TEXT] = "TEXT",
    [TRACKER_KIND_INTEGER] = "INTEGER",
    [TRACKER_KIND_REAL] = "REAL",
    [TRACKER_KIND_BOOLEAN] = "BOOLEAN",
    [TRACKER_KIND_TIME] = "DATETIME",
    [TRACKER_KIND_UUID] = "TEXT",
    [TRACKER_KIND_BYTES] = "BLOB",
    [TRACKER_KIND_OTHER] = "TEXT",
};

struct sqlite_copy {
    sqlite3_stmt *insert[TRACKER_COPIED];
    bool made[TRACKER_COPIED];
};

static enum err_code run(struct sqlite *s, const char *sql, const char *doing, struct err *e)
{
    if (sqlite3_exec(s->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return sqlite_error(s, e, doing);
    return ERR_OK;
}

/* ---- what is there ------------------------------------------------------------------------------------------- */

static enum err_code make_table(struct sqlite *s, size_t i, const struct tracker_columns *c,
                                struct err *e)
{
    struct buf sql;
    enum err_code code;

    buf_init(&sql, (size_t)1 << 20);
    copy_ddl_create(&sql, tracker_copy_table(i), c, types);
    code = buf_ok(&sql) ? run(s, buf_cstr(&sql), "make a table", e)
                        : err_set(e, ERR_NOMEM, "out of memory");
    buf_release(&sql);
    return code;
}

static enum err_code make_tables(struct sqlite *s, const struct tracker_copy_in *c,
                                 struct sqlite_copy *copy, struct err *e)
{
    enum err_code code = sqlite_schema_own(s, e);

    for (size_t i = 0; code == ERR_OK && i < TRACKER_COPIED; i++) {
        const struct tracker_columns *source = &c->source->tables[i];
        struct tracker_columns there = {0};

        code = sqlite_copy_columns(&s->base, tracker_copy_table(i), &there, e);
        copy->made[i] = code == ERR_OK && there.n == 0 && source->n > 0;
        if (copy->made[i])
            code = make_table(s, i, source, e);
        else if (code == ERR_OK)
            code = copy_ddl_fits(tracker_copy_table(i), source, &there, e);
        free(there.items);
    }
    return code;
}

static enum err_code refuse_rows(struct sqlite *s, struct err *e)
{
    int64_t n = 0;
    enum err_code code = sqlite_statement_number(
        s,
        "SELECT EXISTS (SELECT 1 FROM migration_batches) OR EXISTS (SELECT 1 FROM file_migrations)"
        " OR EXISTS (SELECT 1 FROM files) OR EXISTS (SELECT 1 FROM blobferry_records)",
        SQLITE_NONE, &n, e);

    if (code != ERR_OK || n == 0)
        return code;
    err_set(e, ERR_REFUSED, "the target '%s' holds rows already", s->base.name);
    return err_hint(e, "--replace removes them first, after a backup");
}

static enum err_code clear(struct sqlite *s, const struct tracker_copy_in *c, struct err *e)
{
    int64_t held = 0;
    enum err_code code = c->replace ? ERR_OK : refuse_rows(s, e);

    if (code == ERR_OK)
        code = sqlite_statement_number(
            s, "SELECT count(*) FROM blobferry_locks WHERE lease_until > ?1",
            SQLITE_ARGS(SQLITE_I(c->now_ms)), &held, e);
    if (code == ERR_OK && held > 0) {
        err_set(e, ERR_CONFLICT, "a migration or rollback is under way in the target '%s'",
                s->base.name);
        return err_hint(e,
                        "wait for its end; the lock of one that was killed expires in 10 minutes");
    }
    if (code == ERR_OK)
        code = run(s,
                   "DELETE FROM blobferry_locks; DELETE FROM blobferry_heads; DELETE FROM"
                   " blobferry_runs; DELETE FROM blobferry_records; DELETE FROM file_migrations;"
                   " DELETE FROM files; DELETE FROM migration_batches",
                   "remove the rows that are there", e);
    return code;
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

static enum err_code prepare(struct sqlite *s, const struct tracker_copy_in *c,
                             struct sqlite_copy *copy, struct err *e)
{
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < TRACKER_COPIED; i++) {
        const struct tracker_columns *source = &c->source->tables[i];
        struct buf sql;

        if (source->n == 0)
            continue;
        buf_init(&sql, (size_t)1 << 20);
        buf_printf(&sql, "INSERT INTO %s (", tracker_copy_table(i));
        sqlite_copy_names(&sql, source);
        buf_str(&sql, ") VALUES (");
        for (size_t k = 0; k < source->n; k++)
            buf_str(&sql, k > 0 ? ", ?" : "?");
        buf_char(&sql, ')');
        if (!buf_ok(&sql))
            code = err_set(e, ERR_NOMEM, "out of memory");
        else if (sqlite3_prepare_v2(s->db, buf_cstr(&sql), -1, &copy->insert[i], NULL) != SQLITE_OK)
            code = sqlite_error(s, e, "write");
        buf_release(&sql);
    }
    return code;
}

enum err_code sqlite_copy_put(struct tracker *t, size_t table, const struct tracker_value *values,
                              size_t n, struct err *e)
{
    struct sqlite *s = sqlite_of(t);
    sqlite3_stmt *q = s->copy != NULL ? s->copy->insert[table] : NULL;
    enum err_code code = ERR_OK;

    if (q == NULL)
        return err_set(e, ERR_GENERAL, "a row outside a copy");
    for (size_t i = 0; i < n; i++) {
        if (sqlite_value_bind(q, (int)i + 1, &values[i]) != SQLITE_OK)
            return sqlite_error(s, e, "bind a value");
    }
    if (sqlite3_step(q) != SQLITE_DONE)
        code = sqlite_error(s, e, "write");
    sqlite3_reset(q);
    return code;
}

static void forget(struct sqlite_copy *copy)
{
    for (size_t i = 0; i < TRACKER_COPIED; i++)
        sqlite3_finalize(copy->insert[i]);
    memset(copy->insert, 0, sizeof copy->insert);
}

static enum err_code make_indexes(struct sqlite *s, const struct sqlite_copy *copy, struct err *e)
{
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < SQLITE_DDL_TABLES; i++) {
        for (size_t k = 0; code == ERR_OK && k < COPY_DDL_CONTRACT; k++) {
            if (copy->made[k] && str_eq(sqlite_ddl_contract[i].name, tracker_copy_table(k)))
                code = run(s, sqlite_ddl_contract[i].indexes, "make indexes", e);
        }
    }
    return code;
}

static enum err_code all(struct sqlite *s, const struct tracker_copy_in *c,
                         struct sqlite_copy *copy, struct err *e)
{
    enum err_code code = make_tables(s, c, copy, e);

    if (code == ERR_OK)
        code = clear(s, c, e);
    if (code == ERR_OK)
        code = prepare(s, c, copy, e);
    if (code == ERR_OK)
        code = c->fill(c->user, e);
    forget(copy);
    if (code == ERR_OK) /* SQLite sorts in as much memory as the cache may have */
        code = run(s, "PRAGMA cache_size = -1024", "set its memory", e);
    if (code == ERR_OK)
        code = make_indexes(s, copy, e);
    if (code == ERR_OK)
        code = c->verify(c->user, e);
    return code == ERR_OK ? sqlite_run_put_head(s, c->head, e) : code;
}

enum err_code sqlite_copy_in(struct tracker *t, const struct tracker_copy_in *c, struct err *e)
{
    struct sqlite *s = sqlite_of(t);
    struct sqlite_copy copy = {{0}, {0}};
    enum err_code code;

    if (s->read_only)
        return err_set(e, ERR_DB, "database '%s' was opened for reading only", s->path);
    /* P10: a cache that ten thousand rows fill takes no more of a million. */
    if (sqlite3_exec(s->db, "PRAGMA cache_size = -4096; BEGIN IMMEDIATE", NULL, NULL, NULL) !=
        SQLITE_OK)
        return sqlite_error(s, e, "begin a transaction");
    s->copy = &copy;
    code = all(s, c, &copy, e);
    s->copy = NULL;
    code = sqlite_statement_end(s, code, e);
    sqlite3_exec(s->db, "PRAGMA cache_size = -16384", NULL, NULL, NULL);
    return code;
}
