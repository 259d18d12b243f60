/* stage: a private temporary database (SQLite, unlinked on disk, removed with the process) in which a plan is gathered
 * before it is written in one short transaction: constant memory for millions of rows, duplicate keys found by an index.
 *
 *     stage_open(&s, e);  stage_add(s, &row, &verdict, e) …  stage_rewind(s, e);
 *     while (stage_next(s, &row, &more, e) == ERR_OK && more) …
 */
#ifndef BLOBFERRY_TRACK_STAGE_H
#define BLOBFERRY_TRACK_STAGE_H

#include "blobferry/track/tracker.h"

struct stage;
enum stage_verdict {
    STAGE_ADDED,
    STAGE_SAME_KEY, /* a row with the same key is staged already: `other` has its source path */
    STAGE_COLLIDING_KEY, /* another key with the same NFC form */
    STAGE_SAME_FILE      /* a row with the same file_id is staged already */
};
enum err_code stage_open(struct stage **out, const char *temporary_dir,
                         struct err *e); /* NULL: $TMPDIR or /tmp */
void stage_close(struct stage *s);
/* key_digest decides about equality; `other` may be NULL. Also keeps every field of row but refused. */
enum err_code stage_add(struct stage *s, const struct tracker_plan_row *row,
                        enum stage_verdict *verdict, char *other, size_t other_size, struct err *e);
int64_t stage_rows(const struct stage *s);
/* In the order of adding. Fields are borrowed until the next call. */
enum err_code stage_rewind(struct stage *s, struct err *e);
enum err_code stage_next(struct stage *s, struct tracker_plan_row *row, bool *more, struct err *e);

#endif
