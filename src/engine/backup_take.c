#include "blobferry/engine/backup.h"

enum err_code backup_take(const struct engine *g, const struct tracker_filter *f,
                          struct backup_result *out, struct err *e)
{
    struct journal_entry entry = {.action = "backup", .has_success = true};
    struct tracker_totals totals;
    struct tracker_head head;
    enum err_code code, ended;

    code = tracker_totals(g->tracker, f, &totals, e);
    if (code == ERR_OK && state_counts_total(&totals.counts) == 0) {
        err_set(e, ERR_NOTFOUND, "No migration records found");
        code = err_hint(e, "see: blobferry status");
    }
    if (code != ERR_OK)
        return code;
    code = backup_create(g, f, out, e);
    entry.success = code == ERR_OK;
    entry.detail = code == ERR_OK ? out->path : g->backup_dir;
    entry.sha256 = code == ERR_OK ? out->sha256 : NULL;
    entry.has_size = code == ERR_OK;
    entry.size = out->bytes;
    entry.error = code != ERR_OK && e != NULL ? e->message : NULL;
    entry.error_class = code != ERR_OK ? err_code_name(code) : NULL;
    ended = journal_add(g->journal, &entry, code == ERR_OK ? e : NULL);
    if (ended == ERR_OK)
        ended = journal_commit(g->journal, true, &head, code == ERR_OK ? e : NULL);
    return code != ERR_OK ? code : ended;
}
