/* d1_schema: which tables are there. What the database says of its schema is made anew in memory and judged there by the SQLite driver's
 * own eyes, so that both drivers mean the same.
 */
#include "track/d1.h"

#include "blobferry/base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char list_sql[] =
    "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND type IN ('table', 'view',"
    " 'index') AND name NOT LIKE 'sqlite@_%' ESCAPE '@' AND name NOT LIKE '@_cf@_%' ESCAPE '@'"
    " ORDER BY type = 'index', rowid";

static void close_copy(struct sqlite *s)
{
    sqlite_statement_forget_all(s);
    sqlite3_close_v2(s->db);
    free(s);
}

static struct sqlite *open_copy(struct d1 *d, struct err *e)
{
    struct sqlite *s = calloc(1, sizeof *s);

    if (s == NULL || sqlite3_open_v2(":memory:", &s->db,
                                     SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY |
                                         SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
                                     NULL) != SQLITE_OK) {
        if (s != NULL)
            close_copy(s);
        err_set(e, ERR_NOMEM, "out of memory");
        return NULL;
    }
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    s->path = d->base.name;
    s->read_only = d->read_only;
    s->info.cookie = -1;
    return s;
}

/* What cannot be made here (a virtual table, say) is none of ours. */
static void copy_schema(struct d1 *d, struct sqlite *s, const struct d1_answer *a, bool *own)
{
    d->work_made = false;
    *own = false;
    for (const struct json *r = d1_answer_rows(a, 0); r != NULL; r = json_next(r)) {
        const char *name = d1_row_plain(r, 1), *sql = d1_row_plain(r, 2);
        if (name == NULL || sql == NULL || strncasecmp(sql, "CREATE ", 7) != 0)
            continue;
        sqlite3_exec(s->db, sql, NULL, NULL, NULL);
        *own |= strcmp(name, "blobferry_schema") == 0;
        d->work_made |= strcmp(name, "blobferry_work") == 0;
    }
}

static enum err_code copy_version(struct d1 *d, struct sqlite *s, struct err *e)
{
    int64_t version = 0;
    char sql[100];
    enum err_code code =
        d1_query_number(d, &version, "SELECT max(version) FROM blobferry_schema", D1_NONE, e);

    (void)snprintf(sql, sizeof sql, "INSERT INTO blobferry_schema (version) VALUES (%lld)",
                   (long long)version);
    if (code == ERR_OK && version > 0)
        sqlite3_exec(s->db, sql, NULL, NULL, NULL);
    return code;
}

enum err_code d1_schema_again(struct d1 *d, struct err *e)
{
    struct d1_answer a;
    bool own = false;
    struct sqlite *s = NULL;
    enum err_code code = d1_query(d, &a, list_sql, D1_NONE, e);

    d->looked = false;
    if (code == ERR_OK && (s = open_copy(d, e)) == NULL)
        code = ERR_NOMEM;
    if (code == ERR_OK)
        copy_schema(d, s, &a, &own);
    if (code == ERR_OK && own)
        code = copy_version(d, s, e);
    if (code == ERR_OK)
        code = sqlite_schema_look(s, e);
    if (code == ERR_OK) {
        d->info = s->info;
        d->looked = true;
    }
    if (s != NULL)
        close_copy(s);
    d1_answer_release(&a);
    return code;
}

enum err_code d1_schema_look(struct d1 *d, struct err *e)
{
    return d->looked ? ERR_OK : d1_schema_again(d, e);
}

static enum err_code require(struct d1 *d, struct err *e)
{
    const struct tracker_schema *l = &d->info.schema;

    if (l->batches && l->migrations && l->files)
        return ERR_OK;
    err_set(e, ERR_DB_SCHEMA, "database '%s' lacks what is needed: %s", d->base.name, l->missing);
    return err_hint(e,
                    "missing tables are made with: blobferry --db '%s' init (tables that exist are "
                    "never altered)",
                    d->base.name);
}

enum err_code d1_schema_need(struct d1 *d, struct err *e)
{
    enum err_code code = d1_schema_look(d, e);
    return code == ERR_OK ? require(d, e) : code;
}

enum err_code d1_schema_inspect(struct tracker *t, struct tracker_schema *out, struct err *e)
{
    struct d1 *d = d1_of(t);
    enum err_code code = d1_schema_again(d, e);

    if (code == ERR_OK)
        *out = d->info.schema;
    return code;
}

/* What is fit for use stays so; only what is not is looked at again, for somebody may have made it so. */
static bool fit(const struct d1 *d)
{
    const struct tracker_schema *l = &d->info.schema;

    return d->looked && l->batches && l->migrations && l->files;
}

enum err_code d1_schema_require(struct tracker *t, struct err *e)
{
    struct d1 *d = d1_of(t);
    enum err_code code = fit(d) ? ERR_OK : d1_schema_again(d, e);

    return code == ERR_OK ? require(d, e) : code;
}

/* ---- making ---------------------------------------------------------------------------------------------- */

/* One statement of a list, made fit for being executed twice. */
static void add_one(struct d1_batch *b, const char *sql, size_t n)
{
    static const char *const kinds[] = {"CREATE TABLE ", "CREATE INDEX "};
    static const char absent[] = "IF NOT EXISTS ";
    struct buf text;

    buf_init(&text, 65536);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const size_t k = strlen(kinds[i]);
        if (n > k && strncmp(sql, kinds[i], k) == 0 && strncmp(sql + k, absent, 3) != 0) {
            buf_printf(&text, "%s%s%.*s", kinds[i], absent, (int)(n - k), sql + k);
            break;
        }
    }
    if (text.len == 0)
        buf_append(&text, sql, n);
    d1_batch_add(b, buf_cstr(&text), D1_NONE);
    buf_release(&text);
}

/* Our texts hold no ';' but between statements. The version is written by itself. */
static void add_list(struct d1_batch *b, const char *list)
{
    while (*list != '\0') {
        const size_t n = strcspn(list, ";");
        if (n > 0 && strncmp(list, "INSERT INTO blobferry_schema", 28) != 0)
            add_one(b, list, n);
        list += n + (list[n] == ';');
    }
}

static void add_own(struct d1 *d, struct d1_batch *b, int *created)
{
    char sql[200];

    for (int v = d->info.schema.version; v < SQLITE_OWN_VERSION; v++) {
        add_list(b, sqlite_ddl_own[v]);
        (void)snprintf(sql, sizeof sql,
                       "INSERT INTO blobferry_schema (version) SELECT %d WHERE NOT EXISTS"
                       " (SELECT 1 FROM blobferry_schema WHERE version >= %d)",
                       v + 1, v + 1);
        d1_batch_add(b, sql, D1_NONE);
        *created += SQLITE_OWN_TABLES;
    }
    if (!d->work_made)
        add_list(b, d1_work_ddl);
}

static bool there(const struct d1_answer *a, const char *name)
{
    for (const struct json *r = d1_answer_rows(a, 0); r != NULL; r = json_next(r)) {
        const char *known = d1_row_plain(r, 1);
        if (known != NULL && strcasecmp(known, name) == 0)
            return true;
    }
    return false;
}

static enum err_code make(struct d1 *d, bool contract, int *created, struct err *e)
{
    struct d1_batch b;
    struct d1_answer names, a = {0};
    enum err_code code = d1_query(d, &names, list_sql, D1_NONE, e);

    d1_batch_init(&b);
    for (size_t i = 0; contract && code == ERR_OK && i < SQLITE_DDL_TABLES; i++) {
        if (there(&names, sqlite_ddl_contract[i].name))
            continue;
        add_list(&b, sqlite_ddl_contract[i].create);
        add_list(&b, sqlite_ddl_contract[i].indexes);
        *created += 1;
    }
    add_own(d, &b, created);
    if (code == ERR_OK && b.n > 0)
        code = d1_batch_run(d, &b, &a, e);
    if (code == ERR_OK && b.n > 0)
        code = d1_schema_again(d, e);
    if (code != ERR_OK)
        *created = 0;
    d1_answer_release(&a);
    d1_answer_release(&names);
    d1_batch_release(&b);
    return code;
}

static enum err_code refuse_writing(struct d1 *d, struct err *e)
{
    return d->read_only
               ? err_set(e, ERR_DB, "database '%s' was opened for reading only", d->base.name)
               : ERR_OK;
}

enum err_code d1_schema_init(struct tracker *t, int *created, struct err *e)
{
    struct d1 *d = d1_of(t);
    enum err_code code = refuse_writing(d, e);

    if (code == ERR_OK)
        code = d1_schema_again(d, e);
    if (code == ERR_OK)
        code = make(d, true, created, e);
    return code == ERR_OK ? require(d, e) : code;
}

static bool prepared(const struct d1 *d)
{
    return d->looked && d->info.schema.version >= SQLITE_OWN_VERSION && d->work_made;
}

enum err_code d1_schema_prepare(struct tracker *t, struct err *e)
{
    struct d1 *d = d1_of(t);
    int created = 0;
    enum err_code code = prepared(d) ? ERR_OK : d1_schema_again(d, e);

    if (code != ERR_OK || prepared(d))
        return code;
    code = refuse_writing(d, e);
    return code == ERR_OK ? make(d, false, &created, e) : code;
}

enum err_code d1_schema_write(struct d1 *d, struct err *e)
{
    enum err_code code = refuse_writing(d, e);

    if (code == ERR_OK)
        code = d1_schema_need(d, e);
    if (code == ERR_OK && (!d->info.schema.own || !d->work_made))
        code = d1_schema_prepare(&d->base, e);
    return code;
}
