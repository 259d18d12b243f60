/* backup_sink: where the text of a backup goes: into a file that appears when it is whole, encrypted when there is a key.
 *
 *     backup_sink_begin(&s, path, key, created, e);
 *     backup_sink_write(&s, p, n, e);  …
 *     backup_sink_commit(&s, e);          or backup_sink_release(&s), which is harmless after it
 */
#ifndef BLOBFERRY_SRC_ENGINE_BACKUP_SINK_H
#define BLOBFERRY_SRC_ENGINE_BACKUP_SINK_H

#include "blobferry/base/fsio.h"
#include "engine/backup_cipher.h"

struct backup_sink {
    struct fsio_atomic file;
    bool sealed;
    struct backup_cipher cipher;
    unsigned char *chunk, *out; /* owned, when sealed */
    size_t used;   /* bytes in chunk; it leaves when it is known whether it is the last */
    int64_t bytes; /* of the file */
};

/* key NULL or unset: plain text. created: ISO time, for the header of an encrypted file. */
enum err_code backup_sink_begin(struct backup_sink *s, const char *path, const struct secret *key,
                                const char *created, struct err *e);
enum err_code backup_sink_write(struct backup_sink *s, const void *p, size_t n, struct err *e);
/* ERR_CONFLICT when the name has been taken meanwhile. */
enum err_code backup_sink_commit(struct backup_sink *s, struct err *e);
void backup_sink_release(struct backup_sink *s);

#endif
