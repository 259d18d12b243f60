#include "engine/plan_manifest.h"

#include "blobferry/base/clock.h"
#include "blobferry/codec/timefmt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FLUSH_AT ((size_t)64 << 10)
#define TEXT_MAX ((size_t)16 << 20) /* one row, with room */

char *plan_manifest_path(const char *dir, const char *batch_id)
{
    char *path = NULL;

    return asprintf(&path, "%s/%s.json", dir, batch_id) < 0 ? NULL : path;
}

static enum err_code flush(struct plan_manifest *m, size_t above, struct err *e)
{
    enum err_code code;

    if (!buf_ok(&m->text))
        return err_set(e, ERR_LIMIT, "a row is too large for the manifest");
    if (m->text.len <= above)
        return ERR_OK;
    code = fsio_atomic_write(&m->made.file, m->text.data, m->text.len, e);
    buf_reset(&m->text);
    return code;
}

enum err_code plan_manifest_begin(struct plan_manifest *m, const struct plan_manifest_options *o,
                                  struct err *e)
{
    char now[TIMEFMT_SIZE];
    char *path = plan_manifest_path(o->dir, o->batch_id);
    enum err_code code;

    *m = (struct plan_manifest){.made.file.fd = -1};
    if (path == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    code = fsio_atomic_begin(&m->made.file, path, 0600, e);
    free(path);
    if (code != ERR_OK)
        return code;
    m->open = true;
    buf_init(&m->text, TEXT_MAX);
    timefmt_iso(clock_wall_ms(), now);
    json_out_init(&m->json, &m->text, 1);
    json_out_object(&m->json, NULL);
    json_out_string(&m->json, "batch_id", o->batch_id);
    json_out_string(&m->json, "created", now);
    json_out_string(&m->json, "database", o->database);
    json_out_string(&m->json, "target_prefix", o->target_prefix);
    json_out_array(&m->json, "rows");
    return ERR_OK;
}

enum err_code plan_manifest_row(struct plan_manifest *m, const struct tracker_plan_row *row,
                                struct err *e)
{
    struct json_out *o = &m->json;
    const int indent = o->indent;

    json_out_object(o, NULL);
    o->indent = 0; /* a line for each row */
    json_out_string(o, "record_id", row->id);
    json_out_string(o, "source_path", row->source_path);
    json_out_string(o, "target_key", row->target_key);
    json_out_integer(o, "size", row->size);
    json_out_string(o, "checksum", row->checksum);
    json_out_string(o, "file_id", row->file_id);
    json_out_end(o);
    o->indent = indent;
    m->made.files++;
    m->made.bytes += row->size > 0 ? row->size : 0;
    return flush(m, FLUSH_AT, e);
}

enum err_code plan_manifest_prepare(struct plan_manifest *m, struct plan_prepared *out,
                                    struct err *e)
{
    enum err_code code;

    json_out_end(&m->json);
    json_out_integer(&m->json, "files", m->made.files);
    json_out_integer(&m->json, "bytes", m->made.bytes);
    json_out_end(&m->json);
    (void)buf_char(&m->text, '\n');
    code = flush(m, 0, e);
    /* Closed, for there may be thousands (P10); fsync comes when it gets its name, outside the transaction. */
    if (code == ERR_OK) {
        if (close(m->made.file.fd) != 0)
            code = err_set_errno(e, ERR_FILE, errno, "cannot write '%s'", m->made.file.path);
        m->made.file.fd = -1;
    }
    if (code != ERR_OK) {
        plan_manifest_abort(m);
        return code;
    }
    *out = m->made;
    buf_release(&m->text);
    m->open = false;
    return ERR_OK;
}

void plan_manifest_abort(struct plan_manifest *m)
{
    if (!m->open)
        return;
    fsio_atomic_abort(&m->made.file);
    buf_release(&m->text);
    m->open = false;
}

enum err_code plan_manifest_publish(struct plan_prepared *p, struct err *e)
{
    p->file.fd = open(p->file.temporary, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (p->file.fd < 0)
        return err_set_errno(e, ERR_FILE, errno, "cannot make '%s' durable", p->file.path);
    return fsio_atomic_commit(&p->file, FSIO_NEW, e);
}

void plan_manifest_drop(struct plan_prepared *p)
{
    fsio_atomic_abort(&p->file);
}
