/* sqlite_schema: which tables are there, whether they can be used, and making what is missing. */
#include "track/sqlite.h"

#include "blobferry/base/str.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum affinity { AFFINITY_TEXT, AFFINITY_NONE, AFFINITY_NUMERIC };

/* What is known of one table while it is looked at. */
struct table_look {
    bool there, view;
    size_t columns; /* seen in all */
    bool id_unique; /* primary key or unique index on id alone */
    bool id_counts; /* INTEGER PRIMARY KEY: the database gives the ids */
    enum affinity id, batch_id, user_id;
    bool created_at, updated_at;
    unsigned wanted; /* bits of the needed columns that were seen */
};

/* https://www.sqlite.org/datatype3.html, 3.1; REAL counts as numeric here. */
static enum affinity affinity_of(const char *type)
{
    if (type == NULL || *type == '\0')
        return AFFINITY_NONE;
    if (strcasestr(type, "INT") != NULL)
        return AFFINITY_NUMERIC;
    if (strcasestr(type, "CHAR") != NULL || strcasestr(type, "CLOB") != NULL ||
        strcasestr(type, "TEXT") != NULL)
        return AFFINITY_TEXT;
    return strcasestr(type, "BLOB") != NULL ? AFFINITY_NONE : AFFINITY_NUMERIC;
}

/* Position of a word in a list separated by blanks; -1 when it is not in it. */
static int word_index(const char *list, const char *word)
{
    int at = 0;

    for (const char *p = list; *p != '\0'; at++) {
        const size_t n = strcspn(p, " ");
        if (strlen(word) == n && strncasecmp(p, word, n) == 0)
            return at;
        p += n;
        p += *p == ' ';
    }
    return -1;
}

static void see_column(struct table_look *l, const struct sqlite_ddl_table *t, const char *name,
                       const char *type, bool primary)
{
    const int at = word_index(t->columns, name);

    l->columns++;
    if (at >= 0)
        l->wanted |= 1u << at;
    if (strcasecmp(name, "id") == 0) {
        l->id = affinity_of(type);
        l->id_counts = primary && type != NULL && strcasecmp(type, "INTEGER") == 0;
    }
    if (strcasecmp(name, "batch_id") == 0)
        l->batch_id = affinity_of(type);
    if (strcasecmp(name, "user_id") == 0)
        l->user_id = affinity_of(type);
    l->created_at |= strcasecmp(name, "created_at") == 0;
    l->updated_at |= strcasecmp(name, "updated_at") == 0;
}

static enum err_code look_columns(struct sqlite *s, const struct sqlite_ddl_table *t,
                                  struct table_look *l, struct err *e)
{
    bool row = true;
    enum err_code code = ERR_OK;
    sqlite3_stmt *q = sqlite_statement_query(
        s,
        "SELECT c.name, c.type, t.type = 'view', c.pk FROM pragma_table_list AS t,"
        " pragma_table_xinfo(t.name) AS c"
        " WHERE t.schema = 'main' AND t.name = ?1 COLLATE NOCASE",
        SQLITE_ARGS(SQLITE_T(t->name)), e);

    if (q == NULL)
        return sqlite_code(e);
    while (code == ERR_OK && row) {
        code = sqlite_statement_next(s, q, &row, e);
        if (code != ERR_OK || !row)
            break;
        const char *name = (const char *)sqlite3_column_text(q, 0);
        l->there = true;
        l->view = sqlite3_column_int(q, 2) != 0;
        if (name != NULL)
            see_column(l, t, name, (const char *)sqlite3_column_text(q, 1),
                       sqlite3_column_int(q, 3) != 0);
    }
    return code;
}

/* Indexes: is id unique, and which columns come first? */
static enum err_code look_indexes(struct sqlite *s, const struct sqlite_ddl_table *t,
                                  struct table_look *l, struct err *e)
{
    static const char sql[] =
        "SELECT il.\"unique\", il.partial,"
        " (SELECT group_concat(coalesce(name, '?'), ' ')"
        "  FROM (SELECT name FROM pragma_index_info(il.name) ORDER BY seqno))"
        " FROM pragma_index_list(?1) AS il"
        " UNION ALL SELECT 1, 0, group_concat(name, ' ') FROM pragma_table_info(?1) WHERE pk > 0";
    const bool migrations = strcmp(t->name, "file_migrations") == 0;
    bool row = true;
    enum err_code code = ERR_OK;
    sqlite3_stmt *q = sqlite_statement_query(s, sql, SQLITE_ARGS(SQLITE_T(t->name)), e);

    if (q == NULL)
        return sqlite_code(e);
    while (code == ERR_OK && row) {
        code = sqlite_statement_next(s, q, &row, e);
        if (code != ERR_OK || !row)
            break;
        const char *columns = (const char *)sqlite3_column_text(q, 2);
        if (columns == NULL || sqlite3_column_int(q, 1) != 0)
            continue;
        if (sqlite3_column_int(q, 0) != 0 && strcasecmp(columns, "id") == 0)
            l->id_unique = true;
        if (migrations && strncasecmp(columns, "batch_id status", 15) == 0)
            s->info.batch_index = true;
        if (migrations && word_index(columns, "file_id") == 0)
            s->info.file_index = true;
    }
    return code;
}

static void complain(struct sqlite *s, const char *table, const char *column, size_t n,
                     const char *what)
{
    char *text = s->info.schema.missing;
    const size_t used = strlen(text), room = sizeof s->info.schema.missing - used;

    snprintf(text + used, room, "%s%s%s%.*s%s", used > 0 ? ", " : "", table, n > 0 ? "." : "",
             (int)n, column, what);
}

/* Is this table usable for what the connection is for? */
static bool judge(struct sqlite *s, const struct sqlite_ddl_table *t, const struct table_look *l)
{
    bool usable = l->there;
    int at = 0;

    if (!l->there) {
        complain(s, t->name, "", 0, "");
        return false;
    }
    for (const char *p = t->columns; *p != '\0'; at++) {
        const size_t n = strcspn(p, " ");
        if ((l->wanted & (1u << at)) == 0) {
            complain(s, t->name, p, n, "");
            usable = false;
        }
        p += n;
        p += *p == ' ';
    }
    if (usable && !s->read_only && l->view) {
        complain(s, t->name, "", 0, " (a view cannot be written)");
        usable = false;
    } else if (usable && !s->read_only && !l->id_unique &&
               strcmp(t->name, "migration_batches") != 0) {
        complain(s, t->name, "id", 2, " (not unique)");
        usable = false;
    }
    return usable;
}

static enum err_code look_contract(struct sqlite *s, struct err *e)
{
    bool *const usable[SQLITE_DDL_TABLES] = {&s->info.schema.batches, &s->info.schema.migrations,
                                             &s->info.schema.files};

    for (size_t i = 0; i < SQLITE_DDL_TABLES; i++) {
        const struct sqlite_ddl_table *t = &sqlite_ddl_contract[i];
        struct table_look l = {0};
        enum err_code code = look_columns(s, t, &l, e);

        if (code == ERR_OK && l.there && !l.view)
            code = look_indexes(s, t, &l, e);
        if (code != ERR_OK)
            return code;
        *usable[i] = judge(s, t, &l);
        if (i == 0) {
            s->info.counted_batch_id = l.id_counts;
        } else if (i == 1) {
            s->info.counted_id = l.id_counts;
            s->info.numeric_id = l.id == AFFINITY_NUMERIC;
            s->info.numeric_batch = l.batch_id == AFFINITY_NUMERIC;
        } else if (i == 2) {
            s->info.numeric_file_id = l.id == AFFINITY_NUMERIC;
            s->info.numeric_user = l.user_id == AFFINITY_NUMERIC;
            s->info.files_created_at = l.created_at;
            s->info.files_updated_at = l.updated_at;
        }
    }
    return ERR_OK;
}

static enum err_code look_own(struct sqlite *s, struct err *e)
{
    int64_t there = 0, version = 0;
    enum err_code code = sqlite_statement_number(
        s, "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'blobferry_schema'",
        SQLITE_NONE, &there, e);

    if (code == ERR_OK && there > 0)
        code = sqlite_statement_number(s, "SELECT max(version) FROM blobferry_schema", SQLITE_NONE,
                                       &version, e);
    if (code != ERR_OK)
        return code;
    if (version > SQLITE_OWN_VERSION) {
        err_set(e, ERR_DB_SCHEMA, "the tables blobferry_* in '%s' are of a newer blobferry",
                s->path);
        return err_hint(e, "use that version: these tables are version %lld, this one knows %d",
                        (long long)version, SQLITE_OWN_VERSION);
    }
    s->info.schema.version = (int)version;
    s->info.schema.own = version > 0;
    return ERR_OK;
}

enum err_code sqlite_schema_look(struct sqlite *s, struct err *e)
{
    int64_t cookie = 0;
    enum err_code code =
        sqlite_statement_number(s, "PRAGMA main.schema_version", SQLITE_NONE, &cookie, e);

    if (code != ERR_OK || cookie == s->info.cookie)
        return code;
    memset(&s->info, 0, sizeof s->info);
    s->info.cookie = -1;
    buf_reset(&s->read_one);
    code = look_contract(s, e);
    if (code == ERR_OK)
        code = look_own(s, e);
    if (code == ERR_OK)
        s->info.cookie = cookie;
    return code;
}

static enum err_code require(struct sqlite *s, struct err *e)
{
    const struct tracker_schema *l = &s->info.schema;

    if (l->batches && l->migrations && l->files)
        return ERR_OK;
    err_set(e, ERR_DB_SCHEMA, "database '%s' lacks what is needed: %s", s->path, l->missing);
    return err_hint(e,
                    "missing tables are made with: blobferry --db 'sqlite:%s' init (tables that "
                    "exist are never altered)",
                    s->path);
}

enum err_code sqlite_schema_need(struct sqlite *s, struct err *e)
{
    enum err_code code = sqlite_schema_look(s, e);
    return code == ERR_OK ? require(s, e) : code;
}

enum err_code sqlite_schema_inspect(struct tracker *t, struct tracker_schema *out, struct err *e)
{
    struct sqlite *s = sqlite_of(t);
    enum err_code code = sqlite_schema_look(s, e);

    if (code == ERR_OK)
        *out = s->info.schema;
    return code;
}

enum err_code sqlite_schema_require(struct tracker *t, struct err *e)
{
    return sqlite_schema_need(sqlite_of(t), e);
}

static enum err_code execute(struct sqlite *s, const char *sql, struct err *e)
{
    if (*sql != '\0' && sqlite3_exec(s->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return sqlite_error(s, e, "make its tables");
    return ERR_OK;
}

/* Is there a table or view of that name, usable or not? */
static enum err_code exists(struct sqlite *s, const char *name, bool *there, struct err *e)
{
    int64_t n = 0;
    enum err_code code =
        sqlite_statement_number(s,
                                "SELECT count(*) FROM sqlite_schema WHERE type IN ('table', 'view')"
                                " AND name = ?1 COLLATE NOCASE",
                                SQLITE_ARGS(SQLITE_T(name)), &n, e);
    *there = n > 0;
    return code;
}

/* Inside a transaction: looks again, for somebody else may have been faster. */
static enum err_code make(struct sqlite *s, bool contract, int *created, struct err *e)
{
    enum err_code code = sqlite_schema_look(s, e);

    for (size_t i = 0; contract && code == ERR_OK && i < SQLITE_DDL_TABLES; i++) {
        bool there = false;
        code = exists(s, sqlite_ddl_contract[i].name, &there, e);
        if (code != ERR_OK || there)
            continue;
        code = execute(s, sqlite_ddl_contract[i].create, e);
        if (code == ERR_OK)
            code = execute(s, sqlite_ddl_contract[i].indexes, e);
        *created += code == ERR_OK;
    }
    for (int v = s->info.schema.version; code == ERR_OK && v < SQLITE_OWN_VERSION; v++) {
        code = execute(s, sqlite_ddl_own[v], e);
        *created += code == ERR_OK ? SQLITE_OWN_TABLES : 0;
    }
    return code;
}

enum err_code sqlite_schema_own(struct sqlite *s, struct err *e)
{
    int created = 0;

    return make(s, false, &created, e);
}

static enum err_code make_missing(struct sqlite *s, bool contract, int *created, struct err *e)
{
    enum err_code code = sqlite_statement_lock(s, e);

    if (code == ERR_OK)
        code = sqlite_statement_end(s, make(s, contract, created, e), e);
    if (code != ERR_OK)
        *created = 0;
    return code == ERR_OK ? sqlite_schema_look(s, e) : code;
}

enum err_code sqlite_schema_init(struct tracker *t, int *created, struct err *e)
{
    struct sqlite *s = sqlite_of(t);
    bool there = true;
    enum err_code code = sqlite_schema_look(s, e);

    for (size_t i = 0; code == ERR_OK && there && i < SQLITE_DDL_TABLES; i++)
        code = exists(s, sqlite_ddl_contract[i].name, &there, e);
    if (code == ERR_OK && (!there || !s->info.schema.own))
        code = make_missing(s, true, created, e);
    return code == ERR_OK ? require(s, e) : code;
}

enum err_code sqlite_schema_prepare(struct tracker *t, struct err *e)
{
    struct sqlite *s = sqlite_of(t);
    int created = 0;
    enum err_code code = sqlite_schema_look(s, e);

    if (code == ERR_OK && s->info.schema.version < SQLITE_OWN_VERSION)
        code = make_missing(s, false, &created, e);
    return code;
}
