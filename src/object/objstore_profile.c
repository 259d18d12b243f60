/* objstore_profile: what each kind of store honours, from its vendor's pages and from measurements. What is unsettled is
 * left out here and may be found by a probe. */
#include "blobferry/base/str.h"
#include "driver.h"

#include <string.h>

static const struct {
    const char *name;
    enum objstore_profile profile;
    unsigned features;
} profiles[] = {
    {"auto", OBJSTORE_AUTO, 0},
    {"aws", OBJSTORE_AWS,
     OBJSTORE_IF_NONE_MATCH | OBJSTORE_IF_NONE_MATCH_MPU | OBJSTORE_DELETE_IF_MATCH |
         OBJSTORE_BULK_DELETE | OBJSTORE_BULK_DELETE_ETAG | OBJSTORE_CHECKS_PAYLOAD |
         OBJSTORE_STORES_SHA256},
    /* CompleteMultipartUpload's condition is on one page and not on another; no conditional delete. */
    {"r2", OBJSTORE_R2, OBJSTORE_IF_NONE_MATCH | OBJSTORE_BULK_DELETE | OBJSTORE_CHECKS_PAYLOAD},
    {"ceph", OBJSTORE_CEPH,
     OBJSTORE_IF_NONE_MATCH | OBJSTORE_BULK_DELETE | OBJSTORE_CHECKS_PAYLOAD},
    {"minio", OBJSTORE_MINIO, OBJSTORE_BULK_DELETE},
    {"other", OBJSTORE_OTHER, 0},
};

bool objstore_profile_parse(const char *name, enum objstore_profile *out)
{
    for (size_t i = 0; i < sizeof profiles / sizeof profiles[0]; i++) {
        if (name != NULL && str_ieq(name, profiles[i].name)) {
            *out = profiles[i].profile;
            return true;
        }
    }
    return false;
}

const char *objstore_profile_name(enum objstore_profile p)
{
    for (size_t i = 0; i < sizeof profiles / sizeof profiles[0]; i++) {
        if (profiles[i].profile == p)
            return profiles[i].name;
    }
    return "other";
}

unsigned objstore_profile_features(enum objstore_profile p)
{
    for (size_t i = 0; i < sizeof profiles / sizeof profiles[0]; i++) {
        if (profiles[i].profile == p)
            return profiles[i].features;
    }
    return 0;
}
