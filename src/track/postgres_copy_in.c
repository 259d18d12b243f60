/* postgres_copy_in: whole tables put in by COPY FROM STDIN, in one transaction. */
#include "track/postgres.h"

#include "blobferry/base/str.h"
#include "track/copy_ddl.h"
#include "track/postgres_copy.h"
#include "track/postgres_restore.h"

#include <stdlib.h>
#include <string.h>

#define SQL_MAX ((size_t)1 << 20)
#define ROW_MAX ((size_t)512 << 20)
#define SEND_AT ((size_t)64 << 10)

static const char *const types[TRACKER_KINDS] = {
    [TRACKER_KIND_ANY] = "text",        [TRACKER_KIND_TEXT] = "text",
    [TRACKER_KIND_INTEGER] = "bigint",  [TRACKER_KIND_REAL] = "double precision",
    [TRACKER_KIND_BOOLEAN] = "boolean", [TRACKER_KIND_TIME] = "timestamptz",
    [TRACKER_KIND_UUID] = "uuid",       [TRACKER_KIND_BYTES] = "bytea",
    [TRACKER_KIND_OTHER] = "text",
};

struct postgres_copy {
    const struct tracker_copy_in *c;
    bool made[TRACKER_COPIED];
    struct tracker_columns there[TRACKER_COPIED]; /* of the target, in the order of the source */
    size_t table;                                 /* COPY is under way; TRACKER_COPIED: none */
    struct buf rows, value;
};

/* ---- what is there ------------------------------------------------------------------------------------------ */

static enum err_code make_table(struct postgres *p, size_t i, const struct tracker_columns *c,
                                struct err *e)
{
    struct buf sql;
    enum err_code code;

    buf_init(&sql, SQL_MAX);
    copy_ddl_create(&sql, tracker_copy_table(i), c, types);
    code = buf_ok(&sql) ? postgres_statement_script(p, buf_cstr(&sql), "make a table", e)
                        : err_set(e, ERR_NOMEM, "out of memory");
    buf_release(&sql);
    return code;
}

/* The target's columns in the order of the source's. */
static enum err_code look(struct postgres *p, struct postgres_copy *w, size_t i, struct err *e)
{
    const struct tracker_columns *source = &w->c->source->tables[i];
    struct tracker_columns there = {0}, *out = &w->there[i];
    enum err_code code = postgres_copy_columns(&p->base, tracker_copy_table(i), &there, e);

    if (code == ERR_OK)
        code = copy_ddl_fits(tracker_copy_table(i), source, &there, e);
    out->items = code == ERR_OK ? calloc(source->n + 1, sizeof *out->items) : NULL;
    if (out->items != NULL) {
        for (size_t k = 0; k < source->n; k++)
            out->items[out->n++] = *copy_ddl_find(&there, source->items[k].name);
    } else if (code == ERR_OK) {
        code = err_set(e, ERR_NOMEM, "out of memory");
    }
    free(there.items);
    return code;
}

static enum err_code make_tables(struct postgres *p, struct postgres_copy *w, struct err *e)
{
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < COPY_DDL_CONTRACT; i++) {
        struct tracker_columns there = {0};
        code = postgres_copy_columns(&p->base, tracker_copy_table(i), &there, e);
        w->made[i] = code == ERR_OK && there.n == 0;
        free(there.items);
        if (w->made[i])
            code = make_table(p, i, &w->c->source->tables[i], e);
    }
    if (code == ERR_OK)
        code = postgres_schema_own(p, e);
    for (size_t i = 0; code == ERR_OK && i < TRACKER_COPIED; i++)
        code = look(p, w, i, e);
    return code;
}

#define OURS                                                                                       \
    "(VALUES (to_regclass('migration_batches')), (to_regclass('file_migrations')),"                \
    " (to_regclass('files')))"

/* Rows of other tables that refer to ours would go with them, or keep them from going. */
static enum err_code refuse_references(struct postgres *p, struct err *e)
{
    static const char sql[] =
        "SELECT c.conrelid::regclass::text FROM pg_catalog.pg_constraint AS c WHERE"
        " c.contype = 'f' AND c.confrelid IN " OURS " AND c.conrelid NOT IN " OURS " LIMIT 1";
    PGresult *q = postgres_statement_query(p, sql, POSTGRES_NONE, e);
    enum err_code code = q == NULL ? postgres_code(e) : ERR_OK;

    if (code == ERR_OK && PQntuples(q) > 0) {
        err_set(e, ERR_REFUSED, "table '%s' refers to the rows that would be removed",
                PQgetvalue(q, 0, 0));
        code = err_hint(e, "drop its foreign key first, and make it again after the copy");
    }
    PQclear(q);
    return code;
}

static enum err_code refuse_rows(struct postgres *p, struct err *e)
{
    int64_t n = 0;
    enum err_code code = postgres_statement_number(
        p,
        "SELECT EXISTS (SELECT 1 FROM migration_batches) OR EXISTS (SELECT 1 FROM file_migrations)"
        " OR EXISTS (SELECT 1 FROM files) OR EXISTS (SELECT 1 FROM blobferry_records)",
        POSTGRES_NONE, &n, e);

    if (code != ERR_OK || n == 0)
        return code;
    err_set(e, ERR_REFUSED, "the target '%s' holds rows already", p->base.name);
    return err_hint(e, "--replace removes them first, after a backup");
}

static enum err_code clear(struct postgres *p, const struct tracker_copy_in *c, struct err *e)
{
    int64_t held = 0;
    enum err_code code = postgres_statement_script(
        p,
        "LOCK TABLE migration_batches, file_migrations, files, blobferry_records, blobferry_locks"
        " IN SHARE ROW EXCLUSIVE MODE",
        "lock the tables", e);

    if (code == ERR_OK)
        code = c->replace ? refuse_references(p, e) : refuse_rows(p, e);
    if (code == ERR_OK)
        code = postgres_statement_number(
            p, "SELECT count(*) FROM blobferry_locks WHERE lease_until > $1::bigint",
            POSTGRES_ARGS(POSTGRES_I(c->now_ms)), &held, e);
    if (code == ERR_OK && held > 0) {
        err_set(e, ERR_CONFLICT, "a migration or rollback is under way in the target '%s'",
                p->base.name);
        return err_hint(e,
                        "wait for its end; the lock of one that was killed expires in 10 minutes");
    }
    if (code == ERR_OK)
        code = postgres_statement_script(
            p,
            "DELETE FROM blobferry_locks; DELETE FROM blobferry_heads; DELETE FROM blobferry_runs;"
            " DELETE FROM blobferry_records; DELETE FROM file_migrations; DELETE FROM files;"
            " DELETE FROM migration_batches",
            "remove the rows that are there", e);
    return code;
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

static enum err_code send(struct postgres *p, struct postgres_copy *w, struct err *e)
{
    if (!buf_ok(&w->rows) || !buf_ok(&w->value))
        return err_set(e, ERR_NOMEM, "out of memory");
    if (w->rows.len > 0 && PQputCopyData(p->connection, w->rows.data, (int)w->rows.len) != 1)
        return postgres_error(p, NULL, "write", e);
    buf_reset(&w->rows);
    return ERR_OK;
}

static enum err_code end_table(struct postgres *p, struct postgres_copy *w, const char *why,
                               struct err *e)
{
    enum err_code code = ERR_OK;
    PGresult *q;

    if (w->table == TRACKER_COPIED)
        return ERR_OK;
    w->table = TRACKER_COPIED;
    if (why == NULL)
        code = send(p, w, e);
    if (PQputCopyEnd(p->connection, why) != 1 && code == ERR_OK)
        code = postgres_error(p, NULL, "write", e);
    while ((q = PQgetResult(p->connection)) != NULL) {
        if (PQresultStatus(q) != PGRES_COMMAND_OK && code == ERR_OK && why == NULL)
            code = postgres_error(p, q, "write", e);
        PQclear(q);
    }
    return code;
}

static enum err_code begin_table(struct postgres *p, struct postgres_copy *w, size_t table,
                                 struct err *e)
{
    struct buf sql;
    enum err_code code = end_table(p, w, NULL, e);

    if (code != ERR_OK)
        return code;
    buf_init(&sql, SQL_MAX);
    buf_printf(&sql, "COPY %s (", tracker_copy_table(table));
    postgres_copy_names(&sql, &w->there[table]);
    buf_str(&sql, ") FROM STDIN");
    PGresult *q = buf_ok(&sql) ? PQexec(p->connection, buf_cstr(&sql)) : NULL;
    if (PQresultStatus(q) != PGRES_COPY_IN)
        code = postgres_error(p, q, "write", e);
    else
        w->table = table;
    PQclear(q);
    buf_release(&sql);
    return code;
}

static void escape(struct buf *b, const char *s, size_t n)
{
    size_t plain = 0;

    for (size_t i = 0; i < n; i++) {
        const char *as = s[i] == '\\'   ? "\\\\"
                         : s[i] == '\t' ? "\\t"
                         : s[i] == '\n' ? "\\n"
                         : s[i] == '\r' ? "\\r"
                                        : NULL;
        if (as == NULL)
            continue;
        buf_append(b, s + plain, i - plain);
        buf_str(b, as);
        plain = i + 1;
    }
    buf_append(b, s + plain, n - plain);
}

enum err_code postgres_copy_put(struct tracker *t, size_t table, const struct tracker_value *values,
                                size_t n, struct err *e)
{
    struct postgres *p = postgres_of(t);
    struct postgres_copy *w = p->copy;
    enum err_code code = ERR_OK;

    if (w == NULL)
        return err_set(e, ERR_GENERAL, "a row outside a copy");
    if (w->table != table)
        code = begin_table(p, w, table, e);
    if (code != ERR_OK)
        return code;
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            buf_char(&w->rows, '\t');
        if (values[i].type == TRACKER_NULL) {
            buf_str(&w->rows, "\\N");
            continue;
        }
        buf_reset(&w->value);
        tracker_value_common(&w->value, &values[i], w->there[table].items[i].kind);
        escape(&w->rows, buf_cstr(&w->value), w->value.len);
    }
    buf_char(&w->rows, '\n');
    return w->rows.len >= SEND_AT || !buf_ok(&w->rows) ? send(p, w, e) : ERR_OK;
}

/* ---- all ----------------------------------------------------------------------------------------------------------- */

static enum err_code make_indexes(struct postgres *p, const struct postgres_copy *w, struct err *e)
{
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < POSTGRES_DDL_TABLES; i++) {
        for (size_t k = 0; code == ERR_OK && k < COPY_DDL_CONTRACT; k++) {
            if (w->made[k] && str_eq(postgres_ddl_contract[i].name, tracker_copy_table(k)))
                code = postgres_statement_script(p, postgres_ddl_contract[i].indexes,
                                                 "make indexes", e);
        }
    }
    /* without it, the first statements would be planned as if the tables were empty */
    return code == ERR_OK
               ? postgres_statement_script(p,
                                           "ANALYZE migration_batches, file_migrations, files,"
                                           " blobferry_records",
                                           "count the rows", e)
               : code;
}

static enum err_code run(struct postgres *p, void *user, struct err *e)
{
    struct postgres_copy *w = user;
    enum err_code code = make_tables(p, w, e);

    if (code == ERR_OK)
        code = clear(p, w->c, e);
    if (code == ERR_OK)
        code = postgres_value_formats(p, e); /* times without a zone are read as UTC */
    if (code == ERR_OK)
        code = w->c->fill(w->c->user, e);
    const enum err_code ended =
        end_table(p, w, code == ERR_OK ? NULL : "given up", code == ERR_OK ? e : NULL);
    if (code == ERR_OK)
        code = ended;
    if (code == ERR_OK)
        code = make_indexes(p, w, e);
    if (code == ERR_OK)
        code = w->c->verify(w->c->user, e);
    return code == ERR_OK ? postgres_run_put_head(p, w->c->head, e) : code;
}

enum err_code postgres_copy_in(struct tracker *t, const struct tracker_copy_in *c, struct err *e)
{
    struct postgres *p = postgres_of(t);
    struct postgres_copy w = {.c = c, .table = TRACKER_COPIED};
    enum err_code code;

    buf_init(&w.rows, ROW_MAX);
    buf_init(&w.value, ROW_MAX);
    p->copy = &w;
    code = postgres_transaction(
        p, &(struct postgres_work){.run = run, .user = &w, .once = true, .bare = true}, e);
    p->copy = NULL;
    p->info.looked = false;
    for (size_t i = 0; i < TRACKER_COPIED; i++)
        free(w.there[i].items);
    buf_release(&w.rows);
    buf_release(&w.value);
    return code;
}
