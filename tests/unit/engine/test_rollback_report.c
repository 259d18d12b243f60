/* logs/rollback_audit_*.json: what DESIGN section 6 says it holds. */
#include "unit/engine/rollback_world.h"

#include "blobferry/codec/json.h"
#include "blobferry/codec/timefmt.h"

static struct json *report(struct rollback_world *r)
{
    struct buf text;
    struct json *root;
    struct err e;

    err_init(&e);
    buf_init(&text, 16 << 20);
    assert_int_equal(fsio_read_file(r->result.audit_path, &text, &e), ERR_OK);
    root = json_parse(buf_cstr(&text), text.len, &e);
    if (root == NULL)
        fail_msg("%s: %s", e.message, buf_cstr(&text));
    buf_release(&text);
    return root;
}

static int64_t stat_of(const struct json *root, const char *name)
{
    int64_t n = -1;

    assert_true(json_integer(json_get(json_get(root, "stats"), name), &n));
    return n;
}

static const struct json *operation(const struct json *root, const char *record_id)
{
    for (const struct json *o = json_first(json_get(root, "operations")); o != NULL;
         o = json_next(o)) {
        const char *id = json_string(json_get(o, "record_id"));
        if (id != NULL && strcmp(id, record_id) == 0)
            return o;
    }
    return NULL;
}

static void assert_operation(const struct json *root, const char *id, const char *action,
                             const char *reason, bool success)
{
    const struct json *o = operation(root, id);
    bool said = !success, dry = true;

    assert_non_null(o);
    assert_string_equal(json_string(json_get(o, "action")), action);
    if (reason == NULL)
        assert_true(json_is_null(json_get(o, "reason")));
    else
        assert_string_equal(json_string(json_get(o, "reason")), reason);
    assert_true(json_boolean(json_get(o, "success"), &said));
    assert_int_equal(said, success);
    assert_true(json_boolean(json_get(o, "dry_run"), &dry));
    assert_false(dry);
    assert_int_equal(json_is_null(json_get(o, "error")), success);
}

static void test_rollback_report_holds_stats_operations_config_and_head(void **state)
{
    struct rollback_world *r = *state;
    const struct json *o, *head;
    struct json *root;
    int64_t began = clock_wall_ms(), from = 0, to = 0;
    char path[400];

    rollback_world_three(r);
    snprintf(path, sizeof path, "%s/y.txt", r->w.source);
    assert_int_equal(unlink(path), 0);
    world_sql(&r->w, "UPDATE files SET filename = 'Fu\xC3\x9F \"q\".txt' WHERE id = 'f-x'");
    rollback_world_expect(r, ERR_PARTIAL);
    assert_true(strncmp(r->result.audit_path, r->w.logs, strlen(r->w.logs)) == 0);
    assert_non_null(strstr(r->result.audit_path, "/rollback_audit_2"));
    root = report(r);
    assert_string_equal(json_string(json_get(root, "run")), r->w.run_id);
    assert_string_equal(json_string(json_get(json_get(root, "config"), "batch_id")), "b");
    assert_int_equal(stat_of(root, "total_files"), 3);
    assert_int_equal(stat_of(root, "database_rollbacks"), 2);
    assert_int_equal(stat_of(root, "r2_deletions"), 2);
    assert_int_equal(stat_of(root, "refused"), 1);
    assert_int_equal(stat_of(root, "failures"), 0);
    assert_int_equal(stat_of(root, "skipped"), 0);
    assert_int_equal(stat_of(root, "bytes_freed"), 38);
    assert_true(timefmt_parse(json_string(json_get(json_get(root, "stats"), "start_time")), &from));
    assert_true(timefmt_parse(json_string(json_get(json_get(root, "stats"), "end_time")), &to));
    assert_true(began <= from + 1 && from <= to && to <= clock_wall_ms());
    assert_operation(root, "x", "rollback", NULL, true);
    assert_operation(root, "y", "refused", "source_missing", false);
    o = operation(root, "x");
    assert_string_equal(json_string(json_get(o, "file_id")), "f-x");
    assert_string_equal(json_string(json_get(o, "batch_id")), "b");
    assert_string_equal(json_string(json_get(o, "filename")), "Fu\xC3\x9F \"q\".txt");
    assert_string_equal(json_string(json_get(o, "target_r2_key")), "k/x.txt");
    assert_string_equal(json_string(json_get(root, "backup")), r->result.backup.path);
    assert_string_equal(json_string(json_get(root, "backup_sha256")), r->result.backup.sha256);
    head = json_get(root, "chain_head");
    assert_int_equal(strlen(json_string(json_get(head, "hash"))), 64);
    assert_int_equal(world_audit(&r->w, json_string(json_get(head, "hash")), NULL), 1);
    json_free(root);
}

static void test_rollback_report_names_each_action(void **state)
{
    struct rollback_world *r = *state;
    struct json *root;
    char path[400];

    rollback_world_three(r);
    r->o.database_only = true;
    r->o.limit = 1;
    rollback_world_expect(r, ERR_OK);
    root = report(r);
    assert_operation(root, "x", "database_rollback", NULL, true);
    json_free(root);
    r->o = (struct rollback_options){.scope.batch_id = "b", .r2_only = true, .limit = 1};
    rollback_world_expect(r, ERR_OK);
    root = report(r);
    assert_operation(root, "y", "r2_delete", NULL, true);
    json_free(root);
    r->o.limit = 0;
    snprintf(path, sizeof path, "%s/k/z.txt", r->w.store);
    assert_int_equal(unlink(path), 0);
    rollback_world_expect(r, ERR_OK);
    root = report(r);
    assert_operation(root, "z", "none", NULL, true); /* no row to move, no object to delete */
    json_free(root);
}

static void test_rollback_report_tells_of_debts(void **state)
{
    struct rollback_world *r = *state;
    struct json *root;

    rollback_world_three(r);
    world_sql(&r->w, "UPDATE file_migrations SET status = 'rolled_back' WHERE id = 'x';"
                     "UPDATE files SET r2_key = NULL WHERE id = 'f-x';"
                     "UPDATE blobferry_records SET delete_owed = 1, pointer_set = 0"
                     " WHERE record_id = 'x'; UPDATE migration_batches SET completed_files = 2");
    rollback_world_expect(r, ERR_OK);
    root = report(r);
    assert_operation(root, "x", "pay_debt", NULL, true);
    assert_int_equal(stat_of(root, "debts_paid"), 1);
    assert_int_equal(stat_of(root, "total_files"), 2);
    assert_int_equal(stat_of(root, "r2_deletions"), 3);
    json_free(root);
    rollback_world_check(r);
}

/* A8: unique even within a second; nothing half-written lies about. */
static void test_rollback_report_names_are_unique_within_a_second(void **state)
{
    struct rollback_world *r = *state;
    char first[4096];
    int64_t now = clock_wall_ms();

    rollback_world_three(r);
    clock_set_wall_for_tests(now);
    r->o.limit = 1;
    rollback_world_expect(r, ERR_OK);
    str_copy(first, sizeof first, r->result.audit_path);
    rollback_world_expect(r, ERR_OK);
    assert_string_not_equal(first, r->result.audit_path);
    assert_non_null(strstr(r->result.audit_path, "-2.json"));
    rollback_world_expect(r, ERR_OK);
    assert_non_null(strstr(r->result.audit_path, "-3.json"));
    assert_non_null(strstr(r->result.backup.path, "-3.json"));
}

/* A name that is taken while the rollback runs does not cost the report. */
static const char *taken_folder;
static bool take_name(struct tap *t, enum tap_op op, const char *key, struct objstore_result *r)
{
    char stamp[TIMEFMT_SIZE], name[100];

    (void)t;
    (void)key;
    (void)r;
    if (op == TAP_REMOVE && taken_folder != NULL) {
        timefmt_stamp(clock_wall_ms(), stamp);
        snprintf(name, sizeof name, "rollback_audit_%s.json", stamp);
        world_write(taken_folder, name, "another's", 9);
        taken_folder = NULL;
    }
    return false;
}

static void test_rollback_report_survives_a_name_that_is_taken_meanwhile(void **state)
{
    struct rollback_world *r = *state;
    struct json *root;

    rollback_world_three(r);
    clock_set_wall_for_tests(clock_wall_ms());
    taken_folder = r->w.logs;
    r->w.tap->before = take_name;
    rollback_world_expect(r, ERR_OK);
    assert_non_null(strstr(r->result.audit_path, "-2.json"));
    root = report(r);
    assert_int_equal(stat_of(root, "r2_deletions"), 3);
    json_free(root);
}

static void test_rollback_report_is_absent_when_nothing_was_begun(void **state)
{
    struct rollback_world *r = *state;

    rollback_world_three(r);
    r->o.plan_hash = "0000";
    rollback_world_expect(r, ERR_CONFLICT);
    assert_string_equal(r->result.audit_path, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        rollback_test(test_rollback_report_holds_stats_operations_config_and_head),
        rollback_test(test_rollback_report_names_each_action),
        rollback_test(test_rollback_report_tells_of_debts),
        rollback_test(test_rollback_report_names_are_unique_within_a_second),
        rollback_test(test_rollback_report_survives_a_name_that_is_taken_meanwhile),
        rollback_test(test_rollback_report_is_absent_when_nothing_was_begun),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
