/* sqlite_function: what SQL cannot say by itself. */
#include "blobferry/codec/digest.h"
#include "blobferry/codec/objkey.h"
#include "blobferry/codec/timefmt.h"
#include "track/sqlite.h"

#include <stdlib.h>
#include <string.h>

/* blobferry_ms(x): x as an instant in milliseconds, NULL when it is none. Text compares wrong: ' ' against 'T', zones, epochs. */
static void as_instant(sqlite3_context *c, int n, sqlite3_value **v)
{
    int64_t ms;
    const int type = sqlite3_value_type(v[0]);

    (void)n;
    if (type != SQLITE_TEXT && type != SQLITE_INTEGER)
        return;
    const char *text = (const char *)sqlite3_value_text(v[0]);
    if (text != NULL && strlen(text) == (size_t)sqlite3_value_bytes(v[0]) &&
        timefmt_parse(text, &ms))
        sqlite3_result_int64(c, ms);
}

/* blobferry_usable(id, numeric): can this id be said as a string and found again by it? */
static void is_usable(sqlite3_context *c, int n, sqlite3_value **v)
{
    const int type = sqlite3_value_type(v[0]);
    bool usable = false;

    (void)n;
    if (type == SQLITE_INTEGER) {
        usable = sqlite3_value_int(v[1]) != 0; /* else the bound text would never equal it */
    } else if (type == SQLITE_TEXT) {
        const unsigned char *text = sqlite3_value_text(v[0]);
        const size_t bytes = (size_t)sqlite3_value_bytes(v[0]);
        usable = text != NULL && bytes <= SQLITE_TEXT_MAX && memchr(text, 0, bytes) == NULL;
    }
    sqlite3_result_int(c, usable);
}

/* blobferry_key_digest(key): SHA-256 hex of the key's NFC form; of its bytes when it has none. */
static void key_digest(sqlite3_context *c, int n, sqlite3_value **v)
{
    char hex[DIGEST_SHA256_HEX];

    (void)n;
    if (sqlite3_value_type(v[0]) == SQLITE_NULL)
        return;
    const char *key = (const char *)sqlite3_value_text(v[0]);
    if (key == NULL)
        return;
    char *nfc = objkey_nfc(key);
    if (nfc != NULL)
        digest_sha256_hex(nfc, strlen(nfc), hex);
    else
        digest_sha256_hex(key, (size_t)sqlite3_value_bytes(v[0]), hex);
    free(nfc);
    sqlite3_result_text(c, hex, DIGEST_SHA256_HEX - 1, SQLITE_TRANSIENT);
}

enum err_code sqlite_function_register(struct sqlite *s, struct err *e)
{
    static const struct {
        const char *name;
        int arguments;
        void (*function)(sqlite3_context *, int, sqlite3_value **);
    } functions[] = {
        {"blobferry_ms", 1, as_instant},
        {"blobferry_usable", 2, is_usable},
        {"blobferry_key_digest", 1, key_digest},
    };
    /* DIRECTONLY: no trigger or view of a foreign schema may call them. */
    const int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY;

    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        if (sqlite3_create_function_v2(s->db, functions[i].name, functions[i].arguments, flags,
                                       NULL, functions[i].function, NULL, NULL, NULL) != SQLITE_OK)
            return sqlite_error(s, e, "prepare it");
    }
    return ERR_OK;
}
