/* plan_manifest: batches/<batch_id>.json, streamed. It is prepared before the rows are committed and gets its name after:
 *
 * {"batch_id":…,"created":…,"database":…,"target_prefix":…,"rows":[{"record_id","source_path","target_key","size",
 *  "checksum","file_id"}, …],"files":N,"bytes":N}
 *
 *     plan_manifest_begin(&m, …);  plan_manifest_row(&m, &row, e) …  plan_manifest_prepare(&m, &prepared, e);
 *     plan_manifest_publish(&prepared, e);       or plan_manifest_abort, plan_manifest_drop
 */
#ifndef BLOBFERRY_SRC_ENGINE_PLAN_MANIFEST_H
#define BLOBFERRY_SRC_ENGINE_PLAN_MANIFEST_H

#include "blobferry/base/fsio.h"
#include "blobferry/codec/json.h"
#include "blobferry/track/tracker.h"

/* Written and closed, still under its temporary name. */
struct plan_prepared {
    struct fsio_atomic file;
    int64_t files, bytes;
};
struct plan_manifest {
    struct plan_prepared made;
    struct buf text;
    struct json_out json;
    bool open;
};
struct plan_manifest_options {
    const char *dir; /* batches/ */
    const char *batch_id;
    const char *database;
    const char *target_prefix; /* NULL none */
};

/* Owned path, or NULL when memory is short. */
char *plan_manifest_path(const char *dir, const char *batch_id);
enum err_code plan_manifest_begin(struct plan_manifest *m, const struct plan_manifest_options *o,
                                  struct err *e);
enum err_code plan_manifest_row(struct plan_manifest *m, const struct tracker_plan_row *row,
                                struct err *e);
enum err_code plan_manifest_prepare(struct plan_manifest *m, struct plan_prepared *out,
                                    struct err *e);
void plan_manifest_abort(struct plan_manifest *m); /* harmless when not open */
/* Durable under its name; ERR_CONFLICT when that is taken. */
enum err_code plan_manifest_publish(struct plan_prepared *p, struct err *e);
void plan_manifest_drop(struct plan_prepared *p); /* harmless after publish */

#endif
