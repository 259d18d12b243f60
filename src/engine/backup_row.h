/* backup_row: one row of a backup, from JSON to the values it was made of, type and bytes (the forms are in backup.h). */
#ifndef BLOBFERRY_SRC_ENGINE_BACKUP_ROW_H
#define BLOBFERRY_SRC_ENGINE_BACKUP_ROW_H

#include "blobferry/base/arena.h"
#include "blobferry/codec/json.h"
#include "blobferry/track/tracker.h"

struct backup_row {
    struct json *tree; /* owned */
    struct tracker_value *values;
    size_t n, cap;
    struct arena mem; /* what was base64 */
};

void backup_row_init(struct backup_row *r);
void backup_row_release(struct backup_row *r);
/* Values are valid until the next parse. ERR_PARSE, ERR_LIMIT, ERR_NOMEM. */
enum err_code backup_row_parse(struct backup_row *r, const char *text, size_t n, struct err *e);

#endif
