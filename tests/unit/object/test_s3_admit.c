/* s3_admit: what the limiter means for whole operations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "s3_talk.h"

#include <time.h>

#define TOO_FAST "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n"

static struct limiter_state state_of(const struct talk *t)
{
    struct limiter_state s;

    limiter_look(((struct s3_store *)t->store)->limiter, &s);
    return s;
}

/* More refusals than there are retries: none of them is the file's failure. */
static void test_s3_admit_throttling_uses_up_no_attempt(void **state)
{
    struct talk t;

    (void)state;
    talk_open(&t,
              &(struct talk_options){.features = FEATURES_GOOD, .patient = true, .max_retries = 1});
    script(&t, "PUT", TOO_FAST);
    script_error(&t, "PUT", 503, "SlowDown");
    script(&t, "PUT", TOO_FAST);
    script(&t, "PUT", OK_PUT);
    const struct objstore_result r = talk_put_hello(&t);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_int_equal(r.attempts, 4);
    assert_int_equal(state_of(&t).throttled, 3);
    assert_true(state_of(&t).per_second > 0);
    talk_close(&t);
}

/* A HEAD has no body: its 503 means what the store's other 503 say. */
static void test_s3_admit_bare_503_of_head_is_as_the_others(void **state)
{
    struct objstore_result r;
    struct talk t;

    (void)state;
    talk_open(&t,
              &(struct talk_options){.features = FEATURES_GOOD, .patient = true, .max_retries = 1});
    script(&t, "HEAD", BUSY);
    script(&t, "HEAD", BUSY);
    r = talk_stat(&t);
    expect_outcome(&r, OBJSTORE_UNAVAILABLE); /* trouble of some kind: these count */
    script_error(&t, "PUT", 503, "SlowDown");
    script(&t, "PUT", OK_PUT);
    r = talk_put_hello(&t);
    expect_outcome(&r, OBJSTORE_DONE);
    for (int i = 0; i < 3; i++)
        script(&t, "HEAD", BUSY);
    script(&t, "HEAD", NOT_FOUND);
    r = talk_stat(&t);
    expect_outcome(&r, OBJSTORE_ABSENT);
    talk_close(&t);
}

/* Retry-After holds back every new request, not only the one that was refused. */
static void test_s3_admit_retry_after_stops_the_others(void **state)
{
    struct got first = {0}, second = {0};
    struct talk t;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD, .patient = true});
    ((struct s3_store *)t.store)->retry.cap_ms = 400;
    script(&t, "HEAD", "HTTP/1.1 429 Slow Down\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n");
    script(&t, "HEAD", NOT_FOUND);
    script(&t, "HEAD", NOT_FOUND);
    assert_int_equal(objstore_stat(t.store, "k", got_it, &first, &t.err), ERR_OK);
    while (state_of(&t).paused_until_ms == 0)
        assert_int_equal(objstore_run(t.store, 20, &t.err), ERR_OK);
    const int64_t begun = clock_mono_ms();
    assert_int_equal(objstore_stat(t.store, "other", got_it, &second, &t.err), ERR_OK);
    while (first.calls == 0 || second.calls == 0)
        assert_int_equal(objstore_run(t.store, 20, &t.err), ERR_OK);
    assert_true(clock_mono_ms() - begun >= 300);
    expect_outcome(&first.r, OBJSTORE_ABSENT);
    expect_outcome(&second.r, OBJSTORE_ABSENT);
    talk_close(&t);
}

static void count_it(void *user, const struct objstore_result *r)
{
    int *by_outcome = user;
    by_outcome[r->outcome]++;
}

/* Nobody listens: after the deadline everything that waits is told so at once, and no earlier. */
static void test_s3_admit_a_dead_endpoint_ends_the_waiting(void **state)
{
    int by_outcome[OBJSTORE_CANCELLED + 1] = {0};
    char key[16];
    struct talk t;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD,
                                         .max_retries = 1,
                                         .endpoint = "http://127.0.0.1:1",
                                         .dead_ms = 700});
    const int64_t begun = clock_mono_ms();
    for (int i = 0; i < 40; i++) {
        (void)snprintf(key, sizeof key, "k-%d", i);
        assert_int_equal(objstore_stat(t.store, key, count_it, by_outcome, &t.err), ERR_OK);
    }
    while (objstore_active(t.store) > 0) {
        assert_int_equal(objstore_run(t.store, 20, &t.err), ERR_OK);
        assert_true(clock_mono_ms() - begun < TALK_LIMIT_MS);
    }
    assert_int_equal(by_outcome[OBJSTORE_UNAVAILABLE], 40);
    assert_true(clock_mono_ms() - begun >= 700);
    assert_int_equal(state_of(&t).under_way, 0);
    talk_close(&t);
}

/* What waits is cancelled like what is under way. */
static void test_s3_admit_cancels_what_waits(void **state)
{
    int by_outcome[OBJSTORE_CANCELLED + 1] = {0};
    char key[16];
    struct talk t;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD});
    for (int i = 0; i < 60; i++) { /* more than may begin at once */
        (void)snprintf(key, sizeof key, "k-%d", i);
        assert_int_equal(objstore_stat(t.store, key, count_it, by_outcome, &t.err), ERR_OK);
    }
    assert_int_equal(by_outcome[OBJSTORE_CANCELLED], 0);
    assert_true(state_of(&t).under_way < 60);
    objstore_cancel_all(t.store);
    assert_int_equal(by_outcome[OBJSTORE_CANCELLED], 60);
    assert_int_equal(objstore_active(t.store), 0);
    assert_int_equal(state_of(&t).under_way, 0);
    for (int i = 0; i < 60; i++) { /* and by close */
        (void)snprintf(key, sizeof key, "k-%d", i);
        assert_int_equal(objstore_stat(t.store, key, count_it, by_outcome, &t.err), ERR_OK);
    }
    talk_close(&t);
    assert_int_equal(by_outcome[OBJSTORE_CANCELLED], 120);
}

/* R2: one write a second to the same key. */
static void test_s3_admit_spaces_writes_of_one_key_on_r2(void **state)
{
    struct objstore_result r;
    struct talk t;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD, .profile = OBJSTORE_R2});
    script(&t, "PUT", OK_PUT);
    script(&t, "DELETE", NO_BODY);
    const int64_t begun = clock_mono_ms();
    r = talk_put_hello(&t);
    expect_outcome(&r, OBJSTORE_DONE);
    r = talk_remove(&t, NULL);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_true(clock_mono_ms() - begun >= 1000);
    talk_close(&t);
}

static void test_s3_admit_bandwidth_follows_the_clock(void **state)
{
    struct s3_store *s;
    struct talk t;

    (void)state;
    talk_open(&t, &(struct talk_options){.features = FEATURES_GOOD});
    s = (struct s3_store *)t.store;
    assert_int_equal(bandwidth_parse(&s->bandwidth, "64K", NULL), ERR_OK);
    char *body = calloc(1, 48 << 10);
    assert_non_null(body);
    char sha256[DIGEST_SHA256_HEX];
    digest_sha256_hex(body, 48 << 10, sha256);
    struct objstore_put p = talk_hello();
    p.data = body;
    p.size = 48 << 10;
    p.sha256 = p.meta.sha256 = sha256;
    script(&t, "PUT", OK_PUT);
    assert_int_equal(objstore_run(t.store, 0, &t.err), ERR_OK);
    const int64_t begun = clock_mono_ms();
    const struct objstore_result r = talk_put(&t, &p);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_true(clock_mono_ms() - begun >= 500); /* 48 KiB at 64 KiB a second */
    free(body);
    talk_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_s3_admit_throttling_uses_up_no_attempt),
        cmocka_unit_test(test_s3_admit_bare_503_of_head_is_as_the_others),
        cmocka_unit_test(test_s3_admit_retry_after_stops_the_others),
        cmocka_unit_test(test_s3_admit_a_dead_endpoint_ends_the_waiting),
        cmocka_unit_test(test_s3_admit_cancels_what_waits),
        cmocka_unit_test(test_s3_admit_spaces_writes_of_one_key_on_r2),
        cmocka_unit_test(test_s3_admit_bandwidth_follows_the_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
