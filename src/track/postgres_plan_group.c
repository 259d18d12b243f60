/* postgres_plan_group: planned rows, written many at a time: one array for each column. When the database forbids a group, its rows are
 * written one by one, so that the fault is told of the very row. */
#include "track/postgres_plan.h"

#include "blobferry/base/str.h"

#include <stdio.h>
#include <string.h>

#define GROUP_BYTES ((size_t)8 << 20)

void postgres_group_init(struct postgres_group *g, int64_t now_ms)
{
    memset(g, 0, sizeof *g);
    arena_init(&g->mem, GROUP_BYTES);
    g->now_ms = now_ms;
}

void postgres_group_release(struct postgres_group *g)
{
    arena_release(&g->mem);
    g->len = 0;
}

/* ---- does it fit? ---------------------------------------------------------------------------------------- */

static size_t characters(const char *s)
{
    size_t n = 0;

    for (; *s != '\0'; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static bool text_fits(const struct postgres *p, enum postgres_name column, const char *what,
                      const char *text, char *why, size_t size)
{
    const struct postgres_column *c = postgres_column(p, column);

    if (text == NULL)
        return true;
    if (!str_utf8_valid(text, strlen(text)))
        snprintf(why, size, "%s is not UTF-8, which this database cannot hold", what);
    else if (postgres_type_id(c, text) == NULL)
        snprintf(why, size, "%s '%.100s' is no %s, which the database keeps it as", what, text,
                 c->type);
    else if (c->limit > 0 && characters(text) > (size_t)c->limit)
        snprintf(why, size, "%s is longer than the %d characters that the database has room for",
                 what, c->limit);
    else
        return true;
    return false;
}

static bool makes_file(const struct tracker_plan_row *r)
{
    return r->make_file_row && r->file_id != NULL && r->user_id != NULL && r->filename != NULL;
}

bool postgres_group_fits(const struct postgres *p, const struct tracker_plan_row *r, char *why,
                         size_t size)
{
    const enum postgres_kind kind = postgres_column(p, POSTGRES_M_SIZE)->kind;

    if ((kind == POSTGRES_INT4 && r->size > INT32_MAX) ||
        (kind == POSTGRES_INT2 && r->size > INT16_MAX)) {
        snprintf(why, size, "the size is larger than file_migrations.file_size (%s) can hold",
                 postgres_column(p, POSTGRES_M_SIZE)->type);
        return false;
    }
    return text_fits(p, POSTGRES_M_FILE, "file id", r->file_id, why, size) &&
           text_fits(p, POSTGRES_M_SOURCE, "source path", r->source_path, why, size) &&
           text_fits(p, POSTGRES_M_KEY, "target key", r->target_key, why, size) &&
           text_fits(p, POSTGRES_M_ORIGINAL, "checksum", r->checksum, why, size) &&
           (!makes_file(r) || (text_fits(p, POSTGRES_F_ID, "file id", r->file_id, why, size) &&
                               text_fits(p, POSTGRES_F_NAME, "file name", r->filename, why, size) &&
                               text_fits(p, POSTGRES_F_USER, "user id", r->user_id, why, size)));
}

/* ---- gathering ------------------------------------------------------------------------------------------- */

static const char *keep(struct postgres_group *g, const char *text, bool *full)
{
    const char *copy = arena_strdup(&g->mem, text);

    *full |= text != NULL && copy == NULL;
    return copy;
}

enum err_code postgres_group_add(struct postgres_group *g, const struct tracker_plan_row *r,
                                 struct err *e)
{
    struct tracker_plan_row *k = &g->rows[g->len];
    bool full = false;

    *k = *r;
    k->id = keep(g, r->id, &full);
    k->batch_id = keep(g, r->batch_id, &full);
    k->file_id = keep(g, r->file_id, &full);
    k->source_path = keep(g, r->source_path, &full);
    k->target_key = keep(g, r->target_key, &full);
    k->key_digest = keep(g, r->key_digest, &full);
    k->checksum = keep(g, r->checksum, &full);
    k->filename = keep(g, r->filename, &full);
    k->user_id = keep(g, r->user_id, &full);
    k->content_type = keep(g, r->content_type, &full);
    if (full)
        return err_set(e, ERR_NOMEM, "out of memory");
    g->len++;
    return ERR_OK;
}

static bool counted(const struct postgres *p)
{
    const struct postgres_column *id = postgres_column(p, POSTGRES_M_ID);

    return id->kind == POSTGRES_INT2 || id->kind == POSTGRES_INT4 || id->kind == POSTGRES_INT8;
}

bool postgres_group_due(const struct postgres *p, const struct postgres_group *g)
{
    return g->len == POSTGRES_GROUP_MAX || g->mem.used > GROUP_BYTES / 2 ||
           (g->len > 0 && counted(p));
}

/* ---- writing --------------------------------------------------------------------------------------------- */

enum { C_ID, C_BATCH, C_FILE, C_SOURCE, C_KEY, C_CHECKSUM, C_SIZE, C_DIGEST, C_TYPE, C_COLUMNS };

struct columns {
    struct postgres_array a[C_COLUMNS];
    const char *end[C_COLUMNS];
};

static void columns_init(struct columns *c)
{
    for (int i = 0; i < C_COLUMNS; i++)
        postgres_array_init(&c->a[i]);
}

static void columns_release(struct columns *c)
{
    for (int i = 0; i < C_COLUMNS; i++)
        postgres_array_release(&c->a[i]);
}

static enum err_code columns_end(struct columns *c, int first, int count, struct err *e)
{
    for (int i = first; i < first + count; i++) {
        c->end[i] = postgres_array_end(&c->a[i]);
        if (c->end[i] == NULL)
            return err_set(e, ERR_NOMEM, "out of memory");
    }
    return ERR_OK;
}

/* Rows of the application for files that it does not know yet; before the others, which may refer to them. Nothing is invented:
 * without a user none is made. */
static enum err_code write_files(struct postgres *p, const struct postgres_group *g, size_t from,
                                 size_t to, struct err *e)
{
    const struct postgres_column *created = postgres_column(p, POSTGRES_F_CREATED);
    const struct postgres_column *updated = postgres_column(p, POSTGRES_F_UPDATED);
    const bool has_created = created->kind != POSTGRES_ABSENT,
               has_updated = updated->kind != POSTGRES_ABSENT;
    char now[2][POSTGRES_TIME_SIZE];
    struct postgres_select q;
    struct columns c;
    size_t n = 0;

    columns_init(&c);
    for (size_t i = from; i < to; i++) {
        if (!makes_file(&g->rows[i]))
            continue;
        postgres_array_text(&c.a[0], g->rows[i].file_id);
        postgres_array_text(&c.a[1], g->rows[i].filename);
        postgres_array_text(&c.a[2], g->rows[i].user_id);
        n++;
    }
    enum err_code code = columns_end(&c, 0, 3, e);
    postgres_select_init(&q);
    if (code == ERR_OK && n > 0) {
        buf_printf(&q.sql,
                   "INSERT INTO files (id, filename, user_id%s%s) SELECT a.id, a.filename,"
                   " a.user_id",
                   has_created ? ", created_at" : "", has_updated ? ", updated_at" : "");
        for (int i = 0; i < 3; i++)
            postgres_select_value(&q, (struct postgres_arg)POSTGRES_T(c.end[i]));
        for (int i = 0; i < 2; i++) {
            const struct postgres_column *k = i == 0 ? created : updated;
            if (k->kind == POSTGRES_ABSENT)
                continue;
            buf_str(&q.sql, ", ");
            postgres_select_bind(
                &q, (struct postgres_arg)POSTGRES_T(postgres_type_time(k, g->now_ms, now[i])),
                k->type);
        }
        buf_printf(&q.sql,
                   " FROM unnest($1::%s[], $2::text[], $3::%s[]) WITH ORDINALITY AS a(id, filename,"
                   " user_id, n) ORDER BY a.n ON CONFLICT (id) DO NOTHING",
                   postgres_column(p, POSTGRES_F_ID)->type,
                   postgres_column(p, POSTGRES_F_USER)->type);
        code = postgres_select_ok(&q, e)
                   ? postgres_statement_run(p, q.sql.data, q.args, q.n, NULL, e)
                   : ERR_NOMEM;
    }
    postgres_select_release(&q);
    columns_release(&c);
    return code;
}

static void fill(struct columns *c, const struct postgres_group *g, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        const struct tracker_plan_row *r = &g->rows[i];
        postgres_array_text(&c->a[C_ID], r->id);
        postgres_array_text(&c->a[C_BATCH], r->batch_id);
        postgres_array_text(&c->a[C_FILE], r->file_id);
        postgres_array_text(&c->a[C_SOURCE], r->source_path);
        postgres_array_text(&c->a[C_KEY], r->target_key);
        postgres_array_text(&c->a[C_CHECKSUM], r->checksum);
        if (r->size >= 0)
            postgres_array_integer(&c->a[C_SIZE], r->size);
        else
            postgres_array_null(&c->a[C_SIZE]);
        postgres_array_text(&c->a[C_DIGEST], r->key_digest);
        postgres_array_text(&c->a[C_TYPE], r->content_type);
    }
}

/* One statement for both tables: the ids that the database gives go straight into ours. */
static enum err_code write_rows(struct postgres *p, struct postgres_group *g, size_t from,
                                size_t to, struct err *e)
{
    const struct postgres_column *created = postgres_column(p, POSTGRES_M_CREATED);
    const bool given = counted(p);
    char now[POSTGRES_TIME_SIZE];
    struct columns c;
    struct buf sql;

    columns_init(&c);
    buf_init(&sql, 8192);
    fill(&c, g, from, to);
    enum err_code code = columns_end(&c, 0, C_COLUMNS, e);
    buf_printf(
        &sql,
        "WITH planned AS (INSERT INTO file_migrations (%sbatch_id, file_id, source_path,"
        " target_r2_key, original_checksum, file_size, status, created_at)"
        " SELECT %sa.batch_id, a.file_id, a.source_path, a.target_key, a.checksum, a.size,"
        " 'pending'::%s, $10::%s FROM unnest($1::%s[], $2::%s[], $3::%s[], $4::text[], $5::text[],"
        " $6::text[], $7::bigint[]) WITH ORDINALITY AS a(id, batch_id, file_id, source_path,"
        " target_key, checksum, size, n) ORDER BY a.n RETURNING id::text),"
        " kept AS (INSERT INTO blobferry_records (record_id, key_digest, content_type)"
        " SELECT %s, r.digest, r.type FROM unnest($1::text[], $8::text[], $9::text[]) AS"
        " r(id, digest, type)%s RETURNING record_id) SELECT (SELECT count(*) FROM planned),"
        " (SELECT min(record_id) FROM kept)",
        given ? "" : "id, ", given ? "" : "a.id, ", postgres_column(p, POSTGRES_M_STATUS)->type,
        created->type, given ? "text" : postgres_column(p, POSTGRES_M_ID)->type,
        postgres_column(p, POSTGRES_M_BATCH)->type, postgres_column(p, POSTGRES_M_FILE)->type,
        given ? "planned.id" : "r.id", given ? ", planned" : "");
    if (code == ERR_OK && !buf_ok(&sql))
        code = err_set(e, ERR_NOMEM, "out of memory");
    if (code == ERR_OK) {
        PGresult *q = postgres_statement_query(
            p, sql.data,
            POSTGRES_ARGS(POSTGRES_T(c.end[0]), POSTGRES_T(c.end[1]), POSTGRES_T(c.end[2]),
                          POSTGRES_T(c.end[3]), POSTGRES_T(c.end[4]), POSTGRES_T(c.end[5]),
                          POSTGRES_T(c.end[6]), POSTGRES_T(c.end[7]), POSTGRES_T(c.end[8]),
                          POSTGRES_T(postgres_type_time(created, g->now_ms, now))),
            e);
        if (q == NULL)
            code = postgres_code(e);
        else if (postgres_statement_integer(q, 0, 0) != (int64_t)(to - from))
            code = err_set(e, ERR_DB, "a trigger on file_migrations has dropped planned rows");
        else if (given)
            str_copy(g->given, sizeof g->given, PQgetvalue(q, 0, 1));
        PQclear(q);
    }
    buf_release(&sql);
    columns_release(&c);
    return code;
}

static enum err_code write(struct postgres *p, struct postgres_group *g, size_t from, size_t to,
                           struct err *e)
{
    enum err_code code = write_files(p, g, from, to, e);

    return code == ERR_OK ? write_rows(p, g, from, to, e) : code;
}

/* The transaction is lost anyway: which row was it? */
static enum err_code blame(struct postgres *p, struct postgres_group *g, enum err_code group_code,
                           struct err *e)
{
    const enum postgres_fault fault = p->fault;
    enum err_code code = ERR_OK;
    struct err one;

    err_init(&one);
    if (fault != POSTGRES_FAULT_OTHER || group_code == ERR_NOMEM ||
        postgres_statement_run(p, "ROLLBACK TO SAVEPOINT blobferry_group", POSTGRES_NONE, NULL,
                               &one) != ERR_OK) {
        p->fault = fault;
        return group_code;
    }
    for (size_t i = 0; i < g->len; i++) {
        const struct tracker_plan_row *r = &g->rows[i];
        code = write(p, g, i, i + 1, &one);
        if (code == ERR_OK)
            continue;
        *e = one;
        return err_wrap(e, "cannot plan '%s'", r->source_path != NULL ? r->source_path : r->id);
    }
    p->fault = fault;
    return group_code;
}

enum err_code postgres_group_flush(struct postgres *p, struct postgres_group *g, struct err *e)
{
    enum err_code code = ERR_OK;

    if (g->len == 0)
        return ERR_OK;
    code = postgres_statement_run(p, "SAVEPOINT blobferry_group", POSTGRES_NONE, NULL, e);
    if (code == ERR_OK) {
        code = write(p, g, 0, g->len, e);
        if (code != ERR_OK)
            code = blame(p, g, code, e);
    }
    if (code == ERR_OK)
        code =
            postgres_statement_run(p, "RELEASE SAVEPOINT blobferry_group", POSTGRES_NONE, NULL, e);
    g->len = 0;
    arena_reset(&g->mem);
    return code;
}
