/* postgres_copy: what the tables look like, and all their rows in one snapshot, by COPY TO STDOUT: one row in memory at a time.
 * https://www.postgresql.org/docs/current/sql-copy.html, "Text Format" */
#include "track/postgres.h"

#include "blobferry/base/str.h"
#include "blobferry/codec/text.h"
#include "track/copy_ddl.h"
#include "track/postgres_copy.h"
#include "track/postgres_restore.h"

#include <stdlib.h>
#include <string.h>

#define SQL_MAX ((size_t)1 << 20)

static enum tracker_kind kind_of(const char *type)
{
    static const struct {
        const char *type;
        enum tracker_kind kind;
    } kinds[] = {{"text", TRACKER_KIND_TEXT},      {"varchar", TRACKER_KIND_TEXT},
                 {"bpchar", TRACKER_KIND_TEXT},    {"name", TRACKER_KIND_TEXT},
                 {"bool", TRACKER_KIND_BOOLEAN},   {"int2", TRACKER_KIND_INTEGER},
                 {"int4", TRACKER_KIND_INTEGER},   {"int8", TRACKER_KIND_INTEGER},
                 {"float4", TRACKER_KIND_REAL},    {"float8", TRACKER_KIND_REAL},
                 {"timestamp", TRACKER_KIND_TIME}, {"timestamptz", TRACKER_KIND_TIME},
                 {"uuid", TRACKER_KIND_UUID},      {"bytea", TRACKER_KIND_BYTES}};

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (str_eq(kinds[i].type, type))
            return kinds[i].kind;
    }
    return TRACKER_KIND_OTHER;
}

enum err_code postgres_copy_columns(struct tracker *t, const char *table,
                                    struct tracker_columns *out, struct err *e)
{
    static const char sql[] =
        "SELECT a.attname::text, b.typname::text, a.attnotnull, EXISTS (SELECT 1"
        "  FROM pg_catalog.pg_index AS i WHERE i.indrelid = a.attrelid AND i.indisunique"
        "  AND i.indisvalid AND i.indpred IS NULL AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum)"
        " FROM pg_catalog.pg_attribute AS a"
        " JOIN pg_catalog.pg_type AS d ON d.oid = a.atttypid"
        " JOIN pg_catalog.pg_type AS b"
        "  ON b.oid = CASE d.typtype WHEN 'd' THEN d.typbasetype ELSE d.oid END"
        " WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped"
        " AND a.attgenerated = '' ORDER BY a.attnum";
    PGresult *q =
        postgres_statement_query(postgres_of(t), sql, POSTGRES_ARGS(POSTGRES_T(table)), e);
    enum err_code code = ERR_OK;

    memset(out, 0, sizeof *out);
    if (q == NULL)
        return postgres_code(e);
    const int n = PQntuples(q);
    out->items = n <= TRACKER_COLUMNS_MAX ? calloc((size_t)n + 1, sizeof *out->items) : NULL;
    if (out->items == NULL)
        code = n > TRACKER_COLUMNS_MAX
                   ? err_set(e, ERR_LIMIT, "table '%s' has too many columns", table)
                   : err_set(e, ERR_NOMEM, "out of memory");
    for (int i = 0; out->items != NULL && i < n; i++) {
        struct tracker_column *c = &out->items[out->n++];
        str_copy(c->name, sizeof c->name, PQgetvalue(q, i, 0)); /* at most 63 bytes */
        c->kind = kind_of(PQgetvalue(q, i, 1));
        c->not_null = postgres_statement_truth(q, i, 2);
        c->unique = postgres_statement_truth(q, i, 3);
    }
    PQclear(q);
    return code;
}

void postgres_copy_names(struct buf *b, const struct tracker_columns *c)
{
    for (size_t i = 0; i < c->n; i++) {
        buf_str(b, i > 0 ? ", " : "");
        copy_ddl_quote(b, c->items[i].name);
    }
}

/* ---- one row ------------------------------------------------------------------------------------------------ */

/* Up to the next tab or the end, unescaped in place; returns what follows, NULL after the last. */
static char *field(char *s, const char *end, size_t *len, bool *null)
{
    char *to = s, *from = s;

    *null = end - s >= 2 && s[0] == '\\' && s[1] == 'N' && (s + 2 == end || s[2] == '\t');
    while (from < end && *from != '\t') {
        if (*from != '\\' || from + 1 == end) {
            *to++ = *from++;
            continue;
        }
        static const char letters[] = "bfnrtv", bytes[] = "\b\f\n\r\t\v";
        const char *at = strchr(letters, from[1]);
        *to++ = at != NULL && from[1] != '\0' ? bytes[at - letters] : from[1];
        from += 2;
    }
    *len = (size_t)(to - s);
    return from < end ? from + 1 : NULL;
}

static int64_t number(const char *s, size_t n)
{
    uint64_t value = 0;
    const bool minus = n > 0 && s[0] == '-';

    for (size_t i = minus; i < n; i++)
        value = value * 10 + (uint64_t)(s[i] - '0');
    return (int64_t)(minus ? 0 - value : value);
}

static double real(const char *s, size_t n)
{
    char text[64];

    if (n >= sizeof text)
        return 0;
    memcpy(text, s, n);
    text[n] = '\0';
    return strtod(text, NULL);
}

/* The session's zone is UTC: '2024-05-01 10:11:12.5+00'. */
static void value_of(struct tracker_value *v, enum tracker_kind kind, char *s, size_t n)
{
    v->type = TRACKER_TEXT;
    v->bytes = s;
    v->len = n;
    if (kind == TRACKER_KIND_INTEGER) {
        v->type = TRACKER_INTEGER;
        v->integer = number(s, n);
    } else if (kind == TRACKER_KIND_BOOLEAN) {
        v->type = TRACKER_INTEGER;
        v->integer = n == 1 && *s == 't';
    } else if (kind == TRACKER_KIND_REAL) {
        v->type = TRACKER_REAL;
        v->real = real(s, n);
    } else if (kind == TRACKER_KIND_TIME && n > 3 && memcmp(s + n - 3, "+00", 3) == 0) {
        v->len = n - 3;
    } else if (kind == TRACKER_KIND_BYTES && n >= 2 && text_unhex(s + 2, n - 2, s)) {
        v->type = TRACKER_BLOB; /* half as long: in place */
        v->len = (n - 2) / 2;
    }
}

static enum err_code read_row(char *line, size_t n, const struct tracker_columns *c,
                              struct tracker_value *values, struct err *e)
{
    char *s = line;
    const char *end = line + n - (n > 0 && line[n - 1] == '\n');

    for (size_t i = 0; i < c->n; i++) {
        size_t len = 0;
        bool null = false;
        char *text = s;

        if (s == NULL)
            return err_set(e, ERR_DB, "a row of the server has too few columns");
        s = field(s, end, &len, &null);
        values[i] = (struct tracker_value){.column = c->items[i].name, .bytes = ""};
        if (!null)
            value_of(&values[i], c->items[i].kind, text, len);
    }
    return ERR_OK;
}

/* ---- out -------------------------------------------------------------------------------------------------------- */

/* What is still to come is not wanted. */
static void give_up(struct postgres *p)
{
    char ignored[256], *line = NULL;
    PGcancel *c = PQgetCancel(p->connection);

    if (c != NULL)
        PQcancel(c, ignored, sizeof ignored);
    PQfreeCancel(c);
    while (PQgetCopyData(p->connection, &line, 0) > 0)
        PQfreemem(line);
}

static enum err_code finish(struct postgres *p, struct err *e)
{
    enum err_code code = ERR_OK;
    PGresult *q;

    while ((q = PQgetResult(p->connection)) != NULL) {
        if (PQresultStatus(q) != PGRES_COMMAND_OK && code == ERR_OK)
            code = postgres_error(p, q, "read", e);
        PQclear(q);
    }
    return code;
}

static enum err_code rows(struct postgres *p, size_t table, const struct tracker_columns *c,
                          tracker_copy_fn *fn, void *user, struct err *e)
{
    struct tracker_value *values = calloc(c->n, sizeof *values);
    enum err_code code = ERR_OK;
    char *line = NULL;
    int n = 0;

    if (values == NULL) {
        give_up(p);
        finish(p, NULL);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    while (code == ERR_OK && (n = PQgetCopyData(p->connection, &line, 0)) > 0) {
        code = read_row(line, (size_t)n, c, values, e);
        if (code == ERR_OK)
            code = fn(user, table, values, c->n, e);
        PQfreemem(line);
    }
    free(values);
    if (code != ERR_OK) {
        give_up(p);
        finish(p, NULL);
        p->fault = POSTGRES_FAULT_OTHER; /* not the server's: no reason to try again */
        return code;
    }
    return n == -2 ? postgres_error(p, NULL, "read", e) : finish(p, e);
}

static enum err_code table_out(struct postgres *p, size_t table, const struct tracker_columns *c,
                               tracker_copy_fn *fn, void *user, struct err *e)
{
    struct buf sql;
    enum err_code code;

    buf_init(&sql, SQL_MAX);
    buf_str(&sql, "COPY (SELECT ");
    postgres_copy_names(&sql, c);
    buf_printf(&sql, " FROM %s) TO STDOUT", tracker_copy_table(table));
    p->fault = POSTGRES_FAULT_NONE;
    PGresult *q = buf_ok(&sql) ? PQexec(p->connection, buf_cstr(&sql)) : NULL;
    if (!buf_ok(&sql))
        code = err_set(e, ERR_NOMEM, "out of memory");
    else if (PQresultStatus(q) != PGRES_COPY_OUT)
        code = postgres_error(p, q, "read", e);
    else
        code = rows(p, table, c, fn, user, e);
    PQclear(q);
    buf_release(&sql);
    return code;
}

struct out {
    const struct tracker_copy_shape *what;
    tracker_copy_fn *fn;
    void *user;
};

static enum err_code run(struct postgres *p, void *user, struct err *e)
{
    struct out *o = user;
    enum err_code code = postgres_value_formats(p, e);

    for (size_t i = 0; code == ERR_OK && i < TRACKER_COPIED; i++) {
        if (o->what->tables[i].n > 0)
            code = table_out(p, i, &o->what->tables[i], o->fn, o->user, e);
    }
    return code;
}

enum err_code postgres_copy_out(struct tracker *t, const struct tracker_copy_shape *what,
                                tracker_copy_fn *fn, void *user, struct err *e)
{
    struct postgres *p = postgres_of(t);
    struct out o = {what, fn, user};

    if (p->in_transaction)
        return run(p, &o, e);
    /* What was told cannot be taken back: it is run once. */
    return postgres_transaction(
        p,
        &(struct postgres_work){
            .run = run, .user = &o, .once = true, .reading = true, .bare = true},
        e);
}

/* ---- SQL of ours, answered as text --------------------------------------------------------------------------------- */

#define CELLS_MAX 100

struct asking {
    tracker_cells_fn *fn;
    void *user;
};

static enum err_code on_cells(void *user, const PGresult *q, int row, bool *more, struct err *e)
{
    const struct asking *a = user;
    struct tracker_cell cells[CELLS_MAX];
    const int n = PQnfields(q) < CELLS_MAX ? PQnfields(q) : CELLS_MAX;

    (void)more;
    for (int i = 0; i < n; i++)
        cells[i] = (struct tracker_cell){PQfname(q, i), postgres_statement_text(q, row, i)};
    return a->fn(a->user, cells, (size_t)n, e);
}

enum err_code postgres_copy_ask(struct tracker *t, const char *sql, tracker_cells_fn *fn,
                                void *user, struct err *e)
{
    struct asking a = {fn, user};

    return postgres_statement_each(postgres_of(t), sql, POSTGRES_NONE, on_cells, &a, e);
}
