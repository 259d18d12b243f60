/* journal_line: making lines. Taking them apart is in journal_line_scan. */
#include "engine/journal_line.h"

#include "blobferry/base/plain.h"
#include "blobferry/base/secret.h"
#include "blobferry/base/str.h"
#include "blobferry/codec/json.h"
#include "blobferry/codec/text.h"

#include <string.h>

#define TEXT_MAX  ((size_t)8192) /* bytes of one text; a longer one is cut */
#define TEXT_CUT  ((size_t)4096)
#define EXTRA_MAX ((size_t)512 << 10)

bool journal_line_name_ok(const char *name)
{
    if (str_empty(name) || strlen(name) >= JOURNAL_NAME_SIZE)
        return false;
    for (const char *p = name; *p != '\0'; p++)
        if (*p <= ' ' || *p > '~' || *p == '"' || *p == '\\')
            return false;
    return true;
}

/* Texts come from databases and file systems: one of 1 GB must not stop the run or fill the disk. Redacted by itself: an escape inside
 * a secret would hide it, and a cut. */
static void put_careful(struct json_out *o, const char *name, const char *value, size_t n)
{
    char shown[TEXT_MAX + 1], hash[DIGEST_SHA256_HEX];
    size_t cut;

    str_copy(shown, sizeof shown, value);
    secret_redact(shown, strlen(shown));
    if (n <= TEXT_MAX) {
        json_out_string(o, name, shown);
        return;
    }
    cut = TEXT_CUT;
    while (cut > TEXT_CUT - 4 && ((unsigned char)shown[cut] & 0xc0) == 0x80)
        cut--;
    digest_sha256_hex(value, n, hash);
    json_out_object(o, name);
    json_out_bytes(o, "cut", shown, cut);
    json_out_integer(o, "bytes", (int64_t)n);
    json_out_string(o, "sha256", hash);
    json_out_end(o);
}

/* One that is neither cut nor escaped stands in the line as it is: unless `careful`, the line is searched for secrets instead. */
static void put_text(struct json_out *o, const char *name, const char *value, bool careful)
{
    const size_t n = value == NULL ? 0 : strlen(value);

    if (value == NULL)
        return;
    if (careful || n > TEXT_MAX || plain_length(value, n, '"') < n)
        put_careful(o, name, value, n);
    else
        json_out_bytes(o, name, value, n);
}

static void put_members(struct json_out *o, const struct journal_entry *entry, bool careful)
{
    const struct {
        const char *name, *value;
    } texts[] = {
        {"action", entry->action},
        {"file_id", entry->file_id},
        {"record_id", entry->record_id},
        {"batch_id", entry->batch_id},
        {"filename", entry->filename},
        {"target_key", entry->target_key},
        {"source_path", entry->source_path},
        {"etag", entry->etag},
        {"version_id", entry->version_id},
        {"sha256", entry->sha256},
        {"from", entry->from},
        {"to", entry->to},
        {"detail", entry->detail},
        {"error", entry->error},
        {"error_class", entry->error_class},
    };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        put_text(o, texts[i].name, texts[i].value, careful);
    if (entry->has_size)
        json_out_integer(o, "size", entry->size);
    if (entry->has_duration)
        json_out_integer(o, "duration_ms", entry->duration_ms);
    if (entry->has_success)
        json_out_boolean(o, "success", entry->success);
    if (entry->dry_run)
        json_out_boolean(o, "dry_run", true);
}

/* Raw JSON of ours; a stray LF in it would tear the line in two. */
static enum err_code put_extra(struct buf *b, const char *extra, struct err *e)
{
    const size_t n = strlen(extra);
    struct json *tree = n > EXTRA_MAX ? NULL : json_parse(extra, n, NULL);
    const bool good = json_is_object(tree);
    size_t at;

    json_free(tree);
    if (!good)
        return err_set(e, ERR_GENERAL, "an audit entry's extra part is no JSON object");
    (void)buf_str(b, ",\"extra\":");
    at = b->len;
    (void)buf_str(b, extra);
    if (!buf_ok(b))
        return ERR_OK; /* the caller looks */
    for (size_t i = at; i < b->len; i++)
        if (b->data[i] == '\n' || b->data[i] == '\r' || b->data[i] == '\t')
            b->data[i] = ' ';
    secret_redact(b->data + at, b->len - at);
    return ERR_OK;
}

static bool action_ok(const char *action)
{
    if (str_empty(action) || strlen(action) > 64)
        return false;
    /* These two say how the file itself came about, and only the journal knows. */
    return strspn(action, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(action) &&
           !str_eq(action, "log_begin") && !str_eq(action, "torn_tail");
}

/* Without braces: what stands before them is not known yet. */
static void members(struct buf *b, const struct journal_entry *entry, bool careful)
{
    struct json_out o;

    buf_reset(b);
    json_out_init(&o, b, 0);
    json_out_object(&o, NULL);
    put_members(&o, entry, careful);
    json_out_end(&o);
    if (!buf_ok(b))
        return;
    b->len--;
    memmove(b->data, b->data + 1, --b->len);
    b->data[b->len] = '\0';
}

enum err_code journal_line_members(struct buf *b, const struct journal_entry *entry, struct err *e)
{
    enum err_code code = ERR_OK;

    if (!action_ok(entry->action))
        return err_set(e, ERR_GENERAL, "'%s' is no audit action",
                       entry->action == NULL ? "" : entry->action);
    members(b, entry, false);
    if (buf_ok(b) && secret_within(b->data, b->len)) /* hardly ever */
        members(b, entry, true);
    if (entry->extra_json != NULL)
        code = put_extra(b, entry->extra_json, e);
    if (code == ERR_OK && !buf_ok(b))
        code = err_set(e, ERR_LIMIT, "an audit entry is too large");
    return code;
}

bool journal_line_append(struct buf *b, struct digest *sha, const struct journal_line_head *head,
                         const char *members, char hash[DIGEST_SHA256_HEX])
{
    const size_t start = b->len;
    unsigned char raw[DIGEST_MAX];
    char room[PLAIN_INTEGER];
    size_t n;
    const char *seq = plain_integer(room, head->seq, &n);

    (void)buf_str(b, "{\"v\":1,\"time\":\"");
    (void)buf_append(b, head->time, strnlen(head->time, 24));
    (void)buf_str(b, "\",\"log\":\"");
    (void)buf_str(b, head->log);
    (void)buf_str(b, "\",\"run\":\"");
    (void)buf_str(b, head->run);
    (void)buf_str(b, "\",\"seq\":");
    (void)buf_append(b, seq, n);
    (void)buf_char(b, ',');
    (void)buf_str(b, members);
    (void)buf_char(b, '}');
    if (!buf_ok(b))
        return false;
    digest_restart(sha);
    digest_update(sha, hash, 64);
    digest_update(sha, "\n", 1);
    digest_update(sha, b->data + start, b->len - start);
    digest_final(sha, raw);
    text_hex(raw, DIGEST_SHA256_SIZE, hash);
    b->len--; /* the hash goes before the closing brace */
    (void)buf_str(b, ",\"hash\":\"");
    (void)buf_str(b, hash);
    return buf_str(b, "\"}\n");
}
