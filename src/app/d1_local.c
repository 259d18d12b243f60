#include "app/d1_local.h"

#include "blobferry/base/str.h"
#include "blobferry/track/tracker.h"

#include <glob.h>

static bool has_tables(const char *path)
{
    struct tracker_schema schema = {0};
    struct tracker *t = NULL;
    struct buf url;
    bool yes = false;

    buf_init(&url, 8192);
    buf_printf(&url, "sqlite:%s", path);
    if (buf_ok(&url) &&
        tracker_open(&t, &(struct tracker_options){.url = buf_cstr(&url), .read_only = true},
                     NULL) == ERR_OK &&
        tracker_inspect(t, &schema, NULL) == ERR_OK)
        yes = schema.batches && schema.migrations && schema.files;
    tracker_close(t);
    buf_release(&url);
    return yes;
}

enum err_code d1_local_find(const char *pattern, struct buf *url, struct err *e)
{
    glob_t found = {0};
    size_t usable = 0;
    struct buf names;
    enum err_code code = ERR_OK;

    buf_init(&names, 600);
    if (glob(pattern, GLOB_NOSORT, NULL, &found) != 0)
        found.gl_pathc = 0;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        bool yes = has_tables(found.gl_pathv[i]);
        if (yes && usable++ == 0)
            buf_printf(url, "sqlite:%s", found.gl_pathv[i]);
        buf_printf(&names, "%s'%s'%s", names.len > 0 ? ", " : "", found.gl_pathv[i],
                   yes ? "" : " (not all of the three tables)");
    }
    if (usable != 1) {
        buf_reset(url);
        err_set(e, ERR_CONFIG, "%s D1 database matches '%s'%s%s",
                usable == 0 ? "no" : "more than one", pattern, names.len > 0 ? ": " : "",
                buf_cstr(&names));
        code = err_hint(e, "set D1_LOCAL_PATH or --db d1:PATH to the one file that holds "
                           "migration_batches, file_migrations and files");
    } else if (!buf_ok(url)) {
        code = err_set(e, ERR_CONFIG, "path of the D1 database is too long");
    }
    globfree(&found);
    buf_release(&names);
    return code != ERR_OK ? ERR_CONFIG : ERR_OK;
}
