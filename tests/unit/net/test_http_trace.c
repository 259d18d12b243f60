/* http_trace: what --verbose shows, and above all what it does not (P8). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <unistd.h>

#include "blobferry/base/secret.h"
#include "net/http_trace.h"
#include "talk.h"

static void assert_shown(const char *text, const char *expected)
{
    struct buf out;

    buf_init(&out, 1 << 16);
    http_trace_format(&out, '>', text, strlen(text));
    assert_string_equal(buf_cstr(&out), expected);
    buf_release(&out);
}

static void test_http_trace_marks_lines(void **state)
{
    (void)state;
    assert_shown("GET / HTTP/1.1\r\nHost: h\r\n\r\n", "> GET / HTTP/1.1\n> Host: h\n> \n");
    assert_shown("no line end", "> no line end\n");
    assert_shown("", "");
    assert_shown("\n\n", "> \n> \n");
}

static void test_http_trace_hides_credentials_by_name(void **state)
{
    (void)state;
    assert_shown("Authorization: AWS4-HMAC-SHA256 Credential=x\r\n", "> Authorization: *\n");
    assert_shown("AUTHORIZATION:Bearer abc\n", "> AUTHORIZATION: *\n");
    assert_shown("Authorization:\n", "> Authorization: *\n");
    assert_shown("Authorization:x\n", "> Authorization: *\n");
    assert_shown("x-amz-security-token: abc\r\n", "> x-amz-security-token: *\n");
    assert_shown("Proxy-Authorization: abc\r\n", "> Proxy-Authorization: *\n");
    assert_shown("X-Auth-Key: abc\r\n", "> X-Auth-Key: *\n");
    assert_shown("Set-Cookie: a=b\r\nCookie: c\r\n", "> Set-Cookie: *\n> Cookie: *\n");
    assert_shown("Authorizations: shown\r\n", "> Authorizations: shown\n");
    assert_shown("x-amz-date: shown\r\n", "> x-amz-date: shown\n");
}

static void test_http_trace_hides_presigned_queries(void **state)
{
    (void)state;
    assert_shown(
        "GET /b/k?X-Amz-Credential=AKID%2F1&x=1&x-amz-signature=abc&X-Amz-Security-Token=t "
        "HTTP/1.1\r\n",
        "> GET /b/k?X-Amz-Credential=********&x=1&x-amz-signature=***&X-Amz-Security-Token=* "
        "HTTP/1.1\n");
}

static void test_http_trace_hides_registered_secrets(void **state)
{
    struct secret s;
    struct err e;

    (void)state;
    err_init(&e);
    secret_init(&s);
    assert_int_equal(secret_set(&s, "hunter2hunter2", 14, &e), ERR_OK);
    assert_shown("X-Echo: hunter2hunter2!\r\n", "> X-Echo: **************!\n");
    secret_release(&s);
}

/* F2: a server cannot write to the terminal. */
static void test_http_trace_shows_no_raw_control_characters(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, 1 << 16);
    http_trace_format(&out, '<', "X: \x1b[2J\x07\xc2\x9b\xe2\x80\xae\xff\r\n", 16);
    for (size_t i = 0; i + 1 < out.len; i++)
        assert_true(out.data[i] >= ' ' && out.data[i] < 0x7f);
    buf_release(&out);
}

static void test_http_trace_long_lines_are_cut(void **state)
{
    static char text[200000];
    struct buf out;

    (void)state;
    memset(text, 'a', sizeof text);
    memcpy(text, "Authorization: ", 15);
    buf_init(&out, 1 << 16);
    http_trace_format(&out, '<', text, sizeof text);
    assert_string_equal(buf_cstr(&out), "< Authorization: *\n");
    buf_reset(&out);
    memcpy(text, "X-Something-or: ", 15);
    http_trace_format(&out, '<', text, sizeof text);
    assert_true(out.len < 5000);
    buf_release(&out);
}

/* The real dialogue, on the real stderr. */
static void test_http_trace_of_a_request_is_clean(void **state)
{
    static const struct http_header headers[] = {{"Authorization", "AWS4-HMAC-SHA256 SENTINEL1"},
                                                 {"x-amz-security-token", "SENTINEL2"},
                                                 {"x-amz-meta-seen", "visible"}};
    char path[] = "/tmp/blobferry-trace-XXXXXX";
    char text[16384];
    struct talk t;

    (void)state;
    const int fd = mkstemp(path);
    const int saved = dup(STDERR_FILENO);
    assert_true(fd >= 0 && saved >= 0);
    talk_open(&t, &(struct http_options){.verbose = true});
    char url[256];
    (void)snprintf(url, sizeof url, "%s/b?X-Amz-Signature=SENTINEL3", scripted_url(t.s));
    scripted_add_status(t.s, 400, "Set-Cookie: SENTINEL4\r\n", "<Token-0>SENTINEL5</Token-0>");
    assert_true(dup2(fd, STDERR_FILENO) >= 0);
    talk_do(&t, (struct http_request){.method = "PUT",
                                      .url = url,
                                      .headers = headers,
                                      .header_count = 3,
                                      .body = "SENTINEL6",
                                      .length = 9});
    (void)fflush(stderr);
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    const ssize_t n = pread(fd, text, sizeof text - 1, 0);
    assert_true(n > 0);
    text[n] = '\0';
    assert_null(strstr(text, "SENTINEL"));
    assert_non_null(strstr(text, "> PUT /b?X-Amz-Signature="));
    assert_non_null(strstr(text, "> x-amz-meta-seen: visible"));
    assert_non_null(strstr(text, "< HTTP/1.1 400"));
    talk_close(&t);
    (void)close(saved);
    (void)close(fd);
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http_trace_marks_lines),
        cmocka_unit_test(test_http_trace_hides_credentials_by_name),
        cmocka_unit_test(test_http_trace_hides_presigned_queries),
        cmocka_unit_test(test_http_trace_hides_registered_secrets),
        cmocka_unit_test(test_http_trace_shows_no_raw_control_characters),
        cmocka_unit_test(test_http_trace_long_lines_are_cut),
        cmocka_unit_test(test_http_trace_of_a_request_is_clean),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
