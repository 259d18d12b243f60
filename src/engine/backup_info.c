#include "blobferry/engine/backup.h"

#include "blobferry/base/str.h"
#include "engine/backup_read.h"

#include <string.h>

static void take_head(struct backup_info *out, struct backup_read *r)
{
    out->head = r->head;
    memset(&r->head, 0, sizeof r->head); /* its strings are ours now */
    if (out->head.created[0] != '\0')
        str_copy(out->created, sizeof out->created, out->head.created);
}

static void take_end(struct backup_info *out, const struct backup_read *r)
{
    out->whole = true;
    out->rows = r->all_rows;
    memcpy(out->tables, r->rows, sizeof out->tables);
    str_copy(out->sha256, sizeof out->sha256, r->sha256);
}

enum err_code backup_info_read(struct backup_info *out, const char *path, const struct secret *key,
                               struct err *e)
{
    struct backup_read r;
    struct err fault;
    enum err_code code;

    memset(out, 0, sizeof *out);
    if (!str_copy(out->path, sizeof out->path, path))
        return err_set(e, ERR_LIMIT, "a file's name is too long");
    err_init(&fault);
    code = backup_read_open(&r, path, key, &fault);
    out->bytes = r.source.stat.st_size;
    out->encrypted = r.source.key_id[0] != '\0';
    str_copy(out->key_id, sizeof out->key_id, r.source.key_id);
    str_copy(out->created, sizeof out->created, r.source.created);
    if (code == ERR_OK) {
        take_head(out, &r);
        code = backup_read_rest(&r, &fault);
    }
    if (code == ERR_OK)
        take_end(out, &r);
    backup_read_close(&r);
    out->fault = code;
    str_copy(out->problem, sizeof out->problem, fault.message);
    if (code == ERR_OK || code == ERR_PARSE || code == ERR_CONFLICT || code == ERR_CONFIG ||
        code == ERR_LIMIT)
        return ERR_OK;
    backup_info_release(out);
    if (e != NULL)
        *e = fault;
    return code;
}

void backup_info_release(struct backup_info *i)
{
    backup_head_release(&i->head);
}
