/*
 * sink [--host 127.0.0.1] [--port N] [--threads N] [--latency MS] [--rate N] [--rate-status 503|429] [--rate-window]
 *      [--retry-after SECONDS] [--check] [--tls CERT KEY] [--die-with-parent]
 *
 * Prints "port N" when it listens. GET /__stats: what it has counted, as JSON. GET /__objects: JSON lines.
 * POST /__reset: forgets all. SIGTERM and SIGINT end it. See sink.h.
 */
#include "sink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_THREADS = 16 };

static atomic_bool stop;

static void on_signal(int number)
{
    (void)number;
    atomic_store(&stop, true);
}

static int usage(void)
{
    fputs("usage: sink [--host ADDRESS] [--port N] [--threads N] [--latency MS] [--rate N]\n"
          "            [--rate-status 503|429] [--rate-window] [--retry-after SECONDS] [--check]\n"
          "            [--tls CERT KEY] [--die-with-parent]\n",
          stderr);
    return 2;
}

/* False on an unknown option. */
static bool options_read(struct sink_options *options, int argc, char **argv)
{
    static const struct option known[] = {{"host", required_argument, NULL, 'h'},
                                          {"port", required_argument, NULL, 'p'},
                                          {"threads", required_argument, NULL, 't'},
                                          {"latency", required_argument, NULL, 'l'},
                                          {"rate", required_argument, NULL, 'r'},
                                          {"rate-status", required_argument, NULL, 's'},
                                          {"retry-after", required_argument, NULL, 'a'},
                                          {"rate-window", no_argument, NULL, 'w'},
                                          {"check", no_argument, NULL, 'c'},
                                          {"tls", required_argument, NULL, 'T'},
                                          {"die-with-parent", no_argument, NULL, 'd'},
                                          {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        unsigned number = optarg ? (unsigned)strtoul(optarg, NULL, 10) : 0;
        switch (c) {
        case 'h':
            options->host = optarg;
            break;
        case 'p':
            options->port = number;
            break;
        case 't':
            options->threads = number;
            break;
        case 'l':
            options->latency_ms = number;
            break;
        case 'r':
            options->rate = number;
            break;
        case 's':
            options->rate_status = number;
            break;
        case 'a':
            options->retry_after = number;
            break;
        case 'w':
            options->rate_window = true;
            break;
        case 'c':
            options->check = true;
            break;
        case 'T':
            options->cert = optarg;
            options->key = optind < argc ? argv[optind++] : NULL;
            break;
        case 'd':
            prctl(PR_SET_PDEATHSIG, SIGTERM);
            break;
        default:
            return false;
        }
    }
    return optind == argc && options->threads >= 1 && options->threads <= MAX_THREADS &&
           !options->cert == !options->key;
}

/* The listening socket, its port printed; -1 on a failure. */
static int listen_on(const struct sink_options *options)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)options->port)};
    socklen_t size = sizeof address;
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || inet_pton(AF_INET, options->host, &address.sin_addr) != 1)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, size) != 0 || listen(fd, 4096) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0)
        return -1;
    printf("port %u\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

enum { TLS_AHEAD = 64 << 10 }; /* read from the socket at once: some records */

static SSL_CTX *tls_new(const struct sink_options *options)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    if (!tls || SSL_CTX_use_certificate_chain_file(tls, options->cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls, options->key, SSL_FILETYPE_PEM) != 1) {
        ERR_print_errors_fp(stderr);
        SSL_CTX_free(tls);
        return NULL;
    }
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(tls, 1);
    SSL_CTX_set_default_read_buffer_len(tls, TLS_AHEAD);
    return tls;
}

static void *thread_main(void *arg)
{
    sink_loop_run(arg);
    return NULL;
}

static void run(const struct sink_options *options, int listener, SSL_CTX *tls)
{
    struct sink_store store;
    struct sink_loop loops[MAX_THREADS] = {0};
    pthread_t threads[MAX_THREADS];
    sink_store_init(&store, options);
    for (unsigned i = 0; i < options->threads; i++) {
        loops[i] = (struct sink_loop){
            .options = options, .store = &store, .tls = tls, .listener = listener, .stop = &stop};
        if (i > 0 && pthread_create(&threads[i], NULL, thread_main, &loops[i]) != 0)
            abort();
    }
    sink_loop_run(&loops[0]);
    for (unsigned i = 1; i < options->threads; i++)
        pthread_join(threads[i], NULL);
    sink_store_release(&store);
}

int main(int argc, char **argv)
{
    struct sink_options options = {
        .host = "127.0.0.1", .threads = 1, .rate_status = 503, .retry_after = 1};
    if (!options_read(&options, argc, argv))
        return usage();
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    struct rlimit files = {.rlim_cur = 65536, .rlim_max = 65536};
    if (setrlimit(RLIMIT_NOFILE, &files) != 0 && getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    SSL_CTX *tls = options.cert ? tls_new(&options) : NULL;
    if (options.cert && !tls)
        return 1;
    int listener = listen_on(&options);
    if (listener < 0) {
        fprintf(stderr, "sink: cannot listen on %s:%u: %s\n", options.host, options.port,
                strerror(errno));
        return 1;
    }
    run(&options, listener, tls);
    close(listener);
    SSL_CTX_free(tls);
    return 0;
}
