/* The answers of real and hostile servers. */
#include "blobferry/codec/xml.h"

#include "blobferry/codec/json.h"
#include "blobferry/codec/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "unit/codec/vectors.h"

static const char *body_of(const struct buf *http, size_t *n)
{
    const char *end = http->len == 0 ? NULL : memmem(http->data, http->len, "\r\n\r\n", 4);
    if (end == NULL) {
        *n = 0;
        return NULL;
    }
    *n = http->len - (size_t)(end + 4 - http->data);
    return end + 4;
}

/* Text of <Error><Code> as far as the document can be read, without the blanks around it. */
static void error_code(const char *p, size_t n, char code[64], bool *sound)
{
    struct xml x;
    bool is_error = false;
    code[0] = '\0';
    xml_init(&x, p, n, 1 << 16);
    while (xml_next(&x)) {
        if (x.event == XML_OPEN && x.depth == 1)
            is_error = strcmp(x.name, "Error") == 0;
        if (x.event == XML_CLOSE && x.depth == 2 && is_error && strcmp(x.name, "Code") == 0)
            (void)sscanf(buf_cstr(&x.text), " %63s", code);
    }
    *sound = !x.failed;
    xml_release(&x);
}

static void check_keys(const struct json *expected, const char *p, size_t n)
{
    struct xml x;
    size_t seen = 0;
    xml_init(&x, p, n, 1 << 16);
    while (xml_next(&x)) {
        char raw[256];
        size_t len = sizeof raw;
        if (x.event != XML_CLOSE || x.depth != 3 || strcmp(x.name, "Key") != 0)
            continue;
        const char *coded = json_string(json_item(expected, seen++));
        assert_non_null(coded);
        assert_true(text_unbase64(coded, strlen(coded), raw, &len));
        if (len == x.text.len && memcmp(raw, x.text.data, len) == 0)
            continue;
        struct buf decoded; /* encoding-type=url */
        buf_init(&decoded, 4096);
        assert_true(text_uri_decode(&decoded, x.text.data, x.text.len, true));
        assert_int_equal(decoded.len, len);
        assert_memory_equal(decoded.data, raw, len);
        buf_release(&decoded);
    }
    assert_false(x.failed);
    assert_int_equal(seen, json_length(expected));
    xml_release(&x);
}

static void check_case(const struct json *c)
{
    static const char *const malformed[] = {"079-err-xxe.http", "083-err-nul.http"};
    char path[256], code[64];
    struct buf http;
    size_t n;
    bool sound;
    const char *file = json_string(json_get(c, "file"));
    buf_init(&http, 16 << 20);
    (void)snprintf(path, sizeof path, "s3responses/%s", file);
    vectors_read(path, &http);
    const char *body = body_of(&http, &n);
    error_code(body, n, code, &sound);
    const char *expected = json_string(json_get(c, "code"));
    if (strcmp(expected, code) != 0 &&
        strcmp(file, "061-200-get-object-that-is-error-xml.http") != 0)
        fail_msg("%s: code '%s', expected '%s'", file, code, expected);
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        if (strcmp(file, malformed[i]) == 0)
            assert_false(sound);
    }
    if (json_get(c, "keys_b64") != NULL)
        check_keys(json_get(c, "keys_b64"), body, n);
    buf_release(&http);
}

static void test_xml_responses_give_the_published_codes_and_keys(void **unused)
{
    (void)unused;
    struct buf b;
    size_t count = 0;
    buf_init(&b, 1 << 24);
    vectors_read("s3responses/cases.json", &b);
    struct json *root = json_parse(b.data, b.len, NULL);
    assert_non_null(root);
    for (const struct json *c = json_first(root); c != NULL; c = json_next(c), count++)
        check_case(c);
    assert_true(count >= 50);
    json_free(root);
    buf_release(&b);
}

static const char *leaf_of(const char *file, const char *name, struct buf *out)
{
    struct buf http;
    struct xml x;
    size_t n;
    buf_init(&http, 16 << 20);
    vectors_read(file, &http);
    const char *body = body_of(&http, &n);
    xml_init(&x, body, n, 1 << 16);
    while (xml_next(&x)) {
        if (x.event == XML_CLOSE && x.leaf && strcmp(x.name, name) == 0)
            (void)buf_append(out, x.text.data, x.text.len);
    }
    assert_false(x.failed);
    xml_release(&x);
    buf_release(&http);
    return buf_cstr(out);
}

static void test_xml_responses_give_their_texts(void **unused)
{
    (void)unused;
    struct buf b;
    buf_init(&b, 65536);
    assert_string_equal(leaf_of("s3responses/073-err-entities.http", "Message", &b),
                        "a <b> & \"c\" 'd' & \xc3\xa9 \xf0\x9f\x98\x80");
    buf_reset(&b);
    assert_string_equal(leaf_of("s3responses/057-200-complete-ws-decl.http", "ETag", &b),
                        "\"d41d8cd98f00b204e9800998ecf8427e-3\"");
    buf_reset(&b);
    assert_string_equal(leaf_of("s3responses/093-list-truncated.http", "NextContinuationToken", &b),
                        "1ueGcxLPRx1Tr/XYExHnhbYLgveDs2J/wm36Hy4vbOwM=&+");
    buf_reset(&b);
    assert_string_equal(leaf_of("s3responses/103-deleteobjects-mixed.http", "Key", &b), "abc&d");
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_xml_responses_give_the_published_codes_and_keys),
        cmocka_unit_test(test_xml_responses_give_their_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
