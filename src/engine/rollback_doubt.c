/* rollback_doubt: intents of earlier rollbacks that were cut off between moving a row and saying so. Rows that owe a deletion are told of when it is
 * paid, rows that did not move are looked at again by this run; what is left are rows that are rolled back, owe nothing, and have an
 * intent without an outcome in the trail. They are looked at in the database, and their outcome is written (P6, I5). */
#include "blobferry/base/str.h"
#include "engine/audit_walk.h"
#include "engine/journal_doubt.h"
#include "engine/rollback_page.h"

#include <stdlib.h>
#include <string.h>

static enum err_code see(void *user, const struct journal_line *l, int64_t number,
                         const char *previous, struct err *e)
{
    (void)number;
    (void)previous;
    (void)e;
    if ((l->action_len >= 8 && memcmp(l->action, "rollback", 8) == 0) ||
        journal_line_is(l, "debt_outcome") || journal_line_is(l, "debt_paid"))
        journal_doubt_see(user, l);
    return ERR_OK;
}

/* The trail's folder: the journal's own. A trail that cannot be read now could not be written either. */
static enum err_code read_trail(const struct engine *g, struct journal_doubt *d, struct err *e)
{
    char *dir = str_dup(journal_path(g->journal));
    char *slash = dir != NULL ? strrchr(dir, '/') : NULL;
    int64_t damaged = 0;
    enum err_code code;

    if (slash == NULL) {
        free(dir);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    *slash = '\0';
    code = journal_doubt_init(d, e);
    if (code == ERR_OK)
        code = audit_walk(dir, see, d, &damaged, e);
    free(dir);
    return code;
}

enum err_code rollback_in_doubt(const struct engine *g, bool *any, struct err *e)
{
    struct journal_doubt d = {0};
    enum err_code code = read_trail(g, &d, e);

    *any = code == ERR_OK && journal_doubt_count(&d) > 0;
    journal_doubt_release(&d);
    return code;
}

static enum err_code settle_page(struct rollback_job *j, struct journal_doubt *d,
                                 const struct record_list *page, struct err *e)
{
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < page->len; i++) {
        const struct record *r = &page->items[i];
        struct journal_entry entry = journal_entry_of(r, "rollback_outcome");

        entry.to = state_file_name(FILE_ROLLED_BACK);
        entry.detail = "found rolled back: an earlier run ended before it could say so";
        entry.has_success = entry.success = true;
        if (!r->delete_owed && journal_doubt_open(d, "rollback", r->id))
            code = journal_add(j->g->journal, &entry, e);
    }
    return code;
}

enum err_code rollback_doubt_settle(struct rollback_job *j, struct err *e)
{
    struct tracker_filter f = {.batch_id = j->o->scope.batch_id,
                               .statuses = TRACKER_STATUS(FILE_ROLLED_BACK)};
    struct journal_doubt d = {0};
    struct record_list page;
    struct tracker_head head;
    char *after = NULL;
    enum err_code code = read_trail(j->g, &d, e);

    record_list_init(&page, 0);
    while (code == ERR_OK && journal_doubt_count(&d) > 0) {
        code = tracker_records(j->g->tracker, &f, after, ROLLBACK_PAGE, &page, e);
        if (code != ERR_OK || page.len == 0)
            break;
        code = settle_page(j, &d, &page, e);
        free(after);
        after = str_dup(page.items[page.len - 1].id);
        if (code == ERR_OK && after == NULL)
            code = err_set(e, ERR_NOMEM, "out of memory");
        if (code == ERR_OK)
            code = rollback_lock_keep(j, e);
    }
    if (code == ERR_OK && journal_pending(j->g->journal) > 0)
        code = journal_commit(j->g->journal, true, &head, e);
    free(after);
    record_list_release(&page);
    journal_doubt_release(&d);
    return code;
}
