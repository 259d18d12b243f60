/* backup_create and backup_check: whole or absent (P12), byte-exact (C13). */
#include "unit/engine/rollback_world.h"

#include "blobferry/codec/json.h"
#include "blobferry/codec/text.h"

static char *slurp(const char *path, size_t *n)
{
    struct buf text;
    char *copy;

    buf_init(&text, 64 << 20);
    assert_int_equal(fsio_read_file(path, &text, NULL), ERR_OK);
    *n = text.len;
    copy = buf_steal(&text);
    assert_non_null(copy);
    return copy;
}

static enum err_code create(struct rollback_world *r, struct backup_result *out)
{
    err_init(&r->w.e);
    return backup_create(&r->w.g, &r->o.scope, out, &r->w.e);
}

/* The document, after its own SHA-256 has been checked by hand. */
static struct json *document(const struct backup_result *b)
{
    size_t n;
    char *text = slurp(b->path, &n), hex[DIGEST_SHA256_HEX];
    const char *tail = strstr(text + n - 80, ",\"sha256\":\"");
    struct json *root;

    assert_int_equal(n, b->bytes);
    assert_non_null(tail);
    digest_sha256_hex(text, (size_t)(tail - text), hex);
    assert_string_equal(hex, b->sha256);
    assert_true(strncmp(tail + strlen(",\"sha256\":\""), hex, 64) == 0);
    root = json_parse(text, n, NULL);
    assert_non_null(root);
    free(text);
    return root;
}

static const struct json *row(const struct json *root, const char *table, const char *column,
                              const char *value)
{
    const struct json *rows = json_get(json_get(root, "tables"), table);

    for (const struct json *o = json_first(rows); o != NULL; o = json_next(o)) {
        const char *have = json_string(json_get(o, column));
        if (have != NULL && strcmp(have, value) == 0)
            return o;
    }
    return NULL;
}

static void test_backup_holds_every_row_that_the_scope_touches(void **state)
{
    struct rollback_world *r = *state;
    struct backup_result b, checked;
    struct json *root;
    struct stat st;
    int64_t n = 0;

    rollback_world_three(r);
    rollback_world_add(r, "w", "b-2", "u");
    assert_int_equal(create(r, &b), ERR_OK);
    assert_non_null(strstr(b.path, "/migration_backup_2"));
    assert_int_equal(stat(b.path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    root = document(&b);
    assert_string_equal(json_string(json_get(root, "format")), "blobferry-backup");
    assert_string_equal(json_string(json_get(root, "run")), r->w.run_id);
    assert_string_equal(json_string(json_get(json_get(root, "filter"), "batch_id")), "b");
    assert_non_null(row(root, "migration_batches", "batch_id", "b"));
    assert_non_null(row(root, "file_migrations", "id", "x"));
    assert_non_null(row(root, "files", "id", "f-y"));
    assert_non_null(row(root, "blobferry_records", "record_id", "z"));
    assert_null(row(root, "file_migrations", "id", "w"));
    assert_null(row(root, "files", "id", "f-w"));
    assert_int_equal(b.rows, 1 + 3 + 3 + 3);
    assert_true(json_integer(json_get(json_get(root, "counts"), "file_migrations"), &n));
    assert_int_equal(n, 3);
    assert_string_equal(json_string(json_get(row(root, "files", "id", "f-x"), "r2_key")),
                        "k/x.txt");
    json_free(root);
    memset(&checked, 0, sizeof checked);
    assert_int_equal(backup_check(b.path, &checked, &r->w.e), ERR_OK);
    assert_string_equal(checked.sha256, b.sha256);
    assert_int_equal(checked.bytes, b.bytes);
}

/* NULL against '', bytes that are no UTF-8, NUL bytes, BLOBs, numbers: each comes back as what it was. */
static void test_backup_is_byte_exact(void **state)
{
    struct rollback_world *r = *state;
    const struct json *x, *f;
    struct backup_result b;
    unsigned char bytes[16];
    struct json *root;
    size_t n = sizeof bytes;
    int64_t size = 0;

    rollback_world_three(r);
    world_sql(&r->w,
              "UPDATE file_migrations SET error_message = '', original_checksum = NULL,"
              " source_path = CAST(x'61ff62' AS TEXT), migrated_checksum = CAST(x'610062' AS TEXT),"
              " file_size = -7, started_at = 1.5, completed_at = x'00ff' WHERE id = 'x';"
              "UPDATE files SET filename = 'Fu\xC3\x9F \xF0\x9F\x98\x80 \"\\\n', r2_key = NULL,"
              " checksum = '' WHERE id = 'f-x'");
    assert_int_equal(create(r, &b), ERR_OK);
    root = document(&b);
    x = row(root, "file_migrations", "id", "x");
    f = row(root, "files", "id", "f-x");
    assert_string_equal(json_string(json_get(x, "error_message")), "");
    assert_true(json_is_null(json_get(x, "original_checksum")));
    assert_true(
        text_unbase64(json_string(json_get(json_get(x, "source_path"), "b64")), 4, bytes, &n));
    assert_int_equal(n, 3);
    assert_memory_equal(bytes,
                        "a\xff"
                        "b",
                        3);
    n = sizeof bytes;
    assert_true(text_unbase64(json_string(json_get(json_get(x, "migrated_checksum"), "b64")), 4,
                              bytes, &n));
    assert_memory_equal(bytes, "a\0b", 3);
    assert_true(json_integer(json_get(x, "file_size"), &size));
    assert_int_equal(size, -7);
    assert_string_equal(json_string(json_get(json_get(x, "started_at"), "real")), "1.5");
    assert_string_equal(json_string(json_get(json_get(x, "completed_at"), "blob")), "AP8=");
    assert_string_equal(json_string(json_get(f, "filename")), "Fu\xC3\x9F \xF0\x9F\x98\x80 \"\\\n");
    assert_true(json_is_null(json_get(f, "r2_key")));
    assert_string_equal(json_string(json_get(f, "checksum")), "");
    json_free(root);
}

static void test_backup_of_nothing_is_whole_too(void **state)
{
    struct rollback_world *r = *state;
    struct backup_result b;
    struct json *root;

    rollback_world_three(r);
    r->o.scope.batch_id = "absent";
    assert_int_equal(create(r, &b), ERR_OK);
    assert_int_equal(b.rows, 0);
    root = document(&b);
    assert_int_equal(json_length(json_get(root, "tables")), 0);
    json_free(root);
    assert_int_equal(backup_check(b.path, &b, &r->w.e), ERR_OK);
}

static void write_file(const char *path, const char *p, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(fsio_write_all(fd, p, n, path, NULL), ERR_OK);
    close(fd);
}

static void assert_not_whole(struct rollback_world *r, const char *path)
{
    struct backup_result out;
    enum err_code code;

    memset(&out, 0, sizeof out);
    err_init(&r->w.e);
    code = backup_check(path, &out, &r->w.e);
    if (code != ERR_CONFLICT && code != ERR_PARSE)
        fail_msg("%s: %s", err_code_name(code), r->w.e.message);
    assert_string_equal(out.sha256, "");
}

static void test_backup_check_finds_every_cut(void **state)
{
    struct rollback_world *r = *state;
    struct backup_result b;
    size_t n;
    char *text;

    rollback_world_three(r);
    assert_int_equal(create(r, &b), ERR_OK);
    text = slurp(b.path, &n);
    for (size_t cut = 0; cut < n; cut += cut < 200 || cut + 200 > n ? 1 : 37) {
        write_file(b.path, text, cut);
        assert_not_whole(r, b.path);
    }
    write_file(b.path, text, n);
    assert_int_equal(backup_check(b.path, &b, &r->w.e), ERR_OK);
    free(text);
}

static void test_backup_check_finds_every_altered_byte(void **state)
{
    struct rollback_world *r = *state;
    struct backup_result b;
    size_t n;
    char *text;

    rollback_world_three(r);
    assert_int_equal(create(r, &b), ERR_OK);
    text = slurp(b.path, &n);
    for (size_t at = 0; at < n; at += 1 + at % 7) {
        text[at] ^= 1;
        write_file(b.path, text, n);
        assert_not_whole(r, b.path);
        text[at] ^= 1;
    }
    free(text);
}

static void test_backup_check_refuses_what_is_foreign(void **state)
{
    struct rollback_world *r = *state;
    char path[300], hex[DIGEST_SHA256_HEX], text[200];
    struct backup_result out;

    snprintf(path, sizeof path, "%s/foreign.json", r->w.dir);
    write_file(path, "{\"format\":\"another\"}\n", 21);
    assert_not_whole(r, path);
    write_file(path, "", 0);
    assert_not_whole(r, path);
    digest_sha256_hex("", 0, hex); /* nothing, of the right hash */
    snprintf(text, sizeof text, ",\"sha256\":\"%s\"}\n", hex);
    write_file(path, text, strlen(text));
    assert_not_whole(r, path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0); /* refused without blocking */
    err_init(&r->w.e);
    assert_int_not_equal(backup_check(path, &out, &r->w.e), ERR_OK);
    assert_int_equal(unlink(path), 0);
    err_init(&r->w.e);
    assert_int_equal(backup_check(path, &out, &r->w.e), ERR_FILE_MISSING);
}

static void test_backup_names_are_unique_within_a_second(void **state)
{
    struct rollback_world *r = *state;
    struct backup_result a, b;

    rollback_world_three(r);
    clock_set_wall_for_tests(1792588210000);
    assert_int_equal(create(r, &a), ERR_OK);
    assert_int_equal(create(r, &b), ERR_OK);
    assert_non_null(strstr(a.path, "/migration_backup_20261021_131010.json"));
    assert_non_null(strstr(b.path, "/migration_backup_20261021_131010-2.json"));
    assert_int_equal(backup_check(a.path, &a, &r->w.e), ERR_OK);
}

static void test_backup_that_cannot_be_written_is_absent(void **state)
{
    struct rollback_world *r = *state;
    struct backup_result b;

    rollback_world_three(r);
    world_write(r->w.dir, "backups", "x", 1); /* a file where the folder should be */
    assert_int_not_equal(create(r, &b), ERR_OK);
    assert_string_equal(b.path, "");
    assert_int_equal(err_exit_code(r->w.e.code), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        rollback_test(test_backup_holds_every_row_that_the_scope_touches),
        rollback_test(test_backup_is_byte_exact),
        rollback_test(test_backup_of_nothing_is_whole_too),
        rollback_test(test_backup_check_finds_every_cut),
        rollback_test(test_backup_check_finds_every_altered_byte),
        rollback_test(test_backup_check_refuses_what_is_foreign),
        rollback_test(test_backup_names_are_unique_within_a_second),
        rollback_test(test_backup_that_cannot_be_written_is_absent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
