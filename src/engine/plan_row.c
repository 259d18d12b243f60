/* plan_row: what one row must fulfil before it is staged. What is wrong with a row is the row's problem and is
 * reported; what is wrong with database, memory or disk ends the plan. */
#include "blobferry/base/clock.h"
#include "blobferry/base/str.h"
#include "blobferry/codec/digest.h"
#include "blobferry/codec/objkey.h"
#include "engine/plan_job.h"

#include <stdlib.h>
#include <string.h>

#define HASH_SLICE       (UINT64_C(64) << 20)
#define PROGRESS_EVERY   100 /* ms */
#define CONTENT_TYPE_MAX 127

/* ---- telling -------------------------------------------------------------------------------------------- */

void plan_row_refuse(struct plan_job *j, const char *source, const char *key, int64_t line,
                     const struct err *why)
{
    struct plan_problem p = {.source = source, .key = key, .line = line, .err = *why};

    j->out->refused++;
    j->out->missing += why->code == ERR_FILE_MISSING;
    j->out->skipped_special += why->code == ERR_FILE_TYPE;
    j->out->duplicates += why->code == ERR_CONFLICT;
    log_event(j->g->log, LOG_WARN, "plan_refused",
              (struct log_field[]){{.name = "source", .type = LOG_TEXT, .text = source},
                                   {.name = "key", .type = LOG_TEXT, .text = key},
                                   {.name = "line", .type = LOG_INT, .integer = line},
                                   {.name = "class", .text = err_code_name(why->code)},
                                   {.name = "error", .text = why->message},
                                   {0}});
    if (j->problem != NULL)
        j->problem(j->user, &p);
}

enum err_code plan_row_pulse(struct plan_job *j, struct err *e)
{
    const int64_t now = clock_mono_ms();

    if (engine_stopping(j->g))
        return err_set(e, ERR_CANCELLED, "stopped; nothing is planned");
    if (now - j->told_ms >= PROGRESS_EVERY) {
        j->told_ms = now;
        engine_emit(j->g, &(struct engine_event){.kind = ENGINE_PROGRESS,
                                                 .files_done = j->out->planned,
                                                 .files_failed = j->out->refused,
                                                 .files_total = -1,
                                                 .bytes_done = j->out->bytes,
                                                 .bytes_total = -1});
    }
    return ERR_OK;
}

/* Faults of ours, not of the row. */
static bool is_fatal(enum err_code code)
{
    switch (code) {
    case ERR_NOMEM:
    case ERR_GENERAL:
    case ERR_CANCELLED:
    case ERR_DB:
    case ERR_DB_BUSY:
    case ERR_DB_SCHEMA:
    case ERR_FILE_SPACE:
        return true;
    default:
        return false;
    }
}

/* ---- texts ---------------------------------------------------------------------------------------------- */

static const char *given(const char *text)
{
    return str_empty(text) ? NULL : text;
}

/* Databases differ in what they do with such texts; none is planned. */
static enum err_code check_texts(const struct plan_row *row, struct err *e)
{
    const struct {
        const char *name, *text;
    } texts[] = {{"source_path", row->source_path}, {"file_id", row->file_id},
                 {"filename", row->filename},       {"user_id", row->user_id},
                 {"target_key", row->target_key},   {"content_type", row->content_type}};
    const char *type = given(row->content_type);

    if (str_empty(row->source_path))
        return err_set(e, ERR_PARSE, "source_path is empty");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].text != NULL && !str_utf8_valid(texts[i].text, strlen(texts[i].text)))
            return err_set(e, ERR_PARSE, "%s is not valid UTF-8", texts[i].name);
    if (type == NULL)
        return ERR_OK;
    /* It becomes a header. */
    if (strlen(type) > CONTENT_TYPE_MAX || strchr(type, '/') == NULL)
        return err_set(e, ERR_PARSE, "'%s' is no content type", type);
    for (const char *p = type; *p != '\0'; p++)
        if (*p < ' ' || *p > '~')
            return err_set(e, ERR_PARSE, "'%s' is no content type", type);
    return ERR_OK;
}

/* Below the source root, or NULL; without leading slashes. */
static const char *below(const char *path, const char *root)
{
    size_t n = strlen(root);

    while (n > 0 && root[n - 1] == '/')
        n--;
    if (root[0] != '/' || strncmp(path, root, n) != 0 || path[n] != '/')
        return NULL;
    return path + n + strspn(path + n, "/");
}

/* The path as it is stored: relative to the source root where there is one, without '//' and './'. A '..' and a slash at
 * the end stay, and are refused when the file is opened. */
static void store_path(struct plan_job *j, const char *path)
{
    const char *rest = path;
    struct buf *b = &j->stored;

    if (path[0] == '/' && !j->root.absolute_only) {
        rest = below(path, j->root.given);
        if (rest == NULL)
            rest = below(path, j->root.path);
        if (rest == NULL)
            rest = path; /* outside: refused when it is opened */
    }
    buf_reset(b);
    if (*rest == '/')
        (void)buf_char(b, '/');
    while (*rest != '\0') {
        const size_t n = strcspn(rest, "/");
        if (n > 0 && !(n == 1 && *rest == '.')) {
            (void)buf_append(b, rest, n);
            if (rest[n] == '/')
                (void)buf_char(b, '/');
        }
        rest += rest[n] == '/' ? n + 1 : n;
    }
    if (b->len == 0)
        (void)buf_char(b, '.');
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

static const char *extension(const char *filename)
{
    const char *base = base_name(filename), *dot = strrchr(base, '.');

    return dot != NULL && dot > base && dot[1] != '\0' ? dot + 1 : NULL;
}

/* ---- the file ------------------------------------------------------------------------------------------- */

static enum err_code hash_source(struct plan_job *j, struct source *s, const char *path,
                                 struct err *e)
{
    bool done = false;
    enum err_code code = source_hash_begin(s, 0, e);

    while (code == ERR_OK && !done) {
        code = source_hash_step(s, HASH_SLICE, &done, e);
        if (code == ERR_OK)
            code = plan_row_pulse(j, e);
    }
    if (code == ERR_OK && !s->matches)
        code = err_set(e, ERR_FILE_CHANGED, "the file has another checksum than the row says");
    return code == ERR_OK ? source_unchanged(s, &j->root, path, e) : code;
}

/* Present, regular, readable, and what the row says of it? */
static enum err_code look_at_source(struct plan_job *j, const struct plan_row *row,
                                    struct tracker_plan_row *planned,
                                    char sha256[DIGEST_SHA256_HEX], struct err *e)
{
    struct source s;
    enum err_code code;

    store_path(j, row->source_path);
    code = buf_status(&j->stored, ERR_FILE, "the path is too long", e);
    if (code != ERR_OK)
        return code;
    code = source_open(&s, &j->root, j->stored.data, given(row->checksum), e);
    if (code != ERR_OK)
        return code;
    if (row->size >= 0 && row->size != s.identity.size)
        code = err_set(e, ERR_FILE_CHANGED, "the file has %lld bytes, the row says %lld",
                       (long long)s.identity.size, (long long)row->size);
    if (code == ERR_OK && j->hash)
        code = hash_source(j, &s, j->stored.data, e);
    planned->source_path = j->stored.data;
    planned->size = s.identity.size;
    str_copy(sha256, DIGEST_SHA256_HEX, s.sha256);
    source_close(&s);
    return code;
}

/* ---- the key -------------------------------------------------------------------------------------------- */

static enum err_code make_key(struct plan_job *j, const struct plan_row *row,
                              const struct tracker_plan_row *planned, const char *sha256,
                              struct err *e)
{
    const char *path = given(row->key_path);
    const char *prefix = given(j->o->key_prefix);
    enum err_code code = ERR_OK;

    if (path == NULL)
        path = j->stored.data + strspn(j->stored.data, "/");
    buf_reset(&j->key);
    if (prefix != NULL) {
        (void)buf_str(&j->key, prefix);
        if (!str_ends(prefix, "/"))
            (void)buf_char(&j->key, '/');
    }
    if (given(row->target_key) != NULL) {
        (void)buf_str(&j->key, row->target_key);
    } else {
        const struct plan_key_values values = {
            .of = {[PLAN_KEY_USER_ID] = planned->user_id,
                   [PLAN_KEY_FILE_ID] = planned->file_id,
                   [PLAN_KEY_FILENAME] = planned->filename,
                   [PLAN_KEY_PATH] = path,
                   [PLAN_KEY_SHA256] = sha256,
                   [PLAN_KEY_EXT] = extension(planned->filename)}};
        code = plan_key_expand(&j->key, j->key_template, &values, e);
    }
    if (code == ERR_OK)
        code = buf_status(&j->key, ERR_PARSE, "the key is longer than 1024 bytes", e);
    return code == ERR_OK ? objkey_check(j->key.data, e) : code;
}

/* R2 stores keys in NFC: two with one NFC form are one object there. */
static enum err_code digest_key(const char *key, char digest[DIGEST_SHA256_HEX], struct err *e)
{
    char *nfc = objkey_nfc(key);

    if (nfc == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    digest_sha256_hex(nfc, strlen(nfc), digest);
    free(nfc);
    return ERR_OK;
}

static enum err_code check_holder(struct plan_job *j, const char *digest, struct err *e)
{
    char batch[1024] = "";
    enum err_code code = tracker_key_holder(j->g->tracker, digest, batch, sizeof batch, e);

    if (code == ERR_OK && batch[0] != '\0')
        code = err_set(e, ERR_CONFLICT, "target key is planned already in batch '%s'", batch);
    return code;
}

static enum err_code add_to_stage(struct plan_job *j, const struct tracker_plan_row *planned,
                                  struct err *e)
{
    enum stage_verdict verdict = STAGE_ADDED;
    char other[512];
    enum err_code code = stage_add(j->stage, planned, &verdict, other, sizeof other, e);

    if (code != ERR_OK)
        return code;
    switch (verdict) {
    case STAGE_ADDED:
        break;
    case STAGE_SAME_KEY:
        return err_set(e, ERR_CONFLICT, "'%s' has the same target key", other);
    case STAGE_COLLIDING_KEY:
        return err_set(e, ERR_CONFLICT,
                       "the target key of '%s' differs only in its Unicode form (NFC)", other);
    case STAGE_SAME_FILE:
        return err_set(e, ERR_CONFLICT, "'%s' has the same file_id '%s'", other, planned->file_id);
    }
    return ERR_OK;
}

/* ---- one row -------------------------------------------------------------------------------------------- */

/* Without a user no row can be made in files; is there one? */
static enum err_code count_without_user(struct plan_job *j, const struct plan_row *row,
                                        const struct tracker_plan_row *planned, struct err *e)
{
    bool exists = row->file_row;
    enum err_code code = ERR_OK;

    if (planned->make_file_row || exists)
        return ERR_OK;
    if (planned->file_id != NULL)
        code = tracker_file_exists(j->g->tracker, planned->file_id, &exists, e);
    j->out->without_user += code == ERR_OK && !exists;
    return code;
}

static enum err_code plan_it(struct plan_job *j, const struct plan_row *row, struct err *e)
{
    char id[CLOCK_UUID_SIZE], file_id[CLOCK_UUID_SIZE], digest[DIGEST_SHA256_HEX];
    char sha256[DIGEST_SHA256_HEX] = "";
    struct tracker_plan_row planned = {.id = id, .batch_id = "", .key_digest = digest};
    enum err_code code = check_texts(row, e);

    if (code == ERR_OK)
        code = look_at_source(j, row, &planned, sha256, e);
    if (code != ERR_OK)
        return code;
    planned.user_id = given(row->user_id) != NULL ? row->user_id : given(j->o->user_id);
    planned.filename = given(row->filename) != NULL ? row->filename : base_name(j->stored.data);
    planned.file_id = given(row->file_id);
    planned.make_file_row = planned.user_id != NULL && !row->file_row;
    if (planned.file_id == NULL && planned.make_file_row) {
        clock_uuid(file_id);
        planned.file_id = file_id;
    }
    planned.checksum = given(row->checksum) != NULL ? row->checksum : given(sha256);
    planned.content_type = given(row->content_type); /* else decided when it is sent */
    code = make_key(j, row, &planned, sha256, e);
    planned.target_key = buf_cstr(&j->key);
    if (code == ERR_OK)
        code = digest_key(planned.target_key, digest, e);
    if (code == ERR_OK)
        code = check_holder(j, digest, e);
    clock_uuid(id);
    if (code == ERR_OK)
        code = add_to_stage(j, &planned, e);
    if (code == ERR_OK) {
        j->out->planned++;
        j->out->bytes += planned.size;
        code = count_without_user(j, row, &planned, e);
    }
    return code;
}

enum err_code plan_row_take(struct plan_job *j, const struct plan_row *row, struct err *e)
{
    struct err why;
    enum err_code code = plan_row_pulse(j, e);

    if (code != ERR_OK)
        return code;
    err_init(&why);
    buf_reset(&j->key);
    code = plan_it(j, row, &why);
    if (code == ERR_OK)
        return ERR_OK;
    if (is_fatal(code)) {
        if (e != NULL)
            *e = why;
        return code;
    }
    plan_row_refuse(j, row->source_path, j->key.len > 0 ? buf_cstr(&j->key) : NULL, row->line,
                    &why);
    return ERR_OK;
}
