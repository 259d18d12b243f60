#include "migrate_world.h"

#include "blobferry/engine/doctor.h"

#define HOUR_MS INT64_C(3600000)
#define NOW_MS  INT64_C(1800000000000)

struct seen {
    int n[DOCTOR_FAILED + 1];
    char last_bad[32], text[2000]; /* "check status" of all, one a line */
};

static void see(void *user, const struct doctor_finding *f)
{
    struct seen *s = user;
    char line[100];

    s->n[f->status]++;
    if (f->status != DOCTOR_OK) {
        str_copy(s->last_bad, sizeof s->last_bad, f->check);
        assert_true(f->err.code != ERR_OK);
    }
    assert_true(f->text != NULL && f->text[0] != '\0');
    snprintf(line, sizeof line, "%s %s\n", f->check, doctor_status_name(f->status));
    strncat(s->text, line, sizeof s->text - strlen(s->text) - 1);
}

static struct doctor_options options(struct seen *s)
{
    memset(s, 0, sizeof *s);
    return (struct doctor_options){.probe = true, .found = see, .user = s};
}

/* ---- store, database, files -------------------------------------------------------------------------------- */

static void test_doctor_finds_a_store_in_order(void **state)
{
    struct world w;
    struct seen s;

    (void)state;
    world_open(&w);
    const struct doctor_options o = options(&s);
    assert_true(doctor_store(&w.g, &o));
    assert_string_equal(s.text, "bucket ok\nendpoint ok\n"); /* a directory has no clock */
    world_close(&w);
}

static bool refuse_ping(struct tap *t, enum tap_op op, const char *key, struct objstore_result *r)
{
    (void)t;
    (void)key;
    if (op != TAP_PING)
        return false;
    memset(r, 0, sizeof *r);
    r->outcome = OBJSTORE_DENIED;
    err_set(&r->err, ERR_STORE_DENIED, "no such key");
    return true;
}

static void test_doctor_looks_no_further_behind_a_closed_door(void **state)
{
    struct world w;
    struct seen s;

    (void)state;
    world_open(&w);
    const struct doctor_options o = options(&s);
    w.tap->before = refuse_ping;
    assert_false(doctor_store(&w.g, &o));
    assert_string_equal(s.text, "bucket failed\n");
    world_close(&w);
}

static void test_doctor_names_what_the_database_lacks(void **state)
{
    struct world w;
    struct seen s;

    (void)state;
    world_open(&w);
    struct doctor_options o = options(&s);
    doctor_database(&w.g, &o);
    assert_string_equal(s.text, "database ok\n");
    world_sql(&w, "DROP TABLE migration_batches");
    o = options(&s);
    doctor_database(&w.g, &o);
    assert_string_equal(s.text, "database failed\n");
    world_close(&w);
}

static void test_doctor_looks_at_each_folder(void **state)
{
    struct world w;
    struct seen s;
    char deep[400], inside[400];

    (void)state;
    world_open(&w);
    snprintf(deep, sizeof deep, "%s/not/yet/there", w.dir);
    snprintf(inside, sizeof inside, "%s/folder", w.db); /* a file is no folder */
    const struct doctor_folder folders[] = {
        {"log-dir", w.logs}, {"backup-dir", deep}, {"batch-dir", inside}};
    struct doctor_options o = options(&s);
    o.folders = folders;
    o.folder_count = 3;
    doctor_files(&w.g, &o);
    assert_string_equal(s.text, "source-root ok\nlog-dir ok\nbackup-dir ok\nbatch-dir failed\n");
    assert_false(fsio_exists(deep)); /* looked at, not made */
    w.g.source_root = deep;
    o = options(&s);
    doctor_files(&w.g, &o);
    assert_string_equal(s.text, "source-root failed\n");
    w.g.source_root = NULL;
    o = options(&s);
    doctor_files(&w.g, &o);
    assert_string_equal(s.text, "source-root ok\n");
    world_close(&w);
}

static void test_doctor_names_features(void **state)
{
    char text[256];

    (void)state;
    doctor_features(0, text, sizeof text);
    assert_string_equal(text, "none");
    doctor_features(OBJSTORE_IF_NONE_MATCH | OBJSTORE_CHECKS_PAYLOAD, text, sizeof text);
    assert_string_equal(text, "if-none-match, checks-payload");
    doctor_features(~0u, text, 20); /* too small: cut, and terminated */
    assert_true(strlen(text) < 20);
}

/* ---- uploads ------------------------------------------------------------------------------------------------- */

struct told {
    char text[1000]; /* "key kind aborted" */
};

static void tell(void *user, const struct doctor_upload *u)
{
    struct told *t = user;
    char line[200];

    snprintf(line, sizeof line, "%s/%s %s%s\n", u->key, u->upload_id, doctor_upload_name(u->kind),
             u->aborted ? " aborted" : "");
    strncat(t->text, line, sizeof t->text - strlen(t->text) - 1);
}

static const char *kinds_of(struct world *w, struct doctor_uploads_options *o,
                            struct doctor_uploads_counts *c)
{
    static struct told t;

    t.text[0] = '\0';
    o->now_ms = NOW_MS;
    if (o->older_than_ms == 0)
        o->older_than_ms = 24 * HOUR_MS;
    o->found = tell;
    o->user = &t;
    assert_int_equal(doctor_uploads(&w->g, o, c, &w->e), ERR_OK);
    return t.text;
}

static void test_doctor_tells_whose_an_upload_is(void **state)
{
    static const struct objstore_entry there[] = {
        {.key = "k/a", .key_len = 3, .upload_id = "rec", .last_modified_ms = NOW_MS - 90 * HOUR_MS},
        {.key = "k/a", .key_len = 3, .upload_id = "old", .last_modified_ms = NOW_MS - 25 * HOUR_MS},
        {.key = "k/a", .key_len = 3, .upload_id = "new", .last_modified_ms = NOW_MS - 23 * HOUR_MS},
        {.key = "k/a", .key_len = 3, .upload_id = "when"},
        {.key = "k/b", .key_len = 3, .upload_id = "x", .last_modified_ms = 1}};
    struct doctor_uploads_options o = {.clean = false};
    struct doctor_uploads_counts c;
    struct world w;

    (void)state;
    world_open(&w);
    world_row(&w, (struct world_row){.id = "1", .path = "a"});
    world_sql(&w, "UPDATE blobferry_records SET upload_id = 'rec#sha256="
                  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'"
                  " WHERE record_id = '1'");
    w.tap->uploads = there;
    w.tap->upload_count = 5;
    assert_string_equal(kinds_of(&w, &o, &c), "k/a/rec live\nk/a/old stale\nk/a/new young\n"
                                              "k/a/when young\nk/b/x foreign\n");
    assert_int_equal(c.live + c.stale + c.foreign, 3);
    assert_int_equal(c.young, 2);
    assert_int_equal(w.tap->counts[TAP_ABORT], 0);
    assert_int_equal(world_audit(&w, "upload_abort", NULL), 0);
    /* once its row is done nobody needs it */
    world_sql(&w, "UPDATE file_migrations SET status = 'failed' WHERE id = '1'");
    assert_true(str_starts(kinds_of(&w, &o, &c), "k/a/rec stale\n"));
    world_close(&w);
}

static bool aborts_well(struct tap *t, enum tap_op op, const char *key, struct objstore_result *r)
{
    (void)key;
    if (op != TAP_ABORT)
        return false;
    memset(r, 0, sizeof *r);
    if (t->counts[TAP_ABORT] == 1) {
        r->outcome = OBJSTORE_DONE;
    } else {
        r->outcome = OBJSTORE_UNAVAILABLE;
        err_set(&r->err, ERR_STORE_UNAVAILABLE, "no answer");
    }
    return true;
}

static void test_doctor_aborts_on_record_and_tells_what_failed(void **state)
{
    static const struct objstore_entry there[] = {
        {.key = "k/a", .key_len = 3, .upload_id = "one", .last_modified_ms = 1},
        {.key = "k/b", .key_len = 3, .upload_id = "other", .last_modified_ms = 1},
        {.key = "k/a", .key_len = 3, .upload_id = "two", .last_modified_ms = 1}};
    struct doctor_uploads_options o = {.clean = true, .now_ms = NOW_MS, .older_than_ms = HOUR_MS};
    struct doctor_uploads_counts c;
    struct tracker_head head;
    struct world w;

    (void)state;
    world_open(&w);
    world_row(&w, (struct world_row){.id = "1", .path = "a"});
    w.tap->uploads = there;
    w.tap->upload_count = 3;
    w.tap->before = aborts_well;
    assert_int_equal(doctor_uploads(&w.g, &o, &c, &w.e), ERR_PARTIAL);
    assert_int_equal(c.stale, 2);
    assert_int_equal(c.aborted, 1);
    assert_int_equal(c.failed, 1);
    assert_int_equal(c.foreign, 1);
    assert_int_equal(w.tap->counts[TAP_ABORT], 2);
    assert_int_equal(journal_commit(w.journal, true, &head, &w.e), ERR_OK);
    assert_int_equal(world_audit(&w, "upload_abort_intent", "\"one\""), 1);
    assert_int_equal(world_audit(&w, "upload_abort_outcome", "\"success\":true"), 1);
    assert_int_equal(world_audit(&w, "upload_abort_outcome", "\"success\":false"), 1);
    assert_int_equal(world_audit(&w, "upload_abort", "\"other\""), 0);
    world_check(&w);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_doctor_finds_a_store_in_order),
        cmocka_unit_test(test_doctor_looks_no_further_behind_a_closed_door),
        cmocka_unit_test(test_doctor_names_what_the_database_lacks),
        cmocka_unit_test(test_doctor_looks_at_each_folder),
        cmocka_unit_test(test_doctor_names_features),
        cmocka_unit_test(test_doctor_tells_whose_an_upload_is),
        cmocka_unit_test(test_doctor_aborts_on_record_and_tells_what_failed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
