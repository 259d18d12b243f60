/* The PostgreSQL driver's part of the contract tests: a database of its own for the whole program, emptied for each test, raw access
 * by a second connection. BLOBFERRY_TEST_POSTGRES names the server (tests/run starts one; or: tests/harness/pg). */
#ifndef BLOBFERRY_TEST_TRACKER_POSTGRES_H
#define BLOBFERRY_TEST_TRACKER_POSTGRES_H

#include "contract/tracker_support.h"

#include <libpq-fe.h>
#include <unistd.h>

#define POSTGRES_BOOL        16
#define POSTGRES_TIMESTAMP   1114
#define POSTGRES_TIMESTAMPTZ 1184

static char postgres_database[64]; /* "": no server */

/* The server's URL with another database. */
TEST_UNUSED void postgres_url(char *dst, size_t size, const char *database)
{
    const char *url = getenv("BLOBFERRY_TEST_POSTGRES");

    assert_non_null(url);
    assert_non_null(strrchr(url, '/'));
    const int n = snprintf(dst, size, "%.*s/%s", (int)(strrchr(url, '/') - url), url, database);
    assert_true(n > 0 && (size_t)n < size);
}

TEST_UNUSED PGconn *postgres_connect(const char *url)
{
    PGconn *c = PQconnectdb(url);

    if (PQstatus(c) != CONNECTION_OK)
        fail_msg("%s", PQerrorMessage(c));
    return c;
}

TEST_UNUSED void postgres_exec(PGconn *c, const char *text)
{
    PGresult *r = PQexec(c, text);

    if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK)
        fail_msg("%s: %s", text, PQresultErrorMessage(r));
    PQclear(r);
}

static void postgres_quiet(PGconn *c)
{
    postgres_exec(c,
                  "SET client_min_messages = warning; SET TimeZone = 'UTC'; SET DateStyle = 'ISO';"
                  "SET synchronous_commit = off");
}

TEST_UNUSED void postgres_fresh(struct fixture *f)
{
    if (postgres_database[0] == '\0')
        skip();
    postgres_url(f->url, sizeof f->url, postgres_database);
    PGconn *c = postgres_connect(f->url);
    postgres_quiet(c);
    /* What a failed test left open would hold its locks for ever. */
    postgres_exec(c, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname ="
                     " current_database() AND pid <> pg_backend_pid() AND usename = current_user");
    postgres_exec(c, "DROP SCHEMA public CASCADE; CREATE SCHEMA public");
    f->raw = c;
}

TEST_UNUSED void postgres_drop(struct fixture *f)
{
    PQfinish(f->raw);
}

TEST_UNUSED void postgres_sql(struct fixture *f, const char *text)
{
    postgres_exec(f->raw, text);
}

/* Truth as 1 and 0, times in UTC without saying so: as the tests of the other drivers see them. */
TEST_UNUSED void postgres_text(struct fixture *f, const char *text, char *dst, size_t size)
{
    PGresult *r = PQexec(f->raw, text);

    dst[0] = '\0';
    if (PQresultStatus(r) != PGRES_TUPLES_OK)
        fail_msg("%s: %s", text, PQresultErrorMessage(r));
    if (PQntuples(r) > 0) {
        const Oid type = PQftype(r, 0);
        str_copy(dst, size, PQgetisnull(r, 0, 0) ? "NULL" : PQgetvalue(r, 0, 0));
        if (type == POSTGRES_BOOL && !PQgetisnull(r, 0, 0))
            str_copy(dst, size, dst[0] == 't' ? "1" : "0");
        if (type == POSTGRES_TIMESTAMPTZ && strchr(dst, '+') != NULL)
            *strchr(dst, '+') = '\0';
    }
    PQclear(r);
}

/* Every row with its place and its transactions, and what lies in the catalogue. */
TEST_UNUSED void postgres_snapshot(struct fixture *f, char *dst, size_t size)
{
    postgres_text(
        f,
        "SELECT md5(string_agg(t, ';' ORDER BY t)) FROM (SELECT concat(n.nspname, '.', c.relname,"
        " c.relkind, c.relfilenode, c.reltoastrelid, CASE WHEN c.relkind = 'r' THEN (xpath("
        "'//x/text()', query_to_xml(format('SELECT md5(string_agg(concat(t.ctid, t.xmin, t.xmax,"
        " t.cmin, t::text), '';'' ORDER BY t.ctid)) AS x FROM %I.%I t', n.nspname, c.relname),"
        " true, false, '')))[1]::text END) AS t FROM pg_class c JOIN pg_namespace n ON n.oid ="
        " c.relnamespace WHERE n.nspname !~ '^pg_toast|information_schema|^pg_catalog'"
        " UNION ALL SELECT concat('function ', oid, xmin) FROM pg_proc WHERE oid >= 16384) s",
        dst, size);
    assert_true(strlen(dst) == 32);
}

static const struct driver postgres_driver = {.name = "postgres",
                                              .dialect = DIALECT_POSTGRES,
                                              .make = postgres_fresh,
                                              .drop = postgres_drop,
                                              .sql = postgres_sql,
                                              .text = postgres_text,
                                              .snapshot = postgres_snapshot};

TEST_UNUSED int postgres_setup(void **state)
{
    return fixture_setup(state, &postgres_driver);
}

/* ---- the database of this program ------------------------------------------------------------------------ */

TEST_UNUSED int postgres_begin(void **state)
{
    char sql[256];

    (void)state;
    if (getenv("BLOBFERRY_TEST_POSTGRES") == NULL) {
        printf("# BLOBFERRY_TEST_POSTGRES is not set (see: tests/harness/pg start)\n");
        return 0;
    }
    snprintf(postgres_database, sizeof postgres_database, "contract_%ld", (long)getpid());
    PGconn *c = postgres_connect(getenv("BLOBFERRY_TEST_POSTGRES"));
    snprintf(sql, sizeof sql, "CREATE DATABASE %s TEMPLATE blobferry_template", postgres_database);
    postgres_exec(c, sql);
    PQfinish(c);
    return 0;
}

TEST_UNUSED int postgres_end(void **state)
{
    char sql[256];

    (void)state;
    if (postgres_database[0] == '\0')
        return 0;
    PGconn *c = postgres_connect(getenv("BLOBFERRY_TEST_POSTGRES"));
    snprintf(sql, sizeof sql, "DROP DATABASE %s WITH (FORCE)", postgres_database);
    postgres_exec(c, sql);
    PQfinish(c);
    return 0;
}

#endif
