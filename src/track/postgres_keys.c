/* postgres_keys: who holds an object key. Rows of ours carry the digest of their key; for rows that another tool made it is worked
 * out here. Few questions go to the database one by one; from some number on it is quicker to fetch all the answers.
 */
#include "track/postgres_plan.h"

#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"
#include "blobferry/codec/digest.h"
#include "blobferry/codec/objkey.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STALE_MS 60000 /* a server lives long, and other tools go on making rows */
#define STALE_FEW_MS                                                                               \
    2000 /* … when everything was fetched after a few questions: it is soon done again */
#define FEW           1000
#define ROW_NS        6000 /* to fetch one row of all; a question takes as long as the network makes it */
#define ROWS_A_LOOKUP 30 /* rows that are fetched in the time of one question, at least */

/* SHA-256 hex of the key's NFC form; of its bytes when it has none. */
static void digest_of(const char *key, char hex[DIGEST_SHA256_HEX])
{
    char *nfc = objkey_nfc(key);

    digest_sha256_hex(nfc != NULL ? nfc : key, strlen(nfc != NULL ? nfc : key), hex);
    free(nfc);
}

static enum err_code on_foreign(void *user, const PGresult *q, int row, bool *more, struct err *e)
{
    char hex[DIGEST_SHA256_HEX];
    const char *batch = postgres_statement_text(q, row, 1);

    (void)more;
    digest_of(PQgetvalue(q, row, 0), hex);
    return postgres_held_add(user, hex, batch != NULL ? batch : "?", e);
}

static enum err_code on_own(void *user, const PGresult *q, int row, bool *more, struct err *e)
{
    const char *batch = postgres_statement_text(q, row, 1);

    (void)more;
    return postgres_held_add(user, PQgetvalue(q, row, 0), batch != NULL ? batch : "?", e);
}

enum err_code postgres_keys_gather(struct postgres *p, struct err *e)
{
    struct buf sql;
    enum err_code code;

    postgres_held_free(p->held);
    code = postgres_held_open(&p->held, e);
    if (code != ERR_OK)
        return code;
    buf_init(&sql, 8192);
    buf_str(&sql, "SELECT m.target_r2_key::text, m.batch_id::text FROM file_migrations AS m");
    if (p->info.schema.own)
        buf_str(&sql, " LEFT JOIN blobferry_records AS r ON " POSTGRES_RECORDS_ON);
    buf_printf(&sql, " WHERE m.target_r2_key IS NOT NULL AND %s IS DISTINCT FROM 'rolled_back'%s",
               postgres_select_status(p), p->info.schema.own ? " AND r.key_digest IS NULL" : "");
    code = buf_ok(&sql)
               ? postgres_statement_each(p, sql.data, POSTGRES_NONE, on_foreign, p->held, e)
               : err_set(e, ERR_NOMEM, "out of memory");
    buf_release(&sql);
    if (code == ERR_OK) {
        postgres_held_state(p->held)->since_ms = clock_mono_ms();
    } else {
        postgres_held_free(p->held);
        p->held = NULL;
    }
    return code;
}

static enum err_code gather_own(struct postgres *p, struct err *e)
{
    struct buf sql;

    buf_init(&sql, 8192);
    buf_printf(&sql,
               "SELECT r.key_digest, m.batch_id::text FROM blobferry_records AS r"
               " JOIN file_migrations AS m ON %s WHERE r.key_digest IS NOT NULL"
               " AND %s IS DISTINCT FROM 'rolled_back'",
               p->info.record_on, postgres_select_status(p));
    enum err_code code =
        buf_ok(&sql) ? postgres_statement_each(p, sql.data, POSTGRES_NONE, on_own, p->held, e)
                     : err_set(e, ERR_NOMEM, "out of memory");
    buf_release(&sql);
    postgres_held_state(p->held)->own_too = code == ERR_OK;
    return code;
}

/* One question, by the index on the digest. */
static enum err_code ask(struct postgres *p, const char *key_digest, char *batch, size_t size,
                         bool *held, struct err *e)
{
    char sql[2048];

    snprintf(sql, sizeof sql,
             "SELECT m.batch_id::text FROM blobferry_records AS r"
             " JOIN file_migrations AS m ON %s WHERE r.key_digest = $1::text"
             " AND %s IS DISTINCT FROM 'rolled_back' LIMIT 1",
             p->info.record_on, postgres_select_status(p));
    PGresult *q = postgres_statement_query(p, sql, POSTGRES_ARGS(POSTGRES_T(key_digest)), e);
    if (q == NULL)
        return postgres_code(e);
    *held = PQntuples(q) > 0;
    if (*held) {
        const char *text = postgres_statement_text(q, 0, 0);
        str_copy(batch, size, text != NULL ? text : "?");
    }
    PQclear(q);
    return ERR_OK;
}

/* Would fetching all rows have taken no longer than the questions so far? Looked at whenever those have doubled, and no further than the
 * answer may be yes: neither many files nor many rows make it expensive. */
static enum err_code weigh(struct postgres *p, struct postgres_held_state *state, struct err *e)
{
    const int64_t asked = ++state->lookups, by_time = state->asked_ns / ROW_NS;
    const int64_t worth =
        by_time > asked * ROWS_A_LOOKUP ? by_time : asked * ROWS_A_LOOKUP; /* rows */
    int64_t rows = 0;

    if ((asked & (asked - 1)) != 0)
        return ERR_OK;
    enum err_code code = postgres_statement_number(
        p, "SELECT count(*) FROM (SELECT 1 FROM blobferry_records LIMIT $1::bigint) AS r",
        POSTGRES_ARGS(POSTGRES_I(worth)), &rows, e);
    return code == ERR_OK && rows < worth ? gather_own(p, e) : code;
}

enum err_code postgres_keys_lookup(struct postgres *p, const char *key_digest, char *batch,
                                   size_t size, bool *held, struct err *e)
{
    struct postgres_held_state *state = postgres_held_state(p->held);
    enum err_code code = ERR_OK;

    *held = false;
    if (p->info.schema.own && !state->own_too)
        code = weigh(p, state, e);
    if (code == ERR_OK)
        code = postgres_held_find(p->held, key_digest, batch, size, held, e);
    if (code == ERR_OK && !*held && p->info.schema.own && !state->own_too) {
        const int64_t began = clock_mono_ns();
        code = ask(p, key_digest, batch, size, held, e);
        state->asked_ns += clock_mono_ns() - began;
    }
    return code;
}

static bool is_stale(const struct postgres_held_state *state)
{
    const bool few = state->own_too && state->lookups < FEW;

    return clock_mono_ms() - state->since_ms > (few ? STALE_FEW_MS : STALE_MS);
}

enum err_code postgres_keys_holder(struct tracker *t, const char *key_digest, char *batch,
                                   size_t size, struct err *e)
{
    struct postgres *p = postgres_of(t);
    bool held = false;
    enum err_code code = ERR_OK;

    /* It is asked for every file of a plan: the schema is looked at only along with all keys. */
    if (p->held == NULL || is_stale(postgres_held_state(p->held))) {
        code = postgres_schema_need(p, e);
        if (code == ERR_OK)
            code = postgres_keys_gather(p, e);
    }
    return code == ERR_OK ? postgres_keys_lookup(p, key_digest, batch, size, &held, e) : code;
}
