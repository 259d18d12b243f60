/* plan_key: templates such as "{user_id}/{file_id}.{ext}" for object keys and source paths.
 *
 *     plan_key_check(template, PLAN_KEY_ANY, &used, e);          (once)
 *     plan_key_expand(&b, template, &values, e);                 (per row)
 */
#ifndef BLOBFERRY_SRC_ENGINE_PLAN_KEY_H
#define BLOBFERRY_SRC_ENGINE_PLAN_KEY_H

#include "blobferry/base/buf.h"
#include "blobferry/base/err.h"

enum plan_key_field {
    PLAN_KEY_USER_ID,
    PLAN_KEY_FILE_ID,
    PLAN_KEY_FILENAME,
    PLAN_KEY_PATH,
    PLAN_KEY_SHA256,
    PLAN_KEY_EXT, /* of the file name, without the dot */
    PLAN_KEY_FIELDS
};
#define PLAN_KEY_BIT(f) (1u << (f))
#define PLAN_KEY_ANY    ((1u << PLAN_KEY_FIELDS) - 1)

struct plan_key_values {
    const char *of[PLAN_KEY_FIELDS]; /* NULL and "" mean: has none */
};

/* ERR_USAGE names a placeholder that is unknown or not allowed here, or a brace that never closes. *used: PLAN_KEY_BITs. */
enum err_code plan_key_check(const char *template, unsigned allowed, unsigned *used, struct err *e);
/* Appends to b. ERR_NOTFOUND names the placeholder that the row has no value for; ERR_LIMIT when it gets too long. */
enum err_code plan_key_expand(struct buf *b, const char *template,
                              const struct plan_key_values *values, struct err *e);

#endif
