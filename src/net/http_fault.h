/* http_fault: what a transfer's end means; private to src/net. */
#ifndef NET_HTTP_FAULT_H
#define NET_HTTP_FAULT_H

#include "http_transfer.h"

/* Fills fault, fault_text and local_errno of t->response. */
void http_fault_decide(struct http_transfer *t, CURLcode result);

#endif
