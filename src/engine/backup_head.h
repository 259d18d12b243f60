/* backup_head: what stands before the rows of a backup. */
#ifndef BLOBFERRY_SRC_ENGINE_BACKUP_HEAD_H
#define BLOBFERRY_SRC_ENGINE_BACKUP_HEAD_H

#include "blobferry/codec/json.h"
#include "blobferry/engine/backup.h"

/* One member of the document; others than we know are passed over. */
void backup_head_take(struct backup_head *h, const char *name, const struct json *value);
/* Which database `url` (tracker_name) is, wherever one stands: a path in it becomes absolute and loses its symlinks. */
void backup_head_database(const char *url, char *dst, size_t size);

#endif
