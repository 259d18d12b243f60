#include "engine/audit_sign.h"
#include "engine/audit_walk.h"

#include "blobferry/base/str.h"

#include <stdio.h>
#include <string.h>

struct check {
    struct signature *const *keys;
    size_t n;
    struct audit_signatures *out;
};

static void bad(struct audit_signatures *out, int64_t line, const char *problem)
{
    if (out->bad_line > 0)
        return; /* the first one is named */
    out->bad_line = line;
    str_copy(out->problem, sizeof out->problem, problem);
}

static enum err_code on_line(void *user, const struct journal_line *l, int64_t number,
                             const char *previous, struct err *e)
{
    struct check *c = user;
    struct audit_signatures *out = c->out;
    (void)e;

    if (!journal_line_is(l, "run_end"))
        return ERR_OK;
    out->closed++;
    switch (audit_sign_check(l, previous, c->keys, c->n)) {
    case AUDIT_SIGN_GOOD:
        if (out->good++ == 0)
            out->first_signed_line = number;
        break;
    case AUDIT_SIGN_NONE:
        if (out->good == 0)
            out->unsigned_before++;
        else
            bad(out, number, "this closing line is not signed, and earlier ones are");
        break;
    case AUDIT_SIGN_OTHER:
        bad(out, number, "this closing line is signed with none of the keys given");
        break;
    case AUDIT_SIGN_BAD:
        bad(out, number, "the signature of this closing line is wrong");
        break;
    }
    return ERR_OK;
}

enum err_code audit_check(const char *dir, struct signature *const *keys, size_t n,
                          struct audit_signatures *out, struct err *e)
{
    struct check c = {keys, n, out};
    int64_t damaged;
    enum err_code code;

    memset(out, 0, sizeof *out);
    code = audit_walk(dir, on_line, &c, &damaged, e);
    if (code != ERR_OK)
        return code;
    if (out->bad_line > 0)
        return err_set(e, ERR_CONFLICT, "audit trail line %lld: %s", (long long)out->bad_line,
                       out->problem);
    if (out->good == 0)
        return err_set(e, ERR_CONFLICT, "no closing line of the audit trail is signed");
    return ERR_OK;
}
