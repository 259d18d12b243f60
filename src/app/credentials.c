#include "blobferry/app/credentials.h"

#include "app/aws_profile.h"
#include "app/cloudflare.h"
#include "blobferry/base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_MAX ((size_t)64 << 10)

/* What a copied line end or a forgotten quote leaves would give signatures that no store accepts, without saying why. */
static enum err_code check_word(const char *what, const char *text, struct err *e)
{
    for (const char *p = text; *p != '\0'; p++) {
        if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7F)
            return err_set(e, ERR_CONFIG,
                           "%s holds a blank, a line end or another character "
                           "that no key has",
                           what);
    }
    return ERR_OK;
}

struct names {
    const char *key, *secret, *token; /* of the three values, for messages */
};

/* Both or neither; *found tells which. The values are the caller's. */
static enum err_code take(struct objstore_credentials *out, const struct names *names,
                          const char *key, const char *secret, const char *token, bool *found,
                          struct err *e)
{
    enum err_code code;

    *found = false;
    if (str_empty(key) && str_empty(secret))
        return ERR_OK;
    if (key == NULL || secret == NULL || key[0] == '\0' || secret[0] == '\0') {
        err_set(e, ERR_CONFIG, "%s is set, but %s is not",
                str_empty(key) ? names->secret : names->key,
                str_empty(key) ? names->key : names->secret);
        return err_hint(e, "set both, or neither");
    }
    code = check_word(names->key, key, e);
    if (code == ERR_OK)
        code = check_word(names->secret, secret, e);
    if (code == ERR_OK && token != NULL)
        code = check_word(names->token, token, e);
    if (code == ERR_OK && !str_copy(out->access_key, sizeof out->access_key, key))
        code = err_set(e, ERR_CONFIG, "%s is too long", names->key);
    if (code == ERR_OK)
        code = secret_set(&out->secret, secret, strlen(secret), e);
    if (code == ERR_OK && token != NULL)
        code = secret_set(&out->session_token, token, strlen(token), e);
    *found = code == ERR_OK;
    return code;
}

static enum err_code from_environment(struct objstore_credentials *out, bool *found, struct err *e)
{
    static const struct names names = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
                                       "AWS_SESSION_TOKEN"};

    str_copy(out->source, sizeof out->source, "environment");
    return take(out, &names, getenv(names.key), getenv(names.secret), getenv(names.token), found,
                e);
}

static enum err_code from_file(struct objstore_credentials *out, enum aws_profile_file file,
                               const char *profile, bool *section, bool *found, struct err *e)
{
    static const struct names names = {"aws_access_key_id", "aws_secret_access_key",
                                       "aws_session_token"};
    const char *const wanted[] = {names.key, names.secret, names.token};
    struct buf values[3];
    enum err_code code = ERR_OK;

    for (size_t i = 0; i < 3; i++)
        buf_init(&values[i], VALUE_MAX);
    for (size_t i = 0; i < 3 && code == ERR_OK; i++) {
        bool there = false, in_section = false;
        code = aws_profile_get(file, profile, wanted[i], &values[i], &there, &in_section, e);
        *section = *section || in_section;
    }
    if (code == ERR_OK) {
        snprintf(out->source, sizeof out->source, "profile '%.40s'", profile);
        code = take(out, &names, buf_cstr(&values[0]), buf_cstr(&values[1]), buf_cstr(&values[2]),
                    found, e);
        if (code != ERR_OK)
            err_wrap(e, "profile '%s'", profile);
    }
    for (size_t i = 0; i < 3; i++)
        buf_wipe(&values[i]);
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

static enum err_code from_cloudflare(struct objstore_credentials *out, const struct config *c,
                                     bool *found, struct err *e)
{
    const char *token = getenv("CLOUDFLARE_API_TOKEN");
    enum err_code code;

    *found = false;
    if (token == NULL || token[0] == '\0')
        return ERR_OK;
    code = check_word("CLOUDFLARE_API_TOKEN", token, e);
    if (code == ERR_OK)
        code = cloudflare_keys(out, token, getenv("CLOUDFLARE_ACCOUNT_ID"),
                               config_get(c, CONFIG_CA_FILE), e);
    *found = code == ERR_OK;
    return code;
}

/* Is the endpoint R2's? Then a token in the environment speaks of it, and a default profile that nobody named does not. */
static bool r2_endpoint(const struct config *c)
{
    const char *url = config_get(c, CONFIG_ENDPOINT_URL);

    return url != NULL && strstr(url, ".r2.cloudflarestorage.com") != NULL &&
           config_get(c, CONFIG_PROFILE) == NULL;
}

enum err_code credentials_find(struct objstore_credentials *out, const struct config *c,
                               struct err *e)
{
    /* as botocore: a profile named on the command line goes before the environment's keys */
    bool explicit =
        str_starts(c->origin[CONFIG_PROFILE] != NULL ? c->origin[CONFIG_PROFILE] : "", "--");
    bool found = false;
    enum err_code code = ERR_OK;

    memset(out, 0, sizeof *out);
    secret_init(&out->secret);
    secret_init(&out->session_token);
    if (!explicit)
        code = from_environment(out, &found, e);
    if (code == ERR_OK && !found && r2_endpoint(c))
        code = from_cloudflare(out, c, &found, e);
    if (code == ERR_OK && !found)
        code = from_profile(out, c, &found, e);
    if (code == ERR_OK && !found)
        code = from_cloudflare(out, c, &found, e);
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
