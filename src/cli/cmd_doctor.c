#include "blobferry/app/credentials.h"
#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"
#include "blobferry/codec/timefmt.h"
#include "blobferry/engine/doctor.h"
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

#define DAY_MS ((int64_t)24 * 3600 * 1000)

const struct option_spec cmd_doctor_options[] = {
    {"no-probe", NULL, "do not try out what the endpoint honours (writes nothing into the bucket)",
     false},
    {"clean-uploads", NULL, "abort multipart uploads of ours that nobody needs any more", false},
    {"older-than", "AGE", "… and that are older than this (24h)", false},
    {NULL, NULL, NULL, false},
};

struct visit {
    struct cli *cli;
    int ok, warnings, failed;
    struct err worst; /* of the first that failed */
};

/* ---- what is set ---------------------------------------------------------------------------------------- */

static void show_settings(struct cli *cli)
{
    const struct config *c = &cli->config;
    struct json_out *w = &cli->out.writer;
    char flag[64];
    size_t n;
    const struct config_setting *s = config_settings(&n);

    out_line(&cli->out, "settings (%s)",
             c->path != NULL ? out_safe(c->path).text : "no configuration file");
    if (cli->out.json) {
        json_out_string(w, "config_file", c->path);
        json_out_array(w, "settings");
    }
    for (size_t i = 0; i < n; i++) {
        const char *value = config_get(c, s[i].key), *origin = c->origin[s[i].key];

        if (value == NULL)
            continue;
        if (origin == NULL)
            origin = "default";
        else if (str_starts(origin, "--")) { /* of a flag: which one follows from the name */
            (void)snprintf(flag, sizeof flag, "--%s", s[i].name);
            origin = flag;
        }
        if (cli->out.json) {
            json_out_object(w, NULL);
            json_out_string(w, "name", s[i].name);
            json_out_string(w, "value", value);
            json_out_string(w, "origin", origin);
            json_out_end(w);
        } else if (c->value[s[i].key] != NULL || cli->out.verbose) {
            out_line(&cli->out, "  %-16s %s  (%s)", s[i].name, out_safe(value).text,
                     out_safe(origin).text);
        }
    }
    if (cli->out.json)
        json_out_end(w);
}

/* ---- findings --------------------------------------------------------------------------------------------- */

static void on_found(void *user, const struct doctor_finding *f)
{
    struct visit *v = user;
    struct out *o = &v->cli->out;
    const enum out_color color = f->status == DOCTOR_OK        ? OUT_GREEN
                                 : f->status == DOCTOR_WARNING ? OUT_YELLOW
                                                               : OUT_RED;

    v->ok += f->status == DOCTOR_OK;
    v->warnings += f->status == DOCTOR_WARNING;
    if (f->status == DOCTOR_FAILED && v->failed++ == 0)
        v->worst = f->err;
    if (o->json) {
        json_out_object(&o->writer, NULL);
        json_out_string(&o->writer, "check", f->check);
        json_out_string(&o->writer, "status", doctor_status_name(f->status));
        json_out_string(&o->writer, "message", f->text);
        if (f->status != DOCTOR_OK) {
            json_out_string(&o->writer, "error", err_code_name(f->err.code));
            json_out_string(&o->writer, "hint", f->err.hint);
        }
        json_out_end(&o->writer);
        return;
    }
    out_line(o, "%s%-8s%s %-12s %s", out_paint(o, color), doctor_status_name(f->status),
             out_reset(o), f->check, out_safe(f->text).text);
    if (f->status != DOCTOR_OK && f->err.hint[0] != '\0')
        out_line(o, "         %-12s hint: %s", "", out_safe(f->err.hint).text);
}

static void look_at_credentials(struct visit *v, const struct doctor_options *o)
{
    const char *target = config_get(&v->cli->config, CONFIG_TARGET);
    struct objstore_credentials keys;
    char text[256];
    struct err e;

    if (target == NULL || str_starts(target, "file://"))
        return;
    err_init(&e);
    if (credentials_find(&keys, &v->cli->config, &e) != ERR_OK) {
        doctor_cannot(o, "credentials", &e);
        return;
    }
    /* the key's name, never the secret (P8) */
    (void)snprintf(text, sizeof text, "from %s, access key %.4s…%s", keys.source, keys.access_key,
                   secret_is_set(&keys.session_token) ? ", with a session token" : "");
    credentials_release(&keys);
    on_found(v,
             &(struct doctor_finding){.check = "credentials", .status = DOCTOR_OK, .text = text});
}

static void look_at_keys(struct visit *v, const struct doctor_options *o)
{
    struct wire w;
    struct err e;

    err_init(&e);
    if (config_get(&v->cli->config, CONFIG_BACKUP_KEY_FILE) == NULL)
        return;
    if (wire_open(&w, &v->cli->config, &(struct wire_needs){.command = "doctor", .backup = true},
                  &e) != ERR_OK)
        doctor_cannot(o, "backup-key", &e);
    else
        on_found(v, &(struct doctor_finding){.check = "backup-key",
                                             .status = DOCTOR_OK,
                                             .text = "backups are encrypted"});
    wire_close(&w, 0, NULL, NULL);
}

/* ---- uploads -------------------------------------------------------------------------------------------------- */

static void on_upload(void *user, const struct doctor_upload *u)
{
    struct visit *v = user;
    struct out *o = &v->cli->out;
    char begun[TIMEFMT_SIZE] = "";

    if (u->begun_ms > 0)
        timefmt_iso(u->begun_ms, begun);
    if (o->json) {
        json_out_object(&o->writer, NULL);
        json_out_string(&o->writer, "key", u->key);
        json_out_string(&o->writer, "upload_id", u->upload_id);
        json_out_string(&o->writer, "batch_id", u->batch_id);
        json_out_string(&o->writer, "begun", begun);
        json_out_string(&o->writer, "kind", doctor_upload_name(u->kind));
        json_out_boolean(&o->writer, "aborted", u->aborted);
        if (u->err.code != ERR_OK && !u->aborted)
            json_out_string(&o->writer, "error", u->err.message);
        json_out_end(&o->writer);
        return;
    }
    if (u->kind == DOCTOR_UPLOAD_FOREIGN && !o->verbose)
        return; /* another application's: counted only */
    out_line(o, "         %-12s %s '%s', begun %s%s", "", doctor_upload_name(u->kind),
             out_safe(u->key).text, begun[0] != '\0' ? begun : "at an unknown time",
             u->aborted              ? ": aborted"
             : u->err.code != ERR_OK ? ": could not be aborted"
                                     : "");
}

static void sum_up(struct visit *v, const struct doctor_uploads_counts *c, bool clean)
{
    char text[400];
    struct doctor_finding f = {.check = "uploads", .status = DOCTOR_OK, .text = text};

    (void)snprintf(text, sizeof text,
                   "%lld stale, %lld of rows that are still to be done, %lld young, %lld foreign%s",
                   (long long)c->stale, (long long)c->live, (long long)c->young,
                   (long long)c->foreign, c->more ? "; there are more than were looked at" : "");
    if (clean)
        (void)snprintf(text, sizeof text,
                       "%lld of %lld stale ones aborted, %lld kept for their rows, "
                       "%lld young, %lld foreign",
                       (long long)c->aborted, (long long)c->stale, (long long)c->live,
                       (long long)c->young, (long long)c->foreign);
    else if (c->stale > 0) {
        f.status = DOCTOR_WARNING;
        err_set(&f.err, ERR_PARTIAL, "%s", text);
        err_hint(&f.err, "they cost storage; abort them with: blobferry doctor --clean-uploads");
    }
    on_found(v, &f);
}

static enum err_code look_at_uploads(struct visit *v, const struct engine *g,
                                     struct doctor_uploads_options *u,
                                     struct doctor_uploads_counts *counts, struct err *e)
{
    enum err_code code;

    if (v->cli->out.json)
        json_out_array(&v->cli->out.writer, "uploads");
    u->found = on_upload;
    u->user = v;
    code = doctor_uploads(g, u, counts, e);
    if (v->cli->out.json)
        json_out_end(&v->cli->out.writer);
    return code;
}

/* ---- the visit --------------------------------------------------------------------------------------------------- */

static enum err_code read_options(struct cli *cli, struct doctor_uploads_options *u)
{
    const char *age = args_value(&cli->args, "older-than");

    u->clean = args_has(&cli->args, "clean-uploads");
    u->now_ms = clock_wall_ms();
    u->older_than_ms = DAY_MS;
    if (age != NULL && !u->clean)
        return cli_usage(cli, "--older-than goes with --clean-uploads", "such as 24h or 7d");
    if (age != NULL && (!str_to_duration_ms(age, &u->older_than_ms) || u->older_than_ms < 0))
        return cli_usage(cli, "--older-than is no age", "such as 24h or 7d");
    return ERR_OK;
}

static void examine(struct visit *v, struct doctor_uploads_options *u)
{
    struct cli *cli = v->cli;
    const struct doctor_folder folders[] = {
        {"log-dir", config_get(&cli->config, CONFIG_LOG_DIR)},
        {"backup-dir", config_get(&cli->config, CONFIG_BACKUP_DIR)},
        {"batch-dir", config_get(&cli->config, CONFIG_BATCH_DIR)}};
    const struct doctor_options o = {.probe = !args_has(&cli->args, "no-probe"),
                                     .folders = folders,
                                     .folder_count = sizeof folders / sizeof *folders,
                                     .found = on_found,
                                     .user = v};
    struct doctor_uploads_counts counts = {0};
    struct wire db, store;
    struct engine both;
    struct err e;
    bool have_db, have_store, have_uploads = false;

    if (cli->out.json)
        json_out_array(&cli->out.writer, "checks");
    look_at_credentials(v, &o);
    err_init(&e);
    have_store = wire_open(&store, &cli->config,
                           &(struct wire_needs){.command = "doctor", .store = true}, &e) == ERR_OK;
    if (have_store)
        have_store = doctor_store(&store.engine, &o);
    else if (!(v->failed > 0 && e.code == v->worst.code)) /* said of the credentials already */
        doctor_cannot(&o, "target", &e);
    err_init(&e);
    have_db = wire_open(&db, &cli->config,
                        &(struct wire_needs){.command = "doctor", .tracker = true}, &e) == ERR_OK;
    if (have_db)
        doctor_database(&db.engine, &o);
    else
        doctor_cannot(&o, "database", &e);
    doctor_files(&cli->wire.engine, &o);
    look_at_keys(v, &o);
    if (cli->out.json)
        json_out_end(&cli->out.writer);
    if (have_db && have_store) {
        both = cli->wire.engine; /* with the audit trail, if there is one */
        both.store = store.engine.store;
        both.tracker = db.engine.tracker;
        err_init(&e);
        have_uploads = look_at_uploads(v, &both, u, &counts, &e) == ERR_OK;
    }
    if (cli->out.json)
        json_out_array(&cli->out.writer, "upload_checks");
    if (have_uploads)
        sum_up(v, &counts, u->clean);
    else if (have_db && have_store)
        doctor_cannot(&o, "uploads", &e);
    if (cli->out.json)
        json_out_end(&cli->out.writer);
    wire_close(&store, 0, NULL, NULL);
    wire_close(&db, 0, NULL, NULL);
}

int cmd_doctor(struct cli *cli)
{
    struct doctor_uploads_options uploads = {0};
    struct visit v = {.cli = cli};
    enum err_code code = read_options(cli, &uploads);

    if (code == ERR_OK)
        code = cli_open(cli,
                        &(struct wire_needs){
                            .command = "doctor", .audit = uploads.clean, .log_file = uploads.clean},
                        "looked at");
    if (code != ERR_OK)
        return cli_close(cli, code);
    show_settings(cli);
    examine(&v, &uploads);
    if (cli->out.json) {
        json_out_integer(&cli->out.writer, "ok", v.ok);
        json_out_integer(&cli->out.writer, "warnings", v.warnings);
        json_out_integer(&cli->out.writer, "failed", v.failed);
    }
    out_line(&cli->out, "%d ok, %d warnings, %d failed", v.ok, v.warnings, v.failed);
    if (v.failed > 0) {
        cli->err = v.worst;
        code = v.worst.code;
        if (v.failed > 1)
            err_hint(&cli->err, "and %d more: see above", v.failed - 1);
    }
    return cli_close(cli, code);
}
