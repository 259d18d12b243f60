/* http: networks that fail and peers that lie about who they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness/scripted_certificate.h"
#include "talk.h"

#define MIB ((size_t)1 << 20)

/* ---- before anything is sent ------------------------------------------------------------------------ */

static struct answer get_once(const char *url, const struct http_options *o)
{
    struct http *h = talk_loop(o);
    struct answer a = {0};

    talk_submit(h, &(struct http_request){.method = "GET", .url = url}, &a);
    talk_drive(h);
    assert_int_equal(a.calls, 1);
    http_free(h);
    answer_release(&(struct answer){.body = a.body});
    a.body = NULL;
    return a;
}

static void test_http_network_refused(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    char url[64];

    (void)state;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* bound, and not listening */
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/", ntohs(address.sin_port));
    const struct answer a = get_once(url, &(struct http_options){0});
    assert_int_equal(a.fault, HTTP_CONNECT);
    assert_int_equal(a.status, 0);
    assert_non_null(strstr(a.text, "onnect"));
    (void)close(fd);
}

static void test_http_network_unresolvable_name(void **state)
{
    /* A label over 63 characters: getaddrinfo(3) refuses it without asking anybody. */
    const struct answer a = get_once(
        "http://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa."
        "invalid/",
        &(struct http_options){0});

    (void)state;
    assert_int_equal(a.fault, HTTP_RESOLVE);
    assert_int_equal(a.status, 0);
}

/* A retry after a failed look-up meets the same words, not a worn handle's. */
static void test_http_network_unresolvable_name_again(void **state)
{
    struct talk t;

    (void)state;
    talk_open(&t, NULL);
    for (int i = 0; i < 3; i++) {
        const struct answer *a = talk_do(
            &t,
            (struct http_request){.method = "GET",
                                  .url = "http://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                                         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.invalid/"});
        assert_int_equal(a->fault, HTTP_RESOLVE);
    }
    scripted_add_text(t.s, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(talk_do(&t, (struct http_request){.method = "GET"})->status, 200);
    talk_close(&t);
}

static void test_http_network_malformed_host(void **state)
{
    static const char *const urls[] = {"http://", "http:///x", "http://127.0.0.1:99999/",
                                       "http://[::1/", "http://:80/"};

    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        const struct answer a = get_once(urls[i], &(struct http_options){0});
        assert_true(a.fault == HTTP_LOCAL || a.fault == HTTP_RESOLVE);
    }
}

/* A listener whose queue is full lets SYNs wait. */
static void test_http_network_connect_timeout(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fillers[8];
    char url[64];

    (void)state;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(fd, 0), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    for (int i = 0; i < 8; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(fillers[i], (struct sockaddr *)&address, size);
    }
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/", ntohs(address.sin_port));
    const struct answer a = get_once(url, &(struct http_options){.connect_timeout_ms = 150});
    assert_int_equal(a.fault, HTTP_CONNECT);
    assert_true(a.elapsed_us >= 140000 && a.elapsed_us < 10000000);
    for (int i = 0; i < 8; i++)
        (void)close(fillers[i]);
    (void)close(fd);
}

/* ---- TLS ------------------------------------------------------------------------------------------- */

struct identity {
    char folder[64], certificate[96], key[96];
};

static void identity_make(struct identity *i, const char *names, int days)
{
    (void)snprintf(i->folder, sizeof i->folder, "/tmp/blobferry-tls-XXXXXX");
    assert_non_null(mkdtemp(i->folder));
    (void)snprintf(i->certificate, sizeof i->certificate, "%s/certificate.pem", i->folder);
    (void)snprintf(i->key, sizeof i->key, "%s/key.pem", i->folder);
    scripted_certificate_write(i->certificate, i->key, names, days);
}

static void identity_remove(const struct identity *i)
{
    assert_int_equal(unlink(i->certificate), 0);
    assert_int_equal(unlink(i->key), 0);
    assert_int_equal(rmdir(i->folder), 0);
}

/* One GET of a server with that identity; returns how many requests it got to see. */
static size_t get_tls(const char *names, int days, int max_version, bool trusted,
                      struct answer *out)
{
    struct identity who;
    char url[128];

    identity_make(&who, names, days);
    struct scripted *s = scripted_start(&(struct scripted_options){
        .tls_certificate = who.certificate, .tls_key = who.key, .tls_max_version = max_version});
    scripted_add_status(s, 200, NULL, "secret");
    (void)snprintf(url, sizeof url, "%s/bkt/key", scripted_url(s));
    *out = get_once(url, &(struct http_options){.ca_file = trusted ? who.certificate : NULL});
    const size_t seen = scripted_count(s);
    scripted_stop(s);
    identity_remove(&who);
    return seen;
}

static void test_http_network_tls_trusts_the_given_ca(void **state)
{
    struct answer a;

    (void)state;
    assert_int_equal(get_tls("IP:127.0.0.1", 2, 0, true, &a), 1);
    assert_int_equal(a.fault, HTTP_FINE);
    assert_int_equal(a.status, 200);
    assert_int_equal(get_tls("IP:127.0.0.1", 2, TLS1_2_VERSION, true, &a), 1);
    assert_int_equal(a.status, 200);
}

/* D17: nothing is sent to somebody who cannot prove to be who was asked for. */
static void test_http_network_tls_refuses_strangers(void **state)
{
    static const struct {
        const char *names;
        int days, max_version;
        bool trusted;
    } table[] = {
        {"IP:127.0.0.1", 2, 0, false},             /* self-signed */
        {"DNS:elsewhere.example", 2, 0, true},     /* wrong host */
        {"IP:127.0.0.2", 2, 0, true},              /* wrong address */
        {"IP:127.0.0.1", -1, 0, true},             /* expired */
        {"IP:127.0.0.1", 2, TLS1_1_VERSION, true}, /* too old */
        {"IP:127.0.0.1", 2, TLS1_VERSION, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct answer a;
        assert_int_equal(
            get_tls(table[i].names, table[i].days, table[i].max_version, table[i].trusted, &a), 0);
        if (a.fault != HTTP_TLS)
            fail_msg("case %zu: fault %d (%s)", i, (int)a.fault, a.text);
        assert_int_equal(a.status, 0);
    }
}

static void test_http_network_tls_with_a_plain_server(void **state)
{
    struct talk t;
    char url[64];

    (void)state;
    talk_open(&t, NULL);
    scripted_add(t.s,
                 &(struct scripted_reply){.text = "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n",
                                          .immediate = true});
    (void)snprintf(url, sizeof url, "https://127.0.0.1:%d/", scripted_port(t.s));
    assert_int_equal(talk_do(&t, (struct http_request){.method = "GET", .url = url})->fault,
                     HTTP_TLS);
    talk_close(&t);
}

/* Cut, not refused: retryable like any connection that does not come about. */
static void test_http_network_tls_handshake_cut_or_stalled(void **state)
{
    struct talk t;
    char url[64];

    (void)state;
    talk_open(&t, &(struct http_options){.connect_timeout_ms = 300});
    (void)snprintf(url, sizeof url, "https://127.0.0.1:%d/", scripted_port(t.s));
    scripted_add(t.s, &(struct scripted_reply){.immediate = true, .close = true});
    scripted_add(t.s, &(struct scripted_reply){.immediate = true, .reset = true});
    scripted_add(t.s, &(struct scripted_reply){.immediate = true, .hang = true});
    for (int i = 0; i < 3; i++) {
        const struct answer *a = talk_do(&t, (struct http_request){.method = "GET", .url = url});
        if (a->fault != HTTP_CONNECT)
            fail_msg("case %d: fault %d (%s)", i, (int)a->fault, a->text);
    }
    talk_close(&t);
}

static void test_http_network_tls_carries_bodies_both_ways(void **state)
{
    struct identity who;
    struct answer a[6] = {{0}};
    char url[128];

    (void)state;
    unsigned char *bytes = talk_bytes(3 * MIB);
    const int fd = talk_file(3 * MIB);
    identity_make(&who, "IP:127.0.0.1", 1);
    struct scripted *s = scripted_start(
        &(struct scripted_options){.tls_certificate = who.certificate, .tls_key = who.key});
    scripted_add(
        s, &(struct scripted_reply){.text = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nback",
                                    .repeat = true});
    struct http *h =
        talk_loop(&(struct http_options){.ca_file = who.certificate, .max_connections = 2});
    (void)snprintf(url, sizeof url, "%s/x", scripted_url(s));
    for (int i = 0; i < 6; i++)
        talk_submit(h,
                    &(struct http_request){.method = "PUT",
                                           .url = url,
                                           .body = i % 2 == 0 ? bytes : NULL,
                                           .fd = fd,
                                           .has_fd = i % 2 != 0,
                                           .length = 3 * MIB - (size_t)i},
                    &a[i]);
    talk_drive(h);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(a[i].fault, HTTP_FINE);
        assert_string_equal(a[i].body, "back");
        assert_int_equal(a[i].sent, 3 * MIB - (size_t)i);
        answer_release(&a[i]);
        const struct scripted_request *q = scripted_request_at(s, (size_t)i);
        assert_memory_equal(q->body, bytes, q->content_length);
    }
    assert_int_equal(scripted_connections(s), 2);
    http_free(h);
    scripted_stop(s);
    identity_remove(&who);
    (void)close(fd);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http_network_refused),
        cmocka_unit_test(test_http_network_unresolvable_name),
        cmocka_unit_test(test_http_network_unresolvable_name_again),
        cmocka_unit_test(test_http_network_malformed_host),
        cmocka_unit_test(test_http_network_connect_timeout),
        cmocka_unit_test(test_http_network_tls_trusts_the_given_ca),
        cmocka_unit_test(test_http_network_tls_refuses_strangers),
        cmocka_unit_test(test_http_network_tls_with_a_plain_server),
        cmocka_unit_test(test_http_network_tls_handshake_cut_or_stalled),
        cmocka_unit_test(test_http_network_tls_carries_bodies_both_ways),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
