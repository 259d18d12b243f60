#include "blobferry/engine/doctor.h"

#include "blobferry/base/clock.h"
#include "blobferry/base/fsio.h"
#include "blobferry/base/str.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_MAX 1024
#define CLOCK_WARN                                                                                 \
    ((int64_t)60 * 1000) /* S3 refuses from 15 minutes on; sooner something is wrong with a clock */
#define PATH_LIMIT 4096

static const struct {
    enum objstore_feature bit;
    const char *name;
} names[] = {
    {OBJSTORE_IF_NONE_MATCH, "if-none-match"},
    {OBJSTORE_IF_NONE_MATCH_MPU, "if-none-match-multipart"},
    {OBJSTORE_DELETE_IF_MATCH, "delete-if-match"},
    {OBJSTORE_BULK_DELETE, "bulk-delete"},
    {OBJSTORE_BULK_DELETE_ETAG, "bulk-delete-etag"},
    {OBJSTORE_CHECKS_PAYLOAD, "checks-payload"},
    {OBJSTORE_STORES_SHA256, "stores-sha256"},
    {OBJSTORE_VERSIONS, "versions"},
};

const char *doctor_status_name(enum doctor_status s)
{
    return s == DOCTOR_OK ? "ok" : s == DOCTOR_WARNING ? "warning" : "failed";
}

void doctor_features(unsigned features, char *dst, size_t size)
{
    size_t n = 0;

    str_copy(dst, size, "none");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if ((features & (unsigned)names[i].bit) == 0 || n >= size)
            continue;
        const int more = snprintf(dst + n, size - n, "%s%s", n > 0 ? ", " : "", names[i].name);
        n += more > 0 ? (size_t)more : 0;
    }
}

/* ---- findings ------------------------------------------------------------------------------------------ */

static void fine(const struct doctor_options *o, const char *check, const char *text)
{
    o->found(o->user, &(struct doctor_finding){.check = check, .status = DOCTOR_OK, .text = text});
}

static void tell(const struct doctor_options *o, const char *check, enum doctor_status status,
                 const struct err *why)
{
    o->found(o->user, &(struct doctor_finding){
                          .check = check, .status = status, .err = *why, .text = why->message});
}

void doctor_cannot(const struct doctor_options *o, const char *check, const struct err *why)
{
    tell(o, check, DOCTOR_FAILED, why);
}

/* ---- the store -------------------------------------------------------------------------------------------- */

static bool look_at_bucket(const struct engine *g, const struct doctor_options *o)
{
    const int64_t begun = clock_mono_ms();
    struct objstore_result r;
    char text[TEXT_MAX];
    struct err e;

    err_init(&e);
    if (objstore_ping_wait(g->store, &r, &e) != ERR_OK) {
        tell(o, "bucket", DOCTOR_FAILED, &e);
        return false;
    }
    if (r.outcome != OBJSTORE_DONE) {
        if (r.err.code == ERR_OK)
            err_set(&r.err, ERR_STORE, "%s cannot be used", objstore_name(g->store));
        tell(o, "bucket", DOCTOR_FAILED, &r.err);
        return false;
    }
    if (r.err.code != ERR_OK) { /* works, without the right to list */
        tell(o, "bucket", DOCTOR_WARNING, &r.err);
        return true;
    }
    (void)snprintf(text, sizeof text, "%s answered in %lld ms", objstore_name(g->store),
                   (long long)(clock_mono_ms() - begun));
    fine(o, "bucket", text);
    return true;
}

static void look_at_clock(const struct engine *g, const struct doctor_options *o)
{
    char text[TEXT_MAX];
    int64_t lead_ms;
    struct err e;

    if (!objstore_lead_ms(g->store, &lead_ms))
        return; /* a directory has no clock of its own */
    err_init(&e);
    if (llabs(lead_ms) >= CLOCK_WARN) {
        err_set(&e, ERR_CONFIG, "the server's clock is %lld s %s ours",
                (long long)llabs(lead_ms) / 1000, lead_ms > 0 ? "ahead of" : "behind");
        err_hint(&e, "set this machine's clock (NTP); from 15 minutes on every request is refused");
        tell(o, "clock", DOCTOR_WARNING, &e);
        return;
    }
    (void)snprintf(text, sizeof text, "within %lld s of the server's",
                   (long long)llabs(lead_ms) / 1000 + 1);
    fine(o, "clock", text);
}

static void look_at_features(const struct engine *g, const struct doctor_options *o)
{
    const bool promised = !objstore_needs_probe(g->store);
    const unsigned before = objstore_features(g->store);
    char has[256], misses[256], text[TEXT_MAX];
    unsigned found = 0;
    struct err e;

    err_init(&e);
    if (objstore_probe(g->store, &found, &e) != ERR_OK) {
        err_hint(&e,
                 "looking needs the right to write and delete under '%s.blobferry-probe/'; or: "
                 "doctor --no-probe",
                 objstore_prefix(g->store));
        tell(o, "endpoint", DOCTOR_FAILED, &e);
        return;
    }
    doctor_features(found, has, sizeof has);
    if (promised && (before & ~found) != 0) {
        doctor_features(before & ~found, misses, sizeof misses);
        err_set(&e, ERR_CONFIG, "honours %s; not, although the profile '%s' promises it: %s", has,
                objstore_profile_name(objstore_kind(g->store)), misses);
        err_hint(&e, "set --store-profile other: then it is found out before each run");
        tell(o, "endpoint", DOCTOR_WARNING, &e);
        return;
    }
    (void)snprintf(text, sizeof text, "profile '%s', honours: %s",
                   objstore_profile_name(objstore_kind(g->store)), has);
    fine(o, "endpoint", text);
}

bool doctor_store(const struct engine *g, const struct doctor_options *o)
{
    if (!look_at_bucket(g, o))
        return false;
    look_at_clock(g, o);
    if (o->probe)
        look_at_features(g, o);
    return true;
}

/* ---- the database --------------------------------------------------------------------------------------------- */

void doctor_database(const struct engine *g, const struct doctor_options *o)
{
    struct tracker_schema s;
    struct tracker_totals rows;
    char text[TEXT_MAX];
    struct err e;

    err_init(&e);
    if (tracker_inspect(g->tracker, &s, &e) != ERR_OK ||
        tracker_require(g->tracker, &e) != ERR_OK ||
        tracker_totals(g->tracker, NULL, &rows, &e) != ERR_OK) {
        tell(o, "database", DOCTOR_FAILED, &e);
        return;
    }
    if (s.own)
        (void)snprintf(text, sizeof text, "%s: %lld rows, our tables in version %d",
                       tracker_name(g->tracker), (long long)state_counts_total(&rows.counts),
                       s.version);
    else
        (void)snprintf(text, sizeof text, "%s: %lld rows; our own tables come with the first write",
                       tracker_name(g->tracker), (long long)state_counts_total(&rows.counts));
    fine(o, "database", text);
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static void look_at_sources(const struct engine *g, const struct doctor_options *o)
{
    char text[TEXT_MAX];
    struct err e;
    int fd;

    err_init(&e);
    if (str_empty(g->source_root)) {
        fine(o, "source-root", "none is set: source paths must be absolute");
        return;
    }
    fd = fsio_open_root(g->source_root, &e);
    if (fd < 0) {
        tell(o, "source-root", DOCTOR_FAILED, &e);
        return;
    }
    close(fd);
    if (access(g->source_root, R_OK | X_OK) != 0) {
        err_set_errno(&e, ERR_FILE_DENIED, errno, "cannot read '%s'", g->source_root);
        tell(o, "source-root", DOCTOR_FAILED, &e);
        return;
    }
    (void)snprintf(text, sizeof text, "'%s' can be read", g->source_root);
    fine(o, "source-root", text);
}

/* The longest part of the path that is there; false when even that cannot be. */
static bool existing_part(const char *path, char dst[PATH_LIMIT])
{
    char *slash;

    if (!str_copy(dst, PATH_LIMIT, path))
        return false;
    while (access(dst, F_OK) != 0) {
        slash = strrchr(dst, '/');
        if (slash == NULL)
            return str_copy(dst, PATH_LIMIT, ".");
        if (slash == dst)
            return str_copy(dst, PATH_LIMIT, "/");
        *slash = '\0';
    }
    return true;
}

/* False with errno. */
static bool is_writable_folder(const char *path)
{
    struct stat about;

    if (access(path, W_OK | X_OK) != 0 || stat(path, &about) != 0)
        return false;
    errno = ENOTDIR;
    return S_ISDIR(about.st_mode);
}

static void look_at_folder(const struct doctor_options *o, const struct doctor_folder *f)
{
    char there[PATH_LIMIT], text[TEXT_MAX];
    struct err e;

    err_init(&e);
    if (!existing_part(f->path, there) || !is_writable_folder(there)) {
        err_set_errno(&e, ERR_FILE_DENIED, errno, "cannot write in '%s'", f->path);
        err_hint(&e, "let this user write there, or set another --%s", f->name);
        tell(o, f->name, DOCTOR_FAILED, &e);
        return;
    }
    (void)snprintf(text, sizeof text,
                   str_eq(there, f->path) ? "'%s' can be written" : "'%s' will be made", f->path);
    fine(o, f->name, text);
}

void doctor_files(const struct engine *g, const struct doctor_options *o)
{
    look_at_sources(g, o);
    for (size_t i = 0; i < o->folder_count; i++)
        look_at_folder(o, &o->folders[i]);
}
