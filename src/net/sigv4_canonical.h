/* sigv4_canonical: the canonical forms, private to src/net. */
#ifndef NET_SIGV4_CANONICAL_H
#define NET_SIGV4_CANONICAL_H

#include "blobferry/net/sigv4.h"

/* "host;x-amz-date" into `out`. */
enum err_code sigv4_canonical_signed_headers(const struct sigv4_request *r, struct buf *out,
                                             struct err *e);

#endif
