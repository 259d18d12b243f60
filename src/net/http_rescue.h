/* http_rescue: the early answer that libcurl left unread; private to src/net. */
#ifndef NET_HTTP_RESCUE_H
#define NET_HTTP_RESCUE_H

#include "http_transfer.h"

/* CURLOPT_PREREQFUNCTION; user is the struct http_transfer. Notes which connection it goes out on. */
int http_rescue_note(void *user, char *remote_ip, char *local_ip, int remote_port, int local_port);
/* CURLOPT_CLOSESOCKETFUNCTION; user is the loop's struct http_setup. Keeps in t->unread what libcurl did not read of the
 * answer to an upload, then closes the socket. */
int http_rescue_close(void *user, curl_socket_t fd);
/* After a failed transfer: take t->unread for the answer when there was no other. */
void http_rescue_answer(struct http_transfer *t);

#define HTTP_RESCUE_MAX (2 * HTTP_RESPONSE_HEADER_MAX)

#endif
