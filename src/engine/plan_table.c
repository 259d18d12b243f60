/* plan_table: rows of the application's table files that have no key yet, page by page. */
#include "blobferry/base/str.h"
#include "engine/plan_job.h"

#include <limits.h>

#define PAGE 500

/* Where the file lies, by column or by template. */
static enum err_code source_of(const struct plan_job *j, const struct record *r, struct buf *b,
                               const char **path, struct err *e)
{
    const struct plan_key_values values = {.of = {[PLAN_KEY_USER_ID] = r->user_id,
                                                  [PLAN_KEY_FILE_ID] = r->file_id,
                                                  [PLAN_KEY_FILENAME] = r->filename}};
    enum err_code code;

    if (r->defect != NULL)
        return err_set(e, ERR_PARSE, "%s", r->defect);
    *path = r->source_path;
    if (j->o->source_template == NULL)
        return ERR_OK;
    buf_reset(b);
    code = plan_key_expand(b, j->o->source_template, &values, e);
    *path = buf_cstr(b);
    return code;
}

static enum err_code take(struct plan_job *j, const struct record *r, struct buf *b, struct err *e)
{
    struct err why;
    const char *path = NULL;
    struct plan_row row = {.file_id = r->file_id,
                           .filename = r->filename,
                           .user_id = r->user_id,
                           .checksum = r->file_checksum,
                           .size = -1,
                           .file_row = true};

    err_init(&why);
    if (source_of(j, r, b, &path, &why) != ERR_OK) {
        plan_row_refuse(j, r->file_id, NULL, 0, &why);
        return plan_row_pulse(j, e);
    }
    row.source_path = path;
    return plan_row_take(j, &row, e);
}

enum err_code plan_table_read(struct plan_job *j, struct err *e)
{
    struct record_list page;
    struct buf path, after;
    bool first = true;
    enum err_code code = ERR_OK;

    record_list_init(&page, 0);
    buf_init(&path, PATH_MAX);
    buf_init(&after, (size_t)1 << 20);
    do {
        record_list_reset(&page);
        code = tracker_files_without_key(j->g->tracker, j->o->source_column,
                                         first ? NULL : buf_cstr(&after), PAGE, &page, e);
        for (size_t i = 0; code == ERR_OK && i < page.len; i++)
            code = take(j, &page.items[i], &path, e);
        if (code == ERR_OK && page.len > 0) {
            if (page.items[page.len - 1].file_id == NULL) {
                code = err_set(e, ERR_DB, "a row of files has no id");
                break;
            }
            buf_reset(&after);
            (void)buf_str(&after, page.items[page.len - 1].file_id);
            first = false;
        }
    } while (code == ERR_OK && page.len > 0);
    record_list_release(&page);
    buf_release(&path);
    buf_release(&after);
    return code;
}
