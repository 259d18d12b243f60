/* scripted_internal: what scripted_server.c and scripted_connection.c share. */
#ifndef HARNESS_SCRIPTED_INTERNAL_H
#define HARNESS_SCRIPTED_INTERNAL_H

#include "harness/scripted_server.h"

#include <openssl/ssl.h>
#include <pthread.h>

struct reply {
    struct scripted_reply r; /* with owned strings; the answer is in bytes and length */
    bool used;
    struct reply *next;
};

struct scripted {
    int listener, stop_event, port;
    char url[64];
    bool silent;
    SSL_CTX *tls;
    pthread_t acceptor;
    pthread_t *threads; /* one for each connection; the acceptor's until it is joined */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* under lock */
    struct reply *replies;
    struct scripted_request **requests;
    size_t count, unscripted, connections;
};

/* A test cannot go on without its server. */
void scripted_must(bool ok, const char *what);
/* The first reply that fits; q NULL asks for an `immediate` one, and NULL comes back when there is none. */
const struct scripted_reply *scripted_choose(struct scripted *s, const struct scripted_request *q);
void scripted_record(struct scripted *s, struct scripted_request *q); /* takes q */
/* Serve one connection until it ends or the server stops; closes fd. */
void scripted_connection_serve(struct scripted *s, int fd, size_t number);

#endif
