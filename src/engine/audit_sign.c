#include "engine/audit_sign.h"

#include "blobferry/base/str.h"

#include <string.h>

#define CLOSING "\"action\":\"run_end\""
#define SIG     ",\"sig\":\""

bool audit_sign_wants(const char *members)
{
    return str_starts(members, CLOSING);
}

/* previous hash, LF, line: what is signed. */
static bool compose(struct buf *text, const char *previous, const char *line, size_t n)
{
    buf_append(text, previous, 64);
    buf_char(text, '\n');
    return buf_append(text, line, n);
}

bool audit_sign_append(const struct signature *s, struct buf *b, struct digest *sha,
                       const struct journal_line_head *head, const char *members,
                       char hash[DIGEST_SHA256_HEX])
{
    char trial[DIGEST_SHA256_HEX], hex[SIGNATURE_HEX + 1];
    struct buf text, line, with;
    struct journal_line l;
    const char *why;
    bool good;

    buf_init(&text, JOURNAL_LINE_MAX + 128);
    buf_init(&line, JOURNAL_LINE_MAX);
    buf_init(&with, JOURNAL_LINE_MAX);
    /* the line as it would be without a signature: by the one function that makes lines */
    memcpy(trial, hash, sizeof trial);
    good = buf_printf(&with, "%s,\"key\":\"%s\"", members, signature_id(s)) &&
           journal_line_append(&line, sha, head, with.data, trial) &&
           journal_line_scan(line.data, line.len - 1, &l, &why) &&
           compose(&text, hash, l.text, (size_t)(l.members + l.members_len - l.text)) &&
           buf_char(&text, '}') && signature_sign(s, text.data, text.len, hex, NULL) == ERR_OK &&
           buf_printf(&with, SIG "%s\"", hex) && journal_line_append(b, sha, head, with.data, hash);
    buf_release(&text);
    buf_release(&line);
    buf_release(&with);
    return good;
}

/* The value of a string member without its quotes; NULL when it is none. */
static const char *plain(const struct journal_line *l, const char *name, size_t *n)
{
    const char *raw = journal_line_member(l, name, n);

    if (raw == NULL || *n < 2 || raw[0] != '"')
        return NULL;
    *n -= 2;
    return raw + 1;
}

enum audit_sign_verdict audit_sign_check(const struct journal_line *l, const char *previous,
                                         struct signature *const *keys, size_t n)
{
    size_t sig_len = 0, key_len = 0;
    const char *sig = plain(l, "sig", &sig_len), *key = plain(l, "key", &key_len);
    const char *end = l->members + l->members_len;
    enum audit_sign_verdict verdict = AUDIT_SIGN_OTHER;
    struct buf text;

    if (sig == NULL)
        return AUDIT_SIGN_NONE;
    /* the signature is the last member, or something was put behind it */
    if (key == NULL || sig + sig_len + 1 != end || memcmp(sig - strlen(SIG), SIG, strlen(SIG)) != 0)
        return AUDIT_SIGN_BAD;
    buf_init(&text, JOURNAL_LINE_MAX + 128);
    if (!compose(&text, previous, l->text, (size_t)(sig - strlen(SIG) - l->text)) ||
        !buf_char(&text, '}'))
        verdict = AUDIT_SIGN_BAD;
    for (size_t i = 0; verdict == AUDIT_SIGN_OTHER && i < n; i++) {
        const char *id = signature_id(keys[i]);
        if (key_len == strlen(id) && memcmp(key, id, key_len) == 0)
            verdict = signature_good(keys[i], text.data, text.len, sig, sig_len) ? AUDIT_SIGN_GOOD
                                                                                 : AUDIT_SIGN_BAD;
    }
    buf_release(&text);
    return verdict;
}
