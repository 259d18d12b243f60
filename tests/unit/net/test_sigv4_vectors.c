/* sigv4: the published test suite, AWS's documented S3 examples, and keys that other signers stumble over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "blobferry/codec/digest.h"
#include "blobferry/codec/timefmt.h"
#include "signing.h"

#include <inttypes.h>

static struct json *read_json(const char *name)
{
    struct buf b;
    struct err e;

    err_init(&e);
    buf_init(&b, 8 << 20);
    vectors_read(name, &b);
    struct json *root = json_parse(buf_cstr(&b), b.len, &e);
    buf_release(&b);
    assert_non_null(root);
    return root;
}

static char *read_text(const char *folder, const char *name)
{
    char path[512];
    struct buf b;

    (void)snprintf(path, sizeof path, "sigv4/aws-suite/%s/%s", folder, name);
    buf_init(&b, 1 << 20);
    vectors_read(path, &b);
    char *text = buf_steal(&b);
    assert_non_null(text);
    return text;
}

/* ---- the suite: request.txt ---------------------------------------------------------------------- */

/* "GET /example space/?a=b HTTP/1.1"; the path is raw and is encoded once, as S3 has it. */
static void take_request_line(struct signing *g, const char *line, size_t n)
{
    const char *blank = memchr(line, ' ', n);
    assert_non_null(blank);
    signing_method(g, line, (size_t)(blank - line));
    const char *target = blank + 1;
    size_t target_len = n - (size_t)(target - line) - strlen(" HTTP/1.1");
    const char *mark = memchr(target, '?', target_len);
    const size_t path_len = mark != NULL ? (size_t)(mark - target) : target_len;
    assert_true(text_uri_encode(&g->path, target, path_len, true));
    g->request.path = buf_cstr(&g->path);
    if (mark != NULL)
        signing_query(g, mark + 1, target_len - path_len - 1, NULL);
}

/* Up to the next line that does not begin with a blank. */
static size_t folded_length(const char *line)
{
    size_t n = strcspn(line, "\n");
    while (line[n] == '\n' && (line[n + 1] == ' ' || line[n + 1] == '\t'))
        n += 1 + strcspn(line + n + 1, "\n");
    return n;
}

/* Returns the body. */
static const char *take_request(struct signing *g, const char *text)
{
    const char *line = text;
    size_t n = strcspn(line, "\n");

    take_request_line(g, line, n);
    for (line += n + 1; *line != '\0' && *line != '\n'; line += n + (line[n] == '\n')) {
        n = folded_length(line);
        const char *colon = memchr(line, ':', n);
        assert_non_null(colon);
        const char *name = signing_keep(g, line, (size_t)(colon - line));
        signing_header(g, name, signing_keep(g, colon + 1, n - (size_t)(colon - line) - 1));
    }
    return *line == '\n' ? line + 1 : line;
}

struct suite_case {
    const char *name;
    char *request_text;
    char sha[DIGEST_SHA256_HEX];
    bool sign_body;
    const char *token; /* as far as it is to be signed */
    int64_t expires_s;
    struct json *context;
    struct sigv4_signer signer;
    struct signing g;
};

static void case_open(struct suite_case *c, const char *name)
{
    char *context = read_text(name, "context.json");
    struct err e;
    bool omit = false;

    err_init(&e);
    memset(c, 0, sizeof *c);
    c->name = name;
    c->context = json_parse(context, strlen(context), &e);
    assert_non_null(c->context);
    free(context);
    const struct json *keys = json_get(c->context, "credentials");
    json_boolean(json_get(c->context, "omit_session_token"), &omit);
    c->token = omit ? NULL : json_string(json_get(keys, "token"));
    signing_signer(&c->signer, signing_text(keys, "access_key_id"),
                   signing_text(keys, "secret_access_key"), c->token,
                   signing_text(c->context, "region"), signing_text(c->context, "service"));
    assert_true(json_boolean(json_get(c->context, "sign_body"), &c->sign_body));
    assert_true(json_integer(json_get(c->context, "expiration_in_seconds"), &c->expires_s));
    signing_init(&c->g);
    assert_true(timefmt_parse(signing_text(c->context, "timestamp"), &c->g.request.time_ms));
    c->request_text = read_text(name, "request.txt");
    const char *body = take_request(&c->g, c->request_text);
    digest_sha256_hex(body, strlen(body), c->sha);
    c->g.request.payload_sha256 = c->sign_body ? c->sha : SIGV4_EMPTY_SHA256;
}

static void case_close(struct suite_case *c)
{
    sigv4_release(&c->signer);
    signing_release(&c->g);
    json_free(c->context);
    free(c->request_text);
}

static void expect_files(struct suite_case *c, const struct sigv4_request *r, const char *way)
{
    char name[64];

    (void)snprintf(name, sizeof name, "%s-canonical-request.txt", way);
    char *canonical = read_text(c->name, name);
    (void)snprintf(name, sizeof name, "%s-string-to-sign.txt", way);
    char *string_to_sign = read_text(c->name, name);
    signing_expect(&c->signer, r, canonical, string_to_sign);
    free(canonical);
    free(string_to_sign);
}

static void check_header_case(const char *name)
{
    char stamp[TIMEFMT_SIZE];
    struct suite_case c;
    struct buf out;
    struct err e;

    err_init(&e);
    case_open(&c, name);
    timefmt_amz(c.g.request.time_ms, stamp);
    signing_header(&c.g, "X-Amz-Date", stamp);
    if (c.sign_body)
        signing_header(&c.g, "x-amz-content-sha256", c.sha);
    if (c.token != NULL)
        signing_header(&c.g, "X-Amz-Security-Token", c.token);
    expect_files(&c, &c.g.request, "header");

    buf_init(&out, 1 << 16);
    assert_int_equal(sigv4_sign(&c.signer, &c.g.request, &out, &e), ERR_OK);
    char *signature = read_text(name, "header-signature.txt");
    char *signed_request = read_text(name, "header-signed-request.txt");
    assert_non_null(strstr(buf_cstr(&out), signature));
    const char *line = strstr(signed_request, "Authorization:");
    assert_non_null(line);
    line += strlen("Authorization:");
    assert_int_equal(strcspn(line, "\n"), out.len);
    assert_memory_equal(line, out.data, out.len);
    free(signature);
    free(signed_request);
    buf_release(&out);
    case_close(&c);
}

/* The presigned query, taken apart again, must have the canonical form of the file. */
static void check_query_case(const char *name)
{
    struct suite_case c;
    struct signing again;
    struct buf out;
    struct err e;

    err_init(&e);
    case_open(&c, name);
    buf_init(&out, 1 << 16);
    assert_int_equal(sigv4_presign(&c.signer, &c.g.request, c.expires_s, &out, &e), ERR_OK);

    signing_init(&again);
    signing_query(&again, out.data, out.len, "X-Amz-Signature");
    again.request.method = c.g.request.method;
    again.request.path = c.g.request.path;
    again.request.headers = c.g.request.headers;
    again.request.header_count = c.g.request.header_count;
    again.request.payload_sha256 = c.g.request.payload_sha256;
    again.request.time_ms = c.g.request.time_ms;
    expect_files(&c, &again.request, "query");

    char *signature = read_text(name, "query-signature.txt");
    const char *last = strstr(buf_cstr(&out), "&X-Amz-Signature=");
    assert_non_null(last);
    assert_string_equal(last + strlen("&X-Amz-Signature="), signature);
    free(signature);
    signing_release(&again);
    buf_release(&out);
    case_close(&c);
}

static void check_list(const char *list, void (*check)(const char *name))
{
    struct json *manifest = read_json("sigv4/MANIFEST.json");
    const struct json *names = json_get(manifest, list);
    size_t n = 0;

    for (const struct json *p = json_first(names); p != NULL; p = json_next(p)) {
        const char *name = json_string(p);
        assert_non_null(name);
        check(name);
        n++;
    }
    assert_true(n >= 32);
    json_free(manifest);
}

static void test_sigv4_suite_signs_headers(void **state)
{
    (void)state;
    check_list("s3_style_header", check_header_case);
}

static void test_sigv4_suite_presigns_queries(void **state)
{
    (void)state;
    check_list("s3_style_query", check_query_case);
}

/* ---- AWS's documented examples ---------------------------------------------------------------------- */

static void sign_example(struct sigv4_signer *s, struct signing *g, const struct json *v)
{
    const char *signature = signing_text(v, "signature");
    struct buf out;
    struct err e;

    err_init(&e);
    buf_init(&out, 1 << 16);
    if (strcmp(signing_text(v, "payload_hash"), SIGV4_UNSIGNED_PAYLOAD) == 0) {
        g->request.query_count = 0; /* all of them are ours */
        assert_int_equal(sigv4_presign(s, &g->request, 86400, &out, &e), ERR_OK);
        assert_memory_equal(out.data, signing_text(v, "canonical_query"),
                            strlen(signing_text(v, "canonical_query")));
    } else {
        assert_int_equal(sigv4_sign(s, &g->request, &out, &e), ERR_OK);
    }
    assert_true(out.len > 64);
    assert_string_equal(out.data + out.len - 64, signature);
    buf_release(&out);
}

static void test_sigv4_documented_examples(void **state)
{
    struct json *root = read_json("sigv4/aws_docs_s3_examples.json");
    size_t n = 0;

    (void)state;
    for (const struct json *v = json_first(root); v != NULL; v = json_next(v), n++) {
        struct sigv4_signer s;
        struct signing g;
        const char *query = signing_text(v, "canonical_query");
        const struct json *headers = json_get(v, "headers");
        char iso[32];
        const char *t = signing_text(v, "timestamp");

        signing_signer(&s, signing_text(v, "access_key"), signing_text(v, "secret_key"), NULL,
                       signing_text(v, "region"), signing_text(v, "service"));
        signing_init(&g);
        signing_method(&g, signing_text(v, "method"), strlen(signing_text(v, "method")));
        g.request.path = signing_text(v, "canonical_path");
        g.request.payload_sha256 = signing_text(v, "payload_hash");
        signing_query(&g, query, strlen(query), NULL);
        for (const struct json *h = json_first(headers); h != NULL; h = json_next(h))
            signing_header(&g, json_name(h), json_string(h));
        (void)snprintf(iso, sizeof iso, "%.4s-%.2s-%.2sT%.2s:%.2s:%.2sZ", t, t + 4, t + 6, t + 9,
                       t + 11, t + 13);
        assert_true(timefmt_parse(iso, &g.request.time_ms));
        signing_expect(&s, &g.request, signing_text(v, "canonical_request"),
                       signing_text(v, "string_to_sign"));
        sign_example(&s, &g, v);
        signing_release(&g);
        sigv4_release(&s);
    }
    assert_true(n >= 6);
    json_free(root);
}

/* ---- nasty keys ---------------------------------------------------------------------------------------- */

/* text_uri_encode gives the path that both reference signers sent. */
static void check_path(const struct json *v)
{
    const char *b64 = signing_text(v, "key_b64");
    const char *path = signing_text(v, "path");
    char key[2048];
    size_t n = sizeof key;
    struct buf encoded;

    if (strcmp(path, "/bkt") == 0)
        return; /* a list: the key is in the query */
    buf_init(&encoded, 1 << 16);
    assert_true(text_unbase64(b64, strlen(b64), key, &n));
    assert_true(buf_str(&encoded, "/bkt/"));
    assert_true(text_uri_encode(&encoded, key, n, true));
    assert_string_equal(buf_cstr(&encoded), path);
    buf_release(&encoded);
}

static void check_nasty(struct sigv4_signer *s, const struct json *v)
{
    const char *sha = json_string(json_get(v, "sha"));
    const char *query = json_string(json_get(v, "query"));
    struct signing g;
    struct buf out;
    struct err e;
    bool presign = false;

    err_init(&e);
    signing_init(&g);
    buf_init(&out, 1 << 16);
    check_path(v);
    json_boolean(json_get(v, "presign"), &presign);
    signing_method(&g, signing_text(v, "method"), strlen(signing_text(v, "method")));
    g.request.path = signing_text(v, "path");
    assert_true(timefmt_parse("2026-01-01T00:00:00Z", &g.request.time_ms));
    signing_header(&g, "host", "acc.r2.cloudflarestorage.com");
    if (presign) {
        const char *url = strchr(signing_text(v, "url"), '?');
        assert_non_null(url);
        g.request.payload_sha256 = SIGV4_UNSIGNED_PAYLOAD;
        assert_int_equal(sigv4_presign(s, &g.request, 600, &out, &e), ERR_OK);
        assert_string_equal(buf_cstr(&out), url + 1);
    } else {
        signing_query(&g, query, strlen(query), NULL);
        signing_header(&g, "X-Amz-Date", "20260101T000000Z");
        signing_header(&g, "x-amz-content-sha256", sha);
        g.request.payload_sha256 = sha;
        signing_expect(s, &g.request, signing_text(v, "creq"), NULL);
        assert_int_equal(sigv4_sign(s, &g.request, &out, &e), ERR_OK);
        assert_string_equal(buf_cstr(&out), signing_text(v, "authorization"));
        buf_reset(&out);
        assert_int_equal(sigv4_canonical_query(g.request.query, g.request.query_count, &out, &e),
                         ERR_OK);
        assert_string_equal(buf_cstr(&out), query);
    }
    buf_release(&out);
    signing_release(&g);
}

static void test_sigv4_nasty_keys(void **state)
{
    struct json *root = read_json("sigv4/nasty_keys.json");
    struct sigv4_signer s;
    size_t n = 0;

    (void)state;
    signing_signer(&s, "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", NULL, "auto",
                   "s3");
    for (const struct json *v = json_first(json_get(root, "vectors")); v != NULL;
         v = json_next(v), n++)
        check_nasty(&s, v);
    assert_true(n >= 156);
    sigv4_release(&s);
    json_free(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sigv4_suite_signs_headers),
        cmocka_unit_test(test_sigv4_suite_presigns_queries),
        cmocka_unit_test(test_sigv4_documented_examples),
        cmocka_unit_test(test_sigv4_nasty_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
