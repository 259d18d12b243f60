/* cloudflare: R2's S3 keys from an API token (https://developers.cloudflare.com/r2/api/tokens/). */
#ifndef BLOBFERRY_SRC_APP_CLOUDFLARE_H
#define BLOBFERRY_SRC_APP_CLOUDFLARE_H

#include "blobferry/app/config.h"
#include "blobferry/object/objstore.h"

/* secret = SHA-256 hex of the token; access key = its id, asked of /client/v4/user/tokens/verify at
 * $BLOBFERRY_CLOUDFLARE_API (https://api.cloudflare.com by default; http only on loopback). Tokens that belong to an account
 * are unknown there: with `account` (may be NULL) they are asked for a second time, at /client/v4/accounts/ID/tokens/verify.
 * Blocks at most 30 s a question, less when a signal stops us. ERR_STORE_DENIED when the token is not active,
 * ERR_STORE_UNAVAILABLE when nobody answers, or somebody who is not Cloudflare's API. The token is in no message (P8). */
enum err_code cloudflare_keys(struct objstore_credentials *out, const char *token,
                              const char *account, const char *ca_file, struct err *e);

/* Where the API is: $BLOBFERRY_CLOUDFLARE_API or Cloudflare's own; borrowed. ERR_CONFIG for what would show the token on the way. */
enum err_code cloudflare_api(const char **base, struct err *e);

#endif
