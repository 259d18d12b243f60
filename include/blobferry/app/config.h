/* config: every global setting, from flags > environment > file > default (DESIGN.md section 5).
 *
 *     struct config c;
 *     config_init(&c);
 *     config_set(&c, "db", value, "--db", e);         (for each flag, first)
 *     config_load(&c, NULL, false, e);                             (environment, then the file, fill what is unset)
 *     … c.value[CONFIG_DB] …
 *     config_release(&c);
 *
 * Secrets are no settings: they never come from flags or this file (see app/credentials.h).
 */
#ifndef BLOBFERRY_APP_CONFIG_H
#define BLOBFERRY_APP_CONFIG_H

#include "blobferry/base/err.h"
#include "blobferry/base/log.h"
#include "blobferry/base/secret.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum config_key {
    CONFIG_DB,     /* sqlite:PATH, d1:GLOB, postgres://… */
    CONFIG_TARGET, /* s3://bucket[/prefix], file:///dir */
    CONFIG_ENDPOINT_URL,
    CONFIG_REGION,
    CONFIG_PROFILE,       /* section of ~/.aws/{config,credentials} */
    CONFIG_STORE_PROFILE, /* aws, r2, ceph, minio, other; auto by default */
    CONFIG_ADDRESSING,    /* path (default) or virtual */
    CONFIG_SOURCE_ROOT,
    CONFIG_LOG_DIR,    /* logs */
    CONFIG_LOG_FORMAT, /* text (default) or json */
    CONFIG_LOG_LEVEL,  /* error, warn, info (default), debug */
    CONFIG_BACKUP_DIR, /* backups */
    CONFIG_BATCH_DIR,  /* batches */
    CONFIG_CA_FILE,
    CONFIG_BACKUP_KEY_FILE, /* backups are encrypted with it */
    CONFIG_AUDIT_KEY_FILE,  /* closing lines of the audit trail are signed with it */
    CONFIG_MAX_RETRIES,     /* 3 */
    CONFIG_PATIENCE,        /* 600 seconds */
    CONFIG_DEAD_AFTER,      /* 30 seconds */
    CONFIG_JSON,            /* yes or no, like the next three */
    CONFIG_QUIET,
    CONFIG_VERBOSE,
    CONFIG_NO_COLOR,
    CONFIG_KEYS
};

struct config {
    char *value[CONFIG_KEYS]; /* owned; NULL unset */
    const char
        *origin[CONFIG_KEYS]; /* "--db", "BLOBFERRY_DB", "blobferry.conf": borrowed, for messages */
    char *path;               /* configuration file that was read, NULL none; owned */
    struct secret db_password; /* POSTGRES_PASSWORD */
};

/* One row of the table of settings: for help texts, `init`'s commented file and the man page. */
struct config_setting {
    enum config_key key;
    const char *name;     /* "endpoint-url": the flag without dashes, and the file's key */
    const char *variable; /* "BLOBFERRY_ENDPOINT_URL" */
    const char *argument; /* "URL"; NULL: a switch */
    const char *initial;  /* default, NULL none */
    const char *help;
};
const struct config_setting *config_settings(size_t *n);
const struct config_setting *config_find(const char *name); /* source-root or source_root; NULL */

void config_init(struct config *c);
void config_release(struct config *c);
/* Set one by name; an earlier value stays (first wins). ERR_USAGE for unknown names and bad values. origin is borrowed. */
enum err_code config_set(struct config *c, const char *name, const char *value, const char *origin,
                         struct err *e);
/* file: --config's value, or NULL: $BLOBFERRY_CONFIG, ./blobferry.conf, ~/.config/blobferry/blobferry.conf, the first that exists.
 * One that is named must be there, unless it may be missing (init writes it). ERR_CONFIG. */
enum err_code config_load(struct config *c, const char *file, bool may_be_missing, struct err *e);
const char *config_get(const struct config *c,
                       enum config_key k); /* borrowed; default when unset; may be NULL */
bool config_is(const struct config *c, enum config_key k); /* a switch that is on */
/* The commented configuration file that `init` writes; owned by the caller. */
char *config_example(void);

#endif
