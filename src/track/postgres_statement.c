/* postgres_statement: one statement with its values beside it, never in it. Statements are unnamed: nothing is left behind on a
 * connection that a pooler may hand to somebody else. */
#include "track/postgres.h"

#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The values as libpq wants them; the texts of numbers are ours. */
struct bound {
    const char **values;
    char (*numbers)[24];
};

static void bound_release(struct bound *b)
{
    free(b->values);
    free(b->numbers);
}

static enum err_code bind(struct bound *b, const struct postgres_arg *args, size_t n, struct err *e)
{
    *b = (struct bound){0};
    if (n == 0)
        return ERR_OK;
    if (n > POSTGRES_ARGS_MAX)
        return err_set(e, ERR_LIMIT, "a statement has too many values");
    b->values = calloc(n, sizeof *b->values);
    b->numbers = calloc(n, sizeof *b->numbers);
    if (b->values == NULL || b->numbers == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        b->values[i] = args[i].text;
        if (!args[i].is_text) {
            snprintf(b->numbers[i], sizeof b->numbers[i], "%" PRId64, args[i].integer);
            b->values[i] = b->numbers[i];
        } else if (args[i].text != NULL && !str_utf8_valid(args[i].text, strlen(args[i].text))) {
            err_set(e, ERR_DB, "a text that is not UTF-8 cannot be stored in PostgreSQL");
            return err_hint(e, "names of files, keys and users must be UTF-8 with this tracking "
                               "database; rename them, or use SQLite");
        }
    }
    return ERR_OK;
}

/* Sends the statement. */
static enum err_code send(struct postgres *p, const char *sql, const struct postgres_arg *args,
                          size_t n, struct err *e)
{
    struct bound b;
    enum err_code code = bind(&b, args, n, e);

    p->fault = POSTGRES_FAULT_NONE;
    if (code != ERR_OK) {
        p->fault = POSTGRES_FAULT_OTHER;
    } else if (PQsendQueryParams(p->connection, sql, (int)n, NULL, b.values, NULL, NULL, 0) != 1) {
        code = postgres_error(p, NULL, "read or write", e);
    }
    bound_release(&b);
    return code;
}

/* Whatever is still to come is read and dropped, so that the connection can be used again. */
static void drain(struct postgres *p, bool cancel)
{
    char ignored[64];
    PGresult *q;

    if (cancel) {
        PGcancel *c = PQgetCancel(p->connection);
        if (c != NULL)
            PQcancel(c, ignored, sizeof ignored);
        PQfreeCancel(c);
    }
    while ((q = PQgetResult(p->connection)) != NULL)
        PQclear(q);
}

/* Outside a transaction a lost connection is made anew and the statement may be run again: it only reads, or it is not
 * run by these functions. */
static bool try_again(struct postgres *p, int *attempt, int64_t deadline_ms)
{
    if (p->in_transaction || (p->fault != POSTGRES_FAULT_LOST && p->fault != POSTGRES_FAULT_AGAIN))
        return false;
    while (postgres_transaction_pause(++*attempt, deadline_ms)) {
        if (PQstatus(p->connection) == CONNECTION_OK)
            return true;
        if (postgres_connect_again(p, NULL) == ERR_OK)
            return true;
    }
    p->fault = POSTGRES_FAULT_LOST;
    p->down = true;
    return false;
}

static enum err_code each(struct postgres *p, const char *sql, const struct postgres_arg *args,
                          size_t n, postgres_row_fn *fn, void *user, bool *begun, struct err *e)
{
    enum err_code code = send(p, sql, args, n, e);
    bool more = true;
    PGresult *q;

    if (code != ERR_OK)
        return code;
    PQsetSingleRowMode(p->connection);
    while (code == ERR_OK && more && (q = PQgetResult(p->connection)) != NULL) {
        const ExecStatusType status = PQresultStatus(q);
        if (status == PGRES_SINGLE_TUPLE) {
            *begun = true;
            code = fn(user, q, 0, &more, e);
        } else if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
            code = postgres_error(p, q, "read or write", e);
        }
        PQclear(q);
    }
    const enum postgres_fault fault = p->fault;
    drain(p, !more || (code != ERR_OK && fault == POSTGRES_FAULT_NONE));
    return code;
}

enum err_code postgres_statement_each(struct postgres *p, const char *sql,
                                      const struct postgres_arg *args, size_t n,
                                      postgres_row_fn *fn, void *user, struct err *e)
{
    const int64_t deadline = postgres_transaction_deadline(p);
    enum err_code code;
    int attempt = 0;

    for (;;) {
        bool begun = false;
        code = each(p, sql, args, n, fn, user, &begun, e);
        if (code == ERR_OK || begun || !try_again(p, &attempt, deadline))
            return code;
        if (e != NULL)
            err_init(e);
    }
}

PGresult *postgres_statement_query(struct postgres *p, const char *sql,
                                   const struct postgres_arg *args, size_t n, struct err *e)
{
    const int64_t deadline = postgres_transaction_deadline(p);
    int attempt = 0;

    for (;;) {
        PGresult *q = NULL;
        enum err_code code = send(p, sql, args, n, e);

        if (code == ERR_OK) {
            q = PQgetResult(p->connection);
            const ExecStatusType status = PQresultStatus(q);
            if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
                code = postgres_error(p, q, "read or write", e);
            drain(p, false);
        }
        if (code == ERR_OK)
            return q;
        PQclear(q);
        if (!try_again(p, &attempt, deadline))
            return NULL;
        if (e != NULL)
            err_init(e);
    }
}

enum err_code postgres_statement_run(struct postgres *p, const char *sql,
                                     const struct postgres_arg *args, size_t n, int64_t *changes,
                                     struct err *e)
{
    PGresult *q = postgres_statement_query(p, sql, args, n, e);
    uint64_t count = 0;

    if (changes != NULL)
        *changes = 0;
    if (q == NULL)
        return postgres_code(e);
    if (changes != NULL && str_to_u64(PQcmdTuples(q), &count))
        *changes = (int64_t)count;
    PQclear(q);
    return ERR_OK;
}

enum err_code postgres_statement_number(struct postgres *p, const char *sql,
                                        const struct postgres_arg *args, size_t n, int64_t *out,
                                        struct err *e)
{
    PGresult *q = postgres_statement_query(p, sql, args, n, e);

    *out = 0;
    if (q == NULL)
        return postgres_code(e);
    if (PQntuples(q) > 0)
        *out = postgres_statement_truth(q, 0, 0) ? 1 : postgres_statement_integer(q, 0, 0);
    PQclear(q);
    return ERR_OK;
}

enum err_code postgres_statement_script(struct postgres *p, const char *sql, const char *doing,
                                        struct err *e)
{
    PGresult *q = PQexec(p->connection, sql);
    const ExecStatusType status = PQresultStatus(q);
    enum err_code code = ERR_OK;

    p->fault = POSTGRES_FAULT_NONE;
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK && status != PGRES_EMPTY_QUERY)
        code = postgres_error(p, q, doing, e);
    PQclear(q);
    return code;
}

const char *postgres_statement_text(const PGresult *q, int row, int column)
{
    return PQgetisnull(q, row, column) ? NULL : PQgetvalue(q, row, column);
}

int64_t postgres_statement_integer(const PGresult *q, int row, int column)
{
    return PQgetisnull(q, row, column) ? 0 : strtoll(PQgetvalue(q, row, column), NULL, 10);
}

bool postgres_statement_truth(const PGresult *q, int row, int column)
{
    const char *text = postgres_statement_text(q, row, column);
    return text != NULL && (strcmp(text, "t") == 0 || strcmp(text, "1") == 0);
}
