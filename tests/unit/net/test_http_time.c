/* http: time limits and bandwidth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <unistd.h>

#include "talk.h"

#define MIB ((size_t)1 << 20)

/* D6: silence in every phase, and one byte now and then, which does not keep a transfer alive for ever. */
static void test_http_time_stall_is_a_timeout(void **state)
{
    static char trickle[2100];
    const int head =
        snprintf(trickle, sizeof trickle, "HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n");
    const struct scripted_reply stalls[] = {
        {.target = "/0", .hang = true}, /* not a word */
        {.target = "/1", .text = "HTTP/1.1 200 OK\r\nContent-Le", .hang = true},
        {.target = "/2", .text = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", .hang = true},
        {.target = "/3", .early = true, .hang = true}, /* does not read our body */
        {.target = "/4", .text = trickle, .bytes_per_second = 50},
    };
    struct answer a[5] = {{0}};
    struct talk t;

    (void)state;
    memset(trickle + head, 'x', 2000);
    unsigned char *bytes = talk_bytes(16 * MIB);
    talk_open(&t, &(struct http_options){.stall_ms = 900});
    for (size_t i = 0; i < 5; i++) {
        char url[128];
        (void)snprintf(url, sizeof url, "%s/%zu", scripted_url(t.s), i);
        scripted_add(t.s, &stalls[i]);
        talk_submit(
            t.h,
            &(struct http_request){
                .method = "PUT", .url = url, .body = bytes, .length = i == 3 ? 16 * MIB : 10},
            &a[i]);
    }
    talk_drive(t.h);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(a[i].fault, HTTP_TIMEOUT);
        assert_int_equal(a[i].status, i == 2 || i == 4 ? 200 : 0);
        assert_true(a[i].elapsed_us >= 900000 && a[i].elapsed_us < 15000000);
        answer_release(&a[i]);
    }
    talk_close(&t);
    free(bytes);
}

static void test_http_time_slow_but_steady_is_fine(void **state)
{
    static char raw[40100];
    struct talk t;

    (void)state;
    int n = snprintf(raw, sizeof raw, "HTTP/1.1 200 OK\r\nContent-Length: 40000\r\n\r\n");
    memset(raw + n, 'x', 40000);
    talk_open(&t, &(struct http_options){.stall_ms = 1000});
    scripted_add(t.s, &(struct scripted_reply){
                          .bytes = raw, .length = (size_t)n + 40000, .bytes_per_second = 20000});
    const struct answer *a = talk_do(&t, (struct http_request){.method = "GET"});
    assert_int_equal(a->fault, HTTP_FINE);
    assert_true(a->elapsed_us > 1500000); /* longer than stall_ms */
    talk_close(&t);
}

static void test_http_time_deadline_is_kept(void **state)
{
    struct talk t;

    (void)state;
    talk_open(&t, NULL);
    scripted_add(t.s, &(struct scripted_reply){.text = "HTTP/1.1 200 OK\r\n\r\n",
                                               .endless = true,
                                               .bytes_per_second = 40000});
    const struct answer *a =
        talk_do(&t, (struct http_request){.method = "GET", .deadline_ms = 300});
    assert_int_equal(a->fault, HTTP_TIMEOUT);
    assert_int_equal(a->status, 200);
    assert_true(a->elapsed_us >= 290000 && a->elapsed_us < 10000000);
    talk_close(&t);
}

/* ---- bandwidth ------------------------------------------------------------------------------------- */

/* Over all uploads together, whether they are many and small or few and large, in memory or in files. */
static void test_http_time_bandwidth_is_limited(void **state)
{
    struct answer a[24] = {{0}};
    struct talk t;

    (void)state;
    unsigned char *bytes = talk_bytes(MIB);
    const int fd = talk_file(MIB);
    talk_open(&t, &(struct http_options){.bytes_per_second = 1 * MIB, .max_connections = 6});
    scripted_add(t.s, &(struct scripted_reply){.text = OK_REPLY, .repeat = true});
    const int64_t start = clock_mono_ms();
    for (int i = 0; i < 24; i++) /* 20 of 20,000 bytes and 4 of 200,000: 1.2 MB */
        talk_submit(t.h,
                    &(struct http_request){.method = "PUT",
                                           .url = t.url,
                                           .body = i % 2 == 0 ? bytes : NULL,
                                           .fd = fd,
                                           .has_fd = i % 2 != 0,
                                           .length = i < 20 ? 20000 : 200000},
                    &a[i]);
    talk_drive(t.h);
    const int64_t took = clock_mono_ms() - start;
    assert_true(took >= 1000); /* 1,144 ms less the first tenth of a second */
    assert_true(took < 10000);
    for (int i = 0; i < 24; i++) {
        assert_int_equal(a[i].fault, HTTP_FINE);
        assert_int_equal(a[i].sent, i < 20 ? 20000 : 200000);
        answer_release(&a[i]);
    }
    for (size_t i = 0; i < 24; i++) {
        const struct scripted_request *q = scripted_request_at(t.s, i);
        assert_memory_equal(q->body, bytes, q->content_length);
    }
    talk_close(&t);
    (void)close(fd);
    free(bytes);
}

/* Waiting for our own limit is no stall. */
static void test_http_time_bandwidth_limit_is_no_stall(void **state)
{
    struct answer a[4] = {{0}};
    struct talk t;

    (void)state;
    unsigned char *bytes = talk_bytes(5000);
    talk_open(&t, &(struct http_options){
                      .bytes_per_second = 8000, .max_connections = 4, .stall_ms = 1000});
    scripted_add(t.s, &(struct scripted_reply){.text = OK_REPLY, .repeat = true});
    for (int i = 0; i < 4; i++)
        talk_submit(
            t.h,
            &(struct http_request){.method = "PUT", .url = t.url, .body = bytes, .length = 5000},
            &a[i]);
    talk_drive(t.h);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(a[i].fault, HTTP_FINE);
        answer_release(&a[i]);
    }
    talk_close(&t);
    free(bytes);
}

static void test_http_time_cancel_while_waiting_for_bandwidth(void **state)
{
    struct answer a[6] = {{0}};
    struct talk t;
    struct err e;

    (void)state;
    err_init(&e);
    unsigned char *bytes = talk_bytes(MIB);
    talk_open(&t, &(struct http_options){.bytes_per_second = 20000, .max_connections = 4});
    for (int i = 0; i < 6; i++)
        talk_submit(
            t.h,
            &(struct http_request){.method = "PUT", .url = t.url, .body = bytes, .length = MIB},
            &a[i]);
    for (int i = 0; i < 30; i++)
        assert_int_equal(http_run(t.h, 5, &e), ERR_OK);
    http_cancel_all(t.h);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(a[i].fault, HTTP_CANCELLED);
        assert_true(a[i].sent < 200000);
        answer_release(&a[i]);
    }
    assert_int_equal(http_active(t.h), 0);
    talk_close(&t);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http_time_stall_is_a_timeout),
        cmocka_unit_test(test_http_time_slow_but_steady_is_fine),
        cmocka_unit_test(test_http_time_deadline_is_kept),
        cmocka_unit_test(test_http_time_bandwidth_is_limited),
        cmocka_unit_test(test_http_time_bandwidth_limit_is_no_stall),
        cmocka_unit_test(test_http_time_cancel_while_waiting_for_bandwidth),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
