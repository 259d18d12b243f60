/* copy_move: the rows on their way. Each is put into the digest as the source gives it, and again as the target gives it back. */
#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"
#include "engine/copy_job.h"

#include <stdlib.h>
#include <string.h>

#define LOOK_EVERY 256 /* rows */
#define DRAW_MS    100

static enum err_code beat(struct copy_job *j, struct err *e)
{
    int64_t now;

    if (++j->done % LOOK_EVERY != 0)
        return ERR_OK;
    if (engine_stopping(j->g))
        return err_set(e, ERR_CANCELLED, "stopped by a signal");
    now = clock_mono_ms();
    if (now - j->drawn_ms >= DRAW_MS) {
        j->drawn_ms = now;
        engine_emit(j->g, &(struct engine_event){.kind = ENGINE_PROGRESS,
                                                 .files_done = j->done,
                                                 .files_total = 2 * j->out->rows,
                                                 .bytes_done = j->digest.bytes});
    }
    return ERR_OK;
}

/* ---- there ------------------------------------------------------------------------------------------------- */

static void end_read(struct copy_job *j)
{
    struct copy_table *t = &j->out->tables[j->table];

    if (j->table == TRACKER_COPIED)
        return;
    t->rows = j->digest.rows;
    t->bytes = j->digest.bytes;
    copy_digest_hex(&j->digest, t->digest);
}

static void end_written(struct copy_job *j)
{
    struct copy_table *t = &j->out->tables[j->table];

    if (j->table == TRACKER_COPIED)
        return;
    t->written = j->digest.rows;
    copy_digest_hex(&j->digest, t->written_digest);
}

static enum err_code take(struct copy_job *j, size_t table, const struct tracker_value *values,
                          size_t n, void (*end)(struct copy_job *), struct err *e)
{
    if (j->table != table) {
        end(j);
        copy_digest_reset(&j->digest);
        j->table = table;
    }
    if (!copy_digest_add(&j->digest, values, j->rules[table], n))
        return err_set(e, ERR_NOMEM, "out of memory");
    return beat(j, e);
}

static enum err_code on_row(void *user, size_t table, const struct tracker_value *values, size_t n,
                            struct err *e)
{
    struct copy_job *j = user;
    enum err_code code = take(j, table, values, n, end_read, e);

    return code == ERR_OK ? tracker_copy_put(j->g->tracker, table, values, n, e) : code;
}

/* A table without rows has a digest as well: of nothing. */
static void begin(struct copy_job *j, bool written)
{
    copy_digest_reset(&j->digest);
    j->table = TRACKER_COPIED;
    for (size_t i = 0; i < TRACKER_COPIED; i++) {
        struct copy_table *t = &j->out->tables[i];
        if (!t->there)
            continue;
        copy_digest_hex(&j->digest, written ? t->written_digest : t->digest);
        *(written ? &t->written : &t->rows) = 0;
    }
}

static enum err_code fill(void *user, struct err *e)
{
    struct copy_job *j = user;
    enum err_code code = copy_job_rules(j, e); /* the tables are there now */

    begin(j, false);
    j->done = 0;
    if (code == ERR_OK)
        code = tracker_copy_out(j->source, &j->shape, on_row, j, e);
    end_read(j);
    return code;
}

/* ---- and back ------------------------------------------------------------------------------------------------ */

static enum err_code on_written(void *user, size_t table, const struct tracker_value *values,
                                size_t n, struct err *e)
{
    return take(user, table, values, n, end_written, e);
}

static enum err_code verify(void *user, struct err *e)
{
    struct copy_job *j = user;
    enum err_code code;

    begin(j, true);
    code = tracker_copy_out(j->g->tracker, &j->target, on_written, j, e);
    end_written(j);
    for (size_t i = 0; code == ERR_OK && i < TRACKER_COPIED; i++) {
        const struct copy_table *t = &j->out->tables[i];
        if (t->rows == t->written && str_eq(t->digest, t->written_digest))
            continue;
        err_set(e, ERR_CONFLICT,
                "table '%s' read back from the target is not what the source gave: %lld rows and "
                "digest %.16s, not %lld and %.16s",
                tracker_copy_table(i), (long long)t->written, t->written_digest, (long long)t->rows,
                t->digest);
        code = err_hint(e, "nothing was changed; column types or triggers of the target's tables "
                           "alter values: let the copy make the tables");
    }
    return code;
}

enum err_code copy_move(struct copy_job *j, const struct tracker_head *head, struct err *e)
{
    return tracker_copy_in(j->g->tracker,
                           &(struct tracker_copy_in){.source = &j->shape,
                                                     .replace = j->o->replace,
                                                     .now_ms = clock_wall_ms(),
                                                     .fill = fill,
                                                     .verify = verify,
                                                     .user = j,
                                                     .head = head},
                           e);
}
