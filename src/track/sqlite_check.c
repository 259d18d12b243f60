/* sqlite_check: one snapshot to be looked at, and SQL of ours answered as text. */
#include "track/sqlite.h"

#include <string.h>

#define CELLS_MAX 100

enum err_code sqlite_check_begin(struct tracker *t, struct check_rules *out, struct err *e)
{
    struct sqlite *s = sqlite_of(t);

    sqlite_check_rules(out);
    sqlite3_exec(s->db, "PRAGMA cache_size = -16384", NULL, NULL, NULL);
    if (sqlite3_exec(s->db, "BEGIN", NULL, NULL, NULL) != SQLITE_OK)
        return sqlite_error(s, e, "read");
    return ERR_OK;
}

enum err_code sqlite_check_end(struct tracker *t, enum err_code code, struct err *e)
{
    return sqlite_statement_end(sqlite_of(t), code, e);
}

enum err_code sqlite_check_ask(struct tracker *t, const char *sql, tracker_cells_fn *fn, void *user,
                               struct err *e)
{
    struct sqlite *s = sqlite_of(t);
    struct tracker_cell cells[CELLS_MAX];
    sqlite3_stmt *q = NULL;
    bool row = true;
    enum err_code code = ERR_OK;

    /* not among the kept statements: each runs once */
    if (sqlite3_prepare_v2(s->db, sql, -1, &q, NULL) != SQLITE_OK)
        return sqlite_error(s, e, "check it");
    while (code == ERR_OK) {
        code = sqlite_statement_next(s, q, &row, e);
        if (code != ERR_OK || !row)
            break;
        const int all = sqlite3_column_count(q);
        const int n = all < CELLS_MAX ? all : CELLS_MAX;
        for (int i = 0; i < n; i++)
            cells[i] = (struct tracker_cell){sqlite3_column_name(q, i),
                                             sqlite3_column_type(q, i) == SQLITE_NULL
                                                 ? NULL
                                                 : (const char *)sqlite3_column_text(q, i)};
        code = fn(user, cells, (size_t)n, e);
    }
    sqlite3_finalize(q);
    return code;
}
