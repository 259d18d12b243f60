/* credentials: the keys for the object store, by the AWS chain and the guide's Cloudflare variables:
 * AWS_ACCESS_KEY_ID + AWS_SECRET_ACCESS_KEY [+ AWS_SESSION_TOKEN]; the profile's section of ~/.aws/credentials, then
 * ~/.aws/config (AWS_SHARED_CREDENTIALS_FILE, AWS_CONFIG_FILE); CLOUDFLARE_API_TOKEN (R2: secret = SHA-256 hex of the
 * token's value, access key = the token's id, asked of the tokens/verify endpoint;
 * https://developers.cloudflare.com/r2/api/tokens/). A --profile given on the command line goes before the environment. */
#ifndef BLOBFERRY_APP_CREDENTIALS_H
#define BLOBFERRY_APP_CREDENTIALS_H

#include "blobferry/app/config.h"
#include "blobferry/object/objstore.h"

/* ERR_CONFIG with a hint when there are none or they are incomplete; ERR_STORE_* when Cloudflare refuses the token or cannot be reached. */
enum err_code credentials_find(struct objstore_credentials *out, const struct config *c,
                               struct err *e);
void credentials_release(struct objstore_credentials *c);
/* region or endpoint_url of the profile in ~/.aws/config; false when it says nothing. */
bool credentials_profile_value(const struct config *c, const char *name, char *dst, size_t size);

#endif
