/* Contract: dumps: every row that a filter touches, byte for byte, type for type, as of one moment. */
#ifndef BLOBFERRY_TEST_TRACKER_DUMP_H
#define BLOBFERRY_TEST_TRACKER_DUMP_H

#include "contract/tracker_support.h"

/* "table:id,id;table:…" in the order they come, and the values of one row in full. */
struct dumped {
    char ids[2048];
    char table[64];
    const char *wanted; /* id of the row whose values are kept */
    char values[2048];
    int stop_after; /* 0: never */
};

static void add_value(char *dst, size_t size, const struct tracker_value *v)
{
    size_t used = strlen(dst);

    used += (size_t)snprintf(dst + used, size - used, "%s=", v->column);
    switch (v->type) {
    case TRACKER_NULL:
        snprintf(dst + used, size - used, "null ");
        break;
    case TRACKER_INTEGER:
        snprintf(dst + used, size - used, "i%lld ", (long long)v->integer);
        break;
    case TRACKER_REAL:
        snprintf(dst + used, size - used, "r%g ", v->real);
        break;
    default:
        used +=
            (size_t)snprintf(dst + used, size - used, "%c", v->type == TRACKER_TEXT ? 't' : 'b');
        for (size_t i = 0; i < v->len; i++)
            used += (size_t)snprintf(dst + used, size - used, "%02x", (unsigned char)v->bytes[i]);
        snprintf(dst + used, size - used, " ");
        break;
    }
}

static enum err_code note_dump(void *user, const char *table, const struct tracker_value *values,
                               size_t n, struct err *e)
{
    struct dumped *d = user;
    size_t used = strlen(d->ids);
    const struct tracker_value *id = &values[0];

    if (d->stop_after > 0 && --d->stop_after == 0)
        return err_set(e, ERR_FILE_SPACE, "the disk is full");
    if (strcmp(d->table, table) != 0)
        used += (size_t)snprintf(d->ids + used, sizeof d->ids - used, "%s:", table);
    str_copy(d->table, sizeof d->table, table);
    snprintf(d->ids + used, sizeof d->ids - used, "%.*s ", (int)id->len, id->bytes);
    if (d->wanted != NULL && id->len == strlen(d->wanted) &&
        memcmp(id->bytes, d->wanted, id->len) == 0) {
        for (size_t i = 0; i < n; i++)
            add_value(d->values, sizeof d->values, &values[i]);
    }
    return ERR_OK;
}

static void rows_to_dump(struct fixture *f)
{
    with_tables(f);
    plan(f, "b-1", 1, 2);
    plan(f, "b-2", 3, 1);
    sql(f, "UPDATE migration_batches SET id = batch_id");
    sql(f, "UPDATE files SET user_id = 'otto' WHERE id = 'file-00003'");
    sql(f, "INSERT INTO files (id, filename, user_id) VALUES ('untouched', 'n', 'u')");
}

static void test_tracker_dump_takes_what_the_filter_touches(void **state)
{
    struct fixture *f = *state;
    struct dumped all = {.wanted = NULL}, batch = all, user = all, none = all, dated = all;

    rows_to_dump(f);
    sql(f, "UPDATE file_migrations SET started_at = '2024-01-01T00:00:00Z' WHERE id = 'row-00002'");
    OK(f, tracker_dump(f->t, NULL, note_dump, &all, &f->e));
    assert_string_equal(all.ids, "migration_batches:b-1 b-2 file_migrations:row-00001 row-00002 "
                                 "row-00003 files:file-00001 file-00002 file-00003 "
                                 "blobferry_records:row-00001 row-00002 row-00003 ");
    OK(f,
       tracker_dump(f->t, &(struct tracker_filter){.batch_id = "b-2"}, note_dump, &batch, &f->e));
    assert_string_equal(batch.ids, "migration_batches:b-2 file_migrations:row-00003 "
                                   "files:file-00003 blobferry_records:row-00003 ");
    OK(f, tracker_dump(f->t, &(struct tracker_filter){.user_id = "otto"}, note_dump, &user, &f->e));
    assert_string_equal(user.ids, batch.ids);
    OK(f, tracker_dump(f->t, &(struct tracker_filter){.batch_id = "b-3"}, note_dump, &none, &f->e));
    assert_string_equal(none.ids, "");
    OK(f,
       tracker_dump(f->t, &(struct tracker_filter){.has_to = true, .to_ms = INT64_C(1704067200000)},
                    note_dump, &dated, &f->e));
    assert_string_equal(dated.ids, "migration_batches:b-1 file_migrations:row-00002 "
                                   "files:file-00002 blobferry_records:row-00002 ");
}

/* Numbers and bytes as such; all else as the text that the database reads back to the very same value. */
static void dump_types_of_postgres(struct fixture *f)
{
    struct dumped d = {.wanted = "file-00001"};

    sql(f,
        "ALTER TABLE files ADD COLUMN extra BYTEA, ADD COLUMN big BIGINT, ADD COLUMN real8 FLOAT8,"
        " ADD COLUMN exact NUMERIC, ADD COLUMN yes BOOLEAN, ADD COLUMN whole JSONB;"
        "UPDATE files SET filename = E'\\u00e4\\'\\\\', user_id = '', r2_key = NULL,"
        " checksum = 'NULL', created_at = '2024-02-29 23:59:59.000001+00', updated_at ="
        " 'infinity', extra = '\\x00ff', big = -9223372036854775808, real8 = 0.1,"
        " exact = 12345678901234567890.10, yes = true, whole = '{\"a\": 1}'");
    OK(f, tracker_dump(f->t, NULL, note_dump, &d, &f->e));
    assert_string_equal(
        d.values,
        "id=t66696c652d3030303031 filename=tc3a4275c user_id=t r2_key=null checksum=t4e554c4c "
        "created_at=t323032342d30322d32392032333a35393a35392e3030303030312b3030 "
        "updated_at=t696e66696e697479 extra=b00ff big=i-9223372036854775808 real8=r0.1 "
        "exact=t31323334353637383930313233343536373839302e3130 yes=t74 "
        "whole=t7b2261223a20317d ");
}

static void test_tracker_dump_is_exact_to_the_byte(void **state)
{
    struct fixture *f = *state;
    struct dumped d = {.wanted = "file-00001"};

    with_tables(f);
    plan(f, "b-1", 1, 1);
    if (f->driver->dialect == DIALECT_POSTGRES) {
        dump_types_of_postgres(f);
        return;
    }
    sql(f, "ALTER TABLE files ADD COLUMN extra");
    sql(f, "UPDATE files SET filename = CAST(x'61006200ff' AS TEXT), user_id = '',"
           " r2_key = NULL, checksum = x'00ff', created_at = -9223372036854775807,"
           " updated_at = 1.5, extra = x''");
    OK(f, tracker_dump(f->t, NULL, note_dump, &d, &f->e));
    assert_string_equal(d.values, "id=t66696c652d3030303031 filename=t61006200ff user_id=t "
                                  "r2_key=null checksum=b00ff "
                                  "created_at=i-9223372036854775807 updated_at=r1.5 extra=b ");
}

static void test_tracker_dump_stops_when_its_writer_fails(void **state)
{
    struct fixture *f = *state;
    struct dumped d = {.stop_after = 4};

    rows_to_dump(f);
    CODE(f, tracker_dump(f->t, NULL, note_dump, &d, &f->e), ERR_FILE_SPACE);
    assert_string_equal(f->e.message, "the disk is full");
    plan(f, "b-9", 90, 1); /* nothing is left open */
}

struct moving {
    struct dumped d;
    struct fixture *f;
    struct tracker *other;
};

/* While the dump runs, another connection moves rows: the dump does not see it. */
static enum err_code move_meanwhile(void *user, const char *table,
                                    const struct tracker_value *values, size_t n, struct err *e)
{
    struct moving *m = user;

    if (m->other != NULL) {
        struct record_list l;
        record_list_init(&l, 0);
        claim_by(m->f, m->other, "me", NULL, 9, NOW, &l);
        record_list_release(&l);
        tracker_close(m->other);
        m->other = NULL;
    }
    return note_dump(&m->d, table, values, n, e);
}

static void test_tracker_dump_is_of_one_moment(void **state)
{
    struct fixture *f = *state;
    struct moving m = {.f = f, .d = {.wanted = "row-00001"}};

    rows_to_dump(f);
    m.other = open_tracker(f, false);
    OK(f, tracker_dump(f->t, NULL, move_meanwhile, &m, &f->e));
    assert_non_null(strstr(m.d.values, "status=t70656e64696e67 ")); /* pending */
    EXPECT(f, "3", "SELECT count(*) FROM file_migrations WHERE status = 'processing'");
}

#define TRACKER_DUMP_TESTS(TEST)                                                                   \
    TEST(test_tracker_dump_takes_what_the_filter_touches),                                         \
        TEST(test_tracker_dump_is_exact_to_the_byte),                                              \
        TEST(test_tracker_dump_stops_when_its_writer_fails),                                       \
        TEST(test_tracker_dump_is_of_one_moment)

#endif
