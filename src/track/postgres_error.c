/* postgres_error: what the server or libpq says, as one of our errors with a hint of what to do. SQLSTATEs are those of
 * https://www.postgresql.org/docs/current/errcodes-appendix.html */
#include "track/postgres.h"

#include "blobferry/base/str.h"

#include <string.h>

/* One line of text; libpq ends its messages with a line end, and some have several lines. */
static void one_line(char *dst, size_t size, const char *text)
{
    str_copy(dst, size, text != NULL ? text : "");
    dst[strcspn(dst, "\r\n")] = '\0';
}

static const char *hint_of(const char *state)
{
    static const struct {
        const char *state, *hint;
    } hints[] = {
        {"25006", "the server is a read-only standby or the role may only read: connect to the "
                  "primary (…?target_session_attrs=read-write)"},
        {"57014", "a statement_timeout of the server or role, or somebody, cancelled it: raise the "
                  "timeout for this role and run again"},
        {"42501", "grant this role what it needs: SELECT, INSERT and UPDATE on the three tables, "
                  "and CREATE on their schema for blobferry's own"},
        {"53100", "free some space on the server and run again: nothing of this step was written"},
        {"53300", "raise max_connections, or use fewer workers"},
        {"25P03", "the server's idle_in_transaction_session_timeout is too short for this role"},
        {"22P05", "a text cannot be stored in the encoding of the database: make one with UTF8"},
        {"22021", "a text cannot be stored in the encoding of the database: make one with UTF8"},
        {"22001", "a column of the application is too narrow for what it is given"},
        {"22003", "a column of the application is too narrow for what it is given"},
    };

    for (size_t i = 0; i < sizeof hints / sizeof *hints; i++) {
        if (strcmp(hints[i].state, state) == 0)
            return hints[i].hint;
    }
    if (str_starts(state, "23") || str_starts(state, "P0"))
        return "a constraint or trigger of the application forbids what blobferry needs to write; "
               "nothing was changed";
    if (str_starts(state, "58") || str_starts(state, "XX"))
        return "look into the server's log";
    return NULL;
}

static bool is_one_of(const char *state, const char *const *list)
{
    for (; *list != NULL; list++) {
        if (strcmp(state, *list) == 0)
            return true;
    }
    return false;
}

static enum postgres_fault fault_of(const struct postgres *p, const char *state)
{
    /* 57P01 to 57P05: the server ends this connection; 25P03, 25P02 follow from it */
    static const char *const again[] = {"40001", "40P01", NULL};

    if (PQstatus(p->connection) == CONNECTION_BAD || str_starts(state, "08") ||
        str_starts(state, "57P"))
        return POSTGRES_FAULT_LOST;
    if (is_one_of(state, again))
        return POSTGRES_FAULT_AGAIN;
    return strcmp(state, "55P03") == 0 ? POSTGRES_FAULT_BUSY : POSTGRES_FAULT_OTHER;
}

static enum err_code busy(struct postgres *p, const char *doing, const char *text, struct err *e)
{
    err_set(e, ERR_DB_BUSY, "cannot %s in '%s': %s", doing, p->base.name, text);
    if (e != NULL)
        e->retryable = true;
    return err_hint(e, "another transaction is in the way: see pg_stat_activity, then run again");
}

static enum err_code lost(struct postgres *p, const char *doing, const char *text, struct err *e)
{
    err_set(e, ERR_DB, "cannot %s: the connection to '%s' is lost%s%s", doing, p->base.name,
            *text != '\0' ? ": " : "", text);
    if (e != NULL)
        e->retryable = true;
    return err_hint(e, "see that the server runs and can be reached, then run again");
}

/* The server names the table, column or type. */
static enum err_code schema(struct postgres *p, const char *doing, const char *text, struct err *e)
{
    err_set(e, ERR_DB_SCHEMA, "cannot %s in '%s': %s", doing, p->base.name, text);
    return err_hint(e, "see which tables are needed: blobferry validate");
}

/* A constraint of the application: its table and column are named. */
static void set_with_column(struct postgres *p, const PGresult *q, const char *doing,
                            const char *text, struct err *e)
{
    const char *table = q != NULL ? PQresultErrorField(q, PG_DIAG_TABLE_NAME) : NULL;
    const char *column = q != NULL ? PQresultErrorField(q, PG_DIAG_COLUMN_NAME) : NULL;

    if (str_starts(p->sqlstate, "23") && table != NULL)
        err_set(e, ERR_DB, "cannot %s in '%s': %s (%s%s%s)", doing, p->base.name, text, table,
                column != NULL ? "." : "", column != NULL ? column : "");
    else
        err_set(e, ERR_DB, "cannot %s in '%s': %s", doing, p->base.name, text);
}

enum err_code postgres_error(struct postgres *p, const PGresult *q, const char *doing,
                             struct err *e)
{
    /* 42P01 table, 42703 column, 3F000 schema, 42704 type, 42883 operator (of another type than the contract says) */
    static const char *const schemas[] = {"42P01", "42703", "3F000", "42704",
                                          "42883", "42804", NULL};
    const char *state = q != NULL ? PQresultErrorField(q, PG_DIAG_SQLSTATE) : NULL;
    const char *said = q != NULL ? PQresultErrorField(q, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    char text[400];

    one_line(text, sizeof text, said != NULL ? said : PQerrorMessage(p->connection));
    str_copy(p->sqlstate, sizeof p->sqlstate, state != NULL ? state : "");
    p->fault = fault_of(p, p->sqlstate);
    switch (p->fault) {
    case POSTGRES_FAULT_LOST:
        return lost(p, doing, text, e);
    case POSTGRES_FAULT_AGAIN:
    case POSTGRES_FAULT_BUSY:
        return busy(p, doing, text, e);
    default:
        break;
    }
    if (strcmp(p->sqlstate, "53200") == 0)
        return err_set(e, ERR_NOMEM, "cannot %s: the server is out of memory", doing);
    if (is_one_of(p->sqlstate, schemas))
        return schema(p, doing, text, e);
    set_with_column(p, q, doing, text, e);
    const char *hint = hint_of(p->sqlstate);
    return hint != NULL ? err_hint(e, "%s", hint) : ERR_DB;
}

/* libpq gives no SQLSTATE for a connection that was never made: the words of the server are all there is, in whatever language. */
enum err_code postgres_error_connect(struct postgres *p, struct err *e)
{
    const char *said = PQerrorMessage(p->connection);
    char text[400];

    one_line(text, sizeof text, said);
    p->fault = POSTGRES_FAULT_LOST;
    p->sqlstate[0] = '\0';
    err_set(e, ERR_DB, "cannot connect to '%s': %s", p->base.name, text);
    if (PQconnectionNeedsPassword(p->connection))
        return err_hint(e, "give the password by POSTGRES_PASSWORD, PGPASSWORD or ~/.pgpass");
    if (strstr(said, "does not exist") != NULL && strstr(said, "database") != NULL)
        return err_hint(e, "check the names in --db; a database is made with: createdb NAME");
    if (PQconnectionUsedPassword(p->connection) || strstr(said, "authentication failed") != NULL)
        return err_hint(e, "check user and password (POSTGRES_PASSWORD, PGPASSWORD, ~/.pgpass) and "
                           "the server's pg_hba.conf");
    if (strstr(said, "SSL") != NULL || strstr(said, "certificate") != NULL)
        return err_hint(e, "check sslmode and sslrootcert of --db, or PGSSLMODE and PGSSLROOTCERT");
    return err_hint(e, "see that the server runs, that host and port are right, and that it lets "
                       "this host in");
}
