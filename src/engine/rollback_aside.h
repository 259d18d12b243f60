/* rollback_aside: objects that --if-exists=overwrite replaced, put back from <backups>/overwritten (see transfer_aside.c). */
#ifndef BLOBFERRY_SRC_ENGINE_ROLLBACK_ASIDE_H
#define BLOBFERRY_SRC_ENGINE_ROLLBACK_ASIDE_H

#include "engine/rollback_page.h"

/* Where the row's copy may lie: "<backups>/overwritten/<name>" of the n-th one (from 1), without ".bin" or ".json". False
 * when it does not fit. */
bool rollback_aside_path(const struct engine *g, const char *record_id, int n, char *dst,
                         size_t size);

/* For every item whose object of ours is gone now: the object it had replaced is sent again, if one was kept, only where
 * nothing is by now, and its copy is marked as restored. What cannot be put back stays owed (it->done false) and says why.
 * Blocks. ERR_* only when the store's loop or the audit fails. */
enum err_code rollback_aside_put_back(struct rollback_job *j, struct err *e);

#endif
