#include "blobferry/base/str.h"
#include "blobferry/engine/upkeep.h"
#include "cli/cmd_db.h"

static void finding_json(struct json_out *w, const struct tracker_finding *f)
{
    json_out_object(w, NULL);
    json_out_string(w, "name", f->name);
    json_out_string(w, "group", f->group);
    json_out_string(w, "severity", f->severity == TRACKER_NOTE ? "note" : "problem");
    json_out_integer(w, "count", f->count);
    json_out_string(w, "what", f->what);
    json_out_string(w, "remedy", f->remedy);
    json_out_string(w, "sql", f->sql);
    json_out_array(w, "examples");
    for (size_t i = 0; i < f->example_count; i++)
        json_out_string(w, NULL, f->examples[i]);
    json_out_end(w);
    json_out_end(w);
}

static void finding_text(struct out *o, const struct tracker_finding *f)
{
    const bool note = f->severity == TRACKER_NOTE;

    out_line(o, "%s%s%s: %lld %s", out_paint(o, note ? OUT_YELLOW : OUT_RED), f->name, out_reset(o),
             (long long)f->count, f->what);
    for (size_t i = 0; i < f->example_count; i++)
        out_line(o, "    %s", f->examples[i]);
    if (f->count > (int64_t)f->example_count)
        out_line(o, "    ... %lld in all", (long long)f->count);
    out_line(o, "  sql: %s;", f->sql);
    if (f->remedy != NULL)
        out_line(o, "  remedy: %s", f->remedy);
}

static enum err_code on_finding(void *user, const struct tracker_finding *f, struct err *e)
{
    struct out *o = user;

    (void)e;
    if (o->json)
        finding_json(&o->writer, f);
    else if (f->count > 0)
        finding_text(o, f);
    return ERR_OK;
}

enum err_code cmd_db_check(struct cli *cli)
{
    const bool fix = args_has(&cli->args, "fix");
    const struct wire_needs needs = {
        .command = "check", .tracker = true, .write = fix, .audit = fix, .log_file = fix};
    struct upkeep_check_result r = {0};
    struct out *o = &cli->out;
    enum err_code code = cli_open(cli, &needs, "checked");

    if (code != ERR_OK)
        return code;
    if (o->json)
        json_out_array(&o->writer, "checks");
    code = upkeep_check(&cli->wire.engine, fix, on_finding, o, &r, &cli->err);
    if (o->json) {
        json_out_end(&o->writer);
        json_out_object(&o->writer, "rows");
        json_out_integer(&o->writer, "migration_batches", r.totals.batches);
        json_out_integer(&o->writer, "file_migrations", r.totals.migrations);
        json_out_integer(&o->writer, "files", r.totals.files);
        json_out_end(&o->writer);
        json_out_integer(&o->writer, "checks_run", r.totals.checks);
        json_out_integer(&o->writer, "problems", r.totals.problems);
        json_out_integer(&o->writer, "notes", r.totals.notes);
        json_out_integer(&o->writer, "fixed", r.fixed);
    }
    if (r.fixed > 0)
        out_line(o, "counters of %lld batches were set right", (long long)r.fixed);
    if (code == ERR_OK)
        out_line(o,
                 "%sclean%s: %d checks over %lld batches, %lld migration rows, %lld files; "
                 "%lld notes",
                 out_paint(o, OUT_GREEN), out_reset(o), r.totals.checks,
                 (long long)r.totals.batches, (long long)r.totals.migrations,
                 (long long)r.totals.files, (long long)r.totals.notes);
    return code;
}
