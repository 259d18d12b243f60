#include "blobferry/base/str.h"
#include "blobferry/codec/text.h"
#include "engine/rollback_page.h"

#include <stdlib.h>
#include <string.h>

struct tracker_filter rollback_select_filter(const struct rollback_options *o)
{
    struct tracker_filter f = o->scope;

    f.statuses = TRACKER_STATUS(FILE_FAILED);
    if (!o->failed_only)
        f.statuses |= TRACKER_STATUS(FILE_COMPLETED) | TRACKER_STATUS(FILE_VERIFIED);
    f.delete_owed = f.with_upload = false;
    return f;
}

struct tracker_filter rollback_select_debts(const struct rollback_options *o)
{
    struct tracker_filter f = o->scope;

    f.statuses = TRACKER_STATUS(FILE_ROLLED_BACK);
    f.delete_owed = true;
    f.with_upload = false;
    return f;
}

/* Faults that are found before a single byte has been sent: there is nothing to take back. */
static bool never_sent(const char *error_class)
{
    static const enum err_code classes[] = {ERR_FILE,      ERR_FILE_MISSING, ERR_FILE_DENIED,
                                            ERR_FILE_TYPE, ERR_FILE_OUTSIDE, ERR_PARSE};

    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        if (str_eq(error_class, err_code_name(classes[i])))
            return true;
    }
    return false;
}

bool rollback_select_takes(const struct rollback_options *o, const struct record *r)
{
    if (r->status != FILE_FAILED || o->failed_only)
        return true;
    if (r->etag != NULL || r->object_owner != NULL || r->upload_id != NULL || r->pointer_set)
        return true;
    return !never_sent(r->error_class);
}

/* NULL and every text differ, and so do any two lists of texts. */
static void hash_text(struct digest *d, const char *s)
{
    digest_update(d, s != NULL ? "t" : "n", 1);
    if (s != NULL)
        digest_update(d, s, strlen(s) + 1);
}

/* What would be done belongs to the plan as well as to whom: a hash from a preview with --database-only must not let objects be
 * deleted. */
static void hash_options(struct digest *d, const struct rollback_options *o)
{
    const char flags[] = {o->database_only ? 'D' : '-', o->r2_only ? 'R' : '-',
                          o->allow_missing_source ? 'M' : '-', o->trust_unmarked ? 'U' : '-', '\0'};

    hash_text(d, flags);
}

static bool keep_first(struct rollback_preview *out, const struct record *r)
{
    struct record *copy;
    struct arena *mem = &out->first.mem;

    if (out->first.len >= 10)
        return true;
    copy = record_list_add(&out->first);
    if (copy == NULL)
        return false;
    copy->id = arena_strdup(mem, r->id);
    copy->batch_id = arena_strdup(mem, r->batch_id);
    copy->user_id = arena_strdup(mem, r->user_id);
    copy->target_key = arena_strdup(mem, r->target_key);
    copy->status_text = arena_strdup(mem, r->status_text);
    copy->status = r->status;
    copy->file_size = r->file_size;
    return copy->id != NULL;
}

static enum err_code survey_page(const struct rollback_options *o, const struct record_list *page,
                                 struct digest *d, struct rollback_preview *out, struct err *e)
{
    for (size_t i = 0; i < page->len; i++) {
        const struct record *r = &page->items[i];

        if (!rollback_select_takes(o, r))
            continue;
        if (o->limit > 0 && out->files >= o->limit)
            break;
        out->files++;
        out->bytes += r->file_size > 0 ? r->file_size : 0;
        out->with_object += r->status != FILE_FAILED || r->etag != NULL;
        hash_text(d, r->id);
        hash_text(d, r->status_text);
        hash_text(d, r->target_key);
        hash_text(d, r->etag);
        if (!keep_first(out, r))
            return err_set(e, ERR_NOMEM, "out of memory");
    }
    return ERR_OK;
}

/* What is in the scope and yet in no page: debts, rows under way, rows whose date nobody can read (C9). */
static enum err_code count_others(const struct engine *g, const struct rollback_options *o,
                                  struct rollback_preview *out, struct err *e)
{
    struct tracker_filter any = o->scope, owed = rollback_select_debts(o);
    struct tracker_totals totals = {0};
    enum err_code code;

    any.statuses = TRACKER_ANY_STATUS;
    code = tracker_totals(g->tracker, &any, &totals, e);
    out->processing = totals.counts.by[FILE_PROCESSING];
    out->unknown = totals.counts.by[FILE_UNKNOWN];
    out->unparsable_dates = totals.unparsable_dates;
    if (code == ERR_OK)
        code = tracker_totals(g->tracker, &owed, &totals, e);
    if (code == ERR_OK && !o->database_only)
        out->debts = state_counts_total(&totals.counts);
    return code;
}

enum err_code rollback_select_survey(const struct engine *g, const struct rollback_options *o,
                                     struct rollback_preview *out, struct err *e)
{
    struct tracker_filter filter = rollback_select_filter(o);
    unsigned char sum[DIGEST_MAX];
    char *after = NULL;
    struct record_list page;
    struct digest d;
    enum err_code code = digest_init(&d, DIGEST_SHA256, e);

    record_list_init(&page, 0);
    if (code == ERR_OK)
        hash_options(&d, o);
    while (code == ERR_OK && (o->limit == 0 || out->files < o->limit)) {
        code = tracker_records(g->tracker, &filter, after, ROLLBACK_PAGE, &page, e);
        if (code != ERR_OK || page.len == 0)
            break;
        code = survey_page(o, &page, &d, out, e);
        free(after);
        after = str_dup(page.items[page.len - 1].id);
        if (code == ERR_OK && after == NULL)
            code = err_set(e, ERR_NOMEM, "out of memory");
        if (code == ERR_OK && engine_stopping(g))
            code = err_set(e, ERR_CANCELLED, "stopped by a signal");
    }
    if (code == ERR_OK) {
        digest_final(&d, sum);
        text_hex(sum, DIGEST_SHA256_SIZE, out->plan_hash);
        code = count_others(g, o, out, e);
    }
    free(after);
    record_list_release(&page);
    digest_release(&d);
    return code;
}
