/* s3_probe: what the endpoint really honours, found out by asking for what it must refuse: under a key of our own that nobody
 * else knows, and all of it removed again. A lax server says yes to everything (D13b); only a refusal is believed, and only
 * if it came in words that mean this refusal. */
#include "blobferry/base/str.h"
#include "blobferry/codec/text.h"
#include "s3_deleted.h"
#include "s3_put.h"
#include "s3_stale.h"
#include "s3_xml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TURN_MS  100
#define KEY_MAX  1200
#define WRONG    "\"00000000000000000000000000000000\""
#define ANSWER   4096
#define DOCUMENT ((size_t)16 << 10)

static const char first_body[] = "blobferry probe, first body";
static const char other_body[] = "blobferry probe, other body";

struct probe {
    struct s3_store *store;
    char key[KEY_MAX], spare[KEY_MAX]; /* objects */
    struct s3_request request;
    bool over;
    struct s3_judgement is; /* the answer */
    struct err err;
    int status;
    char etag[OBJINFO_ETAG_MAX], raw_etag[OBJINFO_ETAG_MAX];
    struct objinfo info;
    char body[ANSWER];
    char upload_id[S3_UPLOAD_ID_MAX]; /* "" none is open */
    enum err_code code;               /* of the loop */
};

/* ---- one request, waited for --------------------------------------------------------------------------- */

static void on_answer(void *user, const struct s3_answer *a)
{
    struct probe *p = user;

    p->is = a->is;
    p->err = a->err;
    p->status = p->request.status;
    p->over = true;
}

static enum s3_verdict read_answer(void *user, const struct http_response *r, struct err *e)
{
    struct probe *p = user;
    const char *etag = http_response_header(r, "ETag");
    bool weak;

    (void)e;
    str_copy(p->body, sizeof p->body, buf_cstr(&r->body));
    (void)s3_headers_info(r, &p->info);
    if (s3_headers_etag(etag, p->etag, &weak))
        str_copy(p->raw_etag, sizeof p->raw_etag, etag);
    return S3_OK;
}

/* An overloaded store is asked again; a refusal is what we are after. */
static bool may_retry(void *user, const struct s3_answer *a)
{
    (void)user;
    return a->response != NULL && (a->response->status == 0 || a->response->status >= 409);
}

static struct s3_request *begin(struct probe *p, enum s3_op op, const char *key)
{
    p->request = (struct s3_request){.store = p->store,
                                     .op = op,
                                     .key = key,
                                     .read = read_answer,
                                     .may_retry = may_retry,
                                     .done = on_answer,
                                     .user = p};
    return &p->request;
}

/* The verdict; S3_LOCAL with p->code set when the loop itself failed. */
static enum s3_verdict ask(struct probe *p)
{
    p->over = false;
    if (p->code == ERR_OK)
        p->code = s3_request_send(&p->request, 0, &p->err);
    while (p->code == ERR_OK && !p->over)
        p->code = objstore_run(&p->store->base, TURN_MS, &p->err);
    if (p->code != ERR_OK && !p->over)
        objstore_cancel_all(&p->store->base); /* the request is ours and must not outlive us */
    return p->code == ERR_OK ? p->is.verdict : S3_LOCAL;
}

static enum s3_verdict put(struct probe *p, const char *key, const char *body, const char *declared,
                           const struct sigv4_pair *header)
{
    struct s3_request *r = begin(p, S3_PUT, key);
    char sha256[DIGEST_SHA256_HEX];

    digest_sha256_hex(declared, strlen(declared), sha256);
    r->body = body;
    r->length = strlen(body);
    r->payload_sha256 = sha256;
    s3_request_header(r, "content-type", "application/octet-stream");
    if (header != NULL)
        s3_request_header(r, header->name, header->value);
    return ask(p);
}

static enum s3_verdict head(struct probe *p, const char *key)
{
    s3_request_header(begin(p, S3_HEAD, key), "x-amz-checksum-mode", "ENABLED");
    return ask(p);
}

/* Refused for what the request says, not for being too much or too early. */
static bool refused(const struct probe *p)
{
    return p->code == ERR_OK && p->is.verdict != S3_OK &&
           (p->status == 400 || p->status == 412 || p->status == 422);
}

/* ---- what is honoured ------------------------------------------------------------------------------------- */

static bool has_if_none_match(struct probe *p)
{
    const struct sigv4_pair absent = {"if-none-match", "*"};
    char before[OBJINFO_ETAG_MAX];

    str_copy(before, sizeof before, p->etag);
    return put(p, p->key, other_body, other_body, &absent) == S3_PRECONDITION &&
           head(p, p->key) == S3_OK && str_eq(before, p->etag);
}

static bool checks_payload(struct probe *p)
{
    return put(p, p->spare, other_body, first_body, NULL) != S3_OK && refused(p) &&
           head(p, p->spare) == S3_ABSENT;
}

static bool stores_sha256(struct probe *p)
{
    struct sigv4_pair header = {"x-amz-checksum-sha256", NULL};
    unsigned char raw[DIGEST_SHA256_SIZE];
    char right[48], wrong[48], hex[DIGEST_SHA256_HEX];

    digest_sha256(first_body, strlen(first_body), raw);
    text_hex(raw, sizeof raw, hex);
    text_base64(raw, sizeof raw, right, sizeof right);
    raw[0] ^= 1;
    text_base64(raw, sizeof raw, wrong, sizeof wrong);
    header.value = right;
    if (put(p, p->spare, first_body, first_body, &header) != S3_OK || head(p, p->spare) != S3_OK ||
        !str_eq(p->info.stored_sha256, hex))
        return false;
    header.value = wrong;
    return put(p, p->spare, first_body, first_body, &header) != S3_OK && refused(p);
}

static bool has_delete_if_match(struct probe *p)
{
    s3_request_header(begin(p, S3_DELETE, p->key), "if-match", WRONG);
    return ask(p) == S3_PRECONDITION && head(p, p->key) == S3_OK;
}

struct told {
    const char *key;
    bool deleted, refused;
};

static void on_key(void *user, const char *key, const struct s3_error *error)
{
    struct told *t = user;

    if (!str_eq(key, t->key))
        return;
    t->deleted = error == NULL;
    t->refused = error != NULL && str_eq(error->code, "PreconditionFailed");
}

static struct told bulk(struct probe *p, const char *etag)
{
    struct told t = {.key = p->key};
    struct s3_request *r = begin(p, S3_DELETE_MANY, NULL);
    unsigned char raw[DIGEST_MAX];
    char sha256[DIGEST_SHA256_HEX], md5[32];
    struct buf document;
    struct digest d;

    buf_init(&document, DOCUMENT);
    s3_deleted_begin(&document);
    s3_deleted_object(&document, p->key, etag);
    if (s3_deleted_end(&document) && digest_init(&d, DIGEST_MD5, NULL) == ERR_OK) {
        digest_update(&d, document.data, document.len);
        digest_final(&d, raw);
        digest_release(&d);
        text_base64(raw, digest_size(DIGEST_MD5), md5, sizeof md5);
        digest_sha256_hex(document.data, document.len, sha256);
        r->body = document.data;
        r->length = document.len;
        r->payload_sha256 = sha256;
        s3_request_query(r, "delete", "");
        s3_request_header(r, "content-type", "application/xml");
        s3_request_header(r, "content-md5", md5);
        if (ask(p) == S3_OK)
            s3_deleted_parse(p->body, strlen(p->body), on_key, &t);
    }
    buf_release(&document);
    return t;
}

static unsigned bulk_features(struct probe *p)
{
    unsigned found = 0;

    if (bulk(p, "00000000000000000000000000000000").refused && head(p, p->key) == S3_OK)
        found |= OBJSTORE_BULK_DELETE_ETAG;
    if (put(p, p->key, first_body, first_body, NULL) == S3_OK && bulk(p, NULL).deleted &&
        head(p, p->key) == S3_ABSENT)
        found |= OBJSTORE_BULK_DELETE;
    return (found & OBJSTORE_BULK_DELETE) != 0 ? found : 0;
}

static bool complete(struct probe *p, const char *part_etag)
{
    struct buf document;
    char sha256[DIGEST_SHA256_HEX];
    bool honoured = false;
    struct s3_request *r = begin(p, S3_COMPLETE, p->key);

    buf_init(&document, DOCUMENT);
    buf_str(&document, "<CompleteMultipartUpload "
                       "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Part>"
                       "<PartNumber>1</PartNumber>");
    s3_xml_element(&document, "ETag", part_etag);
    if (buf_str(&document, "</Part></CompleteMultipartUpload>")) {
        digest_sha256_hex(document.data, document.len, sha256);
        r->body = document.data;
        r->length = document.len;
        r->payload_sha256 = sha256;
        s3_request_query(r, "uploadId", p->upload_id);
        s3_request_header(r, "content-type", "application/xml");
        s3_request_header(r, "if-none-match", "*");
        honoured = ask(p) == S3_PRECONDITION;
        if (p->is.verdict == S3_OK)
            p->upload_id[0] = '\0';
    }
    buf_release(&document);
    return honoured;
}

/* The object is there: a conditional Complete of an upload to its key must be refused. */
static bool has_if_none_match_mpu(struct probe *p)
{
    struct s3_request *r = begin(p, S3_CREATE, p->key);
    struct buf body;
    char sha256[DIGEST_SHA256_HEX], part_etag[OBJINFO_ETAG_MAX];
    bool named;

    s3_request_query(r, "uploads", "");
    if (ask(p) != S3_OK)
        return false;
    buf_init(&body, ANSWER);
    buf_str(&body, p->body);
    named = s3_multipart_leaf(&body, "InitiateMultipartUploadResult", "UploadId", p->upload_id,
                              sizeof p->upload_id);
    buf_release(&body);
    if (!named) {
        p->upload_id[0] = '\0';
        return false;
    }
    r = begin(p, S3_PART, p->key);
    digest_sha256_hex(other_body, strlen(other_body), sha256);
    r->body = other_body;
    r->length = strlen(other_body);
    r->payload_sha256 = sha256;
    s3_request_query(r, "partNumber", "1");
    s3_request_query(r, "uploadId", p->upload_id);
    if (ask(p) != S3_OK)
        return false;
    str_copy(part_etag, sizeof part_etag, p->raw_etag);
    return complete(p, part_etag);
}

/* ---- the probe ---------------------------------------------------------------------------------------------- */

static enum err_code make_keys(struct probe *p, struct err *e)
{
    const struct objstore *store = &p->store->base;

    return s3_stale_key(store, "object", p->key, sizeof p->key) &&
                   s3_stale_key(store, "spare", p->spare, sizeof p->spare)
               ? ERR_OK
               : err_set(e, ERR_LIMIT, "the target's prefix is too long");
}

/* Whatever happened before. False when something of ours is left. */
static bool clean_up(struct probe *p)
{
    const enum err_code before = p->code;
    bool clean = true;

    p->code = ERR_OK;
    if (p->upload_id[0] != '\0') {
        s3_request_query(begin(p, S3_ABORT, p->key), "uploadId", p->upload_id);
        clean = ask(p) == S3_OK || p->is.verdict == S3_ABSENT;
    }
    begin(p, S3_DELETE, p->key);
    clean = (ask(p) == S3_OK || p->is.verdict == S3_ABSENT) && clean;
    begin(p, S3_DELETE, p->spare);
    clean = (ask(p) == S3_OK || p->is.verdict == S3_ABSENT) && clean;
    if (before != ERR_OK)
        p->code = before;
    return clean;
}

static unsigned find(struct probe *p)
{
    unsigned found = 0;

    if (p->info.version_id[0] != '\0' && !str_eq(p->info.version_id, "null"))
        found |= OBJSTORE_VERSIONS;
    found |= has_if_none_match(p) ? OBJSTORE_IF_NONE_MATCH : 0u;
    found |= checks_payload(p) ? OBJSTORE_CHECKS_PAYLOAD : 0u;
    found |= stores_sha256(p) ? OBJSTORE_STORES_SHA256 : 0u;
    found |= has_if_none_match_mpu(p) ? OBJSTORE_IF_NONE_MATCH_MPU : 0u;
    if (put(p, p->key, first_body, first_body, NULL) == S3_OK)
        found |= has_delete_if_match(p) ? OBJSTORE_DELETE_IF_MATCH : 0u;
    if (put(p, p->key, first_body, first_body, NULL) == S3_OK)
        found |= bulk_features(p);
    return found;
}

enum err_code s3_probe(struct objstore *store, unsigned *features, struct err *e)
{
    struct probe *p = calloc(1, sizeof *p);
    enum err_code code;
    struct err why;
    unsigned found = 0;

    if (p == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    p->store = (struct s3_store *)store;
    code = make_keys(p, e);
    if (code != ERR_OK)
        goto end;
    s3_stale_clean(store);
    const enum s3_verdict verdict = put(p, p->key, first_body, first_body, NULL);
    why = p->err;
    if (verdict == S3_OK) {
        found = find(p);
        why = p->err;
    }
    const bool clean = clean_up(p);
    if (verdict != S3_OK || p->code != ERR_OK) {
        if (e != NULL)
            *e = why;
        code = err_wrap(e, "cannot probe %s", store->name);
    } else if (!clean) {
        code = err_set(e, ERR_STORE, "the probe's objects '%s' and '%s' could not be removed",
                       p->key, p->spare);
    } else {
        *features = found;
    }
end:
    free(p);
    return code;
}
