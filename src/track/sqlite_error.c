/* sqlite_error: what SQLite says, as one of our errors with a hint that names the file. */
#include "blobferry/base/str.h"
#include "track/sqlite.h"

#include <string.h>

static enum err_code busy(const struct sqlite *s, struct err *e, const char *doing)
{
    err_set(e, ERR_DB_BUSY, "cannot %s: database '%s' is locked by another program", doing,
            s->path);
    if (e != NULL)
        e->retryable = true;
    return err_hint(e, "wait until the program that writes to it has finished, then run again");
}

static enum err_code read_only(const struct sqlite *s, int extended, struct err *e,
                               const char *doing)
{
    if (extended == SQLITE_READONLY_ROLLBACK || extended == SQLITE_READONLY_RECOVERY) {
        err_set(e, ERR_DB, "cannot %s: database '%s' was left in the middle of a transaction",
                doing, s->path);
        return err_hint(e, "open it once for writing, for example: sqlite3 '%s' .tables", s->path);
    }
    err_set(e, ERR_DB, "cannot %s: database '%s' cannot be written", doing, s->path);
    return err_hint(e, "check the rights of the file and of its folder");
}

static enum err_code input_output(const struct sqlite *s, int extended, struct err *e,
                                  const char *doing)
{
    int number = sqlite3_system_errno(s->db);

    if (extended == SQLITE_IOERR_NOMEM)
        return err_set(e, ERR_NOMEM, "cannot %s: out of memory", doing);
    if (number != 0)
        err_set_errno(e, ERR_DB, number, "cannot %s: read or write error in database '%s'", doing,
                      s->path);
    else
        err_set(e, ERR_DB, "cannot %s: read or write error in database '%s'", doing, s->path);
    return err_hint(e, "check the disk and the free space that hold '%s'", s->path);
}

/* "no such table", "no such column": the schema is not what the contract says. */
static enum err_code other(const struct sqlite *s, struct err *e, const char *doing,
                           const char *text)
{
    if (str_starts(text, "no such table") || str_starts(text, "no such column") ||
        strstr(text, "has no column named") != NULL) {
        err_set(e, ERR_DB_SCHEMA, "cannot %s in '%s': %s", doing, s->path, text);
        return err_hint(e, "see which tables are needed: blobferry validate");
    }
    return err_set(e, ERR_DB, "cannot %s in database '%s': %s", doing, s->path, text);
}

enum err_code sqlite_error(struct sqlite *s, struct err *e, const char *doing)
{
    const int extended = sqlite3_extended_errcode(s->db);
    const char *text = sqlite3_errmsg(s->db);

    switch (extended & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return busy(s, e, doing);
    case SQLITE_NOTADB:
        err_set(e, ERR_DB, "'%s' is not an SQLite database", s->path);
        return err_hint(e, "check --db");
    case SQLITE_CORRUPT:
        err_set(e, ERR_DB, "cannot %s: database '%s' is damaged: %s", doing, s->path, text);
        return err_hint(e, "restore it from a copy; see: sqlite3 '%s' 'PRAGMA integrity_check'",
                        s->path);
    case SQLITE_CANTOPEN:
        err_set(e, ERR_DB, "cannot open database '%s'", s->path);
        return err_hint(e, "check that the path leads to a file and that it and its folder may be "
                           "read and written");
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return read_only(s, extended, e, doing);
    case SQLITE_FULL:
        err_set(e, ERR_DB, "cannot %s: no space left for database '%s'", doing, s->path);
        return err_hint(e, "free some space and run again: nothing of this step was written");
    case SQLITE_IOERR:
        return input_output(s, extended, e, doing);
    case SQLITE_NOMEM:
        return err_set(e, ERR_NOMEM, "cannot %s: out of memory", doing);
    case SQLITE_TOOBIG:
        err_set(e, ERR_DB, "cannot %s: a value in '%s' is larger than %d MiB", doing, s->path,
                SQLITE_VALUE_MAX >> 20);
        return err_hint(e, "shorten that value");
    case SQLITE_CONSTRAINT:
        err_set(e, ERR_DB, "cannot %s: database '%s' refuses it: %s", doing, s->path, text);
        return err_hint(e, "a constraint or trigger of the application forbids what blobferry "
                           "needs to write; nothing was changed");
    default:
        return other(s, e, doing, text);
    }
}
