/* http: many requests, timers, cancelling, waking. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "talk.h"

#define MANY 40

static void test_http_loop_keeps_connections_alive(void **state)
{
    static const char *const methods[] = {"GET", "PUT", "HEAD", "POST", "DELETE", "PUT", "GET"};
    struct http_counts c;
    struct talk t;

    (void)state;
    talk_open(&t, NULL);
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        const bool body = methods[i][0] == 'P';
        scripted_add_status(t.s, i % 3 == 2 ? 404 : 200, NULL, i % 2 == 0 ? "some body" : NULL);
        const struct answer *a = talk_do(&t, (struct http_request){.method = methods[i],
                                                                   .body = body ? "xy" : NULL,
                                                                   .length = body ? 2 : 0});
        assert_int_equal(a->fault, HTTP_FINE);
    }
    assert_int_equal(scripted_connections(t.s), 1);
    http_counts(t.h, &c);
    assert_int_equal(c.connections, 1);
    assert_int_equal(c.get, 2);
    assert_int_equal(c.put, 2);
    assert_int_equal(c.head, 1);
    assert_int_equal(c.post, 1);
    assert_int_equal(c.delete_, 1);
    assert_int_equal(c.bytes_sent, 6);
    assert_int_equal(c.bytes_received, 18 + 9); /* GET, DELETE, GET; HEAD has none */
    talk_close(&t);
}

static void test_http_loop_counts_only_what_was_sent(void **state)
{
    struct http *h = talk_loop(&(struct http_options){0});
    struct answer a = {0};
    struct http_counts c;

    (void)state;
    talk_submit(h, &(struct http_request){.method = "PUT", .url = "http://127.0.0.1:1/"}, &a);
    talk_drive(h);
    assert_int_equal(a.fault, HTTP_CONNECT);
    http_counts(h, &c);
    assert_int_equal(c.put, 0);
    answer_release(&a);
    http_free(h);
}

/* No more connections than allowed, each request answered once, by the answer that belongs to it. */
static void test_http_loop_bounds_connections(void **state)
{
    struct answer a[MANY] = {0};
    char url[MANY][128];
    struct talk t;

    (void)state;
    talk_open(&t, &(struct http_options){.max_connections = 3});
    for (int i = 0; i < MANY; i++) {
        char target[32], text[128];
        (void)snprintf(target, sizeof target, "/n/%d!", i);
        (void)snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n%02d", i);
        (void)snprintf(url[i], sizeof url[i], "%s%s", scripted_url(t.s), target);
        scripted_add(t.s, &(struct scripted_reply){.text = text, .target = target, .delay_ms = 2});
        talk_submit(t.h, &(struct http_request){.method = "GET", .url = url[i]}, &a[i]);
    }
    assert_int_equal(http_active(t.h), MANY);
    talk_drive(t.h);
    assert_int_equal(scripted_connections(t.s), 3);
    assert_int_equal(scripted_unscripted(t.s), 0);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(a[i].calls, 1);
        assert_int_equal(a[i].fault, HTTP_FINE);
        assert_int_equal(atol(a[i].body), i);
        answer_release(&a[i]);
    }
    talk_close(&t);
}

/* A deadline does not run while a request waits for its turn. */
static void test_http_loop_deadline_begins_with_the_transfer(void **state)
{
    struct answer a[3] = {{0}};
    struct talk t;

    (void)state;
    talk_open(&t, &(struct http_options){.max_connections = 1});
    scripted_add(t.s, &(struct scripted_reply){.text = OK_REPLY, .delay_ms = 250, .repeat = true});
    for (int i = 0; i < 3; i++)
        talk_submit(t.h, &(struct http_request){.method = "GET", .url = t.url, .deadline_ms = 600},
                    &a[i]);
    talk_drive(t.h);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(a[i].fault, HTTP_FINE);
        answer_release(&a[i]);
    }
    talk_close(&t);
}

struct chain {
    struct http *h;
    const char *url;
    int left, calls;
};

static void submit_next(void *user, const struct http_response *r)
{
    struct chain *c = user;
    struct err e;

    err_init(&e);
    assert_int_equal(r->fault, HTTP_FINE);
    c->calls++;
    if (c->left-- > 0)
        assert_int_equal(http_submit(c->h, &(struct http_request){.method = "GET", .url = c->url},
                                     submit_next, c, &e),
                         ERR_OK);
}

static void test_http_loop_callback_may_submit(void **state)
{
    struct talk t;
    struct err e;

    (void)state;
    err_init(&e);
    talk_open(&t, NULL);
    scripted_add(t.s, &(struct scripted_reply){.text = OK_REPLY, .repeat = true});
    struct chain c = {.h = t.h, .url = t.url, .left = 20};
    assert_int_equal(http_submit(t.h, &(struct http_request){.method = "GET", .url = t.url},
                                 submit_next, &c, &e),
                     ERR_OK);
    talk_drive(t.h);
    assert_int_equal(c.calls, 21);
    assert_int_equal(scripted_connections(t.s), 1);
    talk_close(&t);
}

/* ---- timers ---------------------------------------------------------------------------------------- */

struct tick {
    struct http *h;
    int calls, cancelled, again;
    int64_t at_ms;
};

static void on_tick(void *user, bool cancelled)
{
    struct tick *k = user;
    struct err e;

    err_init(&e);
    k->calls++;
    k->cancelled += cancelled;
    k->at_ms = clock_mono_ms();
    if (k->again-- > 0)
        assert_int_equal(http_after(k->h, 0, on_tick, k, &e), ERR_OK);
}

static void test_http_loop_timers_fire_in_time_and_order(void **state)
{
    static const int64_t delays[] = {60, 0, 30, 30, -5, 90};
    struct http *h = talk_loop(&(struct http_options){0});
    struct tick k[6] = {{0}};
    struct err e;

    (void)state;
    err_init(&e);
    const int64_t start = clock_mono_ms();
    for (int i = 0; i < 6; i++)
        assert_int_equal(http_after(h, delays[i], on_tick, &k[i], &e), ERR_OK);
    assert_int_equal(http_active(h), 6);
    talk_drive(h);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(k[i].calls, 1);
        assert_int_equal(k[i].cancelled, 0);
        assert_true(k[i].at_ms - start >= delays[i]);
        assert_true(k[i].at_ms - start < delays[i] + 5000);
    }
    http_free(h);
}

static void test_http_loop_timer_may_add_timers(void **state)
{
    struct http *h = talk_loop(&(struct http_options){0});
    struct tick k = {.h = h, .again = 25};
    struct err e;

    (void)state;
    err_init(&e);
    assert_int_equal(http_after(h, 0, on_tick, &k, &e), ERR_OK);
    talk_drive(h);
    assert_int_equal(k.calls, 26);
    http_free(h);
}

/* A timer that is far off does not keep http_run from coming back in time. */
static void test_http_loop_run_honours_its_timeout(void **state)
{
    struct http *h = talk_loop(&(struct http_options){0});
    struct tick k = {0};
    struct err e;

    (void)state;
    err_init(&e);
    assert_int_equal(http_after(h, 3600000, on_tick, &k, &e), ERR_OK);
    const int64_t start = clock_mono_ms();
    assert_int_equal(http_run(h, 40, &e), ERR_OK);
    const int64_t took = clock_mono_ms() - start;
    assert_true(took >= 39 && took < 5000);
    assert_int_equal(http_run(h, 0, &e), ERR_OK);
    assert_int_equal(k.calls, 0);
    http_free(h);
    assert_int_equal(k.calls, 1);
    assert_int_equal(k.cancelled, 1);
}

/* ---- cancelling ---------------------------------------------------------------------------------------- */

static void test_http_loop_cancel_reaches_all(void **state)
{
    struct answer a[6] = {{0}};
    struct tick k = {0};
    struct talk t;
    struct err e;

    (void)state;
    err_init(&e);
    talk_open(&t, &(struct http_options){.max_connections = 2});
    scripted_add(t.s, &(struct scripted_reply){.hang = true, .repeat = true});
    for (int i = 0; i < 6; i++) /* two run, four wait */
        talk_submit(t.h, &(struct http_request){.method = "PUT", .url = t.url}, &a[i]);
    assert_int_equal(http_after(t.h, 3600000, on_tick, &k, &e), ERR_OK);
    for (int i = 0; scripted_count(t.s) < 2 && i < 1000; i++)
        assert_int_equal(http_run(t.h, 10, &e), ERR_OK);
    assert_int_equal(scripted_count(t.s), 2);
    http_cancel_all(t.h);
    assert_int_equal(http_active(t.h), 0);
    assert_int_equal(k.cancelled, 1);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(a[i].calls, 1);
        assert_int_equal(a[i].fault, HTTP_CANCELLED);
        assert_int_equal(a[i].status, 0);
        answer_release(&a[i]);
    }
    struct http_counts c;
    http_counts(t.h, &c);
    assert_int_equal(c.put, 2);
    talk_close(&t);
}

static void resubmit(void *user, const struct http_response *r)
{
    struct chain *c = user;
    struct err e;

    err_init(&e);
    c->calls++;
    assert_int_equal(r->fault, HTTP_CANCELLED);
    const enum err_code code =
        http_submit(c->h, &(struct http_request){.method = "GET", .url = c->url}, resubmit, c, &e);
    assert_int_equal(code, c->left-- > 0 ? ERR_OK : ERR_CANCELLED);
}

/* What callbacks submit while all is cancelled stays; while the loop is freed it is refused. */
static void test_http_loop_cancel_and_free_end_even_when_callbacks_submit(void **state)
{
    struct talk t;
    struct err e;

    (void)state;
    err_init(&e);
    talk_open(&t, NULL);
    scripted_add(t.s, &(struct scripted_reply){.hang = true, .repeat = true});
    struct chain c = {.h = t.h, .url = t.url, .left = 1};
    assert_int_equal(
        http_submit(t.h, &(struct http_request){.method = "GET", .url = t.url}, resubmit, &c, &e),
        ERR_OK);
    http_cancel_all(t.h);
    assert_int_equal(c.calls, 1);
    assert_int_equal(http_active(t.h), 1);
    assert_int_equal(http_run(t.h, 0, &e), ERR_OK);
    talk_close(&t);
    assert_int_equal(c.calls, 2);
}

static bool cancel_from_sink(void *user, const void *p, size_t n)
{
    (void)p;
    (void)n;
    http_cancel_all(user); /* inside libcurl: has to wait until it has come back */
    return true;
}

static void test_http_loop_cancel_from_a_sink(void **state)
{
    struct answer a[2] = {{0}};
    struct talk t;
    char quiet[128];

    (void)state;
    talk_open(&t, NULL);
    (void)snprintf(quiet, sizeof quiet, "%s/quiet", scripted_url(t.s));
    scripted_add(
        t.s, &(struct scripted_reply){.target = "/bkt/key",
                                      .text = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfirst"});
    scripted_add(t.s, &(struct scripted_reply){.target = "/quiet", .hang = true});
    talk_submit(t.h,
                &(struct http_request){
                    .method = "GET", .url = t.url, .sink = cancel_from_sink, .user = t.h},
                &a[0]);
    talk_submit(t.h, &(struct http_request){.method = "GET", .url = quiet}, &a[1]);
    talk_drive(t.h);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(a[i].calls, 1);
        assert_int_equal(a[i].fault, HTTP_CANCELLED);
        answer_release(&a[i]);
    }
    talk_close(&t);
}

static void *wake(void *user)
{
    http_wakeup(user);
    return NULL;
}

static void test_http_loop_wakes_from_another_thread(void **state)
{
    struct http *h = talk_loop(&(struct http_options){0});
    pthread_t thread;
    struct err e;

    (void)state;
    err_init(&e);
    const int64_t start = clock_mono_ms();
    assert_int_equal(pthread_create(&thread, NULL, wake, h), 0);
    assert_int_equal(http_run(h, 15000, &e), ERR_OK);
    assert_true(clock_mono_ms() - start < 10000);
    assert_int_equal(pthread_join(thread, NULL), 0);
    http_free(h);
}

/* P10: descriptors and easy handles are reused, and free gives all back; sockets do not leak into children. */
static void test_http_loop_leaves_no_descriptor(void **state)
{
    int before = 0, after = 0;
    struct talk t;

    (void)state;
    for (int fd = 0; fd < 256; fd++)
        before += fcntl(fd, F_GETFD) >= 0;
    talk_open(&t, NULL);
    scripted_add(t.s, &(struct scripted_reply){.text = OK_REPLY, .repeat = true});
    int known[256];
    for (int fd = 0; fd < 256; fd++)
        known[fd] = fcntl(fd, F_GETFD) >= 0;
    for (int i = 0; i < 100; i++)
        assert_int_equal(talk_do(&t, (struct http_request){.method = "GET"})->status, 200);
    int fresh = 0;
    for (int fd = 0; fd < 256; fd++) {
        const int flags = fcntl(fd, F_GETFD);
        if (flags >= 0 && known[fd] == 0) {
            fresh++;
            assert_int_equal(flags & FD_CLOEXEC, FD_CLOEXEC);
        }
    }
    assert_in_range(fresh, 1, 2); /* both ends are in this process */
    talk_close(&t);
    for (int fd = 0; fd < 256; fd++)
        after += fcntl(fd, F_GETFD) >= 0;
    assert_int_equal(after, before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http_loop_keeps_connections_alive),
        cmocka_unit_test(test_http_loop_counts_only_what_was_sent),
        cmocka_unit_test(test_http_loop_bounds_connections),
        cmocka_unit_test(test_http_loop_deadline_begins_with_the_transfer),
        cmocka_unit_test(test_http_loop_callback_may_submit),
        cmocka_unit_test(test_http_loop_timers_fire_in_time_and_order),
        cmocka_unit_test(test_http_loop_timer_may_add_timers),
        cmocka_unit_test(test_http_loop_run_honours_its_timeout),
        cmocka_unit_test(test_http_loop_cancel_reaches_all),
        cmocka_unit_test(test_http_loop_cancel_and_free_end_even_when_callbacks_submit),
        cmocka_unit_test(test_http_loop_cancel_from_a_sink),
        cmocka_unit_test(test_http_loop_wakes_from_another_thread),
        cmocka_unit_test(test_http_loop_leaves_no_descriptor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
