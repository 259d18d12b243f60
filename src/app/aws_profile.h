/* aws_profile: values from ~/.aws/credentials and ~/.aws/config. Our own reader, not inih's: session tokens are longer than inih's
 * lines (docs/decisions/0004-aws-profile-files.md). */
#ifndef BLOBFERRY_SRC_APP_AWS_PROFILE_H
#define BLOBFERRY_SRC_APP_AWS_PROFILE_H

#include "blobferry/base/buf.h"
#include "blobferry/base/err.h"

#include <stdbool.h>

/* Which of the two files. In config a section is [profile NAME], but for [default]. */
enum aws_profile_file { AWS_PROFILE_CREDENTIALS, AWS_PROFILE_CONFIG };

/* The value of `name` in the section of `profile` into `out` (which is wiped by the caller: it may be a secret). *found
 * tells whether it is there, *section whether the section is. A missing file is an empty one. */
enum err_code aws_profile_get(enum aws_profile_file file, const char *profile, const char *name,
                              struct buf *out, bool *found, bool *section, struct err *e);

#endif
