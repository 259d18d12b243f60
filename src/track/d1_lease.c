/* d1_lease: who holds which rows: renewing, giving back, and the multipart upload that a row has under way. */
#include "track/d1.h"

#include <stdio.h>

enum err_code d1_lease_owners(struct tracker *t, const char *me, tracker_owner_fn *fn, void *user,
                              struct err *e)
{
    struct d1 *d = d1_of(t);
    struct d1_answer a = {0};
    enum err_code code = d1_schema_need(d, e);

    if (code != ERR_OK || !d->info.schema.own)
        return code;
    code = d1_query(d, &a,
                    "SELECT r.lease_owner, count(*), max(r.lease_until) FROM blobferry_records AS r"
                    " CROSS JOIN file_migrations AS m ON m.id = r.record_id"
                    " WHERE r.lease_owner IS NOT NULL AND r.lease_owner <> coalesce(?1, '')"
                    " AND m.status = 'processing' COLLATE BINARY GROUP BY r.lease_owner",
                    D1_TEXTS(me), e);
    for (const struct json *r = d1_answer_rows(&a, 0); code == ERR_OK && r != NULL;
         r = json_next(r)) {
        const char *owner = d1_row_plain(r, 0);
        if (owner != NULL)
            code = fn(user, owner, d1_row_number(r, 1), d1_row_number(r, 2), e);
    }
    d1_answer_release(&a);
    return code;
}

enum err_code d1_lease_renew(struct tracker *t, const char *owner, int64_t until_ms, struct err *e)
{
    struct d1 *d = d1_of(t);
    struct d1_batch b;
    struct d1_answer a = {0};
    char sql[200];
    enum err_code code = d1_schema_write(d, e);

    d1_batch_init(&b);
    (void)snprintf(sql, sizeof sql,
                   "UPDATE blobferry_records SET lease_until = %lld WHERE lease_owner = ?1",
                   (long long)until_ms);
    d1_batch_add(&b, sql, D1_TEXTS(owner));
    (void)snprintf(sql, sizeof sql,
                   "UPDATE blobferry_locks SET lease_until = %lld WHERE owner = ?1",
                   (long long)until_ms);
    d1_batch_add(&b, sql, D1_TEXTS(owner));
    if (code == ERR_OK)
        code = d1_batch_run(d, &b, &a, e);
    d1_answer_release(&a);
    d1_batch_release(&b);
    return code;
}

#define NOTED " FROM blobferry_work AS w WHERE w.request = ?1 AND w.done = 0"

/* P11: an upload that is under way stays recorded, so that whoever claims the row next finds it. */
enum err_code d1_lease_release(struct tracker *t, const char *owner, int64_t *released,
                               struct err *e)
{
    struct d1 *d = d1_of(t);
    struct d1_work w;
    struct d1_batch b;
    struct d1_answer a = {0};
    char sql[800];
    enum err_code code = d1_schema_write(d, e);

    d1_batch_init(&b);
    d1_work_begin(&w, &b, owner);
    (void)snprintf(sql, sizeof sql,
                   "INSERT INTO blobferry_work (request, n, owner, at_ms, id, batch_id, was,"
                   " became, verdict, doc) SELECT ?1, row_number() OVER (ORDER BY r.record_id),"
                   " ?2, %lld, m.id, m.batch_id, 'processing', 'pending',"
                   " CASE WHEN m.status = 'processing' THEN 'applied' ELSE 'lost' END, r.record_id"
                   " FROM blobferry_records AS r LEFT JOIN file_migrations AS m"
                   " ON m.id = r.record_id WHERE r.lease_owner = ?2 AND NOT EXISTS"
                   " (SELECT 1 FROM blobferry_work WHERE request = ?1)",
                   (long long)clock_wall_ms());
    d1_batch_add(&b, sql, D1_TEXTS(w.id, owner));
    d1_batch_add(&b,
                 "UPDATE blobferry_records SET lease_owner = NULL, lease_until = 0,"
                 " attempts = max(attempts - 1, 0)" NOTED " AND record_id = w.doc",
                 D1_TEXTS(w.id));
    d1_batch_add(&b,
                 "UPDATE file_migrations SET status = 'pending'" NOTED
                 " AND w.verdict = 'applied' AND file_migrations.id = w.id",
                 D1_TEXTS(w.id));
    d1_work_settle(&w, &b, &d->info, NULL, clock_wall_ms());
    d1_work_end(&w, &b);
    const size_t last = b.n;
    d1_batch_add(&b,
                 "SELECT count(*) FROM blobferry_work WHERE request = ?1 AND verdict = 'applied'",
                 D1_TEXTS(w.id));
    if (code == ERR_OK)
        code = d1_batch_run(d, &b, &a, e);
    *released = code == ERR_OK ? d1_row_number(d1_answer_rows(&a, last), 0) : 0;
    d1_answer_release(&a);
    d1_batch_release(&b);
    return code;
}

#define HELD                                                                                       \
    "lease_owner = ?2 AND EXISTS (SELECT 1 FROM file_migrations AS m WHERE m.id = ?1"              \
    " AND m.status = 'processing' COLLATE BINARY)"

enum err_code d1_lease_set_upload(struct tracker *t, const char *id, const char *owner,
                                  const char *upload_id, int64_t part_size, struct err *e)
{
    struct d1 *d = d1_of(t);
    struct d1_batch b;
    struct d1_answer a = {0};
    char sql[500];
    enum err_code code = d1_schema_write(d, e);

    d1_batch_init(&b);
    (void)snprintf(sql, sizeof sql,
                   "UPDATE blobferry_records SET upload_id = ?3, part_size = %lld"
                   " WHERE record_id = ?1 AND " HELD,
                   (long long)(upload_id != NULL ? part_size : 0));
    d1_batch_add(&b, sql, D1_TEXTS(id, owner, upload_id));
    d1_batch_add(&b, "SELECT count(*) FROM blobferry_records WHERE record_id = ?1 AND " HELD,
                 D1_TEXTS(id, owner));
    if (code == ERR_OK)
        code = d1_batch_run(d, &b, &a, e);
    if (code == ERR_OK && d1_row_number(d1_answer_rows(&a, 1), 0) == 0)
        code = err_set(e, ERR_CONFLICT, "row '%s' is held by another worker now", id);
    d1_answer_release(&a);
    d1_batch_release(&b);
    return code;
}
