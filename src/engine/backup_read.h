/* backup_read: a backup read back, one row at a time, in constant memory. It is proven on the way: *more becomes false only when everything
 * was there, well-formed, counted and of the SHA-256 at its end; until then nothing may be done that cannot be undone.
 *
 *     backup_read_open(&r, path, key, e);
 *     while (backup_read_next(&r, true, &more, e) == ERR_OK && more) use(r.table, r.row.values, r.row.n);
 *     backup_read_close(&r);
 */
#ifndef BLOBFERRY_SRC_ENGINE_BACKUP_READ_H
#define BLOBFERRY_SRC_ENGINE_BACKUP_READ_H

#include "blobferry/codec/digest.h"
#include "blobferry/engine/backup.h"
#include "engine/backup_head.h"
#include "engine/backup_row.h"
#include "engine/backup_source.h"

struct backup_read {
    struct backup_source source;
    struct backup_head head;
    struct digest digest;
    char *data; /* owned window: [kept, at) is parsed and not yet hashed, [at, end) is not parsed */
    size_t cap, kept, at, end;
    bool in_table, first_row, ended;
    enum tracker_table table;
    struct backup_row row;
    int64_t rows[TRACKER_TABLES], all_rows;
    char sha256[DIGEST_SHA256_HEX]; /* when it has ended */
};

/* ERR_PARSE: no backup of blobferry's; ERR_CONFLICT: cut off or altered; ERR_CONFIG: the key; ERR_FILE_*. Close it in each case. */
enum err_code backup_read_open(struct backup_read *r, const char *path, const struct secret *key,
                               struct err *e);
/* The next row; with `parse` false its values are left out. */
enum err_code backup_read_next(struct backup_read *r, bool parse, bool *more, struct err *e);
/* All the rest, without values: is it whole? */
enum err_code backup_read_rest(struct backup_read *r, struct err *e);
void backup_read_close(struct backup_read *r);

#endif
