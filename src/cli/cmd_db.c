#include "cli/cmd_db.h"

#include "blobferry/engine/upkeep.h"
#include "cli/subcommand.h"

const struct option_spec cmd_db_options[] = {
    {"dry-run", NULL, "upgrade: only show what would be done", false},
    {"indexes", NULL,
     "upgrade: also make the indexes that large tables need (rows and columns stay as they are)",
     false},
    {"fix", NULL, "check: set counters and status of batches right, as their rows say", false},
    {"from", "URL", "copy: the source (the database of --db)", false},
    {"to", "URL", "copy: the target, made if it is not there", false},
    {"replace", NULL, "copy: rows of the target are removed first, after a backup", false},
    {"confirm", NULL, "copy: do it; else only show what would happen", false},
    {"no-backup", NULL, "copy: make no backup of the rows that are removed", false},
    {NULL, NULL, NULL, false},
};

struct upgrading {
    struct cli *cli;
    int64_t indexes; /* missing ones, told and not made */
};

static enum err_code on_step(void *user, const struct tracker_step *s, struct err *e)
{
    struct upgrading *u = user;
    struct out *o = &u->cli->out;
    const char *done = s->done ? "made" : "missing";

    (void)e;
    u->indexes += s->kind == TRACKER_STEP_INDEX && !s->done;
    if (o->json) {
        json_out_object(&o->writer, NULL);
        json_out_string(&o->writer, "kind", s->kind == TRACKER_STEP_TABLES ? "tables" : "index");
        json_out_string(&o->writer, "name", s->name);
        if (s->kind == TRACKER_STEP_TABLES)
            json_out_integer(&o->writer, "version", s->version);
        json_out_string(&o->writer, "table", s->table);
        json_out_string(&o->writer, "sql", s->sql);
        json_out_boolean(&o->writer, "done", s->done);
        json_out_end(&o->writer);
    }
    if (s->kind == TRACKER_STEP_TABLES)
        out_line(o, "tables blobferry_*, version %d: %s", s->version,
                 s->done ? "made" : "to be made");
    else
        out_line(o, "index on %s: %s: %s", s->table, done, s->sql);
    return ERR_OK;
}

static enum err_code upgrade(struct cli *cli)
{
    const bool dry_run = args_has(&cli->args, "dry-run");
    const struct tracker_upgrade o = {.dry_run = dry_run,
                                      .indexes = args_has(&cli->args, "indexes")};
    const struct wire_needs needs = {.command = "upgrade",
                                     .tracker = true,
                                     .write = !dry_run,
                                     .as_it_is = true,
                                     .audit = !dry_run,
                                     .log_file = !dry_run};
    struct upgrading u = {.cli = cli};
    struct upkeep_upgrade_result r = {0};
    enum err_code code = cli_open(cli, &needs, "upgraded");

    if (code != ERR_OK)
        return code;
    if (cli->out.json)
        json_out_array(&cli->out.writer, "steps");
    code = upkeep_upgrade(&cli->wire.engine, &o, on_step, &u, &r, &cli->err);
    if (cli->out.json) {
        json_out_end(&cli->out.writer);
        json_out_boolean(&cli->out.writer, "dry_run", dry_run);
        json_out_integer(&cli->out.writer, "done", r.done);
        json_out_integer(&cli->out.writer, "missing", r.missing);
    }
    if (code != ERR_OK)
        return code;
    if (r.done + r.missing == 0)
        out_line(&cli->out, "%severything is up to date%s", out_paint(&cli->out, OUT_GREEN),
                 out_reset(&cli->out));
    if (u.indexes > 0 && !o.indexes)
        out_line(&cli->out, "the indexes are made with --indexes: no row and no column of your "
                            "tables is altered, and DROP INDEX takes them back");
    if (dry_run && r.missing > 0)
        out_line(&cli->out, "dry run: nothing was changed. To do it: leave out --dry-run");
    return ERR_OK;
}

int cmd_db(struct cli *cli)
{
    static const struct subcommand all[] = {
        {"upgrade", " dry-run indexes ", NULL, upgrade},
        {"check", " fix ", NULL, cmd_db_check},
        {"copy", " from to replace confirm no-backup ", NULL, cmd_db_copy},
        {NULL, NULL, NULL, NULL},
    };

    return subcommand_run(cli, all);
}
