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
/* The same for `backup create`: with its line in the audit. ERR_NOTFOUND "No migration records found": then there is no file. */
enum err_code backup_take(const struct engine *g, const struct tracker_filter *f,
                          struct backup_result *out, struct err *e);
/* Whole, unaltered, ours? ERR_PARSE: not a backup of blobferry's at all; ERR_CONFLICT: truncated or altered; ERR_CONFIG: encrypted.
 * `out` gets path, sha256, rows and bytes. */
enum err_code backup_check(const char *path, struct backup_result *out, struct err *e);

/* ---- what lies in the folder ------------------------------------------------------------------------------ */

/* One file as `list` and `show` tell of it. */
struct backup_info {
    char path[4096];
    char created
        [32]; /* "" unknown; of an encrypted file without its key: as its header says, unproven */
    int64_t bytes;
    bool whole; /* ours, complete, unaltered: everything below is true only then */
    bool encrypted;
    char key_id[17];     /* of an encrypted one */
    enum err_code fault; /* why it is not whole */
    char problem[200];   /* the same for people */
    struct backup_head head;
    char sha256[65];
    int64_t rows, tables[TRACKER_TABLES];
};
/* ERR_FILE_* when there is no such file; what is wrong with one that is there stands in *out, and ERR_OK is returned. */
enum err_code backup_info_read(struct backup_info *out, const char *path, const struct secret *key,
                               struct err *e);
void backup_info_release(struct backup_info *i);

/* Every migration_backup_*.json and .json.enc of a folder, by name, that is by time. Other files are none of our business. */
typedef enum err_code backup_list_fn(void *user, const struct backup_info *info, struct err *e);
enum err_code backup_list_each(const char *dir, const struct secret *key, backup_list_fn *fn,
                               void *user, struct err *e);

enum backup_fate {
    BACKUP_KEPT,    /* young enough */
    BACKUP_UNKNOWN, /* not whole, or no key for it: never removed */
    BACKUP_DUE,     /* would be removed */
    BACKUP_REMOVED,
    BACKUP_FAILED
};
struct backup_prune_options {
    int64_t older_than_ms;
    int64_t now_ms;
    bool confirm; /* else nothing is removed */
};
struct backup_prune_result {
    int64_t kept, unknown, due, removed, failed;
    int64_t bytes; /* due or removed */
};
typedef void backup_prune_fn(void *user, const struct backup_info *info, enum backup_fate fate,
                             const struct err *why);
/* By the age that the files say themselves. Each removal is in the audit before it happens (P6). ERR_PARTIAL when one failed. */
enum err_code backup_prune(const struct engine *g, const struct backup_prune_options *o,
                           backup_prune_fn *fn, void *user, struct backup_prune_result *out,
                           struct err *e);

#endif
