/* config_env: settings from the environment: our own variables, the migration guide's, and AWS's. */
#ifndef BLOBFERRY_SRC_APP_CONFIG_ENV_H
#define BLOBFERRY_SRC_APP_CONFIG_ENV_H

#include "blobferry/app/config.h"

/* BLOBFERRY_*: one variable per setting; an empty variable counts as unset. */
enum err_code config_env_own(struct config *c, const struct config_setting *settings, size_t n,
                             struct err *e);
/* USE_D1_DATABASE, D1_LOCAL_PATH, POSTGRES_*, R2_BUCKET_NAME, LOG_LEVEL; AWS_PROFILE, AWS_REGION, AWS_DEFAULT_REGION,
 * AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL; NO_COLOR. */
enum err_code config_env_guide(struct config *c, struct err *e);
/* CLOUDFLARE_ACCOUNT_ID implies R2's endpoint: last of all, when nothing names one, and only where the bucket or the
 * credentials are Cloudflare's. */
enum err_code config_env_account(struct config *c, struct err *e);

#endif
