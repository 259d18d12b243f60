/* backup_source: the text of a backup, read back from a plain or an encrypted file, in constant memory. */
#ifndef BLOBFERRY_SRC_ENGINE_BACKUP_SOURCE_H
#define BLOBFERRY_SRC_ENGINE_BACKUP_SOURCE_H

#include "engine/backup_cipher.h"

#include <sys/stat.h>

struct backup_source {
    int fd;
    char *path; /* owned, for messages */
    struct stat stat;
    int64_t at; /* bytes read from the file */
    bool sealed;
    bool ended; /* the last chunk was seen */
    char created
        [32]; /* of an encrypted file, from its header, unproven until its first chunk is; "" plain */
    char key_id[BACKUP_CIPHER_ID]; /* which key an encrypted file wants; "" plain */
    struct backup_cipher cipher;
    unsigned char *in, *plain; /* owned, when sealed */
    size_t begin, end;         /* of plain */
};

/* ERR_CONFIG when the file is encrypted and there is no key, or another one; ERR_FILE_*. key may be NULL. created and key_id are set
 * even when the key is missing. */
enum err_code backup_source_open(struct backup_source *s, const char *path,
                                 const struct secret *key, struct err *e);
/* Up to room bytes; *got 0 at the end. ERR_CONFLICT when an encrypted file is cut off or altered. */
enum err_code backup_source_read(struct backup_source *s, void *dst, size_t room, size_t *got,
                                 struct err *e);
void backup_source_close(struct backup_source *s);

#endif
