/* postgres_connect: by URL, with what libpq finds by itself for what the URL does not say (PG* variables, service file, ~/.pgpass).
 * Only connection parameters that every pooler takes are sent; nothing else is ever set for a session. */
#include "track/postgres.h"

#include "blobferry/base/str.h"

#include <stdlib.h>
#include <string.h>

#define PARAMETERS 12

/* The URL without its password, for messages (P8): as libpq understands it, so that nothing hides in an odd form of it. */
static enum err_code name_of(struct postgres *p, const char *url, struct err *e)
{
    static const char *const shown[] = {"user", "host", "port", "dbname"};
    static const char *const before[] = {"", "", ":", "/"};
    char *message = NULL;
    struct buf name;
    PQconninfoOption *options = PQconninfoParse(url, &message);

    if (options == NULL) {
        /* libpq's message repeats the URL, which may hold a password. */
        PQfreemem(message);
        err_set(e, ERR_CONFIG, "the PostgreSQL URL is malformed");
        return err_hint(e, "postgres://[USER@]HOST[:PORT]/DATABASE[?sslmode=verify-full…]");
    }
    buf_init(&name, 4096);
    buf_str(&name, "postgres://");
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        for (const PQconninfoOption *o = options; o->keyword != NULL; o++) {
            if (strcmp(o->keyword, shown[i]) == 0 && !str_empty(o->val))
                buf_printf(&name, "%s%s%s", before[i], o->val, i == 0 ? "@" : "");
        }
    }
    PQconninfoFree(options);
    p->base.name = buf_steal(&name);
    return p->base.name != NULL ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");
}

/* Keywords before the URL are defaults that it may override, those after it override it. A default that libpq would take from a
 * variable is left to the variable. */
static void parameters(const struct tracker_options *o, const char *keys[PARAMETERS],
                       const char *values[PARAMETERS])
{
    static const struct {
        const char *key, *value, *variable;
    } defaults[] = {
        {"connect_timeout", "10", "PGCONNECT_TIMEOUT"},
        {"fallback_application_name", "blobferry", NULL},
        /* A server that has vanished is noticed within a minute. */
        {"keepalives_idle", "20", NULL},
        {"keepalives_interval", "10", NULL},
        {"keepalives_count", "3", NULL},
        {"tcp_user_timeout", "60000", NULL},
    };
    size_t n = 0;

    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++) {
        if (defaults[i].variable != NULL && !str_empty(getenv(defaults[i].variable)))
            continue;
        keys[n] = defaults[i].key;
        values[n++] = defaults[i].value;
    }
    if (o->password != NULL && secret_is_set(o->password)) {
        keys[n] = "password";
        values[n++] = secret_peek(o->password);
    }
    keys[n] = "dbname"; /* expanded: it is the URL */
    values[n++] = o->url;
    keys[n] = "client_encoding";
    values[n++] = "UTF8";
    keys[n] = values[n] = NULL;
}

static void ignore_notice(void *user, const PGresult *q)
{
    (void)user;
    (void)q;
}

static enum err_code opened(struct postgres *p, struct err *e)
{
    if (PQstatus(p->connection) != CONNECTION_OK)
        return postgres_error_connect(p, e);
    PQsetNoticeReceiver(p->connection, ignore_notice, NULL);
    if (PQserverVersion(p->connection) < 130000) {
        err_set(e, ERR_DB, "'%s' is PostgreSQL %d, which is too old", p->base.name,
                PQserverVersion(p->connection) / 10000);
        return err_hint(e, "blobferry needs PostgreSQL 13 or newer");
    }
    return ERR_OK;
}

enum err_code postgres_connect(struct postgres *p, const struct tracker_options *o, struct err *e)
{
    const char *keys[PARAMETERS], *values[PARAMETERS];
    enum err_code code = name_of(p, o->url, e);

    if (code != ERR_OK)
        return code;
    parameters(o, keys, values);
    p->connection = PQconnectdbParams(keys, values, 1);
    if (p->connection == NULL)
        return err_set(e, ERR_NOMEM, "cannot connect to '%s': out of memory", p->base.name);
    return opened(p, e);
}

enum err_code postgres_connect_again(struct postgres *p, struct err *e)
{
    PQreset(p->connection);
    p->listens_as = 0;
    return opened(p, e);
}
