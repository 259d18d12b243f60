/* http_rescue: the answer that was there before the reset. The race that it is for cannot be forced through libcurl, so the
 * parts are put together by hand: a connection, an answer, a reset, a failed send, then the close. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "net/http_rescue.h"
#include "net/http_socket.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define REFUSAL "HTTP/1.1 403 Forbidden\r\nETag: \"no\"\r\nContent-Length: 6\r\n\r\ndenied"

struct rig {
    struct http_setup setup;
    struct http_transfers running;
    struct http_sockets sockets;
    struct http_transfer *t;
    int client;
    int client_port;
};

static void no_callback(void *user, const struct http_response *r)
{
    (void)user;
    (void)r;
    fail();
}

/* A connected TCP socket whose peer said `answer` and reset it; the client has tried to send since. */
static int reset_connection(const char *answer, size_t n, int *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(listener >= 0 && client >= 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(connect(client, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(client, (struct sockaddr *)&address, &size), 0);
    *port = ntohs(address.sin_port);
    const int server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(server >= 0);
    assert_int_equal(send(server, answer, n, MSG_NOSIGNAL), n);
    assert_int_equal(setsockopt(server, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    (void)close(server);
    (void)close(listener);
    struct pollfd p = {.fd = client, .events = POLLRDHUP};
    assert_int_equal(poll(&p, 1, 5000), 1);
    assert_int_equal(send(client, "body", 4, MSG_NOSIGNAL), -1);
    return client;
}

static void rig_up(struct rig *g, const char *url, const char *answer, size_t n)
{
    const struct http_request q = {.method = "PUT", .url = url, .body = "body", .length = 4};
    struct err e;

    err_init(&e);
    memset(g, 0, sizeof *g);
    TAILQ_INIT(&g->running);
    g->setup.running = &g->running;
    http_socket_init(&g->sockets);
    g->setup.sockets = &g->sockets;
    assert_int_equal(http_transfer_new(&g->t, &q, no_callback, NULL, &e), ERR_OK);
    TAILQ_INSERT_TAIL(&g->running, g->t, entry);
    g->client = reset_connection(answer, n, &g->client_port);
}

static void rig_down(struct rig *g)
{
    assert_int_equal(close(g->client), -1); /* http_rescue_close has closed it */
    http_transfer_free(g->t);
}

static void note(struct rig *g, int port)
{
    char ip[] = "127.0.0.1";

    assert_int_equal(http_rescue_note(g->t, ip, ip, 80, port), CURL_PREREQFUNC_OK);
}

static void test_http_rescue_reads_what_was_left(void **state)
{
    struct rig g;

    (void)state;
    rig_up(&g, "http://127.0.0.1/x", REFUSAL "GARBAGE", sizeof REFUSAL "GARBAGE" - 1);
    note(&g, g.client_port);
    assert_int_equal(http_rescue_close(&g.setup, g.client), 0);
    http_rescue_answer(g.t);
    assert_int_equal(g.t->response.status, 403);
    assert_string_equal(buf_cstr(&g.t->response.body), "denied");
    assert_string_equal(http_response_header(&g.t->response, "etag"), "\"no\"");
    assert_true(http_response_is_whole(&g.t->intake));
    rig_down(&g);
}

static void test_http_rescue_passes_over_interim_answers(void **state)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n" REFUSAL;
    struct rig g;

    (void)state;
    rig_up(&g, "http://127.0.0.1/x", text, sizeof text - 1);
    note(&g, g.client_port);
    http_rescue_close(&g.setup, g.client);
    http_rescue_answer(g.t);
    assert_int_equal(g.t->response.status, 403);
    assert_true(http_response_is_whole(&g.t->intake));
    rig_down(&g);
}

static void test_http_rescue_takes_nothing_that_is_not_its_own(void **state)
{
    struct rig g;

    (void)state;
    rig_up(&g, "http://127.0.0.1/x", REFUSAL, sizeof REFUSAL - 1);
    note(&g, g.client_port + 1); /* another connection */
    http_rescue_close(&g.setup, g.client);
    assert_int_equal(g.t->unread.len, 0);
    rig_down(&g);

    rig_up(&g, "https://127.0.0.1/x", REFUSAL, sizeof REFUSAL - 1);
    note(&g, g.client_port);
    http_rescue_close(&g.setup, g.client);
    assert_int_equal(g.t->unread.len, 0);
    rig_down(&g);

    rig_up(&g, "http://127.0.0.1/x", REFUSAL, sizeof REFUSAL - 1);
    note(&g, g.client_port);
    g.t->intake.header_bytes = 5; /* libcurl was reading it already */
    http_rescue_close(&g.setup, g.client);
    assert_int_equal(g.t->unread.len, 0);
    rig_down(&g);
}

/* libcurl would send again after a dead reused connection: it may not, and the refusal that was left there counts. */
static void test_http_rescue_lets_nothing_be_sent_twice(void **state)
{
    char ip[] = "127.0.0.1";
    struct rig g;

    (void)state;
    rig_up(&g, "http://127.0.0.1/x", REFUSAL, sizeof REFUSAL - 1);
    note(&g, g.client_port);
    http_rescue_close(&g.setup, g.client);
    assert_true(g.t->unread.len > 0);
    assert_int_equal(http_rescue_note(g.t, ip, ip, 80, g.client_port + 7), CURL_PREREQFUNC_ABORT);
    http_rescue_answer(g.t);
    assert_int_equal(g.t->response.status, 403);
    rig_down(&g);
}

static void test_http_rescue_is_wary_of_what_it_finds(void **state)
{
    static const struct {
        const char *text;
        int status;
        bool whole;
    } table[] = {
        {"HTTP/1.1 403 F\r\nContent-Length: 9\r\n\r\ndenied", 403, false},
        {"HTTP/1.1 403 F\r\n\r\ndenied", 403, false},
        {"HTTP/1.1 403 F\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 403, false},
        {"HTTP/1.1 403 F\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 0, false},
        {"HTTP/1.1 403 F\r\nContent-Length: 0\r\n\r\n", 403, true},
        {"HTTP/1.1 200 F\r\nContent-Length: 0\r\n\r\n", 200, true},
        {"HTTP/1.1 403 F\r\nContent-Len", 0, false},
        {"HTTP/1.1 403 F\r\n", 0, false},
        {"SSH-2.0-OpenSSH_9.2\r\n\r\n", 0, false},
        {"HTTP/1", 0, false},
        {"HTTP/1.1 100 Continue\r\n\r\n", 0, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct rig g;
        rig_up(&g, "http://127.0.0.1/x", table[i].text, strlen(table[i].text));
        note(&g, g.client_port);
        http_rescue_close(&g.setup, g.client);
        http_rescue_answer(g.t);
        assert_int_equal(g.t->response.status, table[i].status);
        assert_int_equal(http_response_is_whole(&g.t->intake), table[i].whole);
        rig_down(&g);
    }
}

/* P10: an answer without end is kept only so far. */
static void test_http_rescue_is_bounded(void **state)
{
    static char text[3 * HTTP_RESCUE_MAX / 2];
    struct rig g;

    (void)state;
    memset(text, 'x', sizeof text);
    memcpy(text, REFUSAL, sizeof REFUSAL - 1);
    rig_up(&g, "http://127.0.0.1/x", text, sizeof text);
    note(&g, g.client_port);
    http_rescue_close(&g.setup, g.client);
    assert_true(g.t->unread.len <= HTTP_RESCUE_MAX);
    http_rescue_answer(g.t);
    assert_int_equal(g.t->response.status, 403);
    assert_int_equal(g.t->response.body.len, 6);
    rig_down(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http_rescue_reads_what_was_left),
        cmocka_unit_test(test_http_rescue_passes_over_interim_answers),
        cmocka_unit_test(test_http_rescue_takes_nothing_that_is_not_its_own),
        cmocka_unit_test(test_http_rescue_lets_nothing_be_sent_twice),
        cmocka_unit_test(test_http_rescue_is_wary_of_what_it_finds),
        cmocka_unit_test(test_http_rescue_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
