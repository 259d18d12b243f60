#include "blobferry/base/clock.h"
#include "blobferry/base/fsio.h"
#include "blobferry/base/str.h"
#include "blobferry/codec/timefmt.h"
#include "engine/copy_job.h"

#include <stdio.h>
#include <string.h>

#define REPORT_MAX  ((size_t)1 << 20)
#define NAMES_TRIED 100

static void table_json(struct json_out *w, size_t i, const struct copy_table *t)
{
    json_out_object(w, NULL);
    json_out_string(w, "table", tracker_copy_table(i));
    json_out_integer(w, "source_rows", t->rows);
    json_out_integer(w, "target_rows_before", t->target_rows);
    json_out_boolean(w, "table_made", t->made);
    if (t->digest[0] != '\0') {
        json_out_string(w, "source_digest", t->digest);
        json_out_integer(w, "bytes", t->bytes);
    }
    if (t->written_digest[0] != '\0') {
        json_out_integer(w, "target_rows", t->written);
        json_out_string(w, "target_digest", t->written_digest);
        json_out_boolean(w, "same", t->rows == t->written && str_eq(t->digest, t->written_digest));
    }
    json_out_end(w);
}

void copy_report_json(struct json_out *w, const struct copy_report *r)
{
    json_out_string(w, "source", r->source);
    json_out_string(w, "target", r->target);
    json_out_boolean(w, "dry_run", r->dry_run);
    json_out_boolean(w, "committed", r->done);
    json_out_string(w, "digest_method", "sum modulo 2^256 of the SHA-256 of each row");
    json_out_array(w, "tables");
    for (size_t i = 0; i < TRACKER_COPIED; i++) {
        if (r->tables[i].there)
            table_json(w, i, &r->tables[i]);
    }
    json_out_end(w);
    json_out_integer(w, "rows", r->rows);
    json_out_integer(w, "rows_in_hand", r->in_hand);
    json_out_integer(w, "problems", r->problems);
    json_out_array(w, "first_problems");
    for (size_t i = 0; i < r->problem_count; i++)
        json_out_string(w, NULL, r->problem[i]);
    json_out_end(w);
    json_out_string(w, "backup", r->before.path[0] != '\0' ? r->before.path : NULL);
    json_out_integer(w, "elapsed_ms", r->elapsed_ms);
}

enum err_code copy_report_write(struct copy_report *r, const char *dir, struct err *e)
{
    char stamp[TIMEFMT_SIZE], path[4000];
    struct fsio_atomic file;
    struct json_out w;
    struct buf b;
    enum err_code code = fsio_mkdirs(dir, 0700, e);

    buf_init(&b, REPORT_MAX);
    json_out_init(&w, &b, 2);
    json_out_object(&w, NULL);
    copy_report_json(&w, r);
    json_out_end(&w);
    buf_char(&b, '\n');
    if (code == ERR_OK && !buf_ok(&b))
        code = err_set(e, ERR_NOMEM, "out of memory");
    timefmt_stamp(clock_wall_ms(), stamp);
    for (int i = 1; code == ERR_OK && i <= NAMES_TRIED; i++) {
        char suffix[16] = "";
        if (i > 1)
            snprintf(suffix, sizeof suffix, "-%d", i);
        snprintf(path, sizeof path, "%.3900s/db_copy_%s%s.json", dir, stamp, suffix);
        if (fsio_exists(path))
            continue;
        code = fsio_atomic_begin(&file, path, 0600, e);
        if (code != ERR_OK)
            break;
        code = fsio_atomic_write(&file, b.data, b.len, e);
        if (code == ERR_OK)
            code = fsio_atomic_commit(&file, FSIO_NEW, e);
        fsio_atomic_abort(&file);
        if (code == ERR_OK)
            str_copy(r->path, sizeof r->path, path);
        break;
    }
    buf_release(&b);
    return code;
}
