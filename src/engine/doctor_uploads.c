/* Multipart uploads that stand open in the bucket: whose are they, and does anybody still need them? */
#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"
#include "blobferry/codec/digest.h"
#include "blobferry/codec/objkey.h"
#include "blobferry/engine/doctor.h"
#include "engine/upload_mark.h"

#include <stdlib.h>
#include <string.h>

#define UPLOADS_MAX ((size_t)10000)
#define ROWS_PAGE   500
#define ROWS_MAX    ((size_t)8 << 20)
#define BATCH_MAX   1024
#define TURN_MS     100

struct open_upload {
    char *key, *id, *batch; /* owned */
    int64_t begun_ms;
    bool recorded, live;
};
struct work {
    const struct engine *g;
    const struct doctor_uploads_options *o;
    struct doctor_uploads_counts *counts;
    struct open_upload *items;
    size_t n, cap;
    char *token;
    bool over;
    struct err err;
};

const char *doctor_upload_name(enum doctor_upload_kind k)
{
    static const char *const kinds[] = {"foreign", "live", "young", "stale"};
    return kinds[k];
}

static void work_release(struct work *w)
{
    for (size_t i = 0; i < w->n; i++) {
        free(w->items[i].key);
        free(w->items[i].id);
        free(w->items[i].batch);
    }
    free(w->items);
    free(w->token);
}

/* ---- what the store has ----------------------------------------------------------------------------------- */

static bool add(struct work *w, const struct objstore_entry *entry)
{
    struct open_upload u = {.begun_ms = entry->last_modified_ms};

    if (w->n == UPLOADS_MAX) {
        w->counts->more = true;
        return true;
    }
    if (w->n == w->cap) {
        const size_t cap = w->cap == 0 ? 64 : w->cap * 2;
        struct open_upload *more = reallocarray(w->items, cap, sizeof *more);
        if (more == NULL)
            return false;
        w->items = more;
        w->cap = cap;
    }
    u.key = strndup(entry->key, entry->key_len);
    u.id = str_dup(entry->upload_id != NULL ? entry->upload_id : "");
    w->items[w->n++] = u;
    return u.key != NULL && u.id != NULL;
}

static void on_page(void *user, const struct objstore_result *r, const struct objstore_page *page)
{
    struct work *w = user;

    w->over = true;
    free(w->token);
    w->token = NULL;
    if (r->outcome != OBJSTORE_DONE || page == NULL) {
        w->err = r->err;
        if (w->err.code == ERR_OK)
            err_set(&w->err, ERR_STORE, "uploads cannot be listed");
        return;
    }
    for (size_t i = 0; i < page->n; i++) {
        if (!add(w, &page->entries[i]))
            err_set(&w->err, ERR_NOMEM, "out of memory");
    }
    if (page->next != NULL && w->n < UPLOADS_MAX)
        w->token = str_dup(page->next);
    w->counts->more = w->counts->more || (page->next != NULL && w->n >= UPLOADS_MAX);
}

static enum err_code list_uploads(struct work *w, struct err *e)
{
    enum err_code code;

    do {
        struct objstore_list l = {.prefix = objstore_prefix(w->g->store), .token = w->token};

        w->over = false;
        code = objstore_list_uploads(w->g->store, &l, on_page, w, e);
        while (code == ERR_OK && !w->over) {
            code = objstore_run(w->g->store, TURN_MS, e);
            if (code != ERR_OK)
                objstore_cancel_all(w->g->store);
        }
        if (code == ERR_OK && w->err.code != ERR_OK) {
            if (e != NULL)
                *e = w->err;
            code = w->err.code;
        }
    } while (code == ERR_OK && w->token != NULL && !engine_stopping(w->g));
    return code;
}

/* ---- what our rows say ---------------------------------------------------------------------------------------- */

static enum err_code match(struct work *w, const struct record *r, struct err *e)
{
    char *id = upload_mark_id(r->upload_id);
    enum err_code code = ERR_OK;

    if (id == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < w->n && code == ERR_OK; i++) {
        struct open_upload *u = &w->items[i];

        if (!str_eq(u->id, id) || !str_eq(u->key, r->target_key))
            continue;
        u->recorded = true;
        u->live = u->live || r->status == FILE_PROCESSING || r->status == FILE_PENDING;
        free(u->batch);
        u->batch = str_dup(r->batch_id != NULL ? r->batch_id : "");
        if (u->batch == NULL)
            code = err_set(e, ERR_NOMEM, "out of memory");
    }
    free(id);
    return code;
}

static enum err_code match_recorded(struct work *w, struct err *e)
{
    const struct tracker_filter f = {.with_upload = true};
    struct record_list rows;
    enum err_code code = ERR_OK;
    char *after = NULL;

    record_list_init(&rows, ROWS_MAX);
    while (code == ERR_OK) {
        code = tracker_records(w->g->tracker, &f, after, ROWS_PAGE, &rows, e);
        if (code != ERR_OK || rows.len == 0)
            break;
        for (size_t i = 0; i < rows.len && code == ERR_OK; i++)
            code = match(w, &rows.items[i], e);
        free(after);
        after = str_dup(rows.items[rows.len - 1].id);
        if (after == NULL)
            code = err_set(e, ERR_NOMEM, "out of memory");
    }
    free(after);
    record_list_release(&rows);
    return code;
}

/* Recorded nowhere: ours if the key is a row's. */
static enum err_code match_key(struct work *w, struct open_upload *u, struct err *e)
{
    char *nfc = objkey_nfc(u->key);
    char digest[DIGEST_SHA256_HEX], batch[BATCH_MAX] = "";
    enum err_code code;

    if (nfc == NULL)
        return ERR_OK; /* no key that we could have made */
    digest_sha256_hex(nfc, strlen(nfc), digest);
    free(nfc);
    code = tracker_key_holder(w->g->tracker, digest, batch, sizeof batch, e);
    if (code != ERR_OK || batch[0] == '\0')
        return code;
    u->batch = str_dup(batch);
    return u->batch != NULL ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");
}

/* ---- what becomes of it -------------------------------------------------------------------------------------------- */

static enum doctor_upload_kind kind_of(const struct work *w, const struct open_upload *u)
{
    if (u->batch == NULL)
        return DOCTOR_UPLOAD_FOREIGN;
    if (u->live)
        return DOCTOR_UPLOAD_LIVE;
    if (u->begun_ms <= 0 || u->begun_ms > w->o->now_ms - w->o->older_than_ms)
        return DOCTOR_UPLOAD_YOUNG;
    return DOCTOR_UPLOAD_STALE;
}

/* P6: the intent is durable before, the outcome told after. */
static enum err_code abort_it(struct work *w, const struct open_upload *u,
                              struct doctor_upload *told, struct err *e)
{
    struct journal_entry entry = {.action = "upload_abort_intent",
                                  .batch_id = u->batch,
                                  .target_key = u->key,
                                  .detail = u->id};
    struct objstore_result r = {.outcome = OBJSTORE_UNAVAILABLE};
    struct tracker_head head;
    enum err_code code = journal_add(w->g->journal, &entry, e);

    if (code == ERR_OK)
        code = journal_commit(w->g->journal, true, &head, e);
    if (code == ERR_OK)
        code = objstore_abort_wait(w->g->store, u->key, u->id, &r, e);
    if (code != ERR_OK)
        return code;
    told->aborted = r.outcome == OBJSTORE_DONE || r.outcome == OBJSTORE_ABSENT;
    told->err = r.err;
    entry.action = "upload_abort_outcome";
    entry.has_success = true;
    entry.success = told->aborted;
    entry.error = told->aborted ? NULL : r.err.message;
    entry.error_class = told->aborted ? NULL : err_code_name(r.err.code);
    return journal_add(w->g->journal, &entry, e);
}

static enum err_code take_one(struct work *w, const struct open_upload *u, struct err *e)
{
    struct doctor_upload told = {.key = u->key,
                                 .upload_id = u->id,
                                 .batch_id = u->batch,
                                 .begun_ms = u->begun_ms,
                                 .kind = kind_of(w, u)};
    int64_t *const by_kind[] = {&w->counts->foreign, &w->counts->live, &w->counts->young,
                                &w->counts->stale};
    enum err_code code = ERR_OK;

    err_init(&told.err);
    (*by_kind[told.kind])++;
    if (told.kind == DOCTOR_UPLOAD_STALE && w->o->clean) {
        code = abort_it(w, u, &told, e);
        w->counts->aborted += told.aborted;
        w->counts->failed += !told.aborted;
    }
    if (w->o->found != NULL)
        w->o->found(w->o->user, &told);
    return code;
}

enum err_code doctor_uploads(const struct engine *g, const struct doctor_uploads_options *o,
                             struct doctor_uploads_counts *counts, struct err *e)
{
    struct work w = {.g = g, .o = o, .counts = counts};
    enum err_code code;

    memset(counts, 0, sizeof *counts);
    err_init(&w.err);
    code = list_uploads(&w, e);
    if (code == ERR_OK && w.n > 0)
        code = match_recorded(&w, e);
    for (size_t i = 0; i < w.n && code == ERR_OK; i++) {
        if (!w.items[i].recorded)
            code = match_key(&w, &w.items[i], e);
    }
    for (size_t i = 0; i < w.n && code == ERR_OK && !engine_stopping(g); i++)
        code = take_one(&w, &w.items[i], e);
    work_release(&w);
    if (code == ERR_OK && counts->failed > 0)
        return err_set(e, ERR_PARTIAL, "%lld uploads could not be aborted",
                       (long long)counts->failed);
    return code;
}
