#include "app/d1_local.h"

#include "blobferry/base/str.h"
#include "blobferry/track/tracker.h"

#include <glob.h>

#define LISTED_MAX ((size_t)400) /* bytes of file names in a message */

/* ERR_OK with *yes, or why it cannot be told. */
static enum err_code has_tables(const char *path, bool *yes, struct err *e)
{
    struct tracker_schema schema = {0};
    struct tracker *t = NULL;
    struct buf url;
    enum err_code code;

    buf_init(&url, 8192);
    if (buf_printf(&url, "sqlite:%s", path))
        code = tracker_open(&t, &(struct tracker_options){.url = buf_cstr(&url), .read_only = true},
                            e);
    else
        code = err_set(e, ERR_CONFIG, "the path is too long");
    if (code == ERR_OK)
        code = tracker_inspect(t, &schema, e);
    *yes = code == ERR_OK && schema.batches && schema.migrations && schema.files;
    tracker_close(t);
    buf_release(&url);
    return code;
}

/* Names as many as fit; the message says how many there were. */
static void list(struct buf *names, const char *path, bool usable, const char *problem)
{
    const char *why = problem != NULL ? problem : "not all of the three tables";
    struct buf one;

    buf_init(&one, 8192);
    if (usable)
        buf_printf(&one, "'%s'", path);
    else
        buf_printf(&one, "'%s' (%.80s)", path, why);
    if (buf_ok(&one) && names->len + one.len + 2 < LISTED_MAX)
        buf_printf(names, "%s%s", names->len > 0 ? ", " : "", one.data);
    buf_release(&one);
}

static enum err_code verdict(const char *pattern, size_t usable, size_t found, const char *names,
                             struct err *e)
{
    if (usable == 1)
        return ERR_OK;
    if (found == 0)
        err_set(e, ERR_CONFIG, "no file matches '%s'", pattern);
    else
        err_set(e, ERR_CONFIG, "%zu D1 databases among %zu files that match '%s': %s", usable,
                found, pattern, names);
    err_hint(e, "set D1_LOCAL_PATH or --db d1:PATH to the one file that holds "
                "migration_batches, file_migrations and files");
    return ERR_CONFIG;
}

enum err_code d1_local_find(const char *pattern, struct buf *url, struct err *e)
{
    glob_t found = {0};
    size_t usable = 0;
    struct buf names;
    enum err_code code;

    buf_init(&names, LISTED_MAX + 1);
    if (glob(pattern, GLOB_TILDE, NULL, &found) != 0)
        found.gl_pathc = 0;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct err why;
        bool yes = false;

        err_init(&why);
        code = has_tables(found.gl_pathv[i], &yes, &why);
        if (yes && usable++ == 0)
            buf_printf(url, "sqlite:%s", found.gl_pathv[i]);
        list(&names, found.gl_pathv[i], yes, code != ERR_OK ? why.message : NULL);
    }
    code = verdict(pattern, usable, found.gl_pathc, buf_cstr(&names), e);
    if (code == ERR_OK && !buf_ok(url))
        code = err_set(e, ERR_CONFIG, "path of the D1 database is too long");
    if (code != ERR_OK)
        buf_reset(url);
    globfree(&found);
    buf_release(&names);
    return code;
}
