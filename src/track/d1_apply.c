/* d1_apply: state moves, each guarded by itself, all in one batch with the audit head. */
#include "track/d1.h"

#include "blobferry/base/str.h"
#include "blobferry/codec/timefmt.h"

#include <stdlib.h>
#include <string.h>

/* The moves after which what the move says of the object is stored. */
static bool tells_object(const struct tracker_move *m)
{
    return m->to == FILE_COMPLETED || m->to == FILE_VERIFIED || m->to == FILE_FAILED;
}

static void write_move(struct json_out *o, const struct tracker_move *m)
{
    const struct source_identity *s = m->source;
    char now[TIMEFMT_SIZE];

    timefmt_db(m->now_ms, now);
    json_out_object(o, NULL);
    json_out_string(o, "id", m->id);
    json_out_string(o, "batch", m->batch_id);
    json_out_string(o, "owner", m->from == FILE_PROCESSING ? m->owner : NULL);
    json_out_string(o, "from", state_file_name(m->from));
    json_out_string(o, "to", state_file_name(m->to));
    json_out_string(o, "now", now);
    json_out_integer(o, "pointer", m->pointer);
    json_out_string(o, "file", m->pointer != TRACKER_POINTER_KEEP ? m->file_id : NULL);
    json_out_string(o, "key", m->target_key);
    json_out_string(o, "expected", m->expected_r2_key);
    json_out_string(o, "checksum", m->migrated_checksum);
    json_out_string(o, "etag", m->etag);
    json_out_string(o, "version", m->version_id);
    json_out_string(o, "object_owner", m->object_owner);
    json_out_integer(o, "pre", m->pre_existed);
    json_out_integer(o, "owed", m->delete_owed);
    json_out_integer(o, "tells", tells_object(m));
    json_out_integer(o, "size", m->size);
    json_out_string(o, "class", m->error_class);
    json_out_string(o, "message", m->error_message);
    if (s != NULL) {
        json_out_integer(o, "device", (int64_t)s->device);
        json_out_integer(o, "inode", (int64_t)s->inode);
        json_out_integer(o, "ssize", s->size);
        json_out_integer(o, "mtime", s->mtime_ns);
        json_out_integer(o, "ctime", s->ctime_ns);
    }
    json_out_end(o);
}

static bool fits(const struct tracker_move *m)
{
    return d1_text_fits(m->id) && d1_text_fits(m->batch_id) && d1_text_fits(m->owner) &&
           d1_text_fits(m->file_id) && d1_text_fits(m->target_key) &&
           d1_text_fits(m->expected_r2_key) && d1_text_fits(m->migrated_checksum) &&
           d1_text_fits(m->etag) && d1_text_fits(m->version_id) && d1_text_fits(m->object_owner) &&
           d1_text_fits(m->error_class) && d1_text_fits(m->error_message);
}

/* Do two moves of one batch meet in a row? Then they must come one after the other. */
static bool meets(const struct tracker_move *moves, size_t from, size_t i)
{
    const struct tracker_move *m = &moves[i];

    for (size_t k = from; k < i; k++) {
        if (strcmp(moves[k].id, m->id) == 0 || (m->file_id != NULL && moves[k].file_id != NULL &&
                                                strcmp(moves[k].file_id, m->file_id) == 0))
            return true;
    }
    return false;
}

/* As many moves from `from` on as go in one batch; their document in b. */
static size_t gather(const struct tracker_move *moves, size_t from, size_t n, struct buf *b)
{
    struct json_out o;
    size_t i = from;

    json_out_init(&o, b, 0);
    json_out_array(&o, NULL);
    while (i < n && i - from < D1_MOVES_MAX && !meets(moves, from, i) &&
           (i == from || b->len < D1_DOC_MAX / 2)) {
        write_move(&o, &moves[i]);
        i++;
    }
    json_out_end(&o);
    return i;
}

static void read_verdicts(const struct json *row, struct tracker_move *moves, size_t n)
{
    for (; row != NULL; row = json_next(row)) {
        const int64_t at = d1_row_number(row, 0);
        const char *verdict = d1_row_plain(row, 1);
        if (at < 0 || (uint64_t)at >= n || verdict == NULL)
            continue;
        moves[at].applied = strcmp(verdict, "applied") == 0   ? TRACKER_APPLIED
                            : strcmp(verdict, "changed") == 0 ? TRACKER_POINTER_CHANGED
                                                              : TRACKER_LOST;
    }
}

/* "bad JSON path: 'file f-7'" is how the batch itself says it. */
static enum err_code explain(struct d1 *d, enum err_code code, struct err *e)
{
    static const char mark[] = "JSON path: 'file ";
    char file[200];
    const char *at = code == ERR_DB ? strstr(e->message, mark) : NULL;

    if (at == NULL)
        return code;
    str_copy(file, sizeof file, at + strlen(mark));
    file[strcspn(file, "'")] = '\0';
    err_set(e, ERR_DB, "the row of files '%s' cannot be changed in '%s'", file, d->base.name);
    return err_hint(e, "a trigger on files ignores the change; nothing was written");
}

static enum err_code apply_some(struct d1 *d, struct tracker_move *moves, size_t n, const char *doc,
                                const struct tracker_head *head, struct err *e)
{
    struct d1_work w;
    struct d1_batch b;
    struct d1_answer a;
    int64_t now_ms = 0;

    for (size_t i = 0; i < n; i++)
        now_ms = moves[i].now_ms > now_ms ? moves[i].now_ms : now_ms;
    d1_batch_init(&b);
    d1_work_begin(&w, &b, n > 0 ? moves[0].owner : NULL);
    d1_move_note(&w, &b, doc);
    d1_move_write(&w, &b, d->info.files_updated_at);
    d1_work_settle(&w, &b, &d->info, NULL, now_ms);
    d1_run_put_head(&b, head);
    d1_work_end(&w, &b);
    const size_t last = b.n;
    d1_batch_add(&b, "SELECT n, verdict FROM blobferry_work WHERE request = ?1", D1_TEXTS(w.id));
    enum err_code code = explain(d, d1_batch_run(d, &b, &a, e), e);
    if (code == ERR_OK)
        read_verdicts(d1_answer_rows(&a, last), moves, n);
    d1_answer_release(&a);
    d1_batch_release(&b);
    return code;
}

/* Nearly always one batch. Where it takes several, the head goes with the last: it may then speak of less than was done, never of more. */
enum err_code d1_apply(struct tracker *t, struct tracker_move *moves, size_t n,
                       const struct tracker_head *head, struct err *e)
{
    struct d1 *d = d1_of(t);
    struct buf doc;
    size_t from = 0, to = 0;

    if (n == 0)
        return head != NULL ? d1_run_set_head(t, head, e) : ERR_OK;
    enum err_code code = d1_schema_write(d, e);
    for (size_t i = 0; code == ERR_OK && i < n; i++) {
        if (!fits(&moves[i]))
            code = err_set(e, ERR_DB, "row '%s': a text for '%s' is not UTF-8", moves[i].id,
                           d->base.name);
    }
    buf_init(&doc, D1_DOC_MAX);
    for (; code == ERR_OK && from < n; from = to) {
        buf_reset(&doc);
        to = gather(moves, from, n, &doc);
        if (!buf_ok(&doc))
            code = err_set(e, ERR_LIMIT, "row '%s' is too large for one request", moves[from].id);
        else
            code = apply_some(d, moves + from, to - from, buf_cstr(&doc), to == n ? head : NULL, e);
    }
    for (size_t i = 0; code != ERR_OK && i < n; i++)
        moves[i].applied = TRACKER_LOST; /* what was done nonetheless, the next run finds */
    buf_release(&doc);
    return code;
}

enum err_code d1_apply_debts_paid(struct tracker *t, const char *const *ids, size_t n,
                                  const struct tracker_head *head, struct err *e)
{
    struct d1 *d = d1_of(t);
    struct d1_batch b;
    struct d1_answer a = {0};
    struct buf doc;
    struct json_out o;
    enum err_code code = d1_schema_write(d, e);

    buf_init(&doc, D1_DOC_MAX);
    json_out_init(&o, &doc, 0);
    json_out_array(&o, NULL);
    for (size_t i = 0; i < n; i++)
        json_out_string(&o, NULL, ids[i]);
    json_out_end(&o);
    if (code == ERR_OK && !buf_ok(&doc))
        code = err_set(e, ERR_LIMIT, "too many debts are paid at once");
    d1_batch_init(&b);
    d1_batch_add(&b,
                 "UPDATE blobferry_records SET delete_owed = 0 WHERE delete_owed = 1"
                 " AND record_id IN (SELECT value FROM json_each(?1))",
                 D1_TEXTS(buf_cstr(&doc)));
    d1_run_put_head(&b, head);
    if (code == ERR_OK)
        code = d1_batch_run(d, &b, &a, e);
    d1_answer_release(&a);
    d1_batch_release(&b);
    buf_release(&doc);
    return code;
}
