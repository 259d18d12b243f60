/* audit_sign: the closing line of a run, signed. Its last members are "key", which names the key, and "sig": the Ed25519 signature of
 * the previous line's hash, LF, and the line without "sig" and "hash". So it speaks for every line before it as well. */
#ifndef BLOBFERRY_SRC_ENGINE_AUDIT_SIGN_H
#define BLOBFERRY_SRC_ENGINE_AUDIT_SIGN_H

#include "blobferry/engine/signature.h"
#include "engine/journal_line.h"

/* Is this the line that is signed? members: as in journal_line_append. */
bool audit_sign_wants(const char *members);
/* As journal_line_append, signed. */
bool audit_sign_append(const struct signature *s, struct buf *b, struct digest *sha,
                       const struct journal_line_head *head, const char *members,
                       char hash[DIGEST_SHA256_HEX]);

enum audit_sign_verdict {
    AUDIT_SIGN_NONE, /* no signature */
    AUDIT_SIGN_GOOD,
    AUDIT_SIGN_OTHER, /* by none of these keys */
    AUDIT_SIGN_BAD
};
/* Of a line whose chain is known to hold; previous: the hash before it. */
enum audit_sign_verdict audit_sign_check(const struct journal_line *l, const char *previous,
                                         struct signature *const *keys, size_t n);

#endif
