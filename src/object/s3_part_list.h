/* s3_part_list: the answer to ListParts. Pure. */
#ifndef BLOBFERRY_SRC_OBJECT_S3_PART_LIST_H
#define BLOBFERRY_SRC_OBJECT_S3_PART_LIST_H

#include "blobferry/base/err.h"
#include "blobferry/model/objinfo.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct s3_part_listed {
    uint64_t number;             /* from 1 */
    int64_t size;                /* bytes */
    char etag[OBJINFO_ETAG_MAX]; /* without quotes */
};
typedef enum err_code s3_part_list_fn(void *user, const struct s3_part_listed *part, struct err *e);
/* Calls fn for each part of the page. *next: the marker of the next page, 0: this was the last. A page that is no ListPartsResult,
 * is cut off, contradicts itself or does not move on from `marker`: ERR_STORE_UNAVAILABLE. */
enum err_code s3_part_list_parse(const void *body, size_t n, uint64_t marker, s3_part_list_fn *fn,
                                 void *user, uint64_t *next, struct err *e);

#endif
