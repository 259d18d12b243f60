/* d1_local: which file a D1 glob means. wrangler leaves `metadata.sqlite` beside the database. */
#ifndef BLOBFERRY_SRC_APP_D1_LOCAL_H
#define BLOBFERRY_SRC_APP_D1_LOCAL_H

#include "blobferry/base/buf.h"
#include "blobferry/base/err.h"

/* The one file matching `pattern` that has the three tables, as "sqlite:PATH" into url. None or several: ERR_CONFIG that lists
 * what was found. Reads only. */
enum err_code d1_local_find(const char *pattern, struct buf *url, struct err *e);

#endif
