/* d1: what the files of the driver for remote D1 share. Each d1_x.c exports the d1_x* named here.
 *
 * There is no BEGIN: one request carries a batch of statements, and the batch is one transaction. So every operation is one batch that
 * decides by itself, or several of which only the last shows. What a batch decides about rows it notes in blobferry_work under the
 * request's own id: sent again after a lost answer, it finds its notes, changes nothing and tells the same (docs/decisions/0011-remote-d1.md).
 *
 *     struct d1_batch b;  d1_batch_init(&b);
 *     d1_batch_add(&b, "UPDATE … WHERE id = ?1", D1_TEXTS(id));
 *     code = d1_batch_run(d, &b, &answer, e);          (sent again as long as that may help)
 *     d1_answer_rows(&answer, 0) …
 *     d1_answer_release(&answer); d1_batch_release(&b);
 */
#ifndef BLOBFERRY_TRACK_D1_H
#define BLOBFERRY_TRACK_D1_H

#include "blobferry/base/clock.h"
#include "blobferry/base/secret.h"
#include "blobferry/codec/json.h"
#include "track/sqlite.h"

#define D1_DOC_MAX   ((size_t)1500000) /* bytes of one bound text; D1 takes 2,000,000 */
#define D1_PAGE_ROWS 1000              /* of one answer */
#define D1_MOVES_MAX 256
#define D1_VALUE_KEPT                                                                              \
    65600 /* characters of a text that pages carry; one over 64 KiB is a defect anyway */

struct http;

struct d1 {
    struct tracker base;
    struct http *http;
    char *endpoint; /* https://…/query */
    char *database; /* for messages */
    struct secret token;
    bool read_only, looked, work_made;
    struct sqlite_info info;
    sqlite3 *keys; /* private, temporary: keys that are held, ids of files; NULL: not gathered */
    int64_t keys_until_ms;
    bool files_known; /* the files are in it, too */
    int64_t paced_ms; /* of d1_http_pace() */
};

static inline struct d1 *d1_of(struct tracker *t)
{
    return (struct d1 *)(void *)t;
}

static inline enum err_code d1_code(const struct err *e)
{
    return e != NULL && e->code != ERR_OK ? e->code : ERR_DB;
}

/* ---- d1_batch.c ---------------------------------------------------------------------------------------- */
struct d1_batch {
    struct buf body;
    struct json_out out;
    size_t n;
    const char *unfit; /* a text that cannot be sent; NULL none */
};
struct d1_answer {
    struct json *root;
    const struct json *result;
};
#define D1_TEXTS(...)                                                                              \
    (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)
#define D1_NONE NULL, 0
void d1_batch_init(struct d1_batch *b);
void d1_batch_release(struct d1_batch *b);
/* All values are texts (NULL: NULL), for a number would arrive as a real one: integers of ours are written into the SQL. */
void d1_batch_add(struct d1_batch *b, const char *sql, const char *const *texts, size_t n);
void d1_batch_select(struct d1_batch *b, const struct sqlite_select *q);
/* Sends it, again after what passes by. Every batch must bear being executed twice. */
enum err_code d1_batch_run(struct d1 *d, struct d1_batch *b, struct d1_answer *a, struct err *e);
void d1_answer_release(struct d1_answer *a);
/* The first row of statement i, each with json_next() after it; NULL none. */
const struct json *d1_answer_rows(const struct d1_answer *a, size_t i);
int64_t d1_answer_changes(const struct d1_answer *a, size_t i);
/* Column n of a row as it was selected, of a plain number or text. */
int64_t d1_row_number(const struct json *row, size_t n);
const char *d1_row_plain(const struct json *row, size_t n);
/* One statement and its answer. */
enum err_code d1_query(struct d1 *d, struct d1_answer *a, const char *sql, const char *const *texts,
                       size_t n, struct err *e);
enum err_code d1_query_number(struct d1 *d, int64_t *out, const char *sql, const char *const *texts,
                              size_t n, struct err *e);
bool d1_text_fits(const char *text); /* UTF-8: all that D1 can be given */

/* ---- d1_http.c: one batch to and fro ---------------------------------------------------------------------- */
enum err_code d1_http_open(struct d1 *d, const struct tracker_options *o, struct err *e);
/* The answer's JSON into *root; ERR_DB with what the database said, ERR_DB_BUSY when it is out of reach for good. */
enum err_code d1_http_send(struct d1 *d, const struct buf *body, struct json **root, struct err *e);

/* How long the next request must wait for Cloudflare's limit, by the monotonic clock; *next_ms (0 at first) is when the one after it is due. */
int64_t d1_http_pace(int64_t *next_ms, int64_t now_ms);

/* ---- d1_value.c: values by type and bytes, through JSON ---------------------------------------------------- */
/* SQL that gives the expression x as one letter and its text: i7, r1.5, tabc, u616263 (text in hex), b00ff; NULL. `kept` characters
 * of a text at most, and none of a BLOB's bytes; 0: all. */
void d1_value_sql(struct buf *b, const char *x, int kept);
/* SQL that turns such a text back. */
void d1_value_back_sql(struct buf *b, const char *x);
/* Of the next column; borrowed from the answer, or from mem where it had to be decoded. False: no memory, or no such value. */
bool d1_value_read(const struct json *item, struct tracker_value *v, struct arena *mem);
/* The same form of a value, added to b. */
bool d1_value_write(struct buf *b, const struct tracker_value *v);
/* SQL: this id can be said as text and found again by it. */
void d1_value_usable_sql(struct buf *b, const char *x, bool numeric);
/* SQL: x as an instant in milliseconds, NULL when it is none. */
void d1_value_ms_sql(struct buf *b, const char *x);

/* ---- d1_schema.c -------------------------------------------------------------------------------------------- */
enum err_code d1_schema_look(struct d1 *d, struct err *e);
enum err_code d1_schema_again(struct d1 *d, struct err *e); /* look, whatever was seen before */
enum err_code d1_schema_need(struct d1 *d, struct err *e);
enum err_code d1_schema_write(struct d1 *d, struct err *e); /* need, and ours are made */
enum err_code d1_schema_inspect(struct tracker *t, struct tracker_schema *out, struct err *e);
enum err_code d1_schema_require(struct tracker *t, struct err *e);
enum err_code d1_schema_init(struct tracker *t, int *created, struct err *e);
enum err_code d1_schema_prepare(struct tracker *t, struct err *e);

/* ---- d1_row.c, d1_read.c, d1_batches.c, d1_dump.c ----------------------------------------------------------------- */
void d1_row_columns(struct buf *b, const struct sqlite_info *info); /* over m, f, r */
/* Adds the row, whose columns begin at `first`; *full when the list can take no more. */
enum err_code d1_row_add(const struct json *row, size_t first, struct record_list *out, bool *full,
                         struct err *e);
const char *d1_row_text(const struct tracker_value *v, const char *name, struct record_list *out,
                        const char **defect, bool *full);
/* The filter's FROM and WHERE, dates and all. */
void d1_read_filter(struct sqlite_select *q, const struct sqlite_info *info,
                    const struct tracker_filter *f);
enum err_code d1_read_records(struct tracker *t, const struct tracker_filter *f,
                              const char *after_id, size_t limit, struct record_list *out,
                              struct err *e);
enum err_code d1_read_totals(struct tracker *t, const struct tracker_filter *f,
                             struct tracker_totals *out, struct err *e);
enum err_code d1_batches(struct tracker *t, const char *batch_id, size_t limit,
                         struct batch_list *out, struct err *e);
enum err_code d1_batches_refresh(struct tracker *t, const char *batch_id, int64_t *changed,
                                 struct err *e);
/* Of the batches that a restore noted as touched. */
void d1_batches_recount(struct d1 *d, struct d1_batch *b, const char *request);
enum err_code d1_dump(struct tracker *t, const struct tracker_filter *f, tracker_dump_fn *fn,
                      void *user, struct err *e);

/* ---- d1_work.c: what a batch decided about rows --------------------------------------------------------------- */
/* A new request's id; its notes and those of its owner's former ones are swept up by d1_work_begin. */
struct d1_work {
    char id[CLOCK_UUID_SIZE];
};
void d1_work_begin(struct d1_work *w, struct d1_batch *b, const char *owner);
/* Counters and status of the batches by what the notes say: was and became of each. */
void d1_work_settle(const struct d1_work *w, struct d1_batch *b, const struct sqlite_info *info,
                    const char *fallback, int64_t now_ms);
void d1_work_end(const struct d1_work *w, struct d1_batch *b);
extern const char d1_work_ddl[];

/* ---- d1_claim.c, d1_lease.c, d1_lock.c, d1_run.c, d1_apply.c, d1_move.c ----------------------------------------------------- */
enum err_code d1_claim(struct tracker *t, const struct tracker_claim *c, struct record_list *out,
                       struct err *e);
enum err_code d1_workers(struct tracker *t, tracker_worker_fn *fn, void *user, struct err *e);
enum err_code d1_lease_owners(struct tracker *t, const char *me, tracker_owner_fn *fn, void *user,
                              struct err *e);
enum err_code d1_lease_renew(struct tracker *t, const char *owner, int64_t until_ms, struct err *e);
enum err_code d1_lease_release(struct tracker *t, const char *owner, int64_t *released,
                               struct err *e);
enum err_code d1_lease_set_upload(struct tracker *t, const char *id, const char *owner,
                                  const char *upload_id, int64_t part_size, struct err *e);
enum err_code d1_lock(struct tracker *t, const struct tracker_lock *l, struct err *e);
enum err_code d1_lock_release(struct tracker *t, const char *owner, struct err *e);
void d1_run_put_head(struct d1_batch *b, const struct tracker_head *h); /* NULL: nothing */
enum err_code d1_run_heads(struct tracker *t, tracker_head_fn *fn, void *user, struct err *e);
enum err_code d1_run_set_head(struct tracker *t, const struct tracker_head *h, struct err *e);
enum err_code d1_run_begin(struct tracker *t, const struct tracker_run *r, struct err *e);
enum err_code d1_run_end(struct tracker *t, const struct tracker_run *r, struct err *e);
enum err_code d1_apply(struct tracker *t, struct tracker_move *moves, size_t n,
                       const struct tracker_head *head, struct err *e);
enum err_code d1_apply_debts_paid(struct tracker *t, const char *const *ids, size_t n,
                                  const struct tracker_head *head, struct err *e);
void d1_move_note(const struct d1_work *w, struct d1_batch *b, const char *doc);
void d1_move_write(const struct d1_work *w, struct d1_batch *b, bool dated);

/* ---- d1_plan.c, d1_publish.c, d1_keys.c, d1_files.c, d1_restore.c ---------------------------------------------------------------- */
enum err_code d1_plan(struct tracker *t, tracker_plan_next_fn *next, tracker_plan_done_fn *done,
                      void *user, const struct tracker_head *head, struct err *e);
enum err_code d1_publish(struct d1 *d, const char *plan, const char *now,
                         const struct tracker_head *head, struct err *e);
enum err_code d1_keys_gather(struct d1 *d, struct err *e); /* of every live row */
/* By a row of those that were gathered, or held since? */
bool d1_keys_held(struct d1 *d, const char *key_digest, char *batch, size_t size);
enum err_code d1_keys_hold(struct d1 *d, const char *key_digest, const char *batch, struct err *e);
void d1_keys_close(struct d1 *d);
enum err_code d1_keys_holder(struct tracker *t, const char *key_digest, char *batch, size_t size,
                             struct err *e);
enum err_code d1_keys_shared(struct tracker *t, struct tracker_key_ref *refs, size_t n,
                             struct err *e);
enum err_code d1_files_batch_exists(struct tracker *t, const char *batch_id, bool *found,
                                    struct err *e);
enum err_code d1_keys_file(struct tracker *t, const char *file_id, bool *found, struct err *e);
enum err_code d1_files_without_key(struct tracker *t, const char *source_column,
                                   const char *after_id, size_t limit, struct record_list *out,
                                   struct err *e);
enum err_code d1_restore(struct tracker *t, const struct tracker_restore *r,
                         struct tracker_restore_counts counts[TRACKER_TABLES], struct err *e);

#endif
