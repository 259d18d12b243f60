#include "blobferry/app/credentials.h"

#include "app/aws_profile.h"
#include "app/cloudflare.h"
#include "blobferry/base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_MAX ((size_t)64 << 10)

static enum err_code from_environment(struct objstore_credentials *out, bool *found, struct err *e)
{
    const char *key = getenv("AWS_ACCESS_KEY_ID"), *secret = getenv("AWS_SECRET_ACCESS_KEY");
    const char *token = getenv("AWS_SESSION_TOKEN");
    enum err_code code;

    *found = false;
    if (str_empty(key) && str_empty(secret))
        return ERR_OK;
    if (str_empty(key) || str_empty(secret)) {
        err_set(e, ERR_CONFIG, "%s is set, but %s is not",
                str_empty(key) ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID",
                str_empty(key) ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY");
        return err_hint(e, "set both, or neither");
    }
    if (!str_copy(out->access_key, sizeof out->access_key, key))
        return err_set(e, ERR_CONFIG, "AWS_ACCESS_KEY_ID is too long");
    code = secret_set(&out->secret, secret, strlen(secret), e);
    if (code == ERR_OK && !str_empty(token))
        code = secret_set(&out->session_token, token, strlen(token), e);
    str_copy(out->source, sizeof out->source, "environment");
    *found = code == ERR_OK;
    return code;
}

/* One value of the profile; an absent one leaves `out` empty. */
static enum err_code value(enum aws_profile_file file, const char *profile, const char *name,
                           struct buf *out, bool *section, struct err *e)
{
    bool found = false, there = false;
    enum err_code code;

    buf_wipe(out);
    code = aws_profile_get(file, profile, name, out, &found, &there, e);
    *section = *section || there;
    return code;
}

static enum err_code from_file(struct objstore_credentials *out, enum aws_profile_file file,
                               const char *profile, bool *section, bool *found, struct err *e)
{
    struct buf v;
    enum err_code code;

    buf_init(&v, VALUE_MAX);
    code = value(file, profile, "aws_access_key_id", &v, section, e);
    if (code != ERR_OK || v.len == 0)
        goto out;
    str_copy(out->access_key, sizeof out->access_key, buf_cstr(&v));
    code = value(file, profile, "aws_secret_access_key", &v, section, e);
    if (code == ERR_OK && v.len == 0) {
        err_set(e, ERR_CONFIG, "profile '%s' has an access key but no aws_secret_access_key",
                profile);
        code = err_hint(e, "add it to ~/.aws/credentials");
    }
    if (code == ERR_OK)
        code = secret_set(&out->secret, v.data, v.len, e);
    if (code == ERR_OK)
        code = value(file, profile, "aws_session_token", &v, section, e);
    if (code == ERR_OK && v.len > 0)
        code = secret_set(&out->session_token, v.data, v.len, e);
    snprintf(out->source, sizeof out->source, "profile '%.40s'", profile);
    *found = code == ERR_OK;
out:
    buf_wipe(&v);
    return code;
}

static enum err_code from_profile(struct objstore_credentials *out, const struct config *c,
                                  bool *found, struct err *e)
{
    const char *profile = config_get(c, CONFIG_PROFILE);
    bool named = profile != NULL, section = false;
    enum err_code code;

    if (!named)
        profile = "default";
    *found = false;
    code = from_file(out, AWS_PROFILE_CREDENTIALS, profile, &section, found, e);
    if (code == ERR_OK && !*found)
        code = from_file(out, AWS_PROFILE_CONFIG, profile, &section, found, e);
    if (code == ERR_OK && !*found && named) {
        err_set(e, ERR_CONFIG, section ? "profile '%s' holds no access key" : "no profile '%s'",
                profile);
        code = err_hint(e, "it belongs into ~/.aws/credentials with aws_access_key_id and "
                           "aws_secret_access_key; sso and credential_process are not supported");
    }
    return code;
}

enum err_code credentials_find(struct objstore_credentials *out, const struct config *c,
                               struct err *e)
{
    /* as botocore: a profile named on the command line goes before the environment's keys */
    bool explicit =
        str_starts(c->origin[CONFIG_PROFILE] != NULL ? c->origin[CONFIG_PROFILE] : "", "--");
    const char *token = getenv("CLOUDFLARE_API_TOKEN");
    bool found = false;
    enum err_code code = ERR_OK;

    memset(out, 0, sizeof *out);
    secret_init(&out->secret);
    secret_init(&out->session_token);
    if (!explicit)
        code = from_environment(out, &found, e);
    if (code == ERR_OK && !found)
        code = from_profile(out, c, &found, e);
    if (code == ERR_OK && !found && !str_empty(token)) {
        code = cloudflare_keys(out, token, config_get(c, CONFIG_CA_FILE), e);
        found = code == ERR_OK;
    }
    if (code == ERR_OK && !found) {
        err_set(e, ERR_CONFIG, "no credentials for the object store");
        code = err_hint(e, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or --profile, or "
                           "CLOUDFLARE_API_TOKEN");
    }
    if (code != ERR_OK)
        credentials_release(out);
    return code;
}

void credentials_release(struct objstore_credentials *c)
{
    secret_release(&c->secret);
    secret_release(&c->session_token);
    memset(c, 0, sizeof *c);
}

bool credentials_profile_value(const struct config *c, const char *name, char *dst, size_t size)
{
    const char *profile = config_get(c, CONFIG_PROFILE);
    bool found = false, section = false;
    struct buf v;

    buf_init(&v, VALUE_MAX);
    if (aws_profile_get(AWS_PROFILE_CONFIG, profile != NULL ? profile : "default", name, &v, &found,
                        &section, NULL) != ERR_OK)
        found = false;
    found = found && v.len > 0 && str_copy(dst, size, buf_cstr(&v));
    buf_wipe(&v);
    return found;
}
