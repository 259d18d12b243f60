/* postgres_pointer: files.r2_key and files.checksum of many moves at once. What stood there before is kept beside the record by SQL itself: no
 * value passes through our hands. */
#include "track/postgres_apply.h"

#include "blobferry/base/str.h"

#include <string.h>

/* What the statement is to do. */
enum act { ACT_SET = 1, ACT_RESTORE = 2, ACT_EMPTY = 3, ACT_CLEAR = 4 };

static int act_of(enum pointer_act act)
{
    switch (act) {
    case POINTER_SET:
    case POINTER_SET_AGAIN:
        return ACT_SET;
    case POINTER_RESTORE:
        return ACT_RESTORE;
    case POINTER_EMPTY:
        return ACT_EMPTY;
    case POINTER_CLEAR:
        return ACT_CLEAR;
    default:
        return 0;
    }
}

/* The arrays of one row each move. */
enum column { C_ACT, C_RECORD, C_ID, C_FILE, C_KEY, C_CHECKSUM, C_NOW, C_COUNT };

static const char files_sql[] =
    "UPDATE files AS f SET"
    " r2_key = CASE a.act WHEN 1 THEN a.key WHEN 2 THEN r.prior_r2_key END,"
    " checksum = CASE a.act WHEN 1 THEN coalesce(a.checksum, f.checksum)"
    /* Another tool has set it, and nothing is known of what was there before: the checksum goes if it was that tool's. */
    "  WHEN 4 THEN CASE WHEN f.checksum IS NOT DISTINCT FROM m.migrated_checksum THEN NULL"
    "   ELSE f.checksum END"
    "  ELSE r.prior_checksum END%s"
    " FROM unnest($1::integer[], $2::text[], $3::%s[], $4::%s[], $5::text[], $6::text[],"
    "  $7::text[]) AS a (act, record, id, file, key, checksum, now)"
    " LEFT JOIN blobferry_records AS r ON r.record_id = a.record"
    " LEFT JOIN file_migrations AS m ON a.act = 4 AND m.id = a.id"
    " WHERE f.id = a.file RETURNING a.record";

/* P3, P6: a half-done move must not be committed. */
static enum err_code refuse(const struct postgres *p, const struct postgres_moves *g,
                            const PGresult *q, struct err *e)
{
    const char *file = "?";

    for (size_t i = 0; i < g->n; i++) {
        bool done = !g->look[i].moved || act_of(g->look[i].act) == 0;
        for (int j = 0; !done && j < PQntuples(q); j++)
            done = str_eq(postgres_statement_text(q, j, 0), g->moves[i].id);
        if (!done)
            file = g->moves[i].file_id;
    }
    err_set(e, ERR_DB, "the row of files '%s' cannot be changed in '%s'", file, p->base.name);
    return err_hint(e, "a trigger on files ignores the change; nothing was written");
}

static enum err_code write_files(struct postgres *p, const struct postgres_moves *g,
                                 struct postgres_array a[C_COUNT], int wanted, struct err *e)
{
    const struct postgres_column *updated = postgres_column(p, POSTGRES_F_UPDATED);
    struct postgres_arg args[C_COUNT];
    char dated[160] = "";
    struct buf sql;

    if (updated->kind != POSTGRES_ABSENT) {
        str_copy(dated, sizeof dated, ", updated_at = a.now::");
        str_copy(dated + strlen(dated), sizeof dated - strlen(dated), updated->type);
    }
    for (int i = 0; i < C_COUNT; i++)
        args[i] = (struct postgres_arg)POSTGRES_T(postgres_array_end(&a[i]));
    buf_init(&sql, 8192);
    buf_printf(&sql, files_sql, dated, postgres_column(p, POSTGRES_M_ID)->type,
               postgres_column(p, POSTGRES_F_ID)->type);
    PGresult *q = postgres_statement_query(p, buf_cstr(&sql), args, C_COUNT, e);
    buf_release(&sql);
    if (q == NULL)
        return postgres_code(e);
    enum err_code code = PQntuples(q) == wanted ? ERR_OK : refuse(p, g, q, e);
    PQclear(q);
    return code;
}

static enum err_code forget_prior(struct postgres *p, struct postgres_array *ids, struct err *e)
{
    return ids->n == 0 ? ERR_OK
                       : postgres_statement_run(
                             p,
                             "UPDATE blobferry_records SET pointer_set = 0, prior_r2_key = NULL,"
                             " prior_checksum = NULL WHERE record_id = ANY ($1::text[])",
                             POSTGRES_ARGS(POSTGRES_T(postgres_array_end(ids))), NULL, e);
}

enum err_code postgres_pointer_write(struct postgres *p, struct postgres_moves *g, struct err *e)
{
    const struct postgres_column *id = postgres_column(p, POSTGRES_M_ID);
    const struct postgres_column *file = postgres_column(p, POSTGRES_F_ID);
    struct postgres_array a[C_COUNT], forget;
    char now[POSTGRES_TIME_SIZE];
    enum err_code code = ERR_OK;
    int wanted = 0;

    for (int i = 0; i < C_COUNT; i++)
        postgres_array_init(&a[i]);
    postgres_array_init(&forget);
    for (size_t i = 0; i < g->n; i++) {
        const struct tracker_move *m = &g->moves[i];
        const enum pointer_act act = g->look[i].act;
        if (!g->look[i].moved || act == POINTER_NONE)
            continue;
        if (act != POINTER_SET && act != POINTER_SET_AGAIN)
            postgres_array_text(&forget, m->id);
        if (act_of(act) == 0)
            continue;
        wanted++;
        postgres_array_integer(&a[C_ACT], act_of(act));
        postgres_array_text(&a[C_RECORD], m->id);
        postgres_array_text(&a[C_ID], postgres_type_id(id, m->id));
        postgres_array_text(&a[C_FILE], postgres_type_id(file, m->file_id));
        postgres_array_text(&a[C_KEY], m->target_key);
        postgres_array_text(&a[C_CHECKSUM], m->migrated_checksum);
        postgres_array_text(
            &a[C_NOW], postgres_type_time(postgres_column(p, POSTGRES_F_UPDATED), m->now_ms, now));
    }
    if (wanted > 0)
        code = write_files(p, g, a, wanted, e);
    if (code == ERR_OK)
        code = forget_prior(p, &forget, e);
    for (int i = 0; i < C_COUNT; i++)
        postgres_array_release(&a[i]);
    postgres_array_release(&forget);
    return code;
}
