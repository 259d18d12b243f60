/* http_socket: connections that come and go behind the loop's back, numbers that are used again, and no waking for nothing.
 * An event that is missed shows as a request that does not end within TALK_LIMIT_MS, the stall limit being far longer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "talk.h"

#include <dirent.h>
#include <pthread.h>

#define LANES  8
#define ROUNDS 40
#define CLOSING_REPLY                                                                              \
    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\n"                            \
    "hello"

static size_t descriptors(void)
{
    DIR *d = opendir("/proc/self/fd");
    size_t n = 0;

    assert_non_null(d);
    while (readdir(d) != NULL)
        n++;
    (void)closedir(d);
    return n;
}

/* LANES requests at the same time, each answered. */
static void burst(struct talk *t, const char *method)
{
    struct answer a[LANES] = {0};

    for (size_t i = 0; i < LANES; i++)
        talk_submit(t->h,
                    &(struct http_request){
                        .method = method,
                        .url = t->url,
                        .body = "x",
                        .length = strcmp(method, "PUT") == 0 ? 1 : 0,
                    },
                    &a[i]);
    talk_drive(t->h);
    for (size_t i = 0; i < LANES; i++) {
        assert_int_equal(a[i].calls, 1);
        assert_string_equal(a[i].text, "");
        assert_int_equal(a[i].status, 200);
        answer_release(&a[i]);
    }
}

/* Turns until one has waited for its whole time: each connection that was lost may end a wait once. */
static void settle(struct http *h)
{
    struct err e;

    err_init(&e);
    for (int turns = 0;; turns++) {
        const int64_t start = clock_mono_ms();
        assert_true(turns < 4 * LANES);
        assert_int_equal(http_run(h, 30, &e), ERR_OK);
        if (clock_mono_ms() - start >= 29)
            break;
    }
}

static void test_http_socket_server_closes_idle_connections(void **state)
{
    struct talk t;

    (void)state;
    talk_open(&t, NULL);
    scripted_add(t.s, &(struct scripted_reply){.text = OK_REPLY, .close = true, .repeat = true});
    for (int i = 0; i < ROUNDS; i++) {
        burst(&t, "GET");
        if (i % 4 == 0)
            settle(t.h); /* the loop sees them go; otherwise libcurl finds out */
    }
    assert_true(scripted_connections(t.s) >= (size_t)LANES * ROUNDS / 4);
    assert_int_equal(scripted_unscripted(t.s), 0);
    talk_close(&t);
}

/* The resolver's sockets are not closed through us, and their numbers come back as connections. */
static void test_http_socket_numbers_are_used_again(void **state)
{
    const size_t before = descriptors();
    struct talk t;

    (void)state;
    talk_open(&t, NULL);
    scripted_add(t.s, &(struct scripted_reply){.text = CLOSING_REPLY, .repeat = true});
    for (int i = 0; i < ROUNDS; i++) {
        struct answer a[LANES] = {0};
        char url[160];
        for (size_t k = 0; k < LANES; k++) {
            (void)snprintf(url, sizeof url, "http://%070d.%d-%zu.invalid/", 0, i, k);
            talk_submit(t.h,
                        &(struct http_request){.method = "GET", .url = k % 2 == 0 ? url : t.url},
                        &a[k]);
        }
        talk_drive(t.h);
        for (size_t k = 0; k < LANES; k++) {
            assert_int_equal(a[k].calls, 1);
            assert_int_equal(a[k].fault, k % 2 == 0 ? HTTP_RESOLVE : HTTP_FINE);
            assert_int_equal(a[k].status, k % 2 == 0 ? 0 : 200);
            answer_release(&a[k]);
        }
    }
    assert_int_equal(scripted_connections(t.s), LANES / 2 * ROUNDS);
    talk_close(&t);
    assert_int_equal(descriptors(), before);
}

static void test_http_socket_kept_connection_is_quiet(void **state)
{
    struct talk t;

    (void)state;
    talk_open(&t, NULL);
    scripted_add(t.s, &(struct scripted_reply){.text = OK_REPLY, .repeat = true});
    for (int i = 0; i < ROUNDS; i++)
        burst(&t, i % 2 == 0 ? "PUT" : "GET");
    settle(t.h);
    burst(&t, "PUT"); /* and still heard */
    assert_true(scripted_connections(t.s) <= LANES);
    talk_close(&t);
}

/* ---- waking ------------------------------------------------------------------------------------- */

static void *wake_often(void *h)
{
    for (int i = 0; i < 1000; i++)
        http_wakeup(h);
    return NULL;
}

/* Woken before or during the wait, once for many calls; then asleep again. */
static void test_http_socket_wakeup_is_taken_once(void **state)
{
    struct http *h = talk_loop(&(struct http_options){0});
    pthread_t waker;
    struct err e;

    (void)state;
    err_init(&e);
    const int64_t start = clock_mono_ms();
    assert_int_equal(pthread_create(&waker, NULL, wake_often, h), 0);
    assert_int_equal(http_run(h, TALK_LIMIT_MS, &e), ERR_OK);
    assert_int_equal(pthread_join(waker, NULL), 0);
    assert_true(clock_mono_ms() - start < TALK_LIMIT_MS);
    settle(h);
    http_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http_socket_server_closes_idle_connections),
        cmocka_unit_test(test_http_socket_numbers_are_used_again),
        cmocka_unit_test(test_http_socket_kept_connection_is_quiet),
        cmocka_unit_test(test_http_socket_wakeup_is_taken_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
