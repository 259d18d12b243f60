#include "app/config_env.h"

#include "blobferry/base/buf.h"
#include "blobferry/base/str.h"
#include "blobferry/codec/text.h"

#include <stdlib.h>
#include <string.h>

static const char *variable(const char *name)
{
    const char *v = getenv(name);
    return str_empty(v) ? NULL : v;
}

enum err_code config_env_own(struct config *c, const struct config_setting *settings, size_t n,
                             struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        const char *v = variable(settings[i].variable);
        if (v != NULL && config_set(c, settings[i].name, v, settings[i].variable, e) != ERR_OK)
            return e != NULL ? (e->code = ERR_CONFIG) : ERR_CONFIG;
    }
    return ERR_OK;
}

static enum err_code from(struct config *c, const char *name, const char *env, struct err *e)
{
    const char *v = variable(env);
    return v != NULL ? config_set(c, name, v, env, e) : ERR_OK;
}

/* postgres://user@host:port/database; the password travels apart, as a secret. */
static enum err_code postgres(struct config *c, struct err *e)
{
    const char *host = variable("POSTGRES_HOST"), *port = variable("POSTGRES_PORT");
    const char *user = variable("POSTGRES_USER"), *name = variable("POSTGRES_DB");
    const char *password = variable("POSTGRES_PASSWORD");
    uint64_t number;
    enum err_code code = ERR_OK;
    struct buf url;

    if (password != NULL)
        code = secret_set(&c->db_password, password, strlen(password), e);
    if (code != ERR_OK || host == NULL || c->value[CONFIG_DB] != NULL)
        return code;
    if (port != NULL && (!str_to_u64(port, &number) || number == 0 || number > 65535)) {
        err_set(e, ERR_CONFIG, "POSTGRES_PORT: '%s' is no port", port);
        return err_hint(e, "a number from 1 to 65535; 5432 is PostgreSQL's own");
    }
    buf_init(&url, 8192);
    buf_str(&url, "postgres://");
    if (user != NULL) {
        text_uri_encode(&url, user, strlen(user), false);
        buf_char(&url, '@');
    }
    text_uri_encode(&url, host, strlen(host), false);
    if (port != NULL)
        buf_printf(&url, ":%s", port);
    buf_char(&url, '/');
    if (name != NULL)
        text_uri_encode(&url, name, strlen(name), false);
    code = buf_ok(&url) ? config_set(c, "db", buf_cstr(&url), "POSTGRES_HOST", e)
                        : err_set(e, ERR_CONFIG, "POSTGRES_* variables are too long");
    buf_release(&url);
    return code;
}

/* A switch of the application's; false for a word that is neither. */
static bool switched(const char *word, bool *on)
{
    static const struct {
        const char *word;
        bool on;
    } words[] = {{"true", true},   {"1", true},  {"yes", true}, {"on", true},
                 {"false", false}, {"0", false}, {"no", false}, {"off", false}};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (str_ieq(word, words[i].word)) {
            *on = words[i].on;
            return true;
        }
    }
    return false;
}

static enum err_code d1_or_postgres(struct config *c, struct err *e)
{
    const char *use = variable("USE_D1_DATABASE"), *path = variable("D1_LOCAL_PATH");
    bool on = false;
    struct buf url;
    enum err_code code;

    if (c->value[CONFIG_DB] != NULL)
        return postgres(c, e); /* the password may be its */
    if (use != NULL && !switched(use, &on)) {
        err_set(e, ERR_CONFIG, "USE_D1_DATABASE: '%s' is neither true nor false", use);
        return err_hint(e, "set it to true or false");
    }
    if (!on)
        return postgres(c, e);
    if (path == NULL) {
        err_set(e, ERR_CONFIG, "USE_D1_DATABASE is set, but D1_LOCAL_PATH is not");
        return err_hint(e, "set D1_LOCAL_PATH to a glob such as '.wrangler/state/v3/d1/"
                           "miniflare-D1DatabaseObject/*.sqlite'");
    }
    buf_init(&url, 8192);
    buf_printf(&url, "d1:%s", path);
    code = buf_ok(&url) ? config_set(c, "db", buf_cstr(&url), "D1_LOCAL_PATH", e)
                        : err_set(e, ERR_CONFIG, "D1_LOCAL_PATH is too long");
    buf_release(&url);
    return code;
}

/* Accounts are part of a host name: nothing else may be in them, so that no variable can lead the requests, and with them
 * the signatures, elsewhere. Buckets of R2 have the same letters. */
static bool host_label(const char *s)
{
    return strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") ==
           strlen(s);
}

/* Sets one value made of a prefix, a variable that must be a host label, and a suffix. */
static enum err_code labelled(struct config *c, const char *name, const char *before,
                              const char *env, const char *after, struct err *e)
{
    const char *label = variable(env);
    struct buf b;
    enum err_code code;

    buf_init(&b, 1024);
    if (host_label(label) && buf_printf(&b, "%s%s%s", before, label, after))
        code = config_set(c, name, buf_cstr(&b), env, e);
    else
        code =
            err_set(e, ERR_CONFIG, "%s: '%s' is none (letters, digits, '-' and '.')", env, label);
    buf_release(&b);
    return code;
}

enum err_code config_env_account(struct config *c, struct err *e)
{
    const char *target = c->value[CONFIG_TARGET];
    bool theirs = str_eq(c->origin[CONFIG_TARGET], "R2_BUCKET_NAME");

    /* AWS's keys or a named profile speak of another store */
    if (variable("CLOUDFLARE_API_TOKEN") != NULL && variable("AWS_ACCESS_KEY_ID") == NULL &&
        c->value[CONFIG_PROFILE] == NULL)
        theirs = true;
    if (variable("CLOUDFLARE_ACCOUNT_ID") == NULL || c->value[CONFIG_ENDPOINT_URL] != NULL ||
        target == NULL || !str_starts(target, "s3://") || !theirs)
        return ERR_OK;
    if (labelled(c, "endpoint-url", "https://", "CLOUDFLARE_ACCOUNT_ID",
                 ".r2.cloudflarestorage.com", e) != ERR_OK)
        return e != NULL ? (e->code = ERR_CONFIG) : ERR_CONFIG;
    return ERR_OK;
}

enum err_code config_env_guide(struct config *c, struct err *e)
{
    static const struct {
        const char *name, *env;
    } plain[] = {
        {"log-level", "LOG_LEVEL"},
        {"profile", "AWS_PROFILE"},
        {"endpoint-url", "AWS_ENDPOINT_URL_S3"},
        {"endpoint-url", "AWS_ENDPOINT_URL"},
        {"region", "AWS_REGION"},
        {"region", "AWS_DEFAULT_REGION"},
    };
    enum err_code code = d1_or_postgres(c, e);

    for (size_t i = 0; code == ERR_OK && i < sizeof plain / sizeof *plain; i++)
        code = from(c, plain[i].name, plain[i].env, e);
    if (code == ERR_OK && c->value[CONFIG_TARGET] == NULL && variable("R2_BUCKET_NAME") != NULL)
        code = labelled(c, "target", "s3://", "R2_BUCKET_NAME", "", e);
    if (code == ERR_OK && variable("NO_COLOR") != NULL)
        code = config_set(c, "no-color", "yes", "NO_COLOR", e);
    if (code != ERR_OK && e != NULL)
        e->code = ERR_CONFIG;
    return code != ERR_OK ? ERR_CONFIG : ERR_OK;
}
