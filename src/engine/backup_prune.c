#include "blobferry/engine/backup.h"

#include "blobferry/base/fsio.h"
#include "blobferry/base/str.h"
#include "blobferry/codec/timefmt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct prune {
    const struct engine *g;
    const struct backup_prune_options *o;
    backup_prune_fn *fn;
    void *user;
    struct backup_prune_result *out;
    struct err first; /* removal that failed */
};

static enum err_code audit(const struct prune *p, const char *action,
                           const struct backup_info *info, const struct err *why, struct err *e)
{
    struct tracker_head head;
    struct journal_entry entry = {.action = action,
                                  .detail = info->path,
                                  .sha256 = info->sha256,
                                  .has_size = true,
                                  .size = info->bytes};
    enum err_code code;

    if (why != NULL) {
        entry.has_success = true;
        entry.success = why->code == ERR_OK;
        entry.error = entry.success ? NULL : why->message;
        entry.error_class = entry.success ? NULL : err_code_name(why->code);
    }
    code = journal_add(p->g->journal, &entry, e);
    return code == ERR_OK ? journal_commit(p->g->journal, true, &head, e) : code;
}

static enum err_code unlink_it(const struct backup_info *info, struct err *e)
{
    struct stat st;

    /* what was proven is a file of this name; what lies there now must still look like it */
    if (lstat(info->path, &st) != 0)
        return err_set_errno(e, ERR_FILE, errno, "cannot look at backup '%s'", info->path);
    if (!S_ISREG(st.st_mode) || st.st_size != info->bytes)
        return err_set(e, ERR_FILE_CHANGED, "backup '%s' has just been changed", info->path);
    if (unlink(info->path) != 0)
        return err_set_errno(e, ERR_FILE, errno, "cannot remove backup '%s'", info->path);
    return fsio_sync_parent(info->path, e);
}

static enum err_code remove_it(struct prune *p, const struct backup_info *info, struct err *e)
{
    struct err why;
    enum err_code code = audit(p, "prune_intent", info, NULL, e); /* P6 */

    if (code != ERR_OK)
        return code;
    err_init(&why);
    if (unlink_it(info, &why) == ERR_OK) {
        p->out->removed++;
        p->out->bytes += info->bytes;
    } else {
        p->out->failed++;
        if (p->first.code == ERR_OK)
            p->first = why;
    }
    p->fn(p->user, info, why.code == ERR_OK ? BACKUP_REMOVED : BACKUP_FAILED, &why);
    return audit(p, "prune_outcome", info, &why, e);
}

static enum err_code judge(void *user, const struct backup_info *info, struct err *e)
{
    struct prune *p = user;
    struct stat st;
    int64_t created = 0;
    bool known = info->whole && timefmt_parse(info->created, &created) &&
                 lstat(info->path, &st) == 0 && S_ISREG(st.st_mode);

    if (!known) {
        p->out->unknown++;
        p->fn(p->user, info, BACKUP_UNKNOWN, NULL);
    } else if (created > p->o->now_ms - p->o->older_than_ms) {
        p->out->kept++;
        p->fn(p->user, info, BACKUP_KEPT, NULL);
    } else {
        p->out->due++;
        if (p->o->confirm && engine_stopping(p->g))
            return err_set(e, ERR_CANCELLED, "stopped by a signal");
        if (p->o->confirm)
            return remove_it(p, info, e);
        p->out->bytes += info->bytes;
        p->fn(p->user, info, BACKUP_DUE, NULL);
    }
    return ERR_OK;
}

enum err_code backup_prune(const struct engine *g, const struct backup_prune_options *o,
                           backup_prune_fn *fn, void *user, struct backup_prune_result *out,
                           struct err *e)
{
    struct prune p = {.g = g, .o = o, .fn = fn, .user = user, .out = out};
    enum err_code code;

    memset(out, 0, sizeof *out);
    code = backup_list_each(g->backup_dir, g->backup_key, judge, &p, e);
    if (code == ERR_OK && out->failed > 0) {
        err_set(e, ERR_PARTIAL, "%lld of %lld backups could not be removed: %s",
                (long long)out->failed, (long long)out->due, p.first.message);
        code = ERR_PARTIAL;
    }
    return code;
}
