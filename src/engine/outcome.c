#include "engine/outcome.h"

#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"

struct journal_entry outcome_line(const struct outcome *o)
{
    const bool lost = o->end == OUTCOME_LOST;
    struct journal_entry entry = journal_entry_of(o->r, lost ? "lease_lost" : "upload_outcome");

    entry.detail = str_empty(o->detail) ? NULL : o->detail;
    if (lost)
        return entry; /* its outcome is told by whoever holds the row now */
    entry.from = state_file_name(FILE_PROCESSING);
    if (o->err.code != ERR_OK) {
        entry.error = o->err.message;
        entry.error_class = err_code_name(o->err.code);
    }
    entry.to = state_file_name(o->end == OUTCOME_COMPLETED ? FILE_COMPLETED
                               : o->end == OUTCOME_FAILED  ? FILE_FAILED
                                                           : FILE_PENDING);
    if (o->end == OUTCOME_RELEASED)
        return entry;
    entry.etag = str_empty(o->etag) ? NULL : o->etag;
    entry.version_id = str_empty(o->version_id) ? NULL : o->version_id;
    entry.sha256 = str_empty(o->sha256) ? NULL : o->sha256;
    entry.has_size = o->has_source;
    entry.size = o->source.size;
    entry.has_duration = true;
    entry.duration_ms = o->duration_ms;
    entry.has_success = true;
    entry.success = o->end == OUTCOME_COMPLETED;
    return entry;
}

struct tracker_move outcome_move(const struct outcome *o, const char *owner)
{
    const struct record *r = o->r;
    bool good = o->end == OUTCOME_COMPLETED;
    struct tracker_move m = {.id = r->id,
                             .batch_id = r->batch_id,
                             .owner = owner,
                             .from = FILE_PROCESSING,
                             .to = good ? FILE_COMPLETED : FILE_FAILED,
                             .now_ms = clock_wall_ms(),
                             .target_key = r->target_key,
                             .expected_r2_key = r->file_r2_key,
                             .size = good ? o->source.size : -1};

    if (!good) {
        m.error_class = err_code_name(o->err.code);
        m.error_message = o->err.message;
    }
    if (good && r->file_row) { /* P3: in the same transaction as the proof */
        m.pointer = TRACKER_POINTER_SET;
        m.file_id = r->file_id;
    }
    if (good || o->etag[0] != '\0') { /* a failed row too says which object it left */
        m.migrated_checksum = o->sha256;
        m.etag = str_empty(o->etag) ? NULL : o->etag;
        m.version_id = str_empty(o->version_id) ? NULL : o->version_id;
        m.object_owner = str_empty(o->owner) ? NULL : o->owner;
        m.pre_existed = o->pre_existed;
        m.source = o->has_source ? &o->source : NULL;
    }
    return m;
}
