/* sqlite_batches: the batches with what follows from their rows, in one pass over the rows of those chosen. */
#include "track/sqlite.h"

#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"
#include "blobferry/codec/timefmt.h"

#include <stdlib.h>
#include <string.h>

enum column {
    B_ID,
    B_BATCH,
    B_STATUS,
    B_TOTAL,
    B_COMPLETED,
    B_FAILED,
    B_VERIFIED,
    B_STARTED,
    B_COMPLETED_AT,
    B_CREATED,
    B_COUNTS, /* FILE_STATUS_COUNT of them, the unknown ones last */
    B_BYTES = B_COUNTS + FILE_STATUS_COUNT
};

/* total() counts in floating point: exact to 9 PB, and no hostile size can overflow it. */
static const char query_text[] =
    "WITH chosen AS MATERIALIZED (SELECT b.* FROM migration_batches AS b"
    "  WHERE %s ORDER BY b.created_at DESC, b.id DESC LIMIT ?2),"
    " counted AS MATERIALIZED (SELECT m.batch_id AS of, count(*) AS total,"
    "  sum(m.status = 'pending') AS pending, sum(m.status = 'processing') AS processing,"
    "  sum(m.status = 'completed') AS completed, sum(m.status = 'verified') AS verified,"
    "  sum(m.status = 'failed') AS failed, sum(m.status = 'rolled_back') AS rolled_back, %s AS "
    "bytes"
    "  FROM file_migrations AS m WHERE m.batch_id IN (SELECT batch_id FROM chosen)"
    "  GROUP BY m.batch_id)"
    " SELECT c.id, c.batch_id, c.status, c.total_files, c.completed_files, c.failed_files,"
    "  c.verified_files, c.started_at, c.completed_at, c.created_at,"
    "  n.pending, n.processing, n.completed, n.verified, n.failed, n.rolled_back,"
    "  n.total - coalesce(n.pending, 0) - coalesce(n.processing, 0) - coalesce(n.completed, 0)"
    "  - coalesce(n.verified, 0) - coalesce(n.failed, 0) - coalesce(n.rolled_back, 0), n.bytes"
    " FROM chosen AS c LEFT JOIN counted AS n ON n.of = c.batch_id"
    " ORDER BY c.created_at DESC, c.id DESC";

static sqlite3_stmt *query(struct sqlite *s, struct sqlite_select *select, const char *batch_id,
                           size_t limit, bool with_bytes, struct err *e)
{
    const char *one = s->info.numeric_batch
                          ? "b.batch_id = ?1 COLLATE BINARY AND CAST(b.batch_id AS TEXT) = ?1"
                          : "b.batch_id = ?1 COLLATE BINARY";

    sqlite_select_init(select);
    buf_printf(&select->sql, query_text, batch_id != NULL ? one : "?1 IS NULL",
               with_bytes ? "total(CASE WHEN typeof(m.file_size) = 'integer' AND m.file_size > 0"
                            " THEN m.file_size END)"
                          : "0");
    sqlite_select_value(select, (struct sqlite_arg)SQLITE_T(batch_id));
    sqlite_select_value(
        select, (struct sqlite_arg)SQLITE_I(limit == 0 || limit > INT32_MAX ? -1 : (int64_t)limit));
    return sqlite_select_query(s, select, e);
}

static const char *text(sqlite3_stmt *q, int column, struct batch_list *out, bool *full)
{
    const char *found = sqlite3_column_type(q, column) == SQLITE_NULL
                            ? NULL
                            : (const char *)sqlite3_column_text(q, column);
    if (found == NULL)
        return NULL;
    const char *copy = arena_strndup(&out->mem, found, strnlen(found, SQLITE_TEXT_MAX));
    *full |= copy == NULL;
    return copy;
}

static void counts_of(sqlite3_stmt *q, struct state_counts *counts)
{
    for (int i = 0; i < FILE_STATUS_COUNT; i++)
        counts->by[i] = sqlite3_column_int64(q, B_COUNTS + i);
}

static void read_batch(sqlite3_stmt *q, struct batch *b, struct batch_list *out, bool *full)
{
    const double bytes = sqlite3_column_double(q, B_BYTES);

    b->id = text(q, B_ID, out, full);
    b->batch_id = text(q, B_BATCH, out, full);
    b->status_text = text(q, B_STATUS, out, full);
    b->status = state_batch_parse(b->status_text);
    b->total_files = sqlite3_column_int64(q, B_TOTAL);
    b->completed_files = sqlite3_column_int64(q, B_COMPLETED);
    b->failed_files = sqlite3_column_int64(q, B_FAILED);
    b->verified_files = sqlite3_column_int64(q, B_VERIFIED);
    b->started_at = text(q, B_STARTED, out, full);
    b->completed_at = text(q, B_COMPLETED_AT, out, full);
    b->created_at = text(q, B_CREATED, out, full);
    counts_of(q, &b->counts);
    b->bytes = bytes < 9.2e18 ? (int64_t)bytes : INT64_MAX;
}

enum err_code sqlite_batches(struct tracker *t, const char *batch_id, size_t limit,
                             struct batch_list *out, struct err *e)
{
    struct sqlite *s = sqlite_of(t);
    struct sqlite_select select;
    bool row = true, full = false;

    enum err_code code = sqlite_schema_need(s, e);
    if (code != ERR_OK)
        return code;
    sqlite3_stmt *q = query(s, &select, batch_id, limit, true, e);
    if (q == NULL)
        code = sqlite_code(e);
    while (code == ERR_OK && row) {
        code = sqlite_statement_next(s, q, &row, e);
        struct batch *b = code == ERR_OK && row ? record_batches_add(out) : NULL;
        if (b != NULL)
            read_batch(q, b, out, &full);
        if (code == ERR_OK && ((row && b == NULL) || full))
            code = err_set(e, ERR_LIMIT, "too many batches for one list: ask for fewer");
    }
    sqlite_statement_done(q);
    sqlite_select_release(&select);
    return code;
}

/* ---- refresh ------------------------------------------------------------------------------------------ */

/* Batches found to differ, by name. */
struct names {
    char **items;
    size_t len, cap;
};

static enum err_code add_name(struct names *n, const char *name, struct err *e)
{
    if (n->len == n->cap) {
        const size_t cap = n->cap == 0 ? 16 : n->cap * 2;
        char **items = realloc(n->items, cap * sizeof *items);
        if (items == NULL)
            return err_set(e, ERR_NOMEM, "out of memory");
        n->items = items;
        n->cap = cap;
    }
    n->items[n->len] = str_dup(name);
    if (n->items[n->len] == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    n->len++;
    return ERR_OK;
}

static void free_names(struct names *n)
{
    for (size_t i = 0; i < n->len; i++)
        free(n->items[i]);
    free(n->items);
}

static bool ended(enum batch_status s)
{
    return s != BATCH_PENDING && s != BATCH_PROCESSING;
}

/* Does what is stored differ from what follows from the rows? */
static bool differs(sqlite3_stmt *q, const struct state_counts *c)
{
    const enum batch_status status = state_batch_derive(c);
    const char *stored = (const char *)sqlite3_column_text(q, B_STATUS);

    return sqlite3_column_int64(q, B_TOTAL) != state_counts_total(c) ||
           sqlite3_column_int64(q, B_COMPLETED) != state_counts_completed(c) ||
           sqlite3_column_int64(q, B_FAILED) != c->by[FILE_FAILED] ||
           sqlite3_column_int64(q, B_VERIFIED) != c->by[FILE_VERIFIED] ||
           !str_eq(stored, state_batch_name(status)) ||
           (sqlite3_column_type(q, B_COMPLETED_AT) == SQLITE_NULL) == ended(status);
}

static enum err_code find_differing(struct sqlite *s, const char *batch_id, struct names *out,
                                    struct err *e)
{
    struct sqlite_select select;
    bool row = true;
    enum err_code code = ERR_OK;
    sqlite3_stmt *q = query(s, &select, batch_id, 0, false, e);

    if (q == NULL)
        code = sqlite_code(e);
    while (code == ERR_OK && row) {
        struct state_counts counts;
        code = sqlite_statement_next(s, q, &row, e);
        if (code != ERR_OK || !row)
            break;
        counts_of(q, &counts);
        const char *name = (const char *)sqlite3_column_text(q, B_BATCH);
        if (name != NULL && differs(q, &counts))
            code = add_name(out, name, e);
    }
    sqlite_statement_done(q);
    sqlite_select_release(&select);
    return code;
}

/* In a short transaction of its own: counted again, for the rows may have moved since. */
static enum err_code store(struct sqlite *s, const char *batch_id, int64_t *changed, struct err *e)
{
    static const char sql[] =
        "UPDATE migration_batches SET total_files = ?2, completed_files = ?3, failed_files = ?4,"
        " verified_files = ?5, status = ?6,"
        " completed_at = CASE WHEN ?7 THEN coalesce(completed_at, ?8) END WHERE batch_id = ?1";
    struct sqlite_select select;
    struct state_counts c = {0};
    bool row = false, stale = false;
    char now[TIMEFMT_SIZE];

    sqlite3_stmt *q = query(s, &select, batch_id, 1, false, e);
    enum err_code code = q == NULL ? sqlite_code(e) : sqlite_statement_next(s, q, &row, e);
    if (row) {
        counts_of(q, &c);
        stale = differs(q, &c);
    }
    sqlite_statement_done(q);
    sqlite_select_release(&select);
    if (code != ERR_OK || !stale)
        return code;
    timefmt_db(clock_wall_ms(), now);
    *changed += 1;
    return sqlite_statement_run(s, sql,
                                SQLITE_ARGS(SQLITE_T(batch_id), SQLITE_I(state_counts_total(&c)),
                                            SQLITE_I(state_counts_completed(&c)),
                                            SQLITE_I(c.by[FILE_FAILED]),
                                            SQLITE_I(c.by[FILE_VERIFIED]),
                                            SQLITE_T(state_batch_name(state_batch_derive(&c))),
                                            SQLITE_I(ended(state_batch_derive(&c))), SQLITE_T(now)),
                                NULL, e);
}

enum err_code sqlite_batches_recount(struct sqlite *s, const char *batch_id, int64_t *changed,
                                     struct err *e)
{
    return store(s, batch_id, changed, e);
}

enum err_code sqlite_batches_refresh(struct tracker *t, const char *batch_id, int64_t *changed,
                                     struct err *e)
{
    struct sqlite *s = sqlite_of(t);
    struct names names = {0};

    enum err_code code = sqlite_schema_need(s, e);
    if (code == ERR_OK)
        code = find_differing(s, batch_id, &names, e); /* P7: nothing differs, nothing is written */
    for (size_t i = 0; code == ERR_OK && i < names.len; i++) {
        code = sqlite_statement_begin(s, e);
        if (code == ERR_OK)
            code = sqlite_statement_end(s, store(s, names.items[i], changed, e), e);
    }
    free_names(&names);
    return code;
}
