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
    enum err_code code = ERR_OK;
    struct buf url;

    if (password != NULL)
        code = secret_set(&c->db_password, password, strlen(password), e);
    if (code != ERR_OK || host == NULL)
        return code;
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

static enum err_code d1_or_postgres(struct config *c, struct err *e)
{
    const char *use = variable("USE_D1_DATABASE"), *path = variable("D1_LOCAL_PATH");
    struct buf url;
    enum err_code code;

    if (use == NULL || !(str_ieq(use, "true") || str_eq(use, "1") || str_ieq(use, "yes")))
        return postgres(c, e);
    if (c->value[CONFIG_DB] != NULL)
        return ERR_OK;
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

/* An account's name is part of a host name: nothing but letters, digits, '-' and '.' may be in it, so that no variable
 * can lead the requests, and with them the signatures, elsewhere. */
static bool host_label(const char *s)
{
    return strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") ==
           strlen(s);
}

static enum err_code r2(struct config *c, struct err *e)
{
    const char *bucket = variable("R2_BUCKET_NAME"), *account = variable("CLOUDFLARE_ACCOUNT_ID");
    struct buf b;
    enum err_code code = ERR_OK;

    buf_init(&b, 4096);
    if (bucket != NULL) {
        buf_printf(&b, "s3://%s", bucket);
        code = config_set(c, "target", buf_cstr(&b), "R2_BUCKET_NAME", e);
    }
    /* with a bucket of the guide's, the endpoint is Cloudflare's; AWS's variables speak of another */
    if (code == ERR_OK && account != NULL && str_eq(c->origin[CONFIG_TARGET], "R2_BUCKET_NAME") &&
        c->value[CONFIG_ENDPOINT_URL] == NULL) {
        if (!host_label(account)) {
            code = err_set(e, ERR_CONFIG, "CLOUDFLARE_ACCOUNT_ID '%s' is no account id", account);
        } else {
            buf_reset(&b);
            buf_printf(&b, "https://%s.r2.cloudflarestorage.com", account);
            code = config_set(c, "endpoint-url", buf_cstr(&b), "CLOUDFLARE_ACCOUNT_ID", e);
        }
    }
    buf_release(&b);
    return code;
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
    /* explicit endpoints go before the one that an account id implies */
    if (code == ERR_OK)
        code = r2(c, e);
    if (code == ERR_OK && variable("NO_COLOR") != NULL)
        code = config_set(c, "no-color", "yes", "NO_COLOR", e);
    if (code != ERR_OK && e != NULL)
        e->code = ERR_CONFIG;
    return code != ERR_OK ? ERR_CONFIG : ERR_OK;
}
