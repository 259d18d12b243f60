#include "cli/cmd_backup.h"

#include "blobferry/base/str.h"
#include "blobferry/codec/timefmt.h"
#include "blobferry/engine/backup.h"
#include "cli/subcommand.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY_MS 86400000

const struct option_spec cmd_backup_options[] = {
    {"batch-id", "ID", "create: rows of this batch", false},
    {"user-id", "ID", "create: rows of this user's files", false},
    {"start-date", "DATE", "create: rows of this day (YYYY-MM-DD, UTC) and later", false},
    {"end-date", "DATE", "create: rows up to this day, all of it", false},
    {"all", NULL, "create: everything (the default)", false},
    {"older-than", "AGE", "prune: backups older than this, such as 24h or 7d", false},
    {"confirm", NULL, "restore, prune: do it; else only show what would happen", false},
    {"force", NULL, "restore: also into another database than the backup is of", false},
    {"database-only", NULL, "restore: do not look whether the objects are there", false},
    {"no-backup", NULL, "restore: make no backup of the rows as they are", false},
    {NULL, NULL, NULL, false},
};

/* ---- create ------------------------------------------------------------------------------------------------ */

static enum err_code read_scope(struct cli *cli, struct tracker_filter *f)
{
    const char *from = args_value(&cli->args, "start-date"),
               *to = args_value(&cli->args, "end-date");
    const char *bad = NULL;

    memset(f, 0, sizeof *f);
    f->batch_id = args_value(&cli->args, "batch-id");
    f->user_id = args_value(&cli->args, "user-id");
    if (from != NULL && !timefmt_parse_day(from, &f->from_ms))
        bad = from;
    if (to != NULL && !timefmt_parse_day(to, &f->to_ms))
        bad = to;
    if (bad != NULL) {
        err_set(&cli->err, ERR_USAGE, "'%s' is no date", bad);
        return err_hint(&cli->err, "a real day, written YYYY-MM-DD");
    }
    f->has_from = from != NULL;
    f->has_to = to != NULL;
    f->to_ms += to != NULL ? DAY_MS - 1 : 0; /* the whole of the last day */
    if (f->has_from && f->has_to && f->from_ms > f->to_ms)
        return cli_usage(cli, "--start-date is after --end-date", "turn them round");
    if (args_has(&cli->args, "all") &&
        (f->batch_id != NULL || f->user_id != NULL || f->has_from || f->has_to))
        return cli_usage(cli, "--all and a scope contradict each other", "nothing was done");
    return ERR_OK;
}

static enum err_code create(struct cli *cli)
{
    struct wire_needs needs = {.command = "backup", .tracker = true, .audit = true};
    struct tracker_filter filter;
    struct backup_result made;
    enum err_code code = read_scope(cli, &filter);

    memset(&made, 0, sizeof made);
    if (code == ERR_OK)
        code = cli_open(cli, &needs, "backed up");
    if (code == ERR_OK)
        code = backup_take(&cli->wire.engine, &filter, &made, &cli->err);
    if (code != ERR_OK)
        return code;
    if (cli->out.json) {
        json_out_string(&cli->out.writer, "file", made.path);
        json_out_integer(&cli->out.writer, "rows", made.rows);
        json_out_integer(&cli->out.writer, "bytes", made.bytes);
        json_out_string(&cli->out.writer, "sha256", made.sha256);
    }
    out_line(&cli->out, "%s%lld rows%s, %s: %s", out_paint(&cli->out, OUT_GREEN),
             (long long)made.rows, out_reset(&cli->out), out_size(made.bytes).text,
             out_safe(made.path).text);
    out_line(&cli->out, "sha256 %s", made.sha256);
    return ERR_OK;
}

/* ---- list, show ---------------------------------------------------------------------------------------------- */

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

static void info_json(struct json_out *w, const char *name, const struct backup_info *i)
{
    json_out_object(w, name);
    json_out_string(w, "file", i->path);
    json_out_string(w, "created", i->created[0] != '\0' ? i->created : NULL);
    json_out_integer(w, "bytes", i->bytes);
    json_out_boolean(w, "whole", i->whole);
    json_out_boolean(w, "encrypted", i->encrypted);
    json_out_string(w, "key_id", i->encrypted ? i->key_id : NULL);
    if (i->whole) {
        json_out_integer(w, "rows", i->rows);
        json_out_object(w, "tables");
        for (int t = 0; t < TRACKER_TABLES; t++)
            json_out_integer(w, tracker_table_name((enum tracker_table)t), i->tables[t]);
        json_out_end(w);
        json_out_string(w, "sha256", i->sha256);
        json_out_string(w, "database", i->head.database);
        json_out_string(w, "run", i->head.run);
        json_out_string(w, "batch_id", i->head.filter.batch_id);
        json_out_string(w, "user_id", i->head.filter.user_id);
    } else {
        json_out_string(w, "problem", i->problem);
    }
    json_out_end(w);
}

struct listing {
    struct cli *cli;
    struct out_table *table;
    int64_t files, broken;
};

static const char *state_of(const struct backup_info *i)
{
    if (i->whole)
        return "whole";
    return i->fault == ERR_CONFIG ? "no key for it" : "NOT whole";
}

static enum err_code on_info(void *user, const struct backup_info *i, struct err *e)
{
    struct listing *l = user;
    char rows[24] = "";
    struct out_text size = out_size(i->bytes);
    const char *cells[] = {name_of(i->path), i->created, rows, size.text, state_of(i)};
    (void)e;

    l->files++;
    l->broken += !i->whole && i->fault != ERR_CONFIG;
    if (l->cli->out.json) {
        info_json(&l->cli->out.writer, NULL, i);
        return ERR_OK;
    }
    if (i->whole)
        snprintf(rows, sizeof rows, "%lld", (long long)i->rows);
    out_table_row(l->table,
                  i->whole                 ? OUT_PLAIN
                  : i->fault == ERR_CONFIG ? OUT_YELLOW
                                           : OUT_RED,
                  cells, sizeof cells / sizeof *cells);
    return ERR_OK;
}

static enum err_code list(struct cli *cli)
{
    static const struct out_column columns[] = {{.name = "FILE"},
                                                {.name = "CREATED"},
                                                {.name = "ROWS", .right = true},
                                                {.name = "SIZE", .right = true},
                                                {.name = "STATE"}};
    struct listing l = {.cli = cli};
    enum err_code code =
        cli_open(cli, &(struct wire_needs){.command = "backup", .backup = true}, "read");

    if (code != ERR_OK)
        return code;
    if (cli->out.json)
        json_out_array(&cli->out.writer, "backups");
    l.table = out_table_new(&cli->out, columns, sizeof columns / sizeof *columns);
    code = backup_list_each(cli->wire.engine.backup_dir, cli->wire.engine.backup_key, on_info, &l,
                            &cli->err);
    out_table_print(l.table);
    if (cli->out.json)
        json_out_end(&cli->out.writer);
    if (code == ERR_OK && l.files == 0)
        out_line(&cli->out, "no backups in %s", out_safe(cli->wire.engine.backup_dir).text);
    if (code == ERR_OK && l.broken > 0) {
        err_set(&cli->err, ERR_PARTIAL, "%lld of %lld backups are not whole", (long long)l.broken,
                (long long)l.files);
        code = err_hint(&cli->err, "see: blobferry backup show FILE");
    }
    return code;
}

static void show_text(struct out *o, const struct backup_info *i)
{
    const struct tracker_filter *f = &i->head.filter;
    char time[TIMEFMT_SIZE];

    out_line(o, "file: %s", out_safe(i->path).text);
    out_line(o, "state: %swhole and unaltered%s, %s%s%s", out_paint(o, OUT_GREEN), out_reset(o),
             out_size(i->bytes).text, i->encrypted ? ", encrypted with key " : "",
             i->encrypted ? i->key_id : "");
    out_line(o, "created: %s by run %s", i->created, out_safe(i->head.run).text);
    out_line(o, "database: %s", out_safe(i->head.database).text);
    if (f->batch_id != NULL)
        out_line(o, "batch: %s", out_safe(f->batch_id).text);
    if (f->user_id != NULL)
        out_line(o, "user: %s", out_safe(f->user_id).text);
    if (f->has_from) {
        timefmt_iso(f->from_ms, time);
        out_line(o, "from: %s", time);
    }
    if (f->has_to) {
        timefmt_iso(f->to_ms, time);
        out_line(o, "to: %s", time);
    }
    for (int t = 0; t < TRACKER_TABLES; t++)
        out_line(o, "%s: %lld rows", tracker_table_name((enum tracker_table)t),
                 (long long)i->tables[t]);
    out_line(o, "sha256: %s", i->sha256);
}

static enum err_code show_info(struct cli *cli, struct backup_info *info)
{
    enum err_code code =
        backup_info_read(info, cli->args.words[0], cli->wire.engine.backup_key, &cli->err);

    if (code != ERR_OK)
        return code;
    if (cli->out.json)
        info_json(&cli->out.writer, "backup", info);
    else if (info->whole)
        show_text(&cli->out, info);
    if (!info->whole) {
        err_set(&cli->err, info->fault, "%s", info->problem);
        code = info->fault;
    }
    if (info->fault == ERR_CONFIG)
        err_hint(&cli->err, "give its key by --backup-key-file or BLOBFERRY_BACKUP_KEY_FILE");
    backup_info_release(info);
    return code;
}

static enum err_code show(struct cli *cli)
{
    struct backup_info *info;
    enum err_code code =
        cli_open(cli, &(struct wire_needs){.command = "backup", .backup = true}, "read");

    if (code != ERR_OK)
        return code;
    info = calloc(1, sizeof *info);
    code = info != NULL ? show_info(cli, info) : err_set(&cli->err, ERR_NOMEM, "out of memory");
    free(info);
    return code;
}

/* ---- prune ----------------------------------------------------------------------------------------------------- */

struct pruning {
    struct cli *cli;
};

static void on_fate(void *user, const struct backup_info *i, enum backup_fate fate,
                    const struct err *why)
{
    static const char *const fates[] = {[BACKUP_KEPT] = "kept",
                                        [BACKUP_UNKNOWN] = "kept: not provably ours and whole",
                                        [BACKUP_DUE] = "would be removed",
                                        [BACKUP_REMOVED] = "removed",
                                        [BACKUP_FAILED] = "FAILED"};
    struct out *o = &((struct pruning *)user)->cli->out;

    if (o->json) {
        json_out_object(&o->writer, NULL);
        json_out_string(&o->writer, "file", i->path);
        json_out_string(&o->writer, "created", i->created[0] != '\0' ? i->created : NULL);
        json_out_string(&o->writer, "fate", fates[fate]);
        json_out_string(&o->writer, "problem", fate == BACKUP_UNKNOWN ? i->problem : NULL);
        json_out_end(&o->writer);
    }
    if (fate == BACKUP_KEPT)
        return;
    out_line(o, "%s: %s%s%s", out_safe(name_of(i->path)).text, fates[fate],
             fate == BACKUP_FAILED ? ": " : "", fate == BACKUP_FAILED ? why->message : "");
}

static enum err_code prune(struct cli *cli)
{
    const char *age = args_value(&cli->args, "older-than");
    bool confirm = args_has(&cli->args, "confirm");
    struct backup_prune_options o = {.now_ms = clock_wall_ms(), .confirm = confirm};
    struct backup_prune_result r = {0};
    struct pruning p = {cli};
    enum err_code code = ERR_OK;

    if (age == NULL)
        return cli_usage(cli, "'backup prune' needs --older-than AGE", "such as 24h, 7d or 4w");
    if (!str_to_duration_ms(age, &o.older_than_ms) || o.older_than_ms <= 0)
        return cli_usage(cli, "--older-than is no age", "such as 24h, 7d or 4w");
    code =
        cli_open(cli, &(struct wire_needs){.command = "backup", .backup = true, .audit = confirm},
                 "looked at");
    if (code != ERR_OK)
        return code;
    if (cli->out.json)
        json_out_array(&cli->out.writer, "backups");
    code = backup_prune(&cli->wire.engine, &o, on_fate, &p, &r, &cli->err);
    if (cli->out.json) {
        json_out_end(&cli->out.writer);
        json_out_boolean(&cli->out.writer, "dry_run", !confirm);
        json_out_integer(&cli->out.writer, "kept", r.kept);
        json_out_integer(&cli->out.writer, "unknown", r.unknown);
        json_out_integer(&cli->out.writer, "due", r.due);
        json_out_integer(&cli->out.writer, "removed", r.removed);
        json_out_integer(&cli->out.writer, "failed", r.failed);
        json_out_integer(&cli->out.writer, "bytes", r.bytes);
    }
    out_line(&cli->out, "%lld backups %s, %s; %lld younger ones kept, %lld not provably ours kept",
             (long long)(confirm ? r.removed : r.due), confirm ? "removed" : "would be removed",
             out_size(r.bytes).text, (long long)r.kept, (long long)r.unknown);
    if (!confirm && r.due > 0)
        out_line(&cli->out, "dry run: nothing was removed. To do it: add --confirm");
    return code;
}

int cmd_backup(struct cli *cli)
{
    static const struct subcommand all[] = {
        {"create", " batch-id user-id start-date end-date all ", NULL, create},
        {"list", " ", NULL, list},
        {"show", " ", "FILE", show},
        {"restore", " confirm force database-only no-backup ", "FILE", cmd_backup_restore},
        {"prune", " older-than confirm ", NULL, prune},
        {NULL, NULL, NULL, NULL},
    };

    return subcommand_run(cli, all);
}
