/* postgres: what the files of the PostgreSQL driver share. Each postgres_x.c exports the postgres_x* named here.
 *
 * A reading operation:   postgres_schema_need -> postgres_statement_each / _query / _number (outside a transaction these are
 *                        tried again when the connection is lost before the first row)
 * A writing operation:   postgres_transaction(p, &(struct postgres_work){.run = fn, .user = &x}, e): fn runs between BEGIN and
 *                        COMMIT, perhaps more than once (conflict, lost connection): it sets its results anew each time.
 *
 * Nothing relies on a session: no prepared statements, no SET, no session locks; a pooler may give every transaction another
 * connection. Ids are compared in the type of their column: POSTGRES_T(postgres_type_id(column, text)) bound to $n::type of the
 * column; a text that is no legal value of the type becomes NULL and so matches nothing.
 */
#ifndef BLOBFERRY_TRACK_POSTGRES_H
#define BLOBFERRY_TRACK_POSTGRES_H

#include "blobferry/base/buf.h"
#include "blobferry/base/secret.h"
#include "track/driver.h"

#include <libpq-fe.h>

#define POSTGRES_TEXT_MAX    ((size_t)64 << 10) /* bytes of an id, key, path, name, checksum */
#define POSTGRES_OWN_VERSION 2
#define POSTGRES_OWN_TABLES  5
#define POSTGRES_BUSY_MS     10000

/* ---- columns of the contract's tables ---------------------------------------------------------------- */
enum postgres_kind {
    POSTGRES_ABSENT,
    POSTGRES_TEXT, /* text, varchar */
    POSTGRES_UUID,
    POSTGRES_INT2,
    POSTGRES_INT4,
    POSTGRES_INT8,
    POSTGRES_STAMP,   /* timestamp without time zone: taken as UTC */
    POSTGRES_STAMPTZ, /* timestamp with time zone */
    POSTGRES_OTHER    /* anything else: cast to its type by the server */
};
struct postgres_column {
    enum postgres_kind kind;
    bool has_default; /* a default or an identity: the database can give the value */
    int limit;        /* characters of varchar(n); 0 none */
    char type[96];    /* for casts: $1::<type>; arrays: $1::<type>[]; "text" for varchar */
};
/* In the order of postgres_ddl_contract[].columns; the last two of files need not be there. */
enum postgres_name {
    POSTGRES_B_ID,
    POSTGRES_B_BATCH,
    POSTGRES_B_TOTAL,
    POSTGRES_B_COMPLETED_FILES,
    POSTGRES_B_FAILED_FILES,
    POSTGRES_B_VERIFIED_FILES,
    POSTGRES_B_STATUS,
    POSTGRES_B_STARTED,
    POSTGRES_B_COMPLETED,
    POSTGRES_B_CREATED,
    POSTGRES_M_ID,
    POSTGRES_M_BATCH,
    POSTGRES_M_FILE,
    POSTGRES_M_SOURCE,
    POSTGRES_M_KEY,
    POSTGRES_M_ORIGINAL,
    POSTGRES_M_MIGRATED,
    POSTGRES_M_SIZE,
    POSTGRES_M_STATUS,
    POSTGRES_M_ERROR,
    POSTGRES_M_STARTED,
    POSTGRES_M_COMPLETED,
    POSTGRES_M_CREATED,
    POSTGRES_F_ID,
    POSTGRES_F_NAME,
    POSTGRES_F_USER,
    POSTGRES_F_KEY,
    POSTGRES_F_CHECKSUM,
    POSTGRES_F_CREATED,
    POSTGRES_F_UPDATED,
    POSTGRES_COLUMNS
};
struct postgres_info { /* what is known of the schema */
    bool looked;
    char cookie[192]; /* changes with the tables; see POSTGRES_COOKIE */
    struct tracker_schema schema;
    struct postgres_column column[POSTGRES_COLUMNS];
    char home[160]; /* where file_migrations lies, quoted and with its dot; "" when it is missing */
    bool batch_index; /* on file_migrations (batch_id, status …): counting by status is cheap */
    bool file_index;  /* on file_migrations (file_id …) */
    /* Conditions that join the tables by index whatever the types of their ids: */
    char files_on[640];   /* "f.id = … m.file_id …": finds f from m */
    char record_on[640];  /* "m.id = … r.record_id …": finds m from r */
    char batches_on[640]; /* "b.batch_id = … m.batch_id …": finds b from m */
};
/* Finds r from m. */
#define POSTGRES_RECORDS_ON "r.record_id = m.id::text COLLATE \"default\""
/* The lease of each row of m (few of them), one by one by index, whatever old statistics say of either table. */
#define POSTGRES_LEASES                                                                            \
    "LATERAL (SELECT r.lease_owner, r.lease_until FROM blobferry_records AS r"                     \
    " WHERE " POSTGRES_RECORDS_ON " OFFSET 0) AS r"

enum postgres_fault {
    POSTGRES_FAULT_NONE,
    POSTGRES_FAULT_LOST, /* the connection is gone */
    POSTGRES_FAULT_AGAIN, /* serialization failure, deadlock: the same transaction may be tried again */
    POSTGRES_FAULT_BUSY, /* a lock could not be had in time */
    POSTGRES_FAULT_OTHER
};

struct postgres {
    struct tracker base;
    struct postgres_copy *copy; /* under way */
    PGconn *connection;
    bool read_only;
    bool in_transaction;
    bool down; /* waited in vain for the server: from now on every operation asks it once only */
    int busy_ms;
    enum postgres_fault fault; /* of the last statement that failed */
    char sqlstate[6];          /* likewise; "" when the server did not say */
    char timeline[64]; /* of the cluster's history; see postgres_transaction.c; "" unknown */
    struct postgres_info info;
    int listens_as;             /* process number of the session that listens; 0: none */
    bool cannot_listen;         /* behind a pooler, or a standby */
    struct postgres_held *held; /* what is known of the keys in use; NULL: nothing yet */
};

static inline struct postgres *postgres_of(struct tracker *t)
{
    return (struct postgres *)(void *)t;
}

/* The code of a fault that was just put into e. */
static inline enum err_code postgres_code(const struct err *e)
{
    return e != NULL && e->code != ERR_OK ? e->code : ERR_DB;
}

static inline const struct postgres_column *postgres_column(const struct postgres *p,
                                                            enum postgres_name n)
{
    return &p->info.column[n];
}

/* ---- postgres_connect.c ------------------------------------------------------------------------------------ */
/* Opens p->connection and fills p->base.name (without secrets). */
enum err_code postgres_connect(struct postgres *p, const struct tracker_options *o, struct err *e);
/* Once more, by the same parameters; ERR_DB. */
enum err_code postgres_connect_again(struct postgres *p, struct err *e);

/* ---- postgres_error.c ---------------------------------------------------------------------------------------- */
/* What the server (q) or libpq (q NULL) says, as our error: `doing` completes "cannot …". Sets p->fault and p->sqlstate. */
enum err_code postgres_error(struct postgres *p, const PGresult *q, const char *doing,
                             struct err *e);
enum err_code postgres_error_connect(struct postgres *p, struct err *e);

/* ---- postgres_array.c: one parameter for many values ------------------------------------------------------------ */
struct postgres_array {
    struct buf text; /* '{"a",NULL,…' */
    size_t n;
};
void postgres_array_init(struct postgres_array *a);
void postgres_array_release(struct postgres_array *a);
void postgres_array_reset(struct postgres_array *a);
void postgres_array_text(struct postgres_array *a, const char *value); /* NULL: NULL */
void postgres_array_integer(struct postgres_array *a, int64_t value);
void postgres_array_null(struct postgres_array *a);
const char *postgres_array_end(struct postgres_array *a); /* borrowed literal, never NULL */

/* ---- postgres_statement.c ------------------------------------------------------------------------------------------ */
struct postgres_arg {
    bool is_text; /* else integer */
    const char *text;
    int64_t integer;
};
#define POSTGRES_T(x)                                                                              \
    {                                                                                              \
        .is_text = true, .text = (x)                                                               \
    } /* NULL binds NULL */
#define POSTGRES_I(x)                                                                              \
    {                                                                                              \
        .is_text = false, .integer = (x)                                                           \
    }
#define POSTGRES_ARGS(...)                                                                         \
    (const struct postgres_arg[]){__VA_ARGS__},                                                    \
        sizeof((const struct postgres_arg[]){__VA_ARGS__}) / sizeof(struct postgres_arg)
#define POSTGRES_NONE     NULL, 0
#define POSTGRES_ARGS_MAX 65000

/* Row by row, in constant memory. *more false (true before) ends it early. May not use the same connection meanwhile. */
typedef enum err_code postgres_row_fn(void *user, const PGresult *q, int row, bool *more,
                                      struct err *e);
enum err_code postgres_statement_each(struct postgres *p, const char *sql,
                                      const struct postgres_arg *args, size_t n,
                                      postgres_row_fn *fn, void *user, struct err *e);
/* All rows at once, for results that are bounded; PQclear is the caller's. NULL with e filled. */
PGresult *postgres_statement_query(struct postgres *p, const char *sql,
                                   const struct postgres_arg *args, size_t n, struct err *e);
/* Run to the end; *changes (may be NULL) counts the rows it changed. */
enum err_code postgres_statement_run(struct postgres *p, const char *sql,
                                     const struct postgres_arg *args, size_t n, int64_t *changes,
                                     struct err *e);
/* The first column of the first row as a number; 0 when there is none. */
enum err_code postgres_statement_number(struct postgres *p, const char *sql,
                                        const struct postgres_arg *args, size_t n, int64_t *out,
                                        struct err *e);
/* Statements without values, separated by ';', inside a transaction. */
enum err_code postgres_statement_script(struct postgres *p, const char *sql, const char *doing,
                                        struct err *e);
/* One value: NULL for SQL NULL. */
const char *postgres_statement_text(const PGresult *q, int row, int column);
int64_t postgres_statement_integer(const PGresult *q, int row, int column); /* 0 for NULL */
bool postgres_statement_truth(const PGresult *q, int row, int column);      /* 't' or '1' */

/* ---- postgres_transaction.c ------------------------------------------------------------------------------------------- */
struct postgres_work {
    /* Everything it tells its caller is set anew at each call. */
    enum err_code (*run)(struct postgres *p, void *user, struct err *e);
    void *user;
    bool once;     /* cannot be run twice: no retry once it has begun */
    bool bare;     /* neither looks at the schema nor makes our tables */
    bool by_index; /* few rows: the planner is kept from whole tables, whatever it knows */
    bool reading;  /* one consistent snapshot (REPEATABLE READ, READ ONLY) and nothing is written */
};
/* BEGIN, run, COMMIT; retried within p->busy_ms. If the connection is lost at COMMIT, the server is asked what became of the
 * transaction. Unless bare, the schema is known to be usable and (when writing) our tables are there before run is called. */
enum err_code postgres_transaction(struct postgres *p, const struct postgres_work *w,
                                   struct err *e);
/* How long the operation that begins now may try; then: waits before attempt number `attempt` (from 1), false at the deadline. */
int64_t postgres_transaction_deadline(const struct postgres *p);
bool postgres_transaction_pause(int attempt, int64_t deadline_ms);

/* ---- postgres_type.c: ids, times, and SQL that fits the types of the columns --------------------------------------------- */
/* The text itself when it is the one text form of a value of that column, else NULL (which matches nothing). Not UTF-8: NULL. */
const char *postgres_type_id(const struct postgres_column *c, const char *text);
/* A time as a parameter for that column. */
#define POSTGRES_TIME_SIZE 48
const char *postgres_type_time(const struct postgres_column *c, int64_t ms,
                               char dst[POSTGRES_TIME_SIZE]);
/* SQL that gives a time column as 'YYYY-MM-DD HH:MM:SS' in UTC (NULL, or what is there as text when it is no time). */
void postgres_type_show_time(struct buf *sql, const struct postgres_column *c, const char *expr);
/* SQL that gives milliseconds since 1970 (bigint), NULL for infinity and for what is no time. */
void postgres_type_time_ms(struct buf *sql, const struct postgres_column *c, const char *expr);
/* SQL for the value of expr (a column of kind `from`) in the type of `to`, NULL where it has no such value. */
void postgres_type_as(struct buf *sql, const char *expr, const struct postgres_column *from,
                      const struct postgres_column *to);

/* ---- postgres_ddl.c, postgres_schema.c ------------------------------------------------------------------------------------- */
struct postgres_ddl_table {
    const char *name;
    const char *columns; /* needed, separated by blanks; after ';' those used where they are */
    const char *create;  /* the contract's table */
    const char *indexes; /* helpful ones, made only along with the table */
};
#define POSTGRES_DDL_TABLES 3
extern const struct postgres_ddl_table postgres_ddl_contract[POSTGRES_DDL_TABLES];
/* [v] leads from version v to v + 1; every '%' stands for p->info.home. */
extern const char *const postgres_ddl_own[POSTGRES_OWN_VERSION];

/* SQL for a text that changes when one of the tables is made, dropped or altered (xmin: which transaction wrote the row). */
#define POSTGRES_COOKIE                                                                            \
    "coalesce((SELECT string_agg(c.oid::text || ':' || c.xmin::text || ':' ||"                     \
    " (SELECT sum(a.xmin::text::bigint)::text FROM pg_catalog.pg_attribute AS a"                   \
    "  WHERE a.attrelid = c.oid AND a.attnum > 0), ' ' ORDER BY c.oid) FROM pg_catalog.pg_class"   \
    "  AS c WHERE c.oid IN (to_regclass('migration_batches'), to_regclass('file_migrations'),"     \
    "  to_regclass('files'), to_regclass('blobferry_schema'))), '')"
/* postgres_look.c: fills p->info anew; ERR_DB_SCHEMA when ours is of a newer blobferry. */
enum err_code postgres_look(struct postgres *p, struct err *e);
bool postgres_schema_fits(const struct postgres *p, const char *cookie);
/* Usable (looks again when something has changed)? For operations. */
enum err_code postgres_schema_need(struct postgres *p, struct err *e);
enum err_code postgres_schema_inspect(struct tracker *t, struct tracker_schema *out, struct err *e);
enum err_code postgres_schema_require(struct tracker *t, struct err *e);
enum err_code postgres_schema_init(struct tracker *t, int *created, struct err *e);
enum err_code postgres_schema_prepare(struct tracker *t, struct err *e);
enum err_code postgres_schema_own(struct postgres *p, struct err *e); /* inside a transaction */

/* ---- postgres_wait.c: hints of new batches ---- */
enum err_code postgres_wait_tell(struct postgres *p, struct err *e); /* inside a transaction */
enum err_code postgres_wait(struct tracker *t, int64_t ms, enum tracker_wait *how, struct err *e);

/* ---- postgres_run.c, postgres_lock.c ------------------------------------------------------------------------------------------ */
/* Inside a transaction; h NULL: nothing. */
enum err_code postgres_run_put_head(struct postgres *p, const struct tracker_head *h,
                                    struct err *e);
enum err_code postgres_run_heads(struct tracker *t, tracker_head_fn *fn, void *user, struct err *e);
enum err_code postgres_run_set_head(struct tracker *t, const struct tracker_head *h, struct err *e);
enum err_code postgres_run_begin(struct tracker *t, const struct tracker_run *r, struct err *e);
enum err_code postgres_run_end(struct tracker *t, const struct tracker_run *r, struct err *e);
enum err_code postgres_lock(struct tracker *t, const struct tracker_lock *l, struct err *e);
enum err_code postgres_lock_release(struct tracker *t, const char *owner, struct err *e);

/* ---- planning: postgres_plan.h ---- */
struct postgres_held;
void postgres_held_free(struct postgres_held *h); /* NULL is harmless */
/* ---- postgres_select.c, postgres_row.c, postgres_read.c, postgres_dump.c ------------------------------------------------------------ */
/* SQL text that grows along with its bound values. */
struct postgres_select {
    struct buf sql;
    struct postgres_arg *args; /* owned; the texts are borrowed */
    size_t n, cap;
};
void postgres_select_init(struct postgres_select *q);
void postgres_select_release(struct postgres_select *q);
/* Adds a value and returns its number n, for "$n"; postgres_select_bind adds "$n::type" to the SQL as well. */
size_t postgres_select_value(struct postgres_select *q, struct postgres_arg a);
void postgres_select_bind(struct postgres_select *q, struct postgres_arg a, const char *type);
/* "$n::type" for an id compared with that column. */
void postgres_select_id(struct postgres_select *q, const struct postgres_column *c,
                        const char *text);
bool postgres_select_ok(const struct postgres_select *q, struct err *e);
const char *postgres_select_status(const struct postgres *p); /* m.status as text, by index */
/* " AND …" for the dates of the filter. */
void postgres_select_dates(struct postgres_select *q, const struct postgres *p,
                           const struct tracker_filter *f);
/* Joins f and r to few rows of m, one by one by their indexes (OFFSET 0: a planner with old statistics may not read whole tables
 * for it). */
void postgres_select_joins(struct buf *sql, const struct postgres *p);
/* Can this id be said as a string? */
void postgres_select_usable(struct buf *sql, const struct postgres_column *c, const char *id);
/* " FROM file_migrations m … WHERE …" with f and r joined only where the filter needs them. */
void postgres_select_rows(struct postgres_select *q, const struct postgres *p,
                          const struct tracker_filter *f, bool with_dates);
/* " FROM file_migrations m … LEFT JOIN files f … LEFT JOIN blobferry_records r … WHERE …" for the filter; with_dates false leaves dates out. */
void postgres_select_filter(struct postgres_select *q, const struct postgres *p,
                            const struct tracker_filter *f, bool with_dates);

/* The columns of a record over m, f, r as above, as SQL. */
void postgres_row_columns(struct buf *sql, const struct postgres *p);
/* Adds a row of them to the list. *full (nothing added) when the list's memory is used up. */
enum err_code postgres_row_add(const PGresult *q, int row, struct record_list *out, bool *full,
                               struct err *e);

/* A text of at most 64 KiB into the list, or a defect. */
const char *postgres_row_text(const PGresult *q, int row, int column, const char *name,
                              struct record_list *out, const char **defect, bool *full);

/* FILE_STATUS_COUNT counts of m.status, each with a comma after it; the sum of m.file_size. filter: " AND …" or "". */
void postgres_read_counts(struct buf *sql, const struct postgres *p, const char *filter);
void postgres_read_bytes(struct buf *sql, const struct postgres *p, const char *filter);
enum err_code postgres_read_records(struct tracker *t, const struct tracker_filter *f,
                                    const char *after_id, size_t limit, struct record_list *out,
                                    struct err *e);
enum err_code postgres_read_totals(struct tracker *t, const struct tracker_filter *f,
                                   struct tracker_totals *out, struct err *e);
enum err_code postgres_dump(struct tracker *t, const struct tracker_filter *f, tracker_dump_fn *fn,
                            void *user, struct err *e);

/* ---- postgres_batch.c (settling), postgres_batches.c (reading), postgres_refresh.c ----------------------------------------------------- */
/* What a transaction does to the counters of the batches it touches. */
struct postgres_batch_change {
    char *batch_id; /* owned */
    int64_t completed, verified, failed;
};
struct postgres_batch_changes {
    struct postgres_batch_change *items;
    size_t len, cap;
};
void postgres_batch_init(struct postgres_batch_changes *c);
void postgres_batch_release(struct postgres_batch_changes *c);
void postgres_batch_reset(struct postgres_batch_changes *c);
enum err_code postgres_batch_note(struct postgres_batch_changes *c, const char *batch_id,
                                  enum file_status from, enum file_status to, struct err *e);
/* Counters by what moved; the status from the rows, or `status` when it is known. Inside a transaction, last of all but the head. */
enum err_code postgres_batch_settle(struct postgres *p, struct postgres_batch_changes *c,
                                    const char *status, int64_t now_ms, struct err *e);

enum err_code postgres_open_batches(struct tracker *t, unsigned statuses, size_t limit,
                                    tracker_batch_fn *fn, void *user, struct err *e);
enum err_code postgres_batches(struct tracker *t, const char *batch_id, size_t limit,
                               struct batch_list *out, struct err *e);
enum err_code postgres_refresh(struct tracker *t, const char *batch_id, int64_t *changed,
                               struct err *e);
/* Counters and status of one batch from its rows, inside a transaction that has begun; *changed counts it when they differed. */
enum err_code postgres_refresh_one(struct postgres *p, const char *batch_id, int64_t *changed,
                                   struct err *e);

/* ---- postgres_restore.c: more in postgres_restore.h ---- */
enum err_code postgres_restore(struct tracker *t, const struct tracker_restore *r,
                               struct tracker_restore_counts counts[TRACKER_TABLES], struct err *e);

/* ---- postgres_claim.c, postgres_lease.c, postgres_apply.c, postgres_pointer.c, postgres_shared.c ------------------------------------------ */
enum err_code postgres_claim(struct tracker *t, const struct tracker_claim *c,
                             struct record_list *out, struct err *e);
enum err_code postgres_lease_bury(struct postgres *p, const struct tracker_claim *c, struct err *e);
/* Leases n rows whose ids are in this array, and whose rows in file_migrations are locked. */
enum err_code postgres_lease_take(struct postgres *p, const struct tracker_claim *c,
                                  const char *ids, size_t n, struct err *e);
enum err_code postgres_lease_owners(struct tracker *t, const char *me, tracker_owner_fn *fn,
                                    void *user, struct err *e);
enum err_code postgres_workers(struct tracker *t, tracker_worker_fn *fn, void *user, struct err *e);
enum err_code postgres_lease_renew(struct tracker *t, const char *owner, int64_t until_ms,
                                   struct err *e);
enum err_code postgres_lease_release(struct tracker *t, const char *owner, int64_t *released,
                                     struct err *e);
enum err_code postgres_lease_set_upload(struct tracker *t, const char *id, const char *owner,
                                        const char *upload_id, int64_t part_size, struct err *e);
enum err_code postgres_apply(struct tracker *t, struct tracker_move *moves, size_t n,
                             const struct tracker_head *head, struct err *e);
enum err_code postgres_apply_debts_paid(struct tracker *t, const char *const *ids, size_t n,
                                        const struct tracker_head *head, struct err *e);
enum err_code postgres_shared_keys(struct tracker *t, struct tracker_key_ref *refs, size_t n,
                                   struct err *e);

#endif
