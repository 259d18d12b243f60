/* postgres_transaction: BEGIN, the work, COMMIT; tried again after a conflict or a lost connection, within bounds. When the connection
 * is lost at COMMIT nobody knows what became of the transaction but the server: it is asked by the transaction's number (P6).
 *
 * What a transaction needs is set for it alone and in the round trip of BEGIN: a bound on waiting for locks, and that COMMIT
 * means durable (a role may have synchronous_commit off, which could lose the intent after the act).
 */
#include "track/postgres.h"

#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define ATTEMPTS_MAX 40
#define XID_SIZE     32

/* What a command does at its end would otherwise wait again and again for a server that is gone. */
int64_t postgres_transaction_deadline(const struct postgres *p)
{
    return clock_mono_ms() + (p->down ? 0 : p->busy_ms);
}

bool postgres_transaction_pause(int attempt, int64_t deadline_ms)
{
    const int64_t left = deadline_ms - clock_mono_ms();
    int64_t most = 10;
    uint32_t random;

    if (attempt > ATTEMPTS_MAX || left <= 0)
        return false;
    for (int i = 1; i < attempt && most < 1000; i++)
        most *= 2;
    clock_random(&random, sizeof random);
    int64_t wait = attempt == 1 ? 0 : 1 + (int64_t)random % most; /* full jitter */
    wait = wait < left ? wait : left;
    const struct timespec pause = {.tv_sec = wait / 1000, .tv_nsec = wait % 1000 * 1000000};
    nanosleep(&pause, NULL);
    return true;
}

/* Runs a fixed text of one or several statements; the first column of the last result into `text`. */
static enum err_code command(struct postgres *p, const char *sql, const char *doing, char *text,
                             size_t size, struct err *e)
{
    PGresult *q = PQexec(p->connection, sql);
    const ExecStatusType status = PQresultStatus(q);
    enum err_code code = ERR_OK;

    p->fault = POSTGRES_FAULT_NONE;
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
        code = postgres_error(p, q, doing, e);
    else if (size > 0)
        str_copy(text, size, PQntuples(q) > 0 ? PQgetvalue(q, 0, 0) : PQcmdStatus(q));
    PQclear(q);
    return code;
}

/* "line incarnation": which history of the cluster is this (a failover begins another), and since when has the server not crashed (its
 * statistics are lost then, and only then)? Numbers of transactions mean nothing in another history, and after a crash one that was
 * lost may have been given to somebody else. */
static void timeline(struct postgres *p, char *dst, size_t size)
{
    if (command(p,
                "SELECT CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE"
                " substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) END || ' ' ||"
                " coalesce((SELECT extract(epoch FROM stats_reset)::text FROM pg_stat_bgwriter),"
                " '')",
                "ask", dst, size, NULL) != ERR_OK)
        dst[0] = '\0';
}

static enum err_code begin_reading(struct postgres *p, struct err *e)
{
    return command(p, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "begin a transaction",
                   NULL, 0, e);
}

/* *fits: p->info still tells what the tables are. All of it takes one round trip. */
static enum err_code begin_writing(struct postgres *p, const struct postgres_work *w,
                                   char xid[XID_SIZE], bool *fits, struct err *e)
{
    static const char by_index[] =
        ", set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),"
        " set_config('enable_mergejoin', 'off', true), set_config('jit', 'off', true)";
    char sql[2048], answer[XID_SIZE + sizeof p->info.cookie] = "";

    snprintf(sql, sizeof sql,
             "BEGIN ISOLATION LEVEL READ COMMITTED;"
             "SELECT pg_current_xact_id()::text || ' ' || " POSTGRES_COOKIE
             ", set_config('lock_timeout', '%dms', true),"
             " set_config('synchronous_commit', CASE current_setting('synchronous_commit')"
             "  WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, true)%s",
             p->busy_ms, w->by_index ? by_index : "");
    enum err_code code = command(p, sql, "begin a transaction", answer, sizeof answer, e);
    const size_t n = strcspn(answer, " ");
    if (code != ERR_OK)
        return code;
    *fits = answer[n] != '\0' && postgres_schema_fits(p, answer + n + 1);
    answer[n] = '\0';
    str_copy(xid, XID_SIZE, answer);
    return ERR_OK;
}

static void roll_back(struct postgres *p)
{
    if (PQtransactionStatus(p->connection) != PQTRANS_IDLE)
        PQclear(PQexec(p->connection, "ROLLBACK"));
}

/* Begins once the schema is known to be usable and our tables are there. */
static enum err_code begin(struct postgres *p, const struct postgres_work *w, char xid[XID_SIZE],
                           struct err *e)
{
    enum err_code code = ERR_OK;
    bool fits = false;

    if (PQstatus(p->connection) != CONNECTION_OK)
        code = postgres_connect_again(p, e);
    if (code == ERR_OK && w->reading) {
        code = w->bare ? ERR_OK : postgres_schema_need(p, e);
        return code == ERR_OK ? begin_reading(p, e) : code;
    }
    if (code == ERR_OK && p->timeline[0] == '\0')
        timeline(p, p->timeline, sizeof p->timeline);
    for (int i = 0; code == ERR_OK && i < 3; i++) {
        code = begin_writing(p, w, xid, &fits, e);
        if (code != ERR_OK || w->bare || (fits && p->info.schema.own))
            return code;
        roll_back(p);
        code = postgres_schema_need(p, e);
        if (code == ERR_OK && !p->info.schema.own)
            code = postgres_schema_prepare(&p->base, e);
    }
    return code == ERR_OK
               ? err_set(e, ERR_DB_SCHEMA, "the tables of '%s' change all the time", p->base.name)
               : code;
}

enum outcome { OUTCOME_UNKNOWN, OUTCOME_COMMITTED, OUTCOME_ABORTED };

/* What the server says of a transaction that was begun at `was`, now that it is at `now`. */
static enum outcome judge(const char *status, const char *was, const char *now)
{
    const size_t line = strcspn(was, " ");

    if (*was == '\0' || strncmp(was, now, line + 1) != 0)
        return OUTCOME_UNKNOWN;
    if (strcmp(status, "aborted") == 0)
        return OUTCOME_ABORTED;
    return strcmp(status, "committed") == 0 && strcmp(was, now) == 0 ? OUTCOME_COMMITTED
                                                                     : OUTCOME_UNKNOWN;
}

/* After a reconnection: what became of that transaction? Waits while the server has not noticed yet. */
static enum outcome outcome_of(struct postgres *p, const char *xid, int64_t deadline_ms)
{
    char sql[128], status[32] = "", now[sizeof p->timeline], was[sizeof p->timeline];

    str_copy(was, sizeof was, p->timeline);
    snprintf(sql, sizeof sql, "SELECT pg_xact_status('%s'::xid8)", xid);
    for (int attempt = 1; postgres_transaction_pause(attempt, deadline_ms); attempt++) {
        if (PQstatus(p->connection) != CONNECTION_OK && postgres_connect_again(p, NULL) != ERR_OK)
            continue;
        timeline(p, now, sizeof now);
        if (PQstatus(p->connection) != CONNECTION_OK || now[0] == '\0')
            continue;
        if (command(p, sql, "ask", status, sizeof status, NULL) != ERR_OK) {
            if (strcmp(p->sqlstate, "22023") !=
                0) /* a number that was never given: lost in a crash */
                continue;
            str_copy(status, sizeof status, "aborted");
        }
        if (strcmp(status, "in progress") != 0)
            return judge(status, was, now);
    }
    return OUTCOME_UNKNOWN;
}

static enum err_code commit(struct postgres *p, const char *xid, struct err *e)
{
    char answer[32] = "";
    enum err_code code = command(p, "COMMIT", "commit a transaction", answer, sizeof answer, e);

    if (code == ERR_OK && strcmp(answer, "COMMIT") != 0)
        return err_set(e, ERR_DB, "a transaction was rolled back by '%s'", p->base.name);
    if (code == ERR_OK || p->fault != POSTGRES_FAULT_LOST || *xid == '\0')
        return code;
    switch (outcome_of(p, xid, postgres_transaction_deadline(p))) {
    case OUTCOME_COMMITTED:
        if (e != NULL)
            err_init(e);
        return ERR_OK;
    case OUTCOME_ABORTED:
        p->fault = POSTGRES_FAULT_LOST;
        return code;
    default:
        break;
    }
    p->fault = POSTGRES_FAULT_OTHER; /* tried again it could be done twice */
    err_set(e, ERR_DB,
            "the connection to '%s' was lost at COMMIT and nobody can say whether it was "
            "done",
            p->base.name);
    return err_hint(e, "run again once the server is back: what it has is looked at first");
}

static enum err_code once(struct postgres *p, const struct postgres_work *w, bool *begun,
                          struct err *e)
{
    char xid[XID_SIZE] = "";
    enum err_code code = begin(p, w, xid, e);

    if (code != ERR_OK) {
        roll_back(p);
        return code;
    }
    p->in_transaction = *begun = true;
    code = w->run(p, w->user, e);
    if (code == ERR_OK)
        code = commit(p, xid, e);
    if (code != ERR_OK)
        roll_back(p);
    p->in_transaction = false;
    return code;
}

static bool is_conflict(const struct postgres *p)
{
    return p->fault == POSTGRES_FAULT_LOST || p->fault == POSTGRES_FAULT_AGAIN ||
           p->fault == POSTGRES_FAULT_BUSY;
}

enum err_code postgres_transaction(struct postgres *p, const struct postgres_work *w, struct err *e)
{
    const int64_t deadline = postgres_transaction_deadline(p);
    enum err_code code;

    if (p->read_only && !w->reading)
        return err_set(e, ERR_DB, "database '%s' was opened for reading only", p->base.name);
    for (int attempt = 1;; attempt++) {
        bool begun = false;
        p->fault = POSTGRES_FAULT_NONE;
        code = once(p, w, &begun, e);
        if (code == ERR_OK)
            p->down = false;
        if (code == ERR_OK || (code != ERR_DB && code != ERR_DB_BUSY) || !is_conflict(p) ||
            (w->once && begun))
            return code;
        if (!postgres_transaction_pause(attempt, deadline)) {
            p->down = p->fault == POSTGRES_FAULT_LOST;
            return code;
        }
        if (e != NULL)
            err_init(e);
    }
}
