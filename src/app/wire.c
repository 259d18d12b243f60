#include "blobferry/app/wire.h"

#include "app/d1_local.h"
#include "app/d1_remote.h"
#include "blobferry/app/credentials.h"
#include "blobferry/base/clock.h"
#include "blobferry/base/fsio.h"
#include "blobferry/base/str.h"
#include "blobferry/codec/json.h"
#include "blobferry/engine/backup.h"
#include "blobferry/engine/signature.h"

#include <stdlib.h>
#include <string.h>

enum err_code wire_open_tracker(struct tracker **out, const struct config *c,
                                const struct tracker_options *options, struct err *e)
{
    struct tracker_options o = *options;
    struct buf url;
    struct secret token;
    enum err_code code = ERR_OK;

    if (o.password == NULL)
        o.password = &c->db_password;
    buf_init(&url, 8192);
    secret_init(&token);
    if (str_starts(o.url, "d1:") && !str_starts(o.url, "d1://")) {
        code = d1_local_find(o.url + 3, &url, e);
        o.url = buf_cstr(&url);
    }
    if (code == ERR_OK)
        code = d1_remote_options(&o, &token, c, e);
    if (code == ERR_OK)
        code = tracker_open(out, &o, e);
    secret_release(&token);
    buf_release(&url);
    return code;
}

/* Its tables are there: the first one has seen to that. */
static enum err_code open_beside(void *user, struct tracker **out, struct err *e)
{
    const struct wire *w = user;

    return wire_open_tracker(out, w->config,
                             &(struct tracker_options){.url = config_get(w->config, CONFIG_DB)}, e);
}

static enum err_code open_tracker(struct wire *w, const struct config *c,
                                  const struct wire_needs *n, struct err *e)
{
    const struct tracker_options o = {
        .url = config_get(c, CONFIG_DB), .read_only = !n->write, .create = n->create};
    enum err_code code = wire_open_tracker(&w->engine.tracker, c, &o, e);

    if (code == ERR_OK && n->write && tracker_side_by_side(w->engine.tracker)) {
        w->engine.tracker_open = open_beside;
        w->engine.tracker_user = w;
    }
    if (code == ERR_OK && !n->create)
        code = tracker_require(w->engine.tracker, e);
    if (code == ERR_OK && n->write && !n->create && !n->as_it_is)
        code = tracker_prepare(w->engine.tracker, e);
    return code;
}

static enum err_code open_one(const struct config *c, const struct wire_needs *n,
                              struct limiter *limiter, struct objstore **out, struct err *e)
{
    char endpoint[1024], region[128];
    uint64_t retries = 0, seconds = 0;
    struct objstore_credentials keys;
    struct objstore_options o = {.target = config_get(c, CONFIG_TARGET),
                                 .endpoint_url = config_get(c, CONFIG_ENDPOINT_URL),
                                 .region = config_get(c, CONFIG_REGION),
                                 .ca_file = config_get(c, CONFIG_CA_FILE),
                                 .concurrency = n->concurrency,
                                 .bandwidth = n->bandwidth,
                                 .limiter = limiter};
    enum err_code code;

    if (o.target == NULL) {
        err_set(e, ERR_CONFIG, "no target is set");
        return err_hint(e, "give --target s3://BUCKET or --target file:///DIR, or set "
                           "BLOBFERRY_TARGET or R2_BUCKET_NAME");
    }
    if (str_starts(o.target, "file://"))
        return objstore_open(out, &o, e);

    if (o.endpoint_url == NULL &&
        credentials_profile_value(c, "endpoint_url", endpoint, sizeof endpoint))
        o.endpoint_url = endpoint;
    if (o.region == NULL && credentials_profile_value(c, "region", region, sizeof region))
        o.region = region;
    o.virtual_host = str_eq(config_get(c, CONFIG_ADDRESSING), "virtual");
    objstore_profile_parse(config_get(c, CONFIG_STORE_PROFILE), &o.profile);
    retry_defaults(&o.retry);
    if (str_to_u64(config_get(c, CONFIG_MAX_RETRIES), &retries))
        o.retry.max_retries = (int)retries;
    if (str_to_u64(config_get(c, CONFIG_PATIENCE), &seconds))
        o.retry.patience_ms = (int64_t)seconds * 1000;
    if (str_to_u64(config_get(c, CONFIG_DEAD_AFTER), &seconds))
        o.dead_ms = (int64_t)seconds * 1000;
    code = credentials_find(&keys, c, e);
    if (code != ERR_OK)
        return code;
    o.credentials = &keys;
    code = objstore_open(out, &o, e);
    credentials_release(&keys);
    return code;
}

/* One more store, for an event loop of its own; what the endpoint allows is for all of them together. */
static enum err_code open_another(void *user, int concurrency, struct objstore **out, struct err *e)
{
    const struct wire *w = user;
    struct wire_needs n = w->needs;

    n.concurrency = concurrency;
    return open_one(w->config, &n, objstore_limiter(w->engine.store), out, e);
}

/* A directory gains nothing from a second one. */
static enum err_code open_store(struct wire *w, const struct config *c, const struct wire_needs *n,
                                struct err *e)
{
    const char *target = config_get(c, CONFIG_TARGET);

    w->needs = *n;
    if (target != NULL && !str_starts(target, "file://")) {
        w->engine.store_open = open_another;
        w->engine.store_user = w;
    }
    return open_one(c, n, NULL, &w->engine.store, e);
}

/* The configuration as the audit shows it: settings and where they came from; no setting is a secret. */
static char *describe(const struct config *c)
{
    size_t n;
    const struct config_setting *s = config_settings(&n);
    struct json_out o;
    struct buf b;

    buf_init(&b, 256 << 10);
    json_out_init(&o, &b, 0);
    json_out_object(&o, NULL);
    json_out_string(&o, "version", BLOBFERRY_VERSION);
    for (size_t i = 0; i < n; i++) {
        const char *value = config_get(c, s[i].key);
        if (value != NULL)
            json_out_string(&o, s[i].name, value);
    }
    json_out_end(&o);
    return buf_steal(&b);
}

/* A key that is named and cannot be used stops everything: an unencrypted backup in its stead would be a lie. */
static enum err_code load_keys(struct wire *w, const struct config *c, const struct wire_needs *n,
                               struct err *e)
{
    const char *backup = config_get(c, CONFIG_BACKUP_KEY_FILE);
    const char *audit = config_get(c, CONFIG_AUDIT_KEY_FILE);
    enum err_code code = ERR_OK;

    if (backup != NULL && (n->backup || n->audit))
        code = backup_key_load(&w->backup_key, backup, e);
    if (code == ERR_OK && audit != NULL && n->audit)
        code = signature_load(&w->signature, audit, e);
    w->engine.backup_key = &w->backup_key;
    return code;
}

static enum err_code open_journal(struct wire *w, const struct config *c,
                                  const struct wire_needs *n, struct err *e)
{
    struct journal_entry begin = {.action = "run_begin", .detail = n->command};
    struct tracker_head head;
    char *config = describe(c);
    enum err_code code =
        journal_open(&w->engine.journal,
                     &(struct journal_options){.dir = config_get(c, CONFIG_LOG_DIR),
                                               .run_id = w->run_id,
                                               .command = n->command,
                                               .signature = w->signature},
                     e);

    begin.extra_json = config;
    if (code == ERR_OK)
        code = journal_add(w->engine.journal, &begin, e);
    if (code == ERR_OK)
        code = journal_commit(w->engine.journal, true, &head, e);
    free(config);
    return code;
}

enum err_code wire_open(struct wire *w, const struct config *c, const struct wire_needs *n,
                        struct err *e)
{
    struct log_options lo = {.dir = config_get(c, CONFIG_LOG_DIR), .command = n->command};
    enum err_code code = ERR_OK;

    memset(w, 0, sizeof *w);
    secret_init(&w->backup_key);
    w->run = (struct engine_run){.command = n->command, .started_ms = clock_wall_ms()};
    clock_uuid(w->run_id);
    process_owner(w->engine.owner);
    w->engine.run_id = w->run_id;
    w->engine.run = &w->run;
    w->engine.source_root = config_get(c, CONFIG_SOURCE_ROOT);
    w->engine.backup_dir = config_get(c, CONFIG_BACKUP_DIR);
    w->engine.batch_dir = config_get(c, CONFIG_BATCH_DIR);

    w->config = c;
    code = load_keys(w, c, n, e);
    if (code == ERR_OK && n->tracker)
        code = open_tracker(w, c, n, e);
    if (code == ERR_OK && n->store)
        code = open_store(w, c, n, e);
    if (code == ERR_OK && n->log_file) {
        lo.run_id = w->run_id;
        lo.json = str_eq(config_get(c, CONFIG_LOG_FORMAT), "json");
        log_level_parse(config_get(c, CONFIG_LOG_LEVEL), &lo.level);
        code = log_open(&w->log, &lo, e);
        w->engine.log = w->log;
        /* a text log says its run only here: analyze counts no run twice that the audit tells of */
        log_event(w->log, LOG_INFO, "run_begin",
                  (struct log_field[]){{"id", LOG_TEXT, .text = w->run_id},
                                       {"version", LOG_TEXT, .text = BLOBFERRY_VERSION},
                                       {0}});
    }
    if (code == ERR_OK && n->audit)
        code = open_journal(w, c, n, e);
    return code;
}

static enum err_code end_run(struct wire *w, int exit_code, const char *summary, struct err *e)
{
    struct journal_entry end = {.action = "run_end",
                                .detail = w->run.command,
                                .has_success = true,
                                .success = exit_code == 0,
                                .has_duration = true,
                                .duration_ms = clock_wall_ms() - w->run.started_ms,
                                .extra_json = summary};
    struct tracker_run run = {.id = w->run_id,
                              .command = w->run.command,
                              .owner = w->engine.owner,
                              .started_ms = w->run.started_ms,
                              .ended_ms = clock_wall_ms(),
                              .exit_code = exit_code,
                              .summary = summary};
    struct tracker_head head;
    enum err_code code = journal_add(w->engine.journal, &end, e);

    if (code == ERR_OK)
        code = journal_commit(w->engine.journal, true, &head, e);
    if (code == ERR_OK && w->run.recorded)
        code = tracker_set_head(w->engine.tracker, &head, e);
    if (code == ERR_OK && w->run.recorded)
        code = tracker_run_end(w->engine.tracker, &run, e);
    return code;
}

enum err_code wire_close(struct wire *w, int exit_code, const char *summary_json, struct err *e)
{
    enum err_code code = ERR_OK;

    if (w->engine.journal != NULL)
        code = end_run(w, exit_code, summary_json, e);
    log_event(w->log, LOG_INFO, "run_end",
              (struct log_field[]){
                  {"exit_code", LOG_INT, .integer = exit_code},
                  {"duration_ms", LOG_INT, .integer = clock_wall_ms() - w->run.started_ms},
                  {0}});
    if (code == ERR_OK)
        code = log_status(w->log, e);
    objstore_close(w->engine.store);
    journal_close(w->engine.journal);
    tracker_close(w->engine.tracker);
    log_close(w->log);
    signature_free(w->signature);
    secret_release(&w->backup_key);
    memset(w, 0, sizeof *w);
    return code;
}
