/* Answers of the sink that are texts: lists of objects, uploads and parts, bulk deletes, and what it has counted. */
#include "sink.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void iso_time(struct sink_text *out, const char *name, time_t at)
{
    char when[32];
    struct tm tm;
    gmtime_r(&at, &tm);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S.000Z", &tm);
    sink_text_printf(out, "<%s>%s</%s>", name, when, name);
}

struct listing {
    char prefix[1100]; /* with the bucket and its slash */
    size_t bucket_len; /* with its slash */
    char after[1100];  /* the same; keys up to this one are left out */
    char delimiter[8];
    bool url;
    bool version2;
    size_t max;
    char last[1100]; /* the last common prefix, or key */
    bool truncated;
    size_t count;
};

static void listing_read(struct listing *list, const struct sink_head *head)
{
    char value[1100];
    *list = (struct listing){.max = SINK_LIST_MAX};
    size_t n = strcspn(head->path, "/");
    list->bucket_len = n + 1;
    if (!sink_head_query(head, "prefix", value, sizeof value))
        value[0] = '\0';
    snprintf(list->prefix, sizeof list->prefix, "%.*s/%.900s", (int)n, head->path, value);
    list->version2 =
        sink_head_query(head, "list-type", value, sizeof value) && strcmp(value, "2") == 0;
    list->url = sink_head_query(head, "encoding-type", value, sizeof value);
    if (!sink_head_query(head, "delimiter", list->delimiter, sizeof list->delimiter))
        list->delimiter[0] = '\0';
    if (sink_head_query(head, "max-keys", value, sizeof value) &&
        strtoul(value, NULL, 10) < SINK_LIST_MAX)
        list->max = strtoul(value, NULL, 10);
    if (sink_head_query(head, list->version2 ? "continuation-token" : "marker", value,
                        sizeof value) ||
        sink_head_query(head, "start-after", value, sizeof value))
        snprintf(list->after, sizeof list->after, "%.*s/%.900s", (int)n, head->path, value);
}

/* The object, or the common prefix that stands for it and its neighbours. */
static void listing_entry(struct listing *list, const struct sink_object *object,
                          struct sink_text *out)
{
    size_t prefix_len = strlen(list->prefix);
    const char *cut = *list->delimiter ? strstr(object->key + prefix_len, list->delimiter) : NULL;
    if (cut) {
        snprintf(list->last, sizeof list->last, "%.*s", (int)(cut - object->key) + 1, object->key);
        sink_text_printf(out, "<CommonPrefixes><Prefix>");
        sink_text_key(out, list->last + list->bucket_len, list->url);
        sink_text_printf(out, "</Prefix></CommonPrefixes>");
    } else {
        snprintf(list->last, sizeof list->last, "%s", object->key);
        sink_text_printf(out, "<Contents><Key>");
        sink_text_key(out, object->key + list->bucket_len, list->url);
        sink_text_printf(out, "</Key>");
        iso_time(out, "LastModified", object->modified);
        sink_text_printf(out,
                         "<ETag>&quot;%s&quot;</ETag><Size>%" PRIu64
                         "</Size><StorageClass>STANDARD</StorageClass></Contents>",
                         object->etag, object->size);
    }
    list->count++;
}

/* Whether the key comes after what was already listed; all below a listed common prefix do not. */
static bool beyond(const char *key, const char *last, const char *delimiter)
{
    size_t n = strlen(last);
    if (!n)
        return true;
    if (*delimiter && last[n - 1] == *delimiter && strncmp(key, last, n) == 0)
        return false;
    return strcmp(key, last) > 0;
}

static size_t first_after(struct sink_object **sorted, size_t count, const char *key)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(sorted[middle]->key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void list_objects(struct sink_store *store, struct listing *list, struct sink_text *out)
{
    struct sink_object **sorted = sink_store_sorted(store);
    size_t count = store->objects.count, prefix_len = strlen(list->prefix);
    const char *start = strcmp(list->after, list->prefix) > 0 ? list->after : list->prefix;
    for (size_t i = first_after(sorted, count, start); i < count; i++) {
        const char *key = sorted[i]->key;
        if (strncmp(key, list->prefix, prefix_len) != 0)
            break;
        if (!beyond(key, list->after, list->delimiter) || !beyond(key, list->last, list->delimiter))
            continue;
        if (list->count == list->max) {
            list->truncated = true;
            break;
        }
        listing_entry(list, sorted[i], out);
    }
}

static void list_uploads(struct sink_store *store, const char *bucket, struct sink_text *out)
{
    size_t n = strcspn(bucket, "/");
    sink_text_printf(out,
                     "<ListMultipartUploadsResult><Bucket>%.*s</Bucket><IsTruncated>false"
                     "</IsTruncated>",
                     (int)n, bucket);
    for (size_t i = 0; i < store->uploads.n_slots; i++) {
        for (const struct sink_object *u = store->uploads.slots[i]; u; u = u->next) {
            if (strncmp(u->target, bucket, n) != 0 || u->target[n] != '/')
                continue;
            sink_text_printf(out, "<Upload><Key>");
            sink_text_key(out, u->target + n + 1, false);
            sink_text_printf(out, "</Key><UploadId>%s</UploadId>", u->key);
            iso_time(out, "Initiated", u->modified);
            sink_text_printf(out, "</Upload>");
        }
    }
    sink_text_printf(out, "</ListMultipartUploadsResult>");
}

void sink_list_bucket(struct sink_store *store, const struct sink_head *head,
                      struct sink_answer *answer)
{
    struct sink_text *out = &answer->body;
    char value[8];
    answer->status = 200;
    snprintf(answer->headers, sizeof answer->headers, "Content-Type: application/xml\r\n");
    sink_text_printf(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    if (!*head->path) {
        sink_text_printf(out,
                         "<ListAllMyBucketsResult><Buckets></Buckets></ListAllMyBucketsResult>");
    } else if (sink_head_query(head, "location", value, sizeof value)) {
        sink_text_printf(out, "<LocationConstraint>us-east-1</LocationConstraint>");
    } else if (sink_head_query(head, "versioning", value, sizeof value)) {
        sink_text_printf(out, "<VersioningConfiguration></VersioningConfiguration>");
    } else if (sink_head_query(head, "uploads", value, sizeof value)) {
        list_uploads(store, head->path, out);
    } else {
        struct listing list;
        struct sink_text entries = {0};
        listing_read(&list, head);
        list_objects(store, &list, &entries);
        const char *next = list.version2 ? "NextContinuationToken" : "NextMarker";
        sink_text_printf(out,
                         "<ListBucketResult>%s<KeyCount>%zu</KeyCount><MaxKeys>%zu</MaxKeys>"
                         "<IsTruncated>%s</IsTruncated>",
                         list.url ? "<EncodingType>url</EncodingType>" : "", list.count, list.max,
                         list.truncated ? "true" : "false");
        if (list.truncated) {
            sink_text_printf(out, "<%s>", next);
            sink_text_key(out, list.last + list.bucket_len, !list.version2 && list.url);
            sink_text_printf(out, "</%s>", next);
        }
        sink_text_printf(out, "%.*s</ListBucketResult>", (int)entries.len,
                         entries.data ? entries.data : "");
        sink_text_release(&entries);
    }
}

void sink_list_parts(const struct sink_object *upload, struct sink_answer *answer)
{
    answer->status = 200;
    sink_text_printf(&answer->body,
                     "<?xml version=\"1.0\"?>\n<ListPartsResult><UploadId>%s</UploadId>"
                     "<IsTruncated>false</IsTruncated>",
                     upload->key);
    for (const struct sink_part *p = upload->parts; p; p = p->next) {
        sink_text_printf(&answer->body, "<Part><PartNumber>%u</PartNumber>", p->number);
        iso_time(&answer->body, "LastModified", upload->modified);
        sink_text_printf(&answer->body,
                         "<ETag>&quot;%s&quot;</ETag><Size>%" PRIu64 "</Size></Part>", p->etag,
                         p->size);
    }
    sink_text_printf(&answer->body, "</ListPartsResult>");
}

/* The text of an element, its entities resolved in place. */
static void unescape(char *s)
{
    static const struct {
        const char *name;
        char c;
    } entities[] = {
        {"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}};
    char *out = s;
    while (*s) {
        size_t skip = 0;
        for (size_t i = 0; *s == '&' && i < sizeof entities / sizeof *entities && !skip; i++) {
            size_t n = strlen(entities[i].name);
            if (strncmp(s, entities[i].name, n) == 0) {
                *out++ = entities[i].c;
                skip = n;
            }
        }
        if (!skip && strncmp(s, "&#", 2) == 0 && strchr(s, ';')) {
            *out++ = (char)(s[2] == 'x' ? strtoul(s + 3, NULL, 16) : strtoul(s + 2, NULL, 10));
            skip = (size_t)(strchr(s, ';') - s) + 1;
        }
        if (!skip)
            *out++ = *s++;
        s += skip;
    }
    *out = '\0';
}

void sink_list_delete(struct sink_store *store, const char *bucket, const struct sink_text *xml,
                      struct sink_answer *answer)
{
    char *at = xml->data, full[2200];
    bool quiet = at && strstr(at, "<Quiet>true</Quiet>");
    answer->status = 200;
    snprintf(answer->headers, sizeof answer->headers, "Content-Type: application/xml\r\n");
    sink_text_printf(&answer->body, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<DeleteResult>");
    while (at && (at = strstr(at, "<Key>"))) {
        char *key = at + 5, *end = strstr(key, "</Key>");
        if (!end)
            break;
        *end = '\0';
        unescape(key);
        snprintf(full, sizeof full, "%s/%s", bucket, key);
        sink_store_remove(&store->objects, full);
        if (!quiet) {
            sink_text_printf(&answer->body, "<Deleted><Key>");
            sink_text_key(&answer->body, key, false);
            sink_text_printf(&answer->body, "</Key></Deleted>");
        }
        at = end + 6;
    }
    sink_text_printf(&answer->body, "</DeleteResult>");
}

void sink_list_stats(struct sink_store *store, struct sink_answer *answer)
{
    const struct sink_stats *s = &store->stats;
    uint64_t bytes = 0, requests = 0;
    for (size_t i = 0; i < store->objects.n_slots; i++)
        for (const struct sink_object *o = store->objects.slots[i]; o; o = o->next)
            bytes += o->size;
    for (int i = 0; i < SINK_METHODS; i++)
        requests += s->requests[i];
    answer->status = 200;
    sink_text_printf(&answer->body,
                     "{\"requests\":%" PRIu64 ",\"get\":%" PRIu64 ",\"head\":%" PRIu64
                     ",\"put\":%" PRIu64 ",\"post\":%" PRIu64 ",\"delete\":%" PRIu64 ",",
                     requests, s->requests[SINK_GET], s->requests[SINK_HEAD], s->requests[SINK_PUT],
                     s->requests[SINK_POST], s->requests[SINK_DELETE]);
    sink_text_printf(&answer->body,
                     "\"body_bytes\":%" PRIu64 ",\"throttled\":%" PRIu64 ",\"errors\":%" PRIu64
                     ",\"mismatches\":%" PRIu64 ",\"unsigned_bodies\":%" PRIu64 ",",
                     s->body_bytes, s->throttled, s->errors, s->mismatches, s->unsigned_bodies);
    sink_text_printf(&answer->body,
                     "\"connections\":%lu,\"connections_peak\":%lu,\"objects\":%zu,\"uploads\":%zu,"
                     "\"object_bytes\":%" PRIu64 "}\n",
                     atomic_load(&store->connections), atomic_load(&store->open_peak),
                     store->objects.count, store->uploads.count, bytes);
}

static void json_string(struct sink_text *out, const char *s)
{
    sink_text_printf(out, "\"");
    for (; *s; s++) {
        if (*s == '"' || *s == '\\' || (unsigned char)*s < ' ')
            sink_text_printf(out, "\\u%04x", (unsigned)(unsigned char)*s);
        else
            sink_text_printf(out, "%c", *s);
    }
    sink_text_printf(out, "\"");
}

void sink_list_objects(struct sink_store *store, struct sink_answer *answer)
{
    struct sink_object **sorted = sink_store_sorted(store);
    struct sink_text *out = &answer->body;
    answer->status = 200;
    for (size_t i = 0; i < store->objects.count; i++) {
        const struct sink_object *o = sorted[i];
        sink_text_printf(out, "{\"key\":");
        json_string(out, o->key);
        sink_text_printf(out, ",\"size\":%" PRIu64 ",\"etag\":\"%s\",\"sha256\":\"%s\",\"parts\":[",
                         o->size, o->etag, o->sha256);
        for (const struct sink_part *p = o->parts; p; p = p->next)
            sink_text_printf(out, "%s{\"size\":%" PRIu64 ",\"sha256\":\"%s\"}",
                             p == o->parts ? "" : ",", p->size, p->sha256);
        sink_text_printf(out, "]}\n");
    }
}
