/* postgres_wait: a plan tells (NOTIFY, in its own transaction), a worker that watches is told (LISTEN). Both are hints only: who misses
 * one looks a few seconds later.
 *
 * LISTEN belongs to a session. Behind a pooler that lends a session for one transaction it would stay with somebody else's: there, and
 * on a standby, nothing is listened to and the caller looks by himself.
 */
#include "track/postgres.h"

#include "blobferry/base/clock.h"

#include <poll.h>
#include <time.h>

enum err_code postgres_wait_tell(struct postgres *p, struct err *e)
{
    return postgres_statement_run(p, "SELECT pg_notify('blobferry_plan', '')", POSTGRES_NONE, NULL,
                                  e);
}

/* A pooler answers with a process number of its own making. */
static bool is_direct(struct postgres *p)
{
    int64_t pid = 0;

    return postgres_statement_number(p, "SELECT pg_backend_pid()", POSTGRES_NONE, &pid, NULL) ==
               ERR_OK &&
           pid == PQbackendPID(p->connection);
}

/* Do we listen on this very connection? *begun: only since now. */
static bool listening(struct postgres *p, bool *begun)
{
    *begun = false;
    if (p->cannot_listen || p->in_transaction || PQstatus(p->connection) != CONNECTION_OK)
        return false;
    if (p->listens_as == PQbackendPID(p->connection))
        return true;
    if (!is_direct(p)) {
        p->cannot_listen = PQstatus(p->connection) == CONNECTION_OK;
        return false;
    }
    PGresult *q = PQexec(p->connection, "LISTEN blobferry_plan");
    *begun = PQresultStatus(q) == PGRES_COMMAND_OK;
    PQclear(q);
    p->cannot_listen = !*begun && PQstatus(p->connection) == CONNECTION_OK;
    p->listens_as = *begun ? PQbackendPID(p->connection) : 0;
    return *begun;
}

/* Takes what has come in; true if there was any. */
static bool told(struct postgres *p)
{
    bool any = false;

    for (PGnotify *n = PQnotifies(p->connection); n != NULL; n = PQnotifies(p->connection)) {
        PQfreemem(n);
        any = true;
    }
    return any;
}

static void sleep_ms(int64_t ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

enum err_code postgres_wait(struct tracker *t, int64_t timeout_ms, enum tracker_wait *how,
                            struct err *e)
{
    struct postgres *p = postgres_of(t);
    const int64_t until = clock_mono_ms() + timeout_ms;
    int64_t left = timeout_ms;
    bool begun, lost = false;

    (void)e;
    *how = TRACKER_WAIT_SLEPT;
    if (!listening(p, &begun)) {
        sleep_ms(timeout_ms);
        return ERR_OK;
    }
    /* What was planned just before we listened is told to nobody. */
    *how = begun || told(p) ? TRACKER_WAIT_TOLD : TRACKER_WAIT_LISTENED;
    while (*how == TRACKER_WAIT_LISTENED && left > 0 && !lost) {
        struct pollfd fd = {.fd = PQsocket(p->connection), .events = POLLIN};
        const int ready = poll(&fd, 1, (int)(left < 60000 ? left : 60000));

        if (ready < 0)
            break; /* a signal: the caller looks whether to stop */
        lost = ready > 0 && PQconsumeInput(p->connection) == 0;
        if (told(p))
            *how = TRACKER_WAIT_TOLD;
        left = until - clock_mono_ms();
    }
    if (lost) { /* the next statement connects again */
        *how = TRACKER_WAIT_SLEPT;
        sleep_ms(left > 0 ? left : 0);
    }
    return ERR_OK;
}
