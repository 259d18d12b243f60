/* http: every recorded answer of vectors/s3responses arrives with the status and the body that it has. What they mean is for
 * the object layer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "blobferry/codec/json.h"
#include "talk.h"
#include "unit/codec/vectors.h"

#define KEPT ((size_t)64 * 1024)

static const char *method_of(const char *op)
{
    static const char *const known[] = {"PUT", "GET", "HEAD", "DELETE"};

    for (size_t i = 0; i < 4; i++) {
        if (strcmp(op, known[i]) == 0)
            return known[i];
    }
    return strcmp(op, "LIST") == 0 ? "GET" : "POST"; /* COMPLETE, DELETEOBJECTS */
}

/* The first lines of the file tell what must come out. */
static void check_whole(const struct answer *a, const struct buf *raw, const char *method)
{
    const char *length = strcasestr(raw->data, "\r\nContent-Length: ");
    const char *body = strstr(raw->data, "\r\n\r\n");

    assert_non_null(body);
    body += 4;
    const size_t there = raw->len - (size_t)(body - raw->data);
    size_t expected = length != NULL ? strtoul(length + 18, NULL, 10) : there;
    if (strcmp(method, "HEAD") == 0)
        expected = 0;
    assert_int_equal(a->fault, HTTP_FINE);
    assert_int_equal(a->status, strtol(raw->data + 9, NULL, 10));
    assert_int_equal(a->received, expected);
    assert_int_equal(a->truncated, expected > KEPT);
    assert_int_equal(a->body_len, expected > KEPT ? KEPT : expected);
    assert_memory_equal(a->body, body, a->body_len);
}

static void check_case(const struct json *c)
{
    const char *file = json_string(json_get(c, "file"));
    const char *method = method_of(json_string(json_get(c, "op")));
    const bool refused = strncmp(file, "065", 3) == 0;
    const bool broken = strncmp(file, "069", 3) == 0 || strncmp(file, "071", 3) == 0;
    static char upload[3 << 20];
    char name[256];
    struct buf raw;
    struct talk t;

    (void)snprintf(name, sizeof name, "s3responses/%s", file);
    buf_init(&raw, 16 << 20);
    vectors_read(name, &raw);
    talk_open(&t, NULL);
    scripted_add(t.s,
                 &(struct scripted_reply){
                     .bytes = raw.data, .length = raw.len, .early = refused, .reset = refused});
    const bool has_body = method[0] == 'P';
    const struct answer *a = talk_do(&t, (struct http_request){.method = method,
                                                               .body = has_body ? upload : NULL,
                                                               .length = !has_body ? 0
                                                                         : refused ? sizeof upload
                                                                                   : 5});
    if (broken) {
        assert_int_equal(a->fault, HTTP_BROKEN);
        assert_int_equal(a->status, 0);
    } else {
        check_whole(a, &raw, method);
    }
    talk_close(&t);
    buf_release(&raw);
}

static void test_http_vectors_arrive_as_they_are(void **state)
{
    struct buf text;
    struct err e;
    size_t n = 0;

    (void)state;
    err_init(&e);
    buf_init(&text, 1 << 20);
    vectors_read("s3responses/cases.json", &text);
    struct json *cases = json_parse(buf_cstr(&text), text.len, &e);
    buf_release(&text);
    assert_non_null(cases);
    for (const struct json *c = json_first(cases); c != NULL; c = json_next(c), n++)
        check_case(c);
    assert_true(n >= 52);
    json_free(cases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http_vectors_arrive_as_they_are),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
