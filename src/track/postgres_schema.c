/* postgres_schema: requiring the tables, and making what is missing. Our own tables are made beside file_migrations, wherever the search
 * path finds that. */
#include "blobferry/base/str.h"
#include "track/postgres_copy.h"

#include <stdio.h>
#include <string.h>

/* How long a change of tables that are in use waits for them: whoever comes after it has to wait as well. */
#define CHANGE_WAIT_MS 1000

static bool usable(const struct postgres *p)
{
    const struct tracker_schema *l = &p->info.schema;
    return p->info.looked && l->batches && l->migrations && l->files;
}

static enum err_code require(struct postgres *p, struct err *e)
{
    if (usable(p))
        return ERR_OK;
    err_set(e, ERR_DB_SCHEMA, "database '%s' lacks what is needed: %s", p->base.name,
            p->info.schema.missing);
    return err_hint(e,
                    "missing tables are made with: blobferry --db '%s' init (tables that exist are "
                    "never altered); tables of another schema are found by search_path",
                    p->base.name);
}

enum err_code postgres_schema_need(struct postgres *p, struct err *e)
{
    PGresult *q = postgres_statement_query(p, "SELECT " POSTGRES_COOKIE, POSTGRES_NONE, e);
    enum err_code code = q == NULL ? postgres_code(e) : ERR_OK;

    if (code == ERR_OK && !postgres_schema_fits(p, PQgetvalue(q, 0, 0)))
        code = postgres_look(p, e);
    PQclear(q);
    return code == ERR_OK ? require(p, e) : code;
}

bool postgres_schema_fits(const struct postgres *p, const char *cookie)
{
    return p->info.looked && strcmp(p->info.cookie, cookie) == 0;
}

enum err_code postgres_schema_inspect(struct tracker *t, struct tracker_schema *out, struct err *e)
{
    struct postgres *p = postgres_of(t);
    enum err_code code = postgres_look(p, e);

    if (code == ERR_OK)
        *out = p->info.schema;
    return code;
}

enum err_code postgres_schema_require(struct tracker *t, struct err *e)
{
    struct postgres *p = postgres_of(t);
    enum err_code code = postgres_look(p, e);

    return code == ERR_OK ? require(p, e) : code;
}

/* Is there a table or view of that name, usable or not? */
static enum err_code exists(struct postgres *p, const char *name, bool *there, struct err *e)
{
    int64_t n = 0;
    enum err_code code = postgres_statement_number(p, "SELECT to_regclass($1) IS NOT NULL",
                                                   POSTGRES_ARGS(POSTGRES_T(name)), &n, e);
    *there = n > 0;
    return code;
}

static enum err_code make_own(struct postgres *p, const char *ddl, struct err *e)
{
    struct buf sql;
    enum err_code code;

    buf_init(&sql, (size_t)64 << 10);
    for (const char *s = ddl; *s != '\0';) {
        const size_t plain = strcspn(s, "%");
        buf_append(&sql, s, plain);
        s += plain;
        if (*s == '%') {
            buf_str(&sql, p->info.home);
            s++;
        }
    }
    code = buf_ok(&sql) ? postgres_statement_script(p, buf_cstr(&sql), "make our tables", e)
                        : err_set(e, ERR_NOMEM, "out of memory");
    buf_release(&sql);
    return code;
}

static enum err_code set_patience(struct postgres *p, int ms, struct err *e)
{
    char sql[64];

    snprintf(sql, sizeof sql, "SET LOCAL lock_timeout = %d", ms);
    return postgres_statement_script(p, sql, "make our tables", e);
}

/* From version v to v + 1. */
static enum err_code change_own(struct postgres *p, int v, struct err *e)
{
    const int wait = p->busy_ms < CHANGE_WAIT_MS ? p->busy_ms : CHANGE_WAIT_MS;
    enum err_code code = set_patience(p, wait, e);

    if (code == ERR_OK)
        code = make_own(p, postgres_ddl_own[v], e);
    return code == ERR_OK ? set_patience(p, p->busy_ms, e) : code;
}

struct making {
    bool contract;
    int created;
};

/* Inside a transaction: looks again, for somebody else may have been faster. One at a time makes tables: two that make the same one at
 * once would fail, whatever IF NOT EXISTS says. */
static enum err_code make(struct postgres *p, void *user, struct err *e)
{
    struct making *m = user;
    enum err_code code = postgres_statement_run(
        p, "SELECT pg_advisory_xact_lock(hashtextextended('blobferry schema', 0))", POSTGRES_NONE,
        NULL, e);

    m->created = 0;
    for (size_t i = 0; m->contract && code == ERR_OK && i < POSTGRES_DDL_TABLES; i++) {
        const struct postgres_ddl_table *t = &postgres_ddl_contract[i];
        bool there = false;
        code = exists(p, t->name, &there, e);
        if (code != ERR_OK || there)
            continue;
        code = postgres_statement_script(p, t->create, "make its tables", e);
        if (code == ERR_OK)
            code = postgres_statement_script(p, t->indexes, "make its tables", e);
        m->created += code == ERR_OK;
    }
    if (code == ERR_OK)
        code = postgres_look(p, e);
    for (int v = p->info.schema.version; code == ERR_OK && v < POSTGRES_OWN_VERSION; v++) {
        code = v == 0 ? make_own(p, postgres_ddl_own[v], e) : change_own(p, v, e);
        m->created += code == ERR_OK && v == 0 ? POSTGRES_OWN_TABLES : 0;
    }
    return code;
}

enum err_code postgres_schema_own(struct postgres *p, struct err *e)
{
    struct making m = {0};

    return make(p, &m, e);
}

static enum err_code make_missing(struct postgres *p, bool contract, int *created, struct err *e)
{
    struct making m = {.contract = contract};
    enum err_code code =
        postgres_transaction(p, &(struct postgres_work){.run = make, .user = &m, .bare = true}, e);

    *created = code == ERR_OK ? m.created : 0;
    return code == ERR_OK ? postgres_look(p, e) : code;
}

enum err_code postgres_schema_init(struct tracker *t, int *created, struct err *e)
{
    struct postgres *p = postgres_of(t);
    bool there = true;
    enum err_code code = postgres_look(p, e);

    for (size_t i = 0; code == ERR_OK && there && i < POSTGRES_DDL_TABLES; i++)
        code = exists(p, postgres_ddl_contract[i].name, &there, e);
    if (code == ERR_OK && (!there || !p->info.schema.own))
        code = make_missing(p, true, created, e);
    return code == ERR_OK ? require(p, e) : code;
}

enum err_code postgres_schema_upgrade(struct tracker *t, struct err *e)
{
    struct postgres *p = postgres_of(t);
    int created = 0;
    enum err_code code = postgres_look(p, e);

    if (code == ERR_OK && p->info.schema.version < POSTGRES_OWN_VERSION)
        code = make_missing(p, false, &created, e);
    return code;
}

/* Tables of an older version do as well, only slower: no work is put off because somebody reads them for hours (pg_dump), or because another
 * role owns them. `db upgrade` tells. */
enum err_code postgres_schema_prepare(struct tracker *t, struct err *e)
{
    struct postgres *p = postgres_of(t);
    enum err_code code = postgres_schema_upgrade(t, e);

    if (code == ERR_OK || !p->info.schema.own ||
        (p->fault != POSTGRES_FAULT_BUSY && !str_eq(p->sqlstate, "42501")))
        return code;
    if (e != NULL)
        err_init(e);
    return postgres_look(p, e);
}
