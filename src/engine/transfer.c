#include "engine/transfer.h"

#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"
#include "blobferry/codec/mime.h"
#include "engine/recover.h"
#include "engine/upload_mark.h"

#include <stdio.h>
#include <stdlib.h>

void transfer_books_take(struct transfer_books *b)
{
    atomic_fetch_add(&b->wanted, 1);
    pthread_mutex_lock(&b->lock);
    atomic_fetch_sub(&b->wanted, 1);
}

void transfer_books_give(struct transfer_books *b)
{
    pthread_mutex_unlock(&b->lock);
}

/* ---- callbacks and waiting --------------------------------------------------------------------------- */

void transfer_done(void *user, const struct objstore_result *r)
{
    struct transfer *t = user;

    t->result = *r;
    t->waiting = false;
    /* whatever it says, it has spoken; a lost answer is none */
    t->outcome.answered = t->outcome.answered || r->status != 0 || r->outcome == OBJSTORE_DONE ||
                          r->outcome == OBJSTORE_ABSENT || r->outcome == OBJSTORE_PRECONDITION;
}

void transfer_wait(struct transfer *t, enum err_code code, const struct err *e,
                   transfer_step_fn *then)
{
    t->waiting = code == ERR_OK;
    t->then = then;
    if (code != ERR_OK)
        transfer_fail(t, e);
}

/* ---- ends --------------------------------------------------------------------------------------------- */

void transfer_end(struct transfer *t, enum outcome_end end)
{
    t->outcome.end = end;
    t->outcome.duration_ms = clock_mono_ms() - t->began_ms;
    t->ended = true;
    t->hashing = false;
    t->then = NULL;
}

static void upload_aborted(struct transfer *t)
{
    switch (t->result.outcome) {
    case OBJSTORE_DONE:
    case OBJSTORE_ABSENT:
        break;
    case OBJSTORE_DENIED:
    case OBJSTORE_CANCELLED: /* the row keeps the upload's id (P11) */
        transfer_stop(t, &t->result.err);
        return;
    default: /* the next attempt at this key finds it; the audit has its id */
        str_copy(t->outcome.detail, sizeof t->outcome.detail,
                 "the multipart upload could not be aborted");
        break;
    }
    free(t->upload_id);
    t->upload_id = NULL;
    t->outcome.err = t->why;
    transfer_end(t, OUTCOME_FAILED);
}

void transfer_fail(struct transfer *t, const struct err *why)
{
    struct err e;

    err_init(&e);
    t->why = *why;
    if (t->upload_id != NULL && objstore_abort(t->lane->store, t->r->target_key, t->upload_id,
                                               transfer_done, t, &e) == ERR_OK) {
        t->waiting = true;
        t->then = upload_aborted;
        return;
    }
    t->outcome.err = t->why;
    transfer_end(t, OUTCOME_FAILED);
}

void transfer_stop(struct transfer *t, const struct err *why)
{
    if (t->lane->fatal.code == ERR_OK)
        t->lane->fatal = *why;
    t->outcome.err = *why;
    transfer_end(t, OUTCOME_RELEASED);
}

void transfer_cancel(struct transfer *t)
{
    if (t->ended)
        return;
    t->waiting = false;
    str_copy(t->outcome.detail, sizeof t->outcome.detail, "released: the run stopped");
    transfer_end(t, OUTCOME_RELEASED);
}

void transfer_free(struct transfer *t)
{
    if (t->opened)
        source_close(&t->source);
    t->opened = false;
    if (t->loaded > 0)
        t->lane->loaded -= t->loaded;
    t->loaded = 0;
    verify_hash_release(&t->hash);
    transfer_aside_free(t);
    for (size_t i = 0; i < t->stale_len; i++)
        free(t->stale[i]);
    t->stale_len = 0;
    free(t->upload_id);
    free(t->list_token);
    free(t->resume_id);
    t->upload_id = t->list_token = t->resume_id = NULL;
    t->then = NULL;
    t->ended = t->waiting = false;
    t->r = NULL;
}

enum err_code transfer_note(struct transfer *t, const struct journal_entry *entry, bool durable,
                            struct err *e)
{
    struct journal *journal = t->lane->g->journal;
    const enum err_code code = journal_add(journal, entry, e);

    return code == ERR_OK && durable ? journal_commit(journal, true, NULL, e) : code;
}

/* ---- completion ------------------------------------------------------------------------------------------ */

void transfer_accept(struct transfer *t, const struct objinfo *info, const char *owner,
                     bool pre_existed)
{
    struct err e;

    err_init(&e);
    str_copy(t->outcome.etag, sizeof t->outcome.etag, info->etag);
    str_copy(t->outcome.version_id, sizeof t->outcome.version_id, info->version_id);
    str_copy(t->outcome.owner, sizeof t->outcome.owner, owner != NULL ? owner : "");
    t->outcome.pre_existed = pre_existed;
    t->outcome.sent = t->sent;
    /* P1: the object holds what was read; is that still what the source holds? */
    if (source_unchanged(&t->source, t->lane->root, t->r->source_path, &e) == ERR_OK) {
        transfer_end(t, OUTCOME_COMPLETED);
        return;
    }
    t->outcome.etag[0] = t->outcome.version_id[0] = t->outcome.owner[0] = '\0';
    if (t->sent)
        transfer_withdraw(t, &e);
    else
        transfer_fail(t, &e);
}

/* ---- sending ---------------------------------------------------------------------------------------------- */

/* P11: the upload's id is durable before the first part is sent. */
static enum err_code upload_began(void *user, const char *upload_id, uint64_t part_size,
                                  struct err *e)
{
    struct transfer *t = user;
    const struct engine *g = t->lane->g;
    const struct record *r = t->r;
    struct journal_entry entry = {.action = "upload_begin",
                                  .file_id = r->file_id,
                                  .record_id = r->id,
                                  .batch_id = r->batch_id,
                                  .target_key = r->target_key,
                                  .detail = upload_id};
    char *mark = upload_mark_make(upload_id, t->source.sha256);
    enum err_code code;

    free(t->upload_id);
    t->upload_id = str_dup(upload_id);
    if (t->upload_id == NULL || mark == NULL) {
        free(mark);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    transfer_books_take(t->lane->books);
    code = tracker_set_upload(g->tracker, r->id, g->owner, mark, (int64_t)part_size, e);
    if (code == ERR_OK)
        code = journal_add(g->journal, &entry, e);
    transfer_books_give(t->lane->books);
    free(mark);
    if (code == ERR_CONFLICT) {
        t->lost = true;
        return code;
    }
    if (code != ERR_OK && t->lane->fatal.code == ERR_OK && e != NULL)
        t->lane->fatal = *e; /* A7: without database or audit nothing more is sent */
    return code;
}

/* Ceph completes a multipart upload without saying the ETag: it is asked for, for rollback needs it (P4). */
static void etag_is_known(struct transfer *t)
{
    if (t->result.outcome == OBJSTORE_DONE && str_eq(t->result.info.record_id, t->r->id))
        transfer_accept(t, &t->result.info, t->r->id, false);
    else if (t->result.outcome == OBJSTORE_DENIED)
        transfer_stop(t, &t->result.err);
    else if (t->result.outcome == OBJSTORE_DONE)
        transfer_judge(t, &t->result.info);
    else
        transfer_unanswered(t);
}

static void has_been_sent(struct transfer *t)
{
    free(t->upload_id); /* completed: there is no upload any more */
    t->upload_id = NULL;
    t->sent =
        !t->result.resolved_by_look || t->result.bytes > 0; /* else it was there already, ours */
    t->seen = t->result.info;
    if (t->result.parts_kept > 0)
        (void)snprintf(t->outcome.detail, sizeof t->outcome.detail,
                       "continued an earlier upload: %zu parts were there", t->result.parts_kept);
    if (!t->result.verified)
        transfer_read_back(t, true);
    else if (t->result.info.etag[0] == '\0')
        transfer_look(t, etag_is_known);
    else
        transfer_accept(t, &t->result.info, t->r->id, false);
}

static void lease_is_lost(struct transfer *t)
{
    free(t->upload_id); /* the driver has aborted it: nothing was sent to it */
    t->upload_id = NULL;
    transfer_end(t, OUTCOME_LOST);
}

static void put_answered(struct transfer *t)
{
    const struct objstore_result *r = &t->result;

    t->outcome.attempts += r->attempts;
    free(t->resume_id); /* continued, or gone */
    t->resume_id = NULL;
    if (t->lost) {
        lease_is_lost(t);
        return;
    }
    if (t->lane->fatal.code != ERR_OK && r->outcome != OBJSTORE_DONE) {
        transfer_cancel(t); /* the run stops: not this file's fault */
        return;
    }
    switch (r->outcome) {
    case OBJSTORE_DONE:
        has_been_sent(t);
        break;
    case OBJSTORE_PRECONDITION:
        if (r->info.etag[0] != '\0' && r->info.size >= 0)
            transfer_judge(t, &r->info);
        else
            transfer_look_first(t);
        break;
    case OBJSTORE_DENIED:
        transfer_stop(t, &r->err);
        break;
    case OBJSTORE_UNAVAILABLE:
        transfer_unanswered(t);
        break;
    case OBJSTORE_CORRUPT:
        transfer_withdraw(t, &r->err);
        break;
    case OBJSTORE_CANCELLED:
        transfer_cancel(t);
        break;
    case OBJSTORE_ABSENT:
    case OBJSTORE_REJECTED:
    case OBJSTORE_LOCAL:
        transfer_fail(t, &r->err);
        break;
    }
}

void transfer_put(struct transfer *t, enum objstore_if condition)
{
    const struct record *r = t->r;
    const char *name = transfer_filename(r);
    const void *data = t->source.data;
    struct err e;

    err_init(&e);
    if (data == NULL && t->source.identity.size == 0)
        data = "";
    transfer_wait(t,
                  objstore_put(t->lane->store,
                               &(struct objstore_put){
                                   .key = r->target_key,
                                   .data = data,
                                   .fd = data != NULL ? -1 : t->source.fd,
                                   .size = (uint64_t)t->source.identity.size,
                                   .sha256 = t->source.sha256,
                                   .part_size = t->layout.part_size,
                                   .part_sha256 = t->source.part_sha256,
                                   .meta = {.record_id = r->id,
                                            .batch_id = r->batch_id,
                                            .sha256 = t->source.sha256,
                                            .filename = name,
                                            .content_type = !str_empty(r->content_type)
                                                                ? r->content_type
                                                                : mime_from_name(name)},
                                   .condition = condition,
                                   .resume_upload = t->resume_id,
                                   .on_upload = upload_began,
                                   .upload_user = t,
                               },
                               transfer_done, t, &e),
                  &e, put_answered);
}

void transfer_put_new(struct transfer *t)
{
    transfer_put(t, OBJSTORE_IF_ABSENT);
}

void transfer_store(struct transfer *t)
{
    const struct record *r = t->r;
    bool parts = t->layout.part_size > 0;
    /* P6: an intent without an outcome is resolved by looking; a big body is not sent to find out what is there */
    bool look =
        r->taken_over || (parts && r->attempts > 1) || t->lane->o->if_exists == MIGRATE_OVERWRITE;

    if (r->upload_id != NULL || (parts && (r->taken_over || r->attempts > 1)))
        recover_uploads(t, look ? transfer_look_first : transfer_put_new);
    else if (look)
        transfer_look_first(t);
    else
        transfer_put_new(t);
}
