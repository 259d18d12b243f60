/* journal_line_scan: taking lines apart without a tree: a million of them in a few seconds. */
#include "blobferry/codec/text.h"
#include "engine/journal_line.h"

#include <string.h>

#define TAIL_BEFORE ",\"hash\":\""
#define TAIL_LEN    (sizeof TAIL_BEFORE - 1 + 64 + 2)
#define TIME_LEN    ((size_t)24)
#define SEQ_MAX     INT64_C(9007199254740992) /* 2^53: exact in every JSON reader */

struct cursor {
    const char *at, *end;
};

static bool take(struct cursor *c, const char *literal)
{
    const size_t n = strlen(literal);

    if ((size_t)(c->end - c->at) < n || memcmp(c->at, literal, n) != 0)
        return false;
    c->at += n;
    return true;
}

/* A name as journal_line_name_ok allows it, up to the closing quote, which is passed. */
static bool take_name(struct cursor *c, const char **name, size_t *len)
{
    *name = c->at;
    while (c->at<c->end && * c->at> ' ' && *c->at <= '~' && *c->at != '"' && *c->at != '\\')
        c->at++;
    *len = (size_t)(c->at - *name);
    return *len > 0 && *len < JOURNAL_NAME_SIZE && take(c, "\"");
}

static bool take_number(struct cursor *c, int64_t *out)
{
    const char *first = c->at;
    int64_t n = 0;

    while (c->at < c->end && *c->at >= '0' && *c->at <= '9') {
        n = n * 10 + (*c->at++ - '0');
        if (n > SEQ_MAX)
            return false;
    }
    *out = n;
    return c->at > first && (*first != '0' || c->at == first + 1);
}

/* Past a string whose opening quote has been passed. */
static bool skip_string(struct cursor *c)
{
    for (; c->at < c->end; c->at++) {
        if ((unsigned char)*c->at < 0x20)
            return false;
        if (*c->at == '"') {
            c->at++;
            return true;
        }
        if (*c->at == '\\' && ++c->at == c->end)
            return false;
    }
    return false;
}

/* Past one value: a string, or anything up to the comma or brace that ends it at this level. */
static bool skip_value(struct cursor *c)
{
    const char *first = c->at;
    int depth = 0;

    while (c->at < c->end) {
        const char ch = *c->at;
        if (depth == 0 && ch == ',')
            break;
        c->at++;
        if ((unsigned char)ch < 0x20)
            return false;
        if (ch == '"' && !skip_string(c))
            return false;
        if (ch == '{' || ch == '[')
            depth++;
        else if ((ch == '}' || ch == ']') && --depth < 0)
            return false;
    }
    return depth == 0 && c->at > first;
}

/* The next `,"name":value`; false at the end or where it is none of that. */
static bool next_member(struct cursor *c, struct cursor *name, struct cursor *value)
{
    if (!take(c, ",\""))
        return false;
    name->at = c->at;
    if (!skip_string(c))
        return false;
    name->end = c->at - 1;
    if (!take(c, ":"))
        return false;
    value->at = c->at;
    if (!skip_value(c))
        return false;
    value->end = c->at;
    return true;
}

static bool is_hex(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f')))
            return false;
    return true;
}

static const char *scan(struct cursor *c, struct journal_line *out)
{
    struct cursor name, value;
    const char *hash;

    if (out->len > JOURNAL_LINE_MAX)
        return "the line is too long to be an audit line";
    if (out->len < TAIL_LEN)
        return "this is no audit line";
    hash = c->end - TAIL_LEN;
    if (memcmp(hash, TAIL_BEFORE, sizeof TAIL_BEFORE - 1) != 0 || memcmp(c->end - 2, "\"}", 2) != 0)
        return "the line does not end in its hash";
    out->hash = hash + sizeof TAIL_BEFORE - 1;
    if (!is_hex(out->hash, 64))
        return "the line does not end in its hash";
    c->end = hash;
    if (!take(c, "{\"v\":1,\"time\":\"") || (size_t)(c->end - c->at) < TIME_LEN)
        return "this is no audit line of version 1";
    if (memchr(c->at, '"', TIME_LEN) != NULL || memchr(c->at, '\\', TIME_LEN) != NULL)
        return "the time is malformed";
    c->at += TIME_LEN;
    if (!take(c, "\",\"log\":\"") || !take_name(c, &out->log, &out->log_len) ||
        !take(c, ",\"run\":\"") || !take_name(c, &out->run, &out->run_len) ||
        !take(c, ",\"seq\":") || !take_number(c, &out->seq) || !take(c, ",\"action\":\"") ||
        !take_name(c, &out->action, &out->action_len))
        return "log, run, seq or action is malformed";
    out->members = c->at;
    out->members_len = (size_t)(c->end - c->at);
    while (c->at < c->end)
        if (!next_member(c, &name, &value))
            return "a member is malformed";
    return NULL;
}

bool journal_line_scan(const char *text, size_t len, struct journal_line *out, const char **why)
{
    struct cursor c = {text, text + len};

    memset(out, 0, sizeof *out);
    out->text = text;
    out->len = len;
    *why = scan(&c, out);
    return *why == NULL;
}

bool journal_line_is(const struct journal_line *l, const char *action)
{
    return strlen(action) == l->action_len && memcmp(l->action, action, l->action_len) == 0;
}

const char *journal_line_member(const struct journal_line *l, const char *name, size_t *len)
{
    struct cursor c = {l->members, l->members + l->members_len}, key, value;
    const size_t n = strlen(name);

    while (next_member(&c, &key, &value)) {
        if ((size_t)(key.end - key.at) == n && memcmp(key.at, name, n) == 0) {
            *len = (size_t)(value.end - value.at);
            return value.at;
        }
    }
    return NULL;
}

int64_t journal_line_integer(const struct journal_line *l, const char *name)
{
    size_t len = 0;
    const char *at = journal_line_member(l, name, &len);
    struct cursor c = {at, at == NULL ? NULL : at + len};
    int64_t n = 0;

    return at != NULL && take_number(&c, &n) && c.at == c.end ? n : -1;
}

void journal_line_hash(const struct journal_line *l, struct digest *sha, const char *previous,
                       char out[DIGEST_SHA256_HEX])
{
    unsigned char raw[DIGEST_MAX];

    digest_restart(sha);
    digest_update(sha, previous, 64);
    digest_update(sha, "\n", 1);
    digest_update(sha, l->text, l->len - TAIL_LEN);
    digest_update(sha, "}", 1);
    digest_final(sha, raw);
    text_hex(raw, DIGEST_SHA256_SIZE, out);
}
