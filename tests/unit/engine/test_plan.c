#include "unit/engine/planner.h"

#include "blobferry/codec/digest.h"

#define A_SHA256 "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb" /* of "a" */

static void test_plan_dir_takes_every_regular_file(void **state)
{
    struct planner p;
    struct json *m;
    const struct json *row;
    int64_t n = 0;
    (void)state;

    planner_init(&p);
    planner_dir(&p, "b");
    planner_dir(&p, "b/deep");
    planner_dir(&p, "empty");
    planner_file(&p, "z.txt", "z");
    planner_file(&p, "a b.txt", "");
    planner_file(&p, "b/caf\xc3\xa9.jpg", "12345");
    planner_file(&p, "b/deep/x", "xx");
    assert_int_equal(planner_run(&p, (struct plan_options){.batch_id = "b-1"}), ERR_OK);
    assert_int_equal(p.result.planned, 4);
    assert_int_equal(p.result.bytes, 8);
    assert_int_equal(p.result.batches, 1);
    assert_int_equal(p.result.without_user, 4);
    assert_string_equal(p.result.first_batch, "b-1");
    assert_int_equal(planner_rows(&p, "b-1"), 4);
    planner_expect(&p, 0, "a b.txt", "a b.txt");
    planner_expect(&p, 1, "b/caf\xc3\xa9.jpg", "b/caf\xc3\xa9.jpg");
    planner_expect(&p, 2, "b/deep/x", "b/deep/x");
    planner_expect(&p, 3, "z.txt", "z.txt");
    assert_int_equal(p.rows.items[1].file_size, 5);
    assert_null(p.rows.items[1].file_id);
    assert_null(p.rows.items[1].original_checksum);

    m = planner_manifest(&p, "b-1");
    assert_string_equal(json_string(json_get(m, "batch_id")), "b-1");
    assert_true(json_is_null(json_get(m, "target_prefix")));
    assert_true(json_integer(json_get(m, "files"), &n) && n == 4);
    assert_true(json_integer(json_get(m, "bytes"), &n) && n == 8);
    assert_int_equal(json_length(json_get(m, "rows")), 4);
    row = json_item(json_get(m, "rows"), 1);
    assert_string_equal(json_string(json_get(row, "record_id")), p.rows.items[1].id);
    assert_string_equal(json_string(json_get(row, "target_key")), "b/caf\xc3\xa9.jpg");
    json_free(m);
    planner_release(&p);
}

/* Paths are stored from the source root, {path} is what lies below the planned directory. */
static void test_plan_dir_inside_the_source_root(void **state)
{
    struct planner p;
    char input[500];
    (void)state;

    planner_init(&p);
    planner_dir(&p, "uploads");
    planner_file(&p, "uploads/a.txt", "a");
    planner_file(&p, "other.txt", "o");
    snprintf(input, sizeof input, "%s/uploads", p.root);
    assert_int_equal(planner_run(&p, (struct plan_options){.batch_id = "b-1", .input = input}),
                     ERR_OK);
    assert_int_equal(planner_rows(&p, NULL), 1);
    planner_expect(&p, 0, "uploads/a.txt", "a.txt");
    assert_int_equal(planner_run(&p, (struct plan_options){.input = p.folder.dir}),
                     ERR_FILE_OUTSIDE);
    planner_release(&p);
}

static void test_plan_dir_without_a_source_root_stores_absolute_paths(void **state)
{
    struct planner p;
    char path[1024], *real;
    (void)state;

    planner_init(&p);
    p.g.source_root = NULL;
    planner_dir(&p, "d");
    planner_file(&p, "d/a.txt", "a");
    assert_int_equal(planner_run(&p, (struct plan_options){.key_prefix = "pre/fix"}), ERR_OK);
    assert_int_equal(planner_rows(&p, NULL), 1);
    real = realpath(p.root, NULL);
    snprintf(path, sizeof path, "%s/d/a.txt", real);
    planner_expect(&p, 0, path, "pre/fix/d/a.txt");
    free(real);
    planner_release(&p);
}

static void test_plan_dir_reports_what_is_no_regular_file(void **state)
{
    struct planner p;
    (void)state;

    planner_init(&p);
    planner_file(&p, "good", "1");
    planner_file(&p, "bad\xff", "1");
    planner_file(&p, "bad\n", "1");
    assert_int_equal(symlink("good", scratch_path(&p.folder, "src/link")), 0);
    assert_int_equal(symlink(".", scratch_path(&p.folder, "src/loop")), 0);
    assert_int_equal(mkfifo(scratch_path(&p.folder, "src/pipe"), 0600), 0);
    assert_int_equal(planner_run(&p, (struct plan_options){.batch_id = "b-1"}), ERR_PARTIAL);
    assert_int_equal(p.result.planned, 1);
    assert_int_equal(p.result.refused, 5);
    assert_int_equal(p.result.skipped_special, 3);
    assert_non_null(strstr(p.problems, "0|link|-|file_type|'link' is a symbolic link"));
    assert_non_null(strstr(p.problems, "0|pipe|-|file_type|'pipe' is a FIFO"));
    assert_non_null(strstr(p.problems, "0|bad\xff|"));
    assert_non_null(strstr(p.problems, "source_path is not valid UTF-8"));
    assert_non_null(strstr(p.problems, "control character"));
    assert_int_equal(planner_rows(&p, NULL), 1);
    planner_release(&p);
}

static void test_plan_dir_bounds_its_depth(void **state)
{
    struct planner p;
    char path[1024] = "src";
    (void)state;

    planner_init(&p);
    for (int i = 0; i < 130; i++) {
        strncat(path, "/d", sizeof path - strlen(path) - 1);
        assert_int_equal(mkdir(scratch_path(&p.folder, path), 0700), 0);
    }
    planner_file(&p, "top", "1");
    assert_int_equal(planner_run(&p, (struct plan_options){.batch_id = "b-1"}), ERR_PARTIAL);
    assert_int_equal(p.result.planned, 1);
    assert_non_null(strstr(p.problems, "nested more than 128 deep"));
    planner_release(&p);
}

/* One entry too many to be sorted: all are there nevertheless. */
static void test_plan_dir_takes_large_directories_unsorted(void **state)
{
    struct planner p;
    char name[64];
    (void)state;

    planner_init(&p);
    planner_dir(&p, "many");
    for (int i = 0; i < 10001; i++) {
        snprintf(name, sizeof name, "many/%d", i);
        planner_file(&p, name, "");
    }
    assert_int_equal(planner_run(&p, (struct plan_options){.dry_run = true}), ERR_OK);
    assert_int_equal(p.result.planned, 10001);
    planner_release(&p);
}

static void test_plan_csv_reads_columns_by_name(void **state)
{
    static const char text[] = "\xef\xbb\xbfsize,source_path,colour,file_id,user_id,filename,"
                               "target_key,checksum,content_type\r\n"
                               "1,a.txt,red,f-1,u-1,\"My \"\"A\"\".txt\",keys/a,"
                               "0CC175B9C0F1B6A831C399E269772661,text/x-a\r\n"
                               ",./d//b.txt,,,,,,,\r\n";
    struct planner p;
    (void)state;

    planner_init(&p);
    planner_dir(&p, "d");
    planner_file(&p, "a.txt", "a");
    planner_file(&p, "d/b.txt", "bb");
    assert_int_equal(planner_read(&p, PLAN_FROM_CSV, text,
                                  (struct plan_options){.batch_id = "b-1", .key_prefix = "pre/"}),
                     ERR_OK);
    assert_string_equal(p.notes, "column 'colour' is not known and not used\n");
    assert_int_equal(p.result.without_user, 1);
    assert_int_equal(planner_rows(&p, "b-1"), 2);
    planner_expect(&p, 0, "a.txt", "pre/keys/a");
    assert_string_equal(p.rows.items[0].file_id, "f-1");
    assert_string_equal(p.rows.items[0].user_id, "u-1");
    assert_string_equal(p.rows.items[0].filename, "My \"A\".txt");
    assert_string_equal(p.rows.items[0].original_checksum, "0CC175B9C0F1B6A831C399E269772661");
    assert_string_equal(p.rows.items[0].content_type, "text/x-a");
    assert_true(p.rows.items[0].file_row);
    planner_expect(&p, 1, "d/b.txt", "pre/d/b.txt");
    assert_int_equal(p.rows.items[1].file_size, 2);
    planner_release(&p);
}

/* A user for rows that have none: then each file gets a row in files, named after the file. */
static void test_plan_makes_rows_in_files_for_a_user(void **state)
{
    struct planner p;
    (void)state;

    planner_init(&p);
    planner_file(&p, "a.txt", "a");
    assert_int_equal(planner_run(&p, (struct plan_options){.batch_id = "b-1", .user_id = "u-9"}),
                     ERR_OK);
    assert_int_equal(p.result.without_user, 0);
    assert_int_equal(planner_rows(&p, "b-1"), 1);
    assert_true(p.rows.items[0].file_row);
    assert_string_equal(p.rows.items[0].user_id, "u-9");
    assert_string_equal(p.rows.items[0].filename, "a.txt");
    assert_int_equal(strlen(p.rows.items[0].file_id), 36);
    planner_release(&p);
}

static void test_plan_reports_rows_that_cannot_be_migrated(void **state)
{
    static const char text[] = "source_path,target_key,checksum,size,file_id,content_type\n"
                               "gone.txt,,,,,\n"
                               "dir,,,,,\n"
                               "link,,,,,\n"
                               "../outside,,,,,\n"
                               ",k,,,,\n"
                               "a.txt,k1,,7,,\n"
                               "a.txt,k2,nonsense,,,\n"
                               "a.txt,k3,,many,,\n"
                               "a.txt,k4/../x,,,,\n"
                               "a.txt,k5,,,,\"a/b\r\nx: y\"\n"
                               "a.txt,same,,,,\n"
                               "a.txt,same,,,,\n"
                               "a.txt,caf\xc3\xa9,,,,\n"
                               "a.txt,cafe\xcc\x81,,,,\n"
                               "a.txt,k6,,,f-1,\n"
                               "a.txt,k7,,,f-1,\n";
    static const char *const expected[] = {
        "2|gone.txt|-|file_missing|",
        "3|dir|-|file_type|",
        "4|link|-|file_type|",
        "5|../outside|-|file_outside|",
        "6||-|parse|source_path is empty",
        "7|a.txt|-|file_changed|the file has 1 bytes, the row says 7",
        "8|a.txt|-|parse|",
        "9|a.txt|k3|parse|'many' is no size",
        "10|a.txt|k4/../x|parse|",
        "11|a.txt|-|parse|",
        "14|a.txt|same|conflict|'a.txt' has the same target key",
        "16|a.txt|cafe\xcc\x81|conflict|the target key of 'a.txt' differs only",
        "18|a.txt|k7|conflict|'a.txt' has the same file_id 'f-1'",
    };
    struct planner p;
    (void)state;

    planner_init(&p);
    planner_file(&p, "a.txt", "a");
    planner_dir(&p, "dir");
    assert_int_equal(symlink("a.txt", scratch_path(&p.folder, "src/link")), 0);
    assert_int_equal(
        planner_read(&p, PLAN_FROM_CSV, text, (struct plan_options){.batch_id = "b-1"}),
        ERR_PARTIAL);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        if (strstr(p.problems, expected[i]) == NULL)
            fail_msg("no '%s' in:\n%s", expected[i], p.problems);
    assert_int_equal(p.result.refused, 13);
    assert_int_equal(p.result.missing, 1);
    assert_int_equal(p.result.duplicates, 3);
    assert_int_equal(p.result.planned, 3);
    assert_int_equal(planner_rows(&p, NULL), 3);
    planner_release(&p);
}

static void test_plan_nothing_of_a_broken_file(void **state)
{
    static const struct {
        enum plan_from from;
        const char *text, *message;
    } cases[] = {
        {PLAN_FROM_CSV, "", "line 1"},
        {PLAN_FROM_CSV, "file_id\nx\n", "no column 'source_path'"},
        {PLAN_FROM_CSV, "source_path,size,source_path\n", "'source_path' comes twice"},
        {PLAN_FROM_CSV, "source_path,size\na.txt,1\na.txt\n", "line 3: 1 fields in place of 2"},
        {PLAN_FROM_CSV, "source_path\na.txt\n\"b\n", "line 3"},
        {PLAN_FROM_JSONL, "{\"source_path\":\"a.txt\"}\n{\"source_path\":\n", "line 2"},
        {PLAN_FROM_JSONL, "{\"source_path\":\"a.txt\"}\n[1]\n", "line 2: this is no JSON object"},
        {PLAN_FROM_JSONL, "\n{\"source_path\":7}\n", "line 2: 'source_path' is neither"},
        {PLAN_FROM_JSONL, "{\"source_path\":\"a.txt\",\"source_path\":\"b\"}\n", "line 1"},
    };
    struct planner p;
    (void)state;

    planner_init(&p);
    planner_file(&p, "a.txt", "a");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(planner_read(&p, cases[i].from, cases[i].text, (struct plan_options){0}),
                         ERR_PARSE);
        if (strstr(p.err.message, cases[i].message) == NULL)
            fail_msg("no '%s' in '%s'", cases[i].message, p.err.message);
        assert_non_null(strstr(p.err.message, p.input));
        assert_int_equal(p.result.planned, 0);
        assert_int_equal(planner_rows(&p, NULL), 0);
    }
    assert_int_equal(planner_manifests(&p), 0);
    planner_release(&p);
}

static void test_plan_jsonl_reads_objects(void **state)
{
    static const char text[] =
        "\xef\xbb\xbf{\"source_path\":\"a.txt\",\"file_id\":17,\"user_id\":\"u\",\"size\":1,"
        "\"hue\":[1]}\n\n"
        "{\"source_path\":\"b.txt\",\"size\":null,\"hue\":2,\"target_key\":\"k\xc3\xa9\"}";
    struct planner p;
    (void)state;

    planner_init(&p);
    planner_file(&p, "a.txt", "a");
    planner_file(&p, "b.txt", "b");
    assert_int_equal(
        planner_read(&p, PLAN_FROM_JSONL, text, (struct plan_options){.batch_id = "b-1"}), ERR_OK);
    assert_string_equal(p.notes, "column 'hue' is not known and not used\n");
    assert_int_equal(planner_rows(&p, "b-1"), 2);
    planner_expect(&p, 0, "a.txt", "a.txt");
    assert_string_equal(p.rows.items[0].file_id, "17");
    planner_expect(&p, 1, "b.txt", "k\xc3\xa9");
    planner_release(&p);
}

static void test_plan_jsonl_bounds_its_lines(void **state)
{
    const size_t n = ((size_t)1 << 20) + 10;
    struct planner p;
    char *text = malloc(n + 1);
    (void)state;

    assert_non_null(text);
    memset(text, ' ', n);
    text[n] = '\0';
    planner_init(&p);
    assert_int_equal(planner_read(&p, PLAN_FROM_JSONL, text, (struct plan_options){0}), ERR_PARSE);
    assert_non_null(strstr(p.err.message, "line 1: the line is longer than 1 MiB"));
    free(text);
    planner_release(&p);
}

static void test_plan_checksum_hashes_and_compares(void **state)
{
    static const char text[] = "source_path,target_key,checksum\n"
                               "a.txt,k1,\n"
                               "a.txt,k2,0cc175b9c0f1b6a831c399e269772661\n"
                               "a.txt,k3,1B2M2Y8AsgTpgAmY7PhCfg==\n";
    struct planner p;
    (void)state;

    planner_init(&p);
    planner_file(&p, "a.txt", "a");
    assert_int_equal(planner_read(&p, PLAN_FROM_CSV, text,
                                  (struct plan_options){.batch_id = "b-1", .checksum = true}),
                     ERR_PARTIAL);
    assert_non_null(strstr(p.problems, "4|a.txt|-|file_changed|the file has another checksum"));
    assert_int_equal(planner_rows(&p, "b-1"), 2);
    assert_string_equal(p.rows.items[0].original_checksum, A_SHA256);
    assert_string_equal(p.rows.items[1].original_checksum, "0cc175b9c0f1b6a831c399e269772661");
    planner_release(&p);
}

static void test_plan_key_template_is_expanded(void **state)
{
    struct planner p;
    (void)state;

    planner_init(&p);
    planner_dir(&p, "d");
    planner_file(&p, "d/a.tar.gz", "a");
    planner_file(&p, "d/none", "n");
    assert_int_equal(
        planner_run(&p, (struct plan_options){.batch_id = "b-1",
                                              .user_id = "u",
                                              .key_template = "{user_id}/{sha256}.{ext}"}),
        ERR_PARTIAL);
    assert_non_null(strstr(p.problems, "0|d/none|"));
    assert_non_null(strstr(p.problems, "the row has no value for {ext} of the template"));
    assert_int_equal(planner_rows(&p, "b-1"), 1);
    planner_expect(&p, 0, "d/a.tar.gz", "u/" A_SHA256 ".gz");
    assert_string_equal(p.rows.items[0].original_checksum, A_SHA256);
    assert_int_equal(planner_run(&p, (struct plan_options){.key_template = "{path}{nonsense}"}),
                     ERR_USAGE);
    assert_non_null(strstr(p.err.message, "'{nonsense}'"));
    planner_release(&p);
}

static void test_plan_splits_into_batches(void **state)
{
    struct planner p;
    struct json *m;
    char name[32];
    int64_t n = 0;
    (void)state;

    planner_init(&p);
    for (int i = 0; i < 7; i++) {
        snprintf(name, sizeof name, "f%d", i);
        planner_file(&p, name, "x");
    }
    assert_int_equal(planner_run(&p, (struct plan_options){.batch_id = "b", .batch_size = 3}),
                     ERR_OK);
    assert_int_equal(p.result.batches, 3);
    assert_string_equal(p.result.first_batch, "b-001");
    assert_int_equal(planner_rows(&p, "b-001"), 3);
    assert_int_equal(planner_rows(&p, "b-002"), 3);
    assert_int_equal(planner_rows(&p, "b-003"), 1);
    planner_expect(&p, 0, "f6", "f6");
    assert_int_equal(planner_manifests(&p), 3);
    m = planner_manifest(&p, "b-003");
    assert_true(json_integer(json_get(m, "files"), &n) && n == 1);
    json_free(m);
    assert_int_equal(planner_run(&p, (struct plan_options){.batch_id = "b", .batch_size = 3}),
                     ERR_CONFLICT);
    assert_non_null(strstr(p.err.message, "b-001"));
    planner_release(&p);
}

static void test_plan_fills_batches_beside_refused_rows(void **state)
{
    struct planner p;
    (void)state;

    planner_init(&p);
    planner_file(&p, "a", "1");
    planner_file(&p, "b", "1");
    assert_int_equal(planner_read(&p, PLAN_FROM_CSV, "source_path\na\ngone\nb\n",
                                  (struct plan_options){.batch_id = "b", .batch_size = 2}),
                     ERR_PARTIAL);
    assert_int_equal(p.result.batches, 1);
    assert_int_equal(planner_rows(&p, "b-001"), 2);
    planner_release(&p);
}

static void test_plan_again_refuses_every_key(void **state)
{
    struct planner p;
    (void)state;

    planner_init(&p);
    planner_file(&p, "a.txt", "a");
    assert_int_equal(planner_run(&p, (struct plan_options){.batch_id = "b-1"}), ERR_OK);
    for (int dry = 0; dry < 2; dry++) {
        assert_int_equal(
            planner_run(&p, (struct plan_options){.batch_id = "b-2", .dry_run = dry == 1}),
            ERR_PARTIAL);
        assert_string_equal(p.problems,
                            "0|a.txt|a.txt|conflict|target key is planned already in batch "
                            "'b-1'\n");
        assert_int_equal(p.result.duplicates, 1);
        assert_int_equal(p.result.planned, 0);
    }
    assert_int_equal(planner_rows(&p, NULL), 1);
    assert_int_equal(planner_manifests(&p), 1);
    planner_release(&p);
}

static void test_plan_dry_run_writes_nothing(void **state)
{
    struct planner p;
    struct tracker_head head;
    (void)state;

    planner_init(&p);
    planner_file(&p, "a.txt", "a");
    planner_file(&p, "b.txt", "bb");
    assert_int_equal(
        planner_run(&p, (struct plan_options){.batch_id = "b", .batch_size = 1, .dry_run = true}),
        ERR_OK);
    assert_int_equal(p.result.planned, 2);
    assert_int_equal(p.result.bytes, 3);
    assert_int_equal(p.result.batches, 2);
    assert_int_equal(planner_rows(&p, NULL), 0);
    assert_int_equal(planner_manifests(&p), 0);
    assert_int_equal(journal_commit(p.g.journal, false, &head, NULL), ERR_OK);
    assert_int_equal(head.seq, 1);
    planner_release(&p);
}

static void test_plan_refuses_a_batch_that_exists(void **state)
{
    struct planner p;
    (void)state;

    planner_init(&p);
    planner_file(&p, "a.txt", "a");
    assert_int_equal(planner_run(&p, (struct plan_options){.batch_id = "b-1"}), ERR_OK);
    assert_int_equal(planner_run(&p, (struct plan_options){.batch_id = "b-1"}), ERR_CONFLICT);
    assert_non_null(strstr(p.err.message, "batch 'b-1' exists already"));
    scratch_write(&p.folder, "batches/b-2.json", "{}");
    assert_int_equal(planner_run(&p, (struct plan_options){.batch_id = "b-2"}), ERR_CONFLICT);
    assert_non_null(strstr(p.err.message, "b-2.json"));
    assert_int_equal(planner_rows(&p, NULL), 1);
    planner_release(&p);
}

static void test_plan_refuses_batch_ids_that_name_no_file(void **state)
{
    static const char *const bad[] = {"", ".", "..", "*", "a/b", "a\nb", "a\x80", "a\xe2\x80\xae"};
    char longest[202];
    struct planner p;
    (void)state;

    planner_init(&p);
    planner_file(&p, "a.txt", "a");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(planner_run(&p, (struct plan_options){.batch_id = bad[i]}), ERR_USAGE);
    memset(longest, 'x', 201);
    longest[201] = '\0';
    assert_int_equal(planner_run(&p, (struct plan_options){.batch_id = longest}), ERR_USAGE);
    longest[200] = '\0';
    assert_int_equal(planner_run(&p, (struct plan_options){.batch_id = longest, .batch_size = 1}),
                     ERR_OK);
    planner_release(&p);
}

static void test_plan_of_nothing_is_not_found(void **state)
{
    struct planner p;
    (void)state;

    planner_init(&p);
    assert_int_equal(planner_run(&p, (struct plan_options){.batch_id = "b"}), ERR_NOTFOUND);
    assert_int_equal(
        planner_read(&p, PLAN_FROM_CSV, "source_path\n", (struct plan_options){.batch_id = "b"}),
        ERR_NOTFOUND);
    assert_int_equal(
        planner_read(&p, PLAN_FROM_JSONL, "\n", (struct plan_options){.batch_id = "b"}),
        ERR_NOTFOUND);
    assert_int_equal(planner_run(&p, (struct plan_options){.input = "/nonexistent"}),
                     ERR_FILE_MISSING);
    assert_int_equal(planner_manifests(&p), 0);
    planner_release(&p);
}

static bool stop(void)
{
    return true;
}

static void test_plan_stops_without_a_trace(void **state)
{
    struct planner p;
    (void)state;

    planner_init(&p);
    planner_file(&p, "a.txt", "a");
    p.g.stopping = stop;
    assert_int_equal(planner_run(&p, (struct plan_options){.batch_id = "b"}), ERR_CANCELLED);
    assert_int_equal(planner_rows(&p, NULL), 0);
    assert_int_equal(planner_manifests(&p), 0);
    planner_release(&p);
}

/* Asked before each row: by the third time, the first row is gathered, and somebody else plans its key. */
static struct planner *racing;
static int asked;

static bool stop_never_but_race(void)
{
    struct plan_result result;
    struct engine other = racing->g;
    char url[512];

    if (++asked != 4)
        return false;
    snprintf(url, sizeof url, "sqlite:%s/blobferry.db", racing->folder.dir);
    other.stopping = NULL;
    other.journal = NULL;
    other.on_event = NULL;
    assert_int_equal(tracker_open(&other.tracker, &(struct tracker_options){.url = url}, NULL),
                     ERR_OK);
    assert_int_equal(plan_run(&other,
                              &(struct plan_options){.from = PLAN_FROM_CSV,
                                                     .input = racing->input,
                                                     .batch_id = "other"},
                              NULL, NULL, &result, NULL),
                     ERR_OK);
    tracker_close(other.tracker);
    return false;
}

static void test_plan_refuses_a_key_that_somebody_else_took_meanwhile(void **state)
{
    struct planner p;
    struct json *m;
    int64_t n = 0;
    (void)state;

    planner_init(&p);
    planner_file(&p, "a", "1");
    planner_file(&p, "b", "22");
    planner_file(&p, "c", "333");
    scratch_write(&p.folder, "input", "source_path\na\n");
    racing = &p;
    asked = 0;
    p.g.stopping = stop_never_but_race;
    assert_int_equal(planner_run(&p, (struct plan_options){.batch_id = "b-1"}), ERR_PARTIAL);
    assert_true(asked > 4);
    assert_string_equal(p.problems,
                        "0|a|a|conflict|target key is planned already in batch 'other'\n");
    assert_int_equal(p.result.planned, 2);
    assert_int_equal(p.result.bytes, 5);
    assert_int_equal(planner_rows(&p, "b-1"), 2);
    assert_int_equal(planner_rows(&p, "other"), 1);
    m = planner_manifest(&p, "b-1");
    assert_true(json_integer(json_get(m, "files"), &n) && n == 2);
    json_free(m);
    planner_release(&p);
}

/* No manifest can be written: then no row is, either. */
static void test_plan_writes_no_row_without_its_manifest(void **state)
{
    struct planner p;
    char longest[201];
    (void)state;

    planner_init(&p);
    planner_file(&p, "a.txt", "a");
    scratch_write(&p.folder, "batches", ""); /* a file where the folder should be */
    assert_int_not_equal(planner_run(&p, (struct plan_options){.batch_id = "b"}), ERR_OK);
    assert_int_equal(planner_rows(&p, NULL), 0);
    assert_int_equal(p.result.planned, 0);
    memset(longest, 'x', 200);
    longest[200] = '\0';
    p.g.batch_dir = "/proc/self/fd"; /* a folder in which nothing can be made */
    assert_int_not_equal(planner_run(&p, (struct plan_options){.batch_id = longest}), ERR_OK);
    assert_int_equal(planner_rows(&p, NULL), 0);
    assert_int_equal(p.result.planned, 0);
    planner_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan_dir_takes_every_regular_file),
        cmocka_unit_test(test_plan_dir_inside_the_source_root),
        cmocka_unit_test(test_plan_dir_without_a_source_root_stores_absolute_paths),
        cmocka_unit_test(test_plan_dir_reports_what_is_no_regular_file),
        cmocka_unit_test(test_plan_dir_bounds_its_depth),
        cmocka_unit_test(test_plan_dir_takes_large_directories_unsorted),
        cmocka_unit_test(test_plan_csv_reads_columns_by_name),
        cmocka_unit_test(test_plan_makes_rows_in_files_for_a_user),
        cmocka_unit_test(test_plan_reports_rows_that_cannot_be_migrated),
        cmocka_unit_test(test_plan_nothing_of_a_broken_file),
        cmocka_unit_test(test_plan_jsonl_reads_objects),
        cmocka_unit_test(test_plan_jsonl_bounds_its_lines),
        cmocka_unit_test(test_plan_checksum_hashes_and_compares),
        cmocka_unit_test(test_plan_key_template_is_expanded),
        cmocka_unit_test(test_plan_splits_into_batches),
        cmocka_unit_test(test_plan_fills_batches_beside_refused_rows),
        cmocka_unit_test(test_plan_again_refuses_every_key),
        cmocka_unit_test(test_plan_dry_run_writes_nothing),
        cmocka_unit_test(test_plan_refuses_a_batch_that_exists),
        cmocka_unit_test(test_plan_refuses_batch_ids_that_name_no_file),
        cmocka_unit_test(test_plan_of_nothing_is_not_found),
        cmocka_unit_test(test_plan_stops_without_a_trace),
        cmocka_unit_test(test_plan_refuses_a_key_that_somebody_else_took_meanwhile),
        cmocka_unit_test(test_plan_writes_no_row_without_its_manifest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
