/* s3_settle: what is there, is it ours, is it right? Nothing is assumed about an answer that was lost (P6), nothing that is
 * there is overwritten (P5), and nothing is called done that the store does not provably have (P1). */
#include "s3_put.h"

#include "blobferry/base/str.h"
#include "provenance.h"

#include <stdio.h>

static void on_look(void *user, struct s3_look *l, const struct s3_answer *a);

enum err_code s3_settle_start(struct s3_put *p, enum s3_put_look why, int64_t delay_ms,
                              struct err *e)
{
    p->why = why;
    return s3_look_start(&p->look, p->task.store,
                         &(struct s3_look_options){
                             .key = p->task.key, .delay_ms = delay_ms, .done = on_look, .user = p},
                         e);
}

void s3_settle_look(struct s3_put *p, enum s3_put_look why, int64_t delay_ms)
{
    struct err e;

    if (s3_settle_start(p, why, delay_ms, &e) != ERR_OK)
        s3_put_fail_unsent(p, &e);
}

/* ---- bytes --------------------------------------------------------------------------------------------- */

static void end_done(struct s3_put *p, bool verified)
{
    p->task.result.outcome = OBJSTORE_DONE;
    p->task.result.verified = verified;
    s3_put_end(p);
}

static void end_corrupt(struct s3_put *p, const char *what)
{
    struct objstore_result *r = &p->task.result;
    const bool resolved = r->resolved_by_look;

    r->outcome = OBJSTORE_CORRUPT;
    err_set(&r->err, ERR_STORE_CORRUPT, "'%s' %s", driver_shown(p->task.key).text, what);
    /* What an earlier attempt left is the rollback's to prove and remove; what this one wrote goes at once. */
    if (resolved)
        s3_put_end(p);
    else
        s3_settle_retract(p);
}

static void on_hash(void *user, struct s3_hash *h, const struct s3_answer *a)
{
    struct s3_put *p = user;

    if (a->is.verdict == S3_OK && h->size == p->in.size && str_eq(h->sha256, p->sha256)) {
        end_done(p, true);
    } else if (a->is.verdict == S3_OK) {
        end_corrupt(p, "has other bytes in the store than were sent");
    } else {
        /* It is there, and whether it is right is unknown. */
        s3_result_take(&p->task.result, a, &h->request);
        if (p->task.result.outcome == OBJSTORE_ABSENT)
            p->task.result.outcome = OBJSTORE_UNAVAILABLE;
        s3_put_end(p);
    }
}

/* Has the store itself compared the bytes with a SHA-256 of ours? */
static bool store_has_checked(const struct s3_put *p)
{
    const unsigned features = p->task.store->base.features;

    if ((features & OBJSTORE_CHECKS_PAYLOAD) != 0)
        return true;
    if ((features & OBJSTORE_STORES_SHA256) == 0)
        return false;
    return (p->parts == 0 && !p->task.result.resolved_by_look) || /* it took our checksum */
           str_eq(p->look.info.stored_sha256, p->sha256);
}

void s3_settle_written(struct s3_put *p)
{
    struct err e;

    if (store_has_checked(p))
        end_done(p, true);
    else if (s3_hash_start(&p->hash, p->task.store, p->task.key, on_hash, p, &e) != ERR_OK)
        s3_put_fail_unsent(p, &e);
}

/* ---- looks --------------------------------------------------------------------------------------------- */

static bool is_ours(const struct s3_put *p)
{
    return provenance_matches(&p->look.info, &p->in.meta, p->sha256, p->in.size);
}

/* The object is ours already: an answer was lost, or an earlier run died before it could say so. */
static void end_resolved(struct s3_put *p)
{
    struct objstore_result *r = &p->task.result;

    r->info = p->look.info;
    r->resolved_by_look = true;
    if (p->upload_id != NULL && p->why != S3_LOOK_LOST) {
        /* Ours, and not by this upload: which must not stay. */
        r->outcome = OBJSTORE_DONE;
        s3_multipart_abandon(p);
        return;
    }
    s3_settle_written(p);
}

static void end_conflict(struct s3_put *p)
{
    struct objstore_result *r = &p->task.result;

    r->info = p->look.info;
    r->outcome = OBJSTORE_PRECONDITION;
    err_set(&r->err, ERR_CONFLICT, "'%s' exists already", driver_shown(p->task.key).text);
    s3_put_stop(p);
}

/* Nothing is there: write, or write again. */
static void go_on(struct s3_put *p)
{
    struct err e;
    enum err_code code = ERR_OK;

    if (p->why == S3_LOOK_BEFORE && s3_resume_wanted(p)) {
        s3_resume_start(p);
        return;
    }
    if (p->why == S3_LOOK_BEFORE && !p->sent) {
        code = p->parts > 0 ? s3_multipart_create(p, &e) : s3_put_send(p, &e);
    } else if (p->why == S3_LOOK_LAST) {
        code = s3_multipart_complete(p, &e);
    } else if (!p->may_repeat || !s3_request_again(&p->request, 0)) {
        /* Still in doubt: an upload stays recorded, whoever comes next looks again. */
        s3_result_take(&p->task.result, &p->lost, &p->request);
        p->task.result.outcome = OBJSTORE_UNAVAILABLE;
        p->task.result.err.code = ERR_STORE_UNAVAILABLE;
        s3_put_end(p);
        return;
    }
    if (code != ERR_OK)
        s3_put_fail_unsent(p, &e);
}

static void found_after(struct s3_put *p)
{
    struct objstore_result *r = &p->task.result;

    r->info = p->look.info;
    str_copy(p->etag, sizeof p->etag, r->info.etag);
    if (is_ours(p) || (str_empty(p->in.meta.record_id) && r->info.size == (int64_t)p->in.size)) {
        s3_settle_written(p);
    } else if (!str_eq(r->info.record_id,
                       p->in.meta.record_id == NULL ? "" : p->in.meta.record_id)) {
        r->outcome = OBJSTORE_PRECONDITION;
        err_set(&r->err, ERR_CONFLICT, "'%s' was replaced by somebody else meanwhile",
                driver_shown(p->task.key).text);
        s3_put_end(p);
    } else {
        end_corrupt(p, "has another size or checksum in the store than was sent");
    }
}

static void retract_found(struct s3_put *p);

static void found(struct s3_put *p)
{
    const bool ours = is_ours(p);

    switch (p->why) {
    case S3_LOOK_AFTER:
        found_after(p);
        break;
    case S3_LOOK_RETRACT:
        retract_found(p);
        break;
    case S3_LOOK_LOST:
        if (ours)
            end_resolved(p);
        else if (p->in.condition == OBJSTORE_OVERWRITE)
            go_on(p);
        else
            end_conflict(p);
        break;
    case S3_LOOK_BEFORE:
    case S3_LOOK_LAST:
    case S3_LOOK_CONFLICT:
    default:
        if (ours)
            end_resolved(p);
        else
            end_conflict(p);
        break;
    }
}

static void absent(struct s3_put *p, const struct s3_answer *a)
{
    struct objstore_result *r = &p->task.result;

    if (p->why == S3_LOOK_RETRACT) {
        s3_put_end(p); /* gone already; the outcome stands */
    } else if (p->why == S3_LOOK_AFTER) {
        s3_result_take(r, a, &p->look.request);
        r->outcome = OBJSTORE_UNAVAILABLE;
        err_set(&r->err, ERR_STORE_UNAVAILABLE, "the store took '%s' and does not have it",
                driver_shown(p->task.key).text);
        s3_put_end(p);
    } else {
        go_on(p);
    }
}

static void on_look(void *user, struct s3_look *l, const struct s3_answer *a)
{
    struct s3_put *p = user;

    p->task.result.status = l->request.status;
    if (a->is.verdict == S3_OK) {
        found(p);
    } else if (a->is.verdict == S3_ABSENT) {
        absent(p, a);
    } else if (p->why == S3_LOOK_RETRACT) {
        s3_put_end(p);
    } else if (p->why == S3_LOOK_LOST || p->why == S3_LOOK_AFTER) {
        /* Whether the object is there is unknown: no upload is aborted that may just have become one. */
        s3_result_take(&p->task.result, a, &l->request);
        s3_put_end(p);
    } else {
        s3_put_fail(p, a, &l->request);
    }
}

/* ---- taking back ---------------------------------------------------------------------------------------- */

static void on_retracted(void *user, const struct s3_answer *a)
{
    struct s3_put *p = user;
    struct err *e = &p->task.result.err;

    if (a->is.verdict == S3_OK || a->is.verdict == S3_ABSENT)
        err_hint(e, "the wrong object was removed again");
    else
        err_hint(e, "the wrong object is still there: remove it, or roll back the failed files");
    s3_put_end(p);
}

/* The very version that this PUT made, by id and ETag. */
static void retract_found(struct s3_put *p)
{
    const struct objinfo *info = &p->look.info;
    struct s3_request *r = &p->request;
    struct err e;

    if (str_empty(p->in.meta.record_id) || !str_eq(info->record_id, p->in.meta.record_id) ||
        p->etag[0] == '\0' || !str_eq(info->etag, p->etag)) {
        s3_put_end(p);
        return;
    }
    *r = (struct s3_request){.store = p->task.store,
                             .op = S3_DELETE,
                             .key = p->task.key,
                             .done = on_retracted,
                             .user = p};
    if ((p->task.store->base.features & OBJSTORE_DELETE_IF_MATCH) != 0) {
        (void)snprintf(p->if_match, sizeof p->if_match, "\"%s\"", p->etag);
        s3_request_header(r, "if-match", p->if_match);
    }
    if (s3_request_send(r, 0, &e) != ERR_OK)
        s3_put_end(p);
}

void s3_settle_retract(struct s3_put *p)
{
    struct err e;

    /* An overwritten object is not brought back by removing what took its place. */
    if (p->in.condition == OBJSTORE_OVERWRITE ||
        s3_settle_start(p, S3_LOOK_RETRACT, 0, &e) != ERR_OK)
        s3_put_end(p);
}
