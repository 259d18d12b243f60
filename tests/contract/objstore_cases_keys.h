/* objstore_cases_keys: keys that break naive stores, lists, and removal of many. */
#ifndef BLOBFERRY_TESTS_CONTRACT_OBJSTORE_CASES_KEYS_H
#define BLOBFERRY_TESTS_CONTRACT_OBJSTORE_CASES_KEYS_H

#include "blobferry/codec/objkey.h"
#include "contract/objstore_fixture.h"

/* All legal by objkey_check. */
static const char *const hostile[] = {
    "a b",
    " lead and trail ",
    "plus+plus",
    "100%",
    "%41",
    "%2F%2e%2E",
    "what?",
    "a#b",
    "a&b=c",
    "quote'\"quote",
    "semi;colon:comma,",
    "back\\slash",
    "<x>&amp;</Key>",
    "caf\xc3\xa9",
    "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e/\xd0\xb9",
    "\xf0\x9f\x98\x80 emoji",
    "tilde~!*()'@$",
    "[brackets]{braces}|pipe^`",
    "..hidden/...dots",
    ".blobferryx",
    "a=b/c=d",
    "UPPER/lower",
    "upper/LOWER",
    "xn--name",
    "-dash/--option",
    "\xe2\x80\xae rtl \xe2\x80\xa8",
    "ends.",
    "list-type=2",
    "uploads",
    "deep/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t/u/v/w/x/y/z",
};
#define HOSTILE (sizeof hostile / sizeof hostile[0])

static void expect_round_trip(struct fixture *f, const char *key)
{
    struct object o = object_of(key, key, strlen(key));
    struct objstore_result r;

    assert_int_equal(objkey_check(key, &f->err), ERR_OK);
    r = fixture_put(f, &o);
    if (r.outcome != OBJSTORE_DONE)
        fail_msg("'%s': %s", key, r.err.message);
    r = fixture_stat(f, key);
    expect_outcome(&r, OBJSTORE_DONE);
    assert_string_equal(r.info.sha256, o.sha256);
    expect_content(f, key, key, strlen(key));
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void test_objstore_hostile_keys_round_trip(void **state)
{
    struct fixture *f = fixture_of(state);
    char *sorted[HOSTILE];
    struct listed *l;

    for (size_t i = 0; i < HOSTILE; i++) {
        sorted[i] = str_dup(fixture_key(f, hostile[i]));
        expect_round_trip(f, sorted[i]);
    }
    qsort(sorted, HOSTILE, sizeof sorted[0], by_bytes);
    l = fixture_list(f, &(struct objstore_list){.prefix = f->prefix}, false);
    assert_int_equal(l->n, HOSTILE);
    for (size_t i = 0; i < HOSTILE; i++)
        assert_string_equal(l->keys[i], sorted[i]);
    listed_release(l);
    for (size_t i = 0; i < HOSTILE; i++) {
        const struct objstore_result r = fixture_remove(f, sorted[i], NULL);
        expect_outcome(&r, OBJSTORE_DONE);
        expect_absent(f, sorted[i]);
        free(sorted[i]);
    }
    l = fixture_list(f, &(struct objstore_list){.prefix = f->prefix}, false);
    assert_int_equal(l->n, 0);
    listed_release(l);
}

/* 1,024 bytes, the most that a key may have. */
static void test_objstore_longest_keys(void **state)
{
    struct fixture *f = fixture_of(state);
    char key[OBJKEY_MAX + 2];
    size_t n = strlen(f->prefix);

    memcpy(key, f->prefix, n);
    for (size_t in_segment = 0; n < OBJKEY_MAX; n++, in_segment++) {
        key[n] = in_segment == 200 ? '/' : 'k';
        if (in_segment == 200)
            in_segment = (size_t)-1;
    }
    key[n - 1] = 'k';
    key[n] = '\0';
    assert_int_equal(strlen(key), OBJKEY_MAX);
    expect_round_trip(f, key);
    /* in one segment a directory cannot have it, and says so */
    for (size_t i = strlen(f->prefix); i < OBJKEY_MAX; i++)
        key[i] = 's';
    if (f->kind == FIXTURE_S3) {
        expect_round_trip(f, key);
    } else {
        struct object o = object_of(key, "x", 1);
        const struct objstore_result r = fixture_put(f, &o);
        expect_outcome(&r, OBJSTORE_REJECTED);
        assert_non_null(strstr(r.err.message, "255 bytes"));
    }
    key[OBJKEY_MAX] = 's';
    key[OBJKEY_MAX + 1] = '\0';
    struct object o = object_of(key, "x", 1);
    const struct objstore_result r = fixture_put(f, &o);
    expect_outcome(&r, OBJSTORE_REJECTED);
}

static uint64_t all_requests(struct fixture *f)
{
    struct objstore_requests n;

    objstore_requests(f->store, &n);
    return n.get + n.head + n.put + n.post + n.delete_;
}

/* Refused before any request, and told through the callback: one bad key fails its file, not the run. */
static void test_objstore_refused_keys_cost_no_request(void **state)
{
    static const char *const bad[] = {
        "",      "/a",   "a/",       "a//b",          "a/../b",          "..", ".", "a/./b", "a\nb",
        "a\x7f", "\xff", "\xc2\x85", "a\xef\xbf\xbf", "../../etc/passwd"};
    struct fixture *f = fixture_of(state);
    const uint64_t before = all_requests(f);

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct object o = object_of(bad[i], "x", 1);
        struct reading out = {.stop = false};
        struct objstore_get in = {.key = bad[i]};
        struct objstore_result r = fixture_put(f, &o);
        expect_outcome(&r, OBJSTORE_REJECTED);
        assert_int_equal(r.err.code, ERR_PARSE);
        r = fixture_stat(f, bad[i]);
        expect_outcome(&r, OBJSTORE_REJECTED);
        r = fixture_remove(f, bad[i], NULL);
        expect_outcome(&r, OBJSTORE_REJECTED);
        buf_init(&out.b, 10);
        r = fixture_get(f, &in, &out);
        expect_outcome(&r, OBJSTORE_REJECTED);
        buf_release(&out.b);
        assert_int_equal(objstore_abort_wait(f->store, bad[i], "id", &r, &f->err), ERR_OK);
        expect_outcome(&r, OBJSTORE_REJECTED);
    }
    assert_int_equal(all_requests(f), before);
}

/* ---- lists --------------------------------------------------------------------------------------------- */

static void expect_keys(struct fixture *f, const struct objstore_list *in, const char *const *names,
                        size_t n)
{
    struct listed *l = fixture_list(f, in, false);

    assert_int_equal(l->n, n);
    for (size_t i = 0; i < n; i++)
        assert_string_equal(l->keys[i], fixture_key(f, names[i]));
    listed_release(l);
}

static void test_objstore_list_is_in_byte_order(void **state)
{
    /* '-' and '.' are less than '/', '0' is greater: folders stand among files */
    static const char *const sorted[] = {"a-b", "a.txt", "a/b",     "a/b0", "a/c/d/e", "a/c/d0",
                                         "a0",  "b/c",   "b/c.txt", "c",    "z/z/z/z", "\xc3\xa9"};
    static const size_t order[] = {7, 0, 11, 3, 5, 1, 10, 2, 4, 6, 9, 8};
    struct fixture *f = fixture_of(state);
    struct objstore_list all = {.prefix = f->prefix};

    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
        fixture_put_text(f, fixture_key(f, sorted[order[i]]), sorted[order[i]]);
    for (int max = 1; max <= 13; max++) {
        all.max = max;
        expect_keys(f, &all, sorted, 12);
    }
    expect_keys(f, &(struct objstore_list){.prefix = fixture_key(f, "a")}, sorted, 7);
    expect_keys(f, &(struct objstore_list){.prefix = fixture_key(f, "a/")}, sorted + 2, 4);
    expect_keys(f, &(struct objstore_list){.prefix = fixture_key(f, "a/c"), .max = 1}, sorted + 4,
                2);
    expect_keys(f, &(struct objstore_list){.prefix = fixture_key(f, "b/c.")}, sorted + 8, 1);
    expect_keys(f, &(struct objstore_list){.prefix = fixture_key(f, "none")}, sorted, 0);
    expect_keys(f, &(struct objstore_list){.prefix = fixture_key(f, "none/at/all/")}, sorted, 0);
    expect_keys(f,
                &(struct objstore_list){
                    .prefix = f->prefix, .start_after = fixture_key(f, "a/b"), .max = 4},
                sorted + 3, 9);
    expect_keys(f,
                &(struct objstore_list){.prefix = f->prefix, .start_after = fixture_key(f, "a/bb")},
                sorted + 4, 8);
    expect_keys(f,
                &(struct objstore_list){.prefix = f->prefix, .start_after = fixture_key(f, "zz")},
                sorted + 11, 1);
}

static void test_objstore_list_tells_size_and_etag(void **state)
{
    struct fixture *f = fixture_of(state);
    const struct objstore_result first = fixture_put_text(f, fixture_key(f, "l/1"), "one");
    const struct objstore_result second = fixture_put_text(f, fixture_key(f, "l/2"), "");
    struct listed *l = fixture_list(f, &(struct objstore_list){.prefix = f->prefix}, false);

    assert_int_equal(l->n, 2);
    assert_int_equal(l->sizes[0], 3);
    assert_int_equal(l->sizes[1], 0);
    assert_string_equal(l->etags[0], first.info.etag);
    assert_string_equal(l->etags[1], second.info.etag);
    assert_null(l->upload_ids[0]);
    assert_true(llabs(l->modified[0] - clock_wall_ms()) < 60000);
    listed_release(l);
}

/* ---- many ------------------------------------------------------------------------------------------------ */

struct bulk {
    int calls;
    struct objstore_result whole;
    size_t n;
    struct objstore_bulk_result each[16];
};

static void take_bulk(void *user, const struct objstore_result *whole,
                      const struct objstore_bulk_result *each, size_t n)
{
    struct bulk *b = user;

    b->calls++;
    b->whole = *whole;
    b->n = n;
    assert_true(n <= 16);
    memcpy(b->each, each, n * sizeof *each);
}

static void test_objstore_remove_many(void **state)
{
    struct fixture *f = fixture_of(state);
    struct objstore_bulk_item items[7];
    char *keys[7];
    struct bulk b = {0};
    static const char *const names[] = {"z&<first>", "absent",  "b/c",   "b/c",
                                        "",          "a+b %41", "e'\"\\"};

    for (size_t i = 0; i < 7; i++) {
        keys[i] = str_dup(names[i][0] == '\0' ? "a/../b" : fixture_key(f, names[i]));
        items[i] = (struct objstore_bulk_item){.key = keys[i]};
        if (i != 1 && i != 3 && i != 4)
            fixture_put_text(f, keys[i], "x");
    }
    fixture_put_text(f, fixture_key(f, "kept"), "kept");
    assert_int_equal(objstore_remove_many(f->store, items, 7, take_bulk, &b, &f->err), ERR_OK);
    for (size_t i = 0; i < 7; i++) /* the caller's strings may go at once */
        memset(keys[i], '#', strlen(keys[i]));
    fixture_run(f, &b.calls, 1);
    expect_outcome(&b.whole, OBJSTORE_DONE);
    assert_int_equal(b.n, 7);
    for (size_t i = 0; i < 7; i++) {
        assert_int_equal(b.each[i].outcome, i == 4 ? OBJSTORE_REJECTED : OBJSTORE_DONE);
        assert_int_equal(b.each[i].message[0] == '\0', i != 4);
        free(keys[i]);
    }
    expect_keys(f, &(struct objstore_list){.prefix = f->prefix}, (const char *const[]){"kept"}, 1);
}

/* Where the store has no bulk removal, the call works all the same. */
static void test_objstore_remove_many_one_by_one(void **state)
{
    struct fixture *f = fixture_of(state);
    struct objstore_bulk_item items[12];
    char keys[12][100];
    struct bulk b = {0};

    objstore_set_features(f->store, objstore_features(f->store) & ~(unsigned)OBJSTORE_BULK_DELETE);
    for (size_t i = 0; i < 12; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "%s%zu", f->prefix, i);
        items[i] = (struct objstore_bulk_item){.key = keys[i]};
        fixture_put_text(f, keys[i], "x");
    }
    assert_int_equal(objstore_remove_many(f->store, items, 12, take_bulk, &b, &f->err), ERR_OK);
    fixture_run(f, &b.calls, 1);
    expect_outcome(&b.whole, OBJSTORE_DONE);
    for (size_t i = 0; i < 12; i++)
        assert_int_equal(b.each[i].outcome, OBJSTORE_DONE);
    expect_keys(f, &(struct objstore_list){.prefix = f->prefix}, NULL, 0);
    assert_int_equal(objstore_active(f->store), 0);
}

#endif
