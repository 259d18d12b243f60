#include "blobferry/base/str.h"
#include "blobferry/engine/restore.h"
#include "cli/cmd_backup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void counts_json(struct json_out *w, const char *name,
                        const struct tracker_restore_counts *tables)
{
    json_out_object(w, name);
    for (int t = 0; t < TRACKER_TABLES; t++) {
        json_out_object(w, tracker_table_name((enum tracker_table)t));
        json_out_integer(w, "rows", tables[t].rows);
        json_out_integer(w, "inserted", tables[t].inserted);
        json_out_integer(w, "changed", tables[t].changed);
        json_out_integer(w, "same", tables[t].same);
        json_out_integer(w, "unlike", tables[t].unlike);
        json_out_integer(w, "skipped", tables[t].skipped);
        json_out_end(w);
    }
    json_out_end(w);
}

static void preview_json(struct json_out *w, const struct restore_preview *p, bool dry_run)
{
    json_out_boolean(w, "dry_run", dry_run);
    json_out_string(w, "created", p->head.created);
    json_out_string(w, "backup_of", p->head.database);
    json_out_string(w, "database", p->database);
    json_out_string(w, "sha256", p->sha256);
    json_out_integer(w, "rows", p->rows);
    json_out_integer(w, "changes", p->changes);
    counts_json(w, "preview", p->tables);
    json_out_array(w, "first");
    for (size_t i = 0; i < p->first_len; i++) {
        const struct restore_difference *d = &p->first[i];
        json_out_object(w, NULL);
        json_out_string(w, "table", tracker_table_name(d->table));
        json_out_string(w, "key", d->key);
        json_out_boolean(w, "inserted", d->inserted);
        json_out_string(w, "column", d->inserted ? NULL : d->column);
        json_out_string(w, "now", d->inserted ? NULL : d->now);
        json_out_string(w, "then", d->inserted ? NULL : d->then);
        json_out_end(w);
    }
    json_out_end(w);
    json_out_object(w, "objects");
    json_out_integer(w, "claimed", p->claims);
    json_out_boolean(w, "looked_at", p->looked);
    json_out_integer(w, "missing", p->missing);
    json_out_integer(w, "different", p->different);
    json_out_string(w, "first_missing", p->first_missing[0] != '\0' ? p->first_missing : NULL);
    json_out_end(w);
}

static void print_counts(struct out *o, const struct tracker_restore_counts *tables)
{
    static const struct out_column columns[] = {{.name = "TABLE"},
                                                {.name = "ROWS", .right = true},
                                                {.name = "INSERT", .right = true},
                                                {.name = "CHANGE", .right = true},
                                                {.name = "SAME", .right = true}};
    struct out_table *t = out_table_new(o, columns, sizeof columns / sizeof *columns);

    for (int i = 0; i < TRACKER_TABLES; i++) {
        char rows[24], inserted[24], changed[24], same[24];
        const char *cells[] = {tracker_table_name((enum tracker_table)i), rows, inserted, changed,
                               same};
        snprintf(rows, sizeof rows, "%lld", (long long)tables[i].rows);
        snprintf(inserted, sizeof inserted, "%lld", (long long)tables[i].inserted);
        snprintf(changed, sizeof changed, "%lld", (long long)tables[i].changed);
        snprintf(same, sizeof same, "%lld", (long long)tables[i].same);
        out_table_row(t, OUT_PLAIN, cells, sizeof cells / sizeof *cells);
    }
    out_table_print(t);
}

static void preview_text(struct out *o, const struct restore_preview *p)
{
    out_line(o, "backup of %s, %s", p->head.created, out_safe(p->head.database).text);
    print_counts(o, p->tables);
    for (size_t i = 0; i < p->first_len; i++) {
        const struct restore_difference *d = &p->first[i];
        if (d->inserted)
            out_line(o, "+ %s %s", tracker_table_name(d->table), d->key);
        else
            out_line(o, "~ %s %s: %s is %s, was %s", tracker_table_name(d->table), d->key,
                     d->column, d->now, d->then);
    }
    if (p->changes > (int64_t)p->first_len)
        out_line(o, "... %lld differences in all", (long long)p->changes);
    if (p->claims == 0)
        return;
    if (!p->looked)
        out_line(o, "%s%lld objects that the rows would claim were not looked at%s",
                 out_paint(o, OUT_YELLOW), (long long)p->claims, out_reset(o));
    else
        out_line(o,
                 "%s%lld objects that the rows would claim: %lld are not there, %lld are "
                 "others%s",
                 out_paint(o, p->missing + p->different > 0 ? OUT_RED : OUT_GREEN),
                 (long long)p->claims, (long long)p->missing, (long long)p->different,
                 out_reset(o));
}

static enum err_code show_preview(struct cli *cli, const struct restore_options *o)
{
    struct restore_preview *p = calloc(1, sizeof *p);
    enum err_code code;

    if (p == NULL)
        return err_set(&cli->err, ERR_NOMEM, "out of memory");
    code = restore_preview(&cli->wire.engine, o, p, &cli->err);
    if (code == ERR_OK && cli->out.json)
        preview_json(&cli->out.writer, p, true);
    else if (code == ERR_OK)
        preview_text(&cli->out, p);
    if (code == ERR_OK && p->changes > 0)
        out_line(&cli->out, "dry run: nothing was changed. To do it: add --confirm");
    else if (code == ERR_OK)
        out_line(&cli->out, "nothing differs: there is nothing to restore");
    restore_preview_release(p);
    free(p);
    return code;
}

static enum err_code execute(struct cli *cli, const struct restore_options *o)
{
    struct restore_result *r = calloc(1, sizeof *r);
    struct out *out = &cli->out;
    enum err_code code;
    bool done;

    if (r == NULL)
        return err_set(&cli->err, ERR_NOMEM, "out of memory");
    code = restore_run(&cli->wire.engine, o, r, &cli->err);
    done = code == ERR_OK || code == ERR_PARTIAL;
    if (out->json) {
        preview_json(&out->writer, &r->preview, false);
        if (done)
            counts_json(&out->writer, "result", r->tables);
        json_out_string(&out->writer, "before", r->before.path[0] != '\0' ? r->before.path : NULL);
        json_out_integer(&out->writer, "elapsed_ms", r->elapsed_ms);
    } else if (done && r->nothing_to_do) {
        out_line(out, "nothing differs: there is nothing to restore");
    } else if (done) {
        print_counts(out, r->tables);
        out_line(out, "%srestored%s in %s", out_paint(out, OUT_GREEN), out_reset(out),
                 out_duration(r->elapsed_ms).text);
        if (r->before.path[0] != '\0')
            out_line(out, "the rows as they were before: %s", out_safe(r->before.path).text);
    } else if (r->preview.rows > 0) {
        preview_text(out, &r->preview);
    }
    restore_result_release(r);
    free(r);
    return code;
}

enum err_code cmd_backup_restore(struct cli *cli)
{
    const struct args *a = &cli->args;
    const bool confirm = args_has(a, "confirm");
    const struct restore_options o = {.path = a->words[0],
                                      .force = args_has(a, "force"),
                                      .database_only = args_has(a, "database-only"),
                                      .no_backup = args_has(a, "no-backup")};
    const struct wire_needs needs = {.command = "restore",
                                     .tracker = true,
                                     .write = confirm,
                                     .store = !o.database_only &&
                                              config_get(&cli->config, CONFIG_TARGET) != NULL,
                                     .audit = confirm,
                                     .backup = true,
                                     .log_file = confirm};
    enum err_code code = cli_open(cli, &needs, "restored");

    if (code != ERR_OK)
        return code;
    return confirm ? execute(cli, &o) : show_preview(cli, &o);
}
