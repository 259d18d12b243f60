/* What must not grow with the table, as PostgreSQL itself tells it: auto_explain writes into the server's log how many rows every
 * step of every statement has touched. */
#ifndef BLOBFERRY_TEST_TRACKER_POSTGRES_SCALE_H
#define BLOBFERRY_TEST_TRACKER_POSTGRES_SCALE_H

#include "contract/tracker_postgres.h"

#include <sys/stat.h>

#define SCALE_ROWS  20000
#define SCALE_LIMIT 100
#define SCALE_TOUCHED                                                                              \
    1500 /* rows that one step may touch: some for each of those that are wanted */

struct scale {
    struct fixture *f;
    char log[512];
    off_t at; /* what was written before is of no interest */
};

static void explain_everything(bool on)
{
    static const char *const settings[] = {
        "session_preload_libraries = 'auto_explain'", "auto_explain.log_min_duration = 0",
        "auto_explain.log_analyze = on", "auto_explain.log_timing = off",
        /* a table of this size is read as a whole sooner than it should, unless pages cost what they do on an SSD */
        "random_page_cost = 1.1", "auto_explain.log_level = log"};
    PGconn *admin = postgres_connect(getenv("BLOBFERRY_TEST_POSTGRES_ADMIN"));
    char sql_text[256];

    for (size_t i = 0; on && i < sizeof settings / sizeof *settings; i++) {
        snprintf(sql_text, sizeof sql_text, "ALTER DATABASE %s SET %s", postgres_database,
                 settings[i]);
        postgres_exec(admin, sql_text);
    }
    snprintf(sql_text, sizeof sql_text, "ALTER DATABASE %s RESET ALL", postgres_database);
    if (!on)
        postgres_exec(admin, sql_text);
    PQfinish(admin);
}

/* Half of the rows of 'big' are done; 'small' has a hundred of its own. */
static void many_rows(struct scale *s, struct fixture *f)
{
    s->f = f;
    if (getenv("BLOBFERRY_TEST_POSTGRES_ADMIN") == NULL ||
        getenv("BLOBFERRY_TEST_POSTGRES_DIR") == NULL)
        skip(); /* somebody's own server: its log cannot be read */
    snprintf(s->log, sizeof s->log, "%s/log", getenv("BLOBFERRY_TEST_POSTGRES_DIR"));
    with_tables(f);
    sql(f,
        "INSERT INTO migration_batches (id, batch_id, total_files) VALUES ('1', 'big', %d),"
        " ('2', 'small', 100)",
        SCALE_ROWS);
    sql(f,
        "INSERT INTO files (id, filename, user_id) SELECT 'f-' || n, 'n', 'u-' || n %% 1000 FROM"
        " generate_series(1, %d) AS n;"
        "INSERT INTO file_migrations (id, batch_id, file_id, target_r2_key, file_size, status)"
        " SELECT 'r-' || lpad(n::text, 7, '0'), CASE WHEN n > %d THEN 'small' ELSE 'big' END,"
        " 'f-' || n, 'k-' || n, 1, CASE WHEN n %% 2 = 0 THEN 'completed' ELSE 'pending' END"
        " FROM generate_series(1, %d) AS n;"
        "INSERT INTO blobferry_records (record_id, key_digest) SELECT id, md5(id) FROM"
        " file_migrations",
        SCALE_ROWS + 100, SCALE_ROWS, SCALE_ROWS + 100);
    explain_everything(true);
    reopen(f, false);
}

static void listen_to_log(struct scale *s)
{
    struct stat st;

    assert_int_equal(stat(s->log, &st), 0);
    s->at = st.st_size;
}

/* Every step of every plan since then; returns how many there were. */
static int expect_small_steps(struct scale *s, const char *doing)
{
    char line[4096], query[300] = "";
    FILE *in = fopen(s->log, "r");
    int steps = 0;

    assert_non_null(in);
    assert_int_equal(fseeko(in, s->at, SEEK_SET), 0);
    while (fgets(line, sizeof line, in) != NULL) {
        const char *actual = strstr(line, "(actual rows=");
        long rows = 0, loops = 0;

        if (strstr(line, "Query Text:") != NULL)
            str_copy(query, sizeof query, line);
        if (actual == NULL || sscanf(actual, "(actual rows=%ld loops=%ld)", &rows, &loops) != 2)
            continue;
        steps++;
        if (rows * loops > SCALE_TOUCHED)
            fail_msg("%s: %ld rows in '%s' of '%s'", doing, rows * loops, line, query);
    }
    fclose(in);
    return steps;
}

/* Also what a step has read and thrown away is told, in lines of its own. */
static void expect_nothing_thrown_away(struct scale *s, const char *doing)
{
    char line[4096];
    FILE *in = fopen(s->log, "r");

    assert_non_null(in);
    assert_int_equal(fseeko(in, s->at, SEEK_SET), 0);
    while (fgets(line, sizeof line, in) != NULL) {
        const char *removed = strstr(line, "Rows Removed by");
        if (removed != NULL && strchr(removed, ':') != NULL &&
            strtol(strchr(removed, ':') + 1, NULL, 10) > SCALE_TOUCHED)
            fail_msg("%s: %s", doing, line);
    }
    fclose(in);
}

static void expect_small(struct scale *s, const char *doing)
{
    assert_true(expect_small_steps(s, doing) > 0);
    expect_nothing_thrown_away(s, doing);
    listen_to_log(s);
}

static void claim_and_complete(struct scale *s, const char *batch, const char *doing)
{
    struct fixture *f = s->f;

    listen_to_log(s);
    assert_int_equal(claim(f, "me", batch, SCALE_LIMIT), SCALE_LIMIT);
    expect_small(s, doing);
    move_all(f, &f->list, "me", FILE_COMPLETED);
    expect_small(s, "apply");
}

static enum err_code ignore_worker(void *user, const struct tracker_worker *w, struct err *e)
{
    (void)w;
    (void)e;
    ++*(int *)user;
    return ERR_OK;
}

static enum err_code ignore_owner(void *user, const char *owner, int64_t rows, int64_t until,
                                  struct err *e)
{
    (void)owner;
    (void)rows;
    (void)until;
    (void)e;
    ++*(int *)user;
    return ERR_OK;
}

/* No index knows who holds what. */
static void hold_and_release(struct scale *s)
{
    struct fixture *f = s->f;
    const char *const dead[] = {"gone"};
    int64_t released = 0;
    int told = 0;

    assert_int_equal(claim(f, "me", "big", SCALE_LIMIT), SCALE_LIMIT);
    assert_int_equal(claim(f, "gone", "big", 1), 1);
    listen_to_log(s);
    OK(f, tracker_renew(f->t, "me", NOW + 2 * HOUR, &f->e));
    expect_small(s, "renew");
    OK(f, tracker_owners(f->t, "nobody", ignore_owner, &told, &f->e));
    assert_int_equal(told, 2);
    expect_small(s, "owners");
    OK(f, tracker_workers(f->t, ignore_worker, &told, &f->e));
    assert_int_equal(told, 4);
    expect_small(s, "workers");
    OK(f, tracker_claim(f->t,
                        &(struct tracker_claim){.owner = "me",
                                                .now_ms = NOW,
                                                .lease_ms = HOUR,
                                                .limit = 1,
                                                .dead_owners = dead,
                                                .dead_count = 1},
                        &f->list, &f->e));
    expect_small(s, "claim beside the dead");
    EXPECT(f, "0",
           "SELECT count(*) FROM blobferry_records WHERE lease_owner = 'gone' AND"
           " lease_until > 0");
    OK(f, tracker_release(f->t, "gone", &released, &f->e));
    OK(f, tracker_release(f->t, "me", &released, &f->e));
    assert_true(released >= SCALE_LIMIT);
    expect_small(s, "release");
}

static void test_tracker_postgres_work_does_not_grow_with_the_table(void **state)
{
    struct scale s = {0};
    struct batch_list batches;
    struct tracker_totals totals;
    const struct tracker_filter small = {.batch_id = "small"};
    const struct tracker_filter user = {.batch_id = "small", .user_id = "u-50"};

    many_rows(&s, *state);
    record_batches_init(&batches, 0);
    for (int round = 0; round < 2; round++) { /* without, then with what ANALYZE says */
        claim_and_complete(&s, "big", "claim of one batch");
        claim_and_complete(&s, NULL, "claim of any batch");
        hold_and_release(&s);
        OK(s.f, tracker_records(s.f->t, NULL, "r-0010000", SCALE_LIMIT, &s.f->list, &s.f->e));
        assert_int_equal(s.f->list.len, SCALE_LIMIT);
        expect_small(&s, "a page of all");
        OK(s.f, tracker_records(s.f->t, &small, NULL, 1000, &s.f->list, &s.f->e));
        assert_int_equal(s.f->list.len, 100);
        expect_small(&s, "a page of a batch");
        OK(s.f, tracker_records(s.f->t, &user, NULL, 1000, &s.f->list, &s.f->e));
        expect_small(&s, "a page of a user in a batch");
        OK(s.f, tracker_totals(s.f->t, &small, &totals, &s.f->e));
        expect_small(&s, "totals of a batch");
        OK(s.f, tracker_batches(s.f->t, "small", 0, &batches, &s.f->e));
        assert_int_equal(state_counts_total(&batches.items[0].counts), 100);
        expect_small(&s, "a batch");
        sql(s.f, "ANALYZE");
    }
    explain_everything(false);
    record_batches_release(&batches);
}

#define TRACKER_POSTGRES_SCALE_TESTS(TEST)                                                         \
    TEST(test_tracker_postgres_work_does_not_grow_with_the_table)

#endif
