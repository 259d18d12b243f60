#include "track/row.h"

#include "blobferry/base/str.h"

#include "blobferry/base/buf.h"

#include <string.h>

const char *row_keep(struct record_list *out, const char *text, size_t n, bool *full)
{
    const char *copy = arena_strndup(&out->mem, text, n);

    *full |= copy == NULL;
    return copy;
}

void row_blame(struct record_list *out, const char **defect, const char *name, const char *what,
               bool *full)
{
    struct buf text;

    if (*defect != NULL)
        return;
    buf_init(&text, 256);
    if (buf_printf(&text, "%s %s", name, what))
        *defect = row_keep(out, text.data, text.len, full);
    else
        *full = true;
    buf_release(&text);
}

enum err_code row_end(struct record_list *out, size_t before, bool *full, struct err *e)
{
    const char *id = !*full ? out->items[before].id : NULL;

    if (id != NULL && before > 0 && out->items[before - 1].id != NULL &&
        strcmp(out->items[before - 1].id, id) == 0) {
        /* Without a primary key, or by two rows of files: it cannot be said which one is meant. */
        row_blame(out, &out->items[before - 1].defect, "more than one row",
                  "of file_migrations or files has this id", full);
        out->len = before;
        return ERR_OK;
    }
    if (!*full)
        return ERR_OK;
    out->len = before;
    if (before == 0)
        return err_set(e, ERR_LIMIT, "one row needs more memory than a page may take");
    return ERR_OK;
}

void row_hash(struct tracker_head *h, const char *text)
{
    str_copy(h->hash, sizeof h->hash, text != NULL ? text : "");
}
