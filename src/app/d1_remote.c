#include "app/d1_remote.h"

#include "app/cloudflare.h"
#include "blobferry/base/str.h"

#include <stdlib.h>
#include <string.h>

enum err_code d1_remote_options(struct tracker_options *o, struct secret *token,
                                const struct config *c, struct err *e)
{
    const char *value = getenv("CLOUDFLARE_API_TOKEN");

    if (!str_starts(o->url, "d1://"))
        return ERR_OK;
    if (value == NULL || value[0] == '\0') {
        err_set(e, ERR_CONFIG, "there is no API token for '%s'", o->url);
        return err_hint(e, "set CLOUDFLARE_API_TOKEN to a token with the right D1:Edit");
    }
    enum err_code code = secret_set(token, value, strlen(value), e);
    if (code == ERR_OK)
        code = cloudflare_api(&o->d1_api, e);
    o->password = token;
    o->ca_file = config_get(c, CONFIG_CA_FILE);
    return code;
}
