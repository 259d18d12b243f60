/* err: the one error contract.
 *
 *     struct err e;
 *     err_init(&e);
 *     if (thing_do(&t, &e) != ERR_OK)
 *         return err_wrap(&e, "cannot do '%s'", name);   (keeps code and hint)
 *
 * A function that can fail returns an enum err_code and fills struct err once, where the fault is
 * seen; callers add context; only the command prints. A NULL struct err * is allowed everywhere.
 */
#ifndef BLOBFERRY_BASE_ERR_H
#define BLOBFERRY_BASE_ERR_H

#include <stdbool.h>

/* The classes of failure. err_code_name() gives the stable lower-case name that is stored in the
 * tracking database, logs and audit ("file_missing"); err_exit_code() gives the process exit code. */
enum err_code {
    ERR_OK = 0,
    ERR_GENERAL,      /* exit 1: anything else */
    ERR_NOMEM,        /* exit 1 */
    ERR_LIMIT,        /* exit 1: a bound of ours was reached (buffer, nesting, rows) */
    ERR_PARSE,        /* exit 1: malformed input of any kind */
    ERR_NOTFOUND,     /* exit 1: nothing matches what was asked for */
    ERR_REFUSED,      /* exit 1: refused because a promise would be broken */
    ERR_CONFLICT,     /* exit 1: something else is there, or somebody else was faster */
    ERR_CANCELLED,    /* exit 1: stopped by a signal or by the caller */
    ERR_PARTIAL,      /* exit 1: some of what was asked for failed */
    ERR_USAGE,        /* exit 2: command line */
    ERR_CONFIG,       /* exit 2: configuration, environment */
    ERR_DB,           /* exit 3: tracking database */
    ERR_DB_BUSY,      /* exit 3: locked by somebody else; retryable */
    ERR_DB_SCHEMA,    /* exit 3: a table or column is missing or is not what the contract says */
    ERR_STORE,        /* exit 4: object store failed for this object */
    ERR_STORE_DENIED, /* exit 4: credentials, rights, bucket: stop the run */
    ERR_STORE_UNAVAILABLE, /* exit 4: unreachable or overloaded beyond the retries; outcome unknown */
    ERR_STORE_CORRUPT,     /* exit 4: the store holds or answered with other bytes */
    ERR_FILE,              /* exit 5: file operation */
    ERR_FILE_MISSING,      /* exit 5 */
    ERR_FILE_DENIED,       /* exit 5: EACCES, EPERM */
    ERR_FILE_TYPE,         /* exit 5: symlink, directory, FIFO, socket, device */
    ERR_FILE_OUTSIDE,      /* exit 5: leaves the source root */
    ERR_FILE_CHANGED,      /* exit 5: changed while it was read, or differs from its record */
    ERR_FILE_SPACE,        /* exit 5: no space, quota, file size limit */
    ERR_CODE_COUNT
};

#define ERR_MESSAGE_MAX 768
#define ERR_HINT_MAX    384

/* One fault. message: lower case, no full stop, subjects in single quotes, never a secret;
 * hint: what the user can do, may be empty. Control characters are replaced when they are set. */
struct err {
    enum err_code code;
    bool retryable;
    char message[ERR_MESSAGE_MAX];
    char hint[ERR_HINT_MAX];
};

/* Reset to ERR_OK and empty texts. */
void err_init(struct err *e);

/* Fill `e` (truncating over-long texts) and return `code`, so that `return err_set(e, ...)` works. */
enum err_code err_set(struct err *e, enum err_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* As err_set, with strerror(errnum) appended after ": ". Picks ERR_FILE_* from errnum
 * when `code` is ERR_FILE (ENOENT, EACCES, ENOSPC ...). */
enum err_code err_set_errno(struct err *e, enum err_code code, int errnum, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Prepend "context: " to the message; returns e->code (when e is NULL, the code that this thread
 * set last). */
enum err_code err_wrap(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Set the hint; returns as err_wrap does. */
enum err_code err_hint(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Stable name of a class, for databases and logs; never NULL. */
const char *err_code_name(enum err_code code);

/* Process exit code 0 to 5 for a class (DESIGN.md section 5). */
int err_exit_code(enum err_code code);

#endif
