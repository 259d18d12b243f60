/* The file layer of backups, both ways: engine/backup_sink and engine/backup_source. */
#include "engine/backup_sink.h"
#include "engine/backup_source.h"

#include "unit/base/scratch.h"

#define CHUNK  BACKUP_CIPHER_CHUNK
#define SEALED (BACKUP_CIPHER_CHUNK + BACKUP_CIPHER_TAG)

struct fixture {
    struct scratch s;
    struct secret key, other;
    unsigned char *text, *back;
    struct err e;
};

static int begin(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    scratch_init(&f->s);
    secret_init(&f->key);
    secret_init(&f->other);
    assert_int_equal(secret_set(&f->key,
                                "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
                                64, NULL),
                     ERR_OK);
    assert_int_equal(secret_set(&f->other,
                                "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
                                64, NULL),
                     ERR_OK);
    f->text = malloc(6 * CHUNK);
    f->back = malloc(6 * CHUNK);
    assert_non_null(f->text);
    assert_non_null(f->back);
    for (size_t i = 0; i < 6 * CHUNK; i++)
        f->text[i] = (unsigned char)((i * 2654435761u) >> 13);
    *state = f;
    return 0;
}

static int end(void **state)
{
    struct fixture *f = *state;

    secret_release(&f->key);
    secret_release(&f->other);
    free(f->text);
    free(f->back);
    scratch_release(&f->s);
    free(f);
    return 0;
}

static void write_file(struct fixture *f, const char *name, const struct secret *key, size_t n,
                       size_t piece)
{
    struct backup_sink s;
    size_t at = 0;

    unlink(scratch_path(&f->s, name));
    assert_int_equal(
        backup_sink_begin(&s, scratch_path(&f->s, name), key, "2026-11-21T12:00:00.000Z", NULL),
        ERR_OK);
    while (at < n) {
        const size_t take = n - at < piece ? n - at : piece;
        assert_int_equal(backup_sink_write(&s, f->text + at, take, NULL), ERR_OK);
        at += take;
    }
    assert_int_equal(access(scratch_path(&f->s, name), F_OK), -1); /* not before it is whole */
    assert_int_equal(backup_sink_commit(&s, NULL), ERR_OK);
    backup_sink_release(&s);
    backup_sink_release(&s);
}

/* Everything the file gives, up to six chunks. */
static enum err_code read_file(struct fixture *f, const char *name, const struct secret *key,
                               size_t piece, size_t *n)
{
    struct backup_source s;
    size_t got = 1;
    enum err_code code;

    err_init(&f->e);
    *n = 0;
    code = backup_source_open(&s, scratch_path(&f->s, name), key, &f->e);
    while (code == ERR_OK && got > 0 && *n < 6 * CHUNK) {
        const size_t room = 6 * CHUNK - *n < piece ? 6 * CHUNK - *n : piece;
        code = backup_source_read(&s, f->back + *n, room, &got, &f->e);
        *n += got;
    }
    backup_source_close(&s);
    backup_source_close(&s);
    return code;
}

static unsigned char *load(struct fixture *f, const char *name, size_t *n)
{
    FILE *file = fopen(scratch_path(&f->s, name), "r");
    unsigned char *bytes = malloc(8 * CHUNK);

    assert_non_null(file);
    assert_non_null(bytes);
    *n = fread(bytes, 1, 8 * CHUNK, file);
    fclose(file);
    return bytes;
}

static void store(struct fixture *f, const char *name, const unsigned char *bytes, size_t n)
{
    FILE *file = fopen(scratch_path(&f->s, name), "w");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    fclose(file);
}

static size_t header_length(const unsigned char *bytes, size_t n)
{
    const unsigned char *lf = memchr(bytes, '\n', n);

    assert_non_null(lf);
    return (size_t)(lf - bytes) + 1;
}

static void test_backup_sink_plain_text_is_the_file(void **state)
{
    struct fixture *f = *state;
    size_t n;
    unsigned char *bytes;

    write_file(f, "plain", NULL, 100000, 777);
    bytes = load(f, "plain", &n);
    assert_int_equal(n, 100000);
    assert_memory_equal(bytes, f->text, n);
    free(bytes);
    assert_int_equal(read_file(f, "plain", &f->key, 1000, &n), ERR_OK); /* the key is not needed */
    assert_int_equal(n, 100000);
    assert_memory_equal(f->back, f->text, n);
}

static void test_backup_sink_sealed_text_comes_back_whatever_its_length(void **state)
{
    static const size_t lengths[] = {0,         1,         100,           CHUNK - 1, CHUNK,
                                     CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 5, 5 * CHUNK};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        const size_t pieces[] = {997, CHUNK, 6 * CHUNK};
        for (size_t p = 0; p < 3; p++) {
            size_t n;
            write_file(f, "sealed", &f->key, lengths[i], pieces[p]);
            assert_int_equal(read_file(f, "sealed", &f->key, pieces[2 - p], &n), ERR_OK);
            assert_int_equal(n, lengths[i]);
            assert_memory_equal(f->back, f->text, n);
        }
    }
}

static void test_backup_sink_hides_the_text_and_tells_the_header(void **state)
{
    struct fixture *f = *state;
    size_t n, head;
    unsigned char *bytes;
    struct stat st;

    memcpy(f->text, "a very private file name", 24);
    write_file(f, "sealed", &f->key, 1000, 1000);
    bytes = load(f, "sealed", &n);
    head = header_length(bytes, n);
    assert_int_equal(n, head + 1000 + BACKUP_CIPHER_TAG);
    assert_null(memmem(bytes, n, "private", 7));
    assert_non_null(memmem(bytes, head, "\"created\":\"2026-11-21T12:00:00.000Z\"", 36));
    assert_non_null(memmem(bytes, head, "\"cipher\":\"AES-256-GCM\"", 22));
    assert_null(memmem(bytes, n, "00112233", 8));
    free(bytes);
    assert_int_equal(stat(scratch_path(&f->s, "sealed"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_backup_source_wants_the_right_key(void **state)
{
    struct fixture *f = *state;
    struct secret unset;
    size_t n;

    secret_init(&unset);
    write_file(f, "sealed", &f->key, 1000, 1000);
    assert_int_equal(read_file(f, "sealed", NULL, 1000, &n), ERR_CONFIG);
    assert_non_null(strstr(f->e.hint, "--backup-key-file"));
    assert_int_equal(read_file(f, "sealed", &unset, 1000, &n), ERR_CONFIG);
    assert_int_equal(read_file(f, "sealed", &f->other, 1000, &n), ERR_CONFIG);
    assert_non_null(strstr(f->e.message, "not with the key given"));
    assert_int_equal(n, 0);
}

/* Whatever is given before the fault shows is a beginning of the text, and the fault shows. */
static void check_refused(struct fixture *f, const unsigned char *bytes, size_t n)
{
    size_t got;
    enum err_code code;

    store(f, "damaged", bytes, n);
    code = read_file(f, "damaged", &f->key, CHUNK, &got);
    assert_true(code == ERR_CONFLICT || code == ERR_CONFIG || code == ERR_PARSE);
    assert_memory_equal(f->back, f->text, got);
}

static void test_backup_source_refuses_every_cut(void **state)
{
    struct fixture *f = *state;
    size_t n, head;
    unsigned char *bytes;

    write_file(f, "sealed", &f->key, 3 * CHUNK, CHUNK);
    bytes = load(f, "sealed", &n);
    head = header_length(bytes, n);
    assert_int_equal(n, head + 3 * SEALED);
    for (size_t cut = 50; cut < n; cut += cut < head + 40 ? 1 : 4099)
        check_refused(f, bytes, cut);
    for (size_t chunk = 0; chunk <= 2; chunk++) { /* exactly between two chunks, and around it */
        for (size_t off = 0; off < 40; off++)
            check_refused(f, bytes, head + chunk * SEALED + off);
    }
    check_refused(f, bytes, n - 1);
    free(bytes);
}

static void test_backup_source_refuses_altered_bytes_anywhere(void **state)
{
    struct fixture *f = *state;
    size_t n, head;
    unsigned char *bytes;

    write_file(f, "sealed", &f->key, CHUNK + 100, CHUNK);
    bytes = load(f, "sealed", &n);
    head = header_length(bytes, n);
    for (size_t i = 0; i < n; i += i < head || i + 150 > n ? 1 : 1009) {
        bytes[i] ^= 0x01;
        if (i >=
            42) /* an altered beginning is no sealed file at all: the reader of backups refuses it */
            check_refused(f, bytes, n);
        bytes[i] ^= 0x01;
    }
    free(bytes);
}

static void test_backup_source_refuses_other_chunks(void **state)
{
    struct fixture *f = *state;
    size_t n, m, head;
    unsigned char *bytes, *other, *made = malloc(8 * CHUNK);

    assert_non_null(made);
    write_file(f, "sealed", &f->key, 4 * CHUNK, CHUNK);
    bytes = load(f, "sealed", &n);
    head = header_length(bytes, n);
    write_file(f, "sealed", &f->key, 4 * CHUNK, CHUNK); /* the same text and key once more */
    other = load(f, "sealed", &m);
    assert_int_equal(n, m);
    assert_memory_not_equal(bytes, other, n);

    memcpy(made, bytes, n); /* two chunks swapped */
    memcpy(made + head, bytes + head + SEALED, SEALED);
    memcpy(made + head + SEALED, bytes + head, SEALED);
    check_refused(f, made, n);
    memcpy(made, bytes, n); /* one from another backup */
    memcpy(made + head + SEALED, other + head + SEALED, SEALED);
    check_refused(f, made, n);
    memcpy(made, bytes, n); /* one left out */
    memmove(made + head + SEALED, made + head + 2 * SEALED, 2 * SEALED);
    check_refused(f, made, n - SEALED);
    memcpy(made, bytes, n); /* one doubled */
    memcpy(made + n, bytes + n - SEALED, SEALED);
    check_refused(f, made, n + SEALED);
    memcpy(made, other, head); /* another header */
    memcpy(made + head, bytes + head, n - head);
    check_refused(f, made, n);
    memcpy(made, bytes, n); /* something after the end */
    made[n] = 'x';
    check_refused(f, made, n + 1);
    free(bytes);
    free(other);
    free(made);
}

static void test_backup_source_refuses_strange_headers(void **state)
{
    static const char *const headers[] = {
        "{\"format\":\"blobferry-backup-encrypted\",\"version\":2}\n",
        "{\"format\":\"blobferry-backup-encrypted\",\"version\":1}\n",
        "{\"format\":\"blobferry-backup-encrypted\",\"version\":1,",
        "{\"format\":\"blobferry-backup-encrypted\",\n",
        "{\"format\":\"blobferry-backup-encrypted\",\"version\":1,\"cipher\":\"none\",\"chunk\":"
        "65536,"
        "\"created\":\"x\",\"key_id\":\"x\",\"salt\":\"00\"}\n",
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
        check_refused(f, (const unsigned char *)headers[i], strlen(headers[i]));
}

static void test_backup_source_refuses_what_is_no_file(void **state)
{
    struct fixture *f = *state;
    size_t n;

    assert_int_equal(read_file(f, "absent", NULL, 10, &n), ERR_FILE_MISSING);
    assert_int_equal(mkfifo(scratch_path(&f->s, "fifo"), 0600), 0);
    assert_int_equal(read_file(f, "fifo", NULL, 10, &n), ERR_FILE_TYPE);
    assert_int_equal(read_file(f, ".", NULL, 10, &n), ERR_FILE_TYPE);
}

static void test_backup_sink_never_replaces_a_file(void **state)
{
    struct fixture *f = *state;
    struct backup_sink s;
    char *text;

    assert_int_equal(backup_sink_begin(&s, scratch_path(&f->s, "taken"), &f->key, "now", NULL),
                     ERR_OK);
    scratch_write(&f->s, "taken", "somebody else's");
    assert_int_equal(backup_sink_write(&s, "x", 1, NULL), ERR_OK);
    assert_int_equal(backup_sink_commit(&s, NULL), ERR_CONFLICT);
    backup_sink_release(&s);
    text = scratch_read(scratch_path(&f->s, "taken"));
    assert_string_equal(text, "somebody else's");
    free(text);
    assert_int_equal(scratch_count(&f->s), 1);
}

static void test_backup_sink_leaves_nothing_when_given_up(void **state)
{
    struct fixture *f = *state;
    struct backup_sink s;
    struct secret bad;

    assert_int_equal(backup_sink_begin(&s, scratch_path(&f->s, "x"), NULL, "now", NULL), ERR_OK);
    backup_sink_release(&s);
    secret_init(&bad);
    assert_int_equal(secret_set(&bad, "not a key at all", 16, NULL), ERR_OK);
    assert_int_equal(backup_sink_begin(&s, scratch_path(&f->s, "y"), &bad, "now", NULL),
                     ERR_CONFIG);
    backup_sink_release(&s);
    secret_release(&bad);
    assert_int_equal(scratch_count(&f->s), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_backup_sink_plain_text_is_the_file),
        TEST(test_backup_sink_sealed_text_comes_back_whatever_its_length),
        TEST(test_backup_sink_hides_the_text_and_tells_the_header),
        TEST(test_backup_source_wants_the_right_key),
        TEST(test_backup_source_refuses_every_cut),
        TEST(test_backup_source_refuses_altered_bytes_anywhere),
        TEST(test_backup_source_refuses_other_chunks),
        TEST(test_backup_source_refuses_strange_headers),
        TEST(test_backup_source_refuses_what_is_no_file),
        TEST(test_backup_sink_never_replaces_a_file),
        TEST(test_backup_sink_leaves_nothing_when_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
