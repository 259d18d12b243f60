#include "blobferry/engine/restore.h"

#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"
#include "engine/backup_read.h"
#include "engine/restore_claims.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEASE_MS 600000

/* One pass through the backup: the first only compares, the second writes. */
struct pass {
    const struct engine *g;
    const struct restore_options *o;
    struct backup_read read;
    struct restore_claims claims;
    struct restore_preview *preview; /* first pass; NULL in the second */
    const char *claims_hash;         /* second pass: what the first one found */
};

void restore_preview_init(struct restore_preview *p)
{
    memset(p, 0, sizeof *p);
}

void restore_preview_release(struct restore_preview *p)
{
    backup_head_release(&p->head);
}

void restore_result_init(struct restore_result *r)
{
    memset(r, 0, sizeof *r);
}

void restore_result_release(struct restore_result *r)
{
    restore_preview_release(&r->preview);
}

/* ---- a pass ------------------------------------------------------------------------------------------ */

static enum err_code next_row(void *user, struct tracker_restore_row *row, bool *more,
                              struct err *e)
{
    struct pass *p = user;
    char hash[DIGEST_SHA256_HEX];
    enum err_code code = engine_stopping(p->g) ? err_set(e, ERR_CANCELLED, "stopped by a signal")
                                               : backup_read_next(&p->read, true, more, e);

    if (code == ERR_OK && *more) {
        *row = (struct tracker_restore_row){p->read.table, p->read.row.values, p->read.row.n};
    } else if (code == ERR_OK && p->claims_hash != NULL) {
        /* all rows were compared again: do they claim what was looked at, before anything is committed? */
        restore_claims_hash(&p->claims, hash);
        if (!str_eq(hash, p->claims_hash)) {
            err_set(e, ERR_CONFLICT, "the database was changed while objects were looked at");
            code = err_hint(e, "nothing was written: run again");
        }
    }
    return code;
}

static void show_value(char *dst, size_t size, const struct tracker_value *v)
{
    char text[200];

    switch (v->type) {
    case TRACKER_NULL:
        str_copy(dst, size, "NULL");
        break;
    case TRACKER_INTEGER:
        snprintf(dst, size, "%lld", (long long)v->integer);
        break;
    case TRACKER_REAL:
        snprintf(dst, size, "%.17g", v->real);
        break;
    case TRACKER_BLOB:
        snprintf(dst, size, "%zu bytes", v->len);
        break;
    case TRACKER_TEXT:
        snprintf(text, sizeof text, "'%.*s'", (int)(v->len < 150 ? v->len : 150), v->bytes);
        str_printable(dst, size, text);
        break;
    }
}

static void show(struct restore_preview *out, const struct tracker_restore_change *c)
{
    struct restore_difference *d = &out->first[out->first_len];

    if (out->first_len == RESTORE_FIRST)
        return;
    out->first_len++;
    memset(d, 0, sizeof *d);
    d->table = c->table;
    d->inserted = c->inserted;
    show_value(d->key, sizeof d->key, &c->then[c->key]);
    if (c->inserted)
        return;
    str_printable(d->column, sizeof d->column, c->then[c->first].column);
    show_value(d->now, sizeof d->now, &c->now[c->first]);
    show_value(d->then, sizeof d->then, &c->then[c->first]);
}

static enum err_code on_change(void *user, const struct tracker_restore_change *c, struct err *e)
{
    struct pass *p = user;

    if (p->preview != NULL)
        show(p->preview, c);
    return restore_claims_add(&p->claims, c, e);
}

static enum err_code pass_open(struct pass *p, const struct engine *g,
                               const struct restore_options *o, struct err *e)
{
    enum err_code code;

    memset(p, 0, sizeof *p);
    p->g = g;
    p->o = o;
    code = restore_claims_init(&p->claims, e);
    if (code == ERR_OK)
        code = backup_read_open(&p->read, o->path, g->backup_key, e);
    return code;
}

static void pass_close(struct pass *p)
{
    restore_claims_release(&p->claims);
    backup_read_close(&p->read);
}

/* ---- preview --------------------------------------------------------------------------------------------- */

static enum err_code check_database(const struct engine *g, const struct restore_options *o,
                                    struct restore_preview *out, struct err *e)
{
    backup_head_database(tracker_name(g->tracker), out->database, sizeof out->database);
    if (o->force || str_eq(out->database, out->head.database))
        return ERR_OK;
    err_set(e, ERR_REFUSED, "the backup is of database '%s', this is '%s'", out->head.database,
            out->database);
    return err_hint(e, "give --db for that database, or --force to put its rows into this one");
}

static enum err_code check_claims(struct pass *p, const struct engine *g,
                                  struct restore_preview *out, struct err *e)
{
    out->claims = p->claims.len;
    if (g->store == NULL || p->o->database_only || out->claims == 0)
        return ERR_OK;
    return restore_claims_check(&p->claims, g, p->o->concurrency, out, e);
}

/* hash: of the claims, for the second pass. */
static enum err_code preview(const struct engine *g, const struct restore_options *o,
                             struct restore_preview *out, char hash[DIGEST_SHA256_HEX],
                             struct err *e)
{
    struct tracker_restore r = {.dry_run = true, .next = next_row, .change = on_change};
    struct pass p;
    enum err_code code = pass_open(&p, g, o, e);

    p.preview = out;
    r.user = &p;
    if (code == ERR_OK) { /* the head is ours now, and its filter's strings with it */
        out->head = p.read.head;
        memset(&p.read.head, 0, sizeof p.read.head);
        code = check_database(g, o, out, e);
    }
    if (code == ERR_OK)
        code = tracker_restore(g->tracker, &r, out->tables, e);
    for (int t = 0; t < TRACKER_TABLES; t++) {
        out->rows += out->tables[t].rows;
        out->changes += out->tables[t].inserted + out->tables[t].changed;
    }
    if (code == ERR_OK && out->rows == 0)
        code = err_set(e, ERR_NOTFOUND, "backup '%s' holds no rows", o->path);
    if (code == ERR_OK) {
        str_copy(out->sha256, sizeof out->sha256, p.read.sha256);
        restore_claims_hash(&p.claims, hash);
        code = check_claims(&p, g, out, e);
    }
    pass_close(&p);
    return code;
}

enum err_code restore_preview(const struct engine *g, const struct restore_options *o,
                              struct restore_preview *out, struct err *e)
{
    char hash[DIGEST_SHA256_HEX];

    return preview(g, o, out, hash, e);
}

/* ---- run ------------------------------------------------------------------------------------------------------ */

/* P1, P3: nothing comes back that points to nothing. */
static enum err_code judge_claims(const struct engine *g, const struct restore_options *o,
                                  const struct restore_preview *p, struct err *e)
{
    if (p->claims == 0 || o->database_only)
        return ERR_OK;
    if (g->store == NULL) {
        err_set(e, ERR_CONFIG, "%lld objects that the rows claim cannot be looked at: no target",
                (long long)p->claims);
        return err_hint(e, "give --target, or --database-only to restore the rows unseen");
    }
    if (p->missing + p->different == 0)
        return ERR_OK;
    err_set(e, ERR_REFUSED,
            "of %lld objects that the rows claim, %lld are not there and %lld are "
            "others, '%s' for one",
            (long long)p->claims, (long long)p->missing, (long long)p->different, p->first_missing);
    return err_hint(
        e, "nothing was written; rows that were rolled back are migrated again by: "
           "blobferry migrate --again --batch-id ID; --database-only restores the rows all the "
           "same, and their pointers lead nowhere");
}

static enum err_code audit(const struct engine *g, const struct journal_entry *entry,
                           struct tracker_head *head, struct err *e)
{
    enum err_code code = journal_add(g->journal, entry, e);

    return code == ERR_OK ? journal_commit(g->journal, true, head, e) : code;
}

/* What is overwritten can be had back in the same way. */
static enum err_code backup_before(const struct engine *g, const struct restore_options *o,
                                   struct restore_result *out, struct err *e)
{
    struct tracker_filter f = out->preview.head.filter;
    struct journal_entry entry = {.action = "backup", .has_success = true, .success = true};
    struct tracker_head head;
    enum err_code code = ERR_OK;

    f.statuses = TRACKER_ANY_STATUS;
    if (o->no_backup) {
        entry.detail = "none, as asked by --no-backup";
    } else {
        code = backup_create(g, &f, &out->before, e);
        entry.detail = out->before.path;
        entry.sha256 = out->before.sha256;
        entry.has_size = true;
        entry.size = out->before.bytes;
    }
    return code == ERR_OK ? audit(g, &entry, &head, e) : code;
}

static void describe(char *dst, size_t size, const struct tracker_restore_counts *counts)
{
    int n = snprintf(dst, size, "{");

    for (int t = 0; t < TRACKER_TABLES; t++) {
        n += snprintf(dst + n, size - (size_t)n,
                      "%s\"%s\":{\"rows\":%lld,\"inserted\":%lld,\"changed\":%lld,\"same\":%lld,"
                      "\"unlike\":%lld,\"skipped\":%lld}",
                      t > 0 ? "," : "", tracker_table_name((enum tracker_table)t),
                      (long long)counts[t].rows, (long long)counts[t].inserted,
                      (long long)counts[t].changed, (long long)counts[t].same,
                      (long long)counts[t].unlike, (long long)counts[t].skipped);
    }
    snprintf(dst + n, size - (size_t)n, "}");
}

/* The transaction, between its intent and its outcome (P6). */
static enum err_code write_rows(const struct engine *g, const struct restore_options *o,
                                const char *hash, struct restore_result *out, struct err *e)
{
    char counts[2000];
    struct tracker_head head;
    struct pass p;
    struct journal_entry entry = {.action = "restore_intent",
                                  .detail = o->path,
                                  .sha256 = out->preview.sha256,
                                  .extra_json = counts};
    enum err_code code, ended;

    describe(counts, sizeof counts, out->preview.tables);
    code = audit(g, &entry, &head, e);
    if (code != ERR_OK)
        return code;
    code = pass_open(&p, g, o, e);
    p.claims_hash = hash;
    if (code == ERR_OK)
        code =
            tracker_restore(g->tracker,
                            &(struct tracker_restore){
                                .next = next_row, .change = on_change, .user = &p, .head = &head},
                            out->tables, e);
    pass_close(&p);
    describe(counts, sizeof counts, out->tables);
    entry.action = "restore_outcome";
    entry.has_success = true;
    entry.success = code == ERR_OK;
    entry.error = code != ERR_OK && e != NULL ? e->message : NULL;
    entry.error_class = code != ERR_OK ? err_code_name(code) : NULL;
    ended = audit(g, &entry, &head, code == ERR_OK ? e : NULL);
    if (ended == ERR_OK)
        ended = tracker_set_head(g->tracker, &head, code == ERR_OK ? e : NULL);
    return code != ERR_OK ? code : ended;
}

static enum err_code verdict(const struct restore_result *r, struct err *e)
{
    int64_t unlike = 0, skipped = 0;

    for (int t = 0; t < TRACKER_TABLES; t++) {
        unlike += r->tables[t].unlike;
        skipped += r->tables[t].skipped;
    }
    if (unlike + skipped == 0)
        return ERR_OK;
    err_set(e, ERR_PARTIAL,
            "%lld rows were changed again by triggers of the application, %lld have no usable key",
            (long long)unlike, (long long)skipped);
    return err_hint(e, "the others are restored; look again with: blobferry backup restore FILE");
}

static enum err_code work(const struct engine *g, const struct restore_options *o,
                          struct restore_result *out, struct err *e)
{
    char hash[DIGEST_SHA256_HEX] = "";
    enum err_code code = preview(g, o, &out->preview, hash, e);

    memcpy(out->tables, out->preview.tables, sizeof out->tables);
    if (code == ERR_OK)
        code = judge_claims(g, o, &out->preview, e);
    out->nothing_to_do = code == ERR_OK && out->preview.changes == 0;
    if (code != ERR_OK || out->nothing_to_do)
        return code == ERR_OK ? verdict(out, e) : code;
    code = engine_run_record(g, e);
    if (code == ERR_OK)
        code = backup_before(g, o, out, e);
    if (code == ERR_OK && engine_stopping(g))
        code = err_set(e, ERR_CANCELLED, "stopped by a signal");
    if (code == ERR_OK)
        code = write_rows(g, o, hash, out, e);
    return code == ERR_OK ? verdict(out, e) : code;
}

enum err_code restore_run(const struct engine *g, const struct restore_options *o,
                          struct restore_result *out, struct err *e)
{
    static const char *const everything[] = {"*"};
    const int64_t started = clock_mono_ms();
    enum err_code code = tracker_lock(g->tracker,
                                      &(struct tracker_lock){.batch_ids = everything,
                                                             .batch_count = 1,
                                                             .mode = TRACKER_LOCK_ROLLBACK,
                                                             .owner = g->owner,
                                                             .now_ms = clock_wall_ms(),
                                                             .lease_ms = LEASE_MS},
                                      e);

    if (code != ERR_OK)
        return code;
    code = work(g, o, out, e);
    tracker_unlock(g->tracker, g->owner, NULL);
    out->elapsed_ms = clock_mono_ms() - started;
    return code;
}
