/* What each S3 request does. Called with the store locked. */
#include "sink.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void sink_s3_error(struct sink_answer *answer, int status, const char *code)
{
    answer->status = status;
    answer->body.len = 0;
    sink_text_printf(&answer->body,
                     "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>%s"
                     "</Message><RequestId>sink</RequestId></Error>",
                     code, code);
    snprintf(answer->headers, sizeof answer->headers, "Content-Type: application/xml\r\n");
}

static void objects_changed(struct sink_store *store)
{
    free(store->sorted);
    store->sorted = NULL;
}

/* Never 32 hex digits, which clients would take for an MD5. */
static void etag_make(struct sink_store *store, char *out, size_t size)
{
    snprintf(out, size, "sink-%" PRIx64, ++store->serial);
}

static void etag_header(struct sink_answer *answer, const char *etag)
{
    snprintf(answer->headers, sizeof answer->headers, "ETag: \"%s\"\r\n", etag);
}

/* The condition's answer, 0 if it holds. */
static int condition(const struct sink_head *head, const struct sink_object *object)
{
    if (head->if_none_match && object && strcmp(head->if_none_match, "*") == 0)
        return 412;
    if (!head->if_match)
        return 0;
    if (!object)
        return 404;
    const char *etag = head->if_match;
    size_t n = strlen(etag);
    if (n >= 2 && etag[0] == '"' && etag[n - 1] == '"') {
        etag++;
        n -= 2;
    }
    return n == strlen(object->etag) && memcmp(etag, object->etag, n) == 0 ? 0 : 412;
}

static bool refused(struct sink_answer *answer, int status)
{
    if (status)
        sink_s3_error(answer, status, status == 404 ? "NoSuchKey" : "PreconditionFailed");
    return status != 0;
}

static uint64_t body_size(const struct sink_head *head)
{
    return head->decoded_length != UINT64_MAX ? head->decoded_length : head->length;
}

static void put_object(struct sink_store *store, const struct sink_head *head, const char *sha256,
                       struct sink_answer *answer)
{
    if (refused(answer, condition(head, sink_store_find(&store->objects, head->path))))
        return;
    struct sink_object *object = sink_alloc(1, sizeof *object);
    object->key = sink_strdup(head->path);
    object->size = body_size(head);
    object->headers = head->headers ? sink_strdup(head->headers) : NULL;
    object->modified = time(NULL);
    snprintf(object->sha256, sizeof object->sha256, "%s", sha256);
    etag_make(store, object->etag, sizeof object->etag);
    etag_header(answer, object->etag);
    sink_store_put(&store->objects, object);
    objects_changed(store);
    answer->status = 200;
}

static void put_part(struct sink_store *store, const struct sink_head *head, const char *upload_id,
                     unsigned number, const char *sha256, struct sink_answer *answer)
{
    struct sink_object *upload = sink_store_find(&store->uploads, upload_id);
    if (!upload) {
        sink_s3_error(answer, 404, "NoSuchUpload");
        return;
    }
    struct sink_part **at = &upload->parts;
    while (*at && (*at)->number < number)
        at = &(*at)->next;
    if (!*at || (*at)->number != number) {
        struct sink_part *part = sink_alloc(1, sizeof *part);
        part->number = number;
        part->next = *at;
        *at = part;
    }
    (*at)->size = body_size(head);
    snprintf((*at)->sha256, sizeof(*at)->sha256, "%s", sha256);
    etag_make(store, (*at)->etag, sizeof(*at)->etag);
    etag_header(answer, (*at)->etag);
    answer->status = 200;
}

static void put(struct sink_store *store, const struct sink_head *head, const char *sha256,
                struct sink_answer *answer)
{
    char upload_id[64], number[16];
    const char *slash = strchr(head->path, '/');
    if (!slash || !slash[1])
        answer->status = 200; /* a bucket */
    else if (head->copy_source)
        sink_s3_error(answer, 501, "NotImplemented");
    else if (sink_head_query(head, "uploadId", upload_id, sizeof upload_id) &&
             sink_head_query(head, "partNumber", number, sizeof number))
        put_part(store, head, upload_id, (unsigned)strtoul(number, NULL, 10), sha256, answer);
    else
        put_object(store, head, sha256, answer);
}

static void create_upload(struct sink_store *store, const struct sink_head *head,
                          struct sink_answer *answer)
{
    char id[32];
    const char *slash = strchr(head->path, '/');
    struct sink_object *upload = sink_alloc(1, sizeof *upload);
    snprintf(id, sizeof id, "upload-%" PRIx64, ++store->serial);
    upload->key = sink_strdup(id);
    upload->target = sink_strdup(head->path);
    upload->headers = head->headers ? sink_strdup(head->headers) : NULL;
    upload->modified = time(NULL);
    sink_store_put(&store->uploads, upload);
    answer->status = 200;
    sink_text_printf(&answer->body,
                     "<?xml version=\"1.0\"?>\n<InitiateMultipartUploadResult><Bucket>"
                     "%.*s</Bucket><Key>",
                     (int)(slash - head->path), head->path);
    sink_text_key(&answer->body, slash + 1, false);
    sink_text_printf(&answer->body, "</Key><UploadId>%s</UploadId></InitiateMultipartUploadResult>",
                     id);
}

/* Every part that was sent counts; which ones the client names is not looked at. */
static void complete_upload(struct sink_store *store, const struct sink_head *head,
                            const char *upload_id, struct sink_answer *answer)
{
    struct sink_object *object = sink_store_find(&store->uploads, upload_id);
    if (!object || strcmp(object->target, head->path) != 0) {
        sink_s3_error(answer, 404, "NoSuchUpload");
        return;
    }
    if (refused(answer, condition(head, sink_store_find(&store->objects, head->path))))
        return;
    sink_store_take(&store->uploads, upload_id);
    free(object->key);
    object->key = object->target;
    object->target = NULL;
    unsigned parts = 0;
    for (const struct sink_part *p = object->parts; p; p = p->next, parts++)
        object->size += p->size;
    snprintf(object->etag, sizeof object->etag, "sink-%" PRIx64 "-%u", ++store->serial, parts);
    object->modified = time(NULL);
    answer->status = 200;
    sink_text_printf(&answer->body,
                     "<?xml version=\"1.0\"?>\n<CompleteMultipartUploadResult><Key>");
    sink_text_key(&answer->body, strchr(object->key, '/') + 1, false);
    sink_text_printf(&answer->body,
                     "</Key><ETag>&quot;%s&quot;</ETag></CompleteMultipartUploadResult>",
                     object->etag);
    sink_store_put(&store->objects, object);
    objects_changed(store);
}

static void post(struct sink_store *store, const struct sink_head *head,
                 const struct sink_text *xml, struct sink_answer *answer)
{
    char value[64];
    const char *slash = strchr(head->path, '/');
    bool has_key = slash && slash[1];
    if (strcmp(head->path, "__reset") == 0) {
        sink_store_reset(store);
        answer->status = 200;
    } else if (sink_head_query(head, "delete", value, sizeof value)) {
        char *bucket = sink_strdup(head->path);
        bucket[strcspn(bucket, "/")] = '\0';
        sink_list_delete(store, bucket, xml, answer);
        objects_changed(store);
        free(bucket);
    } else if (has_key && sink_head_query(head, "uploads", value, sizeof value)) {
        create_upload(store, head, answer);
    } else if (has_key && sink_head_query(head, "uploadId", value, sizeof value)) {
        complete_upload(store, head, value, answer);
    } else {
        sink_s3_error(answer, 501, "NotImplemented");
    }
}

static void get(struct sink_store *store, const struct sink_head *head, struct sink_answer *answer)
{
    char upload_id[64];
    const char *slash = strchr(head->path, '/');
    if (strcmp(head->path, "__stats") == 0) {
        sink_list_stats(store, answer);
    } else if (strcmp(head->path, "__objects") == 0) {
        sink_list_objects(store, answer);
    } else if (!slash || !slash[1]) {
        sink_list_bucket(store, head, answer);
    } else if (sink_head_query(head, "uploadId", upload_id, sizeof upload_id)) {
        const struct sink_object *upload = sink_store_find(&store->uploads, upload_id);
        if (upload)
            sink_list_parts(upload, answer);
        else
            sink_s3_error(answer, 404, "NoSuchUpload");
    } else if (!sink_store_find(&store->objects, head->path)) {
        sink_s3_error(answer, 404, "NoSuchKey");
    } else {
        sink_s3_error(answer, 501, "NotImplemented"); /* the body was forgotten */
    }
}

static void head_object(struct sink_store *store, const struct sink_head *head,
                        struct sink_answer *answer)
{
    const char *slash = strchr(head->path, '/');
    if (!slash || !slash[1]) {
        answer->status = 200;
        return;
    }
    const struct sink_object *object = sink_store_find(&store->objects, head->path);
    if (!object) {
        answer->status = 404;
        return;
    }
    char when[64];
    struct tm tm;
    gmtime_r(&object->modified, &tm);
    strftime(when, sizeof when, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    snprintf(answer->headers, sizeof answer->headers,
             "ETag: \"%s\"\r\nLast-Modified: %s\r\nAccept-Ranges: bytes\r\n", object->etag, when);
    answer->object_headers = object->headers;
    answer->length = object->size;
    answer->status = 200;
}

static void delete (struct sink_store *store, const struct sink_head *head,
                    struct sink_answer *answer)
{
    char upload_id[64];
    if (sink_head_query(head, "uploadId", upload_id, sizeof upload_id)) {
        if (sink_store_remove(&store->uploads, upload_id))
            answer->status = 204;
        else
            sink_s3_error(answer, 404, "NoSuchUpload");
        return;
    }
    const struct sink_object *object = sink_store_find(&store->objects, head->path);
    if (object && refused(answer, condition(head, object)))
        return;
    sink_store_remove(&store->objects, head->path);
    objects_changed(store);
    answer->status = 204;
}

/* So many in each second of the clock, as soon as they come. */
static bool window_full(struct sink_store *store, uint64_t ns)
{
    if (store->window != ns / 1000000000u)
        store->in_window = 0;
    store->window = ns / 1000000000u;
    if (store->in_window >= store->options->rate)
        return true;
    store->in_window++;
    return false;
}

/* A bucket of one request: `allowance_ns` is when the next one is due. A tenth of a second's worth may come at once. */
static bool throttled(struct sink_store *store)
{
    unsigned rate = store->options->rate;
    if (!rate)
        return false;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    if (store->options->rate_window)
        return window_full(store, ns);
    uint64_t burst = 100000000u;
    if (store->allowance_ns + burst < ns)
        store->allowance_ns = ns - burst;
    if (store->allowance_ns > ns)
        return true;
    store->allowance_ns += 1000000000u / rate;
    return false;
}

/* False if the answer is made. */
static bool body_right(struct sink_store *store, const struct sink_head *head, const char *sha256,
                       struct sink_answer *answer)
{
    const char *said = head->content_sha256;
    if (head->length && (!said || strlen(said) != 64))
        store->stats.unsigned_bodies++;
    if (!said || strlen(said) != 64 || !*sha256 || strcasecmp(said, sha256) == 0)
        return true;
    store->stats.mismatches++;
    sink_s3_error(answer, 400, "XAmzContentSHA256Mismatch");
    return false;
}

void sink_s3_answer(struct sink_store *store, const struct sink_head *head, const char *sha256,
                    const struct sink_text *xml, struct sink_answer *answer)
{
    bool ours = strncmp(head->path, "__", 2) == 0; /* not counted, not throttled */
    if (!ours) {
        store->stats.requests[head->method]++;
        store->stats.body_bytes += head->length;
    }
    if (!ours && throttled(store)) {
        store->stats.throttled++;
        sink_s3_error(answer, (int)store->options->rate_status, "SlowDown");
        if (store->options->retry_after)
            snprintf(answer->headers, sizeof answer->headers,
                     "Content-Type: application/xml\r\nRetry-After: %u\r\n",
                     store->options->retry_after);
    } else if (head->chunked) {
        sink_s3_error(answer, 411, "MissingContentLength");
    } else if (body_right(store, head, sha256, answer)) {
        switch (head->method) {
        case SINK_GET:
            get(store, head, answer);
            break;
        case SINK_HEAD:
            head_object(store, head, answer);
            break;
        case SINK_PUT:
            put(store, head, sha256, answer);
            break;
        case SINK_POST:
            post(store, head, xml, answer);
            break;
        case SINK_DELETE:
            delete (store, head, answer);
            break;
        default:
            sink_s3_error(answer, 405, "MethodNotAllowed");
        }
        if (answer->status >= 400 && answer->status != 404)
            store->stats.errors++;
    }
    if (head->method == SINK_HEAD)
        answer->body.len = 0;
    else
        answer->length = answer->body.len;
}
