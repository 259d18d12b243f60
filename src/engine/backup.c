#include "blobferry/engine/backup.h"

#include "blobferry/base/clock.h"
#include "blobferry/base/fsio.h"
#include "blobferry/base/str.h"
#include "blobferry/codec/digest.h"
#include "blobferry/codec/json.h"
#include "blobferry/codec/text.h"
#include "blobferry/codec/timefmt.h"
#include "engine/backup_read.h"
#include "engine/backup_sink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FLUSH_AT    ((size_t)64 << 10)
#define ROW_MAX     ((size_t)64 << 20)        /* one row's text: no more could be read back */
#define EXACT_MAX   INT64_C(9007199254740992) /* 2^53 */
#define NAMES_TRIED 100
#define TABLES_MAX  8
#define TAIL_FORMAT ",\"sha256\":\"%s\"}\n"

/* A backup on its way to the file: text is hashed as it leaves. */
struct writer {
    struct backup_sink sink;
    struct buf text;
    struct json_out json;
    struct digest digest;
    struct {
        char name[64];
        int64_t rows;
    } tables[TABLES_MAX];
    size_t table_count;
    int64_t rows;
    bool name_taken; /* by another backup, just before this one was finished */
};

static enum err_code flush(struct writer *w, size_t above, struct err *e)
{
    enum err_code code;

    if (!buf_ok(&w->text))
        return err_set(e, ERR_LIMIT,
                       "a row cannot be put into a backup: it is too large, or memory "
                       "is short");
    if (w->text.len <= above)
        return ERR_OK;
    digest_update(&w->digest, w->text.data, w->text.len);
    code = backup_sink_write(&w->sink, w->text.data, w->text.len, e);
    buf_reset(&w->text);
    return code;
}

static void put_form(struct json_out *o, const char *column, const char *form, const char *text)
{
    json_out_object(o, column);
    json_out_string(o, form, text);
    json_out_end(o);
}

static void put_blob(struct json_out *o, const struct tracker_value *v)
{
    size_t size = (v->len + 2) / 3 * 4 + 1;
    char *text = malloc(size);

    if (text == NULL || !text_base64(v->bytes, v->len, text, size))
        o->b->failed = true;
    else
        put_form(o, v->column, "blob", text);
    free(text);
}

static void put_value(struct json_out *o, const struct tracker_value *v)
{
    char number[40];

    switch (v->type) {
    case TRACKER_NULL:
        json_out_null(o, v->column);
        break;
    case TRACKER_INTEGER:
        if (v->integer >= -EXACT_MAX && v->integer <= EXACT_MAX) {
            json_out_integer(o, v->column, v->integer);
        } else { /* JSON's readers round it */
            snprintf(number, sizeof number, "%lld", (long long)v->integer);
            put_form(o, v->column, "integer", number);
        }
        break;
    case TRACKER_REAL:
        snprintf(number, sizeof number, "%.17g", v->real);
        put_form(o, v->column, "real", number);
        break;
    case TRACKER_TEXT:
        json_out_bytes(o, v->column, v->bytes, v->len);
        break;
    case TRACKER_BLOB:
        put_blob(o, v);
        break;
    }
}

/* Another table begins. */
static enum err_code open_table(struct writer *w, const char *table, struct err *e)
{
    if (w->table_count == TABLES_MAX || strlen(table) >= sizeof w->tables[0].name)
        return err_set(e, ERR_LIMIT, "too many tables for a backup");
    if (w->table_count > 0)
        json_out_end(&w->json);
    json_out_array(&w->json, table);
    str_copy(w->tables[w->table_count++].name, sizeof w->tables[0].name, table);
    return ERR_OK;
}

static enum err_code on_row(void *user, const char *table, const struct tracker_value *values,
                            size_t n, struct err *e)
{
    struct writer *w = user;

    if (w->table_count == 0 || !str_eq(table, w->tables[w->table_count - 1].name)) {
        if (open_table(w, table, e) != ERR_OK)
            return ERR_LIMIT;
    }
    json_out_object(&w->json, NULL);
    for (size_t i = 0; i < n; i++)
        put_value(&w->json, &values[i]);
    json_out_end(&w->json);
    w->rows++;
    w->tables[w->table_count - 1].rows++;
    return flush(w, FLUSH_AT, e);
}

static void put_filter(struct json_out *o, const struct tracker_filter *f)
{
    json_out_object(o, "filter");
    if (f->batch_id != NULL)
        json_out_string(o, "batch_id", f->batch_id);
    if (f->user_id != NULL)
        json_out_string(o, "user_id", f->user_id);
    if (f->has_from)
        json_out_integer(o, "from_ms", f->from_ms);
    if (f->has_to)
        json_out_integer(o, "to_ms", f->to_ms);
    json_out_integer(o, "statuses", (int64_t)f->statuses);
    json_out_end(o);
}

static enum err_code open_file(const struct engine *g, struct writer *w, struct err *e)
{
    char stamp[TIMEFMT_SIZE], now[TIMEFMT_SIZE], path[4000];
    const bool sealed = g->backup_key != NULL && secret_is_set(g->backup_key);
    enum err_code code = fsio_mkdirs(g->backup_dir, 0700, e);

    timefmt_stamp(clock_wall_ms(), stamp);
    timefmt_iso(clock_wall_ms(), now);
    for (int i = 1; code == ERR_OK && i <= NAMES_TRIED; i++) {
        char suffix[16] = "";
        if (i > 1)
            snprintf(suffix, sizeof suffix, "-%d", i);
        if (snprintf(path, sizeof path, "%s/migration_backup_%s%s.json%s", g->backup_dir, stamp,
                     suffix, sealed ? ".enc" : "") >= (int)sizeof path)
            return err_set(e, ERR_CONFIG, "the backup folder's name is too long");
        if (!fsio_exists(path))
            return backup_sink_begin(&w->sink, path, g->backup_key, now, e);
    }
    return code != ERR_OK ? code : err_set(e, ERR_CONFLICT, "too many backups in one second");
}

static enum err_code write_all(const struct engine *g, const struct tracker_filter *f,
                               struct writer *w, struct err *e)
{
    char now[TIMEFMT_SIZE], database[1024];
    enum err_code code;

    timefmt_iso(clock_wall_ms(), now);
    backup_head_database(tracker_name(g->tracker), database, sizeof database);
    json_out_init(&w->json, &w->text, 0);
    json_out_object(&w->json, NULL);
    json_out_string(&w->json, "format", "blobferry-backup");
    json_out_integer(&w->json, "version", 1);
    json_out_string(&w->json, "created", now);
    json_out_string(&w->json, "database", database);
    json_out_string(&w->json, "run", g->run_id);
    put_filter(&w->json, f);
    json_out_object(&w->json, "tables");
    code = tracker_dump(g->tracker, f, on_row, w, e);
    if (code != ERR_OK)
        return code;
    if (w->table_count > 0)
        json_out_end(&w->json);
    json_out_end(&w->json);
    json_out_object(&w->json, "counts");
    for (size_t i = 0; i < w->table_count; i++)
        json_out_integer(&w->json, w->tables[i].name, w->tables[i].rows);
    json_out_end(&w->json);
    return flush(w, 0, e);
}

/* The closing member: SHA-256 over all bytes before it. */
static enum err_code seal(struct writer *w, struct backup_result *out, struct err *e)
{
    unsigned char sum[DIGEST_MAX];
    char tail[128];
    enum err_code code;

    digest_final(&w->digest, sum);
    text_hex(sum, DIGEST_SHA256_SIZE, out->sha256);
    snprintf(tail, sizeof tail, TAIL_FORMAT, out->sha256);
    code = backup_sink_write(&w->sink, tail, strlen(tail), e);
    if (code == ERR_OK && !str_copy(out->path, sizeof out->path, w->sink.file.path))
        code = err_set(e, ERR_CONFIG, "the backup folder's name is too long");
    if (code == ERR_OK) {
        code = backup_sink_commit(&w->sink, e);
        w->name_taken = code == ERR_CONFLICT;
    }
    out->rows = w->rows;
    out->bytes = w->sink.bytes;
    return code;
}

static enum err_code create(const struct engine *g, const struct tracker_filter *f,
                            struct backup_result *out, bool *name_taken, struct err *e)
{
    struct writer w;
    enum err_code code;

    memset(&w, 0, sizeof w);
    memset(out, 0, sizeof *out);
    w.sink.file.fd = -1;
    buf_init(&w.text, ROW_MAX);
    code = digest_init(&w.digest, DIGEST_SHA256, e);
    if (code == ERR_OK)
        code = open_file(g, &w, e);
    if (code == ERR_OK)
        code = write_all(g, f, &w, e);
    if (code == ERR_OK)
        code = seal(&w, out, e);
    backup_sink_release(&w.sink);
    digest_release(&w.digest);
    buf_release(&w.text);
    *name_taken = w.name_taken;
    if (code != ERR_OK)
        memset(out, 0, sizeof *out);
    return code;
}

static enum err_code check(const char *path, const struct secret *key, struct backup_result *out,
                           struct err *e)
{
    struct backup_read r;
    enum err_code code = backup_read_open(&r, path, key, e);

    if (code == ERR_OK)
        code = backup_read_rest(&r, e);
    if (code == ERR_OK) {
        str_copy(out->sha256, sizeof out->sha256, r.sha256);
        out->rows = r.all_rows;
        out->bytes = r.source.stat.st_size;
        if (out->path != path)
            str_copy(out->path, sizeof out->path, path);
    }
    backup_read_close(&r);
    return code;
}

enum err_code backup_check(const char *path, struct backup_result *out, struct err *e)
{
    return check(path, NULL, out, e);
}

enum err_code backup_create(const struct engine *g, const struct tracker_filter *f,
                            struct backup_result *out, struct err *e)
{
    struct backup_result found;
    enum err_code code = ERR_CONFLICT;
    bool name_taken = true;

    for (int i = 0; i < NAMES_TRIED && name_taken; i++)
        code = create(g, f, out, &name_taken, e);
    if (code == ERR_OK) { /* what was written is what can be read back (P12) */
        memset(&found, 0, sizeof found);
        code = check(out->path, g->backup_key, &found, e);
        if (code == ERR_OK && (!str_eq(found.sha256, out->sha256) || found.bytes != out->bytes))
            code = err_set(e, ERR_FILE, "'%s' is not what was written", out->path);
        if (code != ERR_OK)
            unlink(out->path);
    }
    return code != ERR_OK ? err_wrap(e, "backup") : ERR_OK;
}
