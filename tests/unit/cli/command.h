/* command: whole commands inside the test's process, as main() runs them, in a folder of the test's own. */
#ifndef BLOBFERRY_TESTS_UNIT_CLI_COMMAND_H
#define BLOBFERRY_TESTS_UNIT_CLI_COMMAND_H

#include "cli/cli.h"
#include "unit/app/fixture.h"
#include "unit/cli/capture.h"

#include "blobferry/codec/digest.h"
#include "blobferry/codec/json.h"

#include <sqlite3.h>

struct command_world {
    struct fixture *fixture;
    char *out, *err; /* of the last command */
    int status;
};

#define COMMAND(...) ((const char *const[]){__VA_ARGS__, NULL})

/* Runs it; status, out and err say what came of it. */
static inline int command_run(struct command_world *c, const char *const *words)
{
    static char program[] = "blobferry", copies[24][400];
    char *argv[25] = {program};
    struct capture capture;
    struct cli *cli = calloc(1, sizeof *cli);
    int argc = 1;

    assert_non_null(cli);
    for (; words[argc - 1] != NULL; argc++) {
        snprintf(copies[argc], sizeof copies[argc], "%s", words[argc - 1]);
        argv[argc] = copies[argc];
    }
    free(c->out);
    free(c->err);
    config_init(&cli->config);
    err_init(&cli->err);
    capture_begin(&capture);
    if (args_parse(&cli->args, argc, argv, cli_commands, &cli->config, &cli->err) != ERR_OK ||
        config_load(&cli->config, cli->args.config_file, false, &cli->err) != ERR_OK) {
        out_init(&cli->out, &cli->config);
        c->status = cli_close(cli, cli->err.code);
    } else {
        out_init(&cli->out, &cli->config);
        c->status = cli->args.command->run(cli);
    }
    capture_end(&capture);
    c->out = strdup(capture.out);
    c->err = strdup(capture.err);
    capture_release(&capture);
    out_release(&cli->out);
    config_release(&cli->config);
    free(cli);
    return c->status;
}

static inline void command_expect(struct command_world *c, int status, const char *const *words)
{
    if (command_run(c, words) != status)
        fail_msg("%s: exit %d and not %d: %s%s", words[0], c->status, status, c->out, c->err);
}

static inline void command_says(const struct command_world *c, const char *part)
{
    if (strstr(c->out, part) == NULL && strstr(c->err, part) == NULL)
        fail_msg("'%s' is not in '%s%s'", part, c->out, c->err);
}

static inline int command_setup(void **state)
{
    struct command_world *c = calloc(1, sizeof *c);
    void *fixture = NULL;
    char target[400];

    assert_non_null(c);
    fixture_setup(&fixture);
    c->fixture = fixture;
    snprintf(target, sizeof target, "file://%s/objects", c->fixture->scratch.dir);
    fixture_set("BLOBFERRY_DB", "sqlite:app.db");
    fixture_set("BLOBFERRY_TARGET", target);
    fixture_set("BLOBFERRY_SOURCE_ROOT", "source");
    *state = c;
    return 0;
}

static inline int command_teardown(void **state)
{
    struct command_world *c = *state;
    void *fixture = c->fixture;

    free(c->out);
    free(c->err);
    fixture_teardown(&fixture);
    free(c);
    return 0;
}

#define command_test(test) cmocka_unit_test_setup_teardown(test, command_setup, command_teardown)

/* Three files of user1, planned as batch b1. */
static inline void command_planned(struct command_world *c)
{
    fixture_write(c->fixture, "source/x.txt", "the bytes of x");
    fixture_write(c->fixture, "source/y.txt", "the bytes of y");
    fixture_write(c->fixture, "source/z.txt", "the bytes of z");
    command_expect(c, 0, COMMAND("init"));
    command_expect(
        c, 0, COMMAND("plan", "--from-dir", "source", "--batch-id", "b1", "--user-id", "user1"));
}

static inline void command_migrated(struct command_world *c)
{
    command_planned(c);
    command_expect(c, 0, COMMAND("migrate", "--batch-id", "b1"));
}

static inline int64_t command_number(const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *q = NULL;
    int64_t n = -1;

    assert_int_equal(sqlite3_open_v2("app.db", &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &q, NULL), SQLITE_OK);
    if (sqlite3_step(q) == SQLITE_ROW)
        n = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    sqlite3_close(db);
    return n;
}

/* Every file below the folder, with size, times and inode, as one digest: what "nothing was changed" means. The database's
 * -wal and -shm count as well. */
static struct digest command_digest;
static inline int command_see(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    char line[600];

    (void)ftw;
    snprintf(line, sizeof line, "%s %d %lld %lld.%ld %lu\n", path, type, (long long)st->st_size,
             (long long)(type == FTW_D ? 0 : st->st_mtim.tv_sec),
             type == FTW_D ? 0 : st->st_mtim.tv_nsec, (unsigned long)st->st_ino);
    digest_update(&command_digest, line, strlen(line));
    return 0;
}

static inline void command_snapshot(char hex[65])
{
    unsigned char sum[DIGEST_MAX];

    assert_int_equal(digest_init(&command_digest, DIGEST_SHA256, NULL), ERR_OK);
    assert_int_equal(nftw(".", command_see, 16, FTW_PHYS), 0);
    digest_final(&command_digest, sum);
    digest_release(&command_digest);
    for (int i = 0; i < 32; i++)
        snprintf(hex + (ptrdiff_t)2 * i, 3, "%02x", sum[i]);
}

static inline struct json *command_json(const struct command_world *c)
{
    struct err e;
    struct json *root;

    err_init(&e);
    root = json_parse(c->out, strlen(c->out), &e);
    if (root == NULL)
        fail_msg("no JSON document: %s: '%s'", e.message, c->out);
    return root;
}

static inline int64_t command_member(const struct json *object, const char *name)
{
    int64_t n = -1;

    if (!json_integer(json_get(object, name), &n))
        fail_msg("no number '%s'", name);
    return n;
}

#endif
