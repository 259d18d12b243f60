/* backup: the rows a rollback will touch, byte-exact, with a SHA-256, whole or absent (P12):
 * backups/migration_backup_YYYYMMDD_HHMMSS.json, one JSON document:
 * {"format":"blobferry-backup","version":1,"created":…,"database":…,"run":…,"filter":{…},
 *  "tables":{"file_migrations":[{…}], …},"counts":{…},"sha256":"…"} — sha256 over all bytes before `,"sha256"`. Values: null, integer,
 * text (UTF-8), {"b64":…} for text that is no UTF-8 or holds NUL, {"blob":…} in base64, {"real":"…"},
 * {"integer":"…"} beyond 2^53. Encrypted (docs/backup.md) when the engine has a key: then it is named ….json.enc. */
#ifndef BLOBFERRY_ENGINE_BACKUP_H
#define BLOBFERRY_ENGINE_BACKUP_H

#include "blobferry/engine/engine.h"

/* 32 bytes, in hex or base64, the first line of a file; key holds them in hex then. ERR_CONFIG with a hint when it is none. */
enum err_code backup_key_load(struct secret *key, const char *path, struct err *e);

/* What a backup says of itself. */
struct backup_head {
    char created[32];    /* ISO, UTC */
    char database[1024]; /* tracker_name when it was made */
    char run[64];
    struct tracker_filter filter; /* what was backed up; its strings are the two below */
    char *batch_id, *user_id;     /* owned */
};
void backup_head_release(struct backup_head *h);

struct backup_result {
    char path[4096];
    char sha256[65];
    int64_t rows;
    int64_t bytes;
};
enum err_code backup_create(const struct engine *g, const struct tracker_filter *f,
                            struct backup_result *out, struct err *e);
/* Whole, unaltered, ours? ERR_PARSE: not a backup of blobferry's at all; ERR_CONFLICT: truncated or altered; ERR_CONFIG: encrypted.
 * `out` gets path, sha256, rows and bytes. */
enum err_code backup_check(const char *path, struct backup_result *out, struct err *e);

#endif
