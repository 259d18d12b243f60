/* http: request bodies from memory and from files, whole or not at all (P1). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "talk.h"

#define MIB ((size_t)1 << 20)

/* What tap saw. */
struct seen {
    unsigned char *bytes;
    size_t len, restarts;
};

static void on_tap(void *user, const void *p, size_t n)
{
    struct seen *v = user;

    if (p == NULL) {
        assert_int_equal(n, 0);
        v->len = 0;
        v->restarts++;
        return;
    }
    v->bytes = realloc(v->bytes, v->len + n + 1);
    assert_non_null(v->bytes);
    memcpy(v->bytes + v->len, p, n);
    v->len += n;
}

static const size_t sizes[] = {0, 1, 100, 65535, 65536, 65537, 131072, 1000003, 3 * MIB + 1};

/* The last request that the server saw has exactly these bytes. */
static void expect_body(struct talk *t, const unsigned char *bytes, size_t n)
{
    const struct scripted_request *q = scripted_request_at(t->s, scripted_count(t->s) - 1);

    assert_non_null(q);
    assert_int_equal(q->content_length, n);
    assert_int_equal(q->body_length, n);
    assert_int_equal(q->body_kept, n);
    assert_memory_equal(q->body, bytes, n);
}

static void test_http_body_from_memory(void **state)
{
    unsigned char *bytes = talk_bytes(3 * MIB + 1);
    struct talk t;

    (void)state;
    talk_open(&t, NULL);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct seen v = {0};
        scripted_add_text(t.s, OK_REPLY);
        const struct answer *a = talk_do(
            &t, (struct http_request){
                    .method = "PUT", .body = bytes, .length = sizes[i], .tap = on_tap, .user = &v});
        assert_int_equal(a->fault, HTTP_FINE);
        assert_int_equal(a->sent, sizes[i]);
        expect_body(&t, bytes, sizes[i]);
        assert_int_equal(v.len, sizes[i]);
        if (sizes[i] > 0)
            assert_memory_equal(v.bytes, bytes, sizes[i]);
        free(v.bytes);
    }
    assert_int_equal(scripted_connections(t.s), 1);
    talk_close(&t);
    free(bytes);
}

static void test_http_body_from_a_file(void **state)
{
    unsigned char *bytes = talk_bytes(3 * MIB + 200);
    const int fd = talk_file(3 * MIB + 200); /* longer than any of the bodies: not sent further */
    struct talk t;

    (void)state;
    talk_open(&t, NULL);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct seen v = {0};
        scripted_add_text(t.s, OK_REPLY);
        const struct answer *a = talk_do(&t, (struct http_request){.method = "PUT",
                                                                   .fd = fd,
                                                                   .has_fd = true,
                                                                   .offset = 99,
                                                                   .length = sizes[i],
                                                                   .tap = on_tap,
                                                                   .user = &v});
        assert_int_equal(a->fault, HTTP_FINE);
        assert_int_equal(a->sent, sizes[i]);
        expect_body(&t, bytes + 99, sizes[i]);
        assert_int_equal(v.len, sizes[i]);
        assert_int_equal(v.restarts, 0);
        if (sizes[i] > 0)
            assert_memory_equal(v.bytes, bytes + 99, sizes[i]);
        free(v.bytes);
    }
    assert_int_equal(scripted_connections(t.s), 1);
    talk_close(&t);
    (void)close(fd);
    free(bytes);
}

static void test_http_body_file_goes_with_any_method(void **state)
{
    unsigned char *bytes = talk_bytes(5000);
    const int fd = talk_file(5000);
    struct talk t;

    (void)state;
    talk_open(&t, NULL);
    scripted_add_text(t.s, OK_REPLY);
    assert_int_equal(
        talk_do(&t,
                (struct http_request){.method = "POST", .fd = fd, .has_fd = true, .length = 5000})
            ->status,
        200);
    assert_string_equal(scripted_request_at(t.s, 0)->method, "POST");
    expect_body(&t, bytes, 5000);
    talk_close(&t);
    (void)close(fd);
    free(bytes);
}

/* B2: truncated under us. The server never sees a whole request and cannot take it for one. */
static void test_http_body_short_file_is_our_fault(void **state)
{
    static const size_t lacks[] = {1, 100, 70000, 200000};
    struct talk t;

    (void)state;
    talk_open(&t, NULL);
    for (size_t i = 0; i < sizeof lacks / sizeof lacks[0]; i++) {
        const int fd = talk_file(200000 - lacks[i]);
        scripted_add_text(t.s, OK_REPLY);
        const struct answer *a = talk_do(
            &t, (struct http_request){.method = "PUT", .fd = fd, .has_fd = true, .length = 200000});
        assert_int_equal(a->fault, HTTP_LOCAL);
        assert_int_equal(a->local_errno, 0);
        assert_int_equal(a->status, 0);
        assert_int_equal(a->sent, 200000 - lacks[i]);
        assert_string_equal(a->text, "the file ended early");
        assert_true(scripted_wait(t.s, i + 1, 5000));
        const struct scripted_request *q = scripted_request_at(t.s, i);
        assert_int_equal(q->content_length, 200000);
        assert_true(q->body_length < 200000);
        (void)close(fd);
    }
    talk_close(&t);
}

static void test_http_body_unreadable_file_says_why(void **state)
{
    const int folder = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct talk t;

    (void)state;
    talk_open(&t, NULL);
    scripted_add(t.s, &(struct scripted_reply){.text = OK_REPLY, .repeat = true});
    const struct answer *a = talk_do(
        &t, (struct http_request){.method = "PUT", .fd = folder, .has_fd = true, .length = 10});
    assert_int_equal(a->fault, HTTP_LOCAL);
    assert_int_equal(a->local_errno, EISDIR);
    a = talk_do(&t,
                (struct http_request){.method = "PUT", .fd = 9999, .has_fd = true, .length = 10});
    assert_int_equal(a->fault, HTTP_LOCAL);
    assert_int_equal(a->local_errno, EBADF);
    assert_string_equal(a->text, "Bad file descriptor");
    (void)close(folder);
    talk_close(&t);
}

static struct http_request big_request(bool from_file, int fd, const void *bytes, size_t n)
{
    return (struct http_request){.method = "PUT",
                                 .body = from_file ? NULL : bytes,
                                 .fd = fd,
                                 .has_fd = from_file,
                                 .length = n};
}

/* FAILURES D1 and vector 065: the refusal must be read although the connection breaks while we send. */
static void test_http_body_early_refusal_is_read(void **state)
{
    static const char refusal[] = "HTTP/1.1 403 Forbidden\r\nConnection: close\r\n"
                                  "ETag: \"no\"\r\nContent-Length: 6\r\n\r\ndenied";
    unsigned char *bytes = talk_bytes(8 * MIB);
    const int fd = talk_file(8 * MIB);
    struct talk t;

    (void)state;
    talk_open(&t, NULL);
    for (int i = 0; i < 120; i++) {
        const struct scripted_reply reply = {.text = refusal,
                                             .early = true,
                                             .reset = i % 4 != 3,
                                             .delay_ms = i % 5 == 0 ? 0 : i % 7};
        if (i % 5 == 0) { /* so that the refused one meets a reused connection */
            scripted_add_text(t.s, OK_REPLY);
            assert_int_equal(talk_do(&t, (struct http_request){.method = "GET"})->status, 200);
        }
        scripted_add(t.s, &reply);
        const struct answer *a = talk_do(
            &t, big_request(i % 2 == 0, fd, bytes, i % 3 == 0 ? 8 * MIB : 66000 + (size_t)i));
        assert_int_equal(a->fault, HTTP_FINE);
        assert_int_equal(a->status, 403);
        assert_string_equal(a->body, "denied");
        assert_string_equal(a->etag, "\"no\"");
    }
    talk_close(&t);
    (void)close(fd);
    free(bytes);
}

/* A refusal that is not whole still tells its status, beside the fault. */
static void test_http_body_broken_refusal_keeps_its_status(void **state)
{
    unsigned char *bytes = talk_bytes(8 * MIB);
    struct talk t;

    (void)state;
    talk_open(&t, NULL);
    for (int i = 0; i < 20; i++) {
        scripted_add(t.s, &(struct scripted_reply){
                              .text = "HTTP/1.1 503 Slow\r\nContent-Length: 600\r\n\r\nbegun",
                              .early = true,
                              .reset = true,
                              .delay_ms = i % 5});
        const struct answer *a = talk_do(&t, big_request(false, -1, bytes, 8 * MIB));
        assert_int_equal(a->fault, HTTP_BROKEN);
        assert_int_equal(a->status, 503);
        assert_true(a->text[0] != '\0');
    }
    talk_close(&t);
    free(bytes);
}

/* P1: a 200 that was sent before the body had been read says nothing about the body. */
static void test_http_body_early_success_is_none(void **state)
{
    unsigned char *bytes = talk_bytes(8 * MIB);
    const int fd = talk_file(8 * MIB);
    struct talk t;

    (void)state;
    talk_open(&t, NULL);
    for (int i = 0; i < 20; i++) {
        scripted_add(t.s, &(struct scripted_reply){
                              .text = OK_REPLY, .early = true, .reset = true, .delay_ms = i % 3});
        assert_int_equal(talk_do(&t, big_request(i % 2 == 0, fd, bytes, 8 * MIB))->fault,
                         HTTP_BROKEN);
    }
    talk_close(&t);
    (void)close(fd);
    free(bytes);
}

/* D5: stored, but the answer is lost. */
static void test_http_body_lost_answer_is_broken(void **state)
{
    unsigned char *bytes = talk_bytes(100000);
    struct talk t;

    (void)state;
    talk_open(&t, NULL);
    for (int i = 0; i < 4; i++) {
        scripted_add(t.s, &(struct scripted_reply){.reset = i % 2 == 0, .close = true});
        const struct answer *a = talk_do(&t, big_request(false, -1, bytes, i < 2 ? 10 : 100000));
        assert_int_equal(a->fault, HTTP_BROKEN);
        assert_int_equal(a->status, 0);
        assert_int_equal(scripted_request_at(t.s, (size_t)i)->body_length, i < 2 ? 10 : 100000);
    }
    assert_int_equal(scripted_count(t.s), 4); /* nothing was sent twice */
    talk_close(&t);
    free(bytes);
}

/* P6: when a kept connection dies, libcurl would send the request once more by itself; it may have arrived. */
static void test_http_body_is_not_sent_again_on_a_dead_connection(void **state)
{
    unsigned char *bytes = talk_bytes(3 * MIB);
    const int fd = talk_file(3 * MIB);
    struct talk t;

    (void)state;
    talk_open(&t, NULL);
    for (int i = 0; i < 12; i++) {
        const bool streams = i % 2 == 0;
        const bool early = i % 3 == 0;

        scripted_add_text(t.s, OK_REPLY);
        scripted_add(t.s, &(struct scripted_reply){.early = early, .close = true});
        assert_int_equal(talk_do(&t, (struct http_request){.method = "GET"})->status, 200);
        const size_t before = scripted_count(t.s);
        const struct answer *a = talk_do(&t, big_request(streams, fd, bytes, 3 * MIB));
        assert_int_equal(a->fault, HTTP_BROKEN);
        assert_int_equal(a->status, 0);
        assert_int_equal(scripted_count(t.s), before + 1);
    }
    assert_int_equal(scripted_unscripted(t.s), 0);
    talk_close(&t);
    (void)close(fd);
    free(bytes);
}

/* Reading may be tried again by libcurl: it changes nothing. */
static void test_http_body_less_requests_survive_a_dead_connection(void **state)
{
    struct talk t;

    (void)state;
    talk_open(&t, NULL);
    scripted_add_text(t.s, OK_REPLY);
    scripted_add(t.s, &(struct scripted_reply){.close = true});
    scripted_add_text(t.s, OK_REPLY);
    assert_int_equal(talk_do(&t, (struct http_request){.method = "GET"})->status, 200);
    assert_int_equal(talk_do(&t, (struct http_request){.method = "GET"})->status, 200);
    assert_int_equal(scripted_count(t.s), 3);
    talk_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http_body_from_memory),
        cmocka_unit_test(test_http_body_from_a_file),
        cmocka_unit_test(test_http_body_file_goes_with_any_method),
        cmocka_unit_test(test_http_body_short_file_is_our_fault),
        cmocka_unit_test(test_http_body_unreadable_file_says_why),
        cmocka_unit_test(test_http_body_early_refusal_is_read),
        cmocka_unit_test(test_http_body_broken_refusal_keeps_its_status),
        cmocka_unit_test(test_http_body_early_success_is_none),
        cmocka_unit_test(test_http_body_lost_answer_is_broken),
        cmocka_unit_test(test_http_body_is_not_sent_again_on_a_dead_connection),
        cmocka_unit_test(test_http_body_less_requests_survive_a_dead_connection),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
