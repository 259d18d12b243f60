/* sqlite_file: opening the database file so that a reader leaves nothing behind and a writer is durable.
 *
 * A read-only connection to a file in WAL mode makes -wal and -shm and cannot remove them. With no -wal there is nothing to
 * checkpoint: then a connection that may write, but is told not to (query_only), takes them away again when it closes. Where the
 * folder cannot be written at all, there is no -wal that could be missed either, and the file is read as it stands (immutable).
 */
#include "blobferry/base/str.h"
#include "track/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER_SIZE 20

static const char magic[16] = "SQLite format 3";

struct look {
    bool there, empty, regular;
    bool database; /* begins as one */
    bool wal_mode;
    bool wal_rows;        /* a -wal with something in it */
    bool folder_writable; /* and the file too */
};

/* Is there a file named path + suffix that is not empty? */
static bool beside(const char *path, const char *suffix)
{
    struct stat st;
    struct buf name;

    buf_init(&name, 8192);
    bool there =
        buf_printf(&name, "%s%s", path, suffix) && stat(name.data, &st) == 0 && st.st_size > 0;
    buf_release(&name);
    return there;
}

static bool writable(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash == NULL ? str_dup(".") : strndup(path, (size_t)(slash - path) + 1);
    bool ok = folder != NULL && access(folder, W_OK | X_OK) == 0 && access(path, W_OK) == 0;

    free(folder);
    return ok;
}

static enum err_code look_at(const char *path, struct look *l, struct err *e)
{
    unsigned char header[HEADER_SIZE];
    struct stat st;

    memset(l, 0, sizeof *l);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 && errno == ENOENT)
        return ERR_OK;
    if (fd < 0) {
        err_set_errno(e, ERR_DB, errno, "cannot open database '%s'", path);
        return err_hint(e, "check the path and its rights");
    }
    l->there = fstat(fd, &st) == 0;
    l->regular = l->there && S_ISREG(st.st_mode);
    l->empty = l->regular && st.st_size == 0;
    if (l->regular && pread(fd, header, sizeof header, 0) == (ssize_t)sizeof header) {
        l->database = memcmp(header, magic, sizeof magic) == 0;
        l->wal_mode = l->database && header[18] == 2 && header[19] == 2;
    }
    close(fd);
    l->wal_rows = beside(path, "-wal");
    l->folder_writable = writable(path);
    return ERR_OK;
}

static enum err_code refuse(const char *path, const struct look *l, bool create, struct err *e)
{
    if (!l->there && !create) {
        err_set(e, ERR_DB, "no such database '%s'", path);
        return err_hint(e, "make it with: blobferry --db 'sqlite:%s' init", path);
    }
    if (l->there && !l->regular) {
        err_set(e, ERR_DB, "'%s' is no regular file, so no SQLite database", path);
        return err_hint(e, "check --db");
    }
    if (l->there && !l->empty && !l->database) {
        err_set(e, ERR_DB, "'%s' is not an SQLite database", path);
        return err_hint(e, "check --db; an encrypted or foreign file cannot be used");
    }
    return ERR_OK;
}

/* "file:…?immutable=1" with every unusual byte escaped. */
static bool immutable_uri(struct buf *b, const char *path)
{
    buf_str(b, "file:");
    for (const char *p = path; *p != '\0'; p++) {
        if (strchr("%?# ", *p) != NULL || (unsigned char)*p < 0x21 || (unsigned char)*p > 0x7e)
            buf_printf(b, "%%%02X", (unsigned)(unsigned char)*p);
        else
            buf_char(b, *p);
    }
    return buf_str(b, "?immutable=1");
}

static int open_reader(struct sqlite *s, const char *name, const struct look *l)
{
    const int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    struct buf uri;
    int rc;

    if (!l->wal_mode || l->wal_rows)
        return sqlite3_open_v2(name, &s->db, flags | SQLITE_OPEN_READONLY, NULL);
    if (l->folder_writable) {
        rc = sqlite3_open_v2(name, &s->db, flags | SQLITE_OPEN_READWRITE, NULL);
        return rc != SQLITE_OK ? rc
                               : sqlite3_exec(s->db, "PRAGMA query_only = ON", NULL, NULL, NULL);
    }
    buf_init(&uri, 16384);
    rc = immutable_uri(&uri, name)
             ? sqlite3_open_v2(uri.data, &s->db, flags | SQLITE_OPEN_READONLY | SQLITE_OPEN_URI,
                               NULL)
             : SQLITE_CANTOPEN;
    buf_release(&uri);
    return rc;
}

/* New files are for their owner only, whatever the umask; -wal and -shm follow the file's mode. */
static enum err_code make_file(const char *path, struct err *e)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0 && errno != EEXIST) {
        err_set_errno(e, ERR_DB, errno, "cannot create database '%s'", path);
        return err_hint(e, "check that its folder is there and may be written");
    }
    if (fd >= 0)
        close(fd);
    return ERR_OK;
}

enum err_code sqlite_file_open(struct sqlite *s, bool create, struct err *e)
{
    struct look l;
    struct buf name; /* "./x" cannot be taken for ":memory:" or "file:…" */

    enum err_code code = look_at(s->path, &l, e);
    if (code == ERR_OK)
        code = refuse(s->path, &l, create && !s->read_only, e);
    if (code == ERR_OK && !l.there) {
        code = make_file(s->path, e);
        s->made = code == ERR_OK;
    }
    if (code != ERR_OK)
        return code;
    buf_init(&name, 8192);
    if (!buf_printf(&name, "%s%s", s->path[0] == '/' ? "" : "./", s->path))
        code = err_set(e, ERR_DB, "the path of the database is too long");
    else if ((s->read_only ? open_reader(s, name.data, &l)
                           : sqlite3_open_v2(name.data, &s->db,
                                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
                                                 SQLITE_OPEN_EXRESCODE,
                                             NULL)) != SQLITE_OK)
        code = s->db != NULL ? sqlite_error(s, e, "open it")
                             : err_set(e, ERR_NOMEM, "cannot open database: out of memory");
    else if (!s->read_only && sqlite3_db_readonly(s->db, "main") == 1) {
        err_set(e, ERR_DB, "database '%s' cannot be written", s->path);
        code = err_hint(e, "check the rights of the file and of its folder");
    }
    buf_release(&name);
    return code;
}
