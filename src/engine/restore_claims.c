#include "engine/restore_claims.h"

#include "blobferry/base/str.h"
#include "blobferry/codec/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SEEN_SLOTS ((size_t)1 << 18)
#define KEY_MAX    ((size_t)64 << 10)
#define TURN_MS    200

/* As it stands in the spool, the key behind it. */
struct claim {
    size_t key_len;
    int64_t size; /* -1 unknown */
    char sha256[65];
};

enum err_code restore_claims_init(struct restore_claims *c, struct err *e)
{
    enum err_code code;

    memset(c, 0, sizeof *c);
    code = digest_init(&c->digest, DIGEST_SHA256, e);
    c->seen = calloc(SEEN_SLOTS, sizeof *c->seen);
    c->spool = tmpfile();
    if (code == ERR_OK && c->seen == NULL)
        code = err_set(e, ERR_NOMEM, "out of memory");
    if (code == ERR_OK && c->spool == NULL)
        code = err_set_errno(e, ERR_FILE, errno, "cannot make a temporary file");
    return code;
}

void restore_claims_release(struct restore_claims *c)
{
    if (c->spool != NULL)
        fclose(c->spool);
    free(c->seen);
    digest_release(&c->digest);
    memset(c, 0, sizeof *c);
}

/* ---- gathering ------------------------------------------------------------------------------------------ */

static const struct tracker_value *find(const struct tracker_value *values, size_t n,
                                        const char *column)
{
    for (size_t i = 0; values != NULL && i < n; i++) {
        if (strcasecmp(values[i].column, column) == 0)
            return &values[i];
    }
    return NULL;
}

static bool same(const struct tracker_value *a, const struct tracker_value *b)
{
    return a != NULL && b != NULL && a->type == b->type && a->integer == b->integer &&
           a->len == b->len && (a->len == 0 || memcmp(a->bytes, b->bytes, a->len) == 0);
}

static bool is_text(const struct tracker_value *v, const char *text)
{
    return v != NULL && v->type == TRACKER_TEXT && v->len == strlen(text) &&
           memcmp(v->bytes, text, v->len) == 0;
}

/* Does this column make the row claim something that it does not claim now? */
static bool differs(const struct tracker_restore_change *ch, const char *column)
{
    return ch->inserted || !same(find(ch->then, ch->n, column), find(ch->now, ch->n, column));
}

static bool first_time(struct restore_claims *c, const struct tracker_value *key)
{
    unsigned char sum[DIGEST_SHA256_SIZE];
    uint64_t h;
    size_t at;

    digest_sha256(key->bytes, key->len, sum);
    memcpy(&h, sum, sizeof h);
    h = h != 0 ? h : 1;
    for (at = h & (SEEN_SLOTS - 1); c->seen[at] != 0; at = (at + 1) & (SEEN_SLOTS - 1)) {
        if (c->seen[at] == h)
            return false;
    }
    if (c->seen_len < SEEN_SLOTS / 2) { /* beyond that, objects may be looked at twice */
        c->seen[at] = h;
        c->seen_len++;
    }
    return true;
}

static enum err_code put(struct restore_claims *c, const struct tracker_value *key,
                         const struct tracker_value *sum, int64_t size, struct err *e)
{
    struct claim claim;

    memset(&claim, 0, sizeof claim);
    claim.key_len = key->len;
    claim.size = size;
    if (sum != NULL && sum->type == TRACKER_TEXT && sum->len == 64)
        memcpy(claim.sha256, sum->bytes, 64);
    digest_update(&c->digest, &claim, sizeof claim);
    digest_update(&c->digest, key->bytes, key->len);
    if (!first_time(c, key))
        return ERR_OK;
    c->len++;
    if (fwrite(&claim, sizeof claim, 1, c->spool) != 1 ||
        (key->len > 0 && fwrite(key->bytes, key->len, 1, c->spool) != 1))
        return err_set_errno(e, ERR_FILE, errno, "cannot write a temporary file");
    return ERR_OK;
}

static enum err_code unusable(const struct tracker_restore_change *ch, struct err *e)
{
    return err_set(e, ERR_REFUSED, "a row of '%s' in the backup points to a key that is no text",
                   tracker_table_name(ch->table));
}

enum err_code restore_claims_add(struct restore_claims *c, const struct tracker_restore_change *ch,
                                 struct err *e)
{
    const struct tracker_value *key, *sum = NULL, *size, *status;

    if (ch->table == TRACKER_FILES) {
        key = find(ch->then, ch->n, "r2_key");
        sum = find(ch->then, ch->n, "checksum");
        if (key == NULL || key->type == TRACKER_NULL || is_text(key, "") || !differs(ch, "r2_key"))
            return ERR_OK;
        if (key->type != TRACKER_TEXT || key->len > KEY_MAX ||
            memchr(key->bytes, '\0', key->len) != NULL)
            return unusable(ch, e);
        return put(c, key, sum, -1, e);
    }
    status = find(ch->then, ch->n, "status");
    if (ch->table != TRACKER_MIGRATIONS ||
        (!is_text(status, "completed") && !is_text(status, "verified")) ||
        (!differs(ch, "status") && !differs(ch, "target_r2_key") &&
         !differs(ch, "migrated_checksum")))
        return ERR_OK;
    key = find(ch->then, ch->n, "target_r2_key");
    sum = find(ch->then, ch->n, "migrated_checksum");
    size = find(ch->then, ch->n, "file_size");
    if (key == NULL || key->type != TRACKER_TEXT || key->len == 0 || key->len > KEY_MAX ||
        memchr(key->bytes, '\0', key->len) != NULL)
        return unusable(ch, e);
    return put(c, key, sum, size != NULL && size->type == TRACKER_INTEGER ? size->integer : -1, e);
}

void restore_claims_hash(struct restore_claims *c, char hex[DIGEST_SHA256_HEX])
{
    unsigned char sum[DIGEST_MAX];

    digest_final(&c->digest, sum);
    text_hex(sum, DIGEST_SHA256_SIZE, hex);
}

/* ---- looking ---------------------------------------------------------------------------------------------- */

struct look;
struct looks {
    struct restore_preview *out;
    struct look *free; /* list */
    size_t in_flight;
    struct err fault; /* the store as a whole */
};
struct look {
    struct looks *all;
    struct look *next;
    struct claim claim;
    char *key; /* owned while it is under way */
};

/* The sum that we, or the store, said of the object; else its size must do. */
static bool is_what_was(const struct claim *claim, const struct objinfo *info)
{
    const char *sum = info->stored_sha256[0] != '\0' ? info->stored_sha256 : info->sha256;

    if (claim->size >= 0 && info->size >= 0 && claim->size != info->size)
        return false;
    return claim->sha256[0] == '\0' || sum[0] == '\0' || str_ieq(claim->sha256, sum);
}

static void on_stat(void *user, const struct objstore_result *r)
{
    struct look *l = user;
    struct looks *all = l->all;
    struct restore_preview *out = all->out;
    bool absent = r->outcome == OBJSTORE_ABSENT;

    if (absent || (r->outcome == OBJSTORE_DONE && !is_what_was(&l->claim, &r->info))) {
        if (out->missing + out->different == 0)
            str_printable(out->first_missing, sizeof out->first_missing, l->key);
        out->missing += absent;
        out->different += !absent;
    } else if (r->outcome != OBJSTORE_DONE && all->fault.code == ERR_OK) {
        all->fault = r->err;
        if (all->fault.code == ERR_OK)
            err_set(&all->fault, ERR_STORE, "the store did not say whether '%s' is there", l->key);
    }
    free(l->key);
    l->key = NULL;
    l->next = all->free;
    all->free = l;
    all->in_flight--;
}

/* The next claim into l; *more false at the end. */
static enum err_code read_claim(struct restore_claims *c, struct look *l, bool *more, struct err *e)
{
    *more = fread(&l->claim, sizeof l->claim, 1, c->spool) == 1;
    if (!*more)
        return ferror(c->spool) ? err_set_errno(e, ERR_FILE, errno, "cannot read a temporary file")
                                : ERR_OK;
    l->key = calloc(1, l->claim.key_len + 1);
    if (l->key == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    if (fread(l->key, 1, l->claim.key_len, c->spool) != l->claim.key_len)
        return err_set_errno(e, ERR_FILE, errno, "cannot read a temporary file");
    return ERR_OK;
}

static enum err_code look_at_all(struct restore_claims *c, const struct engine *g,
                                 struct looks *all, struct err *e)
{
    bool more = true;
    enum err_code code = ERR_OK;

    while (code == ERR_OK && all->fault.code == ERR_OK && (more || all->in_flight > 0)) {
        while (code == ERR_OK && more && all->free != NULL) {
            struct look *l = all->free;

            code = read_claim(c, l, &more, e);
            if (code != ERR_OK || !more)
                break;
            code = objstore_stat(g->store, l->key, on_stat, l, e);
            if (code != ERR_OK)
                break;
            all->free = l->next;
            all->in_flight++;
        }
        if (code == ERR_OK && all->in_flight > 0)
            code = objstore_run(g->store, TURN_MS, e);
        if (code == ERR_OK && engine_stopping(g))
            code = err_set(e, ERR_CANCELLED, "stopped by a signal");
    }
    if (all->in_flight > 0)
        objstore_cancel_all(g->store);
    if (code == ERR_OK && all->fault.code != ERR_OK) {
        code = all->fault.code;
        if (e != NULL)
            *e = all->fault;
    }
    return code;
}

enum err_code restore_claims_check(struct restore_claims *c, const struct engine *g,
                                   int concurrency, struct restore_preview *out, struct err *e)
{
    const size_t n = concurrency > 0 ? (size_t)concurrency : 16;
    struct looks all = {.out = out};
    struct look *items = calloc(n, sizeof *items);
    enum err_code code = items != NULL ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");

    if (code == ERR_OK && fseek(c->spool, 0, SEEK_SET) != 0)
        code = err_set_errno(e, ERR_FILE, errno, "cannot read a temporary file");
    for (size_t i = 0; code == ERR_OK && items != NULL && i < n; i++) {
        items[i].all = &all;
        items[i].next = all.free;
        all.free = &items[i];
    }
    if (code == ERR_OK)
        code = look_at_all(c, g, &all, e);
    for (size_t i = 0; items != NULL && i < n; i++)
        free(items[i].key);
    free(items);
    out->looked = code == ERR_OK;
    return code;
}
