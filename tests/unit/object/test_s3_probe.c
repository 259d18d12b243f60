/* s3_probe: a lax server, which says yes to everything, is believed in nothing (D13b). That a good one is believed is in the
 * contract suite, which asks a real server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "blobferry/base/process.h"

#include "unit/object/s3_talk.h"

static void always(struct talk *t, const char *method, const char *text)
{
    scripted_add(t->s, &(struct scripted_reply){.method = method, .text = text, .repeat = true});
}

#define FOLDER "/bkt/pre/.blobferry-probe/"

/* What earlier probes left is asked for first; these were not left by a process that is provably dead. */
static void script_leftovers(struct talk *t)
{
    char owner[PROCESS_OWNER_SIZE], document[2048];

    process_owner(owner);
    (void)snprintf(
        document, sizeof document,
        "<ListBucketResult><Contents><Key>pre/.blobferry-probe/%s/object</Key><Size>1</Size>"
        "</Contents><Contents><Key>pre/.blobferry-probe/somebody/precious</Key><Size>1</Size>"
        "</Contents><Contents><Key>pre/.blobferry-probe/x</Key><Size>1</Size></Contents>"
        "</ListBucketResult>",
        owner);
    script_body(t, "GET", document);
    script_body(t, "GET", "<ListMultipartUploadsResult/>");
}

/* Nothing outside our folder is touched, nothing of others in it, and the last thing is to clean up. */
static void expect_clean_end(struct talk *t)
{
    const size_t n = scripted_count(t->s);

    assert_true(n > 3);
    assert_string_equal(scripted_request_at(t->s, n - 2)->method, "DELETE");
    assert_string_equal(scripted_request_at(t->s, n - 1)->method, "DELETE");
    for (size_t i = 0; i < n; i++) {
        const struct scripted_request *r = scripted_request_at(t->s, i);
        const bool about_bucket = strcmp(r->method, "GET") == 0 || strstr(r->target, "?delete=");
        if (!about_bucket && strstr(r->target, FOLDER) != r->target)
            fail_msg("%s %s", r->method, r->target);
        assert_null(strstr(r->target, "precious"));
        assert_string_not_equal(r->target, FOLDER "x");
    }
}

static void test_s3_probe_believes_no_lax_server(void **state)
{
    unsigned found = 12345;
    struct talk t;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = 0, .target = "s3://bkt/pre"});
    ((struct s3_store *)t.store)->base.probed = false;
    assert_true(objstore_needs_probe(t.store));
    script_leftovers(&t);
    always(&t, "PUT", OK_PUT);
    always(&t, "HEAD", "HTTP/1.1 200 OK\r\nETag: \"x\"\r\nContent-Length: 27\r\n\r\n");
    always(&t, "POST", "HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n<DeleteResult/> ");
    always(&t, "DELETE", NO_BODY);
    assert_int_equal(objstore_probe(t.store, &found, &t.err), ERR_OK);
    assert_int_equal(found, 0);
    assert_int_equal(objstore_features(t.store), 0);
    assert_false(objstore_needs_probe(t.store));
    /* its two keys at the end, and the one wrong DELETE that it obeyed */
    assert_int_equal(scripted_count_of(t.s, "DELETE"), 3);
    expect_clean_end(&t);
    talk_close(&t);
}

/* An overloaded server refuses nothing: its 503 is no proof that it checks. */
static void test_s3_probe_mistakes_no_overload_for_refusal(void **state)
{
    unsigned found = 12345;
    struct talk t;

    (void)state;
    talk_open(&t,
              &(struct talk_options){.features = 0, .target = "s3://bkt/pre/", .max_retries = 1});
    script_leftovers(&t);
    script(&t, "PUT", OK_PUT);
    always(&t, "PUT", BUSY);
    always(&t, "HEAD", NOT_FOUND);
    always(&t, "POST", BUSY);
    always(&t, "DELETE", NO_BODY);
    assert_int_equal(objstore_probe(t.store, &found, &t.err), ERR_OK);
    assert_int_equal(found, 0);
    expect_clean_end(&t);
    talk_close(&t);
}

static void test_s3_probe_denied_changes_nothing(void **state)
{
    unsigned found = 12345;
    struct talk t;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD, .target = "s3://bkt/pre"});
    scripted_add(
        t.s, &(struct scripted_reply){.text = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
                                      .repeat = true});
    assert_int_equal(objstore_probe(t.store, &found, &t.err), ERR_STORE_DENIED);
    assert_int_equal(found, 12345);
    assert_int_equal(objstore_features(t.store), FEATURES_GOOD);
    talk_close(&t);
}

/* What cannot be removed again is named. */
static void test_s3_probe_says_what_is_left(void **state)
{
    unsigned found;
    struct talk t;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = 0, .max_retries = -1});
    script_leftovers(&t);
    always(&t, "PUT", OK_PUT);
    always(&t, "HEAD", NOT_FOUND);
    always(&t, "POST", BUSY);
    always(&t, "DELETE", "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(objstore_probe(t.store, &found, &t.err), ERR_STORE);
    assert_non_null(strstr(t.err.message, "'.blobferry-probe/"));
    talk_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_s3_probe_believes_no_lax_server),
        cmocka_unit_test(test_s3_probe_mistakes_no_overload_for_refusal),
        cmocka_unit_test(test_s3_probe_denied_changes_nothing),
        cmocka_unit_test(test_s3_probe_says_what_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
