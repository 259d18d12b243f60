/* postgres_look: which tables are there, found by search_path, what types their columns have, and whether they can be used. */
#include "track/postgres.h"

#include "blobferry/base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is known of one table while it is looked at. */
struct table_look {
    char kind;      /* pg_class.relkind; 0: not there */
    bool id_unique; /* primary key or unique index on id alone */
};

#define OF_CONTRACT                                                                                \
    " FROM unnest(ARRAY['migration_batches', 'file_migrations', 'files']) WITH ORDINALITY"         \
    "  AS t (name, n)"                                                                             \
    " JOIN pg_catalog.pg_class AS c ON c.oid = to_regclass(t.name)"

/* Position of a word in a list separated by blanks or ';'; -1 when it is not in it. */
static int word_index(const char *list, const char *word)
{
    int at = 0;

    for (const char *p = list; *p != '\0'; at++) {
        const size_t n = strcspn(p, " ;");
        if (strlen(word) == n && strncmp(p, word, n) == 0)
            return at;
        p += n;
        p += *p != '\0';
    }
    return -1;
}

static enum postgres_kind kind_of(const char *type)
{
    static const struct {
        const char *type;
        enum postgres_kind kind;
    } kinds[] = {{"text", POSTGRES_TEXT},       {"varchar", POSTGRES_TEXT},
                 {"uuid", POSTGRES_UUID},       {"int2", POSTGRES_INT2},
                 {"int4", POSTGRES_INT4},       {"int8", POSTGRES_INT8},
                 {"timestamp", POSTGRES_STAMP}, {"timestamptz", POSTGRES_STAMPTZ}};

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kinds[i].type, type) == 0)
            return kinds[i].kind;
    }
    return POSTGRES_OTHER;
}

static const enum postgres_name first_of[POSTGRES_DDL_TABLES] = {POSTGRES_B_ID, POSTGRES_M_ID,
                                                                 POSTGRES_F_ID};

static void see_column(struct postgres *p, int table, const PGresult *q, int row)
{
    const char *name = postgres_statement_text(q, row, 3);
    const char *type = postgres_statement_text(q, row, 4);
    const int at = name != NULL ? word_index(postgres_ddl_contract[table].columns, name) : -1;

    if (at < 0 || type == NULL)
        return;
    struct postgres_column *c = &p->info.column[(int)first_of[table] + at];
    c->kind = kind_of(type);
    c->has_default = postgres_statement_truth(q, row, 6);
    c->limit = c->kind == POSTGRES_TEXT ? (int)postgres_statement_integer(q, row, 7) : 0;
    /* varchar(3) as a cast would cut the value; "character" as one means character(1) */
    if (c->kind == POSTGRES_TEXT)
        str_copy(c->type, sizeof c->type, "text");
    else if (strcmp(type, "bpchar") == 0)
        str_copy(c->type, sizeof c->type, "bpchar");
    else
        str_copy(c->type, sizeof c->type, PQgetvalue(q, row, 5));
}

static enum err_code look_columns(struct postgres *p, struct table_look looks[], struct err *e)
{
    PGresult *q = postgres_statement_query(
        p,
        "SELECT t.n, c.relkind::text, quote_ident(s.nspname) || '.', a.attname::text,"
        " b.typname::text, format_type(b.oid, NULL), a.atthasdef OR a.attidentity <> '',"
        " CASE WHEN a.atttypmod > 4 THEN a.atttypmod - 4 ELSE 0 END" OF_CONTRACT
        " JOIN pg_catalog.pg_namespace AS s ON s.oid = c.relnamespace"
        " LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0"
        "  AND NOT a.attisdropped"
        " LEFT JOIN pg_catalog.pg_type AS d ON d.oid = a.atttypid"
        " LEFT JOIN pg_catalog.pg_type AS b"
        "  ON b.oid = CASE d.typtype WHEN 'd' THEN d.typbasetype ELSE d.oid END",
        POSTGRES_NONE, e);

    if (q == NULL)
        return postgres_code(e);
    for (int i = 0; i < PQntuples(q); i++) {
        const int table = (int)postgres_statement_integer(q, i, 0) - 1;
        if (table < 0 || table >= POSTGRES_DDL_TABLES)
            continue;
        looks[table].kind = *PQgetvalue(q, i, 1);
        if (first_of[table] == POSTGRES_M_ID)
            str_copy(p->info.home, sizeof p->info.home, PQgetvalue(q, i, 2));
        see_column(p, table, q, i);
    }
    PQclear(q);
    return ERR_OK;
}

/* Indexes: is id unique, and which columns come first? */
static enum err_code look_indexes(struct postgres *p, struct table_look looks[], struct err *e)
{
    PGresult *q = postgres_statement_query(
        p,
        "SELECT t.n, i.indisunique, (SELECT string_agg(coalesce(a.attname::text, '?'), ' '"
        "   ORDER BY k.at) FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (num, at)"
        "  LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.num"
        "  WHERE k.at <= i.indnkeyatts)" OF_CONTRACT
        " JOIN pg_catalog.pg_index AS i ON i.indrelid = c.oid"
        " WHERE i.indisvalid AND i.indpred IS NULL",
        POSTGRES_NONE, e);

    if (q == NULL)
        return postgres_code(e);
    for (int i = 0; i < PQntuples(q); i++) {
        const int table = (int)postgres_statement_integer(q, i, 0) - 1;
        const char *columns = postgres_statement_text(q, i, 2);
        if (columns == NULL || table < 0 || table >= POSTGRES_DDL_TABLES)
            continue;
        if (postgres_statement_truth(q, i, 1) && strcmp(columns, "id") == 0)
            looks[table].id_unique = true;
        if (first_of[table] != POSTGRES_M_ID)
            continue;
        p->info.batch_index |= str_starts(columns, "batch_id status");
        p->info.file_index |= word_index(columns, "file_id") == 0;
    }
    PQclear(q);
    return ERR_OK;
}

/* ---- judging ---------------------------------------------------------------------------------------------- */

static void complain(struct postgres *p, const char *table, const char *column, size_t n,
                     const char *what)
{
    char *text = p->info.schema.missing;
    const size_t used = strlen(text), room = sizeof p->info.schema.missing - used;

    snprintf(text + used, room, "%s%s%s%.*s%s", used > 0 ? ", " : "", table, n > 0 ? "." : "",
             (int)n, column, what);
}

/* Is this table usable for what the connection is for? */
static bool judge(struct postgres *p, int table, const struct table_look *l)
{
    const struct postgres_ddl_table *t = &postgres_ddl_contract[table];
    const bool plain = l->kind == 'r' || l->kind == 'p';
    bool usable = l->kind != 0;
    int at = (int)first_of[table];

    if (!usable) {
        complain(p, t->name, "", 0, "");
        return false;
    }
    for (const char *c = t->columns; *c != '\0' && *c != ';'; at++) {
        const size_t n = strcspn(c, " ;");
        if (p->info.column[at].kind == POSTGRES_ABSENT) {
            complain(p, t->name, c, n, "");
            usable = false;
        }
        c += n;
        c += *c == ' ';
    }
    if (usable && !p->read_only && !plain) {
        complain(p, t->name, "", 0,
                 l->kind == 'f' ? " (a foreign table cannot be written)"
                                : " (a view cannot be written)");
        usable = false;
    } else if (usable && !p->read_only && !l->id_unique && table != 0) {
        complain(p, t->name, "id", 2, " (not unique)");
        usable = false;
    }
    return usable;
}

/* The conditions by which the tables are joined. */
static enum err_code join(struct postgres *p, struct err *e)
{
    static const struct postgres_column text = {.kind = POSTGRES_TEXT, .type = "text"};
    const struct {
        const char *left, *expr;
        const struct postgres_column *from, *to;
        char *dst;
        size_t size;
    } joins[] = {
        {"f.id = ", "m.file_id", postgres_column(p, POSTGRES_M_FILE),
         postgres_column(p, POSTGRES_F_ID), p->info.files_on, sizeof p->info.files_on},
        {"m.id = ", "r.record_id", &text, postgres_column(p, POSTGRES_M_ID), p->info.record_on,
         sizeof p->info.record_on},
        {"b.batch_id = ", "m.batch_id", postgres_column(p, POSTGRES_M_BATCH),
         postgres_column(p, POSTGRES_B_BATCH), p->info.batches_on, sizeof p->info.batches_on},
    };
    bool ok = true;
    struct buf b;

    buf_init(&b, 4096);
    for (size_t i = 0; i < sizeof joins / sizeof *joins; i++) {
        buf_reset(&b);
        buf_str(&b, joins[i].left);
        postgres_type_as(&b, joins[i].expr, joins[i].from, joins[i].to);
        ok &= buf_ok(&b) && str_copy(joins[i].dst, joins[i].size, buf_cstr(&b));
    }
    buf_release(&b);
    return ok ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");
}

static enum err_code look_own(struct postgres *p, struct err *e)
{
    int64_t there = 0, version = 0;
    enum err_code code = postgres_statement_number(
        p, "SELECT to_regclass('blobferry_schema') IS NOT NULL", POSTGRES_NONE, &there, e);

    if (code == ERR_OK && there > 0)
        code = postgres_statement_number(p, "SELECT max(version) FROM blobferry_schema",
                                         POSTGRES_NONE, &version, e);
    if (code != ERR_OK)
        return code;
    if (version > POSTGRES_OWN_VERSION) {
        err_set(e, ERR_DB_SCHEMA, "the tables blobferry_* in '%s' are of a newer blobferry",
                p->base.name);
        return err_hint(e, "use that version: these tables are version %lld, this one knows %d",
                        (long long)version, POSTGRES_OWN_VERSION);
    }
    p->info.schema.version = (int)version;
    p->info.schema.own = version > 0;
    return ERR_OK;
}

/* Asked for before the rest: what changes meanwhile is looked at again. */
static enum err_code look_cookie(struct postgres *p, struct err *e)
{
    PGresult *q = postgres_statement_query(p, "SELECT " POSTGRES_COOKIE, POSTGRES_NONE, e);

    if (q == NULL)
        return postgres_code(e);
    str_copy(p->info.cookie, sizeof p->info.cookie, PQgetvalue(q, 0, 0));
    PQclear(q);
    return ERR_OK;
}

enum err_code postgres_look(struct postgres *p, struct err *e)
{
    struct table_look looks[POSTGRES_DDL_TABLES] = {0};
    enum err_code code;

    memset(&p->info, 0, sizeof p->info);
    code = look_cookie(p, e);
    if (code == ERR_OK)
        code = look_columns(p, looks, e);
    if (code == ERR_OK)
        code = look_indexes(p, looks, e);
    if (code == ERR_OK)
        code = join(p, e);
    if (code == ERR_OK)
        code = look_own(p, e);
    if (code != ERR_OK)
        return code;
    p->info.schema.batches = judge(p, 0, &looks[0]);
    p->info.schema.migrations = judge(p, 1, &looks[1]);
    p->info.schema.files = judge(p, 2, &looks[2]);
    p->info.looked = true;
    return ERR_OK;
}
