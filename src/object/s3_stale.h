/* s3_stale: what probes leave behind when their process is killed, found by the name of the process in its keys. */
#ifndef BLOBFERRY_SRC_OBJECT_S3_STALE_H
#define BLOBFERRY_SRC_OBJECT_S3_STALE_H

#include "blobferry/object/objstore.h"

#include <stddef.h>

/* "<prefix>.blobferry-probe/<owner>/<name>" of this process into dst; false when it does not fit. */
bool s3_stale_key(const struct objstore *s, const char *name, char *dst, size_t size);
/* Removes objects and multipart uploads of probes whose process is provably dead (process_owner_is_dead); those of others are left
 * alone, and what cannot be listed or removed stays for the next probe. Blocks. */
void s3_stale_clean(struct objstore *s);

#endif
