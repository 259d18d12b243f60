/* http: answers as servers, proxies and attackers give them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>

#include "talk.h"

/* One GET (or HEAD) of `raw` on a loop of its own. */
static void check(const char *method, const char *raw, size_t n, enum http_fault fault, int status,
                  const char *body)
{
    struct talk t;

    talk_open(&t, NULL);
    scripted_add(t.s, &(struct scripted_reply){.bytes = raw, .length = n, .close = true});
    const struct answer *a = talk_do(&t, (struct http_request){.method = method});
    if (a->fault != fault || a->status != status || (body != NULL && strcmp(a->body, body) != 0))
        fail_msg("'%s': fault %d (%s), status %d, body '%s'", raw, (int)a->fault, a->text,
                 a->status, a->body);
    assert_int_equal(a->text[0] != '\0', fault != HTTP_FINE);
    talk_close(&t);
}

static void test_http_answer_table(void **state)
{
    static const struct {
        const char *method, *raw;
        enum http_fault fault;
        int status;
        const char *body; /* NULL: not compared */
    } table[] = {
        /* as it should be */
        {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", HTTP_FINE, 200, "ab"},
        {"GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab", HTTP_FINE, 200, "ab"},
        {"GET", "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nab", HTTP_FINE, 200, "ab"},
        {"GET", "HTTP/1.1 200 OK\nContent-Length: 2\n\nab", HTTP_FINE, 200, "ab"},
        {"GET", "HTTP/1.1 204 No\r\n\r\n", HTTP_FINE, 204, ""},
        {"GET", "HTTP/1.1 304 Same\r\nContent-Length: 99\r\n\r\n", HTTP_FINE, 304, ""},
        {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", HTTP_FINE, 200, ""},
        {"HEAD", "HTTP/1.1 404 No\r\n\r\n", HTTP_FINE, 404, ""},
        {"GET", "HTTP/1.1 599 ?\r\nContent-Length: 0\r\n\r\n", HTTP_FINE, 599, ""},
        /* to the end of the connection: length unknown */
        {"GET", "HTTP/1.1 200 OK\r\n\r\nto the end", HTTP_FINE, 200, "to the end"},
        /* interim answers */
        {"GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
         HTTP_FINE, 200, "a"},
        {"GET",
         "HTTP/1.1 103 Hints\r\nContent-Length: 7\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: "
         "1\r\n\r\na",
         HTTP_FINE, 200, "a"},
        /* chunks */
        {"GET",
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n",
         HTTP_FINE, 200, "abc"},
        {"GET",
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nETag: \"trailer\"\r\n"
         "\r\n",
         HTTP_FINE, 200, "a"},
        {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\n",
         HTTP_BROKEN, 200, NULL},
        {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n", HTTP_BROKEN,
         200, NULL},
        /* lengths that lie */
        {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nab", HTTP_BROKEN,
         200, "ab"},
        {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloGARBAGE", HTTP_FINE, 200,
         "hello"},
        {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
         HTTP_BROKEN, 0, ""},
        {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nContent-Length: 5\r\n\r\nhello!",
         HTTP_BROKEN, 0, ""},
        {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\ncontent-length:5\r\n\r\nhello", HTTP_FINE,
         200, "hello"},
        {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello", HTTP_BROKEN, 0, ""},
        {"GET", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nhello", HTTP_BROKEN, 0, ""},
        {"GET", "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello", HTTP_BROKEN, 0, ""},
        {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello", HTTP_BROKEN, 0, ""},
        {"GET", "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nhello", HTTP_BROKEN, 0, ""},
        {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhello", HTTP_BROKEN,
         0, ""},
        {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", HTTP_BROKEN,
         0, ""},
        /* no HTTP at all */
        {"GET", "", HTTP_BROKEN, 0, ""},
        {"GET", "\r\n\r\n", HTTP_BROKEN, 0, NULL},
        {"GET", "hello", HTTP_BROKEN, 0, NULL},
        {"GET", "SSH-2.0-OpenSSH_9.2\r\n", HTTP_BROKEN, 0, NULL},
        {"GET", "HTTP/1.1 200 OK\r\nContent-Le", HTTP_BROKEN, 0, NULL},
        {"GET", "HTTP/1.1 200 OK\r\n", HTTP_BROKEN, 0, NULL},
        {"GET", "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", HTTP_BROKEN, 0, NULL},
        {"GET", "HTTP/1.1 xx OK\r\nContent-Length: 0\r\n\r\n", HTTP_BROKEN, 0, NULL},
        {"GET", "HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n", HTTP_BROKEN, 0, NULL},
        {"GET", "HTTP/1.1 100 Continue\r\n\r\n", HTTP_BROKEN, 0, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        check(table[i].method, table[i].raw, strlen(table[i].raw), table[i].fault, table[i].status,
              table[i].body);
}

static void test_http_answer_with_nul_in_a_header_is_broken(void **state)
{
    static const char raw[] = "HTTP/1.1 200 OK\r\nETag: \"a\0b\"\r\nContent-Length: 0\r\n\r\n";

    (void)state;
    check("GET", raw, sizeof raw - 1, HTTP_BROKEN, 0, NULL);
}

/* What follows an answer belongs to nobody: the next request gets a fresh connection. */
static void test_http_answer_excess_is_not_the_next_answer(void **state)
{
    struct talk t;

    (void)state;
    talk_open(&t, NULL);
    scripted_add_text(t.s, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\n"
                           "Content-Length: 6\r\n\r\nforged");
    scripted_add_status(t.s, 200, NULL, "real");
    assert_string_equal(talk_do(&t, (struct http_request){.method = "GET"})->body, "a");
    assert_string_equal(talk_do(&t, (struct http_request){.method = "GET"})->body, "real");
    assert_int_equal(scripted_connections(t.s), 2);
    talk_close(&t);
}

static void test_http_answer_headers_are_those_of_the_final_block(void **state)
{
    struct talk t;

    (void)state;
    talk_open(&t, NULL);
    scripted_add_text(t.s, "HTTP/1.1 103 Hints\r\nETag: \"interim\"\r\n\r\nHTTP/1.1 200 OK\r\n"
                           "ETag :  \"final\" \t\r\nContent-Length: 0\r\n\r\n");
    assert_string_equal(talk_do(&t, (struct http_request){.method = "GET"})->etag, "\"final\"");
    scripted_add_text(t.s, "HTTP/1.1 200 OK\r\nETag: \"folded\r\n \t over\r\n\tlines\"\r\n"
                           "Content-Length: 0\r\n\r\n");
    assert_string_equal(talk_do(&t, (struct http_request){.method = "GET"})->etag,
                        "\"folded over lines\"");
    scripted_add_text(t.s, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
                           "ETag: \"trailer\"\r\n\r\n");
    assert_false(talk_do(&t, (struct http_request){.method = "GET"})->has_etag);
    talk_close(&t);
}

/* D10: what was stored is what is hashed; nothing is unpacked behind our back. */
static void test_http_answer_content_encoding_is_left_alone(void **state)
{
    struct talk t;

    (void)state;
    talk_open(&t, NULL);
    scripted_add_status(t.s, 200, "Content-Encoding: gzip\r\n", "not gzip at all");
    const struct answer *a = talk_do(&t, (struct http_request){.method = "GET"});
    assert_int_equal(a->fault, HTTP_FINE);
    assert_string_equal(a->body, "not gzip at all");
    talk_close(&t);
}

static void test_http_answer_header_block_is_bounded(void **state)
{
    struct buf raw;
    struct talk t;

    (void)state;
    talk_open(&t, NULL);
    for (int kind = 0; kind < 3; kind++) {
        buf_init(&raw, 1 << 20);
        if (kind == 0) /* one line */
            buf_str(&raw, "HTTP/1.1 200 OK\r\nX: ");
        for (int i = 0; i < 9000; i++)
            buf_printf(&raw,
                       kind == 0   ? "xxxxxxxxxx"
                       : kind == 1 ? "HTTP/1.1 103 Hints\r\n\r\n"
                                   : "%sX-A: %d\r\n",
                       i == 0 ? "HTTP/1.1 200 OK\r\n" : "", i);
        buf_str(&raw, "\r\nContent-Length: 0\r\n\r\n");
        scripted_add(t.s, &(struct scripted_reply){.bytes = raw.data, .length = raw.len});
        const struct answer *a = talk_do(&t, (struct http_request){.method = "GET"});
        assert_int_equal(a->fault, HTTP_BROKEN);
        assert_int_equal(a->status, 0);
        buf_release(&raw);
    }
    buf_init(&raw, 1 << 20); /* 60 KiB are fine */
    buf_str(&raw, "HTTP/1.1 200 OK\r\nX: ");
    for (int i = 0; i < 6000; i++)
        buf_str(&raw, "xxxxxxxxxx");
    buf_str(&raw, "\r\nETag: e\r\nContent-Length: 0\r\n\r\n");
    scripted_add(t.s, &(struct scripted_reply){.bytes = raw.data, .length = raw.len});
    assert_string_equal(talk_do(&t, (struct http_request){.method = "GET"})->etag, "e");
    buf_release(&raw);
    talk_close(&t);
}

/* P10: what is beyond the cap is dropped, and the connection kept. */
static void test_http_answer_body_is_bounded(void **state)
{
    static char page[300001];
    struct talk t;

    (void)state;
    memset(page, 'e', sizeof page - 1);
    talk_open(&t, NULL);
    static const struct {
        int status;
        size_t max, kept;
    } table[] = {{500, 0, 65536}, {500, 10, 10},         {200, 0, 65536},
                 {200, 100, 100}, {200, 300000, 300000}, {500, 400000, 300000}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        scripted_add_status(t.s, table[i].status, NULL, page);
        const struct answer *a =
            talk_do(&t, (struct http_request){.method = "GET", .body_max = table[i].max});
        assert_int_equal(a->fault, HTTP_FINE);
        assert_int_equal(a->status, table[i].status);
        assert_int_equal(a->body_len, table[i].kept);
        assert_int_equal(a->truncated, table[i].kept < 300000);
        assert_int_equal(a->received, 300000);
    }
    assert_int_equal(scripted_connections(t.s), 1);
    talk_close(&t);
}

static void test_http_answer_without_end_is_cut(void **state)
{
    struct talk t;

    (void)state;
    talk_open(&t, NULL);
    scripted_add(t.s,
                 &(struct scripted_reply){.text = "HTTP/1.1 500 Bad\r\n\r\n", .endless = true});
    const struct answer *a = talk_do(&t, (struct http_request){.method = "GET"});
    assert_int_equal(a->fault, HTTP_BROKEN);
    assert_int_equal(a->status, 500);
    assert_true(a->truncated);
    assert_int_equal(a->body_len, 65536);
    talk_close(&t);
}

/* ---- sinks ---------------------------------------------------------------------------------------- */

struct gulp {
    size_t bytes, limit;
    bool patterned;
};

static bool on_bytes(void *user, const void *p, size_t n)
{
    const unsigned char *bytes = p;
    struct gulp *g = user;

    for (size_t i = 0; i < n; i++)
        g->patterned = g->patterned && bytes[i] == talk_pattern(g->bytes + i);
    g->bytes += n;
    return g->bytes <= g->limit;
}

static void add_patterned(struct talk *t, int status, size_t n)
{
    unsigned char *bytes = talk_bytes(n);
    struct buf raw;

    buf_init(&raw, n + 200);
    buf_printf(&raw, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n\r\n", status, n);
    buf_append(&raw, bytes, n);
    scripted_add(t->s, &(struct scripted_reply){.bytes = raw.data, .length = raw.len});
    buf_release(&raw);
    free(bytes);
}

static void test_http_answer_sink_takes_2xx_bodies_only(void **state)
{
    static const int statuses[] = {200, 206, 404, 500, 301};
    struct talk t;

    (void)state;
    talk_open(&t, NULL);
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        struct gulp g = {.limit = SIZE_MAX, .patterned = true};
        const bool good = statuses[i] < 300;
        add_patterned(&t, statuses[i], 3000000);
        const struct answer *a =
            talk_do(&t, (struct http_request){.method = "GET", .sink = on_bytes, .user = &g});
        assert_int_equal(a->fault, HTTP_FINE);
        assert_int_equal(a->received, 3000000);
        assert_int_equal(g.bytes, good ? 3000000 : 0);
        assert_true(g.patterned);
        assert_int_equal(a->body_len, good ? 0 : 65536);
        assert_int_equal(a->truncated, !good);
    }
    talk_close(&t);
}

static void test_http_answer_sink_may_stop(void **state)
{
    struct gulp g = {.limit = 100000, .patterned = true};
    struct talk t;

    (void)state;
    talk_open(&t, NULL);
    add_patterned(&t, 200, 3000000);
    const struct answer *a =
        talk_do(&t, (struct http_request){.method = "GET", .sink = on_bytes, .user = &g});
    assert_int_equal(a->fault, HTTP_LOCAL);
    assert_int_equal(a->local_errno, ECANCELED);
    assert_int_equal(a->status, 200);
    assert_true(g.patterned && g.bytes > 100000 && g.bytes < 500000);
    talk_close(&t);
}

/* Cut anywhere, a patterned answer is never whole; reset or closed makes no difference. */
static void test_http_answer_cut_anywhere_is_broken(void **state)
{
    static const char raw[] =
        "HTTP/1.1 200 OK\r\nETag: \"x\"\r\nContent-Length: 12\r\n\r\n0123456789ab";
    struct talk t;

    (void)state;
    talk_open(&t, NULL);
    for (size_t n = 1; n < sizeof raw - 1; n++) {
        scripted_add(t.s,
                     &(struct scripted_reply){.text = raw, .stop_after = n, .reset = n % 2 != 0});
        const struct answer *a = talk_do(&t, (struct http_request){.method = "GET"});
        assert_int_equal(a->fault, HTTP_BROKEN);
    }
    talk_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http_answer_table),
        cmocka_unit_test(test_http_answer_with_nul_in_a_header_is_broken),
        cmocka_unit_test(test_http_answer_excess_is_not_the_next_answer),
        cmocka_unit_test(test_http_answer_headers_are_those_of_the_final_block),
        cmocka_unit_test(test_http_answer_content_encoding_is_left_alone),
        cmocka_unit_test(test_http_answer_header_block_is_bounded),
        cmocka_unit_test(test_http_answer_body_is_bounded),
        cmocka_unit_test(test_http_answer_without_end_is_cut),
        cmocka_unit_test(test_http_answer_sink_takes_2xx_bodies_only),
        cmocka_unit_test(test_http_answer_sink_may_stop),
        cmocka_unit_test(test_http_answer_cut_anywhere_is_broken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
