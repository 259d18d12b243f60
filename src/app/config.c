#include "blobferry/app/config.h"

#include "app/config_env.h"
#include "app/config_file.h"
#include "blobferry/base/fsio.h"
#include "blobferry/base/str.h"
#include "blobferry/object/objstore.h"

#include <stdlib.h>
#include <string.h>

#define SECONDS_MAX 86400

/* The one table of settings: flags, variables, file keys, defaults and help all follow from it. */
static const struct config_setting settings[CONFIG_KEYS] = {
    {CONFIG_DB, "db", "BLOBFERRY_DB", "URL", "sqlite:blobferry.db",
     "tracking database: sqlite:PATH, postgres://HOST/DB, d1:GLOB, d1://ACCOUNT/DB"},
    {CONFIG_TARGET, "target", "BLOBFERRY_TARGET", "URL", NULL,
     "object store: s3://bucket[/prefix] or file:///dir"},
    {CONFIG_ENDPOINT_URL, "endpoint-url", "BLOBFERRY_ENDPOINT_URL", "URL", NULL,
     "S3 endpoint, http:// or https://"},
    {CONFIG_REGION, "region", "BLOBFERRY_REGION", "NAME", NULL,
     "S3 region (auto for R2, us-east-1 else)"},
    {CONFIG_PROFILE, "profile", "BLOBFERRY_PROFILE", "NAME", NULL,
     "section of ~/.aws/credentials and ~/.aws/config"},
    {CONFIG_STORE_PROFILE, "store-profile", "BLOBFERRY_STORE_PROFILE", "NAME", "auto",
     "what the endpoint is: aws, r2, ceph, minio, other, auto"},
    {CONFIG_ADDRESSING, "addressing", "BLOBFERRY_ADDRESSING", "STYLE", "path",
     "bucket in the path or in the host name: path, virtual"},
    {CONFIG_SOURCE_ROOT, "source-root", "BLOBFERRY_SOURCE_ROOT", "DIR", NULL,
     "folder that holds the files; no source outside it is ever opened"},
    {CONFIG_LOG_DIR, "log-dir", "BLOBFERRY_LOG_DIR", "DIR", "logs", "logs and the audit trail"},
    {CONFIG_LOG_FORMAT, "log-format", "BLOBFERRY_LOG_FORMAT", "FORMAT", "text", "text or json"},
    {CONFIG_LOG_LEVEL, "log-level", "BLOBFERRY_LOG_LEVEL", "LEVEL", "info",
     "error, warn, info, debug"},
    {CONFIG_BACKUP_DIR, "backup-dir", "BLOBFERRY_BACKUP_DIR", "DIR", "backups",
     "backups made before a rollback"},
    {CONFIG_BATCH_DIR, "batch-dir", "BLOBFERRY_BATCH_DIR", "DIR", "batches", "batch manifests"},
    {CONFIG_CA_FILE, "ca-file", "BLOBFERRY_CA_FILE", "FILE", NULL,
     "CA certificates in place of the system's"},
    {CONFIG_BACKUP_KEY_FILE, "backup-key-file", "BLOBFERRY_BACKUP_KEY_FILE", "FILE", NULL,
     "32 bytes in hex or base64: backups are encrypted with AES-256-GCM"},
    {CONFIG_AUDIT_KEY_FILE, "audit-key-file", "BLOBFERRY_AUDIT_KEY_FILE", "FILE", NULL,
     "Ed25519 key that signs each run's end in the audit trail (audit keygen)"},
    {CONFIG_MAX_RETRIES, "max-retries", "BLOBFERRY_MAX_RETRIES", "N", "3",
     "retries of one request, with backoff and full jitter"},
    {CONFIG_PATIENCE, "patience", "BLOBFERRY_PATIENCE", "SECONDS", "600",
     "how long a request may be told 'too fast' (429, SlowDown) before that counts as a failed "
     "attempt"},
    {CONFIG_DEAD_AFTER, "dead-after", "BLOBFERRY_DEAD_AFTER", "SECONDS", "30",
     "give up when the endpoint has answered nobody for so long"},
    {CONFIG_JSON, "json", "BLOBFERRY_JSON", NULL, "no", "one JSON document on standard output"},
    {CONFIG_QUIET, "quiet", "BLOBFERRY_QUIET", NULL, "no", "errors only"},
    {CONFIG_VERBOSE, "verbose", "BLOBFERRY_VERBOSE", NULL, "no", "say more on standard error"},
    {CONFIG_NO_COLOR, "no-color", "BLOBFERRY_NO_COLOR", NULL, "no", "no colours on a terminal"},
};

const struct config_setting *config_settings(size_t *n)
{
    *n = CONFIG_KEYS;
    return settings;
}

void config_init(struct config *c)
{
    memset(c, 0, sizeof *c);
    secret_init(&c->db_password);
}

void config_release(struct config *c)
{
    for (size_t i = 0; i < CONFIG_KEYS; i++)
        free(c->value[i]);
    free(c->path);
    secret_release(&c->db_password);
    memset(c, 0, sizeof *c);
}

const struct config_setting *config_find(const char *name)
{
    for (size_t i = 0; i < CONFIG_KEYS; i++) {
        const char *have = settings[i].name;
        size_t k = 0;
        /* the file may say source_root for source-root */
        while (have[k] != '\0' && (have[k] == name[k] || (have[k] == '-' && name[k] == '_')))
            k++;
        if (have[k] == '\0' && name[k] == '\0')
            return &settings[i];
    }
    return NULL;
}

static bool one_of(const char *value, const char *const *allowed)
{
    for (; *allowed != NULL; allowed++) {
        if (str_eq(value, *allowed))
            return true;
    }
    return false;
}

static bool truth(const char *value)
{
    static const char *const yes[] = {"yes", "true", "1", "on", NULL};
    return one_of(value, yes);
}

static enum err_code check_url(const char *name, const char *value, const char *const *schemes,
                               struct err *e)
{
    for (const char *const *s = schemes; *s != NULL; s++) {
        if (str_starts(value, *s) && value[strlen(*s)] != '\0')
            return ERR_OK;
    }
    err_set(e, ERR_USAGE, "'%s' is no value for '%s'", value, name);
    return err_hint(e, "it begins with %s%s%s", schemes[0], schemes[1] != NULL ? " or " : "",
                    schemes[1] != NULL ? schemes[1] : "");
}

/* A password in a URL would be seen by everybody who may list processes (P8). Raw '/' and '?' in one are no URL, but
 * people write them; the value is never repeated. */
static bool holds_password(const char *url)
{
    const char *rest = strstr(url, "://");
    const char *at, *colon, *port_end;

    if (rest == NULL)
        return false;
    rest += 3;
    at = strrchr(rest, '@');
    colon = strchr(rest, ':');
    if (strstr(rest, "password=") != NULL)
        return true;
    if (at == NULL || colon == NULL || colon > at)
        return false;
    /* host:5432/db?user=a@b is none */
    port_end = colon + 1 + strspn(colon + 1, "0123456789");
    return port_end > at || (*port_end != '/' && *port_end != '?') || port_end == colon + 1;
}

static enum err_code check_db(const char *value, struct err *e)
{
    static const char *const schemes[] = {"sqlite:", "d1:", "postgres://", "postgresql://"};

    if (holds_password(value)) {
        err_set(e, ERR_USAGE, "'db' holds a password");
        return err_hint(e, "passwords come from POSTGRES_PASSWORD, PGPASSFILE or ~/.pgpass");
    }
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        if (str_starts(value, schemes[i]) && value[strlen(schemes[i])] != '\0')
            return ERR_OK;
    }
    err_set(e, ERR_USAGE, "'%s' is no value for 'db'", value);
    return err_hint(e, "sqlite:PATH, postgres://HOST/DATABASE or d1:GLOB, such as sqlite:app.db");
}

/* "s3://key:secret@bucket" is refused without being repeated. */
static enum err_code check_target(const char *value, struct err *e)
{
    static const char *const targets[] = {"s3://", "file:///", NULL};
    const char *at = strchr(value, '@');

    if (str_starts(value, "s3://") && at != NULL && at < value + 5 + strcspn(value + 5, "/"))
        return err_set(e, ERR_USAGE, "'target' holds a user name or password");
    return check_url("target", value, targets, e);
}

static enum err_code check_word(const struct config_setting *s, const char *value,
                                const char *const *allowed, struct err *e)
{
    if (one_of(value, allowed))
        return ERR_OK;
    err_set(e, ERR_USAGE, "'%s' is no value for '%s'", value, s->name);
    return err_hint(e, "%s", s->help);
}

static enum err_code check(const struct config_setting *s, const char *value, struct err *e)
{
    static const char *const endpoints[] = {"https://", "http://", NULL};
    static const char *const styles[] = {"path", "virtual", NULL};
    static const char *const formats[] = {"text", "json", NULL};
    static const char *const booleans[] = {"yes", "no", "true", "false", "1",
                                           "0",   "on", "off",  NULL};
    enum objstore_profile profile;
    enum log_level level;
    uint64_t n;

    if (s->argument == NULL)
        return check_word(s, value, booleans, e);
    if (value[0] == '\0') {
        err_set(e, ERR_USAGE, "'%s' is empty", s->name);
        return err_hint(e, "give a value, or leave it out");
    }
    switch (s->key) {
    case CONFIG_DB:
        return check_db(value, e);
    case CONFIG_TARGET:
        return check_target(value, e);
    case CONFIG_ENDPOINT_URL:
        if (strchr(value, '@') != NULL)
            return err_set(e, ERR_USAGE, "'%s' holds a user name or password", s->name);
        return check_url(s->name, value, endpoints, e);
    case CONFIG_ADDRESSING:
        return check_word(s, value, styles, e);
    case CONFIG_LOG_FORMAT:
        return check_word(s, value, formats, e);
    case CONFIG_LOG_LEVEL:
        return log_level_parse(value, &level)
                   ? ERR_OK
                   : err_set(e, ERR_USAGE, "'%s' is no log level (%s)", value, s->help);
    case CONFIG_STORE_PROFILE:
        return objstore_profile_parse(value, &profile)
                   ? ERR_OK
                   : err_set(e, ERR_USAGE, "'%s' is no store profile (%s)", value, s->help);
    case CONFIG_MAX_RETRIES:
        return str_to_u64(value, &n) && n <= 100
                   ? ERR_OK
                   : err_set(e, ERR_USAGE, "'%s' is no number of retries (0 to 100)", value);
    case CONFIG_PATIENCE:
    case CONFIG_DEAD_AFTER:
        return str_to_u64(value, &n) && n >= 1 && n <= SECONDS_MAX
                   ? ERR_OK
                   : err_set(e, ERR_USAGE, "'%s' is no number of seconds (1 to %d)", value,
                             SECONDS_MAX);
    default:
        return ERR_OK;
    }
}

enum err_code config_set(struct config *c, const char *name, const char *value, const char *origin,
                         struct err *e)
{
    const struct config_setting *s = config_find(name);
    if (s == NULL)
        return err_set(e, ERR_USAGE, "unknown setting '%s'", name);
    if (c->value[s->key] != NULL)
        return ERR_OK;
    if (check(s, value, e) != ERR_OK) /* a flag names itself */
        return str_starts(origin, "--") ? ERR_USAGE : err_wrap(e, "%s", origin);
    c->value[s->key] = str_dup(value);
    if (c->value[s->key] == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    c->origin[s->key] = origin;
    return ERR_OK;
}

const char *config_get(const struct config *c, enum config_key k)
{
    return c->value[k] != NULL ? c->value[k] : settings[k].initial;
}

bool config_is(const struct config *c, enum config_key k)
{
    return truth(config_get(c, k));
}

static enum err_code pick_file(struct config *c, const char *file, struct err *e)
{
    const char *given = file != NULL ? file : getenv("BLOBFERRY_CONFIG");
    const char *home = getenv("HOME");
    struct buf path;

    buf_init(&path, 8192);
    if (!str_empty(given))
        buf_str(&path, given);
    else if (fsio_exists("blobferry.conf"))
        buf_str(&path, "blobferry.conf");
    else if (!str_empty(home))
        buf_printf(&path, "%s/.config/blobferry/blobferry.conf", home);
    if (!buf_ok(&path)) {
        buf_release(&path);
        return err_set(e, ERR_CONFIG, "the configuration file's name is too long");
    }
    if (path.len > 0 && (!str_empty(given) || fsio_exists(buf_cstr(&path))))
        c->path = buf_steal(&path);
    buf_release(&path);
    return ERR_OK;
}

enum err_code config_load(struct config *c, const char *file, bool may_be_missing, struct err *e)
{
    enum err_code code = pick_file(c, file, e);

    if (code == ERR_OK && c->path != NULL && may_be_missing && !fsio_exists(c->path)) {
        free(c->path);
        c->path = NULL;
    }
    if (code == ERR_OK)
        code = config_env_own(c, settings, CONFIG_KEYS, e);
    if (code == ERR_OK)
        code = config_env_guide(c, e);
    if (code == ERR_OK && c->path != NULL)
        code = config_file_load(c, e);
    if (code == ERR_OK)
        code = config_env_account(c, e);
    return code;
}

char *config_example(void)
{
    struct buf b;

    buf_init(&b, 64 << 10);
    buf_str(&b,
            "# blobferry configuration. Flags go before the environment, the environment before "
            "this file.\n# Secrets do not belong here: see AWS_ACCESS_KEY_ID, "
            "~/.aws/credentials, CLOUDFLARE_API_TOKEN.\n[blobferry]\n");
    for (size_t i = 0; i < CONFIG_KEYS; i++) {
        const struct config_setting *s = &settings[i];
        buf_printf(&b, "\n# %s\n# variable %s\n#%s = %s\n", s->help, s->variable, s->name,
                   s->initial != NULL ? s->initial : "");
    }
    return buf_steal(&b);
}
