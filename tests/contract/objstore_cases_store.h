/* objstore_cases_store: the store as a whole: ping, probe, cancelling, many at once. */
#ifndef BLOBFERRY_TESTS_CONTRACT_OBJSTORE_CASES_STORE_H
#define BLOBFERRY_TESTS_CONTRACT_OBJSTORE_CASES_STORE_H

#include "contract/objstore_fixture.h"

static void test_objstore_ping_of_a_good_store(void **state)
{
    struct fixture *f = fixture_of(state);
    struct objstore_result r;

    assert_int_equal(objstore_ping_wait(f->store, &r, &f->err), ERR_OK);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_string_not_equal(objstore_name(f->store), "");
    assert_string_equal(objstore_prefix(f->store), "");
    assert_int_equal(objstore_skew_ms(f->store), 0);
}

/* Another place, same kind. The first store is closed. */
static void reopen_elsewhere(struct fixture *f, bool other_secret)
{
    struct objstore_options o = {.target = f->target};

    objstore_close(f->store);
    f->store = NULL;
    if (f->kind == FIXTURE_DIR) {
        (void)snprintf(f->target, sizeof f->target, "file://%s/no/such/place", f->dir);
    } else {
        assert_true(fixture_s3_options(f, &o));
        if (other_secret)
            assert_int_equal(secret_set(&f->credentials.secret, "wrong-secret-wrong", 18, NULL),
                             ERR_OK);
        else
            (void)snprintf(f->target, sizeof f->target, "s3://blobferry-no-such-bucket");
    }
    assert_int_equal(objstore_open(&f->store, &o, &f->err), ERR_OK);
}

static void reopen_right(struct fixture *f)
{
    objstore_close(f->store);
    secret_release(&f->credentials.secret);
    f->store = fixture_open(f);
}

/* D2: a bucket that is not there proves nothing about its objects. */
static void test_objstore_wrong_place_is_denied(void **state)
{
    struct fixture *f = fixture_of(state);
    struct object o = object_of(fixture_key(f, "k"), "x", 1);
    struct objstore_result r;

    reopen_elsewhere(f, false);
    assert_int_equal(objstore_ping_wait(f->store, &r, &f->err), ERR_OK);
    expect_outcome(&r, OBJSTORE_DENIED);
    assert_int_equal(r.err.code, ERR_STORE_DENIED);
    assert_string_not_equal(r.err.hint, "");
    r = fixture_stat(f, o.put.key);
    expect_outcome(&r, OBJSTORE_DENIED);
    r = fixture_put(f, &o);
    expect_outcome(&r, OBJSTORE_DENIED);
    r = fixture_remove(f, o.put.key, NULL);
    expect_outcome(&r, OBJSTORE_DENIED);
    reopen_right(f);
}

static void test_objstore_wrong_secret_is_denied(void **state)
{
    struct fixture *f = fixture_of(state);
    struct object o = object_of(fixture_key(f, "k"), "x", 1);
    struct objstore_result r;

    if (f->kind != FIXTURE_S3)
        skip(); /* a directory has none */
    reopen_elsewhere(f, true);
    assert_int_equal(objstore_ping_wait(f->store, &r, &f->err), ERR_OK);
    expect_outcome(&r, OBJSTORE_DENIED);
    assert_non_null(strstr(r.err.message, "SignatureDoesNotMatch"));
    assert_non_null(strstr(r.err.hint, "secret"));
    assert_int_equal(r.attempts, 1); /* no hammering */
    r = fixture_put(f, &o);
    expect_outcome(&r, OBJSTORE_DENIED);
    r = fixture_stat(f, o.put.key);
    expect_outcome(&r, OBJSTORE_DENIED);
    reopen_right(f);
}

static void test_objstore_cancel_calls_back_once(void **state)
{
    struct fixture *f = fixture_of(state);
    struct object o = object_of(NULL, "x", 1);
    struct got g[30] = {0};
    char keys[30][100];

    o.put.sha256 = o.sha256;
    for (size_t i = 0; i < 30; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "%scancel/%zu", f->prefix, i);
        o.put.key = keys[i];
        if (i % 3 == 0)
            assert_int_equal(objstore_stat(f->store, keys[i], got_it, &g[i], &f->err), ERR_OK);
        else
            assert_int_equal(objstore_put(f->store, &o.put, got_it, &g[i], &f->err), ERR_OK);
    }
    assert_int_equal(objstore_active(f->store), 30);
    objstore_cancel_all(f->store);
    assert_int_equal(objstore_active(f->store), 0);
    for (size_t i = 0; i < 30; i++) {
        assert_int_equal(g[i].calls, 1);
        expect_outcome(&g[i].r, OBJSTORE_CANCELLED);
    }
    fixture_put_text(f, fixture_key(f, "after"), "works"); /* and life goes on */
}

/* A callback that begins anew when it is told that all is over. */
static void stubborn(void *user, const struct objstore_result *r)
{
    struct fixture *f = user;
    struct got *again = (struct got *)f->keys[0]; /* never to be called */

    assert_int_equal(r->outcome, OBJSTORE_CANCELLED);
    assert_int_not_equal(objstore_stat(f->store, "k", got_it, again, &f->err), ERR_OK);
    f->next_key++;
}

static void test_objstore_close_cancels(void **state)
{
    struct fixture *f = fixture_of(state);

    f->next_key = 0;
    for (int i = 0; i < 5; i++)
        assert_int_equal(objstore_stat(f->store, i == 0 ? "a//b" : "k", stubborn, f, &f->err),
                         ERR_OK);
    objstore_close(f->store);
    assert_int_equal(f->next_key, 5);
    objstore_close(NULL);
    f->store = fixture_open(f);
}

#define MANY 300

struct crowd {
    struct fixture *f;
    int calls, started;
    char keys[MANY][100];
    bool chained;
};

static void on_one(void *user, const struct objstore_result *r);

static void start_one(struct crowd *c)
{
    char id[32];
    struct object o =
        object_of(c->keys[c->started], c->keys[c->started], strlen(c->keys[c->started]));

    (void)snprintf(id, sizeof id, "record-%d", c->started);
    o.put.sha256 = o.sha256;
    o.put.meta.record_id = id;
    c->started++;
    assert_int_equal(objstore_put(c->f->store, &o.put, on_one, c, &c->f->err), ERR_OK);
}

static void on_one(void *user, const struct objstore_result *r)
{
    struct crowd *c = user;

    expect_outcome(r, OBJSTORE_DONE);
    c->calls++;
    if (c->chained && c->started < MANY)
        start_one(c); /* from inside a callback */
}

static void expect_crowd(struct fixture *f, bool chained)
{
    struct crowd *c = calloc(1, sizeof *c);
    struct listed *l;

    assert_non_null(c);
    c->f = f;
    c->chained = chained;
    for (size_t i = 0; i < MANY; i++)
        (void)snprintf(c->keys[i], sizeof c->keys[i], "%s%s/%03zu", f->prefix,
                       chained ? "chained" : "crowd", i);
    while (c->started < (chained ? 8 : MANY))
        start_one(c);
    fixture_run(f, &c->calls, MANY);
    assert_int_equal(objstore_active(f->store), 0);
    l = fixture_list(f, &(struct objstore_list){.prefix = f->prefix, .max = 97}, false);
    assert_int_equal(l->n, MANY);
    assert_int_equal(l->pages, 4);
    for (size_t i = 0; i < MANY; i++)
        assert_string_equal(l->keys[i], c->keys[i]);
    listed_release(l);
    free(c);
}

static void test_objstore_many_at_once(void **state)
{
    expect_crowd(fixture_of(state), false);
}

static void test_objstore_submits_from_callbacks(void **state)
{
    expect_crowd(fixture_of(state), true);
}

static void test_objstore_probe_learns_and_leaves_nothing(void **state)
{
    struct fixture *f = fixture_of(state);
    const unsigned wanted = OBJSTORE_IF_NONE_MATCH | OBJSTORE_BULK_DELETE | OBJSTORE_CHECKS_PAYLOAD;
    unsigned found = 0;
    struct listed *l;

    objstore_set_features(f->store, objstore_features(f->store));
    assert_int_equal(objstore_probe(f->store, &found, &f->err), ERR_OK);
    assert_int_equal(found & wanted, wanted);
    assert_int_equal(objstore_features(f->store), found);
    assert_false(objstore_needs_probe(f->store));
    l = fixture_list(f, &(struct objstore_list){.prefix = ".blobferry-probe/"}, false);
    assert_int_equal(l->n, 0);
    listed_release(l);
    l = fixture_list(f, &(struct objstore_list){.prefix = ".blobferry-probe/"}, true);
    assert_int_equal(l->n, 0);
    listed_release(l);
}

/* With nothing taken for granted everything still holds, by looking first and reading back. */
static void test_objstore_trusts_no_feature(void **state)
{
    struct fixture *f = fixture_of(state);
    const char *key = fixture_key(f, "lax");
    struct object o = object_of(key, "bytes", 5);
    unsigned char *bytes = pattern(6 * MIB, 4);
    struct objstore_result r;

    objstore_set_features(f->store, 0);
    r = fixture_put(f, &o);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_true(r.verified);
    r = fixture_put(f, &o);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_true(r.resolved_by_look);
    assert_true(r.verified);
    o.put.meta.record_id = "record-2";
    r = fixture_put(f, &o);
    expect_outcome(&r, OBJSTORE_PRECONDITION);
    r = fixture_remove(f, key, "00000000000000000000000000000000");
    expect_outcome(&r, OBJSTORE_PRECONDITION);
    o = object_of(fixture_key(f, "lax/large"), bytes, 6 * MIB);
    o.put.key = fixture_key(f, "lax-large");
    o.put.part_size = 5 * MIB;
    r = fixture_put(f, &o);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_true(r.verified);
    free(bytes);
}

#endif
