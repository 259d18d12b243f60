/* provenance: how ids and names travel in an object's metadata, which carries plain ASCII only. Visible ASCII but '%' stays
 * as it is, every other byte becomes %XX. */
#ifndef BLOBFERRY_SRC_OBJECT_PROVENANCE_H
#define BLOBFERRY_SRC_OBJECT_PROVENANCE_H

#include "blobferry/base/buf.h"
#include "blobferry/model/objinfo.h"

#include <stdbool.h>
#include <stddef.h>

bool provenance_encode(struct buf *b, const char *raw);
/* Text that is no such encoding is taken as it stands; true if all of it fitted. */
bool provenance_decode(char *dst, size_t size, const char *encoded);
/* `hex` if it is a SHA-256 in hex, in lower case; else "". */
void provenance_sha256(char dst[65], const char *hex);
/* A Content-Type that may stand in a header: `type`, or application/octet-stream. */
const char *provenance_content_type(const char *type);
/* P4, P6: does this object carry the id, the SHA-256 and the size of the one that `meta` describes? */
bool provenance_matches(const struct objinfo *info, const struct objmeta *meta, const char *sha256,
                        uint64_t size);

#endif
