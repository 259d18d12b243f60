/* sqlite: what the files of the SQLite driver share. Each sqlite_x.c exports the sqlite_x* named here.
 *
 * A reading operation:      sqlite_schema_look -> sqlite_query … sqlite_next … sqlite_done
 * A writing operation:      sqlite_begin -> sqlite_run … -> sqlite_head -> sqlite_end (commits, or rolls back when code is not ERR_OK)
 */
#ifndef BLOBFERRY_TRACK_SQLITE_H
#define BLOBFERRY_TRACK_SQLITE_H

#include "blobferry/base/buf.h"
#include "track/driver.h"
#include "track/pointer.h"

#include <sqlite3.h>

#define SQLITE_TEXT_MAX    ((size_t)64 << 10) /* bytes of an id, key, path, name, checksum */
#define SQLITE_VALUE_MAX   (64 << 20)         /* bytes of any value that is read at all */
#define SQLITE_OWN_VERSION 1
#define SQLITE_OWN_TABLES  5
#define SQLITE_CACHED      64 /* prepared statements */
#define SQLITE_BUSY_MS     10000

/* What is known of the schema; looked at again whenever somebody changes it. */
struct sqlite_info {
    int64_t cookie; /* PRAGMA schema_version; -1 never looked */
    struct tracker_schema schema;
    bool numeric_id, numeric_batch, numeric_user; /* numeric affinity: a bound '07' would match 7 */
    bool numeric_file_id;                         /* files.id */
    bool counted_id,
        counted_batch_id; /* the id of file_migrations, migration_batches is INTEGER PRIMARY KEY */
    bool files_created_at, files_updated_at;
    bool batch_index; /* on file_migrations (batch_id, status …): counting by status is cheap */
    bool file_index;  /* on file_migrations (file_id …) */
};

struct sqlite_cached {
    char *sql; /* owned; NULL free */
    const char *literal;
    sqlite3_stmt *statement;
    uint64_t used;
};

struct sqlite {
    struct tracker base;
    sqlite3 *db;
    char *path;
    bool read_only;
    bool wal_tried;
    int busy_ms;
    int64_t busy_limit_ms, busy_since_ms; /* of the wait under way */
    uint64_t clock;                       /* of the statement cache */
    struct sqlite_cached cached[SQLITE_CACHED];
    struct sqlite_info info;
    struct buf read_one;      /* the SQL of sqlite_read_one; "" after every change of the schema */
    bool made, discard;       /* we have made the file; it goes again if it stays empty */
    struct sqlite_copy *copy; /* under way */
    int64_t foreign_rows_ms;  /* when temp.blobferry_foreign was filled; 0: not yet */
};

static inline struct sqlite *sqlite_of(struct tracker *t)
{
    return (struct sqlite *)(void *)t;
}

/* The code of a fault that was just put into e. */
static inline enum err_code sqlite_code(const struct err *e)
{
    return e != NULL && e->code != ERR_OK ? e->code : ERR_DB;
}

/* ---- sqlite_error.c, sqlite_file.c ------------------------------------------------------------------- */
/* What SQLite says last, as our error: `doing` completes "cannot …". */
enum err_code sqlite_error(struct sqlite *s, struct err *e, const char *doing);
/* Opens s->db by s->path in a way that leaves nothing behind when it only reads. */
enum err_code sqlite_file_open(struct sqlite *s, bool create, struct err *e);

/* ---- sqlite_busy.c ------------------------------------------------------------------------------------ */
/* From now on a locked database is waited for, up to limit_ms each time; then ERR_DB_BUSY. */
void sqlite_busy_wait(struct sqlite *s, int limit_ms);
int64_t sqlite_busy_pause_us(int count, uint32_t random);

/* ---- sqlite_statement.c --------------------------------------------------------------------------------- */
struct sqlite_arg {
    bool is_text; /* else integer */
    const char *text;
    int64_t integer;
};
#define SQLITE_T(x)                                                                                \
    {                                                                                              \
        .is_text = true, .text = (x)                                                               \
    } /* NULL binds NULL */
#define SQLITE_I(x)                                                                                \
    {                                                                                              \
        .is_text = false, .integer = (x)                                                           \
    }
#define SQLITE_ARGS(...)                                                                           \
    (const struct sqlite_arg[]){__VA_ARGS__},                                                      \
        sizeof((const struct sqlite_arg[]){__VA_ARGS__}) / sizeof(struct sqlite_arg)
#define SQLITE_NONE NULL, 0

/* Prepared (cached) and bound; NULL with e filled. Texts are borrowed until sqlite_done. */
sqlite3_stmt *sqlite_statement_query(struct sqlite *s, const char *sql,
                                     const struct sqlite_arg *args, size_t n, struct err *e);
/* Next row? At the end or after a fault the statement is reset. */
enum err_code sqlite_statement_next(struct sqlite *s, sqlite3_stmt *q, bool *row, struct err *e);
void sqlite_statement_done(sqlite3_stmt *q); /* reset early; NULL is harmless */
/* Run to the end; *changes (may be NULL) counts the rows it changed. */
enum err_code sqlite_statement_run(struct sqlite *s, const char *sql, const struct sqlite_arg *args,
                                   size_t n, int64_t *changes, struct err *e);
/* The first column of the first row as a number; 0 when there is none. */
enum err_code sqlite_statement_number(struct sqlite *s, const char *sql,
                                      const struct sqlite_arg *args, size_t n, int64_t *out,
                                      struct err *e);
void sqlite_statement_forget_all(struct sqlite *s);
/* BEGIN IMMEDIATE. */
enum err_code sqlite_statement_lock(struct sqlite *s, struct err *e);
/* The same once the contract's tables are usable and ours are made. */
enum err_code sqlite_statement_begin(struct sqlite *s, struct err *e);
/* COMMIT when code is ERR_OK, else (or when that fails) ROLLBACK; returns what holds then. */
enum err_code sqlite_statement_end(struct sqlite *s, enum err_code code, struct err *e);

/* ---- sqlite_function.c: SQL functions of ours ------------------------------------------------------------ */
enum err_code sqlite_function_register(struct sqlite *s, struct err *e);

/* ---- sqlite_ddl.c, sqlite_schema.c ------------------------------------------------------------------------ */
struct sqlite_ddl_table {
    const char *name;
    const char *columns; /* needed, separated by blanks */
    const char *create;  /* the contract's table */
    const char *indexes; /* helpful ones, made only along with the table */
};
#define SQLITE_DDL_TABLES 3
extern const struct sqlite_ddl_table sqlite_ddl_contract[SQLITE_DDL_TABLES];
extern const char *const sqlite_ddl_own[SQLITE_OWN_VERSION]; /* [v] leads from version v to v + 1 */

/* Fills s->info when the schema has changed; ERR_DB_SCHEMA when ours is of a newer blobferry. */
enum err_code sqlite_schema_look(struct sqlite *s, struct err *e);
enum err_code sqlite_schema_need(struct sqlite *s, struct err *e); /* look, then require */
enum err_code sqlite_schema_inspect(struct tracker *t, struct tracker_schema *out, struct err *e);
enum err_code sqlite_schema_require(struct tracker *t, struct err *e);
enum err_code sqlite_schema_init(struct tracker *t, int *created, struct err *e);
enum err_code sqlite_schema_prepare(struct tracker *t, struct err *e);
enum err_code sqlite_schema_own(struct sqlite *s,
                                struct err *e); /* the same inside a transaction */

/* ---- sqlite_run.c, sqlite_lock.c ------------------------------------------------------------------------------ */
/* Inside a transaction; h NULL: nothing. */
enum err_code sqlite_run_put_head(struct sqlite *s, const struct tracker_head *h, struct err *e);
enum err_code sqlite_run_heads(struct tracker *t, tracker_head_fn *fn, void *user, struct err *e);
enum err_code sqlite_run_set_head(struct tracker *t, const struct tracker_head *h, struct err *e);
enum err_code sqlite_run_begin(struct tracker *t, const struct tracker_run *r, struct err *e);
enum err_code sqlite_run_end(struct tracker *t, const struct tracker_run *r, struct err *e);
enum err_code sqlite_lock(struct tracker *t, const struct tracker_lock *l, struct err *e);
enum err_code sqlite_lock_release(struct tracker *t, const char *owner, struct err *e);

/* ---- sqlite_plan.c, sqlite_keys.c ------------------------------------------------------------------------------- */
enum err_code sqlite_plan(struct tracker *t, tracker_plan_next_fn *next, tracker_plan_done_fn *done,
                          void *user, const struct tracker_head *head, struct err *e);
/* Rows that another tool made have no key_digest of ours: a temporary table holds theirs. */
enum err_code sqlite_keys_gather(struct sqlite *s, struct err *e);
enum err_code sqlite_keys_lookup(struct sqlite *s, const char *key_digest, char *batch, size_t size,
                                 bool *held, struct err *e);
enum err_code sqlite_keys_holder(struct tracker *t, const char *key_digest, char *batch,
                                 size_t size, struct err *e);
enum err_code sqlite_keys_shared(struct tracker *t, struct tracker_key_ref *refs, size_t n,
                                 struct err *e);
enum err_code sqlite_files_batch_exists(struct tracker *t, const char *batch_id, bool *found,
                                        struct err *e);
enum err_code sqlite_files_exists(struct tracker *t, const char *file_id, bool *found,
                                  struct err *e);
enum err_code sqlite_files_without_key(struct tracker *t, const char *source_column,
                                       const char *after_id, size_t limit, struct record_list *out,
                                       struct err *e);

/* ---- sqlite_select.c, sqlite_row.c, sqlite_read.c, sqlite_dump.c --------------------------------------------------- */
#define SQLITE_SELECT_ARGS 30000 /* SQLite itself takes 32,766 */
/* SQL text that grows along with its bound values. */
struct sqlite_select {
    struct buf sql;
    struct sqlite_arg *args; /* owned; the texts are borrowed */
    size_t n, cap;
};
void sqlite_select_init(struct sqlite_select *q);
void sqlite_select_release(struct sqlite_select *q);
/* Adds a value and returns its number n, for "?n"; sqlite_select_bind adds that text as well. */
size_t sqlite_select_value(struct sqlite_select *q, struct sqlite_arg a);
void sqlite_select_bind(struct sqlite_select *q, struct sqlite_arg a);
/* " FROM file_migrations m … JOIN files f … JOIN blobferry_records r … WHERE …" for the filter; with_dates false leaves dates out. */
void sqlite_select_filter(struct sqlite_select *q, const struct sqlite_info *info,
                          const struct tracker_filter *f, bool with_dates);
sqlite3_stmt *sqlite_select_query(struct sqlite *s, struct sqlite_select *q, struct err *e);

const char *sqlite_row_columns(const struct sqlite_info *info); /* over m, f, r as above */
/* Adds the current row to the list. *full (nothing added) when the list's memory is used up. */
enum err_code sqlite_row_add(sqlite3_stmt *q, struct record_list *out, bool *full, struct err *e);
/* A stand-in for a row that holds a value too large to be read. */
enum err_code sqlite_row_add_unreadable(struct sqlite *s, const char *id, struct record_list *out,
                                        struct err *e);
/* A text that can be used as it is: NULL and why otherwise. Used for ids, keys, paths, names. */
const char *sqlite_row_text(sqlite3_stmt *q, int column, const char *name, struct record_list *out,
                            const char **defect, bool *full);

enum err_code sqlite_read_records(struct tracker *t, const struct tracker_filter *f,
                                  const char *after_id, size_t limit, struct record_list *out,
                                  struct err *e);
/* The row with that id, added to the list; *found false when there is none. */
enum err_code sqlite_read_one(struct sqlite *s, const char *id, struct record_list *out,
                              bool *found, bool *full, struct err *e);
enum err_code sqlite_read_totals(struct tracker *t, const struct tracker_filter *f,
                                 struct tracker_totals *out, struct err *e);
enum err_code sqlite_dump(struct tracker *t, const struct tracker_filter *f, tracker_dump_fn *fn,
                          void *user, struct err *e);

/* ---- sqlite_batch.c, sqlite_batches.c, sqlite_open_batches.c ----------------------------------------------------------------------------- */
/* What a transaction does to the counters of the batches it touches. */
struct sqlite_batch_change {
    char *batch_id; /* owned */
    int64_t completed, verified, failed;
};
struct sqlite_batch_changes {
    struct sqlite_batch_change *items;
    size_t len, cap;
};
void sqlite_batch_init(struct sqlite_batch_changes *c);
void sqlite_batch_release(struct sqlite_batch_changes *c);
enum err_code sqlite_batch_note(struct sqlite_batch_changes *c, const char *batch_id,
                                enum file_status from, enum file_status to, struct err *e);
/* Counters by what moved; status from the rows where that is cheap, else `fallback` (NULL: left alone). */
enum err_code sqlite_batch_settle(struct sqlite *s, const struct sqlite_batch_changes *c,
                                  const char *fallback, int64_t now_ms, struct err *e);

enum err_code sqlite_batches(struct tracker *t, const char *batch_id, size_t limit,
                             struct batch_list *out, struct err *e);
enum err_code sqlite_open_batches(struct tracker *t, unsigned statuses, size_t limit,
                                  tracker_batch_fn *fn, void *user, struct err *e);
enum err_code sqlite_batches_refresh(struct tracker *t, const char *batch_id, int64_t *changed,
                                     struct err *e);
/* The same for one batch, inside a transaction that has begun. */
enum err_code sqlite_batches_recount(struct sqlite *s, const char *batch_id, int64_t *changed,
                                     struct err *e);

/* ---- sqlite_value.c, sqlite_shape.c, sqlite_restore.c -------------------------------------------------------------------- */
/* Type and bytes of the current row's column; borrowed from q. bytes is NULL with len > 0 only when memory is short. */
void sqlite_value_read(sqlite3_stmt *q, int column, struct tracker_value *v);
bool sqlite_value_same(const struct tracker_value *a, const struct tracker_value *b);
/* Bytes are borrowed until the statement is reset. */
int sqlite_value_bind(sqlite3_stmt *q, int at, const struct tracker_value *v);

/* What the rows of a backup look like, kept as long as they look alike. Zeroed: unknown. */
struct sqlite_shape {
    bool known, absent; /* absent: the table is not there yet (ours, in a dry run) */
    enum tracker_table table;
    size_t n, key; /* columns; index of the primary key */
    char **names;  /* owned */
    bool *passive; /* generated columns: neither compared nor written */
    bool *
        derived; /* counters and status of a batch: they follow from its rows, whatever the backup says */
    size_t completed_at;       /* index of that column of a batch; n: none */
    struct tracker_value *now; /* of the row in the database */
    bool *differs;             /* columns that do */
    struct buf select;         /* ?1 is the key; after the columns stands how many rows have it */
    struct buf insert, update; /* ?i + 1 is column i */
};
void sqlite_shape_release(struct sqlite_shape *h);
bool sqlite_shape_fits(const struct sqlite_shape *h, const struct tracker_restore_row *row);
enum err_code sqlite_shape_to(struct sqlite *s, struct sqlite_shape *h,
                              const struct tracker_restore_row *row, struct err *e);
/* The UPDATE of the columns that differ; NULL when memory is short. */
const char *sqlite_shape_update(struct sqlite_shape *h);

enum err_code sqlite_restore(struct tracker *t, const struct tracker_restore *r,
                             struct tracker_restore_counts counts[TRACKER_TABLES], struct err *e);

/* ---- sqlite_candidates.c --------------------------------------------------------------------------------------------- */
struct sqlite_candidate {
    const char *id;
    enum file_status from;
};
struct sqlite_candidates {
    struct sqlite_candidate *items;
    size_t len;
    struct arena mem; /* owns them */
};
/* The rows behind after_id that may be taken, by id, at most c->limit. */
enum err_code sqlite_candidates_find(struct sqlite *s, const struct tracker_claim *c,
                                     const char *after_id, struct sqlite_candidates *out,
                                     struct err *e);
/* The same along with their records, where that is cheap and all of them can be read; else *whole is false and nothing is found. */
enum err_code sqlite_candidates_records(struct sqlite *s, const struct tracker_claim *c,
                                        const char *after_id, struct record_list *out, bool *whole,
                                        struct err *e);

/* ---- sqlite_claim.c, sqlite_lease.c, sqlite_workers.c, sqlite_apply.c, sqlite_pointer.c ---------------------------------------------------- */
enum err_code sqlite_claim(struct tracker *t, const struct tracker_claim *c,
                           struct record_list *out, struct err *e);
enum err_code sqlite_lease_owners(struct tracker *t, const char *me, tracker_owner_fn *fn,
                                  void *user, struct err *e);
enum err_code sqlite_workers(struct tracker *t, tracker_worker_fn *fn, void *user, struct err *e);
enum err_code sqlite_lease_renew(struct tracker *t, const char *owner, int64_t until_ms,
                                 struct err *e);
enum err_code sqlite_lease_release(struct tracker *t, const char *owner, int64_t *released,
                                   struct err *e);
enum err_code sqlite_lease_set_upload(struct tracker *t, const char *id, const char *owner,
                                      const char *upload_id, int64_t part_size, struct err *e);
enum err_code sqlite_apply(struct tracker *t, struct tracker_move *moves, size_t n,
                           const struct tracker_head *head, struct err *e);
enum err_code sqlite_apply_debts_paid(struct tracker *t, const char *const *ids, size_t n,
                                      const struct tracker_head *head, struct err *e);
/* Reads only; inside the write transaction nobody can change what was seen. */
enum err_code sqlite_pointer_decide(struct sqlite *s, const struct tracker_move *m,
                                    enum pointer_act *act, struct err *e);
enum err_code sqlite_pointer_write(struct sqlite *s, const struct tracker_move *m,
                                   enum pointer_act act, struct err *e);

/* ---- sqlite_check.c, sqlite_check_rules.c, sqlite_upgrade.c --------------------------------------------------------- */
void sqlite_check_rules(struct check_rules *out);
enum err_code sqlite_check_begin(struct tracker *t, struct check_rules *out, struct err *e);
enum err_code sqlite_check_end(struct tracker *t, enum err_code code, struct err *e);
enum err_code sqlite_check_ask(struct tracker *t, const char *sql, tracker_cells_fn *fn, void *user,
                               struct err *e);
extern const char sqlite_upgrade_list[]; /* SQL that lists the indexes there are */
enum err_code sqlite_upgrade_missing(struct tracker *t, tracker_step_fn *fn, void *user,
                                     struct err *e);
enum err_code sqlite_upgrade(struct tracker *t, const struct tracker_upgrade *o,
                             tracker_step_fn *fn, void *user, struct err *e);

/* ---- sqlite_copy.c, sqlite_copy_in.c ------------------------------------------------------------------------------- */
enum err_code sqlite_copy_columns(struct tracker *t, const char *table, struct tracker_columns *out,
                                  struct err *e);
void sqlite_copy_names(struct buf *b, const struct tracker_columns *c); /* quoted, with commas */
enum err_code sqlite_copy_out(struct tracker *t, const struct tracker_copy_shape *what,
                              tracker_copy_fn *fn, void *user, struct err *e);
enum err_code sqlite_copy_in(struct tracker *t, const struct tracker_copy_in *c, struct err *e);
enum err_code sqlite_copy_put(struct tracker *t, size_t table, const struct tracker_value *values,
                              size_t n, struct err *e);

#endif
