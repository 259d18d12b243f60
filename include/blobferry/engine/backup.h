/* backup: the rows a rollback will touch, byte-exact, with a SHA-256, whole or absent (P12):
 * backups/migration_backup_YYYYMMDD_HHMMSS.json, one JSON document:
 * {"format":"blobferry-backup","version":1,"created":…,"database":…,"run":…,"filter":{…},
 *  "tables":{"file_migrations":[{…}], …},"counts":{…},"sha256":"…"} — sha256 over all bytes before `,"sha256"`. Values: null, integer,
 * text (UTF-8), {"b64":…} for text that is no UTF-8 or holds NUL, {"blob":…} in base64, {"real":"…"}. */
#ifndef BLOBFERRY_ENGINE_BACKUP_H
#define BLOBFERRY_ENGINE_BACKUP_H

#include "blobferry/engine/engine.h"

struct backup_result {
    char path[4096];
    char sha256[65];
    int64_t rows;
    int64_t bytes;
};
enum err_code backup_create(const struct engine *g, const struct tracker_filter *f,
                            struct backup_result *out, struct err *e);
/* Whole, unaltered, ours? ERR_PARSE: not a backup of blobferry's at all; ERR_CONFLICT: truncated or altered. `out` gets path, sha256 and
 * bytes. */
enum err_code backup_check(const char *path, struct backup_result *out, struct err *e);

#endif
