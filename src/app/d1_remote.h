/* d1_remote: what the driver for d1://account/database needs beside its URL. */
#ifndef BLOBFERRY_SRC_APP_D1_REMOTE_H
#define BLOBFERRY_SRC_APP_D1_REMOTE_H

#include "blobferry/app/config.h"
#include "blobferry/base/secret.h"
#include "blobferry/track/tracker.h"

/* Token from CLOUDFLARE_API_TOKEN into `token` (released by the caller, after the tracker is open), API from
 * BLOBFERRY_CLOUDFLARE_API. Nothing for other URLs. ERR_CONFIG when there is no token. */
enum err_code d1_remote_options(struct tracker_options *o, struct secret *token,
                                const struct config *c, struct err *e);

#endif
