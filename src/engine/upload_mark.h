/* upload_mark: what is recorded of a multipart upload under way: its id and the SHA-256 of the source for which it was begun, as
 * "ID#sha256=HEX". By the hash the next process knows that the parts it finds are of the bytes it has. Marks without a hash, which
 * earlier versions wrote, are of uploads that can only be aborted. */
#ifndef BLOBFERRY_SRC_ENGINE_UPLOAD_MARK_H
#define BLOBFERRY_SRC_ENGINE_UPLOAD_MARK_H

#include <stdbool.h>

char *upload_mark_make(const char *upload_id, const char *sha256); /* owned; NULL: no memory */
char *upload_mark_id(const char *mark); /* owned; NULL: no memory, or no mark */
bool upload_mark_is_of(const char *mark, const char *sha256);

#endif
