/* d1_publish: the rows of a plan that are all staged, into their tables in one batch. D1 gives a batch 30 seconds; some hundreds of
 * thousands of rows take it less.
 */
#include "track/d1.h"

#include <stdio.h>
#include <string.h>

#define D(name) "(p.doc ->> '$." name "')"
#define STAGED  " FROM blobferry_planned AS p WHERE p.plan = ?1"

/* Another plan may have been faster. What is no JSON stops the batch, and with it all of it. */
static const char nobody_was_faster[] =
    "SELECT CASE WHEN EXISTS (SELECT 1 FROM blobferry_planned AS p JOIN migration_batches AS b"
    " ON b.batch_id = p.batch_id WHERE p.plan = ?1) OR EXISTS (SELECT 1 FROM blobferry_planned AS p"
    " JOIN blobferry_records AS r ON r.key_digest = p.key_digest JOIN file_migrations AS m"
    " ON m.id = r.record_id WHERE p.plan = ?1 AND m.status IS NOT 'rolled_back' COLLATE BINARY)"
    " THEN json('blobferry: a plan was faster') END";

static const char put_batches[] =
    "INSERT INTO migration_batches (id, batch_id, total_files, completed_files, failed_files,"
    " verified_files, status, created_at) SELECT %s, p.batch_id, count(*), 0, 0, 0, 'pending', "
    "?2" STAGED " GROUP BY p.batch_id ORDER BY min(p.n)";

static const char put_rows[] =
    "INSERT INTO file_migrations (id, batch_id, file_id, source_path, target_r2_key,"
    " original_checksum, file_size, status, created_at) SELECT " D("id") ", p.batch_id, " D(
        "file") ", " D("source") ", " D("key") ", " D("checksum") ", " D("size") ", 'pending', "
                                                                                 "?2" STAGED
                                                                                 " ORDER BY p.n";

static const char put_records[] =
    "INSERT INTO blobferry_records (record_id, key_digest, content_type) SELECT " D(
        "id") ", p.key_digest, " D("type") STAGED;

/* A row of the application for a file that it does not know yet. Nothing is invented: without a user, none is made. */
static const char put_files[] =
    "INSERT INTO files (id, filename, user_id%s) SELECT id, name, user%s FROM "
    "(SELECT " D("file") " AS id, " D("name") " AS name, " D(
        "user") " AS user, min(p.n)" STAGED
                " AND " D("make") " GROUP BY 1) AS blobferry_new WHERE ?2 IS NOT NULL AND "
                                  "NOT EXISTS (SELECT 1 FROM files AS f WHERE f.id ="
                                  " blobferry_new.id)";

/* %s of the dates that this table of the application has. */
static void add_files(struct d1_batch *b, const struct sqlite_info *info, const char *plan,
                      const char *now)
{
    const char *columns = info->files_created_at && info->files_updated_at
                              ? ", created_at, updated_at"
                          : info->files_created_at ? ", created_at"
                          : info->files_updated_at ? ", updated_at"
                                                   : "";
    const char *values = info->files_created_at && info->files_updated_at   ? ", ?2, ?2"
                         : info->files_created_at || info->files_updated_at ? ", ?2"
                                                                            : "";
    struct buf sql;

    buf_init(&sql, 8192);
    buf_printf(&sql, put_files, columns, values);
    d1_batch_add(b, buf_cstr(&sql), D1_TEXTS(plan, now));
    buf_release(&sql);
}

static void add_batches(struct d1_batch *b, const struct sqlite_info *info, const char *plan,
                        const char *now)
{
    struct buf sql;

    buf_init(&sql, 8192);
    /* An id of its own, made from random bytes in the form of a UUID. */
    buf_printf(&sql, put_batches,
               info->counted_batch_id
                   ? "NULL"
                   : "lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' ||"
                     " substr(hex(randomblob(2)), 2) || '-8' || substr(hex(randomblob(2)), 2) ||"
                     " '-' || hex(randomblob(6)))");
    d1_batch_add(b, buf_cstr(&sql), D1_TEXTS(plan, now));
    buf_release(&sql);
}

static enum err_code explain(struct d1 *d, enum err_code code, struct err *e)
{
    if (code != ERR_DB || strstr(e->message, "malformed JSON") == NULL)
        return code;
    err_set(e, ERR_CONFLICT,
            "another plan for '%s' was faster: a batch or a key of this one is taken",
            d->base.name);
    return err_hint(e, "plan again");
}

enum err_code d1_publish(struct d1 *d, const char *plan, const char *now,
                         const struct tracker_head *head, struct err *e)
{
    struct d1_batch b;
    struct d1_answer a;

    d1_batch_init(&b);
    d1_batch_add(&b, nobody_was_faster, D1_TEXTS(plan));
    add_batches(&b, &d->info, plan, now);
    d1_batch_add(&b, put_rows, D1_TEXTS(plan, now));
    d1_batch_add(&b, put_records, D1_TEXTS(plan));
    add_files(&b, &d->info, plan, now);
    d1_run_put_head(&b, head);
    d1_batch_add(&b, "DELETE FROM blobferry_planned WHERE plan = ?1", D1_TEXTS(plan));
    enum err_code code = explain(d, d1_batch_run(d, &b, &a, e), e);
    d1_answer_release(&a);
    d1_batch_release(&b);
    return code;
}
